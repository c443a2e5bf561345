"""The inbox: stores each event once, for all clients on the machine."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, field, replace

from piv_mcp.errors import StoreError
from piv_mcp.inbox.measuring import count_new
from piv_mcp.store import Connection, Store, events, facts, polls, recording, servers
from piv_mcp.store.changes import Changes
from piv_mcp.store.event import StoredEvent
from piv_mcp.store.polls import Look
from piv_mcp.store.recording import Received
from piv_mcp.store.servers import WebhookAddress
from piv_mcp.store.view import Reads
from piv_mcp.text.times import DAY_SECONDS, SYSTEM_CLOCK, Clock


@dataclass(slots=True)
class _Batch:
    """Events that are stored in one commit: all that have come when it begins. Its outcome is `stored`."""

    events: list[Received] = field(default_factory=list[Received])
    stored: "asyncio.Future[list[tuple[StoredEvent, bool]]] | None" = None
    is_closed: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, received: Received) -> int | None:
        """The event's place; None if the batch takes no more."""
        with self.lock:
            if self.is_closed:
                return None
            self.events.append(received)
            return len(self.events) - 1

    def close(self) -> list[Received]:
        """Take no more. For the thread that writes, too, and as often as it tries."""
        with self.lock:
            self.is_closed = True
            return self.events

    def result(self) -> "asyncio.Future[list[tuple[StoredEvent, bool]]]":
        assert self.stored is not None  # noqa: S101 - set with the first event
        return self.stored


@dataclass(slots=True)
class _Next:
    """The batch that takes the next event: one for an inbox and all that are seen through it."""

    batch: _Batch = field(default_factory=_Batch)


class Inbox:
    """Stores events, which are kept for `days` days. `changes` is notified of every commit. `remote_time` gives the
    time on piv.day's clock (seconds since the epoch), None if it is not known."""

    def __init__(
        self,
        store: Store,
        changes: Changes,
        *,
        days: int = 30,
        clock: Clock = SYSTEM_CLOCK,
        remote_time: Callable[[], float | None] = lambda: None,
    ) -> None:
        self.store = store
        self.shown: Reads = store
        """What a caller is shown of the store. What is recorded sees everything."""
        self.changes = changes
        self.clock = clock
        self.days = days
        self.remote_time = remote_time
        self._next = _Next()
        self._noted: set[WebhookAddress | None] = set()
        """The addresses to which webhooks come, as this process has noted."""

    def seen_through(self, shown: Reads) -> "Inbox":
        """The same inbox for a caller who is shown this of it."""
        other = copy(self)
        other.shown = shown
        return other

    async def record(self, event: StoredEvent, address: WebhookAddress | None = None) -> tuple[StoredEvent, bool]:
        """Store one event of a webhook on disk, for the account that `address` belongs to (None: our own); returns the
        stored event, and whether it is new.

        Raises:
            StoreError: the event was not stored.
        """
        batch = self._next.batch
        place = batch.add((event, address))
        if place is None:
            batch = self._next.batch = _Batch()
            place = batch.add((event, address)) or 0
        if place == 0:
            batch.stored = asyncio.ensure_future(self._store(batch))
        return (await asyncio.shield(batch.result()))[place]

    async def record_all(
        self,
        batch: Sequence[StoredEvent],
        look: tuple[str, Look] | None = None,
        *,
        erased_at: float | None = None,
        as_dated: bool = False,
    ) -> list[tuple[StoredEvent, bool]]:
        """Store several events in one commit, in their order, and with them the finished look at a number's history
        that brought the last of them. Without those that were erased meanwhile: `erased_at` is what the look knew.
        `as_dated`: see `recording.add_all`.

        Raises:
            StoreError: no event was stored.
        """
        stored = await self.store.write(_add_all, batch, look, erased_at, as_dated)
        self.changes.notify({event.subject for event, _ in stored} | ({look[0]} if look is not None else set[str]()))
        count_new(stored)
        return stored

    async def _store(self, batch: "_Batch") -> list[tuple[StoredEvent, bool]]:
        try:
            stored = await self.store.write(recording.add_received, batch.close)
        finally:
            batch.close()
        self.changes.notify({event.subject for event, _ in stored})
        count_new(stored)
        for address in {address for _, address in batch.events} - self._noted:
            self._noted.add(address)
            with suppress(StoreError):
                await self.store.write(_note_received, address, self.clock.time())
        return stored

    def kept_since(self, remote_now: float | None) -> float:
        """Messages from before this time are not stored: they would soon be deleted. Both times are on piv.day's clock;
        if that is not known, this machine's clock stands in for it."""
        now = self.clock.time() if remote_now is None else remote_now
        return now - self.days * DAY_SECONDS + 3600


def _add_all(
    connection: Connection,
    batch: Sequence[StoredEvent],
    look: tuple[str, Look] | None,
    erased_at: float | None,
    as_dated: bool,
) -> list[tuple[StoredEvent, bool]]:
    kept = [event for event in batch if not _is_erased(connection, event, erased_at)]
    stored = recording.add_all(connection, kept, as_dated=as_dated)
    if look is not None:
        piv_num_id, finished = look
        polls.note_look(connection, piv_num_id, replace(finished, first_seq=events.last_seq(connection)))
    return stored


def _is_erased(connection: Connection, event: StoredEvent, known: float | None) -> bool:
    """Whether a message of the history was erased after it was read. One without a time may have been."""
    if event.source != "history" or event.subject is None:
        return False
    erased_at = polls.look(connection, event.subject).erased_at
    return erased_at is not None and erased_at != known and (event.sent_at or 0.0) <= erased_at


def _note_received(connection: Connection, address: WebhookAddress | None, now: float) -> None:
    with servers.as_owner(connection, address):
        facts.put_own(connection, facts.WEBHOOK_RECEIVED, str(now))
