"""The file beside the store in which all processes count their requests (see `minute`).

It need not survive a power cut, so that nobody waits for the disk: a transaction takes a fraction of a millisecond and
is made in the event loop. Only opening the file, and making it anew, is the work of a thread.
"""

import asyncio
import random
import sqlite3
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import structlog

from piv_mcp.api.rate_limit import WINDOW
from piv_mcp.errors import NewerStoreError, StoreError
from piv_mcp.store import minute
from piv_mcp.store.connection import Connection
from piv_mcp.store.files import create_private, inode_of, locked, look, note_made, remove_all, side
from piv_mcp.store.minute import Rows, Sent
from piv_mcp.store.opening import Opened, locked_when_whole
from piv_mcp.store.recovery import MEND_SECONDS, beside, put_in_place
from piv_mcp.store.rows import damage
from piv_mcp.store.sqlite import (
    MAX_VERSION,
    SqliteConnection,
    atomic,
    connect,
    is_damage,
    is_locked,
    primary_code,
    store_error,
)
from piv_mcp.text.times import SYSTEM_CLOCK

T = TypeVar("T")
P = ParamSpec("P")

LOCKED_SECONDS = 2.0
"""How long other processes' transactions are waited for, of which each takes a fraction of a millisecond."""

NEXT_TRY_SECONDS = 0.002
"""At most so long after an attempt comes the next."""

IDLE_SECONDS = 1.0
"""How often a process that sends nothing looks whether the file was replaced: it alone may know what it has sent."""

_log = structlog.get_logger(__name__)


class RequestFile:
    """The file as one process has it, and what that process has sent. Belongs to one event loop."""

    may_be_missing = True

    def __init__(self, store: Path, account: Callable[[], Awaitable[int]]) -> None:
        """`account` tells whose requests this process sends."""
        self.path = side(store, "-requests")
        self._account = account
        self._acted_for: int | None = None
        self._opened: Opened | None = None
        self._opening: asyncio.Task[None] | None = None
        self._next_look: asyncio.TimerHandle | None = None
        self._telling: asyncio.Task[None] | None = None
        self._own: list[Sent] = []
        """What this process sent in the last minute."""
        self._untold: list[Sent] = []
        """What of that may not be in the file."""
        self._closed = False

    async def run(self, job: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `job(connection, ...)` in a transaction. It may run a second time, after a rollback.

        Raises:
            StoreError: the file cannot be used now (disk full, locked, a newer version).
        """
        account, until = await self._account(), time.monotonic() + LOCKED_SECONDS
        for _ in range(3):
            opened, spoilt = self._opened, False
            try:
                if opened is not None and self._opening is None:
                    return await self._transact_until(until, opened, account, lambda c: job(c, *args, **kwargs))
            except _ReplacedError:
                pass
            except (sqlite3.Error, UnicodeError) as error:
                if not _is_useless(error):
                    raise store_error(error) from error
                spoilt = True
            await self._open(opened, spoilt=spoilt)
        raise StoreError("the file of requests was replaced three times during one request")

    def sent(self, request: Sent, *, told: bool) -> None:
        """This process sends a request. `told`: a transaction has stored it."""
        self._own = [*(own for own in self._own if own.at > request.at - WINDOW), request]
        if not told:
            self._untold.append(request)

    async def close(self) -> None:
        self._closed = True
        if self._next_look is not None:
            self._next_look.cancel()
        if going_on := {task for task in (self._opening, self._telling) if task is not None}:
            await asyncio.wait(going_on)
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    async def _transact_until(self, until: float, opened: Opened, account: int, job: Callable[[Connection], T]) -> T:
        """Try until no other process's transaction is in the way."""
        while True:
            try:
                return self._transact(opened, account, job)
            except sqlite3.OperationalError as error:
                if not is_locked(error) or time.monotonic() > until:
                    raise
            await asyncio.sleep(random.uniform(0, NEXT_TRY_SECONDS))  # noqa: S311 - so that two do not meet again
            if self._opened is not opened:
                raise _ReplacedError

    def _transact(self, opened: Opened, account: int, job: Callable[[Connection], T]) -> T:
        connection = opened.connection
        with atomic(connection):
            # In the transaction: who takes over what a replaced file holds waits for its end, and so misses nothing.
            if not opened.is_current():
                raise _ReplacedError
            connection.account = account
            if self._acted_for is not None and self._acted_for != account:
                minute.move(connection, self._acted_for, account)
            for request in self._untold:
                minute.note_sent(connection, request)
            value = job(connection)
        self._acted_for, self._untold = account, []
        return value

    async def _open(self, met: Opened | None, *, spoilt: bool = False) -> None:
        """Open the file in the place of `met`, unless that was done meanwhile."""
        if self._closed:
            raise StoreError("the store is closed")
        if self._opening is None:
            if self._opened is not met:
                return
            self._opening = asyncio.create_task(self._reopen(met, spoilt=spoilt))
            self._opening.add_done_callback(lambda done: done.cancelled() or done.exception())  # the callers get it
        try:
            await asyncio.shield(self._opening)
        except (OSError, sqlite3.Error) as error:
            raise store_error(error) from error

    async def _reopen(self, met: Opened | None, *, spoilt: bool) -> None:
        self._opened = None
        try:
            self._opened = await asyncio.to_thread(_take_over, self.path, met, spoilt=spoilt)
            self._untold = list(self._own)
            if self._next_look is None:
                self._next_look = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._look)
        finally:
            self._opening = None

    def _look(self) -> None:
        """What this process knows may be missing in a file that has replaced its own."""
        opened = self._opened
        if opened is not None and not opened.is_current():
            self._telling = asyncio.create_task(self._tell())
        self._next_look = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._look)

    async def _tell(self) -> None:
        with suppress(StoreError):  # the next request says why
            await self.run(minute.content)


