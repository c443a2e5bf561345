"""Serves many agents over HTTP, from one process of maybe several: `/mcp`, `/webhooks/<secret>`, `/health`, `/ready`.
On a port of its own, it serves the console for the people who decide.

Nothing of a request is kept here, so that any process with the same store answers any request.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from piv_mcp import __version__
from piv_mcp.api.credentials import LOOPBACK
from piv_mcp.config import Settings
from piv_mcp.errors import ConfigError, PivError
from piv_mcp.log import Redactor
from piv_mcp.server.account_files import read_accounts
from piv_mcp.server.build import build_server
from piv_mcp.server.door import Door
from piv_mcp.server.fleet import Fleet
from piv_mcp.server.identity import Roster
from piv_mcp.server.issuer import Issuer
from piv_mcp.server.observing import RequestIds
from piv_mcp.server.seal import SharedSeal, security
from piv_mcp.store import Store, operators
from piv_mcp.store.directory import open_directory
from piv_mcp.store.engines import open_store
from piv_mcp.text.times import SYSTEM_CLOCK, Clock
from piv_mcp.web.connections import connection_limit, raise_descriptors
from piv_mcp.web.listener import Listener, is_taken, reason, router
from piv_mcp.web.outside import Forwarded, OutsideAddress

if TYPE_CHECKING:
    from piv_mcp.console.hosted import HostedConsole

MCP_PATH = "/mcp"

METADATA_PATH = "/.well-known/oauth-protected-resource"

MAX_CALL_BODY = 1024 * 1024
"""Bytes of a request. What our tools take has a few KiB."""

DRAIN_SECONDS = 18.0
"""How long the calls that run may take to end after a stop was asked for. With what follows it stays below 25 s."""

STOP_HOSTED_SECONDS = 5.0
"""How long stopping the services may take after that."""

MOST_CONNECTIONS = 8192
"""At a time: each call that waits has one."""

CONSOLE_CONNECTIONS = 512
"""Likewise of the console: each page that is open has one."""

KEEP_ALIVE_SECONDS = 150
"""How long a connection is kept for a next request: longer than proxies keep theirs, which could use one that ends."""


async def serve_http(
    settings: Settings,
    redactor: Redactor,
    stop: asyncio.Event,
    *,
    ready: Callable[[int], None] = lambda port: None,
    clock: Clock = SYSTEM_CLOCK,
) -> None:
    """Serve until `stop` is set; then let nobody in, and end when the calls that run have ended. `ready` is called
    with the port as soon as it is open.

    Raises:
        ConfigError: the settings do not go together, or the port cannot be opened.
    """
    _check(settings)
    raise_descriptors()
    store = open_store(settings, open_directory(settings))
    try:
        await _Serving(settings, redactor, store, clock).run(stop, ready)
    finally:
        await store.close()


class _Serving:
    """The parts of a server for many, and their beginning and end. `store` is read for nobody's account."""

    def __init__(self, settings: Settings, redactor: Redactor, store: Store, clock: Clock) -> None:
        self._clock = clock
        self._settings = settings
        self._store = store
        self._log = structlog.get_logger(__name__)
        seal = SharedSeal()
        self._fleet = Fleet(settings, redactor, clock=clock)
        self._server = build_server(settings, self._fleet, seal=security(seal))
        self._sessions = self._server.http_sessions(MAX_CALL_BODY)
        self._roster = Roster(store, seal, clock)
        verifier, challenge = None, "Bearer"
        if settings.oauth_issuer is not None:
            verifier = Issuer(settings.oauth_issuer, _audience(settings), clock)
            challenge = f'Bearer resource_metadata="{settings.public_url}{METADATA_PATH}{MCP_PATH}"'
        self._limit = connection_limit(MOST_CONNECTIONS, descriptors_each=2)
        self._door = Door(
            self._sessions.handle_request,
            self._roster,
            OutsideAddress(settings.public_url),
            verifier=verifier,
            challenge=challenge,
            connections=self._limit,
            clock=clock,
        )

    async def run(self, stop: asyncio.Event, ready: Callable[[int], None]) -> None:
        settings = self._settings
        console = _console(settings, self._store, self._clock, self._fleet) if settings.console_url else None
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._door.close)
            if console is not None:
                at = settings.console_host, settings.console_port
                limit = min(self._limit, CONSOLE_CONNECTIONS)
                await stack.enter_async_context(self._listening(console, *at, "PIV_CONSOLE", limit))
                self._log.info("serving the console", url=settings.console_url)
            at = settings.http_host, settings.http_port
            port = await stack.enter_async_context(self._listening(self._app(), *at, "PIV_HTTP", self._limit))
            ready(port)
            await self._serve(stop)

    @asynccontextmanager
    async def _listening(self, app: ASGIApp, host: str, port: int, settings: str, limit: int) -> AsyncGenerator[int]:
        """Serve the app in the block, on `limit` connections at most; yields the port. The names of the `settings` of
        host and port begin so.

        Raises:
            ConfigError: the port cannot be opened.
        """
        listener = Listener(
            Forwarded(app, self._settings.trusted_proxies or ()),
            host,
            port,
            limit=limit,
            idle_seconds=KEEP_ALIVE_SECONDS,
            clock=self._clock,
        )
        listening = asyncio.create_task(listener.run())
        try:
            await listener.tried.wait()
            if listener.failure is not None:
                raise _not_opened(port, settings, listener.failure)
            yield listener.port
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _serve(self, stop: asyncio.Event) -> None:
        async with self._sessions.run():
            self._door.is_open = True
            await self._say_what_is_missing()
            await stop.wait()
            self._log.info("stopping: running calls may end", seconds=DRAIN_SECONDS)
            draining = asyncio.create_task(self._door.drain(DRAIN_SECONDS))
            await asyncio.sleep(0)  # first nobody comes in any more
            self._fleet.stop_waits()
            self._server.end_listening()
            await draining

    def _app(self) -> ASGIApp:
        return router(
            Route(MCP_PATH, RequestIds(self._door)),
            Route("/webhooks/{secret}", self._fleet.receive, methods=["POST"]),
            Route("/webhooks/{secret}/", self._fleet.receive, methods=["POST"]),  # piv.day might not follow a redirect
            Route("/health", self._health, methods=["GET"]),
            Route("/ready", self._ready, methods=["GET"]),
            *(Route(f"{METADATA_PATH}{path}", self._about_tokens, methods=["GET"]) for path in (MCP_PATH, "")),
        )

    async def _health(self, _: Request) -> Response:
        return JSONResponse({"name": "piv-mcp", "version": __version__})

    async def _about_tokens(self, _: Request) -> Response:
        """Where a client gets a token (RFC 9728), for any page: it is no secret."""
        if self._settings.oauth_issuer is None:
            return JSONResponse({"error": "not found"}, 404)
        about = {
            "resource": f"{self._settings.public_url}{MCP_PATH}",
            "authorization_servers": [self._settings.oauth_issuer],
            "bearer_methods_supported": ["header"],
            "resource_name": "piv-mcp",
        }
        return JSONResponse(about, headers={"Access-Control-Allow-Origin": "*", "Cache-Control": "max-age=3600"})

    async def _ready(self, _: Request) -> Response:
        if self._door.is_stopping:
            problem = "stopping"
        elif not (self._door.is_open and self._fleet.tried.is_set()):
            problem = "starting"
        elif not await self._roster.is_readable():
            problem = "the store is out of reach"
        elif not self._fleet.started():
            problem = "no account is served"
        elif not self._roster.is_writable():
            problem = "the store cannot be written"
        else:
            return JSONResponse({"ready": True})
        return JSONResponse({"ready": False, "problem": problem}, 503, {"Retry-After": "2"})

    async def _say_what_is_missing(self) -> None:
        try:
            if self._settings.oauth_issuer is None and await self._roster.is_empty():
                self._log.warning("no agent may use this server yet", do="piv-mcp agents add NAME")
            if self._settings.console_url is not None and not await self._store.read(operators.are_there):
                self._log.warning("nobody may sign in to the console yet", do="piv-mcp operators add NAME")
        except PivError as error:
            self._log.error("the store cannot be read yet", problem=error.message)


