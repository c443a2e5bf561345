"""The SMS history: the inbox's second source beside webhooks. Only the history names the sender of a message.

All processes of the machine share the polling through the store: a number that several calls wait for is polled once
for all of them. The more numbers are waited for, the longer the interval between polls of each, so that all polls fit
into the request limit.
"""

import asyncio
import secrets
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager, suppress
from functools import partial

import structlog

from piv_mcp.api.client import PivClient
from piv_mcp.api.numbers import Sms, with_own_as_outbound
from piv_mcp.api.rate_limit import Priority
from piv_mcp.errors import (
    AuthenticationError,
    NotFoundError,
    PermissionDeniedError,
    PivError,
    RateLimitedError,
    StoreError,
)
from piv_mcp.inbox import growth, history_pages
from piv_mcp.inbox.inbox import Inbox
from piv_mcp.inbox.parse import event_of_sms
from piv_mcp.inbox.watch import Trouble, Watch
from piv_mcp.store import Connection, events, leases, polls, recording
from piv_mcp.store.event import CREDIBLE_SINCE, StoredEvent

AT_ONCE = 500
"""Messages that are stored in one commit: webhooks need not wait for more."""

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

MAX_REFUSAL_PAUSE = 12.0
"""Maximum pause after the key was refused, which doubles with each refusal: the person may have set it right."""

HANGING_SECONDS = 5.0
"""A look that takes longer is trouble: nobody knows what the history has."""

ATTEMPTS_OF_BACKFILL = 2
"""So often back-fill begins to look at a number. It may have to give way as often; its next round looks again."""

FRESH_SECONDS = 2.0
"""`refresh` does not read the history again within this time."""

_log = structlog.get_logger(__name__)


