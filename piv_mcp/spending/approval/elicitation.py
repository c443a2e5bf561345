"""The channel that asks in the client's own dialogue: MCP elicitation."""

import asyncio
from typing import ClassVar

from piv_mcp.spending.actions.base import Decision
from piv_mcp.spending.approval.channels import Person, message
from piv_mcp.spending.quote import Quote
from piv_mcp.store.journal import Entry
from piv_mcp.text.times import SYSTEM_CLOCK, Clock

JOIN_SECONDS = 2.0
"""An equal call within this many seconds of the question waits for its answer, and does not ask again."""


class ElicitationChannel:
    """Asks in the client.

    A client that gave no answer within `patience` seconds is not asked again, unless `only` says that there is no other
    channel.
    """

    name: ClassVar[str] = "elicit"

    def __init__(self, *, patience: float, only: bool, clock: Clock = SYSTEM_CLOCK) -> None:
        self._patience = patience
        self._only = only
        self._clock = clock
        self._asked_at: dict[str, float] = {}
        self._showing: set[str] = set()
        self._is_silent = False

    def can_ask(self, entry: Entry, person: Person) -> bool:
        if not person.can_be_asked:
            return False
        if not self._only and not self._is_silent and self._is_unanswered(entry):
            self._is_silent = True
        return self._only or not self._is_silent

    async def put(self, entry: Entry, person: Person) -> asyncio.Future[Decision] | None:
        if self._is_being_asked(entry):
            return None
        self._asked_at[entry.id] = self._clock.monotonic()
        self._showing.add(entry.id)
        answer = asyncio.ensure_future(person.ask(entry.id, message(Quote.model_validate_json(entry.quote))))
        answer.add_done_callback(lambda _: self._showing.discard(entry.id))
        return answer

    def no_answer(self) -> None:
        """Use another channel for the next questions: the client declared elicitation, but gave no answer."""
        self._is_silent = True

    def where(self, entry: Entry) -> str | None:
        return None

    def forget(self, entry_id: str) -> None:
        self._asked_at.pop(entry_id, None)

    def close(self) -> None:
        """Nothing to do: `ApprovalFlow` cancels the questions that are being asked."""

    def _is_being_asked(self, entry: Entry) -> bool:
        asked_at = self._asked_at.get(entry.id)
        just_now = asked_at is not None and self._clock.monotonic() - asked_at < JOIN_SECONDS
        return just_now or entry.id in self._showing

    def _is_unanswered(self, entry: Entry) -> bool:
        """Whether the client should have asked and repeats the call without an answer (protocol 2026-07-28)."""
        asked_at = self._asked_at.get(entry.id)
        overdue = asked_at is not None and self._clock.monotonic() - asked_at >= self._patience
        return overdue and entry.id not in self._showing
