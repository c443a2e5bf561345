"""Every endpoint against the reference's examples and against the sandbox."""

import json
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal
from types import ModuleType
from typing import Any, cast

import httpx
import pytest
from api_client import BASE, KEY, Server, error
from api_examples import ANSWERS, BODIES, UNDOCUMENTED, WHITE, assert_holds
from pydantic import SecretStr

from piv_mcp import errors
from piv_mcp.api import account, domains, numbers, proxies, whites
from piv_mcp.api.client import PivClient
from piv_mcp.api.domains import (
    CreateDnsRecord,
    RegisterDomain,
    RenewDomain,
    SetDomainAutoRenewal,
    SetNameservers,
    UpdateDnsRecord,
)
from piv_mcp.api.endpoint import Endpoint
from piv_mcp.api.models import Request
from piv_mcp.api.numbers import (
    PurchaseNumber,
    RenewNumber,
    RestoreNumbers,
    SendSms,
    SetNumberAutoRenewal,
    StartVerification,
    UpdateNumber,
)
from piv_mcp.api.proxies import PurchaseProxies, RenewProxies
from piv_mcp.api.text import parse_json
from piv_mcp.api.whites import CreateWhite, WhiteConfig
from piv_mcp.sandbox import Sandbox, SandboxTransport

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


def all_endpoints() -> dict[str, Endpoint[Any]]:
    modules: tuple[ModuleType, ...] = (account, numbers, proxies, domains, whites)
    values = [value for module in modules for value in vars(module).values()]
    endpoints = [cast("Endpoint[Any]", value) for value in values if type(value) is Endpoint]
    return {str(endpoint): endpoint for endpoint in endpoints}


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
        server = Server(error("NOT_FOUND", 404))
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
    await call(Server(httpx.Response(204)).client(), request)


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
    server = Server(error("NOT_FOUND", 404))
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
