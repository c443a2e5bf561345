"""The SQL by which a person reads through the inbox: all events by when they reached the account, the newest first."""

import string
from collections.abc import Sequence
from dataclasses import dataclass

from piv_mcp.store.connection import Connection, Value
from piv_mcp.store.event import StoredEvent
from piv_mcp.store.events import COLUMNS
from piv_mcp.store.rows import RowReader

SEARCHED_EVENTS = 20_000
"""Events that one search looks through: more would hold the page up."""

Place = tuple[float, int]
"""Where in the inbox an event stands: its moment, on piv.day's clock, and its id."""

_MOMENT = "coalesce(reached_at, sent_at, arrived_at)"
_MINE = "account + 0 = ?"
"""As the index of these queries has it."""
_ORDER = f"ORDER BY {_MOMENT} DESC, seq DESC"
_NAMES = ", ".join(COLUMNS)
_ASCII_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_read = RowReader(StoredEvent)


@dataclass(frozen=True, slots=True)
class InboxSearch:
    """What is looked for: events with `text` in their text, sender, code or link, or about one of `subjects`."""

    text: str
    subjects: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class EventList:
    """Some events, the newest first. `more`: there are older ones of these, after the last of them. `searched_to`: what
    is older than this place was not looked through."""

    events: Sequence[StoredEvent]
    more: bool
    searched_to: Place | None = None


def place_of(event: StoredEvent) -> Place:
    return event.moment, event.seq


def newest(
    connection: Connection,
    *,
    messages_only: bool,
    before: Place | None = None,
    sought: InboxSearch | None = None,
    limit: int,
) -> EventList:
    """The newest events, or those before a place. Of a search, what the newest `SEARCHED_EVENTS` of these hold."""
    where = _MINE if before is None else f"{_MINE} AND ({_MOMENT}, seq) < (?, ?)"
    values: list[Value] = [connection.account, *(before or ())]
    kinds = " AND text IS NOT NULL" if messages_only else ""
    if sought is None:
        query = f"SELECT {_NAMES} FROM events WHERE {where}{kinds} {_ORDER} LIMIT ?"  # noqa: S608 - our own names
        found = list(map(_read, connection.rows(query, (*values, limit + 1))))
        return EventList(found[:limit], len(found) > limit)
    matches, patterns = _matching(sought)
    looked_at = f"SELECT * FROM events WHERE {where} {_ORDER} LIMIT ?"  # noqa: S608
    query = f"SELECT {_NAMES} FROM ({looked_at}) AS newest WHERE ({matches}){kinds} {_ORDER} LIMIT ?"  # noqa: S608
    found = list(map(_read, connection.rows(query, (*values, SEARCHED_EVENTS, *patterns, limit + 1))))
    if len(found) > limit:
        return EventList(found[:limit], more=True)
    end = f"SELECT {_MOMENT}, seq FROM events WHERE {where} {_ORDER} LIMIT 1 OFFSET ?"  # noqa: S608
    last = next(connection.rows(end, (*values, SEARCHED_EVENTS - 1)), None)
    return EventList(found, more=False, searched_to=None if last is None else (float(last[0]), int(last[1])))


def _matching(sought: InboxSearch) -> tuple[str, list[Value]]:
    """A condition in SQL, and its values. SQLite knows upper and lower case of ASCII alone, so that a text is looked
    for as it is written, and in the usual other ways."""
    written = (sought.text, sought.text.lower(), sought.text.upper(), sought.text.capitalize())
    patterns = [f"%{_escaped(text)}%" for text in dict.fromkeys(text.translate(_ASCII_LOWER) for text in written)]
    parts: list[str] = []
    values: list[Value] = []
    for column in ("text", "sender", "code", "link", "subject"):
        parts += [f"lower({column}) LIKE ? ESCAPE '!'"] * len(patterns)
        values += patterns
    if sought.subjects:
        parts.append(f"subject IN ({', '.join('?' * len(sought.subjects))})")
        values += sought.subjects
    return " OR ".join(parts), values


def _escaped(text: str) -> str:
    return text.replace("!", "!!").replace("%", "!%").replace("_", "!_")


def last_webhook(connection: Connection, among: int) -> float | None:
    """When the newest webhook was recorded, on this machine's clock, among so many of the newest events; None if there
    is none."""
    query = (
        "SELECT max(stored_at) FROM (SELECT stored_at, digest FROM events WHERE account = ? ORDER BY seq DESC LIMIT ?)"
        " AS newest WHERE digest IS NOT NULL"
    )
    (at,) = next(connection.rows(query, (connection.account, among)))
    return None if at is None else float(at)
