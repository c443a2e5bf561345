"""`MCPServer` with our answers: the list of tools without what is behind them, and every error in words.

Handlers return models and raise `PivError`. Only `server/` and `tools/person.py` use the SDK's result and error
classes.
"""

import asyncio
import secrets
import threading
from collections.abc import Callable, Iterable
from typing import Any

import structlog
from mcp.server import MCPServer
from mcp.server.lowlevel.helper_types import ReadResourceContents
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError, UnexpectedToolError
from mcp.server.mcpserver.tools import Tool as RegisteredTool
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError
from mcp.types import (
    INVALID_PARAMS,
    CallToolResult,
    GetPromptResult,
    InputRequiredResult,
    Resource,
    ResourceTemplate,
    SubscribeRequestParams,
    Tool,
    UnsubscribeRequestParams,
)
from pydantic import AnyUrl, ValidationError

from piv_mcp.errors import PivError
from piv_mcp.server.results import failure
from piv_mcp.server.stdio import RepairedStream
from piv_mcp.server.subscriptions import Subscriptions
from piv_mcp.server.wording import did_you_mean, problems_of, quoted, refusal, words
from piv_mcp.services import Lifespan


class PivServer(MCPServer[Lifespan]):
    """`MCPServer` whose tools answer in our words, and which loads them only when one is used.

    The list of tools is answered from `definitions`, so that nothing of what is behind the tools is on the way to it.
    """

    def __init__(
        self, name: str, *, definitions: list[Tool], load: Callable[["PivServer"], None], **options: Any
    ) -> None:
        super().__init__(name, **options)
        self._definitions = definitions
        self._load = load
        self._loading = threading.Lock()
        self._loaded = False
        self.listed = asyncio.Event()
        """The tools were asked for: the first answer is on its way."""
        self._spending: set[str] = set()

    def load(self) -> None:
        """Load tools and resources, once; from whichever thread comes first."""
        with self._loading:
            if not self._loaded:
                self._load(self)
                self._loaded = True

    async def loaded(self) -> None:
        """Without keeping the event loop."""
        if not self._loaded:
            await asyncio.to_thread(self.load)

    async def run_stdio_async(self) -> None:
        lowlevel = self._lowlevel_server
        async with stdio_server() as (received, sent):
            await lowlevel.run(RepairedStream(received), sent, lowlevel.create_initialization_options())

    async def list_tools(self) -> list[Tool]:
        self.listed.set()
        return self._definitions

    async def list_resources(self) -> list[Resource]:
        await self.loaded()
        return await super().list_resources()

    async def list_resource_templates(self) -> list[ResourceTemplate]:
        await self.loaded()
        return await super().list_resource_templates()

    async def read_resource(
        self, uri: AnyUrl | str, context: Context[Lifespan, Any] | None = None
    ) -> Iterable[ReadResourceContents] | InputRequiredResult:
        await self.loaded()
        return await super().read_resource(uri, context)

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Lifespan, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        await self.loaded()
        tool = self._tool_manager.get_tool(name)
        if tool is None:
            known = [spec.name for spec in self._tool_manager.list_tools()]
            return failure(
                f"UNKNOWN_TOOL: there is no tool {quoted(name)}{did_you_mean(name, known)}. Nothing was done."
            )
        unknown = sorted(set(arguments) - set(tool.parameters["properties"]))
        if unknown:
            known = list(tool.parameters["properties"])
            problems = [f"{quoted(key)} is not a parameter{did_you_mean(key, known)}" for key in unknown]
            return failure(refusal(problems, f"Parameters: {', '.join(known) or 'none'}."))
        try:
            return await super().call_tool(name, arguments, context)
        except ToolError as error:
            cause = error.__cause__
            if isinstance(cause, PivError):
                return failure(words(cause, spends=name in self._spending))
            if isinstance(cause, ValidationError) and not isinstance(error, UnexpectedToolError):
                return failure(refusal(problems_of(cause)))
            reference = secrets.token_hex(4)
            structlog.get_logger(__name__).error(
                "tool crashed", tool=name, reference=reference, exc_info=cause or error
            )
            return failure(
                f"INTERNAL_ERROR: {name} failed on our side (reference {reference} in the server's log). "
                + (
                    "Money may have moved: call list_spending before anything else."
                    if name in self._spending
                    else "No money moved."
                )
            )

    async def get_prompt(
        self, name: str, arguments: dict[str, Any] | None = None, context: Context[Lifespan, Any] | None = None
    ) -> GetPromptResult | InputRequiredResult:
        # The SDK answers both of these with a bare "Internal server error".
        prompt = self._prompt_manager.get_prompt(name)
        if prompt is None:
            known = [item.name for item in self._prompt_manager.list_prompts()]
            raise MCPError(INVALID_PARAMS, f"There is no prompt {quoted(name)}{did_you_mean(name, known)}")
        required = [item.name for item in prompt.arguments or [] if item.required]
        missing = [item for item in required if item not in (arguments or {})]
        if missing:
            raise MCPError(INVALID_PARAMS, f"The prompt {name} needs: {', '.join(missing)}")
        return await super().get_prompt(name, arguments, context)

    def register(self, tool: RegisteredTool, *, spends: bool) -> None:
        """Add a tool that is in the SDK's form already. `spends`: it can cost money."""
        if spends:
            self._spending.add(tool.name)
        self._tool_manager._tools[tool.name] = tool  # pyright: ignore[reportPrivateUsage]

    def on_subscribe(self, subscriptions: Subscriptions) -> None:
        """Serve `resources/subscribe` of the older protocols, for which `MCPServer` has no seam of its own."""
        server = self._lowlevel_server
        server.add_request_handler("resources/subscribe", SubscribeRequestParams, subscriptions.on_subscribe)
        server.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, subscriptions.on_unsubscribe)
