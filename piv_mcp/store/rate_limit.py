"""The request limit of all processes that share the store. `api/rate_limit.py` decides; this module stores requests.

Times are seconds since the epoch, by the system clock that all processes of the machine share.
"""

import asyncio
import secrets
from collections.abc import Sequence

import structlog

from piv_mcp.api.rate_limit import WINDOW, LocalLimiter, Pause, Priority, no_slot, seconds_to_wait
from piv_mcp.errors import StoreError
from piv_mcp.store import facts, leases
from piv_mcp.store.connection import Connection
from piv_mcp.store.database import Store
from piv_mcp.text.times import SYSTEM_CLOCK, Clock

RECHECK_SECONDS = 1.0
"""The longest sleep of a waiting call before it checks again. Another process may have paused all requests, or a call
with priority may have stopped waiting."""

PAUSED_UNTIL = "requests:paused_until"
PAUSE_ASKED = "requests:pause_asked"
"""The two facts of a `Pause`."""

Sent = tuple[Priority, float]
"""A request, and when it was sent."""

_PRIORITIES = {priority.value: priority for priority in Priority}

_log = structlog.get_logger(__name__)


class SharedLimiter:
    """A `RateLimiter` in the store. If the store fails, each process applies the limit to its own requests only.

    A process counts its own requests in memory, too, by a clock that nobody sets: neither a store that fails for a
    moment nor a clock that is set forward makes room for them twice.
    """

    def __init__(self, store: Store, clock: Clock = SYSTEM_CLOCK) -> None:
        self._store = store
        self._clock = clock
        self._local = LocalLimiter(clock=clock.monotonic, sleep=clock.sleep)
        self._unshared: list[Sent] = []
        self._token = secrets.token_hex(8)

    async def acquire(self, priority: Priority, *, timeout: float) -> None:  # noqa: ASYNC109 - it gives up early
        give_up = self._clock.monotonic() + timeout
        waited = False
        try:
            while True:
                now, own, unshared = self._clock.time(), self._local.wait_for_own(priority), tuple(self._unshared)
                ahead = now - self._clock.monotonic()
                told = [(kind, at + ahead) for kind, at in unshared]
                try:
                    wait, pause = await self._store.write(
                        take_slot, priority, self._token, now, at_least=own, unshared=told
                    )
                except asyncio.CancelledError:
                    waited = True  # the write goes on, and may note this call as waiting
                    raise
                self._unshared = [sent for sent in self._unshared if sent not in unshared]
                if wait <= 0:
                    self._local.note(priority)
                    return
                waited = True
                if self._clock.monotonic() + wait > give_up:
                    raise no_slot(wait, pause=pause, now=now)
                await self._clock.sleep(min(wait, RECHECK_SECONDS))
        except StoreError as error:
            _log.warning("the request limit counts this process's requests only", problem=error.message)
            await self._local.acquire(priority, timeout=max(0.0, give_up - self._clock.monotonic()))
            self._unshared.append((priority, self._clock.monotonic()))
        finally:
            if waited and priority is Priority.PERSON:
                await self._stop_waiting()

    async def pause(self, seconds: float) -> None:
        await self._local.pause(seconds)
        try:
            await self._store.write(extend_pause, seconds, self._clock.time())
        except StoreError as error:
            _log.warning("only this process pauses its requests", problem=error.message)

    async def _stop_waiting(self) -> None:
        try:
            await self._store.write(leases.forget_waiting, self._token)
        except StoreError:
            _log.warning("a call that no longer waits could not be removed from the store; its row expires by itself")


def take_slot(
    connection: Connection,
    priority: Priority,
    token: str,
    now: float,
    *,
    at_least: float = 0.0,
    unshared: Sequence[Sent] = (),
) -> tuple[float, Pause]:
    """Record a request at `now`, or return the seconds to wait (`at_least` so many), and the pause if there is one.
    `token` identifies the waiting call; `unshared` are requests that this process sent while the store failed."""
    for kind, at in unshared:
        note_sent(connection, kind, at)
    pause = _pause(connection, now)
    wait = seconds_to_wait(
        priority,
        _recently_sent(connection, now),
        now=now,
        pause=pause,
        person_waiting=leases.person_is_waiting(connection, now),
    )
    wait = max(wait, at_least)
    if wait <= 0:
        note_sent(connection, priority, now)
    elif priority is Priority.PERSON:
        leases.note_waiting(connection, token, now + wait + RECHECK_SECONDS)
    return wait, pause


def note_sent(connection: Connection, priority: Priority, at: float) -> None:
    statement = "INSERT INTO requests (at, priority, account) VALUES (?, ?, ?)"
    connection.execute(statement, (at, priority.value, connection.account))


def extend_pause(connection: Connection, seconds: float, now: float) -> None:
    """Allow no request for so many seconds, or until the end of a longer pause that is already stored."""
    _put(connection, _pause(connection, now).extended(seconds, now))


def _pause(connection: Connection, now: float) -> Pause:
    """The stored pause. One that would last too long, by another version or a wrong clock, is shortened for good."""
    stored = Pause(facts.own_number(connection, PAUSED_UNTIL), facts.own_number(connection, PAUSE_ASKED))
    pause = stored.bounded(now)
    if pause != stored:
        _put(connection, pause)
    return pause


def _put(connection: Connection, pause: Pause) -> None:
    facts.put_own(connection, PAUSED_UNTIL, str(pause.until))
    facts.put_own(connection, PAUSE_ASKED, str(pause.asked))


def _recently_sent(connection: Connection, now: float) -> dict[Priority, list[float]]:
    """The times of the requests of the last window, by priority. Deletes older requests, and dates back to `now` those
    of a clock that was ahead: otherwise they would count until it is really so late. A priority that cannot be read
    counts as a person's."""
    connection.execute("DELETE FROM requests WHERE at <= ?", (now - WINDOW,))
    connection.execute("UPDATE requests SET at = ? WHERE at > ?", (now, now))
    sent: dict[Priority, list[float]] = {}
    query = "SELECT priority, at FROM requests WHERE account = ?"
    for priority, at in connection.rows(query, (connection.account,)):
        sent.setdefault(_PRIORITIES.get(priority, Priority.PERSON), []).append(float(at))
    return sent
