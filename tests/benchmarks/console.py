"""How fast the person's pages are with full tables: `python tests/benchmarks/console.py`.

`piv-mcp console` serves the sandbox's account from a store with 100,000 events and 10,000 entries of the journal. Each
page is asked for over HTTP, and the first one is opened in Chromium, if there is one. Side by side with the least that
the same process answers: `GET /health` at its webhook port. Ends with status 1 if the first page takes longer than the
target.
"""

import argparse
import asyncio
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from journal_entries import charged_entry

from piv_mcp import log
from piv_mcp.config import load
from piv_mcp.console.app import PAGES
from piv_mcp.runtime import Runtime
from piv_mcp.store import Connection, events, journal
from piv_mcp.store.event import SMS_RECEIVED, StoredEvent
from piv_mcp.store.journal import Entry

TARGET = 0.1
"""Seconds that the first page may take."""

AT_ONCE = 1000
"""Rows in one insert."""

SPAN = 20 * 86400.0
"""Seconds over which the events and entries are spread."""

PORT = 18787

Times = Sequence[float]


def an_event(n: int, count: int, now: float) -> StoredEvent:
    at = now - SPAN * (count - n) / count
    return StoredEvent(
        type=SMS_RECEIVED,
        source="webhook",
        arrived_at=at,
        stored_at=at,
        reached_at=at,
        sent_at=at,
        payload='{"data": {"text": "x", "filler": "' + "y" * 300 + '"}}',
        subject=f"number-{n % 500}",
        sender=f"Sender {n % 40}",
        text=f"Your verification code is {100_000 + n}. Do not share it.",
        text_key=f"key {n}",
        code=str(100_000 + n),
        code_source="text",
        digest=f"digest {n}",
        message_id=f"message {n}" if n % 3 else None,
    )


def entry_number(n: int, count: int, now: float) -> Entry:
    area = ("numbers", "proxies", "domains", "whites")[n % 4]
    return charged_entry(n, now - SPAN * (count - n) / count, area=area, reported=1)


async def fill(directory: Path, count: int, entries: int) -> None:
    """A store with so many rows of the sandbox's account."""
    runtime = Runtime(load(sandbox=True, data_dir=directory, webhook_port=0))
    try:
        store = (await runtime.services()).store.everything
        now = time.time()

        def put(connection: Connection, first: int) -> None:
            events.insert(connection, [an_event(n, count, now) for n in range(first, min(count, first + AT_ONCE))])

        def enter(connection: Connection) -> None:
            for n in range(entries):
                journal.insert(connection, entry_number(n, entries, now))

        for first in range(0, count, AT_ONCE):
            await store.write(put, first)
        await store.write(enter)
    finally:
        await runtime.stop()


@asynccontextmanager
async def console(directory: Path) -> AsyncGenerator[str]:
    """`piv-mcp console` in a process of its own; the address that is good for one browser."""
    settings = {"PIV_SANDBOX": "1", "PIV_DATA_DIR": str(directory), "PIV_WEBHOOK_PORT": str(PORT)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "piv_mcp", "console", "--no-browser"),
        env={**os.environ, **settings},
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        await process.stdout.readline()
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.send_signal(signal.SIGINT)
        await process.wait()


async def timed(http: httpx.AsyncClient, url: str, rounds: int) -> Times:
    times: list[float] = []
    for _ in range(rounds):
        began = time.perf_counter()
        answer = await http.get(url)
        times.append(time.perf_counter() - began)
        answer.raise_for_status()
    return times


def told(name: str, times: Times) -> None:
    middle, worst = statistics.median(times), sorted(times)[int(len(times) * 0.95)]
    print(f"{name:34}{times[0] * 1000:10.1f}{middle * 1000:10.1f}{worst * 1000:10.1f}")


async def in_browser(address: str) -> None:
    """How long Chromium takes from the request for the inbox until it is loaded."""
    from approvals import launched  # late: needs Playwright and a browser

    async with launched() as browser:
        page = await browser.new_page()
        await page.goto(address)
        await page.wait_for_url("**/inbox")
        timing = "(([e]) => [e.responseEnd, e.domContentLoadedEventEnd, e.loadEventEnd])"
        for round_ in ("first", "again"):
            await page.wait_for_load_state()
            ends = await page.evaluate(f"{timing}(performance.getEntriesByType('navigation'))")
            print(f"{f'inbox in Chromium, {round_}':34}" + "".join(f"{end:10.1f}" for end in ends))
            await page.reload()


async def measure(directory: Path, rounds: int) -> bool:
    async with console(directory) as address, httpx.AsyncClient(timeout=60) as http:
        lead = (await http.get(address)).text
        (home,) = re.findall(r'content="0;url=(/console/[0-9a-f]+)/"', lead)
        origin = address.partition("/console/")[0]
        print(f"{'milliseconds':34}{'first':>10}{'median':>10}{'95 %':>10}")
        first = await timed(http, f"{origin}{home}/inbox", rounds)
        told("inbox", first)
        for page in PAGES[1:]:
            told(page.name, await timed(http, f"{origin}{home}/{page.name}", rounds))
        for search in ("100007", "zzzz"):
            told(f"inbox, search for {search}", await timed(http, f"{origin}{home}/inbox?q={search}", rounds))
        told("GET /health, the peer", await timed(http, f"http://127.0.0.1:{PORT}/health?nonce=x", rounds))
    print(f"\n{'milliseconds':34}{'answered':>10}{'parsed':>10}{'loaded':>10}")
    async with console(directory) as address:
        await in_browser(address)
    return first[0] < TARGET


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=Path, help="where to measure: its disk is what counts")
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--entries", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=30)
    chosen = parser.parse_args()
    log.configure("ERROR", "text")
    root = Path(tempfile.mkdtemp(prefix="piv-mcp-benchmark-", dir=chosen.directory))
    try:
        asyncio.run(fill(root, chosen.events, chosen.entries))
        print(
            f"{chosen.events} events, {chosen.entries} entries of the journal, load average {os.getloadavg()[0]:.1f}\n"
        )
        good = asyncio.run(measure(root, chosen.rounds))
    finally:
        shutil.rmtree(root)
    print("\nThe target is met." if good else "\nThe target was missed.")
    sys.exit(not good)


if __name__ == "__main__":
    main()
