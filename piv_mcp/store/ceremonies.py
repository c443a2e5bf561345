"""The SQL of ceremonies: what an operator has begun with a nonce, which is good once, and for a while.

The store keeps a digest of the nonce. Times are seconds since the epoch.
"""

import hashlib
from dataclasses import dataclass
from typing import Literal

from piv_mcp.store.connection import Connection
from piv_mcp.store.rows import RowReader

CeremonyKind = Literal["enrolment", "registration", "sign-in", "approval"]
"""A link that enrols a passkey, the passkey's registration, the sign-in with one, and the approval of an entry."""

MOST_SIGN_INS = 10_000
"""That are under way at a time. Anybody may begin one; when there are more, the oldest end."""


@dataclass(frozen=True, slots=True)
class Ceremony:
    """A ceremony. `operator` has begun it, if that is known; `session` is the digest of what it belongs to: the cookie
    of an approval, the link of a registration. `entry` is the id of the journal's entry that is to be approved."""

    nonce: str
    kind: CeremonyKind
    ends_at: float
    operator: str | None = None
    session: str | None = None
    entry: str | None = None


_COLUMNS = tuple(Ceremony.__dataclass_fields__)
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM ceremonies"  # noqa: S608 - our own column names
_read = RowReader(Ceremony)


def digest(secret: str) -> str:
    """What the store keeps of a nonce, of a link, and of a session's cookie."""
    return hashlib.sha256(f"piv-mcp operator {secret}".encode("utf-8", "surrogatepass")).hexdigest()


def begin(connection: Connection, ceremony: Ceremony, now: float) -> None:
    """Store a ceremony, and forget those that have ended."""
    connection.execute("DELETE FROM ceremonies WHERE ends_at <= ?", (now,))
    if ceremony.kind == "sign-in":
        query = "SELECT ends_at FROM ceremonies WHERE kind = 'sign-in' ORDER BY ends_at DESC LIMIT 1 OFFSET ?"
        for (ends_at,) in list(connection.rows(query, (MOST_SIGN_INS - 1,))):
            connection.execute("DELETE FROM ceremonies WHERE kind = 'sign-in' AND ends_at <= ?", (ends_at,))
    connection.execute(
        f"INSERT INTO ceremonies ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})",  # noqa: S608
        [getattr(ceremony, name) for name in _COLUMNS],
    )


def open_(connection: Connection, nonce: str, kind: CeremonyKind, now: float) -> Ceremony | None:
    """The ceremony of this kind with the nonce of this digest; None if there is none, it was used, or it has ended."""
    rows = connection.rows(f"{_SELECT} WHERE nonce = ? AND kind = ? AND ends_at > ?", (nonce, kind, now))
    return next((_read(row) for row in rows), None)


def use(connection: Connection, nonce: str, kind: CeremonyKind, now: float) -> Ceremony | None:
    """As `open_`, and ends it: of all who try, one gets it."""
    ceremony = open_(connection, nonce, kind, now)
    if ceremony is None or connection.execute("DELETE FROM ceremonies WHERE nonce = ?", (nonce,)) != 1:
        return None
    return ceremony


def end_of(connection: Connection, operator: str, *, kind: CeremonyKind | None = None) -> None:
    """End all that an operator has begun, or all of one kind."""
    query = "DELETE FROM ceremonies WHERE operator = ? AND (CAST(? AS TEXT) IS NULL OR kind = ?)"
    connection.execute(query, (operator, kind, kind))


def end_in(connection: Connection, session: str) -> None:
    """End all that was begun in a session."""
    connection.execute("DELETE FROM ceremonies WHERE session = ?", (session,))
