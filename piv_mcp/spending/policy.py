"""Who approves what."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from piv_mcp.spending.actions.base import Action
from piv_mcp.spending.quote import Price

Mode = Literal["ask", "budget", "deny"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """As the person set it. Amounts are US dollars."""

    mode: Mode = "ask"
    auto_approve_max: Decimal = Decimal(0)
    daily_budget: Decimal = Decimal(0)
    confirm_destructive: bool = True

    def refuses(self, action: Action) -> bool:
        """Money, now or later, in a mode that spends none."""
        return self.mode == "deny" and (action.spends or action.commits)

    def waves_through(self, action: Action) -> bool:
        """A change without cost that the person does not want to be asked about."""
        return not self.confirm_destructive and not (action.spends or action.commits)

    def budget_for(self, action: Action, price: Price) -> Decimal | None:
        """What the budget must hold to approve this by itself; None if a person is asked in any case.

        An unknown price always asks, as does what recurs: a budget covers one payment, not a commitment. What costs
        nothing but changes something for good is no matter of money.
        """
        if self.mode != "budget" or not action.spends or action.commits or price.amount is None:
            return None
        return price.amount if price.amount <= self.auto_approve_max else None
