"""The `Store` in PostgreSQL."""

import asyncio
import itertools
import threading
import time
from collections.abc import Awaitable, Callable, Hashable
from contextlib import suppress
from typing import Concatenate, ParamSpec, TypeVar

import psycopg
import structlog

from piv_mcp.errors import StoreError
from piv_mcp.store.connection import Connection
from piv_mcp.store.interface import Subjects
from piv_mcp.store.measuring import measured
from piv_mcp.store.postgres.connection import MoreLocksError, PostgresConnection
from piv_mcp.store.postgres.database import DatabaseClock, PostgresDatabase
from piv_mcp.store.postgres.failures import concerns_all, in_words, is_in_the_way, is_lost
from piv_mcp.store.postgres.notices import Concerned
from piv_mcp.store.postgres.requests import RequestTable
from piv_mcp.store.postgres.transactions import (
    NEXT_ATTEMPT_SECONDS,
    Locks,
    NewKeyError,
    Whose,
    begin_reading,
    begin_writing,
    commit_writing,
    outcome_of,
    retried,
)
from piv_mcp.store.writes import BUSY_SECONDS, Gathering, Group, Job, Outcome, Write, resolve
from piv_mcp.text.times import SYSTEM_CLOCK, Clock

T = TypeVar("T")
P = ParamSpec("P")

LONGEST_READ = 4.0
"""How long a read may take."""

HEARD_LOOK_SECONDS = 5.0
UNHEARD_LOOK_SECONDS = 0.5
"""Seconds between two looks for commits, where notices of them come, and where none do."""

MOST_TOGETHER = 300
"""Writes in one transaction, which is not to take longer than other servers wait for it."""

_numbers = itertools.count(1)
_log = structlog.get_logger(__name__)


class DoubtError(StoreError):
    """The answer to a commit was lost, and it could not be asked what became of it."""

    hint = "Look whether it was done before you do it again"


