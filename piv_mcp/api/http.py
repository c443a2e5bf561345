"""The HTTP connection to the API: the only module that knows the base URL, the headers and the key."""

import asyncio
import json
from collections.abc import Callable
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, TypeVar

import httpx
import structlog
from pydantic import SecretStr

from piv_mcp import metrics
from piv_mcp.api.connection import Hop, Progress, TooLateError, explain
from piv_mcp.api.credentials import checked_base_url, checked_key
from piv_mcp.api.quoting import clean
from piv_mcp.api.rate_limit import Priority, RateLimiter
from piv_mcp.api.readings import Readings, Span
from piv_mcp.api.remote_clock import RemoteClock
from piv_mcp.api.response import ApiResponse, Call, understand
from piv_mcp.api.retry import Deadline, parse_retry_after, with_retries
from piv_mcp.api.route import ProxyChoice, proxy_rules, transport_to
from piv_mcp.errors import ApiError, ConfigError, NoAnswerError, RateLimitedError
from piv_mcp.text.times import Clock

T = TypeVar("T")
_log = structlog.get_logger(__name__)

CONNECT_TIMEOUT = 5.0
WRITE_TIMEOUT = 10.0
"""Seconds. These time-outs have no setting."""

MAX_RESPONSE_BYTES = 10 * 1024 * 1024
"""The largest response body that is read."""

NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)
"""Errors that occur before any byte of the request is sent. A `ProxyError` is a refused tunnel."""


