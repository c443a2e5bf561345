"""Connections that are made anew when they are lost, and cut when they hang."""

import os
import socket
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from piv_mcp.errors import ConfigError, StoreError

CONNECT_SECONDS = 2
LOOK_OVERDUE_SECONDS = 0.2

PREPARED_AFTER = 5
"""A statement is prepared when it was run so often."""

_KEPT_ALIVE: dict[str, str] = {
    "keepalives": "1",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "2",
    "tcp_user_timeout": "4000",
    "connect_timeout": str(CONNECT_SECONDS),
    "application_name": "piv-mcp",
}
"""A machine that is gone is noticed within ten seconds. What the address says itself comes first."""


class DatabaseAddress:
    """Where the database is. Shown nowhere, since it can hold a password."""

    def __init__(self, url: str, *, password_file: Path | None = None, pooled: bool = False) -> None:
        """`password_file` is read at each connection, so that it can be changed. `pooled`: a pooler gives each
        transaction another connection, so that none keeps a prepared statement, or hears notices. Else it is found
        out.

        Raises:
            ConfigError: it cannot be read.
        """
        try:
            self._conninfo = make_conninfo("", **{**_KEPT_ALIVE, **conninfo_to_dict(url)})
        except psycopg.Error:
            raise ConfigError("PIV_STORE_URL: cannot be read as postgresql://user@host:port/database") from None
        self._password_file = password_file
        self.is_pooled: bool | None = pooled or None
        """Whether a pooler is known to be in between; None until the first connection."""

    def __repr__(self) -> str:
        return "DatabaseAddress()"

    def connect(self) -> psycopg.Connection[Any]:
        """Raises `StoreError` if there is no password in the file for it, and `psycopg.OperationalError`."""
        conninfo = self._conninfo
        if self._password_file is not None:
            try:
                password = self._password_file.read_text(encoding="utf-8").strip()
            except (OSError, ValueError) as error:
                problem = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
                raise StoreError(f"the file of PIV_STORE_PASSWORD_FILE cannot be read: {problem}") from None
            conninfo = make_conninfo(conninfo, password=password)
        raw = psycopg.connect(conninfo, autocommit=True, prepare_threshold=None)
        if self.is_pooled is None:
            # A pooler gives its clients process ids that are none of the server's.
            row = raw.execute("SELECT pg_backend_pid()").fetchone()
            self.is_pooled = row is None or row[0] != raw.info.backend_pid
        if not self.is_pooled:
            raw.prepare_threshold = PREPARED_AFTER
        return raw


class Overseer:
    """Cuts connections on which something takes longer than it may, in a thread of its own."""

    def __init__(self) -> None:
        self._overdue_at: dict[Link, float] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def within(self, link: "Link", seconds: float) -> Generator[None]:
        """Cut the link if the block takes longer."""
        with self._lock:
            self._overdue_at[link] = time.monotonic() + seconds
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="store-watch", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                self._overdue_at.pop(link, None)

    def close(self) -> None:
        self._closed.set()

    def _run(self) -> None:
        while not self._closed.wait(LOOK_OVERDUE_SECONDS):
            now = time.monotonic()
            with self._lock:  # so that no link is cut that has just ended in time
                for link, until in list(self._overdue_at.items()):
                    if until < now:
                        link.cut()
                        del self._overdue_at[link]


class Link:
    """One thread's connection. A lost one is made anew at the next use."""

    def __init__(self, address: DatabaseAddress, watch: Overseer) -> None:
        self._address = address
        self._watch = watch
        self._raw: psycopg.Connection[Any] | None = None
        self._closed = False

    @contextmanager
    def use(self, seconds: float) -> Generator[psycopg.Connection[Any]]:
        """The connection, for so many seconds at most. What is left of a transaction that failed is rolled back.

        Raises:
            psycopg.OperationalError: it cannot be made, was lost, or was cut.
        """
        if self._closed:
            raise StoreError("the store is closed")
        if self._raw is not None and self._raw.closed:
            self._raw = None
        if self._raw is None:
            self._raw = self._address.connect()
        raw = self._raw
        try:
            with self._watch.within(self, seconds):
                try:
                    yield raw
                except psycopg.Error:
                    if not raw.closed:
                        raw.rollback()
                    raise
                except BaseException:
                    raw.rollback()
                    raise
        except psycopg.Error:
            if raw.closed or raw.pgconn.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                self.close_connection()
            raise

    def cut(self) -> None:
        """End the connection under a thread that waits for its answer: it gets an error. For other threads."""
        raw = self._raw
        with suppress(OSError, psycopg.Error):
            if raw is not None and not raw.closed:
                with socket.socket(fileno=os.dup(raw.fileno())) as other:
                    other.shutdown(socket.SHUT_RDWR)

    def close_connection(self) -> None:
        if self._raw is not None:
            with suppress(psycopg.Error):
                self._raw.close()
        self._raw = None

    def close(self) -> None:
        self._closed = True
        self.close_connection()
