"""The SQL of the inbox: events in the order in which they were stored.

An SMS has two sources: the webhook (code, no id, no sender) and the SMS history (id and sender, no code). Both are
merged into one row.

What is new is told by `seq`, the order in which this store learnt of it. What is newer of two messages is told by
`reached_at`, which is on piv.day's clock. This machine's clock decides neither.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import groupby, islice
from typing import Any, Literal, cast

from piv_mcp.api.events import piv_num_ids
from piv_mcp.api.numbers import Sms
from piv_mcp.store import facts, polls, servers
from piv_mcp.store.connection import Connection, Row, Value
from piv_mcp.text.nesting import shallow
from piv_mcp.text.sameness import nearly_same

SMS_RECEIVED = "sms.received"
SEVERAL_NUMBERS_EVENT = "number.restore_completed"
"""The only event type that can be about several numbers."""

PRUNED_THROUGH = "pruned_through"
"""The name of the fact that holds the highest event id that pruning has reached."""

SAME_SMS_SECONDS = 15 * 60
"""The largest difference between the times that webhook and history give to one SMS."""

ZONE_SECONDS = 15 * 60
MAX_ZONES = 14 * 4
ZONE_TOLERANCE = 2.0
"""Or the times differ by a number of quarters of an hour, to within two seconds: one was written in a local time."""

NEAR_SMS_SECONDS = 5 * 60
"""The largest difference between the times of two texts that are one SMS although they are not equal (`sameness`)."""

NEWEST_COMPARED = 30
"""How many of a number's newest messages are compared with a text that no other equals."""

TOGETHER_SECONDS = 5 * 60
"""Messages that reached the account within this time are put in the order of their own times."""

CREDIBLE_SINCE = 1_420_070_400.0
"""2015-01-01. piv.day has sent nothing before."""

LATEST_CREDIBLE = 4_102_444_800.0
"""2100-01-01: the latest credible time while piv.day's own clock is not known."""

CLOCK_TOLERANCE = 120.0
"""A message may be this far ahead of piv.day's clock, or this much older than the look at the history that did not show
it yet: its times come from several machines. A greater difference makes its own time incredible."""

SAME_EVENT_SECONDS = 60
"""A webhook with equal content and a time within this many seconds is a retry (piv.day retries for half a minute). With
a later time it is a new event: a second restore that fails has the same content as the first."""

COUNTED = 1000
"""Totals are exact up to this number. Counting further would be slow, and an answer shows fifty events at most."""

