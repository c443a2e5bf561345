"""What became of a lost request, where other things happen on the account at the same time."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest
from examples import number
from harness import Connected, approver, charges, connected, content_of, text_of
from purchases import BUY_NUMBER, CREATE_WHITE, PURCHASES, REGISTER, RENEW_NUMBER, RESTORE, SEND_SMS, VERIFY, Purchase

from piv_mcp.api.numbers import PurchaseNumber
from piv_mcp.api.rate_limit import Priority
from piv_mcp.sandbox import Failure, Sandbox
from piv_mcp.sandbox.failures import Kind
from piv_mcp.spending import journal as journal_module
from piv_mcp.spending.reconcile import reconciler as reconcile
from piv_mcp.spending.reconcile.reconciler import Reconciler
from piv_mcp.spending.reconcile.snapshot import Snapshot
from piv_mcp.store.journal import Entry

pytestmark = pytest.mark.usefixtures("short_waits", "instant_retries", "silent_browser")


@pytest.fixture
async def shop(sandbox: Sandbox, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Connected]:
    """Nothing is reconciled by itself: `look` does it."""

    async def never(self: Reconciler) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Reconciler, "run", never)
    async with connected(sandbox, data_dir, approver()) as shop:
        yield shop


async def lose(shop: Connected, purchase: Purchase, kind: Kind, /, **changed: Any) -> Entry:
    """Lose the answer; nothing has been concluded from it."""
    shop.sandbox.fail_next(Failure(kind=kind, method="POST", path=purchase.path))
    looked = shop.gate.reconciler.reconcile
    shop.gate.reconciler.reconcile = _unlooked  # pyright: ignore[reportAttributeAccessIssue]
    try:
        result = await shop.buy(purchase, **changed)
    finally:
        shop.gate.reconciler.reconcile = looked  # pyright: ignore[reportAttributeAccessIssue]
    assert "OUTCOME_UNKNOWN" in text_of(result)
    return (await shop.entries())[0]


async def _unlooked(entry: Entry) -> Entry:
    return entry


async def look(shop: Connected) -> list[str]:
    """The states after one look at everything that is unknown, the oldest first."""
    await shop.gate.reconciler.reconcile_all()
    return await shop.states()


async def graced(shop: Connected, seconds: float = 0) -> list[str]:
    """Likewise once the grace is over."""
    await asyncio.sleep(max(seconds, reconcile.GRACE_SECONDS) + 0.02)
    return await look(shop)


async def charged(shop: Connected) -> list[Decimal | None]:
    return [None if entry.charged is None else Decimal(entry.charged) for entry in reversed(await shop.entries())]


async def test_while_reads_fail_an_outcome_stays_unknown_and_is_found_later(shop: Connected) -> None:
    await lose(shop, BUY_NUMBER, "drop_after")
    shop.sandbox.fail_next(Failure(kind="status", method="GET", times=None, status=503))
    assert await graced(shop, reconcile.LONG_GRACE_SECONDS) == ["unknown"]
    assert "OUTCOME_UNKNOWN" in text_of(await shop.buy(BUY_NUMBER))
    shop.sandbox.clear_failures()
    assert await look(shop) == ["charged"]
    assert len(shop.writes) == 1


@pytest.mark.parametrize("kind", ["drop_before", "drop_after"])
@pytest.mark.parametrize("purchase", PURCHASES, ids=str)
async def test_while_an_outcome_is_unknown_the_same_call_sends_nothing_and_asks_nobody(
    shop: Connected, purchase: Purchase, kind: Kind
) -> None:
    arguments = purchase.arguments(shop.sandbox)
    await lose(shop, purchase, kind)
    taken = list(shop.sandbox.charges)
    shop.sandbox.fail_next(Failure(kind="status", method="GET", times=None, status=503))  # so that it stays unknown
    results = [await shop.call(purchase.tool, **arguments) for _ in range(2)]
    results += await asyncio.gather(*(shop.call(purchase.tool, **arguments) for _ in range(3)))
    assert all("OUTCOME_UNKNOWN" in text_of(result) for result in results)
    assert await shop.states() == ["unknown"]
    assert len(shop.writes) == 1
    assert shop.sandbox.charges == taken
    assert len(shop.person.asked) == 1


async def test_absence_is_not_believed_before_the_request_can_no_longer_be_on_its_way(
    shop: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "GRACE_SECONDS", 1)
    await lose(shop, BUY_NUMBER, "drop_before")
    assert await look(shop) == ["unknown"]
    assert await graced(shop) == ["not_charged"]
    entry = await shop.only_entry()
    assert entry.evidence is not None
    assert "the balance is unchanged" in entry.evidence


async def test_what_was_taken_for_not_charged_and_comes_late_is_charged_after_all(shop: Connected) -> None:
    """The server answered with an error, and carried the purchase out afterwards."""
    await lose(shop, BUY_NUMBER, "drop_before")
    assert await graced(shop) == ["not_charged"]
    api = shop.gate.reconciler._sources.api  # pyright: ignore[reportPrivateUsage] - as if the first request arrived now
    await api.numbers.purchase(PurchaseNumber.model_validate(BUY_NUMBER.arguments(shop.sandbox)))
    assert await look(shop) == ["charged"]
    entry = await shop.only_entry()
    assert entry.evidence is not None
    assert entry.evidence.startswith("it happened late")
    assert (await shop.receipt(BUY_NUMBER))["note"].startswith("This is the outcome of the earlier call")
    assert len(charges(shop.sandbox, BUY_NUMBER)) == 1


async def test_an_object_that_appears_late_settles_its_purchase(
    shop: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The money has left at once; the list shows the number only later."""
    await lose(shop, BUY_NUMBER, "drop_after")
    numbers = cast("dict[str, Any]", shop.sandbox.state.numbers)
    id_ = charges(shop.sandbox, BUY_NUMBER)[0].id
    late = numbers.pop(id_)
    assert await look(shop) == ["unknown"]
    assert await graced(shop, reconcile.LONG_GRACE_SECONDS) == ["unknown"]
    numbers[id_] = late
    assert await look(shop) == ["charged"]
    assert await charged(shop) == [Decimal("4.00")]


