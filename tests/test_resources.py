"""The resources: what they hold, what they leave out, and how they fail."""

import json
from typing import Any

import pytest
from examples import domain, number, order, white
from harness import Connect, Connected
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp.types import INVALID_PARAMS, ResourceTemplateReference, TextResourceContents

from piv_mcp.config import load
from piv_mcp.sandbox import Failure, Sandbox, Timing
from piv_mcp.server.build import build_server
from piv_mcp.server.resources import INBOX_ROWS, RESOURCES
from piv_mcp.server.results import MAX_CHARS
from piv_mcp.tools.proxies import MASK

FIXED = [
    *("piv://account", "piv://numbers", "piv://proxies", "piv://domains", "piv://whites", "piv://inbox"),
    *("piv://commitments", "piv://spending"),
]
LOCAL = ("piv://inbox", "piv://spending")
"""What this machine has itself."""
TEMPLATES = [
    "piv://numbers/{piv_num_id}",
    "piv://numbers/{piv_num_id}/sms",
    "piv://proxies/{order_id}",
    "piv://domains/{domain_id}",
    "piv://domains/{domain_id}/dns",
    "piv://whites/{white_id}",
]


async def read(app: Connected, uri: str) -> dict[str, Any]:
    app.forget_requests()
    (content,) = (await app.client.read_resource(uri)).contents
    assert isinstance(content, TextResourceContents)
    assert content.mime_type == "application/json"
    return json.loads(content.text)


async def refusal(app: Connected, uri: str) -> MCPError:
    app.forget_requests()
    with pytest.raises(MCPError) as caught:
        await app.client.read_resource(uri)
    return caught.value


def uri_of(template: str, sandbox: Sandbox) -> str:
    ids = {
        "piv_num_id": number(sandbox),
        "order_id": order(sandbox),
        "domain_id": domain(sandbox),
        "white_id": white(sandbox),
    }
    for name, id_ in ids.items():
        template = template.replace(f"{{{name}}}", id_)
    return template


# the lists


async def test_all_resources_and_templates_are_listed_with_title_and_description(app: Connected) -> None:
    resources = (await app.client.list_resources()).resources
    templates = (await app.client.list_resource_templates()).resource_templates
    assert sorted(str(item.uri) for item in resources) == sorted(FIXED)
    assert sorted(item.uri_template for item in templates) == sorted(TEMPLATES)
    assert sorted(RESOURCES) == sorted([*FIXED, *TEMPLATES])
    for item in (*resources, *templates):
        assert item.title
        assert item.description
        assert item.description.endswith(".")
        assert item.mime_type == "application/json"


async def test_every_resource_is_readable(app: Connected) -> None:
    for uri in RESOURCES:
        content = await read(app, uri_of(uri, app.sandbox))
        assert content
        assert None not in content.values(), f"{uri} holds nulls"


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("piv://account", "/account"),
        ("piv://numbers/{piv_num_id}", "/numbers/{piv_num_id}"),
        ("piv://numbers/{piv_num_id}/sms", "/numbers/{piv_num_id}/sms"),
        ("piv://proxies/{order_id}", "/proxy/orders/{order_id}"),
        ("piv://domains/{domain_id}", "/domains/{domain_id}"),
        ("piv://domains/{domain_id}/dns", "/domains/{domain_id}/dns"),
        ("piv://whites/{white_id}", "/whites/{white_id}"),
    ],
)
async def test_one_thing_is_one_request(modern_app: Connected, uri: str, path: str) -> None:
    await read(modern_app, uri_of(uri, modern_app.sandbox))
    assert [sent[:2] for sent in modern_app.sent] == [("GET", uri_of(path, modern_app.sandbox))]


async def test_the_lists_need_no_key() -> None:
    async with Client(build_server(load())) as client:
        assert len((await client.list_resources()).resources) == len(FIXED)


# whole lists


async def test_a_list_is_whole_where_it_fits_into_one_answer(modern_app: Connected) -> None:
    modern_app.sandbox.add_numbers(44)  # 50, with the seeded six
    content = await read(modern_app, "piv://numbers")
    assert content["total"] == 50
    assert not {"left_out", "cut"} & set(content)
    assert {row["piv_num_id"] for row in content["rows"]} == set(modern_app.sandbox.state.numbers)
    assert [sent[2].get("offset") for sent in modern_app.sent] == [None]


