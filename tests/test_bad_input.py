"""Bad input of every kind, to every tool: each ends in a clear error, and nothing is sent that should not be."""

import asyncio
import re
from pathlib import Path

import pytest
from argument_forms import refused
from examples import domain, example
from harness import ERAS, Connect, Connected, Era, text_of, until
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp.types import INVALID_PARAMS, Tool
from moving_clock import MovingClock
from pydantic import SecretStr

from piv_mcp.config import load
from piv_mcp.sandbox import Failure
from piv_mcp.server.build import build_server
from piv_mcp.server.catalog import AREAS
from piv_mcp.tools.spec import ToolSpec

TOOLS: tuple[ToolSpec, ...] = tuple(spec for tools in AREAS.values() for spec in tools)

REFUSED = "VALIDATION_ERROR: "
NOTHING = "Nothing was sent and no money moved."
FREE = "No money moved"

EXPRESSION = re.compile(r"\[A-Za-z0-9]|\\[a-z]|[])][+*{]|\(\?")
"""Parts of regular expressions."""

PYDANTIC = re.compile(r"Input should|should be a|should have|should match|valid (string|integer|boolean|number|list)")
"""Words of pydantic's own messages."""


async def offered(app: Connected) -> list[Tool]:
    return (await app.client.list_tools()).tools


def says_what(said: str) -> bool:
    """Whether an error begins with a code and goes on in words."""
    code, _, words = said.partition(": ")
    return code.replace("_", "").isupper() and len(words) > 10 and len(said) < 1_000


# arguments


@pytest.mark.parametrize("spec", TOOLS, ids=lambda spec: spec.name)
async def test_bad_values_are_refused_by_name_before_anything_is_sent(spec: ToolSpec, connect: Connect) -> None:
    async with connect() as app:
        (tool,) = [tool for tool in await offered(app) if tool.name == spec.name]
        good = example(tool, app.sandbox)
        for name, schema in tool.input_schema["properties"].items():
            required = name in tool.input_schema.get("required", [])
            for value in refused(name, schema, required=required):
                case = f"{name}={str(value)[:60]!r}"
                said = await app.error(tool.name, **{**good, name: value})
                assert app.sent == [], case
                assert said.startswith(f"{REFUSED}{name}"), f"{case}: {said}"
                assert NOTHING in said, f"{case}: {said}"
                assert len(said) < 600, f"{case}: the value is repeated"
                assert "pydantic" not in said, case
                assert not EXPRESSION.search(said), f"{case}: {said}"
                assert not PYDANTIC.search(said), f"{case}: {said}"
        assert (await app.ok("get_account"))["balance"] == "150.50"


async def test_our_own_limits_hold_although_no_schema_shows_them(modern_app: Connected) -> None:
    ids = {"domain_id": domain(modern_app.sandbox)}
    names = [f"ns{index}.example.com" for index in range(14)]
    made = {**ids, "type": "A", "name": "www", "content": "1.2.3.4"}
    calls: list[tuple[str, dict[str, object], str]] = [
        ("list_domains", {"offset": 10**7 + 1}, "offset: must be at most 10000000"),
        ("create_dns_record", {**made, "ttl": 2**31}, "ttl: must be at most 2147483647"),
        ("create_dns_record", {**made, "content": "x" * 4097}, "content: must have 1 to 4096 characters"),
        ("set_nameservers", {**ids, "nameservers": names}, "nameservers: must have at most 13 items"),
    ]
    for tool, arguments, problem in calls:
        said = await modern_app.error(tool, **arguments)
        assert said == f"{REFUSED}{problem}. {NOTHING}"
        assert modern_app.sent == []


@pytest.mark.parametrize("era", ERAS)
async def test_missing_and_unknown_arguments_are_refused_by_name(connect: Connect, era: Era) -> None:
    async with connect(era=era) as app:
        for tool in await offered(app):
            good = example(tool, app.sandbox)
            for name in tool.input_schema.get("required", []):
                said = await app.error(tool.name, **{key: value for key, value in good.items() if key != name})
                assert said.startswith(f"{REFUSED}{name}: is required."), said
                said = await app.error(tool.name, **{**good, name: None})
                assert said.startswith(f"{REFUSED}{name}: "), said
                assert app.sent == []
            for unknown in ("durration_months", "ctx", "request", "confirm", "piv num", "x" * 10_000, "\x00"):
                said = await app.error(tool.name, **{**good, unknown: 1})
                assert "is not a parameter" in said
                assert NOTHING in said
                assert len(said) < 600
                assert app.sent == []


