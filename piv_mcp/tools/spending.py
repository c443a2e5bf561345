"""Tools of the journal: list what was spent, and settle requests whose answer was lost."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, Field
from pydantic.json_schema import SkipJsonSchema

from piv_mcp.api.models import Money
from piv_mcp.errors import NotFoundError
from piv_mcp.services import Services, services
from piv_mcp.spending.errors import frozen_since
from piv_mcp.spending.journal import Journal
from piv_mcp.spending.policy import Policy
from piv_mcp.spending.quote import quote_of
from piv_mcp.spending.receipt import Outcome, about, decided, difference, outcome
from piv_mcp.spending.reconcile.hearsay import note_refunds
from piv_mcp.store import spending_pages, spending_sums
from piv_mcp.store.journal import Entry
from piv_mcp.store.spending_pages import EntryFilter
from piv_mcp.store.spending_sums import combined
from piv_mcp.text.times import DAY_SECONDS, utc
from piv_mcp.text.untrusted import one_line
from piv_mcp.tools.answers import Answer, Bounded
from piv_mcp.tools.parameters import limited, lower
from piv_mcp.tools.spec import Ctx, read, write

_WITHOUT_BUDGET = {"ask": "the person is asked about every purchase.", "deny": "their settings allow no purchase."}


class EntryRow(Answer):
    """One entry of the journal. `evidence` is what settled it after its answer was lost; `refund_reported` is what an
    event says was paid back after it failed: webhooks are not signed, so compare the balance."""

    spending_id: str
    state: Outcome
    action: str
    quoted: str
    later: str | None = None
    before: dict[str, Any] | None = None
    over_budget: str | None = None
    charged: Money | None = None
    refund_reported: Money | None = None
    agent: str | None = None
    quoted_at: datetime
    decision: str | None = None
    decided_at: datetime | None = None
    settled_at: datetime | None = None
    problem: str | None = None
    evidence: str | None = None


class Total(Answer):
    day: str
    area: str
    charged: Money
    actions: int


class AreaBudget(Answer):
    area: str
    per_day: Money
    left_today: Money


class BudgetLeft(Answer):
    per_action: Money
    per_day: Money
    left_today: Money
    areas: list[AreaBudget] | None = None


class Spending(Bounded):
    """`mode`: who approves (ask, budget, deny). `charged` and `totals`, by day (UTC) and area, are before refunds.
    `unknown_charges` counts actions whose charge is unknown and therefore not included. `frozen`: since when, and by
    whom, nothing that costs money is sent. `note`: what is told of."""

    ROWS = "entries"

    mode: str
    entries: list[EntryRow]
    totals: list[Total]
    charged: Money
    unknown_charges: int | None = None
    left_out: int | None = None
    budget: BudgetLeft | None = None
    frozen: str | None = None
    note: str
    start: SkipJsonSchema[int] = Field(default=0, exclude=True)
    """The offset of the first entry."""

    def continuation(self, count: int) -> str:
        return f"Go on with offset={self.start + count}."

    def continued(self, count: int) -> dict[str, Any]:
        return {"left_out": (self.left_out or 0) + len(self.entries) - count}


class Reconciled(Answer):
    """`unknown` entries block the same action until they are settled."""

    entries: list[EntryRow]
    unknown: int
    note: str


async def list_spending(
    ctx: Ctx,
    days: Annotated[int, Field(ge=1, le=3650, strict=True, description="How many days back, each of 24 hours.")] = 30,
    state: Outcome | None = None,
    limit: Annotated[int, Field(ge=1, le=200, strict=True, description="Entries shown; totals count all.")] = 20,
    offset: Annotated[int, Field(ge=0, strict=True, description="Entries to skip.")] = 0,
) -> Spending:
    """List what was spent through these tools (how much did I spend, what did I buy): purchases, payments and costs by
    day and area, what was declined or left unknown, and the budget left."""
    return await spending(await services(ctx), days=days, state=state, limit=limit, offset=offset)


async def reconcile_spending(
    ctx: Ctx,
    spending_id: Annotated[
        str,
        AfterValidator(lower),
        limited(13, form="sp_[0-9a-f]{10}", words="an id of the journal, such as sp_0123456789"),
        Field(description="From list_spending. Default: all unknown ones."),
    ]
    | None = None,
) -> Reconciled:
    """Find out whether purchases with an unknown outcome (timed out, failed) went through and were charged, by what the
    account shows. Sends no purchase."""
    app = await services(ctx)
    journal = app.gate.journal
    entries = await journal.recover()
    if spending_id is not None:
        entry = await journal.get(spending_id)
        if entry is None:
            raise NotFoundError(f"the journal has no entry {spending_id}", code="NOT_FOUND")
        entries = [entry]

    async def tell(seconds: float) -> None:
        await ctx.report_progress(0, seconds, "waiting until the request can no longer be in flight")

    looked = await app.gate.reconciler.reconcile_patiently(entries, tell)
    for entry in looked:
        await journal.report(entry.id)
    unknown = sum(entry.state == "unknown" for entry in looked)
    return Reconciled(entries=[_row(entry) for entry in looked], unknown=unknown, note=_note(looked, unknown))


async def spending(app: Services, *, days: int, state: Outcome | None, limit: int, offset: int = 0) -> Spending:
    """The journal of the last `days` days."""
    journal, policy = app.gate.journal, app.gate.policy
    await journal.expire()
    await journal.store.write(note_refunds)  # by all events, whoever asks
    since = app.clock.time() - days * DAY_SECONDS
    wanted = EntryFilter(since=since, outcome=state, agent=journal.agent)
    shown = await journal.store.read(spending_pages.newest, wanted, limit=limit, offset=offset)
    count = await journal.store.read(spending_pages.count, wanted)
    sums = combined(await journal.store.read(spending_sums.charged, since, journal.agent), by_agent=False)
    freeze = await journal.freeze()
    budget = None
    note = (
        f"The last {days} days, each of 24 hours: what went through this store of piv-mcp, not what was done in the "
        "dashboard or elsewhere. The totals are in US dollars, before refunds, by day in UTC."
    )
    if policy.mode == "budget":
        budget = await budget_left(journal, policy)
    else:
        note += " There is no budget: " + _WITHOUT_BUDGET[policy.mode]
    return Spending(
        mode=policy.mode,
        entries=[_row(entry) for entry in shown],
        totals=[Total(day=of.day, area=of.area, charged=of.charged, actions=of.actions) for of in sums if of.actions],
        charged=sum((of.charged for of in sums), Decimal(0)),
        unknown_charges=sum(of.unknown for of in sums) or None,
        left_out=max(0, count - offset - limit) or None,
        budget=budget,
        frozen=None if freeze is None else frozen_since(freeze),
        note=note,
        start=offset,
    )


async def budget_left(journal: Journal, policy: Policy) -> BudgetLeft:
    """What the caller may spend without a question: of the day, the lower of the account's and their own."""
    common = (policy.day, *policy.own)
    left = await journal.left((*common, *policy.areas))
    areas = [
        AreaBudget(area=limit.of or "", per_day=limit.amount, left_today=rest)
        for limit, rest in zip(policy.areas, left[len(common) :], strict=True)
    ]
    return BudgetLeft(
        per_action=policy.auto_approve_max,
        per_day=min(limit.amount for limit in common),
        left_today=min(left[: len(common)]),
        areas=areas or None,
    )


