"""Waiting for a code or an event, without missing one that arrives between two waits.

Every wait returns a cursor. The next wait continues from it.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING

from piv_mcp.inbox.cursor import Cursor
from piv_mcp.inbox.measuring import counted, note_answer
from piv_mcp.inbox.wanted import Wanted
from piv_mcp.store import Connection, event, events, polls
from piv_mcp.store.event import StoredEvent
from piv_mcp.store.polls import Look
from piv_mcp.store.sight import refuse_leased
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

LOOKED_BACK = 100
"""So many events a wait without a cursor looks back at least: this machine's clock may have been set meanwhile."""

WITHOUT_CODE_AT_ONCE = 3
"""Maximum number of messages without a code that one wait returns."""

CODES_COUNTED = 50
"""Codes are counted up to this number."""

SEARCHED = 200
"""So many of the newest codes are looked through for those of a sender or with some words: at every commit. The cursor
does not pass the others."""

QUIET_SEARCHED = 100
"""So many of the newest messages without a code."""

ANY = Wanted()

MAX_STRETCHES = 40
"""Maximum number of stretches in a cursor, which a model must copy. It passes what lies before the newest of them."""

Progress = Callable[[float, float], Awaitable[None]]
"""Called with (seconds waited, maximum seconds to wait)."""


@dataclass(frozen=True, slots=True)
class Waited:
    """The outcome of a wait: codes (or sign-in links) with the newest first, events with the oldest first, or nothing
    after a time-out.

    `without_code` are the messages in which no code was recognised, the newest first: of a wait that found codes those
    that are newer; `more_without_code` tells that there are others. `more` is how many codes came that are not in
    `found`: the cursor does not pass them. `unconfirmed` is how many came that it leaves until the history has them.
    `earlier` is how many are left out, and passed: those of the first look at a history that came before the given
    cursor, and, without one, events that came late. `cursor` is for the next wait; `seconds` is how long this one took.
    """

    found: list[StoredEvent]
    cursor: Cursor
    seconds: float = 0.0
    without_code: list[StoredEvent] = field(default_factory=list[StoredEvent])
    more_without_code: bool = False
    more: int = 0
    unconfirmed: int = 0
    earlier: int = 0

    @property
    def is_cut(self) -> bool:
        """Whether there may be more codes than were counted."""
        return len(self.found) + self.more >= CODES_COUNTED


@dataclass(frozen=True, slots=True)
class _Span:
    """What a wait counts: with a cursor everything past it, else what has come since `JUST_BEFORE` its beginning."""

    inbox: "Inbox"
    start: Cursor
    """The cursor; without one, it is past nothing, and its `at` is when the wait began."""
    is_continued: bool
    """Whether there is a cursor."""
    started: float
    last: int
    """The newest event when the wait began."""
    read_through: int
    """No event up to this one counts."""

    @classmethod
    async def begin(cls, inbox: "Inbox", cursor: Cursor | None) -> "_Span":
        start = cursor if cursor is not None else Cursor(0, at=int(inbox.remote_time() or 0))
        last, read_through = await inbox.shown.read(events.last_seq), start.seq
        if cursor is None:
            before = await inbox.shown.read(events.last_before, inbox.clock.time() - JUST_BEFORE)
            read_through = max(0, min(before, last - LOOKED_BACK))
        return cls(inbox, start, cursor is not None, inbox.clock.monotonic(), last, read_through)

    def counts(self, event: StoredEvent, look: Look) -> bool:
        """`look` is the last one at the history of the event's number."""
        if self.is_continued:
            return not self.start.is_past(event.seq) and not self.was_there(event, look)
        seconds = JUST_BEFORE + self.inbox.clock.monotonic() - self.started
        now = self.inbox.clock.time()
        is_recent = event.is_within(seconds, now, self.inbox.remote_time())
        if event.seq <= self.last:
            return is_recent
        # What the history shows now may have been there for long, and a message that was there may have got a new id:
        # it is as old as it says. One of the two clocks may have been set since it came.
        if event.source == "history" and not (event.age_known and event.age_when_stored <= seconds):
            return False
        return is_recent or now - event.arrived_at <= seconds

    def counts_by_its_own_time(self, event: StoredEvent) -> bool:
        """Whether a wait without a cursor takes the event for one of now: a webhook may be tried again hours later."""
        remote_now = self.inbox.remote_time()
        if self.is_continued or remote_now is None or event.sent_at is None:
            return True
        waited = self.inbox.clock.monotonic() - self.started
        return remote_now - event.sent_at <= JUST_BEFORE + waited

    def was_there(self, event: StoredEvent, look: Look) -> bool:
        """Whether the first look at a history brought a message that came before the cursor. Of all other messages
        their ids alone tell that they are new: their histories had been looked at before."""
        is_first = event.source == "history" and look.first_brought(event.seq)
        return self.is_continued and is_first and event.moment < self.start.at - JUST_BEFORE


