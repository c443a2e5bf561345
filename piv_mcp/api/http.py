"""The one place that knows the base URL, the headers and the connection."""

import json
from collections.abc import Callable
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, TypeVar

import httpx
import structlog
from pydantic import SecretStr

from piv_mcp.api.credentials import checked_base_url, checked_key
from piv_mcp.api.rate_limit import Priority, RateLimiter
from piv_mcp.api.response import Answer, Call, understand
from piv_mcp.api.retry import Deadline, parse_retry_after, with_retries
from piv_mcp.api.text import clean
from piv_mcp.errors import ApiError, ConfigError, NoAnswerError, RateLimitedError
from piv_mcp.text.times import Clock

T = TypeVar("T")
_log = structlog.get_logger(__name__)

CONNECT_TIMEOUT = 5.0
WRITE_TIMEOUT = 10.0
"""Seconds, for the time-outs that no setting changes."""

MAX_BODY = 10 * 1024 * 1024
"""Bytes of an answer that are read."""

NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)
"""Failures before any byte of the request left. A `ProxyError` is a refused tunnel."""


class Http:
    """A connection to the API with one key. Calls pass limiter and retries, answers `understand`."""

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
        self._clock = clock
        self._deadline = deadline
        self._timeout = timeout
        self._client = httpx.AsyncClient(
            transport=transport,
            headers={"User-Agent": user_agent, "Accept": "application/json"},
            follow_redirects=False,
            # Nothing that the server sets is sent back.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        )

    def __repr__(self) -> str:
        return f"Http({self._base!r})"

    async def aclose(self) -> None:
        await self._client.aclose()

    async def send(self, call: Call[T], priority: Priority) -> T:
        """The answer of a call. Raises `ApiError`; takes at most the deadline."""
        if self._client.is_closed:
            call.fail(NoAnswerError("the client is closed", sent=False), certain=True)
        deadline = Deadline(self._deadline, self._clock)
        writes = call.endpoint.writes
        # A write that the deadline cuts off has an unknown outcome: it starts with time enough or not at all.
        room = min(10.0, self._deadline / 3) if writes else min(1.0, self._deadline / 10)

        async def attempt(number: int) -> T:
            await self._slot(call, priority, deadline.remaining() - room)
            return await self._attempt(call, number, deadline)

        return await with_retries(attempt, writes=writes, deadline=deadline, room=room)

    async def _slot(self, call: Call[Any], priority: Priority, patience: float) -> None:
        try:
            await self._limiter.acquire(priority, timeout=max(0.0, patience))
        except RateLimitedError as error:
            call.fail(error, certain=True)

    async def _attempt(self, call: Call[T], number: int, deadline: Deadline) -> T:
        started = self._clock.monotonic()
        outcome: object = "cancelled"
        try:
            answer = await self._exchange(call, deadline)
            outcome = answer.status
            if answer.status == 429 and answer.retry_after:
                await self._limiter.pause(answer.retry_after)
            return understand(call, answer, self._clean)
        except ApiError as error:
            outcome = error.status or error.code
            raise
        finally:
            level = _log.info if call.endpoint.writes else _log.debug
            level(
                "request",
                method=call.endpoint.method,
                path=call.endpoint.template,
                status=outcome,
                ms=round((self._clock.monotonic() - started) * 1000),
                attempt=number,
            )

    async def _exchange(self, call: Call[Any], deadline: Deadline) -> Answer:
        # A read that hangs is given up in time to be tried again; a write may take as long as the call lasts.
        read = deadline.remaining() if call.endpoint.writes else self._timeout
        request = self._client.build_request(
            call.endpoint.method,
            self._base + call.path,
            params=call.query or None,
            content=None if call.body is None else json.dumps(call.body, ensure_ascii=False).encode(),
            headers={"Authorization": f"Bearer {self._key.get_secret_value()}"}
            | ({} if call.body is None else {"Content-Type": "application/json"}),
            timeout=httpx.Timeout(read, connect=CONNECT_TIMEOUT, write=WRITE_TIMEOUT, pool=CONNECT_TIMEOUT),
        )
        try:
            async with self._clock.timeout(deadline.remaining()):
                response = await self._client.send(request, stream=True)
                try:
                    return Answer(
                        response.status_code,
                        parse_retry_after(response.headers.get("retry-after")),
                        await _body(response),
                    )
                finally:
                    await response.aclose()
        except TimeoutError:
            problem, sent = "no answer within the deadline", True
        except NOT_SENT as error:
            problem, sent = f"could not connect ({type(error).__name__})", False
        except (httpx.HTTPError, httpx.StreamError, OSError) as error:
            problem, sent = f"no complete answer ({type(error).__name__})", True
        # Not in the handlers: an httpx error holds the request with its headers, and stays out of the chain.
        return call.fail(NoAnswerError(problem, sent=sent), certain=not sent)

    def _clean(self, text: str, limit: int) -> str:
        return clean(text, secret=self._key.get_secret_value(), limit=limit)


async def _body(response: httpx.Response) -> bytes | None:
    """The decoded body, or `None` where it is too large."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.aiter_bytes():
        size += len(chunk)
        if size > MAX_BODY:
            return None
        chunks.append(chunk)
    return b"".join(chunks)


def _checked(what: str, check: Callable[[str], str], value: str) -> str:
    try:
        return check(value)
    except ValueError as error:
        raise ConfigError(f"The {what} {error}") from None
