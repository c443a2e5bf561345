"""Builds the MCP server from its tools, resources and prompts, and the runtime that they use."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from mcp.server.caching import CacheHint
from mcp.server.request_state import RequestStateSecurity
from mcp.types import (
    Completion,
    CompletionArgument,
    CompletionContext,
    PromptReference,
    ResourceTemplateReference,
)

from piv_mcp import __version__
from piv_mcp.config import Settings
from piv_mcp.runtime import Runtime
from piv_mcp.server import prompts
from piv_mcp.server.icons import icon
from piv_mcp.server.offers import Offers
from piv_mcp.server.server import PivServer
from piv_mcp.server.subscriptions import Subscriptions
from piv_mcp.services import Lifespan

if TYPE_CHECKING:  # for start-up time: it imports the store
    from piv_mcp.server.fleet import Fleet

LIST_TTL_MS = 3_600_000
"""How long clients may cache the lists of tools, prompts and resources."""

READ_TTL_MS = 5_000
"""How long clients may cache the content of a resource."""


def build_server(
    settings: Settings, runtime: "Runtime | Fleet | None" = None, *, seal: RequestStateSecurity | None = None
) -> PivServer:
    """The server for these settings. The runtime starts when the server runs, not here.

    `seal` protects what the client of a question sends back; by default by a key of this process alone.
    """
    runtime = runtime or Runtime(settings)
    is_shared = settings.transport == "http"
    scope = "private" if is_shared else "public"
    files = prompts.load()
    subscriptions = Subscriptions(runtime, runtime.clock)

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncGenerator[Lifespan]:
        async with runtime.running(server.listed, server.ensure_loaded):
            try:
                yield runtime
            finally:
                await subscriptions.close()

    def load(server: PivServer) -> None:
        # Late for start-up time: `registration` imports all tools, and the list of tools is answered without them.
        from piv_mcp.server.registration import register

        register(server, settings, runtime)

    offers = Offers(settings, files)
    server = PivServer(
        "piv-mcp",
        title="piv.day",
        version=__version__,
        website_url="https://piv.day",
        icons=[icon("server")],
        offers=offers,
        load=load,
        lifespan=lifespan,
        subscriptions=subscriptions,
        log_level=settings.log_level,
        request_state_security=seal,
        cache_hints={
            # The settings decide these lists at start, and for agents their rights; they change only with these.
            "tools/list": CacheHint(ttl_ms=LIST_TTL_MS, scope=scope),
            "prompts/list": CacheHint(ttl_ms=LIST_TTL_MS, scope=scope),
            "resources/list": CacheHint(ttl_ms=LIST_TTL_MS, scope=scope),
            "resources/templates/list": CacheHint(ttl_ms=LIST_TTL_MS, scope=scope),
            "resources/read": CacheHint(ttl_ms=READ_TTL_MS, scope="private"),
        },
    )
    for prompt in files:
        server.add_prompt(prompt.sdk_prompt())
    server.on_subscribe(subscriptions, has_sessions=not is_shared)
    _add_completion(server, runtime, files, offers)
    return server


def _add_completion(server: PivServer, runtime: Lifespan, files: Sequence[prompts.PromptFile], offers: Offers) -> None:
    """Let the server complete the arguments of prompts and the ids in resource templates."""

    @server.completion()
    async def complete(
        ref: PromptReference | ResourceTemplateReference,
        argument: CompletionArgument,
        context: CompletionContext | None,
    ) -> Completion:
        await server.ensure_loaded()
        # Late for start-up time: `completions` imports tools and the API's models.
        from piv_mcp.server.completions import completion

        offered = offers.current().prompts
        return await completion(ref, argument, [file for file in files if file.name in offered], runtime)
