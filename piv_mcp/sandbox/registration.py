"""Registration and renewal of domains, which go through a queue.

Where the reference is silent:
- The first year costs `create_price`, and each further year `renew_price`.
- `ssl_mode` defaults to `flexible`, its value after Cloudflare is enabled.
- A domain that could not be registered is removed, and its queue entry carries `error`.
- The answer to a renewal shows the old expiry, since the renewal is only queued.
"""

from decimal import Decimal

from piv_mcp.sandbox.clock import add_months
from piv_mcp.sandbox.dns import RECORD_FIELDS, new_record
from piv_mcp.sandbox.domains import (
    DEFAULT_SSL_MODE,
    find_domain,
    full_view,
    is_available,
    plan_expiry,
    read_nameservers,
    require_active,
)
from piv_mcp.sandbox.errors import DocumentedError, invalid, not_found
from piv_mcp.sandbox.fields import HOST, Fields, one_of
from piv_mcp.sandbox.records import SandboxDomain, SandboxQueueEntry
from piv_mcp.sandbox.state import RouteAnswer, RouteCall, State, data, should_fail
from piv_mcp.sandbox.wire import cents


def register(state: State, call: RouteCall) -> RouteAnswer:
    name = call.body.text("domain", HOST).lower()
    period = call.body.integer("period", 1, 10)
    auto_renew = call.body.boolean("auto_renew")
    now = state.clock.now()
    domain = SandboxDomain("", name, period, now, now, auto_renew, call.body.boolean("cloudflare"))
    _read_setup(state, call.body, domain)
    if not is_available(state, name):
        raise DocumentedError("DOMAIN_NOT_AVAILABLE", f"Domain is not available: {name}")
    top_level_domain = state.top_level_domain_of(name)
    cost = cents(top_level_domain.create_price + top_level_domain.renew_price * (period - 1))
    state.ledger.require(cost)
    domain.id = state.ids.uuid("domain")
    state.ledger.charge("domain.register", domain.id, cost)
    state.domains[domain.id] = domain
    entry = _enqueue(state, domain, "domain.register", cost, years=period)
    view = {
        "id": domain.id,
        "domain_name": name,
        "status": domain.status(now),
        "period": period,
        "cloudflare_enabled": domain.cloudflare,
        "auto_renew": auto_renew,
        "ssl_mode": domain.ssl_mode,
        "created_at": now,
    }
    return data({"queue_id": entry.id, "domain": view}, 202)


def renew(state: State, call: RouteCall) -> RouteAnswer:
    period = call.body.integer("period", 1, 10)
    domain = require_active(state, find_domain(state, call))
    cost = cents(state.top_level_domain_of(domain.name).renew_price * period)
    state.ledger.charge("domain.renew", domain.id, cost)
    entry = _enqueue(state, domain, "domain.renew", cost, years=period)
    return data({"queue_id": entry.id, "domain_id": domain.id, "expires_at": domain.expires_at}, 202)


def get_queue_entry(state: State, call: RouteCall) -> RouteAnswer:
    """`domain` is the domain name while the entry is not completed, then the whole domain."""
    entry = state.queue.get(call.params["id"])
    if entry is None:
        raise not_found("Queue entry", call.params["id"])
    if entry.status == "completed":
        domain = full_view(state, entry.domain)
        return data({"queue_id": entry.id, "status": entry.status, "domain": domain})
    view = {"queue_id": entry.id, "domain": entry.domain.name, "status": entry.status}
    return data({**view, "error": entry.error} if entry.error else view)


def open_domain(state: State, domain: SandboxDomain, years: int) -> None:
    """Make a registered domain active. It expires in `years` years."""
    now = state.clock.now()
    domain.registered_at = domain.updated_at = now
    domain.expires_at = add_months(now, 12 * years)
    plan_expiry(state, domain)


def _read_setup(state: State, body: Fields, domain: SandboxDomain) -> None:
    """Read the optional `ssl_mode` and `dns_records` with Cloudflare, or at least two `nameservers` without."""
    if domain.cloudflare:
        if "nameservers" in body:
            raise invalid("nameservers", "is not allowed with Cloudflare")
        domain.ssl_mode = body.maybe_text("ssl_mode", one_of("flexible", "full", "strict")) or DEFAULT_SSL_MODE
        if "dns_records" in body:
            domain.records = [new_record(state, record) for record in body.objects("dns_records", RECORD_FIELDS)]
        return
    for name in ("ssl_mode", "dns_records"):
        if name in body:
            raise invalid(name, "is only allowed with Cloudflare")
    domain.nameservers = read_nameservers(body)


def _enqueue(state: State, domain: SandboxDomain, action: str, cost: Decimal, years: int) -> SandboxQueueEntry:
    entry = SandboxQueueEntry(state.ids.uuid("queue"), domain)
    state.queue[entry.id] = entry

    def process() -> None:
        entry.status = "processing"
        state.agenda.after(state.timing.domain, finish)

    def finish() -> None:
        if should_fail(domain.name):
            _fail(state, entry, action, cost)
        else:
            _complete(state, entry, years)

    state.agenda.after(state.timing.domain, process)
    return entry


def _complete(state: State, entry: SandboxQueueEntry, years: int) -> None:
    entry.status = "completed"
    domain = entry.domain
    if domain.expires_at is not None:
        domain.expires_at = add_months(domain.expires_at, 12 * years)
        domain.updated_at = state.clock.now()
        plan_expiry(state, domain)
        return
    open_domain(state, domain, years)
    state.emit(
        "domain.registered",
        {
            "domain_id": domain.id,
            "domain_name": domain.name,
            "registered_at": domain.registered_at,
            "expires_at": domain.expires_at,
            "cloudflare_enabled": domain.cloudflare,
        },
    )


def _fail(state: State, entry: SandboxQueueEntry, action: str, cost: Decimal) -> None:
    entry.status, entry.error = "failed", "Domain is no longer available"
    domain = entry.domain
    state.ledger.refund(action, domain.id, cost)
    if domain.expires_at is None:
        del state.domains[domain.id]
    failure = {"domain_id": domain.id, "domain_name": domain.name, "error": entry.error}
    state.emit("domain.failed", failure)
