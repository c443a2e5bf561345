"""How the models read answers that differ a little from the reference, and which requests they refuse."""

import json
from decimal import Decimal
from typing import Any

import pytest
from api_client import Server
from api_examples import WHITE
from pydantic import ValidationError

from piv_mcp.api.domains import CreateDnsRecord, RegisterDomain, SetNameservers, UpdateDnsRecord
from piv_mcp.api.models import Page, Request
from piv_mcp.api.numbers import Number, PurchaseNumber, RestoreNumbers, SendSms, StartVerification, UpdateNumber
from piv_mcp.api.proxies import PurchaseProxies, RenewProxies
from piv_mcp.api.whites import CreateWhite, WhiteConfig

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


@pytest.mark.parametrize("sent", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "", [], 10**30, 10**400])
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
