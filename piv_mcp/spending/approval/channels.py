"""The interfaces for asking a person: the person behind a request, the text of the question, and the channels.

A model cannot approve: it passes only the action. An answer comes from the client's own dialogue (elicitation), from a
page whose token the model never sees, or from the terminal.
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
    """A person's answer, which the client sent with a repeated request (protocol 2026-07-28)."""

    entry_id: str
    decision: Decision


class AskFirst(Exception):
    """The client must ask the person and repeat the request with the answer (protocol 2026-07-28)."""

    def __init__(self, entry_id: str, message: str) -> None:
        super().__init__(entry_id)
        self.entry_id = entry_id
        self.message = message


class ElicitationError(PivError):
    """The client declared elicitation but did not ask the person."""

    code = "ELICITATION_FAILED"


class Person(Protocol):
    """The person behind a request, reached through their client."""

    @property
    def can_be_asked(self) -> bool:
        """Whether the client declared that it can show a question."""
        ...

    @property
    def reply(self) -> DecisionReply | None:
        """The answer that came with this request; None if there is none."""
        ...

    async def ask(self, entry_id: str, message: str) -> Decision:
        """Show the question and wait for the answer.

        Raises:
            AskFirst: the client must ask, and sends the answer with the next request.
            ElicitationError: the client did not ask.
        """
        ...

    async def progress(self, seconds: float, total: float, message: str) -> None:
        """Tell the client that the call has waited `seconds` of at most `total` seconds."""
        ...


class Channel(Protocol):
    """A way to ask a person. To add one, write a class and add it to the list that `ApprovalFlow` gets."""

    name: ClassVar[str]
    """The value of `PIV_CONFIRM_CHANNEL` that selects this channel."""

    def can_ask(self, entry: Entry, person: Person) -> bool:
        """Whether this channel can probably show the question to the person."""
        ...

    async def put(self, entry: Entry, person: Person) -> "asyncio.Future[Decision] | None":
        """Ask the question. Returns a future of the answer, or None if the channel writes the answer to the journal."""
        ...

    def no_answer(self) -> None:
        """Note that the future of `put` had no answer in time."""
        ...

    def where(self, entry: Entry) -> str | None:
        """Where the person can see the question now, in words for a model; None if this channel does not show it."""
        ...

    def forget(self, entry_id: str) -> None:
        """Stop showing the question: it was answered, or is no longer asked."""
        ...

    def close(self) -> None:
        """Stop showing all questions."""
        ...


def lines(quote: Quote) -> list[tuple[str, str]]:
    """The quote as a person reads it. Invisible and reordering characters, which a stranger may have put into a name,
    are made visible."""
    return [(label, one_line(value, len(value))) for label, value in quote.lines()]


def message(quote: Quote) -> str:
    """The text of the question. It is the same each time, since a client asks again if the text changes."""
    return "\n".join(f"{label}: {value}" for label, value in lines(quote)) + "\n\nApprove this?"
