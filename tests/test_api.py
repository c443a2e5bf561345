"""The API's models and methods against the reference: every example, every error code, every event.

The examples are the reference's own, literally but for white space.
"""

import json
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import ModuleType
from typing import Any, cast

import httpx
import pytest
from pydantic import SecretStr, ValidationError

from piv_mcp import errors
from piv_mcp.api import account, domains, numbers, proxies, whites
from piv_mcp.api.client import PivClient
from piv_mcp.api.domains import (
    CreateDnsRecord,
    QueueEntry,
    RegisterDomain,
    RenewDomain,
    SetDomainAutoRenewal,
    SetNameservers,
    UpdateDnsRecord,
)
from piv_mcp.api.endpoint import Endpoint
from piv_mcp.api.events import EVENTS, SmsReceived, parse_event, piv_num_ids
from piv_mcp.api.models import Page, Request
from piv_mcp.api.numbers import (
    Number,
    PurchaseNumber,
    RenewNumber,
    RestoreNumbers,
    SendSms,
    SetNumberAutoRenewal,
    StartVerification,
    UpdateNumber,
)
from piv_mcp.api.proxies import Proxy, PurchaseProxies, RenewProxies
from piv_mcp.api.text import parse_json
from piv_mcp.api.whites import CreateWhite, WhiteConfig
from piv_mcp.sandbox import Sandbox, SandboxTransport

BASE = "https://api.test/api/v1"
KEY = "key-0123456789"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


