"""Whose a row is: every row belongs to an account, and a process sees the rows of its key's account only.

A key is known by its digest. Two keys of one account are told by the `user_id` that the API gives (reference: Account):
until it is known, each key has an account of its own.
"""

import hashlib
from collections.abc import Generator
from contextlib import contextmanager

from piv_mcp.store import facts
from piv_mcp.store.connection import Connection
from piv_mcp.store.rows import needed_whole

OWNED_TABLES = (
    "events",
    "spending",
    "questions",
    "watches",
    "looks",
    "pending",
    "servers",
    "webhook_secrets",
    "agents",
    "agent_numbers",
    "number_leases",
    "operators",
    "passkeys",
    "notices",
)
"""The tables whose rows belong to an account."""

ONE_FOR_EACH = {
    "looks": ("number",),
    "pending": ("kind", "id"),
    "number_leases": ("number",),
    "notices": ("event", "subject", "address"),
}
"""The tables in which an account has one row for each of what these columns name."""

_READABLE = "typeof(account) = 'integer'"
"""In SQLite, whose damaged files can hold a value of any kind in any column."""

UNCLAIMED = 1
"""The account of what was stored before any key was known. The first key takes it, unless it is somebody's already."""


def digest(key: str) -> str:
    """What the store keeps of a key."""
    return hashlib.sha256(f"piv-mcp account {key}".encode("utf-8", "surrogatepass")).hexdigest()[:32]


def of_key(connection: Connection, key_digest: str | None) -> int | None:
    """The account of a key; without a key that of the only one, else `UNCLAIMED`. None for a new key."""
    if key_digest is None:
        first, last = next(connection.rows("SELECT min(account), max(account) FROM keys"))
        return needed_whole(first) if first is not None and first == last else UNCLAIMED
    row = next(connection.rows("SELECT account FROM keys WHERE digest = ?", (key_digest,)), None)
    return None if row is None else needed_whole(row[0])


def add_key(connection: Connection, key_digest: str) -> int:
    """The account of a new key: what nobody has claimed, else a new one."""
    connection.alone()
    account = UNCLAIMED
    if _is_claimed(connection):
        connection.execute("INSERT INTO accounts (user_id) VALUES (NULL)")
        account = connection.count("SELECT max(id) FROM accounts")
    connection.execute("INSERT INTO keys (digest, account) VALUES (?, ?)", (key_digest, account))
    return account


def _is_claimed(connection: Connection) -> bool:
    """Whether somebody has, or may have, the account of what was stored before any key was known."""
    query = (
        "SELECT EXISTS (SELECT 1 FROM keys WHERE account = ?)"
        " OR EXISTS (SELECT 1 FROM accounts WHERE id = ? AND user_id IS NOT NULL)"
    )
    return bool(connection.count(query, (UNCLAIMED, UNCLAIMED))) or facts.get(connection, facts.KEYS_LOST) is not None


def note_all(connection: Connection) -> None:
    """Note accounts that are known by their rows alone, so that no new key gets one of them."""
    for table in (*OWNED_TABLES, "keys"):
        accounts = f"SELECT DISTINCT account FROM {table} WHERE {_READABLE}"  # noqa: S608 - our own names
        connection.execute(f"INSERT INTO accounts (id) {accounts} ON CONFLICT (id) DO NOTHING")


def forget_garbled(connection: Connection) -> bool:
    """Delete keys and webhook secrets of which nobody can say whose they are. Returns whether there were keys."""
    connection.execute(f"DELETE FROM webhook_secrets WHERE NOT {_READABLE}")  # noqa: S608
    return connection.execute(f"DELETE FROM keys WHERE NOT {_READABLE}") > 0  # noqa: S608


def keys(connection: Connection) -> list[str]:
    """The digest of one key of each account, the first account at the beginning."""
    rows = connection.rows("SELECT min(digest) FROM keys GROUP BY account ORDER BY account")
    return [str(key) for (key,) in rows]


