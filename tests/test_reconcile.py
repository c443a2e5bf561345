"""What became of a lost request: when it is known, and who is told."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest
from examples import white
from harness import Connect, Connected, approver, charges, connected, text_of, until
from lost_answers import charged, graced, look, lose
from moving_clock import MovingClock
from purchases import BUY_NUMBER, CREATE_WHITE, PURCHASES, RENEW_DOMAIN, RESTORE, SEND_SMS, VERIFY, Purchase
from store_helpers import forget_requests

from piv_mcp.api.numbers import PurchaseNumber
from piv_mcp.api.rate_limit import Priority
from piv_mcp.errors import NoAnswerError, StoreError
from piv_mcp.sandbox import Failure, Sandbox
from piv_mcp.sandbox.failures import Kind
from piv_mcp.spending import actions
from piv_mcp.spending import journal as journal_module
from piv_mcp.spending.journal import EXECUTION_SECONDS
from piv_mcp.spending.reconcile.reconciler import (
    ABSENT_SECONDS,
    GRACE_SECONDS,
    LONG_GRACE_SECONDS,
    Reconciler,
)
from piv_mcp.spending.reconcile.snapshot import Snapshot
from piv_mcp.store.journal import Entry

pytestmark = pytest.mark.usefixtures("instant_retries")


async def test_while_reads_fail_an_outcome_stays_unknown_and_is_found_later(shop: Connected) -> None:
    await lose(shop, BUY_NUMBER, "drop_after")
    shop.sandbox.fail_next(Failure(kind="status", method="GET", times=None, status=503))
    assert await graced(shop, LONG_GRACE_SECONDS) == ["unknown"]
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


async def test_absence_is_not_believed_before_the_request_can_no_longer_be_on_its_way(shop: Connected) -> None:
    await lose(shop, BUY_NUMBER, "drop_before")
    assert await look(shop) == ["unknown"]
    assert await graced(shop, GRACE_SECONDS / 2) == ["unknown"]
    assert await graced(shop, GRACE_SECONDS / 2) == ["not_charged"]
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


async def test_an_object_that_appears_late_settles_its_purchase(shop: Connected) -> None:
    """The money has left at once; the list shows the number only later."""
    await lose(shop, BUY_NUMBER, "drop_after")
    numbers = cast("dict[str, Any]", shop.sandbox.state.numbers)
    id_ = charges(shop.sandbox, BUY_NUMBER)[0].id
    late = numbers.pop(id_)
    assert await look(shop) == ["unknown"]
    assert await graced(shop, LONG_GRACE_SECONDS) == ["unknown"]
    numbers[id_] = late
    assert await look(shop) == ["charged"]
    assert await charged(shop) == [Decimal("4.00")]


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


async def test_a_renewal_in_the_queue_stays_unknown_until_the_domain_shows_it(sandbox: Sandbox, data_dir: Path) -> None:
    """The balance fell by its price, which alone is no evidence."""
    sandbox.timing = sandbox.state.timing = replace(sandbox.timing, domain=3600)
    async with connected(sandbox, data_dir, approver(), clock=MovingClock()) as shop:
        await lose(shop, RENEW_DOMAIN, "drop_after")
        assert await graced(shop, ABSENT_SECONDS) == ["unknown"]
        sandbox.advance(timedelta(hours=2))
        assert await look(shop) == ["charged"]
        assert await charged(shop) == [Decimal("12.50")]


@pytest.mark.parametrize("purchase", [RENEW_DOMAIN, VERIFY], ids=str)
async def test_what_shows_late_is_not_charged_only_after_an_hour_without_a_sign(
    shop: Connected, purchase: Purchase
) -> None:
    await lose(shop, purchase, "drop_before")
    assert await graced(shop, ABSENT_SECONDS / 2) == ["unknown"]
    assert await graced(shop, ABSENT_SECONDS / 2) == ["not_charged"]


@pytest.mark.parametrize("purchase", PURCHASES, ids=str)
async def test_a_credit_as_large_as_the_charge_does_not_hide_it(shop: Connected, purchase: Purchase) -> None:
    """A person tops up the account while the answer is lost: the balance is what it was."""
    timing = replace(shop.sandbox.timing, verify=600, domain=600)
    shop.sandbox.timing = shop.sandbox.state.timing = timing
    await lose(shop, purchase, "drop_after")
    shop.sandbox.balance += purchase.price
    assert "not_charged" not in await graced(shop, LONG_GRACE_SECONDS)
    shop.sandbox.advance(timedelta(minutes=20))
    assert await look(shop) == ["charged"]
    assert len(shop.writes) == 1


async def test_a_site_whose_answer_was_lost_while_it_was_configured_may_be_configured_again(shop: Connected) -> None:
    """Nothing shows whether it took effect, and it costs nothing."""
    arguments = {"white_id": white(shop.sandbox), "email": "new@example.com"}
    shop.sandbox.fail_next(Failure(kind="drop_after", method="POST", path="/whites/*/config"))
    said = await shop.error("configure_white", **arguments)
    assert "OUTCOME_UNKNOWN" in said
    assert "No money moved" in said
    assert await graced(shop) == ["not_charged"]
    told = await shop.ok("configure_white", **arguments)
    assert "Whether it took effect is not known" in told["note"]
    assert len(shop.writes) == 1
    assert (await shop.ok("configure_white", **arguments))["status"] == "done"
    assert len(shop.writes) == 2


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


async def test_reconcile_spending_waits_for_the_grace_and_says_what_it_found(shop: Connected) -> None:
    await lose(shop, BUY_NUMBER, "drop_before")
    await lose(shop, SEND_SMS, "drop_after")
    shop.advance(GRACE_SECONDS)  # whose end makes no difference
    answer = await shop.ok("reconcile_spending")
    assert {entry["state"] for entry in answer["entries"]} == {"not_charged", "charged"}
    assert answer["unknown"] == 0
    assert all(entry["evidence"] for entry in answer["entries"])
    assert len(shop.writes) == 2
    assert (await shop.ok("reconcile_spending"))["note"] == "No outcome is unknown."


async def test_reconcile_spending_tells_a_charge_that_differs_from_the_quote_or_is_not_known(shop: Connected) -> None:
    entry = await lose(shop, BUY_NUMBER, "drop_before")
    other = await lose(shop, SEND_SMS, "drop_before")
    journal = shop.gate.journal
    assert await journal.end(entry.id, journal_module.Ending("charged", charged=Decimal("54.00"), evidence="seen"))
    answer = await shop.ok("reconcile_spending", spending_id=entry.id)
    assert "Tell the person: 54.00 USD was charged, 50.00 USD more than quoted" in answer["note"]
    assert await journal.end(other.id, journal_module.Ending("charged", evidence="seen"))
    answer = await shop.ok("reconcile_spending", spending_id=other.id)
    assert "compare the balance and tell the person" in answer["note"]
    listed = await shop.ok("list_spending")
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
                actions.load(entry.kind, entry.arguments),
                shop.gate.reconciler._sources,  # pyright: ignore[reportPrivateUsage]
                may_share=False,
            )
            assert await journal.claim(entry.id, before.dump())
    async with connected(sandbox, data_dir, None, clock=MovingClock(), confirm_wait=0) as shop:
        if state == "executing":
            await shop.settled()
        receipt = await shop.receipt(BUY_NUMBER)
        expected = {"quoted": "approval_required", "approved": "charged", "executing": "not_charged"}[state]
        assert receipt["status"] == expected
        assert receipt["spending_id"] == entry.id
        assert len(shop.writes) == (1 if state == "approved" else 0)


async def test_what_is_looked_for_by_itself_leaves_room_for_what_people_call(sandbox: Sandbox, data_dir: Path) -> None:
    async with connected(sandbox, data_dir, approver(), clock=MovingClock()) as shop:
        sandbox.fail_next(Failure(kind="drop_before", method="POST", path=BUY_NUMBER.path))
        await shop.buy(BUY_NUMBER)
        store = shop.services.inbox.store
        await forget_requests(store)
        await shop.settled()
        used = await store.requests.run(lambda c: [row[0] for row in c.rows("SELECT DISTINCT priority FROM requests")])
        assert used == [Priority.WAIT.value]


# --- by itself


async def test_what_goes_wrong_once_does_not_end_the_checks_for_good(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    check, failures = Reconciler.reconcile_all, iter([StoreError("full"), NoAnswerError("no network", sent=False)])
    failed: list[Exception] = []

    async def failing_twice(self: Reconciler) -> list[Entry]:
        if (error := next(failures, None)) is not None:
            failed.append(error)
            raise error
        return await check(self)

    monkeypatch.setattr(Reconciler, "reconcile_all", failing_twice)
    async with connect(person=approver(), clock=MovingClock()) as shop:
        await until(lambda: failed, seconds=20, what="the first check")
        await lose(shop, BUY_NUMBER, "drop_before")
        (entry,) = await shop.settled()
        assert entry.state == "not_charged"
        assert len(failed) == 2


async def test_an_outcome_that_stays_unknown_is_checked_ever_more_seldom_and_at_last_every_quarter_of_an_hour(
    shop: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # `run` is what it is
    clock, checks = MovingClock(speed=0), list[float]()
    reconciler = Reconciler(replace(shop.gate.reconciler._sources, clock=clock), shop.gate.journal)  # pyright: ignore[reportPrivateUsage]
    unknown = await lose(shop, BUY_NUMBER, "drop_before")

    async def still_unknown() -> list[Entry]:
        checks.append(clock.monotonic())
        return [unknown]

    monkeypatch.setattr(reconciler, "reconcile_all", still_unknown)

    async def goes_on(seconds: float) -> bool:
        before = len(checks)
        clock.advance(seconds)
        for _ in range(20):
            await asyncio.sleep(0)
        return len(checks) > before

    running = asyncio.create_task(reconciler.run())
    try:
        await until(lambda: checks, seconds=20, what="the first check")
        for pause in (15, 30, 60, 120, 240, 480, 900, 900):
            assert not await goes_on(pause - 1)
            assert await goes_on(1)
        reconciler.wake()  # another answer was lost just now
        await until(lambda: clock.sleeping, seconds=20, what="the grace")
        assert not await goes_on(GRACE_SECONDS - 1)
        assert await goes_on(1)
        assert await goes_on(15), "the pauses begin anew"
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_an_outcome_that_a_call_found_out_itself_is_told_to_the_next_equal_call_too(shop: Connected) -> None:
    """Its caller may have given up, so that the next call only wants to know."""
    shop.sandbox.fail_next(Failure(kind="drop_after", method="POST", path=BUY_NUMBER.path))
    first = await shop.receipt(BUY_NUMBER)
    assert first["evidence"]
    again = await shop.receipt(BUY_NUMBER)
    assert (again["status"], again["spending_id"]) == ("charged", first["spending_id"])
    assert "nothing was sent now" in again["note"]
    assert len(shop.writes) == len(shop.person.asked) == 1
    assert (await shop.receipt(BUY_NUMBER))["spending_id"] != first["spending_id"]


@pytest.mark.parametrize("seconds", [GRACE_SECONDS + 1, 3600, 40 * 86400])
async def test_a_clock_that_is_set_forward_does_not_end_the_grace(shop: Connected, seconds: float) -> None:
    await lose(shop, BUY_NUMBER, "drop_before")
    assert isinstance(shop.services.clock, MovingClock)
    shop.services.clock.correct(seconds)
    assert await look(shop) == ["unknown"]
    assert await graced(shop) == ["not_charged"]


async def test_a_clock_that_is_set_forward_does_not_end_the_execution_of_another_process(
    shop: Connected, sandbox: Sandbox
) -> None:
    clock = shop.services.clock
    assert isinstance(clock, MovingClock)
    other = journal_module.Journal(shop.gate.journal.store, clock)
    other.owner = "1:1"  # a process that runs
    sandbox.fail_next(Failure(kind="hang", method="POST", path=BUY_NUMBER.path))
    call = asyncio.create_task(shop.receipt(BUY_NUMBER))
    await until(lambda: shop.writes, seconds=20, what="the request")
    clock.correct(EXECUTION_SECONDS + 1)
    assert await shop.states() == ["executing"]
    assert await other.recover() == []
    await shop.settled()
    assert (await call)["status"] == "charged"
