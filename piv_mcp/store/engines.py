"""Opens the store that the settings ask for."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from piv_mcp.config import Settings
from piv_mcp.errors import ConfigError
from piv_mcp.store.database import SqliteStore
from piv_mcp.store.interface import Store
from piv_mcp.text.times import SYSTEM_CLOCK, Clock


def open_store(
    settings: Settings, directory: Path, *, key_digest: str | None = None, clock: Clock = SYSTEM_CLOCK
) -> Store:
    """The store for the account of a key: a file in the data directory, unless the settings name another or a database.
    It is opened at the first use. Stores of one database share its connections. `clock` stands in for the clock of the
    database, unless it is the system's.

    Raises:
        ConfigError: the database's address cannot be read, or what talks to PostgreSQL is not installed.
    """
    if not settings.is_shared:
        return SqliteStore(settings.store_path(directory), key_digest=key_digest)
    with _needing_psycopg():
        # late: psycopg takes longer to load than all the rest of the store
        from piv_mcp.store.postgres.shared import open_shared
    url, direct = settings.store_url, settings.store_direct_url
    return open_shared(
        url.get_secret_value() if url else "",
        None if direct is None else direct.get_secret_value(),
        settings.store_password_file,
        key_digest=key_digest,
        clock=clock,
    )


def copier() -> Callable[[Path, str, Path | None], dict[str, int]]:
    """What copies a file into a database: see `postgres.copying.copy_into`.

    Raises:
        ConfigError: what talks to PostgreSQL is not installed.
    """
    with _needing_psycopg():
        from piv_mcp.store.postgres.copying import copy_into  # late: see open_store
    return copy_into


@contextmanager
def _needing_psycopg() -> Generator[None]:
    try:
        yield
    except ImportError as error:
        raise ConfigError(
            f"PIV_STORE_URL names PostgreSQL, and {error.name or 'psycopg'} is not installed",
            hint="pip install 'piv-mcp[server]'",
        ) from None
