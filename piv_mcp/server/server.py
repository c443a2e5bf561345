"""Our `MCPServer`: lists tools before they are loaded, and turns every error into a text for the model.

Handlers return models and raise `PivError`. Only `server/` and `tools/person.py` use the SDK's result and error
classes.
"""

import asyncio
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import structlog
from mcp.server import MCPServer
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.lowlevel.helper_types import ReadResourceContents
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError, UnexpectedToolError
from mcp.server.mcpserver.resources import ResourceTemplate as RegisteredTemplate
from mcp.server.mcpserver.tools import Tool as RegisteredTool
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.subscriptions import ListenHandler
from mcp.shared.exceptions import MCPError
from mcp.types import (
    INVALID_PARAMS,
    CallToolResult,
    EmptyResult,
    GetPromptResult,
    InputRequiredResult,
    Prompt,
    Resource,
    ResourceTemplate,
    SubscribeRequestParams,
    SubscriptionsListenRequestParams,
    SubscriptionsListenResult,
    Tool,
    UnsubscribeRequestParams,
)
from pydantic import AnyUrl, ValidationError

from piv_mcp.config import Area
from piv_mcp.errors import PivError
from piv_mcp.server.arguments import read_arguments
from piv_mcp.server.observing import observe
from piv_mcp.server.offers import Offers
from piv_mcp.server.requests import refuse_in_words
from piv_mcp.server.results import failure
from piv_mcp.server.stdio import stdio_streams
from piv_mcp.server.subscriptions import Subscriptions
from piv_mcp.server.wording import did_you_mean, error_text, quoted, refusal_text, validation_problems
from piv_mcp.services import Lifespan

MAX_SUBSCRIPTIONS = 8192
"""Streams of subscriptions at a time."""

NO_SESSIONS = (
    "This server keeps no sessions, so that it cannot send notifications to this client: read the resource again, or "
    "call wait_for_code or wait_for_event. Clients of protocol 2026-07-28 subscribe with subscriptions/listen"
)


