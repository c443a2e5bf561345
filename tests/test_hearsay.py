"""Webhooks are not signed: an event alone settles nothing, lowers no charge and frees no budget."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from examples import number
from harness import Connect, Connected, approver, connected
from lost_answers import charged, graced, look, lose
from purchases import CREATE_WHITE, PURCHASES, REGISTER, RENEW_DOMAIN, RESTORE, VERIFY, Purchase

from piv_mcp.sandbox import Sandbox
from piv_mcp.spending.reconcile.reconciler import LONG_GRACE_SECONDS

pytestmark = pytest.mark.usefixtures("instant_retries")

Event = tuple[str, dict[str, Any]]

AMOUNTS = (-1000, -0.01, 0, 1000)
"""Amounts that nobody charged, in the order in which the events come."""


def forged(sandbox: Sandbox, arguments: dict[str, Any], amount: float) -> list[Event]:
    """Every event that could be about a purchase with these arguments, with an amount that nobody charged."""
    ids = arguments.get("piv_num_ids", [arguments.get("piv_num_id", number(sandbox))])
    about: dict[str, Any] = {
        "piv_num_id": ids[0],
        "domain_name": arguments.get("domain", "free-name.com"),
        "domain_id": arguments.get("domain_id", "d-1"),
        "job_id": next((white.id for white in sandbox.state.whites.values() if white.name == "A new site"), "w-1"),
        "refunded": amount,
        "refund": amount,
        "failed": [{"piv_num_id": id_, "refunded": amount} for id_ in ids],
        "total_refunded": amount,
    }
    types = (
        "verify.completed",
        "verify.failed",
        "domain.registered",
        "domain.failed",
        "white.completed",
        "white.failed",
        "number.restore_completed",
    )
    return [(type_, about) for type_ in types]


def hold(sandbox: Sandbox, seconds: float = 9999) -> None:
    """Let nothing that runs in piv.day's background end before so many of the sandbox's seconds."""
    slow = replace(sandbox.timing, verify=seconds, domain=seconds, white=seconds, restore=seconds)
    sandbox.timing = sandbox.state.timing = slow


@pytest.mark.parametrize("done", [True, False], ids=["done", "not done"])
@pytest.mark.parametrize("purchase", PURCHASES, ids=str)
async def test_a_forged_event_settles_no_lost_answer(shop: Connected, purchase: Purchase, done: bool) -> None:
    """What is concluded with the events is what is concluded without them, but never "not charged" too soon."""
    hold(shop.sandbox)
    arguments = purchase.arguments(shop.sandbox)
    await lose(shop, purchase, "drop_after" if done else "drop_before")
    without = await look(shop)
    entry = await shop.only_entry()
    if entry.state == "unknown":  # else the account itself shows it
        for type_, data in chain.from_iterable(forged(shop.sandbox, arguments, amount) for amount in AMOUNTS):
            await shop.tell(type_, **data)
        states = await graced(shop, LONG_GRACE_SECONDS)
        assert states != ["not_charged"] or not done
        assert states != ["charged"] or done
    else:
        assert without == ["charged"]
    if done and (await shop.only_entry()).charged is not None:
        assert await charged(shop) == [purchase.price]
    assert len(shop.writes) == 1


@pytest.mark.parametrize("purchase", PURCHASES, ids=str)
async def test_a_forged_event_lowers_no_charge_and_frees_no_budget(
    sandbox: Sandbox, data_dir: Path, purchase: Purchase
) -> None:
    hold(sandbox)
    budget: dict[str, Any] = {"spend_mode": "budget", "auto_approve_max": 20, "daily_budget": 100}
    async with connected(sandbox, data_dir, None, confirm_wait=0, confirm_channel="elicit", **budget) as shop:
        arguments = purchase.arguments(sandbox)
        receipt = await shop.ok(purchase.tool, **arguments)
        if receipt["status"] == "approval_required":  # its price is unknown
            await shop.gate.journal.decide(receipt["spending_id"], "approve", by="terminal")
            await shop.ok(purchase.tool, **arguments)
        before = await shop.ok("list_spending")
        for amount in AMOUNTS:
            for type_, data in forged(sandbox, arguments, amount):
                await shop.tell(type_, **data)
            after = await shop.ok("list_spending")
            reported = after["entries"][0].pop("refund_reported", None)
            assert after == before
            assert reported is None or 0 < Decimal(reported) <= purchase.price


# --- an event and the balance together


@pytest.mark.parametrize("fall", ["0.01", "1.00", "13.00"])
@pytest.mark.parametrize("purchase", [VERIFY, REGISTER], ids=str)
async def test_the_report_of_a_success_settles_nothing_though_the_balance_fell(
    shop: Connected, purchase: Purchase, fall: str
) -> None:
    """Another client of the account was charged, and the report is forged."""
    hold(shop.sandbox)
    await lose(shop, purchase, "drop_before")
    shop.sandbox.balance -= Decimal(fall)
    await shop.tell("verify.completed", piv_num_id=number(shop.sandbox))
    await shop.tell("domain.registered", domain_name="free-name.com")
    assert await look(shop) == ["unknown"]
    assert "charged" not in await graced(shop, LONG_GRACE_SECONDS)


# --- refunds


FAILING: list[tuple[Purchase, dict[str, Any]]] = [
    (VERIFY, {"gv_url": "https://gv.google.com/fail"}),
    (REGISTER, {"domain": "will-fail.com"}),
    (CREATE_WHITE, {"name": "will fail"}),
    (RESTORE, {}),
]


async def told(shop: Connected) -> list[tuple[str | None, str | None]]:
    """(charged, refund reported) of every entry, the oldest first. The totals are those of the charges."""
    listed = await shop.ok("list_spending")
    rows = [(row.get("charged"), row.get("refund_reported")) for row in reversed(listed["entries"])]
    total = sum((Decimal(amount or 0) for amount, _ in rows), Decimal(0))
    assert Decimal(listed["charged"]) == total
    assert sum((Decimal(day["charged"]) for day in listed["totals"]), Decimal(0)) == total
    return rows


@pytest.mark.parametrize(("purchase", "changed"), FAILING, ids=[str(purchase) for purchase, _ in FAILING])
async def test_a_failure_after_the_charge_is_shown_as_a_report(
    connect: Connect, purchase: Purchase, changed: dict[str, Any]
) -> None:
    async with connect(person=approver(), webhooks=True) as shop:
        hold(shop.sandbox, 60)
        arguments = {**purchase.arguments(shop.sandbox), **changed}
        for id_ in arguments.get("piv_num_ids", ()):
            shop.sandbox.state.numbers[id_].custom_name = "will fail"
        assert (await shop.ok(purchase.tool, **arguments))["charged"] == str(purchase.price)
        shop.sandbox.advance(timedelta(hours=1))
        await shop.sandbox.settled()
        assert await told(shop) == [(str(purchase.price), str(purchase.price))]


async def test_a_restore_s_refund_is_what_its_event_says_of_its_own_numbers(shop: Connected) -> None:
    hold(shop.sandbox)
    (id_,) = RESTORE.arguments(shop.sandbox)["piv_num_ids"]
    await shop.receipt(RESTORE)
    await shop.tell("number.restore_completed", failed=[{"piv_num_id": "another", "refunded": 6}], total_refunded=6)
    assert await told(shop) == [("6.00", None)]
    await shop.tell("number.restore_completed", failed=[{"piv_num_id": id_, "refunded": -1000}])
    assert await told(shop) == [("6.00", None)]
    failed = [{"piv_num_id": "another", "refunded": 6}, {"piv_num_id": id_, "refunded": 2.5}]
    await shop.tell("number.restore_completed", failed=failed, total_refunded=8.5)
    assert await told(shop) == [("6.00", "2.50")], "a later true one is not hidden by the forged one"
    for amount, noted in ((0.01, "2.50"), (6, "6.00")):  # nor one by a smaller one before it
        await shop.tell("number.restore_completed", failed=[{"piv_num_id": id_, "refunded": amount}])
        assert await told(shop) == [("6.00", noted)]


async def test_one_report_is_about_one_action_and_not_one_that_came_after_it(shop: Connected) -> None:
    hold(shop.sandbox)
    for _ in range(2):
        await shop.receipt(VERIFY)
    await shop.tell("verify.failed", piv_num_id=number(shop.sandbox), task_id=2)
    for _ in range(2):  # however often one asks
        assert await told(shop) == [("1.00", None), ("1.00", "1.00")]
    await shop.receipt(VERIFY)
    assert await told(shop) == [("1.00", None), ("1.00", "1.00"), ("1.00", None)]


async def test_an_event_about_something_else_reports_no_refund(shop: Connected) -> None:
    await shop.receipt(VERIFY)
    await shop.receipt(CREATE_WHITE)
    await shop.receipt(RENEW_DOMAIN)
    await shop.tell("verify.failed", piv_num_id="another")
    await shop.tell("white.failed", job_id="another")
    await shop.tell("white.failed")
    await shop.tell("domain.failed", domain_id="another", domain_name="another.com")
    await shop.tell("number.restore_completed", failed="nonsense")
    assert [refunded for _, refunded in await told(shop)] == [None, None, None]
