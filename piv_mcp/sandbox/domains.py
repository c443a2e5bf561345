"""Domains: search, list, automatic renewal, Cloudflare and nameservers.

Where the reference is silent:
- Every name is available unless it is registered here or starts with `taken`.
- During its registration a domain has the status `purchasing`, and the filter `pending` finds it.
- `nameservers` has the same shape as in the answer of ns-servers.
- Automatic renewal works as for numbers, but for one year.
- Enabling Cloudflare again has no effect, and Cloudflare cannot be disabled.
- Nameservers cannot be set while Cloudflare is enabled.
- Cloudflare, nameservers, new DNS records and renewals need an active domain.
"""

from datetime import datetime, timedelta

from piv_mcp.sandbox.clock import RENEWAL_LEAD, add_months
from piv_mcp.sandbox.errors import DocumentedError, invalid, not_found
from piv_mcp.sandbox.fields import HOST, Fields, one_of
from piv_mcp.sandbox.records import SandboxDomain
from piv_mcp.sandbox.state import RouteAnswer, RouteCall, State, data

DOMAIN_NOTICE_LEAD = timedelta(days=7)
CERTIFICATE_LIFE = timedelta(days=90)
DEFAULT_SSL_MODE = "flexible"


def search(state: State, call: RouteCall) -> RouteAnswer:
    name = (call.query.text("q", HOST) or "").lower()
    top_level_domain = state.top_level_domain_of(name)
    return data(
        {
            "domain": name,
            "available": is_available(state, name),
            "create_price": top_level_domain.create_price,
            "renew_price": top_level_domain.renew_price,
            "currency": "USD",
        }
    )


def list_domains(state: State, call: RouteCall) -> RouteAnswer:
    """Newest first."""
    page = call.query.page(100, 500)
    status = call.query.text("status", one_of("active", "pending", "expired"))
    cloudflare = call.query.flag("cloudflare")
    auto_renew = call.query.flag("auto_renew")
    part = (call.query.text("search") or "").casefold()
    now = state.clock.now()
    wanted_status = "purchasing" if status == "pending" else status
    found = [
        domain
        for domain in sorted(state.domains.values(), key=lambda domain: domain.created_at, reverse=True)
        if wanted_status in (None, domain.status(now))
        and cloudflare in (None, domain.cloudflare)
        and auto_renew in (None, domain.auto_renew)
        and part in domain.name
    ]
    shown, pagination = page.of(found)
    return data({"domains": [_view(state, domain) for domain in shown], "pagination": pagination})


def get_domain(state: State, call: RouteCall) -> RouteAnswer:
    return data({"domain": full_view(state, find_domain(state, call))})


def set_auto_renew(state: State, call: RouteCall) -> RouteAnswer:
    auto_renew = call.body.boolean("auto_renew")
    domain = find_domain(state, call)
    domain.auto_renew = auto_renew
    domain.updated_at = state.clock.now()
    plan_renewal(state, domain)
    return data({"id": domain.id, "auto_renew": auto_renew})


def enable_cloudflare(state: State, call: RouteCall) -> RouteAnswer:
    if not call.body.boolean("enabled"):
        raise invalid("enabled", "must be true; Cloudflare cannot be disabled here")
    domain = require_active(state, find_domain(state, call))
    if not domain.cloudflare:
        domain.cloudflare = True
        domain.ssl_mode = DEFAULT_SSL_MODE
        domain.nameservers = []
        domain.updated_at = state.clock.now()
    return data({"domain_id": domain.id, "ssl_mode": domain.ssl_mode})


def set_nameservers(state: State, call: RouteCall) -> RouteAnswer:
    nameservers = read_nameservers(call.body)
    domain = require_active(state, find_domain(state, call))
    if domain.cloudflare:
        raise invalid("nameservers", "cannot be set while Cloudflare is enabled")
    domain.nameservers = nameservers
    domain.updated_at = state.clock.now()
    return data({"nameservers": _nameserver_view(domain)})


