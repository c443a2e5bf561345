"""Waiting for a code or an event: nothing that arrives is missed, before, during or between two waits.

Every wait answers with a cursor, the id of the last event it has seen; the next wait begins there.
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
"""Seconds before a wait without a cursor in which an arrival counts: the code may be faster than the call."""

EVENTS_AT_ONCE = 10
"""In one answer; the cursor then stands behind the last of them."""

Progress = Callable[[float, float], Awaitable[None]]
"""Told (seconds waited, seconds to wait at most)."""


@dataclass(frozen=True, slots=True)
class Waited:
    """`found` is empty after a time-out; codes come the newest arrival first, events in their order.

    `cursor` goes into the next wait.
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
    after: int | None = None,
    confirmed_only: bool = False,
) -> Waited:
    """The newest code on a number past the cursor `after`, or that arrived just before the call.

    Raises:
        NotFoundError: the account has no such number.
    """
    since = 0.0 if after is not None else inbox.clock.time() - JUST_BEFORE

    async def codes(*, confirmed_only: bool, limit: int) -> list[StoredEvent]:
        return await inbox.store.read(
            events.codes, piv_num_id, after=after or 0, since=since, confirmed_only=confirmed_only, limit=limit
        )

    async def query() -> tuple[list[StoredEvent], int]:
        last = await inbox.store.read(events.last_seq)
        found = await codes(confirmed_only=confirmed_only, limit=10)
        if found or not confirmed_only:
            return found, last
        waiting = await codes(confirmed_only=False, limit=100)
        return [], min([last, *(event.seq - 1 for event in waiting)])  # an unconfirmed one may be confirmed later

    async with history.watched(piv_num_id) as watch:

        async def checked() -> tuple[list[StoredEvent], int]:
            found = await query()
            if not found[0] and isinstance(watch.problem, NotFoundError):
                raise watch.problem
            return found

        return await _wait(inbox, checked, seconds, progress)


async def wait_for_event(
    inbox: "Inbox",
    *,
    types: Sequence[str],
    match: Mapping[str, str],
    seconds: float,
    progress: Progress,
    after: int | None = None,
) -> Waited:
    """The first events of these types past the cursor whose data has every field of `match`."""
    since = 0.0 if after is not None else inbox.clock.time() - JUST_BEFORE

    async def query() -> tuple[list[StoredEvent], int]:
        last = await inbox.store.read(events.last_seq)
        found = await inbox.store.read(
            events.matching, types, match, after=after or 0, since=since, limit=EVENTS_AT_ONCE
        )
        return found, (found[-1].seq if len(found) == EVENTS_AT_ONCE else last)

    return await _wait(inbox, query, seconds, progress)


async def _wait(
    inbox: "Inbox", query: Callable[[], Awaitable[tuple[list[StoredEvent], int]]], seconds: float, progress: Progress
) -> Waited:
    started = inbox.clock.monotonic()
    told = 0.0
    while True:
        version = inbox.changes.version
        found, cursor = await query()
        waited = inbox.clock.monotonic() - started
        if found:
            return Waited(found, max([cursor, *(event.seq for event in found)]), waited)
        if waited >= seconds:
            return Waited([], cursor, waited)
        if waited - told >= PROGRESS_SECONDS:
            told = waited
            await progress(waited, seconds)
        await inbox.changes.wait(version, min(seconds - waited, PROGRESS_SECONDS))
