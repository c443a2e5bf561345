"""The request limit of all processes that share the store. `api/rate_limit.py` decides; this module counts for all."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field

import structlog

from piv_mcp.api.rate_limit import LocalLimiter, Pause, Priority, no_slot, seconds_to_wait
from piv_mcp.errors import RateLimitedError, StoreError
from piv_mcp.store import minute
from piv_mcp.store.connection import Connection
from piv_mcp.store.interface import Store
from piv_mcp.store.minute import ID_BITS, Sent
from piv_mcp.text.times import SYSTEM_CLOCK, Clock

RECHECK_SECONDS = 1.0
"""The longest sleep of a waiting call before it checks again. Another process may have paused all requests, or a call
with priority may have stopped waiting."""

IN_LINE = 2
"""Requests of one caller that are in line for a slot at a time, in a process. The others of this caller wait behind
them: whoever sends most has no better chance of the next slot than one who sends little."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Line:
    """The requests of one caller: how many there are, and the places of those that look for a slot."""

    count: int = 0
    places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(IN_LINE))


class SharedLimiter:
    """A `RateLimiter` in the file of requests beside the store. If that fails, each process applies the limit to its
    own requests only, and tells them later.

    A process counts its own requests in memory, too: a file that is lost makes no room for them twice.
    """

    def __init__(
        self, store: Store, clock: Clock = SYSTEM_CLOCK, caller: Callable[[], str | None] = lambda: None
    ) -> None:
        """`caller` tells for whom a request is sent; None where there is nobody else."""
        self._caller = caller
        self._lines: dict[str, _Line] = {}
        self._file = store.requests
        self._clock = clock
        self._local = LocalLimiter(clock=clock.monotonic, sleep=clock.sleep)
        self._token = secrets.token_hex(8)

    async def acquire(self, priority: Priority, *, timeout: float) -> None:  # noqa: ASYNC109 - it gives up early
        give_up = self._clock.monotonic() + timeout
        caller = self._caller() if priority is Priority.PERSON else None
        async with nullcontext() if caller is None else self._in_line(caller, timeout):
            await self._acquire(priority, give_up)

    @asynccontextmanager
    async def _in_line(self, caller: str, seconds: float) -> AsyncGenerator[None]:
        line = self._lines.setdefault(caller, _Line())
        line.count += 1
        try:
            if line.places.locked():
                try:
                    async with self._clock.timeout(seconds):
                        await line.places.acquire()
                except TimeoutError:
                    raise RateLimitedError(
                        "This minute's requests are used up, and other calls of this agent are in line for the next",
                        code="RATE_LIMITED",
                        retry_after=RECHECK_SECONDS,
                    ) from None
            else:
                await line.places.acquire()  # at once
            try:
                yield
            finally:
                line.places.release()
        finally:
            line.count -= 1
            if not line.count:
                del self._lines[caller]

    async def _acquire(self, priority: Priority, give_up: float) -> None:
        waited = False
        try:
            while True:
                own = self._local.wait_for_own(priority)
                sent = self._sent(priority)
                wait, pause, now = await self._file.run(take_slot, sent, self._token, at_least=own)
                if wait <= 0:
                    self._local.note(priority)
                    self._file.sent(sent, told=True)
                    return
                waited = True
                if self._clock.monotonic() + wait > give_up:
                    raise no_slot(wait, pause=pause, now=now)
                await self._clock.sleep(min(wait, RECHECK_SECONDS))
        except StoreError as error:
            if not self._file.may_be_missing:
                raise StoreError(
                    f"no request was sent to piv.day, since those of all servers cannot be counted: {error.message}",
                    hint="Try again when the store can be reached",
                ) from error
            _log.warning("the request limit counts this process's requests only", problem=error.message)
            await self._local.acquire(priority, timeout=max(0.0, give_up - self._clock.monotonic()))
            self._file.sent(self._sent(priority), told=False)
        finally:
            if waited and priority is Priority.PERSON:
                await self._stop_waiting()

    async def pause(self, seconds: float) -> None:
        await self._local.pause(seconds)
        try:
            await self._file.run(extend_pause, seconds, self._clock.monotonic())
        except StoreError as error:
            _log.warning("only this process pauses its requests", problem=error.message)

    def _sent(self, priority: Priority) -> Sent:
        return Sent(secrets.randbits(ID_BITS), self._clock.monotonic(), priority)

    async def _stop_waiting(self) -> None:
        try:
            await self._file.run(minute.forget_waiting, self._token)
        except StoreError:
            _log.warning("a call that no longer waits could not be removed; its row expires by itself")


def take_slot(
    connection: Connection, request: Sent, token: str, *, at_least: float = 0.0
) -> tuple[float, Pause, float]:
    """Record a request that is sent now, or return the seconds to wait (`at_least` so many), the pause if there is one,
    and the moment by whose clock it is counted. `token` identifies the waiting call."""
    request = request._replace(at=connection.now(request.at))
    now, priority = request.at, request.priority
    pause = minute.pause(connection, now)
    wait = seconds_to_wait(
        priority,
        minute.recently_sent(connection, now),
        now=now,
        pause=pause,
        person_waiting=minute.person_is_waiting(connection, now),
    )
    wait = max(wait, at_least)
    if wait <= 0:
        minute.note_sent(connection, request)
    elif priority is Priority.PERSON:
        minute.note_waiting(connection, token, now + wait + RECHECK_SECONDS)
    return wait, pause, now


def extend_pause(connection: Connection, seconds: float, now: float) -> None:
    """Allow no request for so many seconds, or until the end of a longer pause that is already stored."""
    now = connection.now(now)
    minute.put_pause(connection, minute.pause(connection, now).extended(seconds, now))
