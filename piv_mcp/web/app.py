"""The one small web app of the machine."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from piv_mcp import __version__
from piv_mcp.inbox.inbox import Inbox
from piv_mcp.web.webhooks import Webhooks


def web_app(inbox: Inbox, secret: str) -> Starlette:
    webhooks = Webhooks(inbox, secret)

    async def receive(request: Request) -> Response:
        return await webhooks(request)

    async def health(request: Request) -> Response:
        """For `doctor`: whether the port is answered by piv-mcp rather than by a stranger."""
        return JSONResponse({"name": "piv-mcp", "version": __version__})

    return Starlette(
        routes=[
            Route("/webhooks/{secret}", receive, methods=["POST"]),
            Route("/health", health, methods=["GET"]),
        ]
    )
