"""What the tests of the sandbox share: a client, a receiver of webhooks, and the requests that cost money."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, cast

import httpx

from piv_mcp.sandbox import Sandbox, SandboxTransport
from piv_mcp.sandbox.errors import STATUS_OF
from piv_mcp.sandbox.serve import serve

Json = dict[str, Any]

HEADERS = {"Authorization": "Bearer sandbox-key"}
HOOK = "https://receiver.example/hook"
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Without certificates. To load them takes 40 ms a client, and the sandbox speaks plain HTTP."""

BUY_NUMBER: Json = {"country_code": "SE", "duration_months": 1, "auto_renew": False}
BUY_DOMAIN: Json = {"domain": "new.com", "period": 1, "cloudflare": True, "auto_renew": False}
SEND: Json = {"to_number": "+14155551234", "message_body": "Hello"}
VERIFY: Json = {"gv_url": "https://gv.google.com/abc"}
NEW_WHITE: Json = {
    "name": "Tech Blog DE",
    "tier_key": "v2_tier3",
    "niche": "IT Consulting",
    "country": "DE",
    "language": "de",
}


@dataclass
class Receiver:
    """Receives webhooks. It answers 200 when `answers` are used up."""

    answers: list[int | Exception] = field(default_factory=list[int | Exception])
    requests: list[httpx.Request] = field(default_factory=list[httpx.Request])

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if self.answers else 200
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer, headers={"Location": "/elsewhere"})

    @property
    def events(self) -> list[Json]:
        return [json.loads(request.content) for request in self.requests]


def connect(sandbox: Sandbox, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> httpx.AsyncClient:
    """A client without a socket. `sleep` waits for slow answers and read timeouts."""
    return httpx.AsyncClient(
        transport=SandboxTransport(sandbox, sleep=sleep),
        base_url="https://app.piv.day/api/v1",
        headers=HEADERS,
    )


class Api:
    """Requests with the checks that every answer must pass."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def ok(self, method: str, path: str, body: Json | None = None) -> Json:
        response = await self.client.request(method, path, json=body)
        assert response.is_success, response.text
        return response.json()

    async def data(self, method: str, path: str, body: Json | None = None) -> Json:
        return cast("Json", (await self.ok(method, path, body))["data"])

    async def error(self, method: str, path: str, body: Json | None = None) -> tuple[str, str]:
        """Code and message of an error whose status is the documented one."""
        response = await self.client.request(method, path, json=body)
        content = response.json()
        assert set(content) == {"success", "error"}
        assert set(content["error"]) == {"code", "message"}
        assert content["success"] is False
        assert response.status_code == STATUS_OF[content["error"]["code"]]
        return content["error"]["code"], content["error"]["message"]


def ids(sandbox: Sandbox) -> dict[str, str]:
    """The ids of what the seeded account owns, under names for use in paths."""
    state = sandbox.state
    numbers = {number.custom_name or "unnamed": number.piv_num_id for number in state.numbers.values()}
    orders = {order.status(sandbox.now): order.id for order in state.orders.values()}
    domains = {domain.cloudflare: domain for domain in state.domains.values()}
    whites = {white.status: white.id for white in state.whites.values()}
    return {
        "number": numbers["Office line"],
        "mute_number": numbers["Sign-ups"],
        "expired_number": numbers["Old campaign"],
        "lost_number": numbers["Retired"],
        "order": orders["active"],
        "expired_order": orders["expired"],
        "domain": domains[True].id,
        "record": domains[True].records[0].id,
        "plain_domain": domains[False].id,
        "white": whites[10],
        "unfinished_white": whites[3],
        "server": next(iter(state.servers)),
    }


def filled(value: Any, names: dict[str, str]) -> Any:
    """`value` with the ids in place of the names in braces."""
    text = json.dumps(value)
    for name, identifier in names.items():
        text = text.replace("{" + name + "}", identifier)
    return json.loads(text)


@contextlib.asynccontextmanager
async def on_its_own_port(sandbox: Sandbox) -> AsyncGenerator[httpx.AsyncClient]:
    """A client over TCP."""
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve(sandbox, ready=port.set_result))
    base = f"http://127.0.0.1:{await port}/api/v1"
    try:
        async with httpx.AsyncClient(base_url=base, headers=HEADERS, trust_env=False, verify=NO_TLS) as client:
            yield client
    finally:
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving
