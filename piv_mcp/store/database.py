"""One SQLite file, shared by every server process of the machine.

Writes go through one thread that commits them in groups: a burst costs a few `fsync`s instead of one each, and
`write` returns only when its group is on disk (WAL, `synchronous=FULL`). Reads have a thread and a connection of
their own.
"""

import asyncio
import os
import queue
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import structlog

from piv_mcp.errors import StoreError
from piv_mcp.store.migrations import migrate
from piv_mcp.store.recovery import carry_over

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], T]
Opened = tuple[sqlite3.Connection, int]
"""A connection, and the inode of the file that it has open."""
Outcome = tuple[Any, Exception | None]
"""What a job returned, or what it raised."""

BUSY_SECONDS = 2.0
"""How long a write waits for another process's transaction: below the 5 s that piv.day gives a webhook."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Write:
    job: Job[Any]
    done: asyncio.Future[Any]


class Store:
    """Opens lazily at the first use; `close` ends both threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._waiting: list[_Write] = []
        self._handed: queue.SimpleQueue[list[_Write] | None] = queue.SimpleQueue()
        self._writer: threading.Thread | None = None
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="store-read")
        self._reading: Opened | None = None
        self._writing: Opened | None = None
        self._closed = False

    async def write(self, job: Job[T]) -> T:
        """Run `job` in a transaction; returns when it is on disk. What was undone may be run once more: a job does
        nothing but what it does to the connection.

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
        self._waiting.append(_Write(job, done))
        if len(self._waiting) == 1:
            # Once the loop has run all that is ready: those writes too, and none of it competes with the writer.
            loop.call_soon(self._hand_over)
        return await done

    def _hand_over(self) -> None:
        if self._waiting:
            self._handed.put(self._waiting)
            self._waiting = []

    async def read(self, job: Job[T]) -> T:
        """Run `job` on the reading connection.

        Raises:
            StoreError: the file cannot be read.
        """
        try:
            return await self._run_read(job)
        except sqlite3.Error as error:
            if not _is_corrupt(error):
                raise _store_error(error) from error
            await self.write(self._report(error))  # the writer sets the file aside and begins a new one
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
        """Commit what is queued and close the file."""
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
        if self._reading is None or self._reading[1] != _inode(self.path):
            self._stop_reading()
            self._reading = _open(self.path)
            self._reading[0].execute("PRAGMA query_only = ON")
        return job(self._reading[0])

    def _stop_reading(self) -> None:
        if self._reading is not None:
            self._reading[0].close()
            self._reading = None

    def _report(self, error: sqlite3.Error) -> Job[None]:
        """Tells the writer that the file which the reader has open is damaged. Moot once it was replaced."""
        damaged = self._reading[1] if self._reading is not None else _inode(self.path)

        def job(_: sqlite3.Connection) -> None:
            if _inode(self.path) == damaged:
                raise error

        return job

    # --- the writing thread

    def _write_groups(self) -> None:
        while (handed := self._handed.get()) is not None:
            group = [write for write in handed if not write.done.cancelled()]  # they want nothing written
            if not group:
                continue
            outcomes: list[Outcome]
            try:
                outcomes = self._commit_group([write.job for write in group])
            except Exception as error:
                _log.error("store write failed", problem=str(error), waiting=len(group))
                outcomes = [(None, _store_error(error)) for _ in group]
            with suppress(RuntimeError):  # nobody is told after the end of the event loop
                group[0].done.get_loop().call_soon_threadsafe(_tell, group, outcomes)
        self._stop_writing()

    def _commit_group(self, jobs: list[Job[Any]]) -> list[Outcome]:
        for _ in range(3):
            try:
                if self._writing is not None and self._writing[1] != _inode(self.path):
                    self._stop_writing()  # another process set the file aside, or somebody deleted it
                if self._writing is None:
                    self._writing = _open(self.path)
                connection, inode = self._writing
                results = _commit(connection, jobs)
            except sqlite3.Error as error:
                if not _is_corrupt(error):
                    raise
                inode = self._writing[1] if self._writing is not None else _inode(self.path)
                self._stop_writing()
                _set_aside(self.path, inode, error)
                continue
            if inode == _inode(self.path):
                return results
        raise StoreError("the store is replaced again and again")

    def _stop_writing(self) -> None:
        if self._writing is not None:
            self._writing[0].close()
            self._writing = None


def _tell(group: list[_Write], outcomes: list[Outcome]) -> None:
    for write, (value, problem) in zip(group, outcomes, strict=True):
        if write.done.done():
            continue  # cancelled while it was written
        if problem is None:
            write.done.set_result(value)
        else:
            write.done.set_exception(problem)


def _commit(connection: sqlite3.Connection, jobs: list[Job[Any]]) -> list[Outcome]:
    """Run every job in one transaction. A job that fails is undone alone; the others stay."""
    try:
        with _transaction(connection):
            return [(job(connection), None) for job in jobs]
    except sqlite3.Error as error:
        if _is_of_the_file(error):
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
                if isinstance(error, sqlite3.Error) and _is_of_the_file(error):
                    raise
                connection.execute("ROLLBACK TO job")
                outcomes.append((None, error))
            connection.execute("RELEASE job")
    return outcomes


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Generator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _open(path: Path) -> Opened:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(path):
        # Never opened and closed by us once it exists: that drops every lock that this process has on it. Another
        # process that ends would then take itself for the last one and delete the log, acknowledged events and all.
        is_new = False
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))  # side files get the same mode
            is_new = True
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            migrate(connection)
            if is_new and (kept := _newest_kept(path)) is not None:
                carry_over(connection, kept)
        except BaseException:
            connection.close()
            raise
        return connection, _inode(path)


def _newest_kept(path: Path) -> Path | None:
    """The last damaged store that was set aside."""
    files = (file for file in path.parent.glob(f"{path.name}.corrupt-*") if not file.name.endswith(("-wal", "-shm")))
    return max(files, default=None)


@contextmanager
def _alone(path: Path) -> Generator[None]:
    """While nobody else opens the file or sets it aside. Not needed on Windows, which cannot rename an
    open file."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    lock = os.open(path.with_name(f"{path.name}-lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _is_corrupt(error: sqlite3.Error) -> bool:
    return _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _is_of_the_file(error: sqlite3.Error) -> bool:
    """Disk full, I/O error, damage: not the fault of the one job that met it."""
    mistaken = _code(error) == sqlite3.SQLITE_ERROR
    return _is_corrupt(error) or (isinstance(error, sqlite3.OperationalError) and not mistaken)


