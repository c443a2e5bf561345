"""Leases of numbers: one agent at a time has a number for itself alone, whichever process it asks."""

from collections.abc import Sequence

from piv_mcp.errors import PivError
from piv_mcp.store import Connection, events, number_leases
from piv_mcp.store.number_leases import MOST_HELD, NumberLease
from piv_mcp.store.sight import NumberLeasedError
from piv_mcp.store.view import View
from piv_mcp.text.times import utc


class NumbersLeasedError(PivError):
    """Every number that could be leased is."""

    code = "NUMBERS_LEASED"

    def __init__(self, count: int, free_at: float) -> None:
        what = f"all {count} active numbers are" if count > 1 else "the one active number is"
        super().__init__(
            f"{what} leased; the first lease ends at {utc(free_at):%H:%M:%S} UTC",
            hint="Call again then. Of your own leases release_number ends one, and lease_number with number extends it",
        )


class TooManyLeasesError(PivError):
    """The caller has as many numbers for itself alone as it may have at a time."""

    code = "TOO_MANY_LEASES"

    def __init__(self, first: NumberLease) -> None:
        super().__init__(
            f"you have leased {MOST_HELD} numbers, and that is all that one agent may have at a time; the first of"
            f" these leases ends at {utc(first.until):%H:%M:%S} UTC",
            hint=f"End one that is not needed any more with release_number, such as {first.number}, or call again then",
        )


async def lease(
    view: View, candidates: Sequence[str], *, now: float, remote_now: float | None, minutes: int, extends: bool
) -> NumberLease:
    """Lease the one of these numbers to the caller that was idle longest. `extends`: there is a single one, of which
    the caller may have a lease already.

    Raises:
        TooManyLeasesError: the caller has `MOST_HELD` others.
        NumberLeasedError: another has the one number that is meant.
        NumbersLeasedError: all are leased.
    """
    found = await view.write(
        _take, candidates, view.viewer.holder, now=now, remote_now=remote_now, minutes=minutes, extends=extends
    )
    if isinstance(found, NumberLease):
        return found
    if extends:
        raise NumberLeasedError(found[0])
    raise NumbersLeasedError(len(candidates), min(other.until for other in found))


async def release(view: View, piv_num_id: str, *, now: float) -> bool:
    """End the caller's lease of a number; returns whether there was one."""
    return await view.write(number_leases.release, piv_num_id, view.viewer.holder, now)


def _take(
    connection: Connection,
    candidates: Sequence[str],
    holder: str,
    *,
    now: float,
    remote_now: float | None,
    minutes: int,
    extends: bool,
) -> NumberLease | list[NumberLease]:
    """The lease, or those that are in the way."""
    held = [lease for lease in number_leases.current(connection, now) if lease.holder == holder]
    if len(held) >= MOST_HELD and not (extends and any(lease.number in candidates for lease in held)):
        raise TooManyLeasesError(min(held, key=lambda lease: lease.until))
    taken = number_leases.take(
        connection,
        candidates,
        holder,
        now=now,
        remote_now=remote_now,
        seconds=minutes * 60.0,
        seq=events.last_seq(connection),
        extends=extends,
    )
    if taken is not None:
        return taken
    return [other for other in number_leases.current(connection, now) if other.number in candidates]
