"""The way in on a laptop: an invitation leads the browser that we opened to its visit, which has a cookie. See
`web/visitors.py`."""

from collections.abc import Callable

import structlog
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from piv_mcp.text.language import Code, Language, preferred
from piv_mcp.text.times import SYSTEM_CLOCK, Clock
from piv_mcp.web.guards import GUESSES_A_MINUTE, PAGE_HEADERS, Guesses, plain_text
from piv_mcp.web.visitors import Visit, Visitors

PREFETCH_HEADERS = ("sec-purpose", "purpose", "x-purpose", "x-moz")
"""Headers with which browsers mark a request that nobody has made yet."""

_log = structlog.get_logger(__name__)


class LaptopEntrance:
    """Lets the visits of one listener in (implements `Entrance`). `wake` ends the waits of open pages."""

    def __init__(
        self, visitors: Visitors, wake: Callable[[], None], chosen: Code | None = None, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._visitors = visitors
        self._wake = wake
        self._chosen: Code | None = chosen
        self._guesses = Guesses(clock)

    @property
    def is_closing(self) -> bool:
        return self._visitors.is_closing

    async def enter(self, request: Request) -> Response:
        """Lead the browser that uses an invitation to the pages, and give it the cookie of the visit."""
        if (refused := await self._visitors.refusal(request)) is not None:
            return refused
        visit_id = request.path_params["visit"]
        invitation = self._visitors.invitation(visit_id, request.path_params["secret"])
        if invitation is None:
            return self._not_found(request)
        language = self._language(request)
        if request.method != "GET" or any("prefetch" in request.headers.get(name, "") for name in PREFETCH_HEADERS):
            return plain_text(503, language.gettext("Open this address in a browser."))  # nobody has opened it yet
        # The same browser may come again, for example by its Back button.
        if self._visitors.visit(visit_id, request) is None and not self._visitors.use(invitation):
            self._wake()  # an open page shows that it is void
            return _void_page(language)
        return _leading_to(invitation.visit, language)

    async def guest(self, request: Request) -> Visit | Response:
        if (refused := await self._visitors.refusal(request)) is not None:
            return refused
        visit = self._visitors.visit(request.path_params["visit"], request)
        if visit is None:
            return self._not_found(request)
        if visit.is_void:
            return _void_page(self._language(request))
        return visit

    def _language(self, request: Request) -> Language:
        return preferred(request.headers.get("accept-language", ""), self._chosen)

    def _not_found(self, request: Request) -> Response:
        guesses, language = self._guesses.add(), self._language(request)
        if guesses > GUESSES_A_MINUTE:
            return plain_text(429, language.gettext("Too many requests with a wrong address."))
        _log.warning("a request to the person's pages with a wrong address or cookie", in_this_minute=guesses)
        return plain_text(404, language.gettext("There is no such page."))


def _leading_to(visit: Visit, language: Language) -> Response:
    """A page that leads on to the visit's pages. A redirect would not do: for the browser it belongs to whoever opened
    the address, so that it would leave the strict cookie out."""
    headers = {name: value for name, value in PAGE_HEADERS.items() if name != "Content-Security-Policy"}
    response = HTMLResponse(
        f'<!doctype html><html lang="{language.code}"><meta charset="utf-8"><title>piv-mcp</title>'
        f'<meta http-equiv="refresh" content="0;url={visit.path}/"><a href="{visit.path}/">'
        f"{language.gettext('Go to the page')}</a>",
        headers={**headers, "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"},
    )
    response.set_cookie(visit.cookie_name, visit.cookie, path=visit.path, httponly=True, samesite="strict")
    return response


def _void_page(language: Language) -> Response:
    return plain_text(
        403,
        language.gettext(
            "The address of this page was opened twice, perhaps by another program, so the page is closed. Nothing can "
            "be decided here any more. Decide in a terminal: piv-mcp approvals"
        ),
    )
