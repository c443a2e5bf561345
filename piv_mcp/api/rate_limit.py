"""Our side of the rate limit: 100 requests a minute for one key, shared by every process that uses it.

`seconds_to_wait` is the whole policy, a pure function of what was sent; a limiter only remembers and sleeps.
`LocalLimiter` remembers in this process.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from enum import Enum
from typing import Protocol

from piv_mcp.errors import RateLimitedError


class Priority(Enum):
    """Who waits for the answer."""

    PERSON = "person"
    """A person's call, or one that a person's call makes."""
    WAIT = "wait"
    """Polling on behalf of somebody who waits."""
    BACKFILL = "backfill"
    """Nobody waits."""


WINDOW = 60.0
"""Seconds over which requests are counted."""

TOTAL: Mapping[Priority, int] = {Priority.PERSON: 95, Priority.WAIT: 75, Priority.BACKFILL: 60}
"""A request goes only while fewer than so many of all priorities were sent in the window. The reference
allows 100; the rest is for requests that overtake each other on the way, and the steps keep polling from
starving a person."""

BACKFILL_OWN = 20
"""Likewise, counting requests of that priority alone."""

YIELD = 0.25
"""Seconds that back-fill stands aside, before it looks again, while a person's call waits."""

MAX_PAUSE = 3600.0
"""The longest pause that is believed, in seconds: no wrong clock and no wrong header stops us for good."""


def seconds_to_wait(
    priority: Priority,
    sent: Mapping[Priority, Iterable[float]],
    *,
    now: float,
    paused_until: float = 0.0,
    person_waiting: bool = False,
) -> float:
    """Seconds until a request of this priority may be tried again; 0 means go.

    `sent` holds the times of past requests by priority; `now` and `paused_until` are on the same clock, in
    seconds. Times older than the window do not count, and times in the future count as now. `person_waiting`
    is true while a person's call has asked for a slot and not got it. The answer is a lower bound: look again
    after waiting.
    """
    recent = {kind: _recent(times, now) for kind, times in sent.items()}
    everything = sorted(time for times in recent.values() for time in times)
    wait = max(0.0, min(paused_until - now, MAX_PAUSE), _until_fewer(everything, TOTAL[priority], now))
    if priority is Priority.BACKFILL:
        wait = max(wait, _until_fewer(recent.get(priority, []), BACKFILL_OWN, now), YIELD if person_waiting else 0.0)
    return wait


def _recent(times: Iterable[float], now: float) -> list[float]:
    return sorted(min(time, now) for time in times if time + WINDOW > now)


def _until_fewer(times: list[float], allowed: int, now: float) -> float:
    """Seconds until fewer than `allowed` of the sorted times are in the window."""
    return 0.0 if len(times) < allowed else times[len(times) - allowed] + WINDOW - now


def no_slot(wait: float) -> RateLimitedError:
    """The error of a call that our own limit kept from being sent."""
    return RateLimitedError(
        f"This minute's requests are used up; the next slot is in {wait:.0f} s",
        code="RATE_LIMITED",
        retry_after=wait,
    )


class RateLimiter(Protocol):
    """What a client asks before each request it sends."""

    async def acquire(self, priority: Priority, *, timeout: float) -> None:  # noqa: ASYNC109 - it gives up early
        """Take a slot, waiting for one at most `timeout` seconds; else raise `RateLimitedError`
        (`no_slot`)."""
        ...

    async def pause(self, seconds: float) -> None:
        """The server said to wait: nobody takes a slot for so many seconds."""
        ...


class LocalLimiter:
    """A limiter for one process, without a store."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._sent: dict[Priority, deque[float]] = {priority: deque() for priority in Priority}
        self._paused_until = 0.0
        self._persons_waiting = 0

    async def acquire(self, priority: Priority, *, timeout: float) -> None:  # noqa: ASYNC109 - it gives up early
        give_up = self._clock() + timeout
        is_person = priority is Priority.PERSON
        self._persons_waiting += is_person
        try:
            while (wait := self._wait(priority)) > 0:
                if self._clock() + wait > give_up:
                    raise no_slot(wait)
                await self._sleep(wait)
        finally:
            self._persons_waiting -= is_person
        self._sent[priority].append(self._clock())

    async def pause(self, seconds: float) -> None:
        self._paused_until = max(self._paused_until, self._clock() + min(seconds, MAX_PAUSE))

    def _wait(self, priority: Priority) -> float:
        now = self._clock()
        for times in self._sent.values():
            while times and times[0] + WINDOW <= now:
                times.popleft()
        return seconds_to_wait(
            priority,
            self._sent,
            now=now,
            paused_until=self._paused_until,
            person_waiting=self._persons_waiting > 0,
        )
