"""Which code is the newest, how old it is, and whether it is new: with clocks that are wrong, sources that are late,
and cursors of other stores."""

import asyncio
import base64
import json
import string
import time
from collections import defaultdict
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from harness import ERAS, Connect, Connected, Era, content_of, until
from hypothesis import given, settings
from hypothesis import strategies as st
from inbox_home import PATIENCE, Home, cancelled, codes, open_another, open_home
from mcp.client import Client
from moving_clock import MovingClock
from processes import sms_webhook

from piv_mcp.api.rate_limit import Priority
from piv_mcp.config import load
from piv_mcp.inbox import cursor
from piv_mcp.inbox.cursor import Cursor, CursorError
from piv_mcp.inbox.parse import event_of
from piv_mcp.inbox.wait import CODES_AT_ONCE, CODES_COUNTED
from piv_mcp.inbox.watch import POLL_SECONDS
from piv_mcp.sandbox import Failure, Sandbox
from piv_mcp.server import build_server
from piv_mcp.store import accounts, events
from piv_mcp.store.event import TOGETHER_SECONDS, StoredEvent, newest_first

pytestmark = pytest.mark.usefixtures("instant_retries")


def webhook(number: str, text: str, code: str | None = None, *, ago: float = 0.0) -> bytes:
    return sms_webhook(number, text, code, (datetime.now(UTC) - timedelta(seconds=ago)).isoformat())


async def record(app: Connected, body: bytes) -> StoredEvent:
    inbox = app.services.inbox
    return (await inbox.record(event_of(body, inbox.clock.time(), inbox.remote_time())))[0]


def advance(app: Connected, clock: MovingClock, seconds: float) -> None:
    """Let so much time pass here and at piv.day."""
    clock.advance(seconds)
    app.sandbox.advance(timedelta(seconds=seconds))


# The order


async def test_a_webhook_that_is_tried_again_late_does_not_hide_the_newer_one(modern_app: Connected) -> None:
    number = modern_app.sandbox.add_numbers(1)[0]
    await record(modern_app, webhook(number, "Acme code 222002", ago=2))
    await record(modern_app, webhook(number, "Acme code 111001", ago=45))
    for tool in ("get_latest_code", "wait_for_code"):
        answer = await modern_app.ok(tool, number=number)
        assert (answer["status"], answer["newest"]["code"]) == ("ok", "222002")
        (other,) = answer["others"]
        assert (other["code"], 43 <= other["age_seconds"] <= 60) == ("111001", True)
        assert answer["newest"]["age_seconds"] < 10


def an_event(seq: int, moment: float, sent_at: float | None) -> StoredEvent:
    return StoredEvent(
        "sms.received", "webhook", moment, "{}", seq, sent_at=sent_at, stored_at=moment, reached_at=moment
    )


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 2000), st.none() | st.integers(-2000, 2000)), max_size=12), st.randoms())
def test_the_order_is_that_of_arrival_and_of_their_own_times_among_those_that_came_together(
    times: list[tuple[int, int | None]], shuffle: Any
) -> None:
    found = [an_event(n + 1, moment, None if sent is None else moment + sent) for n, (moment, sent) in enumerate(times)]
    ordered = newest_first(found)
    assert sorted(event.seq for event in ordered) == [event.seq for event in found]
    shuffle.shuffle(found)
    assert newest_first(found) == ordered, "whatever the order in which they are read"
    for earlier, later in zip(ordered[1:], ordered, strict=False):
        assert later.moment >= earlier.moment - TOGETHER_SECONDS, "nothing passes what came minutes later"
    together = [event for event in ordered if event.moment >= max(e.moment for e in ordered) - TOGETHER_SECONDS]
    own = [event.moment if event.sent_at is None else event.sent_at for event in together]
    assert own == sorted(own, reverse=True)


def test_what_may_be_old_comes_after_what_is_known_to_be_new() -> None:
    known = an_event(1, 1000.0, 1000.0)
    unknown = replace(an_event(2, 1000.0, 1060.0), age_known=0)
    assert newest_first([unknown, known]) == [known, unknown]


async def test_a_webhook_of_hours_ago_that_arrives_minutes_after_a_newer_one_is_stale_and_says_so(
    connect: Connect,
) -> None:
    """It came last, so it is the newest to have come; by its own time the other is."""
    clock = MovingClock(speed=0)
    async with connect(clock=clock) as app:
        number = app.sandbox.add_numbers(1)[0]
        await app.ok("get_latest_code", number=number)
        await record(app, webhook(number, "Your code is 111111"))
        minutes = TOGETHER_SECONDS + 60
        clock.advance(minutes)
        app.sandbox.advance(timedelta(seconds=minutes))
        await app.ok("get_account")
        await record(app, webhook(number, "Your code is 222222", ago=3 * 3600 - minutes))
        latest = await app.ok("get_latest_code", number=number)
        assert (latest["status"], latest["newest"]["code"]) == ("stale", "222222")
        assert latest["newest"]["age_seconds"] >= 3 * 3600 - 5
        assert "one of the others is newer" in latest["note"]
        assert [other["code"] for other in latest["others"]] == ["111111"]


async def test_a_webhook_of_hours_ago_that_arrives_last_hides_no_fresh_code_of_a_wait(connect: Connect) -> None:
    clock = MovingClock(speed=0)
    async with connect(clock=clock) as app:
        number = app.sandbox.add_numbers(1)[0]
        first = await app.ok("get_latest_code", number=number)
        await record(app, webhook(number, "Your code is 111111"))
        advance(app, clock, TOGETHER_SECONDS + 60)
        await record(app, webhook(number, "Your code is 222222", ago=3 * 3600))
        answer = await app.ok("wait_for_code", number=number, after=first["after"], timeout_seconds=0)
        assert (answer["status"], answer["newest"]["code"]) == ("ok", "111111")
        assert [(other["code"], other["age_seconds"] >= 3 * 3600) for other in answer["others"]] == [("222222", True)]
        assert "arrived later" in answer["note"]
        again = await app.ok("wait_for_code", number=number, after=answer["after"], timeout_seconds=0)
        assert again["status"] == "timeout", "both were shown"


# Clocks


@pytest.mark.parametrize("ahead", [70.0, 180.0, 3600.0, -70.0, -3600.0])
@pytest.mark.parametrize("when", ["before the wait", "between two looks", "during the wait"])
async def test_no_code_is_hidden_by_a_clock_that_is_wrong(data_dir: Path, ahead: float, when: str) -> None:
    async with open_home(data_dir) as home, open_another(home) as other:
        home.clock.correct(ahead)
        number = home.numbers[0]
        if when == "between two looks":
            await other.history.look(number, Priority.PERSON)
        waiting = home.waiting(number) if when == "during the wait" else None
        if waiting is not None:
            await home.asleep()
        await home.sandbox.receive_sms(number, "Your code is 482913", deliver=False)
        if when == "between two looks":  # another process has seen it before the wait begins
            await other.history.look(number, Priority.PERSON)
        home.clock.advance(0 if waiting is None else POLL_SECONDS)
        assert codes(await (waiting or home.wait(number))) == ["482913"]


@pytest.mark.parametrize("looked_by", ["the same process", "another"])
async def test_the_cursor_of_a_wait_finds_what_another_process_saw_first(data_dir: Path, looked_by: str) -> None:
    async with open_home(data_dir) as home, open_another(home) as other:
        home.clock.correct(180)
        number = home.numbers[0]
        first = await home.wait(number, seconds=0)
        await home.sandbox.receive_sms(number, "Your code is 482913", deliver=False)
        await (other if looked_by == "another" else home).history.look(number, Priority.PERSON)
        assert codes(await home.wait(number, after=first.cursor)) == ["482913"]


async def test_a_clock_that_was_ahead_for_a_while_hides_no_later_code(connect: Connect) -> None:
    clock = MovingClock(speed=0)
    async with connect(clock=clock) as app:
        number = app.sandbox.add_numbers(1)[0]
        await app.ok("get_latest_code", number=number)
        clock.correct(3600)
        clock.advance(POLL_SECONDS)
        await app.sandbox.receive_sms(number, "Your code is 111111", deliver=False)
        assert (await app.ok("get_latest_code", number=number))["newest"]["code"] == "111111"
        clock.correct(-3600)
        clock.advance(POLL_SECONDS)
        await app.sandbox.receive_sms(number, "Your code is 222222", deliver=False)
        latest = await app.ok("get_latest_code", number=number)
        assert (latest["status"], latest["newest"]["code"]) == ("ok", "222222")
        assert latest["newest"]["age_seconds"] < 60
        assert (await app.ok("wait_for_code", number=number))["newest"]["code"] == "222222"


