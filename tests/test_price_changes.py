"""Nothing is sent once it is dearer than what a person saw, and no listed nonsense passes for a price."""

import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from examples import domain, record
from harness import (
    APPROVE,
    ERAS,
    Era,
    Person,
    approver,
    charges,
    connected,
    decliner,
    text_of,
)
from moving_clock import MovingClock
from purchases import (
    BUY_NUMBER,
    COMMITMENTS,
    PURCHASES,
    REGISTER,
    RESTORE,
    SEND_SMS,
    VERIFY,
    Purchase,
    at_each_write,
    given,
)

from piv_mcp.api.readings import RECENT_SECONDS
from piv_mcp.sandbox import Failure, Sandbox
from piv_mcp.sandbox.failures import Outcome
from piv_mcp.sandbox.service import Incoming

pytestmark = pytest.mark.usefixtures("instant_retries")

LISTED = [purchase for purchase in PURCHASES if purchase is not VERIFY]
"""All but verifications, which have no listed price."""

BUDGET: dict[str, Any] = {
    "spend_mode": "budget",
    "auto_approve_max": 100,
    "daily_budget": 1000,
    "confirm_channel": "elicit",
}


def ten_times(price: Decimal) -> Decimal:
    return price * 10


def cheaper(price: Decimal) -> Decimal:
    return price / 2


def reading_person(sandbox: Sandbox, clock: MovingClock, change: Callable[[], object]) -> Person:
    """Approves after a while, in which the prices change."""

    def wait() -> None:
        clock.advance(RECENT_SECONDS)
        change()

    person = approver()
    person.before_answering = wait
    return person


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("purchase", LISTED, ids=str)
async def test_what_became_dearer_after_the_question_is_not_sent_and_is_asked_anew(
    sandbox: Sandbox, data_dir: Path, purchase: Purchase, era: Era
) -> None:
    sandbox.balance = Decimal(1000)
    clock = MovingClock()
    person = reading_person(sandbox, clock, lambda: sandbox.state.reprice(ten_times))
    async with connected(sandbox, data_dir, person, era, clock) as shop:
        receipt = await shop.receipt(purchase)
        assert receipt["status"] == "price_changed"
        assert "Nothing was sent and nothing charged" in receipt["note"]
        assert shop.writes == []
        assert sandbox.charges == []
        assert await shop.states() == ["price_changed"]
        person.before_answering = None
        again = await shop.receipt(purchase)
        assert again["status"] == "charged"
        assert receipt["price"] == again["price"], "the new price was told"
        assert len(person.asked) == 2
        assert charges(sandbox, purchase)[0].amount == 10 * purchase.price


@pytest.mark.parametrize("purchase", LISTED, ids=str)
async def test_what_became_cheaper_is_sent(sandbox: Sandbox, data_dir: Path, purchase: Purchase) -> None:
    clock = MovingClock()
    person = reading_person(sandbox, clock, lambda: sandbox.state.reprice(cheaper))
    async with connected(sandbox, data_dir, person, clock=clock) as shop:
        assert (await shop.receipt(purchase))["status"] == "charged"
        assert charges(sandbox, purchase)[0].amount < purchase.price


def no_longer_for_sale(sandbox: Sandbox) -> None:
    sandbox.state.countries.clear()


def unreadable(sandbox: Sandbox) -> None:
    sandbox.fail_next(Failure(kind="status", method="GET", path="/numbers/countries", times=None))


def without_price(sandbox: Sandbox) -> None:
    body = '{"success": true, "data": [{"country_code": "SE", "price_per_month": null}]}'
    sandbox.fail_next(
        Failure(kind="status_after", method="GET", path="/numbers/countries", status=200, body=body, times=None)
    )


