"""The SQL of the inbox: events in the order in which they were stored.

An SMS has two sources: the webhook (code, no id, no sender) and the SMS history (id and sender, no code). Both are
merged into one row.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Literal, cast

from piv_mcp.api.events import piv_num_ids
from piv_mcp.store import facts
from piv_mcp.store.connection import Connection, Row, Value
from piv_mcp.text.nesting import shallow

SMS_RECEIVED = "sms.received"
SEVERAL_NUMBERS_EVENT = "number.restore_completed"
"""The only event type that can be about several numbers."""

PRUNED_THROUGH = "pruned_through"
"""The name of the fact that holds the highest event id that pruning has reached."""

SAME_SMS_SECONDS = 15 * 60
"""The largest difference between the times that webhook and history give to one SMS, since their clocks differ."""

SAME_EVENT_SECONDS = 60
"""A webhook with equal content and a time within this many seconds is a retry (piv.day retries for half a minute). With
a later time it is a new event: a second restore that fails has the same content as the first."""

COUNTED = 1000
"""Totals are exact up to this number. Counting further would be slow, and an answer shows fifty events at most."""

Source = Literal["webhook", "history"]


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One stored event. Times are seconds since the epoch, UTC."""

    type: str
    source: Source
    arrived_at: float
    payload: str
    seq: int = 0
    subject: str | None = None
    sent_at: float | None = None
    digest: str | None = None
    message_id: str | None = None
    sender: str | None = None
    text: str | None = None
    text_key: str | None = None
    code: str | None = None
    code_source: Literal["api", "text"] | None = None
    problem: str | None = None

    @property
    def confirmed(self) -> bool:
        """Whether the SMS history holds this SMS too. Anybody who knows the webhook address can send a false one."""
        return self.message_id is not None

    @property
    def data(self) -> dict[str, Any]:
        """The `data` of the webhook as received; for a message of the history, the message."""
        payload = json.loads(shallow(self.payload))
        data = payload.get("data") if self.source == "webhook" else payload
        return cast("dict[str, Any]", data) if isinstance(data, dict) else {}

    def matches(self, match: Mapping[str, str]) -> bool:
        """Whether the data has every field of `match`, compared as text. A `piv_num_id` may be in a list of ids."""
        if not match:
            return True
        data = self.data
        return all(
            value in piv_num_ids(data) if name == "piv_num_id" else name in data and _as_text(data[name]) == value
            for name, value in match.items()
        )


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


_COLUMNS = tuple(StoredEvent.__dataclass_fields__)
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM events"  # noqa: S608 - our own column names
_STORED = tuple(name for name in _COLUMNS if name != "seq")

MAX_AT_ONCE = 500
"""Rows in one statement: SQLite allows 32,766 values."""


