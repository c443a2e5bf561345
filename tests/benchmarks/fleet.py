"""What a fleet takes: `python tests/benchmarks/fleet.py [answer] [burst] [crash] [waits] [latest] [limit] [clocks]`.

Three servers over HTTP share a PostgreSQL of their own (`fsync` on), beside a simulated piv.day. Without names all
parts run, one after the other:

- answer: from a webhook at one server to the answer of a call that waits at another, next to one server on SQLite
- burst:  events a second, next to bare handlers with one insert a request on the same PostgreSQL
- crash:  a burst during which a server is killed and PostgreSQL restarted, while calls wait
- waits:  memory and connections of the servers while a thousand calls wait
- latest: the latest code among many events, against the same among a thousand
- limit:  requests to piv.day in any minute, from three servers
- clocks: the same, leases, and the age of codes, with clocks of the servers that are minutes apart (needs `faketime`)

Prints a table, with `--json FILE` also writes it there, and ends with status 1 if a target is missed.
"""

import argparse
import asyncio
import json
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from fleet_home import (
    KEY,
    PLAIN,
    POOL_SIZE,
    POOLED,
    Cluster,
    Fleet,
    Replica,
    bare_servers,
    burst,
    client,
    fleet,
    piv_day,
)

from piv_mcp.config import load
from piv_mcp.sandbox import Sandbox
from piv_mcp.store import accounts
from piv_mcp.store import events as stored_events
from piv_mcp.store.engines import open_store

REPLICAS = 3
WRONG_CLOCKS = ("+420s", "-300s", "+0s")
CONNECTIONS = 50
CALLERS = 25
"""Pools of connections of those that wait."""

ANSWER_MS = 20.0
"""From a webhook to an answer, median."""
MIN_SHARE = 1.0
"""Of the bare handler's throughput."""
MAX_GROWTH = 1.5
"""A look-up among many events against one among a thousand."""
MAX_MB_A_WAIT = 0.2
MAX_LEFT_MB = 40.0
"""How much more memory a server may have after a thousand waits than before: Python keeps some of what it had."""
MOST_A_MINUTE, LEAST_A_MINUTE = 100, 70
"""Requests to piv.day. With fewer, the part has not shown that there is a limit."""

SMALL = 1000


@dataclass
class Row:
    """One line of the report. `target` is empty where a figure only stands beside another."""

    part: str
    what: str
    figure: str
    target: str = ""
    met: bool = True


@dataclass
class Setting:
    """Where a part runs, and how large it is."""

    folder: Path
    cluster: Cluster
    share: float
    rows: list[Row]

    def of(self, count: int, least: int = 1) -> int:
        return max(least, round(count * self.share))

    def tell(self, part: str, what: str, figure: str, target: str = "", *, met: bool = True) -> None:
        row = Row(part, what, figure, target, met)
        self.rows.append(row)
        print(f"{part:8}{what:58}{figure:>18}  {target}{'' if met else '  MISSED'}", flush=True)


def codes(count: int) -> list[str]:
    return [str(100_000 + n) for n in range(count)]


def found_in(answer: dict[str, object]) -> set[str]:
    """The codes in an answer of wait_for_code."""
    rows = [answer.get("newest"), *(answer.get("others") or [])]  # type: ignore[misc]
    return {str(row["code"]) for row in rows if row}  # type: ignore[index]


# --- answer


async def answer(setting: Setting) -> None:
    url = setting.cluster.database("answer")
    rounds = setting.of(60, least=10)
    async with piv_day() as (sandbox, base):
        (number,) = sandbox.add_numbers(1)
        async with fleet(setting.folder / "answer", url, base, REPLICAS) as many:
            spread = await answer_times(many, many.replicas[0], many.replicas[1], number, rounds)
        async with fleet(setting.folder / "answer-sqlite", None, base, 1) as one:
            alone = await answer_times(one, one.replicas[0], one.replicas[0], number, rounds)
    median = statistics.median(spread)
    setting.tell(
        "answer",
        "webhook at one server, answer at another: median",
        f"{median:.1f} ms",
        f"<= {ANSWER_MS:.0f} ms",
        met=median <= ANSWER_MS,
    )
    setting.tell("answer", "the same: 95 % within", f"{sorted(spread)[int(0.95 * len(spread))]:.1f} ms")
    setting.tell("answer", "one server on SQLite: median", f"{statistics.median(alone):.1f} ms")


