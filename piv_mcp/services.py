"""The services that tools and resources use. They are started at the first use, after the list of tools was sent."""

from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from piv_mcp.config import TOOLSETS, Area
from piv_mcp.errors import ConfigError
from piv_mcp.text.times import SYSTEM_CLOCK, Clock

if TYPE_CHECKING:  # for start-up time: the list of tools needs neither httpx nor the store
    from mcp.server.mcpserver import Context

    from piv_mcp.api.client import PivClient
    from piv_mcp.api.phonebook import Phonebook
    from piv_mcp.inbox.asking import Asking
    from piv_mcp.inbox.backfill import Backfill
    from piv_mcp.inbox.history import History
    from piv_mcp.inbox.inbox import Inbox
    from piv_mcp.sandbox import Sandbox
    from piv_mcp.spending.gate import Gate
    from piv_mcp.store.agents import Agent
    from piv_mcp.store.view import View
    from piv_mcp.web.serving import HostedWebhooks, WebhookPort

CALLER: "ContextVar[Agent | None]" = ContextVar("caller", default=None)
"""The agent whose request is being answered; None where one person has the server for themselves."""


@dataclass(slots=True, kw_only=True)
class Services:
    """The services of one process, for one account, as `agent` may use them."""

    api: "PivClient | None"
    store: "View"
    """What the caller is shown of the store."""
    inbox: "Inbox"
    history: "History"
    asking: "Asking"
    backfill: "Backfill"
    phonebook: "Phonebook"
    receiving: "WebhookPort | HostedWebhooks"
    spending: "Gate | None"
    exports: Path
    """The directory for exported proxy lists."""
    sandbox: "Sandbox | None" = None
    toolsets: tuple[Area, ...] = TOOLSETS
    """The areas whose tools are offered."""
    clock: Clock = SYSTEM_CLOCK
    agent: "Agent | None" = None
    """Who asks; None: the one person whose server it is."""
    of_agents: "dict[Agent, Services]" = field(default_factory=dict["Agent", "Services"])
    """The same services as each agent may use them."""

    @property
    def client(self) -> "PivClient":
        """The API client.

        Raises:
            ConfigError: no API key is set.
        """
        if self.api is None:
            raise no_key()
        return self.api

    @property
    def gate(self) -> "Gate":
        """The money gate.

        Raises:
            ConfigError: no API key is set.
        """
        if self.spending is None:
            raise no_key()
        return self.spending

    def shown_through(self, view: "View") -> "Services":
        """The same services for a caller who has this view of the store."""
        api = None if self.api is None else self.api.seen_by(view)
        return replace(
            self,
            api=api,
            store=view,
            inbox=self.inbox.seen_through(view),
            asking=self.asking.seen_through(view, api),
        )

    def has(self, area: Area) -> bool:
        """Whether the caller may see what belongs to the area. The person may, whatever tools are offered."""
        return self.agent is None or area in self.toolsets


class Lifespan(Protocol):
    """The lifespan context of the MCP server."""

    async def services(self) -> Services:
        """The services, started on the first call."""
        ...


async def services(ctx: "Context[Lifespan, Any]") -> Services:
    """The services for a request."""
    return await ctx.request_context.lifespan_context.services()


def no_key() -> ConfigError:
    """The error for a call that needs the API when no API key is set."""
    return ConfigError(
        "PIV_API_KEY is not set",
        hint="The person sets PIV_API_KEY (or PIV_API_KEY_FILE) in the client's configuration of this server and "
        "restarts it; PIV_SANDBOX=1 offers a simulated account without a key",
    )