async def test_a_code_that_was_stored_while_the_clock_was_ahead_is_not_new_an_hour_later(connect: Connect) -> None:
    clock = MovingClock(speed=0)
    async with connect(clock=clock) as app:
        number = app.sandbox.add_numbers(1)[0]
        clock.correct(3600)
        await app.ok("get_latest_code", number=number)
        await record(app, webhook(number, "Your code is 111111"))
        clock.correct(-3600)
        clock.advance(3600)
        app.sandbox.advance(timedelta(hours=1))
        latest = await app.ok("get_latest_code", number=number)
        assert latest["status"] == "stale"
        waited = await app.ok("wait_for_code", number=number, timeout_seconds=0)
        assert waited["status"] == "timeout"


async def test_a_code_that_was_stored_while_piv_days_clock_was_ahead_is_not_new_minutes_later(home: Home) -> None:
    number, ahead = home.numbers[0], 3600.0
    home.inbox.remote_time = lambda: home.clock.time() + ahead
    await home.webhook(number, "111111")
    ahead = 0.0
    home.clock.advance(600)
    assert codes(await home.wait(number, seconds=0)) == []
    await home.webhook(number, "222222")
    assert codes(await home.wait(number, seconds=0)) == ["222222"]


async def test_a_code_that_was_stored_while_piv_days_clock_was_ahead_is_new_at_once(home: Home) -> None:
    number, ahead = home.numbers[0], 3600.0
    home.inbox.remote_time = lambda: home.clock.time() + ahead
    await home.webhook(number, "111111")
    ahead = 0.0
    home.clock.advance(59)
    assert codes(await home.wait(number, seconds=0)) == ["111111"]


@pytest.mark.parametrize("shift", [200, 3600, -200, -3600])
async def test_one_answer_with_a_wrong_date_makes_no_new_code_old(connect: Connect, shift: float) -> None:
    clock = MovingClock(speed=0)
    async with connect(clock=clock) as app:
        number = app.sandbox.add_numbers(1)[0]
        await app.ok("get_latest_code", number=number)

        async def wrong_for_a_moment() -> None:
            clock.advance(POLL_SECONDS)
            app.sandbox.date_shift = timedelta(seconds=shift)
            await app.ok("get_latest_code", number=number)
            app.sandbox.date_shift = timedelta(0)
            await app.ok("get_account")

        await wrong_for_a_moment()
        await record(app, webhook(number, "Your code is 111111"))
        await app.sandbox.receive_sms(number, "Your code is 222222", deliver=False)
        await wrong_for_a_moment()
        waited = await app.ok("wait_for_code", number=number, timeout_seconds=0)
        assert {row["code"] for row in (waited["newest"], *waited["others"])} == {"111111", "222222"}
        assert all(row["age_seconds"] < 20 for row in (waited["newest"], *waited["others"]))


@pytest.mark.parametrize("shift", [900, 3600])
async def test_what_came_just_after_an_answer_with_a_wrong_date_does_not_stay_the_newest(
    connect: Connect, shift: float
) -> None:
    clock, minutes = MovingClock(speed=0), TOGETHER_SECONDS + 60
    async with connect(clock=clock) as app:
        number = app.sandbox.add_numbers(1)[0]
        await app.ok("get_account")
        app.sandbox.date_shift = timedelta(seconds=shift)
        await app.ok("get_account")
        app.sandbox.date_shift = timedelta(0)
        await record(app, webhook(number, "Your code is 111111"))
        await app.ok("get_account")
        clock.advance(minutes)
        app.sandbox.advance(timedelta(seconds=minutes))
        await record(app, webhook(number, "Your code is 222222", ago=-minutes))
        latest = await app.ok("get_latest_code", number=number)
        assert (latest["status"], latest["newest"]["code"]) == ("ok", "222222")


async def test_an_age_is_not_known_once_the_clock_that_told_it_was_set_back(home: Home) -> None:
    stored = await home.webhook(home.numbers[0], "111111")
    assert stored.age(home.clock.time(), None) == 0
    home.clock.correct(-4)
    assert stored.age(home.clock.time(), None) == 0, "clocks of several processes differ a little"
    home.clock.correct(-3600)
    assert stored.age(home.clock.time(), None) is None


async def test_without_a_date_of_the_answers_the_age_is_unknown_and_the_code_not_new(connect: Connect) -> None:
    sandbox = Sandbox()
    sandbox.date_shift = None
    async with connect(sandbox=sandbox) as app:
        number = app.sandbox.add_numbers(1)[0]
        await app.sandbox.receive_sms(number, "Your code is 482913", deliver=False)
        latest = await app.ok("get_latest_code", number=number)
        assert latest["status"] == "stale"
        assert "age_seconds" not in latest["newest"]
        assert "is not known" in latest["note"]
        assert (await app.ok("wait_for_code", number=number, timeout_seconds=0))["status"] == "timeout"
        await app.sandbox.receive_sms(number, "Your code is 737373", deliver=False)
        answer = await app.ok("wait_for_code", number=number)
        assert (answer["status"], answer["newest"]["code"]) == ("ok", "737373"), "the look before tells its age"


@pytest.mark.parametrize("ahead", [600, 3600, 86_400])
async def test_a_wrong_date_of_one_answer_makes_no_old_code_new(home: Home, ahead: float) -> None:
    number = home.numbers[0]
    home.sandbox.date_shift = timedelta(seconds=ahead)
    await home.history.look(number, Priority.PERSON)
    home.sandbox.date_shift = timedelta(0)
    home.clock.advance(3600)
    home.sandbox.advance(timedelta(hours=1))
    old = home.sandbox.now - timedelta(minutes=30)
    await home.sandbox.receive_sms(number, "Your code is 482913", deliver=False, received_at=old)
    await home.history.look(number, Priority.PERSON)
    assert codes(await home.wait(number, seconds=0)) == []
    (event,) = await home.inbox.store.read(events.codes, number)
    age = event.age(home.clock.time(), home.inbox.remote_time())
    assert age == pytest.approx(1800, abs=5)


@pytest.mark.parametrize("received_at", [datetime(1999, 1, 1, tzinfo=UTC), None], ids=["1999", "none"])
async def test_a_message_whose_own_time_is_nonsense_is_new_if_the_last_look_did_not_show_it(
    home: Home, received_at: datetime | None
) -> None:
    number = home.numbers[0]
    first = await home.wait(number, seconds=0)
    await home.history.look(number, Priority.PERSON)
    await home.sandbox.receive_sms(number, "Your code is 199900", deliver=False)
    home.sandbox.state.numbers[number].messages[-1].received_at = received_at  # type: ignore[assignment]
    home.clock.advance(POLL_SECONDS)
    waited = await home.wait(number, after=first.cursor)
    assert codes(waited) == ["199900"]
    age = waited.found[0].age(home.clock.time(), home.inbox.remote_time())
    assert age is not None
    assert age <= POLL_SECONDS + 1


@pytest.mark.parametrize("ahead", [timedelta(hours=2), timedelta(days=1), timedelta(days=400), timedelta(days=26_000)])
@pytest.mark.parametrize("has_date", [True, False])
async def test_a_webhook_of_the_future_does_not_stay_the_newest(
    connect: Connect, ahead: timedelta, has_date: bool
) -> None:
    sandbox, clock = Sandbox(), MovingClock(speed=0)
    sandbox.date_shift = timedelta(0) if has_date else None
    async with connect(sandbox=sandbox, clock=clock) as app:
        number = app.sandbox.add_numbers(1)[0]
        await app.ok("get_latest_code", number=number)
        await record(app, webhook(number, "Your code is 666666", ago=-ahead.total_seconds()))
        clock.advance(TOGETHER_SECONDS + 60)
        sandbox.date_shift = timedelta(0)
        await record(app, webhook(number, "Your code is 482913", ago=-TOGETHER_SECONDS - 60))
        latest = await app.ok("get_latest_code", number=number)
        assert [latest["newest"]["code"], *(row["code"] for row in latest["others"])] == ["482913", "666666"]
        assert latest["others"][0]["age_seconds"] == pytest.approx(TOGETHER_SECONDS + 60, abs=5)


# The history's order


