"""The one place where our answers, our errors and bad arguments become words for a model.

Handlers return models and raise `PivError`; nothing else in the project speaks the SDK's result and error classes.
"""

import difflib
import inspect
import json
import secrets
import typing
from functools import wraps
from typing import Any

import structlog
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError, ToolError
from mcp.server.mcpserver.resources import FunctionResource, Resource
from mcp.server.mcpserver.tools import Tool
from mcp.shared.exceptions import MCPError
from mcp.types import (
    CallToolResult,
    InputRequiredResult,
    SubscribeRequestParams,
    TextContent,
    ToolAnnotations,
    UnsubscribeRequestParams,
)
from pydantic import BaseModel, ValidationError

from piv_mcp.elicitation import question
from piv_mcp.errors import NotFoundError, PivError
from piv_mcp.resources import ResourceSpec
from piv_mcp.schema import input_schema, output_schema
from piv_mcp.services import Lifespan
from piv_mcp.spending.approval import AskFirst
from piv_mcp.tools.tool import ToolSpec
from piv_mcp.updates import Updates

JSON = "application/json"
ENDPOINT_META = "piv.day/endpoint"


class Server(MCPServer[Lifespan]):
    """`MCPServer` whose tools answer in our words."""

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Lifespan, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        tool = self._tool_manager.get_tool(name)
        if tool is None:
            known = [spec.name for spec in self._tool_manager.list_tools()]
            return _failure(
                f"UNKNOWN_TOOL: there is no tool {_quoted(name)}{_did_you_mean(name, known)}. Nothing was done."
            )
        unknown = sorted(set(arguments) - set(tool.parameters["properties"]))
        if unknown:
            known = list(tool.parameters["properties"])
            problems = [f"{_quoted(key)} is not a parameter{_did_you_mean(key, known)}" for key in unknown]
            return _failure(_refusal(problems, f"Parameters: {', '.join(known) or 'none'}."))
        try:
            return await super().call_tool(name, arguments, context)
        except MCPError:
            raise
        except ToolError as error:
            cause = error.__cause__
            if isinstance(cause, PivError):
                return _failure(words(cause))
            if isinstance(cause, ValidationError):
                return _failure(_refusal(problems_of(cause)))
            reference = secrets.token_hex(4)
            structlog.get_logger(__name__).error(
                "tool crashed", tool=name, reference=reference, exc_info=cause or error
            )
            return _failure(
                f"INTERNAL_ERROR: {name} failed on our side (reference {reference} in the server's log). "
                + (
                    "Money may have moved: call list_spending before anything else."
                    if _spends(tool)
                    else "No money moved."
                )
            )


    def on_subscribe(self, updates: Updates) -> None:
        """Serve `resources/subscribe` of the older protocols, for which `MCPServer` has no seam of its own."""
        server = self._lowlevel_server
        server.add_request_handler("resources/subscribe", SubscribeRequestParams, updates.on_subscribe)
        server.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, updates.on_unsubscribe)


def sdk_tool(spec: ToolSpec) -> Tool:
    """The SDK's form of a tool."""
    tool = Tool.from_function(
        _answering(spec),
        name=spec.name,
        title=spec.title,
        description=" ".join((spec.handler.__doc__ or "").split()),
        annotations=ToolAnnotations(
            read_only_hint=spec.read_only,
            destructive_hint=spec.destructive,
            idempotent_hint=spec.idempotent,
            open_world_hint=not spec.local,
        ),
        meta={ENDPOINT_META: spec.endpoint} if spec.endpoint else None,
        structured_output=False,
    )
    tool.parameters = input_schema(tool.parameters)
    # Advertised here and kept by construction: the answer is a dump of this model. Letting the SDK derive it would
    # also build a validator for each tool at start.
    tool.fn_metadata.output_schema = output_schema(_return_type(spec))
    return tool