@dataclass(frozen=True, slots=True)
class _Sight:
    """What the store holds of a number past a cursor, all at the same moment: a look that ends while a wait reads must
    not move its cursor past what it has not read. `wanted` are those of the codes that are waited for; `code_ids` are
    those of all codes past the cursor, also beyond those that were read."""

    last: int
    look: Look
    codes: list[StoredEvent]
    wanted: list[StoredEvent]
    code_ids: list[int]
    quiet: list[StoredEvent]

    @classmethod
    def past(cls, connection: Connection, piv_num_id: str, span: _Span, wanted: Wanted) -> "_Sight":
        refuse_leased(connection, piv_num_id)
        after, passed = span.start.seq, span.start.passed
        most, most_quiet = CODES_COUNTED, WITHOUT_CODE_AT_ONCE + 1
        if wanted.is_narrow:
            after, most, most_quiet = span.read_through, SEARCHED, QUIET_SEARCHED

        def read(*, confirmed_only: bool = False) -> list[StoredEvent]:
            return events.codes(
                connection, piv_num_id, after=after, passed=passed, confirmed_only=confirmed_only, limit=most
            )

        codes = read()
        taken = read(confirmed_only=True) if wanted.must_be_confirmed else codes
        quiet = events.without_code(connection, piv_num_id, after=after, limit=most_quiet)
        return cls(
            events.last_seq(connection),
            polls.look(connection, piv_num_id),
            codes,
            list(filter(wanted.takes, taken))[:CODES_COUNTED],
            events.code_ids(connection, piv_num_id, after=after) if span.is_continued else [],
            list(filter(wanted.may_take, quiet)),
        )


@counted("code")
async def wait_for_code(
    inbox: "Inbox",
    history: "History",
    piv_num_id: str,
    *,
    seconds: float,
    progress: Progress,
    cursor: Cursor | None = None,
    wanted: Wanted = ANY,
) -> Waited:
    """Wait for a code on a number, at most `seconds`: the first one past `cursor` that is `wanted`.

    Without a cursor, a code that arrived within `JUST_BEFORE` counts as well. What the store has is returned at once;
    the history is asked only while there is nothing.

    Raises:
        NotFoundError: the account has no such number.
        NumberLeasedError: another agent has it for itself alone, or has got it meanwhile.
    """
    span = await _Span.begin(inbox, cursor)

    async def query() -> Waited:
        sight = await inbox.shown.read(_Sight.past, piv_num_id, span, wanted)
        look = sight.look
        found = [event for event in sight.wanted if span.counts(event, look)]
        quiet = [event for event in sight.quiet if span.counts(event, look)]
        quiet = newer(quiet, found[0]) if found else quiet
        shown, more = found[:CODES_AT_ONCE], max(0, len(found) - CODES_AT_ONCE)
        # What is not confirmed yet may be wanted once it is: the cursor does not pass it.
        counted = [event for event in sight.codes if span.counts(event, look)]
        came = {event.seq for event in [*counted, *found]}
        old = {event.seq for event in sight.codes} - came
        done = {event.seq for event in [*shown, *filter(wanted.refuses, counted)]}
        codes = came | set(sight.code_ids) if came else came
        # Without a look that has ended, this wait has looked at no more than the one before.
        end = Cursor(sight.last, at=int(look.remote_at or span.start.at))
        return Waited(
            shown,
            _beyond(codes, old | done, span.start, end),
            without_code=quiet[:WITHOUT_CODE_AT_ONCE],
            more_without_code=len(quiet) > WITHOUT_CODE_AT_ONCE,
            more=more,
            unconfirmed=sum(map(wanted.awaits, counted)),
            earlier=sum(span.was_there(event, look) for event in filter(wanted.may_take, sight.codes)),
        )

    if (at_once := await query()).found:
        return at_once
    async with history.watched(piv_num_id) as watch:

        async def query_existing_number() -> Waited:
            outcome = await query()
            if not outcome.found and watch.missing is not None:
                raise watch.missing
            return outcome

        return await _wait(inbox, query_existing_number, seconds, progress, piv_num_id)