async def test_a_misspelt_argument_is_told_what_was_meant(modern_app: Connected) -> None:
    said = await modern_app.error("list_numbers", contry="SE")
    assert '"contry" is not a parameter (did you mean country?)' in said
    assert "Parameters: country, status, search, limit, offset." in said


async def test_a_misspelt_tool_is_told_what_was_meant(modern_app: Connected) -> None:
    said = await modern_app.error("get_acount")
    assert said == 'UNKNOWN_TOOL: there is no tool "get_acount" (did you mean get_account?). Nothing was done.'


@pytest.mark.parametrize("name", ["", "x" * 10_000, "../get_account", "get_account\x00", "GET /account"])
async def test_an_unknown_tool_is_an_error_that_names_it_safely(modern_app: Connected, name: str) -> None:
    said = await modern_app.error(name)
    assert said.startswith("UNKNOWN_TOOL: there is no tool ")
    assert "Nothing was done." in said
    assert said.isprintable()
    assert len(said) < 300
    assert modern_app.sent == []


async def test_an_argument_that_is_no_unicode_is_refused(modern_app: Connected) -> None:
    """Half a surrogate pair reaches the server as a character that no encoding has."""
    try:
        result = await modern_app.call("list_numbers", search="a\ud800b")
    except UnicodeEncodeError:  # the client could not send it
        result = None
    assert result is None or (result.is_error and modern_app.sent == [])
    await modern_app.ok("get_account")


# ids

UNKNOWN_IDS = {"spending_id": "sp_0123456789"}
"""Where not every word has the form of an id."""


@pytest.mark.parametrize("spec", [spec for spec in TOOLS if not spec.local], ids=lambda spec: spec.name)
async def test_an_unknown_id_is_not_found_and_nothing_is_changed(
    spec: ToolSpec, connect: Connect, instant_retries: None
) -> None:
    async with connect(confirm_destructive=False) as app:
        (tool,) = [tool for tool in await offered(app) if tool.name == spec.name]
        parameters = tool.input_schema["properties"]
        before = app.sandbox.summary()
        for name in parameters:
            if not name.endswith("_id") and name != "number":
                continue
            unknown = {name: UNKNOWN_IDS.get(name, "no-such-thing")}
            waiting = {"timeout_seconds": 5} if "timeout_seconds" in parameters else {}
            said = await app.error(tool.name, **{**example(tool, app.sandbox), **waiting, **unknown})
            assert "NOT_FOUND: " in said, said
            assert "no money moved" in said
            assert says_what(said)
            assert len(app.sent) <= 3
        for key in ("balance", "counts", "charges"):
            assert app.sandbox.summary()[key] == before[key]


# servers that fail

FAILURES: dict[str, tuple[Failure, str]] = {
    "401": (Failure(kind="status", status=401, code="UNAUTHORIZED", times=None), "UNAUTHORIZED"),
    "403": (Failure(kind="status", status=403, code="PERMISSION_DENIED", times=None), "PERMISSION_DENIED"),
    "404": (Failure(kind="status", status=404, code="NOT_FOUND", times=None), "NOT_FOUND"),
    "409": (Failure(kind="status", status=409, code="NOT_READY", times=None), "NOT_READY"),
    "429": (Failure(kind="rate_limited", retry_after=0, times=None), "RATE_LIMITED"),
    "500": (Failure(kind="status", status=500, code="INTERNAL_ERROR", times=None), "INTERNAL_ERROR"),
    "502 with HTML": (Failure(kind="html", times=None), "HTTP_502"),
    "200 with HTML": (Failure(kind="html", status=200, times=None), "HTTP_200"),
    "truncated JSON": (Failure(kind="garbage", times=None), "HTTP_200"),
    "no body": (Failure(kind="empty", times=None), "HTTP_200"),
    "an unknown code": (Failure(kind="status", status=418, code="TEAPOT", times=None), "TEAPOT"),
    "no connection": (Failure(kind="connect_error", times=None), "NO_ANSWER"),
    "a dropped connection": (Failure(kind="drop_before", times=None), "NO_ANSWER"),
    "a lost answer": (Failure(kind="drop_after", times=None), "NO_ANSWER"),
}
CERTAIN = frozenset({"401", "403", "404", "409", "429", "an unknown code", "no connection"})
"""After these a write certainly did nothing."""
REFUSALS = frozenset({"401", "403", "404", "409", "an unknown code"})
"""These will be the same the next time."""

ENDPOINT_TOOLS = [spec for spec in TOOLS if spec.endpoint is not None and spec.effect != "spend"]


