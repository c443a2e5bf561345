"""`POST /webhooks/<secret>`: an event is on disk before it is acknowledged.

The reference (Webhooks) promises no signature, so the address itself is the secret. piv.day waits 5 s for a 2xx and
tries again three times: whatever keeps us from storing answers 503.
"""

import hmac

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from piv_mcp.errors import MalformedEventError, StoreError
from piv_mcp.inbox.inbox import Inbox
from piv_mcp.inbox.parse import event_of
from piv_mcp.store import facts
from piv_mcp.web.guards import GUESSES_A_MINUTE, Guesses, read_body

MAX_BODY = 256 * 1024
"""Bytes. An event of the reference is below 1 KiB."""

_log = structlog.get_logger(__name__)


class WebhookEndpoint:
    """The endpoint. `secret` is compared in constant time; wrong ones are counted for `doctor`."""

    def __init__(self, inbox: Inbox, secret: str) -> None:
        self._inbox = inbox
        self._secret = secret
        self._clock = inbox.clock
        self._guesses = Guesses(inbox.clock)

    async def receive(self, request: Request) -> Response:
        given = request.path_params["secret"]
        if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), self._secret.encode()):
            return await self._wrong_secret()
        kind = request.headers.get("content-type", "application/json").lower()
        if "json" not in kind:
            return _answer(415, "JSON only")
        try:
            body = await read_body(request, MAX_BODY)
        except ClientDisconnect:
            return _answer(400, "the request body was cut short")  # nobody is there to read it
        if body is None:
            return _answer(413, f"more than {MAX_BODY} bytes")
        try:
            event = event_of(body, self._clock.time())
        except MalformedEventError as error:
            return _answer(400, error.message)
        try:
            stored, new = await self._inbox.record(event)
        except StoreError as error:
            _log.error("event not stored; piv.day is asked to send it again", problem=error.message)
            return _answer(503, "not stored, send it again")
        _log.info("event received", type=stored.type, id=stored.seq, new=new)
        return JSONResponse({"ok": True, "id": stored.seq, "new": new})

    async def _wrong_secret(self) -> Response:
        guesses = self._guesses.add()
        if guesses > GUESSES_A_MINUTE:
            return JSONResponse({"ok": False, "error": "too many wrong addresses"}, 429, {"Retry-After": "60"})
        _log.warning("webhook with a wrong secret", in_the_last_minute=guesses)
        try:
            await self._inbox.store.write(facts.count_up, facts.WRONG_SECRET, self._clock.time())
        except StoreError:
            _log.warning("wrong secret not counted")
        return _answer(404, "no such address")


def _answer(status: int, error: str) -> Response:
    return JSONResponse({"ok": False, "error": error}, status)