def _beyond(codes: Set[int], done: Set[int], start: Cursor, end: Cursor) -> Cursor:
    """The cursor that passes all that `end` does, but none of the codes past `start` that are not `done`. While one is
    left, it keeps the time of `start`: by a later one, that code could count as old."""
    left = {seq for seq in codes - done if not start.is_past(seq)}
    known = sorted(codes | done | {end.seq})
    if not left:
        return Cursor(known[-1], at=end.at)
    stretches = [(is_left, list(stretch)) for is_left, stretch in groupby(known, left.__contains__)]
    passed = [(stretch[0], stretch[-1]) for is_left, stretch in stretches if not is_left and stretch[0] > min(left)]
    if len(passed) > MAX_STRETCHES:
        passed = passed[-MAX_STRETCHES:]
        return Cursor(passed[0][0] - 1, tuple(passed), start.at)
    return Cursor(min(left) - 1, tuple(passed), start.at)


def newer(quiet: list[StoredEvent], code: StoredEvent) -> list[StoredEvent]:
    """Those of the messages that are newer than the message with the code, the newest first."""
    ordered = event.newest_first([*quiet, code])
    return ordered[: ordered.index(code)]


@counted("event")
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

    Raises:
        NumberLeasedError: another agent has the number that is named for itself alone.
    """
    span = await _Span.begin(inbox, cursor)
    read_through = span.read_through
    old = 0

    async def query() -> Waited:
        nonlocal read_through, old
        while True:
            last, found, looks = await inbox.shown.read(_events_past, read_through, types, match)
            full = len(found) == EVENTS_AT_ONCE
            read_through = found[-1].seq if full else last
            counted = [event for event in found if span.counts(event, looks.get(event.subject or "", Look()))]
            own = [event for event in counted if span.counts_by_its_own_time(event)]
            old += len(counted) - len(own)
            if own or not full:  # else the one that is waited for may stand behind these
                return Waited(own, Cursor(read_through, at=span.start.at), earlier=old)

    return await _wait(inbox, query, seconds, progress)


def _events_past(
    connection: Connection, seq: int, types: Sequence[str], match: Mapping[str, str]
) -> tuple[int, list[StoredEvent], dict[str, Look]]:
    """(the newest event, the next ones that match, the last looks at the histories that some are from)."""
    refuse_leased(connection, match.get("piv_num_id"))
    found = events.matching(connection, types, match, after=seq, limit=EVENTS_AT_ONCE)
    numbers = {event.subject for event in found if event.source == "history" and event.subject is not None}
    return events.last_seq(connection), found, polls.looks(connection, sorted(numbers))


async def _wait(
    inbox: "Inbox",
    query: Callable[[], Awaitable[Waited]],
    seconds: float,
    progress: Progress,
    subject: str | None = None,
) -> Waited:
    """Query until something is found, again whenever something was committed about the subject (None: about any)."""
    started = inbox.clock.monotonic()
    reported = 0.0
    looks = 0
    while True:
        version = inbox.changes.version_of(subject)
        outcome = await query()
        looks += 1
        waited = inbox.clock.monotonic() - started
        if looks > 1:
            note_answer(outcome.found, inbox.clock)
        if outcome.found or waited >= seconds or inbox.changes.stopping:
            return replace(outcome, seconds=waited)
        if waited - reported >= PROGRESS_SECONDS:
            reported = waited
            await progress(waited, seconds)
        await inbox.changes.wait(version, min(seconds - waited, PROGRESS_SECONDS), subject)
