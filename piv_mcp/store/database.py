"""One SQLite file, shared by every server process of the machine.

One thread commits writes in groups, so that a burst needs a few `fsync`s instead of one each. `write` returns only when
its group is on disk (WAL, `synchronous=FULL`). Reads have a thread and a connection of their own.
"""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import structlog

from piv_mcp.errors import StoreError
from piv_mcp.store import leases, recovery
from piv_mcp.store.connection import Connection
from piv_mcp.store.files import inode_of
from piv_mcp.store.interface import Subjects
from piv_mcp.store.measuring import measured
from piv_mcp.store.opening import Opened, open_store
from piv_mcp.store.request_file import RequestFile
from piv_mcp.store.space import make_shrinkable
from piv_mcp.store.sqlite import SqliteConnection, concerns_the_file, is_damage, store_error, transaction
from piv_mcp.store.writes import BUSY_SECONDS, Gathering, Group, Job, Outcome, resolve
from piv_mcp.text.times import Clock

T = TypeVar("T")
P = ParamSpec("P")

IDLE_SECONDS = 1.0
"""How often a process that writes nothing looks whether its files are still those of the store."""

COMMIT_POLL_SECONDS = 0.1
"""Seconds between two checks for commits of other processes: SQLite tells of none."""

_log = structlog.get_logger(__name__)


