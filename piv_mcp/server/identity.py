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
        self._asking = asyncio.Lock()

    async def of_token(self, token: str) -> Agent | None:
        """The agent with this token.

        Raises:
            StoreError: the store has not been readable for a minute, or never was.
        """
        known = await self._current()
        return known.by_token.get(agents.digest(token)) if len(token) <= MAX_TOKEN else None

    async def of_subject(self, subject: str) -> Agent | None:
        """The agent that an identity provider knows by this subject. Raises as `of_token`."""
        return (await self._current()).by_subject.get(subject)

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

    async def _current(self) -> _Known:
        async with self._asking:  # one at a time: the others take what the first has read
            if self._clock.monotonic() - self._asked_at >= ROSTER_SECONDS:
                await self._read()
                self._asked_at = self._clock.monotonic()
        if self._clock.monotonic() - self._read_at > OUTAGE_SECONDS:
            raise StoreError("the store is out of reach")
        return self._known

    async def _read(self) -> None:
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
