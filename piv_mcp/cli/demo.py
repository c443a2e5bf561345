"""`piv-mcp demo`: starts a server process, connects as a client, and waits for a code that a webhook delivers."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any, cast

from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.types import CallToolResult, TextContent

SMS_TEXT = "Your verification code is 482913. Do not share it with anyone."
MAX_SECONDS = 20.0
"""Maximum time that the demo waits for the code."""


async def run_demo(echo: Callable[[str], object], delay: float) -> str | None:
    """Run the demo, and call `echo` with a line for each step; returns the code, or None if none arrived.

    The SMS arrives `delay` seconds after the call of wait_for_code.

    Raises:
        RuntimeError: a tool failed.
    """
    started = time.monotonic()

    def step(text: str) -> None:
        echo(f"{time.monotonic() - started:6.2f} s  {text}")

    step("starting the server: piv-mcp --sandbox")
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "piv_mcp", "--sandbox"],
        env={"PIV_LOG_LEVEL": os.environ.get("PIV_LOG_LEVEL", "ERROR")},
    )
    async with Client(stdio_client(server)) as client:
        tools = (await client.list_tools()).tools
        step(f"connected as an MCP client; the server offers {len(tools)} tools")
        account = _content(await client.call_tool("get_account", {}))
        step(f"get_account: balance {account['balance']} dollars (simulated)")
        numbers = _content(await client.call_tool("list_numbers", {"status": "active"}))["numbers"]
        number = next(row for row in numbers if row.get("can_receive_sms"))
        step(f"list_numbers: {len(numbers)} active; using {number['phone_number']}")
        step("wait_for_code: waiting")
        waiting = asyncio.create_task(
            client.call_tool("wait_for_code", {"number": number["phone_number"], "timeout_seconds": MAX_SECONDS})
        )
        await asyncio.sleep(delay)
        step(f'an SMS arrives: "{SMS_TEXT}"')
        arrived = asyncio.create_task(
            client.call_tool("simulate_incoming_sms", {"number": number["piv_num_id"], "text": SMS_TEXT})
        )
        sent = time.monotonic()
        answer = _content(await waiting)
        waited = 1000 * (time.monotonic() - sent)
        _content(await arrived)
        newest = answer.get("newest")
        if newest is None:
            step("wait_for_code: no code")
            return None
        step(f"wait_for_code answered {waited:.0f} ms later; the code came from the {newest['source']}")
    step("server stopped")
    return str(newest["code"])


def _content(result: CallToolResult) -> dict[str, Any]:
    if result.is_error:
        texts = [block.text for block in result.content if isinstance(block, TextContent)]
        raise RuntimeError(" ".join(texts))
    return cast("dict[str, Any]", result.structured_content or json.loads(cast(TextContent, result.content[0]).text))
