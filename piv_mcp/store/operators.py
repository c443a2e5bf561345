"""The SQL of operators: the people who decide on a server from anywhere, and the passkeys by which they are known.

Times are seconds since the epoch. What is binary is text here, in base64url without padding.
"""

from dataclasses import dataclass

from piv_mcp.store import accounts, ceremonies, sessions
from piv_mcp.store.connection import Connection
from piv_mcp.store.rows import RowReader


@dataclass(frozen=True, slots=True)
class Operator:
    """A person. `handle` is what their passkeys call them."""

    name: str
    account: int
    handle: str
    added_at: float
    revoked_at: float | None = None


@dataclass(frozen=True, slots=True)
class Passkey:
    """A passkey of an operator. `public_key` is in COSE form. `sign_count` is how often the passkey says it was used; 0
    if it does not count."""

    id: str
    operator: str
    account: int
    public_key: str
    sign_count: int
    added_at: float
    used_at: float | None = None
    revoked_at: float | None = None


_COLUMNS = tuple(Operator.__dataclass_fields__)
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM operators"  # noqa: S608 - our own column names
_PASSKEY_COLUMNS = tuple(Passkey.__dataclass_fields__)
_SELECT_PASSKEYS = f"SELECT {', '.join(_PASSKEY_COLUMNS)} FROM passkeys"  # noqa: S608
_read = RowReader(Operator)
_read_passkey = RowReader(Passkey)


def add(connection: Connection, operator: Operator) -> bool:
    """Store a new operator of the connection's account; returns false, and changes nothing, if the name is taken."""
    if get(connection, operator.name) is not None:
        return False
    connection.execute(
        "INSERT INTO operators (name, account, handle, added_at) VALUES (?, ?, ?, ?)",
        (operator.name, connection.account, operator.handle, operator.added_at),
    )
    return True


def get(connection: Connection, name: str) -> Operator | None:
    """The operator, also one that was revoked."""
    return next((_read(row) for row in connection.rows(f"{_SELECT} WHERE name = ?", (name,))), None)


def active(connection: Connection, name: str | None) -> Operator | None:
    """The operator, unless they were revoked."""
    operator = None if name is None else get(connection, name)
    return operator if operator is not None and operator.revoked_at is None else None


def listed(connection: Connection) -> list[Operator]:
    """All operators of all accounts, also those that were revoked, by their names."""
    return [_read(row) for row in connection.rows(f"{_SELECT} ORDER BY name")]


def are_there(connection: Connection) -> bool:
    """Whether any operator has access."""
    return any(operator.revoked_at is None for operator in listed(connection))


def revoke(connection: Connection, name: str, now: float) -> bool:
    """End an operator's access for good, with all that they have begun; returns whether there was one with access.

    A decision that is being taken with a nonce of theirs is taken before this returns, or not at all: both delete the
    nonce's row.
    """
    operator = active(connection, name)
    if operator is not None:
        with accounts.acting_for(connection, operator.account):  # the pages that are open wait for its changes
            connection.execute("UPDATE operators SET revoked_at = ? WHERE name = ?", (now, name))
    ceremonies.end_of(connection, name)
    sessions.end_of(connection, name)
    connection.execute("UPDATE passkeys SET revoked_at = ? WHERE operator = ? AND revoked_at IS NULL", (now, name))
    return operator is not None


# --- passkeys


def add_passkey(connection: Connection, passkey: Passkey) -> bool:
    """Store a new passkey; returns false, and changes nothing, if there is one with this id."""
    if passkey_of(connection, passkey.id) is not None:
        return False
    connection.execute(
        f"INSERT INTO passkeys ({', '.join(_PASSKEY_COLUMNS)}) VALUES ({', '.join('?' * len(_PASSKEY_COLUMNS))})",  # noqa: S608
        [getattr(passkey, name) for name in _PASSKEY_COLUMNS],
    )
    return True


def passkey_of(connection: Connection, passkey_id: str) -> Passkey | None:
    """The passkey with this id, also one that was revoked."""
    rows = connection.rows(f"{_SELECT_PASSKEYS} WHERE id = ?", (passkey_id,))
    return next((_read_passkey(row) for row in rows), None)


def passkeys(connection: Connection, operator: str) -> list[Passkey]:
    """All passkeys of an operator, also those that were revoked, the oldest first."""
    rows = connection.rows(f"{_SELECT_PASSKEYS} WHERE operator = ? ORDER BY added_at, id", (operator,))
    return [_read_passkey(row) for row in rows]


def note_use(connection: Connection, passkey: Passkey, sign_count: int, now: float) -> bool:
    """Note that the passkey was used. Returns false, and changes nothing, if it was used meanwhile, or revoked."""
    query = "UPDATE passkeys SET sign_count = ?, used_at = ? WHERE id = ? AND sign_count = ? AND revoked_at IS NULL"
    return connection.execute(query, (sign_count, now, passkey.id, passkey.sign_count)) == 1
