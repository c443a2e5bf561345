"""The back-fill: copies messages that no webhook delivered from the SMS history into the inbox.

One process of the machine runs it for all. Each round reads the history of every active number once, beginning with
the numbers that received something most recently. The back-fill makes at most 20 requests a minute
(`api/rate_limit.py`), and none while a call of a person waits for the request limit.
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
from piv_mcp.store import accounts, events, facts, leases

ROUND_SECONDS = 300.0
"""Pause between the end of one round and the start of the next."""

LEASE_SECONDS = 6.0
"""Lifetime of the lease. After the holder has died, another process takes over when it ends."""

SETTLE_SECONDS = 5.0
"""Maximum time that `settled` waits."""

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
        self._owner = f"{leases.this_process()}:{secrets.token_hex(4)}"
        self._hurry = asyncio.Event()
        self._round_wanted_at = self._clock.time()
        self._recent_numbers_read = asyncio.Event()

    def hurry(self) -> None:
        """Start the next round now."""
        self._round_wanted_at = self._clock.time()
        self._hurry.set()

    async def settled(self) -> None:
        """Wait until the histories of recently active numbers were read once since the start, for at most
        `SETTLE_SECONDS`."""
        if self._client is None:
            return
        with suppress(TimeoutError):
            async with self._clock.timeout(SETTLE_SECONDS):
                await self._recent_numbers_read.wait()

    async def run(self) -> None:
        """Run rounds until cancelled."""
        if self._client is None:
            return
        while True:
            self._hurry.clear()
            try:
                if (pause := await self._seconds_to_next_round()) > 0:
                    self._recent_numbers_read.set()
                elif await self._take_lease():
                    async with asyncio.TaskGroup() as group:
                        keeping = group.create_task(self._keep_lease())
                        await self._round(self._client)
                        keeping.cancel()
                    await self.release()
                    pause = ROUND_SECONDS
                else:
                    self._recent_numbers_read.set()  # another process runs the round
                    pause = LEASE_SECONDS
            except* PivError as group:
                problem = group.exceptions[0]
                _log.warning("back-fill interrupted", problem=str(problem))
                self._recent_numbers_read.set()
                pause = max(30.0, getattr(problem, "retry_after", None) or 0.0)
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
                self._recent_numbers_read.set()
            filled += await self._read_history(number.piv_num_id)
        self._recent_numbers_read.set()
        await self._store.write(facts.put_own, LAST_ROUND_END, str(self._clock.time()))
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

    async def _seconds_to_next_round(self) -> float:
        """0 if no process has finished a round since this process last asked for one."""
        done = await self._store.read(facts.own_number, LAST_ROUND_END)
        now = self._clock.time()
        return done + ROUND_SECONDS - now if self._round_wanted_at <= done <= now else 0.0

    async def _take_lease(self) -> bool:
        return await self._store.write(leases.take, LEASE, self._owner, now=self._clock.time(), seconds=LEASE_SECONDS)

    async def _keep_lease(self) -> None:
        while True:
            await self._clock.sleep(LEASE_SECONDS / 3)
            with suppress(StoreError):
                await self._take_lease()
