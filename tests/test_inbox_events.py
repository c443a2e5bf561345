"""The tools for events: lists, their pages, and waits for an event of any type."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from harness import Connect, Connected, approver
from inbox_home import Home, codes, no_progress
from moving_clock import MovingClock
from purchases import REGISTER

from piv_mcp.api.rate_limit import Priority
from piv_mcp.inbox.cursor import Cursor
from piv_mcp.inbox.parse import event_of
from piv_mcp.inbox.wait import wait_for_event

pytestmark = pytest.mark.usefixtures("instant_retries")


async def deliver(app: Connected, number: str, *codes: str) -> None:
    for code in codes:
        await app.sandbox.receive_sms(number, f"Your code is {code}")


def codes_of(answer: dict[str, Any]) -> list[str]:
    return [event["code"] for event in answer["events"]]


async def test_events_of_one_number_are_listed_alone(hooked_app: Connected) -> None:
    mine, other = hooked_app.sandbox.add_numbers(2)
    await deliver(hooked_app, mine, "1111")
    await deliver(hooked_app, other, "2222")
    await deliver(hooked_app, mine, "3333")
    by_id = await hooked_app.ok("list_events", number=mine)
    assert (codes_of(by_id), by_id["total"]) == (["3333", "1111"], 2), "the newest first"
    by_phone = await hooked_app.ok("list_events", number=hooked_app.sandbox.state.numbers[mine].phone_number)
    assert codes_of(by_phone) == codes_of(by_id)
    assert {event["piv_num_id"] for event in by_phone["events"]} == {mine}


async def test_no_more_events_than_asked_for_are_listed_the_newest_of_them(modern_hooked_app: Connected) -> None:
    number = modern_hooked_app.sandbox.add_numbers(1)[0]
    await deliver(modern_hooked_app, number, "1111", "2222", "3333")
    answer = await modern_hooked_app.ok("list_events", number=number, limit=2)
    assert (codes_of(answer), answer["total"]) == (["3333", "2222"], 3)


async def test_pages_of_events_follow_each_other_without_gap_or_repetition(hooked_app: Connected) -> None:
    mine, other = hooked_app.sandbox.add_numbers(2)
    after = (await hooked_app.ok("list_events"))["after"]
    sent = [str(1000 + n) for n in range(7)]
    for code in sent:
        await deliver(hooked_app, mine, code)
        await deliver(hooked_app, other, "9999")
    seen: list[list[str]] = []
    for _ in range(5):
        page = await hooked_app.ok("list_events", number=mine, after=after, limit=3)
        seen.append(codes_of(page))
        after = page["after"]
    assert seen == [sent[:3], sent[3:6], sent[6:], [], []]
    await deliver(hooked_app, mine, "5555")
    assert codes_of(await hooked_app.ok("list_events", number=mine, after=after)) == ["5555"]


# Waits


async def test_an_event_is_waited_for_by_type_and_by_its_data(hooked_app: Connected) -> None:
    waiting = asyncio.create_task(
        hooked_app.ok("wait_for_event", types=["white.completed"], white_id="job-2", timeout_seconds=10)
    )
    for job in ("job-1", "job-2"):
        await hooked_app.sandbox.send_event("white.completed", {"job_id": job, "name": "n"})
    answer = await waiting
    assert [event["data"]["job_id"] for event in answer["events"]] == ["job-2"]


async def test_the_type_of_an_event_may_be_written_in_any_case(modern_hooked_app: Connected) -> None:
    await modern_hooked_app.sandbox.send_event("white.completed", {"job_id": "job-1", "name": "n"})
    listed = await modern_hooked_app.ok("list_events", type=" White.Completed")
    waited = await modern_hooked_app.ok("wait_for_event", types=["WHITE.COMPLETED"], timeout_seconds=0)
    assert [event["type"] for event in (*listed["events"], *waited["events"])] == ["white.completed"] * 2


async def test_an_event_is_waited_for_by_a_phone_number(hooked_app: Connected) -> None:
    mine, other = hooked_app.sandbox.add_numbers(2)
    for number in (other, mine):
        await hooked_app.sandbox.send_event("verify.failed", {"piv_num_id": number, "reason": "timeout"})
    phone = hooked_app.sandbox.state.numbers[mine].phone_number
    answer = await hooked_app.ok("wait_for_event", types=["verify.failed"], number=phone, timeout_seconds=0)
    assert answer["status"] == "ok"
    assert [event["piv_num_id"] for event in answer["events"]] == [mine]


async def test_a_message_that_the_history_alone_shows_is_waited_for_by_its_number(connect: Connect) -> None:
    clock = MovingClock(speed=0)
    async with connect(clock=clock) as app:
        mine, other = app.sandbox.add_numbers(2)
        for number in (other, mine):
            await app.sandbox.receive_sms(number, "Your order has shipped", deliver=False)
            await app.ok("get_latest_code", number=number)
        for number in (mine, app.sandbox.state.numbers[mine].phone_number):
            answer = await app.ok("wait_for_event", types=["sms.received"], number=number, timeout_seconds=0)
            assert [event["piv_num_id"] for event in answer["events"]] == [mine]


@pytest.mark.parametrize(
    ("name", "type_", "data"),
    [
        ("number", "sms.received", '{"piv_num_id": "@id", "text": "Hello"}'),
        ("number", "sms.status_updated", '{"piv_num_id": "@id", "message_id": "1"}'),
        ("number", "number.restore_completed", '{"restored": [{"piv_num_id": "@id"}], "failed": []}'),
        ("number", "number.restore_completed", '{"failed": [{"piv_num_id": "x"}, {"piv_num_id": "@id"}]}'),
        ("number", "verify.completed", '{"piv_num_id": "@id"}'),
        ("message_id", "sms.status_updated", '{"message_id": "@id"}'),
        ("message_id", "sms.status_updated", '{"message_id": @id}'),
        ("domain_id", "domain.registered", '{"domain_id": "@id"}'),
        ("domain_id", "domain.expires_soon", '{"domain_id": "@id"}'),
        ("order_id", "proxy.expires_soon", '{"order_id": "@id"}'),
        ("white_id", "white.failed", '{"job_id": "@id"}'),
    ],
)
async def test_an_event_is_waited_for_by_the_id_of_what_it_is_about(
    connect: Connect, name: str, type_: str, data: str
) -> None:
    async with connect(webhooks=True, clock=MovingClock(speed=0)) as app:
        mine, other = app.sandbox.add_numbers(2) if name == "number" else ("4242", "4243")
        for id_ in (other, mine):
            await app.sandbox.send_event(type_, json.loads(data.replace("@id", id_)))
        for types in ([type_], []):
            answer = await app.ok("wait_for_event", types=types, **{name: mine}, timeout_seconds=0)
            (event,) = answer["events"]
            assert event["type"] == type_
            assert mine in json.dumps(event)
            assert other not in json.dumps(event)


async def test_a_registration_is_waited_for_by_the_id_of_its_place_in_the_queue(connect: Connect) -> None:
    async with connect(webhooks=True, person=approver(), clock=MovingClock()) as app:
        begun = await app.receipt(REGISTER)
        queue_id = begun["result"]["queue_id"]
        await app.sandbox.send_event("domain.registered", {"domain_id": "d-9", "domain_name": "another.example"})
        await app.sandbox.send_event("domain.failed", {"domain_id": "d-1", "domain_name": "free-name.com"})
        answer = await app.ok("wait_for_event", types=[], queue_id=queue_id, timeout_seconds=0)
        assert answer["events"]
        assert {event["data"]["domain_name"] for event in answer["events"]} == {"free-name.com"}
        said = await app.error("wait_for_event", types=[], queue_id="queue-of-nobody", timeout_seconds=0)
        assert "NOT_FOUND" in said


@pytest.mark.parametrize(
    ("types", "ids", "able"),
    [
        (["white.completed"], {"domain_id": "1"}, "domain.registered, domain.failed, domain.expires_soon"),
        (["sms.received", "verify.failed"], {"message_id": "1"}, "sms.status_updated"),
        ([], {"domain_id": "1", "white_id": "2"}, "domain.registered"),
        (["domain.expires_soon"], {"queue_id": "1"}, "domain.registered"),
    ],
)
async def test_an_id_that_none_of_the_asked_events_names_is_refused(
    connect: Connect, types: list[str], ids: dict[str, str], able: str
) -> None:
    async with connect(clock=MovingClock(speed=0)) as app:  # no wait ends
        said = await app.error("wait_for_event", types=types, **ids)
        assert f"{', '.join(ids)}: no event of the asked types names" in said
        assert able in said
        assert "no money moved" in said.lower()


async def test_an_id_that_some_of_the_asked_events_do_not_name_is_told(connect: Connect) -> None:
    async with connect(clock=MovingClock(speed=0)) as app:
        types = ["white.completed", "sms.received"]
        answer = await app.ok("wait_for_event", types=types, white_id="1", timeout_seconds=0)
        assert "No event of the type sms.received can come here: it names no white_id" in answer["note"]
        assert "piv.day has nothing by this white_id: check the id" in answer["note"]


async def test_free_fields_are_no_longer_matched_and_what_to_use_is_said(connect: Connect) -> None:
    async with connect(clock=MovingClock(speed=0)) as app:
        said = await app.error("wait_for_event", types=["white.completed"], match={"job_id": "1"})
        assert "match" in said
        assert "white_id" in said


async def test_an_event_that_was_sent_late_is_not_passed_off_as_new(connect: Connect) -> None:
    """A webhook is tried again for hours."""
    clock = MovingClock(speed=0)
    async with connect(webhooks=True, clock=clock) as app:
        await app.ok("get_account")  # tells the time at piv.day
        where = (await app.ok("list_events"))["after"]
        for job, seconds in (("late", 180), ("new", 20)):
            sent = (app.sandbox.now - timedelta(seconds=seconds)).isoformat()
            body = {"event_type": "white.completed", "timestamp": sent, "data": {"job_id": job}}
            inbox = app.services.inbox
            await inbox.record(event_of(body, clock.time(), inbox.remote_time()))
        answer = await app.ok("wait_for_event", types=["white.completed"], timeout_seconds=0)
        assert [event["data"]["job_id"] for event in answer["events"]] == ["new"]
        assert "One came that is older than the wait" in answer["note"]
        answer = await app.ok("wait_for_event", types=["white.completed"], timeout_seconds=0, after=where)
        assert [event["data"]["job_id"] for event in answer["events"]] == ["late", "new"]


async def test_a_wait_for_no_type_takes_any(modern_hooked_app: Connected) -> None:
    number = modern_hooked_app.sandbox.add_numbers(1)[0]
    after = (await modern_hooked_app.ok("list_events"))["after"]
    await modern_hooked_app.sandbox.send_event("white.completed", {"job_id": "job-1", "name": "n"})
    await deliver(modern_hooked_app, number, "1111")
    answer = await modern_hooked_app.ok("wait_for_event", types=[], after=after, timeout_seconds=0)
    assert [event["type"] for event in answer["events"]] == ["white.completed", "sms.received"]


async def test_a_wait_for_a_misspelt_type_is_refused_by_name(connect: Connect) -> None:
    async with connect(clock=MovingClock(speed=0)) as app:  # no wait ends
        said = await app.error("wait_for_event", types=["white.completed", "white.complete"])
    assert "types.1: must be one of sms.received" in said
    assert "white.failed" in said, "the ones there are"


@pytest.mark.parametrize("continued", [False, True])
async def test_an_event_behind_many_that_do_not_count_is_found(home: Home, continued: bool) -> None:
    number, yesterday = home.numbers[0], home.sandbox.now - timedelta(days=1)
    for n in range(25):
        await home.sandbox.receive_sms(number, f"Hello {n}", deliver=False, received_at=yesterday)
    assert await home.history.look(number, Priority.PERSON) == 25
    await home.webhook(number, "482913")
    cursor = Cursor(0, at=int(home.inbox.remote_time() or 0)) if continued else None
    waited = await wait_for_event(
        home.inbox, types=["sms.received"], match={}, seconds=0, progress=no_progress, cursor=cursor
    )
    assert codes(waited) == ["482913"]


async def test_an_event_of_just_now_is_found_by_a_clock_that_was_set_since(connect: Connect) -> None:
    clock = MovingClock(speed=0)
    async with connect(webhooks=True, clock=clock) as app:
        await app.ok("get_account")  # tells the time at piv.day
        await app.sandbox.send_event("domain.registered", {"domain_id": "d-1"})
        clock.advance(5)
        clock.correct(120)
        answer = await app.ok("wait_for_event", types=["domain.registered"], timeout_seconds=0)
        assert [event["data"]["domain_id"] for event in answer["events"]] == ["d-1"]
