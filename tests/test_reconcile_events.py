"""An event tells what became of a lost request."""

from dataclasses import replace
from decimal import Decimal
from typing import Any, cast

import pytest
from examples import number
from harness import Connected, charges
from lost_answers import charged, look, lose
from purchases import REGISTER, VERIFY, Purchase

pytestmark = pytest.mark.usefixtures("instant_retries")


@pytest.mark.parametrize(
    ("purchase", "changed", "event", "cost"),
    [
        pytest.param(VERIFY, {}, "verify.completed", None, id="verified"),
        pytest.param(VERIFY, {"gv_url": "https://gv.google.com/fail"}, "verify.failed", 0, id="not verified"),
        pytest.param(REGISTER, {}, "domain.registered", Decimal("12.50"), id="registered"),
        pytest.param(REGISTER, {"domain": "will-fail.com"}, "domain.failed", 0, id="not registered"),
    ],
)
async def test_an_event_settles_what_nothing_else_shows(
    shop: Connected,
    purchase: Purchase,
    changed: dict[str, Any],
    event: str,
    cost: Decimal | None,
) -> None:
    arguments = {**purchase.arguments(shop.sandbox), **changed}
    await lose(shop, purchase, "drop_after", **arguments)
    if purchase is VERIFY and cost is None:
        shop.sandbox.balance += purchase.price  # the person topped it up meanwhile
    cast("dict[str, Any]", shop.sandbox.state.domains).pop(charges(shop.sandbox, purchase)[0].id, None)
    assert await look(shop) == ["unknown"]
    about = {"piv_num_id": number(shop.sandbox)} if purchase is VERIFY else {"domain_name": arguments["domain"]}
    await shop.tell(event, **about)
    assert await look(shop) == ["charged"]
    assert await charged(shop) == [cost]
    told = await shop.receipt(purchase, **changed)
    assert event in told["evidence"]
    assert ("which is refunded" in told["evidence"]) is (cost == 0)
    assert ("compare the balance" in told.get("note", "")) is (cost is None)
    assert len(shop.writes) == 1


async def test_one_event_settles_one_lost_verification_and_not_the_other(shop: Connected) -> None:
    for page in ("one", "other"):
        await lose(shop, VERIFY, "drop_before", gv_url=f"https://gv.google.com/{page}")
    await shop.tell("verify.completed", piv_num_id=number(shop.sandbox), task_id=1)
    for _ in range(2):  # however often one looks
        assert sorted(await look(shop)) == ["charged", "unknown"]
    await shop.tell("verify.failed", piv_num_id=number(shop.sandbox), task_id=2)
    assert await look(shop) == ["charged", "charged"]


@pytest.mark.parametrize("outcome", ["verify.completed", "verify.failed"])
async def test_the_event_of_an_answered_verification_settles_no_lost_one(shop: Connected, outcome: str) -> None:
    shop.sandbox.timing = shop.sandbox.state.timing = replace(shop.sandbox.timing, verify=3600)
    await shop.receipt(VERIFY)
    await lose(shop, VERIFY, "drop_before", gv_url="https://gv.google.com/other")
    await shop.tell(outcome, piv_num_id=number(shop.sandbox), task_id=1)
    for _ in range(2):
        assert await look(shop) == ["charged", "unknown"]
        await shop.call("list_spending")  # which notes a refund
    await shop.tell(outcome, piv_num_id=number(shop.sandbox), task_id=2)
    assert await look(shop) == ["charged", "charged"]


async def test_a_verification_whose_own_event_came_before_leaves_the_next_event_to_the_lost_one(
    shop: Connected,
) -> None:
    await shop.receipt(VERIFY)
    await shop.tell("verify.completed", piv_num_id=number(shop.sandbox), task_id=1)
    await lose(shop, VERIFY, "drop_before", gv_url="https://gv.google.com/other")
    assert await look(shop) == ["charged", "unknown"]
    await shop.tell("verify.completed", piv_num_id=number(shop.sandbox), task_id=2)
    assert await look(shop) == ["charged", "charged"]


async def test_an_event_about_something_else_or_from_before_settles_nothing(shop: Connected) -> None:
    await shop.tell("verify.completed", piv_num_id=number(shop.sandbox))
    await shop.tell("domain.registered", domain_name="free-name.com")
    await lose(shop, VERIFY, "drop_before")
    await lose(shop, REGISTER, "drop_before")
    await shop.tell("verify.completed", piv_num_id="another")
    await shop.tell("verify.started", piv_num_id=number(shop.sandbox))
    await shop.tell("domain.registered", domain_name="another.com")
    assert await look(shop) == ["unknown", "unknown"]
