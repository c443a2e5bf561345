"""The controls below `/_sandbox`, for tests in another process. They need no key and answer loopback clients only."""

import ipaddress
from dataclasses import asdict, fields
from datetime import timedelta
from typing import cast

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from piv_mcp.sandbox.errors import DocumentedError, error_body, invalid
from piv_mcp.sandbox.failures import Failure, Kind, known_kinds
from piv_mcp.sandbox.fields import Fields, one_of
from piv_mcp.sandbox.sandbox import Sandbox
from piv_mcp.sandbox.wire import dumps, loads

_FAILURE_FIELDS = "kind* " + " ".join(field.name for field in fields(Failure) if field.name != "kind")


def control_app(sandbox: Sandbox) -> ASGIApp:
    controls = _Controls(sandbox)
    router = Router(
        [
            Route("/_sandbox/sms", controls.receive_sms, methods=["POST"]),
            Route("/_sandbox/event", controls.send_event, methods=["POST"]),
            Route("/_sandbox/fail", controls.fail, methods=["POST"]),
            Route("/_sandbox/fail", controls.clear_failures, methods=["DELETE"]),
            Route("/_sandbox/advance", controls.advance, methods=["POST"]),
            Route("/_sandbox/date", controls.set_date, methods=["POST"]),
            Route("/_sandbox/webhook", controls.set_webhook, methods=["POST"]),
            Route("/_sandbox/reset", controls.reset, methods=["POST"]),
            Route("/_sandbox/requests", controls.requests, methods=["GET"]),
            Route("/_sandbox/state", controls.state, methods=["GET"]),
        ]
    )

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            _require_loopback(scope)
            await router(scope, receive, send)
        except DocumentedError as error:
            await _json(error_body(error.code, error.message), error.status)(scope, receive, send)

    return app


class _Controls:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    async def receive_sms(self, request: Request) -> Response:
        """Without `code`, the code is looked for in the text; with `code` null, the event carries none."""
        body = await _body(request, "number* text* sender code trusted deliver")
        trusted, deliver = body.maybe_boolean("trusted"), body.maybe_boolean("deliver")
        try:
            message_id = await self._sandbox.receive_sms(
                body.text("number"),
                body.text("text"),
                sender=body.maybe_text("sender") or "Google",
                code=_nullable(body, "code") if "code" in body else ...,
                trusted=trusted is not False,
                deliver=deliver is not False,
            )
        except ValueError as error:
            raise invalid("number", str(error)) from error
        return _json({"success": True, "data": {"id": message_id}})

    async def send_event(self, request: Request) -> Response:
        body = await _body(request, "event_type* data*")
        await self._sandbox.send_event(body.text("event_type"), body.mapping("data"))
        return _json({"success": True})

    async def fail(self, request: Request) -> Response:
        """Takes the fields of `Failure`."""
        self._sandbox.fail_next(_read_failure(await _body(request, _FAILURE_FIELDS)))
        return _json({"success": True})

    async def clear_failures(self, request: Request) -> Response:
        self._sandbox.clear_failures()
        return _json({"success": True})

    async def advance(self, request: Request) -> Response:
        body = await _body(request, "seconds*")
        self._sandbox.advance(timedelta(seconds=body.seconds("seconds")))
        return _json({"success": True, "data": {"now": self._sandbox.now}})

    async def set_date(self, request: Request) -> Response:
        """`shift`: whole seconds between the sandbox's time and the `Date` of its answers; null for no `Date`."""
        body = await _body(request, "shift*")
        seconds = None if body.null("shift") else body.integer("shift", -(10**9), 10**9)
        self._sandbox.date_shift = None if seconds is None else timedelta(seconds=seconds)
        return _json({"success": True})

    async def set_webhook(self, request: Request) -> Response:
        """With `url` null, no webhooks are sent."""
        body = await _body(request, "url*")
        self._sandbox.webhook_url = _nullable(body, "url")
        return _json({"success": True})

    async def reset(self, request: Request) -> Response:
        await self._sandbox.reset()
        return _json({"success": True})

    async def requests(self, request: Request) -> Response:
        return _json({"success": True, "data": [asdict(recorded) for recorded in self._sandbox.requests]})

    async def state(self, request: Request) -> Response:
        return _json({"success": True, "data": self._sandbox.summary()})


def _read_failure(body: Fields) -> Failure:
    default = Failure(kind="status")
    times = None if body.null("times") else body.maybe_integer("times", 1, 10**6) or default.times
    return Failure(
        kind=cast("Kind", body.text("kind", one_of(*known_kinds()))),
        method=body.maybe_text("method"),
        path=body.maybe_text("path"),
        times=times,
        after=body.maybe_boolean("after"),
        status=body.maybe_integer("status", 100, 599),
        code=body.maybe_text("code") or default.code,
        message=body.maybe_text("message") or default.message,
        body=body.maybe_text("body"),
        delay=body.seconds("delay") if "delay" in body else default.delay,
        retry_after=body.maybe_integer("retry_after", 0, 10**6) or default.retry_after,
        reset=body.maybe_boolean("reset") or default.reset,
    )


def _nullable(body: Fields, name: str) -> str | None:
    return None if body.null(name) else body.text(name)


async def _body(request: Request, names: str) -> Fields:
    try:
        value = loads(await request.body())
    except ValueError as error:
        raise invalid("body", "must be JSON") from error
    return Fields(value, names)


def _json(value: object, status: int = 200) -> Response:
    return Response(dumps(value), status, media_type="application/json")


def _require_loopback(scope: Scope) -> None:
    host, _ = cast("tuple[str, int]", scope.get("client") or ("", 0))
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise DocumentedError("PERMISSION_DENIED", "The sandbox can be controlled from its own machine only")
