"""The SQL of the spending journal. Every change of state is one conditional UPDATE: of two processes, one wins.

quoted ──> approved ──> executing ──> charged | refused | unknown
 │ │           │                                          │
 │ └> declined │                               charged | not_charged   (reconciled)
 └──> expired <┘                                              │
                                                           charged     (it went through late)
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

from piv_mcp.store.connection import Connection, Row, Value

State = Literal[
    "quoted", "approved", "declined", "expired", "executing", "charged", "refused", "unknown", "not_charged"
]

OBJECT_ID = "object_id"
"""Beside the API's answer in a stored result: what the action made."""

EVENT_ID = "event:"
"""Begins the object id of an entry that an event settled: an event speaks of one entry."""

LOOKED_THROUGH = 500
"""Entries with a result that are searched for what they made."""


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

    @property
    def object_id(self) -> str | None:
        """The id of what the action made, if it is known."""
        object_id = json.loads(self.result or "{}").get(OBJECT_ID)
        return object_id if isinstance(object_id, str) else None


_COLUMNS = tuple(Entry.__dataclass_fields__)
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM spending"  # noqa: S608 - our own column names
_STORED = tuple(name for name in _COLUMNS if name != "seq")
_INSERT = f"INSERT INTO spending ({', '.join(_STORED)}) VALUES ({', '.join('?' * len(_STORED))})"  # noqa: S608


# --- reading


def get(connection: Connection, entry_id: str) -> Entry | None:
    return _first(connection, "id = ?", (entry_id,))


def newest(
    connection: Connection, *, limit: int, states: Sequence[State] = (), kinds: Sequence[str] = (), since: float = 0.0
) -> list[Entry]:
    """Entries quoted since then, in any of the states and of any of the kinds if some are named; the newest first."""
    condition, values = "quoted_at >= ?", [since]
    for column, wanted in (("state", states), ("kind", kinds)):
        if wanted:
            condition += f" AND {column} IN ({', '.join('?' * len(wanted))})"
    return _select(connection, f"{condition} ORDER BY seq DESC LIMIT ?", (*values, *states, *kinds, limit))


def blocking(connection: Connection, fingerprint: str) -> Entry | None:
    """An equal action whose outcome is unknown, or became known and was told to nobody yet."""
    return _first(
        connection,
        "fingerprint = ? AND (state = 'unknown' OR (reported = 0 AND state IN ('charged', 'not_charged', 'refused')))"
        " ORDER BY seq DESC",
        (fingerprint,),
    )


def shared(connection: Connection, fingerprint: str) -> Entry | None:
    """An equal action that a person is being asked about, or whose approval is being carried out."""
    return _first(
        connection,
        "fingerprint = ? AND state IN ('quoted', 'approved', 'executing') AND coalesce(decided_by, '') <> 'budget'"
        " ORDER BY seq DESC",
        (fingerprint,),
    )


def standing(connection: Connection, fingerprint: str, now: float) -> Entry | None:
    """The entry that a call for this action meets, before anything is quoted."""
    expire(connection, now)
    return blocking(connection, fingerprint) or shared(connection, fingerprint)


def not_charged_since(connection: Connection, since: float, *, fingerprint: str | None = None) -> list[Entry]:
    """Entries (of an equal action, if one is named) that were found not charged since then."""
    equal, values = ("", ()) if fingerprint is None else (" AND fingerprint = ?", (fingerprint,))
    return _select(connection, f"state = 'not_charged' AND settled_at > ?{equal}", (since, *values))


def made(connection: Connection) -> frozenset[str]:
    """The objects that entries have made, and the events that told of their refunds."""
    entries = _select(connection, "result IS NOT NULL ORDER BY seq DESC LIMIT ?", (LOOKED_THROUGH,))
    objects = {entry.object_id for entry in entries if entry.object_id is not None}
    return frozenset(objects | {f"{EVENT_ID}{entry.refunded_by}" for entry in entries if entry.refunded_by is not None})


def around(connection: Connection, entry: Entry, since: float) -> list[Entry]:
    """Other entries that were executing or settled since then: they moved the balance, too."""
    return _select(
        connection,
        "id <> ? AND sent_at IS NOT NULL AND (state IN ('executing', 'unknown') OR settled_at >= ?)",
        (entry.id, since),
    )


def unexplained(connection: Connection, entry: Entry, since: float) -> list[Entry]:
    """Other entries of its kind, charged since then, that no event has settled or refunded."""
    rows = _select(
        connection,
        "kind = ? AND id <> ? AND state = 'charged' AND settled_at > ? AND refunded_by IS NULL",
        (entry.kind, entry.id, since),
    )
    return [row for row in rows if not (row.object_id or "").startswith(EVENT_ID)]