async def test_a_message_from_the_future_does_not_end_the_look_at_its_page(home: Home) -> None:
    number, now = home.numbers[0], datetime.now(UTC)
    await home.sandbox.receive_sms(number, "Code 9999", deliver=False, received_at=now + timedelta(days=2))
    await home.history.look(number, Priority.PERSON)
    for n in range(60):
        await home.sandbox.receive_sms(
            number, f"Code {1000 + n}", deliver=False, received_at=now + timedelta(seconds=n / 100)
        )
    assert await home.history.look(number, Priority.PERSON) == 60


async def test_a_new_message_of_an_old_date_far_back_in_the_history_is_found(home: Home) -> None:
    number, now = home.numbers[0], datetime.now(UTC)
    for n in range(300):
        await home.sandbox.receive_sms(
            number, f"Code {1000 + n}", deliver=False, received_at=now - timedelta(minutes=n)
        )
    await home.history.look(number, Priority.PERSON)
    await home.sandbox.receive_sms(number, "Code 199900", deliver=False)
    home.sandbox.state.numbers[number].messages[-1].received_at = datetime(1999, 1, 1, tzinfo=UTC)
    assert await home.history.look(number, Priority.PERSON) == 1
    home.sandbox.requests.clear()
    assert await home.history.look(number, Priority.PERSON) == 0
    assert len(home.polls()) == 1, "and then one page is enough again"


async def test_what_a_number_sent_does_not_make_each_look_read_everything(home: Home) -> None:
    number = home.numbers[0]
    for n in range(120):
        await home.sandbox.receive_sms(number, f"Code {1000 + n}", deliver=False)
    for message in home.sandbox.state.numbers[number].messages:
        message.direction = "outbound"
        message.received_at -= timedelta(hours=1)
    await home.history.look(number, Priority.PERSON)
    home.sandbox.requests.clear()
    await home.history.look(number, Priority.PERSON)
    assert len(home.polls()) == 1


@pytest.mark.parametrize("has_date", [True, False])
async def test_what_a_number_has_just_sent_costs_one_request_a_poll(home: Home, has_date: bool) -> None:
    number = home.numbers[0]
    home.sandbox.date_shift = timedelta(0) if has_date else None
    for n in range(300):
        await home.sandbox.receive_sms(number, f"Code {1000 + n}", deliver=False)
    for message in home.sandbox.state.numbers[number].messages:
        message.direction = "outbound"
    await home.history.look(number, Priority.PERSON)
    home.sandbox.requests.clear()
    await home.history.look(number, Priority.PERSON)
    assert len(home.polls()) == 1
    await home.sandbox.receive_sms(number, "Your code is 482913", deliver=False)
    assert await home.history.look(number, Priority.PERSON) == 1


@pytest.mark.parametrize("ids", ["all empty", "all the same"])
@pytest.mark.parametrize("sent", ["its own", "none", "1999", "the future"])
async def test_messages_whose_ids_tell_nothing_are_new_once(home: Home, ids: str, sent: str) -> None:
    number, now = home.numbers[0], datetime.now(UTC)
    await home.history.look(number, Priority.PERSON)
    for n in range(45):
        at = now - timedelta(seconds=45 - n)
        await home.sandbox.receive_sms(number, f"Your code is {1000 + n}", deliver=False, received_at=at)
    for message in home.sandbox.state.numbers[number].messages:
        message.id = "" if ids == "all empty" else "1"  # type: ignore[assignment]
        if sent != "its own":
            other = {"1999": datetime(1999, 1, 1, tzinfo=UTC), "the future": now + timedelta(days=400)}
            message.received_at = other.get(sent)  # type: ignore[assignment]
    found: list[int] = []
    for _ in range(3):
        found.append(await home.history.look(number, Priority.PERSON))
        home.clock.advance(POLL_SECONDS)
    assert found == [45, 0, 0]


# One message from two sources


@pytest.mark.parametrize("hours", [-1, 1, -0.5, 5.75, -7, -24, 24])
@pytest.mark.parametrize("first", ["webhook", "history"])
@pytest.mark.parametrize("looked", [True, False])
@pytest.mark.parametrize("text", ["Your code is 482913", "Your code is 482913, don’t share it"])
async def test_a_history_in_another_local_time_makes_one_new_code_of_one_message(
    connect: Connect, hours: float, first: str, looked: bool, text: str
) -> None:
    clock = MovingClock(speed=0)
    async with connect(clock=clock) as app:
        number = app.sandbox.add_numbers(1)[0]
        if looked:
            await app.ok("get_latest_code", number=number)
            clock.advance(POLL_SECONDS)

        async def history() -> None:
            at = datetime.now(UTC) + timedelta(hours=hours)
            await app.sandbox.receive_sms(number, text.replace("’", "?"), deliver=False, received_at=at)
            await app.ok("get_latest_code", number=number)
            clock.advance(POLL_SECONDS)

        if first == "history":
            await history()
        await record(app, webhook(number, text))
        if first == "webhook":
            await history()
        for tool in ("get_latest_code", "wait_for_code"):
            answer = await app.ok(tool, number=number)
            assert (answer["status"], answer["newest"]["code"], answer.get("others")) == ("ok", "482913", None)
            assert answer["newest"]["confirmed"] == "in the SMS history"
        await record(app, webhook(number, text, ago=5))
        assert (await app.ok("list_events", number=number))["total"] == 2, "another webhook is another message"


async def test_a_replayed_text_makes_no_confirmed_code_younger(connect: Connect) -> None:
    clock = MovingClock(speed=0)
    async with connect(clock=clock) as app:
        number = app.sandbox.add_numbers(1)[0]
        await app.sandbox.receive_sms(number, "Your code is 482913", deliver=False)
        await app.ok("get_latest_code", number=number)
        clock.advance(3600)
        app.sandbox.advance(timedelta(hours=1))
        await app.ok("get_latest_code", number=number)
        await record(app, webhook(number, "Your code is 482913", ago=-3600))
        answer = await app.ok("wait_for_code", number=number, confirmed_only=True, timeout_seconds=0)
        assert answer["status"] == "timeout"


async def test_an_equal_text_of_minutes_before_does_not_take_the_webhook_of_another_message(home: Home) -> None:
    number, now = home.numbers[0], datetime.now(UTC)
    text = "Your code is 482913"
    shown = await home.record(webhook(number, text))
    for minutes in (10, 0):
        at = now - timedelta(minutes=minutes)
        await home.sandbox.receive_sms(number, text, deliver=False, received_at=at)
    await home.history.look(number, Priority.PERSON)
    found = await home.inbox.store.read(events.codes, number, limit=10)
    assert [event.source for event in found] == ["webhook", "history"]
    assert found[0].seq == shown.seq
    assert found[0].sent_at == pytest.approx(now.timestamp(), abs=2)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("12:34:56.7Z", "12:34:56Z"),
        ("12:34:56.700Z", "12:34:56.700000+00:00"),
        ("12:34:57.5Z", "14:34:57+02:00"),
        ("12:34:56.4Z", "12:34:56.4"),
        ("12:34:56.6Z", "12:34:57Z"),
        ("12:34:57Z", "12:34:56.6Z"),
    ],
)
async def test_a_retry_that_writes_its_time_in_another_form_is_one_message(home: Home, one: str, other: str) -> None:
    number, day = home.numbers[0], datetime.now(UTC).strftime("%Y-%m-%dT")
    stored = [
        await home.record(sms_webhook(number, "Your code is 1234", "1234", day + form)) for form in (one, other, one)
    ]
    assert len({event.seq for event in stored}) == 1


@pytest.mark.parametrize("hours", [0, -1])
async def test_a_retry_whose_time_is_rounded_is_one_message_with_that_of_the_history(home: Home, hours: int) -> None:
    number = home.numbers[0]
    at = home.sandbox.now.replace(microsecond=600_000) - timedelta(seconds=5)
    await home.record(sms_webhook(number, "Your code is 1234", "1234", at.isoformat()))
    shown = at + timedelta(hours=hours, seconds=2)
    await home.sandbox.receive_sms(number, "Your code is 1234", deliver=False, received_at=shown)
    await home.history.look(number, Priority.PERSON)
    first = at + timedelta(seconds=0.4)
    for later, count in ((timedelta(0), 1), (timedelta(seconds=1), 2), (timedelta(seconds=1.4), 2)):
        await home.record(sms_webhook(number, "Your code is 1234", "1234", (first + later).isoformat()))
        assert (await home.inbox.store.read(events.after, 0))[1] == count


