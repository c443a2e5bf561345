"""Whites: generated sites.

Where the reference is silent:
- `status` is 0 for queued, 1-9 for processing, 10 for done and -1 for failed.
- `result_url` stays null, as in the examples.
- An unknown tier answers INVALID_TIER.
- `php` is the only archive format.
- The archive and the contacts of a white that is not done answer NOT_READY.
- A change of the contacts answers with the white.
"""

import hashlib
import hmac
import re
from datetime import timedelta
from decimal import Decimal
from urllib.parse import urlencode

from piv_mcp.sandbox.errors import DocumentedError, invalid, not_found
from piv_mcp.sandbox.fields import COUNTRY_CODE, EMAIL, HOST, LANGUAGE, URL, Fields, length, one_of
from piv_mcp.sandbox.prices import EXTRA_LANGUAGE_PRICE, INCLUDED_ARTICLES, PREMIUM_MULTIPLIER, SandboxTier
from piv_mcp.sandbox.records import SandboxWhite
from piv_mcp.sandbox.state import RouteAnswer, RouteCall, State, data, should_fail
from piv_mcp.sandbox.wire import cents

CREATE_FIELDS = (
    "name* tier_key* niche* country* language* quality languages domain email phone address legal_name "
    "style_hint keywords banned_words blog_count contacts_mode contacts_template "
    "facebook instagram linkedin youtube tiktok"
)
CONFIG_FIELDS = "company domain email phone address legal"
WHITE_FAILED, WHITE_QUEUED, WHITE_DONE = -1, 0, 10
LINK_LIFE = timedelta(minutes=5)


def list_tiers(state: State, call: RouteCall) -> RouteAnswer:
    tiers = [
        {
            "tier_key": tier.tier_key,
            "name": tier.name,
            "generator_version": "v2",
            "min_articles": tier.min_articles,
            "max_articles": tier.max_articles,
            "price": tier.price,
            "extra_article_price": tier.extra_article_price,
        }
        for tier in state.tiers.values()
    ]
    return data({"tiers": tiers})


def list_whites(state: State, call: RouteCall) -> RouteAnswer:
    """Newest first."""
    page = call.query.page(100, 500)
    status = call.query.text("status", one_of("queued", "processing", "done", "failed"))
    tier_key = call.query.text("tier_key", one_of(*state.tiers))
    found = [
        white
        for white in sorted(state.whites.values(), key=lambda white: white.created_at, reverse=True)
        if status in (None, _word(white.status)) and tier_key in (None, white.tier_key)
    ]
    shown, pagination = page.of(found)
    return data({"whites": [_view(white) for white in shown], "pagination": pagination})


def create(state: State, call: RouteCall) -> RouteAnswer:
    body = call.body
    tier_key = body.text("tier_key")
    tier = state.tiers.get(tier_key)
    if tier is None:
        raise DocumentedError("INVALID_TIER", f"Tier not found: {tier_key}")
    _check_extras(body)
    white = SandboxWhite(
        id="",
        name=body.text("name", length(2, 20)),
        tier_key=tier_key,
        quality=body.maybe_text("quality", one_of("standard", "premium")) or "standard",
        niche=body.text("niche", length(1, 25)),
        country=body.text("country", COUNTRY_CODE),
        language=body.text("language", LANGUAGE),
        domain=body.maybe_text("domain", HOST),
        created_at=state.clock.now(),
    )
    cost = _price(tier, white.quality, body)
    state.ledger.require(cost)
    white.id = state.ids.uuid("white")
    state.ledger.charge("white.create", white.id, cost)
    state.whites[white.id] = white
    last = WHITE_FAILED if should_fail(white.name) else WHITE_DONE
    plan_progress(state, white, cost, 3, 7, last)
    return data({"status": "queued", "white": _view(white)})


def get_white(state: State, call: RouteCall) -> RouteAnswer:
    return data({"white": _view(_find(state, call))})


