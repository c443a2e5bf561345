"""A person says yes, no or nothing, and what the gate makes of their word."""

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from harness import (
    APPROVE,
    CANCEL,
    DECLINE,
    ERAS,
    Era,
    Person,
    approver,
    charges,
    connected,
    until,
)
from mcp.client import ClientRequestContext
from mcp.types import ElicitRequestParams, ElicitResult
from moving_clock import MovingClock
from purchases import (
    BUY_NUMBER,
    PURCHASES,
    Purchase,
    in_turn,
)

from piv_mcp.sandbox import Sandbox
from piv_mcp.spending.quote import FREEZE_SECONDS

pytestmark = pytest.mark.usefixtures("instant_retries")

eras = pytest.mark.parametrize("era", ERAS)

purchases = pytest.mark.parametrize("purchase", PURCHASES, ids=str)


@eras
@purchases
async def test_an_approved_purchase_is_sent_and_charged_once(
    sandbox: Sandbox, data_dir: Path, purchase: Purchase, era: Era
) -> None:
    person = approver()
    async with connected(sandbox, data_dir, person, era) as shop:
        receipt = await shop.receipt(purchase)
        assert receipt["status"] == "charged"
        assert Decimal(receipt["charged"]) == purchase.price
        assert Decimal(receipt["balance"]) == sandbox.balance
        assert len(person.asked) == 1
        assert len(shop.writes) == 1
        assert [charge.amount for charge in charges(sandbox, purchase)] == [purchase.price]
        assert (await shop.only_entry()).decided_by == "elicitation"


@pytest.mark.parametrize(("answer", "status"), [(DECLINE, "declined"), (CANCEL, "cancelled")], ids=["no", "closed"])
@pytest.mark.parametrize(("purchase", "era"), in_turn())
async def test_a_no_charges_nothing_and_is_an_ordinary_answer(
    sandbox: Sandbox, data_dir: Path, purchase: Purchase, era: Era, answer: ElicitResult, status: str
) -> None:
    async with connected(sandbox, data_dir, Person(answer), era) as shop:
        assert (await shop.receipt(purchase))["status"] == status
        assert shop.writes == []
        assert sandbox.charges == []
        assert (await shop.only_entry()).state == "declined"


@eras
@pytest.mark.parametrize(
    "form", [{"approve": False}, {"approve": "true"}, {"approve": 1}, {"yes": True}, {}, None], ids=str
)
async def test_a_form_without_the_tick_declines(
    sandbox: Sandbox, data_dir: Path, era: Era, form: dict[str, Any] | None
) -> None:
    async with connected(sandbox, data_dir, Person(ElicitResult(action="accept", content=form)), era) as shop:
        assert (await shop.receipt(BUY_NUMBER))["status"] == "declined"
        assert shop.writes == []


@eras
async def test_a_declined_purchase_is_asked_anew_when_it_is_called_again(
    sandbox: Sandbox, data_dir: Path, era: Era
) -> None:
    person = Person(APPROVE, answers=[DECLINE])
    async with connected(sandbox, data_dir, person, era) as shop:
        assert (await shop.receipt(BUY_NUMBER))["status"] == "declined"
        assert (await shop.receipt(BUY_NUMBER))["status"] == "charged"
        assert len(person.asked) == 2
        assert await shop.states() == ["declined", "charged"]


@eras
async def test_a_second_equal_purchase_is_asked_anew_and_says_that_there_was_one(
    sandbox: Sandbox, data_dir: Path, era: Era
) -> None:
    person = approver()
    async with connected(sandbox, data_dir, person, era) as shop:
        first, second = await shop.receipt(BUY_NUMBER), await shop.receipt(BUY_NUMBER)
        assert first["spending_id"] != second["spending_id"]
        assert "The same action was carried out" not in person.asked[0]
        assert f"for 4.00 USD ({first['spending_id']})" in person.asked[1]
        assert len(charges(sandbox, BUY_NUMBER)) == 2


