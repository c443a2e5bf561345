"""The way in on a server: who is signed in. Others are led to the sign-in."""

from dataclasses import dataclass, field
from html import escape
from typing import Literal
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from piv_mcp.console.sessions import Sessions, is_asked_for
from piv_mcp.store.sessions import ConsoleSession
from piv_mcp.web.guards import PAGE_HEADERS, plain_text
from piv_mcp.web.visitors import Shown

MOST_GUESTS = 1000
"""Of whom a process remembers what they were shown."""


@dataclass(eq=False, slots=True)
class OperatorGuest:
    """An operator in a browser that is signed in (implements `Guest`)."""

    session: ConsoleSession
    shown: Shown = field(default_factory=Shown)
    path: str = ""
    decides_by: Literal["click", "passkey"] = "passkey"

    @property
    def name(self) -> str | None:
        return self.session.operator


class HostedEntrance:
    """Lets in who is signed in (implements `Entrance`)."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._guests: dict[str, OperatorGuest] = {}

    @property
    def is_closing(self) -> bool:
        """Never: an open page asks the next server, which may be there already."""
        return False

    async def guest(self, request: Request) -> OperatorGuest | Response:
        session = await self._sessions.of(request)
        if session is None:
            return _led_to_sign_in(request)
        guest = self._guests.pop(session.cookie, None)
        if guest is None or guest.session.account != session.account:
            guest = OperatorGuest(session)
        self._guests[session.cookie] = guest  # as the newest
        while len(self._guests) > MOST_GUESTS:
            del self._guests[next(iter(self._guests))]
        return guest


def _led_to_sign_in(request: Request) -> Response:
    if not is_asked_for(request):
        return plain_text(401, "Sign in first.")
    query = ""
    if request.method == "GET":
        if request.headers.get("sec-fetch-site") == "cross-site":
            return _asked_again(request.url.path)
        query = f"?{urlencode({'to': request.url.path})}"
    return RedirectResponse(f"/sign-in{query}", 303, headers={"Cache-Control": "no-store"})


def _asked_again(path: str) -> Response:
    """A page that asks for itself once more: a link on another site, such as one in a chat, leaves the strict cookie
    out of the first request."""
    headers = {**PAGE_HEADERS, "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"}
    return HTMLResponse(
        f'<!doctype html><meta charset="utf-8"><title>piv-mcp</title>'
        f'<meta http-equiv="refresh" content="0;url={escape(path)}"><a href="{escape(path)}">{escape(path)}</a>',
        headers=headers,
    )
