"""One database for all stores of a process that have the same address."""

from pathlib import Path

from piv_mcp.store.postgres.database import PostgresDatabase
from piv_mcp.store.postgres.store import PostgresStore
from piv_mcp.text.times import SYSTEM_CLOCK, Clock

_open: dict[tuple[str, str | None, Path | None, Clock], tuple[PostgresDatabase, set[int]]] = {}
"""The databases that are open, with the stores that use them."""


def open_shared(
    url: str,
    direct_url: str | None,
    password_file: Path | None = None,
    *,
    key_digest: str | None,
    clock: Clock = SYSTEM_CLOCK,
) -> PostgresStore:
    """A store in the database at the address. It is connected at the first use; the last store that is closed closes
    the connections.

    Raises:
        ConfigError: the address cannot be read.
    """
    name = (url, direct_url, password_file, clock)
    if name not in _open:
        _open[name] = (PostgresDatabase(url, direct_url=direct_url, password_file=password_file, clock=clock), set())
    database, users = _open[name]

    async def release() -> None:
        users.discard(id(store))
        if not users and _open.get(name, (None,))[0] is database:
            del _open[name]
            await database.close()

    store = PostgresStore(database, key_digest=key_digest, release=release)
    users.add(id(store))
    return store