def bare_webhook(number: str, text: str, code: str, at: datetime) -> bytes:
    """Without the message's own time."""
    data = {"piv_num_id": number, "text": text, "code": code}
    return json.dumps({"event_type": "sms.received", "timestamp": at.isoformat(), "data": data}).encode()


@pytest.mark.parametrize(("seconds", "messages"), [(0, 1), (30, 1), (120, 2), (600, 2)])
async def test_equal_webhooks_without_a_time_of_the_message_are_retries_for_a_minute(
    home: Home, seconds: float, messages: int
) -> None:
    number, now = home.numbers[0], datetime.now(UTC)
    first = await home.record(bare_webhook(number, "Your code is 1234", "1234", now))
    home.clock.advance(seconds)
    other = await home.record(bare_webhook(number, "Your code is 1234", "1234", now + timedelta(seconds=seconds)))
    assert len({first.seq, other.seq}) == messages


async def test_webhooks_with_an_empty_text_are_told_by_their_codes(home: Home) -> None:
    number, now = home.numbers[0], datetime.now(UTC)
    for code in ("1111", "2222", "1111"):
        await home.record(bare_webhook(number, "", code, now))
    assert codes(await home.wait(number)) == ["2222", "1111"]


# Cursors


numbers = st.integers(0, 2**40)


@given(
    numbers,
    st.lists(st.tuples(st.integers(1, 10**6), st.integers(0, 100)), max_size=40),
    numbers,
    st.binary(min_size=5, max_size=5),
    st.integers(0, 2**14 - 1),
)
def test_a_cursor_is_read_as_it_was_written_and_by_no_other_store(
    seq: int, stretches: list[tuple[int, int]], at: int, owner: bytes, about: int
) -> None:
    passed: list[tuple[int, int]] = []
    for gap, length in stretches:
        first = gap + (passed[-1][1] if passed else seq)
        passed.append((first, first + length))
    where = Cursor(seq, tuple(passed), at, about)
    text = cursor.write(where, owner)
    assert cursor.read(text, owner) == where
    with pytest.raises(CursorError):
        cursor.read(text, bytes(byte ^ 1 for byte in owner))


@pytest.mark.parametrize("bytes_cut", [1, 2], ids=["between two numbers", "within a number"])
def test_a_cursor_that_was_cut_is_none(bytes_cut: int) -> None:
    owner = b"owner"
    text = cursor.write(Cursor(7, ((307, 307),)), owner)
    body = base64.urlsafe_b64decode(text.removeprefix(cursor.VERSION) + "=" * (-(len(text) - 2) % 4))
    cut = cursor.VERSION + base64.urlsafe_b64encode(body[:-bytes_cut]).decode().rstrip("=")
    with pytest.raises(CursorError):
        cursor.read(cut, owner)


def test_a_cursor_with_a_mistake_in_it_or_of_any_length_is_none() -> None:
    owner = b"owner"
    text = cursor.write(Cursor(7), owner)
    assert cursor.read(text, owner) == Cursor(7)
    endless = cursor.write(Cursor(7, tuple((1000 * n, 1000 * n) for n in range(1, 200))), owner)
    for wrong in (f"{text[:4]}!{text[4:]}", f"{text[:4]}\n{text[4:]}", text[2:], endless):
        with pytest.raises(CursorError):
            cursor.read(wrong, owner)


def test_a_cursor_in_which_one_character_was_changed_or_two_were_swapped_is_none() -> None:
    owner = b"owner"
    where = Cursor(307, ((310, 312),), at=1_800_000_000, about=cursor.about("n-1"))
    text = cursor.write(where, owner)
    wrong = {
        text[:place] + char + text[place + 1 :]
        for place in range(len(cursor.VERSION), len(text))
        for char in string.ascii_letters + string.digits + "-_"
    }
    swaps = range(len(cursor.VERSION), len(text) - 1)
    wrong |= {text[:place] + text[place + 1] + text[place] + text[place + 2 :] for place in swaps}
    for other in wrong - {text}:
        with suppress(CursorError):
            assert cursor.read(other, owner) == where, "the last character has bits that say nothing"


def test_what_cursors_are_about_is_told_apart() -> None:
    kinds = [
        cursor.about(),
        cursor.about("n-1"),
        cursor.about("n-2"),
        cursor.about("n-1", ["sms.received"]),
        cursor.about(types=["sms.received"]),
        cursor.about(types=["white.failed", "sms.received"]),
        cursor.about(match={"job_id": "1"}),
        cursor.about(match={"1": "job_id"}),
    ]
    assert kinds[0] == 0, "everything"
    assert len(set(kinds)) == len(kinds)
    assert all(len(cursor.write(Cursor(1000, at=1_800_000_000, about=kind), b"owner")) <= 24 for kind in kinds)
    assert cursor.about(types=["a", "b", "a"], match={"x": "1", "y": "2"}) == cursor.about(
        types=["b", "a"], match={"y": "2", "x": "1"}
    )


def test_a_cursor_is_past_all_up_to_its_event_and_the_whole_of_its_stretches() -> None:
    where = Cursor(7, ((10, 12), (15, 15)))
    assert [seq for seq in range(5, 18) if where.is_past(seq)] == [5, 6, 7, 10, 11, 12, 15]


@given(st.text(max_size=60) | st.text("c1AQgw-_=9", max_size=60).map("c1".__add__))
def test_any_other_text_is_no_cursor(text: str) -> None:
    with pytest.raises(CursorError):
        cursor.read(text, b"\x00\xff\x00\xff\x01")


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("made_up", [0, "0", "", "null", None])
async def test_a_made_up_cursor_makes_no_old_code_new(connect: Connect, era: Era, made_up: object) -> None:
    """Clients that send every parameter invent `after=0`."""
    async with connect(era=era) as app:
        number = app.sandbox.add_numbers(1)[0]
        old = app.sandbox.now - timedelta(hours=2)
        await app.sandbox.receive_sms(number, "Your code is 482913", deliver=False, received_at=old)
        for _ in range(2):
            answer = await app.ok("wait_for_code", number=number, timeout_seconds=0, after=made_up)
            assert answer["status"] == "timeout"
            await app.ok("get_latest_code", number=number)  # which reads the history


async def test_a_code_of_more_than_ten_minutes_ends_a_wait_as_stale(modern_app: Connected) -> None:
    app = modern_app
    number = app.sandbox.add_numbers(1)[0]
    first = await app.ok("get_latest_code", number=number)
    await record(app, webhook(number, "Your code is 482913", ago=2 * 3600 + 1))  # sent again by hand
    answer = await app.ok("wait_for_code", number=number, after=first["after"])
    assert (answer["status"], answer["newest"]["code"]) == ("stale", "482913")
    assert "2 hours old: do not use it as a new one" in answer["note"]
    assert f"after={answer['after']}" in answer["note"]
    again = await app.ok("wait_for_code", number=number, after=answer["after"], timeout_seconds=0)
    assert again["status"] == "timeout"


@pytest.mark.parametrize("count", [CODES_AT_ONCE, CODES_AT_ONCE + 1, 3 * CODES_AT_ONCE + 2, 120])
async def test_codes_beyond_those_shown_are_said_and_not_passed(modern_app: Connected, count: int) -> None:
    number = modern_app.sandbox.add_numbers(1)[0]
    answer = await modern_app.ok("wait_for_code", number=number, timeout_seconds=0)
    for n in range(count):
        await record(modern_app, webhook(number, f"Your code is {1000 + n}", ago=count - n))
    seen: list[str] = []
    while len(seen) < count:
        answer = await modern_app.ok("wait_for_code", number=number, after=answer["after"])
        assert answer["status"] == "ok"
        shown = [row["code"] for row in (answer["newest"], *answer.get("others", []))]
        assert len(shown) == min(CODES_AT_ONCE, count - len(seen))
        left = count - len(seen) - len(shown)
        counted = f"{left} more codes" if left + len(shown) < CODES_COUNTED else "45 or more codes"
        assert (counted in answer.get("note", "")) == (left > 0)
        seen += shown
    assert seen == [str(1000 + n) for n in reversed(range(count))], "each once, the newest first"
    await record(modern_app, webhook(number, "Your code is 9999"))
    last = await modern_app.ok("wait_for_code", number=number, after=answer["after"])
    assert (last["newest"]["code"], last.get("others")) == ("9999", None)


