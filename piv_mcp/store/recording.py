"""The SQL that stores events. An SMS has two sources: the webhook (code, no id, no sender) and the SMS history (id and
sender, no code). Both are merged into one row, also where a text was damaged or a time is wrong.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import groupby

from piv_mcp.api.events import SmsReceived
from piv_mcp.store import asked, keys, merging, polls, servers
from piv_mcp.store.connection import Connection, equals
from piv_mcp.store.event import CLOCK_TOLERANCE, CREDIBLE_SINCE, TIMED, Source, StoredEvent
from piv_mcp.store.events import STORED, insert, select

ZONE_SECONDS = 15 * 60
MAX_ZONES = 26 * 4
ZONE_TOLERANCE = 2.0
"""Or the times differ by a number of quarters of an hour, to within two seconds: one was written in a local time, or
with the date of another place."""

NEAR_SMS_SECONDS = 5 * 60
"""The largest difference between the times of two texts that are one SMS although they are not equal (`sameness`)."""

NEWEST_COMPARED = 30
"""How many of a number's newest messages are compared with a text that no other equals."""

SAME_CODE_SECONDS = 60
"""The largest difference between the times of two messages with one code that are one message although their texts are
not the same at all: the webhook's is empty, or one source writes it in another way."""

SAME_EVENT_SECONDS = 60
"""A webhook with equal content and a time within this many seconds is a retry (piv.day retries for half a minute). With
a later time it is a new event: a second restore that fails has the same content as the first."""

SAME_TIME_SECONDS = 1.0
"""The times of a webhook and its retry are less than this apart: one may be rounded."""

AHEAD_SECONDS = 3600.0
LATEST_CREDIBLE = 4_102_444_800.0
"""While piv.day's own clock is not known, a credible time is this far ahead of this machine's clock at most; if that
was never set, not after 2099."""

MAX_AT_ONCE = 500
"""Rows in one statement: SQLite allows 32,766 values."""


def add(connection: Connection, event: StoredEvent, *, as_dated: bool = False) -> tuple[StoredEvent, bool]:
    """Store `event` unless it is already stored. Returns the stored row and whether it is new. `as_dated`: see
    `add_all`."""
    known = _duplicate(connection, event)
    if known is not None:
        if merging.is_fuller(event, known):
            return _grow(connection, known, event), False
        if known.code is None and event.code is not None:
            return _recoded(connection, known, merging.coded_as(known, event)), False
        return known, False
    placed = _placed(connection, event, as_dated=as_dated)
    counterpart = counterpart_of(connection, placed)
    if counterpart is not None:
        return _recoded(connection, counterpart, merging.merged(counterpart, placed)), False
    if event.source == "webhook" and (found := asked.join(connection, placed)) is not None:
        return found, False
    return insert(connection, [placed])[0], True


def add_all(
    connection: Connection, batch: Sequence[StoredEvent], *, as_dated: bool = False
) -> list[tuple[StoredEvent, bool]]:
    """`add` for several events, in their order; of the history, those first that belong to a webhook.

    `as_dated`: these messages of the history may have been there at the last look, so that they are as old as they say,
    and one that is stored may have got a new id.

    Events that no stored row can match are inserted with one statement. A burst has thousands of events, and each
    further statement would wait for the interpreter lock.
    """
    stored: list[tuple[StoredEvent, bool]] = []
    if as_dated:
        _take_new_ids(connection, batch)
    for start in range(0, len(batch), MAX_AT_ONCE):
        part = batch[start : start + MAX_AT_ONCE]
        seen = keys.stored_keys(connection, part)
        plain: list[StoredEvent] = []
        for event in _nearest_first(connection, part, seen, as_dated=as_dated):
            if seen.isdisjoint(keys.identity_keys(event)):
                seen.update(keys.shown_keys(event))
                plain.append(_placed(connection, event, as_dated=as_dated))
            else:
                stored += [(new, True) for new in insert(connection, plain)]
                plain = []
                stored.append(add(connection, event, as_dated=as_dated))
                seen.update(keys.shown_keys(event))
        stored += [(new, True) for new in insert(connection, plain)]
    return stored


def put_back(connection: Connection, event: StoredEvent) -> bool:
    """Store an event that another file has stored, with the times that it has there. Returns whether it was missing."""
    if event.asked_since is not None and event.digest is None:
        return asked.record(connection, event)[1]
    names: tuple[tuple[Source, str | None], ...] = (("webhook", event.digest), ("history", event.message_id))
    if any(name is not None and _duplicate(connection, replace(event, source=source)) for source, name in names):
        return False
    counterpart = None if event.digest and event.message_id else counterpart_of(connection, event)
    if counterpart is not None:
        _recoded(connection, counterpart, merging.merged(counterpart, event))
    else:
        insert(connection, [event])
    return True


Received = tuple[StoredEvent, servers.WebhookAddress | None]
"""An event of a webhook, and the address that it was sent to."""


