"""What piv.day gave back: some actions fail after they were charged, and an event says so.

Webhooks are not signed, so a refund is only told. It frees no budget: otherwise anybody who knows the webhook's address
could make room for more spending.
"""

from decimal import Decimal

from piv_mcp.spending import actions
from piv_mcp.store import Connection, events, journal
from piv_mcp.store.events import StoredEvent
from piv_mcp.store.journal import Entry

LATEST_ENTRIES = 500
"""Entries that are compared with the events."""

KINDS = tuple(kind for kind, action in actions.ACTIONS.items() if action.fails_with is not None)
EVENT_TYPES = tuple(sorted({action.fails_with for action in actions.ACTIONS.values() if action.fails_with is not None}))


def note_refunds(connection: Connection) -> None:
    """Write down what the inbox tells of charged entries; each event is about one entry."""
    entries = journal.newest(connection, limit=LATEST_ENTRIES, states=("charged",), kinds=KINDS)
    told = {entry.refunded_by for entry in entries}
    open_ = [entry for entry in entries if entry.refunded is None and Decimal(entry.charged or 0)]
    if not open_:
        return
    first = min(entry.sent_at or 0.0 for entry in open_)
    for event in list(events.all_since(connection, 0, types=EVENT_TYPES, arrived=first)):
        if event.seq in told:
            continue
        refund = _refund(event, open_)
        if refund is not None:
            entry, amount = refund
            columns = {"refunded": str(amount), "refunded_by": event.seq}
            journal.change(connection, entry.id, columns, only_if=("charged",))
            open_.remove(entry)


def _refund(event: StoredEvent, entries: list[Entry]) -> tuple[Entry, Decimal] | None:
    """The newest entry that the event can be about, and what it gives back."""
    for entry in entries:
        action = actions.load(entry.kind, entry.arguments)
        if action.fails_with != event.type or event.arrived_at < (entry.sent_at or 0.0):
            continue
        charged = Decimal(entry.charged or 0)
        back = action.refund(event.data, entry.object_id, charged)
        if back is not None:
            return entry, min(back, charged)
    return None