def digest(type_: str, data: object) -> str:
    """A hash of a webhook's content. The time of the envelope is left out, since a retry may have a new one."""
    text = json.dumps([type_, data], sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def text_key(text: str) -> str:
    """A hash of an SMS's text, equal for webhook and history, which may trim white space differently."""
    return hashlib.sha256(" ".join(text.split()).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def add(connection: Connection, event: StoredEvent) -> tuple[StoredEvent, bool]:
    """Store `event` unless it is already stored. Returns the stored row and whether it is new."""
    known = _duplicate(connection, event)
    if known is not None:
        return known, False
    counterpart = _counterpart(connection, event)
    if counterpart is not None:
        return _merge(connection, counterpart, event), False
    return _insert(connection, [event])[0], True


def add_all(connection: Connection, batch: Sequence[StoredEvent]) -> list[tuple[StoredEvent, bool]]:
    """`add` for several events, in their order.

    Events that no stored row can match are inserted with one statement. A burst has thousands of events, and each
    further statement would wait for the interpreter lock.
    """
    stored: list[tuple[StoredEvent, bool]] = []
    for start in range(0, len(batch), MAX_AT_ONCE):
        part = batch[start : start + MAX_AT_ONCE]
        seen = _stored_keys(connection, part)
        plain: list[StoredEvent] = []
        for event in part:
            keys = _identity_keys(event)
            if seen.isdisjoint(keys):
                seen.update(keys)
                plain.append(event)
            else:
                stored += [(new, True) for new in _insert(connection, plain)]
                plain = []
                stored.append(add(connection, event))
        stored += [(new, True) for new in _insert(connection, plain)]
    return stored


def _identity_keys(event: StoredEvent) -> list[tuple[str | None, str]]:
    """The keys of the event. A stored row can only be the same event if it has one of them."""
    own = (event.subject, event.message_id) if event.source == "history" else ("digest", event.digest)
    text = (event.subject, event.text_key)
    return [(first, second) for first, second in (own, text) if second is not None]


def _stored_keys(connection: Connection, batch: Sequence[StoredEvent]) -> set[tuple[str | None, str]]:
    """The keys of these events that stored rows have."""
    digests = [event.digest for event in batch if event.source == "webhook"]
    messages = [(event.subject, event.message_id) for event in batch if event.source == "history"]
    texts = [(event.subject, event.text_key) for event in batch if event.text_key is not None]
    found: set[tuple[str | None, str]] = set()
    if digests:
        query = f"SELECT 'digest', digest FROM events WHERE digest IN ({', '.join('?' * len(digests))})"  # noqa: S608
        found.update((str(first), str(second)) for first, second in connection.rows(query, digests))
    for column, pairs in (("message_id", messages), ("text_key", texts)):
        if pairs:
            rows = ", ".join(["(?, ?)"] * len(pairs))
            query = (
                f"WITH wanted (a, b) AS (VALUES {rows}) SELECT a, b FROM wanted"  # noqa: S608
                f" WHERE EXISTS (SELECT 1 FROM events WHERE subject = a AND {column} = b)"
            )
            found.update(connection.rows(query, [value for pair in pairs for value in pair]))
    return found


def _insert(connection: Connection, batch: Sequence[StoredEvent]) -> list[StoredEvent]:
    """Insert the events with one statement, and return them with their ids."""
    if not batch:
        return []
    row = f"({', '.join('?' * len(_STORED))})"
    statement = f"INSERT INTO events ({', '.join(_STORED)}) VALUES {', '.join([row] * len(batch))}"  # noqa: S608
    values = [getattr(event, name) for event in batch for name in _STORED]
    # SQLite numbers the rows in their order, but RETURNING may return them in another.
    ids = sorted(int(seq) for (seq,) in connection.rows(f"{statement} RETURNING seq", values))
    return [replace(event, seq=seq) for event, seq in zip(batch, ids, strict=True)]


def _duplicate(connection: Connection, event: StoredEvent) -> StoredEvent | None:
    if event.source == "history":
        return _one(connection, "subject IS ? AND message_id = ? ORDER BY seq DESC", (event.subject, event.message_id))
    # The row of an SMS may have the time of the history instead of the webhook's.
    most_apart = SAME_EVENT_SECONDS if event.text is None else SAME_SMS_SECONDS
    for known in _many(connection, "digest = ? ORDER BY seq DESC LIMIT 20", (event.digest,)):
        if abs(_time_of(known) - _time_of(event)) <= most_apart:
            return known
    return None


def _counterpart(connection: Connection, event: StoredEvent) -> StoredEvent | None:
    """The row of the same SMS from the other source, if it has not been merged yet."""
    if event.text_key is None:
        return None
    missing = "message_id IS NULL" if event.source == "history" else "digest IS NULL"
    candidates = _many(
        connection,
        f"subject IS ? AND text_key = ? AND {missing} ORDER BY seq",
        (event.subject, event.text_key),
    )
    near = [
        (abs(_time_of(known) - _time_of(event)), known.seq, known)
        for known in candidates
        if abs(_time_of(known) - _time_of(event)) <= SAME_SMS_SECONDS
    ]
    return min(near)[2] if near else None


def _merge(connection: Connection, known: StoredEvent, event: StoredEvent) -> StoredEvent:
    if event.source == "history":
        merged = replace(known, message_id=event.message_id, sender=event.sender)
    elif event.code_source == "api":
        merged = replace(known, digest=event.digest, code=event.code, code_source="api")
    else:
        merged = replace(known, digest=event.digest)
    if merged.code != known.code:
        # A caller's cursor may be past this row. The message gets a new id, so that its new code is found.
        connection.execute("DELETE FROM events WHERE seq = ?", (known.seq,))
        return _insert(connection, [merged])[0]
    connection.execute(
        "UPDATE events SET digest = ?, message_id = ?, sender = ?, code = ?, code_source = ? WHERE seq = ?",
        (merged.digest, merged.message_id, merged.sender, merged.code, merged.code_source, merged.seq),
    )
    return merged


def _time_of(event: StoredEvent) -> float:
    return event.arrived_at if event.sent_at is None else event.sent_at


def knows_message(connection: Connection, subject: str, message_ids: Sequence[str]) -> bool:
    """Whether any of these messages of the SMS history is stored."""
    marks = ", ".join("?" * len(message_ids))
    query = f"SELECT 1 FROM events WHERE subject = ? AND message_id IN ({marks}) LIMIT 1"  # noqa: S608
    return next(connection.rows(query, (subject, *message_ids)), None) is not None


def codes(
    connection: Connection,
    subject: str | None,
    *,
    after: int = 0,
    since: float = 0.0,
    confirmed_only: bool = False,
    limit: int = 1,
) -> list[StoredEvent]:
    """Messages with a code, the newest first."""
    where = ["code IS NOT NULL", "arrived_at >= ?", "seq > ?"]
    values: list[Value] = [since, after]
    if subject is not None:
        where.append("subject = ?")
        values.append(subject)
    if confirmed_only:
        where.append("message_id IS NOT NULL")
    return _many(connection, f"{' AND '.join(where)} ORDER BY arrived_at DESC, seq DESC LIMIT ?", (*values, limit))


def last_heard(connection: Connection) -> dict[str, float]:
    """When each number's newest SMS arrived. One indexed query for each number; a single query reads all rows."""
    heard: dict[str, float] = {}
    subject = ""
    query = (
        "SELECT subject, max(arrived_at) FROM events WHERE text IS NOT NULL AND subject > ? GROUP BY subject LIMIT 1"
    )
    while row := next(connection.rows(query, (subject,)), None):
        subject = str(row[0])
        heard[subject] = float(row[1])
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
    where = ["seq > ?"]
    values: list[Value] = [cursor]
    if before is not None:
        where.append("seq < ?")
        values.append(before)
    if types:
        where.append(f"type IN ({', '.join('?' * len(types))})")
        values.extend(types)
    condition, order = " AND ".join(where), "DESC" if newest else "ASC"
    found: list[StoredEvent] = []
    total = 0
    for about, names in _conditions_about(subject):
        total += connection.count(
            f"SELECT count(*) FROM (SELECT 1 FROM events WHERE {condition} AND {about} LIMIT ?)",  # noqa: S608
            (*values, *names, COUNTED),
        )
        found += _many(connection, f"{condition} AND {about} ORDER BY seq {order} LIMIT ?", (*values, *names, limit))
    found.sort(key=lambda event: event.seq, reverse=newest)
    return found[:limit], min(total, COUNTED)


def _conditions_about(subject: str | None) -> list[tuple[str, tuple[str, ...]]]:
    """SQL conditions that together match each event about `subject` once. Each can use an index."""
    if subject is None:
        return [("1", ())]
    # An event about several numbers has no subject; its payload lists them.
    several = f"subject IS NULL AND type = '{SEVERAL_NUMBERS_EVENT}' AND instr(payload, ?)"
    return [("subject = ?", (subject,)), (several, (json.dumps(subject),))]


def all_since(
    connection: Connection, cursor: int, *, types: Sequence[str] = (), arrived: float = 0.0
) -> Iterator[StoredEvent]:
    """Events after `cursor` that arrived at or after the time `arrived`, oldest first, one by one."""
    kinds = f"type IN ({', '.join('?' * len(types))}) AND " if types else ""
    query = f"{_SELECT} WHERE {kinds}seq > ? AND arrived_at >= ? ORDER BY seq"
    for row in connection.rows(query, (*types, cursor, arrived)):
        yield _event(row)


def matching(
    connection: Connection, types: Sequence[str], match: Mapping[str, str], *, after: int, since: float, limit: int
) -> list[StoredEvent]:
    """Events of these types (of any type if there are none) whose data has every field of `match`, oldest first."""
    rows = all_since(connection, after, types=types, arrived=since)
    return list(islice((event for event in rows if event.matches(match)), limit))


def last_seq(connection: Connection) -> int:
    """The highest event id so far, pruned events included: a cursor from which only new events follow."""
    return connection.count("SELECT seq FROM sqlite_sequence WHERE name = 'events'")


def begin_after(connection: Connection, seq: int) -> None:
    """Start the event ids of a new store after `seq`, so that cursors of the previous store are recognised."""
    connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('events', ?)", (seq,))
    facts.put(connection, PRUNED_THROUGH, str(seq))


def pruned_through(connection: Connection) -> int:
    """The id up to which events may have been deleted."""
    return int(facts.number(connection, PRUNED_THROUGH))


def span(connection: Connection) -> tuple[int, int]:
    """(the id up to which events may have been deleted, the highest id)."""
    return pruned_through(connection), last_seq(connection)


def summary(connection: Connection) -> tuple[int, float | None]:
    """(the number of events, when the last one arrived)."""
    count, arrived_at = next(connection.rows("SELECT count(*), max(arrived_at) FROM events"))
    return int(count), None if arrived_at is None else float(arrived_at)


def prune(connection: Connection, *, before: float, keep: int, at_most: int = 5000) -> int:
    """Delete events that arrived before the time `before`, and all but the newest `keep`.

    At most `at_most` in one call, so that no writer waits long. Returns how many were deleted.
    """
    last = last_seq(connection)
    first = connection.count("SELECT min(seq) FROM events")
    if not first:
        return 0
    through = max(first - 1, min(last - keep, first + at_most - 1))
    for seq, arrived_at in connection.rows(
        "SELECT seq, arrived_at FROM events WHERE seq > ? ORDER BY seq LIMIT ?",
        (through, max(0, first + at_most - 1 - through)),
    ):
        if arrived_at >= before:
            break
        through = seq
    deleted = connection.execute("DELETE FROM events WHERE seq <= ?", (through,))
    if deleted:
        facts.put(connection, PRUNED_THROUGH, str(through))
    return deleted


def _one(connection: Connection, condition: str, values: Sequence[Value]) -> StoredEvent | None:
    rows = _many(connection, f"{condition} LIMIT 1", values)
    return rows[0] if rows else None


def _many(connection: Connection, condition: str, values: Sequence[Value]) -> list[StoredEvent]:
    return [_event(row) for row in connection.rows(f"{_SELECT} WHERE {condition}", values)]


def _event(row: Row) -> StoredEvent:
    return StoredEvent(**dict(zip(_COLUMNS, row, strict=True)))


def erase(connection: Connection, subject: str) -> int:
    """Delete the events about a number for good; returns how many there were."""
    return connection.execute("DELETE FROM events WHERE subject = ?", (subject,))