def _row(entry: Entry) -> EntryRow:
    quote = quote_of(entry)
    ended = outcome(entry, quote)
    return EntryRow(
        spending_id=entry.id,
        state=ended,
        action=quote.action,
        quoted=quote.price_words,
        charged=_money(entry.charged) if ended != "done" else None,
        refund_reported=_money(entry.refunded),
        agent=None if entry.agent is None else one_line(entry.agent),
        quoted_at=utc(entry.quoted_at),
        **about(quote),
        **decided(entry),
        settled_at=utc(entry.settled_at) if entry.settled_at is not None else None,
        problem=entry.problem,
        evidence=entry.evidence,
    )


def _money(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _note(looked: list[Entry], unknown: int) -> str:
    if not looked:
        return "No outcome is unknown."
    told = [f"{entry.id}: {words}." for entry in looked if (words := difference(entry)) is not None]
    if unknown:
        told.append(
            "For the entries that are still unknown, the account does not show, or not yet, what happened: call again "
            "later. Until they are settled, the same action is blocked. A person can settle them with `piv-mcp "
            "approvals` in a terminal."
        )
    return " ".join(told) or "All settled."


TOOLS = (
    read(list_spending, "Spending", local=True),
    write(reconcile_spending, "Reconcile spending", destructive=False, idempotent=True),
)
