"""The forms in which clients write arguments, for every parameter of every tool, and what is never read otherwise."""

import json
import re
from collections import Counter
from typing import Any

import pytest
from argument_forms import TOGETHER, not_given, refused, understood, value_of
from examples import domain, example, number, record
from harness import ERAS, Connect, Connected, Era, approver, text_of
from hypothesis import given, settings
from hypothesis import strategies as st
from mcp.types import CallToolResult, Tool
from moving_clock import MovingClock

from piv_mcp.inbox import leasing
from piv_mcp.server.arguments import FILLERS, read_arguments

Schema = dict[str, Any]


INSTEAD: dict[tuple[str, str], dict[str, object]] = {
    ("update_dns_record", "content"): {"ttl": 300},
    ("configure_white", "company"): {"email": "me@example.com"},
}
"""What else a call needs where the only argument that says anything is left out."""


def outcome(result: CallToolResult, app: Connected) -> object:
    """What a call did: what it sent that changes something; the entry of the journal, which is the same for equal
    actions; or what it answered, without what differs each time."""
    assert not result.is_error, text_of(result)
    content: dict[str, Any] = result.structured_content or {}
    if "after" in content:  # a tool of the inbox, which may look at the history or not
        return [row["event_id"] for row in content.get("events", [])], content.get("newest", {}).get("code")
    if "entries" in content:  # their states change with time
        return [row["spending_id"] for row in content["entries"]]
    writes = [sent for sent in app.sent if sent[0] != "GET"]
    if "spending_id" in content:
        return content["spending_id"], content["action"], writes
    return writes or sorted(content) if writes or "url" in content or "message_id" in content else shown(content)


def shown(content: dict[str, Any]) -> str:
    return re.sub(r"⟦/?\w+⟧|\d{4}-\d\d-\d\dT|\d\d:\d\d:\d\d\S*", "", json.dumps(content, ensure_ascii=False))


WAITS = ("wait_for_code", "wait_for_event")
"""Without a cursor these count what came within a minute, so that little time may pass between two of their calls."""


async def a_code_comes(app: Connected) -> None:
    """Now, and nothing else within a minute."""
    app.advance(120)
    await app.sandbox.receive_sms(number(app.sandbox), "Your code is 482913", deliver=False)
    app.advance(4)  # a look of just now is not made again
    await app.ok("get_latest_code", number=number(app.sandbox))


@pytest.mark.parametrize("era", ERAS)
async def test_every_parameter_of_every_tool_is_understood_in_every_form(
    connect: Connect, era: Era, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leasing, "MOST_HELD", 1000)  # each call of lease_number takes one more
    counted: Counter[str] = Counter()
    async with connect(era=era, confirm_wait=0, clock=MovingClock()) as app:
        start = (await app.ok("list_events"))["after"]
        await a_code_comes(app)
        tools = (await app.client.list_tools()).tools
        for tool in tools if era == "auto" else tools[::5]:  # one place reads the arguments of both eras
            least = example(tool, app.sandbox)
            counted["tools"] += 1
            if tool.name in WAITS:
                await a_code_comes(app)
            if tool.name == "lease_number":  # each call takes another
                app.sandbox.add_numbers(60)
                least["country"] = "SE"
            for name, schema in tool.input_schema["properties"].items():
                counted["parameters"] += 1
                required = name in tool.input_schema.get("required", [])
                value = least.get(name, value_of(name, schema, app.sandbox))
                if name == "timeout_seconds":
                    least = {**least, "after": start}  # the default is a long wait
                full = {**least, name: value, **(TOGETHER.get(name, {}) if not required else {})}
                value = full[name] = (await app.entries())[0].id if name == "spending_id" else full[name]
                await check(app, tool, full, name, [form for _, form in understood(name, schema, value)], counted)
                if not required:
                    left_out = {key: item for key, item in least.items() if key != name}
                    left_out.update(INSTEAD.get((tool.name, name), {}))
                    forms = [form for _, form in not_given(schema)]
                    await check(app, tool, left_out, name, forms, counted)
                counted["refused"] += len(list(refused(name, schema, required=required)))
    print(dict(counted))  # noqa: T201 - the table, with pytest -s
    if era == "auto":
        assert counted["parameters"] >= 140
        assert counted["understood"] >= 600


