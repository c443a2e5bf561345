"""Asks a person through the first channel that works, and waits for an answer from any channel."""

import asyncio
from collections.abc import Sequence

import structlog

from piv_mcp.spending.actions.base import Decision
from piv_mcp.spending.approval.channels import Channel, DecisionReply, ElicitationError, Person
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

    def problem(self, entry: Entry) -> str | None:
        """Why no person was asked where they should have been, in words for a model; None if they may have been."""
        return next((text for channel in self._channels if (text := channel.problem(entry)) is not None), None)

    async def take(self, entry: Entry, reply: DecisionReply) -> bool | None:
        """Record the answer that came with a repeated request. Returns whether it decided the entry; None if it is
        nobody's answer, so that the person is still to be asked."""
        for channel in self._channels:
            try:
                decision = await channel.decision(reply)
            except ElicitationError as error:
                self._log_void(channel, entry, error)
                return None
            if decision is not None:
                return await self._journal.decide(entry.id, decision, by="elicitation")
        return None

    async def ask(self, entry: Entry, person: Person) -> Entry:
        """Ask through the channels that can, one after the other, for as long as no person has decided.

        The next one asks when the one before had no answer, or none of a person. Returns the entry once it is decided,
        after `confirm_wait` at most; the person can still answer then.
        """
        started = self._clock.monotonic()
        for channel in [channel for channel in self._channels if channel.can_ask(entry, person)]:
            answer = await channel.put(entry, person)
            try:
                entry = await self._wait_for_decision(entry, person, channel, answer, started)
            finally:
                if answer is not None:
                    answer.cancel()
                    await asyncio.gather(answer, return_exceptions=True)
            if entry.state != "quoted":
                return entry
        return await self._wait_for_decision(entry, person, None, None, started)

    async def _wait_for_decision(
        self,
        entry: Entry,
        person: Person,
        channel: Channel | None,
        answer: asyncio.Future[Decision] | None,
        started: float,
    ) -> Entry:
        """Wait until the entry is decided through any channel, the answer is none, or `confirm_wait` is over."""
        reported_at = self._clock.monotonic() - started
        if answer is not None:
            await asyncio.wait({answer}, timeout=0)
        while True:
            if channel is not None and answer is not None and answer.done():
                return await self._record_answer(entry, channel, answer)
            version = self._changes.version
            entry = await self._journal.reload(entry)
            waited = self._clock.monotonic() - started
            if entry.state != "quoted":
                return entry
            if waited >= self._confirm_wait or self._changes.stopping:
                if channel is not None and answer is not None:
                    channel.no_answer(entry)
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

    async def _record_answer(self, entry: Entry, channel: Channel, answer: asyncio.Future[Decision]) -> Entry:
        try:
            await self._journal.decide(entry.id, answer.result(), by="elicitation")
        except ElicitationError as error:
            self._log_void(channel, entry, error)
        return await self._journal.reload(entry)

    def _log_void(self, channel: Channel, entry: Entry, error: ElicitationError) -> None:
        channel.no_answer(entry, error.message)
        _log.warning("the client did not ask the person", entry_id=entry.id, problem=error.message)