Source = Literal["webhook", "history"]


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One event. Times are seconds since the epoch, UTC.

    `sent_at` is the time that piv.day gives the message; once stored, only if it is credible. `stored_at` is the time
    on this machine's clock at which the event was recorded, and `arrived_at` that at which it reached the account;
    unless `age_known`, that is no more than a guess. `reached_at` is the same on piv.day's clock. Before an event is
    stored, these two are the times on the two clocks; None if piv.day's is not known.
    """

    type: str
    source: Source
    arrived_at: float
    payload: str
    seq: int = 0
    subject: str | None = None
    sent_at: float | None = None
    stored_at: float = 0.0
    reached_at: float | None = None
    age_known: int = 1
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

    @property
    def recorded_at(self) -> float:
        """When it was recorded, or is about to be."""
        return self.stored_at or self.arrived_at

    @property
    def age_when_stored(self) -> float:
        """Seconds. How long before its record the event reached the account, as far as known."""
        return max(0.0, self.stored_at - self.arrived_at)

    def is_within(self, seconds: float, now: float, remote_now: float | None) -> bool:
        """Whether the event reached the account within the last so many seconds, as far as known."""
        if not self.age_known:
            return False
        if remote_now is not None and self.reached_at is not None and self.reached_at <= remote_now + CLOCK_TOLERANCE:
            return remote_now - self.reached_at <= seconds
        return now - self.stored_at >= -facts.SAME_MOMENT_SECONDS and now - self.arrived_at <= seconds

    def age(self, now: float, remote_now: float | None) -> float | None:
        """Seconds since the message was sent, or else since it reached the account; None if that is not known.

        `remote_now` is the time on piv.day's clock, if that is known; `now` is the time on this machine's clock, which
        may have been set since the record.
        """
        if remote_now is not None and self.sent_at is not None:
            return max(0.0, remote_now - self.sent_at)
        if not self.age_known or now < self.stored_at - facts.SAME_MOMENT_SECONDS:
            return None
        return max(0.0, now - self.arrived_at)


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


_COLUMNS = tuple(StoredEvent.__dataclass_fields__)
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM events"  # noqa: S608 - our own column names
_STORED = tuple(name for name in _COLUMNS if name != "seq")

ORDERED_BEYOND = 50
"""How many more rows than asked for are put in order: what came together (`TOGETHER_SECONDS`) stands together."""

_TIME = re.compile(r"\s*\d{4}-\d\d-\d\d[T ]\d\d:\d\d")

MAX_AT_ONCE = 500
"""Rows in one statement: SQLite allows 32,766 values."""


def digest(type_: str, data: object) -> str:
    """A hash of a webhook's content, whatever form its times have. The time of the envelope is left out, since a retry
    may have a new one."""
    text = json.dumps([type_, _canonical(data)], sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _canonical(value: object) -> object:
    if isinstance(value, str) and _TIME.match(value):
        with suppress(ValueError):
            when = datetime.fromisoformat(value.strip())
            return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, dict):
        return {name: _canonical(item) for name, item in cast("dict[str, object]", value).items()}
    if isinstance(value, list):
        return [_canonical(item) for item in cast("list[object]", value)]
    return value


def add(connection: Connection, event: StoredEvent) -> tuple[StoredEvent, bool]:
    """Store `event` unless it is already stored. Returns the stored row and whether it is new."""
    known = _duplicate(connection, event)
    if known is not None:
        if known.code is None and event.code is not None:
            return _recoded(connection, known, replace(known, code=event.code, code_source=event.code_source)), False
        return known, False
    counterpart = _counterpart(connection, event)
    if counterpart is not None:
        return _merge(connection, counterpart, _placed(connection, event)), False
    return _insert(connection, [_placed(connection, event)])[0], True


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
                seen.update(_shown_keys(event))
                plain.append(_placed(connection, event))
            else:
                stored += [(new, True) for new in _insert(connection, plain)]
                plain = []
                stored.append(add(connection, event))
                seen.update(_shown_keys(event))
        stored += [(new, True) for new in _insert(connection, plain)]
    return stored


Received = tuple[StoredEvent, servers.WebhookAddress | None]
"""An event of a webhook, and the address that it was sent to."""


def add_received(connection: Connection, batch: Sequence[Received]) -> list[tuple[StoredEvent, bool]]:
    """`add_all` for events of webhooks: each is stored for the account that its address belongs to."""
    stored: list[tuple[StoredEvent, bool]] = []
    for address, group in groupby(batch, key=lambda received: received[1]):
        with servers.as_owner(connection, address):
            stored += add_all(connection, [event for event, _ in group])
    return stored


_Key = tuple[str, str | None, str]


def _identity_keys(event: StoredEvent) -> list[_Key]:
    """The keys of the event. A stored row can only be the same event if it shows one of them (see `_shown_keys`)."""
    if event.source == "webhook":
        keys: list[_Key] = [("digest", None, event.digest or "")]
        return [*keys, ("history", event.subject, "")] if event.text_key is not None else keys
    keys = [("message", event.subject, event.message_id or "")]
    return [*keys, ("webhook", event.subject, "")] if event.text_key is not None else keys


def _shown_keys(event: StoredEvent) -> list[_Key]:
    """The keys under which the row of this event is found by another event that may be the same."""
    if event.source == "webhook":
        keys: list[_Key] = [("digest", None, event.digest or "")]
        return [*keys, ("webhook", event.subject, "")] if event.text_key is not None else keys
    keys = [("message", event.subject, event.message_id or "")]
    return [*keys, ("history", event.subject, "")] if event.text_key is not None else keys


def _stored_keys(connection: Connection, batch: Sequence[StoredEvent]) -> set[_Key]:
    """The keys of these events that stored rows show."""
    wanted = {key for event in batch for key in _identity_keys(event)}
    found: set[_Key] = set()
    digests = [third for first, _, third in wanted if first == "digest"]
    if digests:
        query = f"SELECT digest FROM events WHERE digest IN ({', '.join('?' * len(digests))}) AND account = ?"  # noqa: S608
        values = [*digests, connection.account]
        found.update(("digest", None, str(value)) for (value,) in connection.rows(query, values))
    messages = [(second, third) for first, second, third in wanted if first == "message"]
    if messages:
        rows = ", ".join(["(?, ?)"] * len(messages))
        query = (
            f"WITH wanted (a, b) AS (VALUES {rows}) SELECT a, b FROM wanted"  # noqa: S608
            " WHERE EXISTS (SELECT 1 FROM events WHERE subject = a AND message_id = b AND account = ?)"
        )
        pairs = [value for pair in messages for value in pair]
        found.update(("message", a, b) for a, b in connection.rows(query, [*pairs, connection.account]))
    for kind, missing in (("history", "digest"), ("webhook", "message_id")):
        subjects = [second for first, second, _ in wanted if first == kind]
        if subjects:
            rows = ", ".join(["(?)"] * len(subjects))
            query = (
                f"WITH wanted (a) AS (VALUES {rows}) SELECT a FROM wanted WHERE EXISTS"  # noqa: S608
                f" (SELECT 1 FROM events WHERE subject IS a AND {missing} IS NULL AND text_key IS NOT NULL"
                " AND account = ?)"
            )
            found.update((kind, a, "") for (a,) in connection.rows(query, [*subjects, connection.account]))
    return found


def _insert(connection: Connection, batch: Sequence[StoredEvent]) -> list[StoredEvent]:
    """Insert the events with one statement, and return them with their ids."""
    if not batch:
        return []
    row = f"({', '.join('?' * len(_STORED))}, ?)"
    statement = f"INSERT INTO events ({', '.join(_STORED)}, account) VALUES {', '.join([row] * len(batch))}"  # noqa: S608
    values = [value for event in batch for value in (*(getattr(event, name) for name in _STORED), connection.account)]
    # SQLite numbers the rows in their order, but RETURNING may return them in another.
    ids = sorted(int(seq) for (seq,) in connection.rows(f"{statement} RETURNING seq", values))
    return [replace(event, seq=seq) for event, seq in zip(batch, ids, strict=True)]


# --- when an event reached the account


def _placed(connection: Connection, event: StoredEvent) -> StoredEvent:
    """The event with the times that are known of it.

    A webhook reaches the account when it comes. A message that the history shows is as old as it says on piv.day's own
    clock, and not older than the last look that did not show it yet: what says otherwise has no credible time.
    """
    now, remote_now, sent_at = event.recorded_at, event.reached_at, event.sent_at
    latest = LATEST_CREDIBLE if remote_now is None else remote_now + CLOCK_TOLERANCE
    if sent_at is not None and not CREDIBLE_SINCE <= sent_at <= latest:
        sent_at = None
    age, age_known = 0.0, True
    if event.source == "history" and event.subject is not None:
        most = polls.look(connection, event.subject).seconds_since(now, remote_now)
        if sent_at is not None and remote_now is not None:
            age = max(0.0, remote_now - sent_at)
            if most is not None and age > most:
                sent_at = sent_at if age <= most + CLOCK_TOLERANCE else None
                age = most
        else:
            age, age_known = most or 0.0, most is not None
    reached_at = sent_at if remote_now is None else remote_now - age
    if reached_at is None:
        reached_at = _last_reached_at(connection)
    return replace(
        event,
        sent_at=sent_at,
        stored_at=now,
        arrived_at=now - age,
        reached_at=reached_at,
        age_known=int(age_known),
    )


def _last_reached_at(connection: Connection) -> float:
    """Of the newest row: the best guess for an event without any time on piv.day's clock."""
    row = next(connection.rows("SELECT reached_at FROM events ORDER BY seq DESC LIMIT 1"), None)
    return float(row[0] or 0.0) if row else 0.0


