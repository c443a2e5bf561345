"""What a model and its client see: a rule for every tool, and the shipped definition of each."""

import asyncio
import os
import re
from base64 import b64decode
from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, cast

import jsonschema
import pytest
from examples import domain, example, number
from harness import ERAS, Connect, Connected, Era, approver, connected, content_of
from mcp import Client
from mcp.types import Tool, ToolAnnotations
from purchases import PURCHASES

from piv_mcp.config import TOOLSETS, Settings, load
from piv_mcp.sandbox import Sandbox
from piv_mcp.server import catalog, registration
from piv_mcp.server import definitions as shipped
from piv_mcp.server.build import build_server
from piv_mcp.server.offers import instructions
from piv_mcp.tools.spec import ToolSpec

UPDATE = "UPDATE_SNAPSHOTS"

FREE = """
GET /account
GET /numbers/countries
GET /numbers
GET /numbers/{piv_num_id}
PATCH /numbers/{piv_num_id}
PATCH /numbers/{piv_num_id}/auto-renewal
GET /numbers/{piv_num_id}/sms
GET /proxy/servers
GET /proxy/orders
GET /proxy/orders/{id}
GET /proxy/orders/{id}/export
GET /domains/search
GET /domains
GET /domains/queue/{id}
GET /domains/{id}
POST /domains/{id}/auto-renew
GET /domains/{id}/dns
POST /domains/{id}/dns
PUT /domains/{id}/dns/{recordId}
DELETE /domains/{id}/dns/{recordId}
POST /domains/{id}/cloudflare
POST /domains/{id}/ns-servers
GET /whites/tiers
GET /whites
GET /whites/{id}
GET /whites/{id}/download
POST /whites/{id}/config
""".strip().splitlines()
"""The endpoints of the reference that charge nothing when called, as it writes them."""

SPENDING = """
POST /numbers/purchase
POST /numbers/{piv_num_id}/renew
POST /numbers/restore
POST /numbers/{piv_num_id}/sms/send
POST /numbers/{piv_num_id}/verify
POST /proxy/purchase
POST /proxy/orders/{id}/renew
POST /proxy/orders/{id}/restore
POST /domains
POST /domains/{id}/renew
POST /whites
""".strip().splitlines()
"""And those that do."""

EVERY_TOOL: tuple[ToolSpec, ...] = (
    *(spec for tools in catalog.AREAS.values() for spec in tools),
    *catalog.SANDBOX,
)
NAMES = [spec.name for spec in EVERY_TOOL]

CHANGES = [spec for spec in EVERY_TOOL if spec.effect != "read"]
BOUGHT = {purchase.tool: purchase for purchase in PURCHASES}

every_tool = pytest.mark.parametrize("spec", EVERY_TOOL, ids=NAMES)


async def listed(settings: Settings, era: Era = "auto") -> list[Tool]:
    """The tools that a client sees, without starting anything behind them."""
    async with Client(build_server(settings), mode=era) as client:
        return (await client.list_tools()).tools


@cache
def definitions() -> Mapping[str, Tool]:
    return {tool.name: tool for tool in asyncio.run(listed(load(sandbox=True)))}


def definition(spec: ToolSpec) -> Tool:
    return definitions()[spec.name]


def dumped(tool: Tool) -> dict[str, Any]:
    return tool.model_dump(mode="json", by_alias=True, exclude_none=True)


def nodes(schema: Any) -> list[dict[str, Any]]:
    """Every schema inside a schema, itself included; the names under `properties` are no keywords."""
    if isinstance(schema, list):
        return [node for item in cast("list[Any]", schema) for node in nodes(item)]
    if not isinstance(schema, dict):
        return []
    own = cast("dict[str, Any]", schema)
    inner = [
        node
        for key, value in own.items()
        for node in (nodes(list(cast("dict[str, Any]", value).values())) if key == "properties" else nodes(value))
    ]
    return [own, *inner]


# one tool


