"""The tools for events: lists, their pages, and waits for an event of any type."""

import asyncio
import json
from typing import Any

import pytest
from harness import Connect, Connected
from moving_clock import MovingClock

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
        hooked_app.ok("wait_for_event", types=["white.completed"], match={"job_id": "job-2"}, timeout_seconds=10)
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
    answer = await hooked_app.ok(
        "wait_for_event", types=["verify.failed"], match={"piv_num_id": phone}, timeout_seconds=0
    )
    assert answer["status"] == "ok"
    assert [event["piv_num_id"] for event in answer["events"]] == [mine]


async def test_a_message_that_the_history_alone_shows_is_waited_for_by_its_number(connect: Connect) -> None:
    clock = MovingClock(speed=0)
    async with connect(clock=clock) as app:
        mine, other = app.sandbox.add_numbers(2)
        for number in (other, mine):
            await app.sandbox.receive_sms(number, "Your order has shipped", deliver=False)
            await app.ok("get_latest_code", number=number)
        answers = [
            await app.ok("wait_for_event", types=["sms.received"], match=match, timeout_seconds=0)
            for match in (
                {"piv_num_id": mine},
                {"piv_num_id": app.sandbox.state.numbers[mine].phone_number},
                {"piv_num_id": mine, "message_body": "Your order has shipped"},
                {"piv_num_id": mine, "message_body": "Your order is late"},
            )
        ]
        found = [[event["piv_num_id"] for event in answer["events"]] for answer in answers]
        assert found == [[mine], [mine], [mine], []]


@pytest.mark.parametrize(("wanted", "other"), [(True, False), (False, True), (7, 8), ("seven", "eight")])
async def test_an_event_is_waited_for_by_a_value_of_any_type(
    hooked_app: Connected, wanted: str | int | bool, other: str | int | bool
) -> None:
    for job, value in (("job-1", other), ("job-2", wanted)):
        await hooked_app.sandbox.send_event("white.completed", {"job_id": job, "name": "n", "value": value})
    for given in (wanted, json.dumps(wanted).strip('"')):
        answer = await hooked_app.ok(
            "wait_for_event", types=["white.completed"], match={"value": given}, timeout_seconds=0
        )
        assert [event["data"]["job_id"] for event in answer["events"]] == ["job-2"], given


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
    assert "no such event: white.complete." in said
    assert "white.failed" in said, "the ones there are"