class SqliteStore:
    """A `Store` in a file. The file is opened at the first use; `close` ends both threads.

    `key_digest` names the account whose rows are read and written (see `accounts`). `busy_seconds` is how long a write
    waits for another process's transaction.
    """

    def __init__(self, path: Path, *, key_digest: str | None = None, busy_seconds: float = BUSY_SECONDS) -> None:
        self.path = path
        self._key_digest = key_digest
        self._busy_seconds = busy_seconds
        self._handed: queue.SimpleQueue[Group | None] = queue.SimpleQueue()
        busy = "the store is busy: another program has it locked, or it is being made anew"
        self._gathering = Gathering(self._handed.put, busy_seconds, busy=busy)
        self._writer: threading.Thread | None = None
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="store-read")
        self._reading: Opened | None = None
        self._writing: Opened | None = None
        self._mended = 0
        """The inode of the file whose indexes were made anew last."""
        self._problem = ""
        """Why the store could not be made anew when this process looked last."""
        self._closed = False
        self._account: int | None = None
        self.requests = RequestFile(path, self.account)
        self.process = leases.this_process()

    look_seconds = COMMIT_POLL_SECONDS

    async def account(self) -> int:
        return await self.read(lambda c: c.account) if self._account is None else self._account

    async def write(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        # `fn` runs again, too, when the file was replaced meanwhile.
        if self._closed:
            raise StoreError("the store is closed")
        if self._writer is None:
            self._writer = threading.Thread(target=self._write_groups, name="store-write", daemon=True)
            self._writer.start()
        return await self._gathering.add(lambda connection: fn(connection, *args, **kwargs))

    async def read(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        def job(connection: Connection) -> T:
            return fn(connection, *args, **kwargs)

        for _ in range(2):  # what is mended in place can be met again
            try:
                return await self._run_read(job)
            except (sqlite3.Error, _NotCurrentError) as error:
                if isinstance(error, sqlite3.Error) and not is_damage(error):
                    raise store_error(error) from error
                await self.write(self._report(error))
        try:
            return await self._run_read(job)
        except (sqlite3.Error, _NotCurrentError) as error:
            raise store_error(error) from error

    async def _run_read(self, job: Job[T]) -> T:
        if self._closed:
            raise StoreError("the store is closed")
        try:
            with measured("read"):
                return await asyncio.get_running_loop().run_in_executor(self._reader, self._read, job)
        except OSError as error:
            raise store_error(error) from error

    async def marker(self) -> Hashable:
        return await self.read(_marker)

    def is_writable(self) -> bool:
        return True  # each write tells, and a file that cannot be written is mended by itself

    def on_commit(self, wake: Callable[[Subjects], None]) -> None:
        pass  # SQLite tells nobody

    def clock(self, clock: Clock) -> Clock:
        return clock

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await self.requests.close()
        loop = asyncio.get_running_loop()
        if self._writer is not None:
            self._gathering.hand_over()
            self._handed.put(None)
            await loop.run_in_executor(None, self._writer.join)
        await loop.run_in_executor(self._reader, self._stop_reading)
        self._reader.shutdown(wait=False)

    # --- the reading thread

    def _read(self, job: Job[T]) -> T:
        opened = self._open_for_reading()
        with transaction(opened.connection, "BEGIN"):
            value = job(opened.connection)
        self._account = opened.connection.account
        return value

    def _open_for_reading(self) -> Opened:
        opened, writing = self._reading, self._writing
        if opened is not None and opened.is_current():
            return opened
        if opened is not None and inode_of(self.path) not in (0, opened.files.database):
            self._stop_reading()
        # SQLite shares the files of a log between the connections of a process, also those that were deleted.
        is_stale = self._reading is not None or (writing is not None and not writing.is_current())
        if is_stale or (self.path.exists() and not recovery.is_complete(self.path)):
            raise _NotCurrentError
        self._reading = opened = open_store(self.path, self._busy_seconds, self._key_digest)
        opened.connection.execute("PRAGMA query_only = ON")
        return opened

    def _stop_reading(self) -> None:
        if self._reading is not None:
            self._reading.close()
            self._reading = None

    def _report(self, error: Exception) -> Job[None]:
        """A job that has the writing thread repair what the reader has met, unless the file was replaced meanwhile."""
        met = self._reading.files.database if self._reading is not None else inode_of(self.path)

        def job(_: Connection) -> None:
            nonlocal met
            if isinstance(error, sqlite3.Error) and inode_of(self.path) == met:
                met = 0
                raise error

        return job

    # --- repairs, on the reading thread while the writing one waits: one thread closes both connections, since Windows
    # renames no open file

    def _renew(self) -> bool:
        """Make the store anew from a connection whose files are not the store's any more; returns whether that was
        done. Afterwards both connections are closed, unless they are current."""
        for opened in (self._writing, self._reading):
            if opened is not None and not opened.is_current():
                return recovery.renew(self.path, opened.files, opened.connection, self._close_both)
        return False

    def _repair(self, error: sqlite3.Error) -> None:
        """Repair a damaged file, or set it aside."""
        with suppress(sqlite3.DatabaseError):
            if self._renew():
                return
        opened = self._writing or self._reading
        inode = opened.files.database if opened is not None else inode_of(self.path)
        self._close_both()
        is_first = inode != self._mended
        self._mended = inode
        if not (is_first and recovery.mend(self.path, inode)):
            recovery.set_aside(self.path, inode, error)

    def _close_both(self) -> None:
        self._stop_reading()
        self._stop_writing()

    # --- the writing thread

    def _write_groups(self) -> None:
        while groups := self._next_groups():
            self._write_together(groups)
        self._stop_writing()

    def _next_groups(self) -> list[Group]:
        """All that wait: while one is committed the next come, and share the next commit. None at the end."""
        groups: list[Group] = []
        while True:
            try:
                timeout = IDLE_SECONDS if self._writing is not None else None
                group = self._handed.get(block=not groups, timeout=timeout)
            except queue.Empty:
                if groups:
                    return groups
                self._look()
                continue
            if group is None:
                if groups:
                    self._handed.put(None)
                return groups
            groups.append(group)

    def _look(self) -> None:
        """What this process has open may be the last there is of a deleted file."""
        try:
            if self._writing is not None and not self._writing.is_current():
                self._reader.submit(self._renew).result()
            self._problem = ""
        except Exception as error:
            if str(error) != self._problem:  # once, and not each second
                _log.error("the store's files were deleted, and it cannot be made anew", problem=str(error))
            self._problem = str(error)

    def _write_together(self, groups: list[Group]) -> None:
        outcomes: list[Outcome]
        try:
            begun, outcomes = self._commit_groups(groups)
        except Exception as error:
            if len(groups) > 1:  # each has its own time, and its own mistakes
                for group in groups:
                    group.change("begun", "waiting")
                for group in groups:
                    self._write_together([group])
                return
            begun = groups
            outcomes = [(None, store_error(error)) for _ in groups[0].writes]
            _log.error("store write failed", problem=str(error), waiting=len(outcomes))
        writes = [write for group in begun for write in group.writes]
        for group in begun:
            group.end()
        if writes:
            with suppress(RuntimeError):  # the event loop is closed, so no caller waits any more
                writes[0].done.get_loop().call_soon_threadsafe(resolve, writes, outcomes)

    def _commit_groups(self, groups: list[Group]) -> tuple[list[Group], list[Outcome]]:
        """Those that were not given up meanwhile, and the outcomes of all their writes."""
        for _ in range(3):
            try:
                opened = self._open_for_writing()
                begun = [group for group in groups if group.begin()]
                jobs = [write.job for group in begun for write in group.writes]
                if not jobs:
                    return begun, []
                opened.wait_until(min(group.until for group in begun), self._busy_seconds)
                outcomes = _commit(opened.connection, jobs)
                self._account = opened.connection.account
            except sqlite3.Error as error:
                if not is_damage(error):
                    raise
                for group in groups:
                    group.change("begun", "waiting")
                self._reader.submit(self._repair, error).result()
                continue
            # What was made anew from our own connection holds this commit.
            if opened.is_current() or self._reader.submit(self._renew).result():
                return begun, outcomes
            for group in groups:
                group.change("begun", "waiting")
        raise StoreError("the store file was replaced three times during one write")

    def _open_for_writing(self) -> Opened:
        if self._writing is None or not self._writing.is_current():
            self._reader.submit(self._renew).result()
        if self._writing is None:
            self._writing = open_store(self.path, self._busy_seconds, self._key_digest)
            make_shrinkable(self._writing.connection)
        return self._writing

    def _stop_writing(self) -> None:
        if self._writing is not None:
            self._writing.close()
            self._writing = None


def _marker(connection: Connection) -> tuple[int, int]:
    # `data_version` alone is not enough: it restarts with a new file.
    return connection.count("PRAGMA data_version"), connection.last_event()


class _NotCurrentError(Exception):
    """The reader's files are not the store's any more: the writing thread makes the store anew."""


def _commit(connection: SqliteConnection, jobs: list[Job[Any]]) -> list[Outcome]:
    """Run the jobs in one transaction. If a job fails, only its own changes are rolled back."""
    try:
        with transaction(connection):
            return [(job(connection), None) for job in jobs]
    except sqlite3.Error as error:
        if concerns_the_file(error):
            raise
    except Exception as error:
        _log.debug("a write failed; its group is written one by one", problem=type(error).__name__)
    outcomes: list[Outcome] = []
    with transaction(connection):
        for job in jobs:
            connection.execute("SAVEPOINT job")
            try:
                outcomes.append((job(connection), None))
            except Exception as error:
                if isinstance(error, sqlite3.Error) and concerns_the_file(error):
                    raise
                connection.execute("ROLLBACK TO job")
                outcomes.append((None, error))
            connection.execute("RELEASE job")
    return outcomes
