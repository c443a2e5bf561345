"""The web app for the port that a tunnel may reach: webhooks, and a health check."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router

from piv_mcp import __version__
from piv_mcp.inbox.inbox import Inbox
from piv_mcp.web.addresses import Addresses
from piv_mcp.web.health import Health, proof_of
from piv_mcp.web.listener import router
from piv_mcp.web.webhook_endpoint import MAX_NONCE, WebhookEndpoint


def webhook_app(inbox: Inbox, addresses: Addresses) -> Router:
    """The app for the configured port: webhooks and a health check."""
    webhooks = WebhookEndpoint(inbox, addresses)

    async def health(request: Request) -> Response:
        """Show that piv-mcp serves the port, and prove which store it uses and which secrets it accepts."""
        known, server = await addresses.known(), request.scope.get("server")
        answer = Health(version=__version__, proof="")
        if known.store_id and server is not None:
            about = known.store_id, int(server[1]), request.query_params.get("nonce", "")[:MAX_NONCE]
            answer.proof = proof_of(*about)
            answer.accepts = sorted(proof_of(*about, secret) for secret in known.secrets)
        return JSONResponse(answer.model_dump())

    return router(
        Route("/webhooks/{secret}", webhooks.receive, methods=["POST"]),
        Route("/webhooks/{secret}/", webhooks.receive, methods=["POST"]),  # piv.day might not follow a redirect
        Route("/health", health, methods=["GET"]),
    )
