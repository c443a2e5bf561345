"""The door of `/mcp`: who may come in, whose request it is, and how the door closes."""

import asyncio
from collections import Counter
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass

import anyio
import structlog
from mcp.server.auth.provider import TokenVerifier
from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from piv_mcp.errors import StoreError
from piv_mcp.server.identity import TOKEN, Roster
from piv_mcp.server.issuer import LEEWAY_SECONDS
from piv_mcp.services import CALLER
from piv_mcp.store.agents import Agent
from piv_mcp.text.times import SYSTEM_CLOCK, Clock
from piv_mcp.web.guards import GUESSES_A_MINUTE, Guesses
from piv_mcp.web.outside import OutsideAddress

MAX_CALLS_EACH = 2000
"""Requests of one agent at a time, so that one cannot take all connections. Where there are few, a quarter of them."""

REVOKED_SECONDS = 1.0
"""How often the calls that run are looked through for those of agents that have lost their access."""

DRAIN_LOOK_SECONDS = 0.05

_log = structlog.get_logger(__name__)


@dataclass(eq=False, slots=True)
class _Call:
    agent: Agent
    scope: anyio.CancelScope
    ends_at: float | None = None
    """When the token of an identity provider ends, in seconds since the epoch."""
    has_begun: bool = False
    """Its answer has begun."""


@dataclass(frozen=True, slots=True)
class _Visitor:
    """An agent that may come in; until when, if its token ends (seconds since the epoch)."""

    agent: Agent
    until: float | None = None


class Door:
    """Lets requests of agents in to `app`, as theirs."""

    def __init__(
        self,
        app: ASGIApp,
        roster: Roster,
        address: OutsideAddress,
        *,
        verifier: TokenVerifier | None = None,
        challenge: str = "Bearer",
        connections: int = 4 * MAX_CALLS_EACH,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """`verifier` knows an identity provider's tokens; `challenge` begins the `WWW-Authenticate` of refusals. There
        are at most so many `connections`."""
        self._app = app
        self._roster = roster
        self._address = address
        self._verifier = verifier
        self._clock = clock
        self._calls: set[_Call] = set()
        self._each: Counter[str] = Counter()
        self._most_each = max(1, min(MAX_CALLS_EACH, connections // 4))
        self._guesses = Guesses(clock)
        self._watch: asyncio.Task[None] | None = None
        self.is_open = False
        self.is_stopping = False
        # Made once: whoever guesses costs no more than it takes to read the head of the request.
        self._no_token = _refusal(401, "unauthorized", {"WWW-Authenticate": challenge})
        wrong = f'{challenge}{"," if "=" in challenge else ""} error="invalid_token"'
        self._wrong_token = _refusal(401, "invalid_token", {"WWW-Authenticate": wrong})
        self._stranger = _refusal(403, "forbidden")
        self._closed = _refusal(503, "this server is starting or stopping", {"Retry-After": "1"})
        self._no_store = _refusal(503, "the store is out of reach", {"Retry-After": "2"})
        self._too_many = _refusal(429, "too many requests at a time", {"Retry-After": "1"})
        self._no_method = _refusal(405, "this server takes POST alone", {"Allow": "POST"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        visitor = await self._visitor(scope)
        if isinstance(visitor, _Visitor):
            await self._let_in(visitor, scope, receive, send)
        else:
            await visitor(scope, receive, send)

    async def drain(self, seconds: float) -> None:
        """Let nobody in any more, and wait for the calls that run, at most so many seconds."""
        self.is_stopping = True
        with suppress(TimeoutError):
            async with self._clock.timeout(seconds):
                while self._calls:
                    await self._clock.sleep(DRAIN_LOOK_SECONDS)

    async def close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)

    async def _visitor(self, scope: Scope) -> _Visitor | Response:
        """Who may come in, or the refusal."""
        if not self.is_open or self.is_stopping:
            return self._closed
        if (refused := self._address.refusal(scope)) is not None:
            return refused
        given = Headers(scope=scope).getlist("authorization")
        visitor = await self._known(given[0]) if len(given) == 1 else self._no_token  # a proxy may mean another one
        if isinstance(visitor, Response):
            return visitor
        if scope["method"] != "POST":  # there are no sessions, so that there is nothing to open or to end
            return self._no_method
        return self._too_many if self._each[visitor.agent.name] >= self._most_each else visitor

    async def _known(self, header: str) -> _Visitor | Response:
        """Who calls, or the refusal."""
        kind, _, token = header.partition(" ")
        token = token.strip()
        if kind.lower() != "bearer" or not token:
            return self._no_token
        try:
            if token.startswith(TOKEN) or self._verifier is None:
                agent = await self._roster.of_token(token)
                return self._guessed() if agent is None else _Visitor(agent)
            verified = await self._verifier.verify_token(token)
            if verified is None or verified.subject is None:
                return self._guessed()
            agent = await self._roster.of_subject(verified.subject)
            return self._stranger if agent is None else _Visitor(agent, verified.expires_at)
        except StoreError:
            return self._no_store

    def _guessed(self) -> Response:
        guesses = self._guesses.add()
        if guesses <= GUESSES_A_MINUTE:
            _log.warning("a request with a wrong token", in_this_minute=guesses)
        return self._wrong_token

    async def _let_in(self, visitor: _Visitor, scope: Scope, receive: Receive, send: Send) -> None:
        agent = visitor.agent
        call = _Call(agent, anyio.CancelScope(), visitor.until)

        async def answer(message: Message) -> None:
            call.has_begun = True
            await send(message)

        self._calls.add(call)
        self._each[agent.name] += 1
        if self._watch is None or self._watch.done():
            self._watch = asyncio.create_task(self._end_revoked(), context=Context())  # for all who call
        caller = CALLER.set(agent)
        try:
            with call.scope:
                await self._app(scope, receive, answer)
        finally:
            CALLER.reset(caller)
            self._calls.discard(call)
            self._each[agent.name] -= 1
            if not self._each[agent.name]:
                del self._each[agent.name]
        if call.scope.cancelled_caught:
            if call.has_begun:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            else:
                await self._wrong_token(scope, receive, send)

    async def _end_revoked(self) -> None:
        """End the calls of agents that lose their access, or whose tokens end, while there are calls."""
        while self._calls:
            await self._clock.sleep(REVOKED_SECONDS)
            for call in list(self._calls):
                with suppress(StoreError):
                    is_over = call.ends_at is not None and self._clock.time() > call.ends_at + LEEWAY_SECONDS
                    if is_over or not await self._roster.has(call.agent):
                        call.scope.cancel()


def _refusal(status: int, error: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": error}, status, headers)
