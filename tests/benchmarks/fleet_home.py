"""What `fleet.py` measures: PostgreSQL, a simulated piv.day, replicas of the server, and who calls and sends."""

import asyncio
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from piv_mcp.sandbox import Sandbox
from piv_mcp.sandbox.serve import serve

KEY = "sk-key-of-the-benchmark-0123456789"
SECRET = "a-secret-path-of-the-benchmark"
ACCOUNT = "main"
PROGRAM = (sys.executable, "-m", "piv_mcp")
START_SECONDS = 40
POOL_SIZE = 17
OK = 200
PERSON = "postgres"
"""PostgreSQL does not run as root, so root lends it this user."""

VERSION = "2026-07-28"
ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": VERSION,
    "io.modelcontextprotocol/clientInfo": {"name": "fleet.py", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# --- PostgreSQL


class Cluster:
    """A PostgreSQL of its own, as durable as one in production."""

    def __init__(self, folder: Path) -> None:
        self._data = folder / "postgresql"
        self._port = free_port()
        self._user = PERSON if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        self._data.mkdir()
        if os.geteuid() == 0:
            shutil.chown(self._data, PERSON, PERSON)
            folder.chmod(0o711)
        self._run("initdb", "--username=piv_mcp", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8")
        settings = {
            "port": self._port,
            "listen_addresses": "'127.0.0.1'",
            "unix_socket_directories": "''",
            "fsync": "on",
            "synchronous_commit": "on",
            "max_connections": 200,
        }
        text = "".join(f"{name} = {value}\n" for name, value in settings.items())
        with (self._data / "postgresql.conf").open("a") as file:
            file.write(text)
        self._run("pg_ctl", "start", "--wait", "--log", str(self._data / "log"))

    def database(self, name: str) -> str:
        """The URL of a new database."""
        self.ask("postgres", f"CREATE DATABASE {name}")
        return self.url(name)

    def url(self, name: str) -> str:
        return f"postgresql://piv_mcp@127.0.0.1:{self._port}/{name}"

    def ask(self, name: str, question: str) -> list[tuple[Any, ...]]:
        """The rows of an answer, if it has any."""
        import psycopg  # late: parts that need no PostgreSQL run without it

        with psycopg.connect(self.url(name), autocommit=True) as connection:
            cursor = connection.execute(question.encode())
            return cursor.fetchall() if cursor.description else []

    def restart_at_once(self) -> None:
        """As after a crash: nobody is told, and nothing is written first."""
        self._run("pg_ctl", "restart", "--mode=immediate", "--wait", "--log", str(self._data / "log"))

    def stop(self) -> None:
        self._run("pg_ctl", "stop", "--mode=immediate", "--wait")

    def _run(self, program: str, *arguments: str) -> None:
        command = [shutil.which(program) or program, f"--pgdata={self._data}", *arguments]
        if self._user == PERSON:
            command = [shutil.which("runuser") or "runuser", "-u", PERSON, "--", *command]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=self._data)


# --- piv.day


@asynccontextmanager
async def piv_day(rate_limit: int = 0) -> AsyncGenerator[tuple[Sandbox, str]]:
    """A simulated account, and the address of its API."""
    sandbox = Sandbox(KEY, rate_limit=rate_limit)
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(serve(sandbox, ready=port.set_result))
    try:
        yield sandbox, f"http://127.0.0.1:{await port}/api/v1"
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


# --- the servers


@dataclass
class Replica:
    process: "subprocess.Popen[bytes]"
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def memory(self) -> float:
        """MB."""
        line = next(row for row in Path(f"/proc/{self.process.pid}/status").read_text().splitlines() if "VmRSS" in row)
        return int(line.split()[1]) / 1024

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def crashes(self) -> list[str]:
        """What failed in it and was not foreseen."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [f"{line['event'].strip()}: {line['exception'][-200:]}" for line in lines if "exception" in line]

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@dataclass
class Fleet:
    """Servers of one store, and the token of an agent."""

    replicas: list[Replica]
    token: str
    other: str
    """The token of another agent."""
    http: httpx.AsyncClient
    _ids: Iterable[int] = field(default_factory=lambda: iter(range(1, sys.maxsize)))

    async def call(
        self, replica: Replica, tool: str, /, *, token: str | None = None, **arguments: Any
    ) -> dict[str, Any]:
        """A tool's answer to the first agent, or to that with the token.

        Raises:
            httpx.HTTPError: there was no complete answer.
            RuntimeError: an error in words.
        """
        number = next(iter(self._ids))
        message = {
            "jsonrpc": "2.0",
            "id": number,
            "method": "tools/call",
            "params": {"name": tool, "arguments": arguments, "_meta": ENVELOPE},
        }
        headers = {
            "Authorization": f"Bearer {token or self.token}",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": VERSION,
            "Mcp-Method": "tools/call",
            "Mcp-Name": tool,
        }
        async with self.http.stream("POST", f"{replica.url}/mcp", json=message, headers=headers) as response:
            text = (await response.aread()).decode()
        if response.status_code != OK:
            raise RuntimeError(f"{response.status_code}: {text[:300]}")
        lines = [line.removeprefix("data:") for line in text.splitlines() if line.startswith("data:")] or [text]
        answers = [answer for line in lines if (answer := json.loads(line)).get("id") == number]
        if not answers:
            raise httpx.RemoteProtocolError("the answer ends before its end")
        result = answers[0].get("result")
        if result is None or result.get("isError"):
            raise RuntimeError(json.dumps(answers[0])[:400])
        content: dict[str, Any] = result["structuredContent"]
        return content


def environment(folder: Path, store: str | None, base_url: str, **settings: object) -> dict[str, str]:
    accounts = folder / "accounts"
    if not accounts.exists():
        accounts.mkdir()
        (accounts / ACCOUNT).write_text(KEY)
        (accounts / f"{ACCOUNT}.webhook").write_text(SECRET)
    given = {
        "transport": "http",
        "accounts_dir": accounts,
        "base_url": base_url,
        "log_level": "ERROR",
        **({} if store is None else {"store_url": store}),
        **settings,
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PIV_")}
    return {**kept, **{f"PIV_{name.upper()}": str(value) for name, value in given.items()}}


KEPT = httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=600)
"""Connections that httpx closes for their age can be those that it takes for the next request."""


def client() -> httpx.AsyncClient:
    """A client for calls that wait long."""
    return httpx.AsyncClient(timeout=330, limits=KEPT, trust_env=False, verify=False)  # noqa: S501 - of plain HTTP


@asynccontextmanager
async def fleet(
    folder: Path, store: str | None, base_url: str, count: int, clocks: Sequence[str] = ()
) -> AsyncGenerator[Fleet]:
    """So many servers; without a store's address they share SQLite. `clocks`: by how much each one's clock is wrong,
    such as "+300s"."""
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)

    def variables(port: int) -> dict[str, str]:
        data = folder / ("data" if store is None else f"data-{port}")
        return environment(folder, store, base_url, data_dir=data, http_port=port)

    replicas: list[Replica] = []
    async with client() as http:
        try:
            for n in range(count):
                port = free_port()
                log = folder / f"{port}.log"
                replicas.append(Replica(start(variables(port), log, clocks[n] if clocks else None), port, log))
            for replica in replicas:
                await ready(http, replica)
            token = await asyncio.to_thread(add_agent, variables(replicas[0].port))
            other = await asyncio.to_thread(add_agent, variables(replicas[0].port), "other")
            await asyncio.sleep(1.2)  # a server may have looked just before
            yield Fleet(replicas, token, other, http)
        finally:
            for replica in replicas:
                replica.process.kill()
                replica.process.wait()


def start(variables: dict[str, str], log: Path, clock: str | None = None) -> "subprocess.Popen[bytes]":
    if clock is not None:
        variables = {**variables, **wrong_clock(clock)}
    with log.open("wb") as stderr:
        return subprocess.Popen([*PROGRAM, "serve"], env=variables, stdin=subprocess.DEVNULL, stderr=stderr)


def wrong_clock(by: str) -> dict[str, str]:
    """What faketime sets for a program. It runs one as its child, which would live on when faketime is killed."""
    command = [shutil.which("faketime") or "faketime", "-f", by, "env"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    told = dict(line.split("=", 1) for line in lines if line.startswith(("LD_PRELOAD=", "FAKETIME=")))
    return {**told, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def add_agent(variables: dict[str, str], name: str = "bench") -> str:
    """The token of a new agent."""
    command = [*PROGRAM, "agents", "add", name, "--account", ACCOUNT]
    return subprocess.run(command, env=variables, check=True, capture_output=True, text=True).stdout.strip()


async def ready(http: httpx.AsyncClient, replica: Replica) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        with suppress(httpx.TransportError):
            if (await http.get(f"{replica.url}/ready")).status_code == OK:
                return
        if replica.process.poll() is not None:
            break
        await asyncio.sleep(0.05)
    sys.exit(f"a server did not start\n{replica.log.read_text()[-2000:]}")


PLAIN = """
import sys
import psycopg, uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

connection = psycopg.connect(sys.argv[1], autocommit=True)

async def receive(request):
    body = await request.body()
    cursor = connection.execute("INSERT INTO bare (payload) VALUES (%s) RETURNING seq", (body.decode(),))
    return JSONResponse({"ok": True, "id": cursor.fetchone()[0], "new": True})

app = Starlette(routes=[Route("/webhooks/{secret}", receive, methods=["POST"])])
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_config=None, access_log=False, lifespan="off")
"""
"""The least that could do the job, as in inbox.py: a handler that inserts one row a request."""

POOLED = """
import asyncio, sys
import psycopg, uvicorn
from contextlib import asynccontextmanager
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

