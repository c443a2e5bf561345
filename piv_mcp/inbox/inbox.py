"""The inbox: stores each event once, for all clients on the machine."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from piv_mcp.store import Store, events
from piv_mcp.store.changes import Changes
from piv_mcp.store.events import StoredEvent
from piv_mcp.text.times import DAY_SECONDS, SYSTEM_CLOCK, Clock

MAX_KEPT_EVENTS = 1_000_000
"""Maximum number of events kept, whatever their age."""


@dataclass(slots=True)
class _Batch:
    """Events that are stored in one commit, and the outcome of the commit."""

    events: list[StoredEvent] = field(default_factory=list[StoredEvent])
    stored: "asyncio.Future[list[tuple[StoredEvent, bool]]] | None" = None

    def result(self) -> "asyncio.Future[list[tuple[StoredEvent, bool]]]":
        assert self.stored is not None  # noqa: S101 - set with the first event
        return self.stored


class Inbox:
    """Stores events and deletes them after `days` days. `changes` is notified of every commit."""

    def __init__(
        self,
        store: Store,
        changes: Changes,
        *,
        days: int = 30,
        keep: int = MAX_KEPT_EVENTS,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.store = store
        self.changes = changes
        self.clock = clock
        self._batch = _Batch()
        self._days = days
        self._keep = keep

    async def record(self, event: StoredEvent) -> tuple[StoredEvent, bool]:
        """Store one event on disk; returns the stored event, and whether it is new.

        Raises:
            StoreError: the event was not stored.
        """
        place = len(self._batch.events)
        self._batch.events.append(event)
        if place == 0:
            # `_store` runs after all ready tasks have run, so that events that arrive together share one commit.
            self._batch.stored = asyncio.ensure_future(self._store(self._batch))
        batch = self._batch
        return (await asyncio.shield(batch.result()))[place]

    async def record_all(self, batch: Sequence[StoredEvent]) -> list[tuple[StoredEvent, bool]]:
        """Store several events in one commit, in their order.

        Raises:
            StoreError: no event was stored.
        """
        stored = await self.store.write(events.add_all, batch)
        self.changes.notify()
        return stored

    async def _store(self, batch: "_Batch") -> list[tuple[StoredEvent, bool]]:
        await asyncio.sleep(0)
        self._batch = _Batch()
        return await self.record_all(batch.events)

    def kept_since(self) -> float:
        """Messages sent before this time (seconds since the epoch) are not stored: they would soon be deleted."""
        return self._oldest_kept() + 3600

    async def prune(self) -> int:
        """Delete events that are too old or too many, in small steps that do not delay other writes."""
        deleted = 0
        while step := await self.store.write(events.prune, before=self._oldest_kept(), keep=self._keep):
            deleted += step
        return deleted

    def _oldest_kept(self) -> float:
        """Events from before this time (seconds since the epoch) are deleted."""
        return self.clock.time() - self._days * DAY_SECONDS