def add_received(connection: Connection, come: Callable[[], Sequence[Received]]) -> list[tuple[StoredEvent, bool]]:
    """`add_all` for the events of webhooks that have come when the transaction has begun: each is stored for the
    account that its address belongs to. An SMS that was erased is not stored again."""
    stored: list[tuple[StoredEvent, bool]] = []
    for address, group in groupby(come(), key=lambda received: received[1]):
        with servers.as_owner(connection, address):
            events = [event for event, _ in group]
            erased = polls.erased(connection, {event.subject for event in events if event.subject is not None})
            for is_gone, part in groupby(events, key=partial(_was_erased, erased)):
                some = list(part)
                stored += [(event, False) for event in some] if is_gone else add_all(connection, some)
    return stored


def _was_erased(erased: Mapping[str, float], event: StoredEvent) -> bool:
    """Whether a webhook's SMS says that it is from before its number's messages were erased."""
    if event.subject is None or event.text_key is None or event.sent_at is None:
        return False
    return event.sent_at <= erased.get(event.subject, 0.0)


def _nearest_first(
    connection: Connection, part: Sequence[StoredEvent], seen: "set[keys.Key]", *, as_dated: bool
) -> Sequence[StoredEvent]:
    """The events with those messages of the history first that are nearest to their webhooks: an equal text of some
    minutes before must not take the webhook of another message."""

    def apart(event: StoredEvent) -> tuple[bool, float]:
        if seen.isdisjoint(keys.identity_keys(event)):
            return True, math.inf
        placed = _placed(connection, event, as_dated=as_dated)
        counterpart = counterpart_of(connection, placed)
        if counterpart is None:
            return True, math.inf
        return counterpart.text_key != placed.text_key, _apart(counterpart, placed)

    return sorted(part, key=apart) if all(event.source == "history" for event in part) else part


# --- when an event reached the account


def _placed(connection: Connection, event: StoredEvent, *, as_dated: bool = False) -> StoredEvent:
    """The event with the times that are known of it.

    A webhook reaches the account when it comes. A message that the history shows is as old as it says on piv.day's own
    clock, and not older than the last look that did not show it yet: what says otherwise has no credible time. But
    `as_dated`, it may have been there then.
    """
    now, remote_now, sent_at = event.recorded_at, event.reached_at, event.sent_at
    if remote_now is not None:
        latest = remote_now + CLOCK_TOLERANCE
    else:
        latest = now + AHEAD_SECONDS if now > CREDIBLE_SINCE else LATEST_CREDIBLE
    if sent_at is not None and not CREDIBLE_SINCE <= sent_at <= latest:
        sent_at = None
    age, age_known = 0.0, True
    if event.source == "history" and event.subject is not None:
        most = polls.look(connection, event.subject).seconds_since(now, remote_now)
        if sent_at is not None and remote_now is not None:
            age = max(0.0, remote_now - sent_at)
            if most is not None and age > most and not as_dated:
                sent_at = sent_at if age <= most + CLOCK_TOLERANCE else None
                age = most
        else:
            age, age_known = most or 0.0, most is not None
    return replace(
        event,
        sent_at=sent_at,
        stored_at=now,
        arrived_at=now - age,
        reached_at=None if remote_now is None else remote_now - age,
        age_known=int(age_known),
    )


# --- whether two are one event


def _duplicate(connection: Connection, event: StoredEvent) -> StoredEvent | None:
    """The row that this source has already given."""
    if event.source == "history":
        about, values = equals("subject", event.subject)
        same_id, values = f"{about} AND message_id = ?", (*values, event.message_id)
        same_text, text = equals("text_key", event.text_key)
        for known in select(connection, f"{same_id} AND {same_text} LIMIT 1", (*values, *text)):
            return known
        # `+`: sort these few rows instead of reading all of the number's in their order.
        newest = select(connection, f"{same_id} ORDER BY +seq DESC LIMIT {NEWEST_COMPARED}", values)
        return next((known for known in newest if merging.is_same_text(known, event)), None)
    for known in select(connection, "digest = ? ORDER BY seq DESC LIMIT 20", (event.digest,)):
        if (event.digest or "").startswith(TIMED) or _apart(known, event) <= SAME_EVENT_SECONDS:
            return known
        # The row of an SMS may have the time of the history instead of the webhook's.
        if event.text is not None and abs(known.recorded_at - event.recorded_at) <= SAME_EVENT_SECONDS:
            return known
    for digest in keys.nearest_digests(event):
        for known in select(connection, "digest = ? ORDER BY seq DESC LIMIT 20", (digest,)):
            if abs(_told_time(known) - (event.sent_at or 0.0)) < SAME_TIME_SECONDS:
                return known
    return None


def _told_time(known: StoredEvent) -> float:
    """The time that the webhook of a row gave; where it is not kept, the row's."""
    if known.source == "webhook":
        with suppress(ValueError):  # it is damaged
            received_at = SmsReceived.model_validate(known.data).received_at
            if received_at is not None:
                return received_at.timestamp()
    return known.sent_at or 0.0


