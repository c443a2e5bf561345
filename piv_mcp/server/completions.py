"""Completes what a person types: the arguments of prompts, and the ids in resource templates.

Completions share what was read in the last minute, so that typing costs one request. What cannot be read, or not soon,
completes to nothing: an error would interrupt the person.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

from mcp.types import Completion, CompletionArgument, PromptReference, ResourceTemplateReference

from piv_mcp.api.models import LARGE_PAGE, SMALL_PAGE
from piv_mcp.api.readings import Span
from piv_mcp.config import Area
from piv_mcp.errors import PivError
from piv_mcp.server.prompts import PromptFile, Source
from piv_mcp.server.resources import RESOURCES
from piv_mcp.services import Lifespan, Services
from piv_mcp.text import phones

MAX_COMPLETIONS = 100

MAX_AGE = 60.0
"""How old the lists may be that completions are taken from, in seconds."""

PATIENCE = 3.0
"""Seconds after which nobody waits for a completion any more."""


Finder = Callable[[Services, str], Awaitable[list[str]]]
"""What completes a text, in small letters, from the account. Raises `PivError`."""


async def completion(
    ref: PromptReference | ResourceTemplateReference,
    argument: CompletionArgument,
    prompts: Sequence[PromptFile],
    lifespan: Lifespan,
) -> Completion:
    """The values that can complete the argument."""
    typed = argument.value.strip().casefold()
    choices = _choices(ref, argument.name, prompts)
    if callable(choices):
        try:
            found = await _found(choices, typed, lifespan)
        except (PivError, TimeoutError):
            found = []
    else:
        found = [choice for choice in choices if choice.startswith(typed)]
    return Completion(values=found[:MAX_COMPLETIONS], total=len(found), has_more=len(found) > MAX_COMPLETIONS)


async def _found(find: Finder, typed: str, lifespan: Lifespan) -> list[str]:
    app = await lifespan.services()
    shared = replace(app, api=app.client.recent(Span(max_age=MAX_AGE)))
    async with app.clock.timeout(PATIENCE):  # what is still being read completes the next character
        return await find(shared, typed)


def _choices(
    ref: PromptReference | ResourceTemplateReference, name: str, prompts: Sequence[PromptFile]
) -> Finder | Sequence[str]:
    """What completes this argument; nothing completes one that there is not."""
    if isinstance(ref, ResourceTemplateReference):
        spec = RESOURCES.get(ref.uri)
        if spec is None or spec.ids is None or name != spec.parameter:
            return ()
        return _of_area(spec.area, _ids(spec.ids))
    file = next((file for file in prompts if file.name == ref.name), None)
    if file is None or name not in file.header.arguments:
        return ()
    choices = file.header.arguments[name].choices
    return SOURCES[choices] if isinstance(choices, str) else choices


def _of_area(area: Area, find: Finder) -> Finder:
    """What completes a text for a caller who may see the area; for another there is nothing."""

    async def found(app: Services, typed: str) -> list[str]:
        return await find(app, typed) if app.has(area) else []

    return found


def _ids(read: Callable[[Services], Awaitable[list[str]]]) -> Finder:
    async def find(app: Services, typed: str) -> list[str]:
        return [id_ for id_ in await read(app) if id_.casefold().startswith(typed)]

    return find


async def _numbers(app: Services, typed: str) -> list[str]:
    """The active numbers that hold the digits, or whose custom names hold the text. Of an account with more numbers
    than a page holds, piv.day searches them."""
    digits = "" if any(map(str.isalpha, typed)) else phones.significant_digits(phones.plain(typed))
    page = await app.client.numbers.list(status="active", limit=SMALL_PAGE)
    if typed and page.length >= SMALL_PAGE:
        page = await app.client.numbers.list(status="active", limit=SMALL_PAGE, search=digits or typed)
    app.phonebook.remember(page.items)
    return [
        number.phone_number
        for number in page.items
        if number.phone_number
        and (typed in (number.custom_name or "").casefold() or (digits or typed) in number.phone_number)
    ]


async def _domains(app: Services, typed: str) -> list[str]:
    page = await app.client.domains.list(status="active", limit=LARGE_PAGE)
    return [domain.domain_name for domain in page.items if domain.domain_name and typed in domain.domain_name]


SOURCES: Mapping[Source, Finder] = {"numbers": _numbers, "domains": _of_area("domains", _domains)}
"""Whose numbers there are, the client itself knows."""
