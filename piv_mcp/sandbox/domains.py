"""Domains: search, list, renewal flag, Cloudflare and nameservers.

Where the reference is silent: every name is free unless it is registered here or starts with `taken`; while
it is being registered a domain is `purchasing` and found by the filter `pending`; `nameservers` looks as in
the answer of ns-servers; automatic renewal works like that of numbers, for one year. Cloudflare can be
enabled again without effect and never disabled; nameservers cannot be set while it is on; only an active
domain can be changed.
"""

from datetime import datetime, timedelta

from piv_mcp.sandbox.clock import add_months
from piv_mcp.sandbox.errors import ApiError, invalid, not_found
from piv_mcp.sandbox.fields import HOST, Fields, one_of
from piv_mcp.sandbox.prices import ending_of
from piv_mcp.sandbox.records import Domain
from piv_mcp.sandbox.state import Answer, Call, State, data

RENEWAL_LEAD = timedelta(hours=24)
NOTICE_LEAD = timedelta(days=7)
CERTIFICATE_LIFE = timedelta(days=90)
DEFAULT_SSL_MODE = "flexible"


def search(state: State, call: Call) -> Answer:
    name = (call.query.text("q", HOST) or "").lower()
    ending = ending_of(name)
    return data(
        {
            "domain": name,
            "available": available(state, name),
            "create_price": ending.create_price,
            "renew_price": ending.renew_price,
            "currency": "USD",
        }
    )


def list_domains(state: State, call: Call) -> Answer:
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


def get_domain(state: State, call: Call) -> Answer:
    return data({"domain": full_view(state, find_domain(state, call))})


def set_auto_renew(state: State, call: Call) -> Answer:
    auto_renew = call.body.boolean("auto_renew")
    domain = find_domain(state, call)
    domain.auto_renew = auto_renew
    domain.updated_at = state.clock.now()
    plan_renewal(state, domain)
    return data({"id": domain.id, "auto_renew": auto_renew})


def enable_cloudflare(state: State, call: Call) -> Answer:
    if not call.body.boolean("enabled"):
        raise invalid("enabled", "must be true; Cloudflare cannot be disabled here")
    domain = require_active(state, find_domain(state, call))
    if not domain.cloudflare:
        domain.cloudflare = True
        domain.ssl_mode = DEFAULT_SSL_MODE
        domain.nameservers = []
        domain.updated_at = state.clock.now()
    return data({"domain_id": domain.id, "ssl_mode": domain.ssl_mode})


def set_nameservers(state: State, call: Call) -> Answer:
    nameservers = read_nameservers(call.body)
    domain = require_active(state, find_domain(state, call))
    if domain.cloudflare:
        raise invalid("nameservers", "cannot be set while Cloudflare is enabled")
    domain.nameservers = nameservers
    domain.updated_at = state.clock.now()
    return data({"nameservers": _nameserver_view(domain)})


def find_domain(state: State, call: Call) -> Domain:
    domain = state.domains.get(call.params["id"])
    if domain is None:
        raise not_found("Domain", call.params["id"])
    return domain


def require_active(state: State, domain: Domain) -> Domain:
    status = domain.status(state.clock.now())
    if status != "active":
        raise invalid("id", f"domain is {status}, not active")
    return domain


def available(state: State, name: str) -> bool:
    return not name.startswith("taken") and all(domain.name != name for domain in state.domains.values())


def read_nameservers(body: Fields) -> list[str]:
    nameservers = body.maybe_texts("nameservers", HOST) or []
    if len(nameservers) < 2:
        raise invalid("nameservers", "at least two are required")
    return nameservers


def plan_renewal(state: State, domain: Domain) -> None:
    """Renew automatically 24 hours before the expiry, if that is wanted, due and paid for by then."""
    planned_for = domain.expires_at
    if planned_for is None:
        return

    def renew_if_wanted() -> None:
        void = domain.expires_at != planned_for or domain.status(state.clock.now()) != "active"
        if void or not domain.auto_renew:
            return
        try:
            state.ledger.charge("domain.auto_renew", domain.id, ending_of(domain.name).renew_price)
        except ApiError:
            return
        domain.expires_at = add_months(planned_for, 12)
        plan_expiry(state, domain)

    state.agenda.at(planned_for - RENEWAL_LEAD, renew_if_wanted)


def plan_expiry(state: State, domain: Domain) -> None:
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

    state.agenda.at(planned_for - NOTICE_LEAD, announce)


def full_view(state: State, domain: Domain) -> dict[str, object]:
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


def _view(state: State, domain: Domain) -> dict[str, object]:
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


def _certificate_expiry(state: State, domain: Domain) -> datetime:
    """Certificates renew themselves."""
    since = domain.registered_at or domain.created_at
    return since + CERTIFICATE_LIFE * ((state.clock.now() - since) // CERTIFICATE_LIFE + 1)


def _nameserver_view(domain: Domain) -> list[dict[str, object]]:
    return [
        {"nameserver": nameserver, "order_index": index} for index, nameserver in enumerate(domain.nameservers, start=1)
    ]
