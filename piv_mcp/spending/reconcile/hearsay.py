"""What may be concluded from a webhook. The only module of the money gate that reads events.

piv.day does not sign webhooks: anybody who knows the address can send one. So an event alone concludes nothing. It
lowers no charge, frees no budget and settles no entry. The report of a failure and its refund is noted with the entry
and shown as a report. The report of a success settles a lost answer only together with the balance, which must have
fallen enough with no other explanation.
"""

from decimal import Decimal

from piv_mcp.spending import actions
from piv_mcp.spending.actions.base import Action
from piv_mcp.store import Connection, events, journal
from piv_mcp.store.events import StoredEvent
from piv_mcp.store.journal import EVENT_ID, Entry

LATEST_ENTRIES = 500
"""How many of the newest charged entries are compared with the events."""

EVENT_DELAY_SECONDS = 3600.0
"""How long after an action its event may still arrive, in seconds."""

KINDS = tuple(kind for kind, action in actions.ACTIONS.items() if action.fails_with is not None)
EVENT_TYPES = tuple(sorted({action.fails_with for action in actions.ACTIONS.values() if action.fails_with is not None}))


def note_refunds(connection: Connection) -> None:
    """Note the refunds of charged entries that events report. Each event is about one entry."""
    entries = journal.newest(connection, limit=LATEST_ENTRIES, states=("charged",), kinds=KINDS)
    used_events = {entry.refunded_by for entry in entries}
    open_entries = [entry for entry in entries if entry.refunded is None and Decimal(entry.charged or 0) > 0]
    if not open_entries:
        return
    first = min(entry.sent_at or 0.0 for entry in open_entries)
    for event in list(events.all_since(connection, 0, types=EVENT_TYPES, arrived=first)):
        if event.seq in used_events:
            continue
        refund = _refund(event, open_entries)
        if refund is not None:
            entry, amount = refund
            columns = {"refunded": str(amount), "refunded_by": event.seq}
            journal.change(connection, entry.id, columns, only_if=("charged",))
            open_entries.remove(entry)


def reported_success(connection: Connection, entry: Entry, action: Action) -> StoredEvent | None:
    """The event that reports that an action with a lost answer happened.

    None if there is none, or if it may be about another action whose own event has not arrived.
    """
    if action.succeeds_with is None or entry.sent_at is None:
        return None
    types = tuple(filter(None, (action.succeeds_with, action.fails_with)))
    began = entry.sent_at - EVENT_DELAY_SECONDS
    used = journal.made(connection)
    found = [
        event
        for event in events.all_since(connection, 0, types=types, arrived=began)
        if f"{EVENT_ID}{event.seq}" not in used and action.is_about(event.data, entry.object_id)
    ]
    later = [event for event in found if event.arrived_at >= entry.sent_at]
    rivals = [actions.load(other.kind, other.arguments) for other in journal.unexplained(connection, entry, began)]
    waiting = sum(any(rival.is_about(event.data, None) for event in later) for rival in rivals)
    waiting = max(0, waiting - (len(found) - len(later)))
    if len(later) <= waiting or (waiting and len({event.type for event in later}) > 1):
        return None
    return next((event for event in later if event.type == action.succeeds_with), None)


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
