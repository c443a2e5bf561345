"""Decides where the local web app is served, and gives out its address.

One process of the machine serves the configured port (see `Listener`), and the others use its approval page. Where
that page cannot be used, a process serves the approval page on a second port, for as long as it is needed.
"""

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

import httpx
from pydantic import BaseModel, ValidationError
from starlette.types import ASGIApp

from piv_mcp.api.credentials import LOOPBACK
from piv_mcp.text.times import SYSTEM_CLOCK, Clock
from piv_mcp.web.listener import Listener

START_SECONDS = 2.0
"""Maximum time that `start` waits for the first attempt to open the port."""

LINGER_SECONDS = 30.0
"""How long the second port is served after the last need for it, so that the person can see the outcome."""

NEED_SECONDS = 0.25
"""Interval at which the process checks whether the second port is still needed."""


class Health(BaseModel):
    """The body of the response to `GET /health`."""

    name: Literal["piv-mcp"] = "piv-mcp"
    version: str
    proof: str


def proof_of(key: str, store: str, nonce: str) -> str:
    """A response to `nonce` that only a piv-mcp with this key and store can give.

    Approval tokens are part of the page's address, so that they must not be sent to another program on the port.
    """
    return hmac.new(key.encode(), f"health:{store}:{nonce}".encode("utf-8", "replace"), hashlib.sha256).hexdigest()


@dataclass(eq=False, slots=True)
class Address:
    """An address of the approval page. It is served until `until` (seconds since the epoch) or until its release."""

    url: str
    until: float
    clock: Clock

    def release(self) -> None:
        """Keep serving briefly, so that the person can see the outcome."""
        self.until = min(self.until, self.clock.time())


class Serving:
    """Serves the web apps of this process.

    `app` is served on `port` (None: not at all; 0: on any free port), and `page` on a second port. `key` and
    `store_id` verify a process that already serves `port`.
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
        self._page_app = page
        self._key = key
        self._store_id = store_id
        self._listener = None if port is None else Listener(app, host, port, on_serving=on_serving, clock=clock)
        self._page_listener: Listener | None = None
        self._page_addresses: list[Address] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Serve the port if it is free; otherwise stand by until it is."""
        if self._listener is not None:
            self._run(self._listener)
            with suppress(TimeoutError):
                async with self._clock.timeout(START_SECONDS):
                    await self._listener.tried.wait()

    def serving_at(self) -> str | None:
        """The address of the configured port if this process serves it, else None."""
        return _url(self._listener) if self._listener is not None and self._listener.serving.is_set() else None

    async def address(self, until: float) -> Address:
        """An address at which the person can decide approvals of this store; opens the second port if necessary.

        `until`: how long the address is needed, in seconds since the epoch.
        """
        listener = self._listener
        # The page works only in a browser on this machine, so that the port must listen on a loopback address.
        is_local = listener is not None and urlsplit(_url(listener)).hostname in LOOPBACK
        if listener is not None and is_local and (listener.serving.is_set() or await self._is_ours(_url(listener))):
            return Address(_url(listener), until, self._clock)
        if self._page_listener is None:
            self._page_listener = Listener(self._page_app, "127.0.0.1", 0, clock=self._clock)
            self._tasks.append(asyncio.create_task(self._serve_page_while_needed(self._page_listener)))
        address = Address("", until, self._clock)
        self._page_addresses.append(address)
        await self._page_listener.serving.wait()
        address.url = _url(self._page_listener)
        return address

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _run(self, listener: Listener) -> None:
        self._tasks.append(asyncio.create_task(listener.run()))

    async def _serve_page_while_needed(self, listener: Listener) -> None:
        serving = asyncio.create_task(listener.run())
        try:
            while self._page_addresses:
                await self._clock.sleep(NEED_SECONDS)
                now = self._clock.time()
                self._page_addresses = [used for used in self._page_addresses if now < used.until + LINGER_SECONDS]
        finally:
            self._page_listener = None
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)

    async def _is_ours(self, address: str) -> bool:
        """Whether the port is served by a piv-mcp with our key and store, rather than by another program."""
        nonce = secrets.token_hex(16)
        try:
            async with httpx.AsyncClient(timeout=2, trust_env=False) as http:
                answer = Health.model_validate_json((await http.get(f"{address}/health?nonce={nonce}")).content)
        except (httpx.HTTPError, ValidationError):
            return False
        return hmac.compare_digest(answer.proof, proof_of(self._key, await self._store_id(), nonce))


def _url(listener: Listener) -> str:
    name = f"[{listener.host}]" if ":" in listener.host else listener.host
    # A wildcard address is only for listening: clients connect to the loopback address.
    return f"http://{'127.0.0.1' if name in ('0.0.0.0', '[::]') else name}:{listener.port}"  # noqa: S104
