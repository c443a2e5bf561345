"""The SMS history: the inbox's second source beside webhooks. Only the history names the sender of a message."""

import asyncio
from contextlib import AbstractAsyncContextManager, aclosing
from functools import partial

from piv_mcp.api.client import PivClient
from piv_mcp.api.numbers import Sms, with_own_as_outbound
from piv_mcp.api.rate_limit import Priority
from piv_mcp.errors import NotFoundError, PivError
from piv_mcp.inbox import deliveries, growth, history_pages
from piv_mcp.inbox.inbox import Inbox
from piv_mcp.inbox.parse import event_of_sms
from piv_mcp.inbox.watch import Trouble, Watch, Watches
from piv_mcp.store import events, polls, recording
from piv_mcp.store.event import CREDIBLE_SINCE, StoredEvent

AT_ONCE = 500
"""Messages that are stored in one commit: webhooks need not wait for more."""

ATTEMPTS_OF_BACKFILL = 2
"""So often back-fill begins to look at a number. It may have to give way as often; its next round looks again."""

FRESH_SECONDS = 2.0
"""`refresh` does not read the history again within this time."""


class History:
    """Reads the SMS history and records the messages that the inbox does not have."""

    def __init__(self, client: PivClient | None, inbox: Inbox) -> None:
        self._client = client
        self._inbox = inbox
        self._store = inbox.store
        self._clock = inbox.clock
        self.watches = Watches(inbox)

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
        look = partial(self._look, self._client.at(priority), piv_num_id)
        watch = self.watches.of(piv_num_id)
        if priority is not Priority.BACKFILL:
            if watch.backfill is not None:
                watch.backfill.cancel()
            return await self.watches.alone(piv_num_id, look)
        began = self._clock.monotonic()
        for _ in range(ATTEMPTS_OF_BACKFILL):
            watch.backfill = asyncio.create_task(self.watches.alone(piv_num_id, look))
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
        await deliveries.note(self._inbox, piv_num_id, read, look, last)
        return new + _count_new(stored), unread

    async def refresh(self, piv_num_id: str, *, seconds: float) -> PivError | None:
        """Read the history now, for at most `seconds`, unless this process has just done so.

        Returns the error if the history could not be read.

        Raises:
            NotFoundError: the account has no such number, and the inbox holds no code of it.
        """
        watch = self.watches.of(piv_num_id)
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
        watch = self.watches.get(piv_num_id)
        if watch is not None and (trouble := watch.trouble or self.watches.silence(watch)) is not None:
            return trouble
        return None if look.failing_since is None else Trouble(look.problem or "", look.failing_since)

    async def _last_look(self, piv_num_id: str) -> polls.Look:
        """The last look of any process, which ends the trouble that this one had before."""
        look = await self._store.read(polls.look, piv_num_id)
        watch = self.watches.get(piv_num_id)
        if watch is not None and look.failing_since is None and look.at > watch.failed_at:
            watch.trouble = None
        return look

    def watched(self, piv_num_id: str) -> AbstractAsyncContextManager[Watch]:
        """Poll the number until the block ends."""
        look = None if self._client is None else partial(self.look, piv_num_id)
        return self.watches.watched(piv_num_id, look)

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