async def test_one_new_number_settles_the_purchase_that_it_fits_and_not_the_other(shop: Connected) -> None:
    """Two unknown purchases, one of which happened."""
    for first_kind, second_kind, states in (
        ("drop_after", "drop_before", {"1": "charged", "3": "not_charged"}),
        ("drop_before", "drop_after", {"1": "not_charged", "3": "charged"}),
    ):
        await lose(shop, BUY_NUMBER, cast("Kind", first_kind), duration_months=1)
        await lose(shop, BUY_NUMBER, cast("Kind", second_kind), duration_months=3)
        await look(shop)
        await graced(shop, reconcile.LONG_GRACE_SECONDS)
        newest = (await shop.entries())[:2]
        found = {entry.arguments.partition('duration_months":')[2][0]: entry.state for entry in newest}
        assert found == states
        for entry in newest:
            await shop.gate.journal.report(entry.id)


async def test_one_moved_expiry_settles_the_renewal_that_it_fits_and_not_the_other(shop: Connected) -> None:
    await lose(shop, RENEW_NUMBER, "drop_before", duration_months=1)
    await lose(shop, RENEW_NUMBER, "drop_after", duration_months=3)
    await look(shop)
    assert await graced(shop, reconcile.LONG_GRACE_SECONDS) != ["charged", "charged"]
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
    """Only the balance tells of a verification."""
    await lose(shop, VERIFY, "drop_before")
    assert (await shop.receipt(BUY_NUMBER))["status"] == "charged"
    assert await graced(shop) == ["not_charged", "charged"]


