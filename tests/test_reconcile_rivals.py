"""What became of a lost request, where other things happen on the account at the same time."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any, cast

import pytest
from examples import number
from harness import Connected, charges
from lost_answers import charged, graced, look, lose
from purchases import (
    BUY_NUMBER,
    BUY_PROXIES,
    CREATE_WHITE,
    REGISTER,
    RENEW_NUMBER,
    RESTORE,
    SEND_SMS,
    VERIFY,
    Purchase,
)

from piv_mcp.sandbox import Sandbox
from piv_mcp.sandbox.failures import Kind
from piv_mcp.spending import actions
from piv_mcp.spending.reconcile.reconciler import ABSENT_SECONDS, LONG_GRACE_SECONDS

pytestmark = pytest.mark.usefixtures("instant_retries")


async def test_one_new_number_settles_the_purchase_that_it_fits_and_not_the_other(shop: Connected) -> None:
    """Two unknown purchases, one of which happened."""
    for first_kind, second_kind, states in (
        ("drop_after", "drop_before", {"1": "charged", "3": "not_charged"}),
        ("drop_before", "drop_after", {"1": "not_charged", "3": "charged"}),
    ):
        await lose(shop, BUY_NUMBER, cast("Kind", first_kind), duration_months=1)
        await lose(shop, BUY_NUMBER, cast("Kind", second_kind), duration_months=3)
        await look(shop)
        await graced(shop, LONG_GRACE_SECONDS)
        newest = (await shop.entries())[:2]
        found = {entry.arguments.partition('duration_months":')[2][0]: entry.state for entry in newest}
        assert found == states
        for entry in newest:
            await shop.gate.journal.report(entry.id)


async def test_one_moved_expiry_settles_the_renewal_that_it_fits_and_not_the_other(shop: Connected) -> None:
    await lose(shop, RENEW_NUMBER, "drop_before", duration_months=1)
    await lose(shop, RENEW_NUMBER, "drop_after", duration_months=3)
    await look(shop)
    assert await graced(shop, LONG_GRACE_SECONDS) != ["charged", "charged"]
    assert (await shop.states())[1] == "charged"
    await graced(shop)
    assert len(charges(shop.sandbox, RENEW_NUMBER)) == 1
    assert (await shop.states())[0] != "charged"


async def test_a_renewal_that_was_bought_afterwards_does_not_stand_for_the_lost_one(shop: Connected) -> None:
    await lose(shop, RENEW_NUMBER, "drop_before", duration_months=1)
    assert (await shop.receipt(RENEW_NUMBER, duration_months=3))["status"] == "charged"
    assert await graced(shop) == ["not_charged", "charged"]


async def test_both_renewals_are_found_when_both_happened(shop: Connected) -> None:
    await lose(shop, RENEW_NUMBER, "drop_after", duration_months=1)
    assert (await shop.receipt(RENEW_NUMBER, duration_months=3))["status"] == "charged"
    assert await look(shop) == ["charged", "charged"]
    assert await charged(shop) == [Decimal("4.00"), Decimal("12.00")]


async def test_a_purchase_in_between_is_not_taken_for_the_lost_one(shop: Connected) -> None:
    """Another number of the same country, bought and answered while the first is unknown."""
    await lose(shop, BUY_NUMBER, "drop_before")
    assert (await shop.receipt(BUY_NUMBER, custom_name="Other"))["status"] == "charged"
    assert await graced(shop) == ["not_charged", "charged"]


async def test_what_another_action_took_is_not_taken_for_the_lost_one_s(shop: Connected) -> None:
    await lose(shop, VERIFY, "drop_before")
    assert (await shop.receipt(BUY_NUMBER))["status"] == "charged"
    assert await graced(shop, ABSENT_SECONDS) == ["not_charged", "charged"]


async def test_a_verification_is_found_by_its_message_though_another_action_moved_the_balance(shop: Connected) -> None:
    await lose(shop, VERIFY, "drop_after")
    assert (await shop.receipt(BUY_NUMBER))["status"] == "charged"
    shop.sandbox.advance(timedelta(minutes=1))
    assert await look(shop) == ["charged", "charged"]
    assert await charged(shop) == [Decimal("1.00"), Decimal("4.00")]


async def test_a_message_that_another_action_sent_is_not_taken_for_a_verification_s(shop: Connected) -> None:
    await lose(shop, VERIFY, "drop_before")
    assert (await shop.receipt(SEND_SMS))["status"] == "charged"
    assert await look(shop) == ["unknown", "charged"]
    assert await graced(shop, ABSENT_SECONDS) == ["not_charged", "charged"]


async def test_two_verifications_of_which_one_happened_are_not_told_apart_by_a_guess(shop: Connected) -> None:
    await lose(shop, VERIFY, "drop_after")
    await lose(shop, VERIFY, "drop_before", gv_url="https://gv.google.com/other")
    await look(shop)
    assert await graced(shop, LONG_GRACE_SECONDS) != ["charged", "charged"]
    assert "not_charged" not in (await shop.states())[:1]


async def test_two_lost_verifications_neither_of_which_happened_are_both_settled(shop: Connected) -> None:
    await lose(shop, VERIFY, "drop_before")
    await lose(shop, VERIFY, "drop_before", gv_url="https://gv.google.com/other")
    assert await graced(shop, ABSENT_SECONDS) == ["not_charged", "not_charged"]


def auto_renew(sandbox: Sandbox, name: str) -> None:
    """Let the auto-renewal of a number fall due and be charged."""
    item = next(item for item in sandbox.state.numbers.values() if item.custom_name == name)
    before = len(sandbox.charges)
    country = cast("dict[str, Any]", sandbox.state.countries)[item.country_code]
    sandbox.state.ledger.charge("number.auto_renew", item.piv_num_id, country.price_per_month)
    item.expires_at += timedelta(days=30)
    assert len(sandbox.charges) == before + 1


async def test_an_auto_renewal_of_the_same_price_is_not_taken_for_a_lost_purchase(shop: Connected) -> None:
    await lose(shop, BUY_NUMBER, "drop_before")
    auto_renew(shop.sandbox, "Office line")
    assert await graced(shop, LONG_GRACE_SECONDS) == ["unknown"]  # a person settles it


async def test_an_auto_renewal_in_between_does_not_hide_a_purchase_nor_inflate_its_charge(shop: Connected) -> None:
    await lose(shop, BUY_NUMBER, "drop_after")
    auto_renew(shop.sandbox, "Ads")
    assert await look(shop) == ["charged"]
    assert await charged(shop) == [None]  # 7.00 are gone, 4.00 were quoted: how much was whose is not known
    told = await shop.receipt(BUY_NUMBER)
    assert "charged" not in told
    assert "compare the balance and tell the person" in told["note"]
    assert "7.00 USD" in told["evidence"]


async def test_a_small_auto_renewal_does_not_keep_a_dearer_purchase_unknown(shop: Connected) -> None:
    await lose(shop, BUY_NUMBER, "drop_before", duration_months=12)
    auto_renew(shop.sandbox, "Ads")
    assert await graced(shop) == ["unknown"]
    assert await graced(shop, LONG_GRACE_SECONDS) == ["not_charged"]


async def test_after_an_hour_absence_speaks_alone(shop: Connected) -> None:
    await lose(shop, BUY_NUMBER, "drop_before")
    auto_renew(shop.sandbox, "Office line")
    assert await graced(shop, ABSENT_SECONDS / 2) == ["unknown"]
    assert await graced(shop, ABSENT_SECONDS / 2) == ["not_charged"]


async def test_an_auto_renewal_that_was_due_is_not_taken_for_the_lost_renewal_of_the_same_number(
    shop: Connected,
) -> None:
    item = next(item for item in shop.sandbox.state.numbers.values() if item.custom_name == "Ads")
    item.expires_at = shop.sandbox.now + timedelta(hours=25)
    await lose(shop, RENEW_NUMBER, "drop_before", piv_num_id=item.piv_num_id, duration_months=1)
    auto_renew(shop.sandbox, "Ads")
    assert await graced(shop, LONG_GRACE_SECONDS) == ["unknown"]


@pytest.mark.parametrize("kind", ["drop_after", "drop_before"])
async def test_a_refund_of_something_else_does_not_mislead(shop: Connected, kind: Kind) -> None:
    await lose(shop, BUY_NUMBER, kind)
    shop.sandbox.state.ledger.refund("white.create", "some-white", Decimal("3.00"))
    states = await graced(shop, LONG_GRACE_SECONDS)
    assert states == (["charged"] if kind == "drop_after" else ["not_charged"])


async def test_one_object_settles_one_entry_though_both_looked_before_either_was_settled(
    shop: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes reconcile at the same time, and the number fits both purchases."""

    async def stale() -> frozenset[str]:
        return frozenset()

    await lose(shop, BUY_NUMBER, "drop_before", custom_name="Two")
    await lose(shop, BUY_NUMBER, "drop_after", custom_name="One")
    bought = next(item for item in shop.sandbox.state.numbers.values() if item.custom_name == "One")
    bought.custom_name = None
    monkeypatch.setattr(shop.gate.journal, "made", stale)
    await asyncio.gather(*(shop.gate.reconciler.reconcile(entry) for entry in await shop.entries()))
    assert sorted(await shop.states()) == ["charged", "unknown"]


