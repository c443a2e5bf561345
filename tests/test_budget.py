"""A budget approves by itself up to its limit, over all processes that share it, and nothing beyond."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from harness import (
    APPROVE,
    DEADLINE,
    ERAS,
    YES,
    Connected,
    Era,
    Person,
    approver,
    ask,
    charges,
    connected,
    content_of,
    decliner,
    question,
    text_of,
    until,
)
from lost_answers import graced, lose
from mcp.types import CallToolResult
from moving_clock import MovingClock
from purchases import BUY_NUMBER, BUY_PROXIES, COMMITMENTS, FREE, PURCHASES, RENEW_NUMBER, SEND_SMS, Purchase, given

from piv_mcp.config import load
from piv_mcp.errors import ConfigError
from piv_mcp.sandbox import Failure, Sandbox, sms
from piv_mcp.text.times import DAY_SECONDS, Clock

pytestmark = pytest.mark.usefixtures("instant_retries")

eras = pytest.mark.parametrize("era", ERAS)

THREE_NUMBERS = {"spend_mode": "budget", "auto_approve_max": "10", "daily_budget": "12"}
"""Room for three numbers of 4.00."""


@asynccontextmanager
async def budget_shop(
    sandbox: Sandbox,
    data_dir: Path,
    person: Person | None,
    era: Era = "auto",
    clock: Clock | None = None,
    **changed: Any,
) -> AsyncGenerator[Connected]:
    """Whoever cannot be asked in the client is sent to the terminal, so that no page opens."""
    settings: dict[str, Any] = {**THREE_NUMBERS, "confirm_wait": 0, "confirm_channel": "elicit", **changed}
    async with connected(sandbox, data_dir, person, era, clock, **settings) as shop:
        yield shop


async def left(shop: Connected) -> Decimal:
    """What the budget has left, as the person is told."""
    return Decimal((await shop.ok("list_spending"))["budget"]["left_today"])


def statuses(receipts: list[dict[str, Any]]) -> dict[str, int]:
    found = [receipt["status"] for receipt in receipts]
    return {status: found.count(status) for status in set(found)}


@eras
async def test_of_ten_equal_purchases_at_once_three_are_charged_and_the_others_ask(
    sandbox: Sandbox, data_dir: Path, era: Era
) -> None:
    async with budget_shop(sandbox, data_dir, None, era) as shop:
        receipts = await asyncio.gather(*(shop.receipt(BUY_NUMBER) for _ in range(10)))
        assert statuses(receipts) == {"charged": 3, "approval_required": 7}
        assert len(charges(sandbox, BUY_NUMBER)) == 3
        assert await left(shop) == 0


@eras
async def test_of_ten_different_purchases_at_once_three_are_charged_and_the_others_ask(
    sandbox: Sandbox, data_dir: Path, era: Era
) -> None:
    async with budget_shop(sandbox, data_dir, None, era) as shop:
        receipts = await asyncio.gather(*(shop.receipt(BUY_NUMBER, custom_name=f"Line {n}") for n in range(10)))
        assert statuses(receipts) == {"charged": 3, "approval_required": 7}
        assert len({receipt["spending_id"] for receipt in receipts}) == 10
        assert len(charges(sandbox, BUY_NUMBER)) == 3


async def test_two_servers_on_one_data_directory_share_one_budget(sandbox: Sandbox, data_dir: Path) -> None:
    async with budget_shop(sandbox, data_dir, None) as one, budget_shop(sandbox, data_dir, None, "legacy") as two:
        receipts = await asyncio.gather(
            *(shop.receipt(BUY_NUMBER, custom_name=f"Line {n}") for n in range(5) for shop in (one, two)),
        )
        assert len(charges(sandbox, BUY_NUMBER)) == 3
        assert {receipt["status"] for receipt in receipts} <= {"charged", "approval_required"}


@eras
async def test_within_the_budget_nobody_is_asked_and_beyond_it_the_person_is(
    sandbox: Sandbox, data_dir: Path, era: Era
) -> None:
    person = decliner()
    async with budget_shop(sandbox, data_dir, person, era, confirm_wait=5) as shop:
        for remaining in (8, 4, 0):
            assert (await shop.receipt(BUY_NUMBER))["status"] == "charged"
            assert await left(shop) == remaining
        assert person.asked == []
        assert (await shop.receipt(BUY_NUMBER))["status"] == "declined"
        assert len(person.asked) == 1
        person.default = APPROVE
        assert (await shop.receipt(BUY_NUMBER))["status"] == "charged"
        assert len(charges(sandbox, BUY_NUMBER)) == 4
        assert await left(shop) == 0  # what a person approved is no part of it


ASKS = [
    pytest.param(BUY_NUMBER, {"duration_months": 3}, id="over the maximum of one action"),
    pytest.param(BUY_NUMBER, {"auto_renew": True}, id="recurring"),
    *(
        pytest.param(purchase, {}, id=f"unknown price: {purchase}")
        for purchase in PURCHASES
        if purchase.quoted == "unknown"
    ),
]


@eras
@pytest.mark.parametrize(("purchase", "changed"), ASKS)
async def test_some_purchases_ask_whatever_the_budget(
    sandbox: Sandbox, data_dir: Path, purchase: Purchase, changed: dict[str, Any], era: Era
) -> None:
    person = decliner()
    async with budget_shop(sandbox, data_dir, person, era, daily_budget="1000", confirm_wait=5) as shop:
        assert (await shop.receipt(purchase, **changed))["status"] == "declined"
        assert len(person.asked) == 1
        assert sandbox.charges == []


@eras
@pytest.mark.parametrize(("tool", "method", "arguments"), [*FREE, *COMMITMENTS])
async def test_a_lasting_change_asks_though_the_budget_holds_its_price_of_nothing(
    sandbox: Sandbox, data_dir: Path, era: Era, tool: str, method: str, arguments: dict[str, Any]
) -> None:
    person = decliner()
    async with budget_shop(sandbox, data_dir, person, era, daily_budget="1000", confirm_wait=5) as shop:
        exact = given(sandbox, arguments)
        assert (await shop.ok(tool, **exact))["status"] == "declined"
        assert shop.writes == []
        (asked,) = person.asked
        assert "Price: 0.00 USD" in asked
        person.default = APPROVE
        assert (await shop.ok(tool, **exact))["status"] == "done"
        assert [request.method for request in shop.writes] == [method]
        assert (await shop.entries())[0].decided_by == "elicitation"
        assert await left(shop) == 1000


async def test_a_maximum_is_reached_and_not_passed_by_a_price_that_equals_it(sandbox: Sandbox, data_dir: Path) -> None:
    async with budget_shop(sandbox, data_dir, None, auto_approve_max="4.00", daily_budget="4.00") as shop:
        assert (await shop.receipt(BUY_NUMBER))["status"] == "charged"
    async with budget_shop(sandbox, data_dir / "other", None, auto_approve_max="3.99") as shop:
        assert (await shop.receipt(BUY_NUMBER))["status"] == "approval_required"


async def test_an_area_has_no_more_than_its_budget_and_the_others_have_the_rest(
    sandbox: Sandbox, data_dir: Path
) -> None:
    limits: dict[str, Any] = {"daily_budget": "100", "budgets": "numbers=9.50,whites=1"}
    async with budget_shop(sandbox, data_dir, None, **limits) as shop:
        receipts = [await shop.receipt(BUY_NUMBER, custom_name=f"Line {n}") for n in range(3)]
        assert statuses(receipts) == {"charged": 2, "approval_required": 1}
        assert (
            receipts[-1]["over_budget"] == "The budget for numbers is 9.50 USD in 24 hours, and 1.50 USD of it is left"
        )
        assert (await shop.receipt(BUY_PROXIES))["status"] == "charged"
        told = (await shop.ok("list_spending"))["budget"]["areas"]
        assert [(row["area"], Decimal(row["per_day"]), Decimal(row["left_today"])) for row in told] == [
            ("numbers", Decimal("9.5"), Decimal("1.5")),
            ("whites", 1, 1),
        ]


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"auto_approve_max": "3.99"}, "The budget approves at most 3.99 USD for one action"),
        ({"daily_budget": "3.50"}, "The budget is 3.50 USD in 24 hours, and 3.50 USD of it is left"),
        ({"budgets": "numbers=0"}, "The budget for numbers is 0.00 USD in 24 hours, and 0.00 USD of it is left"),
        ({"budgets": "numbers=2", "auto_approve_max": "1"}, "The budget approves at most 1.00 USD for one action"),
    ],
)
async def test_the_question_and_the_receipt_say_which_limit_the_budget_has_met(
    sandbox: Sandbox, data_dir: Path, limits: dict[str, Any], words: str
) -> None:
    person = decliner()
    async with budget_shop(sandbox, data_dir, person, confirm_wait=5, **limits) as shop:
        receipt = await shop.receipt(BUY_NUMBER)
        (asked,) = person.asked
        assert f"Note: {words}" in asked
        assert receipt["over_budget"] == words
        (entry,) = (await shop.ok("list_spending"))["entries"]
        assert entry["over_budget"] == words


async def test_two_servers_never_exceed_the_budget_of_an_area(sandbox: Sandbox, data_dir: Path) -> None:
    rules: dict[str, Any] = {"daily_budget": "100", "budgets": "numbers=12"}
    async with (
        budget_shop(sandbox, data_dir, None, **rules) as one,
        budget_shop(sandbox, data_dir, None, **rules) as two,
    ):
        receipts = await asyncio.gather(
            *(shop.receipt(BUY_NUMBER, custom_name=f"Line {n}") for n in range(4) for shop in (one, two)),
            *(shop.receipt(RENEW_NUMBER) for shop in (one, two)),
        )
        # Who comes first decides whether these are three numbers, or the renewal, which is dearer, and one.
        amounts = sorted(charge.amount for charge in sandbox.charges)
        assert amounts in ([Decimal(4)] * 3, [Decimal(4), Decimal(8)])
        assert {receipt["status"] for receipt in receipts} == {"charged", "approval_required"}


async def test_the_budget_counts_the_quote_though_less_was_charged(
    sandbox: Sandbox, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three SMS are estimated at 0.75, and the balance falls by 0.25: a credit may have come at the same time."""

    def as_one(text: str) -> int:
        return 1

    monkeypatch.setattr(sms, "segments", as_one)
    async with budget_shop(sandbox, data_dir, None) as shop:
        receipt = await shop.receipt(SEND_SMS, message_body="a" * 400)
        assert receipt["price"].startswith("0.75 USD (estimate")
        assert receipt["charged"] == "0.25"
        assert "0.50 USD less than quoted" in receipt["note"]
        assert await left(shop) == Decimal("11.25")


