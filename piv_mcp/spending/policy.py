"""Which actions a person approves, which the budget approves, and which are refused."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from piv_mcp.spending.actions.base import Action
from piv_mcp.spending.quote import Price

Mode = Literal["ask", "budget", "deny"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The person's settings. Amounts are US dollars."""

    mode: Mode = "ask"
    auto_approve_max: Decimal = Decimal(0)
    daily_budget: Decimal = Decimal(0)
    confirm_destructive: bool = True

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