class PostgresStore:
    """A `Store` in a database that all stores of the process share. `release` lets go of that at the end."""

    def __init__(
        self,
        database: PostgresDatabase,
        *,
        key_digest: str | None = None,
        busy_seconds: float = BUSY_SECONDS,
        release: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.process = database.process
        self._database = database
        self._busy_seconds = busy_seconds
        self._release = release
        writer = f"{database.process}:{next(_numbers)}"
        self._whose = Whose(key_digest, database.process, writer, database.clock, database.sees_others)
        self.requests = RequestTable(database, self._whose, self.account)
        self._gathering = Gathering(self._hand, busy_seconds, busy="the store is busy: other writes take too long")
        self._groups: list[Group] = []
        self._is_writing = False
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._commits = itertools.count(1)
        self._account: int | None = None
        self._wake: Callable[[Subjects], None] | None = None
        self._closed = False

    @property
    def look_seconds(self) -> float:
        return HEARD_LOOK_SECONDS if self._database.is_heard else UNHEARD_LOOK_SECONDS

    async def account(self) -> int:
        return await self.read(lambda c: c.account) if self._account is None else self._account

    async def write(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._closed:
            raise StoreError("the store is closed")
        return await self._gathering.add(lambda connection: fn(connection, *args, **kwargs))

    async def read(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        def job(connection: Connection) -> T:
            return fn(connection, *args, **kwargs)

        if self._closed:
            raise StoreError("the store is closed")
        with measured("read"):
            return await asyncio.get_running_loop().run_in_executor(
                self._database.readers, self._read, job, time.monotonic()
            )

    async def marker(self) -> Hashable:
        return await self.read(_marker)

    def is_writable(self) -> bool:
        return self._database.is_writable()

    def on_commit(self, wake: Callable[[Subjects], None]) -> None:
        self._wake = wake
        self._database.listen(self._heard)

    def clock(self, clock: Clock) -> Clock:
        return DatabaseClock(self._database) if clock is SYSTEM_CLOCK else clock

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._database.stop_listening(self._heard)
        self._gathering.hand_over()
        await asyncio.to_thread(self._wait_until_idle)
        if self._release is not None:
            await self._release()

    def _heard(self, concerned: Concerned) -> None:
        if self._wake is None:
            return
        if not concerned or self._account is None:
            self._wake(None)
        elif self._account in concerned:
            self._wake(concerned[self._account])

    # --- on a reading thread

    def _read(self, job: Job[T], asked_at: float) -> T:
        self._database.refuse_late(asked_at)
        until = time.monotonic() + self._busy_seconds
        try:
            try:
                return retried(lambda: self._read_once(job), until)
            except NewKeyError:
                self._commit(lambda: [lambda _: None], until)  # gives it an account
                return retried(lambda: self._read_once(job), until)
        except psycopg.Error as error:
            raise self._database.failure(error) from None

    def _read_once(self, job: Job[T]) -> T:
        with self._database.link().use(LONGEST_READ) as raw:
            connection = begin_reading(raw, self._whose)
            value = job(connection)
            account = connection.account
            raw.execute("COMMIT")
        self._account = account
        self._database.reached()
        return value

    # --- on a writing thread, one at a time

    def _hand(self, group: Group) -> None:
        with self._lock:
            self._groups.append(group)
            if self._is_writing:
                return
            self._is_writing = True
        self._database.writers.submit(self._write_groups)

    def _write_groups(self) -> None:
        """Write all that waits. What comes after that shares the next commit, after those of other accounts."""
        with self._lock:
            groups, self._groups = self._groups, []
        try:
            self._write_together(groups)
        finally:
            with self._lock:
                self._is_writing = bool(self._groups)
                self._idle.notify_all()
            if self._is_writing:
                with suppress(RuntimeError):
                    self._database.writers.submit(self._write_groups)

    def _wait_until_idle(self) -> None:
        with self._lock:
            self._idle.wait_for(lambda: not self._is_writing, timeout=2 * self._busy_seconds)

    def _write_together(self, groups: list[Group]) -> None:
        begun = [group for group in groups if group.begin()]
        writes = [write for group in begun for write in group.writes]
        for start in range(0, len(writes), MOST_TOGETHER):
            part = writes[start : start + MOST_TOGETHER]
            self._write_part(part, begun, min(group.until for group in begun))
        for group in begun:
            group.end()

    def _join(self, writes: list[Write], begun: list[Group]) -> None:
        """Add what has come since: another server has made this one wait for its locks."""
        with self._lock:
            while self._groups and len(writes) + len(self._groups[0].writes) <= MOST_TOGETHER:
                group = self._groups.pop(0)
                if group.begin():
                    begun.append(group)
                    writes += group.writes

    def _write_part(self, writes: list[Write], begun: list[Group], until: float) -> None:
        outcomes: list[Outcome]
        concerned: Concerned = {}

        def jobs() -> list[Job[object]]:
            self._join(writes, begun)
            return [write.job for write in writes]

        try:
            outcomes, concerned = self._commit(jobs, until)
        except Exception as error:
            problem = self._database.failure(error)
            outcomes = [(None, problem) for _ in writes]
            _log.error("store write failed", problem=problem.message, waiting=len(outcomes))
        if concerned:  # first the other servers: this one's callers would keep this thread from going on
            with suppress(psycopg.Error, StoreError):
                self._database.notify(self._database.link(), concerned)
        with suppress(RuntimeError):  # the event loop is closed, so no caller waits any more
            writes[0].done.get_loop().call_soon_threadsafe(resolve, writes, outcomes)

    def _commit(self, jobs: Callable[[], list[Job[object]]], until: float) -> tuple[list[Outcome], Concerned]:
        """Run the jobs in one transaction: those that there are when it has its locks. Returns their outcomes, and what
        they have changed."""
        locks, singly = Locks(), False
        while True:
            try:
                return self._try_to_commit(jobs, locks, singly=singly)
            except MoreLocksError as more:
                locks.add(more)
            except psycopg.Error as error:
                if is_lost(error) or is_in_the_way(error):
                    if time.monotonic() + NEXT_ATTEMPT_SECONDS > until:
                        raise
                    time.sleep(NEXT_ATTEMPT_SECONDS)
                elif singly or concerns_all(error):
                    raise
                else:
                    singly = True
            except DoubtError:
                raise
            except Exception as error:
                if singly:
                    raise
                _log.debug("a write failed; its group is written one by one", problem=type(error).__name__)
                singly = True

    def _try_to_commit(
        self, jobs: Callable[[], list[Job[object]]], locks: Locks, *, singly: bool
    ) -> tuple[list[Outcome], Concerned]:
        link, number = self._database.link(), next(self._commits)
        connection: PostgresConnection | None = None
        outcomes: list[Outcome] | None = None
        try:
            with link.use(self._busy_seconds + 2) as raw:
                connection = begin_writing(raw, self._whose, locks)
                ready = jobs()
                outcomes = _singly(connection, ready) if singly else [(job(connection), None) for job in ready]
                commit_writing(connection, self._whose, number)
        except psycopg.Error as error:
            if connection is None or outcomes is None or not is_lost(error):
                raise
            result = outcome_of(link, self._whose, connection.account, number)
            if result == "unknown":
                reason = self._database.failure(error).message
                raise DoubtError(f"{reason}; whether this was written is not known") from None
            if result == "aborted":
                raise
        self._account = connection.account
        self._database.reached()
        return outcomes, connection.concerned


def _singly(connection: PostgresConnection, jobs: list[Job[object]]) -> list[Outcome]:
    """Run each job so that, if it fails, only its own changes are rolled back."""
    outcomes: list[Outcome] = []
    for job in jobs:
        connection.execute("SAVEPOINT job")
        account = connection.account
        try:
            outcomes.append((job(connection), None))
        except MoreLocksError:
            raise
        except Exception as error:
            if isinstance(error, psycopg.Error) and (concerns_all(error) or is_in_the_way(error)):
                raise
            connection.execute("ROLLBACK TO job")
            connection.account = account
            outcomes.append((None, in_words(error) if isinstance(error, psycopg.Error) else error))
        connection.execute("RELEASE job")
    return outcomes


def _marker(connection: Connection) -> int:
    return connection.count("SELECT changes FROM accounts WHERE id = ?", (connection.account,))
