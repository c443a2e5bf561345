"""What calls wait for is looked at again and again: the SMS history of a number, or a list of the account.

All processes of the machine share the polling through the store: what several calls wait for is polled once for all of
them. The more is waited for, the longer the interval between polls of each, so that all polls fit into the request
limit.
"""

import asyncio
import math
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from contextvars import Context
from dataclasses import dataclass, field
from typing import TypeVar

import structlog

from piv_mcp.api.rate_limit import Priority
from piv_mcp.errors import (
    AuthenticationError,
    NotFoundError,
    PermissionDeniedError,
    PivError,
    RateLimitedError,
    StoreError,
)
from piv_mcp.inbox.inbox import Inbox
from piv_mcp.store import Connection, leases, polls

POLL_SECONDS = 3.0
"""Interval between two polls of a thing, while at most three are waited for."""

POLLS_A_MINUTE = 60
"""Polls of all things by all processes together. The request limit allows waiting calls a little more."""

TURN_SECONDS = 5.0
"""Maximum sleep before a process asks again whether it is its turn: another process may have stopped waiting, or have
died during its poll."""

WATCH_SECONDS = 30.0
"""Lifetime of a stored watch, which each turn renews. Until it ends, the watch of a dead process slows the others."""

REFUSED_SECONDS = 10.0
"""Maximum pause after a poll that the request limit refused: the limit may have free slots before the time it named."""

MAX_REFUSAL_PAUSE = 12.0
"""Maximum pause after the key was refused, which doubles with each refusal: the person may have set it right."""

HANGING_SECONDS = 5.0
"""A look that takes longer is trouble: nobody knows what it would show."""

T = TypeVar("T")

Look = Callable[[Priority], Awaitable[object]]
"""One poll of a thing. Raises `PivError` if it could not be looked at."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a thing, or a part of it, cannot be looked at, and since when (seconds since the epoch, on this machine)."""

    problem: str
    since: float


@dataclass(slots=True)
class Watch:
    """One thing that is polled. `missing` is the error that ended the polling: the account has no such number.
    `polled_at` is when this process last began a poll, `looked_at` when it last began one that succeeded (monotonic
    seconds), `asked_at` when it began one that has not ended. `trouble` says why the last poll failed, or what it could
    not read, and `failed_at` when that poll began (seconds since the epoch, on this machine). `is_resting` between two
    polls. `backfill` is the look of back-fill that is under way. `least` is the shortest interval between two polls."""

    watchers: int = 0
    polled_at: float = -math.inf
    looked_at: float = -math.inf
    asked_at: float | None = None
    task: asyncio.Task[None] | None = None
    missing: NotFoundError | None = None
    trouble: Trouble | None = None
    failed_at: float = 0.0
    is_resting: bool = False
    least: float = POLL_SECONDS
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    backfill: asyncio.Task[int] | None = None


