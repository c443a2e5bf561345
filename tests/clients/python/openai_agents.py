"""The Agents SDK of OpenAI: every tool as one of its function tools, and in the strict form that OpenAI demands."""

import asyncio
import json
from typing import Any

from agents import FunctionTool, RunContextWrapper
from agents.mcp import MCPServerStdio, MCPUtil
from agents.tool_context import ToolContext
from checks import SERVER, attempt, check, equal, plan, report, settings
from converted import nothing_is_lost


async def converts(strict: bool) -> None:
    parameters = {"command": SERVER, "args": [], "env": settings()}
    async with MCPServerStdio(params=parameters, cache_tools_list=True, client_session_timeout_seconds=60) as server:
        made = {}
        for tool in await server.list_tools():
            made[tool.name] = MCPUtil.to_function_tool(tool, server, convert_schemas_to_strict=strict)
        equal(f"{strict=}: the tools", set(made), {sent["name"] for sent in plan()["tools"]})
        for sent in plan()["tools"]:
            tool = made[sent["name"]]
            equal(f"{strict=}: {tool.name} is strict", tool.strict_json_schema, strict)
            equal(f"{strict=}: description of {tool.name}", tool.description, sent["description"])
            nothing_is_lost(f"{strict=}: {tool.name}", sent["inputSchema"], tool.params_json_schema, strict=strict)
        answer = await called(made["get_number"], piv_num_id=plan()["number"])
        equal(f"{strict=}: a call", json.loads(answer["text"])["piv_num_id"], plan()["number"])
        # Where all parameters are required, an empty text leaves out one that is optional.
        limited = await called(made["list_events"], **left_out(made["list_events"]))
        check(f"{strict=}: a call that leaves out nothing", json.loads(limited["text"])["events"], limited)


def left_out(tool: FunctionTool) -> dict[str, Any]:
    """Of each parameter its default, or what a model writes for none."""
    return {
        name: node.get("default", [] if node["type"] == "array" else "")
        for name, node in tool.params_json_schema["properties"].items()
    }


async def called(tool: FunctionTool, **values: Any) -> Any:
    text = json.dumps(values)
    context = ToolContext.from_agent_context(
        RunContextWrapper(None), "1", tool_name=tool.name, tool_arguments=text, tool_call=None
    )
    return await tool.on_invoke_tool(context, text)


async def main() -> None:
    for strict in (False, True):

        async def once(strict: bool = strict) -> None:
            await converts(strict)

        await attempt(f"openai-agents, {strict=}", once)


asyncio.run(main())
report()
