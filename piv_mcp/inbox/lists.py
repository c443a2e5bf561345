"""What the account's lists tell of things in progress, and of what expires.

One thing alone is asked for by its id. Of several, one request for the list tells the state of all; what it does not
decide is asked for singly: the queue entry of a renewal, and what is no longer listed.
"""

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal, TypeVar

from piv_mcp.api.client import PivClient
from piv_mcp.api.domains import Domain
from piv_mcp.api.models import LARGE_PAGE, SMALL_PAGE, Page, RowT
from piv_mcp.api.numbers import Number, Sms
from piv_mcp.api.paging import all_rows
from piv_mcp.errors import (
    ApiError,
    AuthenticationError,
    NoAnswerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
)
from piv_mcp.inbox import outcomes
from piv_mcp.inbox.outcomes import DOMAIN_LEAD, PROXY_LEAD, Happening, Told
from piv_mcp.store.pending import Kind, Pending, pending
from piv_mcp.text.times import utc

T = TypeVar("T")

List = Literal["domains", "numbers", "orders", "whites"]

MOST_ROWS = 1000
"""Rows of a list that are read."""

OF_ALL = (AuthenticationError, PermissionDeniedError, RateLimitedError, NoAnswerError)
"""Errors that are not about a single thing."""

MOST_SINGLE = 5
"""Things that are asked for singly in one look; the others follow in the next ones."""


@dataclass(frozen=True, slots=True)
class Times:
    """`now` is this machine's clock when the look began, `remote_time` tells piv.day's, which is known once it has
    answered, and `previous` is when the list was last read whole, on that clock, if it was. Seconds since the epoch."""

    now: float
    remote_time: Callable[[], float]
    previous: float | None


@dataclass(slots=True)
class Seen:
    """What one look has shown. `told` of things in progress; `found` is in progress and was not known; `born` are
    events of what nobody knew to be in progress, `soon` those of what expires soon, and `next_at` is when the next one
    comes, on piv.day's clock. `requests` is how many it took, and `problem` says why a single
    thing could not be read."""

    told: list[tuple[Pending, Told]] = field(default_factory=list[tuple[Pending, Told]])
    found: list[Pending] = field(default_factory=list[Pending])
    born: list[Happening] = field(default_factory=list[Happening])
    soon: list[Happening] = field(default_factory=list[Happening])
    next_at: float | None = None
    requests: int = 0
    problem: str | None = None

    async def tell(self, row: Pending, shown: Awaitable[Told]) -> None:
        """Note what one thing's own answer tells. If that cannot be read, it costs no other."""
        try:
            told = await shown
        except OF_ALL:
            raise
        except ApiError as error:
            told, self.problem = Told(row.state or "unknown"), error.message
        self.told.append((row, told))

    async def ask(self, request: Awaitable[T]) -> T:
        self.requests += 1
        return await request

    async def all(self, list_: Callable[..., Awaitable[Page[RowT]]], size: int, **filters: object) -> list[RowT]:
        async def page(**query: object) -> Page[RowT]:
            return await self.ask(list_(**query))

        return (await all_rows(page, size, most=MOST_ROWS, **filters))[0]


async def look(client: PivClient, name: List, rows: Sequence[Pending], times: Times, *, whole: bool) -> Seen:
    """Ask for what is in progress in this list, the list itself if there are several or it is to be read `whole`.

    Raises:
        ApiError: the list could not be read.
    """
    seen = Seen()
    await _LOOKS[name](client, seen, sorted(rows, key=lambda row: row.asked_at), times, whole)
    return seen


