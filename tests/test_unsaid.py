"""What an answer of the inbox does not show, or could not look at, it says."""

import json
from datetime import timedelta

import pytest
from harness import Connect, Connected
from moving_clock import MovingClock
from processes import sms_webhook

from piv_mcp.inbox.backfill import ROUND_SECONDS
from piv_mcp.inbox.parse import event_of
from piv_mcp.sandbox import Failure

pytestmark = pytest.mark.usefixtures("instant_retries")


def advance(app: Connected, seconds: float) -> None:
    app.advance(seconds)
    app.sandbox.advance(timedelta(seconds=seconds))


async def told(app: Connected, number: str, text: str) -> None:
    """A webhook tells of a message that the history does not have."""
    inbox = app.services.inbox
    body = sms_webhook(number, text, None, app.sandbox.now.isoformat())
    await inbox.record(event_of(body, app.services.clock.time(), inbox.remote_time()))


async def test_a_code_that_is_found_while_the_history_fails_comes_with_that_word(connect: Connect) -> None:
    async with connect(clock=MovingClock(speed=0)) as app:
        (number,) = app.sandbox.add_numbers(1)
        await told(app, number, "Your code is 1111")
        app.sandbox.fail_next(Failure(kind="status", status=401, code="UNAUTHORIZED", path="/numbers/*/sms"))
        assert "could not be read" in (await app.ok("get_latest_code", number=number))["note"]
        answer = await app.ok("wait_for_code", number=number, timeout_seconds=0)
        assert answer["newest"]["code"] == "1111"
        assert "could not be read" in answer["note"]


async def test_the_newest_code_of_any_number_says_when_the_histories_were_last_read(connect: Connect) -> None:
    async with connect(clock=MovingClock(speed=0)) as app:
        one, other = app.sandbox.add_numbers(2)
        await app.sandbox.receive_sms(one, "Your code is 1111", deliver=False)
        await app.ok("get_latest_code", number=one)
        answer = await app.ok("get_latest_code")
        assert "were last read" not in answer.get("note", "")
        advance(app, 90)
        await app.sandbox.receive_sms(other, "Your code is 2222", deliver=False)
        answer = await app.ok("get_latest_code")
        assert answer["newest"]["code"] == "2222"
        app.sandbox.fail_next(Failure(kind="status", status=401, code="UNAUTHORIZED", times=None))
        advance(app, 90)
        answer = await app.ok("get_latest_code")
        assert answer["newest"]["code"] == "2222"
        assert "were last read 90 seconds ago: a newer code may be missing. Name the number" in answer["note"]


async def test_with_webhooks_only_a_round_that_is_overdue_is_told(connect: Connect) -> None:
    async with connect(clock=MovingClock(speed=0), webhooks=True) as app:
        (number,) = app.sandbox.add_numbers(1)
        await app.sandbox.receive_sms(number, "Your code is 1111")
        app.sandbox.fail_next(Failure(kind="status", status=401, code="UNAUTHORIZED", times=None))
        advance(app, ROUND_SECONDS)
        assert "were last read" not in (await app.ok("get_latest_code")).get("note", "")
        advance(app, ROUND_SECONDS + 1)
        assert "were last read 10 minutes ago" in (await app.ok("get_latest_code"))["note"]


async def test_messages_without_a_code_beyond_those_shown_are_told(connect: Connect) -> None:
    async with connect(clock=MovingClock(speed=0)) as app:
        (number,) = app.sandbox.add_numbers(1)
        for n in range(3):
            await told(app, number, f"See you at {n}")
        for tool, more in (("get_latest_code", {}), ("wait_for_code", {"timeout_seconds": 0})):
            assert "More such messages" not in (await app.ok(tool, number=number, **more))["note"]
        await told(app, number, "See you at 3")
        for tool, more in (("get_latest_code", {}), ("wait_for_code", {"timeout_seconds": 0})):
            answer = await app.ok(tool, number=number, **more)
            assert len(answer["newer_without_code"]) == 3
            assert "More such messages came: list_events shows them." in answer["note"]


async def test_codes_beyond_those_shown_are_told(connect: Connect) -> None:
    async with connect(clock=MovingClock(speed=0)) as app:
        (number,) = app.sandbox.add_numbers(1)
        for n in range(5):
            await told(app, number, f"Your code is {1000 + n}")
        assert "More codes" not in (await app.ok("get_latest_code", number=number)).get("note", "")
        await told(app, number, "Your code is 1005")
        answer = await app.ok("get_latest_code", number=number)
        assert len(answer["others"]) == 4
        assert "More codes came before these: list_events shows them." in answer["note"]


async def test_a_number_that_is_gone_still_shows_the_code_that_a_webhook_brought(connect: Connect) -> None:
    async with connect(clock=MovingClock(speed=0)) as app:
        (number,) = app.sandbox.add_numbers(1)
        app.sandbox.fail_next(Failure(kind="status", code="NOT_FOUND", path="/numbers/*/sms", times=None))
        assert "NOT_FOUND" in await app.error("get_latest_code", number=number)
        await told(app, number, "Your code is 1111")
        answer = await app.ok("get_latest_code", number=number)
        assert answer["newest"]["code"] == "1111"
        assert "could not be read" in answer["note"]


def page(rows: list[dict[str, object]], **pagination: int) -> Failure:
    """The history as this page shows it."""
    body = json.dumps({"success": True, "data": {"messages": rows, "pagination": pagination}})
    return Failure(kind="status", status=200, body=body, path="/numbers/*/sms", times=None)


async def test_rows_of_a_list_that_cannot_be_understood_are_counted(connect: Connect) -> None:
    async with connect(clock=MovingClock(speed=0)) as app:
        (number,) = app.sandbox.add_numbers(1)
        good: dict[str, object] = {"id": "6", "message_body": "Hello", "direction": "inbound"}
        app.sandbox.fail_next(page([{"id": {"x": 1}, "text": "Your code is 482913"}, good], total=2))
        answer = await app.ok("list_sms", piv_num_id=number)
        assert answer["unreadable"] == "1 further rows of this page cannot be understood."
        assert len(answer["messages"]) == 1


@pytest.mark.parametrize(("count", "more"), [(49, None), (50, 50)])
async def test_a_full_page_without_a_total_has_a_next_one(connect: Connect, count: int, more: int | None) -> None:
    async with connect(clock=MovingClock(speed=0)) as app:
        (number,) = app.sandbox.add_numbers(1)
        rows: list[dict[str, object]] = [{"id": str(n), "message_body": "Hello"} for n in range(count)]
        app.sandbox.fail_next(page(rows))
        assert (await app.ok("list_sms", piv_num_id=number)).get("next_offset") == more
