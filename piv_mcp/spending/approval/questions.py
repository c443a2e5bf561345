"""Tells the answers of people from those that a client gives by itself: nobody reads a question in less than a second.

When the first answer came is in the store, so that it may come to another process than the question did, and come
again. When the question was asked travels with it, sealed.
"""

import secrets

from piv_mcp.spending.approval.channels import READ_SECONDS, ElicitationError, Question
from piv_mcp.store import Store, questions
from piv_mcp.text.times import SYSTEM_CLOCK, Clock


class Questions:
    """The questions that were put in the dialogues of clients."""

    def __init__(self, store: Store, clock: Clock = SYSTEM_CLOCK) -> None:
        self._store = store
        self._clock = clock

    async def put(self, entry_id: str) -> Question:
        """Record a question on this entry. It is asked as soon as it is on disk, which may take a while."""
        question_id = f"q_{secrets.token_hex(8)}"
        await self._store.write(questions.put, question_id, entry_id, self._clock.time())
        return Question(entry_id, question_id, self._clock.time())

    async def answered(self, question: Question) -> None:
        """Note that an answer has come. The first one is timed: sending it again later does not make it a person's.

        Raises:
            ElicitationError: no person can have given it.
        """
        now = self._clock.time()
        answered_at = await self._store.write(questions.answer, question.id, question.entry_id, now)
        if answered_at is None:
            raise ElicitationError("The client answered a question that was not asked: its answer counts for nothing")
        if answered_at - question.asked_at < READ_SECONDS:  # also where the system's clock was set back meanwhile
            raise ElicitationError(
                "The client answered by itself, before anybody could read the question: its answer counts for nothing"
            )