def sdk_resource(spec: ResourceSpec, lifespan: Lifespan) -> Resource:
    """The SDK's form of a resource with a fixed address."""

    async def read() -> str:
        return await _read(spec, lifespan, spec.uri)

    return FunctionResource(
        uri=spec.uri, name=spec.name, title=spec.title, description=spec.description, mime_type=JSON, fn=read
    )


def sdk_template(server: Server, spec: ResourceSpec, lifespan: Lifespan) -> None:
    """Register a resource whose address holds an id."""
    parameter = spec.parameter or ""

    async def read(**ids: str) -> str:
        return await _read(spec, lifespan, spec.uri.replace(f"{{{parameter}}}", ids[parameter]), **ids)

    # The SDK takes a template's parameters from the handler's signature.
    read.__signature__ = inspect.Signature(  # pyright: ignore[reportFunctionMemberAccess]
        [inspect.Parameter(parameter, inspect.Parameter.KEYWORD_ONLY, annotation=str)], return_annotation=str
    )
    read.__annotations__ = {parameter: str, "return": str}
    server.resource(spec.uri, name=spec.name, title=spec.title, description=spec.description, mime_type=JSON)(read)


async def _read(spec: ResourceSpec, lifespan: Lifespan, uri: str, **ids: str) -> str:
    try:
        model = await spec.handler(await lifespan.services(), **ids)
    except PivError as error:
        raise resource_error(uri, error) from error
    return compact(model)[0]


def compact(model: BaseModel) -> tuple[str, dict[str, Any]]:
    """A model as compact JSON without nulls, as text and as an object."""
    content = model.model_dump(mode="json", exclude_none=True)
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")), content


def answer(model: BaseModel) -> CallToolResult:
    """A model as the answer of a tool."""
    text, content = compact(model)
    return CallToolResult(content=[TextContent(type="text", text=text)], structured_content=content)


def words(error: PivError) -> str:
    """An error for a model: the code, what happened, whether money moved, what to do next."""
    parts = [f"{error.code}: {_sentence(error.message)}", error.money, error.hint]
    return " ".join(_sentence(part) for part in parts if part)


def problems_of(error: ValidationError) -> list[str]:
    """`parameter: reason` for each fault, without the rejected value and pydantic's link."""
    problems: list[str] = []
    for item in error.errors(include_url=False, include_input=False):
        place = ".".join(str(part) for part in item["loc"]) or "arguments"
        reason = item["msg"].removeprefix("Value error, ")
        if item["type"] == "string_pattern_mismatch":
            reason = "is not of the expected form"
        elif item["type"] == "missing":
            reason = "is required"
        problems.append(f"{place}: {reason}")
    return problems


def resource_error(uri: str, error: PivError) -> ResourceError:
    """The SDK's form of an error in a resource; not-found as the protocol asks."""
    if isinstance(error, NotFoundError):
        return ResourceNotFoundError(f"Unknown resource: {uri}. {words(error)}")
    return ResourceError(words(error))


def _answering(spec: ToolSpec) -> Any:
    @wraps(spec.handler)
    async def handler(*args: Any, **kwargs: Any) -> CallToolResult | InputRequiredResult:
        try:
            return answer(await spec.handler(*args, **kwargs))
        except AskFirst as ask:
            return question(ask)

    return handler


def _return_type(spec: ToolSpec) -> type[BaseModel]:
    return typing.get_type_hints(spec.handler)["return"]


def _spends(tool: Tool) -> bool:
    return tool.annotations is not None and bool(tool.annotations.destructive_hint)


def _refusal(problems: list[str], *more: str) -> str:
    return " ".join(["VALIDATION_ERROR: " + "; ".join(problems) + ".", *more, "Nothing was sent and no money moved."])


def _failure(text: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(type="text", text=text)], is_error=True)


def _did_you_mean(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name[:64], known, 1)
    return f" (did you mean {close[0]}?)" if close else ""


def _quoted(name: str) -> str:
    """A name that a model made up, fit to be repeated."""
    return json.dumps(name[:64], ensure_ascii=True)


def _sentence(text: str) -> str:
    text = text.strip()
    return text if not text or text[-1] in ".!?" else f"{text}."