class _ReplacedError(Exception):
    """The files at the path are not those that this process has open."""


class _UselessError(StoreError):
    """The file is damaged, or another program's."""


def _is_useless(error: Exception) -> bool:
    """Whether the file is damaged (then the text of an error may be, too) or has other tables than ours."""
    if isinstance(error, sqlite3.Error):
        return is_damage(error) or primary_code(error) == sqlite3.SQLITE_ERROR
    return isinstance(error, UnicodeError)


# --- in a thread


def _take_over(path: Path, met: Opened | None, *, spoilt: bool) -> Opened:
    """Open the file at the path, or make it anew. What this process has had open in its place is added."""
    rows = {} if met is None else None if spoilt else _content(met)
    with locked_when_whole(path) if met is None else locked(path) as whole:
        there = inode_of(path)
        is_other = there not in (0, 0 if met is None else met.files.database)
        if met is not None:
            met.close()  # not before: its number could be given to a new file
        lost = rows is None or (there > 0 and whole is False)
        if is_other and whole is not False:
            with suppress(_UselessError):
                return _open(path, rows or {})
            lost = True
        _make(path, rows or {}, lost=lost)
        return _open(path, {})


def _content(opened: Opened) -> Rows | None:
    """None if it cannot be read."""
    try:
        opened.connection.execute(f"PRAGMA busy_timeout = {int(1000 * LOCKED_SECONDS)}")
        with atomic(opened.connection):
            return minute.content(opened.connection)
    except (sqlite3.Error, UnicodeError):
        return None


def _open(path: Path, rows: Rows) -> Opened:
    with ExitStack() as failed:
        try:
            connection = connect(path, LOCKED_SECONDS)
            failed.callback(connection.raw.close)
            _check_version(connection)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = OFF")
            with atomic(connection):
                minute.content(connection)
                minute.add(connection, rows)
            connection.execute("PRAGMA busy_timeout = 0")
            opened = Opened(path, connection, *look(path), 0.0)
        except (sqlite3.Error, UnicodeError) as error:
            if not _is_useless(error):
                raise
            raise _UselessError("the file of requests is damaged") from error
        note_made(path)
        failed.pop_all()
        return opened


def _check_version(connection: Connection) -> None:
    version = connection.count("PRAGMA user_version")
    if minute.TABLES_VERSION < version <= MAX_VERSION:
        raise NewerStoreError("the file of requests belongs to a newer version of piv-mcp")
    if version != minute.TABLES_VERSION:
        raise damage(f"no version has the tables {version}")


def _make(path: Path, rows: Rows, *, lost: bool) -> None:
    """Make the file anew. Where what it held is `lost`, nothing is sent before all processes have looked at the new one
    and told what they have sent."""
    new = beside(path)
    try:
        create_private(new)
        with closing(connect(new, 0).raw) as raw:
            connection = SqliteConnection(raw)
            connection.execute("PRAGMA journal_mode = MEMORY")
            with atomic(connection):
                minute.create(connection)
                minute.add(connection, rows)
                if lost:
                    minute.use_up(connection, SYSTEM_CLOCK.monotonic() - WINDOW + MEND_SECONDS)
        put_in_place(new, path)
    finally:
        remove_all(new)
    if lost:
        _log.warning("the file that counts requests was damaged, and is made anew", waits=MEND_SECONDS)