@pytest.mark.parametrize("spec", ENDPOINT_TOOLS, ids=lambda spec: spec.name)
async def test_a_failing_server_is_said_clearly_and_no_write_is_repeated(
    spec: ToolSpec, connect: Connect, instant_retries: None
) -> None:
    async with connect(confirm_destructive=False) as app:
        (tool,) = [tool for tool in await offered(app) if tool.name == spec.name]
        for failing, (failure, code) in FAILURES.items():
            arguments = example(tool, app.sandbox)
            app.sandbox.fail_next(failure)
            said = await app.error(tool.name, **arguments)
            app.sandbox.clear_failures()
            case = f"{failing}: {said}"
            writes = [request for request in app.sent if request[0] != "GET"]
            assert says_what(said), case
            assert app.sent, case
            if failing in REFUSALS:
                assert len(app.sent) == 1, case
            if writes and failing not in CERTAIN:
                assert len(writes) == 1, case
                assert said.startswith("OUTCOME_UNKNOWN: "), case
                assert FREE in said, case
                assert "Do not repeat it" in said, case
            else:
                assert said.startswith(f"{code}: "), case
                assert "no money moved" in said, case
        assert (await app.ok("get_account"))["email"]


async def test_a_server_that_never_answers_is_given_up(connect: Connect, instant_retries: None) -> None:
    clock = MovingClock(speed=0)
    async with connect(confirm_destructive=False, clock=clock) as app:
        tools = {tool.name: tool for tool in await offered(app)}
        for spec in ENDPOINT_TOOLS:
            app.sandbox.fail_next(Failure(kind="hang", after=False, times=None))
            asking = asyncio.create_task(app.error(spec.name, **example(tools[spec.name], app.sandbox)))

            def given_up(asking: "asyncio.Task[str]" = asking) -> bool:
                if app.sent:
                    clock.advance(10)
                return asking.done()

            await until(given_up, seconds=30, what="an answer")
            said = await asking
            app.sandbox.clear_failures()
            writes = [request for request in app.sent if request[0] != "GET"]
            assert len(writes) <= 1
            assert said.startswith("OUTCOME_UNKNOWN: " if writes else "NO_ANSWER: "), f"{spec.name}: {said}"
            assert "no answer within the deadline" in said
            assert FREE.lower() in said.lower()
        assert (await app.ok("get_account"))["email"]


async def test_a_busy_minute_is_waited_for_or_said(modern_app: Connected) -> None:
    modern_app.sandbox.fail_next(Failure(kind="rate_limited", retry_after=600, times=1))
    said = await modern_app.error("get_account")
    assert said.startswith("RATE_LIMITED: ")
    assert "(piv.day asked for a pause of 10 minutes)" in said
    assert "Wait 65 s, then repeat." in said
    assert len(modern_app.sent) == 1
    said = await modern_app.error("list_domains")
    assert said.startswith("RATE_LIMITED: piv.day asked for a pause of 10 minutes; the next slot is in 6")
    assert modern_app.sent == [], "the pause holds for every call"


async def test_a_crash_of_ours_is_told_without_its_details(
    modern_app: Connected, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def crash(*_: object) -> None:
        raise RuntimeError("at /home/someone/secret.py")

    monkeypatch.setattr(modern_app.services.client.account, "get", crash)
    said = await modern_app.error("get_account")
    assert said.startswith("INTERNAL_ERROR: get_account failed inside piv-mcp (reference ")
    assert "No money moved." in said
    assert "secret.py" not in said
    assert "secret.py" in capsys.readouterr().out
    await modern_app.ok("list_domains")


async def test_a_data_directory_that_cannot_be_used_is_said_by_every_call(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings = load(api_key=SecretStr("key"), data_dir=tmp_path / "file" / "data")
    async with Client(build_server(settings)) as client:
        for tool in ("get_account", "list_events"):
            words = text_of(await client.call_tool(tool, {}))
            assert words.startswith("CONFIG_ERROR: the data directory cannot be used (")
            assert "Nothing was done and no money moved. Set PIV_DATA_DIR" in words


# requests


@pytest.mark.parametrize("cursor", ["2", "piv://inbox"])
async def test_a_cursor_that_nobody_gave_is_refused_by_every_list(app: Connected, cursor: str) -> None:
    client = app.client
    for ask in (client.list_tools, client.list_prompts, client.list_resources, client.list_resource_templates):
        with pytest.raises(MCPError, match="/list has one page, so call it without a cursor") as caught:
            await ask(cursor=cursor)
        assert caught.value.code == INVALID_PARAMS
        assert await ask() == await ask(cursor=""), "clients send it for one that is not given"
