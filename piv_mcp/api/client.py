"""The client: `async with PivClient(base_url, key) as piv: await piv.account.get()`."""

from types import TracebackType
from typing import Self

import httpx
from pydantic import SecretStr

from piv_mcp import __version__
from piv_mcp.api.account import AccountApi
from piv_mcp.api.domains import DomainsApi
from piv_mcp.api.http import Http
from piv_mcp.api.numbers import NumbersApi
from piv_mcp.api.proxies import ProxiesApi
from piv_mcp.api.rate_limit import LocalLimiter, Priority, RateLimiter
from piv_mcp.api.readings import RECENT_SECONDS, Span
from piv_mcp.api.remote_clock import RemoteClock
from piv_mcp.api.retry import Deadline
from piv_mcp.api.seen_numbers import NumberSight, SeenNumbersApi
from piv_mcp.api.whites import WhitesApi
from piv_mcp.text.times import SYSTEM_CLOCK, Clock


class PivClient:
    """All 38 endpoints of piv.day as typed methods, in five groups.

    `timeout`: seconds that a read waits for its response before the next try. `deadline`: seconds that any call
    may take, with its retries and its waits for the rate limit. A write waits for its response until the
    deadline. Raises `ConfigError` for an invalid base URL or key.
    """

    account: AccountApi
    numbers: NumbersApi
    proxies: ProxiesApi
    domains: DomainsApi
    whites: WhitesApi
    remote_clock: RemoteClock
    """piv.day's time. The clients that the methods below return share it."""

    def __init__(
        self,
        base_url: str,
        api_key: SecretStr,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        limiter: RateLimiter | None = None,
        timeout: float = 20.0,
        deadline: float = 30.0,
        user_agent: str = f"piv-mcp/{__version__}",
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        http = Http(
            base_url,
            api_key,
            transport=transport,
            limiter=limiter or LocalLimiter(clock=clock.monotonic, sleep=clock.sleep),
            timeout=timeout,
            deadline=deadline,
            user_agent=user_agent,
            clock=clock,
        )
        self._bind(http, Priority.PERSON)

    def at(self, priority: Priority) -> Self:
        """A client of another priority with the same connection and limiter. Closing either closes both."""
        return self._with(priority)

    def recent(self, span: Span) -> Self:
        """A client with the same connection whose reads may get the answers of equal reads of the last seconds. `span`
        then tells when they were read."""
        return self._with(self._priority, span=span)

    def forget(self) -> None:
        """Share no answer from before now: the account was changed by somebody else than this connection."""
        self._http.forget()

    def prompt(self) -> Self:
        """A client with the same connection that sends a request within `RECENT_SECONDS` from now or not at all: what
        was read for it would be old. A connection may have to be made first, for `CONNECT_TIMEOUT` more."""
        return self._with(self._priority, start=Deadline(RECENT_SECONDS, self._http.clock))

    def seen_by(self, sight: NumberSight) -> Self:
        """A client with the same connection for a caller who sees no other numbers and messages than `sight` tells."""
        return self._with(self._priority, sight=sight)

    def _with(
        self,
        priority: Priority,
        *,
        span: Span | None = None,
        start: Deadline | None = None,
        sight: NumberSight | None = None,
    ) -> Self:
        other = type(self).__new__(type(self))
        other._bind(self._http, priority, span, start, sight or self._sight)
        return other

    def _bind(
        self,
        http: Http,
        priority: Priority,
        span: Span | None = None,
        start: Deadline | None = None,
        sight: NumberSight | None = None,
    ) -> None:
        self._http = http
        self._sight = sight
        self.remote_clock = http.remote_clock
        self._priority = priority
        self.account = AccountApi(http, priority, span, start)
        self.numbers = (
            NumbersApi(http, priority, span, start)
            if sight is None
            else SeenNumbersApi(http, priority, span, start, sight=sight)
        )
        self.proxies = ProxiesApi(http, priority, span, start)
        self.domains = DomainsApi(http, priority, span, start)
        self.whites = WhitesApi(http, priority, span, start)

    def __repr__(self) -> str:
        return f"PivClient({self._http!r}, {self._priority.value})"

    async def aclose(self) -> None:
        """Close the connection."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()
