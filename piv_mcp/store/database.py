"""One SQLite file, shared by every server process of the machine.

One thread commits writes in groups, so that a burst needs a few `fsync`s instead of one each. `write` returns only when
its group is on disk (WAL, `synchronous=FULL`). Reads have a thread and a connection of their own.
"""

import asyncio
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import structlog

from piv_mcp.errors import StoreError
from piv_mcp.store import accounts
from piv_mcp.store.connection import Connection, Row, Value
from piv_mcp.store.migrations import migrate
from piv_mcp.store.recovery import inode_of, is_damage, locked, primary_code, set_aside, take_over

T = TypeVar("T")
P = ParamSpec("P")
Job = Callable[[Connection], T]
Outcome = tuple[Any, Exception | None]
"""What a job returned, or what it raised."""

BUSY_SECONDS = 2.0
"""How long a write waits for another process's transaction: below the 5 s that piv.day gives a webhook."""

_log = structlog.get_logger(__name__)


class SqliteConnection:
    """A `Connection` to an SQLite file."""

    def __init__(self, raw: sqlite3.Connection, key_digest: str | None = None) -> None:
        self.raw = raw
        self.account = accounts.UNCLAIMED
        self._key_digest = key_digest

    def find_account(self) -> None:
        """Learn whose rows are meant, at the beginning of each transaction: another process may have found two keys to
        be of one account."""
        self.account = accounts.of_key(self, self._key_digest) or self.account

    def add_key(self) -> None:
        """Give a new key its account."""
        if self._key_digest is not None and accounts.of_key(self, self._key_digest) is None:
            with _transaction(self):
                if accounts.of_key(self, self._key_digest) is None:  # another process may have been quicker
                    accounts.add_key(self, self._key_digest)

    def execute(self, sql: str, values: Sequence[Value] = ()) -> int:
        return self.raw.execute(sql, values).rowcount

    def rows(self, sql: str, values: Sequence[Value] = ()) -> Iterator[Row]:
        return self.raw.execute(sql, values)

    def count(self, sql: str, values: Sequence[Value] = ()) -> int:
        row = self.raw.execute(sql, values).fetchone()
        return int(row[0] or 0) if row else 0


@dataclass(frozen=True, slots=True)
class _Open:
    """A connection, and the inode of its file."""

    connection: SqliteConnection
    inode: int

    def close(self) -> None:
        self.connection.raw.close()


@dataclass(frozen=True, slots=True)
class _Write:
    job: Job[Any]
    done: asyncio.Future[Any]


