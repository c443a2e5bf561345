"""The webhook endpoint over real HTTP, and who serves it."""

import asyncio
import contextlib
import json
import socket
import sqlite3
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import structlog.testing
from harness import until
from moving_clock import MovingClock
from plain_http import http_client
from processes import SECRET, free_port, sms_webhook
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from piv_mcp.inbox.inbox import Inbox
from piv_mcp.store import Store, events, facts
from piv_mcp.store.changes import Changes
from piv_mcp.web.listener import TAKE_OVER_SECONDS, Listener, listen
from piv_mcp.web.webhook_endpoint import GUESSES_A_MINUTE, MAX_BODY, WebhookEndpoint

JSON = {"Content-Type": "application/json", "User-Agent": "piv.day-webhook/1.0"}
GOOD = sms_webhook("num-a", "Your code is 482913", "482913")


def webhook_app(inbox: Inbox) -> ASGIApp:
    webhooks = WebhookEndpoint(inbox, SECRET)
    return Starlette(routes=[Route("/webhooks/{secret}", webhooks.receive, methods=["POST"])])


@asynccontextmanager
async def hosting(app: ASGIApp, port: int = 0) -> AsyncGenerator[Listener]:
    """A host that runs as long as the block, and maybe does not get its port."""
    host = Listener(app, "127.0.0.1", port)
    running = asyncio.create_task(host.run())
    try:
        yield host
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@dataclass
class Endpoint:
    http: httpx.AsyncClient
    inbox: Inbox
    port: int

    async def post(self, content: bytes, secret: str = SECRET, **headers: str) -> httpx.Response:
        return await self.http.post(f"/webhooks/{secret}", content=content, headers={**JSON, **headers})

    async def codes(self) -> list[str | None]:
        return [event.code for event in await self.inbox.store.read(events.codes, None, limit=10)]


@pytest.fixture
async def endpoint(data_dir: Path) -> AsyncIterator[Endpoint]:
    store = Store(data_dir / "store.sqlite3")
    inbox = Inbox(store, Changes(store))
    async with hosting(webhook_app(inbox)) as host:
        await asyncio.wait_for(host.serving.wait(), 5)
        base = f"http://127.0.0.1:{host.port}"
        async with http_client(base) as http:
            yield Endpoint(http, inbox, host.port)
    await inbox.changes.close()
    await store.close()


async def test_an_event_is_acknowledged_with_its_id(endpoint: Endpoint) -> None:
    answer = await endpoint.post(GOOD)
    assert (answer.status_code, answer.json()) == (200, {"ok": True, "id": 1, "new": True})
    again = await endpoint.post(GOOD)
    assert (again.status_code, again.json()) == (200, {"ok": True, "id": 1, "new": False})
    assert await endpoint.codes() == ["482913"]


@pytest.mark.parametrize("guess", ["wrong", SECRET[:-1], f"{SECRET}x", "%00", "%ff%fe", "ümlaut", "x" * 5000])
async def test_a_wrong_secret_is_not_found_and_is_counted(endpoint: Endpoint, guess: str) -> None:
    assert (await endpoint.post(GOOD, guess)).status_code == 404
    assert await endpoint.codes() == []
    count, at = await endpoint.inbox.store.read(
        lambda c: [facts.get(c, f"wrong_secret:{name}") for name in ("count", "at")]
    )
    assert count == "1"
    assert float(at or 0) == pytest.approx(time.time(), abs=5)


@pytest.mark.parametrize("path", ["/webhooks/", "/webhooks", "/", f"/webhooks/{SECRET}/more", f"/webhooks//{SECRET}"])
async def test_other_paths_are_not_found(endpoint: Endpoint, path: str) -> None:
    answer = await endpoint.http.post(path, content=GOOD, headers=JSON)
    assert answer.status_code == 404


async def test_guessing_is_slowed_down_and_the_right_secret_still_works(endpoint: Endpoint) -> None:
    statuses = [(await endpoint.post(GOOD, f"guess-{n}")).status_code for n in range(GUESSES_A_MINUTE + 5)]
    assert statuses == [404] * GUESSES_A_MINUTE + [429] * 5
    refused = await endpoint.post(GOOD, "guess")
    assert refused.headers["Retry-After"] == "60"
    assert (await endpoint.post(GOOD)).status_code == 200


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
async def test_only_post_is_allowed(endpoint: Endpoint, method: str) -> None:
    answer = await endpoint.http.request(method, f"/webhooks/{SECRET}", headers=JSON)
    assert answer.status_code == 405


