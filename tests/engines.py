"""Which engine keeps the stores of the tests: SQLite, or PostgreSQL with `pytest --engine postgresql`."""

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from piv_mcp.store import SqliteStore, Store
from piv_mcp.store.writes import BUSY_SECONDS
from piv_mcp.text.times import SYSTEM_CLOCK, Clock

if TYPE_CHECKING:
    from postgres import Cluster

    from piv_mcp.store.postgres.store import PostgresStore

CLUSTER: "list[Cluster]" = []
"""The server, where it is to be used."""


def open_at(
    path: Path, *, key_digest: str | None = None, busy_seconds: float = BUSY_SECONDS, clock: Clock = SYSTEM_CLOCK
) -> Store:
    """A store as a process of its own has it. With PostgreSQL, one database stands for each path."""
    if not CLUSTER:
        return SqliteStore(path, key_digest=key_digest, busy_seconds=busy_seconds)
    return open_in(CLUSTER[0], path, key_digest=key_digest, busy_seconds=busy_seconds, clock=clock)


def open_in(
    cluster: "Cluster",
    path: Path,
    *,
    key_digest: str | None = None,
    busy_seconds: float = BUSY_SECONDS,
    clock: Clock = SYSTEM_CLOCK,
) -> "PostgresStore":
    """A store in PostgreSQL as a process of its own has it."""
    from piv_mcp.store.postgres.database import PostgresDatabase
    from piv_mcp.store.postgres.store import PostgresStore

    database: PostgresDatabase = PostgresDatabase(cluster.database_for(path), clock=clock)
    return PostgresStore(database, key_digest=key_digest, busy_seconds=busy_seconds, release=database.close)


def store_url(path: Path) -> SecretStr | None:
    """What makes a server use the store of this path; None if it does so by itself."""
    return SecretStr(CLUSTER[0].database_for(path)) if CLUSTER else None
