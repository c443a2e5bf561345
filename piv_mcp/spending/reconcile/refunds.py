"""Refunds by piv.day: some actions fail after they were charged, and an event reports the failure and the refund.

Webhooks are not signed, so a refund is only recorded and shown. It does not free any budget: otherwise anybody who
knows the webhook address could allow more spending.
"""

from decimal import Decimal

from piv_mcp.spending import actions
from piv_mcp.store import Connection, events, journal
from piv_mcp.store.events import StoredEvent
from piv_mcp.store.journal import Entry

LATEST_ENTRIES = 500
"""How many of the newest charged entries are compared with the events."""

KINDS = tuple(kind for kind, action in actions.ACTIONS.items() if action.fails_with is not None)
EVENT_TYPES = tuple(sorted({action.fails_with for action in actions.ACTIONS.values() if action.fails_with is not None}))


def note_refunds(connection: Connection) -> None:
    """Record the refunds of charged entries that the inbox reports. Each event refunds one entry."""
    entries = journal.newest(connection, limit=LATEST_ENTRIES, states=("charged",), kinds=KINDS)
    used_events = {entry.refunded_by for entry in entries}
    refundable = [entry for entry in entries if entry.refunded is None and Decimal(entry.charged or 0)]
    if not refundable:
        return
    first = min(entry.sent_at or 0.0 for entry in refundable)
    for event in list(events.all_since(connection, 0, types=EVENT_TYPES, arrived=first)):
        if event.seq in used_events:
            continue
        refund = _refund(event, refundable)
        if refund is not None:
            entry, amount = refund
            columns = {"refunded": str(amount), "refunded_by": event.seq}
            journal.change(connection, entry.id, columns, only_if=("charged",))
            refundable.remove(entry)


def _refund(event: StoredEvent, entries: list[Entry]) -> tuple[Entry, Decimal] | None:
    """The newest entry that the event can be about, and the refund in US dollars."""
    for entry in entries:
        action = actions.load(entry.kind, entry.arguments)
        if action.fails_with != event.type or event.arrived_at < (entry.sent_at or 0.0):
            continue
        charged = Decimal(entry.charged or 0)
        refund = action.refund(event.data, entry.object_id, charged)
        if refund is not None:
            return entry, min(refund, charged)
    return None