ANSWERS: dict[str, list[str]] = {
    "GET /account": [
        r"""{"success": true, "data": {"user_id": "usr-uuid-...", "balance": 150.50, "email":
        "u***@example.com", "team_id": null, "is_team_member": false}}""",
    ],
    "GET /numbers/countries": [
        r"""{"success": true, "data": [{"country_code": "SE", "price_per_month": 4.00, "base_price": 5.00,
        "can_send_sms": true, "can_receive_sms": true, "sms_send_price": 0.25}, {"country_code": "GB",
        "price_per_month": 3.00, "base_price": 3.00, "can_send_sms": true, "can_receive_sms": true,
        "sms_send_price": 0.20}]}""",
    ],
    "GET /numbers": [
        r"""{"success": true, "data": {"numbers": [{"piv_num_id": "vzPA1-kHKSg-EAL7e-Jqd3o",
        "phone_number": "+46764794425", "country_code": "SE", "status": "active", "created_at":
        "2026-05-01T10:00:00Z", "expires_at": "2026-05-31T10:00:00Z", "auto_renew": false,
        "custom_name": "Office line", "purchased_at": "2026-05-01T10:00:00Z", "next_renewal_date":
        "2026-05-31T10:00:00Z", "tags": ["support"], "can_send_sms": true, "can_receive_sms": true}],
        "pagination": {"total": 1, "limit": 10, "offset": 0}}}""",
    ],
    "GET /numbers/{piv_num_id}": [
        r"""{"success": true, "data": {"piv_num_id": "vzPA1-kHKSg-EAL7e-Jqd3o", "phone_number":
        "+46764794425", "country_code": "SE", "status": "active", "created_at": "2026-05-01T10:00:00Z",
        "expires_at": "2026-05-31T10:00:00Z", "auto_renew": false, "custom_name": "Office line",
        "purchased_at": "2026-05-01T10:00:00Z", "next_renewal_date": "2026-05-31T10:00:00Z", "tags":
        ["support"], "can_send_sms": true, "can_receive_sms": true}}""",
    ],
    "POST /numbers/purchase": [
        r"""{"success": true, "cost": 5.00, "numbers": [{"piv_num_id": "vzPA1-kHKSg-EAL7e-Jqd3o",
        "country_code": "SE", "phone_number": "+46764794425", "created_at": "2026-05-01T10:00:00Z",
        "expires_at": "2026-05-31T10:00:00Z", "auto_renew": false, "custom_name": "My Sweden Number"}]}""",
    ],
    "POST /numbers/{piv_num_id}/renew": [
        r"""{"success": true, "data": {"piv_num_id": "vzPA1-kHKSg-EAL7e-Jqd3o", "phone_number":
        "+46764794425", "old_expires_at": "2026-05-31T10:00:00Z", "new_expires_at":
        "2026-06-30T10:00:00Z", "cost": 5.00}}""",
    ],
    "PATCH /numbers/{piv_num_id}": [
        r"""{"success": true, "data": {"piv_num_id": "vzPA1-kHKSg-EAL7e-Jqd3o", "phone_number":
        "+46764794425", "country_code": "SE", "status": "active", "custom_name": "Support line",
        "auto_renew": false, "expires_at": "2026-05-31T10:00:00Z", "tags": []}}""",
    ],
    "PATCH /numbers/{piv_num_id}/auto-renewal": [
        r"""{"success": true, "data": {"piv_num_id": "vzPA1-kHKSg-EAL7e-Jqd3o", "phone_number":
        "+46764794425", "auto_renew": true}}""",
    ],
    "POST /numbers/restore": [
        r"""{"success": true, "queued": 2, "skipped": 0, "total_charged": 9.00, "numbers": [{"piv_num_id":
        "vzPA1-kHKSg-EAL7e-Jqd3o", "phone_number": "+46764794425", "status": "pending"}]}""",
    ],
    "GET /numbers/{piv_num_id}/sms": [
        r"""{"success": true, "data": {"messages": [{"id": "42", "from_number": "+46764794425",
        "to_number": "+14155551234", "message_body": "Hello from piv.day", "direction": "outbound",
        "status": "delivered", "received_at": "2026-05-22T11:30:00Z"}, {"id": "41", "from_number":
        "+14155551234", "to_number": "+46764794425", "message_body": "Hey, got your message!",
        "direction": "inbound", "status": "received", "received_at": "2026-05-22T11:35:00Z"}],
        "pagination": {"total": 2, "limit": 20, "offset": 0}}}""",
    ],
    "POST /numbers/{piv_num_id}/sms/send": [
        r"""{"success": true, "data": {"message_id": "42", "from_number": "+46764794425", "to_number":
        "+14155551234", "message_body": "Hello from piv.day", "status": "queued", "created_at":
        "2026-05-22T11:30:00Z"}}""",
    ],
    "POST /numbers/{piv_num_id}/verify": [
        r"""{"success": true, "message": "Verification initiated"}""",
    ],
    "GET /proxy/servers": [
        r"""{"success": true, "data": {"servers": [{"id": "a1b2c3d4-e5f6-7890-abcd-ef1234567890", "name":
        "EU-DE-01", "country": "DE", "socks5_port": 1080, "http_port": 3128, "price_per_proxy": 0.50},
        {"id": "b2c3d4e5-f6a7-8901-bcde-f12345678901", "name": "EU-NL-01", "country": "NL",
        "socks5_port": 1080, "http_port": 3128, "price_per_proxy": 0.45}]}}""",
    ],
    "GET /proxy/orders": [
        r"""{"success": true, "data": {"orders": [{"id": "ord-uuid-...", "country": "DE", "quantity": 10,
        "price_per_proxy": 0.50, "price_total": 5.00, "status": "active", "purchased_at":
        "2026-01-01T00:00:00Z", "expires_at": "2026-02-01T00:00:00Z"}], "pagination": {"total": 1,
        "limit": 20, "offset": 0}}}""",
    ],
    "GET /proxy/orders/{id}": [
        r"""{"success": true, "data": {"order": {"id": "ord-uuid-...", "country": "DE", "quantity": 10,
        "price_per_proxy": 0.50, "price_total": 5.00, "status": "active", "purchased_at":
        "2026-01-01T00:00:00Z", "expires_at": "2026-02-01T00:00:00Z", "created_at":
        "2026-01-01T00:00:00Z", "items": [{"login": "user1", "password": "pass1", "host": "185.1.2.3",
        "socks5_port": 1080, "http_port": 3128, "ipv6": "2a00:1:2:3::1"}]}}}""",
    ],
    "POST /proxy/purchase": [
        r"""{"success": true, "data": {"order": {"id": "ord-uuid-...", "country": "DE", "quantity": 5,
        "price_total": 2.50, "status": "active", "expires_at": "2026-02-01T00:00:00Z", "created_at":
        "2026-01-01T00:00:00Z", "items": [{"login": "user1", "password": "pass1", "host": "185.1.2.3",
        "socks5_port": 1080, "http_port": 3128, "ipv6": "2a00:1:2:3::1"}, {"login": "user2",
        "password": "pass2", "host": "185.1.2.3", "socks5_port": 1080, "http_port": 3128, "ipv6":
        "2a00:1:2:3::2"}]}}}""",
    ],
    "POST /proxy/orders/{id}/renew": [
        r"""{"success": true, "data": {"order_id": "ord-uuid-...", "cost": 5.00, "new_expires_at":
        "2026-03-01T00:00:00Z"}}""",
    ],
    "POST /proxy/orders/{id}/restore": [
        r"""{"success": true, "data": {"order_id": "ord-uuid-...", "quantity": 10, "total_cost": 5.00,
        "expires_at": "2026-03-01T00:00:00Z"}}""",
    ],
    "GET /proxy/orders/{id}/export": [
        r"""{"success": true, "data": {"content": "user1:pass1@1.2.3.4:1080\nuser2:pass2@1.2.3.4:1080",
        "filename": "piv-day-proxy-ord-uuid--socks5.txt", "format": "socks5", "count": 2}}""",
    ],
    "GET /domains/search": [
        r"""{"success": true, "data": {"domain": "mysite.com", "available": true, "create_price": 12.50,
        "renew_price": 12.50, "currency": "USD"}}""",
    ],
    "GET /domains": [
        r"""{"success": true, "data": {"domains": [{"id": "dom-uuid-...", "domain_name": "mysite.com",
        "status": "active", "registered_at": "2026-01-01T00:00:00Z", "expires_at":
        "2027-01-01T00:00:00Z", "auto_renew": true, "cloudflare_enabled": true, "cloudflare_status":
        "active", "ssl_type": "lets_encrypt", "ssl_status": "active", "ssl_mode": "full",
        "ssl_expires_at": "2026-04-01T00:00:00Z", "created_at": "2026-01-01T00:00:00Z", "updated_at":
        "2026-01-01T00:00:00Z"}], "pagination": {"total": 1, "limit": 20, "offset": 0}}}""",
    ],
    "POST /domains": [
        r"""{"success": true, "data": {"queue_id": "que-uuid-...", "domain": {"id": "dom-uuid-...",
        "domain_name": "mysite.com", "status": "purchasing", "period": 1, "cloudflare_enabled": true,
        "auto_renew": true, "ssl_mode": "full", "created_at": "2026-01-01T00:00:00Z"}}}""",
    ],
    "GET /domains/queue/{id}": [
        r"""{"success": true, "data": {"queue_id": "que-uuid-...", "domain": "mysite.com", "status":
        "pending"}}""",
        r"""{"success": true, "data": {"queue_id": "que-uuid-...", "status": "completed", "domain": {"id":
        "dom-uuid-...", "domain_name": "mysite.com", "status": "active", "registered_at":
        "2026-01-01T12:00:00Z", "expires_at": "2027-01-01T12:00:00Z", "auto_renew": true,
        "cloudflare_enabled": true, "cloudflare_status": "active", "ssl_type": "lets_encrypt",
        "ssl_status": "active", "ssl_mode": "full", "ssl_expires_at": "2026-04-01T00:00:00Z",
        "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T12:00:00Z", "dns_records":
        [{"name": "@", "type": "A", "content": "1.2.3.4", "ttl": 1, "priority": null, "proxied":
        true}]}}}""",
    ],
    "GET /domains/{id}": [
        r"""{"success": true, "data": {"domain": {"id": "dom-uuid-...", "domain_name": "mysite.com",
        "status": "active", "registered_at": "2026-01-01T12:00:00Z", "expires_at":
        "2027-01-01T12:00:00Z", "auto_renew": true, "cloudflare_enabled": true, "cloudflare_status":
        "active", "ssl_type": "lets_encrypt", "ssl_status": "active", "ssl_mode": "full",
        "ssl_expires_at": "2026-04-01T00:00:00Z", "created_at": "2026-01-01T00:00:00Z", "updated_at":
        "2026-01-01T12:00:00Z", "dns_records": [{"name": "@", "type": "A", "content": "1.2.3.4", "ttl":
        1, "priority": null, "proxied": true}, {"name": "www", "type": "CNAME", "content":
        "mysite.com", "ttl": 1, "priority": null, "proxied": true}]}}}""",
    ],
    "POST /domains/{id}/renew": [
        r"""{"success": true, "data": {"queue_id": "que-uuid-...", "domain_id": "dom-uuid-...",
        "expires_at": "2027-01-01T12:00:00Z"}}""",
    ],
    "POST /domains/{id}/auto-renew": [
        r"""{"success": true, "data": {"id": "dom-uuid-...", "auto_renew": true}}""",
    ],
    "GET /domains/{id}/dns": [
        r"""{"success": true, "data": {"records": [{"id": "rec-uuid-...", "type": "A", "name": "@",
        "content": "1.2.3.4", "ttl": 1, "priority": null, "proxied": true}]}}""",
    ],
    "POST /domains/{id}/dns": [
        r"""{"success": true, "data": {"record": {"id": "rec-uuid-...", "type": "A", "name": "@",
        "content": "1.2.3.4", "ttl": 1, "priority": null, "proxied": true}}}""",
    ],
    "POST /domains/{id}/cloudflare": [
        r"""{"success": true, "data": {"domain_id": "dom-uuid-...", "ssl_mode": "flexible"}}""",
    ],
    "POST /domains/{id}/ns-servers": [
        r"""{"success": true, "data": {"nameservers": [{"nameserver": "ns1.example.com", "order_index": 1},
        {"nameserver": "ns2.example.com", "order_index": 2}]}}""",
    ],
    "GET /whites/tiers": [
        r"""{"success": true, "data": {"tiers": [{"tier_key": "v2_tier1", "name": "Landing",
        "generator_version": "v2", "min_articles": 0, "max_articles": 0, "price": 3.00,
        "extra_article_price": null}, {"tier_key": "v2_tier2", "name": "Multi-page",
        "generator_version": "v2", "min_articles": 0, "max_articles": 0, "price": 6.00,
        "extra_article_price": null}, {"tier_key": "v2_tier3", "name": "Full + Blog",
        "generator_version": "v2", "min_articles": 3, "max_articles": 20, "price": 10.00,
        "extra_article_price": 1.50}]}}""",
    ],
    "GET /whites": [
        r"""{"success": true, "data": {"whites": [{"id": "job-uuid-...", "name": "My White", "status": 10,
        "tier_key": "v2_tier3", "quality": "standard", "niche": "IT Consulting", "country": "DE",
        "language": "de", "domain": "mysite.com", "result_url": null, "created_at":
        "2026-01-01T00:00:00Z"}], "pagination": {"total": 1, "limit": 20, "offset": 0}}}""",
    ],
    "POST /whites": [
        r"""{"success": true, "data": {"status": "queued", "white": {"id": "job-uuid-...", "name":
        "Tech Blog DE", "status": 0, "tier_key": "v2_tier3", "quality": "premium", "niche":
        "IT Consulting", "country": "DE", "language": "de", "domain": "techblog-de.com", "result_url":
        null, "created_at": "2026-01-01T00:00:00Z"}}}""",
    ],
    "GET /whites/{id}": [
        r"""{"success": true, "data": {"white": {"id": "job-uuid-...", "name": "Tech Blog DE", "status":
        10, "tier_key": "v2_tier3", "quality": "premium", "niche": "IT Consulting", "country": "DE",
        "language": "de", "domain": "techblog-de.com", "result_url": null, "created_at":
        "2026-01-01T00:00:00Z"}}}""",
    ],
    "GET /whites/{id}/download": [
        r"""{"success": true, "data": {"url":
        "https://strg.piv.day/download/<user_id>/<job_id>?format=php&token=<hmac>&filename=<name>.zip",
        "filename": "example.com_2026-05-28_DE_en.zip", "format": "php", "expires_at":
        "2026-05-28T14:46:00Z"}}""",
    ],
}