# --- whether two are one event


def _duplicate(connection: Connection, event: StoredEvent) -> StoredEvent | None:
    """The row that this source has already given."""
    if event.source == "history":
        condition = "subject IS ? AND message_id = ? ORDER BY seq DESC LIMIT 20"
        for known in _many(connection, condition, (event.subject, event.message_id)):
            if _is_same_text(known, event) and (event.message_id or _apart(known, event) <= 1.0):
                return known
        return None
    # The row of an SMS may have the time of the history instead of the webhook's.
    most_apart = SAME_EVENT_SECONDS if event.text is None else SAME_SMS_SECONDS
    for known in _many(connection, "digest = ? ORDER BY seq DESC LIMIT 20", (event.digest,)):
        if _apart(known, event) <= most_apart:
            return known
    return None


def _counterpart(connection: Connection, event: StoredEvent) -> StoredEvent | None:
    """The row of the same SMS from the other source, if it has not been merged yet: that which is nearest in time."""
    if event.text_key is None:
        return None
    missing = "message_id IS NULL" if event.source == "history" else "digest IS NULL AND message_id IS NOT NULL"
    equal = f"subject IS ? AND text_key = ? AND {missing}"
    values: tuple[Value, ...] = (event.subject, event.text_key)
    found = _many(connection, f"{equal} ORDER BY seq DESC LIMIT {NEWEST_COMPARED}", values)
    if event.sent_at is not None and len(found) == NEWEST_COMPARED:  # of many equal texts also those near in time
        for comparison, order in ((">=", "ASC"), ("<", "DESC")):
            near = f"{equal} AND sent_at {comparison} ? ORDER BY sent_at {order} LIMIT 1"
            found += _many(connection, near, (*values, event.sent_at))
    last_look = polls.look(connection, event.subject) if event.subject is not None else polls.Look()
    same = [known for known in found if _is_same_time(known, event, last_look)]
    if not same:
        newest = f"SELECT seq FROM events WHERE subject IS ? ORDER BY seq DESC LIMIT {NEWEST_COMPARED}"  # noqa: S608
        same = [
            known
            for known in _many(
                connection, f"seq IN ({newest}) AND text_key IS NOT NULL AND {missing}", (event.subject,)
            )
            if _apart(known, event) <= NEAR_SMS_SECONDS and _is_same_text(known, event)
        ]
    return min(same, key=lambda known: (_apart(known, event), known.seq), default=None)


