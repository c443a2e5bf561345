"""The web app for the person alone: a table of its pages, and what each request of one goes through."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import structlog
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route, Router

from piv_mcp.console import account, approvals, asked, commitments, entry, freeze, health, inbox, live, spending
from piv_mcp.console.kept import Kept
from piv_mcp.console.laptop import LaptopEntrance
from piv_mcp.console.look import Entrance, Examine, Guest, PersonLook, Tab
from piv_mcp.console.rendering import bare_page
from piv_mcp.console.rendering import page as rendered
from piv_mcp.errors import PivError
from piv_mcp.services import Services
from piv_mcp.text.language import Code, Language, preferred
from piv_mcp.text.times import SYSTEM_CLOCK, Clock
from piv_mcp.web.guards import is_same_origin, plain_text
from piv_mcp.web.listener import router
from piv_mcp.web.visitors import Visitors

Handler = Callable[[PersonLook], Awaitable[Response]]

STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""Of answers that do not end. The second tells a proxy not to gather them."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsolePage:
    """A page of the navigation, at `{guest.path}/{name}`.

    `state` is what the page shows as far as it can change by itself: an open page is shown anew when it does. None: the
    page follows no changes. `beat` is called every few seconds while the page is open.
    """

    name: str
    title: Callable[[Language], str]
    show: Handler
    state: Callable[[PersonLook], Awaitable[object]] | None = None
    count: Callable[[PersonLook], Awaitable[int]] | None = None
    beat: Callable[[PersonLook], Awaitable[None]] | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """What belongs to a page and has a path of its own: the target of a form (POST), a download, a page of one thing.
    `page` is the name of the page that it belongs to."""

    method: Literal["GET", "POST"]
    path: str
    page: str
    act: Handler


PAGES: tuple[ConsolePage, ...] = (
    ConsolePage(
        name="inbox",
        title=lambda language: language.gettext("Inbox"),
        show=inbox.inbox,
        state=inbox.state,
    ),
    ConsolePage(
        name="approvals",
        title=lambda language: language.gettext("Approvals"),
        show=approvals.approvals,
        state=approvals.state,
        count=approvals.count,
        beat=approvals.beat,
    ),
    ConsolePage(
        name="spending",
        title=lambda language: language.gettext("Spending"),
        show=spending.spending,
        state=spending.state,
        count=spending.count,
    ),
    ConsolePage(
        name="commitments",
        title=lambda language: language.gettext("Commitments"),
        show=commitments.commitments,
        state=asked.state,
    ),
    ConsolePage(
        name="account",
        title=lambda language: language.gettext("Account"),
        show=account.account,
        state=asked.state,
    ),
    ConsolePage(
        name="freeze",
        title=lambda language: language.gettext("Freeze"),
        show=freeze.freeze,
        state=freeze.state,
        count=freeze.count,
    ),
    ConsolePage(
        name="health",
        title=lambda language: language.gettext("Health"),
        show=health.health,
    ),
)
"""In the order of the navigation."""

PARTS: tuple[Part, ...] = (
    Part("POST", "approvals/{entry_id}", "approvals", approvals.decide),
    Part("POST", "spending/look-again", "spending", spending.look_again),
    Part("GET", "spending/export/{format}", "spending", spending.export),
    Part("GET", "spending/{entry_id}", "spending", entry.entry),
    Part("POST", "commitments/anew", "commitments", commitments.ask_anew),
    Part("POST", "account/anew", "account", account.ask_anew),
    Part("POST", "freeze/begin", "freeze", freeze.begin),
    Part("POST", "freeze/end", "freeze", freeze.end),
    Part("POST", "health/examine", "health", health.examine_anew),
)


class Console:
    """The pages of one listener. `services` gives those of a guest's account. `language` is the one that was set; None:
    the browser's. With one page alone there is no navigation."""

    def __init__(
        self,
        entrance: Entrance,
        services: Callable[[Guest], Awaitable[Services]],
        language: Code | None = None,
        clock: Clock = SYSTEM_CLOCK,
        pages: Sequence[ConsolePage] = PAGES,
        examine: Examine | None = None,
    ) -> None:
        self._entrance = entrance
        self._services = services
        self._language: Code | None = language
        self._clock = clock
        self._kept = Kept(clock)
        self._examine = examine
        self._pages = {page.name: page for page in pages}

    def routes(self, prefix: str = "") -> list[Route]:
        """The routes below `prefix`, which is the guests' path."""
        routes = [
            Route(f"{prefix}/", self._home, methods=["GET"]),
            Route(f"{prefix}/live", self._live, methods=["GET"]),
        ]
        for page in self._pages.values():
            routes.append(Route(f"{prefix}/{page.name}", self._shows(page), methods=["GET"]))
        for part in PARTS:
            if (page := self._pages.get(part.page)) is not None:
                routes.append(Route(f"{prefix}/{part.path}", self._acts(part, page), methods=[part.method]))
        return routes

    async def _home(self, request: Request) -> Response:
        guest = await self._entrance.guest(request)
        if isinstance(guest, Response):
            return guest
        return RedirectResponse(f"{guest.path}/{next(iter(self._pages))}", 303, headers={"Cache-Control": "no-store"})

    def _shows(self, page: ConsolePage) -> Callable[[Request], Awaitable[Response]]:
        async def show(request: Request) -> Response:
            return await self._answer(request, page, page.show, follows=page.state is not None)

        return show

    def _acts(self, part: Part, page: ConsolePage) -> Callable[[Request], Awaitable[Response]]:
        async def act(request: Request) -> Response:
            if part.method == "POST" and not is_same_origin(request):
                _log.warning("a form sent by another page was refused", origin=request.headers.get("origin"))
                told = self._language_of(request).gettext("This request does not come from a page of piv-mcp.")
                return plain_text(403, told)
            return await self._answer(request, page, part.act, follows=False)

        return act

    async def _live(self, request: Request) -> Response:
        page = self._pages.get(request.query_params.get("page", ""))
        guest = await self._entrance.guest(request)
        if isinstance(guest, Response):
            return guest
        if page is None or page.state is None:
            return plain_text(404, self._language_of(request).gettext("There is no such page."))
        look = await self._look_of(guest, request, page)

        async def now() -> str | live.Ended:
            if self._entrance.is_closing:
                return "closed"
            if isinstance(await self._entrance.guest(request), Response):
                return "gone"
            return await self._digest(look, page)

        beat = None if page.beat is None else partial(page.beat, look)
        seen = request.query_params.get("seen")
        events = live.told(now, seen, look.app.inbox.changes, self._clock, beat)
        return StreamingResponse(events, media_type="text/event-stream", headers=STREAM_HEADERS)

    async def _answer(self, request: Request, page: ConsolePage, act: Handler, *, follows: bool) -> Response:
        """What `act` makes of the guest's look at the page; or the refusal of the request, or what went wrong."""
        guest = await self._entrance.guest(request)
        if isinstance(guest, Response):
            return guest
        look = None
        try:
            look = await self._look_of(guest, request, page)
            seen = await self._digest(look, page) if follows else None
            look = replace(look, tabs=await self._tabs(look), seen=seen)
            return await act(look)
        except PivError as error:
            if look is None:
                return bare_page(self._language_of(request), "problem.html", http_status=503, error=error)
            return rendered(look, "problem.html", http_status=503, error=error)

    async def _look_of(self, guest: Guest, request: Request, page: ConsolePage) -> PersonLook:
        app = await self._services(guest)
        return PersonLook(
            request=request,
            guest=guest,
            app=app,
            language=self._language_of(request),
            kept=self._kept,
            name=page.name,
            examine=self._examine,
        )

    def _language_of(self, request: Request) -> Language:
        return preferred(request.headers.get("accept-language", ""), self._language)

    async def _tabs(self, look: PersonLook) -> list[Tab]:
        if len(self._pages) == 1:
            return []
        return [
            Tab(page.name, page.title(look.language), look.path(page.name), await _count(look, page), name == look.name)
            for name, page in self._pages.items()
        ]

    async def _digest(self, look: PersonLook, page: ConsolePage) -> str:
        """Of what the page would show now, and of the counts in the navigation."""
        counts = [await _count(look, other) for other in self._pages.values()]
        return live.digest((counts, None if page.state is None else await page.state(look)))


async def _count(look: PersonLook, page: ConsolePage) -> int:
    return 0 if page.count is None else await page.count(look)


def laptop_app(
    visitors: Visitors,
    services: Callable[[], Services],
    wake: Callable[[], None],
    language: Code | None = None,
    clock: Clock = SYSTEM_CLOCK,
    pages: Sequence[ConsolePage] = PAGES,
    examine: Examine | None = None,
) -> Router:
    """The app for the person's own port on a laptop. `wake` ends the waits of open pages."""

    async def of_person(_: Guest) -> Services:
        return services()

    entrance = LaptopEntrance(visitors, wake, language, clock)
    console = Console(entrance, of_person, language, clock, pages, examine)
    open_ = Route("/console/{visit}/open/{secret}", entrance.enter, methods=["GET"])
    return router(open_, *console.routes("/console/{visit}"))


def approvals_app(
    visitors: Visitors,
    services: Callable[[], Services],
    wake: Callable[[], None],
    language: Code | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> Router:
    """The same with the approvals alone, for a browser that was opened because something waits."""
    only = [page for page in PAGES if page.name == "approvals"]
    return laptop_app(visitors, services, wake, language, clock, only)
