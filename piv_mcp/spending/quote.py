"""The price of an action, as far as the API lists it, and the question to a person."""

from decimal import Decimal
from typing import Any, Literal, Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from piv_mcp.spending.messages import Message, label, literal, message, priced
from piv_mcp.store.journal import Entry
from piv_mcp.text.language import PLAIN, Language

FREEZE_SECONDS = 600.0
"""How long a quote, and an approval of it, is valid, in seconds."""

Certainty = Literal["exact", "estimate", "unknown"]


class Price(BaseModel):
    """What an action costs now and later, in US dollars.

    `amount` is None if the price is unknown. `floor` is a known minimum of a price that is not exact. `recurring`
    describes later, repeated charges; its value `amount` is what each of them is listed at.
    """

    model_config = ConfigDict(frozen=True)

    amount: Decimal | None
    certainty: Certainty = "exact"
    floor: Decimal | None = None
    parts: dict[str, Decimal] = {}
    """The listed prices that it was calculated from, by what they are for."""
    reason: Message | None = None
    recurring: Message | None = None

    @classmethod
    def unknown(
        cls,
        reason: str,
        /,
        *,
        floor: Decimal | None = None,
        parts: dict[str, Decimal] | None = None,
        recurring: Message | None = None,
    ) -> Self:
        """`reason` is the id of a message."""
        return cls(
            amount=None,
            certainty="unknown",
            floor=floor,
            parts=parts or {},
            reason=message(reason),
            recurring=recurring,
        )

    @property
    def least(self) -> Decimal | None:
        """The known minimum of the price; None if there is none."""
        return self.amount if self.certainty == "exact" else self.floor

    @property
    def recurring_amount(self) -> Decimal | None:
        """What each later charge is listed at; None if nothing recurs, or at an unlisted price."""
        amount = None if self.recurring is None else self.recurring.values.get("amount")
        return None if amount is None else Decimal(amount)

    @property
    def is_listed(self) -> bool:
        """Whether any part of the price is listed, so that it can change."""
        return bool(self.amount or self.floor or self.recurring_amount)

    @property
    def words(self) -> str:
        """For example `4.00 USD (exact)` or `unknown, at least 4.00 USD (restoring has no listed price)`."""
        return self.in_language(PLAIN)

    def in_language(self, language: Language) -> str:
        """`words` in this language."""
        return priced(self.model_dump(), language)

    def exceeds(self, approved: "Price") -> bool:
        """Whether this price is dearer than the `approved` one in any part that was listed, or no longer listed."""
        pairs = [(approved.recurring_amount, self.recurring_amount), (approved.floor, self.floor)]
        pairs += [(listed_then, self.parts.get(name)) for name, listed_then in approved.parts.items()]
        if approved.amount is not None:
            pairs.append((approved.amount, self.amount))
        return any(then is not None and (now is None or now > then) for then, now in pairs)


FREE = Price(amount=Decimal(0))


class Argument(BaseModel):
    """One argument of the action, or what the account shows of its target, by name with its full value."""

    model_config = ConfigDict(frozen=True)

    name: str
    value: Any


class Quote(BaseModel):
    """A question to a person: the price, the action, all its arguments, the balance. It does not change once it was
    asked. `now` is what the action changes or deletes."""

    model_config = ConfigDict(frozen=True)

    headline: Message = Field(validation_alias=AliasChoices("headline", "action"))
    price: Price
    arguments: list[Argument] = []
    now: list[Argument] = []
    balance: Decimal | None = None
    notes: list[Message] = []
    agent: str | None = None
    """The name of the agent that asks."""

    @property
    def action(self) -> str:
        """The action in a few words, on one line."""
        return self.headline.line_in(PLAIN)

    @property
    def over_budget(self) -> str | None:
        """Which limit has kept the budget from approving it, in words; None if none has."""
        return next((note.text for note in self.notes if note.id.startswith("over_")), None)

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
        return self.price.words

    def lines(self, language: Language = PLAIN) -> list[tuple[str, str]]:
        """The question in full, as (label, value): the same words in every channel, independent of the time."""
        _ = language.gettext
        rows = [(_("Price"), self.price.in_language(language))]
        if self.price.recurring:
            rows.append((_("Then"), self.price.recurring.in_language(language)))
        return [*rows, (_("Action"), self.headline.line_in(language)), *self.details(language)]

    def details(self, language: Language = PLAIN, *, with_balance: bool = True) -> list[tuple[str, str]]:
        """The lines of the question after the price and the action."""
        _ = language.gettext
        rows: list[tuple[str, str]] = []
        if self.agent is not None:
            rows.append((_("Asked by"), _("agent {name}", name=literal(self.agent))))
        rows += [(label(argument.name, language), literal(argument.value, language)) for argument in self.arguments]
        for argument in self.now:
            rows.append(
                (_("{argument} now", argument=label(argument.name, language)), literal(argument.value, language))
            )
        if with_balance and self.balance is not None:
            rows.append((_("Balance now"), language.money(self.balance)))
        if with_balance and self.balance_after is not None:
            after = language.money(self.balance_after)
            short = _("{amount} (not enough, if the estimate is right)", amount=after)
            rows.append((_("Balance after"), short if self.balance_after < 0 else after))
        return rows + [(_("Note"), note.in_language(language)) for note in self.notes]


def quote_of(entry: Entry) -> Quote:
    """The question of an entry. Of one that is damaged, what its other columns tell."""
    try:
        return Quote.model_validate_json(entry.quote)
    except ValidationError:
        price = Price(amount=None if entry.price is None else Decimal(entry.price), certainty="unknown")
        return Quote(headline=message("text", text=entry.kind), price=price, agent=entry.agent)


LEAST_PRICE = Decimal("0.0001")
"""US dollars. A listing below it is a mistake and no price."""


def listed(amount: Decimal | None) -> Decimal | None:
    """A price as a listing has it; None, which is unknown, if it is not a positive amount."""
    return amount if amount is not None and amount >= LEAST_PRICE else None


def recurring(amount: Decimal | None, period: Literal["month", "year"]) -> Message:
    """The charges of auto-renewal, each at `amount`."""
    return message(f"every_{period}", amount=listed(amount))


def dearer(price: Price) -> Message:
    """Why an action was not sent that costs this `price` now."""
    values: dict[str, Any] = {"price": price.model_dump(mode="json")}
    if price.recurring is None:
        return message("dearer", **values)
    return message("dearer_then", **values, later=price.recurring.model_dump())