async def test_a_number_that_a_purchase_still_under_way_may_have_made_settles_no_other(shop: Connected) -> None:
    """Two purchases that the number fits: one is lost, and the answer to the other has not come yet."""
    lost = await lose(shop, BUY_NUMBER, "drop_before")
    receipt = await shop.receipt(BUY_NUMBER, custom_name="Other")
    bought = next(item for item in shop.sandbox.state.numbers.values() if item.custom_name == "Other")
    bought.custom_name = None
    journal = shop.gate.journal
    other = await journal.get(receipt["spending_id"])
    assert other is not None

    async def put(state: str) -> None:
        """The answer to the other purchase has come, or not yet."""
        open_ = state == "executing"
        result, settled_at = (None, None) if open_ else (other.result, other.settled_at)
        await journal.store.write(
            lambda c: c.execute(
                "UPDATE spending SET state = ?, result = ?, settled_at = ?, owner = ? WHERE id = ?",
                (state, result, settled_at, f"{journal.owner}:another", other.id),
            )
        )

    await put("executing")
    assert await look(shop) == ["unknown", "executing"]
    await put("charged")
    assert await graced(shop) == ["not_charged", "charged"]
    assert (await journal.reload(lost)).charged is None


async def test_a_fall_of_the_balance_that_another_lost_action_may_have_caused_confirms_no_event(
    shop: Connected,
) -> None:
    slow = replace(shop.sandbox.timing, verify=9999)
    shop.sandbox.timing = shop.sandbox.state.timing = slow
    await lose(shop, VERIFY, "drop_before")
    await lose(shop, BUY_NUMBER, "drop_after")
    cast("dict[str, Any]", shop.sandbox.state.numbers).pop(charges(shop.sandbox, BUY_NUMBER)[0].id)
    await shop.tell("verify.completed", piv_num_id=number(shop.sandbox))
    assert await look(shop) == ["unknown", "unknown"]