def find_domain(state: State, call: RouteCall) -> SandboxDomain:
    domain = state.domains.get(call.params["id"])
    if domain is None:
        raise not_found("Domain", call.params["id"])
    return domain


def require_active(state: State, domain: SandboxDomain) -> SandboxDomain:
    status = domain.status(state.clock.now())
    if status != "active":
        raise invalid("id", f"domain is {status}, not active")
    return domain


def is_available(state: State, name: str) -> bool:
    return not name.startswith("taken") and all(domain.name != name for domain in state.domains.values())


def read_nameservers(body: Fields) -> list[str]:
    nameservers = body.maybe_texts("nameservers", HOST) or []
    if len(nameservers) < 2:
        raise invalid("nameservers", "at least two are required")
    return nameservers


def plan_renewal(state: State, domain: SandboxDomain) -> None:
    """Renew 24 hours before the expiry, if automatic renewal is on, the expiry unchanged and the balance sufficient."""
    planned_for = domain.expires_at
    if planned_for is None:
        return

    def renew_if_wanted() -> None:
        outdated = domain.expires_at != planned_for or domain.status(state.clock.now()) != "active"
        if outdated or not domain.auto_renew:
            return
        try:
            state.ledger.charge("domain.auto_renew", domain.id, state.top_level_domain_of(domain.name).renew_price)
        except DocumentedError:
            return
        domain.expires_at = add_months(planned_for, 12)
        plan_expiry(state, domain)

    state.agenda.at(planned_for - RENEWAL_LEAD, renew_if_wanted)


def plan_expiry(state: State, domain: SandboxDomain) -> None:
    """Plan the automatic renewal and the notice seven days before the expiry."""
    plan_renewal(state, domain)
    planned_for = domain.expires_at
    if planned_for is None:
        return

    def announce() -> None:
        if domain.expires_at == planned_for and domain.status(state.clock.now()) == "active":
            state.emit(
                "domain.expires_soon",
                {
                    "domain_id": domain.id,
                    "domain_name": domain.name,
                    "expires_at": planned_for,
                    "auto_renew": domain.auto_renew,
                },
            )

    state.agenda.at(planned_for - DOMAIN_NOTICE_LEAD, announce)


def full_view(state: State, domain: SandboxDomain) -> dict[str, object]:
    records = [
        {
            "name": record.name,
            "type": record.type,
            "content": record.content,
            "ttl": record.ttl,
            "priority": record.priority,
            "proxied": record.proxied,
        }
        for record in domain.records
    ]
    view = {**_view(state, domain), "dns_records": records}
    return view if domain.cloudflare else {**view, "nameservers": _nameserver_view(domain)}


def _view(state: State, domain: SandboxDomain) -> dict[str, object]:
    secured = domain.cloudflare and domain.registered_at is not None
    return {
        "id": domain.id,
        "domain_name": domain.name,
        "status": domain.status(state.clock.now()),
        "registered_at": domain.registered_at,
        "expires_at": domain.expires_at,
        "auto_renew": domain.auto_renew,
        "cloudflare_enabled": domain.cloudflare,
        "cloudflare_status": "active" if secured else None,
        "ssl_type": "lets_encrypt" if secured else None,
        "ssl_status": "active" if secured else None,
        "ssl_mode": domain.ssl_mode,
        "ssl_expires_at": _certificate_expiry(state, domain) if secured else None,
        "created_at": domain.created_at,
        "updated_at": domain.updated_at,
    }


def _certificate_expiry(state: State, domain: SandboxDomain) -> datetime:
    """A certificate is replaced by a new one when it expires."""
    since = domain.registered_at or domain.created_at
    return since + CERTIFICATE_LIFE * ((state.clock.now() - since) // CERTIFICATE_LIFE + 1)


def _nameserver_view(domain: SandboxDomain) -> list[dict[str, object]]:
    return [
        {"nameserver": nameserver, "order_index": index} for index, nameserver in enumerate(domain.nameservers, start=1)
    ]
