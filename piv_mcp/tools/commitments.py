"""The tool of what ends or renews: numbers, proxy orders and domains in one list, with what their renewal costs."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from piv_mcp.api.domains import Domain
from piv_mcp.api.models import LARGE_PAGE, SMALL_PAGE, Money, UtcDatetime
from piv_mcp.api.numbers import Number
from piv_mcp.api.paging import all_rows
from piv_mcp.api.proxies import ProxyOrder
from piv_mcp.config import Area
from piv_mcp.errors import PivError
from piv_mcp.services import Services, services
from piv_mcp.spending.actions.domains import renewal_price
from piv_mcp.text.times import utc
from piv_mcp.tools.answers import Answer, Bounded
from piv_mcp.tools.spec import Ctx, read

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

LISTED_NOW = (
    "In US dollars, at the prices that piv.day lists now. automatic_cost is that of `renewals`, which a number pays"
    " 24 hours before it ends; what does not renew by itself is left out."
)


class Commitment(Answer):
    """One thing that ends. `renewal_cost` is for all that `renewal_covers` says; `renewals` is how often it renews by
    itself within the days."""

    what: Literal["number", "proxy order", "domain"]
    id: str
    name: str | None = None
    state: str
    ends_at: UtcDatetime
    renews_by_itself: bool
    renewal_cost: Money | None = None
    renewal_covers: str
    renewals: int | None = None
    restore: str | None = None


class Commitments(Bounded):
    """What ends or renews within `days`, what has expired first. `automatic_cost` is the sum of the known costs of
    all automatic renewals within the days; `unknown_costs` counts renewals whose cost is unknown; `left_out` counts
    what was not examined."""

    ROWS = "commitments"

    days: int
    commitments: list[Commitment]
    automatic_cost: Money
    unknown_costs: int
    balance: Money | None = None
    left_out: int | None = None
    note: str = LISTED_NOW

    def continuation(self, count: int) -> str:
        last = self.commitments[count - 1].ends_at
        return f"They end from {last:%Y-%m-%d} on: list_numbers, list_proxy_orders and list_domains have them."


async def list_commitments(
    ctx: Ctx,
    days: Annotated[int, Field(ge=1, le=3650, strict=True, description="To see all that renews by itself: 3650.")] = 30,
) -> Commitments:
    """List what expires soon (runs out) or renews by itself: upcoming renewals, subscriptions, recurring costs of
    numbers, proxies, domains. Also what can be restored."""
    return await commitments(await services(ctx), days=days)


async def commitments(app: Services, *, days: int) -> Commitments:
    """What ends within so many days, the soonest first."""
    now = utc(app.clock.time())
    latest = now + timedelta(days=days)
    parts = [await reader(app, now, latest) for area, reader in _READERS.items() if app.has(area)]
    found = sorted((item for part, _ in parts for item in part), key=lambda item: item.ends_at)
    renewable = [item for item in found if item.restore is None]
    automatic = [item.renewal_cost * (item.renewals or 0) for item in renewable if item.renewal_cost is not None]
    return Commitments(
        days=days,
        commitments=found,
        automatic_cost=sum(automatic, Decimal(0)),
        unknown_costs=sum(item.renewal_cost is None for item in renewable),
        balance=(await app.client.account.get()).balance,
        left_out=sum(left_out for _, left_out in parts) or None,
    )


async def _numbers(app: Services, now: datetime, latest: datetime) -> tuple[list[Commitment], int]:
    found, total = await all_rows(app.client.numbers.list, SMALL_PAGE, most=MAX_ROWS)
    app.phonebook.remember(found)
    rows = [
        (item, row)
        for item in found
        if item.expires_at is not None and (row := _number(item, item.expires_at, now, latest)) is not None
    ]
    prices: dict[str | None, Money | None] = {}
    if any(row.restore is None for _, row in rows):
        prices = {country.country_code: country.price_per_month for country in await app.client.numbers.countries()}
    return [
        row if row.restore else row.model_copy(update={"renewal_cost": prices.get(item.country_code)})
        for item, row in rows
    ], total - len(found)


def _number(item: Number, ends_at: datetime, now: datetime, latest: datetime) -> Commitment | None:
    renews = bool(item.auto_renew)
    restore = None
    if _has_ended(item.status, ends_at, now):
        if now - ends_at > RESTORABLE and item.status != "pending_restore":
            return None
        until = min(ends_at, now) + RESTORABLE
        restore = f"restore_numbers, until {until:%Y-%m-%d %H:%M} UTC; dearer than a new number"
    elif ends_at - latest > CHARGED_BEFORE * renews:
        return None
    return Commitment(
        what="number",
        id=item.piv_num_id,
        name=item.custom_name or item.phone_number,
        state=item.status or "unknown",
        ends_at=ends_at,
        renews_by_itself=renews and restore is None,
        renewal_covers="one month of 30 days",
        renewals=_renewals(ends_at - CHARGED_BEFORE, MONTH, latest) if renews and restore is None else None,
        restore=restore,
    )


async def _orders(app: Services, now: datetime, latest: datetime) -> tuple[list[Commitment], int]:
    found, total = await all_rows(app.client.proxies.orders, LARGE_PAGE, most=MAX_ROWS)
    return [
        row
        for item in found
        if item.expires_at is not None and (row := _order(item, item.expires_at, now, latest)) is not None
    ], total - len(found)


def _order(item: ProxyOrder, ends_at: datetime, now: datetime, latest: datetime) -> Commitment | None:
    restore = None
    if _has_ended(item.status, ends_at, now):
        if now - ends_at > REMEMBERED:
            return None
        restore = "restore_proxy_order; piv.day does not say until when (a number: seven days)"
    elif ends_at > latest:
        return None
    quantity, price = item.quantity, item.price_per_proxy
    return Commitment(
        what="proxy order",
        id=item.id,
        name=f"{quantity} in {item.country}",
        state=item.status or "unknown",
        ends_at=ends_at,
        renews_by_itself=False,
        renewal_cost=None if restore or price is None or quantity is None else price * quantity,
        renewal_covers=f"the whole order ({quantity} proxies), one calendar month",
        restore=restore,
    )


async def _domains(app: Services, now: datetime, latest: datetime) -> tuple[list[Commitment], int]:
    found, total = await all_rows(app.client.domains.list, LARGE_PAGE, most=MAX_ROWS)
    rows = [
        (item, row)
        for item in found
        if item.expires_at is not None and (row := _domain(item, item.expires_at, now, latest)) is not None
    ]
    renewable = sorted((item for item, row in rows if row.restore is None), key=lambda item: item.expires_at or latest)
    prices = await _renewal_prices(app, renewable[:MAX_DOMAIN_PRICES])
    return [row.model_copy(update={"renewal_cost": prices.get(item.id)}) for item, row in rows], total - len(found)


def _domain(item: Domain, ends_at: datetime, now: datetime, latest: datetime) -> Commitment | None:
    restore = None
    if _has_ended(item.status, ends_at, now):
        if now - ends_at > REMEMBERED:
            return None
        restore = "renew_domain may still work; piv.day does not say until when"
    elif ends_at > latest:
        return None
    return Commitment(
        what="domain",
        id=item.id,
        name=item.domain_name,
        state=item.status or "unknown",
        ends_at=ends_at,
        renews_by_itself=bool(item.auto_renew) and restore is None,
        renewal_covers="one year",
        renewals=_renewals(ends_at, YEAR, latest) if item.auto_renew and restore is None else None,
        restore=restore,
    )


async def _renewal_prices(app: Services, domains: Sequence[Domain]) -> dict[str, Money | None]:
    """The prices of one more year by the domains' ids. One that cannot be had now is unknown, and costs no other."""
    answers = await asyncio.gather(
        *(renewal_price(app.client.domains, domain) for domain in domains), return_exceptions=True
    )
    prices: dict[str, Money | None] = {}
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


def _has_ended(status: str | None, ends_at: datetime, now: datetime) -> bool:
    """A day is left for what piv.day calls active after its end: it may be renewing it."""
    late = now - ends_at
    return status in ("expired", "pending_restore") or late >= (
        timedelta(days=1) if status == "active" else timedelta()
    )


_READERS: Mapping[Area, Callable[[Services, datetime, datetime], Awaitable[tuple[list[Commitment], int]]]] = {
    "numbers": _numbers,
    "proxies": _orders,
    "domains": _domains,
}

TOOLS = (read(list_commitments, "What expires"),)
