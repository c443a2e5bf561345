"""A freeze over processes: once it has returned nothing leaves, whatever was approved, claimed, stopped or killed."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from fleets import Replica, Site, piv_day, site
from harness import content_of, text_of, until
from mcp import Client
from moving_clock import MovingClock
from postgres import Cluster
from processes import KEY, Machine, sandbox_on_a_port
from pydantic import SecretStr

from piv_mcp.sandbox import Failure, Sandbox, Timing
from piv_mcp.spending import freezing
from piv_mcp.spending.commitments import MAX_DOMAIN_PRICES
from piv_mcp.spending.journal import Journal
from piv_mcp.store import SqliteStore, Store, freezes, minute
from piv_mcp.store.engines import open_store
from piv_mcp.store.journal import Entry
from piv_mcp.text.times import SYSTEM_CLOCK

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")

ACTIONS, PROCESSES = 20, 3

UNSENT = ("SPENDING_FROZEN", "RATE_LIMITED", "price_changed")
"""What a call says that has sent nothing: frozen, or on a busy machine no request was left to read the price again."""

PURCHASE = "/numbers/purchase"
BUY: dict[str, Any] = {"country_code": "SE", "duration_months": 1, "auto_renew": False}
SPEED = 5.0
"""Of the clocks of servers and of the freeze, where somebody is waited for who does not answer."""


@pytest.fixture
async def account() -> AsyncIterator[Sandbox]:
    sandbox = Sandbox(KEY, rate_limit=0, timing=Timing.instant(), seed=False)
    sandbox.balance = Decimal(1000)
    yield sandbox
    await sandbox.aclose()


@pytest.fixture
async def machine(account: Sandbox, data_dir: Path) -> AsyncIterator[Machine]:
    async with sandbox_on_a_port(account) as base_url:
        yield Machine(data_dir, base_url)


def sent(account: Sandbox) -> int:
    """The purchases that piv.day has got."""
    return sum(request.method == "POST" for request in account.requests)


@asynccontextmanager
async def journal_of(store: Store) -> AsyncGenerator[Journal]:
    try:
        yield Journal(store)
    finally:
        await store.close()


async def ordered(machine: Machine, command: str = "freeze") -> str:
    """What the command says, in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "piv_mcp", command),
        env={**os.environ, **machine.environment()},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said
    return said.decode()


async def test_of_twenty_approved_actions_over_three_processes_none_leaves_after_the_freeze(
    machine: Machine, account: Sandbox
) -> None:
    settings: dict[str, Any] = {"webhook_port": 0, "confirm_wait": 0}
    async with AsyncExitStack() as stack:
        servers = [
            await stack.enter_async_context(machine.server(f"server{n}", client=Client, **settings))
            for n in range(PROCESSES)
        ]
        calls = [(servers[n % PROCESSES], {**BUY, "custom_name": f"Line {n}"}) for n in range(ACTIONS)]
        # At once: their quotes share what was read, or the requests of the minute would be used up.
        asked = await asyncio.gather(*(server.call("purchase_number", **arguments) for server, arguments in calls))
        async with journal_of(SqliteStore(machine.data_dir / "store.sqlite3")) as journal:
            for receipt in asked:
                assert await journal.decide(receipt["spending_id"], "approve", by="terminal")
        account.fail_next(Failure(kind="slow", method="POST", path=PURCHASE, times=None, delay=0.7))
        running = [
            asyncio.create_task(server.client.call_tool("purchase_number", arguments))
            for server, arguments in calls[:5]
        ]
        await until(lambda: sent(account), seconds=20, what="the first request")
        freezing_now = asyncio.create_task(ordered(machine))
        late = [
            asyncio.create_task(server.client.call_tool("purchase_number", arguments))
            for server, arguments in calls[5:]
        ]
        said = await freezing_now
        before = sent(account)
        results = await asyncio.gather(*running, *late)
        again = await asyncio.gather(*(s.client.call_tool("purchase_number", arguments) for s, arguments in calls))
        assert sent(account) == before
        told = [text_of(result) if result.is_error else content_of(result)["status"] for result in results]
        assert told.count("charged") == before == len(account.charges)
        assert all(any(word in words for word in UNSENT) for words in told if words != "charged"), told
        refused = [text_of(result) for result in again if result.is_error]
        assert refused
        assert all("SPENDING_FROZEN" in words for words in refused), refused
        assert "Nothing that costs money can leave any more." in said
        assert "piv.day renews nothing by itself" in said
        assert "can be approved again" in await ordered(machine, "unfreeze")
        async with journal_of(SqliteStore(machine.data_dir / "store.sqlite3")) as journal:
            assert await journal.entries(limit=ACTIONS, states=("approved", "executing")) == []
        assert sent(account) == before, "nothing comes back with the end of the freeze"


