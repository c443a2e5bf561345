"""Agents that share a server: each with a client of its own, as one server process gives them their services."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engines import store_url
from harness import Connected, Era, Person, decliner, reading
from mcp import Client
from moving_clock import MovingClock

from piv_mcp.config import load
from piv_mcp.runtime import Runtime
from piv_mcp.sandbox import Sandbox
from piv_mcp.server.build import build_server
from piv_mcp.server.scoping import for_agent
from piv_mcp.services import Services
from piv_mcp.store import agents
from piv_mcp.store.agents import Agent
from piv_mcp.text.times import Clock


class AgentRuntime(Runtime):
    """The runtime that an agent's requests meet: the shared one, as the agent may use it."""

    def __init__(self, shared: Runtime, agent: Agent) -> None:
        super().__init__(shared.settings, clock=shared.clock)
        self._shared = shared
        self._agent = agent

    async def services(self) -> Services:
        return for_agent(await self._shared.services(), self._agent)

    @asynccontextmanager
    async def running(
        self, first_answer: asyncio.Event | None = None, also: Callable[[], Awaitable[None]] | None = None
    ) -> AsyncGenerator[Runtime]:
        del first_answer, also
        yield self


@dataclass
class Team:
    """One account, its server process, and the agents that share it."""

    sandbox: Sandbox
    runtime: Runtime
    services: Services
    """Of the person, who sees everything."""
    clock: Clock
    agents: dict[str, Agent] = field(default_factory=dict[str, Agent])

    async def add(self, name: str, numbers: Collection[str] | None = None, **rights: Any) -> Agent:
        """A new agent; with `numbers`, it sees these alone."""
        only = int(numbers is not None)
        agent = Agent(name=name, account=0, token=agents.digest(name), added_at=0.0, numbers_only=only, **rights)
        store = self.services.store.everything
        assert await store.write(agents.add, agent, numbers or ())
        stored = await store.read(agents.of_token, agent.token)
        assert stored is not None
        self.agents[name] = stored
        return stored

    @asynccontextmanager
    async def client(
        self, name: str, *, person: Person | None = None, era: Era = "auto", instant: bool = False
    ) -> AsyncGenerator[Connected]:
        """A client of the agent."""
        runtime = AgentRuntime(self.runtime, self.agents[name])
        if person is not None and not instant:
            person.read = reading(self.clock)
        async with Client(build_server(runtime.settings, runtime), mode=era, elicitation_callback=person) as client:
            yield Connected(client, await runtime.services(), self.sandbox, person or decliner())


@asynccontextmanager
async def team(sandbox: Sandbox, data_dir: Path, clock: Clock | None = None, **settings: Any) -> AsyncGenerator[Team]:
    """A server process that agents share, over a sandbox."""
    chosen = load(
        **{
            "sandbox": True,
            "data_dir": data_dir,
            "store_url": store_url(data_dir / "store.sqlite3"),
            "webhook_port": 0,
            "confirm_wait": 0,
            "confirm_channel": "elicit",
            **settings,
        }
    )
    clock = clock or MovingClock()
    runtime = Runtime(chosen, sandbox=sandbox, clock=clock)
    async with runtime.running():
        services = await runtime.services()
        await services.backfill.settled()
        await services.asking.settled()
        yield Team(sandbox, runtime, services, clock)