def test_the_shipped_definitions_are_what_the_code_says() -> None:
    """They are the snapshots, too: a change of any tool shows as a change of its file."""
    generated = dict(registration.generate())
    if os.environ.get(UPDATE):
        for path in shipped.FOLDER.glob("*.json"):
            path.unlink()
        for name, text in generated.items():
            (shipped.FOLDER / name).write_text(text, encoding="utf-8")
    actual = {path.name: path.read_text("utf-8") for path in shipped.FOLDER.glob("*.json")}
    assert sorted(actual) == sorted(generated), f"if this is meant, run the tests with {UPDATE}=1"
    stale = [name for name, text in generated.items() if actual[name] != text]
    assert stale == [], f"look at the changes; if they are meant, run the tests with {UPDATE}=1"


@every_tool
def test_all_four_hints_are_decided_and_agree(spec: ToolSpec) -> None:
    hints = definition(spec).annotations or ToolAnnotations()
    decided = (hints.read_only_hint, hints.destructive_hint, hints.idempotent_hint, hints.open_world_hint)
    assert None not in decided
    assert not (hints.read_only_hint and hints.destructive_hint)
    assert not hints.read_only_hint or hints.idempotent_hint
    if spec.endpoint is not None:
        assert hints.open_world_hint
        assert hints.read_only_hint == spec.endpoint.startswith("GET ")
    if spec.effect == "spend":
        assert hints.destructive_hint
        assert not hints.idempotent_hint


@every_tool
def test_the_input_schema_is_small_and_closed(spec: ToolSpec) -> None:
    schema = definition(spec).input_schema
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["type"] == "object"
    assert schema["additionalProperties"] is False
    for node in nodes(schema):
        assert not {"anyOf", "oneOf", "allOf", "$ref", "$defs", "title"} & set(node), node
        assert "default" not in node or node["default"] is not None


@every_tool
def test_the_output_schema_is_that_of_an_object_and_has_no_titles(spec: ToolSpec) -> None:
    schema = definition(spec).output_schema
    assert schema is not None
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["type"] == "object"
    assert not [node for node in nodes(schema) if {"title", "$ref", "$defs"} & set(node)]


@every_tool
def test_the_description_is_one_or_two_sentences_that_begin_with_a_verb(spec: ToolSpec) -> None:
    tool = definition(spec)
    text = tool.description or ""
    assert 20 <= len(text) <= 200
    assert "\n" not in text
    assert "  " not in text
    assert text.endswith(".")
    assert len(re.findall(r"[.!?](?:\s|$)", re.sub(r"\be\.g\. ", "", text))) <= 2
    verb = text.removeprefix("Sandbox only: ").split()[0]
    assert verb.lower() in VERBS
    assert 3 <= len(tool.title or "") <= 40


VERBS = (
    *("add", "bring", "buy", "change", "check", "configure", "delete", "export", "extend", "find", "generate"),
    *(
        "get",
        "lease",
        "list",
        "make",
        "put",
        "register",
        "release",
        "rename",
        "renew",
        "rent",
        "replace",
        "restore",
        "send",
        "set",
    ),
    *("start", "turn", "wait"),
)
"""With which descriptions begin. A new one is welcome; "This tool" is not."""


@every_tool
def test_ids_say_where_they_come_from_and_no_parameter_says_much(spec: ToolSpec) -> None:
    properties = definition(spec).input_schema["properties"]
    for name, schema in properties.items():
        said = schema.get("description", "")
        assert len(said) <= 120 or said.startswith("One of "), name
        if name.endswith("_id"):
            assert "list_" in schema["description"] or "register_" in schema["description"], name


# all of them


def test_names_are_unique_and_in_snake_case() -> None:
    assert not [name for name, count in Counter(NAMES).items() if count > 1]
    assert not [name for name in NAMES if not re.fullmatch(r"[a-z]+(_[a-z]+){1,4}", name)]


def test_every_endpoint_is_exactly_one_tool() -> None:
    endpoints = [spec.endpoint for spec in EVERY_TOOL if spec.endpoint is not None]
    assert sorted(endpoints) == sorted([*FREE, *SPENDING])