async def test_an_area_that_the_key_may_not_read_hides_no_renewals_of_another(data_dir: Path) -> None:
    """And a price is looked up of what renews by itself before that of what only ends."""
    account = Sandbox(KEY, rate_limit=0, timing=Timing.instant())
    (site,) = (site for site in account.state.domains.values() if site.auto_renew)
    for n in range(MAX_DOMAIN_PRICES):
        other = replace(site, id=f"d{n}", name=f"site-{n}.com", auto_renew=False)
        account.state.domains[other.id] = replace(other, expires_at=account.now + timedelta(days=n + 1))
    async with sandbox_on_a_port(account) as base_url:
        machine = Machine(data_dir, base_url)
        said = await ordered(machine)
        (renewing,) = (item for item in account.state.numbers.values() if item.auto_renew)
        charged_at = f"{renewing.expires_at - timedelta(days=1):%Y-%m-%d}"
        assert f"  {charged_at}  number {renewing.piv_num_id} ({renewing.custom_name}), for 3.00 USD\n" in said
        assert f"  {site.expires_at:%Y-%m-%d}  domain {site.id} ({site.name}), for 12.50 USD\n" in said
        assert "unknown price" not in said
        account.fail_next(Failure(kind="status", path="/domains", status=403, code="INSUFFICIENT_PERMISSIONS"))
        said = await ordered(machine)
        assert "by itself in domains could not be read" in said
        assert f"number {renewing.piv_num_id}" in said
    await account.aclose()


@asynccontextmanager
async def claimed_and_waiting(machine: Machine, account: Sandbox) -> AsyncGenerator[tuple[int, asyncio.Task[Any]]]:
    """A server (its process id) that has claimed a purchase, got 429, and waits for its next try."""
    rules: dict[str, Any] = {"spend_mode": "budget", "auto_approve_max": 10, "daily_budget": 100}
    async with machine.server("only", client=Client, speed=SPEED, webhook_port=0, confirm_wait=0, **rules) as server:
        await server.call("list_spending")
        account.fail_next(Failure(kind="rate_limited", method="POST", path=PURCHASE, retry_after=4))
        call = asyncio.create_task(server.client.call_tool("purchase_number", BUY))
        async with journal_of(SqliteStore(machine.data_dir / "store.sqlite3")) as journal:
            await until(lambda: has_paused(journal.store), seconds=20, what="the answer to the first try")
        yield server.pid, call


async def has_paused(store: Store) -> bool:
    """Whether a 429 was read: then the process waits, and holds no lock."""
    _, pause = await store.requests.run(minute.in_the_last_minute, SYSTEM_CLOCK.monotonic())
    return pause.until > 0


async def freeze_and_wait(store: Store) -> list[Entry]:
    await freezing.freeze(store, "terminal", of_all=True)
    return await freezing.until_still(store, of_all=True, clock=MovingClock(speed=SPEED))


async def test_a_process_that_was_stopped_after_its_claim_sends_nothing_when_it_goes_on(
    machine: Machine, account: Sandbox
) -> None:
    async with claimed_and_waiting(machine, account) as (pid, call):
        os.kill(pid, signal.SIGSTOP)
        try:
            async with journal_of(SqliteStore(machine.data_dir / "store.sqlite3")) as journal:
                (left,) = await freeze_and_wait(journal.store)
                assert left.state == "executing"
        finally:
            os.kill(pid, signal.SIGCONT)
        told = text_of(await call)
        assert "no money moved" in told or "nothing charged" in told.lower(), told
    assert sent(account) == 1
    assert account.charges == []


async def test_what_a_killed_process_had_claimed_is_waited_for(machine: Machine, account: Sandbox) -> None:
    async with claimed_and_waiting(machine, account) as (pid, call):
        os.kill(pid, signal.SIGKILL)
        await asyncio.gather(call, return_exceptions=True)
        async with journal_of(SqliteStore(machine.data_dir / "store.sqlite3")) as journal:
            began = time.monotonic()
            (left,) = await freeze_and_wait(journal.store)
            assert time.monotonic() - began >= freezing.BEGIN_SECONDS / SPEED
    assert left.state == "executing"
    assert sent(account) == 1


