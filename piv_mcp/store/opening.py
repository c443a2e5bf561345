"""Opens the store's file, and knows whether it is still the store's."""

import sqlite3
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from piv_mcp.store import recovery
from piv_mcp.store.files import Files, locked, look, note_made, size_of, was_made
from piv_mcp.store.migrations import migrate
from piv_mcp.store.rows import damage
from piv_mcp.store.sqlite import SqliteConnection, connect, is_new, primary_code, refuse_newer

SAME_SECONDS = 0.1
"""Times that SQLite waits for a lock differ by more, or are not set anew."""


@dataclass(slots=True)
class Opened:
    """A connection, and what it has open. `size` is that of the database when it was last looked at, in bytes."""

    path: Path
    connection: SqliteConnection
    files: Files
    size: int
    waits: float
    """How long it waits for a lock, in seconds."""

    def is_current(self) -> bool:
        """Whether these are still the store's files, and nobody has cut them. Takes three calls of the system."""
        files, size = look(self.path)
        if files != self.files:
            return False
        if size < self.size and recovery.is_cut(self.path, self.connection, size):
            return False
        self.size = size
        return True

    def wait_until(self, until: float, usual: float) -> None:
        """Wait for other processes' transactions up to this time of the monotonic clock."""
        seconds = min(usual, max(0.0, until - time.monotonic()))
        if abs(seconds - self.waits) > SAME_SECONDS:
            self.connection.execute(f"PRAGMA busy_timeout = {int(1000 * seconds)}")
            self.waits = seconds

    def close(self) -> None:
        self.connection.raw.close()


def open_store(path: Path, busy_seconds: float, key_digest: str | None = None) -> Opened:
    """Open the store, or make it, for the account of a key."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked_when_whole(path) as whole:
        if not whole:
            recovery.complete(path)
        return _open_locked(path, busy_seconds, key_digest)


@contextmanager
def locked_when_whole(path: Path) -> Generator[bool]:
    """Lock the store as soon as its files are whole. Yields false if no process has made them so in `MEND_SECONDS`.

    A database that was made and is gone is made anew by a process that has it open.
    """
    until = time.monotonic() + recovery.MEND_SECONDS
    while True:
        with locked(path):
            whole = recovery.is_whole(path) and (path.exists() or not was_made(path))
            if whole or time.monotonic() > until:
                yield whole
                return
        time.sleep(0.05)


def _open_locked(path: Path, busy_seconds: float, key_digest: str | None) -> Opened:
    # Never open and close an existing database file outside SQLite: closing it drops all POSIX locks that this
    # process holds on it. Another process that ends would then believe that it is the last one and delete the
    # write-ahead log, with committed events in it.
    if not size_of(path):
        recovery.create(path)
    connection = _connect(path, busy_seconds)
    if connection is None:
        recovery.create(path)
        connection = connect(path, busy_seconds)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        migrate(connection)
        connection.serve(key_digest)
        connection.count("PRAGMA user_version")  # opens the log and its index
        note_made(path)
        return Opened(path, connection, *look(path), busy_seconds)
    except BaseException:
        connection.raw.close()
        raise


def _connect(path: Path, busy_seconds: float) -> SqliteConnection | None:
    """A connection to a file with tables; None if it has none yet."""
    with ExitStack() as failed:
        try:
            connection = connect(path, busy_seconds)
            failed.callback(connection.raw.close)
            refuse_newer(connection)
            if is_new(connection):
                return None
        except UnicodeError as error:  # in the text of an error
            raise damage("its schema is no text") from error
        except sqlite3.OperationalError as error:
            if primary_code(error) == sqlite3.SQLITE_ERROR:
                raise damage(str(error)) from error
            raise
        failed.pop_all()
        return connection
