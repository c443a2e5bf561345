"""The sandbox against the API reference: shapes, errors, time, webhooks, failures."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

import piv_mcp.sandbox
from piv_mcp.sandbox import Failure, Sandbox, SandboxTransport, Timing, sandbox_app
from piv_mcp.sandbox.errors import STATUS_OF
from piv_mcp.sandbox.routes import ROUTES, Route, find_route
from piv_mcp.sandbox.segments import segments
from piv_mcp.sandbox.serve import serve
from piv_mcp.sandbox.wire import dumps

Json = dict[str, Any]
HEADERS = {"Authorization": "Bearer sandbox-key"}
HOOK = "https://receiver.example/hook"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Receiver:
    """Where webhooks go; answers 200 once `answers` are used up."""

    answers: list[int | Exception] = field(default_factory=list[int | Exception])
    requests: list[httpx.Request] = field(default_factory=list[httpx.Request])

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if self.answers else 200
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer, headers={"Location": "/elsewhere"})

    @property
    def events(self) -> list[Json]:
        return [json.loads(request.content) for request in self.requests]


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
async def sandbox(receiver: Receiver) -> AsyncIterator[Sandbox]:
    sandbox = Sandbox(
        webhook_url=HOOK,
        rate_limit=0,
        timing=Timing.instant(),
        webhook_transport=httpx.MockTransport(receiver),
    )
    yield sandbox
    await sandbox.aclose()


@pytest.fixture
async def api(sandbox: Sandbox) -> AsyncIterator["Api"]:
    async with connect(sandbox) as client:
        yield Api(client)


def connect(sandbox: Sandbox) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=SandboxTransport(sandbox),
        base_url="https://app.piv.day/api/v1",
        headers=HEADERS,
    )


class Api:
    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def ok(self, method: str, path: str, body: Json | None = None) -> Json:
        response = await self.client.request(method, path, json=body)
        assert response.is_success, response.text
        return response.json()

    async def data(self, method: str, path: str, body: Json | None = None) -> Json:
        return cast("Json", (await self.ok(method, path, body))["data"])

    async def error(self, method: str, path: str, body: Json | None = None) -> tuple[str, str]:
        """Code and message of an error whose status is the documented one."""
        response = await self.client.request(method, path, json=body)
        content = response.json()
        assert set(content) == {"success", "error"}
        assert set(content["error"]) == {"code", "message"}
        assert content["success"] is False
        assert response.status_code == STATUS_OF[content["error"]["code"]]
        return content["error"]["code"], content["error"]["message"]


def ids(sandbox: Sandbox) -> dict[str, str]:
    """What the seeded account owns, under names for use in paths."""
    state = sandbox.state
    numbers = {number.custom_name or "unnamed": number.piv_num_id for number in state.numbers.values()}
    orders = {order.status(sandbox.now): order.id for order in state.orders.values()}
    domains = {domain.cloudflare: domain for domain in state.domains.values()}
    whites = {white.status: white.id for white in state.whites.values()}
    return {
        "number": numbers["Office line"],
        "mute_number": numbers["Sign-ups"],
        "expired_number": numbers["Old campaign"],
        "lost_number": numbers["Retired"],
        "order": orders["active"],
        "expired_order": orders["expired"],
        "domain": domains[True].id,
        "record": domains[True].records[0].id,
        "plain_domain": domains[False].id,
        "white": whites[10],
        "unfinished_white": whites[3],
        "server": next(iter(state.servers)),
    }


async def poll(condition: Callable[[], object]) -> None:
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the condition did not come true within five seconds")


# the 38 endpoints

AT = "2026-05-01T10:00:00Z"
NEW_WHITE: Json = {
    "name": "Tech Blog DE",
    "tier_key": "v2_tier3",
    "niche": "IT Consulting",
    "country": "DE",
    "language": "de",
}

# The reference's examples: a request, and the answer below `"success": true`. Words in capitals stand for
# the parts that several examples share; names in braces for what the seeded account owns.
PARTS = {
    "NUMBER": """{"piv_num_id": "vzPA1-kHKSg-EAL7e-Jqd3o", "phone_number": "+46764794425",
        "country_code": "SE", "status": "active", "created_at": AT, "expires_at": AT, "auto_renew": false,
        "custom_name": "Office line", "purchased_at": AT, "next_renewal_date": AT, "tags": ["support"],
        "can_send_sms": true, "can_receive_sms": true}""",
    "PROXY": """{"login": "user1", "password": "pass1", "host": "185.1.2.3", "socks5_port": 1080,
        "http_port": 3128, "ipv6": "2a00:1:2:3::1"}""",
    "FULL_DOMAIN": """{DOMAIN_FIELDS, "dns_records": [{RECORD_FIELDS}]}""",
    "DOMAIN_FIELDS": """"id": "dom-uuid-...", "domain_name": "mysite.com", "status": "active",
        "registered_at": AT, "expires_at": AT, "auto_renew": true, "cloudflare_enabled": true,
        "cloudflare_status": "active", "ssl_type": "lets_encrypt", "ssl_status": "active", "ssl_mode": "full",
        "ssl_expires_at": AT, "created_at": AT, "updated_at": AT""",
    "RECORD_FIELDS": """"name": "@", "type": "A", "content": "1.2.3.4", "ttl": 1, "priority": null,
        "proxied": true""",
    "WHITE": """{"id": "job-uuid-...", "name": "My White", "status": 10, "tier_key": "v2_tier3",
        "quality": "standard", "niche": "IT Consulting", "country": "DE", "language": "de",
        "domain": "mysite.com", "result_url": null, "created_at": AT}""",
    "PAGINATION": """{"total": 1, "limit": 10, "offset": 0}""",
    "AT": f'"{AT}"',
}
EXAMPLES = """
GET /account
200 {"data": {"user_id": "usr-uuid-...", "balance": 150.50, "email": "u***@example.com", "team_id": null,
    "is_team_member": false}}

GET /numbers/countries
200 {"data": [{"country_code": "SE", "price_per_month": 4.00, "base_price": 5.00, "can_send_sms": true,
    "can_receive_sms": true, "sms_send_price": 0.25}]}

GET /numbers?country=SE&status=active&limit=10
200 {"data": {"numbers": [NUMBER], "pagination": PAGINATION}}

GET /numbers/{number}
200 {"data": NUMBER}

POST /numbers/purchase
{"country_code": "SE", "duration_months": 1, "auto_renew": false, "custom_name": "My Sweden Number"}
200 {"cost": 5.00, "numbers": [{"piv_num_id": "vzPA1-kHKSg-EAL7e-Jqd3o", "country_code": "SE",
    "phone_number": "+46764794425", "created_at": AT, "expires_at": AT, "auto_renew": false,
    "custom_name": "My Sweden Number"}]}

POST /numbers/{number}/renew
{"duration_months": 1}
200 {"data": {"piv_num_id": "vzPA1-kHKSg-EAL7e-Jqd3o", "phone_number": "+46764794425", "old_expires_at": AT,
    "new_expires_at": AT, "cost": 5.00}}

