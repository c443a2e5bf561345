"""What the stores of a process share: threads with their connections, the sign of life, the clock, and notices of
commits."""

import asyncio
import math
import os
import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import structlog
from psycopg.sql import SQL

from piv_mcp.errors import NewerStoreError, StoreError
from piv_mcp.store.postgres import notices, tables
from piv_mcp.store.postgres.connection import GONE_SECONDS, SEEN_NOW, PostgresConnection
from piv_mcp.store.postgres.failures import in_words
from piv_mcp.store.postgres.link import DatabaseAddress, Link, Overseer
from piv_mcp.store.postgres.notices import Concerned
from piv_mcp.text.times import SYSTEM_CLOCK, Clock

READERS = 4
WRITERS = 4
"""Threads, each with a connection of its own."""

PULSE_SECONDS = 1.0
"""How often a process shows that it lives."""

SILENT_SECONDS = 3.0
"""After so long without a sign of life from this process, others may not have been able to give one, too."""

LONGEST_QUEUE_SECONDS = 8.0
"""So long what is asked for may wait for a thread."""

MIGRATE_SECONDS = 30.0
SHORT_SECONDS = 3.0
"""How long a statement may take that waits for nobody."""

CHANNEL = "piv_mcp"
LISTEN_SECONDS = 5.0
"""How long no notice may come before it is tried whether the connection still is one."""

LISTEN_AGAIN_SECONDS = 1.0

FORGET_SECONDS = 86400.0
"""What a process that ended so long ago has left is deleted."""

_NOTICE = SQL("BEGIN; SET LOCAL synchronous_commit = off; SELECT pg_notify({}, {}); COMMIT")

_log = structlog.get_logger(__name__)