BODIES: dict[str, list[str]] = {
    "POST /numbers/purchase": [
        r"""{"country_code": "SE", "duration_months": 1, "auto_renew": false, "custom_name":
        "My Sweden Number"}""",
    ],
    "POST /numbers/{piv_num_id}/renew": [
        r"""{"duration_months": 1}""",
    ],
    "PATCH /numbers/{piv_num_id}": [
        r"""{"custom_name": "Support line"}""",
    ],
    "PATCH /numbers/{piv_num_id}/auto-renewal": [
        r"""{"auto_renew": true}""",
    ],
    "POST /numbers/restore": [
        r"""{"piv_num_ids": ["vzPA1-kHKSg-EAL7e-Jqd3o", "abc12-defgh-ijklm-nopqr"]}""",
    ],
    "POST /numbers/{piv_num_id}/sms/send": [
        r"""{"to_number": "+14155551234", "message_body": "Hello from piv.day"}""",
    ],
    "POST /numbers/{piv_num_id}/verify": [
        r"""{"gv_url": "https://gv.google.com/..."}""",
    ],
    "POST /proxy/purchase": [
        r"""{"server_id": "a1b2c3d4-e5f6-7890-abcd-ef1234567890", "quantity": 5, "months": 1}""",
    ],
    "POST /proxy/orders/{id}/renew": [
        r"""{"months": 1}""",
    ],
    "POST /domains": [
        r"""{"domain": "mysite.com", "period": 1, "cloudflare": true, "auto_renew": true, "ssl_mode":
        "full", "dns_records": [{"type": "A", "name": "@", "content": "1.2.3.4", "proxied": true}]}""",
        r"""{"domain": "mysite.com", "period": 1, "cloudflare": false, "auto_renew": false, "nameservers":
        ["ns1.myhost.com", "ns2.myhost.com"]}""",
    ],
    "POST /domains/{id}/renew": [
        r"""{"period": 1}""",
    ],
    "POST /domains/{id}/auto-renew": [
        r"""{"auto_renew": true}""",
    ],
    "POST /domains/{id}/dns": [
        r"""{"type": "A", "name": "@", "content": "1.2.3.4", "ttl": 1, "proxied": true}""",
    ],
    "PUT /domains/{id}/dns/{recordId}": [
        r"""{"content": "5.6.7.8"}""",
    ],
    "POST /domains/{id}/cloudflare": [
        r"""{"enabled": true}""",
    ],
    "POST /domains/{id}/ns-servers": [
        r"""{"nameservers": ["ns1.example.com", "ns2.example.com"]}""",
    ],
    "POST /whites": [
        r"""{"name": "Tech Blog DE", "tier_key": "v2_tier3", "niche": "IT Consulting", "country": "DE",
        "language": "de", "quality": "premium", "languages": ["de", "en"], "domain": "techblog-de.com",
        "email": "info@techblog-de.com", "phone": "+49 30 123456", "address":
        "Berliner Str. 1, 10115 Berlin", "legal_name": "TechBlog GmbH", "style_hint": "Корпоративный",
        "keywords": ["IT", "consulting", "cloud"], "banned_words": ["cheap", "free"], "blog_count": 8,
        "contacts_mode": "same", "facebook": "https://facebook.com/techblogde", "instagram":
        "https://instagram.com/techblogde", "linkedin": "https://linkedin.com/company/techblogde"}""",
    ],
    "POST /whites/{id}/config": [
        r"""{"company": "My Brand", "domain": "newdomain.com", "email": "info@newdomain.com", "phone":
        "+49 30 123456", "address": "Berliner Str. 1, Berlin", "legal": "My Brand GmbH"}""",
    ],
}