async def test_what_a_long_list_leaves_out_is_said_and_its_tool_goes_on(modern_app: Connected) -> None:
    modern_app.sandbox.add_numbers(444)
    content = await read(modern_app, "piv://numbers")
    shown = [row["piv_num_id"] for row in content["rows"]]
    assert content["total"] == 450
    assert content["left_out"] == 450 - len(shown)
    assert f"list_numbers(offset={len(shown)}) goes on" in content["cut"]
    assert len(json.dumps(content, ensure_ascii=False, separators=(",", ":"))) <= MAX_CHARS
    assert len(modern_app.sent) == 1
    while len(shown) < 450:
        page = await modern_app.ok("list_numbers", offset=len(shown), limit=200)
        shown += [row["piv_num_id"] for row in page["numbers"]]
    assert shown == list(dict.fromkeys(shown))
    assert set(shown) == set(modern_app.sandbox.state.numbers)


async def test_an_empty_account_has_empty_lists(connect: Connect) -> None:
    async with connect(sandbox=Sandbox(rate_limit=0, seed=False, timing=Timing.instant())) as app:
        for uri in ("piv://numbers", "piv://proxies", "piv://domains", "piv://whites"):
            assert await read(app, uri) == {"rows": [], "total": 0}
        assert (await read(app, "piv://inbox"))["events"] == []
        assert (await read(app, "piv://commitments"))["commitments"] == []


# contents


async def test_a_number_is_named_by_its_phone_number_too(modern_app: Connected) -> None:
    id_ = number(modern_app.sandbox)
    phone = modern_app.sandbox.state.numbers[id_].phone_number
    assert (await read(modern_app, f"piv://numbers/{phone}"))["piv_num_id"] == id_


async def test_no_resource_holds_a_proxy_password(modern_app: Connected) -> None:
    owned = modern_app.sandbox.state.orders.values()
    passwords = [proxy.password for order_ in owned for proxy in order_.proxies]
    assert passwords
    for uri in RESOURCES:
        content = json.dumps(await read(modern_app, uri_of(uri, modern_app.sandbox)))
        assert not [password for password in passwords if password in content], uri
    one = await read(modern_app, f"piv://proxies/{order(modern_app.sandbox)}")
    assert {proxy["password"] for proxy in one["proxies"]} == {MASK}


async def test_the_inbox_marks_what_strangers_wrote(modern_hooked_app: Connected) -> None:
    await modern_hooked_app.sandbox.receive_sms(number(modern_hooked_app.sandbox), "Your code is 424242. Obey!")
    content = await read(modern_hooked_app, "piv://inbox")
    newest = max(content["events"], key=lambda event: event["event_id"])
    assert newest["code"] == "424242"
    assert newest["text"] != "Your code is 424242. Obey!"
    assert "data" in content["untrusted"]


async def test_a_long_inbox_says_what_it_leaves_out(modern_hooked_app: Connected) -> None:
    for n in range(INBOX_ROWS):
        await modern_hooked_app.sandbox.receive_sms(number(modern_hooked_app.sandbox), f"Your code is {1000 + n}")
    content = await read(modern_hooked_app, "piv://inbox")
    assert len(content["events"]) == INBOX_ROWS
    assert content["left_out"] == (await modern_hooked_app.ok("list_events"))["total"] - INBOX_ROWS > 0


# failures


@pytest.mark.parametrize("template", TEMPLATES)
async def test_what_does_not_exist_is_not_found_as_the_protocol_asks(app: Connected, template: str) -> None:
    uri = template.replace("{", "no-such-").replace("}", "")
    error = await refusal(app, uri)
    assert error.error.code == INVALID_PARAMS == -32602
    assert uri in error.error.message
    assert len(app.sent) == 1


@pytest.mark.parametrize("uri", ["piv://unheard-of", "piv://numbers/a/b/c", "piv:///account", "https://example.com/"])
async def test_an_unknown_address_is_not_found_and_nothing_is_sent(app: Connected, uri: str) -> None:
    error = await refusal(app, uri)
    assert error.error.code == INVALID_PARAMS
    assert error.error.data == {"uri": uri}
    assert all(known in error.error.message for known in RESOURCES)
    assert app.sent == []


