"""The SQL of shared polling: when each number's history was last looked at, and by whom the next look is claimed.

Times are seconds since the epoch. A time in the future counts as never: a clock was wrong.
"""

from piv_mcp.store.connection import Connection


def claim(connection: Connection, watcher: str, at: float | None) -> None:
    """`watcher` begins a poll now; `None` gives the claim back."""
    connection.execute("UPDATE watches SET claimed_at = ? WHERE watcher = ?", (at, watcher))


def claimed_at(connection: Connection, number: str, now: float) -> float:
    """When the number's last poll was begun, by any watcher that still watches it."""
    query = "SELECT max(claimed_at) FROM watches WHERE number = ? AND claimed_at <= ?"
    (at,) = next(connection.rows(query, (number, now)))
    return float(at or 0.0)


def note_look(connection: Connection, number: str, at: float) -> None:
    """A look that was begun at `at` has ended."""
    connection.execute(
        "INSERT INTO looks (number, at) VALUES (?, ?) ON CONFLICT (number) DO UPDATE SET at = excluded.at",
        (number, at),
    )


def looked_at(connection: Connection, number: str, now: float) -> float:
    """When the number's last look that has ended was begun."""
    row = next(connection.rows("SELECT at FROM looks WHERE number = ? AND at <= ?", (number, now)), None)
    return float(row[0]) if row else 0.0
