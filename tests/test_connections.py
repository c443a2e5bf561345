"""Connections that nobody uses, half a request, and floods: webhooks are answered all the same, and calls go on."""

import asyncio
import resource
import socket
import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import structlog.testing
import uvicorn
import uvicorn.server
from harness import until
from moving_clock import MovingClock
from processes import KEY, Machine, sandbox_on_a_port, sms_webhook, within
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from piv_mcp.sandbox import Sandbox
from piv_mcp.web.connections import MAX_UNREAD, ROOM_SECONDS, WAIT_SECONDS, Connections
from piv_mcp.web.listener import Listener, listen

WEBHOOK_SECONDS = 5
"""So long piv.day waits for an answer."""

FLOODS = [(256, 300), (1024, 1100)]
"""Descriptors of the process, and connections that send nothing."""


@contextmanager
def silent(port: int, count: int) -> Generator[list[socket.socket]]:
    """So many connections that send nothing."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    connections: list[socket.socket] = []
    try:
        for _ in range(count):
            connection = socket.socket()
            connections.append(connection)
            connection.setblocking(False)
            connection.connect_ex(("127.0.0.1", port))
        yield connections
    finally:
        for connection in connections:
            connection.close()


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def log_bytes(log: Path) -> int:
    return log.stat().st_size


async def deliver(machine: Machine, code: int) -> None:
    """A webhook on a connection of its own, answered in time."""
    began = time.monotonic()
    answer = await machine.post(sms_webhook("num-a", f"Your code is {code}", str(code)))
    assert answer is not None
    assert answer.status_code == 200
    assert time.monotonic() - began < WEBHOOK_SECONDS


async def survive(machine: Machine, pid: int, log: Path, count: int) -> None:
    """Webhooks are answered in a flood and after it, the process is calm, and its log small."""
    used = processor_seconds(pid)
    with silent(machine.port, count):
        for code in range(111100, 111110):
            await deliver(machine, code)
    assert processor_seconds(pid) - used < 2
    assert log_bytes(log) < 20_000


@pytest.fixture
async def machine(data_dir: Path) -> AsyncIterator[Machine]:
    async with sandbox_on_a_port(Sandbox(KEY, rate_limit=0)) as base_url:
        yield Machine(data_dir, base_url)


@pytest.mark.parametrize(("descriptors", "count"), FLOODS)
async def test_a_receiver_with_more_idle_connections_than_descriptors_answers_webhooks(
    machine: Machine, descriptors: int, count: int
) -> None:
    async with machine.receiver(descriptors=descriptors) as process:
        await survive(machine, process.pid, machine.receiver_log, count)


@pytest.mark.parametrize(("descriptors", "count"), FLOODS)
async def test_a_server_with_more_idle_connections_than_descriptors_answers_webhooks_and_calls(
    machine: Machine, descriptors: int, count: int
) -> None:
    async with machine.server("flooded", whole=True, descriptors=descriptors) as server:
        await machine.served()
        await survive(machine, server.pid, server.log, count)
        with silent(machine.port, count):
            for _ in range(3):
                assert await server.call("get_account")
            assert (await server.call("list_events"))["events"]


# One client at a time


class App:
    """Answers `POST /` with the size of the body, `GET /big` with much, and `GET /slow` once `go` is set."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.slow = 0
        self.broken_off = 0

    async def size(self, request: Request) -> Response:
        try:
            return PlainTextResponse(f"{len(await request.body())} bytes")
        except ClientDisconnect:
            self.broken_off += 1
            raise

    async def wait(self, request: Request) -> Response:
        self.slow += 1
        await self.go.wait()
        return PlainTextResponse("done")

    async def big(self, request: Request) -> Response:
        return PlainTextResponse("x" * 4_000_000)

    async def early(self, request: Request) -> Response:
        return PlainTextResponse("no", 413)

    def routes(self) -> list[Route]:
        return [
            Route("/", self.size, methods=["POST"]),
            Route("/early", self.early, methods=["POST"]),
            Route("/slow", self.wait),
            Route("/big", self.big),
        ]


class Client:
    """A connection that is used by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @property
    def transport(self) -> asyncio.Transport:
        return cast("asyncio.Transport", self.writer.transport)

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self) -> bytes:
        """The next answer, with its body."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 20)
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return head + await self.reader.readexactly(length)

    async def rest(self) -> bytes:
        """All that comes until the server closes the connection."""
        try:
            return await asyncio.wait_for(self.reader.read(), 20)
        except ConnectionError:
            return b""

    async def is_closed(self) -> bool:
        return await self.rest() == b""


