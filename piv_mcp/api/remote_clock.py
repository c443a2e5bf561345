"""piv.day's clock, as the `Date` headers of its responses tell it. This machine's own wall clock is but a witness."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from piv_mcp.text.times import Clock

BELIEVED_SECONDS = 3600.0
"""How long a `Date` is relied on after its response came."""

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC).timestamp()
LATEST = datetime(2100, 1, 1, tzinfo=UTC).timestamp()
"""A `Date` outside these comes from a machine whose clock was never set."""

HALF_SECOND = 0.5
"""A `Date` names a whole second, and the response was sent at some moment of that second."""


DOUBTED_SECONDS = 30.0
"""A `Date` that is farther from the time so far may be that of a machine whose clock is wrong."""

AGREEING_SECONDS = 5.0
"""Two such dates agree to within this, since a response may have been long on its way."""


class RemoteClock:
    """The time at piv.day, to about a second: the last response's `Date`, and what has passed since it came.

    Read it right after a call, and it is the time of that call's response. A `Date` that jumps is believed once the
    next response agrees with it, or at once if this machine's clock does: then the time so far was wrong.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead = 0.0
        """How many seconds piv.day's time is ahead of `Clock.monotonic`."""
        self._seen = -math.inf
        """When, by `Clock.monotonic`, the response came that told it."""
        self._doubted = math.inf
        """How many it would be by the last response, if that is not believed."""

    def time(self) -> float | None:
        """Seconds since the epoch; `None` if no response with a credible `Date` came within the last hour."""
        now = self._clock.monotonic()
        return now + self._ahead if now - self._seen <= BELIEVED_SECONDS else None

    def note(self, headers: Mapping[str, str]) -> None:
        """A response with these headers has just come."""
        date = _date(headers)
        if date is None or _is_old(headers):
            return
        at, now, expected = date + HALF_SECOND, self._clock.monotonic(), self.time()
        ahead = at - now
        if (
            expected is None
            or min(abs(at - expected), abs(at - self._clock.time())) <= DOUBTED_SECONDS
            or abs(ahead - self._doubted) <= AGREEING_SECONDS
        ):
            self._ahead, self._seen, self._doubted = ahead, now, math.inf
        else:
            self._doubted = ahead


def parse_http_date(text: str) -> float | None:
    """Seconds since the epoch by an HTTP date; `None` if the text is none."""
    try:
        moment = parsedate_to_datetime(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _date(headers: Mapping[str, str]) -> float | None:
    at = parse_http_date(headers.get("date", ""))
    return at if at is not None and EARLIEST <= at < LATEST else None


def _is_old(headers: Mapping[str, str]) -> bool:
    """Whether a cache kept the response, whose `Date` is then of the past. Every cache says so by `Age`."""
    return headers.get("age", "0").strip().lstrip("0") != ""