def test_what_the_api_charges_for_is_marked_as_spending() -> None:
    assert sorted(spec.endpoint or "" for spec in EVERY_TOOL if spec.effect == "spend") == sorted(SPENDING)


@pytest.mark.parametrize("mode", ["ask", "budget", "deny"])
async def test_the_metadata_hold_the_endpoint_and_hints_for_clients(mode: str) -> None:
    metas = {tool.name: tool.meta or {} for tool in await listed(load(sandbox=True, spend_mode=mode))}
    assert {name: meta.pop("piv.day/endpoint", None) for name, meta in metas.items()} == {
        spec.name: spec.endpoint for spec in EVERY_TOOL if spec.name in metas
    }
    asked = {name for name, meta in metas.items() if meta.pop("anthropic/requiresUserInteraction", False)}
    assert asked == ({spec.name for spec in EVERY_TOOL if spec.effect == "spend"} if mode == "ask" else set())
    always = {name for name, meta in metas.items() if meta.pop("anthropic/alwaysLoad", False)}
    assert always == {"get_latest_code", "wait_for_code"}
    assert not any(metas.values())


@pytest.mark.parametrize("era", ERAS)
async def test_the_server_and_its_tools_have_icons_that_need_no_other_host(era: Era) -> None:
    async with Client(build_server(load(sandbox=True)), mode=era) as client:
        tools = (await client.list_tools()).tools
        assert client.server_info is not None
        everything = [client.server_info.icons or [], *(tool.icons or [] for tool in tools)]
    pictures: list[str] = []
    for icons in everything:
        (icon,) = icons
        head, _, data = icon.src.partition(",")
        assert head == "data:image/svg+xml;base64"
        picture = b64decode(data, validate=True).decode()
        assert picture.startswith("<svg ")
        assert picture.endswith("</svg>\n")
        assert not re.search(r"script|href|url\(", picture)
        pictures.append(picture)
    assert len(set(pictures)) == 2 + len(TOOLSETS), "the server's, the sandbox's, and each area's"


@pytest.mark.parametrize("era", ERAS)
async def test_tools_come_in_the_catalog_s_order_every_time(era: Era) -> None:
    first = await listed(load(sandbox=True), era)
    second = await listed(load(sandbox=True), era)
    assert [tool.name for tool in first] == NAMES
    assert [dumped(tool) for tool in first] == [dumped(tool) for tool in second]


async def test_both_eras_see_the_same_definitions() -> None:
    today, before = [await listed(load(sandbox=True), era) for era in ERAS]
    assert [dumped(tool) for tool in today] == [dumped(tool) for tool in before]


async def test_the_list_needs_no_key_and_no_sandbox(tmp_path: Path) -> None:
    tools = await listed(load(data_dir=tmp_path / "never-made"))
    assert [tool.name for tool in tools] == [spec.name for spec in EVERY_TOOL if spec not in catalog.SANDBOX]
    assert not (tmp_path / "never-made").exists()


@pytest.mark.parametrize("areas", ["all", *TOOLSETS])
async def test_the_instructions_are_a_few_lines_and_speak_of_what_is_offered(areas: str) -> None:
    settings = load(sandbox=True, toolsets=areas)
    text = instructions(settings.toolsets)
    assert len(text) <= 900
    offered = {tool.name for tool in await listed(settings)}
    for word in re.findall(r"[a-z]+(?:_[a-z]+)+", text):
        assert word in {*offered, "piv_num_id"}, f"the instructions speak of {word}, which is not offered"


@pytest.mark.parametrize("era", ERAS)
async def test_the_instructions_reach_the_client(era: Era) -> None:
    settings = load(sandbox=True)
    async with Client(build_server(settings), mode=era) as client:
        assert client.instructions == instructions(settings.toolsets)


def test_descriptions_speak_only_of_tools_that_there_are() -> None:
    parameters = {"to_file", "show_passwords", "piv_num_id", "max_age_seconds"}
    for spec in EVERY_TOOL:
        for word in re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", spec.handler.__doc__ or ""):
            assert word in NAMES or word in parameters, f"{spec.name} speaks of {word}"


