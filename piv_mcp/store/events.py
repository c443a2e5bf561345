"""The SQL that reads and inserts events, and deletes those that are too old.

What is new is told by `seq`, the order in which this store learnt of it. Which of two messages is newer is told by
times on piv.day's clock. This machine's clock decides neither, as long as piv.day's is known.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice
from operator import attrgetter

from piv_mcp.api.numbers import Sms
from piv_mcp.store import accounts, facts, polls, sight
from piv_mcp.store.connection import Connection, Value
from piv_mcp.store.event import (
    CLOCK_TOLERANCE,
    CREDIBLE_SINCE,
    SMS_RECEIVED,
    TOGETHER_SECONDS,
    StoredEvent,
    newest_first,
)
from piv_mcp.store.rows import FIRST_TIME, LAST_TIME, RowReader, damage

SEVERAL_NUMBERS_EVENT = "number.restore_completed"
"""The only event type that can be about several numbers."""

COUNTED = 1000
"""Totals are exact up to this number. Counting further would be slow, and an answer shows fifty events at most."""

ORDERED_BEYOND = 50
"""How many more rows than asked for are put in order at most: those that came together (`TOGETHER_SECONDS`)."""

FIRST_PAGE, LARGEST_PAGE = 100, 5000
"""Rows that are read at once where nobody knows how many are needed."""

DELETED_AT_ONCE = 500
"""Rows in one statement: SQLite allows 32,766 values."""

COLUMNS = tuple(StoredEvent.__dataclass_fields__)
STORED = tuple(name for name in COLUMNS if name != "seq")
_values: Callable[[StoredEvent], tuple[Value, ...]] = attrgetter(*STORED)
_read = RowReader(StoredEvent)
_SELECT = f"SELECT {', '.join(COLUMNS)} FROM events"  # noqa: S608 - our own column names
_MOMENT = "coalesce(reached_at, sent_at, arrived_at)"
"""`StoredEvent.moment`, as the indexes have it."""
_HAS_CODE = "coalesce(code, link) IS NOT NULL"
"""`StoredEvent.sign_in`, likewise."""


def codes(
    connection: Connection,
    subject: str | None,
    *,
    after: int = 0,
    passed: Sequence[tuple[int, int]] = (),
    confirmed_only: bool = False,
    limit: int = 1,
) -> list[StoredEvent]:
    """Messages with a code, or a sign-in link in place of one, that this store learnt of after `after`, the newest
    first, without those whose ids lie in the stretches `passed` (first and last id)."""
    # `+` keeps SQLite from reading and sorting all codes where the newest are wanted: those are an index's first rows.
    past = "seq > ?" if after else "+seq > ?"
    where = [_HAS_CODE, past, *["seq NOT BETWEEN ? AND ?"] * len(passed)]
    values: list[Value] = [after, *chain.from_iterable(passed)]
    if subject is not None:
        where.append("subject = ?")
        values.append(subject)
    if confirmed_only:
        where.append("message_id IS NOT NULL")
    condition = f"{' AND '.join(where)} ORDER BY {_MOMENT} DESC, seq DESC LIMIT ?"
    return _ordered(connection, condition, values, limit)


def code_ids(connection: Connection, subject: str, *, after: int) -> list[int]:
    """The ids of those of a number."""
    shown, limits = sight.limits(connection)
    query = f"SELECT seq FROM events WHERE subject = ? AND seq > ? AND account = ? AND {_HAS_CODE}{shown}"  # noqa: S608
    return [int(seq) for (seq,) in connection.rows(query, (subject, after, connection.account, *limits))]


def without_code(connection: Connection, subject: str | None, *, limit: int, after: int = 0) -> list[StoredEvent]:
    """Messages with neither that this store learnt of after `after`, the newest first."""
    where = ["type = ?", "code IS NULL", "link IS NULL", "text IS NOT NULL", "seq > ?"]
    values: list[Value] = [SMS_RECEIVED, after]
    if subject is not None:
        where.append("subject = ?")
        values.append(subject)
    condition = f"{' AND '.join(where)} ORDER BY seq DESC LIMIT ?"
    return _ordered(connection, condition, values, limit)


def insert(connection: Connection, batch: Sequence[StoredEvent]) -> list[StoredEvent]:
    """Insert the events with one statement, and return them with their ids."""
    if not batch:
        return []
    row = f"({', '.join('?' * len(STORED))}, ?)"
    statement = f"INSERT INTO events ({', '.join(STORED)}, account) VALUES {', '.join([row] * len(batch))}"  # noqa: S608
    values = [value for event in batch for value in (*_values(event), connection.account)]
    # The rows are numbered in their order, but RETURNING may return them in another.
    ids = sorted(int(seq) for (seq,) in connection.rows(f"{statement} RETURNING seq", values))
    connection.note_events(ids[-1], {event.subject for event in batch})
    return [replace(event, seq=seq) for event, seq in zip(batch, ids, strict=True)]


def unconfirmed(connection: Connection, subject: str, *, limit: int) -> list[StoredEvent]:
    """Messages that only webhooks told, as far as this store knows, the last recorded first."""
    condition = "subject = ? AND message_id IS NULL AND text_key IS NOT NULL ORDER BY seq DESC LIMIT ?"
    return select(connection, condition, (subject, limit))


def last_heard(connection: Connection) -> dict[str, int]:
    """The newest SMS of each number. One indexed query for each number; a single query reads
    all rows."""
    heard: dict[str, int] = {}
    subject = ""
    query = (
        "SELECT subject, seq FROM events WHERE text IS NOT NULL AND account = ?"
        " AND subject = (SELECT subject FROM events WHERE text IS NOT NULL AND subject > ? AND account = ?"
        " ORDER BY subject LIMIT 1) ORDER BY seq DESC LIMIT 1"
    )
    while row := next(connection.rows(query, (connection.account, subject, connection.account)), None):
        if not isinstance(row[0], str) or row[0] <= subject:
            raise damage("an index is not in order")  # it would lead round and round
        subject = row[0]
        heard[subject] = int(row[1])
    return heard


def after(
    connection: Connection,
    cursor: int,
    *,
    before: int | None = None,
    types: Sequence[str] = (),
    subject: str | None = None,
    limit: int = 50,
    newest: bool = False,
) -> tuple[list[StoredEvent], int]:
    """Events after `cursor` (and before `before`) and how many there are, up to `COUNTED`.

    The first `limit` events, oldest first; with `newest` the last ones, newest first.
    """
    where = ["account = ?", "seq > ?"]
    values: list[Value] = [connection.account, cursor]
    if before is not None:
        where.append("seq < ?")
        values.append(before)
    if types:
        where.append(f"type IN ({', '.join('?' * len(types))})")
        values.extend(types)
    condition, order = " AND ".join(where), "DESC" if newest else "ASC"
    shown, limits = sight.limits(connection)
    found: list[StoredEvent] = []
    total = 0
    for about, names in _conditions_about(subject):
        total += connection.count(
            f"SELECT count(*) FROM (SELECT 1 FROM events WHERE {condition} AND {about}{shown} LIMIT ?) AS counted",  # noqa: S608
            (*values, *names, *limits, COUNTED),
        )
        found += select(connection, f"{condition} AND {about} ORDER BY seq {order} LIMIT ?", (*values, *names, limit))
    found.sort(key=lambda event: event.seq, reverse=newest)
    return found[:limit], min(total, COUNTED)


def _conditions_about(subject: str | None) -> list[tuple[str, tuple[str, ...]]]:
    """SQL conditions that together match each event about `subject` once. Each can use an index."""
    if subject is None:
        return [("TRUE", ())]
    # An event about several numbers has no subject; its payload lists them.
    several = f"subject IS NULL AND type = '{SEVERAL_NUMBERS_EVENT}' AND replace(payload, ?, '') <> payload"
    return [("subject = ?", (subject,)), (several, (json.dumps(subject),))]


def all_since(
    connection: Connection, cursor: int, *, types: Sequence[str] = (), arrived: float = 0.0
) -> Iterator[StoredEvent]:
    """Events after `cursor` that arrived at or after the time `arrived`, oldest first, one by one."""
    kinds = f"type IN ({', '.join('?' * len(types))}) AND " if types else ""
    shown, limits = sight.limits(connection)
    query = f"{_SELECT} WHERE {kinds}seq > ? AND arrived_at >= ? AND account = ?{shown} ORDER BY seq LIMIT ?"
    size = FIRST_PAGE
    while True:
        page = list(map(_read, connection.rows(query, (*types, cursor, arrived, connection.account, *limits, size))))
        yield from page
        if len(page) < size:
            return
        cursor, size = page[-1].seq, min(2 * size, LARGEST_PAGE)


def matching(
    connection: Connection,
    types: Sequence[str],
    match: Mapping[str, str],
    *,
    after: int,
    limit: int,
    arrived: float = 0.0,
) -> list[StoredEvent]:
    """Events of these types (of any type if there are none) whose data has every field of `match`, oldest first."""
    rows = all_since(connection, after, types=types, arrived=arrived)
    return list(islice((event for event in rows if event.matches(match)), limit))


def last_seq(connection: Connection) -> int:
    """The highest event id so far, pruned events included: a cursor from which only new events follow. For a viewer
    who is not shown all events, no higher than that of one that is shown: others are not even counted."""
    newest = sight.newest(connection)
    last = connection.last_event()
    return last if newest is None else min(last, max(newest, pruned_through(connection)))


def pruned_through(connection: Connection) -> int:
    """The id up to which events of the account may have been deleted."""
    of_all = facts.number(connection, facts.PRUNED_THROUGH)  # of the times when it was one for all accounts
    return int(max(of_all, facts.own_number(connection, facts.PRUNED_THROUGH)))


def span(connection: Connection) -> tuple[int, int]:
    """(the id up to which events may have been deleted, the highest id)."""
    return pruned_through(connection), connection.last_event()


def summary(connection: Connection) -> tuple[int, float | None]:
    """(the number of the account's events, when the last one arrived)."""
    query = "SELECT count(*), max(arrived_at) FILTER (WHERE arrived_at < ?) FROM events WHERE account = ?"
    count, arrived_at = next(connection.rows(query, (LAST_TIME, connection.account)))
    return int(count), None if arrived_at is None else float(arrived_at)


def newest_times(connection: Connection, count: int) -> list[float]:
    """The times, on piv.day's clock, of the newest webhooks that have one."""
    query = "SELECT sent_at FROM events WHERE source = 'webhook' AND sent_at BETWEEN ? AND ? ORDER BY seq DESC LIMIT ?"
    return [float(at) for (at,) in connection.rows(query, (FIRST_TIME, LAST_TIME, count))]


def last_before(connection: Connection, before: float) -> int:
    """The id of the newest event that was recorded before `before` on this machine's clock; 0 if there is none."""
    return connection.count("SELECT seq FROM events WHERE stored_at < ? ORDER BY seq DESC LIMIT 1", (before,))


def erase(connection: Connection, subject: str, through: float = 0.0, *, now: float = LAST_TIME) -> int:
    """Delete all messages of a number for good, of whatever account. Returns how many there were.

    The SMS history does not bring back what was sent until then, nor until `through` (on piv.day's clock, 0: not known;
    then `now` on this machine's stands in for it). What comes later must be found: a message that says it was sent
    later than can be does not count.
    """

    def newest(time: str, before: float) -> float:
        query = f"SELECT max({time}) FROM events WHERE subject = ? AND text IS NOT NULL AND {time} <= ?"  # noqa: S608
        (at,) = next(connection.rows(query, (subject, before)))
        return float(at or 0.0)

    # The history will show those that have come since the last look. They are not new then.
    connection.execute(
        "UPDATE looks SET total = total + (SELECT count(*) FROM events WHERE subject = number"
        " AND events.account = looks.account AND text IS NOT NULL AND message_id IS NULL AND events.seq > looks.seq)"
        " WHERE number = ?",
        (subject,),
    )
    possible = max(through or now, newest("reached_at", LAST_TIME)) + CLOCK_TOLERANCE
    # A message's own time may be a little ahead.
    latest = f"CASE WHEN sent_at > {_MOMENT} THEN sent_at ELSE {_MOMENT} END"
    erased_at = max(through, newest(latest, possible))
    for account in accounts.known(connection, subject):
        with accounts.acting_for(connection, account):
            polls.note_erased(connection, subject, erased_at)
    return connection.execute("DELETE FROM events WHERE subject = ?", (subject,))


def prune(connection: Connection, *, before: float, remote_before: float | None, keep: int, at_most: int = 5000) -> int:
    """Delete events of the account that came before `before` on this machine's clock and also before `remote_before` on
    piv.day's, and all but the newest `keep`.

    Without `remote_before`, only what is too many is deleted. At most `at_most` in one call, so that no writer waits
    long. Returns how many were deleted.
    """
    mine = (connection.account,)
    first = connection.count("SELECT min(seq) FROM events WHERE account = ?", mine)
    if not first:
        return 0
    deleted = through = 0
    if too_many := min(_too_many(connection, first, keep), at_most):
        nth = "SELECT seq FROM events WHERE account = ? ORDER BY seq LIMIT 1 OFFSET ?"
        through = connection.count(nth, (*mine, too_many - 1))
        deleted = connection.execute("DELETE FROM events WHERE account = ? AND seq <= ?", (*mine, through))
    if remote_before is not None:
        old = [
            event.seq
            for event in select(connection, "seq > ? ORDER BY seq LIMIT ?", (through, max(0, at_most - deleted)))
            if event.recorded_at < before and event.moment < remote_before and not _would_return(event)
        ]
        for start in range(0, len(old), DELETED_AT_ONCE):
            part = old[start : start + DELETED_AT_ONCE]
            deleted += connection.execute(
                f"DELETE FROM events WHERE seq IN ({', '.join('?' * len(part))})",  # noqa: S608
                part,
            )
        through = max([through, *old])
    if deleted:
        facts.put_own(connection, facts.PRUNED_THROUGH, str(max(through, pruned_through(connection))))
    return deleted


def _too_many(connection: Connection, first: int, keep: int) -> int:
    """How many events the account has beyond `keep`. They are counted, which takes a while, only if there can be as
    many: fewer ids than events there cannot be, but a repaired store has left out a million ids."""
    if last_seq(connection) - first < keep:
        return 0
    return max(0, connection.count("SELECT count(*) FROM events WHERE account = ?", (connection.account,)) - keep)


def _would_return(event: StoredEvent) -> bool:
    """Whether the SMS history would bring this message back as a new one, since its time does not say how old it is."""
    if event.source != "history":
        return False
    try:
        sms = Sms.model_validate_json(event.payload)
    except ValueError:  # it is damaged
        return event.sent_at is None
    return sms.received_at is None or sms.received_at.timestamp() < CREDIBLE_SINCE


def _ordered(connection: Connection, condition: str, values: Sequence[Value], limit: int) -> list[StoredEvent]:
    """The first `limit` events, the newest first, of those that meet a condition with an order. No more rows are read
    than can stand among them: each may lie on a page of its own."""
    found: list[StoredEvent] = []
    for event in _selected(connection, condition, (*values, limit + ORDERED_BEYOND)):
        if len(found) >= limit and event.moment < found[limit - 1].moment - TOGETHER_SECONDS:
            break
        found.append(event)
    return newest_first(found)[:limit]


def select(connection: Connection, condition: str, values: Sequence[Value]) -> list[StoredEvent]:
    """The account's events that meet a condition in SQL, which may end with an order and a limit."""
    return list(_selected(connection, condition, values))


def _selected(connection: Connection, condition: str, values: Sequence[Value]) -> Iterator[StoredEvent]:
    shown, limits = sight.limits(connection)
    mine = f"{_SELECT} WHERE account = ?{shown} AND {condition}"
    return map(_read, connection.rows(mine, (connection.account, *limits, *values)))
