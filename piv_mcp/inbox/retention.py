"""Deletes events that are too old or too many.

A clock that was wrong at one start must delete nothing. So an event is too old only if two clocks say so, this
machine's and piv.day's, and none is deleted within an hour of a jump of this machine's clock.
"""

from contextlib import suppress
from statistics import median

import structlog

from piv_mcp.errors import StoreError
from piv_mcp.inbox.inbox import Inbox
from piv_mcp.store import events, facts, notice_rows, servers
from piv_mcp.store.space import shrink
from piv_mcp.text.times import DAY_SECONDS

MAX_KEPT_EVENTS = 1_000_000
"""Maximum number of events kept, whatever their age."""

NOTICES_KEPT = 30 * DAY_SECONDS
"""How long it is remembered at least what was told, so that it is not told again."""

PRUNE_SECONDS = 3600.0
"""Pause between two rounds, and how long none deletes what is old after a jump of the clock."""

FIRST_SECONDS = 30.0
"""The first round comes so long after the start, when piv.day's clock is known."""

JUMP_SECONDS = 60.0
"""A clock that has moved by so much more or less than it should has jumped."""

PAGES_AT_ONCE = 100
"""Free pages of the store's file that one step gives back to the disk."""

TOLD_BY = 9
"""Newest webhooks whose own times tell piv.day's clock where nothing else does: without a key."""

CLOCK_SEEN = "clock:seen"
CLOCK_JUMPED = "clock:jumped"
"""The names of the facts that hold this machine's clock at the last round, and at the last jump that was noticed."""

_log = structlog.get_logger(__name__)


class Retention:
    """Prunes the inbox once an hour."""

    def __init__(self, inbox: Inbox, *, keep: int = MAX_KEPT_EVENTS) -> None:
        self._inbox = inbox
        self._store = inbox.store
        self._clock = inbox.clock
        self._keep = keep
        self._ticks = (self._clock.time(), self._clock.monotonic())

    async def run(self) -> None:
        """Prune until cancelled."""
        await self._clock.sleep(FIRST_SECONDS)
        while True:
            with suppress(StoreError):
                await self.prune()
            await self._clock.sleep(PRUNE_SECONDS)

    async def prune(self) -> int:
        """Delete what is too old or too many, in small steps that do not delay other writes. Returns how many."""
        days = await self._store.read(servers.longest_days, self._inbox.days, self._clock.time())
        kept = days * DAY_SECONDS
        now, remote_now = self._clock.time(), await self._remote_time()
        trusted = await self._is_steady(now) and remote_now is not None
        deleted = 0
        while step := await self._store.write(
            events.prune,
            before=now - kept,
            remote_before=remote_now - kept if trusted and remote_now is not None else None,
            keep=self._keep,
        ):
            deleted += step
        if deleted:
            _log.info("old events deleted", events=deleted)
        await self._store.write(notice_rows.forget, now - max(kept, NOTICES_KEPT))
        while await self._store.write(shrink, PAGES_AT_ONCE):
            pass  # each step lets other writes pass
        return deleted

    async def _remote_time(self) -> float | None:
        if (known := self._inbox.remote_time()) is not None:
            return known
        times = await self._store.read(events.newest_times, TOLD_BY)
        return median(times) if times else None

    async def _is_steady(self, now: float) -> bool:
        """Whether this machine's clock has not jumped within the last hour, as far as any process has seen."""
        wall, monotonic = self._ticks
        self._ticks = now, self._clock.monotonic()
        moved = abs((now - wall) - (self._ticks[1] - monotonic))
        seen = await self._store.read(facts.number, CLOCK_SEEN)
        if moved > JUMP_SECONDS or now < seen - JUMP_SECONDS:
            _log.warning("the clock of this machine was set: no old events are deleted for an hour")
            await self._store.write(facts.put, CLOCK_JUMPED, str(now))
        await self._store.write(facts.put, CLOCK_SEEN, str(now))
        return not 0 <= now - await self._store.read(facts.number, CLOCK_JUMPED) < PRUNE_SECONDS