free = asyncio.Queue()

async def receive(request):
    body = await request.body()
    connection = await free.get()
    cursor = await connection.execute("INSERT INTO bare (payload) VALUES (%s) RETURNING seq", (body.decode(),))
    row = await cursor.fetchone()
    free.put_nowait(connection)
    return JSONResponse({"ok": True, "id": row[0], "new": True})

@asynccontextmanager
async def lifespan(app):
    for _ in range(int(sys.argv[3])):
        free.put_nowait(await psycopg.AsyncConnection.connect(sys.argv[1], autocommit=True))
    yield

app = Starlette(routes=[Route("/webhooks/{secret}", receive, methods=["POST"])], lifespan=lifespan)
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_config=None, access_log=False)
"""
"""The same with `POOL_SIZE` connections a process, a request on each: their commits share a flush of the disk."""


@contextmanager
def bare_servers(url: str, count: int, program: str) -> Generator[list[int]]:
    """So many processes of a bare server. Gives the ports."""
    ports = [free_port() for _ in range(count)]
    processes = [subprocess.Popen([sys.executable, "-c", program, url, str(port), str(POOL_SIZE)]) for port in ports]
    try:
        for port in ports:
            end = time.monotonic() + START_SECONDS
            while not _answers(port):
                if time.monotonic() > end:
                    sys.exit("the bare server did not start")
                time.sleep(0.05)
        yield ports
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


# --- who sends webhooks


def webhook(number: str, code: str) -> bytes:
    now = datetime.now(UTC).isoformat()
    data = {
        "piv_num_id": number,
        "text": f"Your verification code is {code}. Do not share it.",
        "code": code,
        "country": "SE",
        "received_at": now,
    }
    return json.dumps({"event_type": "sms.received", "timestamp": now, "data": data}).encode()


class Sender:
    """Sends webhooks over one connection at a time, and again until they are acknowledged, as piv.day does."""

    def __init__(self, ports: Sequence[int], first: int) -> None:
        self._ports = ports
        self._at = first % len(ports)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, body: bytes) -> int:
        """How many tries it took."""
        tries = 0
        while True:
            tries += 1
            with suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
                async with asyncio.timeout(5):
                    if await self._post(body) == OK:
                        return tries
            await self.close()
            self._at = (self._at + 1) % len(self._ports)  # a proxy in front leaves out a server that does not answer
            await asyncio.sleep(min(0.1 * tries, 1.0))

    async def _post(self, body: bytes) -> int:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._ports[self._at])
        reader, writer = self._streams
        writer.write(
            f"POST /webhooks/{SECRET} HTTP/1.1\r\nHost: 127.0.0.1:{self._ports[self._at]}\r\n"
            "User-Agent: piv.day-webhook/1.0\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.split(b":")[1]))
        return int(head.split(b" ", 2)[1])

    async def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


@dataclass
class Sent:
    """What a burst came to. `again` are those that took more than one try."""

    acknowledged: list[str]
    seconds: float
    slowest: float
    again: int

    @property
    def rate(self) -> float:
        return len(self.acknowledged) / self.seconds


async def burst(
    ports: Sequence[int],
    events: Iterable[tuple[str, str]],
    connections: int,
    progress: Callable[[int], None] = lambda done: None,
) -> Sent:
    """Send events (number, code) as fast as they are acknowledged."""
    waiting = iter(events)
    acknowledged: list[str] = []
    times: list[float] = []
    again = 0

    async def work(first: int) -> None:
        nonlocal again
        sender = Sender(ports, first)
        for number, code in waiting:
            started = time.perf_counter()
            tries = await sender.send(webhook(number, code))
            again += tries > 1
            times.append(time.perf_counter() - started)
            acknowledged.append(code)
            progress(len(acknowledged))
        await sender.close()

    started = time.perf_counter()
    await asyncio.gather(*(work(n) for n in range(connections)))
    return Sent(acknowledged, time.perf_counter() - started, max(times), again)