def known(connection: Connection, subject: str) -> list[int]:
    """All accounts, also one of which nothing is left but events about `subject`."""
    query = (
        "SELECT id FROM accounts UNION SELECT account FROM keys"
        " UNION SELECT account FROM events WHERE subject = ? ORDER BY 1"
    )
    return [account for (account,) in connection.rows(query, (subject,)) if isinstance(account, int)]


@contextmanager
def acting_for(connection: Connection, account: int) -> Generator[None]:
    """Read and write the rows of this account in the block."""
    before = connection.account
    connection.account = account
    try:
        yield
    finally:
        connection.account = before


def user_id(connection: Connection) -> str | None:
    """The `user_id` of the connection's account, if it is known."""
    row = next(connection.rows("SELECT user_id FROM accounts WHERE id = ?", (connection.account,)), None)
    return None if row is None or row[0] is None else str(row[0])


def user_id_among_several(connection: Connection) -> str | None:
    """The id of the account's user, where the store has other accounts too."""
    return user_id(connection) if len(keys(connection)) > 1 else None


def is_doubtful(connection: Connection) -> bool:
    """Whether the connection's account could be one that another key has already: it is not known whose it is, and
    there are others."""
    return connection.count("SELECT count(DISTINCT account) FROM keys") > 1 and user_id(connection) is None


def is_unidentified(connection: Connection) -> bool:
    """Whether it is not known whose the connection's account is."""
    return user_id(connection) is None


def identify(connection: Connection, user_id: str) -> int:
    """Note whose the connection's account is. Where another key of the same person came before, the two become one."""
    connection.alone()
    mine = connection.account
    known = connection.count("SELECT id FROM accounts WHERE user_id = ?", (user_id,))
    if not known:
        connection.execute("UPDATE accounts SET user_id = ? WHERE id = ?", (user_id, mine))
        return mine
    if known != mine:
        _merge_looks(connection, known, mine)
        # Both keys have read the history of the same numbers.
        connection.execute(
            "DELETE FROM events WHERE account = ? AND EXISTS (SELECT 1 FROM events AS other"
            " WHERE other.account = ? AND other.subject = events.subject AND other.message_id = events.message_id"
            " AND (other.text_key = events.text_key OR (other.text_key IS NULL AND events.text_key IS NULL)))",
            (mine, known),
        )
        for table in (*OWNED_TABLES, "keys"):
            if columns := ONE_FOR_EACH.get(table):
                equal = " AND ".join(f"other.{name} = {table}.{name}" for name in columns)
                connection.execute(
                    f"DELETE FROM {table} WHERE account = ?"  # noqa: S608
                    f" AND EXISTS (SELECT 1 FROM {table} AS other WHERE other.account = ? AND {equal})",
                    (known, mine),
                )
            connection.execute(f"UPDATE {table} SET account = ? WHERE account = ?", (known, mine))  # noqa: S608
        pruned = facts.own_number(connection, facts.PRUNED_THROUGH)
        facts.move_own(connection, mine, known)
        connection.account = known
        if pruned > facts.own_number(connection, facts.PRUNED_THROUGH):
            facts.put_own(connection, facts.PRUNED_THROUGH, str(int(pruned)))
    return known


def _merge_looks(connection: Connection, known: int, mine: int) -> None:
    """Of two looks at a number the later one stays. What either account has erased is erased for both, also what the
    other has read of it again."""
    both = (known, mine)
    query = "SELECT number, max(erased_at) FROM looks WHERE account IN (?, ?) AND erased_at IS NOT NULL GROUP BY number"
    for number, erased_at in list(connection.rows(query, both)):
        connection.execute(
            "UPDATE looks SET erased_at = ? WHERE number = ? AND account IN (?, ?)", (erased_at, number, *both)
        )
        connection.execute(
            "DELETE FROM events WHERE subject = ? AND account = ? AND source = 'history' AND sent_at <= ?",
            (number, mine, erased_at),
        )
    connection.execute(
        "DELETE FROM looks WHERE account IN (?, ?) AND at <"
        " (SELECT max(at) FROM looks AS other WHERE other.number = looks.number AND other.account IN (?, ?))",
        (*both, *both),
    )