async def check(
    app: Connected, tool: Tool, right: dict[str, Any], name: str, forms: list[object], counted: Counter[str]
) -> None:
    """Each form of one argument does what the call with `right` does."""
    seconds = 0 if tool.name in WAITS else 4  # the request limit is not the subject
    app.advance(seconds)
    await app.call(tool.name, **right)
    wanted = outcome(await app.call(tool.name, **right), app)
    for form in forms:
        app.advance(seconds)
        result = await app.call(tool.name, **{**right, name: form})
        assert not result.is_error, f"{tool.name} {name}={form!r}: {text_of(result)}"
        assert outcome(result, app) == wanted, f"{tool.name} {name}={form!r}"
        counted["understood"] += 1


# text is text


@pytest.mark.parametrize("content", ["null", "[1]", '{"v":1}', "true", "5", '"quoted"', " outer white space "])
async def test_text_that_looks_like_json_is_sent_as_it_is(connect: Connect, content: str) -> None:
    async with connect(confirm_destructive=False) as app:
        ids = {"domain_id": domain(app.sandbox), "record_id": record(app.sandbox)}
        await app.ok("update_dns_record", **ids, type="txt", content=content, ttl=300)
        assert app.sent[-1][3] == {"type": "TXT", "content": content, "ttl": 300}
        await app.ok("create_dns_record", domain_id=ids["domain_id"], type="txt", name="@", content=content)
        assert app.sent[-1][3] == {"type": "TXT", "name": "@", "content": content}
        await app.ok("rename_number", piv_num_id=number(app.sandbox), custom_name=content)
        assert app.sent[-1][3] == {"custom_name": content}


json_texts = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
).map(json.dumps)
TEXT: Schema = {"properties": {"x": {"type": "string"}}, "required": ["x"]}


def read(kind: str, value: object, **more: Any) -> object:
    """The value as it was read, or what is wrong with it."""
    found = read_arguments({"x": value}, {"properties": {"x": {"type": kind, **more}}})
    return found.problems[0] if found.problems else found.values.get("x")


@given(st.text() | json_texts)
def test_no_text_is_ever_changed(text: str) -> None:
    found = read_arguments({"x": text}, TEXT)
    assert (found.values, found.problems) == (({"x": text}, []) if text.strip() else ({}, ["x: is required"]))


@given(st.integers(-(2**53), 2**53))
def test_every_spelling_of_a_whole_number_is_that_number(number: int) -> None:
    for form in (number, float(number), str(number), f"{number}.0", f" {number}\n"):
        assert read("integer", form) == number
    assert read("string", number) == str(number)


@given(st.floats().filter(lambda number: not number.is_integer()) | st.integers(min_value=2**53 + 1))
def test_what_is_no_whole_number_or_was_rounded_is_refused(number: float) -> None:
    for kind in ("integer", "string"):
        said = read(kind, number)
        assert isinstance(said, str)
        assert said.startswith("x: ")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | json_texts,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
        max_leaves=6,
    ),
    st.sampled_from(["string", "integer", "number", "boolean", "array", "object"]),
)
@settings(max_examples=100)
def test_whatever_is_given_is_read_as_the_schema_says_or_refused(value: object, kind: str) -> None:
    more = {"array": {"items": {"type": "string"}}, "object": {"additionalProperties": {"type": "string"}}}.get(
        kind, {}
    )
    found = read_arguments({"x": value}, {"properties": {"x": {"type": kind, **more}}})
    types = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "array": list, "object": dict}
    if not found.problems and "x" in found.values:
        assert isinstance(found.values["x"], types[kind])


async def test_two_items_for_one_and_broken_lists_are_refused(modern_app: Connected) -> None:
    ids = {"domain_id": domain(modern_app.sandbox, cloudflare=False)}
    for value in ("ns1.example.com", "['ns1.example.com', 'ns2.example.com']", '["ns1.example.com"', "a,b"):
        said = await modern_app.error("set_nameservers", **ids, nameservers=value)
        assert said.startswith("VALIDATION_ERROR: nameservers")
    assert (await modern_app.error("get_number", piv_num_id=["a", "b"])).startswith("VALIDATION_ERROR: piv_num_id: ")
    assert modern_app.sent == []


async def test_a_phone_number_may_come_as_a_number(modern_app: Connected) -> None:
    phone = modern_app.sandbox.state.numbers[number(modern_app.sandbox)].phone_number
    for value in (int(phone.removeprefix("+")), float(phone.removeprefix("+")), f" {phone} "):
        found = await modern_app.ok("get_number", piv_num_id=value)
        assert found["phone_number"] == phone