async def test_a_verification_is_found_by_the_balance_though_another_action_moved_it_too(shop: Connected) -> None:
    await lose(shop, VERIFY, "drop_after")
    assert (await shop.receipt(BUY_NUMBER))["status"] == "charged"
    assert await look(shop) == ["charged", "charged"]
    assert await charged(shop) == [Decimal("1.00"), Decimal("4.00")]


async def test_two_verifications_of_which_one_happened_are_not_told_apart_by_a_guess(shop: Connected) -> None:
    await lose(shop, VERIFY, "drop_after")
    await lose(shop, VERIFY, "drop_before", gv_url="https://gv.google.com/other")
    await look(shop)
    assert await graced(shop, reconcile.LONG_GRACE_SECONDS) != ["charged", "charged"]
    assert "not_charged" not in (await shop.states())[:1]


async def test_two_lost_verifications_neither_of_which_happened_are_both_settled(shop: Connected) -> None:
    await lose(shop, VERIFY, "drop_before")
    await lose(shop, VERIFY, "drop_before", gv_url="https://gv.google.com/other")
    assert await graced(shop) == ["not_charged", "not_charged"]


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
    assert await graced(shop, reconcile.LONG_GRACE_SECONDS) == ["unknown"]  # a person settles it


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
    assert await graced(shop, reconcile.LONG_GRACE_SECONDS) == ["not_charged"]


async def test_after_an_hour_absence_speaks_alone(shop: Connected, monkeypatch: pytest.MonkeyPatch) -> None:
    await lose(shop, BUY_NUMBER, "drop_before")
    auto_renew(shop.sandbox, "Office line")
    monkeypatch.setattr(reconcile, "ABSENT_SECONDS", 0.1)
    assert await graced(shop, 0.1) == ["not_charged"]


async def test_an_auto_renewal_that_was_due_is_not_taken_for_the_lost_renewal_of_the_same_number(
    shop: Connected,
) -> None:
    item = next(item for item in shop.sandbox.state.numbers.values() if item.custom_name == "Ads")
    item.expires_at = shop.sandbox.now + timedelta(hours=25)
    await lose(shop, RENEW_NUMBER, "drop_before", piv_num_id=item.piv_num_id, duration_months=1)
    auto_renew(shop.sandbox, "Ads")
    assert await graced(shop, reconcile.LONG_GRACE_SECONDS) == ["unknown"]


@pytest.mark.parametrize("kind", ["drop_after", "drop_before"])
async def test_a_refund_of_something_else_does_not_mislead(shop: Connected, kind: Kind) -> None:
    await lose(shop, BUY_NUMBER, kind)
    shop.sandbox.state.ledger.refund("white.create", "some-white", Decimal("3.00"))
    states = await graced(shop, reconcile.LONG_GRACE_SECONDS)
    assert states == (["charged"] if kind == "drop_after" else ["not_charged"])


async def test_a_site_that_failed_and_was_refunded_is_found_as_bought(shop: Connected) -> None:
    await lose(shop, CREATE_WHITE, "drop_after", name="will fail")
    assert shop.sandbox.charges[-1].amount < 0
    assert await look(shop) == ["charged"]
    assert "compare the balance" in (await shop.receipt(CREATE_WHITE, name="will fail"))["note"]


async def test_a_site_is_found_though_the_account_writes_its_fields_in_another_case(shop: Connected) -> None:
    await lose(shop, CREATE_WHITE, "drop_after", domain="Example.COM.", niche="GARDENING")
    (white,) = (white for white in shop.sandbox.state.whites.values() if white.name == "A new site")
    white.domain, white.niche, white.country = "Example.com", "Gardening", "de"
    assert await look(shop) == ["charged"]


async def test_the_same_numbers_in_another_order_are_the_same_restore(shop: Connected) -> None:
    ids = [*RESTORE.arguments(shop.sandbox)["piv_num_ids"], *shop.sandbox.add_numbers(1)]
    await lose(shop, RESTORE, "drop_after", piv_num_ids=ids)
    shop.sandbox.fail_next(Failure(kind="status", method="GET", times=None, status=503))  # so that it stays unknown
    assert "OUTCOME_UNKNOWN" in text_of(await shop.buy(RESTORE, piv_num_ids=ids[::-1]))
    assert len(shop.writes) == 1


