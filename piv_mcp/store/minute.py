"""The SQL of the last minute: the requests that were sent, the pauses that the server asked for, and the calls with a
person's priority that wait. It is in a file of its own (see `request_file`).

Times are seconds by `Clock.monotonic`, which all processes of the machine share and which nobody sets. It begins anew
when the machine starts: what is far ahead is of before that.
"""

import secrets
from typing import NamedTuple

from piv_mcp.api.rate_limit import ALL, MAX_PAUSE, NO_PAUSE, WINDOW, Pause, Priority
from piv_mcp.store import facts
from piv_mcp.store.accounts import acting_for
from piv_mcp.store.connection import Connection, Row

TABLES_VERSION = 1
"""Of these tables."""

COLUMNS = {
    "requests": "id INTEGER PRIMARY KEY, at REAL NOT NULL, priority TEXT NOT NULL, account INTEGER NOT NULL",
    "pauses": "account INTEGER PRIMARY KEY, until REAL NOT NULL, asked REAL NOT NULL",
    "waiting": "token TEXT PRIMARY KEY, until REAL NOT NULL, account INTEGER NOT NULL",
}

EVERYBODY = 0
"""No account has this number. Requests of it count for all."""

ID_BITS = 62

LONGEST_WAIT = 120.0
"""Longer than anybody notes to wait."""

FAR_AHEAD = 1e300
"""Later than any time. In SQL, what is no number is higher than all."""

Rows = dict[str, list[Row]]
"""The rows of each table."""

_ADD = {
    "requests": "INSERT INTO requests VALUES (?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
    "waiting": "INSERT INTO waiting VALUES (?, ?, ?) ON CONFLICT (token) DO NOTHING",
    "pauses": "INSERT INTO pauses VALUES (?, ?, ?) ON CONFLICT (account)"
    " DO UPDATE SET until = excluded.until, asked = excluded.asked WHERE excluded.until > pauses.until",
}


class Sent(NamedTuple):
    """A request. By its `id`, a random number, it counts once, however often it is told."""

    id: int
    at: float
    priority: Priority


def create(connection: Connection) -> None:
    for table, columns in COLUMNS.items():
        connection.execute(f"CREATE TABLE {table} ({columns})")
    connection.execute(f"PRAGMA user_version = {TABLES_VERSION}")


# --- requests


def note_sent(connection: Connection, sent: Sent) -> None:
    statement = "INSERT INTO requests (id, at, priority, account) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"
    connection.execute(statement, (sent.id, sent.at, sent.priority.value, connection.account))


def recently_sent(connection: Connection, now: float) -> dict[Priority, list[float]]:
    """The times of the requests of the last window, by priority. Deletes older requests, and those of before the
    machine started. A time that is a little ahead, or cannot be read, becomes `now`; a priority that cannot be read
    counts as a person's."""
    connection.execute(
        "DELETE FROM requests WHERE at <= ? OR at BETWEEN ? AND ?", (now - WINDOW, now + WINDOW, FAR_AHEAD)
    )
    connection.execute("UPDATE requests SET at = ? WHERE at > ?", (now, now))
    sent: dict[Priority, list[float]] = {priority: [] for priority in Priority}
    by_value = {priority.value: times for priority, times in sent.items()}
    query = "SELECT priority, at FROM requests WHERE account IN (?, ?)"
    for priority, at in connection.rows(query, (connection.account, EVERYBODY)):
        by_value.get(priority, sent[Priority.PERSON]).append(at)
    return sent


def in_the_last_minute(connection: Connection, now: float) -> tuple[dict[Priority, int], Pause]:
    """How many requests count for the account at the moment `now`, by priority, and its pause."""
    now = connection.now(now)
    return {priority: len(times) for priority, times in recently_sent(connection, now).items()}, pause(connection, now)


def use_up(connection: Connection, at: float) -> None:
    """Note requests of everybody's at this time: they leave no room for another until they are a window old."""
    with acting_for(connection, EVERYBODY):
        for _ in range(ALL):
            note_sent(connection, Sent(secrets.randbits(ID_BITS), at, Priority.PERSON))


# --- pauses


def pause(connection: Connection, now: float) -> Pause:
    """The account's pause. One that is far longer than pauses are obeyed is of before the machine started."""
    query = "SELECT until, asked FROM pauses WHERE account = ?"
    until, asked = next(connection.rows(query, (connection.account,)), (0, 0))
    found = Pause(facts.as_number(str(until)), facts.as_number(str(asked)))
    return found if found.until <= now + MAX_PAUSE + WINDOW else NO_PAUSE


def put_pause(connection: Connection, pause: Pause) -> None:
    connection.execute(
        "INSERT INTO pauses (account, until, asked) VALUES (?, ?, ?)"
        " ON CONFLICT (account) DO UPDATE SET until = excluded.until, asked = excluded.asked",
        (connection.account, pause.until, pause.asked),
    )


# --- calls with a person's priority that wait for the request limit


def note_waiting(connection: Connection, token: str, until: float) -> None:
    connection.execute(
        "INSERT INTO waiting (token, until, account) VALUES (?, ?, ?)"
        " ON CONFLICT (token) DO UPDATE SET until = excluded.until, account = excluded.account",
        (token, until, connection.account),
    )


def forget_waiting(connection: Connection, token: str) -> None:
    connection.execute("DELETE FROM waiting WHERE token = ?", (token,))


def person_is_waiting(connection: Connection, now: float) -> bool:
    """Whether a call with a person's priority waits for the account's request limit, in any process. Each notes for how
    long, since its process can die."""
    connection.execute("DELETE FROM waiting WHERE until <= ? OR until > ?", (now, now + LONGEST_WAIT))
    return connection.count("SELECT count(*) FROM waiting WHERE account = ?", (connection.account,)) > 0


# --- all of it


def content(connection: Connection) -> Rows:
    return {table: list(connection.rows(f"SELECT * FROM {table}")) for table in COLUMNS}  # noqa: S608 - our own names


def add(connection: Connection, rows: Rows) -> None:
    """Add what another file held. What is there already stays, but for a shorter pause."""
    for table, found in rows.items():
        for row in found:
            connection.execute(_ADD[table], row)


def move(connection: Connection, before: int, account: int) -> None:
    """Two accounts were found to be one."""
    for table in ("requests", "waiting"):
        connection.execute(f"UPDATE {table} SET account = ? WHERE account = ?", (account, before))  # noqa: S608
    query = "SELECT ?, until, asked FROM pauses WHERE account = ?"
    add(connection, {"pauses": list(connection.rows(query, (account, before)))})
