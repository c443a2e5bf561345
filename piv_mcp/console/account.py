"""Account: the balance, what is in progress, and what the account has: numbers, proxies, domains and sites."""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from starlette.responses import RedirectResponse, Response

from piv_mcp.api.models import LARGE_PAGE, SMALL_PAGE, Page
from piv_mcp.console.asked import Asked, asked, asker
from piv_mcp.console.look import PersonLook
from piv_mcp.console.rendering import page
from piv_mcp.console.words import in_progress_words, status_words
from piv_mcp.store import pending
from piv_mcp.store.pending import Pending
from piv_mcp.text.hosts import display
from piv_mcp.text.times import utc
from piv_mcp.text.untrusted import one_line

MOST_SHOWN = 200
"""Rows of each list that the page shows; the lists are read in one request each."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ListedThings(Generic[T]):
    """What the page shows of one list: rows, how many more there are, and why it could not be read, if so."""

    rows: Sequence[T]
    left_out: int = 0
    problem: str | None = None

    @property
    def count(self) -> int:
        return len(self.rows) + self.left_out


async def account(look: PersonLook) -> Response:
    """The page."""
    if look.app.api is None:
        return page(look, "no_key.html", title=look.language.gettext("Account"))
    return page(look, "account.html", **await _values(look, anew=False))


async def ask_anew(look: PersonLook) -> Response:
    """Ask piv.day anew, and lead back to the page, which shows the answers."""
    if look.app.api is not None:
        await _values(look, anew=True)
    return RedirectResponse(look.path(look.name), 303, headers={"Cache-Control": "no-store"})


async def _values(look: PersonLook, *, anew: bool) -> dict[str, Any]:
    language, clock = look.language, look.app.clock
    client, span = await asker(look, anew=anew)

    def ask(answer: Awaitable[T]) -> Awaitable[Asked[T]]:
        return asked(answer, language, clock)

    owner, servers, numbers, orders, domains, sites = await asyncio.gather(
        ask(client.account.get()),
        ask(client.proxies.servers()),
        ask(client.numbers.list(limit=SMALL_PAGE)),
        ask(client.proxies.orders(limit=LARGE_PAGE)),
        ask(client.domains.list(limit=LARGE_PAGE)),
        ask(client.whites.list(limit=LARGE_PAGE)),
    )
    now = clock.time()
    return {
        "owner": owner,
        "numbers": _listing(numbers),
        "orders": _listing(orders),
        "servers": servers,
        "domains": _listing(domains),
        "sites": _listing(sites),
        "in_progress": [
            (in_progress_words(row.kind, language), _about(row), row.state, language.age(now - row.since))
            for row in await look.app.store.everything.read(pending.in_progress)
        ],
        "read_at": None if span.began is None else utc(span.began),
        "now": utc(now),
        "status": partial(status_words, language=language),
        "one_line": one_line,
        "shown_host": shown_host,
        "most_shown": MOST_SHOWN,
    }


def _listing(found: Asked[Page[T]]) -> ListedThings[T]:
    if found.answer is None:
        return ListedThings((), problem=found.problem)
    rows = sorted(found.answer.items, key=lambda row: getattr(row, "status", None) == "expired")[:MOST_SHOWN]
    total = max(found.answer.pagination.total or 0, found.answer.length)
    return ListedThings(rows, total - len(rows))


def _about(row: Pending) -> str:
    """What something in progress is about, by the name that is known for it."""
    known = row.known
    return one_line(str(known.get("domain_name") or known.get("name") or row.subject or row.id))


def shown_host(name: str) -> str:
    """A host name; one that is not what it looks like in both forms."""
    return display(one_line(name))
