"""Some actions fail after they were charged: piv.day gives the money back, and an event says so."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from examples import number
from harness import Connected, approver, connected, until
from processes import free_port
from purchases import CREATE_WHITE, REGISTER, RENEW_DOMAIN, RESTORE, VERIFY, Purchase

from piv_mcp.sandbox import Sandbox

pytestmark = pytest.mark.usefixtures("instant_retries")

FAILING: list[tuple[Purchase, dict[str, Any]]] = [
    (VERIFY, {"gv_url": "https://gv.google.com/fail"}),
    (REGISTER, {"domain": "will-fail.com"}),
    (CREATE_WHITE, {"name": "will fail"}),
    (RESTORE, {}),
]


@pytest.fixture
async def shop(sandbox: Sandbox, data_dir: Path) -> AsyncGenerator[Connected]:
    """With the local web app on: the sandbox delivers its events, soon after what they are about."""
    sandbox.timing = sandbox.state.timing = replace(sandbox.timing, restore=0.3, verify=0.3, domain=0.3, white=0.3)
    async with connected(sandbox, data_dir, approver(), webhook_port=free_port()) as shop:
        yield shop


async def told(shop: Connected) -> list[tuple[str | None, str | None]]:
    """(charged, refunded) of every entry, the oldest first; the totals agree with them."""
    listed = await shop.ok("list_spending")
    rows = [(row.get("charged"), row.get("refunded")) for row in reversed(listed["entries"])]
    kept = sum((Decimal(charged or 0) - Decimal(refunded or 0) for charged, refunded in rows), Decimal(0))
    assert Decimal(listed["charged"]) == kept
    assert sum((Decimal(total["charged"]) for total in listed["totals"]), Decimal(0)) == kept
    return rows


@pytest.mark.parametrize(("purchase", "changed"), FAILING, ids=[str(purchase) for purchase, _ in FAILING])
async def test_what_failed_after_it_was_charged_is_told_as_refunded(
    shop: Connected, purchase: Purchase, changed: dict[str, Any]
) -> None:
    before = shop.sandbox.balance
    arguments = {**purchase.arguments(shop.sandbox), **changed}
    for id_ in arguments.get("piv_num_ids", ()):
        shop.sandbox.state.numbers[id_].custom_name = "will fail"
    assert (await shop.ok(purchase.tool, **arguments))["charged"] == str(purchase.price)

    async def refunded() -> bool:
        return await told(shop) == [(str(purchase.price), str(purchase.price))]

    await until(refunded, seconds=20, what="the refund")
    assert shop.sandbox.balance == before


async def test_a_restore_is_refunded_by_what_its_event_says(shop: Connected) -> None:
    (id_,) = RESTORE.arguments(shop.sandbox)["piv_num_ids"]
    await shop.receipt(RESTORE)
    await shop.tell("number.restore_completed", failed=[{"piv_num_id": "another", "refunded": 6}], total_refunded=6)
    assert await told(shop) == [("6.00", None)]
    failed = [{"piv_num_id": "another", "refunded": 6}, {"piv_num_id": id_, "refunded": 2.5}]
    await shop.tell("number.restore_completed", failed=failed, total_refunded=8.5)
    assert await told(shop) == [("6.00", "2.50")]


async def test_one_event_refunds_one_action_and_not_one_that_came_after_it(shop: Connected) -> None:
    for _ in range(2):
        await shop.receipt(VERIFY)
    await shop.tell("verify.failed", piv_num_id=number(shop.sandbox), task_id=2)
    for _ in range(2):  # however often one asks
        assert await told(shop) == [("1.00", None), ("1.00", "1.00")]
    await shop.receipt(VERIFY)
    assert await told(shop) == [("1.00", None), ("1.00", "1.00"), ("1.00", None)]


async def test_an_event_about_something_else_refunds_nothing(shop: Connected) -> None:
    await shop.receipt(VERIFY)
    await shop.receipt(CREATE_WHITE)
    await shop.receipt(RENEW_DOMAIN)
    await shop.tell("verify.failed", piv_num_id="another")
    await shop.tell("white.failed", job_id="another")
    await shop.tell("white.failed")
    await shop.tell("domain.failed", domain_id="another", domain_name="another.com")
    await shop.tell("number.restore_completed", failed="nonsense")
    assert [refunded for _, refunded in await told(shop)] == [None, None, None]


async def test_a_refund_gives_no_budget_back_since_anybody_may_have_sent_it(sandbox: Sandbox, data_dir: Path) -> None:
    async with connected(
        sandbox, data_dir, None, spend_mode="budget", auto_approve_max=10, daily_budget=12, confirm_wait=0
    ) as shop:
        white = await shop.receipt(CREATE_WHITE)
        await shop.tell("white.failed", job_id=white["result"]["white"]["id"])
        listed = await shop.ok("list_spending")
        assert listed["entries"][0]["refunded"] == "3.00"
        assert listed["budget"]["left_today"] == "9.00"
