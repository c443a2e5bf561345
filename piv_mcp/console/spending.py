"""Spending: what was charged by day, area and agent, what is left of the budget, what is unknown, and every entry."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from functools import cache, partial
from typing import get_args
from urllib.parse import urlencode

from starlette.responses import RedirectResponse, Response, StreamingResponse

from piv_mcp.console.chart import COSTLY, chart
from piv_mcp.console.look import PersonLook
from piv_mcp.console.rendering import page
from piv_mcp.console.words import Tone, area_name, outcome_words
from piv_mcp.spending.export import MEDIA_TYPES, FileFormat, exported
from piv_mcp.spending.journal import Journal
from piv_mcp.spending.quote import quote_of
from piv_mcp.spending.receipt import Outcome, outcome
from piv_mcp.spending.reconcile.hearsay import note_refunds
from piv_mcp.store import Connection, agents, spending_pages, spending_sums
from piv_mcp.store.journal import Entry
from piv_mcp.store.limits import Limit
from piv_mcp.store.spending_pages import EntryFilter
from piv_mcp.store.spending_sums import Sum, combined
from piv_mcp.text.language import Language
from piv_mcp.text.times import DAY_SECONDS, utc
from piv_mcp.text.untrusted import one_line
from piv_mcp.web.guards import plain_text

SPANS = (7, 30, 90, 365)
"""Days that the page can look back."""

DEFAULT_DAYS = 30

ENTRIES_A_PAGE = 25

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)

FORMATS: tuple[FileFormat, ...] = get_args(FileFormat)

MOST_UNKNOWN = 20
"""Entries of an unknown outcome that the page shows."""


@dataclass(frozen=True, slots=True)
class ListedEntry:
    """What the page shows of an entry."""

    id: str
    path: str
    action: str
    agent: str | None
    moment: str
    state: str
    tone: Tone
    amount: str
    problem: str | None


@dataclass(frozen=True, slots=True)
class LimitLeft:
    """A limit of the budget, and what is left of it, in US dollars. `percent` is how much is left."""

    title: str
    amount: Decimal
    left: Decimal
    percent: int


@dataclass(frozen=True, slots=True)
class Overview:
    """What the page shows of the journal, all of one moment."""

    sums: Sequence[Sum]
    entries: Sequence[Entry]
    entry_count: int
    lost: Sequence[Entry]
    lost_count: int
    agents: Sequence[str]


async def spending(look: PersonLook) -> Response:
    """The page."""
    journal, language, (days, offset) = journal_of(look), look.language, _places(look)
    await _freshen(journal)
    wanted, unknown = _wanted(look, days), EntryFilter(outcome="unknown")

    def read(connection: Connection) -> Overview:
        return Overview(
            spending_sums.charged(connection, wanted.since),
            spending_pages.newest(connection, wanted, limit=ENTRIES_A_PAGE, offset=offset),
            spending_pages.count(connection, wanted),
            spending_pages.newest(connection, unknown, limit=MOST_UNKNOWN),
            spending_pages.count(connection, unknown),
            spending_pages.agents(connection),
        )

    found = await journal.store.read(read)
    by_area = combined(found.sums, by_agent=False)
    of_agents = _totals([replace(item, day="", area="") for item in found.sums])
    today = utc(look.app.clock.time()).date()

    def query(**changes: object) -> str:
        return _query(look, changes)

    return page(
        look,
        "spending.html",
        days=days,
        spans=SPANS,
        charged=sum((item.charged for item in found.sums), Decimal(0)),
        actions=sum(item.actions for item in found.sums),
        uncertain=sum(item.unknown for item in found.sums),
        chart=chart(by_area, today - timedelta(days=days), today, language),
        areas=_totals([replace(item, day="") for item in by_area]),
        agents=of_agents if any(item.agent for item in of_agents) else [],
        area_name=partial(area_name, language=language),
        policy=None if look.app.spending is None else look.app.spending.policy,
        limits=await _limits(look, journal),
        lost=[listed(look, entry) for entry in found.lost],
        lost_count=found.lost_count,
        entries=[listed(look, entry) for entry in found.entries],
        entry_count=found.entry_count,
        offset=offset,
        a_page=ENTRIES_A_PAGE,
        wanted=wanted,
        outcomes=[(word, outcome_words(word, language)[0]) for word in OUTCOMES],
        known_areas=COSTLY,
        known_agents=found.agents,
        query=query,
        money=cache(language.money),  # a chart and its table have the same amounts
        one_line=one_line,
    )


async def state(look: PersonLook) -> object:
    """Changes with every entry."""
    return await journal_of(look).store.read(spending_pages.mark)


async def count(look: PersonLook) -> int:
    """How many entries have an unknown outcome, which a person can settle."""
    return await journal_of(look).store.read(spending_pages.count, EntryFilter(outcome="unknown"))


async def look_again(look: PersonLook) -> Response:
    """Look at the account for the outcome of what is unknown, and lead back to the page."""
    if look.app.spending is not None:
        for entry in (await look.app.spending.journal.recover())[:MOST_UNKNOWN]:
            await look.app.spending.reconciler.reconcile(entry)
        look.app.inbox.changes.notify()
    return RedirectResponse(f"{look.path(look.name)}#unknown", 303, headers={"Cache-Control": "no-store"})


async def export(look: PersonLook) -> Response:
    """The entries that the page would show on all its pages, as a file."""
    format = look.request.path_params["format"]
    if format not in FORMATS:
        return plain_text(404, look.language.gettext("There is no such page."))
    wanted = _wanted(look, _places(look)[0])
    today = utc(look.app.clock.time())
    headers = {
        "Cache-Control": "no-store",
        "Content-Disposition": f'attachment; filename="piv-mcp-spending-{today:%Y-%m-%d}.{format}"',
        "X-Content-Type-Options": "nosniff",
    }
    parts = exported(look.app.store.everything, wanted, format)
    return StreamingResponse(parts, headers=headers, media_type=MEDIA_TYPES[format])


def journal_of(look: PersonLook) -> Journal:
    """The journal of the guest's account, with the entries of all agents."""
    return Journal(look.app.store.everything, look.app.clock)


