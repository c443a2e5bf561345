"""Notifies subscribed clients of changes to the inbox, whichever process received the event.

Clients of protocol 2026-07-28 subscribe through the SDK's subscription bus. Clients of earlier protocols call
`resources/subscribe` in a session. The inbox is watched only while a client is subscribed, for each agent on its own:
an agent is not even told that something came which it is not shown.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import structlog
from mcp.server.connection import Connection
from mcp.server.context import ServerRequestContext
from mcp.server.session import ServerSession
from mcp.server.subscriptions import InMemorySubscriptionBus
from mcp.shared.subscriptions import ResourceUpdated, ServerEvent
from mcp.types import EmptyResult, SubscribeRequestParams, UnsubscribeRequestParams

from piv_mcp.errors import PivError
from piv_mcp.services import CALLER, Lifespan, Services
from piv_mcp.text.times import SYSTEM_CLOCK, Clock

if TYPE_CHECKING:
    from piv_mcp.store.agents import Agent
    from piv_mcp.store.event import StoredEvent

INBOX = "piv://inbox"
MAX_WAIT_SECONDS = 60.0
"""Maximum time between two readings of the inbox, if no change is reported."""

RETRY_SECONDS = 6.0
"""Pause after an error."""

BATCH_SIZE = 1000
"""Maximum number of events that are read at once."""

_log = structlog.get_logger(__name__)


class Subscriptions:
    """The subscriptions of both kinds of clients, those of each caller apart (implements `SubscriptionBus`)."""

    def __init__(self, lifespan: Lifespan, clock: Clock = SYSTEM_CLOCK) -> None:
        self._lifespan = lifespan
        self._clock = clock
        self._of_callers: dict[Agent | None, _Subscribers] = {}

    def subscribe(self, listener: Callable[[ServerEvent], None]) -> Callable[[], None]:
        """Add a subscriber of protocol 2026-07-28. The function that is returned removes it."""
        return self._of_caller().subscribe(listener)

    async def publish(self, event: ServerEvent) -> None:
        """Tell all subscribers."""
        for subscribers in list(self._of_callers.values()):
            await subscribers.publish(event)

    async def on_subscribe(self, ctx: ServerRequestContext[Any, Any], params: SubscribeRequestParams) -> EmptyResult:
        """Handle `resources/subscribe` of protocols before 2026-07-28."""
        self._of_caller().add_session(str(params.uri), ctx)
        return EmptyResult()

    async def on_unsubscribe(
        self, ctx: ServerRequestContext[Any, Any], params: UnsubscribeRequestParams
    ) -> EmptyResult:
        """Handle `resources/unsubscribe` of protocols before 2026-07-28."""
        self._of_caller().remove_session(str(params.uri), ctx)
        return EmptyResult()

    async def close(self) -> None:
        for subscribers in self._of_callers.values():
            await subscribers.close()

    def _of_caller(self) -> "_Subscribers":
        """Those of the agent whose request is being answered. What watches the inbox for them begins in the context of
        its first request, and so gets the agent's services."""
        for caller, subscribers in list(self._of_callers.items()):
            if subscribers.is_over:
                del self._of_callers[caller]
        return self._of_callers.setdefault(CALLER.get(), _Subscribers(self._lifespan, self._clock))


class _Subscribers(InMemorySubscriptionBus):
    """The subscriptions of one caller, and the task that watches the inbox for them."""

    def __init__(self, lifespan: Lifespan, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self._lifespan = lifespan
        self._bus_subscribers = 0
        self._sessions: dict[str, dict[Connection, ServerSession]] = {}
        """Of each URI, the subscribed connections. The SDK makes a session for each request."""
        self._watch_task: asyncio.Task[None] | None = None

    def subscribe(self, listener: Callable[[ServerEvent], None]) -> Callable[[], None]:
        unsubscribe = super().subscribe(listener)
        self._bus_subscribers += 1
        self._ensure_watching()
        ended = False

        def end() -> None:
            nonlocal ended
            if not ended:
                ended = True
                self._bus_subscribers -= 1
                unsubscribe()

        return end

    def add_session(self, uri: str, ctx: ServerRequestContext[Any, Any]) -> None:
        self._sessions.setdefault(uri, {})[_connection(ctx)] = ctx.session
        self._ensure_watching()

    def remove_session(self, uri: str, ctx: ServerRequestContext[Any, Any]) -> None:
        self._sessions.get(uri, {}).pop(_connection(ctx), None)

    @property
    def is_over(self) -> bool:
        """Whether nobody is subscribed, and nothing is watched."""
        return not self._has_subscribers and (self._watch_task is None or self._watch_task.done())

    async def close(self) -> None:
        if self._watch_task is not None:
            self._watch_task.cancel()
            await asyncio.gather(self._watch_task, return_exceptions=True)

    @property
    def _has_subscribers(self) -> bool:
        return self._bus_subscribers > 0 or any(self._sessions.values())

    def _ensure_watching(self) -> None:
        if self._watch_task is None or self._watch_task.done():
            self._watch_task = asyncio.create_task(self._watch_inbox(self._clock.time()))

    async def _watch_inbox(self, since: float) -> None:
        """Notify subscribers of events that arrive from `since` on (seconds since the epoch), until there are none.

        The services may start later than `since`.
        """
        from piv_mcp.inbox.backfill import ROUND_SECONDS  # late for start-up time: the first answer needs neither
        from piv_mcp.store import events

        cursor: int | None = None
        while self._has_subscribers:
            try:
                app = await self._lifespan.services()
                await app.backfill.keep_within(ROUND_SECONDS)
                version = app.inbox.changes.version
                newest = await app.store.read(events.last_seq)
                # After the first pass, find new events by id: those from the SMS history have earlier arrival times.
                after, arrived = (0, since) if cursor is None else (cursor, 0.0)
                found = await app.store.read(events.matching, (), {}, after=after, arrived=arrived, limit=BATCH_SIZE)
                for uri in dict.fromkeys(uri for event in found for uri in _uris(app, event)):
                    await self._notify(uri)
                if len(found) == BATCH_SIZE:
                    cursor = found[-1].seq
                    continue
                cursor = max([newest, *(event.seq for event in found)])
                await app.inbox.changes.wait(version, MAX_WAIT_SECONDS)
            except PivError as error:
                _log.warning("subscribers could not be notified", problem=error.message)
                await self._clock.sleep(RETRY_SECONDS)
            except Exception:
                _log.exception("subscribers could not be notified")
                await self._clock.sleep(RETRY_SECONDS)

    async def _notify(self, uri: str) -> None:
        await self.publish(ResourceUpdated(uri=uri))
        for connection, session in list(self._sessions.get(uri, {}).items()):
            try:
                await session.send_resource_updated(uri)
            except Exception as error:  # the connection has ended; notify the others
                _log.debug("a subscriber is gone", problem=type(error).__name__)
                self._sessions[uri].pop(connection, None)


def _connection(ctx: ServerRequestContext[Any, Any]) -> Connection:
    """The connection of a request, to which its session does not give a public way."""
    return ctx.session._connection  # pyright: ignore[reportPrivateUsage]


def _uris(app: Services, event: "StoredEvent") -> list[str]:
    if event.text is None or event.subject is None:
        return [INBOX]
    names = [event.subject, app.phonebook.phone_of(event.subject)]
    return [INBOX, *(f"piv://numbers/{name}/sms" for name in names if name is not None)]
