"""Waiting for a code or an event, without missing one that arrives between two waits.

Every wait returns a cursor. The next wait continues from it.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING

from piv_mcp.inbox.cursor import Cursor
from piv_mcp.store import event, events, polls
from piv_mcp.store.event import StoredEvent
from piv_mcp.text.times import PROGRESS_SECONDS

if TYPE_CHECKING:
    from piv_mcp.inbox.history import History
    from piv_mcp.inbox.inbox import Inbox

JUST_BEFORE = 60.0
"""A wait without a cursor also finds what arrived this many seconds before, since a code may arrive before the call."""

CODES_AT_ONCE = 5
"""Maximum number of codes that one wait returns. Its cursor does not pass the others."""

EVENTS_AT_ONCE = 10
"""Maximum number of events that one wait returns; the cursor is then the id of the last of them."""

WITHOUT_CODE_AT_ONCE = 3
"""Maximum number of messages without a code that one wait returns."""

CODES_COUNTED = 50
"""Codes are counted up to this number."""

MAX_STRETCHES = 40
"""Maximum number of stretches in a cursor, which a model must copy. It passes what lies before the newest of them."""

Progress = Callable[[float, float], Awaitable[None]]
"""Called with (seconds waited, maximum seconds to wait)."""


@dataclass(frozen=True, slots=True)
class Waited:
    """The outcome of a wait: codes with the newest first, events with the oldest first, or nothing after a time-out.

    `without_code` are the messages in which no code was recognised, the newest first: of a wait that found codes those
    that are newer. `more` is how many codes came that are not in `found`: the cursor does not pass them. `cursor` is
    for the next wait; `seconds` is how long this wait took.
    """

    found: list[StoredEvent]
    cursor: Cursor
    seconds: float = 0.0
    without_code: list[StoredEvent] = field(default_factory=list[StoredEvent])
    more: int = 0

    @property
    def is_cut(self) -> bool:
        """Whether there may be more codes than were counted."""
        return len(self.found) + self.more >= CODES_COUNTED


@dataclass(slots=True)
class _Span:
    """What a wait counts: with a cursor everything past it, else what has come since `JUST_BEFORE` its beginning."""

    inbox: "Inbox"
    cursor: Cursor | None
    started: float
    first_seq: int
    at: int
    """When it began, on piv.day's clock: see `Cursor`."""

    @classmethod
    async def begin(cls, inbox: "Inbox", cursor: Cursor | None) -> "_Span":
        at = int(inbox.remote_time() or 0)
        return cls(inbox, cursor, inbox.clock.monotonic(), await inbox.store.read(events.last_seq), at)

    @property
    def after(self) -> int:
        return self.cursor.seq if self.cursor is not None else 0

    def counts(self, event: StoredEvent) -> bool:
        if self.cursor is not None:
            was_there = event.source == "history" and event.moment < self.cursor.at - JUST_BEFORE
            return not self.cursor.is_past(event.seq) and not was_there
        waited = self.inbox.clock.monotonic() - self.started
        if event.seq <= self.first_seq:
            return event.is_within(JUST_BEFORE + waited, self.inbox.clock.time(), self.inbox.remote_time())
        # What the history shows now may have been there for long: it is as old as it says.
        return event.source == "webhook" or bool(event.age_known and event.age_when_stored <= JUST_BEFORE + waited)


