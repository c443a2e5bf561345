"""Where the local web app is: on the machine's port, served by this process or another, or on a port of its own."""

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError
from starlette.types import ASGIApp

from piv_mcp.api.credentials import LOOPBACK
from piv_mcp.text.times import SYSTEM_CLOCK, Clock
from piv_mcp.web.listener import Listener

START_SECONDS = 2.0

LINGER_SECONDS = 30.0
"""How long a port of its own outlives the last need for it: the page shows what became of the approval."""

NEED_SECONDS = 0.25
"""How often it is looked whether a port of its own is still needed."""


class Health(BaseModel):
    """What `/health` answers."""

    name: Literal["piv-mcp"] = "piv-mcp"
    version: str
    proof: str


def proof_of(key: str, store: str, nonce: str) -> str:
    """What only a piv-mcp with this key and this store can answer: the token of an approval is told to no one else."""
    return hmac.new(key.encode(), f"health:{store}:{nonce}".encode("utf-8", "replace"), hashlib.sha256).hexdigest()


@dataclass(eq=False, slots=True)
class Address:
    """Where the web app is, served until `until` (seconds since the epoch) or its release."""

    url: str
    until: float
    clock: Clock

    def release(self) -> None:
        """Keep serving briefly, so that the person can see the outcome."""
        self.until = min(self.until, self.clock.time())


class Serving:
    """This process's part in serving the web app. `port` is None when it is off, 0 for any free one.

    `page` is the app for a port of its own; `key` and `store_id` tell our own on the machine's port from a stranger.
    """

    def __init__(
        self,
        app: ASGIApp,
        page: ASGIApp,
        host: str,
        port: int | None,
        *,
        key: str,
        store_id: Callable[[], Awaitable[str]],
        on_serving: Callable[[], None],
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._clock = clock
        self._page = page
        self._key = key
        self._store_id = store_id
        self._shared = None if port is None else Listener(app, host, port, on_serving=on_serving, clock=clock)
        self._own: Listener | None = None
        self._on_own: list[Address] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Serve if the port is free; else stand by."""
        if self._shared is not None:
            self._run(self._shared)
            with suppress(TimeoutError):
                async with self._clock.timeout(START_SECONDS):
                    await self._shared.tried.wait()

    def serving_at(self) -> str | None:
        """The address at which this process serves the machine's port, if it does."""
        return _url(self._shared) if self._shared is not None and self._shared.serving.is_set() else None

    async def address(self, until: float) -> Address:
        """An address at which approvals of this store can be decided: on a port of their own if need be.

        `until`: when the need for it ends, in seconds since the epoch.
        """
        shared = self._shared
        # The page is for this machine's browser: where the web app listens to another address only, it is not there.
        near = shared is not None and urlsplit(_url(shared)).hostname in LOOPBACK
        if shared is not None and near and (shared.serving.is_set() or await self._answers(_url(shared))):
            return Address(_url(shared), until, self._clock)
        if self._own is None:
            self._own = Listener(self._page, "127.0.0.1", 0, clock=self._clock)
            self._tasks.append(asyncio.create_task(self._serve_while_needed(self._own)))
        address = Address("", until, self._clock)
        self._on_own.append(address)
        await self._own.serving.wait()
        address.url = _url(self._own)
        return address

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _run(self, host: Listener) -> None:
        self._tasks.append(asyncio.create_task(host.run()))

    async def _serve_while_needed(self, own: Listener) -> None:
        serving = asyncio.create_task(own.run())
        try:
            while self._on_own:
                await self._clock.sleep(NEED_SECONDS)
                self._on_own = [held for held in self._on_own if self._clock.time() < held.until + LINGER_SECONDS]
        finally:
            self._own = None
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)

    async def _answers(self, address: str) -> bool:
        """Whether a piv-mcp with our store and key has the port, rather than a stranger."""
        import httpx

        nonce = secrets.token_hex(16)
        try:
            async with httpx.AsyncClient(timeout=2, trust_env=False) as http:
                answer = Health.model_validate_json((await http.get(f"{address}/health?nonce={nonce}")).content)
        except (httpx.HTTPError, ValidationError):
            return False
        return hmac.compare_digest(answer.proof, proof_of(self._key, await self._store_id(), nonce))


def _url(host: Listener) -> str:
    name = f"[{host.host}]" if ":" in host.host else host.host
    # A wildcard address is where one listens, not where one goes.
    return f"http://{'127.0.0.1' if name in ('0.0.0.0', '[::]') else name}:{host.port}"  # noqa: S104
