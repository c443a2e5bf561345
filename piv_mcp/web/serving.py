"""The two doors of a process: the webhook port, which a tunnel may reach, and the approval page for the person."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from starlette.types import ASGIApp

from piv_mcp.text.times import SYSTEM_CLOCK, Clock
from piv_mcp.web import peers
from piv_mcp.web.listener import Listener
from piv_mcp.web.sharing import FOREIGN_SECRET, Sharing
from piv_mcp.web.standby import Standby
from piv_mcp.web.visitors import Invitation, Visitors
from piv_mcp.web.webhook_endpoint import WebhookEndpoint

START_SECONDS = 2.0
"""Maximum time to wait until a port is open."""

LINGER_SECONDS = 30.0
"""How long the approval page is served after the last need for it, so that the person can see the outcome."""

NEED_SECONDS = 0.25
"""Interval at which the process checks whether the approval page is still needed."""


class WebhookPort:
    """Serves `app` on the configured port (None: not at all; 0: any free port), if no other process does."""

    def __init__(
        self,
        app: ASGIApp,
        host: str,
        port: int | None,
        sharing: Sharing,
        *,
        on_serving: Callable[[], None],
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._clock = clock
        self._sharing = sharing
        self._on_serving = on_serving
        self._listener = None if port is None else Listener(app, host, port, on_serving=self._served, clock=clock)
        self._standby = None if self._listener is None else Standby(self._listener, sharing, clock)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Serve the port if it is free; otherwise stand by until it is."""
        if self._listener is None or self._standby is None:
            return
        self._tasks = [asyncio.create_task(work) for work in (self._listener.run(), self._standby.run())]
        with suppress(TimeoutError):
            async with self._clock.timeout(START_SECONDS):
                await self._listener.tried.wait()

    def serving_at(self) -> str | None:
        """The address of the configured port if this process serves it, else None."""
        return _url(self._listener) if self._listener is not None and self._listener.serving.is_set() else None

    def problem(self) -> str | None:
        """Why webhooks cannot arrive, as far as this process knows; None if nothing stands in the way."""
        if self._standby is None:
            return "Webhooks are not received here (PIV_WEBHOOK_PORT=0)."
        if not self._sharing.owns_secret:
            return f"No webhooks arrive: {FOREIGN_SECRET}."
        return self._standby.problem()

    async def close(self) -> None:
        for task in self._tasks:
            await _end(task)

    def _served(self) -> None:
        self._on_serving()
        self._tasks.append(asyncio.create_task(self._sharing.serves()))


class HostedWebhooks:
    """The webhooks of one account of a server for many, which come through its one listener."""

    def __init__(self, endpoint: WebhookEndpoint, sharing: Sharing) -> None:
        self._sharing = sharing
        self.receive = endpoint.receive

    def is_for(self, digest: str) -> bool:
        """Whether the account's own secret has this digest."""
        return digest == self._sharing.server.secret

    def serving_at(self) -> None:
        """No port is this account's own."""

    def problem(self) -> str | None:
        """Why webhooks cannot arrive, as far as this process knows; None if nothing stands in the way."""
        return None if self._sharing.owns_secret else f"No webhooks arrive: {FOREIGN_SECRET}."


@dataclass(eq=False, slots=True)
class Address:
    """The address of this process's approval page. It is served until `until` (seconds since the epoch) or until its
    release."""

    visitors: Visitors
    origin: str
    until: float
    clock: Clock

    def invite(self) -> Invitation:
        """An address for one browser."""
        return self.visitors.invite(self.origin)

    def release(self) -> None:
        """Keep serving briefly, so that the person can see the outcome."""
        self.until = min(self.until, self.clock.time())


class PageDoor:
    """Serves the approval page on a loopback port of its own, for as long as it is needed.

    `app` makes the page for the visitors of one listener. `wake` ends the requests that wait for a change.
    """

    def __init__(
        self, app: Callable[[Visitors], ASGIApp], wake: Callable[[], None], clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._app = app
        self._wake = wake
        self._clock = clock
        self._addresses: list[Address] = []
        self._opening = asyncio.Lock()
        self._open: tuple[Listener, Visitors] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def address(self, until: float) -> Address:
        """The address at which the person can decide approvals; opens the door if necessary.

        `until`: how long the address is needed, in seconds since the epoch.

        Raises:
            OSError: no port can be opened now.
        """
        async with self._opening:
            listener, visitors = self._open or await self._start()
            address = Address(visitors, _url(listener), until, self._clock)
            self._addresses.append(address)
            return address

    async def close(self) -> None:
        for task in list(self._tasks):
            await _end(task)

    async def _start(self) -> tuple[Listener, Visitors]:
        visitors = Visitors(self._clock)
        listener = Listener(self._app(visitors), "127.0.0.1", 0, clock=self._clock)
        serving = asyncio.create_task(listener.run())
        try:
            async with self._clock.timeout(START_SECONDS):
                await listener.serving.wait()
            visitors.can_tell_users = await peers.can_tell(listener.port)
        except BaseException:
            await _end(serving)
            raise
        self._open = listener, visitors
        task = asyncio.create_task(self._serve_while_needed(serving, visitors))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return self._open

    async def _serve_while_needed(self, serving: asyncio.Task[None], visitors: Visitors) -> None:
        try:
            while self._is_needed(visitors):
                await self._clock.sleep(NEED_SECONDS)
        finally:
            self._open = None
            visitors.is_closing = True
            self._wake()
            await _end(serving)

    def _is_needed(self, visitors: Visitors) -> bool:
        ended_by = self._clock.time() - LINGER_SECONDS
        self._addresses = [used for used in self._addresses if used.until > ended_by]
        return bool(self._addresses) or visitors.needed_at > ended_by


async def _end(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _url(listener: Listener) -> str:
    name = f"[{listener.host}]" if ":" in listener.host else listener.host
    # A wildcard address is only for listening: clients connect to the loopback address.
    return f"http://{'127.0.0.1' if name in ('0.0.0.0', '[::]') else name}:{listener.port}"  # noqa: S104
