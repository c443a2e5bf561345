"""Who is signed in to the console of a server, by a cookie of which the store keeps a digest.

What a session may do is looked up at each request, so that any server with the same store answers it, and revoking an
operator ends theirs at once.
"""

import secrets

from starlette.requests import Request
from starlette.responses import Response

from piv_mcp.store import Connection, Store, ceremonies, sessions
from piv_mcp.store.sessions import SEEN_EXACTLY_SECONDS, ConsoleSession
from piv_mcp.text.times import Clock

SESSION_SECONDS = 12 * 3600.0
"""So long a session lasts at most."""

SESSION_IDLE_SECONDS = 1800.0
"""A session ends when its person has asked for no page for so long."""


class Sessions:
    """The sessions of the console at the address `origin`. `clock` is that of the store."""

    def __init__(self, store: Store, origin: str, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._is_secure = origin.startswith("https:")
        # With this prefix a browser takes the cookie from this host alone, and over HTTPS alone.
        self.cookie_name = "__Host-piv-mcp" if self._is_secure else "piv-mcp-console"

    async def of(self, request: Request) -> ConsoleSession | None:
        """The session of the browser; None if it is not signed in, or not any more.

        Raises:
            StoreError: the store cannot be read.
        """
        cookie = request.cookies.get(self.cookie_name)
        if not cookie:
            return None
        now = self._clock.time()
        session = await self._store.read(
            sessions.of_cookie, ceremonies.digest(cookie), now, idle_seconds=SESSION_IDLE_SECONDS
        )
        if session is not None and is_asked_for(request) and now - session.seen_at > SEEN_EXACTLY_SECONDS:
            await self._store.write(sessions.note_seen, session.cookie, now)
        return session

    def begin(self, connection: Connection, operator: str) -> str:
        """Begin a session, in the transaction that has found out who it is. Returns the cookie's value."""
        cookie, now = secrets.token_urlsafe(32), self._clock.time()
        sessions.begin(connection, ConsoleSession(ceremonies.digest(cookie), operator, now, now, now + SESSION_SECONDS))
        return cookie

    async def end(self, session: ConsoleSession) -> None:
        await self._store.write(sessions.end, session.cookie)

    def give(self, response: Response, cookie: str) -> None:
        """Let the browser keep the cookie."""
        response.set_cookie(
            self.cookie_name,
            cookie,
            max_age=int(SESSION_SECONDS),
            path="/",
            secure=self._is_secure,
            httponly=True,
            samesite="strict",
        )

    def take(self, response: Response) -> None:
        """Let the browser forget the cookie."""
        response.delete_cookie(self.cookie_name, path="/", secure=self._is_secure, httponly=True, samesite="strict")


def is_asked_for(request: Request) -> bool:
    """Whether a person asks, and not a page that keeps itself up to date."""
    return request.headers.get("sec-fetch-mode", "navigate") == "navigate"
