"""`POST /webhooks/<secret>`: stores an event on disk, then acknowledges it.

piv.day does not sign webhooks (reference: Webhooks), so a secret in the path protects the endpoint. piv.day waits 5 s
for a 2xx response and tries three more times: an event that could not be stored is answered with 503.
"""

from typing import Any

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from piv_mcp import metrics
from piv_mcp.errors import StoreError
from piv_mcp.inbox.inbox import Inbox
from piv_mcp.inbox.parse import event_of
from piv_mcp.store import facts
from piv_mcp.web.addresses import Addresses
from piv_mcp.web.bodies import UnreadableBodyError, object_in
from piv_mcp.web.guards import GUESSES_A_MINUTE, Guesses, read_body

MAX_BODY = 256 * 1024
"""Bytes. The events in the reference have less than 1 KiB."""

MAX_NONCE = 100
"""Characters of a nonce. The rest is cut off."""

TEST_EVENT = "piv-mcp.test"
"""What `piv-mcp doctor --webhook-url` sends: it goes the way of every event to the disk, and is none for the inbox."""

BODY_HEADERS = ("content-type", "content-encoding", "content-length")
"""The headers that a log line about an unreadable body shows."""

ACCEPTED = {"Accept-Encoding": "gzip, deflate"}

_log = structlog.get_logger(__name__)


class WebhookEndpoint:
    """The endpoint. Requests with a wrong secret are counted in the store, for `piv-mcp doctor`."""

    def __init__(self, inbox: Inbox, addresses: Addresses) -> None:
        self._inbox = inbox
        self._addresses = addresses
        self._clock = inbox.clock
        self._guesses = Guesses(inbox.clock)
        self._uncounted = 0
        """Requests with a wrong secret that are not counted in the store yet."""
        # Made once: whoever guesses costs no more than it takes to read the head of the request.
        self._too_many = _response(429, "too many requests with a wrong address", {"Retry-After": "60"})

    async def receive(self, request: Request) -> Response:
        response = await self._receive(request)
        metrics.WEBHOOKS.add(str(response.status_code))
        return response

    async def _receive(self, request: Request) -> Response:
        address = await self._addresses.find(request.path_params["secret"])
        if address is None:
            return await self._wrong_secret()
        try:
            event = event_of(await self._object(request), self._clock.time(), self._inbox.remote_time())
        except UnreadableBodyError as error:
            return self._not_understood(request, error.status, error.message)
        except ClientDisconnect:
            return self._not_understood(
                request, 400, "The webhook broke off before its end"
            )  # a handler must return one
        try:
            if event.type == TEST_EVENT:
                await self._inbox.store.write(facts.put, facts.WEBHOOK_TEST, (event.text or "")[:MAX_NONCE])
                return JSONResponse({"ok": True, "test": True})
            stored, new = await self._inbox.record(event, address)
        except StoreError as error:
            _log.error("event not stored; the 503 response makes piv.day send it again", problem=error.message)
            return _response(503, "not stored, send it again")
        _log.info("event received", type=stored.type, id=stored.seq, new=new)
        return JSONResponse({"ok": True, "id": stored.seq, "new": new})

    async def _object(self, request: Request) -> dict[str, Any]:
        body = await read_body(request, MAX_BODY)
        if body is None:
            raise UnreadableBodyError(413, f"The webhook's body has more than {MAX_BODY} bytes")
        return object_in(
            body,
            MAX_BODY,
            content_type=request.headers.get("content-type", ""),
            content_encoding=",".join(request.headers.getlist("content-encoding")),
        )

    def _not_understood(self, request: Request, status: int, problem: str) -> Response:
        labels = {name.replace("-", "_"): request.headers.get(name, "")[:100] for name in BODY_HEADERS}
        _log.warning("a webhook was refused", status=status, problem=problem, **labels)
        return _response(status, problem, ACCEPTED if status == 415 else None)

    async def _wrong_secret(self) -> Response:
        guesses = self._guesses.add()
        self._uncounted += 1
        if guesses > GUESSES_A_MINUTE:
            return self._too_many
        uncounted, self._uncounted = self._uncounted, 0
        _log.warning("webhook with a wrong secret", in_this_minute=guesses, since_the_last_line=uncounted)
        try:
            await self._inbox.store.write(facts.count_up, facts.WRONG_SECRET, self._clock.time(), uncounted)
        except StoreError:
            self._uncounted += uncounted
            _log.warning("wrong secret not counted")
        return _response(404, "no such address")


def _response(status: int, error: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"ok": False, "error": error}, status, headers)