EVENT_EXAMPLES: dict[str, str] = {
    "sms.received": r"""
        {"event_type": "sms.received", "timestamp": "2026-05-22T12:34:56Z", "data": {"piv_num_id":
        "vzPA1-kHKSg-EAL7e-Jqd3o", "text": "Your verification code is 123456", "code": "123456",
        "country": "SE", "received_at": "2026-05-22T12:34:56Z"}}""",
    "sms.status_updated": r"""
        {"event_type": "sms.status_updated", "timestamp": "2026-05-22T12:34:56Z", "data":
        {"piv_num_id": "vzPA1-kHKSg-EAL7e-Jqd3o", "message_id": "42", "old_status": "sent",
        "new_status": "delivered", "error_code": null, "error_message": null}}""",
    "number.restore_completed": r"""
        {"event_type": "number.restore_completed", "timestamp": "2026-05-22T12:34:56Z", "data":
        {"restored": [{"piv_num_id": "vzPA1-kHKSg-EAL7e-Jqd3o", "phone_number": "+46764794425",
        "country": "SE"}], "failed": [{"piv_num_id": "abc12-defgh-ijklm-nopqr", "phone_number":
        "+46123456789", "country": "SE", "refunded": 7.50}], "total_restored": 1, "total_failed": 1,
        "total_refunded": 7.50}}""",
    "verify.completed": r"""
        {"event_type": "verify.completed", "timestamp": "2026-05-22T12:34:56Z", "data": {"task_id": 12,
        "piv_num_id": "vzPA1-kHKSg-EAL7e-Jqd3o", "status": "sms_sent", "captured_phone":
        "+14155551234", "captured_message": "Your Google verification code is 123456",
        "sms_message_id": 42, "sms_status": "queued"}}""",
    "verify.failed": r"""
        {"event_type": "verify.failed", "timestamp": "2026-05-22T12:34:56Z", "data": {"task_id": 12,
        "piv_num_id": "vzPA1-kHKSg-EAL7e-Jqd3o", "status": "failed", "error_code": "VERIFY_TIMEOUT",
        "error_message": "Verification timed out"}}""",
    "proxy.expires_soon": r"""
        {"event_type": "proxy.expires_soon", "timestamp": "2026-05-22T12:34:56Z", "data": {"order_id":
        "ord-uuid-...", "country": "DE", "quantity": 10, "expires_at": "2026-05-25T00:00:00Z"}}""",
    "domain.registered": r"""
        {"event_type": "domain.registered", "timestamp": "2026-05-22T12:34:56Z", "data": {"domain_id":
        "dom-uuid-...", "domain_name": "mysite.com", "registered_at": "2026-05-22T12:34:56Z",
        "expires_at": "2027-05-22T12:34:56Z", "cloudflare_enabled": true}}""",
    "domain.failed": r"""
        {"event_type": "domain.failed", "timestamp": "2026-05-22T12:34:56Z", "data": {"domain_id":
        "dom-uuid-...", "domain_name": "mysite.com", "error": "Domain is no longer available"}}""",
    "domain.expires_soon": r"""
        {"event_type": "domain.expires_soon", "timestamp": "2026-05-22T12:34:56Z", "data":
        {"domain_id": "dom-uuid-...", "domain_name": "mysite.com", "expires_at":
        "2026-05-29T00:00:00Z", "auto_renew": false}}""",
    "white.completed": r"""
        {"event_type": "white.completed", "timestamp": "2026-05-22T12:34:56Z", "data": {"job_id":
        "job-uuid-...", "name": "My White", "tier_key": "t1", "country": "DE"}}""",
    "white.failed": r"""
        {"event_type": "white.failed", "timestamp": "2026-05-22T12:34:56Z", "data": {"job_id":
        "job-uuid-...", "name": "My White", "error": "Generation failed"}}""",
}

ID = "id-1"
Use = Callable[[PivClient], Awaitable[Any]]
CALLS: dict[str, tuple[Callable[[PivClient, Any], Awaitable[Any]], type[Request] | None]] = {
    "GET /account": (lambda piv, _: piv.account.get(), None),
    "GET /numbers/countries": (lambda piv, _: piv.numbers.countries(), None),
    "GET /numbers": (lambda piv, _: piv.numbers.list(), None),
    "GET /numbers/{piv_num_id}": (lambda piv, _: piv.numbers.get(ID), None),
    "POST /numbers/purchase": (lambda piv, body: piv.numbers.purchase(body), PurchaseNumber),
    "POST /numbers/{piv_num_id}/renew": (lambda piv, body: piv.numbers.renew(ID, body), RenewNumber),
    "PATCH /numbers/{piv_num_id}": (lambda piv, body: piv.numbers.update(ID, body), UpdateNumber),
    "PATCH /numbers/{piv_num_id}/auto-renewal": (
        lambda piv, body: piv.numbers.set_auto_renewal(ID, body),
        SetNumberAutoRenewal,
    ),
    "POST /numbers/restore": (lambda piv, body: piv.numbers.restore(body), RestoreNumbers),
    "GET /numbers/{piv_num_id}/sms": (lambda piv, _: piv.numbers.sms(ID), None),
    "POST /numbers/{piv_num_id}/sms/send": (lambda piv, body: piv.numbers.send_sms(ID, body), SendSms),
    "POST /numbers/{piv_num_id}/verify": (lambda piv, body: piv.numbers.verify(ID, body), StartVerification),
    "GET /proxy/servers": (lambda piv, _: piv.proxies.servers(), None),
    "GET /proxy/orders": (lambda piv, _: piv.proxies.orders(), None),
    "GET /proxy/orders/{id}": (lambda piv, _: piv.proxies.order(ID), None),
    "POST /proxy/purchase": (lambda piv, body: piv.proxies.purchase(body), PurchaseProxies),
    "POST /proxy/orders/{id}/renew": (lambda piv, body: piv.proxies.renew(ID, body), RenewProxies),
    "POST /proxy/orders/{id}/restore": (lambda piv, _: piv.proxies.restore(ID), None),
    "GET /proxy/orders/{id}/export": (lambda piv, _: piv.proxies.export(ID), None),
    "GET /domains/search": (lambda piv, _: piv.domains.search("mysite.com"), None),
    "GET /domains": (lambda piv, _: piv.domains.list(), None),
    "POST /domains": (lambda piv, body: piv.domains.register(body), RegisterDomain),
    "GET /domains/queue/{id}": (lambda piv, _: piv.domains.queue(ID), None),
    "GET /domains/{id}": (lambda piv, _: piv.domains.get(ID), None),
    "POST /domains/{id}/renew": (lambda piv, body: piv.domains.renew(ID, body), RenewDomain),
    "POST /domains/{id}/auto-renew": (
        lambda piv, body: piv.domains.set_auto_renew(ID, body),
        SetDomainAutoRenewal,
    ),
    "GET /domains/{id}/dns": (lambda piv, _: piv.domains.dns(ID), None),
    "POST /domains/{id}/dns": (lambda piv, body: piv.domains.create_dns(ID, body), CreateDnsRecord),
    "PUT /domains/{id}/dns/{recordId}": (
        lambda piv, body: piv.domains.update_dns(ID, "rec", body),
        UpdateDnsRecord,
    ),
    "DELETE /domains/{id}/dns/{recordId}": (lambda piv, _: piv.domains.delete_dns(ID, "rec"), None),
    "POST /domains/{id}/cloudflare": (lambda piv, _: piv.domains.enable_cloudflare(ID), None),
    "POST /domains/{id}/ns-servers": (
        lambda piv, body: piv.domains.set_nameservers(ID, body),
        SetNameservers,
    ),
    "GET /whites/tiers": (lambda piv, _: piv.whites.tiers(), None),
    "GET /whites": (lambda piv, _: piv.whites.list(), None),
    "POST /whites": (lambda piv, body: piv.whites.create(body), CreateWhite),
    "GET /whites/{id}": (lambda piv, _: piv.whites.get(ID), None),
    "GET /whites/{id}/download": (lambda piv, _: piv.whites.download(ID), None),
    "POST /whites/{id}/config": (lambda piv, body: piv.whites.config(ID, body), WhiteConfig),
}
"""Every method, as the endpoint it is for, with the model of its body."""

UNDOCUMENTED = {
    "PUT /domains/{id}/dns/{recordId}",
    "DELETE /domains/{id}/dns/{recordId}",
    "POST /whites/{id}/config",
}


def all_endpoints() -> dict[str, Endpoint[Any]]:
    modules: tuple[ModuleType, ...] = (account, numbers, proxies, domains, whites)
    values = [value for module in modules for value in vars(module).values()]
    endpoints = [cast("Endpoint[Any]", value) for value in values if type(value) is Endpoint]
    return {str(endpoint): endpoint for endpoint in endpoints}


class Server:
    """Answers everything in the same way, and keeps what it was asked."""

    def __init__(self, body: str, status: int = 200) -> None:
        self.body = body
        self.status = status
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return httpx.Response(self.status, text=self.body)

    def client(self) -> PivClient:
        return PivClient(BASE, SecretStr(KEY), transport=httpx.MockTransport(self))


