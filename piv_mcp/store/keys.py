"""The keys of events. Only rows that show one of an event's keys are compared with it.

A burst of webhooks has thousands of events, of which hardly one has been told before: those without such a row are
stored without a look at any.
"""

import math
from collections.abc import Sequence

from piv_mcp.store import asked
from piv_mcp.store.connection import Connection
from piv_mcp.store.event import TIMED, StoredEvent, timed_digest

Key = tuple[str, str | None, str]


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
    found: set[Key] = set()
    digests = [third for first, _, third in wanted if first == "digest"]
    if digests:
        query = f"SELECT digest FROM events WHERE digest IN ({', '.join('?' * len(digests))})"  # noqa: S608
        found.update(("digest", None, str(value)) for (value,) in connection.rows(query, digests))
    messages = [(second, third) for first, second, third in wanted if first == "message"]
    if messages:
        rows = ", ".join(["(?, ?)"] * len(messages))
        query = (
            f"WITH wanted (a, b) AS (VALUES {rows}) SELECT a, b FROM wanted"  # noqa: S608
            " WHERE EXISTS (SELECT 1 FROM events WHERE subject = a AND message_id = b)"
        )
        pairs = [value for pair in messages for value in pair]
        found.update(("message", a, b) for a, b in connection.rows(query, pairs))
    for kind, missing in (("history", "digest"), ("webhook", "message_id")):
        subjects = [second for first, second, _ in wanted if first == kind]
        if subjects:
            shows = f"{missing} IS NULL AND text_key IS NOT NULL"
            rows = ", ".join(["(?)"] * len(subjects))
            query = (
                f"WITH wanted (a) AS (VALUES {rows}) SELECT a FROM wanted"  # noqa: S608
                f" WHERE EXISTS (SELECT 1 FROM events WHERE subject = a AND {shows})"
            )
            found.update((kind, a, "") for (a,) in connection.rows(query, subjects))
            query = f"SELECT 1 FROM events WHERE subject IS NULL AND {shows} LIMIT 1"  # noqa: S608
            if None in subjects and connection.count(query):
                found.add((kind, None, ""))
    types = {third for first, _, third in wanted if first == "asked"}
    return found | {("asked", None, type_) for type_ in asked.found_types(connection, types)}


def nearest_digests(event: StoredEvent) -> list[str]:
    """The digests that a webhook's SMS has in the seconds before and after its own."""
    if event.text_key is None or event.sent_at is None or not (event.digest or "").startswith(TIMED):
        return []
    return [timed_digest(event.subject, event.text_key, math.floor(event.sent_at) + step) for step in (-1, 1)]
