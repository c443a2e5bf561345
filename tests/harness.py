"""What the tests share: the server over a sandbox, a client of either protocol era, and a person who answers."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain, repeat
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, cast

from engines import store_url
from mcp import Client
from mcp.client import ClientRequestContext
from mcp.types import CallToolResult, ElicitRequestParams, ElicitResult, InputRequiredResult, TextContent
from moving_clock import MovingClock
from purchases import Purchase

from piv_mcp.config import load
from piv_mcp.inbox.parse import event_of
from piv_mcp.runtime import Runtime
from piv_mcp.sandbox import Sandbox
from piv_mcp.sandbox.ledger import Charge
from piv_mcp.sandbox.service import Recorded
from piv_mcp.server import build_server
from piv_mcp.services import Services
from piv_mcp.spending.approval.channels import READ_SECONDS
from piv_mcp.spending.gate import Gate
from piv_mcp.spending.reconcile.reconciler import ABSENT_SECONDS, GRACE_SECONDS
from piv_mcp.store.journal import Entry
from piv_mcp.text.times import Clock

T = TypeVar("T")

DEADLINE = 30
"""Seconds that a call of the API may take: the default of `PivClient`."""

Era = Literal["auto", "legacy"]
ERAS: tuple[Era, ...] = ("auto", "legacy")
"""Protocol 2026-07-28, and the handshake era up to 2025-11-25."""

Request = tuple[str, str, dict[str, str], object]
"""Method, path below `/api/v1` as it was sent, query, body."""


async def until(look: Callable[[], T | Awaitable[T]], *, seconds: float, what: str, every: float = 0.01) -> T:
    """The first true answer of `look`, asked again and again: every so many seconds, more seldom where asking costs."""
    end = time.monotonic() + seconds
    while True:
        found = look()
        if isinstance(found, Awaitable):
            found = await cast("Awaitable[T]", found)
        if found:
            return found
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        await asyncio.sleep(every)


def text_of(result: CallToolResult) -> str:
    """The text that a model reads."""
    return "\n".join(block.text for block in result.content if isinstance(block, TextContent))


def content_of(result: CallToolResult) -> dict[str, Any]:
    """The answer that a program reads; the call must have succeeded."""
    assert not result.is_error, text_of(result)
    content: dict[str, Any] | None = result.structured_content
    assert content is not None
    return content


# the person


@dataclass
class Person:
    """Answers every question in turn: with `answers` while there are any, then with `default`."""

    default: ElicitResult
    answers: list[ElicitResult] = field(default_factory=list[ElicitResult])
    asked: list[str] = field(default_factory=list[str])
    before_answering: Callable[[], object] | None = None
    read: Callable[[], Awaitable[object]] | None = None
    """Takes the time that a person needs for a question. None: no time, as a program that answers by itself."""

    async def __call__(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        self.asked.append(params.message)
        if self.read is not None:
            await self.read()
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


# the server


@dataclass
class Connected:
    """A client, the server's services, the account behind them, and the person in front."""

    client: Client
    services: Services
    sandbox: Sandbox
    person: Person
    seen: int = 0
    """Requests at piv.day before the last call."""

    @property
    def gate(self) -> Gate:
        return self.services.gate

    async def call(self, tool: str, /, **arguments: Any) -> CallToolResult:
        """A tool's result, error or not."""
        self.forget_requests()
        return await self.client.call_tool(tool, arguments)

    async def ok(self, tool: str, /, **arguments: Any) -> dict[str, Any]:
        """The answer of a call that must succeed."""
        return content_of(await self.call(tool, **arguments))

    async def error(self, tool: str, /, **arguments: Any) -> str:
        """The words of a call that must fail."""
        result = await self.call(tool, **arguments)
        assert result.is_error, text_of(result)
        return text_of(result)

    async def buy(self, purchase: Purchase, /, **changed: Any) -> CallToolResult:
        return await self.call(purchase.tool, **{**purchase.arguments(self.sandbox), **changed})

    async def receipt(self, purchase: Purchase, /, **changed: Any) -> dict[str, Any]:
        return content_of(await self.buy(purchase, **changed))

    def forget_requests(self) -> None:
        self.seen = len(self.sandbox.requests)

    @property
    def sent(self) -> list[Request]:
        """What the last call sent to piv.day."""
        return [(item.method, item.raw_path, item.query, item.body) for item in self.sandbox.requests[self.seen :]]

    @property
    def writes(self) -> list[Recorded]:
        """All that was sent and changes something."""
        return [request for request in self.sandbox.requests if request.method != "GET"]

    def advance(self, seconds: float) -> None:
        """Let so much time pass for the server, whose clock is a `MovingClock`."""
        assert isinstance(self.services.clock, MovingClock)
        self.services.clock.advance(seconds)

    async def entries(self) -> list[Entry]:
        """The journal, the newest first."""
        return await self.gate.journal.entries(limit=500)

    async def states(self) -> list[str]:
        """Of every entry, the oldest first."""
        return [entry.state for entry in reversed(await self.entries())]

    async def only_entry(self) -> Entry:
        (entry,) = await self.entries()
        return entry

    async def settled(self, seconds: float = 20) -> list[Entry]:
        """The journal once nothing in it is executing or unknown, which it becomes by itself.

        A `MovingClock` is advanced by the grace, at once and then once a real second: what is being asked of the API
        meanwhile keeps enough of its deadline. After two short graces it is advanced by the long one.
        """
        advance_at = 0.0
        steps = chain([GRACE_SECONDS] * 2, repeat(ABSENT_SECONDS))

        async def look() -> list[Entry] | None:
            nonlocal advance_at
            entries = await self.entries()
            if all(entry.state not in ("executing", "unknown") for entry in entries):
                return entries
            if isinstance(self.services.clock, MovingClock) and time.monotonic() >= advance_at:
                advance_at = time.monotonic() + 1
                self.advance(next(steps))
            return None

        return cast("list[Entry]", await until(look, seconds=seconds, what="the journal's unknown entries are settled"))

    async def tell(self, event_type: str, **data: Any) -> None:
        """An event, as its webhook brings it."""
        at = datetime.now(UTC).isoformat()
        body = json.dumps({"event_type": event_type, "timestamp": at, "data": data}).encode()
        await self.services.inbox.record(event_of(body, self.services.clock.time()))