async def ask_by_id(
    client: PivClient, kinds: Sequence[Kind], ids: Mapping[str, str], number: str | None
) -> tuple[Pending, Told] | None:
    """What piv.day shows of the one thing that an id of the tools names; None if nothing can be asked for by it.

    Raises:
        NotFoundError: there is no such thing.
        ApiError: it could not be asked for.
    """
    if "white_id" in ids:
        site = await client.whites.get(ids["white_id"])
        return pending("site", site.id), outcomes.of_site(site)
    if "queue_id" in ids:
        entry = await client.domains.queue(ids["queue_id"])
        kind = kinds[0]
        if len(kinds) > 1:  # the entry does not say which
            named = await client.domains.list(search=entry.domain_name, limit=LARGE_PAGE)
            known = [domain for domain in named.items if domain.domain_name == entry.domain_name]
            is_renewed = any((domain.status or "").casefold() in outcomes.DONE for domain in known)
            kind = "renewal" if is_renewed and entry.domain is None else "registration"
        row = pending(kind, ids["queue_id"], queue_id=ids["queue_id"], domain_name=entry.domain_name)
        return row, outcomes.of_queue(row, entry)
    if "domain_id" in ids and "registration" in kinds:
        domain = await client.domains.get(ids["domain_id"])
        told = outcomes.of_domain(domain)
        if told.state.casefold() not in outcomes.UNDER_WAY:  # such as one that has expired
            told = replace(told, has_ended=True)
        return pending("registration", domain.id, domain_name=domain.domain_name), told
    if "message_id" in ids and number is not None:
        sms = _message(await client.numbers.sms(number, limit=SMALL_PAGE), ids["message_id"])
        row = pending("message", sms.id, number, state=sms.status)
        return row, outcomes.of_message(row, sms)
    if number is not None and "restore" in kinds and not ids:
        shown = await client.numbers.get(number)
        row = pending("restore", number, number, numbers=[number], is_found=True)
        told = outcomes.of_restore(row, {number: shown}, now=0.0)
        if not outcomes.is_restoring(shown):
            return (row, replace(told, has_ended=True)) if list(kinds) == ["restore"] else None
        return row, told
    return None


def _message(page: Page[Sms], id_: str) -> Sms:
    for sms in page.items:
        if sms.id == id_:
            return sms
    raise NotFoundError("the newest messages of this number have no such one", code="NOT_FOUND")


# --- the lists


async def _whites(client: PivClient, seen: Seen, rows: Sequence[Pending], times: Times, whole: bool) -> None:
    if whole or len(rows) > 1:
        sites = {site.id: site for site in await seen.all(client.whites.list, LARGE_PAGE)}
        known = {row.id for row in rows}
        for site in sites.values():
            told = outcomes.of_site(site)
            if site.id in known or not whole:
                continue
            is_new = _is_after(site.created_at, times.previous)
            if not told.has_ended and (site.state != "unknown" or is_new):
                seen.found.append(pending("site", site.id, name=site.name, state=told.state))
            elif told.has_ended and is_new:
                seen.born += told.happenings
        seen.told += [(row, outcomes.of_site(sites[row.id])) for row in rows if row.id in sites]
        rows = [row for row in rows if row.id not in sites]
    for row in rows[:MOST_SINGLE]:
        await seen.tell(row, _site(client, seen, row))


async def _site(client: PivClient, seen: Seen, row: Pending) -> Told:
    try:
        return outcomes.of_site(await seen.ask(client.whites.get(row.id)))
    except NotFoundError:
        return Told("no longer on the account", has_ended=True)


async def _domains(client: PivClient, seen: Seen, rows: Sequence[Pending], times: Times, whole: bool) -> None:
    registrations = [row for row in rows if row.kind == "registration"]
    single = [row for row in rows if row.kind != "registration"]
    if whole or len(registrations) > 1:
        domains = {domain.id: domain for domain in await seen.all(client.domains.list, LARGE_PAGE)}
        if whole:
            _see_domains(seen, domains, {row.id for row in rows}, times)
        listed = [(row, outcomes.of_domain(domains[row.id])) for row in registrations if row.id in domains]
        undecided = [row for row, told in listed if not told.has_ended and row.known.get("queue_id")]
        # The queue may know of a failure that the list does not show: one is asked for in each look.
        doubtful = random.sample(undecided, min(1, len(undecided)))
        seen.told += [(row, told) for row, told in listed if row not in doubtful]
        registrations = [row for row in registrations if row.id not in domains] + doubtful
    for row in sorted([*single, *registrations], key=lambda row: row.asked_at)[:MOST_SINGLE]:
        await seen.tell(row, _domain(client, seen, row, times))


