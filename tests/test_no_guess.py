"""What a reader of one answer would have to guess, the answer says: who decided, what was set, what a word means."""

from pathlib import Path

import pytest
from examples import domain, number, queue_entry, white
from harness import CANCEL, DECLINE, ERAS, YES, Connect, Connected, Era, Person, approver, connected
from mcp.types import ElicitResult
from purchases import BUY_NUMBER, RESTORE, SEND_SMS, VERIFY

from piv_mcp.sandbox import Sandbox

pytestmark = pytest.mark.usefixtures("instant_retries")

IN_THE_CLIENT = "by the person, in the client"


# who decided


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("answer", "decision"),
    [
        (YES["approval"], f"approved {IN_THE_CLIENT}"),
        (DECLINE, f"declined {IN_THE_CLIENT}"),
        (CANCEL, f"closed without an answer {IN_THE_CLIENT}"),
    ],
)
async def test_a_receipt_and_its_entry_tell_what_was_decided_in_the_client(
    sandbox: Sandbox, data_dir: Path, era: Era, answer: ElicitResult, decision: str
) -> None:
    async with connected(sandbox, data_dir, Person(answer), era) as shop:
        receipt = await shop.receipt(BUY_NUMBER)
        (row,) = (await shop.ok("list_spending"))["entries"]
    assert receipt["decision"] == row["decision"] == decision
    assert receipt["decided_at"] == row["decided_at"] >= row["quoted_at"]


@pytest.mark.parametrize(("by", "place"), [("page", "on the approval page"), ("terminal", "in a terminal")])
async def test_a_word_from_another_place_is_told_with_the_place(
    connect: Connect, silent_browser: Path, by: str, place: str
) -> None:
    async with connect(confirm_wait=0) as shop:
        for decision in ("approve", "decline"):
            waiting = await shop.receipt(BUY_NUMBER)
            assert not {"decision", "decided_at"} & set(waiting), "nobody has decided"
            assert await shop.gate.journal.decide(waiting["spending_id"], decision, by=by)
            if decision == "approve":
                assert (await shop.receipt(BUY_NUMBER))["decision"] == f"approved by the person, {place}"
        declined, approved = (await shop.ok("list_spending"))["entries"]
    assert approved["decision"] == f"approved by the person, {place}"
    assert declined["decision"] == f"declined by the person, {place}"


async def test_the_budget_is_named_where_it_decided(connect: Connect) -> None:
    async with connect(spend_mode="budget", auto_approve_max="5", daily_budget="20") as shop:
        assert (await shop.receipt(BUY_NUMBER))["decision"] == "approved by the budget that the person set"


async def test_a_change_that_nobody_is_asked_about_says_so(connect: Connect) -> None:
    async with connect(confirm_destructive=False) as shop:
        receipt = await shop.ok("set_number_auto_renewal", piv_num_id=number(shop.sandbox), auto_renew=False)
    assert "decision" not in receipt
    assert receipt["note"] == "Nobody was asked: the person has turned off confirming what costs nothing"


async def test_a_change_that_cost_nothing_has_no_charge(connect: Connect) -> None:
    async with connect(person=approver()) as shop:
        receipt = await shop.ok("set_number_auto_renewal", piv_num_id=number(shop.sandbox), auto_renew=False)
        (row,) = (await shop.ok("list_spending"))["entries"]
    assert (receipt["status"], row["state"]) == ("done", "done")
    assert "charged" not in receipt
    assert "charged" not in row


# what a price and a headline do not say


async def test_what_is_charged_again_is_told_beside_a_price_without_it(connect: Connect) -> None:
    later = "4.00 USD every month, charged 24 hours before expiry, until auto-renewal is turned off"
    async with connect(confirm_wait=0) as shop:
        waiting = await shop.receipt(BUY_NUMBER, auto_renew=True)
        assert waiting["status"] == "approval_required"
        assert await shop.gate.journal.decide(waiting["spending_id"], "approve", by="page")
        receipt = await shop.receipt(BUY_NUMBER, auto_renew=True)
        (row,) = (await shop.ok("list_spending"))["entries"]
    assert waiting["later"] == receipt["later"] == row["later"] == later


async def test_a_record_that_was_deleted_is_still_told(connect: Connect) -> None:
    async with connect(person=approver()) as shop:
        id_ = domain(shop.sandbox)
        shown = (await shop.ok("list_dns_records", domain_id=id_))["records"][0]
        receipt = await shop.ok("delete_dns_record", domain_id=id_, record_id=shown["id"])
        (row,) = (await shop.ok("list_spending"))["entries"]
    assert receipt["before"] == row["before"] == {"record": {k: v for k, v in shown.items() if k != "id"}}


# what was set