def _audience(settings: Settings) -> str:
    return settings.oauth_audience or f"{settings.public_url}{MCP_PATH}"


def _check(settings: Settings) -> None:
    """Raises `ConfigError` for settings that do not go together."""
    if settings.oauth_issuer is not None and settings.public_url is None:
        raise ConfigError("PIV_OAUTH_ISSUER is set, and PIV_PUBLIC_URL is not", hint="Set both")
    if settings.oauth_audience is not None and settings.oauth_issuer is None:
        raise ConfigError("PIV_OAUTH_AUDIENCE is set, and PIV_OAUTH_ISSUER is not", hint="Set both")
    if settings.public_url is None and settings.http_host not in LOOPBACK:
        raise ConfigError(
            "PIV_PUBLIC_URL is not set, and PIV_HTTP_HOST is not this machine alone",
            hint="Set PIV_PUBLIC_URL to the address at which agents and piv.day reach this server",
        )
    if settings.accounts_dir is not None and settings.webhook_secret is not None:
        raise ConfigError(
            "PIV_WEBHOOK_SECRET is for one account, and PIV_ACCOUNTS_DIR is set",
            hint="Put each account's secret into its file NAME.webhook, or leave it out",
        )
    if settings.sandbox and settings.data_dir is None and settings.store_url is None:
        raise ConfigError("a sandbox over HTTP needs PIV_DATA_DIR", hint="It holds the agents: piv-mcp agents add NAME")
    found, problems = read_accounts(settings)
    if settings.accounts_dir is None and not found:
        raise ConfigError("there is no account", hint="Set PIV_API_KEY_FILE or PIV_API_KEY, or PIV_ACCOUNTS_DIR")
    if problem := problems.get("PIV_ACCOUNTS_DIR"):
        raise ConfigError(f"PIV_ACCOUNTS_DIR {problem}")


def _console(settings: Settings, store: Store, clock: Clock, fleet: Fleet) -> "HostedConsole":
    try:
        from piv_mcp.console.hosted import HostedConsole  # late: of the extra `server`
    except ImportError:
        raise ConfigError(
            "PIV_CONSOLE_URL needs packages that are not installed", hint="pip install 'piv-mcp[server]'"
        ) from None
    return HostedConsole(settings, store, fleet.of_account, store.clock(clock))


def _not_opened(port: int, settings: str, error: OSError) -> ConfigError:
    if is_taken(error):
        return ConfigError(f"port {port} is in use by another program", hint=f"End it, or set {settings}_PORT")
    return ConfigError(f"port {port} cannot be opened at {settings}_HOST ({reason(error)})")