@pytest.mark.parametrize("unconfirmed", ["first", "last", "between"])
async def test_a_confirmed_code_does_not_pass_those_that_are_confirmed_later(home: Home, unconfirmed: str) -> None:
    number, clock = home.numbers[0], home.clock
    first = await home.wait(number, seconds=0)
    order = {"first": "uc", "last": "cu", "between": "cuc"}[unconfirmed]
    for n, kind in enumerate(order):
        if kind == "c":
            await home.sandbox.receive_sms(number, f"Your code is {1000 + n}", deliver=False)
            clock.advance(POLL_SECONDS)
            await home.history.look(number, Priority.PERSON)
        else:
            await home.webhook(number, "9999")
    waited = await home.wait(number, after=first.cursor, confirmed_only=True)
    assert codes(waited) == [str(1000 + n) for n, kind in reversed(list(enumerate(order))) if kind == "c"]
    again = await home.wait(number, after=waited.cursor, confirmed_only=True, seconds=0)
    assert codes(again) == []
    await home.sandbox.receive_sms(number, "Your code is 9999", deliver=False)
    clock.advance(POLL_SECONDS)
    await home.history.look(number, Priority.PERSON)
    later = await home.wait(number, after=again.cursor, confirmed_only=True, seconds=0)
    assert codes(later) == ["9999"]


async def test_many_codes_that_are_never_confirmed_leave_the_cursor_short(home: Home) -> None:
    number = home.numbers[0]
    where = (await home.wait(number, seconds=0)).cursor
    for n in range(60):
        await home.webhook(number, str(5000 + n))
        await home.sandbox.receive_sms(number, f"Your code is {1000 + n}", deliver=False)
        home.clock.advance(POLL_SECONDS)
        await home.history.look(number, Priority.PERSON)
        waited = await home.wait(number, after=where, confirmed_only=True)
        assert codes(waited) == [str(1000 + n)]
        where = waited.cursor
    assert len(cursor.write(where, b"owner")) < 250


async def test_a_code_that_comes_while_others_are_left_is_the_newest(modern_app: Connected) -> None:
    number = modern_app.sandbox.add_numbers(1)[0]
    first = await modern_app.ok("wait_for_code", number=number, timeout_seconds=0)
    for n in range(7):
        await record(modern_app, webhook(number, f"Your code is {1000 + n}", ago=10 - n))
    shown = await modern_app.ok("wait_for_code", number=number, after=first["after"])
    await record(modern_app, webhook(number, "Your code is 9999"))
    answer = await modern_app.ok("wait_for_code", number=number, after=shown["after"])
    assert [answer["newest"]["code"], *(row["code"] for row in answer["others"])] == ["9999", "1001", "1000"]


async def test_a_cursor_of_a_deleted_store_is_ignored_also_where_it_is_smaller(
    connect: Connect, data_dir: Path
) -> None:
    async with connect() as app:
        number = app.sandbox.add_numbers(1)[0]
        await record(app, webhook(number, "Your code is 111111"))
        old = (await app.ok("list_events"))["after"]
    for suffix in ("", "-wal", "-shm"):
        (data_dir / f"store.sqlite3{suffix}").unlink(missing_ok=True)
    async with connect() as app:
        for n in range(20):
            await record(app, webhook(number, f"Your code is {2000 + n}"))
        answer = await app.ok("wait_for_code", number=number, after=old)
        assert answer["newest"]["code"] == "2019"
        assert "no longer exists" in answer["note"]
        assert "nothing is missed" not in answer["note"]


def with_numbers(arguments: dict[str, Any], numbers: list[str]) -> dict[str, Any]:
    """The arguments with the numbers that they name by their places."""
    return {**arguments, "number": numbers[arguments["number"]]} if "number" in arguments else arguments


OTHER_TOOLS: list[tuple[str, dict[str, Any]]] = [
    ("list_events", {"type": "verify.completed"}),
    ("get_latest_code", {"number": 1}),
    ("wait_for_event", {"types": ["verify.completed"], "timeout_seconds": 0}),
    ("wait_for_code", {"number": 1, "timeout_seconds": 0}),
]
"""Calls that give a cursor and do not read the history of number 0."""


@pytest.mark.parametrize("looked", [True, False], ids=["looked at before", "never looked at"])
@pytest.mark.parametrize(("tool", "arguments"), OTHER_TOOLS)
async def test_a_cursor_of_a_call_that_read_no_history_says_what_it_passes_of_it(
    connect: Connect, tool: str, arguments: dict[str, Any], looked: bool
) -> None:
    """What a history has gained since it was last read is new. Of one that was never read, nobody can say what is."""
    clock = MovingClock(speed=0)
    async with connect(clock=clock) as app:
        numbers = app.sandbox.add_numbers(2)
        number = numbers[0]
        if looked:
            await app.ok("get_latest_code", number=number)
        advance(app, clock, 120)
        await app.sandbox.receive_sms(number, "Your code is 482913", deliver=False)
        advance(app, clock, 100)
        after = (await app.ok(tool, **with_numbers(arguments, numbers)))["after"]
        await app.ok("get_latest_code", number=number)
        answer = await app.ok("wait_for_code", number=number, after=after, timeout_seconds=0)
        if looked:
            assert (answer["status"], answer["newest"]["code"]) == ("ok", "482913")
            return
        assert answer["status"] == "timeout"
        assert "codes from before the given after, 1 in all: get_latest_code shows the newest" in answer["note"]
        assert "nothing is missed" not in answer["note"]
        again = await app.ok("wait_for_code", number=number, after=answer["after"], timeout_seconds=0)
        assert "nothing is missed" in again["note"], "it is said once"


@pytest.mark.parametrize(("tool", "named"), [("list_events", True), ("list_events", False), ("get_latest_code", False)])
async def test_who_reads_the_inbox_after_a_while_gets_what_the_histories_have(
    connect: Connect, tool: str, named: bool
) -> None:
    clock = MovingClock(speed=0)
    async with connect(clock=clock) as app:
        number = app.sandbox.add_numbers(1)[0]
        advance(app, clock, 120)
        await app.sandbox.receive_sms(number, "Your code is 482913", deliver=False)
        advance(app, clock, 100)
        answer = await app.ok(tool, **({"number": number} if named else {}))
        assert "482913" in str(answer.get("events") or answer["newest"])
        again = await app.ok("wait_for_code", number=number, after=answer["after"], timeout_seconds=0)
        assert again["status"] == "timeout"


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("list_events", {"number": 0, "type": "verify.completed"}),
        ("wait_for_event", {"types": [], "number": 0, "timeout_seconds": 0}),
        ("wait_for_code", {"number": 0, "timeout_seconds": 0}),
    ],
)
async def test_what_came_after_the_first_of_several_calls_is_new_whenever_its_history_is_first_read(
    connect: Connect, tool: str, arguments: dict[str, Any]
) -> None:
    clock = MovingClock(speed=0)
    async with connect(clock=clock) as app:
        number = app.sandbox.add_numbers(1)[0]
        arguments = with_numbers(arguments, [number])
        app.sandbox.fail_next(Failure(kind="html", path="/numbers/*/sms", times=None))
        answer = await app.ok(tool, **arguments)
        advance(app, clock, 100)
        await app.sandbox.receive_sms(number, "Your code is 482913", deliver=False)
        advance(app, clock, 100)
        answer = await app.ok(tool, **arguments, after=answer["after"])
        app.sandbox.clear_failures()
        await app.ok("get_latest_code", number=number)
        answer = await app.ok("wait_for_code", number=number, after=answer["after"], timeout_seconds=0)
        assert answer["newest"]["code"] == "482913"


