"""Google's SDK: every tool as a declaration for Gemini, whose schemas know less than JSON Schema does."""

import asyncio
from collections.abc import Mapping
from typing import Any

from checks import SERVER, attempt, check, equal, plan, report, settings
from converted import nothing_is_lost
from google.genai import types
from google.genai._mcp_utils import mcp_to_gemini_tool
from mcp import ClientSession, StdioServerParameters, Tool
from mcp.client.stdio import stdio_client

LOST = ("minItems", "maxItems")
"""What google-genai leaves out, though Gemini knows it."""

FAULT = "'bool' object has no attribute 'items'"
"""What google-genai raises wherever a schema says `"additionalProperties": false`, as every input schema of ours does
(python-genai's issue 2393). Gemini's schemas have no such keyword, so that nothing is lost where it is left out."""


def declaration(tool: Tool) -> types.FunctionDeclaration:
    """What Gemini is told of a tool. This fails with a google-genai that has mended its fault: then drop `opened`."""
    try:
        mcp_to_gemini_tool(tool)
        check(f"the fault of google-genai with {tool.name}", False, "it is mended")
    except AttributeError as error:
        equal(f"the fault of google-genai with {tool.name}", str(error), FAULT)
    (made,) = mcp_to_gemini_tool(
        tool.model_copy(update={"inputSchema": opened(tool.inputSchema)})
    ).function_declarations
    return made


def opened(schema: Any) -> Any:
    if isinstance(schema, list):
        return [opened(item) for item in schema]
    if isinstance(schema, dict):
        return {key: opened(value) for key, value in schema.items() if (key, value) != ("additionalProperties", False)}
    return schema


def json_schema(declared: Any) -> dict[str, Any]:
    """Google's own class, which also refuses what it does not know, back in the words of JSON Schema."""

    def words(node: Mapping[str, Any]) -> dict[str, Any]:
        made = dict(node)
        made["type"] = str(made["type"]).lower()
        if "items" in made:
            made["items"] = words(made["items"])
        if "properties" in made:
            made["properties"] = {name: words(item) for name, item in made["properties"].items()}
        return made

    return words(declared.model_dump(mode="json", by_alias=True, exclude_none=True))


async def main() -> None:
    parameters = StdioServerParameters(command=SERVER, env=settings())
    async with stdio_client(parameters) as streams, ClientSession(*streams) as session:
        await session.initialize()
        tools = {tool.name: tool for tool in (await session.list_tools()).tools}
        for sent in plan()["tools"]:

            async def convert(sent: dict[str, Any] = sent) -> None:
                made = declaration(tools[sent["name"]])
                equal(f"the name of {sent['name']}", made.name, sent["name"])
                equal(f"description of {sent['name']}", made.description, sent["description"])
                nothing_is_lost(sent["name"], sent["inputSchema"], json_schema(made.parameters), but=LOST)

            await attempt(sent["name"], convert)
        answer = await session.call_tool("get_number", {"piv_num_id": plan()["number"]})
        equal("a call", (answer.structuredContent or {}).get("piv_num_id"), plan()["number"])


asyncio.run(attempt("Gemini", main))
report()
