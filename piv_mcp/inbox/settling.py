"""Waiting for reads that are under way, within a bound."""

import asyncio
from contextlib import suppress

from piv_mcp.text.times import Clock

SETTLE_SECONDS = 5.0
"""So long after the beginning of a read nobody waits for its end any more."""


class Settling:
    """A read that callers wait for. It has begun when this is made, and whenever `begin` is called."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ended = asyncio.Event()
        self._began = clock.monotonic()

    @property
    def seconds(self) -> float:
        """Since the last beginning."""
        return self._clock.monotonic() - self._began

    def begin(self) -> None:
        self._ended.clear()
        self._began = self._clock.monotonic()

    def end(self) -> None:
        self._ended.set()

    async def wait(self) -> None:
        """Wait for the end of the read, until `SETTLE_SECONDS` after its beginning."""
        left = SETTLE_SECONDS - self.seconds
        if left > 0:
            with suppress(TimeoutError):
                async with self._clock.timeout(left):
                    await self._ended.wait()
