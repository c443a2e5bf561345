"""The whole surface on one page: areas in order, and which tools of them a server offers."""

from collections.abc import Iterator, Mapping

from piv_mcp.config import Area, Settings
from piv_mcp.tools import account, domains, inbox, numbers, proxies, sandbox, spending, whites
from piv_mcp.tools.tool import ToolSpec

AREAS: Mapping[Area, tuple[ToolSpec, ...]] = {
    "inbox": inbox.TOOLS,
    "account": account.TOOLS,
    "numbers": numbers.TOOLS,
    "proxies": proxies.TOOLS,
    "domains": domains.TOOLS,
    "whites": whites.TOOLS,
    "spending": spending.TOOLS,
}
"""Every tool, in the order in which it is listed: what people ask for most comes first."""

SANDBOX: tuple[ToolSpec, ...] = sandbox.TOOLS
"""Only where the account is a sandbox."""


def select(settings: Settings) -> Iterator[ToolSpec]:
    """The tools that these settings offer, in order. Decided at start: the list never changes while running."""
    for area, tools in AREAS.items():
        if area in settings.toolsets:
            yield from (tool for tool in tools if _offered(tool, settings))
    if settings.sandbox:
        yield from SANDBOX


def _offered(tool: ToolSpec, settings: Settings) -> bool:
    if settings.read_only and not tool.read_only:
        return False
    return not (tool.effect == "spend" and settings.spend_mode == "deny")