def assert_holds(example: Any, value: Any, where: str = "answer") -> None:
    """Every field of the example is in the value, and means the same."""
    if isinstance(example, dict):
        for name, part in cast("dict[str, Any]", example).items():
            if where == "answer" and name == "success":
                continue
            field = "domain_name" if name == "domain" and isinstance(value, QueueEntry) and part == str(part) else name
            assert hasattr(value, field), f"{where}.{name} is not in {type(value).__name__}"
            assert_holds(part, getattr(value, field), f"{where}.{name}")
    elif isinstance(example, list):
        parts = cast("list[Any]", example)
        assert len(parts) == len(value)
        for part, item in zip(parts, value, strict=True):
            assert_holds(part, item, where)
    elif isinstance(value, datetime):
        assert value == datetime.fromisoformat(example), where
        assert value.tzinfo is UTC
    elif isinstance(value, SecretStr):
        assert value.get_secret_value() == example, where
    elif isinstance(value, str):
        assert value == str(example), where
    else:
        assert value == example, where
        assert isinstance(value, type(example) | Decimal), where


# methods


def test_there_are_38_endpoints_each_with_a_method() -> None:
    assert len(all_endpoints()) == 38
    assert set(all_endpoints()) == set(CALLS) == set(ANSWERS) | UNDOCUMENTED


@pytest.mark.parametrize(("name", "number"), [(name, n) for name in ANSWERS for n in range(len(ANSWERS[name]))])
async def test_example_answer_is_parsed_without_loss(name: str, number: int) -> None:
    call, model = CALLS[name]
    example = ANSWERS[name][number]
    body = model.model_validate_json(BODIES[name][0]) if model else None
    answer = await call(Server(example).client(), body)
    assert_holds(all_endpoints()[name].shape(parse_json(example.encode())), answer)


@pytest.mark.parametrize("name", sorted(CALLS))
async def test_request_leaves_as_the_reference_writes_it(name: str) -> None:
    call, model = CALLS[name]
    method, template = name.split()
    for example in BODIES.get(name, [""]):
        server = Server('{"success": false, "error": {"code": "NOT_FOUND", "message": "no"}}', 404)
        with pytest.raises(errors.NotFoundError):
            await call(server.client(), model.model_validate_json(example) if model else None)
        [request] = server.requests
        assert request.method == method
        path = template.replace("{recordId}", "rec").replace("{piv_num_id}", ID).replace("{id}", ID)
        assert request.url.raw_path.decode().partition("?")[0] == f"/api/v1{path}"
        assert request.headers["authorization"] == f"Bearer {KEY}"
        if example:
            assert json.loads(request.content) == json.loads(example)
            assert request.headers["content-type"] == "application/json"
        else:
            assert request.content == b""
            assert "content-type" not in request.headers


@pytest.mark.parametrize("name", sorted(UNDOCUMENTED))
@pytest.mark.parametrize(
    "body", ['{"success": true}', '{"success": true, "data": null}', '{"success": true, "data": []}']
)
async def test_undocumented_answers_need_only_success(name: str, body: str) -> None:
    call, model = CALLS[name]
    request = model.model_validate_json(BODIES[name][0]) if model else None
    await call(Server(body).client(), request)
    await call(Server("", 204).client(), request)


@pytest.mark.parametrize("data", ['{"record": {"id": "r", "content": "5.6.7.8"}}', '{"id": "r", "content": "5.6.7.8"}'])
async def test_dns_update_gives_the_record_if_the_server_sends_it(data: str) -> None:
    server = Server(f'{{"success": true, "data": {data}}}')
    answer = await server.client().domains.update_dns("d", "r", UpdateDnsRecord(content="5.6.7.8"))
    assert answer.record is not None
    assert answer.record.content == "5.6.7.8"


@pytest.mark.parametrize("name", ["error", "error_message"])
async def test_a_queue_entry_that_failed_says_why(name: str) -> None:
    server = Server(f'{{"success": true, "data": {{"status": "failed", "domain": "a.com", "{name}": "just taken"}}}}')
    entry = await server.client().domains.queue("q")
    assert (entry.status, entry.domain_name, entry.error) == ("failed", "a.com", "just taken")


FILTERS: list[tuple[Use, str]] = [
    (lambda piv: piv.numbers.list(), ""),
    (
        lambda piv: piv.numbers.list(limit=10, offset=0, country="SE", status="active", search="a&b=c"),
        "limit=10&offset=0&country=SE&status=active&search=a%26b%3Dc",
    ),
    (lambda piv: piv.numbers.sms(ID, limit=200, offset=5), "limit=200&offset=5"),
    (lambda piv: piv.proxies.orders(limit=500, status="expired"), "limit=500&status=expired"),
    (lambda piv: piv.proxies.export(ID, format="both"), "format=both"),
    (lambda piv: piv.domains.search("mysite.com"), "q=mysite.com"),
    (
        lambda piv: piv.domains.list(status="pending", cloudflare=True, auto_renew=False),
        "status=pending&cloudflare=true&auto_renew=false",
    ),
    (lambda piv: piv.whites.list(status="done", tier_key="v2_tier3"), "status=done&tier_key=v2_tier3"),
    (lambda piv: piv.whites.download(ID, format="php"), "format=php"),
]


@pytest.mark.parametrize(("call", "query"), FILTERS)
async def test_filters_leave_as_documented(call: Use, query: str) -> None:
    server = Server('{"success": false, "error": {"code": "NOT_FOUND", "message": "no"}}', 404)
    with pytest.raises(errors.NotFoundError):
        await call(server.client())
    assert server.requests[0].url.query.decode() == query


BAD_ARGUMENTS: list[Use] = [
    lambda piv: piv.numbers.list(limit=0),
    lambda piv: piv.numbers.list(limit=201),
    lambda piv: piv.numbers.sms(ID, offset=-1),
    lambda piv: piv.proxies.orders(limit=501),
    lambda piv: piv.domains.search(""),
    lambda piv: piv.numbers.list(country="Sweden"),
    lambda piv: piv.whites.list(status=cast("Any", 10)),
    lambda piv: piv.numbers.get(""),
    lambda piv: piv.numbers.get(" "),
    lambda piv: piv.numbers.get("."),
    lambda piv: piv.domains.delete_dns("d", ".."),
    lambda piv: piv.domains.delete_dns("\ud800", "r"),
    lambda piv: piv.numbers.list(search="\ud800"),
]


@pytest.mark.parametrize("call", BAD_ARGUMENTS)
async def test_bad_argument_is_refused_before_anything_is_sent(
    call: Use,
) -> None:
    server = Server("{}")
    with pytest.raises(errors.InvalidRequestError) as caught:
        await call(server.client())
    assert server.requests == []
    assert caught.value.effect == "none"


@pytest.mark.parametrize(
    ("id_", "path"),
    [
        ("a/b", "a%2Fb"),
        ("../account", "..%2Faccount"),
        ("%2e%2e", "%252e%252e"),
        ("a?b#c", "a%3Fb%23c"),
        ("a b\n", "a%20b%0A"),
        ("é", "%C3%A9"),
        ("...", "..."),
    ],
)
async def test_an_id_stays_one_segment_of_the_path(id_: str, path: str) -> None:
    server = Server(ANSWERS["GET /numbers/{piv_num_id}"][0])
    await server.client().numbers.get(id_)
    assert server.requests[0].url.raw_path.decode() == f"/api/v1/numbers/{path}"


