"""The SQL of shared polling: which numbers the processes of the machine wait for, and when each was looked at.

Times are seconds since the epoch: a clock that all processes share.
"""

import sqlite3


def note_watch(connection: sqlite3.Connection, watcher: str, number: str, *, now: float, until: float) -> None:
    """`watcher` polls the number until then, unless it says so again. Entries expire, since a process can die."""
    connection.execute("DELETE FROM watches WHERE until <= ?", (now,))
    connection.execute(
        "INSERT INTO watches (watcher, number, until) VALUES (?, ?, ?)"
        " ON CONFLICT (watcher) DO UPDATE SET until = excluded.until",
        (watcher, number, until),
    )


def forget_watch(connection: sqlite3.Connection, watcher: str) -> None:
    """With the poll that it has claimed: one that was not made counts for nothing."""
    connection.execute("DELETE FROM watches WHERE watcher = ?", (watcher,))


def watched(connection: sqlite3.Connection) -> int:
    """How many numbers are polled, however many poll each."""
    return int(connection.execute("SELECT count(DISTINCT number) FROM watches").fetchone()[0])


def claim(connection: sqlite3.Connection, watcher: str, at: float | None) -> None:
    """`watcher` begins a poll now; `None` gives the claim back."""
    connection.execute("UPDATE watches SET claimed_at = ? WHERE watcher = ?", (at, watcher))


def claimed_at(connection: sqlite3.Connection, number: str, now: float) -> float:
    """When the number's last poll was begun, by any watcher that there is still. The future counts as never: a clock
    was wrong."""
    query = "SELECT max(claimed_at) FROM watches WHERE number = ? AND claimed_at <= ?"
    return float(connection.execute(query, (number, now)).fetchone()[0] or 0.0)


def note_look(connection: sqlite3.Connection, number: str, at: float) -> None:
    connection.execute("INSERT OR REPLACE INTO looks (number, at) VALUES (?, ?)", (number, at))


def looked_at(connection: sqlite3.Connection, number: str, now: float) -> float:
    """When the last look that came to its end was begun. The future counts as never."""
    row = connection.execute("SELECT at FROM looks WHERE number = ? AND at <= ?", (number, now)).fetchone()
    return float(row[0]) if row else 0.0