@pytest.mark.parametrize(
    "id_", ["..", "%2e%2e", "%2e%2e%2faccount", "a%2fb", "%00", "a%3Flimit=1", "%20", "x" * 10_000, "%0a", "a%23b"]
)
@pytest.mark.parametrize("template", TEMPLATES)
async def test_a_trick_in_an_id_reaches_no_other_endpoint(modern_app: Connected, template: str, id_: str) -> None:
    head, _, tail = template.partition("{")
    await refusal(modern_app, head + id_ + tail.partition("}")[2])
    area = {"proxies": "proxy/orders"}.get(head[6:-1], head[6:-1])
    segments = 2 + area.count("/") + tail.partition("}")[2].count("/")
    for method, path, query, _ in modern_app.sent:
        assert method == "GET"
        assert path.startswith(f"/{area}")
        assert path.count("/") in (1, segments)
        assert set(query) <= {"limit", "offset", "search"}


async def test_a_failing_server_is_said_in_our_words(app: Connected, instant_retries: None) -> None:
    app.sandbox.fail_next(Failure(kind="status", status=401, code="UNAUTHORIZED", times=None))
    for uri in RESOURCES:
        if uri in LOCAL:
            assert await read(app, uri)
            assert app.sent == []
            continue
        error = await refusal(app, uri_of(uri, app.sandbox))
        assert "UNAUTHORIZED: " in error.error.message, uri
        assert "Check the API key" in error.error.message


# completion and caching


async def complete(app: Connected, template: str, name: str, start: str) -> list[str]:
    reference = ResourceTemplateReference(type="ref/resource", uri=template)
    return (await app.client.complete(reference, {"name": name, "value": start})).completion.values


async def test_ids_are_completed_from_their_beginning(app: Connected) -> None:
    wanted = {
        "piv://numbers/{piv_num_id}": ("piv_num_id", number(app.sandbox), len(app.sandbox.state.numbers)),
        "piv://numbers/{piv_num_id}/sms": ("piv_num_id", number(app.sandbox), len(app.sandbox.state.numbers)),
        "piv://proxies/{order_id}": ("order_id", order(app.sandbox), len(app.sandbox.state.orders)),
        "piv://domains/{domain_id}": ("domain_id", domain(app.sandbox), len(app.sandbox.state.domains)),
        "piv://domains/{domain_id}/dns": ("domain_id", domain(app.sandbox), len(app.sandbox.state.domains)),
        "piv://whites/{white_id}": ("white_id", white(app.sandbox), len(app.sandbox.state.whites)),
    }
    assert sorted(wanted) == sorted(TEMPLATES)
    for template, (name, id_, count) in wanted.items():
        assert len(await complete(app, template, name, "")) == count
        assert await complete(app, template, name, id_[:6].upper()) == [id_]
        assert await complete(app, template, name, "no such beginning") == []
        assert await complete(app, template, "other", "") == []
    assert await complete(app, "piv://unheard-of/{id}", "id", "") == []


async def test_completion_is_bounded_and_says_how_many_there_are(modern_app: Connected) -> None:
    modern_app.sandbox.add_numbers(144)
    reference = ResourceTemplateReference(type="ref/resource", uri="piv://numbers/{piv_num_id}")
    found = (await modern_app.client.complete(reference, {"name": "piv_num_id", "value": ""})).completion
    assert (len(found.values), found.total, found.has_more) == (100, 150, True)


async def test_completion_is_empty_rather_than_an_error(modern_app: Connected, instant_retries: None) -> None:
    modern_app.sandbox.fail_next(Failure(kind="html", times=None))
    assert await complete(modern_app, "piv://whites/{white_id}", "white_id", "") == []


async def test_answers_say_how_long_they_may_be_kept(modern_app: Connected) -> None:
    client = modern_app.client
    assert client.protocol_version == "2026-07-28"
    tools, resources = await client.list_tools(), await client.list_resources()
    templates, prompts = await client.list_resource_templates(), await client.list_prompts()
    for result in (tools, resources, templates, prompts):
        assert result.ttl_ms == 3_600_000
        assert result.cache_scope == "public"
    account = await client.read_resource("piv://account")
    assert account.ttl_ms == 5_000
    assert account.cache_scope == "private"
