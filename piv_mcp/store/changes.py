"""Wakes waiting calls when the store has changed, whichever process changed it."""

import asyncio
from contextlib import suppress

from piv_mcp.errors import StoreError
from piv_mcp.store import events
from piv_mcp.store.connection import Connection
from piv_mcp.store.database import Store
from piv_mcp.text.times import SYSTEM_CLOCK, Clock

OTHERS_SECONDS = 0.1
"""How often other processes' commits are looked for while somebody waits. Idle servers do not look."""


class Changes:
    """A counter of commits to await: take `version` before the query, then `wait` for a later one."""

    def __init__(self, store: Store, clock: Clock = SYSTEM_CLOCK) -> None:
        self._store = store
        self._clock = clock
        self.version = 0
        self._changed = asyncio.Event()
        self._waiting = 0
        self._seen = (-1, -1)
        self._looking: asyncio.Task[None] | None = None

    def notify(self) -> None:
        """This process has committed something."""
        self.version += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait(self, version: int, seconds: float) -> bool:
        """Until the version passes `version` or `seconds` are over; says which."""
        if self.version != version:
            return True
        self._waiting += 1
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        try:
            # Not wait_for: in Python 3.11 it swallows a cancellation that comes together with the change.
            async with self._clock.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return False
        else:
            return True
        finally:
            self._waiting -= 1

    async def close(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            with suppress(asyncio.CancelledError):
                await self._looking

    async def _look(self) -> None:
        while self._waiting:
            with suppress(StoreError):  # locked just now: look again
                current = await self._store.read(_state)
                if current != self._seen:  # on the first look too: the waiter's query may be older than it
                    self._seen = current
                    self.notify()
            await self._clock.sleep(OTHERS_SECONDS)


def _state(connection: Connection) -> tuple[int, int]:
    """Another value after every commit. The data version alone begins anew with a new file."""
    return connection.count("PRAGMA data_version"), events.last_seq(connection)
