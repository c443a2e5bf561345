"""What a caller is shown of the account: an agent no numbers but its own, and nobody what has come to a number since
another has leased it.

Events, and what is in progress, are shown through a `ShownConnection`. What records them uses a plain connection, and
sees everything.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from piv_mcp.api.events import EVENT_TYPES, piv_num_ids
from piv_mcp.config import Area
from piv_mcp.errors import PivError
from piv_mcp.store import agents, number_leases
from piv_mcp.store.agents import Agent
from piv_mcp.store.connection import Connection, Row, Value
from piv_mcp.store.number_leases import NumberLease
from piv_mcp.text.nesting import shallow
from piv_mcp.text.times import utc

NUMBER_AREAS: frozenset[Area] = frozenset({"numbers", "inbox"})
"""An agent with one of these is shown what its numbers get."""

_AREAS: Mapping[str, Area] = {"proxy": "proxies", "domain": "domains", "white": "whites"}
"""The areas of events, by the beginnings of their types; all others are about numbers."""

SEVERAL_LOOKED_AT = 200
"""Of events about several numbers, so many of the newest are shown at most."""

FEW_NUMBERS = 50
"""Up to so many numbers of an agent their events are looked up by number."""

Limits = tuple[str, tuple[Value, ...]]
"""A condition in SQL that begins with AND, or nothing, and its values."""


class NumberLeasedError(PivError):
    """Another agent has the number for itself alone."""

    code = "NUMBER_LEASED"

    def __init__(self, lease: NumberLease, withheld: str = "what comes to it is not shown here until then") -> None:
        super().__init__(
            f"another agent has leased this number until {utc(lease.until):%H:%M:%S} UTC: {withheld}",
            hint="Use another number (lease_number gives a free one), or wait until then",
        )


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who is shown something. `holder` is the name by which leases are theirs. What is left is as for the person:
    `agent` is the name of an agent, which with `numbers_only` sees no numbers but its own, and no events but those of
    its `areas`."""

    holder: str
    agent: str | None = None
    numbers_only: bool = False
    areas: frozenset[Area] | None = None

    @classmethod
    def of(cls, agent: Agent, areas: Collection[Area]) -> "Viewer":
        return cls(number_leases.holder_of(agent.name), agent.name, bool(agent.numbers_only), frozenset(areas))

    @property
    def sees_numbers(self) -> bool:
        return self.areas is None or not NUMBER_AREAS.isdisjoint(self.areas)

    def types(self, *, lacking: bool = False) -> list[str]:
        """The types of events of the areas beside numbers that the viewer has, or lacks."""
        shown = set(_AREAS.values()) if self.areas is None else self.areas
        areas = {type_: _AREAS.get(type_.partition(".")[0]) for type_ in EVENT_TYPES}
        return [type_ for type_, area in areas.items() if area is not None and (area in shown) is not lacking]


