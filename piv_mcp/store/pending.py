"""The SQL of what is in progress at piv.day: what this store began, and what lists of the account show to be so.

A row is there until piv.day itself shows the end, so that neither a restart nor days of sleep lose one.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from piv_mcp.api.events import EventType
from piv_mcp.config import Area
from piv_mcp.store import sight
from piv_mcp.store.connection import Connection, Value
from piv_mcp.store.rows import RowReader

Kind = Literal["registration", "renewal", "site", "restore", "message", "verification"]


@dataclass(frozen=True, slots=True)
class Pending:
    """One thing in progress. Times are seconds since the epoch, on this machine.

    `id` is the API's: of the registered domain (of its queue entry, if the domain's is not known), of a renewal's queue
    entry, of a site, a message or a verification's number; of a restore, the ids of its numbers. `subject` is the
    number, if it is about one. `facts` is a JSON object of what else is known. `since` is when it began or was first
    seen, `looked_at` when it was last looked at, and `state` the word that the API had for it then.
    """

    kind: Kind
    id: str
    subject: str | None = None
    facts: str = "{}"
    since: float = 0.0
    looked_at: float | None = None
    state: str | None = None

    @property
    def known(self) -> dict[str, Any]:
        with suppress(ValueError):  # it is damaged
            facts: object = json.loads(self.facts)
            return cast("dict[str, Any]", facts) if isinstance(facts, dict) else {}
        return {}

    @property
    def numbers(self) -> frozenset[str]:
        """The ids of the numbers that it is about."""
        return frozenset(self.id.split(",") if self.kind == "restore" else filter(None, [self.subject]))

    @property
    def asked_at(self) -> float:
        """When it was last known to be in progress."""
        return self.looked_at if self.looked_at is not None else self.since


@dataclass(frozen=True, slots=True)
class Sought:
    """What a call waits for: things of these kinds, of which an id of `ids` (by the tool's name for it) names one,
    about `number` if that is given. `is_open`: it waits for any event."""

    kinds: Sequence[Kind]
    ids: Mapping[str, str] = field(default_factory=dict[str, str])
    number: str | None = None
    is_open: bool = False

    @property
    def names_one(self) -> bool:
        return bool(self.ids) or self.number is not None

    def means(self, row: Pending) -> bool:
        if row.kind not in self.kinds:
            return False
        if self.number is not None and self.number not in {row.subject, *row.id.split(",")}:
            return False
        named = {row.id, *(row.known.get(name) for name in ("domain_id", "queue_id"))}
        return named.issuperset(self.ids.values())


def pending(kind: Kind, id: str, subject: str | None = None, *, state: str | None = None, **facts: object) -> Pending:
    """A thing in progress with what is known of it."""
    known = {name: value for name, value in facts.items() if value is not None}
    return Pending(kind, id, subject, json.dumps(known, ensure_ascii=False), state=state)


AREA_OF_KIND: Mapping[Kind, Area] = {"registration": "domains", "renewal": "domains", "site": "whites"}
"""The area of a thing in progress that is not about numbers."""

ENDS: Mapping[Kind, tuple[EventType, ...]] = {
    "registration": ("domain.registered", "domain.failed"),
    "renewal": ("domain.renewed", "domain.failed"),
    "site": ("white.completed", "white.failed"),
    "restore": ("number.restore_completed",),
    "message": ("sms.status_updated",),
    "verification": ("verify.completed", "verify.failed"),
}
"""The events that tell how a thing in progress has ended."""

_COLUMNS = tuple(Pending.__dataclass_fields__)
_read = RowReader(Pending)


def in_progress(connection: Connection, kinds: Sequence[Kind] = (), subject: str | None = None) -> list[Pending]:
    """What is in progress, of these kinds (of all, if there are none), about one number or any; the newest first."""
    where, values = ["account = ?"], [connection.account, *kinds]
    if kinds:
        where.append(f"kind IN ({', '.join('?' * len(kinds))})")
    if subject is not None:
        where.append("subject = ?")
        values.append(subject)
    query = f"SELECT {', '.join(_COLUMNS)} FROM pending WHERE {' AND '.join(where)} ORDER BY since DESC"  # noqa: S608
    found = [_read(row) for row in connection.rows(query, values)]
    return [row for row in found if sight.shows(connection, AREA_OF_KIND.get(row.kind), row.numbers)]


def begin(connection: Connection, begun: Pending) -> None:
    """Note what has begun now. What was noted of the same thing before is over, also of single numbers of a restore."""
    for part in {begun.id, *begun.id.split(",")}:
        connection.execute(
            "DELETE FROM pending WHERE account = ? AND kind = ? AND id = ?", (connection.account, begun.kind, part)
        )
    _put(connection, begun)


def find(connection: Connection, found: Pending) -> None:
    """Note what a list shows to be in progress, unless that is known."""
    _put(connection, found)


def _put(connection: Connection, row: Pending) -> None:
    values = [getattr(row, name) for name in _COLUMNS]
    connection.execute(
        f"INSERT INTO pending ({', '.join(_COLUMNS)}, account)"  # noqa: S608 - our own names
        f" VALUES ({', '.join('?' * len(_COLUMNS))}, ?) ON CONFLICT (account, kind, id) DO NOTHING",
        (*values, connection.account),
    )


def note(connection: Connection, looked: Pending) -> None:
    """Note what a look has shown of it, unless it has ended or begun anew meanwhile."""
    values = (looked.facts, looked.looked_at, looked.state, *_same(connection, looked))
    connection.execute(f"UPDATE pending SET facts = ?, looked_at = ?, state = ? WHERE {_SAME}", values)  # noqa: S608


def end(connection: Connection, ended: Pending) -> bool:
    """Forget what has ended; returns whether nobody had done so, and it had not begun anew."""
    return connection.execute(f"DELETE FROM pending WHERE {_SAME}", _same(connection, ended)) > 0  # noqa: S608


_SAME = "account = ? AND kind = ? AND id = ? AND since = ?"


def _same(connection: Connection, row: Pending) -> tuple[Value, ...]:
    return connection.account, row.kind, row.id, row.since
