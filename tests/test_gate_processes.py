"""Real processes: a server that dies while a request is out, and several servers that share budget and journal."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from harness import DECLINE, Era, Person, approver, charges, content_of, decliner, text_of, until
from mcp import Client
from processes import KEY, Machine, ServerProcess, sandbox_on_a_port
from purchases import BUY_NUMBER, RENEW_DOMAIN, VERIFY, Purchase, in_turn

from piv_mcp.sandbox import Failure, Sandbox, Timing
from piv_mcp.spending.approval.channels import READ_SECONDS

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX shells and signals")

SPEED = 20.0
"""Of the clock of a server that is to find out that nothing happened: its grace of 20 s takes 1 s."""

SHOWN_LATE = (VERIFY, RENEW_DOMAIN)
"""The account may show them only after some time: absence is believed after an hour, and what is unknown is not sent
again."""


@pytest.fixture
def account() -> Sandbox:
    return Sandbox(KEY, rate_limit=0, timing=Timing.instant())


@pytest.fixture
async def machine(account: Sandbox, data_dir: Path) -> AsyncGenerator[Machine]:
    async with sandbox_on_a_port(account) as base_url:
        yield Machine(data_dir, base_url)


def server(
    machine: Machine, name: str, person: Person | None, era: Era = "auto", *, speed: float = 1.0, **settings: Any
) -> AbstractAsyncContextManager[ServerProcess]:
    """A server over stdio, without the local web app, and a client that asks `person`."""
    client = partial(Client, mode=era, elicitation_callback=person)
    if person is not None:  # who needs a second of the server's clock to read
        person.read = partial(asyncio.sleep, 1.05 * READ_SECONDS / speed)
    chosen: dict[str, Any] = {"webhook_port": 0, "confirm_wait": 0, **settings}
    return machine.server(name, client=client, speed=speed, **chosen)


async def buy(process: ServerProcess, purchase: Purchase, account: Sandbox, **changed: Any) -> dict[str, Any]:
    return content_of(await process.client.call_tool(purchase.tool, {**purchase.arguments(account), **changed}))


def writes(account: Sandbox) -> int:
    return sum(request.method != "GET" for request in account.requests)


async def truth(process: ServerProcess) -> dict[str, Any]:
    """The one entry of the journal, once it is settled."""

    async def look() -> dict[str, Any] | None:
        (entry,) = (await process.call("list_spending"))["entries"]
        return entry if entry["state"] not in ("executing", "unknown") else None

    return cast("dict[str, Any]", await until(look, seconds=20, what="the outcome is found", every=0.1))


async def die_while_it_is_out(
    machine: Machine, account: Sandbox, purchase: Purchase, era: Era, stop: signal.Signals
) -> None:
    async with server(machine, "first", approver(), era, confirm_wait=20) as first:
        call = asyncio.create_task(buy(first, purchase, account))
        await until(lambda: writes(account), seconds=15, what="the request")
        os.kill(first.pid, stop)
        await asyncio.gather(call, return_exceptions=True)


@pytest.mark.parametrize(("purchase", "era"), in_turn())
async def test_a_purchase_whose_process_is_killed_is_found_and_not_repeated(
    machine: Machine, account: Sandbox, purchase: Purchase, era: Era
) -> None:
    arguments = purchase.arguments(account)
    account.fail_next(Failure(kind="hang", method="POST", path=purchase.path))
    await die_while_it_is_out(machine, account, purchase, era, signal.SIGKILL)
    person = decliner()
    async with server(machine, "second", person, era, confirm_wait=20) as second:
        entry = await truth(second)
        assert entry["state"] == "charged"
        assert Decimal(entry["charged"]) == purchase.price
        assert entry["evidence"]
        told = content_of(await second.client.call_tool(purchase.tool, arguments))
        assert "nothing was sent now" in told["note"]
        assert person.asked == []
        await second.client.call_tool(purchase.tool, arguments)
    assert writes(account) == 1
    assert [charge.amount for charge in charges(account, purchase)] == [purchase.price]


@pytest.mark.parametrize(
    ("purchase", "era", "stop"),
    [(*param.values, signal.SIGKILL) for param in in_turn()] + [(VERIFY, "auto", signal.SIGTERM)],
    ids=lambda value: value.name if isinstance(value, signal.Signals) else str(value),
)
async def test_a_purchase_that_never_reached_the_account_is_found_as_not_charged(
    machine: Machine, account: Sandbox, purchase: Purchase, era: Era, stop: signal.Signals
) -> None:
    account.fail_next(Failure(kind="hang", method="POST", path=purchase.path, after=False))
    await die_while_it_is_out(machine, account, purchase, era, stop)
    person = approver()
    async with server(machine, "second", person, era, speed=SPEED, confirm_wait=20 * SPEED) as second:
        if purchase in SHOWN_LATE:
            await second.call("reconcile_spending")
            refused = await second.client.call_tool(purchase.tool, purchase.arguments(account))
            assert "OUTCOME_UNKNOWN" in text_of(refused)
            assert writes(account) == 1
            return
        entry = await truth(second)
        assert entry["state"] == "not_charged"
        assert account.charges == []
        assert (await buy(second, purchase, account))["status"] == "not_charged"
        assert person.asked == []
        assert (await buy(second, purchase, account))["status"] == "charged"
        assert len(person.asked) == 1
    assert writes(account) == 2
    assert len(charges(account, purchase)) == 1


async def test_while_another_process_is_executing_an_equal_call_waits_for_its_result(
    machine: Machine, account: Sandbox
) -> None:
    account.fail_next(Failure(kind="slow", method="POST", path=BUY_NUMBER.path, delay=1.5))
    person = Person(DECLINE)
    async with (
        server(machine, "first", approver(), confirm_wait=20) as first,
        server(machine, "second", person) as second,
    ):
        await second.call("list_spending")
        slow = asyncio.create_task(buy(first, BUY_NUMBER, account))
        await until(lambda: writes(account), seconds=15, what="the request")
        receipts = await asyncio.gather(slow, buy(second, BUY_NUMBER, account))
    assert {receipt["status"] for receipt in receipts} == {"charged"}
    assert len({receipt["spending_id"] for receipt in receipts}) == 1
    assert person.asked == []
    assert writes(account) == 1


async def test_two_processes_never_exceed_the_budget_that_they_share(machine: Machine, account: Sandbox) -> None:
    budget: dict[str, Any] = {"spend_mode": "budget", "auto_approve_max": 10, "daily_budget": 12}
    async with (
        server(machine, "first", None, "auto", **budget) as first,
        server(machine, "second", None, "legacy", **budget) as second,
    ):
        receipts = await asyncio.gather(
            *(buy(process, BUY_NUMBER, account, custom_name=f"{n}") for n in range(5) for process in (first, second)),
            *(buy(process, BUY_NUMBER, account) for process in (first, second)),
        )
        left = (await first.call("list_spending"))["budget"]["left_today"]
    assert len(charges(account, BUY_NUMBER)) == 3
    assert {receipt["status"] for receipt in receipts} == {"charged", "approval_required"}
    assert Decimal(left) == 0


async def test_a_client_that_leaves_while_a_request_is_out_leaves_an_entry_that_is_found(
    machine: Machine, account: Sandbox
) -> None:
    """Its end closes the server's standard input."""
    account.fail_next(Failure(kind="slow", method="POST", path=BUY_NUMBER.path, delay=3))
    async with server(machine, "first", approver(), confirm_wait=20) as first:
        call = asyncio.create_task(buy(first, BUY_NUMBER, account))
        await until(lambda: writes(account), seconds=15, what="the request")
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
    async with server(machine, "second", decliner(), confirm_wait=20) as second:
        assert (await truth(second))["state"] == "charged"
        assert "nothing was sent now" in (await buy(second, BUY_NUMBER, account))["note"]
    assert writes(account) == 1
    assert len(charges(account, BUY_NUMBER)) == 1
