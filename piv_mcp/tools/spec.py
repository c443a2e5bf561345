"""Describe a tool: its handler, its title and its hints. It can be listed without a key or a running server.

A handler is an `async` function `(ctx, parameters...) -> Model`. Its name is the tool's name, its docstring the
description, its parameters the input schema and its return type the output schema.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mcp.server.mcpserver import Context
from pydantic import BaseModel

from piv_mcp.config import Effect
from piv_mcp.services import Lifespan, services
from piv_mcp.spending.actions.base import Action
from piv_mcp.spending.receipt import Receipt
from piv_mcp.tools.follow_up import here, leading_on
from piv_mcp.tools.person import ClientPerson

Ctx = Context[Lifespan, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """One tool. `effect` is `read`, `write` (changes something, costs nothing) or `spend` (costs money)."""

    handler: Callable[..., Awaitable[BaseModel]]
    title: str
    effect: Effect
    endpoint: str | None = None
    destructive: bool = False
    idempotent: bool = False
    local: bool = False
    """Answers from the local store, without a request to piv.day."""
    always_load: bool = False
    """What most people come for: a client that loads tools on demand need not search for it."""
    extra: Mapping[str, bool | str] = field(default_factory=dict[str, bool | str], hash=False)
    """Names that are no parameters, but that a call may have: with the only value that a switch of the endpoint can
    have, or with what to do instead, for what the API lacks."""

    @property
    def name(self) -> str:
        return self.handler.__name__

    @property
    def read_only(self) -> bool:
        return self.effect == "read"


def read(
    handler: Callable[..., Awaitable[BaseModel]],
    title: str,
    endpoint: str | None = None,
    *,
    local: bool = False,
    always_load: bool = False,
) -> ToolSpec:
    """A tool that changes nothing."""
    return ToolSpec(
        handler=handler,
        title=title,
        effect="read",
        endpoint=endpoint,
        idempotent=True,
        local=local,
        always_load=always_load,
    )


def write(
    handler: Callable[..., Awaitable[BaseModel]],
    title: str,
    endpoint: str | None = None,
    *,
    destructive: bool,
    idempotent: bool,
    local: bool = False,
    extra: Mapping[str, bool | str] | None = None,
) -> ToolSpec:
    """A tool that changes something and costs nothing."""
    return ToolSpec(
        handler=handler,
        title=title,
        effect="write",
        endpoint=endpoint,
        destructive=destructive,
        idempotent=idempotent,
        local=local,
        extra=extra or {},
    )


def spend(
    handler: Callable[..., Awaitable[BaseModel]],
    title: str,
    endpoint: str,
    *,
    extra: Mapping[str, bool | str] | None = None,
) -> ToolSpec:
    """A tool that costs money: it cannot be undone, and every call is a new purchase."""
    return ToolSpec(
        handler=handler, title=title, effect="spend", endpoint=endpoint, destructive=True, extra=extra or {}
    )


async def perform(ctx: Ctx, action: Action) -> Receipt:
    """Carry out an action through the money gate: quote, approval by the person, journal, request."""
    app = await services(ctx)
    before = await here(app)
    return await leading_on(app, await app.gate.perform(action, ClientPerson(ctx, app.agent)), before)
