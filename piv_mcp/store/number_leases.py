"""The SQL of leases of numbers: a number that one agent, or one process, has for itself alone for some minutes.

A lease ends by itself. Its row stays, and tells how long the number has been idle. Times are seconds since the epoch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from piv_mcp.store.connection import Connection
from piv_mcp.store.rows import RowReader

MOST_MINUTES = 120

MOST_SECONDS = MOST_MINUTES * 60.0
"""Longer than any is granted for: what ends later is of a clock that was ahead, and has ended."""

MOST_HELD = 10
"""Leases of one holder at a time: else one agent could keep all numbers from the others."""

_PROCESS = "process "


@dataclass(frozen=True, slots=True)
class NumberLease:
    """Who has a number, and what came before: events up to `seq`, and messages from before `remote_since` on piv.day's
    clock, if that was known. `since` and `until` are on this machine's clock."""

    number: str
    holder: str
    since: float
    until: float
    seq: int
    remote_since: float | None = None


_COLUMNS = tuple(NumberLease.__dataclass_fields__)
_read = RowReader(NumberLease)
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM number_leases WHERE account = ?"  # noqa: S608 - our own column names


def holder_of(agent: str) -> str:
    """The name by which an agent holds leases."""
    return f"agent {agent}"


def holder_of_process(process: str) -> str:
    """The name by which a process holds leases where no agents are told apart."""
    return f"{_PROCESS}{process}"


def _is_gone(connection: Connection, holder: str) -> bool:
    """Whether the holder is a process that has ended."""
    return holder.startswith(_PROCESS) and connection.is_gone(holder.removeprefix(_PROCESS))


def current(connection: Connection, now: float) -> Iterator[NumberLease]:
    """The account's leases that have not ended."""
    rows = connection.rows(f"{_SELECT} AND until > ? AND until <= ?", (connection.account, now, now + MOST_SECONDS))
    return (lease for lease in map(_read, list(rows)) if not _is_gone(connection, lease.holder))


def others(connection: Connection, holder: str, now: float) -> list[NumberLease]:
    """Those that are not of `holder`."""
    return [lease for lease in current(connection, now) if lease.holder != holder]


def take(
    connection: Connection,
    candidates: Sequence[str],
    holder: str,
    *,
    now: float,
    remote_now: float | None,
    seconds: float,
    seq: int,
    extends: bool = False,
) -> NumberLease | None:
    """Lease the one of these numbers to `holder` that was idle longest, for so many seconds; None if all are leased.
    `extends`: there is a single one, and if `holder` has it already, its lease is extended. `seq` is the id of the
    newest event."""
    held = {lease.number: lease for lease in current(connection, now)}
    own = held.get(candidates[0]) if extends else None
    if own is not None and own.holder == holder:
        until = max(own.until, now + seconds)
        query = "UPDATE number_leases SET until = ? WHERE account = ? AND number = ?"
        connection.execute(query, (until, connection.account, own.number))
        return NumberLease(own.number, holder, own.since, until, own.seq, own.remote_since)
    free = [number for number in candidates if number not in held]
    if not free:
        return None
    idlest = min(free, key=lambda number: _busy_at(connection, number, now))
    lease = NumberLease(idlest, holder, now, now + seconds, seq, remote_now)
    updates = ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS if name != "number")
    connection.execute(
        f"INSERT INTO number_leases ({', '.join(_COLUMNS)}, account) VALUES ({', '.join('?' * len(_COLUMNS))}, ?)"  # noqa: S608
        f" ON CONFLICT (account, number) DO UPDATE SET {updates}",
        (*(getattr(lease, name) for name in _COLUMNS), connection.account),
    )
    return lease


def release(connection: Connection, number: str, holder: str, now: float) -> bool:
    """End the holder's lease of a number; returns whether there was one."""
    query = "UPDATE number_leases SET until = ? WHERE account = ? AND number = ? AND holder = ? AND until > ?"
    return connection.execute(query, (now, connection.account, number, holder, now)) > 0


def _busy_at(connection: Connection, number: str, now: float) -> float:
    """When the number last got a message or was leased; 0 if never."""
    message = connection.rows(
        "SELECT arrived_at FROM events WHERE subject = ? AND account = ? AND text IS NOT NULL"
        " ORDER BY seq DESC LIMIT 1",
        (number, connection.account),
    )
    lease = connection.rows(f"{_SELECT} AND number = ?", (connection.account, number))
    times = [_read(row).until for row in lease] + [float(at) for (at,) in message if isinstance(at, int | float)]
    return max((at for at in times if at <= now), default=0.0)
