"""Servers over HTTP for the tests: in this process, or in processes of their own, beside piv.day's stand-in."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import httpx2
from engines import store_url
from harness import Era, Person, content_of, until
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from plain_http import http_client
from processes import KEY, NO_TLS, free_port
from pydantic import SecretStr
from starlette.types import Receive, Scope, Send

from piv_mcp.cli.agent_rows import WantedAgent, add_agent
from piv_mcp.config import Settings, load
from piv_mcp.log import Redactor
from piv_mcp.sandbox import Sandbox
from piv_mcp.sandbox.app import sandbox_app
from piv_mcp.server.http import serve_http
from piv_mcp.web.listener import Listener

HEADERS = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}


@asynccontextmanager
async def piv_day(*sandboxes: Sandbox) -> AsyncGenerator[str]:
    """The base URL at which the account of each key answers."""
    apps = {f"Bearer {sandbox.api_key}": sandbox_app(sandbox) for sandbox in sandboxes}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        given = dict(scope["headers"]).get(b"authorization", b"").decode()
        await apps.get(given, next(iter(apps.values())))(scope, receive, send)

    listener = Listener(app, "127.0.0.1", 0)
    running = asyncio.create_task(listener.run())
    await asyncio.wait_for(listener.serving.wait(), 20)
    try:
        yield f"http://127.0.0.1:{listener.port}/api/v1"
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@dataclass
class Replica:
    """A server over HTTP."""

    port: int
    settings: Settings
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def http(self, token: str | None = None, *, timeout: float = 20) -> httpx.AsyncClient:
        """A client that knows nothing of MCP."""
        client = http_client(self.url, timeout=timeout)
        client.headers.update(HEADERS if token is None else {**HEADERS, "Authorization": f"Bearer {token}"})
        return client

    @asynccontextmanager
    async def client(self, token: str, era: Era = "auto", person: Person | None = None) -> AsyncGenerator[Client]:
        """The SDK's client, as the agent with this token."""
        headers = {"Authorization": f"Bearer {token}"}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=60, verify=NO_TLS, trust_env=False) as http,
            Client(
                streamable_http_client(f"{self.url}/mcp", http_client=http), mode=era, elicitation_callback=person
            ) as client,
        ):
            yield client

    async def call(self, token: str, tool: str, /, era: Era = "auto", **arguments: Any) -> dict[str, Any]:
        async with self.client(token, era) as client:
            return content_of(await client.call_tool(tool, arguments))

    async def is_ready(self) -> bool:
        with suppress(httpx.TransportError):
            async with self.http() as http:
                return (await http.get("/ready")).status_code == 200
        return False

    async def secret(self) -> str:
        """Of the webhooks, of the only account."""
        from piv_mcp.store import facts  # late: few tests need it
        from piv_mcp.store.engines import open_store

        store = open_store(self.settings, self.settings.directory)
        try:
            return str(await store.read(facts.get, f"{facts.WEBHOOK_SECRET}@1"))
        finally:
            await store.close()


@dataclass
class Site:
    """One store, and the servers over HTTP that share it."""

    data_dir: Path
    given: dict[str, Any]

    def settings(self, **changed: Any) -> Settings:
        return load(**{"transport": "http", "data_dir": self.data_dir, "http_port": 0, **self.given, **changed})

    async def agent(self, name: str = "bot", **limits: Any) -> str:
        """The token of a new agent."""
        wanted: dict[str, Any] = {
            "account": None,
            "toolsets": None,
            "read_only": False,
            "numbers": None,
            "spend_mode": None,
            "auto_approve_max": None,
            "daily_budget": None,
            "attended": False,
            "subject": None,
            **limits,
        }
        return await add_agent(self.settings(), WantedAgent(name=name, **wanted))

    @asynccontextmanager
    async def server(self, **settings: Any) -> AsyncGenerator[Replica]:
        """In this process."""
        chosen = self.settings(**settings)
        port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        stop = asyncio.Event()
        serving = asyncio.create_task(serve_http(chosen, Redactor(), stop, ready=port.set_result))
        try:
            await asyncio.wait({serving, port}, return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                await serving
            replica = Replica(await port, chosen, stop)
            await until(replica.is_ready, seconds=20, what="the server is ready", every=0.05)
            yield replica
        finally:
            stop.set()
            await serving

    @asynccontextmanager
    async def process(self, **settings: Any) -> AsyncGenerator[Replica]:
        """In a process of its own, as `piv-mcp serve --transport http`."""
        port = free_port()
        given = {"data_dir": self.data_dir, "http_port": port, **self.given, **settings}
        environment = {f"PIV_{name.upper()}": _plain(value) for name, value in given.items()}
        with self.data_dir.with_name(f"replica-{port}.log").open("w") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "piv_mcp", "serve", "--transport", "http"),
                env={**os.environ, **environment},
                stderr=log,
            )
        replica = Replica(port, self.settings(http_port=port, **settings), process=process)
        try:
            await until(replica.is_ready, seconds=30, what="the process is ready", every=0.1)
            yield replica
        finally:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            await process.wait()


def _plain(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def site(data_dir: Path, base_url: str, **settings: Any) -> Site:
    data_dir.mkdir(mode=0o700, exist_ok=True)
    url = store_url(data_dir / "store.sqlite3")
    return Site(data_dir, {"api_key": KEY, "base_url": base_url, **({"store_url": url} if url else {}), **settings})
