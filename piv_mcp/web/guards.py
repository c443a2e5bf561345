"""What a request must pass before anything is done for it: where it comes from, its size, how often it guesses."""

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from piv_mcp.api.credentials import LOOPBACK
from piv_mcp.text.times import Clock

LOOPBACK_HOSTS = frozenset(f"[{name}]" if ":" in name else name for name in LOOPBACK)
FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "cf-connecting-ip", "via")
"""Headers that a proxy adds."""

GUESSES_A_MINUTE = 20
"""Wrong secrets or tokens that are answered before guessing is slowed down to 429."""

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'nonce-{nonce}'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    # Not no-referrer: the form's Origin would be "null" then.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""Of every page for a person. `{nonce}` is new for each answer."""


class Guesses:
    """The wrong secrets of the last minute."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._times: list[float] = []

    def add(self) -> int:
        """One more; returns how many there were in the last minute, counted up to just above the limit."""
        now = self._clock.monotonic()
        self._times = [*(at for at in self._times[-GUESSES_A_MINUTE:] if now - at < 60), now]
        return len(self._times)


def refused_by_place(request: Request) -> Response | None:
    """The refusal of anything but this machine's own browser, connected without a proxy; None if it is that."""
    server = request.scope.get("server")
    if server is None or request.headers.get("host") not in {f"{name}:{server[1]}" for name in LOOPBACK_HOSTS}:
        return plain(403, "The approval page is for the browser of this machine.")
    if any(header in request.headers for header in FORWARDED):
        return plain(403, "The approval page is not served through a proxy or tunnel.")
    return None


def is_same_origin(request: Request) -> bool:
    """Whether a form was sent by our own page."""
    same = request.headers.get("origin") == f"http://{request.headers.get('host')}"
    return same and request.headers.get("sec-fetch-site") != "cross-site"


async def read_body(request: Request, most: int) -> bytes | None:
    """The body, or None where it has more than `most` bytes.

    Raises:
        ClientDisconnect: the connection ended before the body did.
    """
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > most:
        return None
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            return None
    return bytes(body)


def plain(status: int, text: str) -> Response:
    return PlainTextResponse(text, status, headers={"Cache-Control": "no-store"})
