"""A valid call for each tool, put together from its schema: a parameter's name says what it holds."""

from collections.abc import Callable, Mapping
from typing import Any

from mcp.types import Tool

from piv_mcp.sandbox import Sandbox
from piv_mcp.sandbox.records import SandboxQueueEntry

Value = Callable[[Sandbox], Any]


def number(sandbox: Sandbox, name: str = "") -> str:
    """The id of a seeded number, by its custom name; "Office line" as long as nobody renamed it."""
    numbers = sandbox.state.numbers.values()
    return next(item.piv_num_id for item in numbers if not name or item.custom_name == name)


def order(sandbox: Sandbox, status: str = "active") -> str:
    return next(item.id for item in sandbox.state.orders.values() if item.status(sandbox.now) == status)


def domain(sandbox: Sandbox, *, cloudflare: bool = True) -> str:
    return next(item.id for item in sandbox.state.domains.values() if item.cloudflare is cloudflare)


def record(sandbox: Sandbox) -> str:
    return sandbox.state.domains[domain(sandbox)].records[0].id


def queue_entry(sandbox: Sandbox) -> str:
    """A registration that has just begun."""
    state = sandbox.state
    entry = SandboxQueueEntry("queue-entry", state.domains[domain(sandbox)])
    state.queue[entry.id] = entry
    return entry.id


def white(sandbox: Sandbox) -> str:
    return next(item.id for item in sandbox.state.whites.values() if item.status == 10)


def _constant(value: object) -> Value:
    return lambda _: value


VALUES: Mapping[str, Value] = {
    "piv_num_id": number,
    "number": number,
    "order_id": order,
    "domain_id": domain,
    "record_id": record,
    "queue_id": queue_entry,
    "white_id": white,
    "server_id": lambda sandbox: next(iter(sandbox.state.servers)),
    "piv_num_ids": lambda sandbox: [number(sandbox, "Old campaign")],
}
"""Ids, from the seeded account."""

CONSTANTS: Mapping[str, Value] = {
    name: _constant(value)
    for name, value in {
        "q": "free-name.com",
        "custom_name": "Support line",
        "auto_renew": False,
        "type": "A",
        "name": "www2",
        "content": "5.6.7.8",
        "nameservers": ["ns1.example.com", "ns2.example.com"],
        "types": ["sms.received"],
        "text": "Your code is 123456",
        "company": "My Brand",
        "timeout_seconds": 0,
        "country_code": "SE",
        "duration_months": 1,
        "to_number": "+14155551234",
        "message_body": "Hello",
        "gv_url": "https://gv.google.com/verify",
        "quantity": 1,
        "months": 1,
        "domain": "free-name.com",
        "period": 1,
        "cloudflare": True,
        "tier_key": "v2_tier1",
        "niche": "IT Consulting",
        "country": "DE",
        "language": "de",
    }.items()
}

ALSO: Mapping[str, tuple[str, ...]] = {
    "update_dns_record": ("content",),
    "configure_white": ("company",),
    "wait_for_code": ("timeout_seconds",),
    "wait_for_event": ("timeout_seconds",),
}
"""Optional parameters without which a call is pointless, or waits."""


def example(tool: Tool, sandbox: Sandbox) -> dict[str, Any]:
    """The least arguments that `tool` takes."""
    names = [*tool.input_schema.get("required", []), *ALSO.get(tool.name, ())]
    missing = [name for name in names if name not in VALUES and name not in CONSTANTS]
    assert not missing, f"{tool.name}: say in tests/examples.py what {missing} may hold"
    return {name: (VALUES.get(name) or CONSTANTS[name])(sandbox) for name in names}