@eras
async def test_an_expired_question_charges_nothing_whatever_the_answer(
    sandbox: Sandbox, data_dir: Path, era: Era
) -> None:
    clock, person = MovingClock(), approver()
    person.before_answering = lambda: clock.correct(FREEZE_SECONDS)
    async with connected(sandbox, data_dir, person, era, clock) as shop:
        receipt = await shop.receipt(BUY_NUMBER)
        assert receipt["status"] == "expired"
        assert shop.writes == []
        assert (await shop.only_entry()).state == "expired"


async def test_an_approval_is_good_for_ten_minutes_from_the_quote(sandbox: Sandbox, data_dir: Path) -> None:
    clock = MovingClock()
    async with connected(sandbox, data_dir, None, clock=clock, confirm_wait=0) as shop:
        assert (await shop.receipt(BUY_NUMBER))["status"] == "approval_required"
        entry = await shop.only_entry()
        assert entry.expires_at - entry.quoted_at == FREEZE_SECONDS == 600
        assert await shop.gate.journal.decide(entry.id, "approve", by="page")
        clock.advance(601)
        assert (await shop.receipt(BUY_NUMBER))["status"] == "approval_required"
        assert shop.writes == []
        assert sorted(await shop.states()) == ["expired", "quoted"]


@eras
async def test_the_answer_of_a_person_who_was_overtaken_by_another_word_counts_for_nothing(
    sandbox: Sandbox, data_dir: Path, era: Era
) -> None:
    """Declined on the page while the client's own question was open."""

    class Overtaken(Person):
        async def __call__(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
            assert await shop.gate.journal.decide((await shop.only_entry()).id, "decline", by="page")
            return APPROVE

    async with connected(sandbox, data_dir, Overtaken(APPROVE), era) as shop:
        assert (await shop.receipt(BUY_NUMBER))["status"] == "declined"
        assert sandbox.charges == []


@eras
async def test_a_charge_that_differs_from_the_quote_is_told_to_the_person(
    sandbox: Sandbox, data_dir: Path, era: Era
) -> None:
    person = approver()
    person.before_answering = lambda: sandbox.state.reprice(lambda price: price + 1)
    async with connected(sandbox, data_dir, person, era) as shop:
        receipt = await shop.receipt(BUY_NUMBER)
        assert receipt["status"] == "charged"
        assert receipt["price"].startswith("4.00 USD")
        assert receipt["charged"] == "5.00"
        assert "Tell the person: 5.00 USD was charged, 1.00 USD more than quoted" in receipt["note"]


@eras
async def test_ten_equal_calls_at_once_ask_once_and_end_in_one_charge_that_all_are_told(
    sandbox: Sandbox, data_dir: Path, era: Era
) -> None:
    person = approver()
    async with connected(sandbox, data_dir, person, era) as shop:
        receipts = await asyncio.gather(*(shop.receipt(BUY_NUMBER) for _ in range(10)))
        assert len(person.asked) == 1
        assert {receipt["status"] for receipt in receipts} == {"charged"}
        assert len({receipt["spending_id"] for receipt in receipts}) == 1
        assert len(charges(sandbox, BUY_NUMBER)) == 1


@eras
async def test_two_servers_that_share_a_store_carry_out_one_approval_once(
    sandbox: Sandbox, data_dir: Path, era: Era
) -> None:
    async with (
        connected(sandbox, data_dir, None, era, confirm_wait=60) as one,
        connected(sandbox, data_dir, None, era, confirm_wait=60) as two,
    ):
        calls = [asyncio.create_task(shop.receipt(BUY_NUMBER)) for shop in (one, two) for _ in range(3)]
        await until(one.entries, seconds=20, what="the question")
        assert await one.gate.journal.decide((await one.only_entry()).id, "approve", by="terminal")
        receipts = await asyncio.gather(*calls)
        assert {receipt["status"] for receipt in receipts} == {"charged"}
        assert len(charges(sandbox, BUY_NUMBER)) == 1