class Http:
    """A connection to the API with one key. It applies the rate limit and the retries to each call."""

    def __init__(
        self,
        base_url: str,
        api_key: SecretStr,
        *,
        transport: httpx.AsyncBaseTransport | None,
        limiter: RateLimiter,
        timeout: float,
        deadline: float,
        user_agent: str,
        clock: Clock,
    ) -> None:
        self._base = _checked("base URL", checked_base_url, base_url)
        self._key = SecretStr(_checked("API key", checked_key, api_key.get_secret_value()))
        self._limiter = limiter
        self.clock = clock
        self._deadline = deadline
        self._timeout = timeout
        self._readings = Readings(clock)
        self.remote_clock = RemoteClock(clock)
        self._user_agent = user_agent
        self._transport = transport
        self._proxy = None if transport is not None else _proxy_to(self._base)
        self._hop = Hop(self._base, self._proxy)
        self._client: httpx.AsyncClient | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"Http({self._base!r})"

    async def aclose(self) -> None:
        self._closed = True
        if self._client is not None:
            await self._client.aclose()

    def forget(self) -> None:
        """Share no answer from before now."""
        self._readings.forget()

    async def send(
        self, call: Call[T], priority: Priority, span: Span | None = None, start: Deadline | None = None
    ) -> T:
        """Send a call and return the value of its response. Raises `ApiError`; takes at most the deadline.

        With `span`, a read may get the answer to an equal read of the last seconds (see `Readings`). With `start`,
        nothing is sent after it, neither for the first time nor again, unless a connection had to be made before.
        """
        if call.endpoint.writes:
            self._readings.forget()
            try:
                return await self._send(call, priority, start)
            finally:
                self._readings.forget()
        if span is None:
            return await self._send(call, priority)
        key = (call.path, tuple(sorted((name, str(value)) for name, value in call.query.items())))
        return await self._readings.get(key, lambda: self._send(call, priority), span)

    async def _send(self, call: Call[T], priority: Priority, start: Deadline | None = None) -> T:
        client = await self._connected(call)
        if self._closed:
            call.fail(NoAnswerError("the client is closed", sent=False), certain=True)
        deadline = Deadline(self._deadline, self.clock)
        start = start or deadline
        writes = call.endpoint.writes
        # A write that the deadline cuts off has an unknown outcome: do not start one with too little time left.
        room = min(10.0, self._deadline / 3) if writes else min(1.0, self._deadline / 10)

        async def attempt(number: int) -> T:
            await self._slot(call, priority, min(deadline.remaining() - room, start.remaining()))
            return await self._attempt(client, call, number, deadline, start, priority)

        return await with_retries(attempt, writes=writes, deadline=deadline, start=start, room=room)

    async def _connected(self, call: Call[Any]) -> httpx.AsyncClient:
        """The HTTP client, made at the first call. Where the environment stands in the way, a later call tries anew."""
        if self._client is None:
            try:
                transport = self._transport or await asyncio.to_thread(transport_to, self._base, self._proxy)
            except ConfigError as error:
                call.fail(NoAnswerError(error.message, sent=False, hint=error.hint), certain=True)
            self._client = self._client or httpx.AsyncClient(
                transport=transport,
                headers={"User-Agent": self._user_agent, "Accept": "application/json"},
                follow_redirects=False,
                trust_env=False,
                # Cookies that the server sets are not sent back.
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            )
        return self._client

    async def _slot(self, call: Call[Any], priority: Priority, patience: float) -> None:
        try:
            await self._limiter.acquire(priority, timeout=max(0.0, patience))
        except RateLimitedError as error:
            call.fail(error, certain=True)

    async def _attempt(
        self,
        client: httpx.AsyncClient,
        call: Call[T],
        number: int,
        deadline: Deadline,
        start: Deadline,
        priority: Priority,
    ) -> T:
        started = self.clock.monotonic()
        outcome: object = "cancelled"
        try:
            answer = await self._exchange(client, call, deadline, start)
            outcome = answer.status
            if answer.status == 429 and answer.retry_after:
                await self._limiter.pause(answer.retry_after)
            return understand(call, answer, self._clean)
        except ApiError as error:
            outcome = error.status or error.code
            raise
        finally:
            metrics.API_REQUESTS.add(priority.value, str(outcome) if isinstance(outcome, int) else "none")
            level = _log.info if call.endpoint.writes else _log.debug
            level(
                "request",
                method=call.endpoint.method,
                path=call.endpoint.template,
                status=outcome,
                ms=round((self.clock.monotonic() - started) * 1000),
                attempt=number,
            )

    async def _exchange(
        self, client: httpx.AsyncClient, call: Call[Any], deadline: Deadline, start: Deadline
    ) -> ApiResponse:
        # A read that hangs ends early enough for another try; a write may use all the time that the call has left.
        read = deadline.remaining() if call.endpoint.writes else self._timeout
        # The process may have been stopped since, for any time: what began before is not begun then.
        progress = Progress(lambda: call.endpoint.writes and start.has_passed(by=CONNECT_TIMEOUT))
        request = client.build_request(
            call.endpoint.method,
            self._base + call.path,
            params=call.query or None,
            content=None if call.body is None else json.dumps(call.body, ensure_ascii=False).encode(),
            headers={"Authorization": f"Bearer {self._key.get_secret_value()}"}
            | ({} if call.body is None else {"Content-Type": "application/json"}),
            timeout=httpx.Timeout(read, connect=CONNECT_TIMEOUT, write=WRITE_TIMEOUT, pool=CONNECT_TIMEOUT),
            extensions={"trace": progress},
        )
        try:
            async with self.clock.timeout(deadline.remaining()):
                progress.refuse_late()
                response = await client.send(request, stream=True)
                self.remote_clock.note(response.headers)
                try:
                    return ApiResponse(
                        response.status_code,
                        parse_retry_after(response.headers.get("retry-after"), self._now()),
                        await _body(response),
                    )
                finally:
                    await response.aclose()
        except TooLateError:
            problem, hint, sent = "it would have been sent too late", None, False
        except TimeoutError:
            problem, hint = explain(TimeoutError(), self._hop, progress)  # without what the cancellation broke
            problem, sent = f"no answer within the deadline: {problem}", not progress.connecting
        except NOT_SENT as error:
            problem, hint = explain(error, self._hop, progress)
            problem, sent = f"could not connect: {problem}", False
        except (httpx.HTTPError, httpx.StreamError, OSError) as error:
            problem, hint = explain(error, self._hop, progress)
            problem, sent = f"no complete answer: {problem}", not progress.connecting
        except Exception as error:
            if not progress.connecting:
                raise
            problem, hint = explain(error, self._hop, progress)
            problem, sent = f"could not connect: {problem}", False
        finally:
            await progress.abandon()
        # Outside the handlers: an httpx error holds the request with its headers, so it must not become the cause.
        return call.fail(NoAnswerError(problem, sent=sent, hint=hint), certain=not sent)

    def _now(self) -> float:
        """piv.day's time if it is known, else ours: what a date in a header is compared with."""
        at = self.remote_clock.time()
        return self.clock.time() if at is None else at

    def _clean(self, text: str, limit: int) -> str:
        return clean(text, secret=self._key.get_secret_value(), limit=limit)


async def _body(response: httpx.Response) -> bytes | None:
    """The decoded body, or `None` if it is larger than `MAX_RESPONSE_BYTES`."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.aiter_bytes():
        size += len(chunk)
        if size > MAX_RESPONSE_BYTES:
            return None
        chunks.append(chunk)
    return b"".join(chunks)


def _proxy_to(base_url: str) -> ProxyChoice | None:
    rules = proxy_rules()
    for problem in rules.problems:
        _log.warning("a proxy variable cannot be used", problem=problem)
    return rules.choose(base_url)


def _checked(what: str, check: Callable[[str], str], value: str) -> str:
    try:
        return check(value)
    except ValueError as error:
        raise ConfigError(f"The {what} {error}") from None
