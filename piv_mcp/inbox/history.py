"""The SMS history: the inbox's second source beside webhooks. Only the history names the sender of a message.

All processes of the machine share the polling through the store: a number that several calls wait for is polled once
for all of them. The more numbers are waited for, the longer the interval between polls of each, so that all polls fit
into the request limit.
"""

import asyncio
import math
import secrets
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise

import structlog

from piv_mcp.api.client import PivClient
from piv_mcp.api.numbers import Sms
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
from piv_mcp.inbox.parse import event_of_sms
from piv_mcp.store import Connection, events, leases, polls

PAGES = (50, *[200] * 10)
"""Page sizes of one reading of the history, in messages. Reading ends with the first page that has a known message:
usually one small page, and after a long downtime several large ones. Nothing is stored before the last page has been
read: an interrupted reading must not leave a gap before a stored message, where the next reading would stop."""

POLL_SECONDS = 3.0
"""Interval between two polls of a number, while at most three numbers are waited for."""

POLLS_A_MINUTE = 60
"""Polls of all numbers by all processes together. The request limit allows waiting calls a little more."""

TURN_SECONDS = 5.0
"""Maximum sleep before a process asks again whether it is its turn: another process may have stopped waiting, or have
died during its poll."""

WATCH_SECONDS = 30.0
"""Lifetime of a stored watch, which each turn renews. Until it ends, the watch of a dead process slows the others."""

REFUSED_SECONDS = 10.0
"""Maximum pause after a poll that the request limit refused: the limit may have free slots before the time it named."""

FRESH_SECONDS = 2.0
"""`refresh` does not read the history again within this time."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Watch:
    """One number that is polled. `problem` is the error that ended the polling; `polled_at` is when this process last
    began a poll (monotonic seconds)."""

    watchers: int = 0
    polled_at: float = -math.inf
    task: asyncio.Task[None] | None = None
    problem: PivError | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class History:
    """Reads the SMS history and records the messages that the inbox does not have."""

    def __init__(self, client: PivClient | None, inbox: Inbox) -> None:
        self._client = client
        self._inbox = inbox
        self._store = inbox.store
        self._clock = inbox.clock
        self._looked_at: dict[str, float] = {}
        self._watches: dict[str, Watch] = {}

    async def look(self, piv_num_id: str, priority: Priority) -> int:
        """Record the number's inbound messages that the inbox does not have; returns how many were new.

        Raises:
            ApiError: the history could not be read.
            StoreError: the messages could not be stored.
        """
        if self._client is None:
            return 0
        watch = self._watches.setdefault(piv_num_id, Watch())
        async with watch.lock:
            started = self._clock.time()
            found: list[Sms] = []
            async with aclosing(_pages(self._client.at(priority), piv_num_id)) as pages:
                async for page in pages:
                    found += page
                    if await self._store.read(events.knows_message, piv_num_id, [sms.id for sms in page]):
                        break
            new = await self._record(piv_num_id, found)
            self._looked_at[piv_num_id] = started
            with suppress(StoreError):  # without the note, other processes only read the history once more
                await self._store.write(polls.note_look, piv_num_id, started)
        return new

    async def refresh(self, piv_num_id: str, *, seconds: float) -> PivError | None:
        """Read the history now, for at most `seconds`, unless this process has just done so.

        Returns the error if the history could not be read.

        Raises:
            NotFoundError: the account has no such number.
        """
        if self._client is None or self._clock.time() - self._looked_at.get(piv_num_id, 0) < FRESH_SECONDS:
            return None
        try:
            async with self._clock.timeout(seconds):
                await self.look(piv_num_id, Priority.PERSON)
        except TimeoutError:
            return PivError("the SMS history did not answer in time")
        except NotFoundError:
            raise
        except PivError as error:
            return error
        return None

    @asynccontextmanager
    async def watched(self, piv_num_id: str) -> AsyncGenerator[Watch]:
        """Poll the number until the block ends."""
        watch = self._watches.setdefault(piv_num_id, Watch())
        watch.watchers += 1
        if (watch.task is None or watch.task.done()) and self._client is not None:
            watch.problem = None
            watch.task = asyncio.create_task(self._poll(piv_num_id, watch))
        try:
            yield watch
        finally:
            watch.watchers -= 1
            if watch.watchers == 0 and watch.task is not None:
                watch.task.cancel()
                watch.task = None

    async def close(self) -> None:
        tasks = [watch.task for watch in self._watches.values() if watch.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _poll(self, piv_num_id: str, watch: Watch) -> None:
        watcher = secrets.token_hex(8)
        try:
            while True:
                if (wait := await self._take_turn(watcher, piv_num_id, watch)) > 0:
                    await self._clock.sleep(min(wait, TURN_SECONDS))
                    continue
                try:
                    await self.look(piv_num_id, Priority.WAIT)
                except (NotFoundError, AuthenticationError, PermissionDeniedError) as error:
                    watch.problem = error  # polling cannot succeed: only a webhook can deliver a code now
                    self._inbox.changes.notify()
                    return
                except RateLimitedError as error:
                    _log.warning("history not polled", piv_num_id=piv_num_id, problem=error.message)
                    with suppress(StoreError):
                        # Drop the claim, so that the refused poll delays no other process.
                        await self._store.write(polls.claim, watcher, None)
                    await self._clock.sleep(min(max(POLL_SECONDS, error.retry_after or 0.0), REFUSED_SECONDS))
                except PivError as error:
                    _log.warning("history not polled", piv_num_id=piv_num_id, problem=error.message)
        finally:
            with suppress(StoreError):
                await self._store.write(leases.forget_watch, watcher)

    async def _take_turn(self, watcher: str, piv_num_id: str, watch: Watch) -> float:
        """Claim the number's next poll and return 0, or return the seconds until the poll is due."""
        try:
            wait, looked_at = await self._store.write(take_turn, watcher, piv_num_id, self._clock.time())
            self._looked_at[piv_num_id] = max(looked_at, self._looked_at.get(piv_num_id, 0.0))
        except StoreError as error:
            _log.warning("the store failed; polls are spaced in this process only", problem=error.message)
            wait = watch.polled_at + self.interval() - self._clock.monotonic()
        if wait <= 0:
            watch.polled_at = self._clock.monotonic()
        return wait

    def interval(self) -> float:
        """Seconds between two polls of one number, by the numbers that this process waits for."""
        return _interval(sum(watch.watchers > 0 for watch in self._watches.values()))

    async def _record(self, piv_num_id: str, found: list[Sms]) -> int:
        oldest = self._inbox.kept_since()
        inbound = [
            sms
            for sms in found
            if sms.direction in (None, "inbound") and (sms.received_at is None or sms.received_at.timestamp() > oldest)
        ]
        if not inbound:
            return 0
        not_before = self._looked_at.get(piv_num_id, 0.0)
        # Store the oldest first. The list's order cannot be trusted (see `_pages`), so sort by time, then by id.
        inbound.sort(key=lambda sms: (sms.received_at.timestamp() if sms.received_at else 0.0, len(sms.id), sms.id))
        now = self._clock.time()
        stored = await self._inbox.record_all(
            [event_of_sms(piv_num_id, sms, not_before=not_before, now=now) for sms in inbound]
        )
        return sum(new for _, new in stored)


