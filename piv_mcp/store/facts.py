"""The SQL of single named values: the store's id, how far events were pruned, leases, counters for `doctor`."""

from piv_mcp.store.connection import Connection

STORE_ID = "store:id"
"""The id of the store. Processes that read the same id share their approvals."""

WRONG_SECRET = "wrong_secret"  # noqa: S105 - the name of a counter
"""Counts webhook requests whose address has a wrong secret."""


def get(connection: Connection, name: str) -> str | None:
    row = next(connection.rows("SELECT value FROM facts WHERE name = ?", (name,)), None)
    return None if row is None else str(row[0])


def put(connection: Connection, name: str, value: str) -> None:
    connection.execute(
        "INSERT INTO facts (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (name, value),
    )


def number(connection: Connection, name: str) -> float:
    """The value as a number; 0 if there is none."""
    return float(get(connection, name) or 0)


def count_up(connection: Connection, name: str, now: float, by: int = 1) -> None:
    """Add `by` to the counter `name` and record the time `now` (seconds since the epoch)."""
    put(connection, f"{name}:count", str(int(number(connection, f"{name}:count")) + by))
    put(connection, f"{name}:at", str(now))


def counted(connection: Connection, name: str) -> tuple[int, float]:
    """(the counter `name`, when it was last increased)."""
    return int(number(connection, f"{name}:count")), number(connection, f"{name}:at")