class ShownConnection:
    """A connection as a viewer has it (implements `Connection`), in one transaction that begins at `now`."""

    def __init__(self, connection: Connection, viewer: Viewer, now: float) -> None:
        self._connection = connection
        self.viewer = viewer
        self._now = now
        self.account = connection.account

    def execute(self, sql: str, values: Sequence[Value] = ()) -> int:
        return self._connection.execute(sql, values)

    def rows(self, sql: str, values: Sequence[Value] = ()) -> Iterator[Row]:
        return self._connection.rows(sql, values)

    def count(self, sql: str, values: Sequence[Value] = ()) -> int:
        return self._connection.count(sql, values)

    def last_event(self) -> int:
        return self._connection.last_event()

    def note_events(self, last: int, subjects: Collection[str | None]) -> None:
        self._connection.note_events(last, subjects)

    def is_gone(self, owner: str) -> bool:
        return self._connection.is_gone(owner)

    def alone(self) -> None:
        self._connection.alone()

    def now(self, here: float) -> float:
        return self._connection.now(here)

    @cached_property
    def leases(self) -> dict[str, NumberLease]:
        """The leases of others, by number."""
        return {lease.number: lease for lease in number_leases.others(self, self.viewer.holder, self._now)}

    @cached_property
    def own_numbers(self) -> frozenset[str] | None:
        """The ids of the numbers that there are for the viewer; None: all."""
        if not self.viewer.sees_numbers:
            return frozenset()
        agent = self.viewer.agent
        return agents.numbers(self, agent) if self.viewer.numbers_only and agent is not None else None

    @cached_property
    def limits(self) -> Limits:
        parts: list[str] = []
        values: list[Value] = []
        for part, part_values in (self._of_areas(), self._of_numbers(), self._of_leases()):
            parts += [f" AND {part}"] if part else []
            values += part_values
        return "".join(parts), tuple(values)

    def _of_areas(self) -> Limits:
        if not self.viewer.sees_numbers:
            return _is_one_of("type", self.viewer.types())
        lacking = self.viewer.types(lacking=True)
        condition, values = _is_one_of("type", lacking)
        return (f"NOT ({condition})", values) if lacking else ("", ())

    def _of_numbers(self) -> Limits:
        if self.own_numbers is None or not self.viewer.sees_numbers:
            return "", ()
        # With each alternative in an index, SQLite reads these rows alone, however many there are of others. Of many
        # numbers it had better read the newest rows: `coalesce` keeps it from the index.
        subject = "subject" if len(self.own_numbers) <= FEW_NUMBERS else "coalesce(subject, '')"
        own = "SELECT number FROM agent_numbers WHERE agent = ? AND account = ?"
        parts = [f"{subject} IN ({own})"]
        values: list[Value] = [self.viewer.agent, self.account]
        for column, shown in (("type", self.viewer.types()), ("seq", self._several())):
            if shown:
                part, of_part = _is_one_of(column, shown)
                parts.append(part)
                values += of_part
        return f"({' OR '.join(parts)})", tuple(values)

    def _several(self) -> list[int]:
        """Events that are about several numbers, all of which are the viewer's own."""
        several = "SELECT seq, payload FROM events WHERE account = ? AND type = ? AND subject IS NULL"
        rows = self.rows(
            f"{several} ORDER BY seq DESC LIMIT ?", (self.account, "number.restore_completed", SEVERAL_LOOKED_AT)
        )
        told = [(int(seq), set(piv_num_ids(_data(payload)))) for seq, payload in rows]
        return [seq for seq, numbers in told if numbers and numbers <= (self.own_numbers or frozenset())]

    def _of_leases(self) -> Limits:
        if not self.leases:
            return "", ()
        leased, numbers = _is_one_of("lease.number", list(self.leases))
        later = "lease.account = ? AND lease.number = events.subject AND events.seq > lease.seq"
        condition = f"NOT EXISTS (SELECT 1 FROM number_leases AS lease WHERE {later} AND {leased})"  # noqa: S608
        return condition, (self.account, *numbers)

    def sees(self, number: str | None) -> bool:
        """Whether there is such a number for the viewer, as far as rights go."""
        return self.own_numbers is None or number in self.own_numbers

    def newest(self) -> int | None:
        """The id of the newest event that the viewer may be shown; None if it is that of all."""
        if self.viewer.areas is None or not (self.viewer.numbers_only or self.viewer.types(lacking=True)):
            return None
        # One query for each number and type: each is the end of an index.
        of_number = "SELECT max(seq) FROM events WHERE subject = ? AND account = ?"
        of_type = "SELECT max(seq) FROM events WHERE type = ? AND account = ?"
        if self.own_numbers is None:
            known = [type_ for type_ in EVENT_TYPES if type_ not in self.viewer.types(lacking=True)]
            return max(self.count(of_type, (type_, self.account)) for type_ in known)
        newest = [self.count(of_number, (number, self.account)) for number in self.own_numbers]
        newest += [self.count(of_type, (type_, self.account)) for type_ in self.viewer.types()]
        return max([0, *newest, *self._several()])


def _is_one_of(column: str, values: Sequence[Value]) -> Limits:
    return (f"{column} IN ({', '.join('?' * len(values))})", tuple(values)) if values else ("1 = 0", ())


def _data(payload: object) -> Mapping[str, Any]:
    with suppress(ValueError):  # it is damaged
        told: object = json.loads(shallow(str(payload)))
        data: object = cast("dict[str, Any]", told).get("data") if isinstance(told, dict) else None
        return cast("dict[str, Any]", data) if isinstance(data, dict) else {}
    return {}


def limits(connection: Connection) -> Limits:
    """What narrows a query of events to those that the connection's viewer is shown."""
    return connection.limits if isinstance(connection, ShownConnection) else ("", ())


def newest(connection: Connection) -> int | None:
    """The id of the newest event that the connection's viewer may be shown; None if it is that of all."""
    return connection.newest() if isinstance(connection, ShownConnection) else None


def shows(connection: Connection, area: Area | None, numbers: Collection[str]) -> bool:
    """Whether the connection's viewer is shown something in progress, of an area beside numbers or about these."""
    if not isinstance(connection, ShownConnection):
        return True
    viewer = connection.viewer
    if area is not None:
        return viewer.areas is None or area in viewer.areas
    is_free = connection.leases.keys().isdisjoint(numbers)
    return viewer.sees_numbers and is_free and all(map(connection.sees, numbers))


def refuse_leased(connection: Connection, number: str | None) -> None:
    """Raises `NumberLeasedError` if somebody else than the connection's viewer has leased the number."""
    if isinstance(connection, ShownConnection) and number in connection.leases and connection.sees(number):
        raise NumberLeasedError(connection.leases[number or ""])


def refuse_use(connection: Connection, numbers: Collection[str]) -> None:
    """Raises `NumberLeasedError` if one of the numbers, to which something is to be done, is another's for now."""
    if isinstance(connection, ShownConnection):
        for number in sorted(connection.leases.keys() & set(numbers)):
            if connection.sees(number):
                alone = "only that agent sends from it, verifies with it or restores it until then"
                raise NumberLeasedError(connection.leases[number], alone)
