"""The SQL of the spending journal. Every change of state is one conditional UPDATE: of two processes, one wins.

quoted ──> approved ──> executing ──> charged | refused | unknown
 │ │           │                                          │
 │ └> declined │                               charged | not_charged   (reconciled)
 └──> expired <┘                                              │
                                                           charged     (it went through late)
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

State = Literal[
    "quoted", "approved", "declined", "expired", "executing", "charged", "refused", "unknown", "not_charged"
]


@dataclass(frozen=True, slots=True)
class Entry:
    """One row. Times are seconds since the epoch; money is decimal text."""

    id: str
    kind: str
    area: str
    arguments: str
    fingerprint: str
    state: State
    quote: str
    price: str | None
    quoted_at: float
    expires_at: float
    seq: int = 0
    decided_at: float | None = None
    decided_by: str | None = None
    before: str | None = None
    owner: str | None = None
    sent_at: float | None = None
    settled_at: float | None = None
    charged: str | None = None
    result: str | None = None
    problem: str | None = None
    evidence: str | None = None
    reported: int = 0
    refunded: str | None = None
    refunded_by: int | None = None


_COLUMNS = tuple(Entry.__dataclass_fields__)
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM spending"  # noqa: S608 - our own column names
_STORED = tuple(name for name in _COLUMNS if name != "seq")
_INSERT = f"INSERT INTO spending ({', '.join(_STORED)}) VALUES ({', '.join('?' * len(_STORED))})"  # noqa: S608


def insert(connection: sqlite3.Connection, entry: Entry) -> None:
    connection.execute(_INSERT, [getattr(entry, name) for name in _STORED])


def get(connection: sqlite3.Connection, id_: str) -> Entry | None:
    rows = select(connection, "id = ?", (id_,))
    return rows[0] if rows else None


def select(connection: sqlite3.Connection, condition: str, values: Sequence[object] = ()) -> list[Entry]:
    cursor = connection.execute(f"{_SELECT} WHERE {condition}", tuple(values))
    return [_entry(row) for row in cursor]


def change(
    connection: sqlite3.Connection, id_: str, *, only_if: Sequence[State], now: float | None = None, **columns: object
) -> bool:
    """Set `columns` if the entry is in one of the states `only_if` (and, with `now`, not expired); says whether."""
    assignments = ", ".join(f"{name} = ?" for name in columns)
    condition = f"id = ? AND state IN ({', '.join('?' * len(only_if))})"
    values: list[object] = [*columns.values(), id_, *only_if]
    if now is not None:
        condition += " AND expires_at > ?"
        values.append(now)
    return connection.execute(f"UPDATE spending SET {assignments} WHERE {condition}", values).rowcount == 1  # noqa: S608


def expire(connection: sqlite3.Connection, now: float) -> None:
    """Quotes and approvals whose time is over."""
    connection.execute(
        "UPDATE spending SET state = 'expired', settled_at = ?"
        " WHERE state IN ('quoted', 'approved') AND expires_at <= ?",
        (now, now),
    )


def reserved_by_budget(connection: sqlite3.Connection, since: float) -> Decimal:
    """What the budget has approved since then: actual charges where known, else the price. Refused ones are free."""
    rows = connection.execute(
        "SELECT charged, price FROM spending WHERE decided_by = 'budget' AND decided_at > ?"
        " AND state IN ('approved', 'executing', 'charged', 'unknown')",
        (since,),
    )
    return sum((Decimal(charged if charged is not None else price or "0") for charged, price in rows), Decimal(0))


def _entry(row: Sequence[Any]) -> Entry:
    return Entry(**dict(zip(_COLUMNS, row, strict=True)))
