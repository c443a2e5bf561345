"""What ends or renews by itself: numbers, proxy orders and domains, and what their renewal costs."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

from piv_mcp.api.client import PivClient
from piv_mcp.api.domains import Domain
from piv_mcp.api.models import LARGE_PAGE, SMALL_PAGE
from piv_mcp.api.numbers import Number
from piv_mcp.api.paging import all_rows
from piv_mcp.api.proxies import ProxyOrder
from piv_mcp.config import Area
from piv_mcp.errors import PivError
from piv_mcp.spending.actions.domains import renewal_price

MAX_ROWS = 1000
"""Numbers, orders and domains of each kind that are examined."""

MAX_DOMAIN_PRICES = 10
"""Maximum number of domains whose renewal price is looked up, with one request each."""

CHARGED_BEFORE = timedelta(days=1)
"""A number's automatic renewal is charged this long before it ends (reference: 号码, 自动续期)."""

MONTH, YEAR = timedelta(days=30), timedelta(days=365)
"""What an automatic renewal adds to a number (reference: 号码), and to a domain."""

RESTORABLE = timedelta(days=7)
"""How long an expired number can be restored (reference: 恢复已过期号码)."""

REMEMBERED = timedelta(days=30)
"""How long expired orders and domains are listed: the reference does not say how long they can be had back."""

EVER = timedelta(days=3650)
"""Whatever renews by itself does so within this time."""

RENEWING: Sequence[Area] = ("numbers", "domains")
"""The areas in which something renews by itself."""

