"""Notifications of one server that several agents share: each is told of what it is shown, and of nothing else."""

import asyncio
import contextvars
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from harness import until
from mcp.shared.subscriptions import ResourceUpdated, ServerEvent
from moving_clock import MovingClock
from team import Team, team

from piv_mcp.inbox.parse import event_of
from piv_mcp.sandbox import Sandbox, Timing
from piv_mcp.server.scoping import for_agent
from piv_mcp.server.subscriptions import INBOX, Subscriptions
from piv_mcp.services import CALLER, Services


class SharedLifespan:
    """What a server that many share has for its lifespan: services by who calls."""

    def __init__(self, home: Team) -> None:
        self._home = home

    async def services(self) -> Services:
        agent = CALLER.get()
        return self._home.services if agent is None else for_agent(self._home.services, agent)


class Heard:
    """A listener of one agent, and the URIs that it was told."""

    def __init__(self) -> None:
        self.uris: list[str] = []

    def __call__(self, event: ServerEvent) -> None:
        assert isinstance(event, ResourceUpdated)
        self.uris.append(event.uri)


@pytest.fixture
async def home(data_dir: Path) -> AsyncIterator[Team]:
    sandbox = Sandbox(rate_limit=0, timing=Timing.instant(), seed=False)
    first, second = sandbox.add_numbers(2)
    async with team(sandbox, data_dir, clock=MovingClock(speed=0)) as home:
        await home.add("ada", [first])
        await home.add("bob", [second])
        await home.add("eve", [], toolsets="domains")
        await home.add("all")
        yield home
    await sandbox.aclose()


async def sms(home: Team, number: str) -> None:
    at = datetime.fromtimestamp(home.clock.time(), UTC).isoformat()
    body = {"event_type": "sms.received", "timestamp": at, "data": {"piv_num_id": number, "text": f"Hello {at}"}}
    await home.services.inbox.record(event_of(json.dumps(body).encode(), home.clock.time()))


async def test_an_agent_is_told_of_what_it_is_shown_alone(home: Team) -> None:
    first, second = home.sandbox.state.numbers
    subscriptions = Subscriptions(SharedLifespan(home), home.clock)
    heard = {name: Heard() for name in ("ada", "bob", "eve", "all")}
    ends = [_as(home, name, subscriptions, listener) for name, listener in heard.items()]
    await asyncio.sleep(0.2)
    for number, name in ((first, "ada"), (second, "bob")):
        await sms(home, number)
        news = {INBOX, f"piv://numbers/{number}/sms"}
        for uris in (heard[name].uris, heard["all"].uris):
            await until(lambda uris=uris, news=news: news <= set(uris), seconds=20, what="news")
            uris.clear()
    await asyncio.sleep(0.2)
    assert {name: listener.uris for name, listener in heard.items() if listener.uris} == {}
    for end in ends:
        end()
    await subscriptions.close()


async def test_what_comes_to_a_leased_number_is_told_to_its_holder_alone(home: Team) -> None:
    await home.add("cat")
    async with home.client("cat") as cat:
        number = (await cat.ok("lease_number"))["piv_num_id"]
    subscriptions = Subscriptions(SharedLifespan(home), home.clock)
    heard = {name: Heard() for name in ("cat", "all")}
    ends = [_as(home, name, subscriptions, listener) for name, listener in heard.items()]
    await asyncio.sleep(0.2)
    await sms(home, number)
    await until(lambda: f"piv://numbers/{number}/sms" in heard["cat"].uris, seconds=20, what="news of the holder")
    await asyncio.sleep(0.2)
    assert heard["all"].uris == []
    for end in ends:
        end()
    await subscriptions.close()


def _as(home: Team, name: str, subscriptions: Subscriptions, listener: Heard) -> Callable[[], None]:
    """Subscribe as the agent does in its request."""

    def subscribe() -> Callable[[], None]:
        CALLER.set(home.agents[name])
        return subscriptions.subscribe(listener)

    return contextvars.copy_context().run(subscribe)
