"""The price of an action, as far as the API lists it, and the words in which a person reads it."""

from datetime import datetime
from decimal import Decimal
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict

FREEZE_SECONDS = 600.0
"""How long a quote, and an approval of it, is valid, in seconds."""

Certainty = Literal["exact", "estimate", "unknown"]


class Price(BaseModel):
    """What an action costs now and later, in US dollars.

    `amount` is None if the price is unknown. `floor` is a known minimum of a price that is not exact. `recurring`
    describes later, repeated charges in words.
    """

    model_config = ConfigDict(frozen=True)

    amount: Decimal | None
    certainty: Certainty = "exact"
    floor: Decimal | None = None
    reason: str | None = None
    recurring: str | None = None

    @classmethod
    def unknown(cls, reason: str, *, floor: Decimal | None = None, recurring: str | None = None) -> Self:
        return cls(amount=None, certainty="unknown", floor=floor, reason=reason, recurring=recurring)

    @property
    def least(self) -> Decimal | None:
        """The known minimum of the price; None if there is none."""
        return self.amount if self.certainty == "exact" else self.floor


FREE = Price(amount=Decimal(0))


class Quote(BaseModel):
    """A question to a person: the action in words, its price, the balance. It does not change once it was asked."""

    model_config = ConfigDict(frozen=True)

    action: str
    price: Price
    balance: Decimal | None = None
    notes: list[str] = []

    @property
    def balance_after(self) -> Decimal | None:
        amount = self.price.amount
        return None if self.balance is None or amount is None else self.balance - amount

    @property
    def is_covered(self) -> bool:
        """Whether the balance covers the known minimum of the price. piv.day decides whether it covers the rest."""
        return self.balance is None or self.price.least is None or self.balance >= self.price.least

    @property
    def price_words(self) -> str:
        """For example `4.00 USD (exact)` or `unknown, at least 4.00 USD (restoring has no listed price)`."""
        price = self.price
        if price.amount is None:
            floor = f", at least {dollars(price.floor)}" if price.floor is not None else ""
            return f"unknown{floor}" + (f" ({price.reason})" if price.reason else "")
        return f"{dollars(price.amount)} ({'; '.join(filter(None, [price.certainty, price.reason]))})"

    def lines(self) -> list[tuple[str, str]]:
        """The quote in full, as (label, value): the same words in every channel, independent of the time."""
        # A name with line breaks stays on one line, so that its text cannot look like another line of the quote.
        rows = [("Action", " ".join(self.action.split())), ("Price", self.price_words)]
        if self.price.recurring:
            rows.append(("Then", self.price.recurring))
        if self.balance is not None:
            rows.append(("Balance now", dollars(self.balance)))
        if self.balance_after is not None:
            short = " (not enough, if the estimate is right)" if self.balance_after < 0 else ""
            rows.append(("Balance after", f"{dollars(self.balance_after)}{short}"))
        return rows + [("Note", note) for note in self.notes]


def dollars(amount: Decimal | None) -> str:
    if amount is None:
        return "unknown"
    cents = amount.quantize(Decimal("0.01"))
    return f"{cents if cents == amount else amount.normalize():f} USD"


def months(count: int) -> str:
    return "1 month" if count == 1 else f"{count} months"


def years(count: int) -> str:
    return "1 year" if count == 1 else f"{count} years"


def switch(on: bool) -> str:
    return "on" if on else "off"


def recurring(price: Decimal | None, period: str) -> str:
    """The charges of auto-renewal, in words."""
    amount = "an unlisted price" if price is None else dollars(price)
    return f"{amount} every {period}, until auto-renewal is turned off"


def day(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d}" if moment else "its expiry date"
