"""The sandbox answers all 38 endpoints in the shapes of the reference's examples."""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest
from sandbox_api import (
    Api,
    Json,
    filled,
    ids,
)

import piv_mcp.sandbox
from piv_mcp.sandbox import Sandbox
from piv_mcp.sandbox.routes import ROUTES, Route, find_route

pytest_plugins = ["sandbox_fixtures"]

AT = "2026-05-01T10:00:00Z"


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
async def test_endpoint_answers_as_documented(example: Example, piv_day: Sandbox, api: Api) -> None:
    names = ids(piv_day)
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