class Store:
    """The store of a process. The file is opened at the first use; `close` ends both threads.

    `key_digest` names the account whose rows are read and written (see `accounts`). `busy_seconds` is how long a write
    waits for another process's transaction.
    """

    def __init__(self, path: Path, *, key_digest: str | None = None, busy_seconds: float = BUSY_SECONDS) -> None:
        self.path = path
        self._key_digest = key_digest
        self._busy_seconds = busy_seconds
        self._waiting: list[_Write] = []
        self._handed: queue.SimpleQueue[list[_Write] | None] = queue.SimpleQueue()
        self._writer: threading.Thread | None = None
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="store-read")
        self._reading: _Open | None = None
        self._writing: _Open | None = None
        self._closed = False

    async def write(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn(connection, ...)` in a transaction; returns when it is on disk.

        `fn` may run a second time after a rollback, so it must change nothing but the store.

        Raises:
            StoreError: nothing was written (disk full, file locked); the same call may work later.
        """
        if self._closed:
            raise StoreError("the store is closed")
        if self._writer is None:
            self._writer = threading.Thread(target=self._write_groups, name="store-write", daemon=True)
            self._writer.start()
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        self._waiting.append(_Write(lambda connection: fn(connection, *args, **kwargs), done))
        if len(self._waiting) == 1:
            # Hand over when the loop has run all ready tasks: their writes join this group, and the tasks do not
            # compete with the writing thread for the interpreter lock.
            loop.call_soon(self._hand_over)
        return await done

    def _hand_over(self) -> None:
        if self._waiting:
            self._handed.put(self._waiting)
            self._waiting = []

    async def read(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn(connection, ...)` on the reading connection.

        Raises:
            StoreError: the file cannot be read.
        """

        def job(connection: Connection) -> T:
            return fn(connection, *args, **kwargs)

        try:
            return await self._run_read(job)
        except sqlite3.Error as error:
            if not is_damage(error):
                raise _store_error(error) from error
            await self.write(self._damage_report(error))  # the writing thread replaces the file
        try:
            return await self._run_read(job)
        except sqlite3.Error as error:
            raise _store_error(error) from error

    async def _run_read(self, job: Job[T]) -> T:
        if self._closed:
            raise StoreError("the store is closed")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._reader, self._read, job)
        except OSError as error:
            raise _store_error(error) from error

    async def close(self) -> None:
        """Commit the queued writes and close the file."""
        if self._closed:
            return
        self._closed = True
        loop = asyncio.get_running_loop()
        if self._writer is not None:
            self._hand_over()
            self._handed.put(None)
            await loop.run_in_executor(None, self._writer.join)
        await loop.run_in_executor(self._reader, self._stop_reading)
        self._reader.shutdown(wait=False)

    # --- the reading thread

    def _read(self, job: Job[T]) -> T:
        if self._reading is None or self._reading.inode != inode_of(self.path):
            self._stop_reading()
            self._reading = _open(self.path, self._busy_seconds, self._key_digest)
            self._reading.connection.execute("PRAGMA query_only = ON")
        self._reading.connection.find_account()
        return job(self._reading.connection)

    def _stop_reading(self) -> None:
        if self._reading is not None:
            self._reading.close()
            self._reading = None

    def _set_aside(self, inode: int, error: sqlite3.Error) -> None:
        self._stop_reading()
        set_aside(self.path, inode, error)

    def _damage_report(self, error: sqlite3.Error) -> Job[None]:
        """A job that tells the writing thread that the reader's file is damaged. It does nothing if the file was
        replaced meanwhile."""
        damaged = self._reading.inode if self._reading is not None else inode_of(self.path)

        def job(_: Connection) -> None:
            if inode_of(self.path) == damaged:
                raise error

        return job

    # --- the writing thread

    def _write_groups(self) -> None:
        while (handed := self._handed.get()) is not None:
            group = [write for write in handed if not write.done.cancelled()]
            if not group:
                continue
            outcomes: list[Outcome]
            try:
                outcomes = self._commit_group([write.job for write in group])
            except Exception as error:
                _log.error("store write failed", problem=str(error), waiting=len(group))
                outcomes = [(None, _store_error(error)) for _ in group]
            with suppress(RuntimeError):  # the event loop is closed, so no caller waits any more
                group[0].done.get_loop().call_soon_threadsafe(_resolve, group, outcomes)
        self._stop_writing()

    def _commit_group(self, jobs: list[Job[Any]]) -> list[Outcome]:
        for _ in range(3):
            try:
                if self._writing is not None and self._writing.inode != inode_of(self.path):
                    self._stop_writing()  # another process renamed the file, or somebody deleted it
                if self._writing is None:
                    self._writing = _open(self.path, self._busy_seconds, self._key_digest)
                inode = self._writing.inode
                results = _commit(self._writing.connection, jobs)
            except sqlite3.Error as error:
                if not is_damage(error):
                    raise
                inode = self._writing.inode if self._writing is not None else inode_of(self.path)
                self._stop_writing()
                # On the reading thread, which closes its own connection first: Windows cannot rename an open file.
                self._reader.submit(self._set_aside, inode, error).result()
                continue
            if inode == inode_of(self.path):
                return results
        raise StoreError("the store file was replaced three times during one write")

    def _stop_writing(self) -> None:
        if self._writing is not None:
            self._writing.close()
            self._writing = None


def _resolve(group: list[_Write], outcomes: list[Outcome]) -> None:
    for write, (value, problem) in zip(group, outcomes, strict=True):
        if write.done.done():
            continue  # the caller was cancelled during the write
        if problem is None:
            write.done.set_result(value)
        else:
            write.done.set_exception(problem)


def _commit(connection: SqliteConnection, jobs: list[Job[Any]]) -> list[Outcome]:
    """Run the jobs in one transaction. If a job fails, only its own changes are rolled back."""
    try:
        with _transaction(connection):
            return [(job(connection), None) for job in jobs]
    except sqlite3.Error as error:
        if _concerns_the_file(error):
            raise
    except Exception as error:
        _log.debug("a write failed; its group is written one by one", problem=type(error).__name__)
    outcomes: list[Outcome] = []
    with _transaction(connection):
        for job in jobs:
            connection.execute("SAVEPOINT job")
            try:
                outcomes.append((job(connection), None))
            except Exception as error:
                if isinstance(error, sqlite3.Error) and _concerns_the_file(error):
                    raise
                connection.execute("ROLLBACK TO job")
                outcomes.append((None, error))
            connection.execute("RELEASE job")
    return outcomes


@contextmanager
def _transaction(connection: SqliteConnection) -> Generator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.find_account()
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.raw.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _open(path: Path, busy_seconds: float, key_digest: str | None) -> _Open:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(path):
        # Never open and close an existing database file outside SQLite: closing it drops all POSIX locks that this
        # process holds on it. Another process that ends would then believe that it is the last one and delete the
        # write-ahead log, with committed events in it.
        is_new = False
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))  # side files get the same mode
            is_new = True
        raw = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None, check_same_thread=False)
        connection = SqliteConnection(raw, key_digest)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            migrate(connection)
            if is_new:
                take_over(connection, path)
            connection.add_key()
        except BaseException:
            raw.close()
            raise
        return _Open(connection, inode_of(path))


def _concerns_the_file(error: sqlite3.Error) -> bool:
    """Whether the error is about the whole file (disk full, I/O error, damage) and not about one job's SQL."""
    mistaken = primary_code(error) == sqlite3.SQLITE_ERROR
    return is_damage(error) or (isinstance(error, sqlite3.OperationalError) and not mistaken)


def _store_error(error: Exception) -> StoreError:
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