async def _pages(client: PivClient, piv_num_id: str) -> AsyncGenerator[list[Sms]]:
    """The number's messages, the newest page first. The reference says that the list begins with the newest message,
    but its example begins with the oldest, so the first page decides."""
    page = await client.numbers.sms(piv_num_id, limit=PAGES[0])
    end = page.pagination.total or 0
    if end > page.length and _is_oldest_first(page.items):
        for size in PAGES:
            start = max(0, end - size)
            yield (await client.numbers.sms(piv_num_id, limit=size, offset=start or None)).items
            if start == 0:
                break
            end = start
        return
    read = 0
    for size in PAGES:
        if read:
            page = await client.numbers.sms(piv_num_id, limit=size, offset=read)
        yield page.items
        read += page.length
        if page.length < size:
            break


def _is_oldest_first(messages: list[Sms]) -> bool:
    """By the majority of neighbours, since times from different clocks can be out of order."""
    times = [sms.received_at for sms in messages if sms.received_at is not None]
    return sum((a < b) - (a > b) for a, b in pairwise(times)) > 0


def _interval(watched: int) -> float:
    """Seconds between two polls of one number while `watched` numbers are waited for."""
    return max(POLL_SECONDS, watched * 60 / POLLS_A_MINUTE)


def take_turn(connection: Connection, watcher: str, piv_num_id: str, now: float) -> tuple[float, float]:
    """Claim the number's next poll for the watcher if the poll is due.

    Returns the seconds until the poll is due (0: claimed), and when the number's history was last read.
    """
    leases.note_watch(connection, watcher, piv_num_id, now=now, until=now + WATCH_SECONDS)
    looked_at = polls.looked_at(connection, piv_num_id, now)
    last = max(looked_at, polls.claimed_at(connection, piv_num_id, now))
    wait = max(0.0, last + _interval(leases.watched(connection)) - now)
    if wait == 0:
        polls.claim(connection, watcher, now)
    return wait, looked_at