@pytest.mark.parametrize("asked", [True, False])
async def test_what_a_site_was_configured_with_is_repeated(connect: Connect, asked: bool) -> None:
    fields = {"company": "My Brand", "domain": "newdomain.com"}
    person = approver()
    async with connect(person=person, confirm_destructive=asked) as shop:
        receipt = await shop.ok("configure_white", white_id=white(shop.sandbox), **fields)
        assert receipt["result"]["set"] == fields
        assert "does not tell whether fields that were left out are kept" in receipt["note"]
        if asked:
            assert "whether the others are kept is not documented" in person.asked[0]
            assert '\ncompany: "My Brand"\ndomain: "newdomain.com"\n' in person.asked[0]


async def test_what_a_site_was_configured_with_is_repeated_to_a_caller_who_asks_later(connect: Connect) -> None:
    """The first caller left before the answer came."""
    async with connect(person=approver()) as shop:
        arguments = {"white_id": white(shop.sandbox), "email": "me@example.com"}
        first = await shop.ok("configure_white", **arguments)
        store = shop.gate.journal.store
        await store.write(lambda connection: connection.execute("UPDATE spending SET reported = 0"))
        again = await shop.ok("configure_white", **arguments)
    assert len(shop.writes) == 1
    assert again["spending_id"] == first["spending_id"]
    assert again["result"]["set"] == {"email": "me@example.com"}


# what a word means


async def test_a_verification_says_what_sms_sent_means_as_far_as_it_is_known(hooked_app: Connected) -> None:
    id_ = number(hooked_app.sandbox)
    await hooked_app.tell("verify.completed", piv_num_id=id_, status="sms_sent", sms_status="queued")
    await hooked_app.tell("verify.completed", piv_num_id=id_, status="another")
    other, known = (await hooked_app.ok("list_events", type="verify.completed"))["events"]
    (waited, _) = (await hooked_app.ok("wait_for_event", types=["verify.completed"], timeout_seconds=0))["events"]
    assert known["note"] == waited["note"]
    assert "what sms_sent means is not documented" in known["note"]
    assert "note" not in other


@pytest.mark.parametrize(
    ("status", "is_final"), [("queued", False), ("sent", False), ("delivered", True), ("failed", True)]
)
async def test_a_message_that_is_not_delivered_yet_says_so(modern_app: Connected, status: str, is_final: bool) -> None:
    await modern_app.tell(
        "sms.status_updated", piv_num_id=number(modern_app.sandbox), message_id="7", new_status=status
    )
    (event,) = (await modern_app.ok("list_events", type="sms.status_updated"))["events"]
    assert ("not delivered yet" in event.get("note", "")) is not is_final


async def test_what_has_only_begun_is_not_passed_off_as_done(connect: Connect) -> None:
    async with connect(person=approver()) as shop:
        assert "Initiated is not verified" in (await shop.receipt(VERIFY))["note"]
        assert "Pending is not restored" in (await shop.receipt(RESTORE))["note"]
        renewed = await shop.ok("renew_domain", domain_id=domain(shop.sandbox), period=1)
        assert "expires_at of this result may be the date before the renewal" in renewed["note"]
        assert "note" not in await shop.receipt(SEND_SMS)


async def test_a_domain_order_says_whether_it_is_over_and_what_tells_its_end(modern_app: Connected) -> None:
    id_ = queue_entry(modern_app.sandbox)
    entry = modern_app.sandbox.state.queue[id_]
    begun = await modern_app.ok("get_domain_queue", queue_id=id_)
    assert (begun["status"], begun["domain_name"]) == ("pending", "mysite.com")
    assert f"queue_id={id_})" in begun["note"]
    entry.status = "completed"
    done = await modern_app.ok("get_domain_queue", queue_id=id_)
    assert done["domain"]["domain_name"] == "mysite.com"
    assert "note" not in done
    entry.status = "failed"
    assert "not this status" in (await modern_app.ok("get_domain_queue", queue_id=id_))["note"]


async def test_numbers_that_are_restored_or_can_be_are_not_told_apart(modern_app: Connected) -> None:
    assert "note" not in await modern_app.ok("list_numbers")
    modern_app.sandbox.state.numbers[number(modern_app.sandbox, "Old campaign")].restoring = True
    answer = await modern_app.ok("list_numbers")
    assert "does not tell whether such a number can be restored or is being restored" in answer["note"]


async def test_lists_of_prices_say_what_they_are_for(modern_app: Connected) -> None:
    for tool, words in (
        ("list_countries", "base_price is what price_per_month would be without the plan's discount"),
        ("list_white_tiers", "What premium quality and each further language cost is not listed"),
        ("list_commitments", "at the prices that piv.day lists now"),
        ("list_spending", "before refunds, by day in UTC"),
    ):
        note = (await modern_app.ok(tool))["note"]
        assert words in note
        assert "US dollars" in note
