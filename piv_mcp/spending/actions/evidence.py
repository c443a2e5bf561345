"""Evidence that an action whose answer was lost has happened: periods, and a later expiry date."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from piv_mcp.spending.actions.base import Ambiguous

AUTO_RENEWAL_LEAD = timedelta(days=2)
"""How long before the expiry auto-renewal may happen: 24 hours (reference), and 24 more for clocks and queues."""


def fits(seen: str | None, wanted: str | None) -> bool:
    """Whether a value of the API can be the value that was sent: the API may omit it or change upper and lower case."""
    return not seen or (wanted is not None and seen.casefold() == wanted.casefold())


def lasts(start: datetime | None, end: datetime | None, months: int) -> bool | None:
    """Whether the period is this many months, of 30 days or of the calendar; None if a date is missing."""
    if start is None or end is None:
        return None
    days = (end - start).total_seconds() / 86400
    return 30 * months - 3 <= days <= 31 * months + 1


def renewal_evidence(
    before: Mapping[str, Any],
    now: Mapping[str, Any],
    months: int,
    done: Sequence[int],
    possible: Sequence[int],
    *,
    at: datetime,
    auto_renewal_months: int | None = None,
) -> str | None:
    """How the expiry shows a renewal by `months`, in words; None if the expiry is not later than before.

    `done` has the months of other renewals that happened, `possible` those of renewals that may have happened.
    Auto-renewal, if it is on and due at the time `at`, may have added `auto_renewal_months`.

    Raises:
        Ambiguous: the other renewals alone could explain the new expiry, or no combination with this one does, such as
            where another client of the account has renewed the object.
    """
    old, new = (_moment(data.get("expires_at")) for data in (before, now))
    if new is None or (old is not None and new <= old):
        return None
    if old is None:
        raise Ambiguous  # whatever set the date
    due = before.get("auto_renew") and old - at < AUTO_RENEWAL_LEAD
    known = sum(done)
    if known and not possible and not due and lasts(old, new, known) and not lasts(old, new, known + months):
        return None  # other renewals, which certainly happened, explain it all
    sums = {known}
    for more in (*possible, *([auto_renewal_months] if due and auto_renewal_months is not None else [])):
        sums |= {total + more for total in sums}
    without = any(total and lasts(old, new, total) for total in sums)
    if without or not any(lasts(old, new, total + months) for total in sums):
        raise Ambiguous
    return f"its expiry changed from {before.get('expires_at')} to {now['expires_at']}"


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
