"""Sandbox time: a clock that can be moved, and an agenda of what happens later.

Everything that takes a while (a restore, a registration, an auto-renewal, an "expires soon" notice) is an
entry in the agenda. Entries run in order of their due time, and while one runs the clock shows that time:
polling, webhooks and the ledger therefore agree, whether the time passed by itself or in one jump of a
month.
"""

import calendar
import heapq
import itertools
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta


@dataclass(frozen=True)
class Timing:
    """How long background work takes, in seconds; short by default, so that a demonstration is quick."""

    sms: float = 1.0
    """Between two states of an outbound SMS."""
    verify: float = 2.0
    restore: float = 2.0
    domain: float = 1.0
    """Between two states of a domain queue entry."""
    white: float = 1.0
    """Between two states of a white."""
    webhook_timeout: float = 5.0
    webhook_retries: tuple[float, ...] = (1.0, 2.0, 4.0)

    @classmethod
    def instant(cls) -> "Timing":
        """Background work is over as soon as it was answered; webhook retries follow at once."""
        return cls(sms=0, verify=0, restore=0, domain=0, white=0, webhook_retries=(0.0, 0.0, 0.0))


class Clock:
    def __init__(self) -> None:
        self._offset = timedelta()
        self._held: datetime | None = None

    def now(self) -> datetime:
        return self._held or datetime.now(UTC) + self._offset

    def advance(self, by: timedelta) -> None:
        if by < timedelta():
            raise ValueError("the sandbox clock only goes forward")
        self._offset += by

    @contextmanager
    def held_at(self, moment: datetime) -> Generator[None]:
        before, self._held = self._held, moment
        try:
            yield
        finally:
            self._held = before


class Agenda:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._entries: list[tuple[datetime, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def at(self, moment: datetime, action: Callable[[], None]) -> None:
        """Run `action` at `moment`, or at the next occasion if that has passed."""
        due = max(moment, self._clock.now())
        heapq.heappush(self._entries, (due, next(self._order), action))

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        self.at(self._clock.now() + timedelta(seconds=seconds), action)

    def catch_up(self) -> None:
        now = self._clock.now()
        while self._entries and self._entries[0][0] <= now:
            due, _, action = heapq.heappop(self._entries)
            with self._clock.held_at(due):
                action()

    def forget_past(self) -> None:
        """Drop what is overdue without running it."""
        now = self._clock.now()
        while self._entries and self._entries[0][0] <= now:
            heapq.heappop(self._entries)

    def seconds_to_next(self) -> float | None:
        if not self._entries:
            return None
        return max(0.0, (self._entries[0][0] - self._clock.now()).total_seconds())


def add_months(moment: datetime, months: int) -> datetime:
    """The same day `months` later, or the last day of a shorter month."""
    index = moment.year * 12 + moment.month - 1 + months
    year, month = divmod(index, 12)
    day = min(moment.day, calendar.monthrange(year, month + 1)[1])
    return moment.replace(year=year, month=month + 1, day=day)
