"""Notifies subscribed clients of changes to the inbox, whichever process received the event.

Clients of protocol 2026-07-28 subscribe through the SDK's subscription bus. Clients of earlier protocols call
`resources/subscribe` in a session. The inbox is watched only while a client is subscribed; of a server for many, the
inbox of each agent that is, as the agent may see it.
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
    from piv_mcp.store.event import StoredEvent

INBOX = "piv://inbox"
MAX_WAIT_SECONDS = 60.0
"""Maximum time between two readings of the inbox, if no change is reported."""

RETRY_SECONDS = 6.0
"""Pause after an error."""

BATCH_SIZE = 1000
"""Maximum number of events that are read at once."""

_log = structlog.get_logger(__name__)


class _Audience(InMemorySubscriptionBus):
    """The subscribers of protocol 2026-07-28 that are the same agent, and the task that watches the inbox for them."""

    def __init__(self) -> None:
        super().__init__()
        self.watch: asyncio.Task[None] | None = None

    @property
    def is_empty(self) -> bool:
        return not self._listeners


class Subscriptions:
    """The subscriptions of both kinds of clients (a bus of the SDK), and the tasks that watch the inbox for them."""

    def __init__(self, lifespan: Lifespan, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._lifespan = lifespan
        self._audiences: dict[str | None, _Audience] = {}
        """By the name of the agent; None where one person has the server for themselves."""
        self._sessions: dict[str, dict[Connection, ServerSession]] = {}
        """Of each URI, the subscribed connections. The SDK makes a session for each request. Where there are agents,
        there are no sessions."""

    def subscribe(self, listener: Callable[[ServerEvent], None]) -> Callable[[], None]:
        """Add a subscriber of protocol 2026-07-28, for the agent whose request it is. The function that is returned
        removes it."""
        audience = self._audience()
        unsubscribe = audience.subscribe(listener)
        self._ensure_watching(audience)
        return unsubscribe

    async def publish(self, event: ServerEvent) -> None:
        """Tell all subscribers of protocol 2026-07-28."""
        for audience in list(self._audiences.values()):
            await audience.publish(event)

    async def on_subscribe(self, ctx: ServerRequestContext[Any, Any], params: SubscribeRequestParams) -> EmptyResult:
        """Handle `resources/subscribe` of protocols before 2026-07-28."""
        self._sessions.setdefault(str(params.uri), {})[_connection(ctx)] = ctx.session
        self._ensure_watching(self._audience())
        return EmptyResult()

    async def on_unsubscribe(
        self, ctx: ServerRequestContext[Any, Any], params: UnsubscribeRequestParams
    ) -> EmptyResult:
        """Handle `resources/unsubscribe` of protocols before 2026-07-28."""
        self._sessions.get(str(params.uri), {}).pop(_connection(ctx), None)
        return EmptyResult()

    async def close(self) -> None:
        watches = [audience.watch for audience in self._audiences.values() if audience.watch is not None]
        for watch in watches:
            watch.cancel()
        await asyncio.gather(*watches, return_exceptions=True)

    def _audience(self) -> _Audience:
        """Those for whom the present request subscribes. An audience that nobody is in any more is dropped."""
        agent = CALLER.get()
        name = None if agent is None else agent.name
        for key, audience in list(self._audiences.items()):
            if key != name and not self._is_listening(audience):
                del self._audiences[key]
                if audience.watch is not None:
                    audience.watch.cancel()
        return self._audiences.setdefault(name, _Audience())

    def _is_listening(self, audience: _Audience) -> bool:
        return not audience.is_empty or any(self._sessions.values())

    def _ensure_watching(self, audience: _Audience) -> None:
        if audience.watch is None or audience.watch.done():
            # The task has the context of this request, and so reads what its agent may read.
            audience.watch = asyncio.create_task(self._watch_inbox(audience, self._clock.time()))

    async def _watch_inbox(self, audience: _Audience, since: float) -> None:
        """Notify subscribers of events that arrive from `since` on (seconds since the epoch), until there are none.

        The services may start later than `since`.
        """
        from piv_mcp.inbox.backfill import ROUND_SECONDS  # late for start-up time: the first answer needs neither
        from piv_mcp.store import events

        cursor: int | None = None
        while self._is_listening(audience):
            try:
                app = await self._lifespan.services()
                await app.backfill.keep_within(ROUND_SECONDS)
                version = app.inbox.changes.version
                newest = await app.store.read(events.last_seq)
                # After the first pass, find new events by id: those from the SMS history have earlier arrival times.
                after, arrived = (0, since) if cursor is None else (cursor, 0.0)
                found = await app.store.read(events.matching, (), {}, after=after, arrived=arrived, limit=BATCH_SIZE)
                for uri in dict.fromkeys(uri for event in found for uri in _uris(app, event)):
                    await self._notify(audience, uri)
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

    async def _notify(self, audience: _Audience, uri: str) -> None:
        await audience.publish(ResourceUpdated(uri=uri))
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
