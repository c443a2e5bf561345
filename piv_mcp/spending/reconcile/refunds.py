"""What piv.day gave back: some actions fail after they were charged, and an event says so.

Webhooks are not signed, so a refund is only told. It gives no budget back: who knows the address cannot make room.
"""

import sqlite3
from decimal import Decimal

from piv_mcp.inbox.inbox import data_of
from piv_mcp.spending import actions
from piv_mcp.spending.journal import made_by
from piv_mcp.store import events, journal
from piv_mcp.store.events import Event
from piv_mcp.store.journal import Entry

TYPES = tuple(sorted({action.fails_with for action in actions.ACTIONS.values() if action.fails_with is not None}))


def note_refunds(connection: sqlite3.Connection) -> None:
    """Write down what the inbox tells of charged entries; each event is about one entry."""
    kinds = [kind for kind, action in actions.ACTIONS.items() if action.fails_with is not None]
    marks = ", ".join("?" * len(kinds))
    entries = journal.select(connection, f"state = 'charged' AND kind IN ({marks}) ORDER BY seq DESC LIMIT 500", kinds)
    told = {entry.refunded_by for entry in entries}
    open_ = [entry for entry in entries if entry.refunded is None and Decimal(entry.charged or 0)]
    if not open_:
        return
    first = min(entry.sent_at or 0.0 for entry in open_)
    for event in list(events.since(connection, 0, types=TYPES, arrived=first)):
        if event.seq in told:
            continue
        refund = _refund(event, open_)
        if refund is not None:
            entry, amount = refund
            journal.change(connection, entry.id, only_if=("charged",), refunded=str(amount), refunded_by=event.seq)
            open_.remove(entry)


def _refund(event: Event, entries: list[Entry]) -> tuple[Entry, Decimal] | None:
    """The newest entry that the event can be about, and what it gives back."""
    for entry in entries:
        action = actions.load(entry.kind, entry.arguments)
        if action.fails_with != event.type or event.arrived_at < (entry.sent_at or 0.0):
            continue
        charged = Decimal(entry.charged or 0)
        back = action.refund(data_of(event), made_by(entry), charged)
        if back is not None:
            return entry, min(back, charged)
    return None