PATCH /numbers/{number}
{"custom_name": "Support line"}
200 {"data": {"piv_num_id": "vzPA1-kHKSg-EAL7e-Jqd3o", "phone_number": "+46764794425", "country_code": "SE",
    "status": "active", "custom_name": "Support line", "auto_renew": false, "expires_at": AT, "tags": ["a"]}}

PATCH /numbers/{number}/auto-renewal
{"auto_renew": true}
200 {"data": {"piv_num_id": "vzPA1-kHKSg-EAL7e-Jqd3o", "phone_number": "+46764794425", "auto_renew": true}}

POST /numbers/restore
{"piv_num_ids": ["{expired_number}", "abc12-defgh-ijklm-nopqr"]}
200 {"queued": 2, "skipped": 0, "total_charged": 9.00, "numbers": [
    {"piv_num_id": "vzPA1-kHKSg-EAL7e-Jqd3o", "phone_number": "+46764794425", "status": "pending"}]}

GET /numbers/{number}/sms?limit=20
200 {"data": {"messages": [{"id": "42", "from_number": "+46764794425", "to_number": "+14155551234",
    "message_body": "Hello from piv.day", "direction": "outbound", "status": "delivered", "received_at": AT}],
    "pagination": PAGINATION}}

POST /numbers/{number}/sms/send
{"to_number": "+14155551234", "message_body": "Hello from piv.day"}
200 {"data": {"message_id": "42", "from_number": "+46764794425", "to_number": "+14155551234",
    "message_body": "Hello from piv.day", "status": "queued", "created_at": AT}}

POST /numbers/{number}/verify
{"gv_url": "https://gv.google.com/..."}
202 {"message": "Verification initiated"}

GET /proxy/servers
200 {"data": {"servers": [{"id": "a1b2c3d4-e5f6-7890-abcd-ef1234567890", "name": "EU-DE-01", "country": "DE",
    "socks5_port": 1080, "http_port": 3128, "price_per_proxy": 0.50}]}}

GET /proxy/orders?status=active&limit=20
200 {"data": {"orders": [{"id": "ord-uuid-...", "country": "DE", "quantity": 10, "price_per_proxy": 0.50,
    "price_total": 5.00, "status": "active", "purchased_at": AT, "expires_at": AT}],
    "pagination": PAGINATION}}

GET /proxy/orders/{order}
200 {"data": {"order": {"id": "ord-uuid-...", "country": "DE", "quantity": 10, "price_per_proxy": 0.50,
    "price_total": 5.00, "status": "active", "purchased_at": AT, "expires_at": AT, "created_at": AT,
    "items": [PROXY]}}}

POST /proxy/purchase
{"server_id": "{server}", "quantity": 5, "months": 1}
200 {"data": {"order": {"id": "ord-uuid-...", "country": "DE", "quantity": 5, "price_total": 2.50,
    "status": "active", "expires_at": AT, "created_at": AT, "items": [PROXY]}}}

POST /proxy/orders/{order}/renew
{"months": 1}
200 {"data": {"order_id": "ord-uuid-...", "cost": 5.00, "new_expires_at": AT}}

POST /proxy/orders/{expired_order}/restore
200 {"data": {"order_id": "ord-uuid-...", "quantity": 10, "total_cost": 5.00, "expires_at": AT}}

GET /proxy/orders/{order}/export?format=socks5
200 {"data": {"content": "user1:pass1@1.2.3.4:1080", "filename": "piv-day-proxy-ord-uuid--socks5.txt",
    "format": "socks5", "count": 2}}

GET /domains/search?q=free-name.com
200 {"data": {"domain": "free-name.com", "available": true, "create_price": 12.50, "renew_price": 12.50,
    "currency": "USD"}}

GET /domains?status=active&limit=20
200 {"data": {"domains": [{DOMAIN_FIELDS}], "pagination": PAGINATION}}

POST /domains
{"domain": "new.com", "period": 1, "cloudflare": true, "auto_renew": true, "ssl_mode": "full",
    "dns_records": [{"type": "A", "name": "@", "content": "1.2.3.4", "proxied": true}]}
202 {"data": {"queue_id": "que-uuid-...", "domain": {"id": "dom-uuid-...", "domain_name": "new.com",
    "status": "purchasing", "period": 1, "cloudflare_enabled": true, "auto_renew": true, "ssl_mode": "full",
    "created_at": AT}}}

POST /domains
{"domain": "new.com", "period": 1, "cloudflare": false, "auto_renew": false,
    "nameservers": ["ns1.myhost.com", "ns2.myhost.com"]}
202 {"data": {"queue_id": "que-uuid-...", "domain": {"id": "dom-uuid-...", "domain_name": "new.com",
    "status": "purchasing", "period": 1, "cloudflare_enabled": false, "auto_renew": false, "ssl_mode": null,
    "created_at": AT}}}

GET /domains/queue/{queue}
200 {"data": {"queue_id": "que-uuid-...", "status": "completed", "domain": FULL_DOMAIN}}

GET /domains/{domain}
200 {"data": {"domain": FULL_DOMAIN}}

POST /domains/{domain}/renew
{"period": 1}
202 {"data": {"queue_id": "que-uuid-...", "domain_id": "dom-uuid-...", "expires_at": AT}}

POST /domains/{domain}/auto-renew
{"auto_renew": true}
200 {"data": {"id": "dom-uuid-...", "auto_renew": true}}

GET /domains/{domain}/dns
200 {"data": {"records": [{"id": "rec-uuid-...", RECORD_FIELDS}]}}

POST /domains/{domain}/dns
{"type": "A", "name": "@", "content": "1.2.3.4", "ttl": 1, "proxied": true}
201 {"data": {"record": {"id": "rec-uuid-...", RECORD_FIELDS}}}

PUT /domains/{domain}/dns/{record}
{"content": "5.6.7.8"}
200 {"data": {"record": {"id": "rec-uuid-...", RECORD_FIELDS}}}

DELETE /domains/{domain}/dns/{record}
200 {}

POST /domains/{plain_domain}/cloudflare
{"enabled": true}
200 {"data": {"domain_id": "dom-uuid-...", "ssl_mode": "flexible"}}

POST /domains/{plain_domain}/ns-servers
{"nameservers": ["ns1.example.com", "ns2.example.com"]}
200 {"data": {"nameservers": [{"nameserver": "ns1.example.com", "order_index": 1}]}}

GET /whites/tiers
200 {"data": {"tiers": [{"tier_key": "v2_tier3", "name": "Full + Blog", "generator_version": "v2",
    "min_articles": 3, "max_articles": 20, "price": 10.00, "extra_article_price": 1.50}]}}

GET /whites?status=done&limit=20
200 {"data": {"whites": [WHITE], "pagination": PAGINATION}}

POST /whites
{"name": "Tech Blog DE", "tier_key": "v2_tier3", "niche": "IT Consulting", "country": "DE", "language": "de",
    "quality": "premium", "languages": ["de", "en"], "domain": "techblog-de.com",
    "email": "info@techblog-de.com", "phone": "+49 30 123456", "address": "Berliner Str. 1, 10115 Berlin",
    "legal_name": "TechBlog GmbH", "style_hint": "Корпоративный", "keywords": ["IT", "consulting", "cloud"],
    "banned_words": ["cheap", "free"], "blog_count": 8, "contacts_mode": "same",
    "facebook": "https://facebook.com/techblogde", "instagram": "https://instagram.com/techblogde",
    "linkedin": "https://linkedin.com/company/techblogde"}
