"""The keys of events. Only rows that show one of an event's keys are compared with it.

A burst of webhooks has thousands of events, of which hardly one has been told before: those without such a row are
stored without a look at any.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain

from piv_mcp.store import asked
from piv_mcp.store.connection import Connection
from piv_mcp.store.event import TIMED, StoredEvent, timed_digest

Key = tuple[str, str | None, str]

MOST_QUERIES = 64

_SHOWN = {
    "digest": "digest = b",
    "message": "{} AND message_id = b",
    "history": "{} AND digest IS NULL AND text_key IS NOT NULL",
    "webhook": "{} AND message_id IS NULL AND text_key IS NOT NULL",
}
"""What a row that shows a key (kind, a, b) has, by kind. `{}` stands for: its subject is `a`."""


def _is_there(condition: str) -> str:
    """Whether a row has this. A value, and no EXISTS: for that, PostgreSQL may read the whole table and keep to it as
    the table grows."""
    return f"(SELECT 1 FROM events WHERE {condition} LIMIT 1)"  # noqa: S608 - our own conditions


@lru_cache(MOST_QUERIES)
def _query(kinds: frozenset[str], count: int) -> str:
    """Which of so many keys of these kinds stored rows show."""
    cases = " ".join(
        f"WHEN '{kind}' THEN CASE WHEN a IS NULL THEN {_is_there(_SHOWN[kind].format('subject IS NULL'))}"
        f" ELSE {_is_there(_SHOWN[kind].format('subject = a'))} END"
        for kind in sorted(kinds)
    )
    wanted = f"WITH wanted (kind, a, b) AS (VALUES {', '.join(['(?, ?, ?)'] * count)})"
    return f"{wanted} SELECT kind, a, b FROM wanted WHERE (CASE kind {cases} END) = 1"  # noqa: S608


def identity_keys(event: StoredEvent) -> list[Key]:
    """The keys of the event. A stored row can only be the same event if it shows one of them (see `shown_keys`)."""
    if event.source == "webhook":
        keys: list[Key] = [("digest", None, digest) for digest in (event.digest or "", *nearest_digests(event))]
        if event.text_key is not None:
            keys.append(("history", event.subject, ""))
        elif event.type in asked.TYPES:
            keys.append(("asked", None, event.type))
        return keys
    keys = [("message", event.subject, event.message_id or "")]
    return [*keys, ("webhook", event.subject, "")] if event.text_key is not None else keys


def shown_keys(event: StoredEvent) -> list[Key]:
    """The keys under which the row of this event is found by another event that may be the same."""
    if event.source == "webhook":
        keys: list[Key] = [("digest", None, event.digest or "")]
        return [*keys, ("webhook", event.subject, "")] if event.text_key is not None else keys
    keys = [("message", event.subject, event.message_id or "")]
    return [*keys, ("history", event.subject, "")] if event.text_key is not None else keys


def stored_keys(connection: Connection, batch: Sequence[StoredEvent]) -> set[Key]:
    """The keys of these events that stored rows show, of whatever account: `add` tells them apart."""
    wanted = {key for event in batch for key in identity_keys(event)}
    types = {third for first, _, third in wanted if first == "asked"}
    found: set[Key] = {("asked", None, type_) for type_ in asked.found_types(connection, types)}
    rows = [key for key in wanted if key[0] in _SHOWN]
    if rows:
        # As many as the next power of two, with the last repeated: of so few statements each is soon prepared.
        rows += rows[-1:] * ((1 << (len(rows) - 1).bit_length()) - len(rows))
        query = _query(frozenset(kind for kind, _, _ in rows), len(rows))
        found.update((str(kind), a, str(b)) for kind, a, b in connection.rows(query, [*chain.from_iterable(rows)]))
    return found


def nearest_digests(event: StoredEvent) -> list[str]:
    """The digests that a webhook's SMS has in the seconds before and after its own."""
    if event.text_key is None or event.sent_at is None or not (event.digest or "").startswith(TIMED):
        return []
    return [timed_digest(event.subject, event.text_key, math.floor(event.sent_at) + step) for step in (-1, 1)]