async def test_line_ends_of_windows_become_line_feeds(connect: Connect) -> None:
    async with connect(person=approver()) as app:
        await app.ok(
            "send_sms", piv_num_id=number(app.sandbox), to_number=" +14155551234 ", message_body="one\r\ntwo\nthree"
        )
        assert app.writes[-1].body == {"to_number": "+14155551234", "message_body": "one\ntwo\nthree"}


# names


@pytest.mark.parametrize("filler", [*sorted(FILLERS), "_meta", "_placeholder"])
async def test_what_clients_add_for_themselves_is_dropped(modern_app: Connected, filler: str) -> None:
    for value in (True, "", {"progressToken": 1}):
        await modern_app.ok("get_account", **{filler: value})
        await modern_app.ok("list_numbers", **{filler: value, "limit": 1})
        assert modern_app.sent[-1][2] == {"limit": "1"}


async def test_no_tool_has_a_parameter_that_is_dropped(modern_app: Connected) -> None:
    for tool in (await modern_app.client.list_tools()).tools:
        names = set(tool.input_schema["properties"])
        assert not names & FILLERS
        assert not [name for name in names if name.startswith("_")]


@pytest.mark.parametrize("name", ["confirm", "filler", "_limit", "__contry", "Limit", "wait"])
async def test_other_unknown_names_are_refused_by_name(modern_app: Connected, name: str) -> None:
    said = await modern_app.error("list_numbers", **{name: 1})
    assert said.startswith(f'VALIDATION_ERROR: "{name}" is not a parameter')
    assert modern_app.sent == []


async def test_unknown_names_within_an_item_are_refused_by_name(modern_app: Connected) -> None:
    item = {"type": "A", "name": "@", "content": "1.2.3.4", "tttl": 5, "proxied": None}
    call = {"domain": "free-name.com", "period": 1, "cloudflare": True, "auto_renew": False, "dns_records": [item]}
    said = await modern_app.error("register_domain", **call)
    assert said.startswith('VALIDATION_ERROR: dns_records.0."tttl" is not a parameter (did you mean ttl?)')


async def test_cloudflare_can_only_be_enabled(connect: Connect) -> None:
    async with connect(confirm_wait=0) as app:
        (tool,) = [tool for tool in (await app.client.list_tools()).tools if tool.name == "enable_cloudflare"]
        assert set(tool.input_schema["properties"]) == {"domain_id"}
        id_ = domain(app.sandbox, cloudflare=False)
        entries = {
            (await app.ok("enable_cloudflare", domain_id=id_, **given))["spending_id"]
            for given in ({}, {"enabled": True}, {"enabled": "True"}, {"enabled": None})
        }
        assert len(entries) == 1
        for wrong in (False, "false", "yes"):
            said = await app.error("enable_cloudflare", domain_id=id_, enabled=wrong)
            assert said.startswith("VALIDATION_ERROR: enabled: ")
            assert app.sent == []


# schemas


KEYWORDS = {
    *("type", "description", "default", "properties", "required", "additionalProperties", "items", "enum"),
    *("minimum", "maximum", "minItems", "maxItems"),
}
"""What every converter of schemas that clients use can turn into its model's own form."""


async def test_schemas_hold_only_what_every_client_can_convert(modern_app: Connected) -> None:
    for tool in (await modern_app.client.list_tools()).tools:
        for place, node in nodes(tool.input_schema, tool.name):
            assert set(node) <= KEYWORDS, f"{place}: {set(node) - KEYWORDS}"
            assert node["type"] in ("object", "array", "string", "integer", "number", "boolean"), place
            assert all(isinstance(choice, str) for choice in node.get("enum", [])), place
            assert "enum" not in node or node["type"] == "string", place
            assert "items" in node or node["type"] != "array", place
            assert (
                node.get("properties")
                or node.get("additionalProperties")
                or place == tool.name
                or (node["type"] != "object")
            ), f"{place}: an object without fields"


def nodes(schema: Schema, place: str) -> list[tuple[str, Schema]]:
    inner = dict(schema.get("properties", {}))
    inner.update({key: schema[key] for key in ("items", "additionalProperties") if isinstance(schema.get(key), dict)})
    return [(place, schema), *(found for name, node in inner.items() for found in nodes(node, f"{place}.{name}"))]
