"""The sandbox refuses what the reference refuses, with the documented error and without a charge."""

from decimal import Decimal

import pytest
from sandbox_api import BUY_DOMAIN, BUY_NUMBER, NEW_WHITE, SEND, VERIFY, Api, Json, filled, ids

from piv_mcp.sandbox import Sandbox

pytest_plugins = ["sandbox_fixtures"]

PLAIN: Json = {**BUY_DOMAIN, "cloudflare": False, "nameservers": ["ns1.a.com", "ns2.a.com"]}


Case = tuple[str, str, str, Json | None]

UUID = "00000000-0000-0000-0000-000000000000"


ERRORS: list[Case] = [
    ("NOT_FOUND", "GET", "/nothing", None),
    ("NOT_FOUND", "DELETE", "/account", None),
    ("NUMBER_NOT_FOUND", "GET", "/numbers/nobody", None),
    ("NUMBER_NOT_FOUND", "GET", "/numbers/nobody/sms", None),
    ("NUMBER_NOT_FOUND", "PATCH", "/numbers/nobody", {"custom_name": "x"}),
    ("NUMBER_NOT_FOUND", "PATCH", "/numbers/nobody/auto-renewal", {"auto_renew": True}),
    ("NUMBER_NOT_FOUND", "POST", "/numbers/nobody/renew", {"duration_months": 1}),
    ("NUMBER_NOT_FOUND", "POST", "/numbers/nobody/sms/send", SEND),
    ("NUMBER_NOT_FOUND", "POST", "/numbers/nobody/verify", VERIFY),
    ("COUNTRY_NOT_AVAILABLE", "POST", "/numbers/purchase", {**BUY_NUMBER, "country_code": "ZZ"}),
    ("NO_NUMBERS_AVAILABLE", "POST", "/numbers/purchase", {**BUY_NUMBER, "country_code": "NL"}),
    ("NUMBER_EXPIRED", "POST", "/numbers/{expired_number}/renew", {"duration_months": 1}),
    ("NUMBER_EXPIRED", "POST", "/numbers/{expired_number}/sms/send", SEND),
    ("NUMBER_NOT_ACTIVE", "POST", "/numbers/{mute_number}/sms/send", SEND),
    ("NUMBER_NOT_ACTIVE", "POST", "/numbers/{expired_number}/verify", VERIFY),
    ("SMS_DISABLED", "POST", "/numbers/{mute_number}/verify", VERIFY),
    (
        "NO_RESTORABLE_NUMBERS",
        "POST",
        "/numbers/restore",
        {"piv_num_ids": ["{lost_number}", "nobody", "{number}"]},
    ),
    ("INVALID_MESSAGE_FORMAT", "POST", "/numbers/{number}/sms/send", {**SEND, "message_body": "x" * 1531}),
    ("INVALID_MESSAGE_FORMAT", "POST", "/numbers/{number}/sms/send", {**SEND, "message_body": "a\x00b"}),
    ("PROXY_DEAD", "POST", "/numbers/{number}/verify", {"gv_url": "https://gv.google.com/proxy-dead"}),
    ("QUEUE_FULL", "POST", "/numbers/{number}/verify", {"gv_url": "https://gv.google.com/queue-full"}),
    (
        "SERVER_UNAVAILABLE",
        "POST",
        "/numbers/{number}/verify",
        {"gv_url": "https://gv.google.com/server-unavailable"},
    ),
    ("NOT_FOUND", "GET", f"/proxy/orders/{UUID}", None),
    ("NOT_FOUND", "GET", f"/proxy/orders/{UUID}/export", None),
    ("NOT_FOUND", "POST", f"/proxy/orders/{UUID}/renew", {"months": 1}),
    ("NOT_FOUND", "POST", f"/proxy/orders/{UUID}/restore", None),
    ("NOT_FOUND", "POST", "/proxy/purchase", {"server_id": UUID, "quantity": 1, "months": 1}),
    ("VALIDATION_ERROR", "POST", "/proxy/orders/{expired_order}/renew", {"months": 1}),
    ("VALIDATION_ERROR", "POST", "/proxy/orders/{order}/restore", None),
    ("NOT_FOUND", "GET", f"/domains/{UUID}", None),
    ("NOT_FOUND", "GET", f"/domains/queue/{UUID}", None),
    ("NOT_FOUND", "POST", f"/domains/{UUID}/renew", {"period": 1}),
    ("NOT_FOUND", "PUT", f"/domains/{{domain}}/dns/{UUID}", {"ttl": 60}),
    ("NOT_FOUND", "DELETE", f"/domains/{{domain}}/dns/{UUID}", None),
    ("DOMAIN_NOT_AVAILABLE", "POST", "/domains", {**BUY_DOMAIN, "domain": "mysite.com"}),
    ("DOMAIN_NOT_AVAILABLE", "POST", "/domains", {**BUY_DOMAIN, "domain": "taken-name.com"}),
    ("NOT_FOUND", "GET", f"/whites/{UUID}", None),
    ("INVALID_TIER", "POST", "/whites", {**NEW_WHITE, "tier_key": "t1"}),
    ("NOT_READY", "GET", "/whites/{unfinished_white}/download", None),
]