@pytest.mark.parametrize("change", [no_longer_for_sale, unreadable, without_price])
@pytest.mark.parametrize("era", ERAS)
async def test_a_price_that_can_no_longer_be_read_sends_nothing(
    sandbox: Sandbox, data_dir: Path, change: Callable[[Sandbox], None], era: Era
) -> None:
    clock = MovingClock()
    person = reading_person(sandbox, clock, lambda: change(sandbox))
    async with connected(sandbox, data_dir, person, era, clock) as shop:
        receipt = await shop.receipt(BUY_NUMBER)
        assert receipt["status"] == "price_changed"
        assert shop.writes == []
        assert await shop.states() == ["price_changed"]


async def test_a_price_that_rises_while_the_account_is_read_is_noticed(sandbox: Sandbox, data_dir: Path) -> None:
    """The look before the request takes so long that the listing is old again."""
    clock = MovingClock()
    person = reading_person(sandbox, clock, lambda: None)
    async with connected(sandbox, data_dir, person, clock=clock) as shop:
        answer = sandbox.answer

        def slow(incoming: Incoming) -> Outcome:
            if incoming.raw_path.endswith("/numbers") and person.asked:
                clock.advance(RECENT_SECONDS)
                sandbox.state.reprice(ten_times)
            return answer(incoming)

        sandbox.answer = slow
        assert (await shop.receipt(BUY_NUMBER))["status"] == "price_changed"
        assert shop.writes == []


GONE = [
    ("purchase_proxies", "servers"),
    ("renew_proxy_order", "orders"),
    ("renew_number", "numbers"),
    ("create_white", "tiers"),
    ("renew_domain", "domains"),
]


@pytest.mark.parametrize(("tool", "what"), GONE)
async def test_what_is_gone_is_not_sent_for_and_ends(sandbox: Sandbox, data_dir: Path, tool: str, what: str) -> None:
    purchase = next(purchase for purchase in PURCHASES if purchase.tool == tool)
    clock = MovingClock()
    person = reading_person(sandbox, clock, lambda: getattr(sandbox.state, what).clear())
    async with connected(sandbox, data_dir, person, clock=clock) as shop:
        assert (await shop.receipt(purchase))["status"] == "price_changed"
        assert shop.writes == []


@pytest.mark.parametrize(("tool", "method", "arguments"), COMMITMENTS)
async def test_a_later_charge_that_became_dearer_is_asked_anew(
    sandbox: Sandbox, data_dir: Path, tool: str, method: str, arguments: dict[str, Any]
) -> None:
    """Auto-renewal: nothing is charged now, and what will be has its price in the question."""
    clock = MovingClock()
    person = reading_person(sandbox, clock, lambda: sandbox.state.reprice(ten_times))
    async with connected(sandbox, data_dir, person, clock=clock) as shop:
        receipt = await shop.ok(tool, **given(sandbox, arguments))
        assert receipt["status"] == "price_changed"
        assert re.search("(40|125).00 USD every", receipt["note"])
        assert method not in {request.method for request in sandbox.requests}


async def test_a_floor_that_rose_is_asked_anew(sandbox: Sandbox, data_dir: Path) -> None:
    """Restoring has no price of its own, but costs more than a month's rent."""
    clock = MovingClock()
    person = reading_person(sandbox, clock, lambda: sandbox.state.reprice(lambda price: price + 1))
    async with connected(sandbox, data_dir, person, clock=clock) as shop:
        assert "at least 5.00 USD" in (await shop.receipt(RESTORE))["price"]
        assert shop.writes == []


async def test_an_approval_given_in_the_terminal_is_held_to_its_price_too(sandbox: Sandbox, data_dir: Path) -> None:
    clock = MovingClock()
    async with connected(sandbox, data_dir, None, clock=clock, confirm_wait=0, confirm_channel="elicit") as shop:
        assert (await shop.receipt(BUY_NUMBER))["status"] == "approval_required"
        await shop.gate.journal.decide((await shop.only_entry()).id, "approve", by="terminal")
        clock.advance(RECENT_SECONDS)
        sandbox.state.reprice(ten_times)
        receipt = await shop.receipt(BUY_NUMBER)
        assert receipt["status"] == "price_changed"
        assert receipt["price"].startswith("40.00 USD")
        assert shop.writes == []


