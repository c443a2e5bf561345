"""The SQL of the spending journal. Every change of state is one conditional UPDATE, so only one process can make it.

quoted ──> approved ──> executing ──> charged | refused | unknown
 │ │         │ │                                          │
 │ └> declined └> price_changed                charged | not_charged   (reconciled)
 └─> expired <┘                                               │
                                                           charged     (the API carried it out late)
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal, get_args

from piv_mcp.store.connection import Connection, Row, Value
from piv_mcp.store.limits import Budget, Obstacle, obstacle
from piv_mcp.store.rows import LAST_TIME, RowReader, amount_of

State = Literal[
    "quoted",
    "approved",
    "declined",
    "expired",
    "price_changed",
    "executing",
    "charged",
    "refused",
    "unknown",
    "not_charged",
]

STATES: tuple[State, ...] = get_args(State)
_ANY_STATE = ", ".join("?" * len(STATES))

OBJECT_ID = "object_id"
"""The field of a stored result, beside the API's answer, that holds the id of the object that the action created."""

MAX_SEARCHED_ENTRIES = 500
"""The newest entries with a result that are searched for created objects."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the journal. Times are seconds since the epoch; money is decimal text in US dollars. `agent` is the
    name of the agent that asked; None where the server is one person's. `proof` shows who decided: see
    `spending/proof.py`."""

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
    agent: str | None = None
    proof: str | None = None

    @property
    def object_id(self) -> str | None:
        """The id of the object that the action created, if known."""
        with suppress(ValueError):  # it is damaged
            object_id = json.loads(self.result or "{}").get(OBJECT_ID)
            return object_id if isinstance(object_id, str) else None
        return None


_COLUMNS = tuple(Entry.__dataclass_fields__)
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM spending"  # noqa: S608 - our own column names
_STORED = tuple(name for name in _COLUMNS if name != "seq")
_read = RowReader(Entry)
_INSERT = f"INSERT INTO spending ({', '.join(_STORED)}, account) VALUES ({', '.join('?' * len(_STORED))}, ?)"  # noqa: S608


# --- reading


def get(connection: Connection, entry_id: str) -> Entry | None:
    return _first(connection, "id = ?", (entry_id,))


def newest(
    connection: Connection,
    *,
    limit: int,
    states: Sequence[State] = (),
    kinds: Sequence[str] = (),
    since: float = 0.0,
    agent: str | None = None,
) -> list[Entry]:
    """Entries quoted since the time `since`, the newest first. Empty `states` or `kinds` mean any, no `agent` all."""
    condition, values = "quoted_at >= ?", [since]
    for column, wanted in (("state", states), ("kind", kinds)):
        if wanted:
            condition += f" AND {column} IN ({', '.join('?' * len(wanted))})"
    of_agent = () if agent is None else (agent,)
    condition += " AND agent = ?" if of_agent else ""
    return select(connection, f"{condition} ORDER BY seq DESC LIMIT ?", (*values, *states, *kinds, *of_agent, limit))


_EQUAL = "fingerprint = ? AND coalesce(agent, '') = ?"
"""An equal action of the same caller: nobody gets the outcome of another's."""


def blocking(connection: Connection, fingerprint: str, agent: str | None = None) -> Entry | None:
    """The entry of an equal action of the agent whose outcome is unknown, or known but not reported to it yet."""
    return _first(
        connection,
        f"{_EQUAL} AND (state = 'unknown' OR (reported = 0 AND state IN ('charged', 'not_charged', 'refused')))"
        " ORDER BY seq DESC",
        (fingerprint, agent or ""),
    )


def pending(connection: Connection, fingerprint: str, agent: str | None = None) -> Entry | None:
    """The entry of an equal action of the agent that waits for a person's approval, or that a person approved and is
    not ended."""
    return _first(
        connection,
        f"{_EQUAL} AND state IN ('quoted', 'approved', 'executing') AND coalesce(decided_by, '') <> 'budget'"
        " ORDER BY seq DESC",
        (fingerprint, agent or ""),
    )


def find_open(connection: Connection, fingerprint: str, now: float, agent: str | None = None) -> Entry | None:
    """The entry of an equal action of the agent that is not finished or not reported: a new call continues it."""
    expire(connection, now)
    return blocking(connection, fingerprint, agent) or pending(connection, fingerprint, agent)


def not_charged_since(connection: Connection, since: float, *, fingerprint: str | None = None) -> list[Entry]:
    """Entries that were settled as not charged since the time `since`; with `fingerprint`, of equal actions only."""
    equal, values = ("", ()) if fingerprint is None else (" AND fingerprint = ?", (fingerprint,))
    return select(connection, f"state = 'not_charged' AND settled_at > ?{equal}", (since, *values))