def listed(look: PersonLook, entry: Entry) -> ListedEntry:
    quote, language = quote_of(entry), look.language
    words, tone = outcome_words(outcome(entry, quote), language)
    return ListedEntry(
        id=entry.id,
        path=look.path(f"spending/{entry.id}"),
        action=quote.headline.line_in(language),
        agent=None if entry.agent is None else one_line(entry.agent),
        moment=language.moment(utc(entry.quoted_at)),
        state=words,
        tone=tone,
        amount=amount_words(entry, language),
        problem=one_line(entry.problem) if entry.state in ("unknown", "refused") and entry.problem else None,
    )


def amount_words(entry: Entry, language: Language) -> str:
    """What was charged; what was not charged yet, as it was quoted; nothing of what is free or has ended without."""
    if entry.state == "charged":
        if entry.charged is None:
            return language.gettext("amount unknown")
        return language.money(entry.charged) if Decimal(entry.charged) else ""
    if entry.state not in ("quoted", "approved", "executing", "unknown"):
        return ""
    if entry.price is None:
        return language.gettext("price unknown")
    return language.gettext("quoted {price}", price=language.money(entry.price)) if Decimal(entry.price) else ""


async def _freshen(journal: Journal) -> None:
    """Note in the journal what time and events have ended."""
    await asyncio.gather(journal.expire(), journal.recover(), journal.store.write(note_refunds))  # in one commit


def _places(look: PersonLook) -> tuple[int, int]:
    """How many days the page looks back, and how many entries it skips."""
    given = look.request.query_params
    offset = given.get("offset", "")
    days = next((days for days in SPANS if str(days) == given.get("days")), DEFAULT_DAYS)
    return days, int(offset) if offset.isascii() and offset.isdigit() and len(offset) < 9 else 0


def _wanted(look: PersonLook, days: int) -> EntryFilter:
    given = look.request.query_params
    return EntryFilter(
        since=look.app.clock.time() - days * DAY_SECONDS,
        outcome=given["state"] if given.get("state") in OUTCOMES else None,
        area=given["area"] if given.get("area") in COSTLY else None,
        agent=given.get("agent") or None,
    )


def _query(look: PersonLook, changes: Mapping[str, object]) -> str:
    """The query of the page with these changes; what is None is left out."""
    kept = {name: look.request.query_params.get(name) for name in ("days", "state", "area", "agent")}
    return urlencode({name: value for name, value in {**kept, **changes}.items() if value not in (None, "")})


def _totals(sums: Sequence[Sum]) -> list[Sum]:
    """The sums of each area or agent, the highest first."""
    return sorted(combined(sums), key=lambda item: item.charged, reverse=True)


async def _limits(look: PersonLook, journal: Journal) -> list[LimitLeft]:
    if look.app.spending is None or look.app.spending.policy.mode != "budget":
        return []
    _, policy = look.language.gettext, look.app.spending.policy
    limits = [(policy.day, _("All that needs no question"))]
    limits += [(limit, area_name(limit.of or "", look.language)) for limit in policy.areas]
    for agent in await journal.store.read(agents.active):
        own = policy.narrowed_to(agent)
        limits += [(limit, _("Agent {name}", name=one_line(agent.name))) for limit in own.own if own.mode == "budget"]
    left = await journal.left([limit for limit, _ in limits])
    return [_limit_left(limit, title, rest) for (limit, title), rest in zip(limits, left, strict=True)]


def _limit_left(limit: Limit, title: str, left: Decimal) -> LimitLeft:
    percent = int(left * 100 / limit.amount) if limit.amount else 0
    return LimitLeft(title, limit.amount, left, max(0, min(100, percent)))