async def test_a_charge_that_came_while_the_balance_was_read_is_nobody_else_s(shop: Connected) -> None:
    """Whether the balance from before the request holds that charge cannot be told."""
    slow = replace(shop.sandbox.timing, verify=9999)
    shop.sandbox.timing = shop.sandbox.state.timing = slow
    assert (await shop.receipt(BUY_NUMBER))["status"] == "charged"
    shop.advance(60)
    lost = await lose(shop, VERIFY, "drop_before")
    settled_at = (await shop.entries())[1].settled_at
    assert settled_at is not None
    before = json.loads(lost.before or "")
    before["balance"] = str(Decimal(before["balance"]) + BUY_NUMBER.price)
    before["read"] = {"began": settled_at - 1, "ended": settled_at + 1}
    await shop.gate.journal.store.write(
        lambda c: c.execute("UPDATE spending SET before = ? WHERE id = ?", (json.dumps(before), lost.id))
    )
    await shop.tell("verify.completed", piv_num_id=number(shop.sandbox))
    assert await look(shop) == ["charged", "unknown"]
    assert await graced(shop, ABSENT_SECONDS) == ["charged", "unknown"], "nor is the balance certainly unchanged"


OTHERS: list[Any] = [
    pytest.param(BUY_NUMBER, {"duration_months": 2}, id="period of a number"),
    pytest.param(BUY_NUMBER, {"auto_renew": True}, id="auto-renewal of a number"),
    pytest.param(BUY_NUMBER, {"custom_name": "Other"}, id="name of a number"),
    pytest.param(BUY_PROXIES, {"quantity": 3}, id="quantity of proxies"),
    pytest.param(BUY_PROXIES, {"months": 4}, id="period of proxies"),
    pytest.param(CREATE_WHITE, {"name": "Another"}, id="name of a site"),
    pytest.param(CREATE_WHITE, {"niche": "Cooking"}, id="niche of a site"),
    pytest.param(CREATE_WHITE, {"quality": "premium"}, id="quality of a site"),
    pytest.param(REGISTER, {"auto_renew": True}, id="auto-renewal of a domain"),
    pytest.param(REGISTER, {"period": 2}, id="period of a domain"),
    pytest.param(SEND_SMS, {"message_body": "hello"}, id="text of a message"),
    pytest.param(SEND_SMS, {"to_number": "+14155551235"}, id="recipient of a message"),
]


