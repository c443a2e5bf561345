"""The approval page: a person reads the quote and decides. For this machine's own browser only.

What is in the way of everybody else: the token in the address, which only the person's browser was given; a Host that
names this machine; an Origin that is this page; and no proxy in between, so that a tunnel made for webhooks does not
carry approvals.
"""

import hmac
import secrets
import time
from decimal import Decimal
from functools import cache
from pathlib import Path
from urllib.parse import parse_qs, urlencode

import jinja2
import structlog
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response

from piv_mcp.api.credentials import LOOPBACK
from piv_mcp.spending.approval.channels import lines, token_of
from piv_mcp.spending.journal import Journal
from piv_mcp.spending.quote import Quote, dollars
from piv_mcp.store.changes import Changes
from piv_mcp.store.journal import Entry
from piv_mcp.text.untrusted import visible

GUESSES_A_MINUTE = 20
LOOPBACK_HOSTS = frozenset(f"[{name}]" if ":" in name else name for name in LOOPBACK)
FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "cf-connecting-ip", "via")

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'nonce-{nonce}'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    # Not no-referrer: the form's Origin would be "null" then.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
}

_log = structlog.get_logger(__name__)


class Approvals:
    """The page's two handlers."""

    def __init__(self, journal: Journal, changes: Changes, key: str) -> None:
        self._journal = journal
        self._changes = changes
        self._key = key
        self._guesses: list[float] = []

    async def show(self, request: Request) -> Response:
        refused = _refused(request) or self._wrong_token(request, request.query_params.get("token", ""))
        if refused is not None:
            return refused
        return await self._page(request, request.query_params["token"])

    async def decide(self, request: Request) -> Response:
        origin = request.headers.get("origin")
        if origin != f"http://{request.headers.get('host')}" or request.headers.get("sec-fetch-site") == "cross-site":
            _log.warning("an approval from another page was refused", origin=origin)
            return _plain(403, "This request does not come from the approval page.")
        form = await _form(request)
        token = form.get("token", "")
        refused = _refused(request) or self._wrong_token(request, token)
        if refused is not None:
            return refused
        decision = form.get("decision")
        if decision not in ("approve", "decline"):
            return _plain(400, "Neither approved nor declined.")
        id_ = request.path_params["id"]
        first = await self._journal.decide(id_, "approve" if decision == "approve" else "decline", by="page")
        _log.info("decided on the page", id=id_, decision=decision, first=first)
        self._changes.notify()
        # To the page by GET: a reload shows how it stands and sends nothing.
        said = {} if first else {"late": decision}
        address = f"/approvals/{id_}?{urlencode({'token': token, **said})}"
        return RedirectResponse(address, 303, headers={"Cache-Control": "no-store"})

    async def _page(self, request: Request, token: str) -> Response:
        await self._journal.expire()
        entry = await self._journal.get(request.path_params["id"])
        if entry is None:
            return _plain(404, "There is no such approval.")
        nonce = secrets.token_urlsafe(16)
        headers = {name: value.replace("{nonce}", nonce) for name, value in HEADERS.items()}
        view = _view(entry, request.query_params.get("late"))
        return HTMLResponse(_template().render(**view, token=token, nonce=nonce), headers=headers)

    def _wrong_token(self, request: Request, token: str) -> Response | None:
        right = token_of(self._key, request.path_params["id"])
        if hmac.compare_digest(right.encode(), token.encode("utf-8", "surrogateescape")):
            return None
        now = time.monotonic()
        self._guesses = [*(at for at in self._guesses[-GUESSES_A_MINUTE:] if now - at < 60), now]
        _log.warning("an approval with a wrong token", in_the_last_minute=len(self._guesses))
        if len(self._guesses) > GUESSES_A_MINUTE:
            return _plain(429, "Too many wrong addresses.")
        return _plain(404, "There is no such approval.")


def _refused(request: Request) -> Response | None:
    """Anything but this machine's own browser, speaking to us directly."""
    server = request.scope.get("server")
    if server is None or request.headers.get("host") not in {f"{name}:{server[1]}" for name in LOOPBACK_HOSTS}:
        return _plain(403, "The approval page is for the browser of this machine.")
    if any(header in request.headers for header in FORWARDED):
        return _plain(403, "The approval page is not served through a proxy or tunnel.")
    return None


