"""Which actions a person approves, which the budget approves, and which are refused."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation

from piv_mcp.config import PaidArea, Settings, SpendMode
from piv_mcp.spending.actions.base import Action
from piv_mcp.spending.messages import Message, message
from piv_mcp.spending.quote import Price
from piv_mcp.store.agents import Agent
from piv_mcp.store.limits import Budget, Limit, Obstacle


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The person's settings. Amounts are US dollars."""

    mode: SpendMode = "ask"
    auto_approve_max: Decimal = Decimal(0)
    daily_budget: Decimal = Decimal(0)
    confirm_destructive: bool = True
    budgets: Mapping[PaidArea, Decimal] = field(default_factory=dict[PaidArea, Decimal])
    """What may be spent of the daily budget in an area; those that are not named: all of it."""
    own_budget: Decimal | None = None
    """What an agent may spend of the daily budget; None: all of it."""
    agent: str | None = None

    @classmethod
    def of(cls, settings: Settings) -> "Policy":
        return cls(
            mode=settings.spend_mode,
            auto_approve_max=settings.auto_approve_max,
            daily_budget=settings.daily_budget,
            budgets=settings.budgets or {},
            confirm_destructive=settings.confirm_destructive,
        )

    def narrowed_to(self, agent: Agent) -> "Policy":
        """The settings with the agent's limits on top: it can have no more than the person's settings give."""
        most = self.auto_approve_max
        if agent.auto_approve_max is not None:
            most = min(most, _amount(agent.auto_approve_max))
        own = None if agent.daily_budget is None else _amount(agent.daily_budget)
        return replace(self, mode=agent.mode_within(self.mode), auto_approve_max=most, own_budget=own, agent=agent.name)

    def refuses(self, action: Action) -> bool:
        """Whether the mode is `deny` and the action costs money, now or later."""
        return self.mode == "deny" and action.costs_money

    def needs_no_approval(self, action: Action) -> bool:
        """Whether the action costs nothing and the person does not want to confirm such actions."""
        return not self.confirm_destructive and not action.costs_money

    def budget_for(self, action: Action, price: Price) -> Budget | None:
        """What the budget needs to approve the action without a person; None if a person must decide.

        A person decides on unknown prices, on recurring charges, and on irreversible changes that cost nothing.
        """
        amount = price.amount
        if self.mode != "budget" or not action.spends or action.has_recurring_charges:
            return None
        if amount is None or amount <= 0:
            return None
        areas = [limit for limit in self.areas if limit.of == action.area]
        return Budget(amount, (Limit("action", self.auto_approve_max), *self.own, *areas, self.day))

    @property
    def day(self) -> Limit:
        """The limit of all that the budget approves in 24 hours."""
        return Limit("day", self.daily_budget)

    @property
    def own(self) -> tuple[Limit, ...]:
        """The limit of the agent, if it has one."""
        return () if self.own_budget is None else (Limit("agent", self.own_budget, self.agent),)

    @property
    def areas(self) -> tuple[Limit, ...]:
        """The limits of areas."""
        return tuple(Limit("area", amount, area) for area, amount in self.budgets.items())


def over_budget(obstacle: Obstacle, *, is_shared: bool) -> Message:
    """Which limit keeps the budget from approving an action, as a note for the person. The question can pass through
    the client of an agent: with `is_shared` it has a budget of its own, and is not told how much the account's is."""
    limit, left = obstacle.limit, obstacle.left
    if limit.counts == "day" and is_shared:
        return message("over_shared_budget", left=left)
    named = {"area": limit.of} if limit.counts == "area" else {}
    return message(f"over_{limit.counts}_budget", limit=limit.amount, left=left, **named)


def _amount(text: str) -> Decimal:
    """An agent's limit in US dollars; nothing, if it is damaged."""
    try:
        amount = Decimal(text)
    except InvalidOperation:
        return Decimal(0)
    return amount if amount.is_finite() else Decimal(0)