def made(connection: Connection) -> frozenset[str]:
    """The ids of the objects that entries have created."""
    entries = select(connection, "result IS NOT NULL ORDER BY seq DESC LIMIT ?", (MAX_SEARCHED_ENTRIES,))
    return frozenset(entry.object_id for entry in entries if entry.object_id is not None)


def moved_balance_since(connection: Connection, entry: Entry, since: float) -> list[Entry]:
    """Other entries that are executing or unknown, or were settled since the time `since`: they may have changed the
    balance."""
    return select(
        connection,
        "id <> ? AND sent_at IS NOT NULL AND (state IN ('executing', 'unknown') OR settled_at >= ?)",
        (entry.id, since),
    )


def charged_between(connection: Connection, entry: Entry, since: float, until: float) -> list[Entry]:
    """Other entries of the same kind that were charged between two times."""
    return select(
        connection,
        "kind = ? AND id <> ? AND state = 'charged' AND settled_at > ? AND settled_at <= ?",
        (entry.kind, entry.id, since, until),
    )


def count_waiting(connection: Connection, now: float, agent: str | None = None) -> int:
    """How many entries wait for a person's decision, of one agent or of all."""
    query = "SELECT count(*) FROM spending WHERE state = 'quoted' AND expires_at > ? AND account = ?"
    of_agent = () if agent is None else (agent,)
    return connection.count(query + (" AND agent = ?" if of_agent else ""), (now, connection.account, *of_agent))


def overcharged(connection: Connection, kind: str) -> Entry | None:
    """The latest entry of this kind with a price for which more was charged, or an amount that is not known."""
    query = (
        "SELECT id, charged, price FROM spending WHERE account = ? AND kind = ? AND state = 'charged'"
        " AND price IS NOT NULL AND (charged IS NULL OR charged <> price) ORDER BY seq DESC"
    )
    for entry_id, charged, price in connection.rows(query, (connection.account, kind)):
        more, expected = (None if amount is None else amount_of(amount) for amount in (charged, price))
        if more is None or more > (expected or 0):
            return get(connection, str(entry_id))
    return None


def unsettled(connection: Connection, kind: str) -> list[Entry]:
    """Entries of this kind that were sent and have no known outcome, the newest first."""
    return select(connection, "kind = ? AND state IN ('executing', 'unknown') ORDER BY seq DESC", (kind,))


def doubtful(connection: Connection, is_running: Callable[[Connection, Entry], bool], since: float) -> frozenset[str]:
    """The ids of entries that were sent and have no known outcome, but for those that run, and of those that were
    settled as not charged since the time `since`."""
    sent = select(connection, "state IN ('executing', 'unknown')")
    lost = [entry for entry in sent if entry.state == "unknown" or not is_running(connection, entry)]
    return frozenset(entry.id for entry in (*lost, *not_charged_since(connection, since)))


def sent_or_settled_since(connection: Connection, entry_id: str, since: float) -> bool:
    """Whether any other entry was sent, or settled, since the time `since`."""
    condition = "id <> ? AND sent_at IS NOT NULL AND (sent_at >= ? OR settled_at >= ?)"
    return _first(connection, condition, (entry_id, since, since)) is not None


# --- changing


def insert(connection: Connection, entry: Entry) -> Entry:
    connection.execute(_INSERT, [*(getattr(entry, name) for name in _STORED), connection.account])
    return entry


def put_back(connection: Connection, entry: Entry) -> bool:
    """Store an entry that another file of the store has, unless it is here, and in its place one that was not sent yet.
    Open quotes and approvals stay away. Returns whether the entry was missing."""
    known = get(connection, entry.id)
    if entry.state in ("quoted", "approved"):
        return False
    if known is None:
        insert(connection, entry)
        return True
    if known.sent_at is not None or entry.sent_at is None:
        return False
    return change(connection, entry.id, {name: getattr(entry, name) for name in _STORED}, only_if=STATES)


def change(
    connection: Connection,
    entry_id: str,
    columns: Mapping[str, Value],
    *,
    only_if: Sequence[State],
    now: float | None = None,
) -> bool:
    """Set `columns` if the entry is in one of the states `only_if` and, with `now`, not expired; returns whether so."""
    assignments = ", ".join(f"{name} = ?" for name in columns)
    condition = f"id = ? AND account = ? AND state IN ({', '.join('?' * len(only_if))})"
    values: list[Value] = [*columns.values(), entry_id, connection.account, *only_if]
    if now is not None:
        condition += " AND expires_at > ? AND expires_at < ?"
        values += (now, LAST_TIME)
    return connection.execute(f"UPDATE spending SET {assignments} WHERE {condition}", values) == 1  # noqa: S608


