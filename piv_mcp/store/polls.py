"""The SQL of shared polling of the SMS history: when each number was last polled, and which watcher polls it now.

Times are seconds since the epoch. A time in the future is ignored, since it was written while the clock was wrong.
"""

from piv_mcp.store.connection import Connection


def claim(connection: Connection, watcher: str, at: float | None) -> None:
    """Record that `watcher` begins a poll at the time `at`; `None` withdraws its claim."""
    connection.execute("UPDATE watches SET claimed_at = ? WHERE watcher = ?", (at, watcher))


def claimed_at(connection: Connection, piv_num_id: str, now: float) -> float:
    """When a current watcher of the number last began a poll; 0 if none did."""
    query = "SELECT max(claimed_at) FROM watches WHERE number = ? AND claimed_at <= ?"
    (at,) = next(connection.rows(query, (piv_num_id, now)))
    return float(at or 0.0)


def note_look(connection: Connection, piv_num_id: str, at: float) -> None:
    """Record a finished poll of the number that began at the time `at`."""
    connection.execute(
        "INSERT INTO looks (number, at) VALUES (?, ?) ON CONFLICT (number) DO UPDATE SET at = excluded.at",
        (piv_num_id, at),
    )


def looked_at(connection: Connection, piv_num_id: str, now: float) -> float:
    """When the last finished poll of the number began; 0 if there was none."""
    row = next(connection.rows("SELECT at FROM looks WHERE number = ? AND at <= ?", (piv_num_id, now)), None)
    return float(row[0]) if row else 0.0
