"""How much the inbox takes, how it grows, and what a crash costs: `python tests/benchmarks/inbox.py`.

Side by side with the least that could do the job: a Starlette handler that inserts one row per request into a database
of the same durability. Ends with status 1 if a target is missed.
"""

import argparse
import asyncio
import json
import os
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from piv_mcp.inbox.inbox import Inbox
from piv_mcp.inbox.parse import event_of
from piv_mcp.store import SqliteStore, event, events
from piv_mcp.store.changes import Changes

SECRET = "a-secret-path-of-the-benchmark"
SLOWEST = 5.0
"""Seconds within which each event must be acknowledged."""
MIN_SHARE = 0.8
"""Of the bare handler's throughput."""
MAX_GROWTH = 2.0
"""A look-up among a million events against one among a thousand."""

BARE = """
import sqlite3, sys
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("PRAGMA journal_mode = WAL")
database.execute("PRAGMA synchronous = FULL")
database.execute("CREATE TABLE events (seq INTEGER PRIMARY KEY AUTOINCREMENT, payload TEXT NOT NULL)")

async def receive(request):
    body = await request.body()
    cursor = database.execute("INSERT INTO events (payload) VALUES (?)", (body.decode(),))
    return JSONResponse({"ok": True, "id": cursor.lastrowid, "new": True})

app = Starlette(routes=[Route("/webhooks/{secret}", receive, methods=["POST"])])
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_config=None, access_log=False, lifespan="off")
"""


def webhook(n: int) -> bytes:
    data = {
        "piv_num_id": f"number-{n % 500}",
        "text": f"Your verification code is {100000 + n}. Do not share it.",
        "code": str(100000 + n),
        "country": "SE",
        "received_at": "2026-05-22T12:34:56Z",
    }
    return json.dumps({"event_type": "sms.received", "timestamp": "2026-05-22T12:34:56Z", "data": data}).encode()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def running(command: list[str], port: int, **environment: str) -> Generator[subprocess.Popen[bytes]]:
    """A server, from the moment its port answers."""
    process = subprocess.Popen(command, env={**os.environ, **environment})
    try:
        end = time.monotonic() + 20
        while not answers(port):
            if process.poll() is not None or time.monotonic() > end:
                sys.exit("the server did not start")
            time.sleep(0.02)
        yield process
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def receiver(directory: Path) -> Generator[tuple[subprocess.Popen[bytes], int]]:
    port = free_port()
    environment = {
        "PIV_DATA_DIR": str(directory),
        "PIV_WEBHOOK_PORT": str(port),
        "PIV_WEBHOOK_SECRET": SECRET,
        "PIV_LOG_LEVEL": "WARNING",
    }
    with running([sys.executable, "-m", "piv_mcp", "receive"], port, **environment) as process:
        yield process, port


@contextmanager
def bare(directory: Path) -> Generator[tuple[subprocess.Popen[bytes], int]]:
    port = free_port()
    directory.mkdir(parents=True)
    with running([sys.executable, "-c", BARE, str(directory / "bare.sqlite3"), str(port)], port) as process:
        yield process, port


@dataclass
class Burst:
    """What a burst came to: numbers of the events that were acknowledged, and how long each took."""

    acknowledged: list[int]
    seconds: list[float]
    duration: float

    @property
    def rate(self) -> float:
        return len(self.acknowledged) / self.duration


async def burst(port: int, count: int, connections: int, *, enough: Callable[[int], None] | None = None) -> Burst:
    """Send `count` events over `connections` kept-alive connections, as fast as they are acknowledged."""
    acknowledged: list[int] = []
    seconds: list[float] = []
    numbers = iter(range(count))

    async def send() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            for n in numbers:
                body = webhook(n)
                head = (
                    f"POST /webhooks/{SECRET} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: piv.day-webhook/1.0\r\n"
                    f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                )
                started = time.perf_counter()
                writer.write(head.encode() + body)
                answer = await reader.readuntil(b"\r\n\r\n")
                length = next(line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:"))
                await reader.readexactly(int(length.split(b":")[1]))
                if answer.startswith(b"HTTP/1.1 200"):
                    seconds.append(time.perf_counter() - started)
                    acknowledged.append(n)
                    if enough is not None:
                        enough(len(acknowledged))
        except (OSError, asyncio.IncompleteReadError):
            pass  # the server was killed: what it has not acknowledged may be lost
        finally:
            writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(send() for _ in range(connections)))
    return Burst(acknowledged, seconds, time.perf_counter() - started)


def kept(directory: Path) -> list[str]:
    """The codes in a receiver's store, opened as a server would."""

    async def read() -> list[str]:
        store = SqliteStore(directory / "store.sqlite3")
        await store.write(lambda c: None)
        found = await store.read(lambda c: [str(code) for (code,) in c.rows("SELECT code FROM events")])
        await store.close()
        return found

    return asyncio.run(read())


def codes_of(numbers: list[int]) -> set[str]:
    return {str(100000 + n) for n in numbers}


