"""All tools by area, in the order in which they are listed."""

from collections.abc import Iterator, Mapping

from piv_mcp.config import Area
from piv_mcp.server.rights import Rights
from piv_mcp.tools import (
    account,
    commitments,
    domains,
    events,
    inbox,
    leases,
    numbers,
    proxies,
    sandbox,
    spending,
    whites,
)
from piv_mcp.tools.spec import ToolSpec

AREAS: Mapping[Area, tuple[ToolSpec, ...]] = {
    "inbox": (*inbox.TOOLS, *events.TOOLS, *leases.TOOLS),
    "account": (*account.TOOLS, *commitments.TOOLS),
    "numbers": numbers.TOOLS,
    "proxies": proxies.TOOLS,
    "domains": domains.TOOLS,
    "whites": whites.TOOLS,
    "spending": spending.TOOLS,
}
"""The areas that people use most come first."""

SANDBOX: tuple[ToolSpec, ...] = sandbox.TOOLS
"""Tools that are offered only with the built-in sandbox."""


def everything() -> Iterator[tuple[Area | None, ToolSpec]]:
    """Every tool with its area (None: sandbox), in order."""
    for area, tools in AREAS.items():
        for tool in tools:
            yield area, tool
    for tool in SANDBOX:
        yield None, tool


def select(rights: Rights) -> Iterator[ToolSpec]:
    """The tools that these rights allow."""
    return (tool for area, tool in everything() if rights.offers(area, tool.effect))
