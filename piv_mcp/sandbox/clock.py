"""Sandbox time: a clock that tests can move forward, and an agenda of actions with a due time.

Everything that happens later (the end of a restore, a registration, an automatic renewal, a notice of expiry) is an
entry in the agenda. Entries run in the order of their due times. While an entry runs, the clock shows its due time, so
that answers, webhooks and charges carry the same times whether the clock ran or was moved by a month at once.
"""

import calendar
import heapq
import itertools
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

RENEWAL_LEAD = timedelta(hours=24)
"""An automatic renewal is tried this long before the expiry."""
RESTORE_WINDOW = timedelta(days=7)
"""A number or a proxy order can be restored this long after it expired."""


@dataclass(frozen=True)
class Timing:
    """How long background work takes, in seconds; short by default, so that a demonstration is quick."""

    sms: float = 1.0
    """Between two states of an outbound SMS."""
    verify: float = 2.0
    """From the request for a verification to its end."""
    restore: float = 2.0
    """From the request to restore numbers to its end."""
    domain: float = 1.0
    """Between two states of a domain queue entry."""
    white: float = 1.0
    """Between two states of a white."""
    webhook_timeout: float = 5.0
    """For one attempt to deliver a webhook."""
    webhook_retries: tuple[float, ...] = (1.0, 2.0, 4.0)
    """The pause before each retry."""

    @classmethod
    def instant(cls) -> "Timing":
        """Background work ends as soon as its request is answered, and webhook retries follow without a pause."""
        return cls(sms=0, verify=0, restore=0, domain=0, white=0, webhook_retries=(0.0, 0.0, 0.0))


class SandboxClock:
    """The current time in UTC, plus whatever `advance` has added."""

    def __init__(self) -> None:
        self._offset = timedelta()
        self._held: datetime | None = None

    def now(self) -> datetime:
        return self._held or datetime.now(UTC) + self._offset

    def advance(self, by: timedelta) -> None:
        """Move the clock forward. Raises ValueError if `by` is negative."""
        if by < timedelta():
            raise ValueError("the sandbox clock only goes forward")
        self._offset += by

    @contextmanager
    def held_at(self, moment: datetime) -> Generator[None]:
        """Show `moment` until the context ends."""
        before, self._held = self._held, moment
        try:
            yield
        finally:
            self._held = before


class Agenda:
    """Actions that are to run later."""

    def __init__(self, clock: SandboxClock) -> None:
        self._clock = clock
        self._entries: list[tuple[datetime, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def at(self, moment: datetime, action: Callable[[], None]) -> None:
        """Run `action` at `moment`, or at the next `catch_up` if `moment` has passed."""
        due = max(moment, self._clock.now())
        heapq.heappush(self._entries, (due, next(self._order), action))

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        self.at(self._clock.now() + timedelta(seconds=seconds), action)

    def catch_up(self) -> None:
        """Run the actions that are due."""
        now = self._clock.now()
        while self._entries and self._entries[0][0] <= now:
            due, _, action = heapq.heappop(self._entries)
            with self._clock.held_at(due):
                action()

    def forget_past(self) -> None:
        """Remove the actions that are due without running them."""
        now = self._clock.now()
        while self._entries and self._entries[0][0] <= now:
            heapq.heappop(self._entries)

    def seconds_to_next(self) -> float | None:
        """Seconds until the next action is due; None if there is no action."""
        if not self._entries:
            return None
        return max(0.0, (self._entries[0][0] - self._clock.now()).total_seconds())


def add_months(moment: datetime, months: int) -> datetime:
    """The same day of the month `months` later, or the last day of that month if it is shorter."""
    index = moment.year * 12 + moment.month - 1 + months
    year, month = divmod(index, 12)
    day = min(moment.day, calendar.monthrange(year, month + 1)[1])
    return moment.replace(year=year, month=month + 1, day=day)
