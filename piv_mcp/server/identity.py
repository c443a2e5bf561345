"""Who calls: the agents that the store knows, by their tokens.

What the store says is read once a second at most, so that a guess costs a hash and no query. Whoever measures how long
a refusal takes learns nothing, since digests are looked up and not tokens.
"""

import asyncio
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from piv_mcp.errors import StoreError
from piv_mcp.server.seal import SharedSeal, new_key
from piv_mcp.store import Connection, Store, agents, facts
from piv_mcp.store.agents import Agent
from piv_mcp.text.times import SYSTEM_CLOCK, Clock

ROSTER_SECONDS = 1.0
"""So long what the store says is believed."""

ASK_AGAIN_SECONDS = 0.25
"""Who is not known may have been added just now: the store is asked again, at most so often however many guess."""

ANSWER_WITHIN = 1.0
"""Seconds that the store may take to say it."""

OUTAGE_SECONDS = 60.0
"""So long after it was read last it is believed while the store cannot be read: those who are known are to be told what
is wrong."""

TOKEN = "piv_agent_"  # noqa: S105 - the beginning of every token
MAX_TOKEN = 256
"""Characters. Ours have 53."""


@dataclass(frozen=True, slots=True)
class _Known:
    by_token: Mapping[str, Agent] = field(default_factory=dict[str, Agent])
    by_subject: Mapping[str, Agent] = field(default_factory=dict[str, Agent])
    seal_keys: str | None = None


class Roster:
    """The agents with access. Reading them also brings the keys for `seal`."""

    def __init__(self, store: Store, seal: SharedSeal, clock: Clock = SYSTEM_CLOCK) -> None:
        self._store = store
        self._seal = seal
        self._clock = clock
        self._known = _Known()
        self._read_at = -math.inf
        self._asked_at = -math.inf
        self._began_at = -math.inf
        """When the last reading began."""
        self._asking = asyncio.Lock()
        self._unknown = asyncio.Lock()

    async def of_token(self, token: str) -> Agent | None:
        """The agent with this token.

        Raises:
            StoreError: the store has not been readable for a minute, or never was.
        """
        if len(token) > MAX_TOKEN:
            return None
        digest, arrived = agents.digest(token), self._clock.monotonic()
        known = (await self._current()).by_token.get(digest)
        if known is None and token.startswith(TOKEN):
            known = (await self._since(arrived)).by_token.get(digest)
        return known

    async def of_subject(self, subject: str) -> Agent | None:
        """The agent that an identity provider knows by this subject. Raises as `of_token`."""
        arrived = self._clock.monotonic()
        known = (await self._current()).by_subject.get(subject)
        return known or (await self._since(arrived)).by_subject.get(subject)

    async def has(self, agent: Agent) -> bool:
        """Whether the agent still has access. Raises as `of_token`."""
        current = (await self._current()).by_token.get(agent.token)
        return current is not None and current.name == agent.name

    async def is_empty(self) -> bool:
        """Whether no agent has access. Raises as `of_token`."""
        return not (await self._current()).by_token

    async def is_readable(self) -> bool:
        """Whether the store could be read just now."""
        with suppress(StoreError):
            await self._current()
            return self._clock.monotonic() - self._read_at <= ROSTER_SECONDS + ANSWER_WITHIN
        return False

    def is_writable(self) -> bool:
        """Whether the store could be written lately."""
        return self._store.is_writable()

    async def _since(self, arrived: float) -> _Known:
        """What the store has said when it was asked after this moment (monotonic). Raises as `of_token`."""
        async with self._unknown:
            if self._began_at < arrived:
                await self._clock.sleep(max(0.0, self._began_at + ASK_AGAIN_SECONDS - self._clock.monotonic()))
                async with self._asking:
                    await self._read()
        return await self._current()

    async def _current(self) -> _Known:
        async with self._asking:  # one at a time: the others take what the first has read
            if self._clock.monotonic() - self._asked_at >= ROSTER_SECONDS:
                await self._read()
                self._asked_at = self._clock.monotonic()
        if self._clock.monotonic() - self._read_at > OUTAGE_SECONDS:
            raise StoreError("the store is out of reach")
        return self._known

    async def _read(self) -> None:
        self._began_at = self._clock.monotonic()
        with suppress(StoreError, TimeoutError):
            async with self._clock.timeout(ANSWER_WITHIN):
                known = await self._store.read(_read_known)
                keys = known.seal_keys or await self._store.write(facts.made_once, facts.SEAL_KEYS, new_key())
            self._seal.take(tuple(keys.split(",")))
            self._known, self._read_at = known, self._clock.monotonic()


def _read_known(connection: Connection) -> _Known:
    there = [agent for agent in agents.listed(connection) if agent.revoked_at is None]
    by_subject = {agent.subject: agent for agent in there if agent.subject is not None}
    return _Known({agent.token: agent for agent in there}, by_subject, facts.get(connection, facts.SEAL_KEYS))
