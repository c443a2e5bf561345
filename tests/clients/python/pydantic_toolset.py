"""Pydantic AI: every tool in its toolset, and as its profiles give it to OpenAI and Google; an agent's calls."""

import asyncio
from typing import Any

from checks import SERVER, attempt, check, equal, plan, report, settings
from converted import nothing_is_lost
from fastmcp.client.transports import StdioTransport
from pydantic_ai import Agent, ModelRetry, RunContext
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.messages import ToolReturnPart
from pydantic_ai.models.test import TestModel
from pydantic_ai.profiles.google import GoogleJsonSchemaTransformer
from pydantic_ai.profiles.openai import OpenAIJsonSchemaTransformer
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.usage import RunUsage


async def main() -> None:
    toolset = MCPToolset(StdioTransport(command=SERVER, args=[], env=settings()))
    context = RunContext(deps=None, model=TestModel(), usage=RunUsage())
    async with toolset:
        tools = await toolset.get_tools(context)
        equal("the tools", set(tools), {sent["name"] for sent in plan()["tools"]})
        for sent in plan()["tools"]:
            definition = tools[sent["name"]].tool_def
            equal(f"description of {sent['name']}", definition.description, sent["description"])
            nothing_is_lost(sent["name"], sent["inputSchema"], definition.parameters_json_schema)
            for profile in (OpenAIJsonSchemaTransformer, GoogleJsonSchemaTransformer):
                made = profile(definition.parameters_json_schema).walk()
                nothing_is_lost(f"{profile.__name__}: {sent['name']}", sent["inputSchema"], made)
            made = OpenAIJsonSchemaTransformer(definition.parameters_json_schema, strict=True).walk()
            nothing_is_lost(f"strictly: {sent['name']}", sent["inputSchema"], made, but=("default",), strict=True)
        number = tools["get_number"]
        answer: Any = await toolset.call_tool("get_number", {"piv_num_id": plan()["number"]}, context, number)
        equal("a call", answer["piv_num_id"], plan()["number"])
        try:
            await toolset.call_tool("get_number", {"piv_num_id": "none"}, context, number)
            check("a call that fails", False, "it succeeded")
        except ModelRetry as error:
            check("what a call that fails says", "no money moved" in error.message, error.message)
        check("instructions", "piv.day" in (toolset.instructions or ""), toolset.instructions)
    read = [name for name, tool in tools.items() if is_quick(tool.tool_def)]
    run = await Agent(TestModel(call_tools=read), toolsets=[toolset]).run("What is there?")
    returned = {part.tool_name for message in run.all_messages() for part in message.parts if is_return(part)}
    equal("an agent's calls", returned, set(read))


def is_quick(tool: ToolDefinition) -> bool:
    """Whether it only reads, needs no id, and does not wait."""
    annotations = (tool.metadata or {}).get("annotations") or {}
    needs_nothing = not tool.parameters_json_schema.get("required")
    return bool(annotations.get("readOnlyHint")) and needs_nothing and not tool.name.startswith("wait_")


def is_return(part: object) -> bool:
    return isinstance(part, ToolReturnPart) and part.outcome == "success"


asyncio.run(attempt("Pydantic AI", main))
report()
