"""The account tool."""

import json
from pathlib import Path

import pytest
from harness import Connected, text_of
from mcp import Client

from piv_mcp.config import load
from piv_mcp.sandbox import Failure
from piv_mcp.server.build import build_server


async def test_the_account_is_asked_for_once_and_answered_compactly(app: Connected) -> None:
    answer = await app.ok("get_account")
    assert app.sent == [("GET", "/account", {}, None)]
    assert answer == {
        "user_id": app.sandbox.state.user_id,
        "balance": "150.50",
        "email": "u***@example.com",
        "is_team_member": False,
    }


async def test_the_text_is_the_structured_answer_as_compact_json(app: Connected) -> None:
    result = await app.call("get_account")
    (block,) = result.content
    assert block.type == "text"
    assert block.text == json.dumps(result.structured_content, separators=(",", ":"))


async def test_the_key_goes_with_the_request_and_into_no_answer(app: Connected) -> None:
    app.sandbox.fail_next(Failure(kind="status", code="UNAUTHORIZED", message="no such key: sandbox-key"))
    said = await app.error("get_account")
    assert "sandbox-key" not in said
    assert said.startswith("UNAUTHORIZED: ")


@pytest.mark.parametrize(("tool", "arguments"), [("get_account", {}), ("list_sms", {"piv_num_id": "+46701740605"})])
async def test_without_a_key_a_tool_says_what_the_person_must_do(
    data_dir: Path, tool: str, arguments: dict[str, str]
) -> None:
    async with Client(build_server(load(data_dir=data_dir, webhook_port=0))) as client:
        result = await client.call_tool(tool, arguments)
    assert result.is_error
    assert text_of(result).startswith("CONFIG_ERROR: PIV_API_KEY is not set.")
    assert "PIV_SANDBOX=1" in text_of(result)