def measure_burst(root: Path, count: int, connections: int, rounds: int) -> bool:
    ours: list[Burst] = []
    theirs: list[Burst] = []
    whole = True
    for round_ in range(rounds):
        directory = root / f"ours-{round_}"
        # Both servers run, and take their bursts one right after the other, in turns: a disk has good and bad seconds.
        with receiver(directory) as (_, port), bare(root / f"bare-{round_}") as (_, bare_port):
            for is_ours in (True, False) if round_ % 2 else (False, True):
                run = asyncio.run(burst(port if is_ours else bare_port, count, connections))
                (ours if is_ours else theirs).append(run)
        found = kept(directory)
        whole &= len(found) == len(set(found)) == count and set(found) == codes_of(ours[-1].acknowledged)
    slowest = max(max(run.seconds) for run in ours)
    rate, bare_rate = statistics.median(run.rate for run in ours), statistics.median(run.rate for run in theirs)
    share = statistics.median(own.rate / other.rate for own, other in zip(ours, theirs, strict=True))
    print(f"\nBurst: {count} events over {connections} connections, medians of {rounds} pairs")
    print(f"{'':24}{'piv-mcp':>12}{'bare':>12}")
    print(f"{'events a second':24}{rate:12.0f}{bare_rate:12.0f}   {share:.2f}, pair by pair (at least {MIN_SHARE})")
    for name, part in (("median", 0.5), ("99 %", 0.99), ("slowest", 1.0)):
        row = [
            1000 * sorted(s for run in runs for s in run.seconds)[int(part * (count * rounds - 1))]
            for runs in (ours, theirs)
        ]
        print(f"{'acknowledged, ' + name:24}{row[0]:9.0f} ms{row[1]:9.0f} ms")
    print(f"{'none lost, none double':24}{'yes' if whole else 'NO':>12}")
    return whole and slowest < SLOWEST and share >= MIN_SHARE


def filled(path: Path, count: int) -> None:
    """A store with so many codes on 500 numbers, a second apart."""
    asyncio.run(_create(path))
    template = event_of(webhook(0), time.time())
    now = time.time()
    columns = [name for name in COLUMNS if name != "seq"]
    connection = sqlite3.connect(path)
    connection.executemany(
        f"INSERT INTO events ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})",  # noqa: S608
        (
            [getattr(event, name) for name in columns]
            for event in (
                replace(
                    template,
                    subject=f"number-{n % 500}",
                    arrived_at=now - (count - n),
                    sent_at=now - (count - n),
                    stored_at=now - (count - n),
                    digest=f"digest-{n}",
                    text_key=f"key-{n}",
                    message_id=f"{n}",
                )
                for n in range(count)
            )
        ),
    )
    connection.commit()
    connection.close()


COLUMNS = tuple(event.StoredEvent.__dataclass_fields__)


async def _create(path: Path) -> None:
    store = SqliteStore(path)
    await store.write(lambda c: None)
    await store.close()


async def lookups(path: Path, rounds: int) -> dict[str, float]:
    """Median seconds of each question, over one store."""
    store = SqliteStore(path)
    inbox = Inbox(store, Changes(store))
    spent: dict[str, list[float]] = {"latest code, any number": [], "latest code, one number": [], "next events": []}
    for n in range(rounds):
        for name, question in (
            ("latest code, any number", inbox.store.read(events.codes, None, limit=5)),
            ("latest code, one number", inbox.store.read(events.codes, f"number-{n * 7 % 500}", limit=5)),
            ("next events", inbox.store.read(events.after, 900, limit=20)),
        ):
            started = time.perf_counter()
            await question
            spent[name].append(time.perf_counter() - started)
    await inbox.changes.close()
    await store.close()
    return {name: statistics.median(times) for name, times in spent.items()}


def measure_growth(root: Path, most: int) -> bool:
    small, large = root / "small.sqlite3", root / "large.sqlite3"
    filled(small, 1000)
    filled(large, most)
    few, many = (asyncio.run(lookups(path, 400)) for path in (small, large))
    print(f"\nGrowth: 1,000 events against {most:,} ({large.stat().st_size / 1e6:.0f} MB)")
    good = True
    for name in few:
        factor = many[name] / few[name]
        good &= factor <= MAX_GROWTH
        print(f"{name:24}{1e6 * few[name]:9.0f} us{1e6 * many[name]:9.0f} us   {factor:.2f} (at most {MAX_GROWTH:.0f})")
    return good


def measure_crash(root: Path, count: int, connections: int, rounds: int) -> bool:
    lost = 0
    acknowledged = 0
    for round_ in range(rounds):
        directory = root / f"crash-{round_}"
        with receiver(directory) as (process, port):
            at = count * (round_ + 1) // (rounds + 1)

            def kill(so_many: int, at: int = at, process: subprocess.Popen[bytes] = process) -> None:
                if so_many == at:
                    process.send_signal(signal.SIGKILL)

            run = asyncio.run(burst(port, count, connections, enough=kill))
        found = kept(directory)
        acknowledged += len(run.acknowledged)
        lost += len(codes_of(run.acknowledged) - set(found)) + (len(found) - len(set(found)))
        lost += len(list(directory.glob("*corrupt*")))
    print(f"\nCrash: kill -9 in the middle of a burst, {rounds} times")
    print(f"{'acknowledged':24}{acknowledged:12}\n{'lost or double':24}{lost:12}   (none)")
    return lost == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=Path, help="where to measure: its disk is what counts")
    parser.add_argument("--events", type=int, default=2000)
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--most", type=int, default=1_000_000, help="events in the large store")
    chosen = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="piv-mcp-benchmark-", dir=chosen.directory))
    try:
        good = [
            measure_burst(root, chosen.events, chosen.connections, chosen.rounds),
            measure_crash(root, chosen.events, chosen.connections, chosen.rounds),
            measure_growth(root, chosen.most),
        ]
    finally:
        shutil.rmtree(root)
    print("\nAll targets are met." if all(good) else "\nA target was missed.")
    sys.exit(not all(good))


if __name__ == "__main__":
    main()
