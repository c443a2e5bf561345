"""The request limit over all processes that share the store. The policy is `api/limit.py`'s; this remembers in SQL."""

import asyncio
import secrets
import sqlite3
import time
from functools import partial

import structlog

from piv_mcp.api.rate_limit import MAX_PAUSE, WINDOW, LocalLimiter, Priority, no_slot, seconds_to_wait
from piv_mcp.errors import StoreError
from piv_mcp.store import Store
from piv_mcp.store import rate_limit as requests

LOOK_SECONDS = 1.0
"""The longest sleep between two looks: another process may have said to wait, or stopped waiting."""

_log = structlog.get_logger(__name__)


class SharedLimiter:
    """A `RateLimiter` in the store. Without a working store each process keeps the limit for itself."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._local = LocalLimiter()
        self._token = secrets.token_hex(8)

    async def acquire(self, priority: Priority, *, timeout: float) -> None:  # noqa: ASYNC109 - it gives up early
        give_up = time.monotonic() + timeout
        waited = False
        try:
            while (wait := await self._store.write(partial(self._take, priority=priority))) > 0:
                if time.monotonic() + wait > give_up:
                    raise no_slot(wait)
                waited = True
                await asyncio.sleep(min(wait, LOOK_SECONDS))
        except StoreError as error:
            _log.warning("the request limit is kept in this process only", problem=error.message)
            await self._local.acquire(priority, timeout=max(0.0, give_up - time.monotonic()))
        finally:
            if waited and priority is Priority.PERSON:
                await self._stop_waiting()

    async def pause(self, seconds: float) -> None:
        until = time.time() + min(seconds, MAX_PAUSE)
        await self._local.pause(seconds)
        try:
            await self._store.write(partial(requests.pause_until, until=until))
        except StoreError as error:
            _log.warning("the pause is kept in this process only", problem=error.message)

    def _take(self, connection: sqlite3.Connection, priority: Priority) -> float:
        """Note the request and answer 0, or answer the seconds to wait."""
        now = time.time()
        sent: dict[Priority, list[float]] = {}
        for name, at in requests.sent_since(connection, now - WINDOW):
            sent.setdefault(Priority(name), []).append(at)
        wait = seconds_to_wait(
            priority,
            sent,
            now=now,
            paused_until=requests.paused_until(connection),
            person_waiting=requests.someone_waits(connection, now),
        )
        if wait <= 0:
            requests.note_sent(connection, priority.value, now)
        elif priority is Priority.PERSON:
            requests.note_waiting(connection, self._token, now + wait + LOOK_SECONDS)
        return wait

    async def _stop_waiting(self) -> None:
        try:
            await self._store.write(partial(requests.note_done, token=self._token))
        except StoreError:
            _log.warning("a waiting call could not be crossed out; it expires by itself")