async def test_what_was_spent_a_day_ago_is_forgotten(sandbox: Sandbox, data_dir: Path) -> None:
    clock = MovingClock()
    async with budget_shop(sandbox, data_dir, None, clock=clock, daily_budget="4") as shop:
        assert (await shop.receipt(BUY_NUMBER))["status"] == "charged"
        assert (await shop.receipt(BUY_NUMBER, custom_name="Second"))["status"] == "approval_required"
        for later, status in ((DAY_SECONDS - 60, "approval_required"), (120, "charged")):
            clock.advance(later)
            assert (await shop.receipt(BUY_NUMBER, custom_name=f"After {later:.0f}"))["status"] == status


async def test_a_refused_purchase_gives_its_reservation_back(sandbox: Sandbox, data_dir: Path) -> None:
    async with budget_shop(sandbox, data_dir, None) as shop:
        refused = await shop.buy(BUY_NUMBER, country_code="NL")
        assert "piv.day refused it" in text_of(refused)
        assert await left(shop) == 12


@pytest.mark.parametrize(("kind", "kept"), [("drop_after", 8), ("drop_before", 12)])
async def test_an_unknown_outcome_keeps_its_reservation_until_it_is_known(
    sandbox: Sandbox, data_dir: Path, kind: Any, kept: int
) -> None:
    async with budget_shop(sandbox, data_dir, None, clock=MovingClock()) as shop:
        sandbox.fail_next(Failure(kind=kind, method="POST", path=BUY_NUMBER.path))
        await shop.buy(BUY_NUMBER)
        if (await shop.states()) == ["unknown"]:
            assert await left(shop) == 8
        await shop.settled()
        assert await left(shop) == kept