def _take_new_ids(connection: Connection, batch: Sequence[StoredEvent]) -> None:
    """Give the rows that the history shows under new ids these ids: text and time tell that they are the same."""
    for subject in {event.subject for event in batch}:
        known: dict[tuple[str, float], list[int]] = {}
        ids: set[str] = set()
        about, values = equals("subject", subject)
        query = (
            f"SELECT seq, message_id, text_key, sent_at FROM events WHERE account = ? AND {about}"  # noqa: S608
            " AND message_id IS NOT NULL"
        )
        for seq, message_id, text_key, sent_at in connection.rows(query, (connection.account, *values)):
            ids.add(str(message_id))
            if text_key is not None and sent_at is not None:
                known.setdefault((text_key, sent_at), []).append(int(seq))
        for event in batch:
            same = known.get((event.text_key or "", event.sent_at or 0.0))
            if event.subject == subject and event.message_id not in ids and same:
                connection.execute("UPDATE events SET message_id = ? WHERE seq = ?", (event.message_id, same.pop(0)))


def counterpart_of(connection: Connection, event: StoredEvent) -> StoredEvent | None:
    """The row of the same SMS from the other source, if it has not been merged yet: that which is nearest in time."""
    if event.text_key is None:
        return None
    missing = "message_id IS NULL" if event.source == "history" else "digest IS NULL"
    about, subject = equals("subject", event.subject)
    equal, values = f"{about} AND text_key = ? AND {missing}", (*subject, event.text_key)
    newest = f"seq IN (SELECT seq FROM events WHERE {about} ORDER BY seq DESC LIMIT {NEWEST_COMPARED})"  # noqa: S608
    found = select(connection, f"{equal} LIMIT {NEWEST_COMPARED}", values)
    if len(found) == NEWEST_COMPARED:  # of many equal texts the newest, and those near in time
        # `|| ''` keeps the engine from reading all equal texts through their index.
        found = select(connection, f"{newest} AND text_key || '' = ? AND {missing}", values)
        if event.sent_at is not None:
            for comparison, order in ((">=", "ASC"), ("<", "DESC")):
                near = f"{equal} AND sent_at {comparison} ? ORDER BY sent_at {order} LIMIT 1"
                found += select(connection, near, (*values, event.sent_at))
    last_look = polls.look(connection, event.subject) if event.subject is not None else polls.Look()
    same = [known for known in found if _is_same_time(known, event, last_look, merging.SAME_SMS_SECONDS)]
    if not same:
        near = select(connection, f"{newest} AND text_key IS NOT NULL AND {missing}", subject)
        same = [
            known
            for known in near
            if _is_same_time(known, event, last_look, NEAR_SMS_SECONDS) and merging.is_damaged(known, event)
        ] or [
            known
            for known in near
            if event.code is not None and known.code == event.code and _apart(known, event) <= SAME_CODE_SECONDS
        ]
    return min(same, key=lambda known: (_apart(known, event), known.seq), default=None)


def _grow(connection: Connection, known: StoredEvent, event: StoredEvent) -> StoredEvent:
    """The row with what the history shows now, which the webhook of the whole message may have told before."""
    row = merging.grown(known, event)
    if known.digest is None and (webhook := counterpart_of(connection, row)) is not None:
        connection.execute("DELETE FROM events WHERE seq = ?", (known.seq,))
        return _recoded(connection, webhook, merging.merged(webhook, row))
    return _recoded(connection, known, row)


def _is_same_time(known: StoredEvent, event: StoredEvent, last_look: polls.Look, seconds: float) -> bool:
    """Whether the same text of the two sources is one message: their times are so many seconds apart at most, or differ
    by a time zone, or both came since the last look at the history."""
    apart = _apart(known, event)
    if apart <= seconds:
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


def _recoded(connection: Connection, known: StoredEvent, changed: StoredEvent) -> StoredEvent:
    """Put `changed` in the place of `known`. A caller's cursor may be past this row: with another code it gets a new
    id, so that the code is found."""
    if changed.sign_in != known.sign_in:
        connection.execute("DELETE FROM events WHERE seq = ?", (known.seq,))
        return insert(connection, [changed])[0]
    columns = [name for name in STORED if getattr(changed, name) != getattr(known, name)]
    if not columns:
        return changed
    assignments = ", ".join(f"{name} = ?" for name in columns)
    values = [getattr(changed, name) for name in columns]
    connection.execute(f"UPDATE events SET {assignments} WHERE seq = ?", (*values, changed.seq))  # noqa: S608
    return changed


def knows(connection: Connection, message: StoredEvent) -> bool:
    """Whether this message of the SMS history is stored."""
    known = _duplicate(connection, message)
    return known is not None and not merging.is_fuller(message, known)


def unknown(connection: Connection, messages: Sequence[StoredEvent]) -> list[StoredEvent]:
    """Those of the messages of the SMS history that are not stored."""
    return [message for message in messages if not knows(connection, message)]