def _see_domains(seen: Seen, domains: Mapping[str, Domain], known: set[str], times: Times) -> None:
    for domain in domains.values():
        told = outcomes.of_domain(domain)
        if domain.id in known:
            continue
        if (domain.status or "").casefold() in outcomes.UNDER_WAY:
            seen.found.append(pending("registration", domain.id, domain_name=domain.domain_name, state=told.state))
        elif told.has_ended and _is_after(domain.registered_at, times.previous):
            seen.born += told.happenings
    now = utc(times.remote_time())
    seen.soon += filter(None, (outcomes.of_expiring(domain, now) for domain in domains.values()))
    _note_next(seen, [domain.expires_at for domain in domains.values()], DOMAIN_LEAD, times)


async def _domain(client: PivClient, seen: Seen, row: Pending, times: Times) -> Told:
    """What piv.day shows of one registration or renewal: its queue entry says why it failed."""
    if queue_id := row.known.get("queue_id"):
        try:
            return outcomes.of_queue(row, await seen.ask(client.domains.queue(queue_id)))
        except NotFoundError:
            if row.kind == "renewal":
                return Told("no longer in the queue", has_ended=True)
            if row.id == queue_id:  # its domain's id was never told
                return await _named(client, seen, row)
    try:
        return outcomes.of_domain(await seen.ask(client.domains.get(row.id)))
    except NotFoundError:
        return outcomes.of_missing_registration(row, times.now)


async def _named(client: PivClient, seen: Seen, row: Pending) -> Told:
    """What the list tells of a registration of which only the name is known."""
    name = row.known.get("domain_name")
    found = await seen.all(client.domains.list, LARGE_PAGE, search=name)
    told = [outcomes.of_domain(domain) for domain in found if domain.domain_name == name]
    return told[0] if told else Told("no longer in the queue", has_ended=True)


async def _numbers(client: PivClient, seen: Seen, rows: Sequence[Pending], times: Times, whole: bool) -> None:
    ids = list(dict.fromkeys(id_ for row in rows for id_ in outcomes.numbers_of(row)))
    numbers: dict[str, Number] = {}
    if whole or len(ids) > 1:
        restoring = await seen.all(client.numbers.list, SMALL_PAGE, status="pending_restore")
        numbers = {number.piv_num_id: number for number in restoring}
        seen.found += [
            pending("restore", id_, numbers=[id_], state=number.status, is_found=True)
            for id_, number in numbers.items()
            if whole and id_ not in ids and outcomes.is_restoring(number)
        ]
    for row in rows:
        await seen.tell(row, _restore(client, seen, row, numbers, times))


async def _restore(client: PivClient, seen: Seen, row: Pending, numbers: dict[str, Number], times: Times) -> Told:
    """What the numbers tell of one restore: those that the list does not have are asked for singly."""
    numbers.update({id_: Number.model_validate(shown) for id_, shown in row.known.get("restored", {}).items()})
    for id_ in outcomes.numbers_of(row):
        if id_ in numbers:
            continue
        try:
            numbers[id_] = await seen.ask(client.numbers.get(id_))
        except NotFoundError:
            numbers[id_] = Number(piv_num_id=id_, status="expired")
    return outcomes.of_restore(row, numbers, now=times.now)


async def _orders(client: PivClient, seen: Seen, rows: Sequence[Pending], times: Times, whole: bool) -> None:
    del rows, whole
    orders = await seen.all(client.proxies.orders, LARGE_PAGE)
    now = utc(times.remote_time())
    seen.soon += filter(None, (outcomes.of_order(order, now) for order in orders))
    _note_next(seen, [order.expires_at for order in orders], PROXY_LEAD, times)


_LOOKS = {"domains": _domains, "numbers": _numbers, "orders": _orders, "whites": _whites}


def _note_next(seen: Seen, ends: Sequence[datetime | None], lead: timedelta, times: Times) -> None:
    now = times.remote_time()
    # In seconds: from a date of the year 1, which some servers write for none, nothing can be taken.
    soon = [end.timestamp() - lead.total_seconds() for end in ends if end is not None]
    seen.next_at = min((moment for moment in soon if moment > now), default=None)


def _is_after(moment: datetime | None, previous: float | None) -> bool:
    return moment is not None and previous is not None and moment.timestamp() > previous
