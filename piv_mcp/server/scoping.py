"""The services as one agent may use them."""

from dataclasses import replace
from typing import TYPE_CHECKING

from piv_mcp.services import Services

if TYPE_CHECKING:  # for start-up time: a server without agents needs none of it
    from piv_mcp.store.agents import Agent

MOST_KEPT = 1000
"""Agents whose services are kept: an agent with other rights is another."""


def for_agent(app: Services, agent: "Agent") -> Services:
    """The services of the agent's account as the agent sees them: its numbers, its events, its entries of the journal,
    with its limits on top of the account's."""
    kept = app.of_agents.get(agent)
    if kept is None:
        while len(app.of_agents) >= MOST_KEPT:
            del app.of_agents[next(iter(app.of_agents))]
        kept = app.of_agents[agent] = _made(app, agent)
    return kept


def _made(app: Services, agent: "Agent") -> Services:
    # late for start-up time: the server is built without a store and without the API
    from piv_mcp.api.seen_phonebook import SeenPhonebook
    from piv_mcp.store.sight import Viewer
    from piv_mcp.store.view import View

    toolsets = agent.areas_of(app.toolsets)
    viewer = Viewer.of(agent, toolsets)
    view = View(app.store.everything, viewer, app.clock)
    shown = app.shown_through(view)
    sees_all = viewer.sees_numbers and not viewer.numbers_only
    gate = None
    if app.spending is not None and shown.api is not None:
        gate = app.spending.acting_for(agent, shown.api, view)
    return replace(
        shown,
        phonebook=app.phonebook if sees_all else SeenPhonebook(shown.api, app.clock, view),
        spending=gate,
        toolsets=toolsets,
        agent=agent,
    )
