"""Asks a person through the first channel that works, and waits for an answer from any channel."""

import asyncio
from collections.abc import Sequence

import structlog

from piv_mcp.spending.actions.base import Decision
from piv_mcp.spending.approval.channels import Channel, ElicitationError, Person
from piv_mcp.spending.journal import Journal
from piv_mcp.store.changes import Changes
from piv_mcp.store.journal import Entry
from piv_mcp.text.times import PROGRESS_SECONDS, SYSTEM_CLOCK, Clock

_log = structlog.get_logger(__name__)


class ApprovalFlow:
    """Asks through `channels`, in their order. The first answer of a person counts, through any channel.

    A call waits at most `confirm_wait` seconds for the answer.
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
        """Where the person can see the question now, in words for a model; None if no channel shows it."""
        return next((place for channel in self._channels if (place := channel.where(entry)) is not None), None)

    def forget(self, entry: Entry) -> None:
        """Stop showing the question: it was answered, or is no longer asked."""
        for channel in self._channels:
            channel.forget(entry.id)

    def close(self) -> None:
        for channel in self._channels:
            channel.close()

    async def ask(self, entry: Entry, person: Person) -> Entry:
        """Ask through the first channel that can. Returns the entry once it is decided, after `confirm_wait` at most.

        If there is no answer by then, the other channels ask too, and the person can still answer there.
        """
        able = [channel for channel in self._channels if channel.can_ask(entry, person)]
        first = able[0] if able else None
        answer = None if first is None else await first.put(entry, person)
        try:
            entry = await self._wait_for_decision(entry, person, answer)
        finally:
            if answer is not None:
                answer.cancel()
                await asyncio.gather(answer, return_exceptions=True)
        if entry.state == "quoted":
            if first is not None and answer is not None:
                first.no_answer()
            for channel in able[1:]:
                await channel.put(entry, person)
        return entry

    async def _wait_for_decision(self, entry: Entry, person: Person, answer: asyncio.Future[Decision] | None) -> Entry:
        """Wait until the entry is decided through any channel, has expired, or `confirm_wait` is over."""
        started = self._clock.monotonic()
        reported_at = 0.0
        if answer is not None:
            await asyncio.wait({answer}, timeout=0)
            if answer.done():
                return await self._record_answer(entry, answer)
        while True:
            version = self._changes.version
            entry = await self._journal.reload(entry)
            waited = self._clock.monotonic() - started
            if entry.state != "quoted" or waited >= self._confirm_wait:
                return entry
            left = entry.expires_at - self._clock.time()
            if left <= 0:
                await self._journal.expire()
                continue
            if waited - reported_at >= PROGRESS_SECONDS:
                reported_at = waited
                await person.progress(waited, self._confirm_wait, "waiting for the person's approval")
            pause = min(self._confirm_wait - waited, PROGRESS_SECONDS, max(0.05, left))
            changed = asyncio.ensure_future(self._changes.wait(version, pause))
            waits: set[asyncio.Future[object]] = {changed, answer} if answer else {changed}  # pyright: ignore[reportAssignmentType]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                changed.cancel()
            if answer is not None and answer.done():
                return await self._record_answer(entry, answer)

    async def _record_answer(self, entry: Entry, answer: asyncio.Future[Decision]) -> Entry:
        try:
            await self._journal.decide(entry.id, answer.result(), by="elicitation")
        except ElicitationError as error:
            _log.warning("the client did not ask the person", entry_id=entry.id, problem=error.message)
        return await self._journal.reload(entry)
