"""Puts a question to a person through the first channel that works, and waits for the answer from any of them."""

import asyncio
from collections.abc import Sequence

import structlog

from piv_mcp.spending.actions.base import Decision
from piv_mcp.spending.approval.channels import Channel, ElicitationError, Person
from piv_mcp.spending.journal import Journal
from piv_mcp.store.changes import Changes
from piv_mcp.store.journal import Entry
from piv_mcp.text.times import SYSTEM_CLOCK, Clock

PROGRESS_SECONDS = 5.0
"""Between two reports of progress to the client."""

_log = structlog.get_logger(__name__)


class ApprovalFlow:
    """Asks through `channels`, in their order; whichever answer a person gives first counts.

    `confirm_wait` is how long a call waits for the answer, in seconds.
    """

    def __init__(
        self,
        journal: Journal,
        changes: Changes,
        channels: Sequence[Channel],
        confirm_wait: float,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._journal = journal
        self._changes = changes
        self._channels = channels
        self._confirm_wait = confirm_wait
        self._clock = clock

    def where(self, entry: Entry) -> str | None:
        """Where the question stands now, in words for a model, if a channel shows it."""
        return next((where for channel in self._channels if (where := channel.where(entry)) is not None), None)

    def forget(self, entry: Entry) -> None:
        """The question is answered, or no longer asked."""
        for channel in self._channels:
            channel.forget(entry.id)

    def close(self) -> None:
        for channel in self._channels:
            channel.close()

    async def ask(self, entry: Entry, person: Person) -> Entry:
        """Ask through the first channel that can; returns the entry as it stands after `confirm_wait` at most.

        Without an answer by then the other channels put the question, too: it can still be answered there.
        """
        able = [channel for channel in self._channels if channel.can_ask(entry, person)]
        first = able[0] if able else None
        asking = None if first is None else await first.put(entry, person)
        try:
            entry = await self._decided(entry, person, asking)
        finally:
            if asking is not None:
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
        if entry.state == "quoted":
            if first is not None and asking is not None:
                first.no_answer()
            for channel in able[1:]:
                await channel.put(entry, person)
        return entry

    async def _decided(self, entry: Entry, person: Person, asking: asyncio.Future[Decision] | None) -> Entry:
        """Until the entry is decided, through any channel, or `confirm_wait` is over."""
        started = self._clock.monotonic()
        told = 0.0
        if asking is not None:
            await asyncio.wait({asking}, timeout=0)
            if asking.done():
                return await self._answered(entry, asking)
        while True:
            version = self._changes.version
            entry = await self._journal.again(entry)
            waited = self._clock.monotonic() - started
            if entry.state != "quoted" or waited >= self._confirm_wait:
                return entry
            left = entry.expires_at - self._clock.time()
            if left <= 0:
                await self._journal.expire()
                continue
            if waited - told >= PROGRESS_SECONDS:
                told = waited
                await person.progress(waited, self._confirm_wait, "waiting for the person's approval")
            pause = min(self._confirm_wait - waited, PROGRESS_SECONDS, max(0.05, left))
            changed = asyncio.ensure_future(self._changes.wait(version, pause))
            waits: set[asyncio.Future[object]] = {changed, asking} if asking else {changed}  # pyright: ignore[reportAssignmentType]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                changed.cancel()
            if asking is not None and asking.done():
                return await self._answered(entry, asking)

    async def _answered(self, entry: Entry, asking: asyncio.Future[Decision]) -> Entry:
        try:
            await self._journal.decide(entry.id, asking.result(), by="elicitation")
        except ElicitationError as error:
            _log.warning("the client could not ask", problem=error.message)
        return await self._journal.again(entry)
