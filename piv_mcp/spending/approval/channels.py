"""What asking a person takes: the person behind a request, the question in words, and the ways to put it.

The model can never approve: what it passes is the action, and nothing else. An answer comes from the client's own
dialogue (elicitation), from a page whose token the model never sees, or from the terminal.
"""

import asyncio
from dataclasses import dataclass
from typing import ClassVar, Protocol

from piv_mcp.errors import PivError
from piv_mcp.spending.actions.base import Decision
from piv_mcp.spending.quote import Quote
from piv_mcp.store.journal import Entry
from piv_mcp.text.untrusted import one_line


@dataclass(frozen=True, slots=True)
class DecisionReply:
    """A person's answer that came back with a repeated request (protocol 2026-07-28)."""

    entry_id: str
    decision: Decision


class AskFirst(Exception):
    """The client must ask the person and repeat the request with the answer (protocol 2026-07-28)."""

    def __init__(self, entry_id: str, message: str) -> None:
        super().__init__(entry_id)
        self.entry_id = entry_id
        self.message = message


class ElicitationError(PivError):
    """The client declared elicitation and refused to ask."""

    code = "ELICITATION_FAILED"


class Person(Protocol):
    """The person behind a request, as far as their client reaches."""

    @property
    def can_be_asked(self) -> bool:
        """The client says that it can show a question."""
        ...

    @property
    def reply(self) -> DecisionReply | None:
        """The answer that this request brings along."""
        ...

    async def ask(self, entry_id: str, message: str) -> Decision:
        """Show the question and wait for the answer.

        Raises:
            AskFirst: the answer comes with the next request.
            ElicitationError: the client could not ask.
        """
        ...

    async def progress(self, seconds: float, total: float, message: str) -> None:
        """Tell the client that the call is still waiting."""
        ...


class Channel(Protocol):
    """One way to put a question to a person. A new one is one class, in the list that `ApprovalFlow` is given."""

    name: ClassVar[str]
    """Its value of `PIV_CONFIRM_CHANNEL`."""

    def can_ask(self, entry: Entry, person: Person) -> bool:
        """Whether this channel reaches the person with this question, as far as is known."""
        ...

    async def put(self, entry: Entry, person: Person) -> "asyncio.Future[Decision] | None":
        """Put the question. Returns the answer to come; None where it comes by way of the journal."""
        ...

    def no_answer(self) -> None:
        """The question that `put` returned an answer for was not answered in time."""
        ...

    def where(self, entry: Entry) -> str | None:
        """Where the question stands now, in words for a model; None if the channel does not show it."""
        ...

    def forget(self, entry_id: str) -> None:
        """The question is answered, or no longer asked."""
        ...

    def close(self) -> None:
        """No question is put any more."""
        ...


def lines(quote: Quote) -> list[tuple[str, str]]:
    """The quote as a person reads it. Text by strangers cannot hide, reorder or add anything in it."""
    return [(label, one_line(value, len(value))) for label, value in quote.lines()]


def message(quote: Quote) -> str:
    """The question in words: the same on every round, since a question that changed is asked again."""
    return "\n".join(f"{label}: {value}" for label, value in lines(quote)) + "\n\nApprove this?"
