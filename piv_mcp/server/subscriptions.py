"""Tells subscribed clients that the inbox has changed, whichever process received the event.

On 2026-07-28 subscribers hang on a bus; before, they called `resources/subscribe` on a session. Nothing is watched
while nobody is subscribed.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import structlog
from mcp.server.context import ServerRequestContext
from mcp.server.session import ServerSession
from mcp.server.subscriptions import InMemorySubscriptionBus
from mcp.shared.subscriptions import ResourceUpdated, ServerEvent
from mcp.types import EmptyResult, SubscribeRequestParams, UnsubscribeRequestParams

from piv_mcp.errors import PivError
from piv_mcp.services import Lifespan, Services
from piv_mcp.text.times import SYSTEM_CLOCK, Clock

if TYPE_CHECKING:
    from piv_mcp.store.events import StoredEvent

INBOX = "piv://inbox"
PATIENCE_SECONDS = 60.0
AT_ONCE = 1000
"""Events that are looked at in one go."""

_log = structlog.get_logger(__name__)


class Subscriptions(InMemorySubscriptionBus):
    """The subscription bus of both eras, and the watch that feeds it."""

    def __init__(self, lifespan: Lifespan, clock: Clock = SYSTEM_CLOCK) -> None:
        super().__init__()
        self._clock = clock
        self._lifespan = lifespan
        self._streams = 0
        self._sessions: dict[str, set[ServerSession]] = {}
        self._watching: asyncio.Task[None] | None = None

    def subscribe(self, listener: Callable[[ServerEvent], None]) -> Callable[[], None]:
        """A stream of protocol 2026-07-28."""
        unsubscribe = super().subscribe(listener)
        self._streams += 1
        self._watch()
        ended = False

        def end() -> None:
            nonlocal ended
            if not ended:
                ended = True
                self._streams -= 1
                unsubscribe()

        return end

    async def on_subscribe(self, ctx: ServerRequestContext[Any, Any], params: SubscribeRequestParams) -> EmptyResult:
        """`resources/subscribe` of the older protocols."""
        self._sessions.setdefault(str(params.uri), set()).add(ctx.session)
        self._watch()
        return EmptyResult()

    async def on_unsubscribe(
        self, ctx: ServerRequestContext[Any, Any], params: UnsubscribeRequestParams
    ) -> EmptyResult:
        self._sessions.get(str(params.uri), set()).discard(ctx.session)
        return EmptyResult()

    async def close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    @property
    def _wanted(self) -> bool:
        return self._streams > 0 or any(self._sessions.values())

    def _watch(self) -> None:
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._run(self._clock.time()))

    async def _run(self, since: float) -> None:
        """`since`: what has arrived from then on is news, also before the services have started (seconds)."""
        from piv_mcp.store import events  # late: nothing of the store is on the way to the first answer

        cursor: int | None = None
        while self._wanted:
            try:
                app = await self._lifespan.services()
                version = app.inbox.changes.version
                newest = await app.store.read(events.last_seq)
                # By their ids from then on: an SMS from the history arrived earlier, and is news all the same.
                after, arrived = (0, since) if cursor is None else (cursor, 0.0)
                found = await app.store.read(events.matching, (), {}, after=after, since=arrived, limit=AT_ONCE)
                for uri in dict.fromkeys(uri for event in found for uri in _uris(app, event)):
                    await self._tell(uri)
                if len(found) == AT_ONCE:
                    cursor = found[-1].seq
                    continue
                cursor = max([newest, *(event.seq for event in found)])
                await app.inbox.changes.wait(version, PATIENCE_SECONDS)
            except PivError as error:
                _log.warning("subscribers could not be notified", problem=error.message)
                await self._clock.sleep(PATIENCE_SECONDS / 10)

    async def _tell(self, uri: str) -> None:
        await self.publish(ResourceUpdated(uri=uri))
        for session in list(self._sessions.get(uri, ())):
            try:
                await session.send_resource_updated(uri)
            except Exception as error:  # a session that has gone is no reason not to tell the others
                _log.debug("a subscriber is gone", problem=type(error).__name__)
                self._sessions[uri].discard(session)


def _uris(app: Services, event: "StoredEvent") -> list[str]:
    if event.text is None or event.subject is None:
        return [INBOX]
    names = [event.subject, app.phonebook.phone_of(event.subject)]
    return [INBOX, *(f"piv://numbers/{name}/sms" for name in names if name is not None)]
