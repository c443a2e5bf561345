"""A clock that tests move, in place of waiting."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from piv_mcp.text.times import Clock


class MovingClock(Clock):
    """The system's clock, until it is moved: `advance` is as if so many seconds had passed, for every wait as well.

    With a `speed` above 1 it also runs faster by itself: 20 s of waiting take 20 s / `speed`. With a `speed` of 0 it
    moves only by `advance`, so that a test holds on a machine of any speed.
    """

    def __init__(self, *, speed: float = 1.0) -> None:
        self._speed = speed
        self._started = super().monotonic()
        # A clock that only `advance` moves begins at a whole second: sums of such times are exact.
        self._epoch = super().time() if speed else float(int(super().time()))
        self._began = self._started if speed else float(int(self._started))
        self._moved_by = 0.0
        self._alarms: set[_Alarm] = set()
        self._sleep_ends: list[float] = []

    @property
    def sleeping(self) -> int:
        """How many calls of `sleep` still have time to wait. A sleep that is over no longer counts."""
        now = self.monotonic()
        return sum(end > now for end in self._sleep_ends)

    def waits_for(self, seconds: float) -> bool:
        """Whether something sleeps, or has a time-out, that ends in so many seconds."""
        end = self.monotonic() + seconds
        return any(alarm.end == end for alarm in self._alarms)

    def advance(self, seconds: float) -> None:
        """Let so many seconds have passed; whatever waited for them goes on. Call it in the event loop."""
        self._moved_by += seconds
        for alarm in self._alarms:
            alarm.set(self._real_seconds_until(alarm.end))

    def correct(self, seconds: float) -> None:
        """The system's clock was wrong by so many seconds: the time moves, and nothing that waits does."""
        self._epoch += seconds

    def monotonic(self) -> float:
        return self._began + self._passed()

    def time(self) -> float:
        return self._epoch + self._passed()

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        end = self.monotonic() + seconds
        over = asyncio.Event()
        cancel = self.call_later(seconds, over.set)
        self._sleep_ends.append(end)
        try:
            await over.wait()
            await asyncio.sleep(0)  # a time-out that ends at the same moment, and began before, comes first
        finally:
            self._sleep_ends.remove(end)
            cancel()

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[object]:
        return asyncio.timeout(None) if seconds is None else self._timeout(seconds)

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Callable[[], None]:
        alarm = _Alarm(self.monotonic() + seconds, callback, ended=self._alarms.discard)
        self._alarms.add(alarm)
        alarm.set(self._real_seconds_until(alarm.end))
        return alarm.cancel

    def _passed(self) -> float:
        return (super().monotonic() - self._started) * self._speed + self._moved_by

    def _real_seconds_until(self, end: float) -> float | None:
        """None: the clock gets there by `advance` alone."""
        left = end - self.monotonic()
        if left <= 0:
            return 0.0
        return left / self._speed if self._speed else None

    @asynccontextmanager
    async def _timeout(self, seconds: float) -> AsyncGenerator[asyncio.Timeout]:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(None) as timeout:
            cancel = self.call_later(seconds, lambda: timeout.reschedule(loop.time()))
            try:
                yield timeout
            finally:
                cancel()


class _Alarm:
    """A callback at `end`, in seconds of the moving clock."""

    def __init__(self, end: float, callback: Callable[[], object], ended: "Callable[[_Alarm], object]") -> None:
        self.end = end
        self._callback = callback
        self._ended = ended
        self._timer: asyncio.TimerHandle | None = None

    def set(self, real_seconds: float | None) -> None:
        """Ring after so many real seconds, and not at the time set before. None: not by itself."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if real_seconds is not None:
            self._timer = asyncio.get_running_loop().call_later(real_seconds, self._ring)

    def cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._ended(self)

    def _ring(self) -> None:
        self._ended(self)
        self._callback()