# --- what else may change between the question and the request


async def test_what_was_approved_is_sent_and_not_the_same_in_other_words(sandbox: Sandbox, data_dir: Path) -> None:
    async with connected(sandbox, data_dir, None, confirm_wait=0, confirm_channel="elicit") as shop:
        await shop.receipt(SEND_SMS, message_body="Hello")
        await shop.gate.journal.decide((await shop.only_entry()).id, "approve", by="terminal")
        assert (await shop.receipt(SEND_SMS, message_body="Hello" + " " * 1500))["charged"] == "0.25"
        (request,) = shop.writes
        assert request.body == {"to_number": "+14155551234", "message_body": "Hello"}


async def test_one_listing_that_is_gone_is_not_hidden_by_the_sum_of_several(sandbox: Sandbox, data_dir: Path) -> None:
    clock = MovingClock()

    def change() -> None:
        sandbox.state.reprice(lambda price: price + Decimal("0.50"))
        del sandbox.state.countries["SE"]

    person = reading_person(sandbox, clock, change)
    (expired,) = RESTORE.arguments(sandbox)["piv_num_ids"]
    (other,) = sandbox.add_numbers(1, country="GB", expires_in=timedelta(seconds=-60))
    async with connected(sandbox, data_dir, person, clock=clock) as shop:
        receipt = await shop.receipt(RESTORE, piv_num_ids=[expired, other])
        assert receipt["status"] == "price_changed"
        assert shop.writes == []


async def test_a_smaller_order_at_a_higher_price_each_is_asked_anew(sandbox: Sandbox, data_dir: Path) -> None:
    clock = MovingClock()
    renew = next(purchase for purchase in PURCHASES if purchase.tool == "renew_proxy_order")
    id_ = renew.arguments(sandbox)["order_id"]

    def change() -> None:
        sandbox.state.reprice(lambda price: price * 2)
        sandbox.state.orders[id_].quantity = 1

    person = reading_person(sandbox, clock, change)
    async with connected(sandbox, data_dir, person, clock=clock) as shop:
        assert (await shop.receipt(renew))["status"] == "price_changed"
        assert shop.writes == []


async def test_a_record_that_is_another_by_now_is_not_deleted(sandbox: Sandbox, data_dir: Path) -> None:
    clock = MovingClock()
    ids = {"domain_id": domain(sandbox), "record_id": record(sandbox)}

    def change() -> None:
        sandbox.state.domains[ids["domain_id"]].records[0].content = "9.9.9.9"

    person = reading_person(sandbox, clock, change)
    async with connected(sandbox, data_dir, person, clock=clock) as shop:
        receipt = await shop.ok("delete_dns_record", **ids)
        assert receipt["status"] == "price_changed"
        assert "no longer what was shown" in receipt["note"]
        assert shop.writes == []


async def test_a_purchase_that_would_have_to_wait_is_not_sent_later_at_another_price(
    sandbox: Sandbox, data_dir: Path
) -> None:
    sandbox.fail_next(Failure(kind="rate_limited", method="POST", path=BUY_NUMBER.path, retry_after=10))
    async with connected(sandbox, data_dir, None, clock=MovingClock(), **BUDGET) as shop:
        assert "RATE_LIMITED" in text_of(await shop.buy(BUY_NUMBER))
        assert len(shop.writes) == 1
        assert sandbox.charges == []


async def test_what_a_dead_process_sent_blocks_the_budget_at_once(sandbox: Sandbox, data_dir: Path) -> None:
    async with connected(sandbox, data_dir, None, **BUDGET) as alive:
        async with connected(sandbox, data_dir, None, confirm_wait=0, confirm_channel="elicit") as shop:
            await shop.receipt(BUY_NUMBER)
            entry = await shop.only_entry()
            journal = shop.gate.journal
            await journal.decide(entry.id, "approve", by="terminal")
            journal.owner = "999999999:1"
            assert await journal.claim(entry.id, "{}")
        assert "OUTCOME_UNKNOWN" in text_of(await alive.buy(BUY_NUMBER))
        assert alive.writes == []