@pytest.mark.parametrize(
    ("tool", "arguments", "is_told"),
    [
        ("get_latest_code", {}, False),
        ("get_latest_code", {"number": 0}, False),
        ("get_latest_code", {"number": 1}, True),
        ("wait_for_code", {"number": 0, "timeout_seconds": 0}, False),
        ("wait_for_code", {"number": 1, "timeout_seconds": 0}, True),
        ("list_events", {}, False),
        ("list_events", {"number": 0}, False),
        ("list_events", {"number": 1}, True),
        ("list_events", {"number": 0, "type": "white.failed"}, True),
        ("wait_for_event", {"types": [], "timeout_seconds": 0}, False),
        ("wait_for_event", {"types": [], "number": 0, "timeout_seconds": 0}, False),
        ("wait_for_event", {"types": ["white.failed"], "timeout_seconds": 0}, True),
        ("wait_for_event", {"types": [], "white_id": "1", "timeout_seconds": 0}, True),
    ],
)
async def test_a_cursor_of_an_answer_about_something_else_promises_nothing(
    connect: Connect, tool: str, arguments: dict[str, Any], is_told: bool
) -> None:
    async with connect(clock=MovingClock(speed=0)) as app:
        numbers = app.sandbox.add_numbers(2)
        await app.ok("get_latest_code", number=numbers[0])
        after = (await app.ok(tool, **with_numbers(arguments, numbers)))["after"]
        waits: dict[str, dict[str, Any]] = {
            "wait_for_code": {"number": numbers[0], "timeout_seconds": 0},
            "list_events": {"number": numbers[0]},
            "wait_for_event": {"types": [], "number": numbers[0], "timeout_seconds": 0},
        }
        for name, more in waits.items():
            answer = await app.ok(name, **more, after=after)
            note = answer.get("note", "")
            assert ("is of an answer about something else" in note) == is_told
            shown_by = "get_latest_code shows it" if name == "wait_for_code" else "list_events without after shows it"
            assert (shown_by in note) == is_told
            if name == "wait_for_code":
                assert ("nothing is missed" in note) != is_told
            again = await app.ok(name, **more, after=answer["after"])
            assert "about something else" not in again.get("note", "")


async def test_a_page_of_older_events_passes_none_that_it_does_not_show(connect: Connect) -> None:
    async with connect(clock=MovingClock(speed=0)) as app:
        number = app.sandbox.add_numbers(1)[0]
        await app.ok("get_latest_code", number=number)
        for text in ("Hello one", "Hello two"):
            await record(app, webhook(number, text))
        newer = await app.ok("list_events", number=number, limit=1)
        await record(app, webhook(number, "Your code is 111111"))
        older = await app.ok("list_events", number=number, limit=1, before=newer["events"][0]["event_id"])
        assert ["Hello one" in event["text"] for event in older["events"]] == [True]
        answer = await app.ok("wait_for_code", number=number, timeout_seconds=0, after=older["after"])
        assert answer["newest"]["code"] == "111111"


@pytest.mark.parametrize("from_before", [-3, -1, 0, 1])
async def test_events_between_a_cursor_and_another_event_pass_nothing_else(connect: Connect, from_before: int) -> None:
    async with connect(clock=MovingClock(speed=0)) as app:
        number = app.sandbox.add_numbers(1)[0]
        for text in ("Hello", "Hello one"):
            await record(app, webhook(number, text))
        start = await app.ok("get_latest_code", number=number)
        stored = await record(app, webhook(number, "Hello two"))
        codes = [await record(app, webhook(number, f"Your code is {1000 + n}")) for n in range(2)]
        between = await app.ok("list_events", number=number, after=start["after"], before=codes[0].seq + from_before)
        assert [event["event_id"] for event in between["events"]] == [
            event.seq for event in (stored, *codes) if event.seq < codes[0].seq + from_before
        ]
        rest = await app.ok("list_events", number=number, after=between["after"])
        assert [event["event_id"] for event in between["events"] + rest["events"]] == [
            event.seq for event in (stored, *codes)
        ], "each once"


async def test_a_wait_for_confirmed_codes_says_that_an_unconfirmed_one_came(connect: Connect) -> None:
    clock = MovingClock(speed=0)
    async with connect(clock=clock) as app:
        number = app.sandbox.add_numbers(1)[0]
        start = await app.ok("get_latest_code", number=number)
        said = "A code came that the SMS history does not confirm yet: get_latest_code shows it."
        quiet = await app.ok("wait_for_code", number=number, timeout_seconds=0, confirmed_only=True)
        assert said not in quiet["note"]
        await record(app, webhook(number, "Your code is 666666"))
        for more in ({}, {"after": start["after"]}):
            waited = await app.ok("wait_for_code", number=number, timeout_seconds=0, confirmed_only=True, **more)
            assert (waited["status"], "newest" in waited) == ("timeout", False)
            assert said in waited["note"]
            assert "No confirmed code yet" in waited["note"]
        clock.advance(POLL_SECONDS)
        await app.sandbox.receive_sms(number, "Your code is 737373", deliver=False)
        await app.ok("get_latest_code", number=number)
        waited = await app.ok("wait_for_code", number=number, confirmed_only=True, after=start["after"])
        assert waited["newest"]["code"] == "737373"
        assert said in waited["note"]


async def test_a_cursor_of_a_later_state_of_the_store_is_ignored_and_said_to_be(modern_app: Connected) -> None:
    """The file was brought back from a copy of yesterday."""
    app = modern_app
    number = app.sandbox.add_numbers(1)[0]
    stored = await record(app, webhook(number, "Your code is 111111"))
    owner = await app.services.store.read(cursor.identity)
    later = cursor.write(Cursor(stored.seq + 1), owner)
    answer = await app.ok("wait_for_code", number=number, after=later)
    assert answer["newest"]["code"] == "111111"
    assert "later state" in answer["note"]


# Messages without a code


async def test_a_newer_message_without_a_code_is_shown_beside_an_older_code(modern_app: Connected) -> None:
    number = modern_app.sandbox.add_numbers(1)[0]
    first = await modern_app.ok("wait_for_code", number=number, timeout_seconds=0)
    await record(modern_app, webhook(number, "Acme: see you soon", ago=150))
    await record(modern_app, webhook(number, "Acme code 333003", ago=100))
    await record(modern_app, webhook(number, "Nimbus: tap the link we sent", ago=1))
    for tool, more in (("get_latest_code", {}), ("wait_for_code", {"after": first["after"]})):
        answer = await modern_app.ok(tool, number=number, **more)
        assert answer["newest"]["code"] == "333003"
        (quiet,) = answer["newer_without_code"]
        assert "Nimbus: tap the link" in quiet["text"]
        assert "no code was recognised" in answer["note"]
        assert "⟦" in quiet["text"], "between the marks of a stranger's text"


async def test_a_wait_that_ends_without_a_code_shows_what_came(modern_app: Connected) -> None:
    number, other = modern_app.sandbox.add_numbers(2)
    await record(modern_app, webhook(other, "Nimbus: for another number"))
    await record(modern_app, webhook(number, "Nimbus: tap the link we sent"))
    answer = await modern_app.ok("wait_for_code", number=number, timeout_seconds=0)
    assert answer["status"] == "timeout"
    assert [("Nimbus: tap" in row["text"]) for row in answer["newer_without_code"]] == [True]
    again = await modern_app.ok("wait_for_code", number=number, timeout_seconds=0, after=answer["after"])
    assert "newer_without_code" not in again
    latest = await modern_app.ok("get_latest_code", number=number)
    assert (latest["status"], len(latest["newer_without_code"])) == ("none", 1)


async def test_a_message_without_a_code_from_long_before_the_wait_is_not_shown(home: Home) -> None:
    number = home.numbers[0]
    await home.record(webhook(number, "Acme: see you soon"), ago=61)
    assert (await home.wait(number, seconds=0)).without_code == []
    await home.record(webhook(number, "Nimbus: tap the link we sent"), ago=59)
    assert [event.text for event in (await home.wait(number, seconds=0)).without_code] == [
        "Nimbus: tap the link we sent"
    ]


async def test_a_part_of_a_longer_sms_says_that_another_part_is_missing(modern_app: Connected) -> None:
    number = modern_app.sandbox.add_numbers(1)[0]
    await record(modern_app, webhook(number, "(1/2) Hello from Acme, the code that you asked for is on its way and"))
    answer = await modern_app.ok("wait_for_code", number=number, timeout_seconds=0)
    assert "part 1 of 2" in answer["note"]
    assert answer["newer_without_code"][0]["part"] == "1 of 2"


# What is not known


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (Failure(kind="status", code="UNAUTHORIZED", path="/numbers/*/sms", times=None), "could not be read since"),
        (
            Failure(kind="status", code="PERMISSION_DENIED", path="/numbers/*/sms", times=None),
            "could not be read since",
        ),
        (Failure(kind="html", path="/numbers/*/sms", times=None), "could not be read since"),
        (
            Failure(kind="rate_limited", retry_after=86_400, path="/numbers/*/sms", times=None),
            "could not be read since",
        ),
    ],
    ids=["401", "403", "no JSON", "429"],
)
@pytest.mark.parametrize("era", ERAS)
async def test_a_wait_that_could_not_look_says_why_and_since_when(
    connect: Connect, era: Era, failure: Failure, said: str
) -> None:
    clock = MovingClock()
    async with connect(era=era, clock=clock) as app:
        number = app.sandbox.add_numbers(1)[0]
        app.sandbox.fail_next(failure)
        waiting = asyncio.create_task(app.ok("wait_for_code", number=number, timeout_seconds=20))
        history = app.services.history
        await until(lambda: history.trouble(number), seconds=PATIENCE, what="the failed look", every=0.05)
        clock.advance(21)
        answer = await waiting
        assert answer["status"] == "timeout"
        assert said in answer["note"]
        assert "nothing is missed" not in answer["note"]