class Watches:
    """What this process watches, each by its name."""

    def __init__(self, inbox: Inbox) -> None:
        self._changes = inbox.changes
        self._store = inbox.store
        self._clock = inbox.clock
        self._watches: dict[str, Watch] = {}

    def get(self, name: str) -> Watch | None:
        return self._watches.get(name)

    def of(self, name: str) -> Watch:
        return self._watches.setdefault(name, Watch())

    @asynccontextmanager
    async def watched(self, name: str, look: Look | None) -> AsyncGenerator[Watch]:
        """Poll until the block ends. Without a `look` there is nothing to poll."""
        watch = self.of(name)
        watch.watchers += 1
        if (watch.task is None or watch.task.done()) and look is not None:
            watch.missing = None
            # In a context of its own: several calls may wait for it, and the log is not to name the first.
            watch.task = asyncio.create_task(self._poll(name, watch, look), context=Context())
        try:
            yield watch
        finally:
            watch.watchers -= 1
            if watch.watchers == 0 and watch.task is not None:
                silence = self.silence(watch)
                if watch.trouble is None and silence is not None:
                    watch.trouble, watch.failed_at = silence, silence.since
                if watch.is_resting or silence is not None:
                    watch.task.cancel()
                    watch.task = None
                # else the look that it begins is still made: calls that wait for nothing would never look

    async def alone(self, name: str, look: Callable[[], Awaitable[tuple[T, Trouble | None]]]) -> T:
        """Make one look, when no other look of this process at the same thing is under way, and note how it ended. It
        returns its outcome, and what of the thing could not be read.

        Raises:
            PivError: the look failed.
        """
        watch = self.of(name)
        async with watch.lock:
            began, started = self._clock.time(), self._clock.monotonic()
            watch.asked_at = started
            try:
                outcome, unread = await look()
            except Exception as error:
                problem = (
                    error.message if isinstance(error, PivError) else f"an error in piv-mcp, {type(error).__name__}"
                )
                since = watch.trouble.since if watch.trouble is not None else self._clock.time()
                watch.trouble, watch.failed_at = Trouble(problem, since), began
                with suppress(StoreError):
                    await self._store.write(polls.note_failure, name, problem, self._clock.time())
                raise
            finally:
                watch.asked_at = None
            watch.looked_at, watch.trouble, watch.failed_at = started, unread, began
        return outcome

    def silence(self, watch: Watch) -> Trouble | None:
        """The trouble of a look that has no answer yet."""
        if watch.asked_at is None:
            return None
        silent = self._clock.monotonic() - watch.asked_at
        return Trouble("no answer yet", self._clock.time() - silent) if silent > HANGING_SECONDS else None

    def interval(self) -> float:
        """Seconds between two polls of one thing, by what this process waits for."""
        return _interval(sum(watch.watchers > 0 for watch in self._watches.values()))

    async def close(self) -> None:
        tasks = [watch.task for watch in self._watches.values() if watch.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _poll(self, name: str, watch: Watch, look: Look) -> None:
        """Poll until nobody waits for it, but once at least if it is due."""
        watcher = secrets.token_hex(8)
        refusals = 0
        try:
            while True:
                pause = min(await self._take_turn(watcher, name, watch), TURN_SECONDS)
                if pause <= 0:
                    try:
                        await look(Priority.WAIT)
                    except NotFoundError as error:
                        watch.missing = error
                        self._changes.notify()
                        return
                    except (AuthenticationError, PermissionDeniedError):
                        pause = min(POLL_SECONDS * 2**refusals, MAX_REFUSAL_PAUSE)
                        refusals += 1
                    except RateLimitedError as error:
                        _log.warning("not polled", name=name, problem=error.message)
                        with suppress(StoreError):
                            # Drop the claim, so that the refused poll delays no other process.
                            await self._store.write(polls.claim, watcher, None)
                        pause = min(max(POLL_SECONDS, error.retry_after or 0.0), REFUSED_SECONDS)
                    except PivError as error:
                        _log.warning("not polled", name=name, problem=error.message)
                    except Exception:  # an answer that nobody foresaw ends no polling
                        _log.exception("not polled", name=name)
                    else:
                        refusals = 0
                if watch.watchers == 0:
                    return
                if pause > 0:
                    watch.is_resting = True
                    await self._clock.sleep(pause)
                    watch.is_resting = False
        finally:
            watch.is_resting = False
            if watch.task is asyncio.current_task():
                watch.task = None  # the next to wait begins anew
            with suppress(StoreError):
                await self._store.write(leases.forget_watch, watcher)

    async def _take_turn(self, watcher: str, name: str, watch: Watch) -> float:
        """Claim the next poll and return 0, or return the seconds until it is due."""
        try:
            wait = await self._store.write(take_turn, watcher, name, self._clock.time(), least=watch.least)
        except StoreError as error:
            _log.warning("the store failed; polls are spaced in this process only", problem=error.message)
            wait = watch.polled_at + max(watch.least, self.interval()) - self._clock.monotonic()
        if wait <= 0:
            watch.polled_at = self._clock.monotonic()
        return wait


def _interval(watched: int) -> float:
    """Seconds between two polls of one thing while so many are waited for."""
    return max(POLL_SECONDS, watched * 60 / POLLS_A_MINUTE)


def take_turn(connection: Connection, watcher: str, name: str, now: float, *, least: float = POLL_SECONDS) -> float:
    """Claim the next poll for the watcher if it is due. Returns the seconds until it is due, 0: claimed."""
    leases.note_watch(connection, watcher, name, now=now, until=now + WATCH_SECONDS)
    last = max(polls.looked_at(connection, name, now), polls.claimed_at(connection, name, now))
    wait = max(0.0, last + max(least, _interval(leases.watched(connection))) - now)
    if wait == 0:
        polls.claim(connection, watcher, now)
    return wait
