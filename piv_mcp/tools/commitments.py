"""The tool of what ends or renews: numbers, proxy orders and domains in one list, with what their renewal costs."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from piv_mcp.api.models import Money, UtcDatetime
from piv_mcp.services import Services, services
from piv_mcp.spending.commitments import READERS, Commitment, automatic_cost, unknown_costs
from piv_mcp.text.times import utc
from piv_mcp.tools.answers import Answer, Bounded
from piv_mcp.tools.spec import Ctx, read

LISTED_NOW = (
    "In US dollars, at the prices that piv.day lists now. automatic_cost is that of `renewals`, which a number pays"
    " 24 hours before it ends; what does not renew by itself is left out."
)


class CommitmentRow(Answer):
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


class CommitmentsAnswer(Bounded):
    """What ends or renews within `days`, what has expired first. `automatic_cost` is the sum of the known costs of
    all automatic renewals within the days; `unknown_costs` counts renewals whose cost is unknown; `left_out` counts
    what was not examined."""

    ROWS = "commitments"

    days: int
    commitments: list[CommitmentRow]
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
) -> CommitmentsAnswer:
    """List what expires soon (runs out) or renews by itself: upcoming renewals, subscriptions, recurring costs of
    numbers, proxies, domains. Also what can be restored."""
    return await commitments(await services(ctx), days=days)


async def commitments(app: Services, *, days: int) -> CommitmentsAnswer:
    """What ends within so many days, the soonest first."""
    now = utc(app.clock.time())
    latest = now + timedelta(days=days)
    parts = [await reader(app.client, now, latest) for area, reader in READERS.items() if app.has(area)]
    app.phonebook.remember([number for part in parts for number in part.numbers])
    found = sorted((row for part in parts for row in part.rows), key=lambda row: row.ends_at)
    return CommitmentsAnswer(
        days=days,
        commitments=[_row(item) for item in found],
        automatic_cost=automatic_cost(found),
        unknown_costs=unknown_costs(found),
        balance=(await app.client.account.get()).balance,
        left_out=sum(part.left_out for part in parts) or None,
    )


def _row(item: Commitment) -> CommitmentRow:
    return CommitmentRow(
        what=item.what,
        id=item.id,
        name=f"{item.quantity} in {item.country}" if item.what == "proxy order" else item.name,
        state=item.state or "unknown",
        ends_at=item.ends_at,
        renews_by_itself=bool(item.renewals),
        renewal_cost=item.price,
        renewal_covers=_covered(item),
        renewals=item.renewals or None,
        restore=_restore(item) if item.has_ended else None,
    )


def _covered(item: Commitment) -> str:
    """What the price of a renewal is for."""
    match item.what:
        case "number":
            return "one month of 30 days"
        case "proxy order":
            return f"the whole order ({item.quantity} proxies), one calendar month"
        case "domain":
            return "one year"


def _restore(item: Commitment) -> str:
    """How it can be had back, and until when."""
    match item.what:
        case "number":
            return f"restore_numbers, until {item.restorable_until:%Y-%m-%d %H:%M} UTC; dearer than a new number"
        case "proxy order":
            return "restore_proxy_order; piv.day does not say until when (a number: seven days)"
        case "domain":
            return "renew_domain may still work; piv.day does not say until when"


TOOLS = (read(list_commitments, "What expires"),)