def _is_same_text(known: StoredEvent, event: StoredEvent) -> bool:
    if known.text_key == event.text_key:
        return True
    return known.text is not None and event.text is not None and nearly_same(known.text, event.text)


def _is_same_time(known: StoredEvent, event: StoredEvent, last_look: polls.Look) -> bool:
    """Whether two equal texts of the two sources are one message: their times are near, or differ by a time zone, or
    both came since the last look at the history."""
    apart = _apart(known, event)
    if apart <= SAME_SMS_SECONDS:
        return True
    zones = round(apart / ZONE_SECONDS)
    if zones <= MAX_ZONES and abs(apart - zones * ZONE_SECONDS) <= ZONE_TOLERANCE:
        return True
    if event.source == "history":
        return last_look.was_made and known.seq > last_look.seq
    return abs(known.recorded_at - event.recorded_at) <= NEAR_SMS_SECONDS and known.age_when_stored <= NEAR_SMS_SECONDS


def _apart(known: StoredEvent, event: StoredEvent) -> float:
    """Seconds between two events: by their own times if both have one, else by this machine's clock."""
    if known.sent_at is not None and event.sent_at is not None:
        return abs(known.sent_at - event.sent_at)
    return abs(known.recorded_at - event.recorded_at)


def _merge(connection: Connection, known: StoredEvent, event: StoredEvent) -> StoredEvent:
    """The row of both sources: with the sender of the history, the code of the API, and the better of two texts."""
    history, webhook = (event, known) if event.source == "history" else (known, event)
    merged = replace(
        known,
        digest=webhook.digest,
        message_id=history.message_id,
        sender=history.sender,
        sent_at=webhook.sent_at if history.sent_at is None else history.sent_at,
    )
    if event.code_source == "api" or known.code is None:
        merged = replace(merged, code=event.code, code_source=event.code_source)
    if known.text_key != event.text_key and _damage(event.text) < _damage(known.text):
        merged = replace(merged, text=event.text, text_key=event.text_key)
        if merged.code_source == "text" and event.code is not None:
            merged = replace(merged, code=event.code)
    return _recoded(connection, known, merged)