async def test_a_domain_that_is_still_in_the_queue_is_found_by_its_renewal_price(
    sandbox: Sandbox, data_dir: Path
) -> None:
    sandbox.timing = replace(sandbox.timing, domain=3600)
    sandbox.state.timing = sandbox.timing
    renew_domain = next(purchase for purchase in PURCHASES if purchase.tool == "renew_domain")
    async with connected(sandbox, data_dir, approver()) as shop:
        sandbox.fail_next(Failure(kind="drop_after", method="POST", path=renew_domain.path))
        await shop.buy(renew_domain)
        (entry,) = await shop.settled()
        assert (entry.state, entry.charged) == ("charged", "12.50")
        assert entry.evidence == "the balance fell by 12.50 USD, and no other action explains it"


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


async def test_an_entry_that_cannot_be_understood_does_not_keep_the_others_unknown(shop: Connected) -> None:
    odd = await lose(shop, SEND_SMS, "drop_before")
    await lose(shop, BUY_NUMBER, "drop_after")

    await shop.gate.journal.store.write(
        lambda connection: connection.execute("UPDATE spending SET before = '{}' WHERE id = ?", (odd.id,))
    )
    assert await look(shop) == ["unknown", "charged"]


async def test_an_answer_that_comes_after_all_overrules_what_was_concluded(shop: Connected) -> None:
    """A process that was taken for dead was only slow."""
    entry = await lose(shop, BUY_NUMBER, "drop_before")
    assert await graced(shop) == ["not_charged"]
    late = journal_module.Ending("charged", charged=Decimal("4.00"))
    assert await shop.gate.journal.end(entry.id, late)
    assert await shop.states() == ["charged"]


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
    monkeypatch: pytest.MonkeyPatch,
    purchase: Purchase,
    changed: dict[str, Any],
    event: str,
    cost: Decimal | None,
) -> None:
    monkeypatch.setattr(reconcile, "GRACE_SECONDS", 60)
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


async def test_one_event_settles_one_lost_verification_and_not_the_other(
    shop: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "GRACE_SECONDS", 60)
    for page in ("one", "other"):
        await lose(shop, VERIFY, "drop_before", gv_url=f"https://gv.google.com/{page}")
    await shop.tell("verify.completed", piv_num_id=number(shop.sandbox), task_id=1)
    for _ in range(2):  # however often one looks
        assert sorted(await look(shop)) == ["charged", "unknown"]
    await shop.tell("verify.failed", piv_num_id=number(shop.sandbox), task_id=2)
    assert await look(shop) == ["charged", "charged"]


@pytest.mark.parametrize("outcome", ["verify.completed", "verify.failed"])
async def test_the_event_of_an_answered_verification_settles_no_lost_one(
    shop: Connected, monkeypatch: pytest.MonkeyPatch, outcome: str
) -> None:
    monkeypatch.setattr(reconcile, "GRACE_SECONDS", 60)
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
    shop: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "GRACE_SECONDS", 60)
    await shop.receipt(VERIFY)
    await shop.tell("verify.completed", piv_num_id=number(shop.sandbox), task_id=1)
    await lose(shop, VERIFY, "drop_before", gv_url="https://gv.google.com/other")
    assert await look(shop) == ["charged", "unknown"]
    await shop.tell("verify.completed", piv_num_id=number(shop.sandbox), task_id=2)
    assert await look(shop) == ["charged", "charged"]


async def test_an_event_about_something_else_or_from_before_settles_nothing(
    shop: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "GRACE_SECONDS", 60)
    await shop.tell("verify.completed", piv_num_id=number(shop.sandbox))
    await shop.tell("domain.registered", domain_name="free-name.com")
    await lose(shop, VERIFY, "drop_before")
    await lose(shop, REGISTER, "drop_before")
    await shop.tell("verify.completed", piv_num_id="another")
    await shop.tell("verify.started", piv_num_id=number(shop.sandbox))
    await shop.tell("domain.registered", domain_name="another.com")
    assert await look(shop) == ["unknown", "unknown"]