# answers that are not quite as documented


async def test_unknown_fields_and_words_break_nothing() -> None:
    body = '{"success": true, "new": 1, "data": {"piv_num_id": "n", "status": "frozen", "esim": {"a": [1]}}}'
    number = await Server(body).client().numbers.get("n")
    assert (number.piv_num_id, number.status) == ("n", "frozen")


async def test_a_senseless_optional_field_becomes_its_default() -> None:
    data: dict[str, Any] = {
        "piv_num_id": 7,
        "expires_at": "soon",
        "tags": None,
        "auto_renew": "perhaps",
        "custom_name": {},
    }
    number = await Server(json.dumps({"success": True, "data": data})).client().numbers.get("n")
    assert number == Number(piv_num_id="7")


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ("2026-05-01T10:00:00Z", "2026-05-01T10:00:00+00:00"),
        ("2026-05-01T12:00:00+02:00", "2026-05-01T10:00:00+00:00"),
        ("2026-05-01T10:00:00", "2026-05-01T10:00:00+00:00"),
        ("2026-05-01 10:00:00", "2026-05-01T10:00:00+00:00"),
        (1777629600, "2026-05-01T10:00:00+00:00"),
    ],
)
def test_times_are_aware_and_in_utc(sent: object, meant: str) -> None:
    moment = Number.model_validate({"piv_num_id": "n", "expires_at": sent}).expires_at
    assert moment is not None
    assert moment.isoformat() == meant


@pytest.mark.parametrize("sent", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "", [], 10**30])
def test_an_impossible_time_is_no_time(sent: object) -> None:
    assert Number.model_validate({"piv_num_id": "n", "expires_at": sent}).expires_at is None


@pytest.mark.parametrize("amount", ["0.1", "0.30", "5.00", "123456789.123456789", "1e2", "0", '"4.20"', "7"])
async def test_money_is_exact(amount: str) -> None:
    answer = (
        await Server(f'{{"success": true, "cost": {amount}, "numbers": []}}')
        .client()
        .numbers.purchase(PurchaseNumber(country_code="SE", duration_months=1, auto_renew=False))
    )
    assert str(answer.cost) == str(Decimal(amount.strip('"')))


@pytest.mark.parametrize("amount", ["1e300", "1e-300", '"NaN"', '"Infinity"', "null", '"five"', "[]"])
async def test_an_amount_beyond_reason_is_no_amount(amount: str) -> None:
    answer = (
        await Server(f'{{"success": true, "cost": {amount}, "numbers": []}}')
        .client()
        .numbers.purchase(PurchaseNumber(country_code="SE", duration_months=1, auto_renew=False))
    )
    assert answer.cost is None


@pytest.mark.parametrize(
    "data",
    [
        '[{"piv_num_id": "n"}]',
        '{"numbers": [{"piv_num_id": "n"}]}',
        '{"numbers": [{"piv_num_id": "n"}], "pagination": null}',
        '{"numbers": [{"piv_num_id": "n"}], "pagination": {"total": "many"}}',
    ],
)
async def test_a_list_may_be_bare_and_without_pagination(data: str) -> None:
    page = await Server(f'{{"success": true, "data": {data}}}').client().numbers.list()
    assert page == Page[Number](items=[Number(piv_num_id="n")])


async def test_an_object_may_lack_its_name_and_a_purchase_may_be_in_data() -> None:
    order = await Server('{"success": true, "data": {"id": "o", "items": []}}').client().proxies.order("o")
    assert order.id == "o"
    server = Server('{"success": true, "data": {"queued": 2, "total_charged": 9.00}}')
    assert (await server.client().numbers.restore(RestoreNumbers(piv_num_ids=["n"]))).total_charged == Decimal(9)


async def test_nameservers_of_a_domain_may_be_names_or_objects() -> None:
    body = '{"success": true, "data": {"domain": {"id": "d", "nameservers": ["a", {"nameserver": "b"}]}}}'
    domain = await Server(body).client().domains.get("d")
    assert [server.nameserver for server in domain.nameservers] == ["a", "b"]


# requests


def test_requests_refuse_what_the_reference_does_not_have() -> None:
    with pytest.raises(ValidationError, match="priority"):
        CreateDnsRecord.model_validate({"type": "MX", "name": "@", "content": "m", "priority": 10})


def test_fields_that_are_none_do_not_leave() -> None:
    request = PurchaseNumber(country_code="SE", duration_months=1, auto_renew=False, custom_name=None)
    assert request.wire() == {"country_code": "SE", "duration_months": 1, "auto_renew": False}


DOMAIN = {"domain": "a.com", "period": 1, "auto_renew": False}
WHITE = {"name": "Site", "tier_key": "v2_tier1", "niche": "IT", "country": "DE", "language": "de"}


@pytest.mark.parametrize(
    ("model", "fields", "names"),
    [
        (PurchaseNumber, {"country_code": "SE", "duration_months": 0, "auto_renew": True}, "duration_months"),
        (PurchaseNumber, {"country_code": "SWE", "duration_months": 1, "auto_renew": True}, "country_code"),
        (PurchaseNumber, {"country_code": "SE", "duration_months": 1}, "auto_renew"),
        (UpdateNumber, {"custom_name": "\ud800"}, "custom_name"),
        (RestoreNumbers, {"piv_num_ids": []}, "piv_num_ids"),
        (SendSms, {"to_number": "0701234567", "message_body": "hi"}, "to_number"),
        (SendSms, {"to_number": "+46701234567", "message_body": ""}, "message_body"),
        (StartVerification, {"gv_url": "javascript:x"}, "gv_url"),
        (PurchaseProxies, {"server_id": "s", "quantity": 501, "months": 1}, "quantity"),
        (PurchaseProxies, {"server_id": "s", "quantity": 1, "months": 13}, "months"),
        (RenewProxies, {"months": 0}, "months"),
        (RegisterDomain, {**DOMAIN, "cloudflare": True, "nameservers": ["a", "b"]}, "nameservers"),
        (RegisterDomain, {**DOMAIN, "cloudflare": False}, "nameservers"),
        (RegisterDomain, {**DOMAIN, "cloudflare": False, "nameservers": ["a"]}, "nameservers"),
        (
            RegisterDomain,
            {**DOMAIN, "cloudflare": False, "nameservers": ["a", "b"], "dns_records": []},
            "dns_records",
        ),
        (
            RegisterDomain,
            {**DOMAIN, "cloudflare": False, "nameservers": ["a", "b"], "ssl_mode": "full"},
            "ssl_mode",
        ),
        (RegisterDomain, {**DOMAIN, "cloudflare": True, "ssl_mode": "off"}, "ssl_mode"),
        (RegisterDomain, {**DOMAIN, "cloudflare": True, "period": 11}, "period"),
        (SetNameservers, {"nameservers": ["a"]}, "nameservers"),
        (UpdateDnsRecord, {}, "content"),
        (WhiteConfig, {}, "company"),
        (CreateWhite, {**WHITE, "name": "S"}, "name"),
        (CreateWhite, {**WHITE, "niche": "n" * 26}, "niche"),
        (CreateWhite, {**WHITE, "tier_key": "t1"}, "tier_key"),
        (CreateWhite, {**WHITE, "language": "german"}, "language"),
        (CreateWhite, {**WHITE, "blog_count": 5}, "blog_count"),
        (CreateWhite, {**WHITE, "tier_key": "v2_tier3", "blog_count": 21}, "blog_count"),
        (CreateWhite, {**WHITE, "contacts_template": "t"}, "contacts_template"),
        (CreateWhite, {**WHITE, "contacts_mode": "same", "contacts_template": "t"}, "contacts_template"),
        (CreateWhite, {**WHITE, "facebook": "facebook.com/x"}, "facebook"),
    ],
)
def test_a_bad_request_is_refused_by_field_name(model: type[Request], fields: dict[str, Any], names: str) -> None:
    with pytest.raises(ValidationError, match=names):
        model.model_validate(fields)


