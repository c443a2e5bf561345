"""A person says yes, no or nothing, and what the gate makes of their word."""

import asyncio
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from harness import (
    APPROVE,
    CANCEL,
    DECLINE,
    ERAS,
    YES,
    Era,
    Person,
    answered,
    approver,
    ask,
    charges,
    connected,
    decliner,
    pages,
    question,
    reading,
    until,
)
from mcp.client import ClientRequestContext
from mcp.types import ElicitRequestParams, ElicitResult
from moving_clock import MovingClock
from purchases import (
    BUY_NUMBER,
    PURCHASES,
    SEND_SMS,
    Purchase,
    in_turn,
)

from piv_mcp.sandbox import Sandbox
from piv_mcp.spending.approval.channels import READ_SECONDS, ElicitationError
from piv_mcp.spending.approval.channels import Person as Caller
from piv_mcp.spending.approval.flow import ApprovalFlow
from piv_mcp.spending.approval.questions import Questions
from piv_mcp.spending.quote import FREEZE_SECONDS
from piv_mcp.store.journal import Entry

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
async def test_a_form_without_the_tick_declines(sandbox: Sandbox, data_dir: Path, era: Era) -> None:
    unticked = Person(ElicitResult(action="accept", content={"approve": False}))
    async with connected(sandbox, data_dir, unticked, era) as shop:
        assert (await shop.receipt(BUY_NUMBER))["status"] == "declined"
        assert shop.writes == []


MALFORMED: list[tuple[dict[str, Any] | None, str]] = [
    ({"approve": "true"}, "`approve` as str 'true'"),
    ({"approve": "no"}, "`approve` as str 'no'"),
    ({"approve": 1}, "`approve` as int 1"),
    ({"yes": True}, "`approve` as nothing"),
    ({}, "`approve` as nothing"),
    (None, "`approve` as nothing"),
]


@eras
@pytest.mark.parametrize(("form", "words"), MALFORMED, ids=str)
async def test_a_malformed_form_is_no_person_s_yes_and_no_person_s_no(
    sandbox: Sandbox, data_dir: Path, silent_browser: Path, era: Era, form: dict[str, Any] | None, words: str
) -> None:
    person = Person(APPROVE, answers=[ElicitResult(action="accept", content=form)])
    async with connected(sandbox, data_dir, person, era, confirm_wait=60) as shop:
        call = asyncio.create_task(shop.receipt(BUY_NUMBER))
        await until(lambda: pages(silent_browser), seconds=20, what="the page")
        shop.advance(60)
        receipt = await call
        assert receipt["status"] == "approval_required"
        assert words in receipt["note"]
        assert "must be the boolean true or false" in receipt["note"]
        assert shop.writes == []
        assert len(pages(silent_browser)) == 1, "the page asks instead"
        assert (await shop.receipt(SEND_SMS))["status"] == "charged", "and the next is asked in the client"


@eras
async def test_a_closed_question_is_not_called_a_no(sandbox: Sandbox, data_dir: Path, era: Era) -> None:
    async with connected(sandbox, data_dir, Person(CANCEL), era) as shop:
        receipt = await shop.receipt(BUY_NUMBER)
        assert receipt["status"] == "cancelled"
        assert "closed the question without an answer" in receipt["note"]
        assert "declined" not in receipt["note"]


INSTANT = pytest.mark.parametrize("answer", [APPROVE, DECLINE, CANCEL], ids=["accept", "decline", "cancel"])


@eras
@INSTANT
async def test_an_answer_before_anybody_could_read_the_question_is_nobody_s(
    sandbox: Sandbox, data_dir: Path, silent_browser: Path, era: Era, answer: ElicitResult
) -> None:
    person = Person(answer)
    async with connected(sandbox, data_dir, person, era, instant=True, confirm_wait=60) as shop:
        call = asyncio.create_task(shop.receipt(BUY_NUMBER))
        await until(lambda: pages(silent_browser), seconds=20, what="the page")
        shop.advance(60)
        receipt = await call
        assert receipt["status"] == "approval_required"
        assert "answered by itself" in receipt["note"]
        assert "page that was opened" in receipt["note"]
        assert len(pages(silent_browser)) == 1
        assert await shop.states() == ["quoted"]
        assert shop.writes == []
        call = asyncio.create_task(shop.receipt(BUY_NUMBER))
        await until(lambda: call.done() or shop.advance(30), seconds=20, what="the answer")
        assert (await call)["status"] == "approval_required"
        assert len(person.asked) == 1, "the client is not asked about the same purchase again"
        person.read, person.default = reading(shop.services.clock), APPROVE
        assert (await shop.receipt(SEND_SMS))["status"] == "charged", "and is asked about the next"
        assert len(person.asked) == 2
        assert await shop.gate.journal.decide((await shop.entries())[-1].id, "approve", by="page")
        assert (await shop.receipt(BUY_NUMBER))["status"] == "charged"
        assert len(charges(sandbox, BUY_NUMBER)) == 1


