"""The back-fill: copies messages that no webhook delivered from the SMS history into the inbox.

One process of the machine runs it for all. Each round reads the history of every active number once, beginning with
the numbers that received something most recently. There is one at the start of a process, and one whenever somebody
reads or subscribes to the inbox after a while; nobody's idle server makes requests. The back-fill makes at most 20
requests a minute (`api/rate_limit.py`), and none while a call of a person waits for the request limit.
"""

import asyncio
import secrets
from contextlib import suppress

import structlog

from piv_mcp.api.client import PivClient
from piv_mcp.api.models import SMALL_PAGE
from piv_mcp.api.numbers import Number
from piv_mcp.api.paging import all_rows
from piv_mcp.api.phonebook import Phonebook
from piv_mcp.api.rate_limit import BACKFILL_OWN, Priority
from piv_mcp.errors import PivError, RateLimitedError, StoreError
from piv_mcp.inbox.history import History
from piv_mcp.inbox.inbox import Inbox
from piv_mcp.inbox.settling import Settling
from piv_mcp.store import accounts, events, facts, leases

ROUND_SECONDS = 300.0
"""Who reads the inbox, or is subscribed to it, begins a round if the last one is so long ago."""

NOW_SECONDS = 60.0
"""The same where no webhook has ever come: histories that were read within this time are taken to be read now."""

FAILED_ROUND_SECONDS = 30.0
"""Pause after a round that failed."""

LEASE_SECONDS = 6.0
"""Lifetime of the lease. After the holder has died, another process takes over when it ends."""

OTHERS_SECONDS = 1.0
"""How often it is looked whether the process that runs a round has ended it, or died."""

LEASE = "backfill:lease"
"""Name of the lease."""

LAST_ROUND_END = "backfill:done"
"""Name of the stored fact that says when the last round ended, in seconds since the epoch."""

_log = structlog.get_logger(__name__)


class Backfill:
    """Runs in the background, in one process of the machine at a time."""

    def __init__(self, client: PivClient | None, inbox: Inbox, history: History, phonebook: Phonebook) -> None:
        self._client = client
        self._store = inbox.store
        self._clock = inbox.clock
        self._history = history
        self._phonebook = phonebook
        self._owner = f"{self._store.process}:{secrets.token_hex(4)}"
        self._hurry = asyncio.Event()
        self._round_wanted_at = self._clock.time()
        self._recent = Settling(self._clock)
        """The reading of the histories of the numbers that heard something lately."""
        self._is_reading = False

    def cover(self, since: float) -> None:
        """Let a round that has ended since then do for the one at the start."""
        self._round_wanted_at = min(since, self._round_wanted_at)
        self._hurry.set()

    def hurry(self) -> None:
        """Start the next round now."""
        self._round_wanted_at = self._clock.time()
        self._hurry.set()

    async def refresh(self) -> None:
        """Have the histories read if that was too long ago, and wait for it as `settled` does."""
        received = await self._store.read(facts.own_number, facts.WEBHOOK_RECEIVED)
        await self.keep_within(ROUND_SECONDS if received else NOW_SECONDS)
        await self.settled()

    async def keep_within(self, seconds: float) -> None:
        """Begin a round if the last one ended longer ago than this, unless one has begun just now."""
        if self._client is None or self._is_reading or self._recent.seconds < FAILED_ROUND_SECONDS:
            return
        ended = await self._store.read(facts.own_number, LAST_ROUND_END)
        if not 0 <= self._clock.time() - ended <= seconds:
            self._recent.begin()
            self.hurry()

    async def settled(self) -> None:
        """Wait until the histories of recently active numbers were read, in a bounded time."""
        if self._client is not None:
            await self._recent.wait()

    async def run(self) -> None:
        """Run rounds until cancelled."""
        if self._client is None:
            return
        while True:
            self._hurry.clear()
            pause: float | None = None
            try:
                if await self._is_done():
                    self._recent.end()
                elif await self._take_lease():
                    self._is_reading = True
                    async with asyncio.TaskGroup() as group:
                        keeping = group.create_task(self._keep_lease())
                        await self._round(self._client)
                        keeping.cancel()
                    await self.release()
                else:
                    self._recent.end()  # another process runs the round
                    pause = OTHERS_SECONDS
            except* PivError as group:
                problem = group.exceptions[0]
                _log.warning("back-fill interrupted", problem=str(problem))
                self._recent.end()
                pause = max(FAILED_ROUND_SECONDS, getattr(problem, "retry_after", None) or 0.0)
            finally:
                self._is_reading = False
            with suppress(TimeoutError):
                async with self._clock.timeout(pause):
                    await self._hurry.wait()

    async def release(self) -> None:
        """Give up the lease, so that another process can take over at once."""
        with suppress(StoreError):
            await self._store.write(leases.release, LEASE, self._owner)

    async def _round(self, client: PivClient) -> None:
        started = self._clock.monotonic()
        await self._learn_whose(client)
        numbers = await self._active_numbers(client)
        recent = await self._store.read(events.last_heard)
        numbers.sort(key=lambda number: recent.get(number.piv_num_id, 0), reverse=True)
        filled = 0
        for index, number in enumerate(numbers):
            if index >= BACKFILL_OWN - 2:
                self._recent.end()
            filled += await self._read_history(number.piv_num_id)
        await self._store.write(facts.put_own, LAST_ROUND_END, str(self._clock.time()))
        self._is_reading = False  # from now on who reads may begin another, also while the lease is given back
        self._recent.end()
        _log.info(
            "back-fill done",
            numbers=len(numbers),
            filled=filled,
            seconds=round(self._clock.monotonic() - started, 1),
        )

    async def _learn_whose(self, client: PivClient) -> None:
        """Ask once whose the key is, so that another key of the same account finds the same inbox."""
        if await self._store.read(accounts.user_id) is None:
            account = await client.at(Priority.BACKFILL).account.get()
            if account.user_id:
                await self._store.write(accounts.identify, account.user_id)

    async def _read_history(self, piv_num_id: str) -> int:
        while True:
            try:
                return await self._history.look(piv_num_id, Priority.BACKFILL)
            except RateLimitedError as error:
                await self._clock.sleep(max(1.0, error.retry_after or 0.0))
            except PivError as error:  # go on with the other numbers; the next round tries this one again
                _log.warning("history not read", piv_num_id=piv_num_id, problem=error.message)
                return 0

    async def _active_numbers(self, client: PivClient) -> list[Number]:
        numbers, _ = await all_rows(client.at(Priority.BACKFILL).numbers.list, SMALL_PAGE, most=20_000, status="active")
        self._phonebook.remember(numbers)
        return [number for number in numbers if number.can_receive_sms is not False]

    async def _is_done(self) -> bool:
        """Whether a process has finished a round since this process last asked for one."""
        done = await self._store.read(facts.own_number, LAST_ROUND_END)
        return self._round_wanted_at <= done <= self._clock.time()

    async def _take_lease(self) -> bool:
        return await self._store.write(leases.take, LEASE, self._owner, now=self._clock.time(), seconds=LEASE_SECONDS)

    async def _keep_lease(self) -> None:
        while True:
            await self._clock.sleep(LEASE_SECONDS / 3)
            with suppress(StoreError):
                await self._take_lease()
