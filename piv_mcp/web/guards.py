"""Checks of incoming requests: where they come from, their size, and how many wrong secrets were tried."""

import math

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from piv_mcp.api.credentials import LOOPBACK
from piv_mcp.text.times import Clock

LOOPBACK_HOSTS = frozenset(f"[{name}]" if ":" in name else name for name in LOOPBACK)

GUESSES_A_MINUTE = 20
"""Wrong secrets or tokens that are answered with 404 in a minute; further ones are answered with 429."""

PAGE_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    # With `no-referrer`, browsers would send the form with the Origin "null".
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""Response headers of the person's pages. `{nonce}` is replaced by a new nonce for each response."""


class Guesses:
    """Counts the wrong secrets or tokens of each minute. A minute begins with the first of them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._minute = -math.inf
        self._count = 0

    def add(self) -> int:
        """Count one more; returns how many there were in this minute."""
        now = self._clock.monotonic()
        if now - self._minute >= 60:
            self._minute, self._count = now, 0
        self._count += 1
        return self._count


def refused_unless_local(request: Request) -> Response | None:
    """The refusal of a request for another host than this machine: names of other sites may lead here (rebinding)."""
    server = request.scope.get("server")
    if server is None or request.headers.get("host") not in {f"{name}:{server[1]}" for name in LOOPBACK_HOSTS}:
        return plain_text(403, "This page can be opened only in a browser on this machine.")
    return None


def is_same_origin(request: Request) -> bool:
    """Whether the form was sent by our own page."""
    same_origin = request.headers.get("origin") == f"{request.url.scheme}://{request.headers.get('host')}"
    return same_origin and request.headers.get("sec-fetch-site") != "cross-site"


async def read_body(request: Request, max_bytes: int) -> bytes | None:
    """The body, or None if it has more than `max_bytes`.

    Raises:
        ClientDisconnect: the connection ended before the whole body had arrived.
    """
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > max_bytes:
        return None
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            return None
    return bytes(body)


def plain_text(status: int, text: str) -> Response:
    return PlainTextResponse(text, status, headers={"Cache-Control": "no-store"})
