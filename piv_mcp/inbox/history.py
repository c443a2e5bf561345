"""The SMS history, the inbox's second source: it has messages that no webhook brought, and their senders.

Polling is shared: however many calls wait for a number, it is polled once; and the more numbers are waited for, the
less often each, so that all fit into the request limit.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog

from piv_mcp.api.client import PivClient
from piv_mcp.api.limit import Priority
from piv_mcp.api.numbers import Sms
from piv_mcp.errors import AuthenticationError, NotFoundError, PermissionDeniedError, PivError
from piv_mcp.inbox.inbox import Inbox
from piv_mcp.inbox.receiver import event_of_sms

PAGES = (50, *[200] * 10)
"""Sizes of the pages of one look, which ends at the first known message: as a rule one small page, and after a long
downtime all that has come since, within reason. Nothing is stored before the last page has been read, so that a look
that is broken off leaves no gap behind which the next one would stop."""

POLL_SECONDS = 3.0
"""Between two polls of a number that somebody waits for, while fewer than four numbers are waited for."""

POLLS_A_MINUTE = 60
"""Of all waited-for numbers together. The limit's own share for waiting is a little larger."""

FRESH_SECONDS = 2.0
"""A look this young needs no other."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Watch:
    """One number that is polled. `problem` is why polling cannot work, once that is known."""

    watchers: int = 0
    task: asyncio.Task[None] | None = None
    problem: PivError | None = None
    looking: asyncio.Lock = field(default_factory=asyncio.Lock)


class History:
    """Looks into the SMS history and records what the inbox lacks."""

    def __init__(self, client: PivClient | None, inbox: Inbox) -> None:
        self._client = client
        self._inbox = inbox
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
            started = time.time()
            found: list[Sms] = []
            for size in PAGES:
                page = await self._client.at(priority).numbers.sms(piv_num_id, limit=size, offset=len(found) or None)
                found += page.items
                if len(page.items) < size or await self._inbox.knows(piv_num_id, [sms.id for sms in page.items]):
                    break
            new = await self._record(piv_num_id, found)
            self._looked[piv_num_id] = started
        return new

    async def refresh(self, piv_num_id: str, *, seconds: float) -> PivError | None:
        """Look now, for at most `seconds`, unless somebody just did; says what kept it from looking."""
        if self._client is None or time.time() - self._looked.get(piv_num_id, 0) < FRESH_SECONDS:
            return None
        try:
            async with asyncio.timeout(seconds):
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
        while True:
            pause = self.interval()
            try:
                await self.look(piv_num_id, Priority.WAIT)
            except (NotFoundError, AuthenticationError, PermissionDeniedError) as error:
                watch.problem = error  # it will not get better: only the webhook can bring a code now
                self._inbox.changes.notify()
                return
            except PivError as error:
                _log.warning("history not polled", number=piv_num_id, problem=error.message)
                pause = max(pause, getattr(error, "retry_after", None) or 0.0)
            await asyncio.sleep(pause)

    def interval(self) -> float:
        """Seconds between two polls of one number."""
        watched = sum(watch.watchers > 0 for watch in self._watches.values())
        return max(POLL_SECONDS, watched * 60 / POLLS_A_MINUTE)

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
        stored = await self._inbox.record_all([event_of_sms(piv_num_id, sms, not_before=not_before) for sms in inbound])
        return sum(new for _, new in stored)