class PostgresDatabase:
    """A database as one process has it. `clock` stands in for the database's clock, unless it is the system's."""

    def __init__(
        self,
        url: str,
        *,
        direct_url: str | None = None,
        password_file: Path | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """`direct_url` is for the listener, where `url` leads through a pooler of transactions.

        Raises:
            ConfigError: an address cannot be read.
        """
        self.process = f"{os.getpid()}:{secrets.token_hex(8)}"
        self.clock = clock
        self.readers = ThreadPoolExecutor(READERS, thread_name_prefix="store-read")
        self.writers = ThreadPoolExecutor(WRITERS, thread_name_prefix="store-write")
        self.is_heard = False
        """Whether notices of commits come."""
        self._address = DatabaseAddress(url, password_file=password_file, pooled=direct_url is not None)
        self._direct = DatabaseAddress(direct_url or url, password_file=password_file)
        self._watch = Overseer()
        self._links: list[Link] = []
        self._own = threading.local()
        self._ready = False
        self._preparing = threading.Lock()
        self._reached_at: float | None = None
        self._beat_at = self._gap_at = -math.inf
        """When this process last showed that it lives, and when it last did so after it could not for a while."""
        self._anchor: tuple[float, float] | None = None
        """A moment on the database's clock, and the same on this machine's (monotonic)."""
        self._listeners: dict[Callable[[Concerned], None], asyncio.AbstractEventLoop] = {}
        self._threads: list[threading.Thread] = []
        self._closed = threading.Event()

    # --- for the threads of `readers` and `writers`

    def link(self) -> Link:
        """This thread's connection to a database whose tables are up to date.

        Raises:
            psycopg.Error: the database cannot be reached.
            NewerStoreError: the tables are of a newer version.
        """
        link: Link | None = getattr(self._own, "link", None)
        if link is None:
            self._own.link = link = self._new_link(self._address)
        if not self._ready:
            with self._preparing:
                if not self._ready:
                    self._prepare(link)
        return link

    def reached(self) -> None:
        """Note that the database has just answered."""
        self._reached_at = time.monotonic()

    def refuse_late(self, asked_at: float) -> None:
        """Let nobody wait for all that waits before, while the database does not answer.

        Raises:
            StoreError: what was asked for then (monotonic time) has waited for a thread for too long.
        """
        waited = time.monotonic() - asked_at
        if waited > LONGEST_QUEUE_SECONDS:
            raise StoreError("the store is busy: too much waits for the database")
        if waited > SILENT_SECONDS and (self._reached_at is None or self._reached_at < asked_at):
            raise in_words(psycopg.OperationalError("timeout"), self._reached_at)

    def failure(self, error: BaseException) -> StoreError:
        """The error in words. Where the tables are gone, they are made anew at the next use."""
        if isinstance(error, tables.NO_TABLES):
            self._ready = False
        return in_words(error, self._reached_at)

    def notify(self, link: Link, concerned: Concerned) -> None:
        """Tell all processes of a commit, in a transaction of its own: in the writing one it would take a lock that all
        writers share."""
        with suppress(psycopg.Error), link.use(SHORT_SECONDS) as raw:
            raw.execute(_NOTICE.format(CHANNEL, notices.written(concerned)))

    def _new_link(self, address: DatabaseAddress) -> Link:
        link = Link(address, self._watch)
        self._links.append(link)
        return link

    def _prepare(self, link: Link) -> None:
        with link.use(MIGRATE_SECONDS) as raw:
            connection = PostgresConnection(raw)
            version = tables.version_of(connection)
            tables.refuse_newer(version)
            if version < len(tables.POSTGRES_STEPS):
                raw.execute("BEGIN")
                tables.migrate(connection)
                raw.execute("COMMIT")
        with suppress(psycopg.errors.ReadOnlySqlTransaction):  # of a standby is read all the same
            self._beat(link)
        self._ready = True
        if not self._threads:
            self._start("store-pulse", self._pulse)

    # --- the clock

    def time(self) -> float:
        """Seconds since the epoch by the database's clock; by this machine's until that is known."""
        if self._anchor is None:
            return SYSTEM_CLOCK.time()
        there, here = self._anchor
        return there + SYSTEM_CLOCK.monotonic() - here

    # --- the sign of life

    def _pulse(self) -> None:
        link = self._new_link(self._address)
        forgotten_at = 0.0
        while not self._closed.wait(PULSE_SECONDS):
            with suppress(psycopg.Error, StoreError):
                self._beat(link)
                if time.monotonic() - forgotten_at > FORGET_SECONDS / 24:
                    forgotten_at = time.monotonic()
                    self._forget(link)

    def _beat(self, link: Link) -> None:
        with link.use(SHORT_SECONDS) as raw:
            connection = PostgresConnection(raw)
            raw.execute("BEGIN; SET LOCAL synchronous_commit = off")
            began = SYSTEM_CLOCK.monotonic()
            ((there,),) = connection.rows(
                f"INSERT INTO processes (name, seen_at) VALUES (?, {SEEN_NOW})"  # noqa: S608
                " ON CONFLICT (name) DO UPDATE SET seen_at = excluded.seen_at RETURNING seen_at",
                (self.process,),
            )
            here = SYSTEM_CLOCK.monotonic()
            raw.execute("COMMIT")
        self._anchor = (float(there), (began + here) / 2)
        now = time.monotonic()
        if -math.inf < self._beat_at < now - SILENT_SECONDS:
            self._gap_at = now
        self._beat_at = now
        self.reached()

    def sees_others(self) -> bool:
        """Whether others that live would have shown it: not for a while after the database, or this process, stood
        still."""
        now = time.monotonic()
        return now - self._beat_at < SILENT_SECONDS and now - self._gap_at > GONE_SECONDS

    def is_writable(self) -> bool:
        """Whether this process could lately show that it lives."""
        return time.monotonic() - self._beat_at < GONE_SECONDS

    def _forget(self, link: Link) -> None:
        with link.use(SHORT_SECONDS) as raw:
            connection = PostgresConnection(raw)
            for table, column in (("processes", "seen_at"), ("writers", "at")):
                connection.execute(f"DELETE FROM {table} WHERE {column} < {SEEN_NOW} - ?", (FORGET_SECONDS,))  # noqa: S608

    # --- notices

    def listen(self, wake: Callable[[Concerned], None]) -> None:
        """Call `wake`, in this event loop, with what somebody has committed; with nothing if notices may have been
        missed."""
        self._listeners[wake] = asyncio.get_running_loop()
        if not any(thread.name == "store-listen" for thread in self._threads):
            self._start("store-listen", self._hear)

    def stop_listening(self, wake: Callable[[Concerned], None]) -> None:
        self._listeners.pop(wake, None)

    def _hear(self) -> None:
        link = self._new_link(self._direct)
        while not self._closed.is_set():
            try:
                with link.use(SHORT_SECONDS) as raw:
                    if self._direct.is_pooled:
                        _log.warning("no notices of commits come through a pooler", do="set PIV_STORE_DIRECT_URL")
                        return
                    raw.execute(f"LISTEN {CHANNEL}")
                self.is_heard = True
                self._wake({})  # what was committed before is not told
                while not self._closed.is_set():
                    self._hear_for_a_while(link)
            except (psycopg.Error, StoreError) as error:
                if self.is_heard:
                    _log.debug("no notices of commits", problem=type(error).__name__)
            self.is_heard = False
            self._closed.wait(LISTEN_AGAIN_SECONDS)

    def _hear_for_a_while(self, link: Link) -> None:
        with link.use(LISTEN_SECONDS + SHORT_SECONDS) as raw:
            for notice in raw.notifies(timeout=LISTEN_SECONDS):
                self._wake(notices.read(notice.payload))
            raw.execute("SELECT 1")

    def _wake(self, concerned: Concerned) -> None:
        for wake, loop in list(self._listeners.items()):
            with suppress(RuntimeError):  # that event loop is closed
                loop.call_soon_threadsafe(wake, concerned)

    # --- the end

    async def close(self) -> None:
        self._closed.set()
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        for executor in (self.writers, self.readers):
            executor.shutdown()
        with suppress(psycopg.Error, StoreError, NewerStoreError):
            if self._ready:
                with self._new_link(self._address).use(SHORT_SECONDS) as raw:
                    PostgresConnection(raw).execute("DELETE FROM processes WHERE name = ?", (self.process,))
        for link in self._links:
            link.cut()
        for thread in self._threads:
            thread.join(SHORT_SECONDS)
        for link in self._links:
            link.close()
        self._watch.close()

    def _start(self, name: str, work: Callable[[], Any]) -> None:
        thread = threading.Thread(target=work, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()


class DatabaseClock(Clock):
    """The clock of a database, which all that share it have: those of their machines may be minutes apart."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database

    def time(self) -> float:
        return self._database.time()
