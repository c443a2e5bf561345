"""What the tests of the money gate share: every action that costs money, a person who answers, and a way to look."""

import json
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, cast

import pytest
from conftest import ERAS, Era, text_of
from examples import domain, number, order, record
from mcp import Client
from mcp.client import ClientRequestContext
from mcp.types import CallToolResult, ElicitRequestParams, ElicitResult
from processes import until

from piv_mcp.config import load
from piv_mcp.inbox.parse import event_of
from piv_mcp.runtime import Runtime
from piv_mcp.sandbox import Sandbox
from piv_mcp.sandbox.ledger import Charge
from piv_mcp.sandbox.service import Recorded
from piv_mcp.server.build import build_server
from piv_mcp.services import Services
from piv_mcp.spending.gate import Gate
from piv_mcp.store.journal import Entry
from piv_mcp.text.times import SYSTEM_CLOCK, Clock


@dataclass(frozen=True)
class Purchase:
    """One action that costs money. `price` is what the sandbox charges."""

    tool: str
    path: str
    ledger: str
    price: Decimal
    quoted: Literal["exact", "estimate", "unknown"]
    arguments: Callable[[Sandbox], dict[str, Any]]

    def __str__(self) -> str:
        return self.tool


def _of(**arguments: Any) -> Callable[[Sandbox], dict[str, Any]]:
    return lambda sandbox: {name: value(sandbox) if callable(value) else value for name, value in arguments.items()}


def _purchase(
    tool: str, path: str, ledger: str, price: str, quoted: Literal["exact", "estimate", "unknown"], **arguments: Any
) -> Purchase:
    return Purchase(tool, path, ledger, Decimal(price), quoted, _of(**arguments))


def expired_number(sandbox: Sandbox) -> list[str]:
    return [number(sandbox, "Old campaign")]


def expired_order(sandbox: Sandbox) -> str:
    return order(sandbox, "expired")


def german_server(sandbox: Sandbox) -> str:
    return next(iter(sandbox.state.servers))


BUY_NUMBER = _purchase(
    "purchase_number",
    "/numbers/purchase",
    "number.purchase",
    "4.00",
    "exact",
    country_code="SE",
    duration_months=1,
    auto_renew=False,
)
RENEW_NUMBER = _purchase(
    "renew_number", "/numbers/*/renew", "number.renew", "8.00", "exact", piv_num_id=number, duration_months=2
)
RESTORE = _purchase(
    "restore_numbers",
    "/numbers/restore",
    "number.restore",
    "6.00",
    "unknown",
    piv_num_ids=expired_number,
)
SEND_SMS = _purchase(
    "send_sms",
    "/numbers/*/sms/send",
    "sms.send",
    "0.25",
    "exact",
    piv_num_id=number,
    to_number="+14155551234",
    message_body="Hello",
)
VERIFY = _purchase(
    "start_google_verification",
    "/numbers/*/verify",
    "number.verify",
    "1.00",
    "unknown",
    piv_num_id=number,
    gv_url="https://gv.google.com/verify",
)
REGISTER = _purchase(
    "register_domain",
    "/domains",
    "domain.register",
    "12.50",
    "exact",
    domain="free-name.com",
    period=1,
    cloudflare=True,
    auto_renew=False,
)
CREATE_WHITE = _purchase(
    "create_white",
    "/whites",
    "white.create",
    "3.00",
    "exact",
    name="A new site",
    tier_key="v2_tier1",
    niche="Gardening",
    country="DE",
    language="de",
)
PURCHASES: Sequence[Purchase] = (
    BUY_NUMBER,
    RENEW_NUMBER,
    RESTORE,
    SEND_SMS,
    VERIFY,
    _purchase(
        "purchase_proxies",
        "/proxy/purchase",
        "proxy.purchase",
        "3.00",
        "estimate",
        server_id=german_server,
        quantity=2,
        months=3,
    ),
    _purchase("renew_proxy_order", "/proxy/orders/*/renew", "proxy.renew", "1.50", "exact", order_id=order, months=1),
    _purchase(
        "restore_proxy_order",
        "/proxy/orders/*/restore",
        "proxy.restore",
        "0.90",
        "unknown",
        order_id=expired_order,
    ),
    REGISTER,
    _purchase("renew_domain", "/domains/*/renew", "domain.renew", "12.50", "exact", domain_id=domain, period=1),
    CREATE_WHITE,
)


FREE = [
    pytest.param("set_number_auto_renewal", "PATCH", {"piv_num_id": number, "auto_renew": False}, id="number-off"),
    pytest.param("set_domain_auto_renewal", "POST", {"domain_id": domain, "auto_renew": False}, id="domain-off"),
    pytest.param("delete_dns_record", "DELETE", {"domain_id": domain, "record_id": record}, id="delete-record"),
    pytest.param(
        "enable_cloudflare",
        "POST",
        {"domain_id": lambda sandbox: domain(sandbox, cloudflare=False)},  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
        id="cloudflare",
    ),
    pytest.param(
        "set_nameservers",
        "POST",
        {
            "domain_id": lambda sandbox: domain(sandbox, cloudflare=False),  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
            "nameservers": ["ns1.new.com", "ns2.new.com"],
        },
        id="nameservers",
    ),
]
"""What costs nothing and changes something for good: tool, method, arguments."""
COMMITMENTS = [
    pytest.param("set_number_auto_renewal", "PATCH", {"piv_num_id": number, "auto_renew": True}, id="number-on"),
    pytest.param("set_domain_auto_renewal", "POST", {"domain_id": domain, "auto_renew": True}, id="domain-on"),
]
"""What costs nothing now, and lets piv.day charge from then on."""


