"""Every action that costs money, what each charges, and what changes something for good at no cost."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

import pytest
from examples import domain, number, order, record

from piv_mcp.sandbox import Sandbox
from piv_mcp.sandbox.failures import Outcome
from piv_mcp.sandbox.service import Incoming


@dataclass(frozen=True)
class Purchase:
    """One action that costs money. `price` is what the sandbox charges."""

    tool: str
    path: str
    ledger: str
    price: Decimal
    quoted: Literal["exact", "estimate", "unknown"]
    arguments: Callable[[Sandbox], dict[str, Any]]

    def __str__(self) -> str:
        return self.tool


def _of(**arguments: Any) -> Callable[[Sandbox], dict[str, Any]]:
    return lambda sandbox: {name: value(sandbox) if callable(value) else value for name, value in arguments.items()}


def _purchase(
    tool: str, path: str, ledger: str, price: str, quoted: Literal["exact", "estimate", "unknown"], **arguments: Any
) -> Purchase:
    return Purchase(tool, path, ledger, Decimal(price), quoted, _of(**arguments))


def expired_number(sandbox: Sandbox) -> list[str]:
    return [number(sandbox, "Old campaign")]


def expired_order(sandbox: Sandbox) -> str:
    return order(sandbox, "expired")


def german_server(sandbox: Sandbox) -> str:
    return next(iter(sandbox.state.servers))


BUY_NUMBER = _purchase(
    "purchase_number",
    "/numbers/purchase",
    "number.purchase",
    "4.00",
    "exact",
    country_code="SE",
    duration_months=1,
    auto_renew=False,
)
RENEW_NUMBER = _purchase(
    "renew_number", "/numbers/*/renew", "number.renew", "8.00", "exact", piv_num_id=number, duration_months=2
)
RESTORE = _purchase(
    "restore_numbers",
    "/numbers/restore",
    "number.restore",
    "6.00",
    "unknown",
    piv_num_ids=expired_number,
)
SEND_SMS = _purchase(
    "send_sms",
    "/numbers/*/sms/send",
    "sms.send",
    "0.25",
    "exact",
    piv_num_id=number,
    to_number="+14155551234",
    message_body="Hello",
)
VERIFY = _purchase(
    "start_google_verification",
    "/numbers/*/verify",
    "number.verify",
    "1.00",
    "unknown",
    piv_num_id=number,
    gv_url="https://gv.google.com/verify",
)
REGISTER = _purchase(
    "register_domain",
    "/domains",
    "domain.register",
    "12.50",
    "exact",
    domain="free-name.com",
    period=1,
    cloudflare=True,
    auto_renew=False,
)
CREATE_WHITE = _purchase(
    "create_white",
    "/whites",
    "white.create",
    "3.00",
    "exact",
    name="A new site",
    tier_key="v2_tier1",
    niche="Gardening",
    country="DE",
    language="de",
)
BUY_PROXIES = _purchase(
    "purchase_proxies",
    "/proxy/purchase",
    "proxy.purchase",
    "3.00",
    "estimate",
    server_id=german_server,
    quantity=2,
    months=3,
)
RENEW_DOMAIN = _purchase(
    "renew_domain", "/domains/*/renew", "domain.renew", "12.50", "exact", domain_id=domain, period=1
)
PURCHASES: Sequence[Purchase] = (
    BUY_NUMBER,
    RENEW_NUMBER,
    RESTORE,
    SEND_SMS,
    VERIFY,
    BUY_PROXIES,
    _purchase("renew_proxy_order", "/proxy/orders/*/renew", "proxy.renew", "1.50", "exact", order_id=order, months=1),
    _purchase(
        "restore_proxy_order",
        "/proxy/orders/*/restore",
        "proxy.restore",
        "0.90",
        "unknown",
        order_id=expired_order,
    ),
    REGISTER,
    RENEW_DOMAIN,
    CREATE_WHITE,
)


FREE = [
    pytest.param("set_number_auto_renewal", "PATCH", {"piv_num_id": number, "auto_renew": False}, id="number-off"),
    pytest.param("set_domain_auto_renewal", "POST", {"domain_id": domain, "auto_renew": False}, id="domain-off"),
    pytest.param("delete_dns_record", "DELETE", {"domain_id": domain, "record_id": record}, id="delete-record"),
    pytest.param(
        "enable_cloudflare",
        "POST",
        {"domain_id": lambda sandbox: domain(sandbox, cloudflare=False)},  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
        id="cloudflare",
    ),
    pytest.param(
        "set_nameservers",
        "POST",
        {
            "domain_id": lambda sandbox: domain(sandbox, cloudflare=False),  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
            "nameservers": ["ns1.new.com", "ns2.new.com"],
        },
        id="nameservers",
    ),
]
"""What costs nothing and changes something for good: tool, method, arguments."""
COMMITMENTS = [
    pytest.param("set_number_auto_renewal", "PATCH", {"piv_num_id": number, "auto_renew": True}, id="number-on"),
    pytest.param("set_domain_auto_renewal", "POST", {"domain_id": domain, "auto_renew": True}, id="domain-on"),
]
"""What costs nothing now, and lets piv.day charge from then on."""


def given(sandbox: Sandbox, arguments: dict[str, Any]) -> dict[str, Any]:
    return {name: value(sandbox) if callable(value) else value for name, value in arguments.items()}


def at_each_write(sandbox: Sandbox, change: Callable[[], object]) -> None:
    """Let something happen on the account as a write arrives, which nobody can know before."""
    answer = sandbox.answer

    def changed(incoming: Incoming) -> Outcome:
        if incoming.method != "GET":
            change()
        return answer(incoming)

    sandbox.answer = changed


def in_turn(purchases: Sequence[Purchase] = PURCHASES) -> list[Any]:
    """Each purchase with one of the protocol eras, for what differs in neither."""
    eras = ("auto", "legacy")
    return [
        pytest.param(purchase, eras[index % 2], id=f"{purchase}-{eras[index % 2]}")
        for index, purchase in enumerate(purchases)
    ]
