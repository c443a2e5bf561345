"""What the tests of the store share: small jobs, events, and programs that use a store in a process of their own."""

import asyncio
import secrets
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from harness import until

from piv_mcp.api.rate_limit import Priority
from piv_mcp.store import Connection, Store, facts, minute, recording, writes
from piv_mcp.store.event import StoredEvent
from piv_mcp.store.minute import Sent
from piv_mcp.text.times import SYSTEM_CLOCK

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="POSIX file modes, signals and limits")


PATIENCE = 20.0
"""Seconds that a write may wait in a test that is not about waiting, on a machine that is busy with other tests."""

NAMES = "SELECT name FROM facts WHERE name NOT LIKE '%:%' AND name <> 'pruned_through' ORDER BY name"


def put(name: str, value: str = "1") -> writes.Job[None]:
    return lambda connection: facts.put(connection, name, value)


def names(connection: Connection) -> list[str]:
    """What the tests have put; the store's own facts have names with a colon."""
    return [str(name) for (name,) in connection.rows(NAMES)]


def get(name: str) -> writes.Job[str | None]:
    return lambda connection: facts.get(connection, name)


def an_event(n: int, *, arrived_at: float | None = None, **changes: Any) -> StoredEvent:
    arrived = time.time() if arrived_at is None else arrived_at
    event = StoredEvent(
        type="domain.registered", source="webhook", arrived_at=arrived, payload="{}", digest=f"digest-{n}"
    )
    return replace(event, **changes)


async def note_requests(store: Store, count: int, priority: Priority, *, at: float) -> None:
    """As if so many requests had been sent at the time `at` of `Clock.monotonic`."""

    def job(connection: Connection) -> None:
        here = SYSTEM_CLOCK.monotonic()
        moment = at + (connection.now(here) - here)  # exactly `at` where the two clocks are one
        for _ in range(count):
            minute.note_sent(connection, Sent(secrets.randbits(minute.ID_BITS), moment, priority))

    await store.requests.run(job)


async def forget_requests(store: Store) -> None:
    """As if a minute had passed in which nothing was sent."""
    await store.requests.run(lambda c: c.execute("DELETE FROM requests"))


async def add_all(store: Store, batch: list[StoredEvent]) -> None:
    def job(connection: Connection) -> None:
        for event in batch:
            recording.add(connection, event)

    await store.write(job)


def script(code: str, *args: object) -> list[str]:
    """The command line of a small program that uses the store in a process of its own."""
    head = "import asyncio, os, sys, time\nfrom pathlib import Path\n"
    head += "from piv_mcp import log\nfrom piv_mcp.store import SqliteStore, Store, facts\nlog.configure()\n"
    head += f"def names(c): return [name for name, in c.rows({NAMES!r})]\n"
    return [sys.executable, "-c", head + textwrap.dedent(code), *map(str, args)]


async def run_script(code: str, *args: object) -> str:
    """What the program prints; it must end well."""
    process = await asyncio.create_subprocess_exec(*script(code, *args), stdout=subprocess.PIPE)
    out, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0
    return out.decode()


async def run_together(code: str, store_path: Path, names: list[str]) -> None:
    """Run the program once for each name, at the same moment."""
    store_path.parent.mkdir(exist_ok=True)
    go = store_path.parent / "go"
    running = [asyncio.create_task(run_script(code, store_path, name, go)) for name in names]
    await until(lambda: len(list(store_path.parent.glob("*.ready"))) == len(names), seconds=30, what="processes")
    go.touch()
    await asyncio.gather(*running)


PUT_ONE = """
    async def main():
        if len(sys.argv) > 3:
            Path(f"{sys.argv[3]}-{sys.argv[2]}.ready").touch()
            while not os.path.exists(sys.argv[3]):
                pass
        store = SqliteStore(Path(sys.argv[1]), busy_seconds=20)
        await store.write(facts.put, sys.argv[2], "1")
        await store.read(facts.get, sys.argv[2])
        await store.close()
    asyncio.run(main())
"""
