"""Which actions a person approves, which the budget approves, and which are refused."""

from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation

from piv_mcp.config import SpendMode
from piv_mcp.spending.actions.base import Action
from piv_mcp.spending.quote import Price
from piv_mcp.store.agents import Agent


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The person's settings. Amounts are US dollars."""

    mode: SpendMode = "ask"
    auto_approve_max: Decimal = Decimal(0)
    daily_budget: Decimal = Decimal(0)
    confirm_destructive: bool = True
    own_budget: Decimal | None = None
    """What an agent may spend of the daily budget; None: all of it."""

    def narrowed_to(self, agent: Agent) -> "Policy":
        """The settings with the agent's limits on top: it can have no more than the person's settings give."""
        most = self.auto_approve_max
        if agent.auto_approve_max is not None:
            most = min(most, _amount(agent.auto_approve_max))
        own = None if agent.daily_budget is None else _amount(agent.daily_budget)
        return replace(self, mode=agent.mode_within(self.mode), auto_approve_max=most, own_budget=own)

    def refuses(self, action: Action) -> bool:
        """Whether the mode is `deny` and the action costs money, now or later."""
        return self.mode == "deny" and (action.spends or action.has_recurring_charges)

    def needs_no_approval(self, action: Action) -> bool:
        """Whether the action costs nothing and the person does not want to confirm such actions."""
        return not self.confirm_destructive and not (action.spends or action.has_recurring_charges)

    def budget_for(self, action: Action, price: Price) -> Decimal | None:
        """The amount that the budget needs to approve the action without a person; None if a person must decide.

        A person decides on unknown prices, on recurring charges, and on irreversible changes that cost nothing.
        """
        amount = price.amount
        if self.mode != "budget" or not action.spends or action.has_recurring_charges or amount is None:
            return None
        return amount if 0 < amount <= self.auto_approve_max else None


def _amount(text: str) -> Decimal:
    """An agent's limit in US dollars; nothing, if it is damaged."""
    try:
        amount = Decimal(text)
    except InvalidOperation:
        return Decimal(0)
    return amount if amount.is_finite() else Decimal(0)
