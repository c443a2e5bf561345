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
from piv_mcp.console.rendering import page
from piv_mcp.spending.approval.channels import READ_SECONDS, lines
from piv_mcp.spending.approval.page_views import PageViews
from piv_mcp.spending.journal import Journal
from piv_mcp.spending.messages import dollars
from piv_mcp.spending.quote import Quote
from piv_mcp.spending.receipt import decision
from piv_mcp.store.journal import Entry, State
from piv_mcp.text.untrusted import visible
from piv_mcp.web.guards import plain_text

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
    cards = [_card(entry, clicks.get(entry.id)) for entry in entries]
    is_settled = all(entry.state in SETTLED for entry in entries)
    values: dict[str, Any] = {
        "cards": cards,
        "rest_seconds": READ_SECONDS,
        "follows_hidden": True,  # the title says on a hidden tab that something waits
        # For a browser without scripts. Named without a fragment, the page is loaded anew.
        "refresh": None if is_settled else f"{RELOAD_SECONDS};url={look.path(look.name)}?{query}",
    }
    return page(look, "approvals.html", **values, **_summary(cards))


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
    if entry_id not in shown.ids:
        return plain_text(404, look.language.gettext("There is no such approval."))
    decision = (await fields_of(look.request)).get("decision")
    if decision not in ("approve", "decline"):
        return plain_text(400, look.language.gettext("The decision must be approve or decline."))
    if decision == "approve" and look.guest.decides_by != "click":
        return plain_text(403, look.language.gettext("Approving needs a passkey."))
    journal, clock = _journal(look), look.app.clock
    await journal.expire()
    entry = await journal.get(entry_id)
    is_early = clock.monotonic() - shown.changed_at < READ_SECONDS
    if is_early and entry is not None and entry.state == "quoted":
        _log.info("a click that came too soon after the page had changed", entry_id=entry_id, decision=decision)
        return _back_to(look, entry_id, "early")
    first = await journal.decide(entry_id, "approve" if decision == "approve" else "decline", by="page")
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


def _summary(cards: list[dict[str, object]]) -> dict[str, Any]:
    """The title of the page, and how many entries wait."""
    waiting = [card for card in cards if card["pending"]]
    if len(waiting) == 1:
        title = f"{waiting[0]['button']}?"
    elif waiting:
        title = f"({len(waiting)}) Approve?"
    else:
        title = str(cards[-1]["title"]) if cards else "Nothing waits"
    return {"title": title, "waiting": len(waiting)}


def _card(entry: Entry, click: str | None) -> dict[str, object]:
    """What the template shows of an entry. `click`: a click on it that decided nothing."""
    quote = Quote.model_validate_json(entry.quote)
    pending = entry.state == "quoted"
    words = dict(lines(quote))
    kind, title, text = _status(entry, quote)
    details = [(label, value) for label, value in lines(quote) if label not in ("Action", "Price", "Then")]
    return {
        "id": entry.id,
        "version": _digest(entry),
        "pending": pending,
        "kind": kind,
        "title": title,
        "text": text,
        "click": _useless_click(entry, click),
        "action": words["Action"],
        "price": dollars(quote.price.amount) if quote.price.amount is not None else "Price unknown",
        "certainty": _certainty(quote),
        "recurring": words.get("Then"),
        # The balance in the quote is out of date once the entry has been decided.
        "details": [row for row in details if pending or not row[0].startswith("Balance")],
        "button": _button(quote),
        "expires": round(entry.expires_at * 1000),
    }


def _certainty(quote: Quote) -> str:
    """Whether the price is exact, an estimate, a minimum or unknown, and why."""
    price = quote.price
    reason = price.reason.text if price.reason else None
    if price.certainty == "exact":
        return reason or "Exact price"
    least = f"At least {dollars(price.floor)}" if price.amount is None and price.floor is not None else None
    certainty = least or ("Estimate" if price.amount is not None else None)
    return ": ".join(filter(None, [certainty, reason])) or "No price is listed"


def _useless_click(entry: Entry, click: str | None) -> str | None:
    """What the person is told of a click that decided nothing."""
    if entry.state == "quoted":
        return "The page had just changed when you clicked, so nothing was decided. Look again." if click else None
    if click not in ("approve", "decline"):
        return None
    if entry.state == "expired":
        return "Your click came too late and changed nothing."
    if (click == "decline") == (entry.state == "declined"):
        return None  # the click agrees with the earlier decision
    return f"It was already {decision(entry)}: your click changed nothing."


def _button(quote: Quote) -> str:
    """The text of the button, with what a click agrees to pay."""
    price = quote.price
    now = " at an unknown price" if price.amount is None else f" {dollars(price.amount)}" if price.amount else ""
    return f"Approve{now}{' and the recurring charge' if price.recurring else ''}"


def _status(entry: Entry, quote: Quote) -> tuple[str, str, str]:
    """(CSS class, title, text) that show the state of the entry."""
    match entry.state:
        case "quoted":
            return "", "Your assistant asks for your approval", ""
        case "approved":
            return "wait", "Approved", "Your assistant will carry it out when it asks again."
        case "executing":
            return "wait", "Approved", "It is being carried out."
        case "charged":
            return "good", "Approved and done", _charged(entry, quote)
        case "declined" if entry.problem == "cancel":
            return "off", "Closed without an answer", "Nothing was charged."
        case "declined":
            return "off", "Declined", "Nothing was charged."
        case "expired":
            return "off", "Expired", "It expired before it was carried out. Nothing was charged."
        case "price_changed":
            return "off", "Approved, but not sent", f"Nothing was charged: {entry.problem or 'the price changed'}."
        case "refused":
            problem = visible(entry.problem or "no reason given", 500).rstrip(".")
            return "bad", "Approved, but refused by piv.day", f"Nothing was charged. The reason: {problem}."
        case "unknown":
            return (
                "bad",
                "Approved and sent, but the answer was lost",
                "It will not be sent again. piv-mcp is finding out whether it took effect.",
            )
        case "not_charged":
            return "off", "Approved, but it did not happen", "Nothing was charged."


def _charged(entry: Entry, quote: Quote) -> str:
    charged, quoted = Decimal(entry.charged or 0), quote.price.amount
    if quoted == charged == 0:
        return "It cost nothing."
    if entry.charged is None:
        return "The charged amount is not known yet: compare your balance."
    text = f"{dollars(charged)} was charged."
    if quoted is None or charged == quoted:
        return text
    return f"{text} That is {dollars(abs(charged - quoted))} {'more' if charged > quoted else 'less'} than quoted."
