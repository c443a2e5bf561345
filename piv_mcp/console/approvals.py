"""The approval page: one page that lists all that waits, and on which the person approves or declines each.

Only the person's browser on this machine may decide: see `visitors`. A request needs the cookie of the visit, a Host
header that names this machine, and a decision also an Origin header of the page itself. A decision is for one entry
that this visit was shown, and counts only if the page has not changed just before: a click may have been meant for
what was in its place.
"""

import hashlib
from decimal import Decimal
from urllib.parse import parse_qs, urlencode

import structlog
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from piv_mcp.console.rendering import page
from piv_mcp.spending.approval.channels import READ_SECONDS, lines
from piv_mcp.spending.approval.page_views import LONG_POLL_SECONDS, PageViews
from piv_mcp.spending.journal import Journal
from piv_mcp.spending.messages import dollars
from piv_mcp.spending.quote import Quote
from piv_mcp.spending.receipt import decision
from piv_mcp.store.changes import Changes
from piv_mcp.store.journal import Entry, State
from piv_mcp.text.times import SYSTEM_CLOCK, Clock
from piv_mcp.text.untrusted import visible
from piv_mcp.web.guards import (
    GUESSES_A_MINUTE,
    PAGE_HEADERS,
    Guesses,
    is_same_origin,
    plain_text,
    read_body,
)
from piv_mcp.web.visitors import Visit, Visitors

MAX_FORM = 4096
"""Bytes. Maximum size of the submitted form."""

MAX_WAITING = 200
"""Waiting entries that the page lists, the oldest first."""

MAX_SETTLED = 10
"""Entries that the page goes on to show after their decision, for their outcome."""

SETTLED: tuple[State, ...] = ("declined", "expired", "charged", "refused", "not_charged")
"""The states that change no more by themselves."""

RELOAD_SECONDS = 3
"""How often a browser without scripts reloads the page."""

CLOSED = "closed"
"""The answer to a page that asks for changes when the server stops serving it."""

PREFETCH_HEADERS = ("sec-purpose", "purpose", "x-purpose", "x-moz")
"""Headers with which browsers mark a request that nobody has made yet."""

_log = structlog.get_logger(__name__)


