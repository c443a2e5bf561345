"""Who calls: what the store says of agents is believed for a second, and for a while when it cannot be read."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from mcp.server.request_state import InvalidRequestState
from moving_clock import MovingClock

from piv_mcp.config import Settings
from piv_mcp.errors import StoreError
from piv_mcp.server.identity import OUTAGE_SECONDS, ROSTER_SECONDS, TOKEN, Roster
from piv_mcp.server.rights import Rights
from piv_mcp.server.seal import SharedSeal, new_key
from piv_mcp.store import SqliteStore, Store, agents, facts
from piv_mcp.store.agents import Agent


def agent(name: str = "bot", **more: Any) -> Agent:
    return Agent(name=name, account=1, token=agents.digest(TOKEN + name), added_at=time.time(), **more)


class Outage:
    """A store that can be taken away."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_away = False
        self.reads = 0
        read = store.read

        async def away_or_not(*arguments: Any, **more: Any) -> Any:
            self.reads += 1
            if self.is_away:
                raise StoreError("away")
            return await read(*arguments, **more)

        monkeypatch.setattr(store, "read", away_or_not)


@pytest.fixture
async def store(data_dir: Path) -> AsyncIterator[Store]:
    store: Store = SqliteStore(data_dir / "store.sqlite3")
    await store.write(agents.add, agent())
    yield store
    await store.close()


async def test_an_agent_is_known_by_its_token_alone(store: Store) -> None:
    roster = Roster(store, SharedSeal())
    found = await roster.of_token(f"{TOKEN}bot")
    assert found is not None
    assert found.name == "bot"
    for other in ("", "bot", f"{TOKEN}bot ", f"{TOKEN}Bot", agents.digest(f"{TOKEN}bot"), TOKEN + "x" * 1000):
        assert await roster.of_token(other) is None


async def test_who_was_added_is_known_at_once_and_guesses_share_what_they_cost(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, outage = MovingClock(), Outage(store, monkeypatch)
    roster = Roster(store, SharedSeal(), clock)
    assert set(await asyncio.gather(*(roster.of_token(f"{TOKEN}{guess}") for guess in range(200)))) == {None}
    assert outage.reads <= 2
    assert {await roster.of_token(f"guess {guess}") for guess in range(200)} == {None}
    assert outage.reads <= 3, "what is no token of ours is not looked for"
    await store.write(agents.add, agent("new"))
    assert await roster.of_token(f"{TOKEN}new") is not None
    assert await store.write(agents.revoke, "new", time.time())
    clock.advance(ROSTER_SECONDS)
    assert await roster.of_token(f"{TOKEN}new") is None


async def test_who_is_known_is_known_for_a_while_when_the_store_is_away(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, outage = MovingClock(), Outage(store, monkeypatch)
    roster = Roster(store, SharedSeal(), clock)
    assert await roster.of_token(f"{TOKEN}bot") is not None
    assert await roster.is_readable()
    outage.is_away = True
    clock.advance(OUTAGE_SECONDS - 1)
    assert await roster.of_token(f"{TOKEN}bot") is not None
    assert await roster.of_token(f"{TOKEN}guess") is None
    assert not await roster.is_readable()
    clock.advance(2)
    with pytest.raises(StoreError):
        await roster.of_token(f"{TOKEN}bot")
    outage.is_away = False
    clock.advance(ROSTER_SECONDS)
    assert await roster.of_token(f"{TOKEN}bot") is not None
    assert await roster.is_readable()


async def test_the_keys_of_the_seal_are_made_once_and_can_be_rotated(store: Store) -> None:
    clock, one, other = MovingClock(), SharedSeal(), SharedSeal()
    rosters = [Roster(store, seal, clock) for seal in (one, other)]
    with pytest.raises(InvalidRequestState):
        one.unseal("v1.x")
    await asyncio.gather(*(roster.of_token("x") for roster in rosters))
    sealed = one.seal(b"question")
    assert other.unseal(sealed) == b"question"
    old = await store.read(facts.get, facts.SEAL_KEYS)
    await store.write(facts.put, facts.SEAL_KEYS, f"{new_key()},{old}")
    clock.advance(ROSTER_SECONDS)
    await rosters[0].of_token("x")
    assert one.unseal(sealed) == b"question"
    with pytest.raises(InvalidRequestState):
        other.unseal(one.seal(b"of the new key"))
    await rosters[1].of_token("x")
    assert other.unseal(one.seal(b"of the new key")) == b"of the new key"


@pytest.mark.parametrize(
    ("server", "own", "expected"),
    [
        ("budget", None, "budget"),
        ("budget", "ask", "ask"),
        ("budget", "deny", "deny"),
        ("ask", "budget", "ask"),
        ("deny", "budget", "deny"),
        ("ask", "a word of a later version", "deny"),
    ],
)
def test_an_agent_spends_no_more_freely_than_the_server(server: Any, own: str | None, expected: str) -> None:
    rights = Rights.of(Settings.model_construct(spend_mode=server))
    assert rights.narrowed(agent(spend_mode=own)).spend_mode == expected


def test_an_agent_has_no_area_that_the_server_lacks() -> None:
    rights = Rights.of(Settings.model_construct(toolsets=("numbers", "inbox"), read_only=True))
    narrowed = rights.narrowed(agent(toolsets="domains,inbox", read_only=0))
    assert (narrowed.toolsets, narrowed.read_only) == (("inbox",), True)
    assert rights.narrowed(agent(toolsets="")).toolsets == ()
    assert rights.narrowed(agent()) == rights