200 {"data": {"status": "queued", "white": WHITE}}

GET /whites/{white}
200 {"data": {"white": WHITE}}

GET /whites/{white}/download?format=php
200 {"data": {"url": "https://strg.piv.day/download/...", "filename": "example.com_2026-05-28_DE_en.zip",
    "format": "php", "expires_at": AT}}

POST /whites/{white}/config
{"company": "My Brand", "domain": "newdomain.com", "email": "info@newdomain.com", "phone": "+49 30 123456",
    "address": "Berliner Str. 1, Berlin", "legal": "My Brand GmbH"}
200 {"data": {"white": WHITE}}
"""


@dataclass(frozen=True)
class Example:
    method: str
    path: str
    body: str
    status: int
    answer: Json

    @classmethod
    def parse(cls, text: str) -> "Example":
        request, _, rest = text.partition("\n")
        method, _, path = request.partition(" ")
        found = re.fullmatch(r"(.*?)^(\d{3}) (.*)", rest, re.DOTALL | re.MULTILINE)
        assert found is not None, text
        body, status, answer = found.groups()
        for part, json_text in PARTS.items():
            answer = re.sub(rf"\b{part}\b", lambda _, json_text=json_text: json_text, answer)
        return cls(method, path, body or "null", int(status), json.loads(answer))


DOCUMENTED = [Example.parse(text) for text in EXAMPLES.strip().split("\n\n")]


def filled(value: Any, names: dict[str, str]) -> Any:
    text = json.dumps(value)
    for name, identifier in names.items():
        text = text.replace("{" + name + "}", identifier)
    return json.loads(text)


def assert_shape(answer: object, documented: object, where: str = "answer") -> None:
    """The same keys and types; null on either side fits anything but an object or list."""
    if isinstance(documented, dict):
        assert isinstance(answer, dict), where
        assert set(cast("Json", answer)) == set(cast("Json", documented)), where
        for key, value in cast("Json", documented).items():
            assert_shape(cast("Json", answer)[key], value, f"{where}.{key}")
    elif isinstance(documented, list):
        assert isinstance(answer, list), where
        assert answer, f"{where} is empty"
        for item in cast("list[object]", answer):
            assert_shape(item, cast("list[object]", documented)[0], f"{where}[]")
    elif documented == AT:
        if answer is not None:
            datetime.strptime(str(answer), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    elif answer is not None and documented is not None:
        assert kind_of(answer) == kind_of(documented), where


def kind_of(value: object) -> str:
    """4.00 may come as 4.0 or 4, but true is no number."""
    return "number" if type(value) in (int, float) else type(value).__name__


@pytest.mark.parametrize("example", DOCUMENTED, ids=lambda example: f"{example.method} {example.path}")
async def test_endpoint_answers_as_documented(example: Example, sandbox: Sandbox, api: Api) -> None:
    names = ids(sandbox)
    renewal = await api.data("POST", f"/domains/{names['domain']}/renew", {"period": 1})
    names["queue"] = renewal["queue_id"]
    path, body = filled(example.path, names), filled(json.loads(example.body), names)
    response = await api.client.request(example.method, path, json=body)
    assert response.status_code == example.status, response.text
    assert response.headers["content-type"] == "application/json"
    assert_shape(response.json(), {"success": True, **example.answer})


def test_examples_cover_all_38_endpoints() -> None:
    covered: set[Route] = set()
    for example in DOCUMENTED:
        found = find_route(example.method, example.path.partition("?")[0].strip("/").split("/"))
        assert found is not None
        covered.add(found[0])
    assert covered == set(ROUTES)
    assert len(ROUTES) == 38


def test_sandbox_is_an_independent_reading() -> None:
    """It shares no code with the client that it is used to test."""
    sources = Path(piv_mcp.sandbox.__file__).parent.glob("*.py")
    foreign = re.compile(r"(from|import) piv_mcp(?!\.sandbox)")
    assert [source.name for source in sources if foreign.search(source.read_text())] == []


# errors

BUY_NUMBER: Json = {"country_code": "SE", "duration_months": 1, "auto_renew": False}
BUY_DOMAIN: Json = {"domain": "new.com", "period": 1, "cloudflare": True, "auto_renew": False}
PLAIN: Json = {**BUY_DOMAIN, "cloudflare": False, "nameservers": ["ns1.a.com", "ns2.a.com"]}
SEND: Json = {"to_number": "+14155551234", "message_body": "Hello"}
VERIFY: Json = {"gv_url": "https://gv.google.com/abc"}
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
    code: str, method: str, path: str, body: Json | None, sandbox: Sandbox, api: Api
) -> None:
    names = ids(sandbox)
    assert (await api.error(method, filled(path, names), filled(body, names)))[0] == code
    assert sandbox.balance == Decimal("150.50")
    assert sum(charge.amount for charge in sandbox.charges) == 0


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
    name: str, method: str, path: str, body: Json | None, sandbox: Sandbox, api: Api
) -> None:
    names = ids(sandbox)
    code, message = await api.error(method, filled(path, names), filled(body, names))
    assert code == "VALIDATION_ERROR"
    assert message.startswith(f"{name}: ")
    assert sandbox.charges == []


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
    method: str, path: str, body: Json | None, sandbox: Sandbox, api: Api
) -> None:
    names = ids(sandbox)
    sandbox.balance = Decimal("0.20")
    before = sandbox.summary()["counts"]
    code, message = await api.error(method, filled(path, names), filled(body, names))
    assert code == "INSUFFICIENT_BALANCE"
    assert message.startswith("Not enough balance: required $")
    assert message.endswith(", available $0.20")
    assert (sandbox.summary()["counts"], sandbox.charges) == (before, [])


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Basic sandbox-key"])
async def test_missing_or_wrong_key_is_unauthorized(header: str | None, sandbox: Sandbox) -> None:
    async with connect(sandbox) as client:
        del client.headers["Authorization"]
        headers = {"Authorization": header} if header else {}
        response = await client.get("/account", headers=headers)
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "UNAUTHORIZED"


async def test_withdrawn_country_cannot_be_renewed(sandbox: Sandbox, api: Api) -> None:
    number = ids(sandbox)["number"]
    del sandbox.state.countries["SE"]
    code, _ = await api.error("POST", f"/numbers/{number}/renew", {"duration_months": 1})
    assert code == "COUNTRY_NOT_AVAILABLE"


async def test_body_that_is_not_json_is_refused(api: Api) -> None:
    for content, kind in ((b"{", "application/json"), (b"[]", "application/json"), (b"{}", "text/plain")):
        response = await api.client.post("/numbers/purchase", content=content, headers={"Content-Type": kind})
        assert response.json()["error"]["code"] == "VALIDATION_ERROR"


async def test_rate_limit_counts_a_minute_of_real_time() -> None:
    sandbox = Sandbox(rate_limit=3)
    async with connect(sandbox) as client:
        for _ in range(3):
            assert (await client.get("/account")).status_code == 200
        sandbox.advance(timedelta(minutes=2))
        refused = await client.get("/account")
    assert refused.status_code == 429
    seconds = int(refused.headers["Retry-After"])
    assert 55 <= seconds <= 60
    message = f"Rate limit exceeded, retry in {seconds}s"
    assert refused.json() == {"success": False, "error": {"code": "RATE_LIMITED", "message": message}}
    await sandbox.aclose()


# money

PRICES = [
    ("4.00", "/numbers/purchase", BUY_NUMBER),
    ("9.00", "/numbers/purchase", {**BUY_NUMBER, "country_code": "GB", "duration_months": 3}),
    ("8.00", "/numbers/{number}/renew", {"duration_months": 2}),
    ("6.00", "/numbers/restore", {"piv_num_ids": ["{expired_number}", "{expired_number}"]}),
    ("0.25", "/numbers/{number}/sms/send", SEND),
    ("0.50", "/numbers/{number}/sms/send", {**SEND, "message_body": "x" * 161}),
    ("1.00", "/numbers/{number}/verify", VERIFY),
    ("5.00", "/proxy/purchase", {"server_id": "{server}", "quantity": 5, "months": 2}),
    ("3.00", "/proxy/orders/{order}/renew", {"months": 2}),
    ("0.90", "/proxy/orders/{expired_order}/restore", None),
    ("35.00", "/domains", {**BUY_DOMAIN, "domain": "new.org", "period": 3}),
    ("25.00", "/domains/{domain}/renew", {"period": 2}),
    ("10.00", "/whites", NEW_WHITE),
    ("19.00", "/whites", {**NEW_WHITE, "quality": "premium", "languages": ["de", "en", "fr"]}),
    ("17.50", "/whites", {**NEW_WHITE, "blog_count": 8}),
]


@pytest.mark.parametrize(("price", "path", "body"), PRICES)
async def test_price_is_charged_once(price: str, path: str, body: Json | None, sandbox: Sandbox, api: Api) -> None:
    names = ids(sandbox)
    await api.ok("POST", filled(path, names), filled(body, names))
    assert [charge.amount for charge in sandbox.charges] == [Decimal(price)]
    assert sandbox.balance == Decimal("150.50") - Decimal(price)


async def test_money_is_exact_on_the_wire(sandbox: Sandbox, api: Api) -> None:
    sandbox.balance = Decimal("0.30")
    assert '"balance": 0.30,' in (await api.client.get("/account")).text
    assert dumps({"sum": Decimal("0.1") + Decimal("0.2"), "tiny": Decimal("1E-7")}) == '{"sum": 0.3, "tiny": 0.0000001}'


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("x" * 160, 1),
        ("x" * 161, 2),
        ("x" * 306, 2),
        ("x" * 307, 3),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("x" * 152 + "€" + "x" * 152, 3),
        ("ж" * 70, 1),
        ("ж" * 71, 2),
        ("😀" * 35, 1),
        ("😀" * 36, 2),
        ("😀" * 67, 3),
    ],
)
def test_text_is_cut_into_segments(text: str, count: int) -> None:
    assert segments(text) == count


# time


async def test_number_expires_and_is_restored_with_its_history(sandbox: Sandbox, api: Api, receiver: Receiver) -> None:
    number = ids(sandbox)["number"]
    history = await api.data("GET", f"/numbers/{number}/sms")
    sandbox.advance(timedelta(days=20))
    assert (await api.data("GET", f"/numbers/{number}"))["status"] == "expired"
    await api.ok("POST", "/numbers/restore", {"piv_num_ids": [number]})
    restored = await api.data("GET", f"/numbers/{number}")
    assert restored["status"] == "active"
    assert (await api.data("GET", f"/numbers/{number}/sms")) == history
    await sandbox.settled()
    assert receiver.events[-1]["data"] == {
        "restored": [{"piv_num_id": number, "phone_number": restored["phone_number"], "country": "SE"}],
        "failed": [],
        "total_restored": 1,
        "total_failed": 0,
        "total_refunded": 0.0,
    }


async def test_number_cannot_be_restored_after_seven_days(sandbox: Sandbox, api: Api) -> None:
    body: Json = {"piv_num_ids": [ids(sandbox)["expired_number"]]}
    sandbox.advance(timedelta(days=4, minutes=1))
    assert (await api.error("POST", "/numbers/restore", body))[0] == "NO_RESTORABLE_NUMBERS"


async def test_number_is_pending_restore_meanwhile() -> None:
    slow = Sandbox(timing=Timing(restore=60))
    body: Json = {"piv_num_ids": [ids(slow)["expired_number"]]}
    async with connect(slow) as client:
        pending = Api(client)
        await pending.ok("POST", "/numbers/restore", body)
        listed = await pending.data("GET", "/numbers?status=pending_restore")
        assert [number["piv_num_id"] for number in listed["numbers"]] == body["piv_num_ids"]
        assert (await pending.error("POST", "/numbers/restore", body))[0] == "NO_RESTORABLE_NUMBERS"
        send = f"/numbers/{body['piv_num_ids'][0]}/sms/send"
        assert (await pending.error("POST", send, SEND))[0] == "NUMBER_NOT_ACTIVE"
        slow.advance(timedelta(seconds=61))
        assert (await pending.data("GET", "/numbers?status=pending_restore"))["numbers"] == []
    await slow.aclose()


async def test_failed_restore_is_refunded(sandbox: Sandbox, api: Api, receiver: Receiver) -> None:
    number = ids(sandbox)["expired_number"]
    await api.ok("PATCH", f"/numbers/{number}", {"custom_name": "will fail"})
    await api.ok("POST", "/numbers/restore", {"piv_num_ids": [number]})
    assert [charge.amount for charge in sandbox.charges] == [Decimal("6.00"), Decimal("-6.00")]
    await sandbox.settled()
    data = receiver.events[-1]["data"]
    assert (data["total_failed"], data["total_refunded"], data["failed"][0]["refunded"]) == (1, 6.0, 6.0)
    assert (await api.data("GET", f"/numbers/{number}"))["status"] == "expired"


async def test_auto_renewal_charges_a_day_before_each_expiry(sandbox: Sandbox, api: Api) -> None:
    bought = await api.ok("POST", "/numbers/purchase", {**BUY_NUMBER, "auto_renew": True})
    number = bought["numbers"][0]["piv_num_id"]
    start = sandbox.now
    sandbox.advance(timedelta(days=60))
    renewals = [charge for charge in sandbox.charges if (charge.action, charge.id) == ("number.auto_renew", number)]
    assert [round((charge.at - start) / timedelta(days=1)) for charge in renewals] == [29, 59]
    assert (await api.data("GET", f"/numbers/{number}"))["status"] == "active"


async def test_auto_renewal_without_balance_lets_the_number_expire(sandbox: Sandbox, api: Api) -> None:
    number = ids(sandbox)["number"]
    await api.ok("PATCH", f"/numbers/{number}/auto-renewal", {"auto_renew": True})
    sandbox.balance = Decimal("0.00")
    sandbox.advance(timedelta(days=19))
    assert (await api.data("GET", f"/numbers/{number}"))["status"] == "expired"
    assert sandbox.charges == []


async def test_expired_domain_is_not_renewed_automatically(sandbox: Sandbox, api: Api) -> None:
    domain = ids(sandbox)["plain_domain"]
    sandbox.advance(timedelta(days=340))
    await api.ok("POST", f"/domains/{domain}/auto-renew", {"auto_renew": True})
    assert [item["id"] for item in (await api.data("GET", "/domains?status=expired"))["domains"]] == [domain]
    assert domain not in {charge.id for charge in sandbox.charges}


async def test_auto_renewal_switched_on_twice_charges_once(sandbox: Sandbox, api: Api) -> None:
    number = ids(sandbox)["number"]
    for wanted in (True, False, True):
        await api.ok("PATCH", f"/numbers/{number}/auto-renewal", {"auto_renew": wanted})
    sandbox.advance(timedelta(days=20))
    assert [charge.id for charge in sandbox.charges].count(number) == 1


async def test_expiry_notices_come_three_and_seven_days_before(sandbox: Sandbox, receiver: Receiver) -> None:
    names = ids(sandbox)
    order = sandbox.state.orders[names["order"]]
    domain = sandbox.state.domains[names["plain_domain"]]
    sandbox.advance(timedelta(days=366))
    await sandbox.settled()
    notices = {event["data"].get("order_id") or event["data"].get("domain_id"): event for event in receiver.events}
    of_order, of_domain = notices[order.id], notices[domain.id]
    assert of_order["event_type"] == "proxy.expires_soon"
    assert set(of_order["data"]) == {"order_id", "country", "quantity", "expires_at"}
    assert of_order["timestamp"] == (order.expires_at - timedelta(days=3)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert of_domain["event_type"] == "domain.expires_soon"
    assert set(of_domain["data"]) == {"domain_id", "domain_name", "expires_at", "auto_renew"}
    assert domain.expires_at is not None
    assert of_domain["timestamp"] == (domain.expires_at - timedelta(days=7)).strftime("%Y-%m-%dT%H:%M:%SZ")


async def test_work_progresses_by_itself(receiver: Receiver) -> None:
    timing = Timing(white=0.01)
    sandbox = Sandbox(webhook_url=HOOK, timing=timing, webhook_transport=httpx.MockTransport(receiver))
    async with connect(sandbox) as client:
        white = (await Api(client).data("POST", "/whites", NEW_WHITE))["white"]
        await poll(lambda: receiver.requests)
    data = {"job_id": white["id"], "name": "Tech Blog DE", "tier_key": "v2_tier3", "country": "DE"}
    assert receiver.events[0]["data"] == data
    await sandbox.aclose()


async def test_without_auto_tick_only_requests_and_advance_move_things(receiver: Receiver) -> None:
    sandbox = Sandbox(auto_tick=False, timing=Timing(white=10))
    async with connect(sandbox) as client:
        white = (await Api(client).data("POST", "/whites", NEW_WHITE))["white"]
        states: list[int] = []
        for _ in range(4):
            states.append((await Api(client).data("GET", f"/whites/{white['id']}"))["white"]["status"])
            sandbox.advance(timedelta(seconds=10))
    assert states == [0, 3, 7, 10]


def test_clock_does_not_go_back() -> None:
    with pytest.raises(ValueError, match="forward"):
        Sandbox().advance(timedelta(seconds=-1))


# areas


async def test_history_is_newest_first_and_pages(sandbox: Sandbox, api: Api) -> None:
    number = ids(sandbox)["number"]
    for index in range(3):
        await sandbox.receive_sms(number, f"code {1000 + index}")
    first = await api.data("GET", f"/numbers/{number}/sms?limit=2")
    assert [message["message_body"] for message in first["messages"]] == ["code 1002", "code 1001"]
    second = await api.data("GET", f"/numbers/{number}/sms?limit=2&offset=2")
    assert second["messages"][0]["message_body"] == "code 1000"
    assert second["pagination"] == {"total": 6, "limit": 2, "offset": 2}


async def test_numbers_are_filtered_and_found(sandbox: Sandbox, api: Api) -> None:
    sandbox.add_numbers(500, country="CA")
    listed = await api.data("GET", "/numbers?country=CA&status=active&limit=200&offset=400")
    assert (len(listed["numbers"]), listed["pagination"]["total"]) == (101, 501)
    assert len({number.phone_number for number in sandbox.state.numbers.values()}) == 506
    for search in ("office", "%2B46764", "OFFICE LINE"):
        assert (await api.data("GET", f"/numbers?search={search}"))["numbers"][-1]["country_code"] == "SE"


async def test_sent_sms_moves_from_queued_to_delivered(sandbox: Sandbox, api: Api, receiver: Receiver) -> None:
    number = ids(sandbox)["number"]
    sent = await api.data("POST", f"/numbers/{number}/sms/send", SEND)
    await sandbox.settled()
    assert sent["status"] == "queued"
    assert [(event["data"]["old_status"], event["data"]["new_status"]) for event in receiver.events] == [
        ("queued", "sent"),
        ("sent", "delivered"),
    ]
    keys = {"piv_num_id", "message_id", "old_status", "new_status", "error_code", "error_message"}
    assert set(receiver.events[0]["data"]) == keys
    newest = (await api.data("GET", f"/numbers/{number}/sms"))["messages"][0]
    assert (newest["id"], newest["status"]) == (sent["message_id"], "delivered")


async def test_failed_sms_carries_the_operators_error(sandbox: Sandbox, api: Api, receiver: Receiver) -> None:
    await api.ok("POST", f"/numbers/{ids(sandbox)['number']}/sms/send", {**SEND, "message_body": "please fail"})
    await sandbox.settled()
    data = receiver.events[-1]["data"]
    assert (data["new_status"], bool(data["error_code"]), bool(data["error_message"])) == (
        "failed",
        True,
        True,
    )


async def test_verification_completes_or_fails_by_webhook(sandbox: Sandbox, api: Api, receiver: Receiver) -> None:
    path = f"/numbers/{ids(sandbox)['number']}/verify"
    await api.ok("POST", path, VERIFY)
    await api.ok("POST", path, {"gv_url": "https://gv.google.com/fail"})
    await sandbox.settled()
    events = {event["event_type"]: event["data"] for event in receiver.events}
    keys = {
        "task_id",
        "piv_num_id",
        "status",
        "captured_phone",
        "captured_message",
        "sms_message_id",
        "sms_status",
    }
    assert set(events["verify.completed"]) == keys
    assert set(events["verify.failed"]) == {"task_id", "piv_num_id", "status", "error_code", "error_message"}
    amounts = [str(charge.amount) for charge in sandbox.charges]
    assert amounts == ["1.00", "1.00", "-1.00"]


async def test_proxy_export_lists_credentials(sandbox: Sandbox, api: Api) -> None:
    order = ids(sandbox)["order"]
    items = (await api.data("GET", f"/proxy/orders/{order}"))["order"]["items"]
    exported = await api.data("GET", f"/proxy/orders/{order}/export?format=both")
    lines = exported["content"].split("\n")
    assert exported["count"] == len(lines) == 6
    first = items[0]
    credentials = f"{first['login']}:{first['password']}@{first['host']}"
    assert (lines[0], lines[3]) == (f"{credentials}:1080", f"{credentials}:3128")
    assert exported["filename"] == f"piv-day-proxy-{order[:9]}-both.txt"


async def test_restored_order_keeps_its_proxies(sandbox: Sandbox, api: Api) -> None:
    path = f"/proxy/orders/{ids(sandbox)['expired_order']}"
    before = (await api.data("GET", path))["order"]
    await api.ok("POST", f"{path}/restore")
    after = (await api.data("GET", path))["order"]
    assert (before["status"], after["status"]) == ("expired", "active")
    assert before["items"] == after["items"]


async def test_order_cannot_be_restored_after_seven_days(sandbox: Sandbox, api: Api) -> None:
    path = f"/proxy/orders/{ids(sandbox)['expired_order']}/restore"
    sandbox.advance(timedelta(days=8))
    assert (await api.error("POST", path))[0] == "VALIDATION_ERROR"


async def test_domain_registration_goes_through_the_queue(receiver: Receiver) -> None:
    sandbox = Sandbox(webhook_url=HOOK, timing=Timing(domain=10), webhook_transport=httpx.MockTransport(receiver))
    async with connect(sandbox) as client:
        api = Api(client)
        answer = await api.data("POST", "/domains", BUY_DOMAIN)
        entry = f"/domains/queue/{answer['queue_id']}"
        assert await api.data("GET", entry) == {
            "queue_id": answer["queue_id"],
            "domain": "new.com",
            "status": "pending",
        }
        assert (await api.data("GET", "/domains?status=pending"))["domains"][0]["status"] == "purchasing"
        assert (await api.data("GET", "/domains/search?q=new.com"))["available"] is False
        sandbox.advance(timedelta(seconds=10))
        assert (await api.data("GET", entry))["status"] == "processing"
        sandbox.advance(timedelta(seconds=10))
        done = await api.data("GET", entry)
        assert (done["status"], done["domain"]["status"]) == ("completed", "active")
        await sandbox.settled()
    assert receiver.events[0]["event_type"] == "domain.registered"
    keys = {"domain_id", "domain_name", "registered_at", "expires_at", "cloudflare_enabled"}
    assert set(receiver.events[0]["data"]) == keys
    assert receiver.events[0]["data"]["registered_at"] == done["domain"]["registered_at"]
    await sandbox.aclose()


async def test_failed_registration_is_refunded(sandbox: Sandbox, api: Api, receiver: Receiver) -> None:
    answer = await api.data("POST", "/domains", {**BUY_DOMAIN, "domain": "fail.com"})
    assert (await api.data("GET", f"/domains/queue/{answer['queue_id']}"))["status"] == "failed"
    assert (await api.error("GET", f"/domains/{answer['domain']['id']}"))[0] == "NOT_FOUND"
    await sandbox.settled()
    assert set(receiver.events[0]["data"]) == {"domain_id", "domain_name", "error"}
    assert sandbox.balance == Decimal("150.50")


async def test_domain_renewal_adds_to_the_expiry_once_done(sandbox: Sandbox, api: Api) -> None:
    path = f"/domains/{ids(sandbox)['domain']}"
    before = (await api.data("GET", path))["domain"]["expires_at"]
    answer = await api.data("POST", f"{path}/renew", {"period": 2})
    after = (await api.data("GET", path))["domain"]["expires_at"]
    assert answer["expires_at"] == before
    assert int(after[:4]) - int(before[:4]) == 2


async def test_dns_records_are_added_changed_and_deleted(sandbox: Sandbox, api: Api) -> None:
    path = f"/domains/{ids(sandbox)['domain']}/dns"
    new: Json = {"type": "MX", "name": "@", "content": "mail.a.com", "priority": 5}
    record = (await api.data("POST", path, new))["record"]
    changed = (await api.data("PUT", f"{path}/{record['id']}", {"content": "mail.b.com"}))["record"]
    assert changed == {**record, "content": "mail.b.com"}
    assert await api.ok("DELETE", f"{path}/{record['id']}") == {"success": True}
    listed = (await api.data("GET", path))["records"]
    assert record["id"] not in {item["id"] for item in listed}


async def test_cloudflare_can_be_enabled_again_without_effect(sandbox: Sandbox, api: Api) -> None:
    path = f"/domains/{ids(sandbox)['domain']}/cloudflare"
    assert (await api.data("POST", path, {"enabled": True}))["ssl_mode"] == "full"


async def test_dns_needs_cloudflare(sandbox: Sandbox, api: Api) -> None:
    path = f"/domains/{ids(sandbox)['plain_domain']}"
    record: Json = {"type": "A", "name": "@", "content": "1.2.3.4"}
    plain = (await api.data("GET", path))["domain"]
    assert [server["order_index"] for server in plain["nameservers"]] == [1, 2]
    assert (await api.error("POST", f"{path}/dns", record))[0] == "VALIDATION_ERROR"
    await api.ok("POST", f"{path}/cloudflare", {"enabled": True})
    await api.ok("POST", f"{path}/dns", record)
    assert "nameservers" not in (await api.data("GET", path))["domain"]


async def test_failed_white_is_refunded(sandbox: Sandbox, api: Api, receiver: Receiver) -> None:
    white = (await api.data("POST", "/whites", {**NEW_WHITE, "name": "Will fail"}))["white"]
    assert white["status"] == 0
    listed = await api.data("GET", "/whites?status=failed")
    assert [item["id"] for item in listed["whites"]] == [white["id"]]
    await sandbox.settled()
    assert receiver.events[0]["event_type"] == "white.failed"
    assert set(receiver.events[0]["data"]) == {"job_id", "name", "error"}
    assert sandbox.balance == Decimal("150.50")


async def test_white_is_filtered_by_the_word_for_its_status(sandbox: Sandbox, api: Api) -> None:
    listed = await api.data("GET", "/whites?status=processing&tier_key=v2_tier1")
    assert [white["id"] for white in listed["whites"]] == [ids(sandbox)["unfinished_white"]]


async def test_empty_account_without_seed() -> None:
    sandbox = Sandbox(seed=False)
    async with connect(sandbox) as client:
        for path, key in (("/numbers", "numbers"), ("/proxy/orders", "orders"), ("/domains", "domains")):
            assert (await Api(client).data("GET", path))[key] == []
    await sandbox.aclose()


def test_seeded_ids_are_the_same_in_every_sandbox() -> None:
    first, second = ids(Sandbox()), ids(Sandbox())
    assert first == second
    assert [len(part) for part in first["number"].split("-")] == [5, 5, 5, 5]


# what is recorded


async def test_requests_are_recorded_without_the_key(sandbox: Sandbox, api: Api) -> None:
    await api.client.get("/numbers/a%2Fb%20c?x=1")
    await api.client.post("/numbers/purchase", json={"duration_months": 1.5})
    first, second = sandbox.requests
    assert (first.method, first.path, first.raw_path) == ("GET", "/numbers/a/b c", "/numbers/a%2Fb%20c")
    assert (first.query, first.body) == ({"x": "1"}, None)
    assert second.body == {"duration_months": Decimal("1.5")}
    assert second.headers["content-type"] == "application/json"
    assert not {"authorization", "Authorization"} & set(second.headers)


async def test_encoded_slash_stays_in_its_segment(api: Api) -> None:
    assert (await api.error("GET", "/numbers/a%2Fsms"))[0] == "NUMBER_NOT_FOUND"


# webhooks


async def test_sms_reaches_history_and_webhook(sandbox: Sandbox, api: Api, receiver: Receiver) -> None:
    number = sandbox.state.numbers[ids(sandbox)["number"]]
    text = "G-123456 is your verification code"
    message_id = await sandbox.receive_sms(number.phone_number, text)
    newest = (await api.data("GET", f"/numbers/{number.piv_num_id}/sms"))["messages"][0]
    assert (newest["id"], newest["from_number"], newest["direction"]) == (message_id, "Google", "inbound")
    (request,) = receiver.requests
    assert (request.method, str(request.url)) == ("POST", HOOK)
    assert request.headers["User-Agent"] == "piv.day-webhook/1.0"
    assert request.headers["Content-Type"] == "application/json"
    event = receiver.events[0]
    assert event == {
        "event_type": "sms.received",
        "timestamp": event["timestamp"],
        "data": {
            "piv_num_id": number.piv_num_id,
            "text": text,
            "code": "123456",
            "country": "SE",
            "received_at": newest["received_at"],
        },
    }


async def test_untrusted_and_lost_sms_are_in_the_history_only(sandbox: Sandbox, api: Api, receiver: Receiver) -> None:
    number = ids(sandbox)["number"]
    await sandbox.receive_sms(number, "spam", trusted=False)
    await sandbox.receive_sms(number, "lost", deliver=False)
    messages = (await api.data("GET", f"/numbers/{number}/sms"))["messages"]
    assert [message["message_body"] for message in messages[:2]] == ["lost", "spam"]
    assert receiver.requests == []


async def test_expired_or_unknown_number_receives_nothing(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="is expired"):
        await sandbox.receive_sms(ids(sandbox)["expired_number"], "hello")
    with pytest.raises(ValueError, match="no number"):
        await sandbox.receive_sms("+1", "hello")


def test_reference_timing_is_the_default() -> None:
    assert (Timing().webhook_timeout, Timing().webhook_retries) == (5.0, (1.0, 2.0, 4.0))


async def test_webhook_is_retried_until_it_is_accepted(sandbox: Sandbox, receiver: Receiver) -> None:
    receiver.answers = [500, httpx.ConnectError("refused")]
    await sandbox.send_event("white.failed", {"job_id": "1", "name": "a", "error": "b"})
    await sandbox.settled()
    assert [(delivery.attempt, delivery.status) for delivery in sandbox.deliveries] == [
        (1, 500),
        (2, None),
        (3, 200),
    ]
    assert sandbox.deliveries[1].error == "ConnectError: refused"
    assert len({request.content for request in receiver.requests}) == 1


async def test_webhook_is_given_up_after_three_retries(sandbox: Sandbox, receiver: Receiver) -> None:
    receiver.answers = [302, 404, 500, 503]
    await sandbox.send_event("sms.received", {})
    await sandbox.settled()
    assert [delivery.status for delivery in sandbox.deliveries] == [302, 404, 500, 503]
    assert len(receiver.requests) == 4


async def test_webhook_is_not_waited_for_longer_than_its_limit() -> None:
    async def never(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(60)
        raise AssertionError("unreachable")

    timing = Timing(webhook_timeout=0.02, webhook_retries=())
    sandbox = Sandbox(webhook_url=HOOK, timing=timing, webhook_transport=httpx.MockTransport(never))
    await sandbox.send_event("sms.received", {})
    (delivery,) = sandbox.deliveries
    assert (delivery.status, delivery.error) == (None, "TimeoutError")
    await sandbox.aclose()


async def test_webhook_url_can_be_taken_away_and_given(sandbox: Sandbox, receiver: Receiver) -> None:
    sandbox.webhook_url = None
    await sandbox.send_event("sms.received", {})
    sandbox.webhook_url = "http://elsewhere.example/"
    await sandbox.send_event("sms.received", {})
    assert [str(request.url) for request in receiver.requests] == ["http://elsewhere.example/"]
    assert len(sandbox.events) == 2


async def test_webhooks_can_come_twice_or_never(sandbox: Sandbox, receiver: Receiver) -> None:
    sandbox.fail_next(Failure(kind="duplicate_webhook"))
    await sandbox.send_event("sms.received", {"text": "twice"})
    sandbox.fail_next(Failure(kind="lost_webhook"))
    await sandbox.send_event("sms.received", {"text": "never"})
    await sandbox.settled()
    assert [event["data"]["text"] for event in receiver.events] == ["twice", "twice"]


async def test_aclose_ends_deliveries(receiver: Receiver) -> None:
    receiver.answers = [500]
    sandbox = Sandbox(webhook_url=HOOK, webhook_transport=httpx.MockTransport(receiver))
    await sandbox.send_event("sms.received", {})
    await sandbox.aclose()
    await sandbox.settled()
    assert len(receiver.requests) == 1


# failures on demand


def bought(sandbox: Sandbox) -> int:
    return len(sandbox.charges)


DROPS = [
    (Failure(kind="connect_error"), httpx.ConnectError, 0),
    (Failure(kind="drop_before"), httpx.RemoteProtocolError, 0),
    (Failure(kind="drop_after"), httpx.RemoteProtocolError, 1),
    (Failure(kind="drop_before", reset=True), httpx.ReadError, 0),
    (Failure(kind="drop_after", reset=True), httpx.ReadError, 1),
    (Failure(kind="hang"), httpx.ReadTimeout, 1),
    (Failure(kind="hang", after=False), httpx.ReadTimeout, 0),
    (Failure(kind="slow", delay=5), httpx.ReadTimeout, 1),
]
ANSWERS = [
    (Failure(kind="status", status=503), 503, 0),
    (Failure(kind="status", code="PERMISSION_DENIED"), 403, 0),
    (Failure(kind="status_after"), 500, 1),
    (Failure(kind="rate_limited", retry_after=7), 429, 0),
    (Failure(kind="html"), 502, 0),
    (Failure(kind="html", after=True), 502, 1),
    (Failure(kind="garbage"), 200, 1),
    (Failure(kind="empty"), 200, 1),
    (Failure(kind="slow", delay=0.01), 200, 1),
]


def describe(value: object) -> str | None:
    return f"{value.kind}-{value.after}-{value.reset}" if isinstance(value, Failure) else None


@contextlib.asynccontextmanager
async def in_process(sandbox: Sandbox) -> AsyncGenerator[httpx.AsyncClient]:
    async with connect(sandbox) as client:
        yield client


@contextlib.asynccontextmanager
async def on_its_own_port(sandbox: Sandbox) -> AsyncGenerator[httpx.AsyncClient]:
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve(sandbox, ready=port.set_result))
    base = f"http://127.0.0.1:{await port}/api/v1"
    try:
        async with httpx.AsyncClient(base_url=base, headers=HEADERS, trust_env=False) as client:
            yield client
    finally:
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving


Where = Callable[[Sandbox], contextlib.AbstractAsyncContextManager[httpx.AsyncClient]]
PLACES = [in_process, on_its_own_port]


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize(("failure", "error", "work"), DROPS, ids=describe)
async def test_connection_fails(
    failure: Failure, error: type[Exception], work: int, where: Where, sandbox: Sandbox
) -> None:
    if where is on_its_own_port and failure.kind == "connect_error":
        error = httpx.RemoteProtocolError
    async with where(sandbox) as client:
        sandbox.fail_next(failure)
        patience = httpx.Timeout(5, read=0.1 if error is httpx.ReadTimeout else 5)
        with pytest.raises(error):
            await client.post("/numbers/purchase", json=BUY_NUMBER, timeout=patience)
        assert bought(sandbox) == work
        assert (await client.get("/account")).status_code == 200


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize(("failure", "status", "work"), ANSWERS, ids=describe)
async def test_answer_is_spoilt(failure: Failure, status: int, work: int, where: Where, sandbox: Sandbox) -> None:
    async with where(sandbox) as client:
        sandbox.fail_next(failure)
        response = await client.post("/numbers/purchase", json=BUY_NUMBER)
    assert (response.status_code, bought(sandbox)) == (status, work)
    if failure.kind in ("garbage", "empty", "html"):
        with pytest.raises(ValueError, match=r"Expecting|Unterminated|delimiter"):
            response.json()
    if failure.kind == "rate_limited":
        assert response.headers["Retry-After"] == "7"


@pytest.mark.parametrize(
    ("pattern", "path", "meets"),
    [
        (None, "/anything", True),
        ("/numbers/purchase", "/numbers/purchase", True),
        ("/numbers/*", "/numbers/a/sms", False),
        ("/numbers/**", "/numbers/a/sms", True),
        ("/numbers/{piv_num_id}/sms", "/numbers/a/sms", True),
        ("/numbers", "/numbers/a", False),
        ("/a.c", "/abc", False),
    ],
)
def test_failure_meets_paths(pattern: str | None, path: str, meets: bool) -> None:
    assert Failure(kind="status", path=pattern).meets("GET", path) is meets


async def test_failure_strikes_as_often_as_asked_and_only_there(sandbox: Sandbox, api: Api) -> None:
    sandbox.fail_next(Failure(kind="status", method="POST", path="/numbers/*", times=2))
    sandbox.fail_next(Failure(kind="status", path="/whites", times=None))
    assert (await api.client.get("/numbers/countries")).status_code == 200
    posts = [(await api.client.post("/numbers/purchase", json=BUY_NUMBER)).status_code for _ in range(3)]
    assert posts == [500, 500, 200]
    gets = [(await api.client.get("/whites")).status_code for _ in range(3)]
    sandbox.clear_failures()
    assert [*gets, (await api.client.get("/whites")).status_code] == [500, 500, 500, 200]


@pytest.mark.parametrize("values", [{"kind": "sulk"}, {"kind": "slow", "after": False}])
def test_senseless_failure_is_refused(values: Json) -> None:
    with pytest.raises(ValueError, match=r"unknown kind|needs the answer"):
        Failure(**values)


# on its own port


@pytest.fixture
async def control(sandbox: Sandbox) -> AsyncIterator[Callable[[str, Json], Awaitable[httpx.Response]]]:
    async with on_its_own_port(sandbox) as client:
        del client.headers["Authorization"]

        async def post(path: str, body: Json) -> httpx.Response:
            return await client.post(str(client.base_url.join(f"/_sandbox/{path}")), json=body)

        yield post


Post = Callable[[str, Json], Awaitable[httpx.Response]]


async def test_sms_is_received_through_the_controls(control: Post, sandbox: Sandbox, receiver: Receiver) -> None:
    number = ids(sandbox)["number"]
    assert (await control("sms", {"number": number, "text": "12345678"})).status_code == 200
    await control("sms", {"number": number, "text": "12345678", "code": None})
    await control("sms", {"number": number, "text": "12345678", "trusted": False})
    assert [event["data"]["code"] for event in receiver.events] == ["12345678", None]
    unknown = await control("sms", {"number": "nobody", "text": "x"})
    assert unknown.json()["error"]["message"] == "number: there is no number nobody"


async def test_events_failures_time_and_url_are_controlled(control: Post, sandbox: Sandbox, receiver: Receiver) -> None:
    await control("event", {"event_type": "white.failed", "data": {"job_id": "1"}})
    assert receiver.events[0]["data"] == {"job_id": "1"}
    await control("fail", {"kind": "status", "code": "QUEUE_FULL", "times": None, "path": "/account"})
    async with connect(sandbox) as client:
        assert (await client.get("/account")).status_code == 503
        assert (await client.get("/account")).status_code == 503
    assert (await control("fail", {"kind": "sulk"})).status_code == 400
    assert (await control("fail", {"kind": "status", "speed": 1})).status_code == 400
    before = sandbox.now
    await control("advance", {"seconds": 3600})
    assert sandbox.now - before >= timedelta(hours=1)
    await control("webhook", {"url": None})
    assert sandbox.webhook_url is None


async def test_state_and_requests_are_readable_and_reset(sandbox: Sandbox) -> None:
    async with on_its_own_port(sandbox) as client:
        await client.post("/numbers/purchase", json=BUY_NUMBER)
        root = client.base_url.join("/_sandbox/")
        state = (await client.get(str(root.join("state")))).json()["data"]
        requests = (await client.get(str(root.join("requests")))).json()["data"]
        assert (state["balance"], state["counts"]["numbers"]) == (146.5, 7)
        assert [(charge["action"], charge["amount"]) for charge in state["charges"]] == [("number.purchase", 4.0)]
        assert [(request["path"], request["body"]) for request in requests] == [("/numbers/purchase", BUY_NUMBER)]
        assert "sandbox-key" not in json.dumps(requests)
        await client.post(str(root.join("reset")))
        assert (sandbox.balance, sandbox.requests) == (Decimal("150.50"), [])
        assert (await client.get("/account")).status_code == 200


async def test_controls_are_for_loopback_only(sandbox: Sandbox) -> None:
    transport = httpx.ASGITransport(sandbox_app(sandbox), client=("192.0.2.1", 1234))
    async with httpx.AsyncClient(transport=transport, base_url="http://sandbox") as client:
        assert (await client.get("/_sandbox/state")).status_code == 403
        assert (await client.get("/api/v1/account", headers=HEADERS)).status_code == 200


async def test_webhook_crosses_a_real_network(sandbox: Sandbox) -> None:
    received = asyncio.get_running_loop().create_future()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        received.set_result(head.decode())
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    real = Sandbox(webhook_url=f"http://127.0.0.1:{port}/hook")
    await real.receive_sms(ids(real)["number"], "code 4711")
    assert (await received).startswith("POST /hook HTTP/1.1\r\n")
    assert [delivery.status for delivery in real.deliveries] == [204]
    await real.aclose()
    server.close()
    await server.wait_closed()


async def test_serving_an_occupied_port_says_so(sandbox: Sandbox) -> None:
    async with on_its_own_port(sandbox) as client:
        port = client.base_url.port
        assert port is not None
        with pytest.raises(OSError, match="in use"):
            await serve(Sandbox(), port=port)