async def test_ctrl_c_ends_the_waiting_and_not_the_freeze(machine: Machine, account: Sandbox) -> None:
    rules: dict[str, Any] = {"spend_mode": "budget", "auto_approve_max": 10, "daily_budget": 100}
    account.fail_next(Failure(kind="hang", method="POST", path=PURCHASE, after=False))
    async with machine.server("only", client=Client, webhook_port=0, confirm_wait=0, **rules) as server:
        call = asyncio.create_task(server.client.call_tool("purchase_number", BUY))
        await until(lambda: sent(account), seconds=20, what="the request")
        freeze = await asyncio.create_subprocess_exec(
            *(sys.executable, "-u", "-m", "piv_mcp", "freeze"),
            env={**os.environ, **machine.environment()},
            stdout=asyncio.subprocess.PIPE,
        )
        assert freeze.stdout is not None
        said = b""
        while b"sp_" not in said:
            said += await asyncio.wait_for(freeze.stdout.readline(), 20)
        freeze.send_signal(signal.SIGINT)
        said += await freeze.stdout.read()
        assert await freeze.wait() == 130
        assert b"Rent a number in SE" in said
        assert b"The freeze stays in place" in said
        assert "SPENDING_FROZEN" in text_of(
            await server.client.call_tool("purchase_number", {**BUY, "custom_name": "x"})
        )
        server.kill()
        await asyncio.gather(call, return_exceptions=True)


# --- a fleet


@pytest.fixture
async def place(account: Sandbox, cluster: Cluster, data_dir: Path) -> AsyncIterator[Site]:
    url = SecretStr(cluster.database_for(data_dir))
    async with piv_day(account) as base_url:
        yield site(data_dir, base_url, store_url=url, confirm_wait=0)
    cluster.forget_databases()


async def answer_of(replica: Replica, token: str, arguments: dict[str, Any]) -> str:
    async with replica.client(token) as client:
        result = await client.call_tool("purchase_number", arguments)
        return text_of(result) if result.is_error else content_of(result)["status"]


@pytest.mark.postgresql
@pytest.mark.sqlite
async def test_of_twenty_approved_actions_over_three_replicas_none_leaves_after_the_freeze(
    place: Site, account: Sandbox
) -> None:
    token = await place.agent("bot")
    async with AsyncExitStack() as stack:
        starting = [stack.enter_async_context(place.process()) for _ in range(PROCESSES)]
        replicas = await asyncio.gather(*starting)
        await asyncio.sleep(1.1)  # until all servers know the agent
        calls: list[tuple[Replica, dict[str, Any]]] = [
            (replicas[n % PROCESSES], {**BUY, "custom_name": f"Line {n}"}) for n in range(ACTIONS)
        ]
        asked = await asyncio.gather(
            *(replica.call(token, "purchase_number", **arguments) for replica, arguments in calls)
        )
        store = open_store(place.settings(), place.data_dir)
        async with journal_of(store) as journal:
            for receipt in asked:
                assert await journal.decide(receipt["spending_id"], "approve", by="terminal")
            account.fail_next(Failure(kind="slow", method="POST", path=PURCHASE, times=None, delay=0.7))
            running = [asyncio.create_task(answer_of(replica, token, given)) for replica, given in calls]
            await until(lambda: sent(account), seconds=20, what="the first request")
            _, ended = await freezing.freeze(store, "console", by="ann", of_all=True)
            assert await freezing.until_still(store, of_all=True) == []
            before = sent(account)
            told = await asyncio.gather(*running)
            again = await asyncio.gather(*(answer_of(replica, token, given) for replica, given in calls))
            assert sent(account) == before == told.count("charged") == len(account.charges)
            assert ended <= ACTIONS - before
            assert all(any(word in words for word in UNSENT) for words in told if words != "charged"), told
            assert all("SPENDING_FROZEN" in words for words in again if words not in ("charged", "price_changed")), (
                again
            )
            assert await store.write(freezes.end, of_all=True)


@pytest.mark.postgresql
@pytest.mark.sqlite
async def test_a_replica_that_was_stopped_after_its_claim_sends_nothing_when_it_goes_on(
    place: Site, account: Sandbox
) -> None:
    """It looks gone to the others, and is not."""
    token = await place.agent("bot", spend_mode="budget", auto_approve_max="10", daily_budget="100")
    rules = {"spend_mode": "budget", "auto_approve_max": 10, "daily_budget": 100}
    async with place.process(**rules) as replica:
        assert replica.process is not None
        await asyncio.sleep(1.1)  # until it knows the agent
        account.fail_next(Failure(kind="rate_limited", method="POST", path=PURCHASE, retry_after=4))
        call = asyncio.create_task(answer_of(replica, token, BUY))
        store = open_store(place.settings(), place.data_dir)
        await until(lambda: has_paused(store), seconds=20, what="the answer to the first try")
        replica.process.send_signal(signal.SIGSTOP)
        try:
            async with journal_of(store):
                await freezing.freeze(store, "terminal", of_all=True)
                (left,) = await freezing.until_still(store, of_all=True)
        finally:
            replica.process.send_signal(signal.SIGCONT)
        assert left.state == "executing"
        await asyncio.wait_for(asyncio.gather(call, return_exceptions=True), 20)
        assert sent(account) == 1
        assert account.charges == []