async def _form(request: Request) -> dict[str, str]:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > 4096:
            return {}
    fields = parse_qs(body.decode("ascii", "replace"))
    return {name: values[0] for name, values in fields.items()}


def _view(entry: Entry, late: str | None) -> dict[str, object]:
    """What the template shows. `late`: the decision of a click that was not the first."""
    quote = Quote.model_validate_json(entry.quote)
    pending = entry.state == "quoted"
    words = dict(lines(quote))
    kind, title, text = _standing(entry, quote)
    # Once it is settled the balance has moved on.
    details = [(label, value) for label, value in lines(quote) if label not in ("Action", "Price", "Then")]
    return {
        "id": entry.id,
        "pending": pending,
        # What can still change by itself is looked at again; what became of a lost answer takes longer.
        "refresh": {"approved": 1, "executing": 1, "unknown": 3}.get(entry.state),
        "kind": kind,
        "title": title,
        "text": text,
        "late": _late(entry, late),
        "action": words["Action"],
        "price": dollars(quote.price.amount) if quote.price.amount is not None else "Price unknown",
        "about": _about(quote),
        "recurring": words.get("Then"),
        "details": [row for row in details if pending or not row[0].startswith("Balance")],
        "button": _button(quote),
        "expires": round(entry.expires_at * 1000),
    }


def _about(quote: Quote) -> str:
    """How sure the price is."""
    price = quote.price
    if price.certainty == "exact":
        return price.reason or "Exact price"
    least = f"At least {dollars(price.floor)}" if price.amount is None and price.floor is not None else None
    sure = least or ("Estimate" if price.amount is not None else None)
    return ": ".join(filter(None, [sure, price.reason])) or "No price is listed"


def _late(entry: Entry, decision: str | None) -> str | None:
    if decision not in ("approve", "decline") or entry.state == "quoted":
        return None
    if entry.state == "expired":
        return "Your click came too late and changed nothing."
    if (decision == "decline") == (entry.state == "declined"):
        return None  # it stands as this click, too, would have it
    return "It had been decided before: your click changed nothing."


def _button(quote: Quote) -> str:
    """What a click agrees to."""
    price = quote.price
    now = " at an unknown price" if price.amount is None else f" {dollars(price.amount)}" if price.amount else ""
    return f"Approve{now}{' and the recurring charge' if price.recurring else ''}"


def _standing(entry: Entry, quote: Quote) -> tuple[str, str, str]:
    """How it stands: its colour, and in words."""
    match entry.state:
        case "quoted":
            return "ask", "Your assistant asks for your approval", ""
        case "approved":
            return "wait", "Approved", "The assistant carries it out as soon as it asks again."
        case "executing":
            return "wait", "Approved", "It is being carried out."
        case "charged":
            return "good", "Approved and done", _charged(entry, quote)
        case "declined":
            return "off", "Declined", "Nothing was charged."
        case "expired":
            return "off", "Expired", "It expired before it was carried out. Nothing was charged."
        case "refused":
            problem = visible(entry.problem or "no reason given", 500).rstrip(".")
            return "bad", "Approved, but refused by piv.day", f"Nothing was charged. The reason: {problem}."
        case "unknown":
            return (
                "bad",
                "Approved and sent, but the answer was lost",
                "It will not be sent again. What became of it is being looked into.",
            )
        case "not_charged":
            return "off", "Approved, but it did not happen", "Nothing was charged."


def _charged(entry: Entry, quote: Quote) -> str:
    charged, quoted = Decimal(entry.charged or 0), quote.price.amount
    if quoted == charged == 0:
        return "It cost nothing."
    if entry.charged is None:
        return "What was charged is not known yet: compare your balance."
    text = f"{dollars(charged)} was charged."
    if quoted is None or charged == quoted:
        return text
    return f"{text} That is {dollars(abs(charged - quoted))} {'more' if charged > quoted else 'less'} than quoted."


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(Path(__file__).with_name("approval_page.html").read_text(encoding="utf-8"))


def _plain(status: int, text: str) -> Response:
    return PlainTextResponse(text, status, headers={"Cache-Control": "no-store"})
