"""The SQL of single values, by name: the store's identity, where pruning stands, leases, counters for `doctor`."""

from piv_mcp.store.connection import Connection

STORE_ID = "store:id"
"""Names the store. Two processes with the same one share their approvals."""

WRONG_SECRET = "wrong_secret"  # noqa: S105 - the name of a counter
"""Counts the requests to a webhook address that does not exist."""


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


def count_up(connection: Connection, name: str, now: float) -> None:
    """One more of `name`, at `now` (seconds since the epoch)."""
    put(connection, f"{name}:count", str(int(number(connection, f"{name}:count")) + 1))
    put(connection, f"{name}:at", str(now))


def counted(connection: Connection, name: str) -> tuple[int, float]:
    """(how many of `name` there were, when the last one was)."""
    return int(number(connection, f"{name}:count")), number(connection, f"{name}:at")
