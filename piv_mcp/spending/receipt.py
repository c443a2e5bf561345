"""What a caller is told of an action."""

import json
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, ConfigDict

from piv_mcp.api.models import Money
from piv_mcp.errors import ApiError, PivError
from piv_mcp.spending.journal import OBJECT_ID
from piv_mcp.spending.quote import Quote, dollars
from piv_mcp.store.journal import Entry


class Receipt(BaseModel):
    """How an action stands. `status`: charged, done (it cost nothing), not_charged, approval_required, declined,
    cancelled or expired."""

    model_config = ConfigDict(frozen=True)

    status: str
    spending_id: str | None = None
    action: str | None = None
    price: str | None = None
    charged: Money | None = None
    balance: Money | None = None
    result: dict[str, Any] | None = None
    evidence: str | None = None
    note: str | None = None


class UnsettledError(PivError):
    """Whether the action happened is not known. It is never sent again."""

    code = "OUTCOME_UNKNOWN"

    def __init__(self, entry: Entry) -> None:
        quote = Quote.model_validate_json(entry.quote)
        super().__init__(
            f"{quote.action}: it was sent and the answer was lost ({entry.problem or 'no answer'}), so it may or may "
            f"not have happened (journal entry {entry.id})",
            hint="Do not repeat it or try another way: reconcile_spending, or later the same call, looks at what the "
            "account shows, and sends nothing while the outcome is unknown",
        )

    @property
    def may_have_charged(self) -> bool:
        return True

    @property
    def money(self) -> str:
        return "Money may have moved, once at most"


class RefusedError(PivError):
    """The API said no: nothing was done and nothing charged."""

    code = "REFUSED"

    @property
    def money(self) -> str:
        return "Nothing was charged"


class DeniedError(PivError):
    """The person's settings allow no spending."""

    code = "SPENDING_DENIED"


class BalanceError(PivError):
    """The balance does not cover the quote: said before anybody is asked."""

    code = "INSUFFICIENT_BALANCE"

    def __init__(self, quote: Quote) -> None:
        super().__init__(
            f"{quote.action} costs {quote.price_words}, and the balance is {dollars(quote.balance)}",
            hint="The person tops up the balance in the piv.day dashboard; nobody was asked to approve this",
        )


def refusal(error: ApiError) -> str:
    """What the journal keeps of an API's no, for those who ask later."""
    return f"{error.code}: {error.message}"


def receipt(entry: Entry, *, balance: Decimal | None = None, again: bool = False) -> Receipt:
    """The receipt of an entry that has ended without an error. `again`: it is told to a repeated call."""
    quote = Quote.model_validate_json(entry.quote)
    charged = None if entry.charged is None else Decimal(entry.charged)
    free = quote.price.amount == 0
    status = "done" if entry.state == "charged" and free else entry.state
    if entry.state == "declined" and entry.problem == "cancel":
        status = "cancelled"
    notes = [difference(entry), _note(entry, free=free)]
    if again and entry.state in ("charged", "not_charged"):
        notes.append("This is the outcome of the earlier call; nothing was sent now. A further call asks for approval")
    return Receipt(
        status=status,
        spending_id=entry.id,
        action=quote.action,
        price=quote.price_words,
        charged=charged if entry.state == "charged" and not free else None,
        balance=balance,
        result=_result(entry),
        evidence=entry.evidence,
        note=". ".join(note for note in notes if note) or None,
    )


def _result(entry: Entry) -> dict[str, Any] | None:
    if entry.result is None:
        return None
    result: dict[str, Any] = json.loads(entry.result)
    result.pop(OBJECT_ID, None)
    return result or None


def difference(entry: Entry) -> str | None:
    """What the person must hear of a charge: that it is not what was quoted, or not known."""
    if entry.state != "charged":
        return None
    if entry.charged is None:
        return "What was charged is not known yet; compare the balance and tell the person"
    amount, charged = Quote.model_validate_json(entry.quote).price.amount, Decimal(entry.charged)
    if amount is None or charged == amount:
        return None
    more = charged - amount
    word = "more" if more > 0 else "less"
    return f"Tell the person: {dollars(charged)} was charged, {dollars(abs(more))} {word} than quoted"


def _note(entry: Entry, *, free: bool) -> str | None:
    return {
        "declined": "The person declined. Nothing was sent and nothing charged; do not ask again unless they want it",
        "expired": "The approval expired. Nothing was sent and nothing charged; a new call asks again",
        "not_charged": "It did not happen: nothing was " + ("changed" if free else "charged"),
    }.get(entry.state)
