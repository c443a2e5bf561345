"""Wakes waiting calls when any process has changed the store."""

import asyncio
from collections.abc import Hashable
from contextlib import suppress
from contextvars import Context

from piv_mcp.errors import StoreError
from piv_mcp.store.interface import Store
from piv_mcp.text.times import SYSTEM_CLOCK, Clock


class Changes:
    """Counts commits. To miss none, read `version`, then query the store, then `wait` for a later version."""

    def __init__(self, store: Store, clock: Clock = SYSTEM_CLOCK) -> None:
        self._store = store
        self._clock = clock
        self.version = 0
        self.stopping = False
        """The process is to end: a call that waits answers now, as at its time-out."""
        self._changed = asyncio.Event()
        self._waiting = 0
        self._seen: Hashable = None
        self._poll_task: asyncio.Task[None] | None = None
        store.on_commit(self.notify)

    def notify(self) -> None:
        """Wake the waiting calls: something was committed."""
        self.version += 1
        self._changed.set()
        self._changed = asyncio.Event()

    def stop(self) -> None:
        """Let every call that waits answer now."""
        self.stopping = True
        self.notify()

    async def wait(self, version: int, seconds: float) -> bool:
        """Wait until the version differs from `version`. Returns false if it did not within `seconds`."""
        if self.version != version:
            return True
        self._waiting += 1
        if self._poll_task is None or self._poll_task.done():
            self._poll_task = asyncio.create_task(self._poll_commits(), context=Context())  # for all who wait
        try:
            # Not `asyncio.wait_for`: in Python 3.11 it swallows a cancellation that arrives together with the change.
            async with self._clock.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return False
        else:
            return True
        finally:
            self._waiting -= 1

    async def close(self) -> None:
        if self._poll_task is not None:
            self._poll_task.cancel()
            with suppress(asyncio.CancelledError):
                await self._poll_task

    async def _poll_commits(self) -> None:
        while self._waiting:
            with suppress(StoreError):  # the file may be locked for a moment: try again
                current = await self._store.marker()
                if current != self._seen:  # also on the first check: a commit may have come after the caller's query
                    self._seen = current
                    self.notify()
            await self._clock.sleep(self._store.look_seconds)
