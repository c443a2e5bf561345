"""What a running server has, built at the first use: the list of tools is answered before any of it exists."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from piv_mcp.errors import ConfigError
from piv_mcp.text.times import SYSTEM_CLOCK, Clock

if TYPE_CHECKING:
    from mcp.server.mcpserver import Context

    from piv_mcp.api.client import PivClient
    from piv_mcp.api.phonebook import Phonebook
    from piv_mcp.inbox.backfill import Backfill
    from piv_mcp.inbox.history import History
    from piv_mcp.inbox.inbox import Inbox
    from piv_mcp.sandbox import Sandbox
    from piv_mcp.spending.gate import Gate
    from piv_mcp.store import Store


@dataclass(slots=True, kw_only=True)
class Services:
    """Handed to every tool and resource."""

    api: "PivClient | None"
    store: "Store"
    inbox: "Inbox"
    history: "History"
    backfill: "Backfill"
    phonebook: "Phonebook"
    spending: "Gate | None"
    exports: Path
    """Where proxy exports are written."""
    sandbox: "Sandbox | None" = None
    clock: Clock = SYSTEM_CLOCK

    @property
    def client(self) -> "PivClient":
        """The API.

        Raises:
            ConfigError: there is no key.
        """
        if self.api is None:
            raise no_key()
        return self.api

    @property
    def gate(self) -> "Gate":
        """The money gate.

        Raises:
            ConfigError: there is no key.
        """
        if self.spending is None:
            raise no_key()
        return self.spending


class Lifespan(Protocol):
    """The lifespan context of the MCP server."""

    async def services(self) -> Services: ...


async def services(ctx: "Context[Lifespan, Any]") -> Services:
    """The services behind a request."""
    return await ctx.request_context.lifespan_context.services()


def no_key() -> ConfigError:
    return ConfigError(
        "PIV_API_KEY is not set",
        hint="The person sets PIV_API_KEY (or PIV_API_KEY_FILE) in the client's configuration of this server and "
        "restarts it; PIV_SANDBOX=1 tries everything without a key",
    )