class History:
    """Reads the SMS history and records the messages that the inbox does not have."""

    def __init__(self, client: PivClient | None, inbox: Inbox) -> None:
        self._client = client
        self._inbox = inbox
        self._store = inbox.store
        self._clock = inbox.clock
        self._watches: dict[str, Watch] = {}

    async def look(self, piv_num_id: str, priority: Priority) -> int:
        """Record the number's inbound messages that the inbox does not have; returns how many were new.

        One look at a number at a time, but none waits for back-fill, which may wait long for its share of the request
        limit: it gives way.

        Raises:
            ApiError: the history could not be read.
            StoreError: the messages could not be stored.
        """
        if self._client is None:
            return 0
        client, watch = self._client.at(priority), self._watches.setdefault(piv_num_id, Watch())
        if priority is not Priority.BACKFILL:
            if watch.backfill is not None:
                watch.backfill.cancel()
            return await self._look_alone(client, piv_num_id, watch)
        began = self._clock.monotonic()
        for _ in range(ATTEMPTS_OF_BACKFILL):
            watch.backfill = asyncio.create_task(self._look_alone(client, piv_num_id, watch))
            try:
                return await watch.backfill
            except asyncio.CancelledError:
                if (task := asyncio.current_task()) is not None and task.cancelling():
                    raise
            finally:
                watch.backfill = None
            async with watch.lock:  # until the look that it gave way to has ended
                if watch.looked_at >= began:
                    break
        return 0

    async def _look_alone(self, client: PivClient, piv_num_id: str, watch: Watch) -> int:
        async with watch.lock:
            began, started = self._clock.time(), self._clock.monotonic()
            watch.asked_at = started
            try:
                new, unread = await self._look(client, piv_num_id)
            except PivError as error:
                since = watch.trouble.since if watch.trouble is not None else self._clock.time()
                watch.trouble, watch.failed_at = Trouble(error.message, since), began
                with suppress(StoreError):
                    await self._store.write(polls.note_failure, piv_num_id, error.message, self._clock.time())
                raise
            finally:
                watch.asked_at = None
            watch.looked_at, watch.trouble, watch.failed_at = started, unread, began
        return new

    async def _look(self, client: PivClient, piv_num_id: str) -> tuple[int, Trouble | None]:
        """Returns how many messages were new, and what could not be read of the history."""
        started = self._clock.time()
        seq = await self._store.read(events.last_seq)
        last = await self._last_look(piv_num_id)
        read: list[Sms] = []
        found: list[StoredEvent] = []
        wanted: list[StoredEvent] = []
        remote_at = total = passed = None
        unreadable = grown_by = 0
        async with aclosing(history_pages.read(client, piv_num_id)) as pages:
            async for page in pages:
                items = with_own_as_outbound(page.items)
                if total is None:
                    total = page.pagination.total
                    remote_at = client.remote_clock.time()
                    passed = last.seconds_since(started, remote_at)
                read += items
                unreadable += page.unreadable + sum(sms.lacks_text for sms in items)
                inbound = [self._event(piv_num_id, sms, remote_at) for sms in items if not sms.is_outbound]
                found += await self._store.read(recording.unknown, inbound)
                grown = last.total is None or total != last.total
                is_known = await self._is_known(piv_num_id, items, last, remote_at, grown=grown)
                grown_by = growth.grown_by(total, read, last)
                wanted = growth.wanted(found, last, kept_since=self._kept_since(last, remote_at), grown=grown_by)
                if is_known and grown_by <= len(wanted):
                    break  # else a new message stands further back, since its time is wrong
        wanted = [*growth.misdated(found, wanted, read, last, grown=grown_by, passed=passed), *wanted]
        record = partial(
            self._inbox.record_all,
            erased_at=last.erased_at,
            as_dated=growth.exceeds(wanted, last, total, grown=grown_by) or growth.lie_apart(wanted, last, passed),
        )
        new = 0
        while len(wanted) > AT_ONCE:
            new += _count_new(await record(wanted[:AT_ONCE]))
            del wanted[:AT_ONCE]
        unread = None
        if unreadable:
            unread = Trouble(f"{unreadable} of its rows cannot be understood", last.failing_since or started)
        look = polls.Look(
            started,
            seq,
            remote_at,
            total,
            failing_since=unread.since if unread else None,
            problem=unread.problem if unread else None,
            just_sent=growth.just_sent(read, remote_at),
        )
        stored = await record(wanted, (piv_num_id, look))
        return new + _count_new(stored), unread

    async def refresh(self, piv_num_id: str, *, seconds: float) -> PivError | None:
        """Read the history now, for at most `seconds`, unless this process has just done so.

        Returns the error if the history could not be read.

        Raises:
            NotFoundError: the account has no such number, and the inbox holds no code of it.
        """
        watch = self._watches.setdefault(piv_num_id, Watch())
        if self._client is None or self._clock.monotonic() - watch.looked_at < FRESH_SECONDS:
            return None
        try:
            async with self._clock.timeout(seconds):
                await self.look(piv_num_id, Priority.PERSON)
        except TimeoutError:
            return PivError("the SMS history did not answer in time")
        except PivError as error:
            if isinstance(error, NotFoundError) and not await self._store.read(events.codes, piv_num_id):
                raise
            return error
        return None

    async def trouble(self, piv_num_id: str) -> Trouble | None:
        """Why the history cannot be read now, by this process or whichever polls it; None if it can."""
        look = await self._last_look(piv_num_id)
        watch = self._watches.get(piv_num_id)
        if watch is not None and (trouble := watch.trouble or self._silence(watch)) is not None:
            return trouble
        return None if look.failing_since is None else Trouble(look.problem or "", look.failing_since)

    async def _last_look(self, piv_num_id: str) -> polls.Look:
        """The last look of any process, which ends the trouble that this one had before."""
        look = await self._store.read(polls.look, piv_num_id)
        watch = self._watches.get(piv_num_id)
        if watch is not None and look.failing_since is None and look.at > watch.failed_at:
            watch.trouble = None
        return look

    def _silence(self, watch: Watch) -> Trouble | None:
        """The trouble of a look that has no answer yet."""
        if watch.asked_at is None:
            return None
        silent = self._clock.monotonic() - watch.asked_at
        return Trouble("no answer yet", self._clock.time() - silent) if silent > HANGING_SECONDS else None

    @asynccontextmanager
    async def watched(self, piv_num_id: str) -> AsyncGenerator[Watch]:
        """Poll the number until the block ends."""
        watch = self._watches.setdefault(piv_num_id, Watch())
        watch.watchers += 1
        if (watch.task is None or watch.task.done()) and self._client is not None:
            watch.missing = None
            watch.task = asyncio.create_task(self._poll(piv_num_id, watch))
        try:
            yield watch
        finally:
            watch.watchers -= 1
            if watch.watchers == 0 and watch.task is not None:
                silence = self._silence(watch)
                if watch.trouble is None and silence is not None:
                    watch.trouble, watch.failed_at = silence, silence.since
                if watch.is_resting or silence is not None:
                    watch.task.cancel()
                    watch.task = None
                # else the look that it begins is still made: calls that wait for nothing would never look

    async def close(self) -> None:
        tasks = [watch.task for watch in self._watches.values() if watch.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _poll(self, piv_num_id: str, watch: Watch) -> None:
        """Poll the number until nobody waits for it, but once at least if it is due."""
        watcher = secrets.token_hex(8)
        refusals = 0
        try:
            while True:
                pause = min(await self._take_turn(watcher, piv_num_id, watch), TURN_SECONDS)
                if pause <= 0:
                    try:
                        await self.look(piv_num_id, Priority.WAIT)
                    except NotFoundError as error:
                        watch.missing = error
                        self._inbox.changes.notify()
                        return
                    except (AuthenticationError, PermissionDeniedError):
                        pause = min(POLL_SECONDS * 2**refusals, MAX_REFUSAL_PAUSE)
                        refusals += 1
                    except RateLimitedError as error:
                        _log.warning("history not polled", piv_num_id=piv_num_id, problem=error.message)
                        with suppress(StoreError):
                            # Drop the claim, so that the refused poll delays no other process.
                            await self._store.write(polls.claim, watcher, None)
                        pause = min(max(POLL_SECONDS, error.retry_after or 0.0), REFUSED_SECONDS)
                    except PivError as error:
                        _log.warning("history not polled", piv_num_id=piv_num_id, problem=error.message)
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

    async def _take_turn(self, watcher: str, piv_num_id: str, watch: Watch) -> float:
        """Claim the number's next poll and return 0, or return the seconds until the poll is due."""
        try:
            wait = await self._store.write(take_turn, watcher, piv_num_id, self._clock.time())
        except StoreError as error:
            _log.warning("the store failed; polls are spaced in this process only", problem=error.message)
            wait = watch.polled_at + self.interval() - self._clock.monotonic()
        if wait <= 0:
            watch.polled_at = self._clock.monotonic()
        return wait

    def interval(self) -> float:
        """Seconds between two polls of one number, by the numbers that this process waits for."""
        return _interval(sum(watch.watchers > 0 for watch in self._watches.values()))

    def _event(self, piv_num_id: str, sms: Sms, remote_at: float | None) -> StoredEvent:
        return event_of_sms(piv_num_id, sms, now=self._clock.time(), remote_now=remote_at)

    async def _is_known(
        self, piv_num_id: str, page: list[Sms], last: polls.Look, remote_at: float | None, *, grown: bool
    ) -> bool:
        """Whether the oldest message of a page is known, and so are those before it. `grown`: the history may have more
        messages than at the last look."""
        if not page:
            return False
        oldest = page[-1]
        sent_at = oldest.received_at.timestamp() if oldest.received_at else None
        if sent_at is not None and CREDIBLE_SINCE < sent_at <= self._kept_since(last, remote_at):
            return True
        if oldest.is_outbound:
            return not grown or growth.was_sent_before(oldest, last.remote_at)
        return await self._store.read(recording.knows, self._event(piv_num_id, oldest, remote_at))

    def _kept_since(self, last: polls.Look, remote_at: float | None) -> float:
        """Messages from before this time on piv.day's clock are not taken in: they were erased, or would soon be."""
        return max(self._inbox.kept_since(remote_at), last.erased_at or 0.0)


def _count_new(stored: list[tuple[StoredEvent, bool]]) -> int:
    return sum(is_new for _, is_new in stored)


def _interval(watched: int) -> float:
    """Seconds between two polls of one number while `watched` numbers are waited for."""
    return max(POLL_SECONDS, watched * 60 / POLLS_A_MINUTE)


def take_turn(connection: Connection, watcher: str, piv_num_id: str, now: float) -> float:
    """Claim the number's next poll for the watcher if it is due. Returns the seconds until it is due, 0: claimed."""
    leases.note_watch(connection, watcher, piv_num_id, now=now, until=now + WATCH_SECONDS)
    last = max(polls.looked_at(connection, piv_num_id, now), polls.claimed_at(connection, piv_num_id, now))
    wait = max(0.0, last + _interval(leases.watched(connection)) - now)
    if wait == 0:
        polls.claim(connection, watcher, now)
    return wait
