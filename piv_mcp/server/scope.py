"""What of an account's services one agent has."""

from dataclasses import replace
from typing import TYPE_CHECKING

from piv_mcp.services import Services

if TYPE_CHECKING:  # for start-up time: the list of tools needs no store
    from piv_mcp.store.agents import Agent


def for_agent(app: Services, agent: "Agent") -> Services:
    """The services of the agent's account, as the agent may use them."""
    return replace(app, agent=agent)