@pytest.mark.parametrize(("purchase", "changed"), OTHERS)
async def test_what_another_client_of_the_account_made_does_not_stand_for_what_it_does_not_fit(
    shop: Connected, purchase: Purchase, changed: dict[str, Any]
) -> None:
    entry = await lose(shop, purchase, "drop_before")
    other = actions.load(purchase.tool, entry.arguments)
    fields = {**other.request.model_dump(exclude_none=True), **changed}  # type: ignore[attr-defined]
    request = type(other.request).model_validate(fields)  # type: ignore[attr-defined]
    await other.model_copy(update={"request": request}).send(shop.gate.reconciler._sources)  # pyright: ignore[reportPrivateUsage]
    assert len(shop.writes) == 2
    assert await look(shop) == ["unknown"]


@pytest.mark.parametrize("purchase", [BUY_NUMBER, BUY_PROXIES, CREATE_WHITE, REGISTER, SEND_SMS], ids=str)
async def test_what_fits_is_taken_for_the_lost_one_s(shop: Connected, purchase: Purchase) -> None:
    """The same, without a difference: so each difference above is what decides."""
    entry = await lose(shop, purchase, "drop_before")
    await actions.load(purchase.tool, entry.arguments).send(shop.gate.reconciler._sources)  # pyright: ignore[reportPrivateUsage]
    assert await look(shop) == ["charged"]


async def test_two_lost_restores_that_share_a_number_are_not_told_apart_by_a_guess(shop: Connected) -> None:
    (shared,) = RESTORE.arguments(shop.sandbox)["piv_num_ids"]
    await lose(shop, RESTORE, "drop_before")
    await lose(shop, RESTORE, "drop_after", piv_num_ids=[shared, *shop.sandbox.add_numbers(1)])
    assert await look(shop) == ["unknown", "unknown"]


async def test_a_message_that_a_lost_purchase_may_have_sent_is_not_taken_for_a_verification_s(shop: Connected) -> None:
    """Both are unknown, and the verification is looked at first."""
    await lose(shop, VERIFY, "drop_before")
    await lose(shop, SEND_SMS, "drop_after")
    assert await look(shop) == ["unknown", "charged"]
    assert await charged(shop) == [None, SEND_SMS.price]


async def test_one_message_is_not_enough_to_tell_which_of_two_lost_verifications_happened(shop: Connected) -> None:
    await lose(shop, VERIFY, "drop_before")
    await lose(shop, VERIFY, "drop_after", gv_url="https://gv.google.com/other")
    shop.sandbox.advance(timedelta(minutes=1))
    assert await look(shop) == ["unknown", "unknown"]