async def answer_times(many: Fleet, asked: Replica, told: Replica, number: str, rounds: int) -> list[float]:
    """Milliseconds from a webhook to the answer of a call that waits for it."""
    times: list[float] = []
    after = (await many.call(asked, "wait_for_code", number=number, timeout_seconds=0))["after"]
    for n, code in enumerate(codes(rounds)):
        waiting = asyncio.create_task(many.call(asked, "wait_for_code", number=number, timeout_seconds=50, after=after))
        await asyncio.sleep(0.2 + 0.05 * random.random())  # noqa: S311 - not at the same moment of any clock
        started = time.perf_counter()
        await burst([told.port], [(number, code)], 1)
        found = await waiting
        times.append(1000 * (time.perf_counter() - started))
        assert found_in(found) == {code}, (n, found)
        after = found["after"]
    return times


# --- burst


async def rates(setting: Setting) -> None:
    count, rounds = setting.of(20_000, least=1000), 3
    url = setting.cluster.database("burst")
    setting.cluster.ask(
        "burst", "CREATE TABLE bare (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, payload text)"
    )
    rates_of: dict[str, list[float]] = {"piv-mcp": [], "one": [], "plain": [], "pooled": []}
    async with piv_day() as (sandbox, base):
        numbers = sandbox.add_numbers(100)
        async with fleet(setting.folder / "burst", url, base, REPLICAS) as many:
            with (
                bare_servers(url, 1, PLAIN) as one,
                bare_servers(url, REPLICAS, PLAIN) as plain,
                bare_servers(url, REPLICAS, POOLED) as pooled,
            ):
                ours = [replica.port for replica in many.replicas]
                ports = {"piv-mcp": ours, "one": one, "plain": plain, "pooled": pooled}
                warm = setting.of(1000, least=200)
                for into in ports.values():
                    await burst(into, [(numbers[n % 100], f"9{n:06}") for n in range(warm)], CONNECTIONS)
                for round_ in range(rounds):
                    part = [(numbers[n % 100], f"{round_}{n:06}") for n in range(count // rounds)]
                    # In turns: a disk has good and bad seconds.
                    for name in list(ports)[:: -1 if round_ % 2 else 1]:
                        rates_of[name].append((await burst(ports[name], part, CONNECTIONS)).rate)
    own = rates_of["piv-mcp"]
    setting.tell("burst", "events a second, each on disk", f"{statistics.median(own):.0f}")
    for name, what, least in (
        ("one", "the bare handler, one process", MIN_SHARE),
        ("plain", f"the bare handler, {REPLICAS} processes", MIN_SHARE),
        ("pooled", f"the same with {POOL_SIZE} connections each", 0.0),
    ):
        share = statistics.median(our / other for our, other in zip(own, rates_of[name], strict=True))
        setting.tell("burst", what, f"{statistics.median(rates_of[name]):.0f}")
        target = f">= {least:.1f}" if least else ""
        setting.tell("burst", "share of this", f"{share:.2f}", target, met=share >= least)


# --- crash


async def crash(setting: Setting) -> None:
    count, watched = setting.of(20_000, least=1500), 30
    url = setting.cluster.database("crash")
    async with piv_day() as (sandbox, base):
        numbers = sandbox.add_numbers(130)
        waited, others = numbers[:watched], numbers[watched:]
        events = [
            (waited[n // 20 % watched] if n % 20 == 0 else others[n % 100], code) for n, code in enumerate(codes(count))
        ]
        async with fleet(setting.folder / "crash", url, base, REPLICAS) as many:
            watchers = [Watcher(many, number, n) for n, number in enumerate(waited)]
            await asyncio.gather(*(watcher.begin() for watcher in watchers))
            watching = [asyncio.create_task(watcher.watch()) for watcher in watchers]
            disasters: list[asyncio.Task[None]] = []

            def happen(done: int) -> None:
                if done == count // 3:
                    disasters.append(asyncio.create_task(asyncio.to_thread(many.replicas[0].kill)))
                if done == 2 * count // 3:
                    disasters.append(asyncio.create_task(asyncio.to_thread(setting.cluster.restart_at_once)))

            ports = [replica.port for replica in many.replicas]
            sent = await burst(ports, events, CONNECTIONS, happen)
            await asyncio.gather(*disasters)
            for watcher in watchers:
                watcher.expected = {code for number, code in events if number == watcher.number}
            await asyncio.wait(watching, timeout=60)
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)
        crashes = [line for replica in many.replicas for line in replica.crashes()]
    stored = [str(code) for (code,) in setting.cluster.ask("crash", "SELECT code FROM events WHERE code IS NOT NULL")]
    lost, double = len(set(sent.acknowledged) - set(stored)), len(stored) - len(set(stored))
    setting.tell(
        "crash", "events acknowledged", f"{len(sent.acknowledged)}", f"= {count}", met=len(sent.acknowledged) == count
    )
    setting.tell("crash", "of these lost", f"{lost}", "= 0", met=lost == 0)
    setting.tell("crash", "stored twice", f"{double}", "= 0", met=double == 0)
    setting.tell("crash", "sent more than once", f"{sent.again}")
    setting.tell("crash", "longest until acknowledged", f"{sent.slowest:.1f} s")
    missed = sum(len((watcher.expected or set()) - watcher.seen) for watcher in watchers)
    setting.tell("crash", "codes that calls waited for and missed", f"{missed}", "= 0", met=missed == 0)
    setting.tell("crash", "failures that the servers did not foresee", f"{len(crashes)}", "= 0", met=not crashes)
    for line in crashes[:3]:
        print(f"        {line}")
    setting.tell("crash", "waiting calls that broke off, and were made again", f"{sum(w.broken for w in watchers)}")


class Watcher:
    """Waits for the codes of a number, call after call, with the cursor that the last call gave."""

    def __init__(self, many: Fleet, number: str, first: int) -> None:
        self.number = number
        self.seen: set[str] = set()
        self.expected: set[str] | None = None
        self.broken = 0
        self._many = many
        self._at = first
        self._after = ""

    async def begin(self) -> None:
        """Take the first cursor."""
        self._after = str((await self._call(timeout_seconds=0))["after"])

    async def watch(self) -> None:
        while self.expected is None or not self.expected <= self.seen:
            try:
                found = await self._call(timeout_seconds=10, after=self._after)
            except (httpx.HTTPError, RuntimeError, ValueError):
                self.broken += 1
                self._at += 1
                await asyncio.sleep(0.2)
                continue
            self.seen |= found_in(found)
            self._after = str(found["after"])

    async def _call(self, **arguments: Any) -> dict[str, object]:
        replica = self._many.replicas[self._at % len(self._many.replicas)]
        return await self._many.call(replica, "wait_for_code", number=self.number, **arguments)


# --- waits


async def waits(setting: Setting) -> None:
    count = setting.of(1000, least=60)
    url = setting.cluster.database("waits")
    async with piv_day() as (sandbox, base), AsyncExitStack() as stack:
        numbers = sandbox.add_numbers(100)
        async with fleet(setting.folder / "waits", url, base, REPLICAS) as many:
            ports = [replica.port for replica in many.replicas]
            # A pool of httpx takes longer the more connections it has: with one for all, they would come too late.
            pools = [await stack.enter_async_context(client()) for _ in range(CALLERS)]
            callers = [replace(many, http=pool) for pool in pools]

            async def wait(n: int, seconds: float) -> dict[str, object]:
                arguments: dict[str, Any] = {"number": numbers[n % 100], "timeout_seconds": seconds}
                return await callers[n % CALLERS].call(many.replicas[n % REPLICAS], "wait_for_code", **arguments)

            # Once before: what a server loads at its first waits is none of a wait's.
            await asyncio.gather(*(wait(n, 1) for n in range(count // 4)))
            before, sessions = state(many), setting.cluster.ask("waits", SESSIONS)[0][0]
            waiting = [asyncio.create_task(wait(n, 120)) for n in range(count)]
            async with asyncio.timeout(60):
                while state(many)[1] < before[1] + count - count // 4:  # noqa: ASYNC110 - of other processes
                    await asyncio.sleep(0.5)
            await asyncio.sleep(10)
            during, sessions_during = state(many), setting.cluster.ask("waits", SESSIONS)[0][0]
            assert not any(task.done() for task in waiting), "a wait ended early"
            await burst(ports, [(number, code) for number, code in zip(numbers, codes(100), strict=True)], CONNECTIONS)
            answers = await asyncio.gather(*waiting)
            await asyncio.sleep(5)
            after = state(many)
    found = sum(bool(found_in(one)) for one in answers)
    setting.tell(
        "waits", f"calls at once that got their code, of {count}", f"{found}", f"= {count}", met=found == count
    )
    each = (during[0] - before[0]) / count
    setting.tell(
        "waits",
        "memory a wait",
        f"{1000 * each:.0f} KB",
        f"<= {1000 * MAX_MB_A_WAIT:.0f} KB",
        met=each <= MAX_MB_A_WAIT,
    )
    left = (after[0] - before[0]) / REPLICAS
    setting.tell(
        "waits",
        "memory of a server, before / during / after",
        " / ".join(f"{x[0] / REPLICAS:.0f}" for x in (before, during, after)) + " MB",
        f"<= +{MAX_LEFT_MB:.0f} MB after",
        met=left <= MAX_LEFT_MB,
    )
    setting.tell(
        "waits", "descriptors of all servers, before / during / after", f"{before[1]} / {during[1]} / {after[1]}"
    )
    setting.tell(
        "waits",
        "connections to PostgreSQL, before / during",
        f"{sessions} / {sessions_during}",
        "the same",
        met=sessions_during <= sessions + REPLICAS,
    )


SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'waits' AND pid <> pg_backend_pid()"


def state(many: Fleet) -> tuple[float, int]:
    """(memory in MB, descriptors) of all servers."""
    return sum(r.memory() for r in many.replicas), sum(r.descriptors() for r in many.replicas)


# --- latest


async def latest(setting: Setting) -> None:
    most, url = setting.of(1_000_000, least=20_000), setting.cluster.database("latest")
    async with piv_day() as (sandbox, base):
        numbers = sandbox.add_numbers(100)  # so that each has more codes than a look-up reads, also among few
        async with fleet(setting.folder / "latest", url, base, 1) as many:
            events = [(numbers[n % 100], code) for n, code in enumerate(codes(SMALL))]
            await burst([many.replicas[0].port], events, CONNECTIONS)
            few = await look_ups(setting, numbers)
            multiply(setting.cluster, most // SMALL - 1)
            await burst([many.replicas[0].port], [(numbers[0], "999999")], 1)  # after which all is as after any webhook
            most_of_all = await look_ups(setting, numbers)
    stored = setting.cluster.ask("latest", "SELECT count(*) FROM events")[0][0]
    for what, seconds in few.items():
        factor = most_of_all[what] / seconds
        setting.tell(
            "latest",
            f"{what}: among {SMALL} and among {stored}",
            f"{1000 * seconds:.2f} / {1000 * most_of_all[what]:.2f} ms",
            f"<= {MAX_GROWTH} times",
            met=factor <= MAX_GROWTH,
        )


def multiply(cluster: Cluster, times: int) -> None:
    """So many copies of each event, each later than the one before."""
    columns = "SELECT column_name FROM information_schema.columns WHERE table_name = 'events' AND column_name <> 'seq'"
    names = [str(name) for (name,) in cluster.ask("latest", columns)]
    clocks = [name for name in names if name in ("arrived_at", "sent_at", "stored_at", "reached_at")]
    earlier = ", ".join(f"{name} = {name} - {1000 * times + 1000}" for name in clocks)
    cluster.ask("latest", f"UPDATE events SET {earlier}")  # noqa: S608 - our own columns
    told = {"digest": "digest || '-' || g", "text_key": "text_key || '-' || g", "message_id": "message_id || '-' || g"}
    told |= {name: f"{name} + 1000 * g" for name in clocks}
    values = ", ".join(told.get(name, name) for name in names)
    source = f"generate_series(1, {times}) AS g, (SELECT * FROM events) AS e"  # noqa: S608
    cluster.ask("latest", f"INSERT INTO events ({', '.join(names)}) SELECT {values} FROM {source}")  # noqa: S608
    cluster.ask("latest", "VACUUM ANALYZE events")


async def look_ups(setting: Setting, numbers: list[str]) -> dict[str, float]:
    """Median seconds of the store's answer."""
    spent: dict[str, list[float]] = {"latest code, any number": [], "latest code, one number": []}
    settings = load(store_url=setting.cluster.url("latest"), data_dir=setting.folder)
    store = open_store(settings, setting.folder, key_digest=accounts.digest(KEY))
    for n in range(300):
        for what, number in zip(spent, (None, numbers[7 * n % 100]), strict=True):
            started = time.perf_counter()
            assert await store.read(stored_events.codes, number, limit=5)
            spent[what].append(time.perf_counter() - started)
    await store.close()
    return {what: statistics.median(times[50:]) for what, times in spent.items()}


# --- limit


async def limit(setting: Setting) -> None:
    seconds = max(20.0, 150 * setting.share)
    async with piv_day() as (sandbox, base):
        async with fleet(setting.folder / "limit", setting.cluster.database("limits"), base, REPLICAS) as many:
            refused = await drive(many, seconds)
        tell_requests(setting, "limit", sandbox, seconds)
        setting.tell("limit", "calls that were told to wait", f"{refused}")


async def drive(many: Fleet, seconds: float) -> int:
    """Ask for more than the limit allows. Returns how many calls were told to wait."""
    end, refused = time.monotonic() + seconds, 0

    async def ask(n: int) -> None:
        nonlocal refused
        while time.monotonic() < end:
            try:
                await many.call(many.replicas[n % REPLICAS], "get_account")
            except (RuntimeError, httpx.HTTPError):
                refused += 1
                await asyncio.sleep(0.5)

    await asyncio.gather(*(ask(n) for n in range(30)))
    return refused


def tell_requests(setting: Setting, part: str, sandbox: Sandbox, seconds: float) -> None:
    at = sorted(request.at.timestamp() for request in sandbox.requests)
    most = max(sum(1 for other in at if start <= other < start + 60) for start in at)
    setting.tell(part, f"requests in {seconds:.0f} s from three servers", f"{len(at)}")
    setting.tell(part, "the most in any 60 s", f"{most}", f"<= {MOST_A_MINUTE}", met=most <= MOST_A_MINUTE)
    if seconds > 60:  # else nobody knows whether the limit was reached
        setting.tell(part, "so that the limit is used", f"{most}", f">= {LEAST_A_MINUTE}", met=most >= LEAST_A_MINUTE)


# --- clocks


async def clocks(setting: Setting) -> None:
    if shutil.which("faketime") is None:
        sys.exit("the part `clocks` needs faketime")
    seconds, url = max(20.0, 90 * setting.share), setting.cluster.database("clocks")
    async with piv_day() as (sandbox, base):
        first, second = sandbox.add_numbers(2)
        async with fleet(setting.folder / "clocks", url, base, REPLICAS, WRONG_CLOCKS) as many:
            oldest = 0
            arguments: dict[str, Any] = {"number": first, "timeout_seconds": 0}
            after = (await many.call(many.replicas[0], "wait_for_code", **arguments))["after"]
            for n, code in enumerate(codes(REPLICAS**2)):
                told, asked = many.replicas[n % REPLICAS], many.replicas[n // REPLICAS]
                arguments |= {"timeout_seconds": 20, "after": after}
                waiting = asyncio.create_task(many.call(asked, "wait_for_code", **arguments))
                await asyncio.sleep(0.3)
                await burst([told.port], [(first, code)], 1)
                found = await waiting
                assert found_in(found) == {code}, (n, found)
                after = found["after"]
                for replica in many.replicas:
                    found = await many.call(replica, "get_latest_code", number=first)
                    assert found["newest"]["code"] == code, found
                    oldest = max(oldest, abs(found["newest"]["age_seconds"]))
            setting.tell(
                "clocks", "age of a code that has just come, at any server", f"{oldest} s", "<= 5 s", met=oldest <= 5
            )
            lease = await many.call(many.replicas[0], "lease_number", number=second, minutes=2)
            ends = datetime.fromisoformat(lease["until"])
            wrong = abs((ends - datetime.now(UTC)).total_seconds() - 120)
            setting.tell(
                "clocks", "by how much the end of a lease is wrong", f"{wrong:.1f} s", "<= 5 s", met=wrong <= 5
            )
            refused = [
                await is_refused(many, replica, "lease_number", number=second, token=many.other)
                for replica in many.replicas
            ]
            setting.tell(
                "clocks", "servers that refuse it to another agent", f"{sum(refused)}", "= 3", met=all(refused)
            )
            sandbox.requests.clear()
            await drive(many, seconds)
        tell_requests(setting, "clocks", sandbox, seconds)


async def is_refused(many: Fleet, replica: Replica, tool: str, **arguments: Any) -> bool:
    try:
        await many.call(replica, tool, **arguments)
    except RuntimeError as error:
        return "leased" in str(error)
    return False


PARTS: dict[str, Callable[[Setting], Awaitable[None]]] = {
    "answer": answer,
    "burst": rates,
    "crash": crash,
    "waits": waits,
    "latest": latest,
    "limit": limit,
    "clocks": clocks,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help="which to run; default: all")
    parser.add_argument("--directory", type=Path, help="where to measure: its disk is what counts")
    parser.add_argument("--share", type=float, default=1.0, help="of the full size, such as 0.1")
    parser.add_argument("--json", type=Path, help="a file for the report")
    chosen = parser.parse_args()
    if unknown := set(chosen.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    folder = Path(tempfile.mkdtemp(prefix="piv-mcp-fleet-", dir=chosen.directory))
    rows: list[Row] = []
    cluster = Cluster(folder)
    try:
        for name in chosen.parts or PARTS:
            asyncio.run(PARTS[name](Setting(folder, cluster, chosen.share, rows)))  # type: ignore[arg-type]
    finally:
        cluster.stop()
        shutil.rmtree(folder)
    if chosen.json:
        chosen.json.write_text(json.dumps([asdict(row) for row in rows], indent=2))
    met = all(row.met for row in rows)
    print("\nAll targets are met." if met else "\nA target was missed.")
    sys.exit(not met)


if __name__ == "__main__":
    main()
