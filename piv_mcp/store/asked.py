"""The SQL of events that were found by asking piv.day. Each is one with its webhook, whichever comes first."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from piv_mcp.api.events import EVENTS, DomainExpiresSoon, piv_num_ids
from piv_mcp.store.connection import Connection
from piv_mcp.store.event import StoredEvent
from piv_mcp.store.events import insert, select

TYPES = frozenset(EVENTS) - {"sms.received"}
"""What an SMS is one with, the history tells."""

COMPARED = 200
"""How many of the newest events of a type are compared."""

BEFORE_SECONDS = 120.0
SENT_AGAIN_SECONDS = 86400.0
"""A webhook of what can happen again belongs to the event that was found in the time from so long before it began to so
long after it was found: a webhook can be sent again by hand."""

SAME_EXPIRY_SECONDS = 36 * 3600.0
"""A time of expiry may be given as a day. A renewal makes it later by a month at least."""

PASSING = frozenset({"old_status", "sms_status"})
"""Fields in which asking and a webhook differ where nothing is wrong: they tell of different moments."""

FOUND_ONLY = "asked_since IS NOT NULL AND digest IS NULL"
"""What no webhook has told; an index has it."""


def record(connection: Connection, event: StoredEvent) -> tuple[StoredEvent, bool]:
    """Store an event that was found by asking; returns the stored row, and whether it is new."""
    told = select(
        connection,
        f"type = ? AND (asked_since IS NOT NULL OR digest IS NOT NULL) ORDER BY seq DESC LIMIT {COMPARED}",
        (event.type,),
    )
    for known in told:
        if not _is_same(known, event):
            continue
        if known.asked_since is not None:
            return known, False
        both = replace(known, asked_since=event.asked_since, payload=_both(known, event))
        return _put(connection, both), False
    placed = replace(event, stored_at=event.arrived_at)
    return insert(connection, [placed])[0], True


def join(connection: Connection, webhook: StoredEvent) -> StoredEvent | None:
    """The event that was found by asking before its webhook came, with what the webhook tells; None if it was not."""
    for known in select(connection, f"{FOUND_ONLY} AND type = ? ORDER BY seq DESC", (webhook.type,)):
        if _is_same(webhook, known):
            sent_at = known.sent_at if webhook.sent_at is None else webhook.sent_at
            payload = _both(webhook, known)
            both = replace(known, digest=webhook.digest, payload=payload, problem=webhook.problem, sent_at=sent_at)
            return _put(connection, both)
    return None


def found_types(connection: Connection, types: Iterable[str]) -> set[str]:
    """Those of the types of which an event was found that no webhook has told."""
    query = f"SELECT 1 FROM events WHERE account = ? AND {FOUND_ONLY} AND type = ? LIMIT 1"  # noqa: S608
    return {name for name in types if connection.count(query, (connection.account, name))}


def _is_same(known: StoredEvent, found: StoredEvent) -> bool:
    """Whether an event, of a webhook or found before, is the one that was found by asking."""
    told, shown = known.data, found.data
    match found.type:
        case "sms.status_updated":
            return _same(told, shown, "message_id") and _same(told, shown, "new_status")
        case "white.completed" | "white.failed":
            return _same(told, shown, "job_id")
        case "domain.registered":
            return _is_same_domain(told, shown)
        case "domain.failed" | "domain.renewed":
            return _is_same_domain(told, shown) and _is_same_time(known, found)
        case "proxy.expires_soon":
            return _same(told, shown, "order_id") and _is_same_expiry(told, shown)
        case "domain.expires_soon":
            return _same(told, shown, "domain_id") and _is_same_expiry(told, shown)
        case _:
            return not set(piv_num_ids(told)).isdisjoint(piv_num_ids(shown)) and _is_same_time(known, found)


def _same(told: Mapping[str, Any], shown: Mapping[str, Any], name: str) -> bool:
    return str(told.get(name)).casefold() == str(shown.get(name)).casefold()


def _is_same_domain(told: Mapping[str, Any], shown: Mapping[str, Any]) -> bool:
    """By the id; by the name if a queue entry that failed does not say the id."""
    return _same(told, shown, "domain_id" if told.get("domain_id") and shown.get("domain_id") else "domain_name")


def _is_same_expiry(told: Mapping[str, Any], shown: Mapping[str, Any]) -> bool:
    times = (DomainExpiresSoon(domain_id="", expires_at=data.get("expires_at")) for data in (told, shown))
    first, second = (time.expires_at for time in times)
    return first is None or second is None or abs((first - second).total_seconds()) <= SAME_EXPIRY_SECONDS


def _is_same_time(known: StoredEvent, found: StoredEvent) -> bool:
    """Whether what was told, or found before, happened in the time in which this was found to have happened."""
    if known.asked_since is not None and found.asked_since is not None:
        return known.asked_since == found.asked_since
    since = found.asked_since or 0.0
    if since - BEFORE_SECONDS <= known.recorded_at <= found.recorded_at + SENT_AGAIN_SECONDS:
        return True
    # This machine's clock may have been set in between: by piv.day's, they are less than a day apart.
    told_at, found_at = known.sent_at or known.reached_at, found.reached_at
    return told_at is not None and found_at is not None and abs(told_at - found_at) <= SENT_AGAIN_SECONDS


def _both(webhook: StoredEvent, found: StoredEvent) -> str:
    shown = {name: value for name, value in found.data.items() if name not in PASSING}
    return json.dumps({**json.loads(webhook.payload), "asked": shown}, ensure_ascii=True, separators=(",", ":"))


def _put(connection: Connection, row: StoredEvent) -> StoredEvent:
    connection.execute(
        "UPDATE events SET digest = ?, payload = ?, asked_since = ?, problem = ?, sent_at = ? WHERE seq = ?",
        (row.digest, row.payload, row.asked_since, row.problem, row.sent_at, row.seq),
    )
    return row
