"""What a request carries, how a connection fails and closes, and what importing the client loads."""

import asyncio
import subprocess
import sys
from typing import Any

import httpx
import pytest
from api_client import ACCOUNT, KEY, PURCHASE, Server
from moving_clock import MovingClock
from pydantic import SecretStr

from piv_mcp import errors
from piv_mcp.api.client import PivClient
from piv_mcp.api.rate_limit import Priority

pytestmark = pytest.mark.usefixtures("instant_retries")


async def test_cookies_of_the_server_are_not_sent_back() -> None:
    server = Server(httpx.Response(200, text=ACCOUNT, headers={"set-cookie": "track=1; Path=/"}))
    piv = server.client()
    await piv.account.get()
    await piv.account.get()
    assert "cookie" not in server.requests[1].headers


async def test_a_request_carries_no_more_than_it_must() -> None:
    server = Server(ACCOUNT)
    await server.client(user_agent="piv-mcp/1 (test)").account.get()
    headers = dict(server.requests[0].headers)
    assert headers.pop("authorization") == f"Bearer {KEY}"
    assert headers.pop("user-agent") == "piv-mcp/1 (test)"
    assert set(headers) == {"host", "accept", "accept-encoding", "connection"}


async def test_a_closed_port_is_a_failure_to_connect() -> None:
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    async with PivClient(f"http://127.0.0.1:{port}", SecretStr(KEY)) as piv:
        with pytest.raises(errors.NoAnswerError) as caught:
            await piv.numbers.purchase(PURCHASE)
    assert not caught.value.sent


@pytest.mark.parametrize("while_it", ["waits", "connects"])
async def test_a_write_is_not_begun_after_its_time_however_long_the_process_stood_still(while_it: str) -> None:
    """The clock goes on while a process is stopped."""
    clock = MovingClock()
    came = bytearray()
    connected = asyncio.Event()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        came.extend(await reader.read())
        writer.close()

    class Stopped(httpx.AsyncHTTPTransport):
        """Stands still with its connection made, before anything is sent."""

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            follow = request.extensions["trace"]

            async def trace(step: str, info: dict[str, Any]) -> None:
                if step.endswith("connect_tcp.complete") and while_it == "connects":
                    clock.advance(12)
                await follow(step, info)

            request.extensions["trace"] = trace
            return await super().handle_async_request(request)

    async with await asyncio.start_server(take, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with PivClient(
            f"http://127.0.0.1:{port}", SecretStr(KEY), transport=Stopped(trust_env=False), clock=clock
        ) as piv:
            prompt = piv.prompt()
            if while_it == "waits":
                clock.advance(12)
            with pytest.raises(errors.ApiError) as caught:
                await prompt.numbers.purchase(PURCHASE)
    assert caught.value.effect == "none"
    assert connected.is_set() == (while_it == "connects")
    assert not came


async def test_closing_one_client_closes_what_it_shares() -> None:
    server = Server(ACCOUNT)
    piv = server.client()
    async with piv.at(Priority.WAIT):
        pass
    with pytest.raises(errors.NoAnswerError) as caught:
        await piv.numbers.purchase(PURCHASE)
    assert not caught.value.sent
    assert server.requests == []


def test_the_models_are_imported_without_the_http_libraries() -> None:
    areas = "account, numbers, proxies, domains, whites, events"
    program = f"import sys; from piv_mcp.api import {areas}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert not {"httpx", "stamina", "structlog", "mcp"} & set(loaded.split())


def test_the_client_is_imported_without_the_retry_library() -> None:
    program = "import sys; import piv_mcp.api.client; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert not {"stamina", "tenacity", "mcp"} & set(loaded.split())