async def test_a_body_of_the_largest_size_is_taken_and_one_byte_more_is_not(endpoint: Endpoint) -> None:
    largest = GOOD[:-1] + b" " * (MAX_BODY - len(GOOD)) + b"}"
    assert len(largest) == MAX_BODY
    assert (await endpoint.post(largest)).status_code == 200
    assert (await endpoint.post(largest + b" ")).status_code == 413
    assert (await endpoint.post(GOOD)).status_code == 200


async def test_a_body_in_chunks_that_grows_too_large_is_refused(endpoint: Endpoint) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(MAX_BODY // 4096 + 2):
            yield b" " * 4096

    url = f"/webhooks/{SECRET}"
    assert (await endpoint.http.post(url, content=chunks(), headers=JSON)).status_code == 413


async def test_a_declared_size_that_is_too_large_is_refused_before_the_body_comes(endpoint: Endpoint) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
    head = f"POST /webhooks/{SECRET} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: {10**9}\r\n\r\n".encode())
    status = await asyncio.wait_for(reader.readline(), 5)
    writer.close()
    assert b"413" in status


async def test_a_body_that_breaks_off_harms_nobody(endpoint: Endpoint, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(5):
        _, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
        head = f"POST /webhooks/{SECRET} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: 500\r\n\r\n".encode() + GOOD[:50])
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    assert (await endpoint.post(GOOD)).status_code == 200
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
async def test_only_json_is_taken(endpoint: Endpoint, kind: str) -> None:
    assert (await endpoint.post(GOOD, **{"Content-Type": kind})).status_code == 415


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "application/problem+json", "APPLICATION/JSON"])
async def test_json_by_another_name_is_taken(endpoint: Endpoint, kind: str) -> None:
    assert (await endpoint.post(GOOD, **{"Content-Type": kind})).status_code == 200


async def test_a_thousand_malformed_bodies_leave_the_receiver_working(endpoint: Endpoint) -> None:
    spoilt = [b"", b"{", b"[]", b"null", b"\xff\xfe\x00", b'{"a": NaN}', b"[" * 5000, b"<html>", GOOD[:-1], b'"x"']

    async def some(bodies: list[bytes]) -> set[int]:
        """On one connection, without the work of an HTTP client."""
        reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
        statuses: set[int] = set()
        for body in bodies:
            head = f"POST /webhooks/{SECRET} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            answer = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            statuses.add(int(answer.split()[1]))
            await reader.readexactly(int(answer.partition("content-length: ")[2].partition("\r\n")[0]))
        writer.close()
        await writer.wait_closed()
        return statuses

    statuses = await asyncio.gather(*(some(spoilt * 10) for _ in range(10)))
    assert statuses == [{400}] * 10
    assert (await endpoint.post(GOOD)).json() == {"ok": True, "id": 1, "new": True}


async def test_an_unknown_event_is_taken(endpoint: Endpoint) -> None:
    body = json.dumps({"event_type": "number.exploded", "data": {"x": 1}}).encode()
    assert (await endpoint.post(body)).status_code == 200