class House:
    """A listener with two places, its clock, and its clients."""

    def __init__(self, app: App, listener: Listener, clock: MovingClock, stack: AsyncExitStack) -> None:
        self.app = app
        self.listener = listener
        self.clock = clock
        self._stack = stack

    async def client(self, sent: bytes = b"", *, buffer: int | None = None) -> Client:
        connection = socket.socket()
        if buffer is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", self.listener.port))
        client = Client(*await asyncio.open_connection(sock=connection, limit=8_000_000))
        self._stack.callback(client.writer.close)
        client.send(sent)
        return client

    async def works(self) -> bool:
        client = await self.client(POST)
        return b"200 OK" in await client.answer()

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)


POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
SLOW = b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"
BIG = b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n"


@asynccontextmanager
async def opened(limit: int, idle_seconds: int = WAIT_SECONDS) -> AsyncGenerator[House]:
    app, clock = App(), MovingClock()
    routes = Starlette(routes=app.routes())
    listener = Listener(routes, "127.0.0.1", 0, limit=limit, idle_seconds=idle_seconds, clock=clock)
    running = asyncio.create_task(listener.run())
    await asyncio.wait_for(listener.serving.wait(), 20)
    async with AsyncExitStack() as stack:
        yield House(app, listener, clock, stack)
    app.go.set()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with opened(limit=2) as house:
        yield house


@pytest.fixture
async def large_house() -> AsyncIterator[House]:
    async with opened(limit=100) as house:
        yield house


