"""The clock that a process runs by, and times in words."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime


class Clock:
    """The time, and waiting. Whatever waits or compares times is given a clock; tests give one that they can move."""

    def time(self) -> float:
        """Seconds since the epoch, by the system's clock. All processes of a machine share it; it can be corrected."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds from an arbitrary moment. No correction of the system's clock changes them."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[object]:
        """`asyncio.timeout`: the block ends with `TimeoutError` after so many seconds; never, if None."""
        return asyncio.timeout(seconds)

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Callable[[], None]:
        """Call `callback` after so many seconds, in the event loop. The function that is returned cancels the call."""
        return asyncio.get_running_loop().call_later(seconds, callback).cancel


DAY_SECONDS = 86400.0

PROGRESS_SECONDS = 5.0
"""Between two progress notifications of a call that waits."""

SYSTEM_CLOCK = Clock()
"""The real one."""


def utc(seconds: float) -> datetime:
    """A stored time as an aware one, to the second."""
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=0)


def span(seconds: float) -> str:
    """A length of time in one unit, such as `3 hours`."""
    for size, unit in ((int(DAY_SECONDS), "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(max(0.0, seconds))} seconds"
