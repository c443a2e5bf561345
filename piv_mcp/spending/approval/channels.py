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
from piv_mcp.text.language import PLAIN, Language
from piv_mcp.text.untrusted import one_line

READ_SECONDS = 1.0
"""No person reads a question and answers it in less than this many seconds."""


class ElicitationError(PivError):
    """The client declared elicitation, but no person answered through it. The message says why."""

    code = "ELICITATION_FAILED"


@dataclass(frozen=True, slots=True)
class Question:
    """A question on an entry that is put in a client's dialogue at the time `asked_at` (seconds since the epoch)."""

    entry_id: str
    id: str
    asked_at: float


@dataclass(frozen=True, slots=True)
class Dialogue:
    """What a client's dialogue shows: the question, and the name of the box to tick for a yes, with a hint on it."""

    message: str
    approve: str
    hint: str


@dataclass(frozen=True, slots=True)
class DecisionReply:
    """The answer to a question, which came with a repeated request (protocol 2026-07-28)."""

    question: Question
    answer: Decision | ElicitationError


class AskFirst(Exception):
    """The client must ask the person and repeat the request with the answer (protocol 2026-07-28)."""

    def __init__(self, question: Question, dialogue: Dialogue) -> None:
        super().__init__(question.entry_id)
        self.question = question
        self.dialogue = dialogue


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

    async def ask(self, question: Question, dialogue: Dialogue) -> Decision:
        """Show the question and wait for the answer.

        Raises:
            AskFirst: the client must ask, and sends the answer with the next request.
            ElicitationError: the client did not ask, or its answer is malformed.
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

    async def decision(self, reply: DecisionReply) -> Decision | None:
        """The answer that came with a repeated request; None if this channel does not expect one.

        Raises:
            ElicitationError: no person gave this answer.
        """
        ...

    def no_answer(self, entry: Entry, problem: str | None = None) -> None:
        """Note that no person answered here in time. `problem`: the client did not ask them, in words for a model."""
        ...

    def problem(self, entry: Entry) -> str | None:
        """Why no person was asked through this channel, in words for a model; None if they may have been."""
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


def lines(quote: Quote, language: Language = PLAIN) -> list[tuple[str, str]]:
    """The quote as a person reads it."""
    return _shown(quote.lines(language))


def details(quote: Quote, language: Language, *, with_balance: bool) -> list[tuple[str, str]]:
    """The lines after the price and the action."""
    return _shown(quote.details(language, with_balance=with_balance))


def message(quote: Quote, language: Language = PLAIN) -> str:
    """The text of the question. It is the same each time, since a client asks again if the text changes."""
    _ = language.gettext
    rows = [_("{label}: {value}", label=label, value=value) for label, value in lines(quote, language)]
    return "\n".join(rows) + "\n\n" + _("Approve this?")


def dialogue(quote: Quote, language: Language) -> Dialogue:
    """The question for a client's dialogue."""
    _ = language.gettext
    return Dialogue(message(quote, language), _("Approve"), _("Tick to approve. Anything else declines."))


def _shown(rows: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Invisible and reordering characters, which a stranger may have put into a name, are made visible."""
    return [(label, one_line(value, len(value))) for label, value in rows]
