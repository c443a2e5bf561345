"""What a page asks piv.day for: several things at once, of which one that fails takes no other along.

Answers are shared for a minute, and asked for with the priority of polls, which leave room for what agents call.
"""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from piv_mcp.api.client import PivClient
from piv_mcp.api.rate_limit import Priority
from piv_mcp.api.readings import Span
from piv_mcp.config import Area
from piv_mcp.console.look import PersonLook
from piv_mcp.console.words import area_name
from piv_mcp.errors import AuthenticationError, NoAnswerError, PermissionDeniedError, PivError, RateLimitedError
from piv_mcp.store import pending, spending_pages
from piv_mcp.text.language import Language
from piv_mcp.text.times import Clock
from piv_mcp.text.untrusted import one_line

SHARED_SECONDS = 60.0
"""How old an answer may be that a page shows unasked."""

ANEW_SECONDS = 10.0
"""How old it may be where a person asked for it anew: many clicks cost no more requests than one."""

ASK_SECONDS = 10.0
"""How long a page waits for an answer."""

Problems = Sequence[tuple[str, str]]
"""Names of what could not be read, each with the reason in a sentence."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Asked(Generic[T]):
    """The answer to one question, or why there is none: `problem`, a sentence for the person."""

    answer: T | None
    problem: str | None = None


async def state(look: PersonLook) -> object:
    """What is in progress, and what was charged: what is bought, by whatever process, changes what there is."""
    everything = look.app.store.everything
    begun = [(row.kind, row.id, row.state) for row in await everything.read(pending.in_progress)]
    return begun, await everything.read(spending_pages.charged_mark)


async def asker(look: PersonLook, *, anew: bool = False) -> tuple[PivClient, Span]:
    """A client for what a page shows, and when the answers that it gives were read: none before a change of `state`.

    Raises:
        ConfigError: no API key is set.
    """
    span, client = Span(ANEW_SECONDS if anew else SHARED_SECONDS), look.app.client
    if await look.kept.notice(look.app, await state(look)):
        client.forget()
    return client.at(Priority.WAIT).recent(span), span


async def asked(answer: Awaitable[T], language: Language, clock: Clock) -> Asked[T]:
    try:
        async with clock.timeout(ASK_SECONDS):
            return Asked(await answer)
    except (PivError, TimeoutError) as error:
        return Asked(None, problem(error, language))


async def of_areas(look: PersonLook, answers: Mapping[Area, Awaitable[T]]) -> tuple[list[T], Problems]:
    """The answers about areas, and those that gave none."""
    parts = await asyncio.gather(*(asked(answer, look.language, look.app.clock) for answer in answers.values()))
    names = [area_name(area, look.language) for area in answers]
    problems = [(name, part.problem) for name, part in zip(names, parts, strict=True) if part.problem is not None]
    return [part.answer for part in parts if part.answer is not None], problems


def problem(error: PivError | TimeoutError, language: Language) -> str:
    """Why piv.day gave no answer, and what can be done."""
    _ = language.gettext
    match error:
        case RateLimitedError():
            return _("This minute's requests are used up by your assistants. Ask again in a minute.")
        case TimeoutError() | NoAnswerError():
            return _("piv.day has not answered yet. Ask again in a moment.")
        case AuthenticationError():
            return _("piv.day refuses the API key. Check PIV_API_KEY.")
        case PermissionDeniedError():
            return _("The API key may not read this.")
        case _:
            return _("piv.day could not be asked: {problem}", problem=one_line(error.message))
