"""One entry of the journal in full: what was asked, what became of it and when, and what piv.day answered."""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, cast

from starlette.responses import Response

from piv_mcp.console.look import PersonLook
from piv_mcp.console.rendering import page
from piv_mcp.console.spending import journal_of
from piv_mcp.console.words import area_name, outcome_words
from piv_mcp.spending.journal import NEW_PRICE, NOT_SENT
from piv_mcp.spending.messages import label, literal
from piv_mcp.spending.quote import Quote, quote_of
from piv_mcp.spending.receipt import decision, obstacle, outcome
from piv_mcp.store.journal import OBJECT_ID, Entry
from piv_mcp.text.language import Language
from piv_mcp.text.times import utc
from piv_mcp.text.untrusted import one_line, visible


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happened to the entry, and when: a moment in words, or None if that is not known."""

    moment: str | None
    title: str
    details: Sequence[str] = ()


async def entry(look: PersonLook) -> Response:
    """The page of one entry."""
    journal, language = journal_of(look), look.language
    await journal.expire()
    found = await journal.get(look.request.path_params["entry_id"])
    if found is None:
        return page(look, "no_entry.html", http_status=404)
    quote = quote_of(found)
    words, tone = outcome_words(outcome(found, quote), language)
    return page(
        look,
        "entry.html",
        entry=found,
        title=quote.headline.line_in(language),
        state=words,
        tone=tone,
        figure=_figure(found, language),
        price=quote.price.in_language(language),
        recurring=None if quote.price.recurring is None else quote.price.recurring.in_language(language),
        area=area_name(found.area, language),
        details=quote.details(language, with_balance=found.state == "quoted"),  # later it is out of date
        steps=_steps(found, quote, language),
        result=_result(found, language),
    )


def _figure(entry: Entry, language: Language) -> str:
    """The amount that matters most: what was charged, or what it would cost."""
    if entry.state in ("charged", "quoted", "approved", "executing", "unknown"):
        amount = entry.charged if entry.state == "charged" else entry.price
        return language.gettext("Amount unknown") if amount is None else language.money(amount)
    return language.gettext("Nothing charged")


def _steps(entry: Entry, quote: Quote, language: Language) -> list[Step]:
    _ = language.gettext

    def at(seconds: float) -> str:
        return language.moment(utc(seconds))

    asked = _("Asked for") if entry.agent is None else _("Asked for by agent {name}", name=one_line(entry.agent))
    steps = [Step(at(entry.quoted_at), asked)]
    if entry.decided_at is not None:
        steps.append(Step(at(entry.decided_at), decision(entry, language)))
    if entry.sent_at is not None:
        steps.append(Step(at(entry.sent_at), _("Sent to piv.day")))
    if entry.settled_at is not None and entry.state != "declined":
        words, _tone = outcome_words(outcome(entry, quote), language)
        steps.append(Step(at(entry.settled_at), words, list(_ending(entry, quote, language))))
    if entry.refunded is not None:
        reported = _("A refund of {amount} was reported: compare your balance.", amount=language.money(entry.refunded))
        steps.append(Step(None, reported))
    return steps


def _ending(entry: Entry, quote: Quote, language: Language) -> Sequence[str]:
    """What is known of how it ended."""
    _ = language.gettext
    told: list[str] = []
    if entry.state == "charged":
        told.append(_charge(entry, quote, language))
    elif entry.state == "price_changed":
        told.append(obstacle(entry, language))
    elif entry.state == "unknown":
        told.append(_("It was sent, and the answer was lost. The same action is blocked until this is settled."))
    if entry.problem and entry.state != "price_changed":
        told.append(_("Reason: {reason}", reason=visible(entry.problem, 500)))
    if entry.evidence:
        told.append(_("Found out by: {evidence}", evidence=visible(entry.evidence, 500)))
    return told


def _charge(entry: Entry, quote: Quote, language: Language) -> str:
    _, quoted = language.gettext, quote.price.amount
    if entry.charged is None:
        return _("The charged amount is not known yet: compare your balance.")
    charged = Decimal(entry.charged)
    if not charged:
        return _("It cost nothing.")
    if quoted is None or charged == quoted:
        return _("{amount} was charged.", amount=language.money(charged))
    values = {"amount": language.money(charged), "difference": language.money(abs(charged - quoted))}
    if charged > quoted:
        return _("{amount} was charged: {difference} more than quoted.", **values)
    return _("{amount} was charged: {difference} less than quoted.", **values)


def _result(entry: Entry, language: Language) -> list[tuple[str, str]]:
    """What piv.day answered, field by field. Passwords are masked before an answer is stored."""
    with suppress(ValueError):  # it is damaged
        answer: object = json.loads(entry.result or "{}")
        fields = cast("dict[str, Any]", answer) if isinstance(answer, dict) else {}
        ours = (OBJECT_ID, NEW_PRICE, NOT_SENT)
        shown = {name: value for name, value in fields.items() if name not in ours and value is not None}
        return [(label(name, language), literal(value, language)) for name, value in shown.items()]
    return []
