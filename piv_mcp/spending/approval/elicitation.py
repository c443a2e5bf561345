"""The channel that asks in the client's own dialogue: MCP elicitation."""

import asyncio
from typing import ClassVar

from piv_mcp.spending.actions.base import Decision
from piv_mcp.spending.approval.channels import DecisionReply, ElicitationError, Person, Question, dialogue
from piv_mcp.spending.approval.questions import Questions
from piv_mcp.spending.quote import Quote
from piv_mcp.store.journal import Entry
from piv_mcp.text.language import Language
from piv_mcp.text.times import SYSTEM_CLOCK, Clock

JOIN_SECONDS = 2.0
"""An equal call within this many seconds of the question waits for its answer, and does not ask again."""


class ElicitationChannel:
    """Asks in the client.

    A client that gave no answer to a question within `patience` seconds is not asked again about the same entry, unless
    `only` says that there is no other channel. One that answered by itself is not asked again about it in any case. The
    next entry is asked in the client again.
    """

    name: ClassVar[str] = "elicit"

    def __init__(
        self, questions: Questions, language: Language, *, patience: float, only: bool, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._questions = questions
        self._language = language
        self._patience = patience
        self._only = only
        self._clock = clock
        self._asked_at: dict[str, float] = {}
        self._showing: set[str] = set()
        self._unanswered: set[str] = set()
        self._problems: dict[str, str] = {}

    def can_ask(self, entry: Entry, person: Person) -> bool:
        if not person.can_be_asked or entry.id in self._problems:
            return False
        return self._only or not self._is_unanswered(entry)

    async def put(self, entry: Entry, person: Person) -> asyncio.Future[Decision] | None:
        if self._is_being_asked(entry):
            return None
        self._asked_at[entry.id] = self._clock.monotonic()
        self._showing.add(entry.id)
        try:
            question = await self._questions.put(entry.id)
        except BaseException:
            self._showing.discard(entry.id)
            self._asked_at.pop(entry.id)
            raise
        answer = asyncio.ensure_future(self._ask(entry, question, person))
        answer.add_done_callback(lambda _: self._showing.discard(entry.id))
        return answer

    async def decision(self, reply: DecisionReply) -> Decision | None:
        await self._questions.answered(reply.question)
        if isinstance(reply.answer, ElicitationError):
            raise reply.answer
        return reply.answer

    def no_answer(self, entry: Entry, problem: str | None = None) -> None:
        self._unanswered.add(entry.id)
        if problem is not None:
            self._problems[entry.id] = problem

    def problem(self, entry: Entry) -> str | None:
        return self._problems.get(entry.id)

    def where(self, entry: Entry) -> str | None:
        return None

    def forget(self, entry_id: str) -> None:
        self._asked_at.pop(entry_id, None)
        self._unanswered.discard(entry_id)
        self._problems.pop(entry_id, None)

    def close(self) -> None:
        """Nothing to do: `ApprovalFlow` cancels the questions that are being asked."""

    async def _ask(self, entry: Entry, question: Question, person: Person) -> Decision:
        """Ask, and see to it that a person answered."""
        quote = Quote.model_validate_json(entry.quote)
        decision = await person.ask(question, dialogue(quote, self._language))
        await self._questions.answered(question)
        return decision

    def _is_being_asked(self, entry: Entry) -> bool:
        asked_at = self._asked_at.get(entry.id)
        just_now = asked_at is not None and self._clock.monotonic() - asked_at < JOIN_SECONDS
        return just_now or entry.id in self._showing

    def _is_unanswered(self, entry: Entry) -> bool:
        """Whether the client gave no answer, or repeats the call without one (protocol 2026-07-28)."""
        asked_at = self._asked_at.get(entry.id)
        overdue = asked_at is not None and self._clock.monotonic() - asked_at >= self._patience
        return entry.id in self._unanswered or (overdue and entry.id not in self._showing)