# errors


DOCUMENTED: dict[str, tuple[int, type[errors.ApiError]]] = {
    "UNAUTHORIZED": (401, errors.AuthenticationError),
    "INSUFFICIENT_PERMISSIONS": (403, errors.PermissionDeniedError),
    "PERMISSION_DENIED": (403, errors.PermissionDeniedError),
    "VALIDATION_ERROR": (400, errors.InvalidRequestError),
    "NUMBER_NOT_FOUND": (404, errors.NotFoundError),
    "NUMBER_EXPIRED": (403, errors.NumberStateError),
    "NUMBER_NOT_ACTIVE": (400, errors.NumberStateError),
    "INSUFFICIENT_BALANCE": (402, errors.InsufficientBalanceError),
    "INVALID_MESSAGE_FORMAT": (400, errors.InvalidRequestError),
    "COUNTRY_NOT_AVAILABLE": (400, errors.UnavailableError),
    "NO_NUMBERS_AVAILABLE": (400, errors.UnavailableError),
    "NO_RESTORABLE_NUMBERS": (404, errors.NotFoundError),
    "RATE_LIMITED": (429, errors.RateLimitedError),
    "INTERNAL_ERROR": (500, errors.ServerError),
    "NOT_FOUND": (404, errors.NotFoundError),
    "SMS_DISABLED": (400, errors.NumberStateError),
    "PROXY_DEAD": (502, errors.ServerError),
    "QUEUE_FULL": (503, errors.ServerError),
    "SERVER_UNAVAILABLE": (503, errors.ServerError),
    "DOMAIN_NOT_AVAILABLE": (400, errors.UnavailableError),
    "INVALID_TIER": (400, errors.InvalidRequestError),
    "NOT_READY": (409, errors.ConflictError),
}


def test_every_documented_code_has_a_class() -> None:
    assert set(errors.CODES) == set(DOCUMENTED)


@pytest.mark.parametrize("code", sorted(DOCUMENTED))
async def test_documented_error_becomes_its_class(code: str) -> None:
    status, kind = DOCUMENTED[code]
    server = Server(json.dumps({"success": False, "error": {"code": code, "message": "Not enough: $5.00"}}), status)
    # A verification: a write, and the one endpoint whose 5xx are documented to have been refunded.
    with pytest.raises(errors.ApiError) as caught:
        await PivClient(BASE, SecretStr(KEY), transport=httpx.MockTransport(server), deadline=0.2).numbers.verify(
            "n/1", StartVerification(gv_url="https://gv.google.com/...")
        )
    error = caught.value
    if code == "INTERNAL_ERROR":
        assert isinstance(error, errors.OutcomeUnknownError)
        error = error.cause
    else:
        assert error.effect == "none"
    assert type(error) is kind
    assert (error.code, error.status, error.message) == (code, status, "Not enough: $5.00")
    assert (error.method, error.path) == ("POST", "/numbers/n%2F1/verify")
    assert error.hint
    assert str(error) == f"POST /numbers/n%2F1/verify: {status} {code}: Not enough: $5.00"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.InvalidRequestError),
        (401, errors.AuthenticationError),
        (402, errors.InsufficientBalanceError),
        (403, errors.PermissionDeniedError),
        (404, errors.NotFoundError),
        (409, errors.ConflictError),
        (410, errors.ApiError),
        (422, errors.InvalidRequestError),
        (451, errors.ApiError),
    ],
)
async def test_unknown_code_is_classed_by_its_status(status: int, kind: type[errors.ApiError]) -> None:
    server = Server('{"success": false, "error": {"code": "BRAND_NEW", "message": "m"}}', status)
    with pytest.raises(errors.ApiError) as caught:
        await server.client().account.get()
    assert type(caught.value) is kind
    assert caught.value.code == "BRAND_NEW"


def test_money_in_words() -> None:
    refused = errors.NotFoundError("gone", code="NOT_FOUND", status=404, method="POST", path="/x")
    assert refused.money == "Nothing was done and no money moved"
    assert errors.OutcomeUnknownError(refused).money == "Money may have moved"
    refunded = errors.ServerError("full", code="QUEUE_FULL", status=503, method="POST", path="/x")
    assert refunded.money == "The charge was refunded"
    assert errors.StoreError("full").money == "Nothing was done and no money moved"


# webhooks


@pytest.mark.parametrize("name", sorted(EVENT_EXAMPLES))
def test_example_event_is_parsed_without_loss(name: str) -> None:
    event = parse_event(EVENT_EXAMPLES[name].encode())
    assert (event.event_type, event.problem) == (name, None)
    assert event.timestamp == datetime(2026, 5, 22, 12, 34, 56, tzinfo=UTC)
    example = parse_json(EVENT_EXAMPLES[name].encode())
    assert event.raw == example
    assert_holds(example["data"], event.data)


def test_all_eleven_events_have_an_example() -> None:
    assert set(EVENTS) == set(EVENT_EXAMPLES)
    assert len(EVENTS) == 11


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("sms.received", ("vzPA1-kHKSg-EAL7e-Jqd3o",)),
        ("verify.failed", ("vzPA1-kHKSg-EAL7e-Jqd3o",)),
        ("number.restore_completed", ("vzPA1-kHKSg-EAL7e-Jqd3o", "abc12-defgh-ijklm-nopqr")),
        ("domain.failed", ()),
    ],
)
def test_an_event_names_its_numbers(name: str, ids: tuple[str, ...]) -> None:
    assert piv_num_ids(parse_event(EVENT_EXAMPLES[name].encode()).fields) == ids


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (
            {"event_type": "sms.deleted", "timestamp": "2026-05-22T12:34:56Z", "data": {"piv_num_id": "n"}},
            "reference",
        ),
        ({"event_type": "sms.received", "data": {"piv_num_id": None, "text": "123"}}, "data.piv_num_id"),
        ({"event_type": "sms.received", "data": "text"}, "data"),
        ({"event_type": "sms.received"}, "data"),
        ({"event_type": 5}, "event_type"),
        ({}, "event_type"),
    ],
)
def test_an_event_of_unknown_type_or_shape_is_kept_and_flagged(body: dict[str, Any], problem: str) -> None:
    event = parse_event(json.dumps(body).encode())
    assert event.data is None
    assert event.raw == body
    assert problem in (event.problem or "")


