"""Counts and times requests, and names in each line of the log the request and the agent that it is about."""

import re
import secrets
import time
from asyncio import CancelledError
from collections.abc import Mapping
from typing import Any

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars, get_contextvars

from piv_mcp import metrics
from piv_mcp.errors import CODES, PivError
from piv_mcp.server import definitions
from piv_mcp.services import CALLER

METHODS = frozenset(
    {
        "completion/complete",
        "initialize",
        "logging/setLevel",
        "ping",
        "prompts/get",
        "prompts/list",
        "resources/list",
        "resources/read",
        "resources/subscribe",
        "resources/templates/list",
        "resources/unsubscribe",
        "server/discover",
        "subscriptions/listen",
        "tools/call",
        "tools/list",
    }
)

WAITERS = frozenset({"wait_for_code", "wait_for_event"})
"""Tools that take as long as they are told to. `subscriptions/listen` does, too."""

REQUEST_ID_HEADER = "x-request-id"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def request_id(given: str | None = None) -> str:
    """The id of a request in the log: the one that its sender gave, if it is short and plain, else a new one."""
    return given if given and _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)


class RequestIds:
    """Around an app for HTTP: gives each request an id in the log, and tells it in a header of the answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        made = request_id(Headers(scope=scope).get(REQUEST_ID_HEADER))

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = made
            await send(message)

        with bound_contextvars(request=made):
            await self._app(scope, receive, answer)


async def observe(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """A middleware of the SDK, around all others."""
    if ctx.request_id is None:  # a notification
        return await call_next(ctx)
    agent, about = CALLER.get(), {"request": get_contextvars().get("request") or request_id()}
    if agent is not None:
        about["agent"] = agent.name
    with bound_contextvars(**about):
        return await (_measured(ctx, call_next) if metrics.is_on() else call_next(ctx))


async def _measured(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    method = ctx.method if ctx.method in METHODS else metrics.OTHER
    tool = _tool(ctx) if method == "tools/call" else ""
    started, result = time.monotonic(), "error"
    try:
        with metrics.in_progress(metrics.IN_PROGRESS):
            outcome = await call_next(ctx)
        result = _result(outcome)
    except CancelledError:
        result = "cancelled"
        raise
    finally:
        metrics.REQUESTS.add(method, tool, result)
        if tool not in WAITERS and method != "subscriptions/listen":
            metrics.REQUEST_SECONDS.add(method, amount=time.monotonic() - started)
    return outcome


def _tool(ctx: ServerRequestContext[Any, Any]) -> str:
    name = (ctx.params or {}).get("name")
    return name if isinstance(name, str) and name in definitions.names() else metrics.OTHER


def _result(outcome: HandlerResult) -> str:
    """What became of a request that was answered. The SDK's middleware sees what goes over the wire."""
    if not isinstance(outcome, Mapping):
        return "ok"
    if outcome.get("resultType") == "input_required":
        return "input_required"
    if not outcome.get("isError"):
        return "ok"
    content = outcome.get("content")
    text = str(content[0].get("text", "")) if content else ""
    code = text.partition(":")[0]
    return code if code in known_codes() else "HTTP_ERROR" if code.startswith("HTTP_") else metrics.OTHER


def known_codes() -> set[str]:
    """The codes of errors that are in the reference or ours: piv.day can send others."""
    kinds, codes = [PivError], {*CODES, "NO_ANSWER", "UNKNOWN_TOOL"}
    while kinds:
        kind = kinds.pop()
        codes.add(kind.code)
        kinds += kind.__subclasses__()
    return codes
