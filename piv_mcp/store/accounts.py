"""Whose a row is: every row belongs to an account, and a process sees the rows of its key's account only.

A key is known by its digest. Two keys of one account are told by the `user_id` that the API gives (reference: Account):
until it is known, each key has an account of its own.
"""

import hashlib

from piv_mcp.store.connection import Connection

OWNED_TABLES = (
    "events",
    "spending",
    "questions",
    "requests",
    "waiting",
    "watches",
    "looks",
    "servers",
    "webhook_secrets",
)
"""The tables whose rows belong to an account."""

UNCLAIMED = 1
"""The account of what was stored before any key was known. The first key takes it."""


def digest(key: str) -> str:
    """What the store keeps of a key."""
    return hashlib.sha256(f"piv-mcp account {key}".encode("utf-8", "surrogatepass")).hexdigest()[:32]


def of_key(connection: Connection, key_digest: str | None) -> int | None:
    """The account of a key; without a key that of the only one, else `UNCLAIMED`. None for a new key."""
    if key_digest is None:
        first, last = next(connection.rows("SELECT min(account), max(account) FROM keys"))
        return int(first) if first is not None and first == last else UNCLAIMED
    row = next(connection.rows("SELECT account FROM keys WHERE digest = ?", (key_digest,)), None)
    return None if row is None else int(row[0])


def add_key(connection: Connection, key_digest: str) -> int:
    """The account of a new key: what nobody has claimed, else a new one."""
    if connection.count("SELECT count(*) FROM keys WHERE account = ?", (UNCLAIMED,)):
        connection.execute("INSERT INTO accounts (user_id) VALUES (NULL)")
        account = connection.count("SELECT max(id) FROM accounts")
    else:
        account = UNCLAIMED
    connection.execute("INSERT INTO keys (digest, account) VALUES (?, ?)", (key_digest, account))
    return account


def keys(connection: Connection) -> list[str]:
    """The digest of one key of each account, the first account at the beginning."""
    rows = connection.rows("SELECT min(digest) FROM keys GROUP BY account ORDER BY account")
    return [str(key) for (key,) in rows]


def user_id(connection: Connection) -> str | None:
    """The `user_id` of the connection's account, if it is known."""
    row = next(connection.rows("SELECT user_id FROM accounts WHERE id = ?", (connection.account,)), None)
    return None if row is None or row[0] is None else str(row[0])


def is_doubtful(connection: Connection) -> bool:
    """Whether the connection's account could be one that another key has already: it is not known whose it is, and
    there are others."""
    return connection.count("SELECT count(DISTINCT account) FROM keys") > 1 and user_id(connection) is None


def identify(connection: Connection, user_id: str) -> int:
    """Note whose the connection's account is. Where another key of the same person came before, the two become one."""
    mine = connection.account
    known = connection.count("SELECT id FROM accounts WHERE user_id = ?", (user_id,))
    if not known:
        connection.execute("UPDATE accounts SET user_id = ? WHERE id = ?", (user_id, mine))
        return mine
    if known != mine:
        # Both keys have read the history of the same numbers.
        connection.execute(
            "DELETE FROM events WHERE account = ? AND message_id IS NOT NULL AND EXISTS (SELECT 1 FROM events AS other"
            " WHERE other.account = ? AND other.subject = events.subject AND other.message_id = events.message_id"
            " AND other.text_key IS events.text_key)",
            (mine, known),
        )
        for table in (*OWNED_TABLES, "keys"):
            connection.execute(f"UPDATE OR REPLACE {table} SET account = ? WHERE account = ?", (known, mine))  # noqa: S608
        connection.account = known
    return known
