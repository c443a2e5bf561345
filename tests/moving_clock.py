"""A clock that tests move, in place of waiting."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

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
        self._moved_by = 0.0
        self._moved = asyncio.Event()
        self._sleep_ends: list[float] = []

    @property
    def sleeping(self) -> int:
        """How many calls of `sleep` still have time to wait. A sleep that is over no longer counts."""
        now = self.monotonic()
        return sum(end > now for end in self._sleep_ends)

    def advance(self, seconds: float) -> None:
        """Let so many seconds have passed; whatever waited for them goes on."""
        self._moved_by += seconds
        self._moved.set()
        self._moved = asyncio.Event()

    def correct(self, seconds: float) -> None:
        """The system's clock was wrong by so many seconds: the time moves, and nothing that waits does."""
        self._epoch += seconds

    def monotonic(self) -> float:
        return self._passed()

    def time(self) -> float:
        return self._epoch + self._passed()

    async def sleep(self, seconds: float) -> None:
        end = self.monotonic() + seconds
        self._sleep_ends.append(end)
        try:
            await asyncio.sleep(0)
            while (left := end - self.monotonic()) > 0:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._real(left)):
                        await self._moved.wait()
            await asyncio.sleep(0)  # a time-out that ends at the same moment, and began before, comes first
        finally:
            self._sleep_ends.remove(end)

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[object]:
        return asyncio.timeout(None) if seconds is None else self._timeout(seconds)

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Callable[[], None]:
        async def call() -> None:
            await self.sleep(seconds)
            callback()

        task = asyncio.ensure_future(call())
        return lambda: (task.cancel(), None)[1]

    def _passed(self) -> float:
        return (super().monotonic() - self._started) * self._speed + self._moved_by

    def _real(self, seconds: float) -> float | None:
        """The real seconds after which so many have passed by this clock; None: never by themselves."""
        if seconds <= 0:
            return 0.0
        return seconds / self._speed if self._speed else None

    @asynccontextmanager
    async def _timeout(self, seconds: float) -> AsyncGenerator[asyncio.Timeout]:
        loop = asyncio.get_running_loop()
        end = self.monotonic() + seconds
        async with asyncio.timeout(self._real(seconds)) as timeout:

            async def follow() -> None:
                # The clock may have been moved before this task began: look before waiting.
                while not timeout.expired() and (left := end - self.monotonic()) > 0:
                    real = self._real(left)
                    timeout.reschedule(None if real is None else loop.time() + real)
                    await self._moved.wait()
                with suppress(RuntimeError):  # the time-out ends the block already
                    timeout.reschedule(loop.time())

            following = asyncio.ensure_future(follow())
            try:
                yield timeout
            finally:
                following.cancel()
