"""Freeze: one button that stops all that costs money, what is still on its way, and what piv.day goes on to renew."""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.responses import RedirectResponse, Response

from piv_mcp.console.asked import Problems, asker, of_areas
from piv_mcp.console.asked import state as what_there_is
from piv_mcp.console.look import PersonLook
from piv_mcp.console.rendering import page
from piv_mcp.spending import freezing
from piv_mcp.spending.commitments import RENEWING, Commitments, read_renewals, renewing
from piv_mcp.spending.quote import quote_of
from piv_mcp.store import freezes
from piv_mcp.store.freezes import Freeze
from piv_mcp.store.journal import Entry
from piv_mcp.text.language import Language
from piv_mcp.text.times import utc
from piv_mcp.text.untrusted import one_line


@dataclass(frozen=True, slots=True)
class Standing:
    """How a freeze stands. `may_come` was claimed before it, and may still be sent."""

    freeze: Freeze | None
    may_come: Sequence[Entry] = ()


async def freeze(look: PersonLook) -> Response:
    """The page."""
    standing = await _standing(look)
    is_asked = standing.freeze is not None and look.app.api is not None
    renewals, problems = await _renewals(look) if is_asked else (None, ())
    return page(
        look,
        "freeze.html",
        freeze=standing.freeze,
        since=None if standing.freeze is None else utc(standing.freeze.since),
        may_come=[_words(entry, look.language) for entry in standing.may_come],
        renewals=renewals,
        problems=problems,
        one_line=one_line,
    )


async def state(look: PersonLook) -> object:
    standing = await _standing(look)
    renewals = None if standing.freeze is None else await what_there_is(look)
    return standing.freeze, [entry.id for entry in standing.may_come], renewals


async def count(look: PersonLook) -> int:
    """One where there is a freeze: the navigation shows it on every page."""
    return int(await look.app.store.everything.read(freezes.current) is not None)


async def begin(look: PersonLook) -> Response:
    """Freeze the account, wait until nothing can leave any more, and lead back to the page, which says so."""
    store = look.app.store.everything
    await freezing.freeze(store, "console", by=look.guest.name, of_all=False)
    look.app.inbox.changes.notify()
    await freezing.until_still(store, of_all=False, clock=look.app.clock)
    return _back(look)


async def end(look: PersonLook) -> Response:
    await look.app.store.everything.write(freezes.end, of_all=False)
    look.app.inbox.changes.notify()
    return _back(look)


async def _standing(look: PersonLook) -> Standing:
    store = look.app.store.everything
    found = await store.read(freezes.current)
    if found is None:
        return Standing(None)
    may_come, _ = await freezing.still_claimed(store, look.app.clock.time() - found.since, of_all=False)
    return Standing(found, may_come)


async def _renewals(look: PersonLook) -> tuple[Commitments, Problems]:
    client, _ = await asker(look)
    now = utc(look.app.clock.time())
    found, problems = await of_areas(look, {area: read_renewals(client, area, now) for area in RENEWING})
    return renewing(found), problems


def _words(entry: Entry, language: Language) -> str:
    action = quote_of(entry).headline.line_in(language)
    return one_line(action, len(action))


def _back(look: PersonLook) -> Response:
    return RedirectResponse(look.path("freeze"), 303, headers={"Cache-Control": "no-store"})