# --- a charge above the quote


async def test_after_a_charge_above_the_quote_the_budget_asks_for_that_kind(sandbox: Sandbox, data_dir: Path) -> None:
    """The price rose between the look at it and the request, which nothing can prevent."""
    person = decliner()
    async with connected(sandbox, data_dir, person, **BUDGET) as shop:
        rises = iter([1])
        at_each_write(sandbox, lambda: sandbox.state.reprice(lambda price: price + 1) if next(rises, 0) else None)
        receipt = await shop.receipt(BUY_NUMBER)
        assert receipt["charged"] == "5.00"
        assert "Tell the person: 5.00 USD was charged, 1.00 USD more than quoted" in receipt["note"]
        assert (await shop.receipt(BUY_NUMBER, custom_name="another"))["status"] == "declined"
        assert "piv.day charged more than quoted, or an unknown amount" in person.asked[0]
        assert (await shop.receipt(REGISTER))["status"] == "charged", "another kind is not asked"
        budget = (await shop.ok("list_spending"))["budget"]
        assert Decimal(budget["left_today"]) == 1000 - 5 - Decimal("13.50")


async def test_after_a_charge_that_is_not_known_the_budget_asks_for_that_kind(sandbox: Sandbox, data_dir: Path) -> None:
    """The price rose with the request, and the answer was lost: the fall of the balance may be another client's too."""
    person = decliner()
    async with connected(sandbox, data_dir, person, clock=MovingClock(), **BUDGET) as shop:
        rises = iter([1])
        at_each_write(sandbox, lambda: sandbox.state.reprice(lambda price: price + 1) if next(rises, 0) else None)
        sandbox.fail_next(Failure(kind="drop_after", method="POST", path=BUY_NUMBER.path))
        await shop.buy(BUY_NUMBER)
        await shop.settled()
        assert (await shop.only_entry()).charged is None
        assert (await shop.receipt(BUY_NUMBER, custom_name="another"))["status"] == "declined"
        assert "or an unknown amount" in person.asked[0]


# --- listings that hold nonsense


@pytest.mark.parametrize("price", ["0", "-100", "0.00000001"])
@pytest.mark.parametrize("purchase", LISTED, ids=str)
async def test_a_price_that_is_not_positive_is_unknown_and_asked(
    sandbox: Sandbox, data_dir: Path, purchase: Purchase, price: str
) -> None:
    sandbox.state.reprice(lambda _: Decimal(price))
    person = decliner()
    async with connected(sandbox, data_dir, person, **BUDGET) as shop:
        receipt = await shop.receipt(purchase)
        assert receipt["status"] == "declined"
        assert "Price: unknown" in person.asked[0]
        assert "-" not in person.asked[0].splitlines()[0]
        assert shop.writes == []


async def test_a_negative_renewal_price_lowers_no_price_of_several_years(sandbox: Sandbox, data_dir: Path) -> None:
    body = (
        '{"success": true, "data": {"domain": "free-name.com", "available": true, "create_price": 12.5,'
        ' "renew_price": -12.0}}'
    )
    sandbox.fail_next(
        Failure(kind="status_after", method="GET", path="/domains/search", status=200, body=body, times=None)
    )
    person = decliner()
    async with connected(sandbox, data_dir, person, **BUDGET) as shop:
        await shop.receipt(REGISTER, period=2)
        assert person.asked[0].startswith("Price: unknown, at least 12.50 USD")


@pytest.mark.parametrize(("currency", "certainty"), [("EUR", "unknown"), ("usd", "12.50 USD (exact)")])
async def test_a_price_in_another_currency_is_unknown(
    sandbox: Sandbox, data_dir: Path, currency: str, certainty: str
) -> None:
    body = (
        '{"success": true, "data": {"domain": "free-name.com", "available": true, "create_price": 12.5,'
        f' "renew_price": 12.5, "currency": "{currency}"}}}}'
    )
    sandbox.fail_next(
        Failure(kind="status_after", method="GET", path="/domains/search", status=200, body=body, times=None)
    )
    person = decliner()
    async with connected(sandbox, data_dir, person) as shop:
        await shop.receipt(REGISTER)
        assert person.asked[0].startswith(f"Price: {certainty}")


