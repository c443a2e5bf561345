"""The clock that is given to all code that waits or compares times, and conversions of times."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime

_WITH_SLEEP: int | None = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", None))
"""The system's clock that goes on while the machine sleeps: `time.monotonic` does so on Windows only."""


class Clock:
    """The current time, and waiting. Tests replace it by a clock that they can move."""

    def time(self) -> float:
        """Seconds since the epoch by the system's clock. All processes share it, and it may be set back or forward."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment, those while the machine slept included. Setting the system's clock does
        not change them."""
        return time.monotonic() if _WITH_SLEEP is None else time.clock_gettime(_WITH_SLEEP)

    async def sleep(self, seconds: float) -> None:
        """`asyncio.sleep`."""
        await asyncio.sleep(seconds)

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[object]:
        """`asyncio.timeout`: the block ends with `TimeoutError` after `seconds`; None means no limit."""
        return asyncio.timeout(seconds)

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Callable[[], None]:
        """Call `callback` after `seconds`, in the event loop. The function that is returned cancels the call."""
        return asyncio.get_running_loop().call_later(seconds, callback).cancel


DAY_SECONDS = 86400.0

PROGRESS_SECONDS = 5.0
"""Between two progress notifications of a call that waits."""

SYSTEM_CLOCK = Clock()
"""The clock of the system."""


def utc(seconds: float) -> datetime:
    """The time `seconds` after the epoch as a `datetime` in UTC, without microseconds."""
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=0)


def span(seconds: float) -> str:
    """A duration in words, in one unit, such as `3 hours`."""
    for size, unit in ((int(DAY_SECONDS), "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(max(0.0, seconds))} seconds"