What = Literal["number", "proxy order", "domain"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Commitment:
    """One thing that ends. `price` is that of one renewal in US dollars, None if it is unknown: a month of a number or
    of a whole proxy order (its `quantity` in `country`), a year of a domain."""

    what: What
    id: str
    name: str | None = None
    state: str | None = None
    ends_at: datetime
    price: Decimal | None = None
    country: str | None = None
    quantity: int | None = None
    renewals: int = 0
    """How often it renews by itself within the time that was asked about; 0: it does not."""
    has_ended: bool = False
    """It has expired, and can be restored, or may be."""
    restorable_until: datetime | None = None
    """Until when piv.day says that it can be restored; None: it does not say."""

    @property
    def charged_at(self) -> datetime:
        """When its next renewal is charged, if it renews by itself."""
        return self.ends_at - CHARGED_BEFORE if self.what == "number" else self.ends_at


@dataclass(frozen=True, slots=True)
class Commitments:
    """What areas have of them, and how many of their rows were not examined. `numbers`: those that were read."""

    rows: Sequence[Commitment]
    left_out: int = 0
    numbers: Sequence[Number] = ()


def automatic_cost(rows: Sequence[Commitment]) -> Decimal:
    """The sum of the known costs of all automatic renewals, in US dollars."""
    return sum((row.price * row.renewals for row in rows if row.price is not None and not row.has_ended), Decimal(0))


def unknown_costs(rows: Sequence[Commitment]) -> int:
    """How many can be renewed at a cost that is not known."""
    return sum(row.price is None and not row.has_ended for row in rows)


def read_renewals(client: PivClient, area: Area, now: datetime) -> Awaitable[Commitments]:
    """What an area of `RENEWING` has, however late it renews."""
    return READERS[area](client, now, now + EVER)


def renewing(parts: Iterable[Commitments]) -> Commitments:
    """All that renews by itself in areas, the soonest first."""
    found = list(parts)
    rows = sorted((row for part in found for row in part.rows if row.renewals), key=lambda row: row.charged_at)
    return Commitments(rows, sum(part.left_out for part in found))


async def of_numbers(client: PivClient, now: datetime, latest: datetime) -> Commitments:
    """Numbers that end until `latest`, are charged until then, or can be restored."""
    found, total = await all_rows(client.numbers.list, SMALL_PAGE, most=MAX_ROWS)
    rows = [row for item in found if (row := _number(item, now, latest)) is not None]
    prices: dict[str | None, Decimal | None] = {}
    if any(not row.has_ended for row in rows):
        prices = {country.country_code: country.price_per_month for country in await client.numbers.countries()}
    priced = [row if row.has_ended else replace(row, price=prices.get(row.country)) for row in rows]
    return Commitments(priced, total - len(found), found)


def _number(item: Number, now: datetime, latest: datetime) -> Commitment | None:
    if (ends_at := item.expires_at) is None:
        return None
    has_ended, renews = _has_ended(item.status, ends_at, now), bool(item.auto_renew)
    if has_ended and now - ends_at > RESTORABLE and item.status != "pending_restore":
        return None
    if not has_ended and ends_at - latest > CHARGED_BEFORE * renews:
        return None
    return Commitment(
        what="number",
        id=item.piv_num_id,
        name=item.custom_name or item.phone_number,
        state=item.status,
        ends_at=ends_at,
        country=item.country_code,
        renewals=_renewals(ends_at - CHARGED_BEFORE, MONTH, latest) if renews and not has_ended else 0,
        has_ended=has_ended,
        restorable_until=min(ends_at, now) + RESTORABLE if has_ended else None,
    )


async def of_orders(client: PivClient, now: datetime, latest: datetime) -> Commitments:
    """Proxy orders that end until `latest`, or ended lately. None renews by itself."""
    found, total = await all_rows(client.proxies.orders, LARGE_PAGE, most=MAX_ROWS)
    rows = [row for item in found if (row := _order(item, now, latest)) is not None]
    return Commitments(rows, total - len(found))


def _order(item: ProxyOrder, now: datetime, latest: datetime) -> Commitment | None:
    if (ends_at := item.expires_at) is None or not _is_listed(item.status, ends_at, now, latest):
        return None
    has_ended = _has_ended(item.status, ends_at, now)
    price, quantity = item.price_per_proxy, item.quantity
    return Commitment(
        what="proxy order",
        id=item.id,
        state=item.status,
        ends_at=ends_at,
        price=None if has_ended or price is None or quantity is None else price * quantity,
        country=item.country,
        quantity=quantity,
        has_ended=has_ended,
    )


async def of_domains(client: PivClient, now: datetime, latest: datetime) -> Commitments:
    """Domains that end until `latest`, or ended lately. Prices are looked up of what renews by itself first, then of
    what ends soonest."""
    found, total = await all_rows(client.domains.list, LARGE_PAGE, most=MAX_ROWS)
    rows = {item.id: row for item in found if (row := _domain(item, now, latest)) is not None}
    renewable = [item for item in found if item.id in rows and not rows[item.id].has_ended]
    renewable.sort(key=lambda item: (not item.auto_renew, item.expires_at or latest))
    prices = await _renewal_prices(client, renewable[:MAX_DOMAIN_PRICES])
    return Commitments([replace(row, price=prices.get(id)) for id, row in rows.items()], total - len(found))


def _domain(item: Domain, now: datetime, latest: datetime) -> Commitment | None:
    if (ends_at := item.expires_at) is None or not _is_listed(item.status, ends_at, now, latest):
        return None
    has_ended = _has_ended(item.status, ends_at, now)
    return Commitment(
        what="domain",
        id=item.id,
        name=item.domain_name,
        state=item.status,
        ends_at=ends_at,
        renewals=_renewals(ends_at, YEAR, latest) if item.auto_renew and not has_ended else 0,
        has_ended=has_ended,
    )


async def _renewal_prices(client: PivClient, domains: Sequence[Domain]) -> dict[str, Decimal | None]:
    """The prices of one more year by the domains' ids. One that cannot be had now is unknown, and costs no other."""
    answers = await asyncio.gather(
        *(renewal_price(client.domains, domain) for domain in domains), return_exceptions=True
    )
    prices: dict[str, Decimal | None] = {}
    for domain, answer in zip(domains, answers, strict=True):
        if isinstance(answer, BaseException):
            if not isinstance(answer, PivError):
                raise answer
        else:
            prices[domain.id] = answer
    return prices


def _renewals(first: datetime, every: timedelta, latest: datetime) -> int:
    """How often something is charged from `first` on until `latest`, but once at least: it is listed for that."""
    return max(1, (latest - first) // every + 1)


def _is_listed(status: str | None, ends_at: datetime, now: datetime, latest: datetime) -> bool:
    return now - ends_at <= REMEMBERED if _has_ended(status, ends_at, now) else ends_at <= latest


def _has_ended(status: str | None, ends_at: datetime, now: datetime) -> bool:
    """A day is left for what piv.day calls active after its end: it may be renewing it."""
    late = now - ends_at
    return status in ("expired", "pending_restore") or late >= (
        timedelta(days=1) if status == "active" else timedelta()
    )


READERS: Mapping[Area, Callable[[PivClient, datetime, datetime], Awaitable[Commitments]]] = {
    "numbers": of_numbers,
    "proxies": of_orders,
    "domains": of_domains,
}
"""By area: a client, the time now, and the time until which it is asked about."""
