"""The receipt of an action, which its caller reads."""

import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from piv_mcp.api.models import Money
from piv_mcp.spending.actions import ACTIONS, load
from piv_mcp.spending.actions.base import FollowUp
from piv_mcp.spending.journal import NEW_PRICE, NOT_SENT
from piv_mcp.spending.messages import Message, dollars
from piv_mcp.spending.quote import Price, Quote, quote_of
from piv_mcp.store.journal import OBJECT_ID, Entry, State
from piv_mcp.text.language import PLAIN, Language
from piv_mcp.text.times import utc

Outcome = Literal[State, "done", "cancelled"]
"""A state in a reader's words: what cost nothing is `done`, and a question that was closed is `cancelled`."""

DECIDERS: Mapping[str, str] = {
    "elicitation": "the person, in the client",
    "page": "the person, on the approval page",
    "passkey": "the person, with a passkey",
    "terminal": "the person, in a terminal",
    "budget": "the budget that the person set",
}
"""Who decided, by what the journal keeps of it."""

SOMEBODY = "somebody unknown"

UNSAID: Mapping[str, str] = {
    "configure_white": "The reference does not tell whether fields that were left out are kept, and the API does not "
    "show them: look at the site",
    "renew_domain": "The expires_at of this result may be the date before the renewal: the event domain.renewed has "
    "the new one",
    "restore_numbers": "Pending is not restored: number.restore_completed tells the outcome of each number. What fails "
    "is refunded",
    "start_google_verification": "Initiated is not verified: an event tells the outcome, or Google's own page. A "
    "verification that fails is refunded",
}
"""What the API's answer to an action of this kind leaves open."""


class Receipt(BaseModel):
    """The state of an action. `status`: charged, done (it cost nothing), not_charged, approval_required, declined,
    cancelled, price_changed or expired. `decision`: what was decided, by whom and where. `later`: what piv.day charges
    again. `before`: what the account showed of what is changed. `over_budget`: the limit that made a person decide."""

    model_config = ConfigDict(frozen=True)

    status: str
    spending_id: str | None = None
    action: str | None = None
    price: str | None = None
    later: str | None = None
    before: dict[str, Any] | None = None
    over_budget: str | None = None
    charged: Money | None = None
    balance: Money | None = None
    decision: str | None = None
    decided_at: datetime | None = None
    result: dict[str, Any] | None = None
    evidence: str | None = None
    follow_up: FollowUp | None = None
    note: str | None = None


def receipt(entry: Entry, *, balance: Decimal | None = None, again: bool = False) -> Receipt:
    """The receipt of an entry that ended without an error. `again`: the caller repeated an earlier call."""
    quote = quote_of(entry)
    charged = None if entry.charged is None else Decimal(entry.charged)
    free = quote.price.amount == 0 and not charged
    notes = [difference(entry), _note(entry, quote, free=free)]
    if entry.state == "charged":
        notes.append(UNSAID.get(entry.kind))
    if again and entry.state in ("charged", "not_charged"):
        notes.append(
            "This is the outcome of the earlier call; nothing was sent now. Another call asks for approval again"
        )
    return Receipt(
        status=outcome(entry, quote),
        spending_id=entry.id,
        action=quote.action,
        price=new_price(entry) or quote.price_words,
        charged=charged if entry.state == "charged" and not free else None,
        balance=balance,
        **about(quote),
        **decided(entry),
        result=_result(entry),
        evidence=entry.evidence,
        follow_up=_follow_up(entry),
        note=". ".join(note for note in notes if note) or None,
    )


def about(quote: Quote) -> dict[str, Any]:
    """The fields that say what a price or a headline does not: what is charged again, what is changed, and which limit
    kept the budget from approving it."""
    recurring = quote.price.recurring
    return {
        "later": recurring.text if recurring is not None else None,
        "before": {argument.name: argument.value for argument in quote.now} or None,
        "over_budget": quote.over_budget,
    }


def decided(entry: Entry) -> dict[str, Any]:
    """The fields that say what was decided, by whom and when; none while nobody has decided."""
    return {"decision": decision(entry), "decided_at": utc(entry.decided_at)} if entry.decided_at is not None else {}


def decision(entry: Entry, language: Language = PLAIN) -> str:
    """What was decided on an entry, and by whom, in words."""
    _, who = language.gettext, language.gettext(DECIDERS.get(entry.decided_by or "", SOMEBODY))
    if entry.state != "declined":
        return _("approved by {who}", who=who)
    return _("closed without an answer by {who}", who=who) if _is_closed(entry) else _("declined by {who}", who=who)


def obstacle(entry: Entry, language: Language = PLAIN) -> str:
    """Why an approved action was not sent, in words."""
    with suppress(ValueError, TypeError, AttributeError, LookupError):  # damaged, or before reasons were messages
        return Message.model_validate(json.loads(entry.result or "{}")[NOT_SENT]).in_language(language)
    return entry.problem or language.gettext("the price changed")


def outcome(entry: Entry, quote: Quote) -> Outcome:
    if entry.state == "charged" and quote.price.amount == 0 and not Decimal(entry.charged or 0):
        return "done"
    return "cancelled" if _is_closed(entry) else entry.state


def _is_closed(entry: Entry) -> bool:
    """Whether the person closed the question without an answer."""
    return entry.state == "declined" and entry.problem == "cancel"


def _follow_up(entry: Entry) -> FollowUp | None:
    if entry.state != "charged":
        return None
    result: dict[str, Any] = json.loads(entry.result or "{}")
    return load(entry.kind, entry.arguments).follow_up(result, result.get(OBJECT_ID))


def _result(entry: Entry) -> dict[str, Any] | None:
    if entry.result is None:
        return None
    result: dict[str, Any] = json.loads(entry.result)
    for ours in (OBJECT_ID, NEW_PRICE, NOT_SENT):
        result.pop(ours, None)
    return result or None


def new_price(entry: Entry) -> str | None:
    """The price in words that kept an approved action from being sent, if it is known."""
    price = json.loads(entry.result or "{}").get(NEW_PRICE)
    return None if price is None else Price.model_validate(price).words


def difference(entry: Entry) -> str | None:
    """What the person must be told of a charge that is not the quoted one, or unknown; else None."""
    if entry.state != "charged":
        return None
    if entry.charged is None:
        return "The amount charged is not known yet: compare the balance and tell the person"
    amount, charged = quote_of(entry).price.amount, Decimal(entry.charged)
    if amount is None or charged == amount:
        return None
    more = charged - amount
    word = "more" if more > 0 else "less"
    return f"Tell the person: {dollars(charged)} was charged, {dollars(abs(more))} {word} than quoted"


def _note(entry: Entry, quote: Quote, *, free: bool) -> str | None:
    match entry.state:
        case "declined" if _is_closed(entry):
            return (
                "The person closed the question without an answer. Nothing was sent and nothing charged. Ask them"
                " whether they still want it; a new call puts the question again"
            )
        case "declined":
            return "The person declined. Nothing was sent and nothing charged. Do not ask again unless they want it"
        case "expired":
            return "The approval expired. Nothing was sent and nothing charged. A new call asks the person again"
        case "price_changed":
            return (
                f"Nothing was sent and nothing charged: the approval was for {quote.price_words}, and {entry.problem}. "
                "Call again with the same arguments: that asks anew, at the price of then"
            )
        case "not_charged" if free and ACTIONS[entry.kind].shows == "never":
            return "Whether it took effect is not known. It costs nothing: call again, and the person is asked again"
        case "not_charged":
            return "The action did not happen: nothing was " + ("changed" if free else "charged")
        case _:
            return None
