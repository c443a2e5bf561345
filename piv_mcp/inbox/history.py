"""The SMS history, the inbox's second source: it has messages that no webhook brought, and their senders.

Polling is shared by every process of the machine, by way of the store: however many calls wait for a number, it is
polled once; and the more numbers are waited for, the less often each, so that all fit into the request limit.
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
"""Sizes of the pages of one look, which ends at the first known message: as a rule one small page, and after a long
downtime all that has come since, within reason. Nothing is stored before the last page has been read, so that a look
that is broken off leaves no gap behind which the next one would stop."""

POLL_SECONDS = 3.0
"""Between two polls of a number that somebody waits for, while fewer than four numbers are waited for."""

POLLS_A_MINUTE = 60
"""Of all waited-for numbers of all processes together. The limit's own share for waiting is a little larger."""

TURN_SECONDS = 5.0
"""The longest sleep before a process asks again whether it is its turn: another one may have stopped waiting, or died
over its poll."""

WATCH_SECONDS = 30.0
"""How long a process counts as waiting for a number without saying so again. One that died slows the others for so
long."""

REFUSED_SECONDS = 10.0
"""The longest pause after a poll that the request limit refused: the limit decides again, and slots may have come."""

FRESH_SECONDS = 2.0
"""A look this young needs no other."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Watch:
    """One number that is polled. `problem` is why polling cannot work, once that is known; `polled_at` is when this
    process last began a poll (monotonic seconds)."""

    watchers: int = 0
    polled_at: float = -math.inf
    task: asyncio.Task[None] | None = None
    problem: PivError | None = None
    looking: asyncio.Lock = field(default_factory=asyncio.Lock)


class History:
    """Looks into the SMS history and records what the inbox lacks."""

    def __init__(self, client: PivClient | None, inbox: Inbox) -> None:
        self._client = client
        self._inbox = inbox
        self._store = inbox.store
        self._clock = inbox.clock
        self._looked: dict[str, float] = {}
        self._watches: dict[str, Watch] = {}

    async def look(self, piv_num_id: str, priority: Priority) -> int:
        """Record the number's inbound messages that the inbox lacks; returns how many were new.

        Raises:
            ApiError: the history could not be read.
            StoreError: what was found could not be stored.
        """
        if self._client is None:
            return 0
        watch = self._watches.setdefault(piv_num_id, Watch())
        async with watch.looking:
            started = self._clock.time()
            found: list[Sms] = []
            async with aclosing(_pages(self._client.at(priority), piv_num_id)) as pages:
                async for page in pages:
                    found += page
                    if await self._store.read(events.knows_message, piv_num_id, [sms.id for sms in page]):
                        break
            new = await self._record(piv_num_id, found)
            self._looked[piv_num_id] = started
            with suppress(StoreError):  # without it the other processes look once too often
                await self._store.write(polls.note_look, piv_num_id, started)
        return new

    async def refresh(self, piv_num_id: str, *, seconds: float) -> PivError | None:
        """Look now, for at most `seconds`, unless somebody just did; says what kept it from looking."""
        if self._client is None or self._clock.time() - self._looked.get(piv_num_id, 0) < FRESH_SECONDS:
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
        """Polls the number for as long as the block lasts."""
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
                    watch.problem = error  # it will not get better: only the webhook can bring a code now
                    self._inbox.changes.notify()
                    return
                except RateLimitedError as error:
                    _log.warning("history not polled", number=piv_num_id, problem=error.message)
                    with suppress(StoreError):
                        await self._store.write(polls.claim, watcher, None)  # another process may take its turn
                    await self._clock.sleep(min(max(POLL_SECONDS, error.retry_after or 0.0), REFUSED_SECONDS))
                except PivError as error:
                    _log.warning("history not polled", number=piv_num_id, problem=error.message)
        finally:
            with suppress(StoreError):
                await self._store.write(leases.forget_watch, watcher)

    async def _take_turn(self, watcher: str, piv_num_id: str, watch: Watch) -> float:
        """Claim the number's next poll and answer 0, or answer the seconds until it is due."""
        try:
            wait, looked_at = await self._store.write(take_turn, watcher, piv_num_id, self._clock.time())
            self._looked[piv_num_id] = max(looked_at, self._looked.get(piv_num_id, 0.0))
        except StoreError as error:
            _log.warning("polling is paced in this process only", problem=error.message)
            wait = watch.polled_at + self.interval() - self._clock.monotonic()
        if wait <= 0:
            watch.polled_at = self._clock.monotonic()
        return wait

    def interval(self) -> float:
        """Seconds between two polls of one number, as far as this process knows."""
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
        not_before = self._looked.get(piv_num_id, 0.0)
        # The order of the list is not documented: the oldest is stored first, by time and then by id.
        inbound.sort(key=lambda sms: (sms.received_at.timestamp() if sms.received_at else 0.0, len(sms.id), sms.id))
        now = self._clock.time()
        stored = await self._inbox.record_all(
            [event_of_sms(piv_num_id, sms, not_before=not_before, now=now) for sms in inbound]
        )
        return sum(new for _, new in stored)


async def _pages(client: PivClient, piv_num_id: str) -> AsyncGenerator[list[Sms]]:
    """The number's messages from the newest back. The reference says that the newest are first in the list, and its
    example has them last: what comes tells."""
    page = await client.numbers.sms(piv_num_id, limit=PAGES[0])
    end = page.pagination.total or 0
    if end > len(page.items) and _is_oldest_first(page.items):
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
        read += len(page.items)
        if len(page.items) < size:
            break


def _is_oldest_first(messages: list[Sms]) -> bool:
    """By most of them: clocks disagree."""
    times = [sms.received_at for sms in messages if sms.received_at is not None]
    return sum((a < b) - (a > b) for a, b in pairwise(times)) > 0


def _interval(watched: int) -> float:
    """Seconds between two polls of one number while so many are waited for."""
    return max(POLL_SECONDS, watched * 60 / POLLS_A_MINUTE)


def take_turn(connection: Connection, watcher: str, number: str, now: float) -> tuple[float, float]:
    """(seconds until the number's next poll is due, when it was last looked at). At 0 the poll is the watcher's."""
    leases.note_watch(connection, watcher, number, now=now, until=now + WATCH_SECONDS)
    looked_at = polls.looked_at(connection, number, now)
    last = max(looked_at, polls.claimed_at(connection, number, now))
    wait = max(0.0, last + _interval(leases.watched(connection)) - now)
    if wait == 0:
        polls.claim(connection, watcher, now)
    return wait, looked_at
