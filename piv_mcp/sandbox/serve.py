"""The sandbox on its own port, where failures close real TCP connections."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable, Generator
from typing import cast

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from piv_mcp.sandbox.app import ABORT, sandbox_app
from piv_mcp.sandbox.sandbox import Sandbox


async def serve(
    sandbox: Sandbox,
    host: str = "127.0.0.1",
    port: int = 0,
    ready: Callable[[int], None] | None = None,
    *,
    handle_signals: bool = False,
) -> None:
    """Serve until cancelled, or until SIGINT or SIGTERM with `handle_signals`.

    `ready` is called with the port when the server answers requests. Raises OSError if the port cannot be opened.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Name the protocol: asyncio sets TCP_NODELAY only on sockets whose `proto` is TCP.
    with socket.create_server((host, port), family=family) as unnamed:
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, fileno=unnamed.detach())

    def announce() -> None:
        if ready is not None:
            ready(listener.getsockname()[1])

    config = uvicorn.Config(
        sandbox_app(sandbox),
        http=_AbortableProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=0,
    )
    server = _SandboxServer(config, announce, handle_signals)
    running = asyncio.ensure_future(server.serve([listener]))
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        server.stop()
        await running
        raise
    finally:
        listener.close()
        await sandbox.aclose()


class _SandboxServer(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], object], handle_signals: bool) -> None:
        super().__init__(config)
        self._ready = ready
        self._handle_signals = handle_signals
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        self.should_exit = self.force_exit = True
        self._stopped.set()

    async def main_loop(self) -> None:
        # uvicorn checks `should_exit` only every 0.1 s.
        loop = asyncio.ensure_future(super().main_loop())
        stopped = asyncio.ensure_future(self._stopped.wait())
        await asyncio.wait((loop, stopped), return_when=asyncio.FIRST_COMPLETED)
        loop.cancel()
        stopped.cancel()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        with super().capture_signals() if self._handle_signals else contextlib.nullcontext():
            yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Requests that hang on purpose would delay the shutdown, or get an answer from it.
        for connection in list(self.server_state.connections):
            cast("_AbortableProtocol", connection).transport.abort()
        await super().shutdown(sockets)


class _AbortableProtocol(H11Protocol):
    """Puts a function into the ASGI scope with which the app closes the connection without an answer."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        app = cast("ASGIApp", self.app)

        def abort(*, reset: bool) -> None:
            if reset:
                lingering = struct.pack("ii", 1, 0)
                transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, lingering)
            transport.abort()

        async def abortable(scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("extensions", {})[ABORT] = abort
            await app(scope, receive, send)

        self.app = abortable