async def nothing_comes(app: Connected, number: str, *, answers: bool = True, **arguments: Any) -> dict[str, Any]:
    """What a call says that waits for a code, looks once at the history, which `answers` it, and finds none."""
    watch = app.services.history.watches.of(number)

    def looks() -> int:
        return sum(request.raw_path == f"/numbers/{number}/sms" for request in app.sandbox.requests)

    before = looks()
    app.advance(POLL_SECONDS)  # the last look is long ago
    waiting = asyncio.create_task(app.client.call_tool("wait_for_code", {"number": number, **arguments}))
    await until(lambda: looks() > before and watch.is_resting is answers, seconds=PATIENCE, what="a look")
    app.advance(arguments["timeout_seconds"] + 1)
    answer = content_of(await waiting)
    assert answer["status"] == "timeout"
    return answer


async def test_a_history_that_does_not_answer_is_said(connect: Connect) -> None:
    async with connect(clock=MovingClock(speed=0)) as app:
        number = app.sandbox.add_numbers(1)[0]
        app.sandbox.fail_next(Failure(kind="hang", path="/numbers/*/sms", times=None))
        answer = await nothing_comes(app, number, answers=False, timeout_seconds=10)
        assert "nothing is missed" not in answer["note"]
        assert "no answer yet" in answer["note"]
        app.sandbox.clear_failures()
        answer = await nothing_comes(app, number, timeout_seconds=5)
        assert "nothing is missed" in answer["note"]


async def test_rows_that_cannot_be_understood_cost_only_themselves_and_are_said(connect: Connect) -> None:
    async with connect(clock=MovingClock(speed=0)) as app:
        number = app.sandbox.add_numbers(1)[0]
        first = await app.ok("wait_for_code", number=number, timeout_seconds=0)
        app.advance(POLL_SECONDS)
        good = {"id": "5", "message_body": "Your code is 482913", "received_at": datetime.now(UTC).isoformat()}
        body = {"success": True, "data": {"messages": [good, "x"], "pagination": {"total": 2}}}
        app.sandbox.fail_next(
            Failure(kind="status", status=200, body=json.dumps(body), path="/numbers/*/sms", times=None)
        )
        answer = await app.ok("wait_for_code", number=number, after=first["after"])
        assert (answer["status"], answer["newest"]["code"]) == ("ok", "482913")
        more = await nothing_comes(app, number, after=answer["after"], timeout_seconds=5)
        assert "nothing is missed" not in more["note"]
        latest = await app.ok("get_latest_code", number=number)
        assert latest["newest"]["code"] == "482913"
        for note in (more["note"], latest["note"]):
            assert "1 of its rows cannot be understood" in note
        app.sandbox.clear_failures()
        more = await nothing_comes(app, number, after=answer["after"], timeout_seconds=5)
        assert "nothing is missed" in more["note"]


def sms_answer(data: object) -> Failure:
    """From now on each look at a history is answered with these data."""
    body = json.dumps({"success": True, "data": data})
    return Failure(kind="status", status=200, body=body, path="/numbers/*/sms", times=None)


LOST_TEXTS: list[dict[str, Any]] = [
    {"message_body": {"text": "Your code is 482913"}},
    {"message_body": ["Your code is 482913"]},
    {"message_body": None, "direction": "Inbound"},
    {},
]


@pytest.mark.parametrize(
    "data",
    [
        *({"messages": [{"id": "7", **lost}, {"id": "6", "message_body": "Hello"}]} for lost in LOST_TEXTS),
        {"messages": [{"id": "7", "message_body": None}], "pagination": {"total": 1}},
        {"messages": [], "pagination": {"total": 1}},
    ],
    ids=repr,
)
async def test_a_message_that_an_answer_does_not_show_may_be_missing(connect: Connect, data: object) -> None:
    clock = MovingClock(speed=0)
    async with connect(clock=clock) as app:
        number = app.sandbox.add_numbers(1)[0]
        first = await app.ok("get_latest_code", number=number)
        assert "could not be read" not in first.get("note", "")
        app.sandbox.fail_next(sms_answer(data))
        clock.advance(POLL_SECONDS)
        latest = await app.ok("get_latest_code", number=number)
        assert "could not be read" in latest["note"]
        waited = await app.ok("wait_for_code", number=number, after=first["after"], timeout_seconds=0)
        assert waited["status"] == "timeout"
        assert "nothing is missed" not in waited["note"]


@pytest.mark.parametrize(
    "data",
    [
        {"messages": []},
        {"messages": [], "pagination": {"total": 0}},
        {"messages": [{"id": "7", "message_body": None, "direction": "outbound"}], "pagination": {"total": 1}},
        {"messages": [{"id": "7", "message_body": ""}], "pagination": {"total": 1}},
    ],
    ids=repr,
)
async def test_a_history_without_a_message_that_was_received_misses_nothing(connect: Connect, data: object) -> None:
    async with connect(clock=MovingClock(speed=0)) as app:
        number = app.sandbox.add_numbers(1)[0]
        app.sandbox.fail_next(sms_answer(data))
        await app.ok("get_latest_code", number=number)
        waited = await app.ok("wait_for_code", number=number, timeout_seconds=0)
        assert (waited["status"], "nothing is missed" in waited["note"]) == ("timeout", True)


@pytest.mark.parametrize("direction", ["inbound", "Inbound", " INBOUND ", "incoming", "received", "", 3, None, {}])
async def test_a_message_is_received_unless_it_is_said_to_be_sent(connect: Connect, direction: object) -> None:
    async with connect(clock=MovingClock(speed=0)) as app:
        number = app.sandbox.add_numbers(1)[0]
        rows = [
            {"id": str(n), "message_body": f"Your code is {1000 + n}", "direction": how}
            for n, how in enumerate(
                [direction, "outbound", " Outbound", "OUT", "sent", "outgoing", "outbound-api", "MT", "outbound_sms"]
            )
        ]
        app.sandbox.fail_next(sms_answer({"messages": rows}))
        latest = await app.ok("get_latest_code", number=number)
        assert (latest["newest"]["code"], latest.get("others")) == ("1000", None)


async def test_a_text_that_came_as_a_number_is_a_text(connect: Connect) -> None:
    async with connect(clock=MovingClock(speed=0)) as app:
        number = app.sandbox.add_numbers(1)[0]
        app.sandbox.fail_next(sms_answer({"messages": [{"id": "7", "message_body": 482913}]}))
        latest = await app.ok("get_latest_code", number=number)
        assert (latest["newest"]["code"], "could not be read" in latest["note"]) == ("482913", False)


async def test_polling_goes_on_after_a_refused_key_that_is_good_again(home: Home) -> None:
    number = home.numbers[0]
    home.sandbox.fail_next(Failure(kind="status", code="UNAUTHORIZED", path="/numbers/*/sms", times=2))
    waiting = home.waiting(number)
    await home.polled()
    await home.sandbox.receive_sms(number, "Your code is 482913", deliver=False)
    while not waiting.done():
        home.clock.advance(POLL_SECONDS)
        await until(lambda: waiting.done() or home.clock.sleeping >= 2, seconds=PATIENCE, what="the next pause")
    assert codes(await waiting) == ["482913"]
    assert await home.history.trouble(number) is None


async def test_refusals_of_a_key_space_polls_and_are_forgotten_with_the_first_answer(home: Home) -> None:
    refused = Failure(kind="status", code="UNAUTHORIZED", path="/numbers/*/sms", times=2)
    home.sandbox.fail_next(refused)
    waiting, began, times = home.waiting(home.numbers[0]), home.clock.time(), list[float]()
    for _ in range(20):
        await home.asleep()
        times += [home.clock.time() - began] * (len(home.polls()) - len(times))
        if len(times) == 3:
            home.sandbox.clear_failures()
            home.sandbox.fail_next(replace(refused, times=1))
        home.clock.advance(1)
        if len(times) == 5:
            break
    await cancelled(waiting)
    assert times == [0, 3, 9, 12, 15]


