"""Helpers for tests of the API client: a server with fixed replies, and calls that fail."""

from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from piv_mcp import errors
from piv_mcp.api.client import PivClient
from piv_mcp.api.numbers import PurchaseNumber
from piv_mcp.api.rate_limit import Priority

BASE = "https://api.test/api/v1"
KEY = "key-0123456789-secret"
ACCOUNT = '{"success": true, "data": {"user_id": "u", "balance": 150.50}}'
PURCHASED = '{"success": true, "cost": 5.00, "numbers": [{"piv_num_id": "n"}]}'
PURCHASE = PurchaseNumber(country_code="SE", duration_months=1, auto_renew=False)

Reply = httpx.Response | Exception


def error(code: str, status: int, **headers: str) -> httpx.Response:
    """A documented error response."""
    body = {"success": False, "error": {"code": code, "message": "no"}}
    return httpx.Response(status, json=body, headers=headers)


class Server:
    """Sends the replies in order, then the last one again and again, and keeps the requests."""

    def __init__(self, *replies: Reply | str) -> None:
        self.replies = [httpx.Response(200, text=item) if isinstance(item, str) else item for item in replies]
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        reply = self.replies[min(len(self.requests), len(self.replies)) - 1]
        if isinstance(reply, Exception):
            raise reply
        return httpx.Response(reply.status_code, headers=reply.headers, content=reply.content)

    def client(self, **options: Any) -> PivClient:
        return PivClient(BASE, SecretStr(KEY), transport=httpx.MockTransport(self), **options)


class Recorder:
    """A rate limiter that allows every request at once and records what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Priority, float]] = []
        self.pauses: list[float] = []

    async def acquire(self, priority: Priority, *, timeout: float) -> None:  # noqa: ASYNC109 - the protocol's
        self.asked.append((priority, timeout))

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)


async def failure_of_read(*replies: Reply | str) -> errors.ApiError:
    """The error of a read that gets these replies."""
    with pytest.raises(errors.ApiError) as caught:
        await Server(*replies).client().account.get()
    return caught.value


async def failure_of_write(*replies: Reply | str) -> errors.ApiError:
    """The error of a write that gets these replies."""
    with pytest.raises(errors.ApiError) as caught:
        await Server(*replies).client().numbers.purchase(PURCHASE)
    return caught.value
