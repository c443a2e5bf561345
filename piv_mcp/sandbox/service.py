"""Answers requests: checks key and rate limit, finds the route, applies failures on demand."""

import hmac
import math
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qsl, unquote

from piv_mcp.sandbox.errors import DocumentedError, error_body, invalid, rate_limited
from piv_mcp.sandbox.failures import Failures, Outcome, Reply
from piv_mcp.sandbox.fields import Fields, Query
from piv_mcp.sandbox.routes import find_route
from piv_mcp.sandbox.state import RouteCall, State
from piv_mcp.sandbox.wire import dumps, loads

PREFIX = "/api/v1"


@dataclass(frozen=True)
class Incoming:
    """A request as received."""

    method: str
    raw_path: str
    """Still percent-encoded, without the query."""
    raw_query: str
    headers: Mapping[str, str]
    """Names in lower case."""
    content: bytes


@dataclass(frozen=True)
class Recorded:
    """A request as tests see it, without its Authorization header."""

    method: str
    path: str
    """Below `/api/v1`, percent-decoded."""
    raw_path: str
    """Below `/api/v1`, still percent-encoded."""
    query: dict[str, str]
    body: object
    """Parsed JSON, with fractions as Decimal; None if there was no valid JSON."""
    headers: dict[str, str]
    at: datetime


class RateLimit:
    """A limit of requests per rolling minute of real time, not of the sandbox clock; 0 for no limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._passed: deque[float] = deque()

    def check(self) -> None:
        """Count a request, or raise RATE_LIMITED. A refused request does not count."""
        now = time.monotonic()
        while self._passed and self._passed[0] <= now - 60:
            self._passed.popleft()
        if self._limit and len(self._passed) >= self._limit:
            raise rate_limited(math.ceil(self._passed[0] + 60 - now))
        self._passed.append(now)


class Service:
    """The API of one account."""

    def __init__(self, state: State, failures: Failures, api_key: str, rate_limit: int) -> None:
        self.requests: list[Recorded] = []
        self._state = state
        self._failures = failures
        self._api_key = api_key
        self._rate_limit = RateLimit(rate_limit)

    def answer(self, incoming: Incoming) -> Outcome:
        raw_path = incoming.raw_path.removeprefix(PREFIX)
        path = unquote(raw_path)
        self._record(incoming, path, raw_path)
        failure = self._failures.take(incoming.method, path)
        if failure is None:
            return self._work(incoming)
        return failure.outcome(self._work(incoming) if failure.works else Reply(200, ""))

    def _record(self, incoming: Incoming, path: str, raw_path: str) -> None:
        try:
            body = loads(incoming.content) if incoming.content else None
        except ValueError:
            body = None
        headers = {name: value for name, value in incoming.headers.items() if name != "authorization"}
        query = _query(incoming)
        at = self._state.clock.now()
        self.requests.append(Recorded(incoming.method, path, raw_path, query, body, headers, at))

    def _work(self, incoming: Incoming) -> Reply:
        try:
            self._authorize(incoming)
            self._rate_limit.check()
            return self._dispatch(incoming)
        except DocumentedError as error:
            body = dumps(error_body(error.code, error.message))
            return Reply(error.status, body, (*Reply.headers, *error.headers.items()))

    def _authorize(self, incoming: Incoming) -> None:
        scheme, _, key = incoming.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(key.encode(), self._api_key.encode()):
            raise DocumentedError("UNAUTHORIZED", "API key is missing, expired or revoked")

    def _dispatch(self, incoming: Incoming) -> Reply:
        # Split before decoding, since an encoded slash is part of its segment.
        prefix, _, below = incoming.raw_path.partition(f"{PREFIX}/")
        segments = [unquote(segment) for segment in below.split("/")]
        found = None if prefix else find_route(incoming.method, segments)
        if found is None:
            # Also for a known path with another method: the reference has no other code for that.
            raise DocumentedError("NOT_FOUND", f"No such endpoint: {incoming.method} {unquote(incoming.raw_path)}")
        route, params = found
        query = Query(_query(incoming), route.query)
        body = Fields(_json_body(incoming), route.body)
        answer = route.handler(self._state, RouteCall(params, query, body))
        return Reply(answer.status, dumps({"success": True, **answer.body}))


def _query(incoming: Incoming) -> dict[str, str]:
    return dict(parse_qsl(incoming.raw_query, keep_blank_values=True))


def _json_body(incoming: Incoming) -> object:
    if not incoming.content:
        return {}
    if "application/json" not in incoming.headers.get("content-type", ""):
        raise invalid("Content-Type", "must be application/json")
    try:
        return loads(incoming.content)
    except ValueError as error:
        raise invalid("body", "must be JSON") from error
