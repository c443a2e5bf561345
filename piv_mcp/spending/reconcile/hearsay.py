"""What may be concluded from a webhook. The only module of the money gate that reads events.

piv.day does not sign webhooks: anybody who knows the address can send one. So an event alone concludes nothing. It
lowers no charge, frees no budget and settles no entry, whatever the balance does meanwhile. The report of a failure and
its refund is noted with the entry, and shown as a report.
"""

from decimal import Decimal

from piv_mcp.spending import actions
from piv_mcp.store import Connection, events, journal
from piv_mcp.store.event import StoredEvent
from piv_mcp.store.journal import Entry

LATEST_ENTRIES = 500
"""How many of the newest charged entries are compared with the events."""

KINDS = tuple(kind for kind, action in actions.ACTIONS.items() if action.fails_with is not None)
EVENT_TYPES = tuple(sorted({action.fails_with for action in actions.ACTIONS.values() if action.fails_with is not None}))


def note_refunds(connection: Connection) -> None:
    """Note the refunds of charged entries that events report: of each entry the largest. Each event is about one."""
    entries = journal.newest(connection, limit=LATEST_ENTRIES, states=("charged",), kinds=KINDS)
    used_events = {entry.refunded_by for entry in entries}
    noted = {entry.id: Decimal(entry.refunded or 0) for entry in entries}
    open_entries = [entry for entry in entries if noted[entry.id] < Decimal(entry.charged or 0)]
    if not open_entries:
        return
    first = min(entry.sent_at or 0.0 for entry in open_entries)
    for event in list(events.all_since(connection, 0, types=EVENT_TYPES, arrived=first)):
        if event.seq in used_events:
            continue
        entry, amount = _refund(event, open_entries) or (None, Decimal(0))
        if entry is None or amount <= noted[entry.id]:
            continue
        journal.change(connection, entry.id, {"refunded": str(amount), "refunded_by": event.seq}, only_if=("charged",))
        noted[entry.id] = amount
        if amount == Decimal(entry.charged or 0):
            open_entries.remove(entry)


def _refund(event: StoredEvent, entries: list[Entry]) -> tuple[Entry, Decimal] | None:
    """The newest entry that the event can be about, and the refund in US dollars: more than nothing, and at most what
    was charged."""
    for entry in entries:
        action = actions.load(entry.kind, entry.arguments)
        if action.fails_with != event.type or event.arrived_at < (entry.sent_at or 0.0):
            continue
        if not action.is_about(event.data, entry.object_id):
            continue
        charged = Decimal(entry.charged or 0)
        refund = min(action.refund(event.data, charged), charged)
        return (entry, refund) if refund > 0 else None
    return None
