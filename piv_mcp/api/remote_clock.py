"""piv.day's clock, as the `Date` headers of its responses tell it. This machine's own wall clock plays no part."""

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


class RemoteClock:
    """The time at piv.day, to about a second: the last response's `Date`, and what has passed since it came.

    Read it right after a call, and it is the time of that call's response.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last: tuple[float, float] | None = None
        """The time at piv.day, in seconds since the epoch, and when it was that by `Clock.monotonic`."""

    def time(self) -> float | None:
        """Seconds since the epoch; `None` if no response with a credible `Date` came within the last hour."""
        if self._last is None:
            return None
        at, seen = self._last
        passed = self._clock.monotonic() - seen
        return at + passed if passed <= BELIEVED_SECONDS else None

    def note(self, headers: Mapping[str, str]) -> None:
        """A response with these headers has just come."""
        at = _date(headers)
        if at is not None and not _is_old(headers):
            self._last = (at + HALF_SECOND, self._clock.monotonic())


def parse_http_date(text: str) -> float | None:
    """Seconds since the epoch by an HTTP date; `None` if the text is none."""
    try:
        moment = parsedate_to_datetime(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _date(headers: Mapping[str, str]) -> float | None:
    at = parse_http_date(headers.get("date", ""))
    return at if at is not None and EARLIEST <= at < LATEST else None


def _is_old(headers: Mapping[str, str]) -> bool:
    """Whether a cache kept the response, whose `Date` is then of the past. Every cache says so by `Age`."""
    return headers.get("age", "0").strip().lstrip("0") != ""
