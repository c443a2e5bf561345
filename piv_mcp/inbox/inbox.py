"""The inbox: every event once, in one store, for every client on the machine."""

import asyncio
import json
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any, cast

from piv_mcp.api.events import piv_num_ids
from piv_mcp.store import Store, events
from piv_mcp.store.changes import Changes
from piv_mcp.store.events import Event

KEEP = 1_000_000
"""Maximum number of events kept, whatever their age."""


def data_of(event: Event) -> dict[str, Any]:
    """The event's `data` as it came; of a history message, the message."""
    payload = json.loads(event.payload)
    data = payload.get("data") if event.source == "webhook" else payload
    return cast("dict[str, Any]", data) if isinstance(data, dict) else {}


def matches(event: Event, match: Mapping[str, str]) -> bool:
    """Whether the event's data has every field of `match`, compared as text; and speaks of a `piv_num_id` in it."""
    if not match:
        return True
    data = data_of(event)
    return all(
        value in piv_num_ids(data) if name == "piv_num_id" else name in data and _text(data[name]) == value
        for name, value in match.items()
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@dataclass(slots=True)
class _Arriving:
    """Events that wait for one commit, and its outcome."""

    batch: list[Event] = field(default_factory=list[Event])
    stored: "asyncio.Future[list[tuple[Event, bool]]] | None" = None

    def result(self) -> "asyncio.Future[list[tuple[Event, bool]]]":
        assert self.stored is not None  # noqa: S101 - set with the first event
        return self.stored


class Inbox:
    """Records events and answers questions about them. `changes` tells of every commit."""

    def __init__(self, store: Store, *, days: int = 30, keep: int = KEEP) -> None:
        self.store = store
        self.changes = Changes(store)
        self._arriving = _Arriving()
        self._days = days
        self._keep = keep

    async def record(self, event: Event) -> tuple[Event, bool]:
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

    async def record_all(self, batch: Sequence[Event]) -> list[tuple[Event, bool]]:
        """Store several events in one commit, in their order."""
        stored = await self.store.write(partial(events.add_all, batch=batch))
        self.changes.notify()
        return stored

    async def _store(self, arriving: "_Arriving") -> list[tuple[Event, bool]]:
        await asyncio.sleep(0)
        self._arriving = _Arriving()
        return await self.record_all(arriving.batch)

    async def codes(
        self,
        subject: str | None,
        *,
        after: int = 0,
        since: float = 0.0,
        confirmed_only: bool = False,
        limit: int = 1,
    ) -> list[Event]:
        """Messages that hold a code, the newest arrival first."""
        return await self.store.read(
            partial(
                events.codes,
                subject=subject,
                after=after,
                since=since,
                confirmed_only=confirmed_only,
                limit=limit,
            )
        )

    async def after(
        self,
        cursor: int,
        *,
        types: Sequence[str] = (),
        subject: str | None = None,
        limit: int = 50,
        newest: bool = False,
    ) -> tuple[list[Event], int]:
        """Events past `cursor` and how many there are in all (counted up to `events.COUNTED`)."""
        return await self.store.read(
            partial(events.after, cursor=cursor, types=types, subject=subject, limit=limit, newest=newest)
        )

    async def matching(
        self, types: Sequence[str], match: Mapping[str, str], *, after: int, since: float, limit: int
    ) -> list[Event]:
        """Events of these types (of any, if none are named) whose data holds every field of `match`, oldest first."""

        def job(connection: sqlite3.Connection) -> list[Event]:
            rows = events.since(connection, after, types=types, arrived=since)
            return list(islice((row for row in rows if matches(row, match)), limit))

        return await self.store.read(job)

    async def knows(self, subject: str, message_ids: Sequence[str]) -> bool:
        """Whether any of these messages of the history is here already."""
        return await self.store.read(partial(events.knows_message, subject=subject, message_ids=message_ids))

    async def last_heard(self) -> Mapping[str, float]:
        """When each number's newest SMS arrived (seconds)."""
        return await self.store.read(events.last_heard)

    def kept_since(self) -> float:
        """Messages from before this time (seconds) are not taken in: they would be forgotten at once."""
        return time.time() - self._days * 86400 + 3600

    async def span(self) -> tuple[int, int]:
        """(events up to this id may be gone, the newest id)."""
        return await self.store.read(lambda c: (events.pruned_through(c), events.last_seq(c)))

    async def prune(self) -> int:
        """Forget what is too old or too much; in small steps, so that nobody waits for it."""
        before = time.time() - self._days * 86400
        gone = 0
        while step := await self.store.write(partial(events.prune, before=before, keep=self._keep)):
            gone += step
        return gone

    async def count_wrong_secret(self) -> None:
        """For `doctor`: somebody tries addresses."""

        def job(connection: sqlite3.Connection) -> None:
            count = int(events.fact(connection, "wrong_secret:count") or 0)
            events.set_fact(connection, "wrong_secret:count", str(count + 1))
            events.set_fact(connection, "wrong_secret:at", str(time.time()))

        await self.store.write(job)

    async def close(self) -> None:
        await self.changes.close()