def expire(connection: Connection, now: float) -> None:
    """Mark the quotes and approvals whose time is over, or cannot be read, as expired."""
    connection.execute(
        "UPDATE spending SET state = 'expired', settled_at = ?"
        " WHERE state IN ('quoted', 'approved') AND (expires_at <= ? OR expires_at >= ?)",
        (now, now, LAST_TIME),
    )


def expire_all(connection: Connection, now: float) -> None:
    """Mark all quotes and approvals as expired."""
    query = "UPDATE spending SET state = 'expired', settled_at = ? WHERE state IN ('quoted', 'approved')"
    connection.execute(query, (now,))


def propose(
    connection: Connection,
    entry: Entry,
    *,
    budget: Budget | None,
    spent_since: float,
    doubtful_since: float,
    explained: Callable[[Obstacle], Entry],
) -> Entry:
    """The open entry of an equal action of the same agent; if there is none, insert `entry` and return it.

    With a `budget` the entry is approved at once if each of its limits has enough left since `spent_since`, and no
    equal action was settled as not charged since `doubtful_since`: only a person may decide to send such an action
    again. Where a limit is in the way, the entry that `explained` returns is inserted.
    """
    now = entry.quoted_at
    expire(connection, now)
    if (known := blocking(connection, entry.fingerprint, entry.agent)) is not None:
        return known
    known = pending(connection, entry.fingerprint, entry.agent)
    if known is not None and known.state == "approved":
        return known  # use a person's approval before the budget
    if budget is not None and not not_charged_since(connection, doubtful_since, fingerprint=entry.fingerprint):
        in_the_way = obstacle(connection, spent_since, budget)
        if in_the_way is None:
            return insert(connection, replace(entry, state="approved", decided_at=now, decided_by="budget"))
        entry = explained(in_the_way)
    return known or insert(connection, entry)


def claim(connection: Connection, entry_id: str, *, owner: str, before: str, now: float) -> bool:
    """Start the one execution that an approval allows. Returns false if it was started already, if the approval has
    expired, or while the outcome of an equal action of the same agent is unknown."""
    entry = get(connection, entry_id)
    if entry is None:
        return False
    equal = (entry.fingerprint, entry.agent or "")
    if _first(connection, f"{_EQUAL} AND state = 'unknown'", equal) is not None:
        return False
    columns: dict[str, Value] = {"state": "executing", "owner": owner, "before": before, "sent_at": now}
    return change(connection, entry_id, columns, only_if=("approved",), now=now)


def withdraw(connection: Connection, entry_id: str, now: float) -> None:
    """Expire an entry that the budget approved and that cannot be executed, which frees its part of the budget."""
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
    """Settle an outcome by what the account shows. Returns false, and changes nothing, if another entry has created the
    object `object_id`."""
    if object_id is not None and object_id in made(connection):
        return False
    return change(connection, entry_id, columns, only_if=only_if)


def recover(connection: Connection, is_running: Callable[[Connection, Entry], bool], now: float) -> list[Entry]:
    """Mark executing entries that no longer run as unknown, and those whose state cannot be read: they may have been
    sent. Returns all unknown entries, the oldest first."""
    problem = "its state could not be read"
    connection.execute(
        f"UPDATE spending SET state = 'unknown', settled_at = ?, problem = ? WHERE state NOT IN ({_ANY_STATE})",  # noqa: S608
        (now, problem, *STATES),
    )
    for entry in select(connection, "state = 'executing'"):
        if not is_running(connection, entry):
            problem = "the process that sent it ended before the answer came"
            columns: dict[str, Value] = {"state": "unknown", "settled_at": now, "problem": problem}
            change(connection, entry.id, columns, only_if=("executing",))
    return select(connection, "state = 'unknown' ORDER BY seq")


# --- rows


def select(connection: Connection, condition: str, values: Sequence[Value] = ()) -> list[Entry]:
    return [
        _entry(row)
        for row in connection.rows(f"{_SELECT} WHERE account = ? AND {condition}", (connection.account, *values))
    ]


def _first(connection: Connection, condition: str, values: Sequence[Value]) -> Entry | None:
    return next(iter(select(connection, f"{condition} LIMIT 1", values)), None)


def _entry(row: Row) -> Entry:
    entry = _read(row)
    amounts = {"price": entry.price, "charged": entry.charged, "refunded": entry.refunded}
    bad = {name: None for name, amount in amounts.items() if amount is not None and amount_of(amount) is None}
    state = entry.state if entry.state in STATES else "unknown"
    return replace(entry, state=state, **bad) if bad or state != entry.state else entry
