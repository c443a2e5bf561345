"""Delivery of webhooks by the reference's rules: any 2xx within 5 s is a success, else there are up to three retries
after 1, 2 and 4 s.

The sandbox reads "at most three retries" as four attempts in all. Each event is delivered on its own, so that a retry
delays no other event; the reference promises no order. Without a URL, events are recorded but not sent.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import httpx

from piv_mcp.sandbox.clock import SandboxClock, Timing
from piv_mcp.sandbox.failures import Failures
from piv_mcp.sandbox.wire import dumps

WEBHOOK_HEADERS = {"User-Agent": "piv.day-webhook/1.0", "Content-Type": "application/json"}


@dataclass(frozen=True)
class SandboxEvent:
    event_type: str
    timestamp: datetime
    data: Mapping[str, object]
    tried: asyncio.Event = field(default_factory=asyncio.Event, repr=False, compare=False)
    """Set when the first attempt has ended, or when it is certain that there will be none."""

    def body(self) -> str:
        return dumps({"event_type": self.event_type, "timestamp": self.timestamp, "data": self.data})


@dataclass(frozen=True)
class Delivery:
    """One attempt to deliver an event."""

    event: SandboxEvent
    attempt: int
    url: str
    at: datetime
    status: int | None
    """None if there was no answer; `error` says why."""
    error: str | None = None

    @property
    def succeeded(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def _certificates(url: str) -> ssl.SSLContext | bool:
    """None for plain HTTP: reading them takes 20 ms, and a variable about them can be in the way."""
    return url.startswith("https:") or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class WebhookSender:
    """Records events and delivers them in the background."""

    def __init__(
        self, clock: SandboxClock, timing: Timing, failures: Failures, transport: httpx.AsyncBaseTransport | None
    ) -> None:
        self.url: str | None = None
        self.events: list[SandboxEvent] = []
        self.deliveries: list[Delivery] = []
        self._clock = clock
        self._timing = timing
        self._failures = failures
        self._transport = transport
        self._client: httpx.AsyncClient | None = None
        self._waiting: deque[SandboxEvent] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    def emit(self, event_type: str, data: Mapping[str, object]) -> SandboxEvent:
        """Record an event for delivery; `start` sends it."""
        event = SandboxEvent(event_type, self._clock.now(), data)
        self.events.append(event)
        if self.url is None or self._failures.take_webhook("lost_webhook"):
            event.tried.set()
            return event
        copies = 2 if self._failures.take_webhook("duplicate_webhook") else 1
        self._waiting.extend([event] * copies)
        return event

    def start(self) -> None:
        """Begin to deliver the waiting events. Needs a running event loop."""
        while self._waiting:
            task = asyncio.get_running_loop().create_task(self._deliver(self._waiting.popleft()))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def settled(self) -> None:
        """Wait until every event has been delivered or given up."""
        while self._waiting or self._tasks:
            self.start()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            # Since Python 3.12 a gather of ended tasks may end without the loop, whose callbacks take the tasks out.
            await asyncio.sleep(0)

    async def aclose(self) -> None:
        """Stop all deliveries."""
        self._waiting.clear()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _deliver(self, event: SandboxEvent) -> None:
        try:
            for attempt, pause in enumerate((0.0, *self._timing.webhook_retries), start=1):
                await asyncio.sleep(pause)
                if self.url is None:
                    return
                delivery = await self._attempt(event, attempt, self.url)
                self.deliveries.append(delivery)
                event.tried.set()
                if delivery.succeeded:
                    return
        finally:
            event.tried.set()

    async def _attempt(self, event: SandboxEvent, attempt: int, url: str) -> Delivery:
        at = self._clock.now()
        status, error = None, None
        try:
            # httpx limits each step separately; the reference limits the whole exchange.
            async with asyncio.timeout(self._timing.webhook_timeout):
                status = (await self._post(url, event.body())).status_code
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as problem:
            error = f"{type(problem).__name__}: {problem}".rstrip(": ")
        return Delivery(event, attempt, url, at, status, error)

    async def _post(self, url: str, body: str) -> httpx.Response:
        if self._client is None:
            self._client = httpx.AsyncClient(
                transport=self._transport,
                headers=WEBHOOK_HEADERS,
                timeout=self._timing.webhook_timeout,
                trust_env=False,
                verify=_certificates(url),
            )
        return await self._client.post(url, content=body.encode())