async def test_reconcile_spending_waits_for_the_grace_and_says_what_it_found(shop: Connected) -> None:
    await lose(shop, BUY_NUMBER, "drop_before")
    await lose(shop, SEND_SMS, "drop_after")
    await asyncio.sleep(reconcile.GRACE_SECONDS)  # whose end makes no difference
    answer = content_of(await shop.call("reconcile_spending"))
    assert {entry["state"] for entry in answer["entries"]} == {"not_charged", "charged"}
    assert answer["unknown"] == 0
    assert all(entry["evidence"] for entry in answer["entries"])
    assert len(shop.writes) == 2
    assert content_of(await shop.call("reconcile_spending"))["note"] == "No outcome is unknown."


async def test_reconcile_spending_tells_a_charge_that_differs_from_the_quote_or_is_not_known(shop: Connected) -> None:
    entry = await lose(shop, BUY_NUMBER, "drop_before")
    other = await lose(shop, SEND_SMS, "drop_before")
    journal = shop.gate.journal
    assert await journal.end(entry.id, journal_module.Ending("charged", charged=Decimal("54.00"), evidence="seen"))
    answer = content_of(await shop.call("reconcile_spending", spending_id=entry.id))
    assert "Tell the person: 54.00 USD was charged, 50.00 USD more than quoted" in answer["note"]
    assert await journal.end(other.id, journal_module.Ending("charged", evidence="seen"))
    answer = content_of(await shop.call("reconcile_spending", spending_id=other.id))
    assert "compare the balance and tell the person" in answer["note"]
    listed = content_of(await shop.call("list_spending"))
    assert (listed["charged"], listed["unknown_charges"]) == ("54.00", 1)


@pytest.mark.parametrize("state", ["quoted", "approved", "executing"])
async def test_an_entry_whose_process_died_is_taken_up_where_it_stood(
    sandbox: Sandbox, data_dir: Path, state: str
) -> None:
    """Before it was approved, before the execution was claimed, and just after."""
    async with connected(sandbox, data_dir, None, confirm_wait=0) as shop:
        await shop.receipt(BUY_NUMBER)
        entry = await shop.only_entry()
        if state != "quoted":
            assert await shop.gate.journal.decide(entry.id, "approve", by="page")
        if state == "executing":
            journal = shop.gate.journal
            journal.owner = "999999999:1"
            before = await Snapshot.take(
                reconcile.actions.load(entry.kind, entry.arguments),
                shop.gate.reconciler._sources,  # pyright: ignore[reportPrivateUsage]
            )
            assert await journal.claim(entry.id, before.dump())
    async with connected(sandbox, data_dir, None, confirm_wait=0) as shop:
        if state == "executing":
            await shop.settled()
        receipt = await shop.receipt(BUY_NUMBER)
        expected = {"quoted": "approval_required", "approved": "charged", "executing": "not_charged"}[state]
        assert receipt["status"] == expected
        assert receipt["spending_id"] == entry.id
        assert len(shop.writes) == (1 if state == "approved" else 0)


async def test_what_is_looked_for_by_itself_leaves_room_for_what_people_call(
    sandbox: Sandbox, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "GRACE_SECONDS", 1)
    async with connected(sandbox, data_dir, approver()) as shop:
        sandbox.fail_next(Failure(kind="drop_before", method="POST", path=BUY_NUMBER.path))
        await shop.buy(BUY_NUMBER)
        store = shop.services.inbox.store
        await store.write(lambda connection: connection.execute("DELETE FROM requests"))
        await shop.settled()
        used = await store.read(lambda c: [row[0] for row in c.rows("SELECT DISTINCT priority FROM requests")])
        assert used == [Priority.WAIT.value]