async def test_an_unknown_outcome_blocks_the_same_action_though_the_budget_has_room(
    sandbox: Sandbox, data_dir: Path
) -> None:
    async with budget_shop(sandbox, data_dir, None) as shop:
        sandbox.fail_next(Failure(kind="drop_before", method="POST", path=BUY_NUMBER.path))
        assert "OUTCOME_UNKNOWN" in text_of(await shop.buy(BUY_NUMBER))
        results = await asyncio.gather(*(shop.buy(BUY_NUMBER) for _ in range(5)))
        assert len(shop.writes) == 1
        assert all(result.is_error or content_of(result)["status"] == "not_charged" for result in results)
        assert (await shop.receipt(RENEW_NUMBER))["status"] == "charged"  # another action is not blocked


async def test_what_may_still_come_is_not_bought_again_by_the_budget(sandbox: Sandbox, data_dir: Path) -> None:
    person = decliner()
    async with budget_shop(sandbox, data_dir, person, clock=MovingClock()) as shop:
        sandbox.fail_next(Failure(kind="drop_before", method="POST", path=BUY_NUMBER.path))
        assert "OUTCOME_UNKNOWN" in text_of(await shop.buy(BUY_NUMBER))
        await shop.settled()
        assert (await shop.receipt(BUY_NUMBER))["status"] == "not_charged"
        assert (await shop.receipt(BUY_NUMBER))["status"] == "declined", "a person decides"
        assert "The same action was sent before" in person.asked[0]
        assert len(shop.writes) == 1


