"""The web app for the person alone."""

from starlette.routing import Route, Router

from piv_mcp.console.approvals import ApprovalPage
from piv_mcp.inbox.inbox import Inbox
from piv_mcp.spending.approval.page_views import PageViews
from piv_mcp.spending.journal import Journal
from piv_mcp.web.listener import router
from piv_mcp.web.visitors import Visitors


def page_app(inbox: Inbox, journal: Journal, views: PageViews, visitors: Visitors) -> Router:
    """The app for the person's own port: the approval page."""
    page = ApprovalPage(journal, inbox.changes, views, visitors, inbox.clock)
    return router(
        Route("/approvals/{visit}/open/{secret}", page.enter, methods=["GET"]),
        Route("/approvals/{visit}", page.show, methods=["GET"]),
        Route("/approvals/{visit}/changes", page.changed, methods=["GET"]),
        Route("/approvals/{visit}/{entry_id}", page.decide, methods=["POST"]),
    )