class PivServer(MCPServer[Lifespan]):
    """An `MCPServer` that loads tools and resources when the first of them is used.

    `tools/list` is answered from definitions on the disk, so that a client need not wait for the tools to load.
    """

    def __init__(self, name: str, *, offers: Offers, load: Callable[["PivServer"], None], **options: Any) -> None:
        super().__init__(name, middleware=[observe, refuse_in_words, self._instruct], **options)
        self._offers = offers
        self._load = load
        self._loading = threading.Lock()
        self._loaded = False
        self.listed = asyncio.Event()
        """Set when a client has requested the list of tools."""
        self._spending: set[str] = set()
        """Names of the tools that can cost money."""
        self._areas: dict[str, Area] = {}
        """The areas of resources and of templates, by their URIs."""
        self._extra: dict[str, Mapping[str, bool | str]] = {}

    def load(self) -> None:
        """Load tools and resources, once. Safe to call from several threads."""
        with self._loading:
            if not self._loaded:
                self._load(self)
                self._loaded = True

    async def ensure_loaded(self) -> None:
        """Load tools and resources in a thread, without blocking the event loop."""
        if not self._loaded:
            await asyncio.to_thread(self.load)

    async def run_stdio_async(self) -> None:
        lowlevel = self._lowlevel_server
        async with stdio_streams() as (received, answers):
            await lowlevel.run(received, answers, lowlevel.create_initialization_options())

    async def list_tools(self) -> list[Tool]:
        self.listed.set()
        return self._offers.current().definitions

    async def list_prompts(self) -> list[Prompt]:
        offered = self._offers.current().prompts
        return [prompt for prompt in await super().list_prompts() if prompt.name in offered]

    async def list_resources(self) -> list[Resource]:
        await self.ensure_loaded()
        return [item for item in await super().list_resources() if self._has_resource(str(item.uri))]

    async def list_resource_templates(self) -> list[ResourceTemplate]:
        await self.ensure_loaded()
        return [item for item in await super().list_resource_templates() if self._has_resource(item.uri_template)]

    def _has_resource(self, uri: str) -> bool:
        """Whether the caller has the area of a resource or template."""
        return self._offers.shows(self._areas[uri])

    async def read_resource(
        self, uri: AnyUrl | str, context: Context[Lifespan, Any] | None = None
    ) -> Iterable[ReadResourceContents] | InputRequiredResult:
        await self._require_resources(str(uri))
        return await super().read_resource(uri, context)

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Lifespan, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        await self.ensure_loaded()
        offered = self._offers.current().tools
        tool = self._tool_manager.get_tool(name) if name in offered else None
        if tool is None:
            known = [spec.name for spec in self._tool_manager.list_tools() if spec.name in offered]
            return failure(
                f"UNKNOWN_TOOL: there is no tool {quoted(name)}{did_you_mean(name, known)}. Nothing was done."
            )
        read = read_arguments(arguments, tool.parameters, self._extra[name])
        if read.problems:
            known = [f"Parameters: {', '.join(tool.parameters['properties']) or 'none'}."] if read.unknown else []
            return failure(refusal_text(read.named_problems(), *known))
        try:
            return await super().call_tool(name, read.values, context)
        except ToolError as error:
            cause = error.__cause__
            if isinstance(cause, PivError):
                return failure(error_text(cause, spends=name in self._spending))
            if isinstance(cause, ValidationError) and not isinstance(error, UnexpectedToolError):
                return failure(refusal_text(validation_problems(cause)))
            reference = secrets.token_hex(4)
            structlog.get_logger(__name__).error(
                "tool crashed", tool=name, reference=reference, exc_info=cause or error
            )
            return failure(
                f"INTERNAL_ERROR: {name} failed inside piv-mcp (reference {reference} in the server's log). "
                + (
                    "Money may have moved: call list_spending before anything else."
                    if name in self._spending
                    else "No money moved."
                )
            )

    async def get_prompt(
        self, name: str, arguments: dict[str, Any] | None = None, context: Context[Lifespan, Any] | None = None
    ) -> GetPromptResult | InputRequiredResult:
        # Checked here, since the SDK reports both only as "Internal server error".
        offered = self._offers.current().prompts
        prompt = self._prompt_manager.get_prompt(name) if name in offered else None
        if prompt is None:
            known = [item.name for item in self._prompt_manager.list_prompts() if item.name in offered]
            raise MCPError(INVALID_PARAMS, f"There is no prompt {quoted(name)}{did_you_mean(name, known)}")
        required = [item.name for item in prompt.arguments or [] if item.required]
        missing = [item for item in required if item not in (arguments or {})]
        if missing:
            raise MCPError(INVALID_PARAMS, f"The prompt {name} needs: {', '.join(missing)}")
        return await super().get_prompt(name, arguments, context)

    def register(self, tool: RegisteredTool, *, spends: bool, extra: Mapping[str, bool | str]) -> None:
        """Add a tool of the SDK. `spends`: the tool can cost money. `extra`: see `ToolSpec`."""
        self._extra[tool.name] = extra
        if spends:
            self._spending.add(tool.name)
        self._tool_manager._tools[tool.name] = tool  # pyright: ignore[reportPrivateUsage]

    def register_area(self, uri: str, area: Area) -> None:
        """Tell the area of a resource or template."""
        self._areas[uri] = area

    def http_sessions(self, max_body: int) -> StreamableHTTPSessionManager:
        """What answers requests over HTTP, of both eras and without sessions; bodies have at most so many bytes."""
        # No check of Host and Origin here: the app in front knows the outside address, and the SDK's logs what it gets.
        return StreamableHTTPSessionManager(self._lowlevel_server, stateless=True, max_request_body_size=max_body)

    def end_listening(self) -> None:
        """End all streams of subscriptions, and tell their clients so."""
        self._listen.close()

    def _tool_input_schema(self, name: str) -> dict[str, Any] | None:
        # The SDK checks a call's headers by it, before the call: one that is not offered is to answer as if unknown.
        return super()._tool_input_schema(name) if name in self._offers.current().tools else None

    async def _instruct(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """A middleware of the SDK: the instructions are those for the caller."""
        result = await call_next(ctx)
        if ctx.method in ("initialize", "server/discover") and isinstance(result, dict):
            return {**result, "instructions": self._offers.current().instructions}
        return result

    def on_subscribe(self, subscriptions: Subscriptions, *, has_sessions: bool = True) -> None:
        """Serve subscriptions to resources that exist. Without sessions, clients of protocols before 2026-07-28 cannot
        subscribe, and are told so.

        For `resources/subscribe` of protocols before 2026-07-28 `MCPServer` has no public method.
        """
        server = self._lowlevel_server
        self._listen = ListenHandler(subscriptions, max_subscriptions=MAX_SUBSCRIPTIONS)

        async def subscribe(ctx: ServerRequestContext[Any, Any], params: SubscribeRequestParams) -> EmptyResult:
            await self._require_resources(params.uri)
            if not has_sessions:
                raise MCPError(INVALID_PARAMS, NO_SESSIONS)
            return await subscriptions.on_subscribe(ctx, params)

        async def listen(
            ctx: ServerRequestContext[Any, Any], params: SubscriptionsListenRequestParams
        ) -> SubscriptionsListenResult:
            await self._require_resources(*params.notifications.resource_subscriptions or ())
            return await self._listen(ctx, params)

        server.add_request_handler("resources/subscribe", SubscribeRequestParams, subscribe)
        server.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, subscriptions.on_unsubscribe)
        server.add_request_handler("subscriptions/listen", SubscriptionsListenRequestParams, listen)

    async def _require_resources(self, *uris: str) -> None:
        """Load the resources.

        Raises:
            MCPError: a URI is that of no resource and of no template that the caller has.
        """
        await self.ensure_loaded()
        fixed = [uri for item in self._resource_manager.list_resources() if self._has_resource(uri := str(item.uri))]
        templates = self._resource_manager.list_templates()
        templates = [template for template in templates if self._has_resource(template.uri_template)]
        for uri in uris:
            if uri not in fixed and not any(_matches(template, uri) for template in templates):
                known = ", ".join([*fixed, *(template.uri_template for template in templates)])
                raise MCPError(INVALID_PARAMS, f"Unknown resource: {quoted(uri)}. There are: {known}", {"uri": uri})


def _matches(template: RegisteredTemplate, uri: str) -> bool:
    try:
        return template.matches(uri) is not None
    except ValueError:  # the id is a path
        return False
