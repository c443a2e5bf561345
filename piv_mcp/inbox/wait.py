"""Waiting for a code or an event, without missing one that arrives between two waits.

Every wait returns a cursor, the id of the last event it has seen. The next wait continues from this cursor.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from piv_mcp.errors import NotFoundError
from piv_mcp.store import events
from piv_mcp.store.events import StoredEvent
from piv_mcp.text.times import PROGRESS_SECONDS

if TYPE_CHECKING:
    from piv_mcp.inbox.history import History
    from piv_mcp.inbox.inbox import Inbox

JUST_BEFORE = 60.0
"""A wait without a cursor also finds what arrived this many seconds before, since a code may arrive before the call."""

EVENTS_AT_ONCE = 10
"""Maximum number of events that one wait returns; the cursor is then the id of the last of them."""

Progress = Callable[[float, float], Awaitable[None]]
"""Called with (seconds waited, maximum seconds to wait)."""


@dataclass(frozen=True, slots=True)
class Waited:
    """The outcome of a wait: codes with the newest first, events with the oldest first, or nothing after a time-out.

    `cursor` is for the next wait; `seconds` is how long this wait took.
    """

    found: list[StoredEvent]
    cursor: int
    seconds: float


async def wait_for_code(
    inbox: "Inbox",
    history: "History",
    piv_num_id: str,
    *,
    seconds: float,
    progress: Progress,
    cursor: int | None = None,
    confirmed_only: bool = False,
) -> Waited:
    """Wait for a code on a number, at most `seconds`: the first one past `cursor`.

    Without a cursor, a code that arrived within `JUST_BEFORE` counts as well.

    Raises:
        NotFoundError: the account has no such number.
    """
    since = 0.0 if cursor is not None else inbox.clock.time() - JUST_BEFORE

    async def codes(*, confirmed_only: bool, limit: int) -> list[StoredEvent]:
        return await inbox.store.read(
            events.codes, piv_num_id, after=cursor or 0, since=since, confirmed_only=confirmed_only, limit=limit
        )

    async def query() -> tuple[list[StoredEvent], int]:
        last = await inbox.store.read(events.last_seq)
        found = await codes(confirmed_only=confirmed_only, limit=10)
        if found or not confirmed_only:
            return found, last
        unconfirmed = await codes(confirmed_only=False, limit=100)
        # The cursor stays before the unconfirmed codes: each may be confirmed later.
        return [], min([last, *(event.seq - 1 for event in unconfirmed)])

    async with history.watched(piv_num_id) as watch:

        async def query_existing_number() -> tuple[list[StoredEvent], int]:
            found = await query()
            if not found[0] and isinstance(watch.problem, NotFoundError):
                raise watch.problem
            return found

        return await _wait(inbox, query_existing_number, seconds, progress)


async def wait_for_event(
    inbox: "Inbox",
    *,
    types: Sequence[str],
    match: Mapping[str, str],
    seconds: float,
    progress: Progress,
    cursor: int | None = None,
) -> Waited:
    """Wait for events, at most `seconds`: the first of these types past `cursor` whose data has all fields of `match`.

    Without a cursor, events that arrived within `JUST_BEFORE` count as well.
    """
    since = 0.0 if cursor is not None else inbox.clock.time() - JUST_BEFORE

    async def query() -> tuple[list[StoredEvent], int]:
        last = await inbox.store.read(events.last_seq)
        found = await inbox.store.read(
            events.matching, types, match, after=cursor or 0, since=since, limit=EVENTS_AT_ONCE
        )
        return found, (found[-1].seq if len(found) == EVENTS_AT_ONCE else last)

    return await _wait(inbox, query, seconds, progress)


async def _wait(
    inbox: "Inbox", query: Callable[[], Awaitable[tuple[list[StoredEvent], int]]], seconds: float, progress: Progress
) -> Waited:
    started = inbox.clock.monotonic()
    reported = 0.0
    while True:
        version = inbox.changes.version
        found, cursor = await query()
        waited = inbox.clock.monotonic() - started
        if found:
            return Waited(found, max([cursor, *(event.seq for event in found)]), waited)
        if waited >= seconds:
            return Waited([], cursor, waited)
        if waited - reported >= PROGRESS_SECONDS:
            reported = waited
            await progress(waited, seconds)
        await inbox.changes.wait(version, min(seconds - waited, PROGRESS_SECONDS))
