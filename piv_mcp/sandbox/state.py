"""One account: everything it owns, and what its handlers work with."""

import hashlib
import string
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from piv_mcp.sandbox import prices
from piv_mcp.sandbox.clock import Agenda, Clock, Timing
from piv_mcp.sandbox.fields import Fields, Query
from piv_mcp.sandbox.ledger import Ledger
from piv_mcp.sandbox.records import Domain, Number, Order, QueueEntry, White

Emit = Callable[[str, Mapping[str, object]], object]
"""Sends a webhook: event type and data."""


class State:
    def __init__(self, clock: Clock, timing: Timing, emit: Emit, balance: Decimal) -> None:
        self.clock = clock
        self.agenda = Agenda(clock)
        self.timing = timing
        self.emit = emit
        self.ledger = Ledger(balance, clock)
        self.ids = Ids()
        self.user_id = self.ids.uuid("user")
        self.email = "u***@example.com"
        self.countries = {country.country_code: country for country in prices.COUNTRIES}
        self.servers = {server.id: server for server in prices.SERVERS}
        self.tiers = {tier.tier_key: tier for tier in prices.TIERS}
        self.oldest_sms_first = False
        self.numbers: dict[str, Number] = {}
        self.orders: dict[str, Order] = {}
        self.domains: dict[str, Domain] = {}
        self.queue: dict[str, QueueEntry] = {}
        self.whites: dict[str, White] = {}


class Ids:
    """Identifiers of the reference's shapes: the same ones, in the same order, in every sandbox."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def count(self, kind: str) -> int:
        self._counts[kind] += 1
        return self._counts[kind]

    def uuid(self, kind: str) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"piv-sandbox/{kind}/{self.count(kind)}"))

    def number(self) -> str:
        """Like `vzPA1-kHKSg-EAL7e-Jqd3o`."""
        text = self.secret("number", 20)
        return "-".join(text[start : start + 5] for start in range(0, 20, 5))

    def secret(self, kind: str, size: int) -> str:
        """Letters and digits; at most 32."""
        alphabet = string.ascii_letters + string.digits
        digest = hashlib.sha256(f"piv-sandbox/{kind}/{self.count(kind)}".encode()).digest()
        return "".join(alphabet[byte % len(alphabet)] for byte in digest[:size])


@dataclass(frozen=True)
class Call:
    """One request, routed: path parameters, query and body as the routing table allows them."""

    params: Mapping[str, str]
    query: Query
    body: Fields


@dataclass(frozen=True)
class Answer:
    """The JSON body of an answer, below `"success": true`."""

    body: Mapping[str, object]
    status: int = 200


Handler = Callable[[State, Call], Answer]


def data(value: object, status: int = 200) -> Answer:
    return Answer({"data": value}, status)


def doomed(text: str | None) -> bool:
    """Whether background work is to fail: the sandbox fails whatever has `fail` in its name, URL or text."""
    return text is not None and "fail" in text.casefold()
