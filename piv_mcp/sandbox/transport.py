"""The sandbox as an httpx transport: no socket, but the errors that a socket would have had."""

import asyncio
import math
from typing import TYPE_CHECKING, cast

import httpx

from piv_mcp.sandbox.failures import Drop, Hang, Outcome, Refuse, Reply
from piv_mcp.sandbox.service import Incoming

if TYPE_CHECKING:
    from piv_mcp.sandbox.sandbox import Sandbox


class SandboxTransport(httpx.AsyncBaseTransport):
    def __init__(self, sandbox: "Sandbox") -> None:
        self._sandbox = sandbox

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        content = await request.aread()
        path, _, query = request.url.raw_path.decode("ascii").partition("?")
        incoming = Incoming(request.method, path, query, dict(request.headers), content)
        # A network always lets others run.
        await asyncio.sleep(0)
        return await _end(request, self._sandbox.answer(incoming))


async def _end(request: httpx.Request, outcome: Outcome) -> httpx.Response:
    patience = _patience(request)
    match outcome:
        case Refuse():
            raise httpx.ConnectError("All connection attempts failed", request=request)
        case Drop(reset=True):
            raise httpx.ReadError("", request=request)
        case Drop():
            raise httpx.RemoteProtocolError("Server disconnected without sending a response.", request=request)
        case Reply() as reply if reply.delay <= patience:
            await asyncio.sleep(reply.delay)
            return httpx.Response(reply.status, headers=list(reply.headers), content=reply.body.encode())
        case Reply() | Hang():
            await asyncio.sleep(patience)
            raise httpx.ReadTimeout("", request=request)


def _patience(request: httpx.Request) -> float:
    """The client's read timeout."""
    timeouts = cast("dict[str, float | None]", request.extensions.get("timeout", {}))
    patience = timeouts.get("read")
    return math.inf if patience is None else patience
