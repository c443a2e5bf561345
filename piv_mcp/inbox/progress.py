"""Stores what a look has told of things in progress."""

import json
from collections.abc import Sequence
from dataclasses import replace

from piv_mcp.inbox.outcomes import Happening, Told
from piv_mcp.inbox.parse import event_of_asked
from piv_mcp.store import Connection, asked, pending
from piv_mcp.store.pending import Pending


def note(
    connection: Connection,
    told: Sequence[tuple[Pending, Told]],
    found: Sequence[Pending] = (),
    *,
    at: float,
    remote_at: float | None,
) -> None:
    """Note the states that a look has shown which began at `at` on this machine's clock, and at `remote_at` on
    piv.day's, and record the events that they make."""
    for row, shown in told:
        record(connection, shown.happenings, since=row.asked_at, at=at, remote_at=remote_at)
        if shown.has_ended:
            pending.end(connection, row)
        else:
            facts = row.facts if shown.facts is None else json.dumps(shown.facts, ensure_ascii=False)
            pending.note(connection, replace(row, facts=facts, looked_at=at, state=shown.state))
    for row in found:
        pending.find(connection, replace(row, since=at, looked_at=at))


def record(
    connection: Connection, happenings: Sequence[Happening], *, since: float, at: float, remote_at: float | None
) -> None:
    """Record events that happened after `since`."""
    for found in happenings:
        event = event_of_asked(found.type, found.data, since=since, now=at, remote_now=remote_at, sent_at=found.at)
        asked.record(connection, event)
