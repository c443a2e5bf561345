"""The request limit of all processes that share the store. `api/rate_limit.py` decides; this module stores requests.

Times are seconds since the epoch, by the system clock that all processes of the machine share.
"""

import secrets

import structlog

from piv_mcp.api.rate_limit import MAX_PAUSE, WINDOW, LocalLimiter, Priority, no_slot, seconds_to_wait
from piv_mcp.errors import StoreError
from piv_mcp.store import facts, leases
from piv_mcp.store.connection import Connection
from piv_mcp.store.database import Store
from piv_mcp.text.times import SYSTEM_CLOCK, Clock

RECHECK_SECONDS = 1.0
"""The longest sleep of a waiting call before it checks again. Another process may have paused all requests, or a call
with priority may have stopped waiting."""

PAUSED_UNTIL = "requests:paused_until"

_log = structlog.get_logger(__name__)


class SharedLimiter:
    """A `RateLimiter` in the store. If the store fails, each process applies the limit to its own requests only."""

    def __init__(self, store: Store, clock: Clock = SYSTEM_CLOCK) -> None:
        self._store = store
        self._clock = clock
        self._local = LocalLimiter(clock=clock.monotonic, sleep=clock.sleep)
        self._token = secrets.token_hex(8)

    async def acquire(self, priority: Priority, *, timeout: float) -> None:  # noqa: ASYNC109 - it gives up early
        give_up = self._clock.monotonic() + timeout
        waited = False
        try:
            while (wait := await self._store.write(take_slot, priority, self._token, self._clock.time())) > 0:
                if self._clock.monotonic() + wait > give_up:
                    raise no_slot(wait)
                waited = True
                await self._clock.sleep(min(wait, RECHECK_SECONDS))
        except StoreError as error:
            _log.warning("the request limit counts this process's requests only", problem=error.message)
            await self._local.acquire(priority, timeout=max(0.0, give_up - self._clock.monotonic()))
        finally:
            if waited and priority is Priority.PERSON:
                await self._stop_waiting()

    async def pause(self, seconds: float) -> None:
        until = self._clock.time() + min(seconds, MAX_PAUSE)
        await self._local.pause(seconds)
        try:
            await self._store.write(pause_until, until)
        except StoreError as error:
            _log.warning("only this process pauses its requests", problem=error.message)

    async def _stop_waiting(self) -> None:
        try:
            await self._store.write(leases.forget_waiting, self._token)
        except StoreError:
            _log.warning("a call that no longer waits could not be removed from the store; its row expires by itself")


def take_slot(connection: Connection, priority: Priority, token: str, now: float) -> float:
    """Record a request at `now` and return 0, or return the seconds to wait. `token` identifies the waiting call."""
    wait = seconds_to_wait(
        priority,
        _sent_since(connection, now - WINDOW),
        now=now,
        paused_until=facts.number(connection, PAUSED_UNTIL),
        person_waiting=leases.person_is_waiting(connection, now),
    )
    if wait <= 0:
        note_sent(connection, priority, now)
    elif priority is Priority.PERSON:
        leases.note_waiting(connection, token, now + wait + RECHECK_SECONDS)
    return wait


def note_sent(connection: Connection, priority: Priority, at: float) -> None:
    connection.execute("INSERT INTO requests (at, priority) VALUES (?, ?)", (at, priority.value))


def pause_until(connection: Connection, until: float) -> None:
    """Allow no request before `until`, or before the end of a longer pause that is already stored."""
    facts.put(connection, PAUSED_UNTIL, str(max(until, facts.number(connection, PAUSED_UNTIL))))


def _sent_since(connection: Connection, since: float) -> dict[Priority, list[float]]:
    """The times of the requests after `since`, by priority. Deletes older requests."""
    connection.execute("DELETE FROM requests WHERE at <= ?", (since,))
    sent: dict[Priority, list[float]] = {}
    for priority, at in connection.rows("SELECT priority, at FROM requests"):
        sent.setdefault(Priority(priority), []).append(float(at))
    return sent