async def test_a_store_that_fails_asks_for_the_event_again_and_takes_it_then(endpoint: Endpoint) -> None:
    await endpoint.inbox.store.write(lambda c: None)
    other = sqlite3.connect(endpoint.inbox.store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    locked = await endpoint.post(GOOD)
    assert (locked.status_code, locked.json()["ok"]) == (503, False)
    assert "482913" not in locked.text
    wrong = await endpoint.post(GOOD, "wrong")
    assert wrong.status_code == 404, "not counted, but answered"
    other.execute("ROLLBACK")
    other.close()
    assert (await endpoint.post(GOOD)).json() == {"ok": True, "id": 1, "new": True}


async def test_an_event_that_cannot_be_stored_is_logged_without_a_secret(endpoint: Endpoint) -> None:
    await endpoint.inbox.store.write(lambda c: None)
    with contextlib.closing(sqlite3.connect(endpoint.inbox.store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with structlog.testing.capture_logs() as logs:
            assert (await endpoint.post(GOOD)).status_code == 503
    (told,) = [log for log in logs if log["event"].startswith("event not stored")]
    assert (told["log_level"], told["problem"]) == ("error", "the store is locked by another program")
    for secret in (SECRET, "482913", "num-a"):
        assert secret not in repr(logs)


async def test_a_full_disk_asks_for_events_again_and_takes_them_once_there_is_room(endpoint: Endpoint) -> None:
    store = endpoint.inbox.store
    assert (await endpoint.post(sms_webhook("num-a", "Your code is 111111", "111111"))).status_code == 200
    await store.write(lambda c: c.execute("PRAGMA max_page_count = 1"))  # as large as it is, and no larger
    bodies = [sms_webhook("num-a", f"{'x' * 4000} Your code is {n}", str(n)) for n in range(222220, 222240)]
    with structlog.testing.capture_logs() as logs:
        answers = [await endpoint.post(body) for body in bodies]
    assert answers[-1].status_code == 503
    assert answers[-1].json() == {"ok": False, "error": "not stored, send it again"}
    assert "the disk is full" in [log.get("problem") for log in logs]
    assert (await endpoint.codes())[-1] == "111111", "what was acknowledged is there"
    await store.write(lambda c: c.execute("PRAGMA max_page_count = 1000000"))
    refused = [body for body, answer in zip(bodies, answers, strict=True) if answer.status_code == 503]
    again = [await endpoint.post(body) for body in refused]
    assert [(answer.status_code, answer.json()["new"]) for answer in again] == [(200, True)] * len(refused)


async def test_many_deliveries_at_once_are_all_kept_once(endpoint: Endpoint) -> None:
    bodies = [
        sms_webhook("num-a", f"Your code is {1000 + n // 2}", at=f"2026-05-22T12:00:{n // 2:02}Z") for n in range(100)
    ]
    answers = await asyncio.gather(*map(endpoint.post, bodies))
    assert {answer.status_code for answer in answers} == {200}
    assert sum(answer.json()["new"] for answer in answers) == 50
    assert (await endpoint.inbox.store.read(events.after, 0))[1] == 50


# Who serves


def naming(name: str) -> ASGIApp:
    return PlainTextResponse(name)


async def who(port: int) -> str | None:
    try:
        async with http_client(timeout=1) as http:
            return (await http.get(f"http://127.0.0.1:{port}/")).text
    except httpx.TransportError:
        return None


async def test_the_first_host_serves_and_the_next_takes_over_within_two_seconds() -> None:
    port = free_port()
    async with AsyncExitStack() as others:
        async with hosting(naming("first"), port) as first:
            await asyncio.wait_for(first.serving.wait(), 5)
            second = await others.enter_async_context(hosting(naming("second"), port))
            assert await who(port) == "first"
            assert not second.serving.is_set()
        ended = time.monotonic()
        await asyncio.wait_for(second.serving.wait(), 5)
        assert time.monotonic() - ended < 2
        assert await who(port) == "second"


async def test_a_host_that_cannot_listen_says_why_once_and_tries_again() -> None:
    clock = MovingClock()
    host = Listener(naming("nowhere"), "192.0.2.1", free_port(), clock=clock)
    with structlog.testing.capture_logs() as logs:
        running = asyncio.create_task(host.run())
        for _ in range(4):
            await asyncio.wait_for(host.tried.wait(), 5)
            host.tried.clear()
            clock.advance(2 * TAKE_OVER_SECONDS)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert [(log["log_level"], log["event"]) for log in logs] == [
        ("error", "the local web app cannot be served; trying again")
    ]
    assert not host.serving.is_set()


async def test_answers_leave_at_once_instead_of_waiting_for_the_acknowledgement_of_their_heads() -> None:
    # asyncio sets TCP_NODELAY on connections of sockets that name their protocol; without it each answer on a
    # kept-alive connection may take 40 ms.
    delays: list[int] = []

    class Listening(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            connection = transport.get_extra_info("socket")
            delays.append(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    listener = listen("127.0.0.1", 0)
    server = await asyncio.get_running_loop().create_server(Listening, sock=listener)
    _, writer = await asyncio.open_connection(*listener.getsockname())
    await until(lambda: delays, seconds=5, what="the connection")
    writer.close()
    server.close()
    await server.wait_closed()
    assert delays == [1]


async def test_port_0_takes_any_free_one_and_keeps_it() -> None:
    async with hosting(naming("ours")) as host:
        await asyncio.wait_for(host.serving.wait(), 5)
        assert host.port != 0
        assert await who(host.port) == "ours"


async def test_a_stranger_on_the_port_is_waited_out() -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        async with hosting(naming("ours"), port) as host:
            await asyncio.sleep(0.05)
            assert not host.serving.is_set()
    async with hosting(naming("ours"), port) as host:
        await asyncio.wait_for(host.serving.wait(), 5)
        assert await until(lambda: who(port), seconds=5, what="an answer") == "ours"


async def test_a_host_that_is_stopped_leaves_the_port_free_at_once() -> None:
    port = free_port()
    async with hosting(naming("ours"), port) as host:
        await asyncio.wait_for(host.serving.wait(), 5)
        assert await who(port) == "ours"
    socket.create_server(("127.0.0.1", port), reuse_port=False).close()