class ApprovalPage:
    """The handlers of the paths below `/approvals/{visit}`."""

    def __init__(
        self, journal: Journal, changes: Changes, views: PageViews, visitors: Visitors, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._journal = journal
        self._changes = changes
        self._views = views
        self._visitors = visitors
        self._clock = clock
        self._guesses = Guesses(clock)

    async def enter(self, request: Request) -> Response:
        """Lead the browser that uses an invitation to the page, and give it the cookie of the visit."""
        if (refused := await self._visitors.refusal(request)) is not None:
            return refused
        visit_id = request.path_params["visit"]
        invitation = self._visitors.invitation(visit_id, request.path_params["secret"])
        if invitation is None:
            return self._not_found()
        if request.method != "GET" or any("prefetch" in request.headers.get(name, "") for name in PREFETCH_HEADERS):
            return plain_text(503, "Open this address in a browser.")  # nobody has opened it yet
        # The same browser may come again, for example by its Back button.
        if self._visitors.visit(visit_id, request) is None and not self._visitors.use(invitation):
            self._changes.notify()  # an open page shows that it is void
            return _void_page()
        return _leading_to(invitation.visit)

    async def show(self, request: Request) -> Response:
        visit = await self._visit(request)
        if isinstance(visit, Response):
            return visit
        entries = await self._entries(visit)
        visit.shown = dict.fromkeys(entry.id for entry in entries)
        digest = _digest(*entries)
        if digest != visit.digest:
            visit.digest, visit.changed_at = digest, self._clock.monotonic()
        await self._views.seen()
        query = request.query_params
        clicks = {query.get("entry", ""): query.get("click", "")}
        cards = [_card(entry, clicks.get(entry.id)) for entry in entries]
        is_settled = all(entry.state in SETTLED for entry in entries)
        values = {
            "visit": visit,
            "cards": cards,
            "read_seconds": READ_SECONDS,
            "closed_word": CLOSED,
            # For a browser without scripts. Named without a fragment, the page is loaded anew.
            "refresh": None if is_settled else f"{RELOAD_SECONDS};url={visit.path}?{query}",
        }
        return page("approvals.html", **values, **_summary(cards))

    async def changed(self, request: Request) -> Response:
        """Wait until the page would show something else than `seen`; the answer is the digest of what it would show."""
        visit = await self._visit(request)
        if isinstance(visit, Response):
            return visit
        seen, ends_at = request.query_params.get("seen"), self._clock.monotonic() + LONG_POLL_SECONDS
        await self._views.seen()
        while True:
            version = self._changes.version
            entries = await self._entries(visit)
            left = ends_at - self._clock.monotonic()
            if self._visitors.is_closing:
                return plain_text(200, CLOSED)
            digest = _digest(*entries)
            if visit.is_void or left <= 0 or digest != seen:
                return plain_text(200, digest)
            expiry = min((entry.expires_at for entry in entries if entry.state == "quoted"), default=float("inf"))
            await self._changes.wait(version, max(0.05, min(left, expiry - self._clock.time())))

    async def decide(self, request: Request) -> Response:
        if not is_same_origin(request):
            _log.warning("a decision sent by another page was refused", origin=request.headers.get("origin"))
            return plain_text(403, "This request does not come from the approval page.")
        visit = await self._visit(request)
        if isinstance(visit, Response):
            return visit
        entry_id = request.path_params["entry_id"]
        if entry_id not in visit.shown:
            return plain_text(404, "There is no such approval.")
        decision = (await _form(request)).get("decision")
        if decision not in ("approve", "decline"):
            return plain_text(400, "The decision must be approve or decline.")
        await self._journal.expire()
        entry = await self._journal.get(entry_id)
        is_early = self._clock.monotonic() - visit.changed_at < READ_SECONDS
        if is_early and entry is not None and entry.state == "quoted":
            _log.info("a click that came too soon after the page had changed", entry_id=entry_id, decision=decision)
            return _back_to(visit, entry_id, "early")
        first = await self._journal.decide(entry_id, "approve" if decision == "approve" else "decline", by="page")
        _log.info("decided on the page", entry_id=entry_id, decision=decision, first=first)
        self._changes.notify()
        return _back_to(visit, entry_id, None if first else decision)

    async def _visit(self, request: Request) -> Visit | Response:
        """The visit of this browser, or the refusal of the request."""
        if (refused := await self._visitors.refusal(request)) is not None:
            return refused
        visit = self._visitors.visit(request.path_params["visit"], request)
        if visit is None:
            return self._not_found()
        return _void_page() if visit.is_void else visit

    async def _entries(self, visit: Visit) -> list[Entry]:
        """What the page shows: all that waits, and for a while what this visit saw waiting before, in a fixed order."""
        await self._journal.expire()
        waiting = await self._journal.entries(limit=MAX_WAITING, states=("quoted",))
        found = {entry.id: entry for entry in reversed(waiting)}
        for entry_id in visit.shown:
            if entry_id not in found and (entry := await self._journal.get(entry_id)) is not None:
                found[entry_id] = entry
        settled = [entry_id for entry_id in visit.shown if entry_id in found and found[entry_id].state != "quoted"]
        for entry_id in settled[:-MAX_SETTLED]:
            del found[entry_id]
        self._visitors.viewed(waiting=bool(waiting))
        return [found[entry_id] for entry_id in dict.fromkeys((*visit.shown, *found)) if entry_id in found]

    def _not_found(self) -> Response:
        guesses = self._guesses.add()
        if guesses > GUESSES_A_MINUTE:
            return plain_text(429, "Too many requests with a wrong address.")
        _log.warning("a request to the approval page with a wrong address or cookie", in_this_minute=guesses)
        return plain_text(404, "There is no such approval.")


def _leading_to(visit: Visit) -> Response:
    """A page that leads on to the visit's page. A redirect would not do: for the browser it belongs to whoever opened
    the address, so that it would leave the strict cookie out."""
    headers = {name: value for name, value in PAGE_HEADERS.items() if name != "Content-Security-Policy"}
    response = HTMLResponse(
        f'<!doctype html><meta charset="utf-8"><title>piv-mcp</title>'
        f'<meta http-equiv="refresh" content="0;url={visit.path}"><a href="{visit.path}">Go to the approval page</a>',
        headers={**headers, "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"},
    )
    response.set_cookie(visit.cookie_name, visit.cookie, path=visit.path, httponly=True, samesite="strict")
    return response


def _back_to(visit: Visit, entry_id: str, click: str | None) -> Response:
    """To a GET: reloading the page then shows the current state and does not send the form again. `click`: what became
    of a click that decided nothing."""
    query = f"?{urlencode({'entry': entry_id, 'click': click})}" if click else ""
    return RedirectResponse(f"{visit.path}{query}#{entry_id}", 303, headers={"Cache-Control": "no-store"})


def _void_page() -> Response:
    return plain_text(
        403,
        "The address of this page was opened twice, perhaps by another program, so the page is closed. Nothing can be "
        "decided here any more. Decide in a terminal: piv-mcp approvals",
    )


def _digest(*entries: Entry) -> str:
    """Changes when what the page shows of these entries does."""
    content = [(entry.id, entry.state, entry.charged, entry.problem) for entry in entries]
    return hashlib.sha256(repr(content).encode("utf-8", "replace")).hexdigest()[:16]


async def _form(request: Request) -> dict[str, str]:
    body = await read_body(request, MAX_FORM) or b""
    fields = parse_qs(body.decode("ascii", "replace"))
    return {name: values[0] for name, values in fields.items()}


def _summary(cards: list[dict[str, object]]) -> dict[str, object]:
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
