"""The SQL of the shared request limit: what every process of the machine has sent in the last minute.

Times are seconds since the epoch: a clock that all processes share.
"""

import sqlite3

from piv_mcp.store import events

_PAUSED = "requests:paused_until"


def sent_since(connection: sqlite3.Connection, since: float) -> list[tuple[str, float]]:
    """(priority, time) of each request after `since`; older ones are forgotten on the way."""
    connection.execute("DELETE FROM requests WHERE at <= ?", (since,))
    return [(str(priority), float(at)) for priority, at in connection.execute("SELECT priority, at FROM requests")]


def note_sent(connection: sqlite3.Connection, priority: str, at: float) -> None:
    connection.execute("INSERT INTO requests (at, priority) VALUES (?, ?)", (at, priority))


def paused_until(connection: sqlite3.Connection) -> float:
    return float(events.fact(connection, _PAUSED) or 0.0)


def pause_until(connection: sqlite3.Connection, until: float) -> None:
    events.set_fact(connection, _PAUSED, str(max(until, paused_until(connection))))


def someone_waits(connection: sqlite3.Connection, now: float) -> bool:
    """A person's call waits for a slot, in any process. Entries expire, since a process can die waiting."""
    connection.execute("DELETE FROM waiting WHERE until <= ?", (now,))
    return connection.execute("SELECT 1 FROM waiting LIMIT 1").fetchone() is not None


def note_waiting(connection: sqlite3.Connection, token: str, until: float) -> None:
    connection.execute("INSERT OR REPLACE INTO waiting (token, until) VALUES (?, ?)", (token, until))


def note_done(connection: sqlite3.Connection, token: str) -> None:
    connection.execute("DELETE FROM waiting WHERE token = ?", (token,))
