"""The sandbox as an httpx transport: it opens no socket, but raises the errors that a socket would raise."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import cast

import httpx

from piv_mcp.sandbox.failures import Drop, Hang, Outcome, Refuse, Reply
from piv_mcp.sandbox.sandbox import Sandbox
from piv_mcp.sandbox.service import Incoming


class SandboxTransport(httpx.AsyncBaseTransport):
    """For `httpx.AsyncClient(transport=...)`, with any host and the path `/api/v1`.

    Args:
        sandbox: answers the requests.
        sleep: waits a number of seconds: the delay of a slow reply, or the client's read timeout.
    """

    def __init__(self, sandbox: Sandbox, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._sandbox = sandbox
        self._sleep = sleep

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        content = await request.aread()
        path, _, query = request.url.raw_path.decode("ascii").partition("?")
        incoming = Incoming(request.method, path, query, dict(request.headers), content)
        # Give other tasks a turn, as every request over a network does.
        await asyncio.sleep(0)
        return await self._end(request, self._sandbox.answer(incoming))

    async def _end(self, request: httpx.Request, outcome: Outcome) -> httpx.Response:
        timeout = _read_timeout(request)
        match outcome:
            case Refuse():
                raise httpx.ConnectError("All connection attempts failed", request=request)
            case Drop(reset=True):
                raise httpx.ReadError("", request=request)
            case Drop():
                raise httpx.RemoteProtocolError("Server disconnected without sending a response.", request=request)
            case Reply() as reply if reply.delay <= timeout:
                await self._sleep(reply.delay)
                return httpx.Response(reply.status, headers=list(reply.headers), content=reply.body.encode())
            case Reply() | Hang():
                await self._sleep(timeout)
                raise httpx.ReadTimeout("", request=request)


def _read_timeout(request: httpx.Request) -> float:
    """The client's read timeout in seconds; infinite if it has none."""
    timeouts = cast("dict[str, float | None]", request.extensions.get("timeout", {}))
    seconds = timeouts.get("read")
    return math.inf if seconds is None else seconds