def _recoded(connection: Connection, known: StoredEvent, changed: StoredEvent) -> StoredEvent:
    """Put `changed` in the place of `known`. A caller's cursor may be past this row: with another code it gets a new
    id, so that the code is found."""
    if changed.code != known.code:
        connection.execute("DELETE FROM events WHERE seq = ?", (known.seq,))
        return _insert(connection, [changed])[0]
    columns = ("digest", "message_id", "sender", "sent_at", "text", "text_key", "code_source")
    assignments = ", ".join(f"{name} = ?" for name in columns)
    values = [getattr(changed, name) for name in columns]
    connection.execute(f"UPDATE events SET {assignments} WHERE seq = ?", (*values, changed.seq))  # noqa: S608
    return changed


def _damage(text: str | None) -> tuple[int, int]:
    """How much is lost of a text: replaced characters, then what is cut off."""
    return (text.count("\ufffd") + text.count("?"), -len(text)) if text is not None else (0, 0)


# --- reading


def knows(connection: Connection, message: StoredEvent) -> bool:
    """Whether this message of the SMS history is stored."""
    return _duplicate(connection, message) is not None


def count_known(connection: Connection, messages: Sequence[StoredEvent]) -> int:
    """How many of these messages of the SMS history are stored."""
    return sum(knows(connection, message) for message in messages)


def newest_first(found: Sequence[StoredEvent]) -> list[StoredEvent]:
    """The events in the order in which they reached the account, the newest first. Those that came together are in the
    order of their own times: a webhook that is tried again comes after a newer one."""
    ordered: list[StoredEvent] = []
    waiting = sorted(found, key=lambda event: (event.reached_at or 0.0, event.seq), reverse=True)
    while waiting:
        since = (waiting[0].reached_at or 0.0) - TOGETHER_SECONDS
        together = [event for event in waiting if (event.reached_at or 0.0) >= since]
        ordered += sorted(together, key=_own_time, reverse=True)
        waiting = waiting[len(together) :]
    return ordered


def _own_time(event: StoredEvent) -> tuple[int, float, int]:
    return event.age_known, (event.reached_at or 0.0) if event.sent_at is None else event.sent_at, event.seq


def codes(
    connection: Connection,
    subject: str | None,
    *,
    after: int = 0,
    confirmed_only: bool = False,
    limit: int = 1,
) -> list[StoredEvent]:
    """Messages with a code that this store learnt of after `after`, the newest first."""
    where = ["account = ?", "code IS NOT NULL", "seq > ?"]
    values: list[Value] = [connection.account, after]
    if subject is not None:
        where.append("subject = ?")
        values.append(subject)
    if confirmed_only:
        where.append("message_id IS NOT NULL")
    condition = f"{' AND '.join(where)} ORDER BY reached_at DESC, seq DESC LIMIT ?"
    return newest_first(_many(connection, condition, (*values, limit + ORDERED_BEYOND)))[:limit]


def without_code(connection: Connection, subject: str | None, *, limit: int, after: int = 0) -> list[StoredEvent]:
    """Messages without a code that this store learnt of after `after`, the newest first."""
    where = ["account = ?", "type = ?", "code IS NULL", "text IS NOT NULL", "seq > ?"]
    values: list[Value] = [connection.account, SMS_RECEIVED, after]
    if subject is not None:
        where.append("subject = ?")
        values.append(subject)
    condition = f"{' AND '.join(where)} ORDER BY seq DESC LIMIT ?"
    return newest_first(_many(connection, condition, (*values, limit + ORDERED_BEYOND)))[:limit]