# filters


async def test_read_only_leaves_out_every_tool_that_changes_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIV_READ_ONLY", "1")
    monkeypatch.setenv("PIV_API_KEY", "k")
    tools = await listed(load())
    assert tools
    assert all(tool.annotations and tool.annotations.read_only_hint for tool in tools)
    in_a_sandbox = {tool.name for tool in await listed(load(sandbox=True))}
    assert in_a_sandbox == {tool.name for tool in tools}
    reads = [spec.name for tools in catalog.AREAS.values() for spec in tools if spec.effect == "read"]
    assert [tool.name for tool in tools] == reads


@pytest.mark.parametrize("area", TOOLSETS)
async def test_a_toolset_offers_its_area_alone(area: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIV_TOOLSETS", area)
    names = [tool.name for tool in await listed(load())]
    assert names == [spec.name for spec in catalog.AREAS.get(area, ())]


async def test_toolsets_keep_the_catalog_s_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIV_TOOLSETS", " whites , Account,inbox ")
    names = [tool.name for tool in await listed(load())]
    chosen = [
        spec.name for area, tools in catalog.AREAS.items() if area in ("whites", "account", "inbox") for spec in tools
    ]
    assert names == chosen


async def test_denied_spending_is_not_even_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIV_SPEND_MODE", "deny")
    offered = {(tool.meta or {}).get("piv.day/endpoint") for tool in await listed(load())}
    assert not offered & set(SPENDING)
    assert offered >= set(FREE)


async def test_a_tool_that_was_left_out_cannot_be_called(connect: Connect) -> None:
    async with connect(read_only=True) as app:
        said = await app.error("rename_number", piv_num_id="abc", custom_name="x")
    assert said.startswith('UNKNOWN_TOOL: there is no tool "rename_number"')
    assert "Nothing was done" in said
    assert app.sent == []


# answers


async def test_the_answer_of_every_read_fits_its_own_schema(app: Connected) -> None:
    await app.sandbox.receive_sms(number(app.sandbox), "Code 778899")
    reads = [
        tool for tool in (await app.client.list_tools()).tools if tool.annotations and tool.annotations.read_only_hint
    ]
    for tool in reads:
        fits(tool, await app.ok(tool.name, **example(tool, app.sandbox)))


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("spec", CHANGES, ids=[spec.name for spec in CHANGES])
async def test_the_answer_of_every_change_fits_its_own_schema(
    spec: ToolSpec, era: Era, sandbox: Sandbox, data_dir: Path
) -> None:
    async with connected(sandbox, data_dir, approver(), era) as shop:
        (tool,) = [tool for tool in (await shop.client.list_tools()).tools if tool.name == spec.name]
        fits(tool, content_of(await shop.call(tool.name, **arguments(tool, sandbox))))
        assert shop.writes or spec.endpoint is None, "it was done"
        assert bool(sandbox.charges) == (spec.effect == "spend")


def arguments(tool: Tool, sandbox: Sandbox) -> dict[str, Any]:
    """Of a call that changes what it is to change."""
    if tool.name in BOUGHT:
        return BOUGHT[tool.name].arguments(sandbox)
    given = example(tool, sandbox)
    return {**given, "domain_id": domain(sandbox, cloudflare=False)} if tool.name == "set_nameservers" else given


def fits(tool: Tool, answer: dict[str, Any]) -> None:
    jsonschema.validate(answer, tool.output_schema or {})
    assert None not in leaves(answer), f"{tool.name} answers with nulls"
    undocumented = set(answer) - set((tool.output_schema or {})["properties"])
    assert not undocumented, f"{tool.name} answers {undocumented}, which its schema does not have"


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for item in cast("dict[str, Any]", value).values() for leaf in leaves(item)]
    if isinstance(value, list):
        return [leaf for item in cast("list[Any]", value) for leaf in leaves(item)]
    return [value]