@eras
@INSTANT
async def test_without_a_page_an_instant_answer_leaves_the_terminal(
    sandbox: Sandbox, data_dir: Path, silent_browser: Path, era: Era, answer: ElicitResult
) -> None:
    person = Person(answer)
    settings: dict[str, Any] = {"confirm_wait": 0.3, "confirm_channel": "elicit"}
    async with connected(sandbox, data_dir, person, era, instant=True, **settings) as shop:
        for _ in range(2):
            receipt = await shop.receipt(BUY_NUMBER)
            assert receipt["status"] == "approval_required"
            assert "answered by itself" in receipt["note"]
            assert "`piv-mcp approvals`" in receipt["note"]
            assert "page" not in receipt["note"]
        assert len(person.asked) == 1
        assert pages(silent_browser) == []
        assert shop.writes == []


@eras
async def test_after_an_instant_answer_the_call_waits_for_the_page(
    sandbox: Sandbox, data_dir: Path, silent_browser: Path, era: Era
) -> None:
    async with connected(sandbox, data_dir, decliner(), era, instant=True, confirm_wait=60) as shop:
        call = asyncio.create_task(shop.receipt(BUY_NUMBER))
        await until(lambda: pages(silent_browser), seconds=20, what="the page")
        assert await shop.gate.journal.decide((await shop.only_entry()).id, "approve", by="page")
        assert (await asyncio.wait_for(call, 20))["status"] == "charged"


async def test_an_instant_answer_that_is_sent_again_later_counts_no_more_than_before(
    sandbox: Sandbox, data_dir: Path, silent_browser: Path
) -> None:
    async with connected(sandbox, data_dir, approver(), confirm_wait=0) as shop:
        state = await question(shop, BUY_NUMBER)
        first = answered(await ask(shop, BUY_NUMBER, instant=True, request_state=state, input_responses=YES))
        assert first["status"] == "approval_required"
        for _ in range(2):  # a client that repeats its requests
            again = answered(await ask(shop, BUY_NUMBER, request_state=state, input_responses=YES))
            assert again["status"] == "approval_required"
        assert shop.writes == []
        assert await shop.states() == ["quoted"]


async def test_an_answer_that_comes_to_another_process_is_timed_from_the_question(
    sandbox: Sandbox, data_dir: Path
) -> None:
    """Two processes on one store, each with its own memory of what was asked."""
    clock = MovingClock(speed=0)
    async with connected(sandbox, data_dir, None, clock=clock, confirm_wait=0) as shop:
        assert (await shop.receipt(BUY_NUMBER))["status"] == "approval_required"
        entry = await shop.only_entry()
        one, two = (Questions(shop.services.store.everything, clock) for _ in range(2))
        quick, slow = await one.put(entry.id), await one.put(entry.id)
        clock.advance(READ_SECONDS / 2)
        with pytest.raises(ElicitationError, match="by itself"):
            await two.answered(quick)
        clock.advance(READ_SECONDS / 2)
        await two.answered(slow)
        with pytest.raises(ElicitationError, match="by itself"):
            await one.answered(quick)
        for forged in (replace(slow, id="q_0"), replace(slow, entry_id="sp_0000000000"), replace(slow, id="")):
            with pytest.raises(ElicitationError, match="not asked"):
                await two.answered(forged)
        backwards = await one.put(entry.id)
        clock.correct(-3600)
        with pytest.raises(ElicitationError, match="by itself"):
            await two.answered(backwards)


async def test_the_time_that_the_store_takes_is_not_the_person_s(
    sandbox: Sandbox, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = MovingClock(speed=0)
    async with connected(sandbox, data_dir, approver(), clock=clock, instant=True, confirm_wait=0) as shop:
        write = shop.services.store.write

        async def slow(*arguments: Any, **named: Any) -> Any:
            written = await write(*arguments, **named)
            clock.advance(READ_SECONDS)  # a locked store, or a slow disk
            return written

        monkeypatch.setattr(shop.services.store, "write", slow)
        assert (await shop.receipt(BUY_NUMBER))["status"] == "approval_required"
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
    sandbox: Sandbox, data_dir: Path, era: Era, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting: list[Entry] = []
    asks = ApprovalFlow.ask

    async def ask_and_count(flow: ApprovalFlow, entry: Entry, person: Caller) -> Entry:
        waiting.append(entry)
        return await asks(flow, entry, person)

    monkeypatch.setattr(ApprovalFlow, "ask", ask_and_count)
    async with (
        connected(sandbox, data_dir, None, era, confirm_wait=60) as one,
        connected(sandbox, data_dir, None, era, confirm_wait=60) as two,
    ):
        calls = [asyncio.create_task(shop.receipt(BUY_NUMBER)) for shop in (one, two) for _ in range(3)]
        # A call that comes once the purchase is over would be a new purchase.
        await until(lambda: len(waiting) == len(calls), seconds=20, what="all calls at the question")
        assert await one.gate.journal.decide((await one.only_entry()).id, "approve", by="terminal")
        receipts = await asyncio.gather(*calls)
        assert {receipt["status"] for receipt in receipts} == {"charged"}
        assert len(charges(sandbox, BUY_NUMBER)) == 1
