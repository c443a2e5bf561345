"""The channel of the client's own dialogue: MCP elicitation."""

import asyncio
from typing import ClassVar

from piv_mcp.spending.actions.base import Decision
from piv_mcp.spending.approval.channels import Person, message
from piv_mcp.spending.quote import Quote
from piv_mcp.store.journal import Entry
from piv_mcp.text.times import SYSTEM_CLOCK, Clock

JOIN_SECONDS = 2.0
"""An equal call that comes so soon after the question waits for its answer, and does not put the question again."""


class ElicitationChannel:
    """Asks in the client. `only`: there is no other channel, so that a client is asked however silent it was.

    `patience` is how long an answer is waited for, in seconds.
    """

    name: ClassVar[str] = "elicit"

    def __init__(self, *, patience: float, only: bool, clock: Clock = SYSTEM_CLOCK) -> None:
        self._patience = patience
        self._only = only
        self._clock = clock
        self._asked: dict[str, float] = {}
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
        self._asked[entry.id] = self._clock.monotonic()
        self._showing.add(entry.id)
        asking = asyncio.ensure_future(person.ask(entry.id, message(Quote.model_validate_json(entry.quote))))
        asking.add_done_callback(lambda _: self._showing.discard(entry.id))
        return asking

    def no_answer(self) -> None:
        """The client declared elicitation, and no answer came: the next questions go to another channel."""
        self._is_silent = True

    def where(self, entry: Entry) -> str | None:
        return None

    def forget(self, entry_id: str) -> None:
        self._asked.pop(entry_id, None)

    def close(self) -> None:
        """Nothing is kept open: the flow ends the questions that are on their way."""

    def _is_being_asked(self, entry: Entry) -> bool:
        asked_at = self._asked.get(entry.id)
        just_now = asked_at is not None and self._clock.monotonic() - asked_at < JOIN_SECONDS
        return just_now or entry.id in self._showing

    def _is_unanswered(self, entry: Entry) -> bool:
        """The client was to ask, and repeats the call without an answer (protocol 2026-07-28)."""
        asked_at = self._asked.get(entry.id)
        overdue = asked_at is not None and self._clock.monotonic() - asked_at >= self._patience
        return overdue and entry.id not in self._showing
