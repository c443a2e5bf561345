"""An HTTP client for the servers that the tests run on this machine, and a server of a stranger."""

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx
from starlette.applications import Starlette
from starlette.routing import Route

from piv_mcp.web.listener import Listener


def http_client(base_url: str = "", *, timeout: float = 5) -> httpx.AsyncClient:
    """For plain HTTP. No certificates are loaded, which takes 30 ms of a processor for each client."""
    without_certificates = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return httpx.AsyncClient(base_url=base_url, timeout=timeout, trust_env=False, verify=without_certificates)


@asynccontextmanager
async def stranger(*routes: Route) -> AsyncGenerator[str]:
    """Some other web server on this machine."""
    host = Listener(Starlette(routes=routes), "127.0.0.1", 0)
    running = asyncio.create_task(host.run())
    await asyncio.wait_for(host.serving.wait(), 20)
    try:
        yield f"http://127.0.0.1:{host.port}"
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