class Connect(Protocol):
    """Connects a new client to a new server with these settings, in an `async with`."""

    def __call__(
        self,
        *,
        person: Person | None = None,
        era: Era = "auto",
        sandbox: Sandbox | None = None,
        clock: Clock | None = None,
        webhooks: bool = False,
        **settings: Any,
    ) -> AbstractAsyncContextManager[Connected]: ...


@asynccontextmanager
async def connected(
    sandbox: Sandbox,
    data_dir: Path,
    person: Person | None = None,
    era: Era = "auto",
    clock: Clock | None = None,
    *,
    webhooks: bool = False,
    instant: bool = False,
    **settings: Any,
) -> AsyncGenerator[Connected]:
    """A server with these settings, and a client that asks `person`, or that cannot ask anybody.

    The person reads each question before they answer, unless they are `instant`.

    With `webhooks` the web side runs, at any free port, and the account's webhooks arrive there.
    """
    web_side = {} if webhooks else {"webhook_port": 0}
    url = {"store_url": store_url(data_dir / "store.sqlite3")} if settings.get("store_url") is None else {}
    chosen = load(**{"sandbox": True, "data_dir": data_dir, **web_side, **settings, **url})
    clock = clock or MovingClock()
    if person is not None and not instant:
        person.read = reading(clock)
    runtime = Runtime(chosen, sandbox=sandbox, clock=clock)
    async with Client(build_server(chosen, runtime), mode=era, elicitation_callback=person) as client:
        services = await runtime.services()
        await services.backfill.settled()  # its requests are not the test's
        await services.asking.settled()
        sandbox.requests.clear()
        yield Connected(client, services, sandbox, person or decliner())


def reading(clock: Clock) -> Callable[[], Awaitable[object]]:
    """Takes the time that a person needs for a question, on the server's clock."""

    async def read() -> None:
        assert isinstance(clock, MovingClock)
        clock.advance(READ_SECONDS)

    return read


def charges(sandbox: Sandbox, purchase: Purchase) -> list[Charge]:
    """What the account was charged for this kind of action."""
    return [charge for charge in sandbox.charges if charge.action == purchase.ledger]


def pages(opened: Path) -> list[str]:
    """The pages that were to open in a browser: see the fixture `silent_browser`."""
    return opened.read_text().splitlines() if opened.exists() else []


# one request of protocol 2026-07-28, without the client's loop that asks and repeats

YES = {"approval": APPROVE}


async def ask(
    shop: Connected, purchase: Purchase, *, instant: bool = False, **wire: Any
) -> CallToolResult | InputRequiredResult:
    """What the server answers to the call: a result, or a question. Who answers one has read it, unless `instant`."""
    if wire.get("input_responses") and not instant:
        shop.advance(READ_SECONDS)
    result = await shop.client.session.call_tool(
        purchase.tool, purchase.arguments(shop.sandbox), allow_input_required=True, **wire
    )
    assert isinstance(result, CallToolResult | InputRequiredResult)
    return result


async def question(shop: Connected, purchase: Purchase) -> str:
    """The sealed state of the question that this call puts."""
    asked = await ask(shop, purchase)
    assert isinstance(asked, InputRequiredResult)
    assert asked.request_state is not None
    return asked.request_state


def answered(result: CallToolResult | InputRequiredResult) -> dict[str, Any]:
    assert isinstance(result, CallToolResult)
    return content_of(result)