def _set_aside(path: Path, inode: int, error: sqlite3.Error) -> None:
    """Rename a damaged file and its side files, unless another process did so already."""
    with _alone(path):
        if _inode(path) != inode:
            return
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        aside = path.with_name(f"{path.name}.corrupt-{now}")
        while aside.exists():
            aside = aside.with_name(f"{aside.name}x")
        for side in ("-wal", "-shm", ""):  # the file last: a new one must never meet the log of the old one
            with suppress(FileNotFoundError):
                path.with_name(path.name + side).rename(aside.with_name(aside.name + side))
    _log.error(
        "the store was damaged: it was set aside and a new one begun",
        problem=str(error),
        kept=str(aside),
        do="nothing: SMS are fetched again from the history, and the spending journal is taken over if it can be read",
    )


def _store_error(error: Exception) -> StoreError:
    if isinstance(error, StoreError):
        return error
    if isinstance(error, OSError):
        return StoreError(f"the store cannot be opened: {error.strerror}")
    code = _code(error) if isinstance(error, sqlite3.Error) else 0
    reason = {
        sqlite3.SQLITE_FULL: "the disk is full",
        sqlite3.SQLITE_BUSY: "the store is locked by another program",
        sqlite3.SQLITE_LOCKED: "the store is locked by another program",
        sqlite3.SQLITE_READONLY: "the store is read-only",
        sqlite3.SQLITE_CANTOPEN: "the store cannot be opened",
        sqlite3.SQLITE_IOERR: "the disk reports an error",
    }.get(code, f"the store failed ({type(error).__name__})")
    return StoreError(reason)
