"""DNS records of a domain, kept by Cloudflare.

Where the reference is silent:
- Requests may carry `priority`, since answers do; `proxied` defaults to false.
- An update answers like a creation; a deletion answers with `success` alone.
- Without Cloudflare the list is empty, and records cannot be added.
- A ttl is at most one day, and the content at most 2,048 characters.
"""

import ipaddress

from piv_mcp.sandbox.domains import find_domain, require_active
from piv_mcp.sandbox.errors import invalid, not_found
from piv_mcp.sandbox.fields import Fields, length, matching
from piv_mcp.sandbox.records import SandboxDnsRecord, SandboxDomain
from piv_mcp.sandbox.state import RouteAnswer, RouteCall, State, data

RECORD_FIELDS = "type* name* content* ttl priority proxied"
RECORD_TYPE = matching(r"[A-Z]{1,10}", "must be a record type, like A or CNAME")
RECORD_NAME = length(1, 253)
RECORD_CONTENT = length(1, 2048)


def list_records(state: State, call: RouteCall) -> RouteAnswer:
    domain = find_domain(state, call)
    return data({"records": [_view(record) for record in domain.records]})


def create(state: State, call: RouteCall) -> RouteAnswer:
    domain = require_active(state, find_domain(state, call))
    if not domain.cloudflare:
        raise invalid("id", "Cloudflare is not enabled for this domain")
    record = new_record(state, call.body)
    domain.records.append(record)
    domain.updated_at = state.clock.now()
    return data({"record": _view(record)}, 201)


def update(state: State, call: RouteCall) -> RouteAnswer:
    if not call.body:
        raise invalid("body", "must name at least one field")
    domain, record = _find(state, call)
    changed = _read(call.body, record)
    domain.records[domain.records.index(record)] = changed
    domain.updated_at = state.clock.now()
    return data({"record": _view(changed)})


def delete(state: State, call: RouteCall) -> RouteAnswer:
    domain, record = _find(state, call)
    domain.records.remove(record)
    domain.updated_at = state.clock.now()
    return RouteAnswer({})


def new_record(state: State, fields: Fields) -> SandboxDnsRecord:
    return _read(fields, SandboxDnsRecord(state.ids.uuid("dns record"), type="", name="", content=""))


def _read(fields: Fields, base: SandboxDnsRecord) -> SandboxDnsRecord:
    """A copy of `base` in which the given fields replace the old ones."""
    ttl = fields.maybe_integer("ttl", 1, 86_400)
    priority = fields.maybe_integer("priority", 0, 65_535)
    proxied = fields.maybe_boolean("proxied")
    record = SandboxDnsRecord(
        id=base.id,
        type=fields.maybe_text("type", RECORD_TYPE) or base.type,
        name=fields.maybe_text("name", RECORD_NAME) or base.name,
        content=fields.maybe_text("content", RECORD_CONTENT) or base.content,
        ttl=base.ttl if ttl is None else ttl,
        priority=base.priority if priority is None else priority,
        proxied=base.proxied if proxied is None else proxied,
    )
    _check_address(record)
    return record


def _check_address(record: SandboxDnsRecord) -> None:
    versions = {"A": 4, "AAAA": 6}
    if record.type not in versions:
        return
    try:
        fits = ipaddress.ip_address(record.content).version == versions[record.type]
    except ValueError:
        fits = False
    if not fits:
        raise invalid("content", f"must be an IPv{versions[record.type]} address")


def _find(state: State, call: RouteCall) -> tuple[SandboxDomain, SandboxDnsRecord]:
    domain = find_domain(state, call)
    for record in domain.records:
        if record.id == call.params["recordId"]:
            return domain, record
    raise not_found("DNS record", call.params["recordId"])


def _view(record: SandboxDnsRecord) -> dict[str, object]:
    return {
        "id": record.id,
        "type": record.type,
        "name": record.name,
        "content": record.content,
        "ttl": record.ttl,
        "priority": record.priority,
        "proxied": record.proxied,
    }
