"""The SQL of the journal's entries as a reader looks through them: chosen by what they are, in pages."""

from collections.abc import Mapping
from dataclasses import dataclass

from piv_mcp.store.connection import Connection, Row, Value
from piv_mcp.store.journal import Entry, select


def is_zero(amount: str) -> str:
    """The condition that an amount is known and zero, with any number of decimals: as piv.day writes it."""
    return f"trim(coalesce({amount}, 'unknown'), '0.') = ''"


_FREE = " AND ".join((is_zero("price"), is_zero("coalesce(charged, '0')")))

_ENDED: Mapping[str, str] = {
    "done": f"state = 'charged' AND {_FREE}",
    "charged": f"state = 'charged' AND NOT ({_FREE})",
    "cancelled": "state = 'declined' AND problem = 'cancel'",
    "declined": "state = 'declined' AND coalesce(problem, '') <> 'cancel'",
}
"""What a reader tells apart and a state does not: what cost nothing, and a question that was closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryFilter:
    """Which entries are wanted: those quoted since the time `since`, of this outcome, area and agent. None means any;
    an `agent` that is empty, those of no agent."""

    since: float = 0.0
    outcome: str | None = None
    area: str | None = None
    agent: str | None = None

    @property
    def condition(self) -> tuple[str, tuple[Value, ...]]:
        parts, values = ["quoted_at >= ?"], list[Value]([self.since])
        if self.outcome is not None and self.outcome in _ENDED:
            parts.append(_ENDED[self.outcome])
        elif self.outcome is not None:
            parts.append("state = ?")
            values.append(self.outcome)
        if self.area is not None:
            parts.append("area = ?")
            values.append(self.area)
        if self.agent is not None:
            parts.append("coalesce(agent, '') = ?")
            values.append(self.agent)
        return " AND ".join(parts), tuple(values)


def newest(connection: Connection, wanted: EntryFilter, *, limit: int, offset: int = 0) -> list[Entry]:
    """One page of the entries, the newest first."""
    condition, values = wanted.condition
    return select(connection, f"{condition} ORDER BY seq DESC LIMIT ? OFFSET ?", (*values, limit, offset))


def count(connection: Connection, wanted: EntryFilter) -> int:
    """How many such entries there are."""
    condition, values = wanted.condition
    query = f"SELECT count(*) FROM spending WHERE account = ? AND {condition}"  # noqa: S608 - our own words
    return connection.count(query, (connection.account, *values))


def after(connection: Connection, seq: int, wanted: EntryFilter, *, limit: int) -> list[Entry]:
    """The next entries after the one with this `seq`, the oldest first."""
    condition, values = wanted.condition
    return select(connection, f"seq > ? AND {condition} ORDER BY seq LIMIT ?", (seq, *values, limit))


def agents(connection: Connection) -> list[str]:
    """The names of the agents that have asked for anything."""
    rows = connection.rows(
        "SELECT DISTINCT agent FROM spending WHERE account = ? AND agent IS NOT NULL", (connection.account,)
    )
    return sorted(str(name) for (name,) in rows)


def charged_mark(connection: Connection) -> Row:
    """Changes whenever something was carried out, whether it cost anything or not."""
    query = "SELECT count(*), max(settled_at) FROM spending WHERE account = ? AND state = 'charged'"
    return next(connection.rows(query, (connection.account,)))


def mark(connection: Connection) -> Row:
    """Changes whenever an entry does: each change of a state notes its time."""
    query = (
        "SELECT count(*), max(seq), count(decided_at), max(decided_at), count(sent_at), max(sent_at),"
        " count(settled_at), max(settled_at), count(refunded) FROM spending WHERE account = ?"
    )
    return next(connection.rows(query, (connection.account,)))
