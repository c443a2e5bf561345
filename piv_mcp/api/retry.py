"""Which calls are tried again, when, and for how long."""

import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from piv_mcp.api.remote_clock import parse_http_date
from piv_mcp.errors import ApiError, NoAnswerError, OutcomeUnknownError
from piv_mcp.text.times import SYSTEM_CLOCK, Clock

T = TypeVar("T")

ATTEMPTS = 4
"""Tries of one call, the first included."""

FIRST_WAIT = 0.5
MAX_WAIT = 8.0
"""Seconds. The wait before try n+1 is drawn evenly from 0 to FIRST_WAIT * 2**(n-1), at most MAX_WAIT."""


class Deadline:
    """The moment, given in seconds from now, by which a call must end."""

    def __init__(self, seconds: float, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._end = clock.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self._end - self._clock.monotonic())

    def has_passed(self, by: float = 0.0) -> bool:
        """Whether it was at least `by` seconds ago."""
        return self._clock.monotonic() >= self._end + by


def may_retry(error: ApiError, *, writes: bool) -> bool:
    """Whether a call may be sent again after this error.

    A write may only if it certainly had no effect: no connection, or 429. A read may also after a lost response,
    a time-out or a 5xx.
    """
    if isinstance(error, OutcomeUnknownError):
        return False
    if isinstance(error, NoAnswerError):
        return not (writes and error.sent)
    if error.status == 429:
        return True
    return not writes and error.status is not None and (error.status == 408 or error.status >= 500)


async def with_retries(
    attempt: Callable[[int], Awaitable[T]], *, writes: bool, deadline: Deadline, start: Deadline, room: float
) -> T:
    """Await `attempt(1)`, `attempt(2)`, ... until one succeeds, or raise the last one's error.

    `Retry-After` replaces our own wait. No wait begins that would leave less than `room` seconds for the next try, or
    that would end after `start`.
    """
    import stamina  # late: it costs start-up time, and only a sent request needs it

    number = 1

    def wait_before_next(error: Exception) -> bool | float:
        if not isinstance(error, ApiError) or not may_retry(error, writes=writes):
            return False
        longest = min(MAX_WAIT, FIRST_WAIT * 2 ** (number - 1))
        wait = error.retry_after if error.retry_after is not None else random.uniform(0, longest)  # noqa: S311 - jitter
        return wait if wait + room <= deadline.remaining() and wait <= start.remaining() else False

    async for retry in stamina.retry_context(on=wait_before_next, attempts=ATTEMPTS, timeout=None):
        number = retry.num
        with retry:
            return await attempt(number)
    raise AssertionError("the loop above returns or raises")  # pragma: no cover


def parse_retry_after(value: str | None, now: float) -> float | None:
    """The seconds that a `Retry-After` header asks for, a number or a date, without a limit; `None` if it is neither.

    `now`: the server's time, in seconds since the epoch.
    """
    if value is None:
        return None
    try:
        seconds = float(value) if value.strip().isascii() else None
    except ValueError:
        until = parse_http_date(value)
        seconds = None if until is None else until - now
    return None if seconds is None or seconds != seconds else max(seconds, 0.0)