def last_heard(connection: Connection) -> dict[str, float]:
    """When each number's newest SMS came, on piv.day's clock. One indexed query for each number; a single query reads
    all rows."""
    heard: dict[str, float] = {}
    subject = ""
    query = (
        "SELECT subject, max(reached_at) FROM events WHERE text IS NOT NULL AND subject > ? GROUP BY subject LIMIT 1"
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
    where = ["account = ?", "seq > ?"]
    values: list[Value] = [connection.account, cursor]
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
    query = f"{_SELECT} WHERE {kinds}seq > ? AND arrived_at >= ? AND account = ? ORDER BY seq"
    for row in connection.rows(query, (*types, cursor, arrived, connection.account)):
        yield _event(row)


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
    """(the number of the account's events, when the last one arrived)."""
    query = "SELECT count(*), max(arrived_at) FROM events WHERE account = ?"
    count, arrived_at = next(connection.rows(query, (connection.account,)))
    return int(count), None if arrived_at is None else float(arrived_at)


def newest_times(connection: Connection, count: int) -> list[float]:
    """The times, on piv.day's clock, of the newest webhooks that have one."""
    query = "SELECT sent_at FROM events WHERE source = 'webhook' AND sent_at IS NOT NULL ORDER BY seq DESC LIMIT ?"
    return [float(at) for (at,) in connection.rows(query, (count,))]


def last_before(connection: Connection, before: float) -> int:
    """The id of the newest event that was recorded before `before` on this machine's clock; 0 if there is none."""
    for seq, stored_at in connection.rows("SELECT seq, stored_at FROM events ORDER BY seq DESC"):
        if stored_at < before:
            return int(seq)
    return 0


def erase(connection: Connection, subject: str) -> int:
    """Delete all messages of a number for good: the SMS history does not bring them back. Returns how many."""
    newest = next(
        connection.rows(
            "SELECT max(coalesce(sent_at, reached_at)) FROM events WHERE subject = ? AND text IS NOT NULL", (subject,)
        )
    )[0]
    polls.note_erased(connection, subject, float(newest or 0.0))
    return connection.execute("DELETE FROM events WHERE subject = ? AND account = ?", (subject, connection.account))


def prune(connection: Connection, *, before: float, remote_before: float | None, keep: int, at_most: int = 5000) -> int:
    """Delete events that came before `before` on this machine's clock and also before `remote_before` on piv.day's, and
    all but the newest `keep`.

    Without `remote_before`, only what is too many is deleted. At most `at_most` in one call, so that no writer waits
    long. Returns how many were deleted.
    """
    last = last_seq(connection)
    first = connection.count("SELECT min(seq) FROM events")
    if not first:
        return 0
    too_many = min(last - keep, first + at_most - 1)
    deleted = connection.execute("DELETE FROM events WHERE seq <= ?", (too_many,)) if too_many >= first else 0
    through = too_many if deleted else 0
    if remote_before is not None:
        old = [
            event.seq
            for event in _many(connection, "seq > ? ORDER BY seq LIMIT ?", (through, max(0, at_most - deleted)))
            if event.stored_at < before and (event.reached_at or 0.0) < remote_before and not _would_return(event)
        ]
        for start in range(0, len(old), MAX_AT_ONCE):
            part = old[start : start + MAX_AT_ONCE]
            deleted += connection.execute(
                f"DELETE FROM events WHERE seq IN ({', '.join('?' * len(part))})",  # noqa: S608
                part,
            )
        through = max([through, *old])
    if deleted:
        facts.put(connection, PRUNED_THROUGH, str(max(through, pruned_through(connection))))
    return deleted


def _would_return(event: StoredEvent) -> bool:
    """Whether the SMS history would bring this message back as a new one, since its time does not say how old it is."""
    if event.message_id is None or event.sent_at is not None or event.source != "history":
        return False
    sms = Sms.model_validate_json(event.payload)
    return sms.received_at is None or sms.received_at.timestamp() < CREDIBLE_SINCE


def _many(connection: Connection, condition: str, values: Sequence[Value]) -> list[StoredEvent]:
    """The account's events that meet the condition, which may end with an order and a limit."""
    mine = f"{_SELECT} WHERE account = ? AND {condition}"
    return [_event(row) for row in connection.rows(mine, (connection.account, *values))]


def _event(row: Row) -> StoredEvent:
    return StoredEvent(**dict(zip(_COLUMNS, row, strict=True)))