async def test_another_process_knows_that_the_history_cannot_be_read(data_dir: Path) -> None:
    async with open_home(data_dir) as home, open_another(home) as other:
        number = home.numbers[0]
        home.sandbox.fail_next(Failure(kind="html", path="/numbers/*/sms", times=None))
        await home.history.refresh(number, seconds=5)
        home.sandbox.clear_failures()
        trouble = await other.history.trouble(number)
        assert trouble is not None
        assert trouble.since == pytest.approx(home.clock.time(), abs=2)
        assert await other.history.refresh(number, seconds=5) is None
        assert await other.history.trouble(number) is None


async def test_an_inbox_that_never_heard_a_webhook_says_so_until_one_comes(connect: Connect) -> None:
    async with connect(webhook_port=8787, sandbox=Sandbox()) as app:
        number = app.sandbox.add_numbers(1)[0]
        calls: list[tuple[str, dict[str, Any]]] = [
            ("wait_for_code", {"number": number}),
            ("wait_for_event", {"types": []}),
        ]
        for tool, more in calls:
            answer = await app.ok(tool, timeout_seconds=0, **more)
            assert "No webhook has ever been received here" in answer["note"]
            assert "nothing is missed" in answer["note"] or tool == "wait_for_event"
        await record(app, webhook(number, "See you at dinner"))
        answer = await app.ok("wait_for_code", number=number, timeout_seconds=0)
        assert "No webhook has ever" not in answer["note"]


async def test_without_a_key_a_wait_says_that_only_webhooks_bring_messages(data_dir: Path) -> None:
    async with Client(build_server(load(data_dir=data_dir, webhook_port=0))) as client:
        answer = content_of(await client.call_tool("wait_for_code", {"number": "abc-1", "timeout_seconds": 0}))
    assert "No API key" in answer["note"]
    assert "nothing is missed" not in answer["note"]


@pytest.mark.parametrize("tool", ["wait_for_code", "list_events", "get_latest_code"])
async def test_what_had_arrived_before_a_cursor_is_not_new_when_the_first_look_finds_it(
    modern_app: Connected, tool: str
) -> None:
    """A code of five minutes ago is another's, also where nobody had looked at the number yet."""
    app = modern_app
    number, other = app.sandbox.add_numbers(2)
    if tool == "wait_for_code":
        app.sandbox.fail_next(Failure(kind="html", path="/numbers/*/sms", times=None))
        first = await app.ok(tool, number=other, timeout_seconds=0)
        app.sandbox.clear_failures()
    else:
        first = await app.ok(tool, **({"number": other} if tool == "get_latest_code" else {}))
    before = app.sandbox.now - timedelta(minutes=5)
    await app.sandbox.receive_sms(number, "Your code is 111111", deliver=False, received_at=before)
    waiting = asyncio.create_task(app.ok("wait_for_code", number=number, after=first["after"], timeout_seconds=20))
    await until(
        lambda: any(r.raw_path.endswith(f"{number}/sms") for r in app.sandbox.requests), seconds=PATIENCE, what="a look"
    )
    await app.sandbox.receive_sms(number, "Your code is 222222", deliver=False)
    answer = await waiting
    assert [answer["newest"]["code"], *(row["code"] for row in answer.get("others", []))] == ["222222"]


async def test_what_came_while_the_history_could_not_be_read_is_past_the_cursor(home: Home) -> None:
    number = home.numbers[0]
    await home.history.look(number, Priority.PERSON)
    first = await home.wait(number, seconds=0)
    home.sandbox.fail_next(Failure(kind="html", path="/numbers/*/sms", times=None))
    sent = home.sandbox.now
    await home.sandbox.receive_sms(number, "Your code is 482913", deliver=False, received_at=sent)
    second = await home.wait(number, seconds=0, after=first.cursor)
    home.clock.advance(300)
    home.sandbox.advance(timedelta(seconds=300))
    third = await home.wait(number, seconds=0, after=second.cursor)
    home.sandbox.clear_failures()
    assert third.found == []
    waiting = asyncio.create_task(home.wait(number, after=third.cursor))

    def is_found() -> bool:
        home.clock.advance(1)
        return waiting.done()

    await until(is_found, seconds=PATIENCE, what="the code", every=0.05)
    assert codes(await waiting) == ["482913"]


# Two keys


async def test_two_keys_of_one_account_each_find_the_codes_and_then_share_them(home: Home) -> None:
    number = home.numbers[0]
    async with open_another(home, key_digest="one") as one, open_another(home, key_digest="other") as other:
        await one.inbox.store.write(accounts.identify, "user-1")
        assert await other.inbox.store.read(accounts.user_id) is None
        await one.webhook(number, "1111")
        await home.sandbox.receive_sms(number, "Your code is 2222", deliver=False)
        assert await one.history.look(number, Priority.PERSON) == 1
        assert codes(await other.wait(number, seconds=0)) == [], "a webhook that came to another account"
        assert await other.history.look(number, Priority.PERSON) == 1
        assert codes(await other.wait(number, seconds=0)) == ["2222"]
        await other.inbox.store.write(accounts.identify, "user-1")
        for process in (one, other):
            assert sorted(codes(await process.wait(number, seconds=0)), key=str) == ["1111", "2222"]


# Time


async def test_equal_codes_in_great_number_make_neither_a_look_nor_a_reading_slower(home: Home) -> None:
    few, many = home.numbers[:2]
    text = "Your code is 482913"
    for number, count in ((few, 200), (many, 20_000)):
        stored = [event_of(webhook(number, text, "482913", ago=40_000 - n), home.clock.time()) for n in range(count)]
        for start in range(0, count, 5000):
            await home.inbox.record_all(stored[start : start + 5000])

    took: defaultdict[tuple[str, str], list[float]] = defaultdict(list)

    async def measure(job: str, number: str, work: Awaitable[object]) -> None:
        started = time.process_time()
        await work
        took[job, number].append(time.process_time() - started)

    for turn in range(5):
        for number in (few, many):
            for n in range(50):
                at = datetime.now(UTC) - timedelta(hours=5, minutes=turn, seconds=n)
                await home.sandbox.receive_sms(number, text, deliver=False, received_at=at)
            await measure("look", number, home.history.look(number, Priority.PERSON))
            for read in (events.codes, events.without_code):
                await measure(read.__name__, number, home.inbox.store.read(read, number, after=0, limit=50))
        home.clock.advance(5)
    for job in ("look", "codes", "without_code"):
        assert min(took[job, many]) < 5 * min(took[job, few]), f"a hundred times as many, and the {job} takes longer"


# What is no SMS


async def test_a_code_of_a_known_event_that_is_no_sms_is_none(home: Home) -> None:
    number = home.numbers[0]
    for event_type in ("verify.failed", "sms.arrived"):
        data = {"piv_num_id": number, "code": "40013"}
        stored = await home.record(json.dumps({"event_type": event_type, "data": data}).encode())
        assert stored.code == (None if event_type == "verify.failed" else "40013")


async def test_an_erased_message_does_not_come_back_with_its_webhook(home: Home) -> None:
    number, now = home.numbers[0], home.sandbox.now
    await home.history.look(number, Priority.PERSON)
    body = sms_webhook(number, "Your code is 1111", "1111", now.isoformat())
    await home.record(body)
    home.advance(60)
    assert await home.inbox.store.write(events.erase, number, home.inbox.remote_time() or 0.0) == 1
    later = sms_webhook(number, "Your code is 2222", "2222", (now + timedelta(seconds=90)).isoformat())
    home.advance(60)
    for told in (body, later, body):
        await home.record(told)
    found = await home.inbox.store.read(events.codes, number, limit=9)
    assert [event.code for event in found] == ["2222"]


async def test_what_the_number_itself_sent_is_not_received_whatever_its_direction_is_called(home: Home) -> None:
    number, own = home.numbers[0], "+14155550100"
    rows = [
        {"id": "1", "message_body": "Your code is 1111", "direction": "in", "from_number": "Acme", "to_number": own},
        {"id": "2", "message_body": "Your code is 2222", "direction": "new", "from_number": own, "to_number": "+1415"},
        {"id": "3", "message_body": "Your code is 3333", "direction": "new", "from_number": "Acme", "to_number": own},
    ]
    home.sandbox.fail_next(sms_answer({"messages": rows}))
    await home.history.look(number, Priority.PERSON)
    found = await home.inbox.store.read(events.codes, number, limit=9)
    assert sorted(event.code or "" for event in found) == ["1111", "3333"]
