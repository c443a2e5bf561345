"""Several server processes, one inbox: real processes on one data directory, `kill -9` included."""

import asyncio
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from harness import until
from processes import KEY, Machine, ServerProcess, sandbox_on_a_port, sms_webhook, within

from piv_mcp.inbox.backfill import LAST_ROUND_END
from piv_mcp.sandbox import Sandbox
from piv_mcp.store import SqliteStore, events, facts

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX shells and signals")


@pytest.fixture
def account() -> Sandbox:
    account = Sandbox(KEY, seed=False)
    account.add_numbers(2)
    return account


@pytest.fixture
async def machine(account: Sandbox, data_dir: Path) -> AsyncGenerator[Machine]:
    async with sandbox_on_a_port(account) as base_url:
        yield Machine(data_dir, base_url)


def first_number(account: Sandbox) -> str:
    return next(iter(account.state.numbers))


@asynccontextmanager
async def three_servers(machine: Machine) -> AsyncGenerator[list[ServerProcess]]:
    """The first one has the port."""
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(machine.server("first"))]
        await machine.served()
        servers += [await stack.enter_async_context(machine.server(name)) for name in ("second", "third")]
        await asyncio.gather(*(server.call("list_events") for server in servers))  # their services run
        yield servers


async def code_of(server: ServerProcess, number: str) -> str:
    """The code that a wait of the server ends with."""
    answer = await server.call("wait_for_code", number=number, timeout_seconds=20)
    return answer["newest"]["code"]


async def test_an_event_delivered_once_reaches_a_wait_in_each_of_three_processes(
    machine: Machine, account: Sandbox
) -> None:
    number = first_number(account)
    async with three_servers(machine) as servers:
        waits = [asyncio.create_task(code_of(server, number)) for server in servers]
        await asyncio.sleep(1)  # all of them wait; none may have answered by then
        assert not any(wait.done() for wait in waits)
        async with within(0.25):
            delivery = await machine.post(sms_webhook(number, "Your code is 482913", "482913"))
            assert delivery is not None
            assert delivery.status_code == 200
            found = await asyncio.gather(*waits)
        assert found == ["482913"] * 3
        for server in servers:
            listed = await server.call("list_events")
            assert [event["code"] for event in listed["events"]] == ["482913"]


async def test_after_kill_9_of_the_owner_of_the_port_the_next_delivery_succeeds_within_two_seconds(
    machine: Machine, account: Sandbox
) -> None:
    number = first_number(account)
    async with three_servers(machine) as (owner, *others):
        waits = [asyncio.create_task(code_of(server, number)) for server in others]

        async def delivered() -> bool:
            answer = await machine.post(sms_webhook(number, "Your code is 555777", "555777"))
            return answer is not None and answer.status_code == 200

        async with within(2):
            owner.kill()
            await until(delivered, seconds=20, what="a delivery")
        assert await asyncio.gather(*waits) == ["555777"] * 2


@pytest.mark.parametrize("came", ["before", "after"])
async def test_what_no_webhook_brought_before_or_after_kill_9_of_the_owner_is_filled_in_by_who_takes_over(
    machine: Machine, account: Sandbox, came: str
) -> None:
    number = first_number(account)
    async with after_its_first_round(machine, "owner") as owner, after_its_first_round(machine, "survivor") as survivor:
        if came == "after":
            owner.kill()
        await account.receive_sms(number, "Your code is 135790", deliver=False)
        if came == "before":
            assert (await survivor.call("list_events"))["events"] == []
            owner.kill()

        async def listed() -> bool:
            return (await survivor.call("list_events"))["total"] == 1

        await until(listed, seconds=10, what="the back-fill", every=0.05)
        (event,) = (await survivor.call("list_events"))["events"]
        assert (event["code"], event["source"], event["confirmed"]) == ("135790", "history", "in the SMS history")


@asynccontextmanager
async def after_its_first_round(machine: Machine, name: str) -> AsyncGenerator[ServerProcess]:
    """A server whose own first back-fill is over: by the clock, the next one would come in five minutes."""
    started = time.time()
    async with machine.server(name) as server:
        await server.call("list_events")  # its services run
        store = SqliteStore(machine.data_dir / "store.sqlite3")

        async def over() -> bool:
            return float(await store.read(lambda c: facts.get(c, f"{LAST_ROUND_END}@1")) or 0) > started

        await until(over, seconds=15, what="its round", every=0.05)
        await store.close()
        yield server


@pytest.mark.parametrize("end", ["closed", "killed"])
async def test_an_sms_that_came_while_nothing_ran_is_there_within_ten_seconds_of_the_next_start(
    machine: Machine, account: Sandbox, end: str
) -> None:
    number = first_number(account)
    async with machine.server("before") as server:
        assert (await server.call("get_latest_code"))["status"] == "none"
        if end == "killed":
            server.kill()
    await account.receive_sms(number, "Your code is 246810", deliver=False)
    started = time.monotonic()
    async with machine.server("after") as server:

        async def latest() -> str | None:
            return (await server.call("get_latest_code")).get("newest", {}).get("code")

        assert await until(latest, seconds=10, what="the code", every=0.05) == "246810"
        assert time.monotonic() - started < 10
        newest = (await server.call("get_latest_code"))["newest"]
        assert (newest["source"], newest["confirmed"]) == ("history", "in the SMS history")


async def test_an_event_that_was_acknowledged_survives_kill_9_at_once_afterwards(machine: Machine) -> None:
    async with machine.receiver() as process:
        for n in range(20):
            answer = await machine.post(sms_webhook("num-a", f"Your code is {1000 + n}", str(1000 + n)))
            assert answer is not None
            assert answer.json() == {"ok": True, "id": n + 1, "new": True}
        process.kill()
        await process.wait()
    store = SqliteStore(machine.data_dir / "store.sqlite3")
    found = await store.read(lambda c: [event.code for event in events.all_since(c, 0)])
    await store.close()
    assert found == [str(1000 + n) for n in range(20)]


async def test_one_delivery_to_each_of_two_owners_of_the_port_is_one_event(machine: Machine) -> None:
    body = sms_webhook("num-a", "Your code is 9911", "9911")
    for new in (True, False):
        async with machine.receiver():
            answer = await machine.post(body)
            assert answer is not None
            assert answer.json() == {"ok": True, "id": 1, "new": new}


async def test_a_receiver_alone_feeds_the_server_that_comes_later(machine: Machine, account: Sandbox) -> None:
    number = first_number(account)
    async with machine.receiver():
        await machine.post(sms_webhook(number, "Your code is 7171", "7171"))
        async with machine.server("later") as server:
            assert (await server.call("wait_for_code", number=number))["newest"]["code"] == "7171"
