"""What a caller may be offered: what the server's settings give, and of that what the agent may have."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from piv_mcp.config import Area, Effect, Settings, SpendMode

if TYPE_CHECKING:  # for start-up time: the list of tools needs no store
    from piv_mcp.store.agents import Agent


@dataclass(frozen=True, slots=True)
class Rights:
    """The areas whose tools are offered, and which of these."""

    toolsets: tuple[Area, ...]
    read_only: bool
    spend_mode: SpendMode
    sandbox: bool

    @classmethod
    def of(cls, settings: Settings) -> "Rights":
        return cls(settings.toolsets, settings.read_only, settings.spend_mode, settings.sandbox)

    def narrowed(self, agent: "Agent") -> "Rights":
        """These rights, as far as the agent has them: it never has more than the server."""
        return replace(
            self,
            toolsets=agent.areas_of(self.toolsets),
            spend_mode=agent.mode_within(self.spend_mode),
            read_only=self.read_only or bool(agent.read_only),
        )

    def offers(self, area: Area | None, effect: Effect) -> bool:
        """Whether a tool of this area and effect is offered. Tools without an area belong to the sandbox."""
        if self.read_only and effect != "read":
            return False
        if area is None:
            return self.sandbox
        return area in self.toolsets and not (effect == "spend" and self.spend_mode == "deny")