def download(state: State, call: RouteCall) -> RouteAnswer:
    archive = call.query.text("format", one_of("php")) or "php"
    white = _require_done(_find(state, call))
    now = state.clock.now()
    expires_at = now + LINK_LIFE
    subject = white.domain or re.sub(r"[^A-Za-z0-9]+", "-", white.name)
    filename = f"{subject}_{now:%Y-%m-%d}_{white.country}_{white.language}.zip"
    token = hmac.new(white.id.encode(), expires_at.isoformat().encode(), hashlib.sha256).hexdigest()
    query = urlencode({"format": archive, "token": token, "filename": filename})
    return data(
        {
            "url": f"https://strg.piv.day/download/{state.user_id}/{white.id}?{query}",
            "filename": filename,
            "format": archive,
            "expires_at": expires_at,
        }
    )


def configure(state: State, call: RouteCall) -> RouteAnswer:
    if not call.body:
        raise invalid("body", "must name at least one field")
    domain = call.body.maybe_text("domain", HOST)
    email = call.body.maybe_text("email", EMAIL)
    texts = {name: call.body.maybe_text(name) for name in ("company", "phone", "address", "legal")}
    white = _require_done(_find(state, call))
    white.domain = domain or white.domain
    given = {**texts, "domain": domain, "email": email}
    white.contacts.update({name: text for name, text in given.items() if text is not None})
    return data({"white": _view(white)})


def _check_extras(body: Fields) -> None:
    """Check the fields that no answer contains."""
    body.maybe_text("email", EMAIL)
    for name in ("phone", "address", "legal_name", "style_hint", "contacts_template"):
        body.maybe_text(name)
    for name in ("facebook", "instagram", "linkedin", "youtube", "tiktok"):
        body.maybe_text(name, URL)
    for name in ("keywords", "banned_words"):
        body.maybe_texts(name)
    mode = body.maybe_text("contacts_mode", one_of("same", "template"))
    if "contacts_template" in body and mode != "template":
        raise invalid("contacts_template", "is only allowed with contacts_mode=template")


def _price(tier: SandboxTier, quality: str, body: Fields) -> Decimal:
    price = tier.price * (PREMIUM_MULTIPLIER if quality == "premium" else 1)
    languages = set(body.maybe_texts("languages", LANGUAGE) or [])
    price += EXTRA_LANGUAGE_PRICE * max(0, len(languages) - 1)
    if "blog_count" in body:
        if tier.extra_article_price is None:
            raise invalid("blog_count", f"is not available for {tier.tier_key}")
        articles = body.integer("blog_count", tier.min_articles, tier.max_articles)
        price += tier.extra_article_price * (articles - INCLUDED_ARTICLES)
    return cents(price)


def plan_progress(state: State, white: SandboxWhite, cost: Decimal, status: int, *later: int) -> None:
    """Let the white go through the given statuses, and finish or refund it at the last."""

    def move_on() -> None:
        white.status = status
        if later:
            plan_progress(state, white, cost, *later)
        elif status == WHITE_DONE:
            _complete(state, white)
        else:
            _fail(state, white, cost)

    state.agenda.after(state.timing.white, move_on)


def _complete(state: State, white: SandboxWhite) -> None:
    done = {"job_id": white.id, "name": white.name, "tier_key": white.tier_key, "country": white.country}
    state.emit("white.completed", done)


def _fail(state: State, white: SandboxWhite, cost: Decimal) -> None:
    state.ledger.refund("white.create", white.id, cost)
    state.emit("white.failed", {"job_id": white.id, "name": white.name, "error": "Generation failed"})


def _word(status: int) -> str:
    return {WHITE_FAILED: "failed", WHITE_QUEUED: "queued", WHITE_DONE: "done"}.get(status, "processing")


def _find(state: State, call: RouteCall) -> SandboxWhite:
    white = state.whites.get(call.params["id"])
    if white is None:
        raise not_found("White", call.params["id"])
    return white


def _require_done(white: SandboxWhite) -> SandboxWhite:
    if white.status != WHITE_DONE:
        raise DocumentedError("NOT_READY", f"White is {_word(white.status)}, not done")
    return white


def _view(white: SandboxWhite) -> dict[str, object]:
    return {
        "id": white.id,
        "name": white.name,
        "status": white.status,
        "tier_key": white.tier_key,
        "quality": white.quality,
        "niche": white.niche,
        "country": white.country,
        "language": white.language,
        "domain": white.domain,
        "result_url": None,
        "created_at": white.created_at,
    }