async def test_an_approval_in_hand_is_not_carried_out_while_an_equal_outcome_is_unknown(
    sandbox: Sandbox, data_dir: Path
) -> None:
    """The budget's purchase was lost while the person was asked about a second one."""
    async with budget_shop(sandbox, data_dir, approver(), clock=MovingClock(), daily_budget="4") as shop:
        sandbox.fail_next(Failure(kind="hang", method="POST", path=BUY_NUMBER.path, after=False))
        lost = asyncio.create_task(shop.buy(BUY_NUMBER))
        await until(lambda: shop.writes, seconds=20, what="the request")
        state = await question(shop, BUY_NUMBER)
        shop.advance(DEADLINE)
        assert "OUTCOME_UNKNOWN" in text_of(await lost)
        result = await ask(shop, BUY_NUMBER, request_state=state, input_responses=YES)
        assert isinstance(result, CallToolResult)
        assert "OUTCOME_UNKNOWN" in text_of(result)
        assert len(shop.writes) == 1


async def test_what_cannot_be_begun_gives_its_reservation_back(sandbox: Sandbox, data_dir: Path) -> None:
    """It was quoted and approved; what the account shows before could not be read."""
    async with budget_shop(sandbox, data_dir, None) as shop:
        sandbox.fail_next(Failure(kind="status", method="GET", path="/numbers", times=None, status=503))
        assert (await shop.buy(BUY_NUMBER)).is_error
        assert shop.writes == []
        assert await shop.states() == ["expired"]
        assert await left(shop) == 12


async def test_what_cannot_be_quoted_takes_nothing_from_the_budget(sandbox: Sandbox, data_dir: Path) -> None:
    async with budget_shop(sandbox, data_dir, None) as shop:
        sandbox.fail_next(Failure(kind="status", method="GET", path="/account", times=None, status=503))
        assert (await shop.buy(BUY_NUMBER)).is_error
        assert await shop.entries() == []
        assert await left(shop) == 12


@eras
async def test_a_caller_that_went_away_is_told_and_no_second_one_is_bought(
    sandbox: Sandbox, data_dir: Path, era: Era
) -> None:
    """Under a budget nobody would be asked about a worried repetition."""
    sandbox.fail_next(Failure(kind="slow", method="POST", path=BUY_NUMBER.path, delay=10))
    async with budget_shop(sandbox, data_dir, None, era, MovingClock()) as shop:
        call = asyncio.create_task(shop.receipt(BUY_NUMBER))
        await until(lambda: shop.writes, seconds=20, what="the request")
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await shop.settled()
        told = await shop.receipt(BUY_NUMBER)
        assert "nothing was sent now" in told["note"]
        assert len(charges(sandbox, BUY_NUMBER)) == 1
        assert "note" not in await shop.receipt(BUY_NUMBER)
        assert len(charges(sandbox, BUY_NUMBER)) == 2