async def wait_for_code(
    inbox: "Inbox",
    history: "History",
    piv_num_id: str,
    *,
    seconds: float,
    progress: Progress,
    cursor: Cursor | None = None,
    confirmed_only: bool = False,
) -> Waited:
    """Wait for a code on a number, at most `seconds`: the first one past `cursor`.

    Without a cursor, a code that arrived within `JUST_BEFORE` counts as well.

    Raises:
        NotFoundError: the account has no such number.
    """
    span = await _Span.begin(inbox, cursor)

    async def codes(*, confirmed_only: bool) -> list[StoredEvent]:
        passed = () if cursor is None else cursor.passed
        found = await inbox.store.read(
            events.codes,
            piv_num_id,
            after=span.after,
            passed=passed,
            confirmed_only=confirmed_only,
            limit=CODES_COUNTED,
        )
        return [event for event in found if span.counts(event)]

    async def query() -> Waited:
        last = await inbox.store.read(events.last_seq)
        found = await codes(confirmed_only=confirmed_only)
        quiet = await inbox.store.read(events.without_code, piv_num_id, after=span.after, limit=WITHOUT_CODE_AT_ONCE)
        quiet = [event for event in quiet if span.counts(event)]
        quiet = newer(quiet, found[0]) if found else quiet
        shown, more = found[:CODES_AT_ONCE], max(0, len(found) - CODES_AT_ONCE)
        # What is not confirmed yet may be confirmed later: the cursor does not pass it.
        came = await codes(confirmed_only=False) if confirmed_only else found
        seqs = {event.seq for event in came}
        if seqs and cursor is not None:
            seqs.update(await inbox.store.read(events.code_ids, piv_num_id, after=cursor.seq))
        look = await inbox.store.read(polls.look, piv_num_id)
        end = Cursor(last, at=int(look.remote_at or span.at))
        where = _beyond(seqs, {event.seq for event in shown}, cursor, end)
        return Waited(shown, where, without_code=quiet, more=more)

    async with history.watched(piv_num_id) as watch:

        async def query_existing_number() -> Waited:
            outcome = await query()
            if not outcome.found and watch.missing is not None:
                raise watch.missing
            return outcome

        return await _wait(inbox, query_existing_number, seconds, progress)


def _beyond(codes: Set[int], shown: Set[int], before: Cursor | None, end: Cursor) -> Cursor:
    """The cursor that passes all that `end` does, but no code that neither this wait nor one before has shown.
    `codes` are the ids of all codes past the cursor `before`."""
    left = {seq for seq in codes - shown if before is None or not before.is_past(seq)}
    known = sorted(codes | {end.seq})
    if not left:
        return Cursor(known[-1], at=end.at)
    at = 0 if before is None else before.at
    stretches = [(is_left, list(stretch)) for is_left, stretch in groupby(known, left.__contains__)]
    passed = [(stretch[0], stretch[-1]) for is_left, stretch in stretches if not is_left and stretch[0] > min(left)]
    if len(passed) > MAX_STRETCHES:
        passed = passed[-MAX_STRETCHES:]
        return Cursor(passed[0][0] - 1, tuple(passed), at)
    return Cursor(min(left) - 1, tuple(passed), at)


def newer(quiet: list[StoredEvent], code: StoredEvent) -> list[StoredEvent]:
    """Those of the messages that are newer than the message with the code, the newest first."""
    ordered = event.newest_first([*quiet, code])
    return ordered[: ordered.index(code)]


async def wait_for_event(
    inbox: "Inbox",
    *,
    types: Sequence[str],
    match: Mapping[str, str],
    seconds: float,
    progress: Progress,
    cursor: Cursor | None = None,
) -> Waited:
    """Wait for events, at most `seconds`: the first of these types past `cursor` whose data has all fields of `match`.

    Without a cursor, events that arrived within `JUST_BEFORE` count as well.
    """
    span = await _Span.begin(inbox, cursor)
    read_through = span.after
    if cursor is None:
        read_through = await inbox.store.read(events.last_before, inbox.clock.time() - JUST_BEFORE)

    async def query() -> Waited:
        nonlocal read_through
        last = await inbox.store.read(events.last_seq)
        found = await inbox.store.read(events.matching, types, match, after=read_through, limit=EVENTS_AT_ONCE)
        full = len(found) == EVENTS_AT_ONCE
        read_through = found[-1].seq if full else max([last, *(event.seq for event in found)])
        return Waited([event for event in found if span.counts(event)], Cursor(read_through, at=span.at))

    return await _wait(inbox, query, seconds, progress)


async def _wait(inbox: "Inbox", query: Callable[[], Awaitable[Waited]], seconds: float, progress: Progress) -> Waited:
    started = inbox.clock.monotonic()
    reported = 0.0
    while True:
        version = inbox.changes.version
        outcome = await query()
        waited = inbox.clock.monotonic() - started
        if outcome.found or waited >= seconds:
            return replace(outcome, seconds=waited)
        if waited - reported >= PROGRESS_SECONDS:
            reported = waited
            await progress(waited, seconds)
        await inbox.changes.wait(version, min(seconds - waited, PROGRESS_SECONDS))
