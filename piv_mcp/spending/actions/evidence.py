"""What an expiry that moved, or an event, says of an action whose answer was lost."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from piv_mcp.spending.actions.base import Ambiguous, Done, Rivals
from piv_mcp.store.events import StoredEvent
from piv_mcp.store.journal import EVENT_ID

MAX_EVENTS = 20
"""Events of one kind that are looked through."""

EARLIER_SECONDS = 3600.0
"""For so long after it was answered an action's own event may still come."""

AUTO_RENEWAL = timedelta(days=2)
"""Auto-renewal is charged 24 hours before the expiry; as much again for clocks and queues."""


def outcome_of(events: Sequence[StoredEvent], rivals: Rivals, *, others: int = 0) -> Done | None:
    """The first event that nobody else's action explains; a failure is refunded.

    Raises:
        Ambiguous: it may as well be about one of `others` actions, whose own event has not been seen.
    """
    left = [event for event in events if f"{EVENT_ID}{event.seq}" not in rivals.made]
    if not left:
        return None
    if len(left) <= others or (others and len({event.type for event in left}) > 1):
        raise Ambiguous
    event = left[0]
    failed = event.type.endswith(".failed")
    return Done(
        result={"event_id": event.seq},
        object_id=f"{EVENT_ID}{event.seq}",
        cost=Decimal(0) if failed else None,
        evidence=f"event {event.seq}: {event.type}" + (", which is refunded" if failed else ""),
    )


def fits(seen: str | None, wanted: str | None) -> bool:
    """Whether what the API shows can be what was sent: it may leave it out, or write it in another case."""
    return not seen or (wanted is not None and seen.casefold() == wanted.casefold())


def lasts(start: datetime | None, end: datetime | None, months: int) -> bool | None:
    """Whether it is that many months, of 30 days or of the calendar; None if that is not shown."""
    if start is None or end is None:
        return None
    days = (end - start).total_seconds() / 86400
    return 30 * months - 3 <= days <= 31 * months + 1


def extended(
    before: Mapping[str, Any],
    now: Mapping[str, Any],
    months: int,
    done: Sequence[int],
    possible: Sequence[int],
    *,
    at: datetime,
    auto: int | None = None,
) -> str | None:
    """How the expiry shows a renewal by `months`, in words; None if it has not moved.

    Other renewals have moved it by the months in `done`, or may have by some of `possible`; auto-renewal, where it is
    on and due `at` this time, by `auto`.

    Raises:
        Ambiguous: it moved, and the others may have done so alone, or not even all together.
    """
    old, new = (_moment(view.get("expires_at")) for view in (before, now))
    if new is None or (old is not None and new <= old):
        return None
    if old is not None:
        due = auto is not None and before.get("auto_renew") and old - at < AUTO_RENEWAL
        sums = {sum(done)}
        for more in (*possible, *([auto] if due and auto is not None else [])):
            sums |= {total + more for total in sums}
        without = any(total and lasts(old, new, total) for total in sums)
        if sums != {0} and (without or not any(lasts(old, new, total + months) for total in sums)):
            raise Ambiguous
    return f"its expiry moved from {before.get('expires_at')} to {now['expires_at']}"


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
