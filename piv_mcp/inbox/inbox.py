"""The inbox: every event once, in one store, for every client on the machine."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from piv_mcp.store import Store, events
from piv_mcp.store.changes import Changes
from piv_mcp.store.events import StoredEvent
from piv_mcp.text.times import DAY_SECONDS, SYSTEM_CLOCK, Clock

KEEP = 1_000_000
"""Maximum number of events kept, whatever their age."""


@dataclass(slots=True)
class _Arriving:
    """Events that wait for one commit, and its outcome."""

    batch: list[StoredEvent] = field(default_factory=list[StoredEvent])
    stored: "asyncio.Future[list[tuple[StoredEvent, bool]]] | None" = None

    def result(self) -> "asyncio.Future[list[tuple[StoredEvent, bool]]]":
        assert self.stored is not None  # noqa: S101 - set with the first event
        return self.stored


class Inbox:
    """Records events, for `days` days, and forgets them. `changes` tells of every commit."""

    def __init__(
        self, store: Store, changes: Changes, *, days: int = 30, keep: int = KEEP, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self.store = store
        self.changes = changes
        self.clock = clock
        self._arriving = _Arriving()
        self._days = days
        self._keep = keep

    async def record(self, event: StoredEvent) -> tuple[StoredEvent, bool]:
        """Store one event; returns it as stored, and whether it is new. It is on disk when this returns.

        Raises:
            StoreError: it was not stored.
        """
        place = len(self._arriving.batch)
        self._arriving.batch.append(event)
        if place == 0:
            # Once the loop has run all that is ready: what arrives together is stored together.
            self._arriving.stored = asyncio.ensure_future(self._store(self._arriving))
        arriving = self._arriving
        return (await asyncio.shield(arriving.result()))[place]

    async def record_all(self, batch: Sequence[StoredEvent]) -> list[tuple[StoredEvent, bool]]:
        """Store several events in one commit, in their order."""
        stored = await self.store.write(events.add_all, batch)
        self.changes.notify()
        return stored

    async def _store(self, arriving: "_Arriving") -> list[tuple[StoredEvent, bool]]:
        await asyncio.sleep(0)
        self._arriving = _Arriving()
        return await self.record_all(arriving.batch)

    def kept_since(self) -> float:
        """Messages from before this time (seconds) are not taken in: they would be forgotten at once."""
        return self._edge() + 3600

    async def prune(self) -> int:
        """Forget what is too old or too much; in small steps, so that nobody waits for it."""
        gone = 0
        while step := await self.store.write(events.prune, before=self._edge(), keep=self._keep):
            gone += step
        return gone

    def _edge(self) -> float:
        """Events that are older are not kept."""
        return self.clock.time() - self._days * DAY_SECONDS