@pytest.mark.parametrize(("code", "method", "path", "body"), ERRORS)
async def test_documented_error_fires_and_costs_nothing(
    code: str, method: str, path: str, body: Json | None, piv_day: Sandbox, api: Api
) -> None:
    names = ids(piv_day)
    assert (await api.error(method, filled(path, names), filled(body, names)))[0] == code
    assert piv_day.balance == Decimal("150.50")
    assert sum(charge.amount for charge in piv_day.charges) == 0


INVALID: list[Case] = [
    ("duration_months", "POST", "/numbers/purchase", {**BUY_NUMBER, "duration_months": 0}),
    ("duration_months", "POST", "/numbers/purchase", {**BUY_NUMBER, "duration_months": True}),
    ("duration_months", "POST", "/numbers/purchase", {**BUY_NUMBER, "duration_months": 1.0}),
    ("duration_months", "POST", "/numbers/purchase", {"country_code": "SE", "auto_renew": False}),
    ("auto_renew", "POST", "/numbers/purchase", {**BUY_NUMBER, "auto_renew": "true"}),
    ("country_code", "POST", "/numbers/purchase", {**BUY_NUMBER, "country_code": "se"}),
    ("custom_name", "POST", "/numbers/purchase", {**BUY_NUMBER, "custom_name": None}),
    ("quantity", "POST", "/numbers/purchase", {**BUY_NUMBER, "quantity": 2}),
    ("piv_num_ids", "POST", "/numbers/restore", {"piv_num_ids": []}),
    ("piv_num_ids", "POST", "/numbers/restore", {"piv_num_ids": [1]}),
    ("to_number", "POST", "/numbers/{number}/sms/send", {**SEND, "to_number": "4155551234"}),
    ("message_body", "POST", "/numbers/{number}/sms/send", {**SEND, "message_body": ""}),
    ("gv_url", "POST", "/numbers/{number}/verify", {"gv_url": "gv.google.com"}),
    ("limit", "GET", "/numbers?limit=201", None),
    ("limit", "GET", "/numbers?limit=ten", None),
    ("offset", "GET", "/numbers/{number}/sms?offset=-1", None),
    ("status", "GET", "/numbers?status=gone", None),
    ("page", "GET", "/numbers?page=2", None),
    ("limit", "GET", "/proxy/orders?limit=501", None),
    ("format", "GET", "/proxy/orders/{order}/export?format=csv", None),
    ("quantity", "POST", "/proxy/purchase", {"server_id": "{server}", "quantity": 501, "months": 1}),
    ("months", "POST", "/proxy/purchase", {"server_id": "{server}", "quantity": 1, "months": 13}),
    ("q", "GET", "/domains/search", None),
    ("q", "GET", "/domains/search?q=nodots", None),
    ("cloudflare", "GET", "/domains?cloudflare=yes", None),
    ("status", "GET", "/domains?status=purchasing", None),
    ("period", "POST", "/domains", {**BUY_DOMAIN, "period": 11}),
    ("nameservers", "POST", "/domains", {**BUY_DOMAIN, "nameservers": ["ns1.a.com", "ns2.a.com"]}),
    ("nameservers", "POST", "/domains", {**PLAIN, "nameservers": ["ns1.a.com"]}),
    ("ssl_mode", "POST", "/domains", {**PLAIN, "ssl_mode": "full"}),
    ("ssl_mode", "POST", "/domains", {**BUY_DOMAIN, "ssl_mode": "loose"}),
    ("dns_records", "POST", "/domains", {**PLAIN, "dns_records": []}),
    (
        "dns_records[0].content",
        "POST",
        "/domains",
        {**BUY_DOMAIN, "dns_records": [{"type": "A", "name": "@"}]},
    ),
    ("content", "POST", "/domains/{domain}/dns", {"type": "AAAA", "name": "@", "content": "1.2.3.4"}),
    ("body", "PUT", "/domains/{domain}/dns/{record}", {}),
    ("enabled", "POST", "/domains/{domain}/cloudflare", {"enabled": False}),
    ("nameservers", "POST", "/domains/{domain}/ns-servers", {"nameservers": ["ns1.a.com", "ns2.a.com"]}),
    ("name", "POST", "/whites", {**NEW_WHITE, "name": "x"}),
    ("name", "POST", "/whites", {**NEW_WHITE, "name": "x" * 21}),
    ("niche", "POST", "/whites", {**NEW_WHITE, "niche": "x" * 26}),
    ("blog_count", "POST", "/whites", {**NEW_WHITE, "blog_count": 2}),
    ("blog_count", "POST", "/whites", {**NEW_WHITE, "tier_key": "v2_tier1", "blog_count": 3}),
    ("domain", "POST", "/whites", {**NEW_WHITE, "domain": "example"}),
    ("email", "POST", "/whites", {**NEW_WHITE, "email": "info"}),
    ("youtube", "POST", "/whites", {**NEW_WHITE, "youtube": "@channel"}),
    ("contacts_template", "POST", "/whites", {**NEW_WHITE, "contacts_template": "x"}),
    ("format", "GET", "/whites/{white}/download?format=rar", None),
    ("legal_name", "POST", "/whites/{white}/config", {"legal_name": "x"}),
]


