"""The sandbox as an ASGI app: the API below `/api/v1`, the controls below `/_sandbox`."""

import asyncio
from collections.abc import Callable
from typing import cast

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from piv_mcp.sandbox.control import control_app
from piv_mcp.sandbox.failures import Drop, Hang, Refuse, Reply
from piv_mcp.sandbox.sandbox import Sandbox
from piv_mcp.sandbox.service import Incoming

ABORT = "piv.sandbox.abort"
"""Name of an ASGI extension of `serve`: a function that closes the connection, with a TCP reset if `reset=True`."""


def sandbox_app(sandbox: Sandbox) -> ASGIApp:
    controls = control_app(sandbox)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"the sandbox speaks plain HTTP, not {scope['type']}")
        if str(scope["path"]).startswith("/_sandbox/"):
            await controls(scope, receive, send)
            return
        await _exchange(sandbox, scope, receive, send)

    return app


async def _exchange(sandbox: Sandbox, scope: Scope, receive: Receive, send: Send) -> None:
    request = Request(scope, receive)
    # `raw_path` is optional in ASGI.
    raw_path = cast("bytes | None", scope.get("raw_path")) or str(scope["path"]).encode()
    incoming = Incoming(
        request.method,
        raw_path.partition(b"?")[0].decode("ascii"),
        request.url.query,
        dict(request.headers),
        await request.body(),
    )
    match sandbox.answer(incoming):
        case Reply() as reply:
            await asyncio.sleep(reply.delay)
            response = Response(reply.body.encode(), reply.status, dict(reply.headers))
            await response(scope, receive, send)
        case Drop(reset):
            _abort(scope, reset=reset)
            await _disconnected(receive)
        case Refuse():
            _abort(scope, reset=False)
            await _disconnected(receive)
        case Hang():
            await _disconnected(receive)


def _abort(scope: Scope, *, reset: bool) -> None:
    abort = cast("Callable[..., None] | None", scope.get("extensions", {}).get(ABORT))
    if abort is None:
        raise ConnectionAbortedError("this server cannot close a connection for the sandbox")
    abort(reset=reset)


async def _disconnected(receive: Receive) -> None:
    """Wait until the client has disconnected. If an app ends earlier without an answer, the server sends a 500."""
    while (await receive())["type"] != "http.disconnect":
        pass
