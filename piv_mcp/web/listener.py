"""Serves a local web app from one process: the first that gets the port. When it ends, another process takes over."""

import asyncio
import errno
import random
import socket
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress

import structlog
import uvicorn
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from piv_mcp.text.times import SYSTEM_CLOCK, Clock
from piv_mcp.web.connections import WAIT_SECONDS, Connections, connection_limit

TAKE_OVER_SECONDS = 0.5
"""Interval at which a process without the port tries to open it: a take-over is done within 2 s."""

TICK_SECONDS = 1.0
"""How often the `Date` of the answers is renewed, and connections that wait too long are looked for."""

_log = structlog.get_logger(__name__)


class Listener:
    """Serves `app` on `host:port` as soon as this process can open the port. Port 0 opens any free port."""

    def __init__(
        self,
        app: ASGIApp,
        host: str,
        port: int,
        *,
        on_serving: Callable[[], None] | None = None,
        limit: int | None = None,
        idle_seconds: int = WAIT_SECONDS,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """`limit`: the most connections at a time; by default what the process's descriptors allow. `idle_seconds`: how
        long a connection is kept for a next request."""
        self._app = app
        self._limit = limit
        self._idle_seconds = idle_seconds
        self._clock = clock
        self.host = host
        self.port = port
        self._on_serving = on_serving
        self.serving = asyncio.Event()
        self.tried = asyncio.Event()
        """Set after the first attempt to open the port, whether it succeeded or failed."""

        self.failure: OSError | None = None
        """Why the port is not open; see `is_taken`."""

    async def run(self) -> None:
        """Serve until cancelled; as long as the port cannot be opened, keep trying."""
        logged = None
        while True:
            try:
                sock = listen(self.host, self.port)
            except OSError as error:
                self.failure = error
                self.tried.set()
                if logged != error.errno:
                    logged = error.errno
                    self._log_failure(error)
                await self._clock.sleep(TAKE_OVER_SECONDS * random.uniform(0.7, 1.3))  # noqa: S311 - only spreads the load
                continue
            self.port = int(sock.getsockname()[1])
            self.failure = logged = None
            await self._serve(sock)

    def _log_failure(self, error: OSError) -> None:
        if is_taken(error):
            _log.info("another process serves the local web app; standing by", port=self.port)
        else:
            _log.error(
                "the local web app cannot be served; trying again",
                host=self.host,
                port=self.port,
                problem=reason(error),
            )

    async def _serve(self, sock: socket.socket) -> None:
        # No access log: it would contain the webhook secret, which is a part of the path.
        config = uvicorn.Config(
            _without_disconnects(self._app),
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            proxy_headers=False,
            timeout_keep_alive=self._idle_seconds,
            timeout_graceful_shutdown=1,
            server_header=False,
        )
        server = _ListenerServer(config, self._started, limit=self._limit, clock=self._clock)
        task = asyncio.create_task(server.serve([sock]))
        try:
            await asyncio.shield(task)
        finally:
            self.serving.clear()
            server.stop()
            with suppress(asyncio.CancelledError, Exception):
                await asyncio.wait_for(task, 1.5)
            sock.close()

    def _started(self) -> None:
        self.serving.set()
        self.tried.set()
        _log.info("serving the local web app", host=self.host, port=self.port)
        if self._on_serving is not None:
            self._on_serving()


class _ListenerServer(uvicorn.Server):
    def __init__(
        self, config: uvicorn.Config, on_started: Callable[[], None], *, limit: int | None, clock: Clock
    ) -> None:
        super().__init__(config)
        self._on_started = on_started
        self._limit = limit or connection_limit()
        self._clock = clock
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        self.should_exit = True
        self._stopping.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections by `Connections`. uvicorn would leave that to asyncio, which has no bound."""
        self.servers = []
        self._connections = Connections(
            self.config, self.server_state, self.lifespan.state, limit=self._limit, clock=self._clock
        )
        self._accepting = [asyncio.create_task(self._connections.accept(sock)) for sock in sockets or []]
        self.started = True
        self._on_started()

    async def main_loop(self) -> None:
        """End as soon as `stop` is called. uvicorn's own loop looks ten times a second whether it is to end."""
        while not await self.on_tick(0):
            self._connections.close_overdue()
            with suppress(TimeoutError):
                async with self._clock.timeout(TICK_SECONDS):
                    await self._stopping.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for task in self._accepting:
            task.cancel()
        await asyncio.gather(*self._accepting, return_exceptions=True)
        self._connections.close_waiting()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave the signals to the program, which stops this server with the other services."""
        yield


def router(*routes: BaseRoute) -> Router:
    """The routes as an app, which needs nothing more of Starlette. It would redirect an address with a final slash to
    the host that the request names: anybody may choose it."""
    return Router(routes, redirect_slashes=False)


def _without_disconnects(app: ASGIApp) -> ASGIApp:
    """`app`, for which it is no error that a client goes away before its request is complete."""

    async def quiet(scope: Scope, receive: Receive, send: Send) -> None:
        with suppress(ClientDisconnect):
            await app(scope, receive, send)

    return quiet


def is_taken(error: OSError) -> bool:
    """Whether `listen` failed because another process has the port open."""
    # Windows reports EACCES for a port that another process has opened exclusively.
    return error.errno == errno.EADDRINUSE or (sys.platform == "win32" and error.errno == errno.EACCES)


def reason(error: OSError) -> str:
    return error.strerror or type(error).__name__


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        OSError: the port cannot be opened; see `is_taken`.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Name the protocol: asyncio sets TCP_NODELAY only on sockets whose protocol is IPPROTO_TCP.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if sys.platform == "win32":  # on Windows, SO_REUSEADDR lets two processes share the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1024)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener
