"""The SQL of the running servers that share the store, and of their webhook secrets.

A webhook secret belongs to the account that used it first, so that an event goes to the inbox of the account that it
was sent to, whichever process receives it. The store knows secrets by their digests only. Times are seconds since the
epoch.
"""

import hashlib
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from piv_mcp.errors import StoreError
from piv_mcp.store import accounts
from piv_mcp.store.connection import Connection
from piv_mcp.store.rows import RowReader, needed_whole

UNSEEN_SECONDS = 300.0
"""Where nobody can tell whether a process has ended, it counts as ended when it was not seen for so long."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server and the settings that matter to the others. `secret` is a digest; `port` is 0 for none."""

    owner: str
    secret: str
    port: int
    inbox_days: int
    version: str
    started_at: float
    serving: int = 0
    """1: it holds its webhook port."""

    seen_at: float = 0.0
    account: int = 0

    @property
    def pid(self) -> str:
        return self.owner.partition(":")[0]

    def is_living(self, connection: Connection, now: float) -> bool:
        if sys.platform == "win32" and abs(now - self.seen_at) > UNSEEN_SECONDS:
            return False
        return not connection.is_gone(self.owner)


@dataclass(frozen=True, slots=True)
class WebhookAddress:
    """The secret, as its digest, to which an event was sent. `is_own`: it is the receiving process's own."""

    secret: str
    is_own: bool = True


_COLUMNS = tuple(Server.__dataclass_fields__)
_NAMES = ", ".join(_COLUMNS)
_read = RowReader(Server)


def digest(secret: str) -> str:
    """What the store keeps of a webhook secret."""
    return hashlib.sha256(f"piv-mcp webhook {secret}".encode("utf-8", "surrogatepass")).hexdigest()


# --- the registry


def note(connection: Connection, server: Server, now: float) -> None:
    """Record that the server runs, for the connection's account. Drops the rows of processes that have ended."""
    claim(connection, server.secret)
    for (owner,) in list(connection.rows("SELECT owner FROM servers")):
        if connection.is_gone(str(owner)):
            remove(connection, owner)
    row = replace(server, account=connection.account, seen_at=now)
    remove(connection, server.owner)
    connection.execute(
        f"INSERT INTO servers ({_NAMES}) VALUES ({', '.join('?' * len(_COLUMNS))})",  # noqa: S608
        [getattr(row, name) for name in _COLUMNS],
    )


def remove(connection: Connection, owner: str) -> None:
    connection.execute("DELETE FROM servers WHERE owner = ?", (owner,))


def living(connection: Connection, now: float) -> list[Server]:
    """The servers that run, of all accounts, the oldest first."""
    rows = connection.rows(f"SELECT {_NAMES} FROM servers ORDER BY started_at, owner")  # noqa: S608
    return [server for row in list(rows) if (server := _read(row)).is_living(connection, now)]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a server finds around it. `account` is its own; `owns_secret`: so is its webhook secret."""

    account: int
    owns_secret: bool
    others: list[Server]
    """The other servers that run, of all accounts."""

    @property
    def of_account(self) -> list[Server]:
        """Those of the same account."""
        return [other for other in self.others if other.account == self.account]


def around(connection: Connection, server: Server, now: float) -> Surroundings:
    others = [other for other in living(connection, now) if other.owner != server.owner]
    owner = owner_of(connection, server.secret)
    return Surroundings(connection.account, owner in (None, connection.account), others)


def is_noted(connection: Connection, server: Server, now: float) -> bool:
    """Whether the server's row is there, as it should be, and not too old."""
    rows = connection.rows(f"SELECT {_NAMES} FROM servers WHERE owner = ?", (server.owner,))  # noqa: S608
    row = next((_read(row) for row in rows), None)
    if row is None or abs(now - row.seen_at) > UNSEEN_SECONDS / 3:
        return False
    return replace(row, seen_at=server.seen_at, account=server.account) == server


def holder_pid(connection: Connection, port: int, now: float, *, but: str = "") -> str | None:
    """The process that holds the port, as far as the registry tells; not the server `but`."""
    there = [server for server in living(connection, now) if server.port == port and server.owner != but]
    found = [server for server in there if server.serving] or there
    return found[0].pid if len(found) == 1 else None


def longest_days(connection: Connection, days: int, now: float) -> int:
    """For how many days the account's running servers, and one with `days`, keep events: the longest counts."""
    return max([days, *(server.inbox_days for server in living(connection, now) if _is_ours(connection, server))])


def _is_ours(connection: Connection, server: Server) -> bool:
    return server.account == connection.account


# --- webhook secrets


def owner_of(connection: Connection, secret: str) -> int | None:
    """The account that a secret belongs to; None if nobody has used it."""
    row = next(connection.rows("SELECT account FROM webhook_secrets WHERE digest = ?", (secret,)), None)
    return None if row is None else needed_whole(row[0])


def claim(connection: Connection, secret: str) -> bool:
    """Take the secret for the connection's account, unless it belongs to another. Returns whether it is the account's
    own."""
    connection.execute(
        "INSERT INTO webhook_secrets (digest, account) VALUES (?, ?) ON CONFLICT (digest) DO NOTHING",
        (secret, connection.account),
    )
    return owns(connection, secret)


def owns(connection: Connection, secret: str) -> bool:
    """Whether the secret is the account's own."""
    return owner_of(connection, secret) == connection.account


def accepted(connection: Connection, now: float) -> frozenset[str]:
    """The secrets of all running servers. Whose webhooks they bring is another question: see `as_owner`."""
    return frozenset(server.secret for server in living(connection, now))


def key_digests(connection: Connection) -> Sequence[str]:
    """The digests of the account's keys."""
    query = "SELECT digest FROM keys WHERE account = ? ORDER BY digest"
    return [str(key) for (key,) in connection.rows(query, (connection.account,))]


@contextmanager
def as_owner(connection: Connection, address: WebhookAddress | None) -> Generator[None]:
    """Read and write the rows of the account that the address belongs to, in the block.

    Raises:
        StoreError: the address is another process's, and nobody knows any more whose.
    """
    account = connection.account
    owner = account if address is None else owner_of(connection, address.secret)
    if owner is None and address is not None and not address.is_own:
        raise StoreError("the account of this webhook's address is not known")
    with accounts.acting_for(connection, account if owner is None else owner):
        yield
