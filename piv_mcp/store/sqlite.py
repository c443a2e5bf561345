"""What the store uses of SQLite: connections, transactions, and what its errors mean."""

import sqlite3
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from piv_mcp.errors import NewerStoreError, StoreError
from piv_mcp.store import accounts, leases, migrations
from piv_mcp.store.connection import Connection, Row, Value
from piv_mcp.store.rows import damage, needed_whole

MAX_LOG_BYTES = 16 * 1024 * 1024
"""What the write-ahead log shrinks to after a checkpoint. SQLite begins a checkpoint at 4 MB."""

MAX_VERSION = 10_000
"""A higher number of the schema is rubbish."""


class SqliteConnection:
    """A `Connection` to an SQLite file."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        self.raw = raw
        self.account = accounts.UNCLAIMED
        self._key_digest: str | None = None

    def serve(self, key_digest: str | None) -> None:
        """Read and write the rows of this key's account from now on. A new key gets its account."""
        self._key_digest = key_digest
        if key_digest is not None and accounts.of_key(self, key_digest) is None:
            with transaction(self):
                if accounts.of_key(self, key_digest) is None:  # another process may have been quicker
                    accounts.add_key(self, key_digest)

    def find_account(self) -> None:
        """Learn whose rows are meant, in each transaction: another process may have found two keys to be of one
        account."""
        self.account = accounts.of_key(self, self._key_digest) or self.account

    def execute(self, sql: str, values: Sequence[Value] = ()) -> int:
        return self.raw.execute(sql, values).rowcount

    def rows(self, sql: str, values: Sequence[Value] = ()) -> Iterator[Row]:
        return self.raw.execute(sql, values)

    def count(self, sql: str, values: Sequence[Value] = ()) -> int:
        row = self.raw.execute(sql, values).fetchone()
        return needed_whole(row[0]) if row and row[0] is not None else 0

    def last_event(self) -> int:
        return self.count("SELECT seq FROM sqlite_sequence WHERE name = 'events'")

    def note_events(self, last: int, subjects: Collection[str | None]) -> None:
        pass  # SQLite keeps it

    def is_gone(self, owner: str) -> bool:
        return leases.is_gone(owner)

    def alone(self) -> None:
        pass  # a transaction that writes is alone

    def now(self, here: float) -> float:
        return here


def connect(path: Path, busy_seconds: float) -> SqliteConnection:
    """A connection to a file, which waits so many seconds for a lock. What it deletes is overwritten with zeros."""
    raw = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None, check_same_thread=False)
    try:
        connection = SqliteConnection(raw)
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA journal_size_limit = {MAX_LOG_BYTES}")
    except BaseException:
        raw.close()
        raise
    return connection


@contextmanager
def transaction(connection: SqliteConnection, begin: str = "BEGIN IMMEDIATE") -> Generator[None]:
    """An `atomic` block that acts for the connection's account.

    Raises:
        NewerStoreError: the schema is newer than this version of piv-mcp.
    """
    with atomic(connection, begin):
        refuse_newer(connection)
        connection.find_account()
        yield


@contextmanager
def atomic(connection: SqliteConnection, begin: str = "BEGIN IMMEDIATE") -> Generator[None]:
    """Commit at the end of the block; roll back if the block or the commit fails.

    No error of it repeats what is stored.
    """
    connection.execute(begin)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException as error:
        if connection.raw.in_transaction:
            connection.execute("ROLLBACK")
        if isinstance(error, sqlite3.Error) and _is_no_text(error):
            raise damage("a text is not UTF-8") from None  # SQLite's message repeats the text, which can hold a code
        raise


def refuse_newer(connection: SqliteConnection) -> None:
    """A newer piv-mcp can have brought the file up to date at any time, also while this process has it open.

    Raises:
        NewerStoreError: it has.
    """
    version = connection.count("PRAGMA user_version")
    if not 0 <= version <= MAX_VERSION:
        raise damage(f"no version has the schema {version}")
    if version > len(migrations.STEPS):
        raise NewerStoreError(
            f"the store belongs to a newer version of piv-mcp (its schema is {version}, this version knows"
            f" {len(migrations.STEPS)}), so that this version neither reads nor writes it"
        )


def is_new(connection: SqliteConnection) -> bool:
    """Whether the file has no tables yet: it was made, and the first start broke off, for example on a full disk."""
    return not connection.count("SELECT count(*) FROM sqlite_master") and not connection.count("PRAGMA user_version")


def is_sound(connection: Connection, check: str = "quick_check") -> bool:
    """Whether SQLite's own check of the file finds nothing. `integrity_check` also compares indexes with their tables,
    which takes longer."""
    try:
        return next(connection.rows(f"PRAGMA {check}(1)"), None) == ("ok",)
    except sqlite3.DatabaseError as error:
        if is_damage(error):
            return False
        raise


def is_damage(error: sqlite3.Error) -> bool:
    is_cut = getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_IOERR_SHORT_READ  # somebody has cut the log
    return _is_no_text(error) or is_cut or primary_code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _is_no_text(error: sqlite3.Error) -> bool:
    """Whether bytes of the file are not the text that they should be, which SQLite itself does not check."""
    return "Could not decode to UTF-8" in str(error)


def primary_code(error: sqlite3.Error) -> int:
    """SQLite's primary result code; 0 if the error has none."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def is_locked(error: sqlite3.Error) -> bool:
    """Whether another connection's transaction is in the way, which ends."""
    return primary_code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def concerns_the_file(error: sqlite3.Error) -> bool:
    """Whether the error is about the whole file (disk full, I/O error, damage) and not about one job's SQL."""
    mistaken = primary_code(error) == sqlite3.SQLITE_ERROR
    return is_damage(error) or (isinstance(error, sqlite3.OperationalError) and not mistaken)


def store_error(error: Exception) -> StoreError:
    """The error in words."""
    if isinstance(error, StoreError):
        return error
    if isinstance(error, OSError):
        return StoreError(f"the store cannot be opened: {error.strerror}")
    code = primary_code(error) if isinstance(error, sqlite3.Error) else 0
    reason = {
        sqlite3.SQLITE_FULL: "the disk is full",
        sqlite3.SQLITE_BUSY: "the store is locked by another program",
        sqlite3.SQLITE_LOCKED: "the store is locked by another program",
        sqlite3.SQLITE_READONLY: "the store is read-only",
        sqlite3.SQLITE_CANTOPEN: "the store cannot be opened",
        sqlite3.SQLITE_IOERR: "the disk reports an error",
    }.get(code, f"the store failed ({type(error).__name__})")
    return StoreError(reason)
