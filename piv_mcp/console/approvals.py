"""Approvals: one page that lists all that waits, and on which the person approves or declines each.

Only a guest may decide (see `look.Entrance`), and only by a form of the page itself. A decision is for one entry that
this guest was shown, and counts only if the page has not changed just before: a click may have been meant for what was
in its place.
"""

import hashlib
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import structlog
from starlette.responses import RedirectResponse, Response

from piv_mcp.console.forms import fields_of
from piv_mcp.console.look import PersonLook
from piv_mcp.console.refusals import REFUSALS, refusal_text
from piv_mcp.console.rendering import page
from piv_mcp.spending.approval.channels import READ_SECONDS, details
from piv_mcp.spending.approval.page_views import PageViews
from piv_mcp.spending.errors import FrozenError
from piv_mcp.spending.journal import Journal
from piv_mcp.spending.proof import Proof, operator_of
from piv_mcp.spending.quote import Quote, quote_of
from piv_mcp.spending.receipt import decision, obstacle
from piv_mcp.store import operators
from piv_mcp.store.journal import Entry, State
from piv_mcp.text.language import Language
from piv_mcp.text.untrusted import one_line, visible
from piv_mcp.web.guards import plain_text

FROZEN_CLICK = "frozen"
"""What became of a click that would have approved something while that is frozen."""

MAX_WAITING = 200
"""Waiting entries that the page lists, the oldest first."""

MAX_SETTLED = 10
"""Entries that the page goes on to show after their decision, for their outcome."""

SETTLED: tuple[State, ...] = ("declined", "expired", "charged", "refused", "not_charged")
"""The states that change no more by themselves."""

RELOAD_SECONDS = 3
"""How often a browser without scripts reloads the page."""

_log = structlog.get_logger(__name__)


async def approvals(look: PersonLook) -> Response:
    """The page: all that waits, the outcomes of what was decided on it, and the forms that decide."""
    entries = await _entries(look)
    shown = look.guest.shown
    shown.ids = dict.fromkeys(entry.id for entry in entries)
    digest = _digest(*entries)
    if digest != shown.digest:
        shown.digest, shown.changed_at = digest, look.app.clock.monotonic()
    await beat(look)
    query = look.request.query_params
    clicks = {query.get("entry", ""): query.get("click", "")}
    cards = [_card(entry, clicks.get(entry.id), look.language, look.app.clock.time()) for entry in entries]
    is_settled = all(entry.state in SETTLED for entry in entries)
    values: dict[str, Any] = {
        "cards": cards,
        "rest_seconds": READ_SECONDS,
        "follows_hidden": True,  # the title says on a hidden tab that something waits
        # For a browser without scripts. Named without a fragment, the page is loaded anew.
        "refresh": None if is_settled else f"{RELOAD_SECONDS};url={look.path(look.name)}?{query}",
    }
    return page(look, "approvals.html", **values, **_summary(cards, look.language))


async def state(look: PersonLook) -> object:
    return _digest(*await _entries(look))


async def count(look: PersonLook) -> int:
    """How many entries wait for a decision."""
    return await _journal(look).waiting()


async def beat(look: PersonLook) -> None:
    """Note that the page is open, so that no process opens another."""
    await PageViews(look.app.store.everything, look.app.clock).seen()


async def decide(look: PersonLook) -> Response:
    """Decide one entry that the guest was shown."""
    entry_id, shown = look.request.path_params["entry_id"], look.guest.shown
    if look.guest.decides_by == "click" and entry_id not in shown.ids:
        return plain_text(404, look.language.gettext("There is no such approval."))
    decision = (await fields_of(look.request)).get("decision")
    if decision not in ("approve", "decline"):
        return plain_text(400, look.language.gettext("The decision must be approve or decline."))
    if decision == "approve" and look.guest.decides_by != "click":
        return plain_text(403, look.language.gettext("Approving needs a passkey."))
    journal, clock = _journal(look), look.app.clock
    name = look.guest.name
    if name is not None and await journal.store.read(operators.active, name) is None:  # while the form was on its way
        return plain_text(403, refusal_text("revoked", look.language))
    await journal.expire()
    entry = await journal.get(entry_id)
    is_early = clock.monotonic() - shown.changed_at < READ_SECONDS
    if is_early and entry is not None and entry.state == "quoted":
        _log.info("a click that came too soon after the page had changed", entry_id=entry_id, decision=decision)
        return _back_to(look, entry_id, "early")
    by_whom = None if name is None else Proof(operator=name)
    choice = "approve" if decision == "approve" else "decline"
    try:
        first = await journal.decide(entry_id, choice, by="page", prove=by_whom and (lambda _, __: by_whom))
    except FrozenError:
        return _back_to(look, entry_id, FROZEN_CLICK)
    _log.info("decided on the page", entry_id=entry_id, decision=decision, first=first)
    look.app.inbox.changes.notify()
    return _back_to(look, entry_id, None if first else decision)