def given(sandbox: Sandbox, arguments: dict[str, Any]) -> dict[str, Any]:
    return {name: value(sandbox) if callable(value) else value for name, value in arguments.items()}


def in_turn(purchases: Sequence[Purchase] = PURCHASES) -> list[Any]:
    """Each purchase with one of the protocol eras, for what differs in neither."""
    return [
        pytest.param(purchase, ERAS[index % 2], id=f"{purchase}-{ERAS[index % 2]}")
        for index, purchase in enumerate(purchases)
    ]


@dataclass
class Person:
    """Answers every question in turn: with `answers` while there are any, then with `default`."""

    default: ElicitResult
    answers: list[ElicitResult] = field(default_factory=list[ElicitResult])
    asked: list[str] = field(default_factory=list[str])
    before_answering: Callable[[], object] | None = None

    async def __call__(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        self.asked.append(params.message)
        if self.before_answering is not None:
            self.before_answering()
        return self.answers.pop(0) if self.answers else self.default


APPROVE = ElicitResult(action="accept", content={"approve": True})
DECLINE = ElicitResult(action="decline")
CANCEL = ElicitResult(action="cancel")


def approver() -> Person:
    return Person(APPROVE)


def decliner() -> Person:
    return Person(DECLINE)


@dataclass(frozen=True)
class Shop:
    """A client, the server's services, and the account behind them."""

    client: Client
    services: Services
    sandbox: Sandbox
    person: Person

    @property
    def gate(self) -> Gate:
        return self.services.gate

    async def call(self, tool: str, /, **arguments: Any) -> CallToolResult:
        return await self.client.call_tool(tool, arguments)

    async def buy(self, purchase: Purchase, /, **changed: Any) -> CallToolResult:
        return await self.client.call_tool(purchase.tool, {**purchase.arguments(self.sandbox), **changed})

    async def receipt(self, purchase: Purchase, /, **changed: Any) -> dict[str, Any]:
        return content(await self.buy(purchase, **changed))

    @property
    def writes(self) -> list[Recorded]:
        return [request for request in self.sandbox.requests if request.method != "GET"]

    async def entries(self) -> list[Entry]:
        return await self.gate.journal.entries(limit=500)

    async def states(self) -> list[str]:
        """Of every entry, the oldest first."""
        return [entry.state for entry in reversed(await self.entries())]

    async def only_entry(self) -> Entry:
        (entry,) = await self.entries()
        return entry

    async def settled(self, seconds: float = 5) -> list[Entry]:
        """The journal once nothing in it is executing or unknown, which it becomes by itself."""

        async def look() -> list[Entry] | None:
            entries = await self.entries()
            return entries if all(entry.state not in ("executing", "unknown") for entry in entries) else None

        return cast("list[Entry]", await until(look, seconds=seconds, what="the journal's unknown entries are settled"))


def content(result: CallToolResult) -> dict[str, Any]:
    assert not result.is_error, text_of(result)
    structured: dict[str, Any] | None = result.structured_content
    assert structured is not None
    return structured


def charges(sandbox: Sandbox, purchase: Purchase) -> list[Charge]:
    """What the account was charged for this kind of action."""
    return [charge for charge in sandbox.charges if charge.action == purchase.ledger]


@asynccontextmanager
async def open_shop(
    sandbox: Sandbox,
    data_dir: Path,
    person: Person | None,
    era: Era = "auto",
    clock: Clock = SYSTEM_CLOCK,
    **settings: Any,
) -> AsyncGenerator[Shop]:
    """A server with these settings, and a client that asks `person`, or that cannot ask anybody."""
    chosen = load(**{"sandbox": True, "data_dir": data_dir, "webhook_port": 0, **settings})
    runtime = Runtime(chosen, sandbox=sandbox, clock=clock)
    async with Client(build_server(chosen, runtime), mode=era, elicitation_callback=person) as client:
        services = await runtime.services()
        await services.backfill.settled()
        sandbox.requests.clear()
        yield Shop(client, services, sandbox, person or decliner())


def pages(opened: Path) -> list[str]:
    return opened.read_text().splitlines() if opened.exists() else []


async def tell(shop: Shop, event_type: str, **data: Any) -> None:
    """An event, as its webhook brings it."""
    at = datetime.now(UTC).isoformat()
    body = json.dumps({"event_type": event_type, "timestamp": at, "data": data}).encode()
    await shop.services.inbox.record(event_of(body, time.time()))
