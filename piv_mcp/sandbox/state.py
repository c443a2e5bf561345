"""The state of one account, and what handlers take and return."""

import hashlib
import string
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from typing import Any, cast
from uuid import NAMESPACE_OID, uuid5

from piv_mcp.sandbox import prices
from piv_mcp.sandbox.clock import Agenda, SandboxClock, Timing
from piv_mcp.sandbox.fields import Fields, Query
from piv_mcp.sandbox.ledger import Ledger
from piv_mcp.sandbox.records import SandboxDomain, SandboxNumber, SandboxOrder, SandboxQueueEntry, SandboxWhite

Emit = Callable[[str, Mapping[str, object]], object]
"""Sends a webhook: event type and data."""


class State:
    """Everything that the account owns, with its clock, agenda and ledger."""

    def __init__(self, clock: SandboxClock, timing: Timing, emit: Emit, balance: Decimal, api_key: str) -> None:
        self.clock = clock
        self.agenda = Agenda(clock)
        self.timing = timing
        self.emit = emit
        self.ledger = Ledger(balance, clock)
        self.ids = Ids()
        self.user_id = str(uuid5(NAMESPACE_OID, api_key))  # each key is another account's
        self.email = "u***@example.com"
        self.countries = {country.country_code: country for country in prices.SANDBOX_COUNTRIES}
        self.servers = {server.id: server for server in prices.SANDBOX_SERVERS}
        self.tiers = {tier.tier_key: tier for tier in prices.SANDBOX_TIERS}
        self.top_level_domains = dict(prices.SANDBOX_TOP_LEVEL_DOMAINS)
        self.oldest_sms_first = False
        self.numbers: dict[str, SandboxNumber] = {}
        self.orders: dict[str, SandboxOrder] = {}
        self.domains: dict[str, SandboxDomain] = {}
        self.queue: dict[str, SandboxQueueEntry] = {}
        self.whites: dict[str, SandboxWhite] = {}

    def top_level_domain_of(self, domain: str) -> prices.TopLevelDomain:
        known = self.top_level_domains
        return known.get(domain.rpartition(".")[2], known[prices.ANY_OTHER])

    def reprice(self, change: Callable[[Decimal], Decimal]) -> None:
        """Change every listed price, from now on."""
        for listing in (self.countries, self.servers, self.tiers, self.top_level_domains):
            offers = cast("dict[str, Any]", listing)
            for key, offer in offers.items():
                listed = {field.name: getattr(offer, field.name) for field in fields(offer)}
                prices_of = {name: price for name, price in listed.items() if isinstance(price, Decimal)}
                offers[key] = replace(offer, **{name: change(price) for name, price in prices_of.items()})
        for order in self.orders.values():
            order.server = self.servers[order.server.id]


class Ids:
    """Identifiers in the reference's formats. Every sandbox makes the same ones in the same order."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def count(self, kind: str) -> int:
        """The next number of this kind, from 1."""
        self._counts[kind] += 1
        return self._counts[kind]

    def uuid(self, kind: str) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"piv-sandbox/{kind}/{self.count(kind)}"))

    def number(self) -> str:
        """Like `vzPA1-kHKSg-EAL7e-Jqd3o`."""
        text = self.secret("number", 20)
        return "-".join(text[start : start + 5] for start in range(0, 20, 5))

    def secret(self, kind: str, size: int) -> str:
        """`size` letters and digits; at most 32."""
        alphabet = string.ascii_letters + string.digits
        digest = hashlib.sha256(f"piv-sandbox/{kind}/{self.count(kind)}".encode()).digest()
        return "".join(alphabet[byte % len(alphabet)] for byte in digest[:size])


@dataclass(frozen=True)
class RouteCall:
    """A request after routing: the path parameters, query and body that its route allows."""

    params: Mapping[str, str]
    query: Query
    body: Fields


@dataclass(frozen=True)
class RouteAnswer:
    """What a handler returns: the JSON body of the answer without `"success": true`, and the status."""

    body: Mapping[str, object]
    status: int = 200


Handler = Callable[[State, RouteCall], RouteAnswer]


def data(value: object, status: int = 200) -> RouteAnswer:
    return RouteAnswer({"data": value}, status)


def should_fail(text: str | None) -> bool:
    """Whether background work is to fail, because its name, URL or text contains `fail`."""
    return text is not None and "fail" in text.casefold()