async def _entries(look: PersonLook) -> list[Entry]:
    """What the page shows: all that waits, and for a while what the guest saw waiting before, in a fixed order."""
    journal, shown = _journal(look), look.guest.shown
    await journal.expire()
    waiting = await journal.entries(limit=MAX_WAITING, states=("quoted",))
    found = {entry.id: entry for entry in reversed(waiting)}
    for entry_id in shown.ids:
        if entry_id not in found and (entry := await journal.get(entry_id)) is not None:
            found[entry_id] = entry
    settled = [entry_id for entry_id in shown.ids if entry_id in found and found[entry_id].state != "quoted"]
    for entry_id in settled[:-MAX_SETTLED]:
        del found[entry_id]
    if waiting:
        shown.waited_at = look.app.clock.time()
    return [found[entry_id] for entry_id in dict.fromkeys((*shown.ids, *found)) if entry_id in found]


def _journal(look: PersonLook) -> Journal:
    return Journal(look.app.store.everything, look.app.clock)


def _back_to(look: PersonLook, entry_id: str, click: str | None) -> Response:
    """To a GET: reloading the page then shows the current state and does not send the form again. `click`: what became
    of a click that decided nothing."""
    query = f"?{urlencode({'entry': entry_id, 'click': click})}" if click else ""
    return RedirectResponse(f"{look.path(look.name)}{query}#{entry_id}", 303, headers={"Cache-Control": "no-store"})


def _digest(*entries: Entry) -> str:
    """Changes when what the page shows of these entries does."""
    content = [(entry.id, entry.state, entry.charged, entry.problem) for entry in entries]
    return hashlib.sha256(repr(content).encode("utf-8", "replace")).hexdigest()[:16]


def _summary(cards: list[dict[str, object]], language: Language) -> dict[str, Any]:
    """The title of the page, and how many entries wait."""
    _, waiting = language.gettext, [card for card in cards if card["pending"]]
    if len(waiting) == 1:
        title = _("{button}?", button=waiting[0]["button"])
    elif waiting:
        title = _("({count}) Approve?", count=language.number(len(waiting)))
    else:
        title = str(cards[-1]["title"]) if cards else _("Nothing waits")
    return {"title": title, "waiting": len(waiting)}


def _card(entry: Entry, click: str | None, language: Language, now: float) -> dict[str, object]:
    """What the template shows of an entry. `click`: a click on it that decided nothing. How long it is good is told in
    seconds from now: the browser's clock may be another."""
    quote = quote_of(entry)
    price, recurring, action = quote.price.amount, quote.price.recurring, quote.headline.line_in(language)
    pending = entry.state == "quoted"
    kind, title, text = _status(entry, quote, language)
    # The balance in the quote is out of date once the entry has been decided.
    rows = details(quote, language, with_balance=pending)
    if (operator := operator_of(entry)) is not None:
        rows.append((language.gettext("Decided by"), one_line(operator)))
    return {
        "id": entry.id,
        "version": _digest(entry),
        "pending": pending,
        "kind": kind,
        "title": title,
        "text": text,
        "click": _useless_click(entry, click, language),
        "action": one_line(action, len(action)),
        "price": language.gettext("Price unknown") if price is None else language.money(price),
        "certainty": _certainty(quote, language),
        "recurring": None if recurring is None else recurring.in_language(language),
        "details": rows,
        "button": _button(quote, language),
        "left": max(0.0, entry.expires_at - now),
    }