HALVES: dict[str, tuple[bytes, bytes]] = {
    "nothing": (b"", b""),
    "half a head": (POST[:20], b"408"),
    "a head without its end": (POST.partition(b"\r\n\r\n")[0], b"408"),
    "half a body": (POST[:-2], b"408"),
    "half a chunked body": (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", b"408"),
    "half a request after a whole one": (POST + POST[:20], b"408"),
}


@pytest.mark.parametrize("half", HALVES)
async def test_who_sends_half_a_request_is_told_after_the_time_for_it(large_house: House, half: str) -> None:
    sent, status = HALVES[half]
    client = await large_house.client(sent)
    if half == "half a request after a whole one":
        assert b"5 bytes" in await client.answer()
    assert await large_house.works()
    large_house.pass_time(WAIT_SECONDS - 1)
    assert await large_house.works()
    assert not client.reader.at_eof()
    large_house.pass_time(2)
    assert status in (await client.rest())[:12]
    assert await large_house.works()


async def test_bytes_that_trickle_give_no_more_time(large_house: House, caplog: pytest.LogCaptureFixture) -> None:
    head, body = await large_house.client(POST[:10]), await large_house.client(POST[:-5])
    for part in range(6):
        assert await large_house.works()
        large_house.pass_time(WAIT_SECONDS / 5)
        if part < 4:
            head.send(POST[10 + part : 11 + part])
            body.send(b"h")
    assert b" 408 " in await head.rest()
    assert b" 408 " in await body.rest()
    await until(lambda: large_house.app.broken_off, seconds=20, what="the handler hears of it")
    assert caplog.records == [], "and it is no error of ours"


async def test_a_kept_connection_serves_until_nobody_uses_it(large_house: House) -> None:
    client = await large_house.client()
    for _ in range(5):
        client.send(POST)
        assert b"5 bytes" in await client.answer()
        large_house.pass_time(WAIT_SECONDS - 1)
    large_house.pass_time(2)
    assert await client.is_closed()


async def test_a_client_that_does_not_read_is_cut_off(large_house: House) -> None:
    client = await large_house.client(BIG * 20, buffer=4096)
    client.transport.pause_reading()
    assert await large_house.works()
    large_house.pass_time(WAIT_SECONDS + 1)
    assert await large_house.works()
    client.transport.resume_reading()
    assert len(await client.rest()) < 4_000_000


async def test_a_connection_is_kept_for_a_next_request_as_long_as_proxies_need() -> None:
    async with opened(limit=100, idle_seconds=15 * WAIT_SECONDS) as house:
        kept, silent, half = await house.client(POST), await house.client(), await house.client(POST + POST[:20])
        for client in (kept, half):
            assert b"5 bytes" in await client.answer()
        house.pass_time(WAIT_SECONDS + 1)
        assert await silent.is_closed()
        assert b"408" in await half.rest()
        house.pass_time(5 * WAIT_SECONDS)
        kept.send(POST)
        assert b"5 bytes" in await kept.answer()
        house.pass_time(15 * WAIT_SECONDS + 1)
        assert await kept.is_closed()


async def test_our_own_work_may_take_its_time(house: House) -> None:
    client = await house.client(SLOW)
    await until(lambda: house.app.slow, seconds=20, what="the request")
    house.pass_time(10 * WAIT_SECONDS)
    assert await house.works()
    house.app.go.set()
    assert b"done" in await client.answer()


async def test_an_answer_before_the_body_comes_and_the_rest_is_bounded(large_house: House) -> None:
    length = 100 * MAX_UNREAD
    client = await large_house.client(b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % length)
    assert b" 413 " in await client.answer()
    client.send(b"x" * length)
    with pytest.raises(ConnectionError):
        await asyncio.wait_for(client.writer.drain(), 20)


@pytest.mark.parametrize("sent", [POST, SLOW])
async def test_a_client_that_closes_its_side_after_the_request_gets_its_answer(large_house: House, sent: bytes) -> None:
    client = await large_house.client(sent)
    client.writer.write_eof()
    assert await large_house.works()
    large_house.app.go.set()
    assert b"200 OK" in await client.rest()


@pytest.mark.parametrize("sent", [b"", POST[:20], POST[:-1]])
async def test_a_client_that_closes_its_side_before_that_gets_none(large_house: House, sent: bytes) -> None:
    client = await large_house.client(sent)
    client.writer.write_eof()
    assert await client.is_closed()


@pytest.mark.parametrize(
    "noise", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 50, b"\x00" * 100, b"hi\r\n\r\n"]
)
async def test_what_is_not_http_gets_an_answer_and_no_log_line(
    large_house: House, noise: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with structlog.testing.capture_logs() as logs:
        for _ in range(5):
            assert b" 400 " in await (await large_house.client(noise)).rest()
    assert (logs, caplog.records) == ([], [])
    assert await large_house.works()


# More clients than places


async def test_the_one_that_waits_longest_gives_its_place_to_a_new_one(house: House) -> None:
    with structlog.testing.capture_logs() as logs:
        oldest, half = await house.client(), await house.client(POST[:-1])
        for _ in range(3):
            house.pass_time(ROOM_SECONDS)
            assert await house.works()
    assert await oldest.is_closed()
    assert b" 408 " in await half.rest()
    assert [log["event"] for log in logs] == ["too many connections: those that wait longest are closed"]


async def test_a_request_at_work_keeps_its_place_and_others_wait_for_it(house: House) -> None:
    slow = [await house.client(SLOW) for _ in range(3)]
    await until(lambda: house.app.slow == 3, seconds=20, what="all that are accepted")
    house.pass_time(10 * WAIT_SECONDS)
    waiting = await house.client(POST)
    house.app.go.set()
    for client in slow:
        assert b"done" in await client.answer()
    assert b"5 bytes" in await waiting.answer()


async def test_a_burst_of_requests_is_answered_whole(house: House) -> None:
    clients = await asyncio.gather(*(house.client(POST) for _ in range(30)))
    answers = await asyncio.gather(*(client.answer() for client in clients))
    assert all(b"5 bytes" in answer for answer in answers)


@pytest.mark.parametrize("failures", [1, 5])
async def test_no_descriptor_for_a_connection_is_said_once_and_tried_again(
    house: House, failures: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept = socket.socket.accept
    left = failures

    def sometimes(listening: socket.socket) -> tuple[socket.socket, Any]:
        nonlocal left
        if left:
            left -= 1
            raise OSError(24, "Too many open files")
        return accept(listening)

    monkeypatch.setattr(socket.socket, "accept", sometimes)
    with structlog.testing.capture_logs() as logs:
        assert await house.works()
        assert await house.works()
    assert left == 0
    assert [log["event"] for log in logs] == ["connections cannot be accepted; trying again"]


async def test_a_listener_that_stops_leaves_nobody_waiting() -> None:
    async with AsyncExitStack() as opening:
        house = await opening.enter_async_context(opened(limit=10))
        clients = [await house.client(sent) for sent in (b"", POST[:9], POST[:-1])]
        assert await house.works()
        async with within(1):
            await opening.aclose()
    for client in clients:
        client.writer.transport.abort()


async def test_a_connection_that_comes_as_the_listener_stops_is_left_to_the_next() -> None:
    loop = asyncio.get_running_loop()
    errors: list[dict[str, Any]] = []
    handler = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: errors.append(context))
    config = uvicorn.Config(Starlette())
    connections = Connections(config, uvicorn.server.ServerState(), {}, limit=10, clock=MovingClock())
    with listen("127.0.0.1", 0) as listening:
        accepting = asyncio.create_task(connections.accept(listening))
        await asyncio.sleep(0.01)
        with socket.create_connection(listening.getsockname()):
            loop.call_soon(accepting.cancel)  # before the loop sees the connection, and in the same turn
            await asyncio.gather(accepting, return_exceptions=True)
            await asyncio.sleep(0.01)
            listening.accept()[0].close()
    loop.set_exception_handler(handler)
    assert errors == []
