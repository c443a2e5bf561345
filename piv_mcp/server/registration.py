"""Registers our tools and resources with the SDK, at the first use of one or shortly after the start."""

import inspect
import json
import typing
from collections.abc import Iterator
from functools import cache, wraps
from typing import Any

from mcp.server.mcpserver.resources import FunctionResource, Resource
from mcp.server.mcpserver.tools import Tool
from mcp.server.mcpserver.utilities.func_metadata import FuncMetadata
from mcp.types import CallToolResult, InputRequiredResult, ToolAnnotations
from mcp.types import Tool as Definition
from pydantic import BaseModel

from piv_mcp.config import Settings
from piv_mcp.errors import NotFoundError, PivError
from piv_mcp.server import catalog
from piv_mcp.server.definitions import INDEX
from piv_mcp.server.resources import RESOURCES, ResourceSpec
from piv_mcp.server.results import answer, compact, resource_error
from piv_mcp.server.rights import Rights
from piv_mcp.server.schemas import input_schema, output_schema
from piv_mcp.server.server import PivServer
from piv_mcp.services import Lifespan
from piv_mcp.spending.approval.channels import AskFirst
from piv_mcp.tools.person import question
from piv_mcp.tools.spec import ToolSpec

JSON = "application/json"
ENDPOINT_META = "piv.day/endpoint"
ALWAYS_LOAD_META = "anthropic/alwaysLoad"
"""For clients that load tools on demand: this one is always there."""


class _AsGiven(FuncMetadata):
    """Validates the arguments as `server.arguments` read them. The SDK would decode texts that are JSON."""

    def pre_parse_json(self, data: dict[str, Any]) -> dict[str, Any]:
        return data


@cache
def sdk_tool(spec: ToolSpec) -> Tool:
    """The tool as an object of the SDK. It has no state, so that all servers of a process share it."""
    tool = Tool.from_function(
        _sdk_handler(spec),
        name=spec.name,
        title=spec.title,
        description=" ".join((spec.handler.__doc__ or "").split()),
        annotations=ToolAnnotations(
            read_only_hint=spec.read_only,
            destructive_hint=spec.destructive,
            idempotent_hint=spec.idempotent,
            open_world_hint=not spec.local,
        ),
        meta=_meta(spec) or None,
        structured_output=False,
    )
    tool.parameters = input_schema(tool.parameters)
    tool.fn_metadata = _AsGiven(arg_model=tool.fn_metadata.arg_model)
    # The answer always fits this schema, being a dump of the model. If the SDK derived the schema, it would also build
    # a validator for each tool at start.
    tool.fn_metadata.output_schema = output_schema(_return_type(spec))
    return tool


def _meta(spec: ToolSpec) -> dict[str, Any]:
    endpoint = {ENDPOINT_META: spec.endpoint} if spec.endpoint else {}
    return endpoint | ({ALWAYS_LOAD_META: True} if spec.always_load else {})


def wire_definition(spec: ToolSpec) -> dict[str, Any]:
    """The definition of a tool in the result of `tools/list`."""
    tool = sdk_tool(spec)
    definition = Definition(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=tool.parameters,
        output_schema=tool.output_schema,
        annotations=tool.annotations,
        _meta=tool.meta,
    )
    return definition.model_dump(mode="json", by_alias=True, exclude_none=True)


def generate() -> Iterator[tuple[str, str]]:
    """(file name, content) of every file in `definitions/`, generated from the code."""
    index: list[str] = []
    for area, spec in catalog.everything():
        index.append(json.dumps({"name": spec.name, "area": area, "effect": spec.effect}))
        yield f"{spec.name}.json", json.dumps(wire_definition(spec), ensure_ascii=False, indent=1) + "\n"
    yield INDEX, "[\n " + ",\n ".join(index) + "\n]\n"


def register(server: PivServer, settings: Settings, lifespan: Lifespan) -> None:
    """Register all tools that these settings offer, and all resources."""
    for spec in catalog.select(Rights.of(settings)):
        server.register(sdk_tool(spec), spends=spec.effect == "spend", extra=spec.extra)
    for spec in RESOURCES.values():
        server.register_area(spec.uri, spec.area)
        if spec.parameter is None:
            server.add_resource(sdk_resource(spec, lifespan))
        else:
            register_template(server, spec, lifespan)


def sdk_resource(spec: ResourceSpec, lifespan: Lifespan) -> Resource:
    """A resource with a fixed URI as an object of the SDK."""

    async def read() -> str:
        return await _read(spec, lifespan, spec.uri)

    return FunctionResource(
        uri=spec.uri, name=spec.name, title=spec.title, description=spec.description, mime_type=JSON, fn=read
    )


def register_template(server: PivServer, spec: ResourceSpec, lifespan: Lifespan) -> None:
    """Register a resource whose URI contains an id."""
    parameter = spec.parameter or ""

    async def read(**ids: str) -> str:
        return await _read(spec, lifespan, spec.uri.replace(f"{{{parameter}}}", ids[parameter]), **ids)

    # The SDK reads a template's parameters from the handler's signature.
    read.__signature__ = inspect.Signature(  # pyright: ignore[reportFunctionMemberAccess]
        [inspect.Parameter(parameter, inspect.Parameter.KEYWORD_ONLY, annotation=str)], return_annotation=str
    )
    read.__annotations__ = {parameter: str, "return": str}
    server.resource(spec.uri, name=spec.name, title=spec.title, description=spec.description, mime_type=JSON)(read)


async def _read(spec: ResourceSpec, lifespan: Lifespan, uri: str, **ids: str) -> str:
    try:
        app = await lifespan.services()
        if not app.has(spec.area):
            raise NotFoundError("this agent has no such resource", code="NOT_FOUND")
        model = await spec.handler(app, **ids)
    except PivError as error:
        raise resource_error(uri, error) from error
    return compact(model)[0]


def _sdk_handler(spec: ToolSpec) -> Any:
    """The handler with its result, or the question to the person, as an object of the SDK."""

    @wraps(spec.handler)
    async def handler(*args: Any, **kwargs: Any) -> CallToolResult | InputRequiredResult:
        try:
            return answer(await spec.handler(*args, **kwargs))
        except AskFirst as ask:
            return question(ask)

    return handler


def _return_type(spec: ToolSpec) -> type[BaseModel]:
    return typing.get_type_hints(spec.handler)["return"]