@pytest.mark.parametrize(("name", "method", "path", "body"), INVALID)
async def test_invalid_field_is_named(
    name: str, method: str, path: str, body: Json | None, piv_day: Sandbox, api: Api
) -> None:
    names = ids(piv_day)
    code, message = await api.error(method, filled(path, names), filled(body, names))
    assert code == "VALIDATION_ERROR"
    assert message.startswith(f"{name}: ")
    assert piv_day.charges == []


PURCHASES = [
    ("POST", "/numbers/purchase", BUY_NUMBER),
    ("POST", "/numbers/{number}/renew", {"duration_months": 1}),
    ("POST", "/numbers/restore", {"piv_num_ids": ["{expired_number}"]}),
    ("POST", "/numbers/{number}/sms/send", SEND),
    ("POST", "/numbers/{number}/verify", VERIFY),
    ("POST", "/proxy/purchase", {"server_id": "{server}", "quantity": 1, "months": 1}),
    ("POST", "/proxy/orders/{order}/renew", {"months": 1}),
    ("POST", "/proxy/orders/{expired_order}/restore", None),
    ("POST", "/domains", BUY_DOMAIN),
    ("POST", "/domains/{domain}/renew", {"period": 1}),
    ("POST", "/whites", NEW_WHITE),
]


@pytest.mark.parametrize(("method", "path", "body"), PURCHASES)
async def test_too_little_balance_buys_nothing(
    method: str, path: str, body: Json | None, piv_day: Sandbox, api: Api
) -> None:
    names = ids(piv_day)
    piv_day.balance = Decimal("0.20")
    before = piv_day.summary()["counts"]
    code, message = await api.error(method, filled(path, names), filled(body, names))
    assert code == "INSUFFICIENT_BALANCE"
    assert message.startswith("Not enough balance: required $")
    assert message.endswith(", available $0.20")
    assert (piv_day.summary()["counts"], piv_day.charges) == (before, [])


async def test_withdrawn_country_cannot_be_renewed(piv_day: Sandbox, api: Api) -> None:
    number = ids(piv_day)["number"]
    del piv_day.state.countries["SE"]
    code, _ = await api.error("POST", f"/numbers/{number}/renew", {"duration_months": 1})
    assert code == "COUNTRY_NOT_AVAILABLE"
