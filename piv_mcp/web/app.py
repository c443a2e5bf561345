"""The one small web app of the machine: webhooks, and the approval page."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from piv_mcp import __version__
from piv_mcp.errors import StoreError
from piv_mcp.inbox.inbox import Inbox
from piv_mcp.spending.journal import Journal
from piv_mcp.web.approvals import Approvals
from piv_mcp.web.presence import Health
from piv_mcp.web.webhooks import Webhooks


def web_app(inbox: Inbox, journal: Journal, *, webhook_secret: str, page_key: str) -> Starlette:
    webhooks = Webhooks(inbox, webhook_secret)
    approvals = Approvals(journal, inbox.changes, page_key)

    async def receive(request: Request) -> Response:
        return await webhooks(request)

    async def health(request: Request) -> Response:
        """Whether the port is answered by piv-mcp rather than by a stranger, and with which store."""
        try:
            store = await journal.store_id()
        except StoreError:
            store = None
        return JSONResponse(Health(version=__version__, store=store).model_dump())

    return Starlette(
        routes=[
            Route("/webhooks/{secret}", receive, methods=["POST"]),
            Route("/approvals/{id}", approvals.show, methods=["GET"]),
            Route("/approvals/{id}", approvals.decide, methods=["POST"]),
            Route("/health", health, methods=["GET"]),
        ]
    )
