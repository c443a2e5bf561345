"""The client's side of the rate limit: 100 requests a minute for one key, shared by all processes that use it.

`seconds_to_wait` is the whole policy, a pure function of the requests already sent. A limiter only stores those
and sleeps. `LocalLimiter` stores them in the memory of this process.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Protocol

from piv_mcp.errors import RateLimitedError
from piv_mcp.text.times import span


class Priority(Enum):
    """Who waits for the answer."""

    PERSON = "person"
    """A person's call, or a request made on its behalf."""
    WAIT = "wait"
    """Polling for a call that waits for an event."""
    BACKFILL = "backfill"
    """Background work; no call waits for it."""


WINDOW = 60.0
"""Seconds over which requests are counted."""

ALL = 95
"""Requests of all priorities that a window may hold. The reference allows 100: the margin is for requests that overtake
each other on the way to the server."""

WAIT_OWN = 15
"""Of these, polling always has so many: calls that wait go on looking, however busy the minute is."""

TOTAL: Mapping[Priority, int] = {Priority.PERSON: ALL - WAIT_OWN, Priority.WAIT: 75, Priority.BACKFILL: 60}
"""A request of this priority is sent only while the window holds fewer requests than this. Where a person calls, polls
are not counted, except by `ALL`. A poll beyond `WAIT_OWN` and back-fill leave room for a person's calls."""

BACKFILL_OWN = 20
"""The same limit for back-fill, counting only the requests of that priority."""

BACKFILL_LEAST = 5
"""So many of them do not mind how many polls there are, while few other calls are sent: with three numbers waited for,
no round would ever end."""

YIELD = 0.25
"""Seconds between back-fill's attempts to get a slot while a person's call waits for one."""

MAX_PAUSE = 65.0
"""The longest pause that is obeyed, in seconds: requests count for a minute, so a longer one asks for too much."""


FOR_EVER = 1e10
"""Seconds that are not told as a number."""


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause of all requests that the server asked for. `until` is on the limiter's clock; `asked` are the seconds
    that the server named, of which at most `MAX_PAUSE` are obeyed; 0 if they are not known."""

    until: float = 0.0
    asked: float = 0.0

    def bounded(self, now: float) -> "Pause":
        """The pause as it is obeyed at `now`. One that another version or a wrong clock made may last too long."""
        return replace(self, until=min(self.until, now + MAX_PAUSE))

    def extended(self, seconds: float, now: float) -> "Pause":
        """The longer of this pause and one of so many seconds from now."""
        known, other = self.bounded(now), Pause(now + seconds, seconds).bounded(now)
        return other if other.until > known.until else known


NO_PAUSE = Pause()


def seconds_to_wait(
    priority: Priority,
    sent: Mapping[Priority, Iterable[float]],
    *,
    now: float,
    pause: Pause = NO_PAUSE,
    person_waiting: bool = False,
) -> float:
    """Seconds until a request of this priority may be tried again; 0 means send it now.

    `sent` holds the times of past requests by priority; `now` and `pause` are on the same clock, in seconds. Times
    older than the window do not count, and times in the future count as now. `person_waiting` is true while a
    person's call waits for a slot. The result is a lower bound: call again after that wait.
    """
    recent = {kind: _recent(times, now) for kind, times in sent.items()}
    everything = sorted(time for times in recent.values() for time in times)
    own = recent.get(priority, [])
    wait = max(0.0, pause.bounded(now).until - now, _until_fewer(everything, ALL, now))
    match priority:
        case Priority.PERSON:
            others = sorted(time for kind, times in recent.items() if kind is not Priority.WAIT for time in times)
            return max(wait, _until_fewer(others, TOTAL[priority], now))
        case Priority.WAIT:
            shared = _until_fewer(everything, TOTAL[priority], now)
            return max(wait, min(shared, _until_fewer(own, WAIT_OWN, now)))
        case Priority.BACKFILL:
            others = sorted(time for kind, times in recent.items() if kind is not Priority.WAIT for time in times)
            least = max(_until_fewer(others, BACKFILL_OWN, now), _until_fewer(own, BACKFILL_LEAST, now))
            shared = min(_until_fewer(everything, TOTAL[priority], now), least)
            return max(wait, shared, _until_fewer(own, BACKFILL_OWN, now), YIELD if person_waiting else 0.0)


def _recent(times: Iterable[float], now: float) -> list[float]:
    return sorted(min(time, now) for time in times if time + WINDOW > now)


def _until_fewer(times: list[float], allowed: int, now: float) -> float:
    """Seconds until fewer than `allowed` of the sorted times are in the window."""
    return 0.0 if len(times) < allowed else times[len(times) - allowed] + WINDOW - now


def asked_for(seconds: float) -> str:
    """The pause that the server asked for, in words. 0 if its length is not known."""
    length = "" if seconds <= 0 else f" of {span(seconds)}" if seconds < FOR_EVER else " without end"
    return f"piv.day asked for a pause{length}"


def no_slot(wait: float, *, pause: Pause = NO_PAUSE, now: float = 0.0) -> RateLimitedError:
    """The error of a call that was not sent: because of a pause that is not over, else because of our own limit.
    `pause` and `now` are on the same clock."""
    why = asked_for(pause.asked) if pause.until > now else "This minute's requests are used up"
    return RateLimitedError(
        f"{why}; the next slot is in {math.ceil(wait)} s",
        code="RATE_LIMITED",
        retry_after=wait,
    )


class RateLimiter(Protocol):
    """What a client asks for a slot before it sends a request."""

    async def acquire(self, priority: Priority, *, timeout: float) -> None:  # noqa: ASYNC109 - it gives up early
        """Take a slot, waiting at most `timeout` seconds. Raises `RateLimitedError` (`no_slot`) if none is free."""
        ...

    async def pause(self, seconds: float) -> None:
        """Give no slot for this many seconds, at most `MAX_PAUSE`, because the server said to wait."""
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
        self._pause = NO_PAUSE
        self._persons_waiting = 0

    async def acquire(self, priority: Priority, *, timeout: float) -> None:  # noqa: ASYNC109 - it gives up early
        give_up = self._clock() + timeout
        is_person = priority is Priority.PERSON
        self._persons_waiting += is_person
        try:
            while (wait := self._wait(priority)) > 0:
                if self._clock() + wait > give_up:
                    raise no_slot(wait, pause=self._pause, now=self._clock())
                await self._sleep(wait)
        finally:
            self._persons_waiting -= is_person
        self.note(priority)

    async def pause(self, seconds: float) -> None:
        self._pause = self._pause.extended(seconds, self._clock())

    def note(self, priority: Priority) -> None:
        """A request is sent now for which another limiter gave the slot."""
        self._sent[priority].append(self._clock())

    def wait_for_own(self, priority: Priority) -> float:
        """Seconds until this process may send, as far as its own requests tell."""
        now = self._clock()
        for times in self._sent.values():
            while times and times[0] + WINDOW <= now:
                times.popleft()
        return seconds_to_wait(priority, self._sent, now=now)

    def _wait(self, priority: Priority) -> float:
        own, now = self.wait_for_own(priority), self._clock()
        person_waiting = self._persons_waiting > 0
        return max(own, seconds_to_wait(priority, {}, now=now, pause=self._pause, person_waiting=person_waiting))