async def test_a_person_s_approval_comes_before_the_budget_and_is_not_left_over(
    sandbox: Sandbox, data_dir: Path
) -> None:
    async with budget_shop(sandbox, data_dir, None, daily_budget="4") as shop:
        await shop.receipt(BUY_NUMBER, custom_name="First")
        asked = await shop.receipt(BUY_NUMBER)
        assert asked["status"] == "approval_required"
        assert await shop.gate.journal.decide(asked["spending_id"], "approve", by="page")
    async with budget_shop(sandbox, data_dir, None, daily_budget="100") as shop:  # there is room again
        assert (await shop.receipt(BUY_NUMBER))["spending_id"] == asked["spending_id"]
        assert await shop.states() == ["charged", "charged"]


async def test_without_a_budget_every_purchase_asks(sandbox: Sandbox, data_dir: Path) -> None:
    async with connected(sandbox, data_dir, None, confirm_wait=0, spend_mode="budget") as shop:
        for purchase in PURCHASES:
            assert (await shop.receipt(purchase))["status"] == "approval_required"
        assert shop.writes == []


@pytest.mark.parametrize("name", ["auto_approve_max", "daily_budget"])
@pytest.mark.parametrize("amount", ["-0.01", "-5", "NaN", "Infinity", "five"])
def test_a_budget_that_is_no_amount_is_refused(name: str, amount: str) -> None:
    with pytest.raises(ConfigError, match=f"PIV_{name.upper()}: "):
        load(**{name: amount})


async def test_while_a_person_s_approval_is_carried_out_the_budget_approves_an_equal_call_as_a_new_one(
    sandbox: Sandbox, data_dir: Path
) -> None:
    async with budget_shop(sandbox, data_dir, None, daily_budget="0") as shop:
        asked = await shop.receipt(BUY_NUMBER)
        assert await shop.gate.journal.decide(asked["spending_id"], "approve", by="page")
    async with budget_shop(sandbox, data_dir, None, clock=MovingClock(), daily_budget="4") as shop:
        sandbox.fail_next(Failure(kind="slow", method="POST", path=BUY_NUMBER.path, delay=10))
        first = asyncio.create_task(shop.client.call_tool(BUY_NUMBER.tool, BUY_NUMBER.arguments(sandbox)))
        await until(lambda: shop.writes, seconds=20, what="the request")
        second = await asyncio.wait_for(shop.receipt(BUY_NUMBER), 20)
        await shop.settled()
        ids = {second["spending_id"], content_of(await first)["spending_id"]}
        assert len(ids) == len(charges(sandbox, BUY_NUMBER)) == 2
        assert asked["spending_id"] in ids


async def test_a_clock_that_is_set_forward_frees_no_budget(sandbox: Sandbox, data_dir: Path) -> None:
    clock = MovingClock()
    async with budget_shop(sandbox, data_dir, None, clock=clock, daily_budget="4") as shop:
        assert (await shop.receipt(BUY_NUMBER))["status"] == "charged"
        clock.correct(25 * 3600)
        assert (await shop.receipt(BUY_NUMBER, custom_name="Second"))["status"] == "approval_required"
        assert await left(shop) == 0
        shop.advance(DAY_SECONDS + 1)
        assert await left(shop) == 4, "a day that passed does"


async def test_a_clock_that_is_set_forward_ends_no_doubt(sandbox: Sandbox, data_dir: Path) -> None:
    clock = MovingClock()
    async with budget_shop(sandbox, data_dir, None, clock=clock) as shop:
        await lose(shop, BUY_NUMBER, "drop_before")
        assert await graced(shop) == ["not_charged"]
        assert (await shop.receipt(BUY_NUMBER))["status"] == "not_charged", "the outcome of the call before"
        clock.correct(2 * 3600)
        assert (await shop.receipt(BUY_NUMBER))["status"] == "approval_required"
        assert sandbox.charges == []