@pytest.mark.parametrize("total", [-1000, -0.01])
async def test_a_negative_charge_in_an_answer_raises_no_budget(sandbox: Sandbox, data_dir: Path, total: float) -> None:
    """The answer of a purchase says what it cost; one that says less than nothing is not believed."""
    proxies = next(purchase for purchase in PURCHASES if purchase.tool == "purchase_proxies")
    body = f'{{"success": true, "data": {{"order": {{"id": "o-1", "price_total": {total}}}}}}}'
    sandbox.fail_next(
        Failure(kind="status_after", method="POST", path=proxies.path, status=201, body=body),
    )
    async with connected(sandbox, data_dir, None, **BUDGET) as shop:
        receipt = await shop.receipt(proxies)
        assert receipt["charged"] == str(proxies.price)
        listed = await shop.ok("list_spending")
        assert Decimal(listed["budget"]["left_today"]) == 1000 - proxies.price
        assert Decimal(listed["charged"]) == proxies.price


async def test_a_charge_below_the_quote_counts_as_the_quote_for_the_budget(sandbox: Sandbox, data_dir: Path) -> None:
    proxies = next(purchase for purchase in PURCHASES if purchase.tool == "purchase_proxies")
    body = '{"success": true, "data": {"order": {"id": "o-1", "price_total": 0}}}'
    sandbox.fail_next(
        Failure(kind="status_after", method="POST", path=proxies.path, status=201, body=body),
    )
    async with connected(sandbox, data_dir, None, **BUDGET) as shop:
        await shop.receipt(proxies)
        assert Decimal((await shop.ok("list_spending"))["budget"]["left_today"]) == 1000 - proxies.price


# --- credits in flight


@pytest.mark.parametrize("credit", ["12.00", "12.50", "100"])
async def test_a_top_up_during_a_purchase_hides_no_charge_from_the_budget(
    sandbox: Sandbox, data_dir: Path, credit: str
) -> None:
    async with connected(sandbox, data_dir, None, **BUDGET) as shop:
        at_each_write(sandbox, lambda: setattr(sandbox, "balance", sandbox.balance + Decimal(credit)))
        receipt = await shop.receipt(REGISTER)
        assert receipt["charged"] == "12.50"
        assert Decimal((await shop.ok("list_spending"))["budget"]["left_today"]) == 1000 - Decimal("12.50")


# --- refusals


REFUSALS = [
    ("INSUFFICIENT_BALANCE", 402, "Top up the balance in the piv.day dashboard"),
    ("NO_NUMBERS_AVAILABLE", 409, "Choose another one, or try again later"),
    ("VALIDATION_ERROR", 400, "Correct the arguments"),
    ("INSUFFICIENT_PERMISSIONS", 403, "The key lacks the scope for this"),
    ("RATE_LIMITED", 429, "Wait a minute, then repeat"),
]


@pytest.mark.parametrize(("code", "status", "hint"), REFUSALS)
@pytest.mark.parametrize("era", ERAS)
async def test_a_refusal_has_the_code_and_the_advice_that_it_has_on_free_tools(
    sandbox: Sandbox, data_dir: Path, code: str, status: int, hint: str, era: Era
) -> None:
    failure = Failure(
        kind="status", method="POST", path=BUY_NUMBER.path, code=code, status=status, message="No", times=None
    )
    async with connected(sandbox, data_dir, Person(APPROVE), era) as shop:
        sandbox.fail_next(failure)
        words = text_of(await shop.buy(BUY_NUMBER))
        assert words.startswith(f"{code}: piv.day refused it: No.")
        assert "nothing charged" in words
        assert hint in words


def test_listed_has_every_priced_purchase() -> None:
    assert len(LISTED) == 10
