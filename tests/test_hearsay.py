"""Webhooks are not signed: an event alone settles nothing, lowers no charge and frees no budget."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest
from examples import number
from harness import Connect, Connected, approver, charges, connected
from lost_answers import charged, graced, look, lose
from purchases import BUY_NUMBER, CREATE_WHITE, PURCHASES, REGISTER, RENEW_DOMAIN, RESTORE, VERIFY, Purchase

from piv_mcp.sandbox import Sandbox
from piv_mcp.spending.reconcile.reconciler import LONG_GRACE_SECONDS

pytestmark = pytest.mark.usefixtures("instant_retries")

Event = tuple[str, dict[str, Any]]


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


@pytest.mark.parametrize("amount", [-1000, 0, 1000])
@pytest.mark.parametrize("done", [True, False], ids=["done", "not done"])
@pytest.mark.parametrize("purchase", PURCHASES, ids=str)
async def test_a_forged_event_settles_no_lost_answer(
    shop: Connected, purchase: Purchase, done: bool, amount: float
) -> None:
    """What is concluded with the events is what is concluded without them, but never "not charged" too soon."""
    hold(shop.sandbox)
    arguments = purchase.arguments(shop.sandbox)
    await lose(shop, purchase, "drop_after" if done else "drop_before")
    without = await look(shop)
    entry = await shop.only_entry()
    if entry.state == "unknown":  # else the account itself shows it
        for type_, data in forged(shop.sandbox, arguments, amount):
            await shop.tell(type_, **data)
        states = await graced(shop, LONG_GRACE_SECONDS)
        assert states != ["not_charged"] or not done
        assert states != ["charged"] or done
    else:
        assert without == ["charged"]
    if done and (await shop.only_entry()).charged is not None:
        assert await charged(shop) == [purchase.price]
    assert len(shop.writes) == 1


@pytest.mark.parametrize("amount", [-1000, -0.01, 0, 1000])
@pytest.mark.parametrize("purchase", PURCHASES, ids=str)
async def test_a_forged_event_lowers_no_charge_and_frees_no_budget(
    sandbox: Sandbox, data_dir: Path, purchase: Purchase, amount: float
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
        for type_, data in forged(sandbox, arguments, amount):
            await shop.tell(type_, **data)
        for _ in range(2):
            after = await shop.ok("list_spending")
            reported = after["entries"][0].pop("refund_reported", None)
            assert after == before
            assert reported is None or 0 < Decimal(reported) <= purchase.price


# --- an event and the balance together


async def test_the_report_of_a_success_settles_a_lost_answer_if_the_balance_agrees(shop: Connected) -> None:
    hold(shop.sandbox)
    await lose(shop, VERIFY, "drop_after")
    assert await look(shop) == ["unknown"]
    await shop.tell("verify.completed", piv_num_id=number(shop.sandbox))
    assert await look(shop) == ["charged"]
    assert await charged(shop) == [Decimal("1.00")]
    told = await shop.receipt(VERIFY)
    assert "reports verify.completed; the balance fell by 1.00 USD" in told["evidence"]
    assert len(shop.writes) == 1


async def test_the_report_of_a_success_settles_nothing_while_the_balance_does_not_agree(shop: Connected) -> None:
    hold(shop.sandbox)
    await lose(shop, VERIFY, "drop_before")
    await shop.tell("verify.completed", piv_num_id=number(shop.sandbox))
    assert await look(shop) == ["unknown"]


async def test_a_domain_that_the_list_lacks_is_settled_by_its_event_and_the_balance(shop: Connected) -> None:
    await lose(shop, REGISTER, "drop_after")
    cast("dict[str, Any]", shop.sandbox.state.domains).pop(charges(shop.sandbox, REGISTER)[0].id)
    assert await look(shop) == ["unknown"]
    await shop.tell("domain.failed", domain_name="free-name.com")
    assert await look(shop) == ["unknown"]
    await shop.tell("domain.registered", domain_name="free-name.com")
    assert await look(shop) == ["charged"]
    assert await charged(shop) == [Decimal("12.50")]


async def test_one_event_settles_one_lost_verification_and_not_the_other(shop: Connected) -> None:
    hold(shop.sandbox)
    await lose(shop, VERIFY, "drop_after", gv_url="https://gv.google.com/one")
    await shop.tell("verify.completed", piv_num_id=number(shop.sandbox), task_id=1)
    assert await look(shop) == ["charged"]
    await lose(shop, VERIFY, "drop_after", gv_url="https://gv.google.com/other")
    for _ in range(2):  # however often one looks
        assert await look(shop) == ["charged", "unknown"]
    await shop.tell("verify.completed", piv_num_id=number(shop.sandbox), task_id=2)
    assert await look(shop) == ["charged", "charged"]


async def test_the_event_of_an_answered_verification_settles_no_lost_one(shop: Connected) -> None:
    hold(shop.sandbox)
    await shop.receipt(VERIFY)
    await lose(shop, VERIFY, "drop_after", gv_url="https://gv.google.com/other")
    await shop.tell("verify.completed", piv_num_id=number(shop.sandbox), task_id=1)
    assert await look(shop) == ["charged", "unknown"]
    await shop.tell("verify.completed", piv_num_id=number(shop.sandbox), task_id=2)
    assert await look(shop) == ["charged", "charged"]


async def test_an_event_that_reported_a_refund_explains_no_other_verification(shop: Connected) -> None:
    """Three of one number: the first failed and was refunded, the second has no event yet, the third is lost."""
    hold(shop.sandbox)
    await shop.receipt(BUY_NUMBER)
    await shop.receipt(VERIFY)
    await shop.tell("verify.failed", piv_num_id=number(shop.sandbox), task_id=1)
    assert await told(shop) == [("4.00", None), ("1.00", "1.00")]
    await shop.receipt(VERIFY, gv_url="https://gv.google.com/second")
    await lose(shop, VERIFY, "drop_after", gv_url="https://gv.google.com/third")
    await shop.tell("verify.completed", piv_num_id=number(shop.sandbox), task_id=2)
    assert await look(shop) == ["charged", "charged", "charged", "unknown"], "it may be about the second"
    await shop.tell("verify.completed", piv_num_id=number(shop.sandbox), task_id=3)
    assert await look(shop) == ["charged"] * 4


async def test_an_event_about_something_else_or_from_before_settles_nothing(shop: Connected) -> None:
    hold(shop.sandbox)
    await shop.tell("verify.completed", piv_num_id=number(shop.sandbox))
    await lose(shop, VERIFY, "drop_after")
    await shop.tell("verify.completed", piv_num_id="another")
    await shop.tell("verify.started", piv_num_id=number(shop.sandbox))
    assert await look(shop) == ["unknown"]


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