def _certainty(quote: Quote, language: Language) -> str:
    """Whether the price is exact, an estimate, a minimum or unknown, and why."""
    _, price = language.gettext, quote.price
    reason = price.reason.in_language(language) if price.reason else None
    if price.certainty == "exact":
        return reason or _("Exact price")
    if price.amount is not None:
        return _("Estimate: {reason}", reason=reason) if reason else _("Estimate")
    if price.floor is not None:
        floor = language.money(price.floor)
        return (
            _("At least {floor}: {reason}", floor=floor, reason=reason)
            if reason
            else _("At least {floor}", floor=floor)
        )
    return reason or _("No price is listed")


def _useless_click(entry: Entry, click: str | None, language: Language) -> str | None:
    """What the person is told of a click that decided nothing. `click` can be why a passkey was refused."""
    _ = language.gettext
    refusal = REFUSALS.get(click or "")
    if refusal is not None and entry.state == "quoted":
        return f"{refusal_text(refusal, language)} {_('Nothing was decided.')}"
    if entry.state == "quoted" and click == FROZEN_CLICK:
        return _("All that costs money is frozen: it can be approved once somebody has lifted the freeze.")
    if entry.state == "quoted":
        return _("The page had just changed when you clicked, so nothing was decided. Look again.") if click else None
    if click not in ("approve", "decline"):
        return None
    if entry.state == "expired":
        return _("Your click came too late and changed nothing.")
    if (click == "decline") == (entry.state == "declined"):
        return None  # the click agrees with the earlier decision
    return _("It was already {decision}: your click changed nothing.", decision=decision(entry, language))


def _button(quote: Quote, language: Language) -> str:
    """The text of the button, with what a click agrees to pay."""
    _, price = language.gettext, quote.price
    if price.amount is None:
        if price.recurring:
            return _("Approve at an unknown price and the recurring charge")
        return _("Approve at an unknown price")
    if price.amount == 0:
        return _("Approve the recurring charge") if price.recurring else _("Approve")
    amount = language.money(price.amount)
    return (
        _("Approve {price} and the recurring charge", price=amount)
        if price.recurring
        else _("Approve {price}", price=amount)
    )


def _status(entry: Entry, quote: Quote, language: Language) -> tuple[str, str, str]:
    """(CSS class, title, text) that show the state of the entry."""
    _ = language.gettext
    nothing = _("Nothing was charged.")
    match entry.state:
        case "quoted":
            return "", _("Your assistant asks for your approval"), ""
        case "approved":
            return "wait", _("Approved"), _("Your assistant will carry it out when it asks again.")
        case "executing":
            return "wait", _("Approved"), _("It is being carried out.")
        case "charged":
            return "good", _("Approved and done"), _charged(entry, quote, language)
        case "declined" if entry.problem == "cancel":
            return "off", _("Closed without an answer"), nothing
        case "declined":
            return "off", _("Declined"), nothing
        case "expired":
            return "off", _("Expired"), _("It expired before it was carried out. Nothing was charged.")
        case "price_changed":
            why = _("Nothing was charged: {reason}.", reason=obstacle(entry, language))
            return "off", _("Approved, but not sent"), why
        case "refused":
            problem = visible(entry.problem, 500).rstrip(".") if entry.problem else _("no reason given")
            why = _("Nothing was charged. The reason: {problem}.", problem=problem)
            return "bad", _("Approved, but refused by piv.day"), why
        case "unknown":
            why = _("It will not be sent again. piv-mcp is finding out whether it took effect.")
            return "bad", _("Approved and sent, but the answer was lost"), why
        case "not_charged":
            return "off", _("Approved, but it did not happen"), nothing


def _charged(entry: Entry, quote: Quote, language: Language) -> str:
    _, charged, quoted = language.gettext, Decimal(entry.charged or 0), quote.price.amount
    if quoted == charged == 0:
        return _("It cost nothing.")
    if entry.charged is None:
        return _("The charged amount is not known yet: compare your balance.")
    amount, difference = language.money(charged), language.money(abs(charged - (quoted or 0)))
    if quoted is None or charged == quoted:
        return _("{amount} was charged.", amount=amount)
    if charged > quoted:
        return _("{amount} was charged. That is {more} more than quoted.", amount=amount, more=difference)
    return _("{amount} was charged. That is {less} less than quoted.", amount=amount, less=difference)
