"""Real processes for the tests: servers over stdio and receivers, on one data directory, beside a sandbox."""

import asyncio
import json
import os
import signal
import socket
import ssl
import sys
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

import fast_server
import httpx
from harness import until
from mcp import Client
from mcp.client import Transport
from mcp.client.stdio import StdioServerParameters, stdio_client

from piv_mcp.sandbox import Sandbox
from piv_mcp.sandbox.serve import serve

SECRET = "a-secret-path-of-the-tests"
KEY = "sk-key-of-the-tests-0123456789"

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients that speak to this machine without TLS: reading the certificates of the world takes them 20 ms each."""

T = TypeVar("T")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def within(seconds: float) -> AsyncGenerator[None]:
    """The block must take less than so many seconds, plus the longest that small Python processes take beside it.

    One takes a tenth of a second on an idle machine. On a machine that is busy with other tests both the block and they
    wait for a processor, so that the limit is about the program and not about the load.
    """
    is_over = asyncio.Event()

    async def longest() -> float:
        found = 0.0
        while True:
            started = time.monotonic()
            process = await asyncio.create_subprocess_exec(sys.executable, "-c", "import asyncio")
            await process.wait()
            found = max(found, time.monotonic() - started)
            if is_over.is_set():
                return found

    running = asyncio.create_task(longest())
    began = time.monotonic()
    try:
        yield
        took = time.monotonic() - began
    finally:
        is_over.set()
        beside = await running
    assert took < seconds + beside


@asynccontextmanager
async def sandbox_on_a_port(sandbox: Sandbox) -> AsyncGenerator[str]:
    """The base URL at which `sandbox` answers."""
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(serve(sandbox, ready=port.set_result))
    try:
        yield f"http://127.0.0.1:{await port}/api/v1"
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


@dataclass
class Machine:
    """One machine: a data directory, a port for webhooks, an account, and the processes that share them."""

    data_dir: Path
    base_url: str
    port: int = field(default_factory=free_port)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/webhooks/{SECRET}"

    def environment(self, **settings: object) -> dict[str, str]:
        given = {
            "api_key": KEY,
            "base_url": self.base_url,
            "data_dir": self.data_dir,
            "webhook_port": self.port,
            "webhook_secret": SECRET,
            **settings,
        }
        return {f"PIV_{name.upper()}": str(value) for name, value in given.items()}

    @asynccontextmanager
    async def server(
        self,
        name: str,
        *,
        client: Callable[[Transport], Client] = Client,
        speed: float = 1.0,
        whole: bool = False,
        around: Mapping[str, str] | None = None,
        descriptors: int | None = None,
        **settings: object,
    ) -> AsyncGenerator["ServerProcess"]:
        """A server over stdio, forked from the template process, and a client of it.

        The server's clock runs `speed` times as fast. `whole` starts `python -m piv_mcp` instead, with all its imports,
        and maybe with so few `descriptors`. `around` are variables of the environment that are no settings.
        """
        self.data_dir.mkdir(mode=0o700, exist_ok=True)
        pid, log = self.data_dir.with_name(f"{name}.pid"), self.data_dir.with_name(f"{name}.log")
        command = fast_server.command(pid, speed=speed)
        if whole:
            command = ["/bin/sh", "-c", f"echo $$ > '{pid}'; {_limited(descriptors)}exec '{sys.executable}' -m piv_mcp"]
        environment = {"BROWSER": "true", **self.environment(**settings), **(around or {})}
        parameters = StdioServerParameters(command=command[0], args=command[1:], env=environment)
        with log.open("a") as stderr:
            async with client(stdio_client(parameters, errlog=stderr)) as connected:
                yield ServerProcess(connected, int(pid.read_text()), log)

    @asynccontextmanager
    async def receiver(
        self, *, descriptors: int | None = None, **settings: object
    ) -> AsyncGenerator[asyncio.subprocess.Process]:
        """`piv-mcp receive`, serving. It logs to `receiver_log`."""
        with self.receiver_log.open("a") as log:
            process = await asyncio.create_subprocess_exec(
                *("/bin/sh", "-c", f"{_limited(descriptors)}exec '{sys.executable}' -m piv_mcp receive"),
                env={**os.environ, **self.environment(**settings)},
                stderr=log,
            )
        try:
            await self.served()
            yield process
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    @property
    def receiver_log(self) -> Path:
        return self.data_dir.with_name("receiver.log")

    async def served(self) -> None:
        """Until somebody serves the local web app."""

        async def look() -> bool:
            with suppress(httpx.TransportError):
                async with httpx.AsyncClient(verify=NO_TLS, trust_env=False, timeout=1) as http:
                    return (await http.get(f"http://127.0.0.1:{self.port}/health")).status_code == 200
            return False

        await until(look, seconds=15, what="the local web app", every=0.05)

    async def post(self, body: bytes) -> httpx.Response | None:
        """Deliver a webhook, once; None where nobody answered."""
        with suppress(httpx.TransportError):
            async with httpx.AsyncClient(verify=NO_TLS, trust_env=False, timeout=5) as http:
                return await http.post(self.url, content=body, headers={"Content-Type": "application/json"})
        return None


def _limited(descriptors: int | None) -> str:
    """What a shell does first to give a process so few descriptors."""
    return f"ulimit -n {descriptors}; " if descriptors is not None else ""


@dataclass(frozen=True)
class ServerProcess:
    client: Client
    pid: int
    log: Path

    async def call(self, tool: str, /, **arguments: Any) -> dict[str, Any]:
        result = await self.client.call_tool(tool, arguments)
        assert not result.is_error, result.content
        return cast("dict[str, Any]", result.structured_content)

    def kill(self) -> None:
        """As `kill -9` does."""
        os.kill(self.pid, signal.SIGKILL)


def sms_webhook(
    piv_num_id: str,
    text: str,
    code: str | None = None,
    at: str = "2026-05-22T12:34:56Z",
    sent: str | None = None,
) -> bytes:
    data = {"piv_num_id": piv_num_id, "text": text, "code": code, "country": "SE", "received_at": at}
    return json.dumps({"event_type": "sms.received", "timestamp": sent or at, "data": data}).encode()
