"""The SQL of limits: how much the budget may approve without a person, of an action, an agent, an area, and in all.

Each limit is a row of the same list. An action is approved if none of them is in its way.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from piv_mcp.store.connection import Connection, Value
from piv_mcp.store.rows import amount_of

Counted = Literal["action", "agent", "area", "day"]
"""What a limit counts: one action alone, or in 24 hours the actions of an agent, those in an area, or all."""


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `amount` US dollars of what it counts. `of` names the agent, or the area."""

    counts: Counted
    amount: Decimal
    of: str | None = None


@dataclass(frozen=True, slots=True)
class Budget:
    """What the budget needs to approve an action, in US dollars, and the limits that must all hold."""

    needed: Decimal
    limits: tuple[Limit, ...]


@dataclass(frozen=True, slots=True)
class Obstacle:
    """The first limit that keeps the budget from approving an action, and what is left of it in US dollars."""

    limit: Limit
    left: Decimal


def reserved(connection: Connection, since: float, limit: Limit) -> Decimal:
    """The sum, in US dollars, of what the budget has approved since the time `since` and the limit counts: the price,
    or the charge if that was more. Entries that were refused or not charged do not count. Infinite if the amount of one
    cannot be read."""
    if limit.counts == "action":
        return Decimal(0)
    counted: tuple[Value, ...] = () if limit.counts == "day" else (limit.of,)
    condition = f" AND {limit.counts} = ?" if counted else ""
    rows = connection.rows(
        "SELECT charged, price FROM spending WHERE decided_by = 'budget' AND decided_at > ?"  # noqa: S608 - our own words
        f" AND state IN ('approved', 'executing', 'charged', 'unknown') AND account = ?{condition}",
        (since, connection.account, *counted),
    )
    amounts = [(amount_of(charged or "0"), amount_of(price or "0")) for charged, price in rows]
    if any(amount is None for pair in amounts for amount in pair):
        return Decimal("Infinity")
    return sum((max(amount or Decimal(0) for amount in pair) for pair in amounts), Decimal(0))


def left(connection: Connection, since: float, limit: Limit) -> Decimal:
    """What is left of the limit, in US dollars, never negative."""
    return max(Decimal(0), limit.amount - reserved(connection, since, limit))


def all_left(connection: Connection, since: float, limits: Sequence[Limit]) -> list[Decimal]:
    """`left` of each limit."""
    return [left(connection, since, limit) for limit in limits]


def obstacle(connection: Connection, since: float, budget: Budget) -> Obstacle | None:
    """What is in the way of an action; None if the budget may approve it."""
    for limit in budget.limits:
        if (rest := left(connection, since, limit)) < budget.needed:
            return Obstacle(limit, rest)
    return None