def reserved_by_budget(connection: Connection, since: float) -> Decimal:
    """What the budget has approved since then: actual charges where known, else the price. Refused ones are free."""
    rows = connection.rows(
        "SELECT charged, price FROM spending WHERE decided_by = 'budget' AND decided_at > ?"
        " AND state IN ('approved', 'executing', 'charged', 'unknown')",
        (since,),
    )
    return sum((Decimal(charged if charged is not None else price or "0") for charged, price in rows), Decimal(0))


# --- changing


def insert(connection: Connection, entry: Entry) -> Entry:
    connection.execute(_INSERT, [getattr(entry, name) for name in _STORED])
    return entry


def change(
    connection: Connection,
    entry_id: str,
    columns: Mapping[str, Value],
    *,
    only_if: Sequence[State],
    now: float | None = None,
) -> bool:
    """Set `columns` if the entry is in one of the states `only_if` (and, with `now`, not expired); says whether."""
    assignments = ", ".join(f"{name} = ?" for name in columns)
    condition = f"id = ? AND state IN ({', '.join('?' * len(only_if))})"
    values: list[Value] = [*columns.values(), entry_id, *only_if]
    if now is not None:
        condition += " AND expires_at > ?"
        values.append(now)
    return connection.execute(f"UPDATE spending SET {assignments} WHERE {condition}", values) == 1  # noqa: S608


def expire(connection: Connection, now: float) -> None:
    """Quotes and approvals whose time is over."""
    connection.execute(
        "UPDATE spending SET state = 'expired', settled_at = ?"
        " WHERE state IN ('quoted', 'approved') AND expires_at <= ?",
        (now, now),
    )


def propose(
    connection: Connection,
    entry: Entry,
    *,
    budget: Decimal | None,
    daily_budget: Decimal,
    spent_since: float,
    doubtful_since: float,
) -> Entry:
    """The entry for an action: the one that is open already, or `entry`, which is new.

    `budget` dollars of the daily budget are asked for, if any; they are free if what the budget has approved since
    `spent_since` leaves room, and no equal action was found not charged since `doubtful_since`: whether that one is
    sent again is a person's decision.
    """
    now = entry.quoted_at
    expire(connection, now)
    if (known := blocking(connection, entry.fingerprint)) is not None:
        return known
    known = shared(connection, entry.fingerprint)
    if known is not None and known.state == "approved":
        return known  # a person has said yes to it: that comes before the budget, and is good for one
    if budget is not None and not not_charged_since(connection, doubtful_since, fingerprint=entry.fingerprint):
        taken = reserved_by_budget(connection, spent_since)
        if taken + budget <= daily_budget:
            return insert(connection, replace(entry, state="approved", decided_at=now, decided_by="budget"))
    return known or insert(connection, entry)


def claim(connection: Connection, entry_id: str, *, owner: str, before: str, now: float) -> bool:
    """Take the one execution that an approval is good for; not while the outcome of an equal action is unknown."""
    entry = get(connection, entry_id)
    if entry is None or _first(connection, "fingerprint = ? AND state = 'unknown'", (entry.fingerprint,)) is not None:
        return False
    columns: dict[str, Value] = {"state": "executing", "owner": owner, "before": before, "sent_at": now}
    return change(connection, entry_id, columns, only_if=("approved",), now=now)


def withdraw(connection: Connection, entry_id: str, now: float) -> None:
    """The budget approved an entry that cannot be begun: what was reserved is free again."""
    entry = get(connection, entry_id)
    if entry is not None and entry.decided_by == "budget":
        change(connection, entry_id, {"state": "expired", "settled_at": now}, only_if=("approved",))


def settle(
    connection: Connection,
    entry_id: str,
    columns: Mapping[str, Value],
    *,
    object_id: str | None,
    only_if: Sequence[State],
) -> bool:
    """Settle an outcome by what the account showed; not if another entry has made the object `object_id`."""
    if object_id is not None and object_id in made(connection):
        return False
    return change(connection, entry_id, columns, only_if=only_if)


def recover(connection: Connection, runs: Callable[[Entry], bool], now: float) -> list[Entry]:
    """Executions of which `runs` says no become unknown. Returns all unknown entries, the oldest first."""
    for entry in _select(connection, "state = 'executing'"):
        if not runs(entry):
            problem = "the process that sent it ended before the answer came"
            columns: dict[str, Value] = {"state": "unknown", "settled_at": now, "problem": problem}
            change(connection, entry.id, columns, only_if=("executing",))
    return _select(connection, "state = 'unknown' ORDER BY seq")


# --- rows


def _select(connection: Connection, condition: str, values: Sequence[Value] = ()) -> list[Entry]:
    return [_entry(row) for row in connection.rows(f"{_SELECT} WHERE {condition}", values)]


def _first(connection: Connection, condition: str, values: Sequence[Value]) -> Entry | None:
    return next(iter(_select(connection, f"{condition} LIMIT 1", values)), None)


def _entry(row: Row) -> Entry:
    return Entry(**dict(zip(_COLUMNS, row, strict=True)))
