"""What begins something names the call that leads on, with the cursor from before it and the very thing's id."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from harness import ERAS, Connect, Connected, Era, approver, connected
from lost_answers import lose
from moving_clock import MovingClock
from purchases import (
    BUY_NUMBER,
    BUY_PROXIES,
    CREATE_WHITE,
    REGISTER,
    RENEW_DOMAIN,
    RENEW_NUMBER,
    RESTORE,
    SEND_SMS,
    VERIFY,
    Purchase,
)

from piv_mcp.errors import StoreError
from piv_mcp.inbox import cursor
from piv_mcp.sandbox import Sandbox
from piv_mcp.store import events

pytestmark = pytest.mark.usefixtures("instant_retries")


async def follow(app: Connected, answer: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The answer of the call that `answer` names, made as it is written there."""
    call = answer["follow_up"]
    return await app.ok(call["tool"], **call["arguments"], **more)


@pytest.mark.parametrize("era", ERAS)
async def test_a_rented_number_leads_to_its_first_code(sandbox: Sandbox, data_dir: Path, era: Era) -> None:
    async with connected(sandbox, data_dir, approver(), era) as app:
        bought = await app.receipt(BUY_NUMBER)
        number = bought["result"]["numbers"][0]["piv_num_id"]
        assert bought["follow_up"]["arguments"]["number"] == number
        await app.sandbox.receive_sms(number, "Your code is 482913")
        app.advance(600)  # the assistant takes its time: with the cursor nothing is missed
        answer = await follow(app, bought, timeout_seconds=20)
        assert answer["newest"]["code"] == "482913"
        assert (await app.receipt(BUY_NUMBER, custom_name="Another"))["follow_up"] != bought["follow_up"]


async def test_an_event_that_came_before_the_action_is_not_taken_for_its_own(connect: Connect) -> None:
    async with connect(webhooks=True, person=approver(), clock=MovingClock()) as app:
        sandbox = app.sandbox
        sent = await app.receipt(SEND_SMS)
        number = sent["follow_up"]["arguments"]["number"]
        await sandbox.settled()
        first = await follow(app, sent, timeout_seconds=0)
        assert {event["data"]["message_id"] for event in first["events"]} == {sent["result"]["message_id"]}
        again = await app.receipt(SEND_SMS, message_body="Another")
        assert again["follow_up"]["arguments"]["number"] == number
        await sandbox.settled()
        second = await follow(app, again, timeout_seconds=0)
        assert {event["data"]["message_id"] for event in second["events"]} <= {again["result"]["message_id"]}


@pytest.mark.parametrize(
    ("purchase", "types", "ids"),
    [
        (RESTORE, ["number.restore_completed"], ["number"]),
        (VERIFY, ["verify.completed", "verify.failed"], ["number"]),
        (REGISTER, ["domain.registered", "domain.failed"], ["domain_id"]),
        (CREATE_WHITE, ["white.completed", "white.failed"], ["white_id"]),
        (SEND_SMS, ["sms.status_updated"], ["number", "message_id"]),
    ],
    ids=str,
)
async def test_what_takes_time_leads_to_the_wait_for_its_end(
    connect: Connect, purchase: Purchase, types: list[str], ids: list[str]
) -> None:
    async with connect(webhooks=True, person=approver(), clock=MovingClock()) as app:
        begun = await app.receipt(purchase)
        call = begun["follow_up"]
        assert call["tool"] == "wait_for_event"
        assert call["arguments"]["types"] == types
        assert set(call["arguments"]) == {"types", "after", *ids}
        app.sandbox.advance(timedelta(hours=1))
        await app.sandbox.settled()
        ended = await follow(app, begun, timeout_seconds=0)
        assert ended["status"] == "ok", ended
        assert {event["type"] for event in ended["events"]} <= set(types)


async def test_a_site_leads_to_its_archive_once_it_is_finished(connect: Connect) -> None:
    async with connect(webhooks=True, person=approver(), clock=MovingClock()) as app:
        begun = await app.receipt(CREATE_WHITE)
        white_id = begun["follow_up"]["arguments"]["white_id"]
        white = await app.ok("get_white", white_id=white_id)
        assert ("follow_up" in white) == (white["state"] == "done")
        app.sandbox.advance(timedelta(hours=1))
        await app.sandbox.settled()
        for answer in (await follow(app, begun, timeout_seconds=0), await app.ok("get_white", white_id=white_id)):
            assert answer["follow_up"] == {"tool": "get_white_download", "arguments": {"white_id": white_id}}
            assert (await follow(app, answer))["url"]


async def test_proxies_lead_to_their_export_into_a_file(sandbox: Sandbox, data_dir: Path) -> None:
    async with connected(sandbox, data_dir, approver()) as app:
        bought = await app.receipt(BUY_PROXIES)
        export = await follow(app, bought)
        assert export["file"]
        assert export["count"] == bought["result"]["quantity"]


async def test_a_renewal_of_a_domain_leads_to_its_progress(sandbox: Sandbox, data_dir: Path) -> None:
    async with connected(sandbox, data_dir, approver()) as app:
        assert "status" in await follow(app, await app.receipt(RENEW_DOMAIN))


async def test_what_is_over_at_once_leads_nowhere(sandbox: Sandbox, data_dir: Path) -> None:
    async with connected(sandbox, data_dir, approver()) as app:
        assert "follow_up" not in await app.receipt(RENEW_NUMBER)


async def test_an_outcome_that_was_found_out_later_leads_on_as_well(sandbox: Sandbox, data_dir: Path) -> None:
    async with connected(sandbox, data_dir, approver(), clock=MovingClock()) as app:
        await lose(app, BUY_NUMBER, "drop_after")
        told = await app.receipt(BUY_NUMBER)
        assert told["evidence"]
        number = told["follow_up"]["arguments"]["number"]
        await app.sandbox.receive_sms(number, "Your code is 482913")
        assert (await follow(app, told, timeout_seconds=20))["newest"]["code"] == "482913"


async def test_no_answer_leads_to_a_tool_that_is_not_offered(sandbox: Sandbox, data_dir: Path) -> None:
    async with connected(sandbox, data_dir, approver(), toolsets="numbers,whites") as app:
        for purchase in (BUY_NUMBER, SEND_SMS, CREATE_WHITE):
            assert "follow_up" not in await app.receipt(purchase)


async def test_a_simulated_message_leads_to_its_code(sandbox: Sandbox, data_dir: Path) -> None:
    async with connected(sandbox, data_dir) as app:
        (number,) = sandbox.add_numbers(1)
        arrived = await app.ok("simulate_incoming_sms", number=number, text="Your code is 482913")
        assert (await follow(app, arrived, timeout_seconds=20))["newest"]["code"] == "482913"


@pytest.mark.parametrize("broken", ["before the action", "after it"])
async def test_a_store_that_fails_costs_the_follow_up_and_never_the_receipt(
    sandbox: Sandbox, data_dir: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """Money has moved: an error instead of the receipt would ask for a second purchase."""
    async with connected(sandbox, data_dir, approver()) as app:
        read = app.services.store.read

        async def fails_for_cursors(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            if fn is (events.last_seq if broken == "before the action" else cursor.identity):
                raise StoreError("the disk is full")
            return await read(fn, *args, **kwargs)

        monkeypatch.setattr(app.services.store, "read", fails_for_cursors)
        bought = await app.receipt(BUY_NUMBER)
        assert bought["status"] == "charged"
        assert "after" not in bought.get("follow_up", {"arguments": {}})["arguments"]
