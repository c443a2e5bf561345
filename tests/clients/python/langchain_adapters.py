"""LangChain's adapters: every tool as a tool of LangChain, and as LangChain gives it to OpenAI, strictly too."""

import asyncio
import json
from typing import Any

from checks import SERVER, attempt, check, equal, plan, report, settings
from converted import nothing_is_lost
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_mcp_adapters.tools import load_mcp_tools


def converts(tool: BaseTool, sent: dict[str, Any]) -> None:
    schema = tool.tool_call_schema
    assert isinstance(schema, dict)
    nothing_is_lost(f"LangChain: {tool.name}", sent["inputSchema"], schema)
    equal(f"LangChain: description of {tool.name}", tool.description, sent["description"])
    for strict in (False, True):
        function = convert_to_openai_tool(tool, strict=strict)["function"]
        equal(f"OpenAI: the name of {tool.name}", function["name"], tool.name)
        equal(f"OpenAI: description of {tool.name}", function["description"], sent["description"])
        nothing_is_lost(f"OpenAI, {strict=}: {tool.name}", sent["inputSchema"], function["parameters"], strict=strict)


async def main() -> None:
    connection = {"transport": "stdio", "command": SERVER, "args": [], "env": settings()}
    client = MultiServerMCPClient({"piv": connection})
    async with client.session("piv") as session:
        tools = {tool.name: tool for tool in await load_mcp_tools(session)}
        equal("the tools", set(tools), {sent["name"] for sent in plan()["tools"]})
        for sent in plan()["tools"]:

            async def convert(sent: dict[str, Any] = sent) -> None:
                converts(tools[sent["name"]], sent)

            await attempt(sent["name"], convert)
        message = await tools["get_number"].ainvoke(
            {"type": "tool_call", "id": "1", "name": "get_number", "args": {"piv_num_id": plan()["number"]}}
        )
        equal("a call", json.loads(message.content[0]["text"])["piv_num_id"], plan()["number"])
        equal("its structured answer", message.artifact["structured_content"]["piv_num_id"], plan()["number"])
        refused = await tools["get_number"].ainvoke(
            {"type": "tool_call", "id": "2", "name": "get_number", "args": {"piv_num_id": "none"}}
        )
        equal("a call that fails", refused.status, "error")
        check("what it says", "no money moved" in str(refused.content), refused)


asyncio.run(attempt("LangChain", main))
report()
