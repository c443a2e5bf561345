"""A clock that tests move, in place of waiting."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

from piv_mcp.text.times import Clock


class MovingClock(Clock):
    """The system's clock, until it is moved: `advance` is as if so many seconds had passed, for every wait as well.

    With a `speed` above 1 it also runs faster by itself: 20 s of waiting take 20 s / `speed`.
    """

    def __init__(self, *, speed: float = 1.0) -> None:
        self._speed = speed
        self._started = super().monotonic()
        self._epoch = super().time()
        self._moved_by = 0.0
        self._moved = asyncio.Event()

    def advance(self, seconds: float) -> None:
        """Let so many seconds have passed; whatever waited for them goes on."""
        self._moved_by += seconds
        self._moved.set()
        self._moved = asyncio.Event()

    def correct(self, seconds: float) -> None:
        """The system's clock was wrong by so many seconds: the time moves, and nothing that waits does."""
        self._epoch += seconds

    def monotonic(self) -> float:
        return self._started + self._passed()

    def time(self) -> float:
        return self._epoch + self._passed()

    async def sleep(self, seconds: float) -> None:
        end = self.monotonic() + seconds
        await asyncio.sleep(0)
        while (left := end - self.monotonic()) > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(left / self._speed):
                    await self._moved.wait()

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

    @asynccontextmanager
    async def _timeout(self, seconds: float) -> AsyncGenerator[asyncio.Timeout]:
        loop = asyncio.get_running_loop()
        end = self.monotonic() + seconds
        async with asyncio.timeout(seconds / self._speed) as timeout:

            async def follow() -> None:
                while True:
                    await self._moved.wait()
                    timeout.reschedule(loop.time() + (end - self.monotonic()) / self._speed)

            following = asyncio.ensure_future(follow())
            try:
                yield timeout
            finally:
                following.cancel()
