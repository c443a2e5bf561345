"""The approval page, on which the person reads a quote and approves or declines it.

Only the person's browser on this machine may decide. A request needs the token that only this browser has received, a
Host header that names this machine, and an Origin header of the page itself. A request with a header that proxies
add is refused, so that a tunnel for webhooks cannot be used for approvals.
"""

import hmac
import secrets
from decimal import Decimal
from functools import cache
from pathlib import Path
from urllib.parse import parse_qs, urlencode

import jinja2
import structlog
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from piv_mcp.spending.approval.browser import token_of
from piv_mcp.spending.approval.channels import lines
from piv_mcp.spending.journal import Journal
from piv_mcp.spending.messages import dollars
from piv_mcp.spending.quote import Quote
from piv_mcp.store.changes import Changes
from piv_mcp.store.journal import Entry
from piv_mcp.text.times import SYSTEM_CLOCK, Clock
from piv_mcp.text.untrusted import visible
from piv_mcp.web.guards import (
    GUESSES_A_MINUTE,
    PAGE_HEADERS,
    Guesses,
    is_same_origin,
    plain_text,
    read_body,
    refused_unless_local,
)

MAX_FORM = 4096
"""Bytes. Maximum size of the submitted form."""

_log = structlog.get_logger(__name__)


class ApprovalPage:
    """The handlers of `GET` and `POST /approvals/{entry_id}`."""

    def __init__(self, journal: Journal, changes: Changes, key: str, clock: Clock = SYSTEM_CLOCK) -> None:
        self._journal = journal
        self._changes = changes
        self._key = key
        self._guesses = Guesses(clock)

    async def show(self, request: Request) -> Response:
        refused = refused_unless_local(request) or self._wrong_token(request, request.query_params.get("token", ""))
        if refused is not None:
            return refused
        return await self._page(request, request.query_params["token"])

    async def decide(self, request: Request) -> Response:
        if not is_same_origin(request):
            _log.warning("a decision sent by another page was refused", origin=request.headers.get("origin"))
            return plain_text(403, "This request does not come from the approval page.")
        form = await _form(request)
        token = form.get("token", "")
        refused = refused_unless_local(request) or self._wrong_token(request, token)
        if refused is not None:
            return refused
        decision = form.get("decision")
        if decision not in ("approve", "decline"):
            return plain_text(400, "The decision must be approve or decline.")
        entry_id = request.path_params["entry_id"]
        first = await self._journal.decide(entry_id, "approve" if decision == "approve" else "decline", by="page")
        _log.info("decided on the page", entry_id=entry_id, decision=decision, first=first)
        self._changes.notify()
        # Redirect to a GET: reloading the page then shows the current state and does not send the form again.
        late = {} if first else {"late": decision}
        address = f"/approvals/{entry_id}?{urlencode({'token': token, **late})}"
        return RedirectResponse(address, 303, headers={"Cache-Control": "no-store"})

    async def _page(self, request: Request, token: str) -> Response:
        await self._journal.expire()
        entry = await self._journal.get(request.path_params["entry_id"])
        if entry is None:
            return plain_text(404, "There is no such approval.")
        nonce = secrets.token_urlsafe(16)
        headers = {name: value.replace("{nonce}", nonce) for name, value in PAGE_HEADERS.items()}
        values = _template_values(entry, request.query_params.get("late"))
        return HTMLResponse(_template().render(**values, token=token, nonce=nonce), headers=headers)

    def _wrong_token(self, request: Request, token: str) -> Response | None:
        expected = token_of(self._key, request.path_params["entry_id"])
        if hmac.compare_digest(expected.encode(), token.encode("utf-8", "surrogateescape")):
            return None
        guesses = self._guesses.add()
        if guesses > GUESSES_A_MINUTE:
            return plain_text(429, "Too many requests with a wrong address.")
        _log.warning("a request to the approval page with a wrong token", in_this_minute=guesses)
        return plain_text(404, "There is no such approval.")


async def _form(request: Request) -> dict[str, str]:
    body = await read_body(request, MAX_FORM) or b""
    fields = parse_qs(body.decode("ascii", "replace"))
    return {name: values[0] for name, values in fields.items()}


def _template_values(entry: Entry, late: str | None) -> dict[str, object]:
    """The values for the template. `late` is the decision of a click that came after the entry was decided."""
    quote = Quote.model_validate_json(entry.quote)
    pending = entry.state == "quoted"
    words = dict(lines(quote))
    kind, title, text = _status(entry, quote)
    details = [(label, value) for label, value in lines(quote) if label not in ("Action", "Price", "Then")]
    return {
        "entry_id": entry.id,
        "pending": pending,
        # Seconds between reloads in the states that can change without the person.
        "refresh": {"approved": 1, "executing": 1, "unknown": 3}.get(entry.state),
        "kind": kind,
        "title": title,
        "text": text,
        "late": _late_click(entry, late),
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


def _late_click(entry: Entry, decision: str | None) -> str | None:
    if decision not in ("approve", "decline") or entry.state == "quoted":
        return None
    if entry.state == "expired":
        return "Your click came too late and changed nothing."
    if (decision == "decline") == (entry.state == "declined"):
        return None  # the click agrees with the earlier decision
    return "It was already decided: your click changed nothing."


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


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(Path(__file__).with_name("approval_page.html").read_text(encoding="utf-8"))
