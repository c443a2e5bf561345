"""The two local web apps: webhooks and the approval page for the configured port; the page alone for a second port."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from piv_mcp import __version__
from piv_mcp.errors import StoreError
from piv_mcp.inbox.inbox import Inbox
from piv_mcp.spending.journal import Journal
from piv_mcp.store import facts
from piv_mcp.web.approval_page import ApprovalPage
from piv_mcp.web.serving import Health, proof_of
from piv_mcp.web.webhook_endpoint import WebhookEndpoint


def web_app(inbox: Inbox, journal: Journal, *, webhook_secret: str, page_key: str) -> Starlette:
    """The app for the configured port: webhooks, the approval page and a health check."""
    webhooks = WebhookEndpoint(inbox, webhook_secret)

    async def health(request: Request) -> Response:
        """Show that piv-mcp serves the port, and prove to another piv-mcp that both use the same key and store."""
        try:
            store = await inbox.store.read(facts.get, facts.STORE_ID) or ""
        except StoreError:
            store = ""
        proof = proof_of(page_key, store, request.query_params.get("nonce", "")[:100])
        return JSONResponse(Health(version=__version__, proof=proof).model_dump())

    return Starlette(
        routes=[
            Route("/webhooks/{secret}", webhooks.receive, methods=["POST"]),
            Route("/webhooks/{secret}/", webhooks.receive, methods=["POST"]),  # piv.day might not follow a redirect
            Route("/health", health, methods=["GET"]),
            *_pages(inbox, journal, page_key),
        ]
    )


def page_app(inbox: Inbox, journal: Journal, *, page_key: str) -> Starlette:
    """The app for a second port: the approval page alone."""
    return Starlette(routes=_pages(inbox, journal, page_key))


def _pages(inbox: Inbox, journal: Journal, page_key: str) -> list[Route]:
    approvals = ApprovalPage(journal, inbox.changes, page_key, inbox.clock)
    return [
        Route("/approvals/{entry_id}", approvals.show, methods=["GET"]),
        Route("/approvals/{entry_id}", approvals.decide, methods=["POST"]),
    ]
