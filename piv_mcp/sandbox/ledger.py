"""The balance, and every charge and refund."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from piv_mcp.sandbox.clock import SandboxClock
from piv_mcp.sandbox.errors import insufficient_balance
from piv_mcp.sandbox.wire import cents


@dataclass(frozen=True)
class Charge:
    at: datetime
    action: str
    """`number.purchase`, `white.create`, ...; a refund ends in `.refund`."""
    id: str
    """The id of what was paid for: a number, a proxy order, a domain, a white or an SMS."""
    amount: Decimal
    """In dollars; negative for a refund."""


class Ledger:
    def __init__(self, balance: Decimal, clock: SandboxClock) -> None:
        self.balance = cents(balance)
        self.charges: list[Charge] = []
        self._clock = clock

    def require(self, amount: Decimal) -> None:
        """Raise INSUFFICIENT_BALANCE unless `amount` can be paid."""
        if amount > self.balance:
            raise insufficient_balance(amount, self.balance)

    def charge(self, action: str, identifier: str, amount: Decimal) -> None:
        self.require(amount)
        self._move(action, identifier, amount)

    def refund(self, action: str, identifier: str, amount: Decimal) -> None:
        self._move(f"{action}.refund", identifier, -amount)

    def _move(self, action: str, identifier: str, amount: Decimal) -> None:
        self.balance -= amount
        self.charges.append(Charge(self._clock.now(), action, identifier, amount))
