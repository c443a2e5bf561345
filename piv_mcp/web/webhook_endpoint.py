"""`POST /webhooks/<secret>`: stores an event on disk, then acknowledges it.

piv.day does not sign webhooks (reference: Webhooks), so a secret in the path protects the endpoint. piv.day waits 5 s
for a 2xx response and tries three more times: an event that could not be stored is answered with 503.
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
"""Bytes. The events in the reference have less than 1 KiB."""

_log = structlog.get_logger(__name__)


class WebhookEndpoint:
    """The endpoint. Requests with a wrong secret are counted in the store, for `piv-mcp doctor`."""

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
            return _response(415, "JSON only")
        try:
            body = await read_body(request, MAX_BODY)
        except ClientDisconnect:
            return _response(400, "incomplete request body")  # the client is gone, but a handler must return a response
        if body is None:
            return _response(413, f"more than {MAX_BODY} bytes")
        try:
            event = event_of(body, self._clock.time())
        except MalformedEventError as error:
            return _response(400, error.message)
        try:
            stored, new = await self._inbox.record(event)
        except StoreError as error:
            _log.error("event not stored; the 503 response makes piv.day send it again", problem=error.message)
            return _response(503, "not stored, send it again")
        _log.info("event received", type=stored.type, id=stored.seq, new=new)
        return JSONResponse({"ok": True, "id": stored.seq, "new": new})

    async def _wrong_secret(self) -> Response:
        guesses = self._guesses.add()
        if guesses > GUESSES_A_MINUTE:
            return JSONResponse(
                {"ok": False, "error": "too many requests with a wrong address"}, 429, {"Retry-After": "60"}
            )
        _log.warning("webhook with a wrong secret", in_the_last_minute=guesses)
        try:
            await self._inbox.store.write(facts.count_up, facts.WRONG_SECRET, self._clock.time())
        except StoreError:
            _log.warning("wrong secret not counted")
        return _response(404, "no such address")


def _response(status: int, error: str) -> Response:
    return JSONResponse({"ok": False, "error": error}, status)