def test_an_unknown_event_still_names_its_number_and_time() -> None:
    event = parse_event({"event_type": "x", "timestamp": "2026-05-22T12:34:56Z", "data": {"piv_num_id": "n"}})
    assert piv_num_ids(event.fields) == ("n",)
    assert event.timestamp == datetime(2026, 5, 22, 12, 34, 56, tzinfo=UTC)


def test_a_known_event_without_a_valid_time_is_flagged_and_known() -> None:
    event = parse_event({"event_type": "sms.received", "timestamp": "now", "data": {"piv_num_id": "n", "text": "1"}})
    assert isinstance(event.data, SmsReceived)
    assert event.timestamp is None
    assert event.problem == "timestamp is not a time"


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"\xff", b"<html>", b'{"a":', b'{"a": NaN}', b"[" * 100_000])
def test_only_a_body_that_is_no_json_object_is_an_error(body: bytes) -> None:
    with pytest.raises(errors.MalformedEventError):
        parse_event(body)


def test_garbled_characters_lose_no_event() -> None:
    body = rb'{"event_type": "sms.received", "data": {"piv_num_id": "n", "text": "a\ud83d\ud83d\ude00"}}'
    event = parse_event(body)
    assert isinstance(event.data, SmsReceived)
    assert event.data.text == "a�😀"


# secrets


def test_passwords_are_in_no_repr() -> None:
    assert "pass1" not in repr(Proxy.model_validate({"password": "pass1"}))
    assert Proxy.model_validate({"password": 12345}).password == SecretStr("12345")


# the sandbox: an independent reading of the same reference


async def test_every_method_works_against_the_sandbox() -> None:
    sandbox = Sandbox(KEY, balance=Decimal(1000), auto_tick=False)
    async with PivClient(BASE, SecretStr(KEY), transport=SandboxTransport(sandbox)) as piv:
        assert (await piv.account.get()).balance == 1000
        await _use_numbers(piv)
        await _use_proxies(piv)
        await _use_domains(piv, sandbox)
        await _use_whites(piv, sandbox)
        assert (await piv.account.get()).balance == sandbox.balance < 1000
    assert {_template(request.method, request.path) for request in sandbox.requests} == set(CALLS)


async def _use_numbers(piv: PivClient) -> None:
    prices = {country.country_code: country.price_per_month for country in await piv.numbers.countries()}
    bought = await piv.numbers.purchase(PurchaseNumber(country_code="SE", duration_months=1, auto_renew=False))
    assert prices["SE"] is not None
    assert bought.cost is not None
    [number] = bought.numbers
    id_ = number.piv_num_id
    assert (await piv.numbers.renew(id_, RenewNumber(duration_months=1))).cost is not None
    assert (await piv.numbers.update(id_, UpdateNumber(custom_name="Mine"))).custom_name == "Mine"
    assert (await piv.numbers.set_auto_renewal(id_, SetNumberAutoRenewal(auto_renew=True))).auto_renew is True
    assert (await piv.numbers.get(id_)).custom_name == "Mine"
    sent = await piv.numbers.send_sms(id_, SendSms(to_number="+14155551234", message_body="Hello"))
    [message] = (await piv.numbers.sms(id_, limit=5)).items
    assert message.id == sent.message_id
    assert (await piv.numbers.verify(id_, StartVerification(gv_url="https://gv.google.com/x"))).message
    expired = (await piv.numbers.list(status="pending_restore")).items or (
        await piv.numbers.list(status="expired")
    ).items
    restored = await piv.numbers.restore(RestoreNumbers(piv_num_ids=[number.piv_num_id for number in expired]))
    assert restored.queued


async def _use_proxies(piv: PivClient) -> None:
    server = (await piv.proxies.servers())[0]
    order = await piv.proxies.purchase(PurchaseProxies(server_id=server.id, quantity=2, months=1))
    password = order.items[0].password
    assert password is not None
    assert (await piv.proxies.order(order.id)).items == order.items
    assert (await piv.proxies.renew(order.id, RenewProxies(months=1))).cost == order.price_total
    export = await piv.proxies.export(order.id, format="http")
    assert export.count == 2
    assert password.get_secret_value() in export.content.get_secret_value()
    [expired] = (await piv.proxies.orders(status="expired")).items
    assert (await piv.proxies.restore(expired.id)).order_id == expired.id


async def _use_domains(piv: PivClient, sandbox: Sandbox) -> None:
    assert (await piv.domains.search("new-site.com")).available is True
    record = CreateDnsRecord(type="A", name="@", content="1.2.3.4", proxied=True)
    ordered = await piv.domains.register(
        RegisterDomain(domain="new-site.com", period=1, cloudflare=True, auto_renew=False, dns_records=[record])
    )
    waiting = await piv.domains.queue(ordered.queue_id)
    assert (waiting.domain, waiting.domain_name) == (None, "new-site.com")
    sandbox.advance(timedelta(minutes=5))
    done = await piv.domains.queue(ordered.queue_id)
    assert done.status == "completed"
    assert done.domain is not None
    id_ = done.domain.id
    assert (await piv.domains.get(id_)).dns_records[0].content == "1.2.3.4"
    added = await piv.domains.create_dns(id_, CreateDnsRecord(type="TXT", name="@", content="v=spf1 -all", ttl=1))
    assert added.id is not None
    await piv.domains.update_dns(id_, added.id, UpdateDnsRecord(content="v=spf1 ~all"))
    assert {entry.content for entry in await piv.domains.dns(id_)} == {"1.2.3.4", "v=spf1 ~all"}
    await piv.domains.delete_dns(id_, added.id)
    assert len(await piv.domains.dns(id_)) == 1
    assert (await piv.domains.set_auto_renew(id_, SetDomainAutoRenewal(auto_renew=True))).auto_renew is True
    assert (await piv.domains.renew(id_, RenewDomain(period=1))).queue_id
    [other] = (await piv.domains.list(cloudflare=False)).items
    servers = await piv.domains.set_nameservers(other.id, SetNameservers(nameservers=["ns1.x.com", "ns2.x.com"]))
    assert [server.nameserver for server in servers] == ["ns1.x.com", "ns2.x.com"]
    assert (await piv.domains.get(other.id)).nameservers == servers
    assert (await piv.domains.enable_cloudflare(other.id)).ssl_mode == "flexible"


async def _use_whites(piv: PivClient, sandbox: Sandbox) -> None:
    assert {tier.tier_key for tier in await piv.whites.tiers()} >= {"v2_tier1", "v2_tier3"}
    created = await piv.whites.create(CreateWhite.model_validate(WHITE))
    with pytest.raises(errors.ConflictError):
        await piv.whites.download(created.white.id)
    sandbox.advance(timedelta(hours=1))
    assert (await piv.whites.get(created.white.id)).status == 10
    assert created.white.id in {white.id for white in (await piv.whites.list(status="done")).items}
    link = await piv.whites.download(created.white.id, format="php")
    assert link.url.startswith("https://")
    assert link.url not in repr(link)
    await piv.whites.config(created.white.id, WhiteConfig(company="My Brand"))


def _template(method: str, path: str) -> str:
    for name in sorted(CALLS, key=lambda name: name.count("{")):
        pattern = re.sub(r"\{\w+\}", "[^/]+", name)
        if re.fullmatch(pattern, f"{method} {path}"):
            return name
    raise AssertionError(f"no endpoint is {method} {path}")
