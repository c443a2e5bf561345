"""One SQLite file, shared by every server process of the machine.

Writes go through one thread that commits them in groups: a burst costs a few `fsync`s instead of one each, and `write`
returns only when its group is on disk (WAL, `synchronous=FULL`). Reads have a thread and a connection of their own.
"""

import asyncio
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import structlog

from piv_mcp.errors import StoreError
from piv_mcp.store.schema import migrate

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], T]

BUSY_SECONDS = 2.0
"""How long a write waits for another process's transaction: below the 5 s that piv.day gives a webhook."""

GROUP = 512
"""Most writes in one commit."""

_log = structlog.get_logger(__name__)


class Store:
    """Opens lazily at the first use; `close` ends both threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._jobs: queue.SimpleQueue[tuple[Job[Any], Future[Any]] | None] = queue.SimpleQueue()
        self._writer: threading.Thread | None = None
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="store-read")
        self._reading: tuple[sqlite3.Connection, int] | None = None
        self._closed = False

    async def write(self, job: Job[T]) -> T:
        """Run `job` in a transaction; returns when it is on disk.

        Raises:
            StoreError: nothing was written (disk full, file locked); the same call may work later.
        """
        if self._closed:
            raise StoreError("the store is closed")
        if self._writer is None:
            self._writer = threading.Thread(target=self._write_groups, name="store-write", daemon=True)
            self._writer.start()
        done: Future[T] = Future()
        self._jobs.put((job, done))
        return await asyncio.wrap_future(done)

    async def read(self, job: Job[T]) -> T:
        """Run `job` on the reading connection.

        Raises:
            StoreError: the file cannot be read.
        """
        if self._closed:
            raise StoreError("the store is closed")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._reader, self._read, job)
        except sqlite3.Error as error:
            if _is_corrupt(error):
                await self.write(_raiser(error))
                return await asyncio.get_running_loop().run_in_executor(self._reader, self._read, job)
            raise _store_error(error) from error

    async def close(self) -> None:
        """Commit what is queued and close the file."""
        if self._closed:
            return
        self._closed = True
        loop = asyncio.get_running_loop()
        if self._writer is not None:
            self._jobs.put(None)
            await loop.run_in_executor(None, self._writer.join)
        await loop.run_in_executor(self._reader, self._stop_reading)
        self._reader.shutdown(wait=False)

    # --- the reading thread

    def _read(self, job: Job[T]) -> T:
        if self._reading is None or self._reading[1] != _inode(self.path):
            self._stop_reading()
            connection = _open(self.path)
            connection.execute("PRAGMA query_only = ON")
            self._reading = (connection, _inode(self.path))
        return job(self._reading[0])

    def _stop_reading(self) -> None:
        if self._reading is not None:
            self._reading[0].close()
            self._reading = None

    # --- the writing thread

    def _write_groups(self) -> None:
        connection: sqlite3.Connection | None = None
        inode = 0
        while True:
            group, stopping = self._next_group()
            for attempt in (1, 2):
                try:
                    if connection is not None and inode != _inode(self.path):
                        connection.close()  # another process set the file aside, or somebody deleted it
                        connection = None
                    if connection is None:
                        connection = _open(self.path)
                        inode = _inode(self.path)
                    results = _commit(connection, [job for job, _ in group])
                except sqlite3.Error as error:
                    if _is_corrupt(error) and attempt == 1:
                        if connection is not None:
                            connection.close()
                            connection = None
                        _set_aside(self.path, inode or _inode(self.path), error)
                        continue
                    _log.error("store write failed", problem=str(error), waiting=len(group))
                    for _, done in group:
                        done.set_exception(_store_error(error))
                except OSError as error:
                    for _, done in group:
                        done.set_exception(StoreError(f"the store cannot be opened: {error.strerror}"))
                else:
                    for (_, done), (value, problem) in zip(group, results, strict=True):
                        if problem is None:
                            done.set_result(value)
                        else:
                            done.set_exception(problem)
                break
            if stopping:
                if connection is not None:
                    connection.close()
                return

    def _next_group(self) -> tuple[list[tuple[Job[Any], Future[Any]]], bool]:
        group: list[tuple[Job[Any], Future[Any]]] = []
        item = self._jobs.get()
        while item is not None:
            if item[1].set_running_or_notify_cancel():  # a caller that has gone away wants nothing written
                group.append(item)
            if len(group) == GROUP:
                return group, False
            try:
                item = self._jobs.get_nowait()
            except queue.Empty:
                return group, False
        return group, True


def _commit(connection: sqlite3.Connection, jobs: list[Job[Any]]) -> list[tuple[Any, Exception | None]]:
    """Run every job in one transaction. A job that fails is undone alone; the others stay."""
    if not jobs:
        return []
    results: list[tuple[Any, Exception | None]] = []
    connection.execute("BEGIN IMMEDIATE")
    try:
        for job in jobs:
            connection.execute("SAVEPOINT job")
            try:
                results.append((job(connection), None))
            except sqlite3.OperationalError:
                raise  # the file, not the job: disk full, I/O error
            except Exception as error:
                if isinstance(error, sqlite3.DatabaseError) and _is_corrupt(error):
                    raise
                connection.execute("ROLLBACK TO job")
                results.append((None, error))
            connection.execute("RELEASE job")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return results


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite gives its own side files the same mode
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def _is_corrupt(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _set_aside(path: Path, inode: int, error: sqlite3.Error) -> None:
    """Rename a damaged file and its side files, unless another process did so already."""
    if _inode(path) != inode:
        return
    aside = path.with_name(f"{path.name}.corrupt-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
    for suffix in ("-wal", "-shm", ""):
        source = path.with_name(path.name + suffix)
        if source.exists():
            source.rename(aside.with_name(aside.name + suffix))
    _log.error(
        "the store was damaged: it was set aside and a new one begun",
        problem=str(error),
        kept=str(aside),
        do="older events are fetched again from the SMS history; look into the kept file for the spending journal",
    )


def _store_error(error: sqlite3.Error) -> StoreError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    reason = {
        sqlite3.SQLITE_FULL: "the disk is full",
        sqlite3.SQLITE_BUSY: "the store is locked by another program",
        sqlite3.SQLITE_LOCKED: "the store is locked by another program",
        sqlite3.SQLITE_READONLY: "the store is read-only",
        sqlite3.SQLITE_CANTOPEN: "the store cannot be opened",
        sqlite3.SQLITE_IOERR: "the disk reports an error",
    }.get(code, f"the store failed ({type(error).__name__})")
    return StoreError(reason)


def _raiser(error: sqlite3.Error) -> Job[None]:
    def job(_: sqlite3.Connection) -> None:
        raise error

    return job
