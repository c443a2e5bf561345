"""The SQL of sessions: who is signed in to the console of a server. Times are seconds since the epoch."""

from dataclasses import dataclass

from piv_mcp.store import ceremonies
from piv_mcp.store.connection import Connection
from piv_mcp.store.rows import RowReader

SEEN_EXACTLY_SECONDS = 30.0
"""How exactly the store knows when a session was last seen, so that looking at pages writes little."""


@dataclass(frozen=True, slots=True)
class ConsoleSession:
    """A browser in which an operator is signed in. `cookie` is a digest. `account` is that of the operator."""

    cookie: str
    operator: str
    began_at: float
    seen_at: float
    ends_at: float
    account: int = 0


_COLUMNS = ("cookie", "operator", "began_at", "seen_at", "ends_at")
_read = RowReader(ConsoleSession)


def begin(connection: Connection, session: ConsoleSession) -> None:
    """Store a session, and forget those that have ended."""
    connection.execute("DELETE FROM sessions WHERE ends_at <= ?", (session.began_at,))
    connection.execute(
        f"INSERT INTO sessions ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})",  # noqa: S608
        [getattr(session, name) for name in _COLUMNS],
    )


def of_cookie(connection: Connection, cookie: str, now: float, *, idle_seconds: float) -> ConsoleSession | None:
    """The session of the cookie with this digest; None if there is none, it has ended, it was not seen for so long, or
    the operator was revoked."""
    rows = connection.rows(
        "SELECT sessions.cookie, sessions.operator, sessions.began_at, sessions.seen_at, sessions.ends_at,"
        " operators.account FROM sessions JOIN operators ON operators.name = sessions.operator"
        " WHERE sessions.cookie = ? AND sessions.ends_at > ? AND sessions.seen_at > ?"
        " AND operators.revoked_at IS NULL",
        (cookie, now, now - idle_seconds),
    )
    return next((_read(row) for row in rows), None)


def note_seen(connection: Connection, cookie: str, now: float) -> None:
    connection.execute("UPDATE sessions SET seen_at = ? WHERE cookie = ? AND seen_at < ?", (now, cookie, now))


def end(connection: Connection, cookie: str) -> bool:
    """End a session, with the approvals that were begun in it; returns whether there was one."""
    ceremonies.end_in(connection, cookie)
    return connection.execute("DELETE FROM sessions WHERE cookie = ?", (cookie,)) > 0


def end_of(connection: Connection, operator: str) -> None:
    """End all sessions of an operator."""
    connection.execute("DELETE FROM sessions WHERE operator = ?", (operator,))
