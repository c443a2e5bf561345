"""The SQL of what was charged: the journal's sums by day, area and agent."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from piv_mcp.store.connection import Connection, Value
from piv_mcp.store.rows import amount_of, is_time
from piv_mcp.text.times import DAY_SECONDS, utc


@dataclass(frozen=True, slots=True)
class Sum:
    """What was charged on one day (UTC, `YYYY-MM-DD`) in one area for one agent, in US dollars, by how many actions.
    `unknown` counts actions whose charge is not known, and which are in neither."""

    day: str
    area: str
    agent: str | None = None
    charged: Decimal = Decimal(0)
    actions: int = 0
    unknown: int = 0

    def plus(self, other: "Sum") -> "Sum":
        return Sum(
            self.day,
            self.area,
            self.agent,
            self.charged + other.charged,
            self.actions + other.actions,
            self.unknown + other.unknown,
        )


# Casting to a whole number rounds in one engine and cuts in the other; both know `round`, though not of halves alike.
_DAYS = "coalesce(settled_at, quoted_at) / 86400"
_DAY = f"round({_DAYS}) - CASE WHEN round({_DAYS}) > {_DAYS} THEN 1 ELSE 0 END"


def charged(connection: Connection, since: float, agent: str | None = None) -> list[Sum]:
    """The sums of entries quoted since the time `since`, of one agent or of all, the newest day first. What cost
    nothing is left out."""
    values: list[Value] = [connection.account, since]
    of_agent = ""
    if agent is not None:
        of_agent = " AND agent = ?"
        values.append(agent)
    # Equal amounts are counted, and added up as decimals here: a sum in SQL would be one of binary fractions.
    rows = connection.rows(
        f"SELECT {_DAY}, area, agent, charged, count(*) FROM spending"  # noqa: S608 - our own words
        f" WHERE account = ? AND state = 'charged' AND quoted_at >= ?{of_agent} GROUP BY 1, 2, 3, 4",
        values,
    )
    return combined(
        _sum(_date(day), str(area), None if name is None else str(name), text, count)
        for day, area, name, text, count in rows
    )


def combined(sums: Iterable[Sum], *, by_agent: bool = True) -> list[Sum]:
    """The sums with those of the same day and area, and unless not `by_agent` of the same agent, added up."""
    found: dict[tuple[str, str, str | None], Sum] = {}
    for item in sums:
        if not item.actions and not item.unknown:
            continue
        place = (item.day, item.area, item.agent if by_agent else None)
        found[place] = found.get(place, Sum(*place)).plus(item)
    return [found[place] for place in sorted(found, key=lambda place: (*place[:2], place[2] or ""), reverse=True)]


def _sum(day: str, area: str, agent: str | None, text: object, count: int) -> Sum:
    amount = None if text is None else amount_of(text)
    if amount is None:
        return Sum(day, area, agent, unknown=count)
    return Sum(day, area, agent, amount * count, count if amount else 0)


def _date(day: object) -> str:
    """The date of a day that is counted from the epoch; the first one, if the row is damaged."""
    seconds = day * DAY_SECONDS if isinstance(day, int | float) else 0.0
    return f"{utc(seconds if is_time(seconds) else 0.0):%Y-%m-%d}"
