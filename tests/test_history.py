"""The SMS history: how far a look reads, and how processes that wait share polls and the request limit."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from harness import until
from inbox_home import PATIENCE, Home, cancelled, codes, open_another
from store_helpers import forget_requests, note_requests

from piv_mcp.api.rate_limit import TOTAL, Priority
from piv_mcp.errors import NotFoundError, PermissionDeniedError, StoreError
from piv_mcp.inbox import history
from piv_mcp.inbox.history import AT_ONCE
from piv_mcp.inbox.watch import POLL_SECONDS, POLLS_A_MINUTE, REFUSED_SECONDS, TURN_SECONDS, Trouble
from piv_mcp.sandbox import Failure
from piv_mcp.store import Connection, events, leases, polls
from piv_mcp.store.database import COMMIT_POLL_SECONDS
from piv_mcp.store.event import StoredEvent

pytestmark = pytest.mark.usefixtures("instant_retries")


# How far a look reads


async def test_one_page_is_enough_where_the_newest_is_known(home: Home) -> None:
    number = home.numbers[0]
    for n in range(60):
        await home.sandbox.receive_sms(number, f"Your code is {1000 + n}", deliver=False)
    assert await home.history.look(number, Priority.PERSON) == 60
    home.sandbox.requests.clear()
    await home.sandbox.receive_sms(number, "Your code is 7777", deliver=False)
    assert await home.history.look(number, Priority.PERSON) == 1
    assert len(home.polls()) == 1


async def test_a_history_with_the_newest_last_is_read_from_its_end(home: Home) -> None:
    """The reference says the one and shows the other."""
    number = home.numbers[0]
    home.sandbox.state.oldest_sms_first = True
    yesterday = datetime.now(UTC) - timedelta(days=1)
    came = 0

    async def come(count: int) -> None:
        nonlocal came
        for _ in range(count):
            came += 1
            at = yesterday + timedelta(seconds=came)
            await home.sandbox.receive_sms(number, f"Your code is {1000 + came}", deliver=False, received_at=at)

    await come(60)
    assert await home.history.look(number, Priority.PERSON) == 60
    await come(1)
    home.sandbox.requests.clear()
    assert await home.history.look(number, Priority.PERSON) == 1
    assert len(home.polls()) == 2
    await come(300)
    assert await home.history.look(number, Priority.PERSON) == 300


@pytest.mark.parametrize("total", [None, 0, 50])
async def test_a_history_with_the_newest_last_is_read_to_its_end_where_its_total_does_not_tell_it(
    home: Home, total: int | None
) -> None:
    number = home.numbers[0]
    rows = [
        {
            "id": str(n),
            "message_body": f"Your code is {1000 + n}",
            "received_at": (home.sandbox.now - timedelta(seconds=300 - n)).isoformat(),
        }
        for n in range(300)
    ]

    def answer(start: int, end: int) -> Failure:
        body = json.dumps({"success": True, "data": {"messages": rows[start:end], "pagination": {"total": total}}})
        return Failure(kind="status", status=200, body=body, path="/numbers/*/sms")

    for start, end, new in ((0, 50, 50), (0, 61, 11), (0, 300, 239)):
        first, second, third = min(end, 50), min(end, 250), end
        for bounds in ((start, first), (first, second), (second, third)):
            home.sandbox.fail_next(answer(*bounds))
        assert await home.history.look(number, Priority.PERSON) == new
        home.sandbox.clear_failures()
    (newest,) = await home.inbox.store.read(events.codes, number)
    assert newest.code == "1299"
    pages = [(request.query["limit"], request.query.get("offset")) for request in home.sandbox.requests[-3:]]
    assert pages == [("50", None), ("200", "50"), ("200", "250")]


async def test_hundreds_of_messages_that_came_during_a_long_downtime_are_all_found(home: Home) -> None:
    number = home.numbers[0]
    await home.sandbox.receive_sms(number, "Your code is 1000", deliver=False)
    await home.history.look(number, Priority.BACKFILL)
    for n in range(1, 500):
        await home.sandbox.receive_sms(number, f"Your code is {1000 + n}", deliver=False)
    assert await home.history.look(number, Priority.BACKFILL) == 499
    found = await home.inbox.store.read(events.codes, number, limit=1000)
    assert sorted(event.code or "" for event in found) == [str(1000 + n) for n in range(500)]
    assert len(home.polls()) == 5, "a page of 50, three of 200 at the second look"


async def test_all_of_more_messages_than_one_commit_takes_are_counted(home: Home) -> None:
    for n in range(AT_ONCE + 1):
        await home.sandbox.receive_sms(home.numbers[0], f"Your code is {1000 + n}", deliver=False)
    assert await home.history.look(home.numbers[0], Priority.PERSON) == AT_ONCE + 1


async def test_what_a_number_has_sent_since_the_last_look_costs_one_request(home: Home) -> None:
    number = home.numbers[0]
    for n in range(60):
        await home.sandbox.receive_sms(number, f"Your code is {1000 + n}", deliver=False)
    await home.history.look(number, Priority.PERSON)
    await home.sandbox.receive_sms(number, "On my way", deliver=False)
    home.sandbox.state.numbers[number].messages[-1].direction = "outbound"
    home.sandbox.requests.clear()
    assert await home.history.look(number, Priority.PERSON) == 0
    assert len(home.polls()) == 1


async def test_where_no_total_is_given_what_a_number_has_just_sent_hides_nothing(home: Home) -> None:
    number, at = home.numbers[0], home.sandbox.now.isoformat()

    def page(direction: str, *ids: int) -> Failure:
        rows = [
            {"id": str(n), "message_body": f"Your code is {1000 + n}", "direction": direction, "received_at": at}
            for n in ids
        ]
        body = json.dumps({"success": True, "data": {"messages": rows, "pagination": {}}})
        return Failure(kind="status", status=200, body=body, path="/numbers/*/sms")

    for answer in (page("outbound", 1), page("outbound", *range(50)), page("inbound", 51)):
        home.sandbox.fail_next(answer)
    assert await home.history.look(number, Priority.PERSON) == 0
    assert await home.history.look(number, Priority.PERSON) == 1


async def test_a_message_whose_text_can_be_read_later_is_found_then(home: Home) -> None:
    number, found = home.numbers[0], list[list[str | None]]()
    for text in ({"text": "Your code is 482913"}, "Your code is 482913", "Your code is 482913"):
        body = json.dumps({"success": True, "data": {"messages": [{"id": "7", "message_body": text}]}})
        home.sandbox.fail_next(Failure(kind="status", status=200, body=body, path="/numbers/*/sms"))
        seq = await home.inbox.store.read(events.last_seq)
        await home.history.look(number, Priority.PERSON)
        found.append([event.code for event in await home.inbox.store.read(events.codes, number, after=seq)])
    assert found == [[], ["482913"], []]
    assert await home.history.trouble(number) is None


async def test_a_look_that_breaks_off_leaves_no_gap(home: Home) -> None:
    number = home.numbers[0]
    for n in range(100):
        await home.sandbox.receive_sms(number, f"Your code is {1000 + n}", deliver=False)
    home.sandbox.fail_next(Failure(kind="slow", path="/numbers/*/sms", delay=0))
    home.sandbox.fail_next(Failure(kind="status", code="PERMISSION_DENIED", path="/numbers/*/sms"))
    with pytest.raises(Exception, match="PERMISSION_DENIED"):
        await home.history.look(number, Priority.BACKFILL)
    assert await home.history.look(number, Priority.BACKFILL) == 100


@pytest.mark.parametrize(
    ("age", "taken_in"),
    [(timedelta(days=31), 0), (timedelta(days=30, minutes=-30), 0), (timedelta(days=30, minutes=-90), 1)],
)
async def test_messages_that_the_inbox_would_soon_delete_are_not_filled_in(
    home: Home, age: timedelta, taken_in: int
) -> None:
    old = datetime.now(UTC) - age
    await home.sandbox.receive_sms(home.numbers[0], "Your code is 1111", deliver=False, received_at=old)
    assert await home.history.look(home.numbers[0], Priority.BACKFILL) == taken_in
    assert (await home.inbox.store.read(events.after, 0))[1] == taken_in


async def test_messages_of_one_look_are_stored_in_the_order_of_their_times(home: Home) -> None:
    number, now = home.numbers[0], datetime.now(UTC)
    for minutes in (2, 3, 1):
        at = now - timedelta(minutes=minutes)
        await home.sandbox.receive_sms(number, f"Your code is {1000 + minutes}", deliver=False, received_at=at)
    await home.history.look(number, Priority.PERSON)
    found, _ = await home.inbox.store.read(events.after, 0)
    assert [event.code for event in found] == ["1003", "1002", "1001"]


async def test_what_comes_while_a_history_is_read_was_not_looked_for(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = home.numbers[0]
    before = await home.webhook(number, "1111")
    home.after_reads(monkeypatch, 2, lambda: home.webhook(number, "2222"))
    await home.history.look(number, Priority.PERSON)
    assert await home.inbox.store.read(events.last_seq) > before.seq
    assert (await home.inbox.store.read(polls.look, number)).seq == before.seq


async def test_what_a_number_sent_is_not_received(home: Home) -> None:
    number = home.numbers[0]
    await home.sandbox.receive_sms(number, "Your code is 1111", deliver=False)
    home.sandbox.state.numbers[number].messages[0].direction = "outbound"
    assert await home.history.look(number, Priority.PERSON) == 0
    assert await home.inbox.store.read(events.after, 0) == ([], 0)


async def test_messages_that_were_erased_are_not_brought_back_whatever_the_machine_s_clock_says(home: Home) -> None:
    number = home.numbers[0]
    await home.sandbox.receive_sms(number, "Your code is 1111", deliver=False)
    assert await home.history.look(number, Priority.PERSON) == 1
    an_hour_behind = home.clock.time() - 3600
    for deleted in (1, 0):
        assert await home.inbox.store.write(events.erase, number, an_hour_behind) == deleted
    assert await home.history.look(number, Priority.PERSON) == 0


# Polls of one process


async def test_two_waits_on_one_number_share_one_poll(home: Home) -> None:
    waits = [home.waiting(home.numbers[0]) for _ in range(5)]
    await home.polled()
    await home.webhook(home.numbers[0], "482913")
    assert [codes(waited) for waited in await asyncio.gather(*waits)] == [["482913"]] * 5
    assert home.polls() == [home.numbers[0]]


async def test_a_history_is_read_once_at_a_time(home: Home) -> None:
    number = home.numbers[0]
    home.sandbox.fail_next(Failure(kind="slow", path="/numbers/*/sms", delay=5))
    looks = [asyncio.create_task(home.history.look(number, Priority.PERSON)) for _ in range(2)]
    await home.asleep(1)
    for _ in range(10):
        await home.inbox.store.read(events.last_seq)  # after what the other look reads
    assert len(home.polls()) == 1
    home.clock.advance(5)
    assert await asyncio.gather(*looks) == [0, 0]
    assert len(home.polls()) == 2


async def test_a_number_that_was_missing_is_polled_again_by_the_next_wait(home: Home) -> None:
    number = home.numbers[0]
    home.sandbox.fail_next(Failure(kind="status", code="NOT_FOUND", path="/numbers/*/sms"))
    with pytest.raises(NotFoundError):
        await home.wait(number, seconds=20)
    home.clock.advance(POLL_SECONDS)
    waiting = home.waiting(number)
    await home.polled(2)
    await home.webhook(number, "482913")
    assert codes(await waiting) == ["482913"]


async def test_a_poll_that_broke_off_is_begun_again_by_the_next_wait(home: Home) -> None:
    number = home.numbers[0]
    async with home.history.watched(number) as watch:
        await home.asleep(1)
        assert watch.task is not None
        await cancelled(watch.task)
        home.clock.advance(POLL_SECONDS)
        async with home.history.watched(number):
            await home.polled(2)


async def test_waits_that_follow_each_other_poll_no_more_often_than_one(home: Home) -> None:
    number = home.numbers[0]
    for _ in range(3):
        waiting = home.waiting(number)
        await home.asleep()
        await cancelled(waiting)
    assert len(home.polls()) == 1
    waiting = home.waiting(number)
    await home.asleep()
    home.clock.advance(POLL_SECONDS)
    await home.polled(2)
    await cancelled(waiting)


async def test_ten_waits_on_ten_numbers_share_the_budget_of_polls(home: Home) -> None:
    waits = [home.waiting(number) for number in home.numbers[:10]]
    await home.polled(10)
    interval = home.history.watches.interval()
    assert 10 * 60 / interval <= POLLS_A_MINUTE
    for number in home.numbers[:10]:
        await home.webhook(number, "482913")
    await asyncio.gather(*waits)
    assert sorted(home.polls()) == sorted(home.numbers[:10]), "one poll each"
    assert home.history.watches.interval() == POLL_SECONDS


async def test_since_when_a_history_fails_is_told_by_its_first_failure_in_any_process(homes: list[Home]) -> None:
    home, other = homes
    number, since = home.numbers[0], home.clock.time()
    home.sandbox.fail_next(Failure(kind="status", code="PERMISSION_DENIED", path="/numbers/*/sms", times=None))
    for process in homes:
        with pytest.raises(PermissionDeniedError):
            await process.history.look(number, Priority.PERSON)
        home.clock.advance(60)
    with pytest.raises(PermissionDeniedError):
        await home.history.look(number, Priority.PERSON)
    async with open_another(home) as third:
        for process in (home, third):
            trouble = await process.history.trouble(number)
            assert trouble is not None
            assert trouble.since == since
    home.sandbox.clear_failures()
    await other.history.look(number, Priority.PERSON)
    async with open_another(home) as third:
        assert await third.history.trouble(number) is None


async def test_trouble_of_one_process_is_over_once_another_has_read_the_history(homes: list[Home]) -> None:
    home, other = homes
    number, failure = home.numbers[0], Failure(kind="status", code="PERMISSION_DENIED", path="/numbers/*/sms")
    for _ in range(2):
        home.sandbox.fail_next(failure)
        since = home.clock.time()
        with pytest.raises(PermissionDeniedError):
            await home.history.look(number, Priority.PERSON)
        for process in homes:
            trouble = await process.history.trouble(number)
            assert trouble is not None
            assert trouble.since == since
        home.clock.advance(60)
        await other.history.look(number, Priority.PERSON)
        home.clock.advance(60)


async def test_trouble_is_not_over_because_another_process_had_read_the_history_before(
    homes: list[Home], monkeypatch: pytest.MonkeyPatch
) -> None:
    home, other = homes
    number = home.numbers[0]
    await other.history.look(number, Priority.PERSON)
    home.clock.advance(60)
    since = home.clock.time()

    async def full(*_: object, **__: object) -> None:
        raise StoreError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(home.inbox.store, "write", full)
        with pytest.raises(StoreError):
            await home.history.look(number, Priority.PERSON)
    for process, expected in ((home, Trouble("the disk is full", since)), (other, None)):
        assert await process.history.trouble(number) == expected
    home.clock.advance(60)
    await other.history.look(number, Priority.PERSON)
    assert await home.history.trouble(number) is None


async def test_a_wait_that_ends_leaves_the_polling_to_the_other_on_its_number(home: Home) -> None:
    number = home.numbers[0]
    short, longer = home.waiting(number, seconds=1), home.waiting(number)
    await home.polled()
    await home.asleep()
    home.clock.advance(1)
    await short
    home.clock.advance(POLL_SECONDS - 1)
    await home.polled(2)
    await cancelled(longer)


async def test_a_key_that_stays_refused_is_tried_every_twelve_seconds(home: Home) -> None:
    home.sandbox.fail_next(Failure(kind="status", code="UNAUTHORIZED", path="/numbers/*/sms", times=None))
    waiting = home.waiting(home.numbers[0])
    for polls_so_far, pause in enumerate((3, 6, 12, 12), 1):
        await home.polled(polls_so_far)
        await home.asleep()
        home.clock.advance(pause - 0.5)
        await home.asleep()
        assert len(home.polls()) == polls_so_far
        home.clock.advance(0.5)
    await home.polled(5)
    await cancelled(waiting)


async def test_a_wait_after_a_busy_minute_finds_its_code(home: Home) -> None:
    number = home.numbers[0]
    await note_requests(home.inbox.store, TOTAL[Priority.PERSON], Priority.PERSON, at=home.clock.monotonic())
    waiting = home.waiting(number)
    await home.polled()
    await home.sandbox.receive_sms(number, "Your code is 551209", deliver=False)
    await home.asleep()
    home.clock.advance(POLL_SECONDS)
    await until(waiting.done, seconds=PATIENCE, what="the code")
    assert [event.code for event in (await waiting).found] == ["551209"]


async def test_a_poll_without_a_slot_is_made_when_there_is_one(home: Home) -> None:
    await note_requests(home.inbox.store, TOTAL[Priority.WAIT], Priority.WAIT, at=home.clock.monotonic() - 52)
    waiting = home.waiting(home.numbers[0])
    for seconds in (3, 3, 2):
        await home.asleep()
        assert home.polls() == []
        home.clock.advance(seconds)
    await home.polled()
    await cancelled(waiting)


async def test_a_refresh_reads_nothing_that_a_look_of_the_last_two_seconds_has_read(home: Home) -> None:
    number = home.numbers[0]
    await home.history.look(number, Priority.PERSON)
    for passed, polls_so_far in ((0, 1), (1.5, 1), (0.5, 2)):
        home.clock.advance(passed)
        assert await home.history.refresh(number, seconds=5) is None
        assert len(home.polls()) == polls_so_far


async def test_a_refresh_reads_again_what_a_slow_look_began_to_read_seconds_ago(home: Home) -> None:
    number = home.numbers[0]
    home.sandbox.fail_next(Failure(kind="slow", path="/numbers/*/sms", delay=3))
    looking = asyncio.create_task(home.history.look(number, Priority.PERSON))
    await home.asleep(1)
    home.clock.advance(3)
    await looking
    await home.history.refresh(number, seconds=5)
    assert len(home.polls()) == 2


async def test_a_refresh_of_a_number_that_the_account_does_not_have_is_not_found(home: Home) -> None:
    for code, error in (("NOT_FOUND", NotFoundError), ("PERMISSION_DENIED", None)):
        home.sandbox.fail_next(Failure(kind="status", code=code, path="/numbers/*/sms"))
        if error is None:
            assert isinstance(await home.history.refresh(home.numbers[0], seconds=5), PermissionDeniedError)
        else:
            with pytest.raises(error):
                await home.history.refresh(home.numbers[0], seconds=5)


async def test_a_look_without_an_answer_is_trouble_after_five_seconds_and_since_its_beginning(home: Home) -> None:
    number, since = home.numbers[0], home.clock.time()
    home.sandbox.fail_next(Failure(kind="slow", path="/numbers/*/sms", delay=8))
    looking = asyncio.create_task(home.history.look(number, Priority.PERSON))
    await home.asleep(1)
    home.clock.advance(5)
    assert await home.history.trouble(number) is None
    home.clock.advance(1)
    assert await home.history.trouble(number) == Trouble("no answer yet", since)
    home.clock.advance(2)
    await looking
    home.clock.advance(60)
    assert await home.history.trouble(number) is None


async def test_a_message_whose_time_is_nonsense_does_not_end_the_look_at_its_page(home: Home) -> None:
    at = [home.sandbox.now.isoformat()] * 49
    for ids, times in ((range(50), [*at, "1999-01-01T00:00:00Z"]), ([50], at)):
        rows = [
            {"id": str(n), "message_body": f"Your code is {1000 + n}", "received_at": time}
            for n, time in zip(ids, times, strict=False)
        ]
        body = json.dumps({"success": True, "data": {"messages": rows, "pagination": {"total": 51}}})
        home.sandbox.fail_next(Failure(kind="status", status=200, body=body, path="/numbers/*/sms"))
    assert await home.history.look(home.numbers[0], Priority.PERSON) == 51


async def test_one_message_out_of_its_order_does_not_turn_the_history_round(home: Home) -> None:
    times = [(home.sandbox.now - timedelta(minutes=n)).isoformat() for n in range(51)]
    times[20], times[21] = times[21], times[20]
    for ids in (range(50), range(50, 51)):
        rows = [{"id": str(n), "message_body": f"Your code is {1000 + n}", "received_at": times[n]} for n in ids]
        body = json.dumps({"success": True, "data": {"messages": rows, "pagination": {"total": 51}}})
        home.sandbox.fail_next(Failure(kind="status", status=200, body=body, path="/numbers/*/sms"))
    assert await home.history.look(home.numbers[0], Priority.PERSON) == 51


async def test_equal_messages_without_ids_are_told_by_their_times(home: Home) -> None:
    number = home.numbers[0]
    for minutes in (60, 30):
        at = home.sandbox.now - timedelta(minutes=minutes)
        await home.sandbox.receive_sms(number, "Your code is 1000", deliver=False, received_at=at)
    for message in home.sandbox.state.numbers[number].messages:
        message.id = ""  # type: ignore[assignment]
    assert [await home.history.look(number, Priority.PERSON) for _ in range(2)] == [2, 0]


async def test_messages_of_one_moment_are_stored_in_the_order_of_their_ids(home: Home) -> None:
    at = home.sandbox.now.isoformat()
    rows = [{"id": n, "message_body": f"Your code is 100{n}", "received_at": at} for n in ("10", "9", "8")]
    body = json.dumps({"success": True, "data": {"messages": rows, "pagination": {"total": 3}}})
    home.sandbox.fail_next(Failure(kind="status", status=200, body=body, path="/numbers/*/sms"))
    await home.history.look(home.numbers[0], Priority.PERSON)
    found, _ = await home.inbox.store.read(events.after, 0)
    assert [event.message_id for event in found] == ["8", "9", "10"]


async def test_a_short_history_with_the_newest_last_costs_one_request(home: Home) -> None:
    home.sandbox.state.oldest_sms_first = True
    for n in range(3):
        at = home.sandbox.now - timedelta(minutes=9 - n)
        await home.sandbox.receive_sms(home.numbers[0], f"Your code is 100{n}", deliver=False, received_at=at)
    assert await home.history.look(home.numbers[0], Priority.PERSON) == 3
    assert len(home.polls()) == 1


async def test_a_look_ends_at_messages_that_are_too_old_to_be_kept(home: Home) -> None:
    old = home.sandbox.now - timedelta(days=40)
    for n in range(120):
        await home.sandbox.receive_sms(home.numbers[0], f"Your code is {n}", deliver=False, received_at=old)
    assert await home.history.look(home.numbers[0], Priority.PERSON) == 0
    assert len(home.polls()) == 1


async def test_a_look_ends_at_what_the_number_had_sent_before_the_last_look(home: Home) -> None:
    number, hour_ago = home.numbers[0], home.sandbox.now - timedelta(hours=1)
    for n in range(120):
        await home.sandbox.receive_sms(number, f"On my way {n}", deliver=False, received_at=hour_ago)
    for message in home.sandbox.state.numbers[number].messages:
        message.direction = "outbound"
    await home.history.look(number, Priority.PERSON)
    await home.sandbox.receive_sms(number, "Your code is 1000", deliver=False)
    home.sandbox.requests.clear()
    assert await home.history.look(number, Priority.PERSON) == 1
    assert len(home.polls()) == 1


async def test_what_is_kept_is_told_by_piv_days_clock(home: Home) -> None:
    await home.sandbox.receive_sms(home.numbers[0], "Your code is 1000", deliver=False)
    home.clock.correct(40 * 86_400)
    assert await home.history.look(home.numbers[0], Priority.PERSON) == 1


async def test_an_erased_message_without_a_time_does_not_come_back(home: Home) -> None:
    number = home.numbers[0]
    await home.sandbox.receive_sms(number, "Your code is 1000", deliver=False)
    home.sandbox.state.numbers[number].messages[0].received_at = None  # type: ignore[assignment]
    assert await home.history.look(number, Priority.PERSON) == 1
    assert await home.inbox.store.write(events.erase, number) == 1
    assert await home.history.look(number, Priority.PERSON) == 0


@pytest.mark.parametrize("sent", [None, datetime(1999, 1, 1, tzinfo=UTC)], ids=["none", "1999"])
async def test_a_new_message_without_a_time_is_found_after_others_were_erased(
    home: Home, sent: datetime | None
) -> None:
    number = home.numbers[0]
    for code in ("1111", "2222"):
        await home.sandbox.receive_sms(number, f"Your code is {code}", deliver=False)
        home.sandbox.state.numbers[number].messages[-1].received_at = sent  # type: ignore[assignment]
    assert await home.history.look(number, Priority.PERSON) == 2
    assert await home.inbox.store.write(events.erase, number, home.inbox.remote_time() or 0.0) == 2
    await home.sandbox.receive_sms(number, "Your code is 3333", deliver=False)
    home.sandbox.state.numbers[number].messages[-1].received_at = sent  # type: ignore[assignment]
    assert await home.history.look(number, Priority.PERSON) == 1
    assert await home.history.look(number, Priority.PERSON) == 0
    assert [event.code for event in await home.inbox.store.read(events.codes, number, limit=9)] == ["3333"]


async def test_what_was_erased_before_the_history_showed_it_does_not_come_back_without_its_time(home: Home) -> None:
    number = home.numbers[0]
    assert await home.history.look(number, Priority.PERSON) == 0
    await home.webhook(number, "1111")
    assert await home.inbox.store.write(events.erase, number, home.inbox.remote_time() or 0.0) == 1
    await home.sandbox.receive_sms(number, "Your code is 1111", deliver=False)
    home.sandbox.state.numbers[number].messages[-1].received_at = None  # type: ignore[assignment]
    assert await home.history.look(number, Priority.PERSON) == 0


@pytest.mark.parametrize("timeless", [False, True])
async def test_what_is_erased_during_a_look_is_not_stored_by_it(
    home: Home, monkeypatch: pytest.MonkeyPatch, timeless: bool
) -> None:
    number = home.numbers[0]
    monkeypatch.setattr(history, "AT_ONCE", 2)
    for n in range(5):
        await home.sandbox.receive_sms(number, f"Your code is 100{n}", deliver=False)
        if timeless:
            home.sandbox.state.numbers[number].messages[-1].received_at = None  # type: ignore[assignment]
    record_all, erased = home.inbox.record_all, 0

    async def record_and_erase(*args: Any, **kwargs: Any) -> list[tuple[StoredEvent, bool]]:
        nonlocal erased
        stored = await record_all(*args, **kwargs)
        erased = erased or await home.inbox.store.write(events.erase, number, home.inbox.remote_time() or 0.0)
        return stored

    monkeypatch.setattr(home.inbox, "record_all", record_and_erase)
    assert await home.history.look(number, Priority.PERSON) == 2
    assert erased == 2
    assert await home.inbox.store.read(events.after, 0) == ([], 0)
    assert await home.history.look(number, Priority.PERSON) == 0


async def test_rows_that_cannot_be_understood_are_counted_on_all_pages(home: Home) -> None:
    number = home.numbers[0]

    def page(*ids: int) -> Failure:
        at = home.sandbox.now.isoformat()
        rows = [{"id": str(n), "message_body": f"Your code is {1000 + n}", "received_at": at} for n in ids]
        data = {"messages": [*rows, "x"], "pagination": {"total": 60}}
        return Failure(
            kind="status", status=200, body=json.dumps({"success": True, "data": data}), path="/numbers/*/sms"
        )

    home.sandbox.fail_next(page(*range(49)))
    home.sandbox.fail_next(page(*range(50, 59)))
    assert await home.history.look(number, Priority.PERSON) == 58
    trouble = await home.history.trouble(number)
    assert trouble is not None
    assert trouble.problem == "2 of its rows cannot be understood"
    since = home.clock.time()
    home.clock.advance(60)
    home.sandbox.fail_next(page(*range(48)))
    assert await home.history.look(number, Priority.PERSON) == 0
    trouble = await home.history.trouble(number)
    assert trouble == Trouble("1 of its rows cannot be understood", since), "since the first look that met one"


# Polls of several processes


async def watched_by_all(home: Home) -> int:
    return await home.inbox.store.read(leases.watched)


async def test_two_processes_that_wait_for_one_number_share_its_polls(homes: list[Home]) -> None:
    home, number = homes[0], homes[0].numbers[0]
    waits = [each.waiting(number) for each in homes]
    for n in range(1, 5):
        await home.polled(n)
        await home.asleep(4)
        assert len(home.polls()) == n, "at 0, 3, 6 and 9 s"
        home.clock.advance(POLL_SECONDS - 0.5)
        await home.asleep(4)
        assert len(home.polls()) == n
        home.clock.advance(0.5)
    await home.polled(5)
    await home.asleep(4)
    await home.sandbox.receive_sms(number, "Your code is 737373", trusted=False)
    home.clock.advance(POLL_SECONDS)
    await until(lambda: any(waiting.done() for waiting in waits), seconds=PATIENCE, what="the code")
    for _ in range(10):  # the other process finds the code in the store, before its own poll is due
        if not all(waiting.done() for waiting in waits):
            await home.asleep(2)
            home.clock.advance(COMMIT_POLL_SECONDS)
            await asyncio.sleep(0.01)
    assert [codes(waited) for waited in await asyncio.gather(*waits)] == [["737373"]] * 2
    assert len(home.polls()) == 6, "one process's poll answers both"


async def test_two_processes_with_ten_numbers_each_share_the_budget_and_poll_every_number(homes: list[Home]) -> None:
    home, numbers = homes[0], homes[0].numbers[:10]
    waits = [each.waiting(number, seconds=61) for each in homes for number in numbers]
    for n in range(1, 7):  # at 0, 10, 20, 30, 40 and 50 s
        await home.polled(10 * n)
        for _ in range(2):
            await home.asleep(22)
            assert sorted(home.polls()[-10:]) == sorted(numbers), "every number once"
            assert len(home.polls()) == 10 * n, "as often as one process polls"
            assert await watched_by_all(home) == 10
            home.clock.advance(5)
    await home.polled(70)
    await home.asleep(22)
    home.clock.advance(1)
    await asyncio.gather(*waits)
    assert len(home.polls()) == 70


async def test_numbers_of_another_process_count_for_the_interval(homes: list[Home]) -> None:
    first, second = homes
    number = first.numbers[0]
    others = [second.waiting(other) for other in second.numbers[1:6]]
    await first.polled(5)
    await first.asleep(6)
    mine = first.waiting(number)
    for seconds in range(0, 13, 3):
        await first.asleep(8)
        due = 1 + seconds // 6
        assert first.polls().count(number) == due, "six numbers: each every 6 s"
        first.clock.advance(3)
        if (seconds + 3) % 6 == 0:
            await until(lambda n=due + 1: first.polls().count(number) == n, seconds=PATIENCE, what="a poll")
    await cancelled(mine, *others)


async def test_a_wait_that_ends_counts_no_longer(homes: list[Home]) -> None:
    waits = [home.waiting(home.numbers[0], seconds=1) for home in homes]
    await homes[0].asleep(4)
    assert await watched_by_all(homes[0]) == 1
    homes[0].clock.advance(1)
    await asyncio.gather(*waits)

    async def nobody() -> bool:
        return await watched_by_all(homes[0]) == 0

    await until(nobody, seconds=PATIENCE, what="the end of the watches")


async def test_what_a_process_that_died_had_claimed_expires(home: Home) -> None:
    number, died = home.numbers[0], home.clock.time()

    def job(connection: Connection) -> None:
        for n in range(60):
            leases.note_watch(connection, f"dead-{n}", home.numbers[n % 12], now=died, until=died + 8)
            polls.claim(connection, f"dead-{n}", died)

    await home.inbox.store.write(job)
    waiting = home.waiting(number)
    for _ in range(2):
        await home.asleep()
        assert home.polls() == [], "twelve numbers: each every 12 s"
        home.clock.advance(TURN_SECONDS)
    await home.polled()
    assert await watched_by_all(home) == 1
    await cancelled(waiting)


async def test_a_poll_that_the_limit_refuses_silences_no_number_for_long(homes: list[Home]) -> None:
    home, number = homes[0], homes[0].numbers[0]
    await note_requests(home.inbox.store, TOTAL[Priority.WAIT], Priority.WAIT, at=home.clock.monotonic())
    waits = [each.waiting(number) for each in homes]
    await home.asleep(4)
    assert home.polls() == []
    await forget_requests(home.inbox.store)
    home.clock.advance(REFUSED_SECONDS)
    await home.polled()
    await cancelled(*waits)


async def test_a_poll_that_the_limit_refused_is_due_again_although_many_numbers_are_polled(home: Home) -> None:
    await note_requests(home.inbox.store, TOTAL[Priority.WAIT], Priority.WAIT, at=home.clock.monotonic())
    waits = [home.waiting(number) for number in home.numbers]
    await home.asleep(1 + len(home.numbers))
    assert home.polls() == []
    await forget_requests(home.inbox.store)
    home.clock.advance(REFUSED_SECONDS)
    assert home.history.watches.interval() > REFUSED_SECONDS
    await home.polled(len(home.numbers))
    await cancelled(*waits)


async def test_without_a_store_each_process_paces_its_own_polls(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*_: object, **__: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(home.inbox.store, "write", full)
    async with home.history.watched(home.numbers[0]):
        for n in range(1, 5):
            await home.polled(n)
            await home.asleep(1)
            assert len(home.polls()) == n, "at 0, 3, 6 and 9 s"
            home.clock.advance(POLL_SECONDS - 0.5)
            await asyncio.sleep(0)
            assert len(home.polls()) == n
            home.clock.advance(0.5)


async def test_a_clock_that_was_ahead_keeps_nobody_from_polling(home: Home) -> None:
    number, ahead = home.numbers[0], home.clock.time() + 3600

    def job(connection: Connection) -> None:
        polls.note_look(connection, number, polls.Look(at=ahead))
        leases.note_watch(connection, "other", number, now=home.clock.time(), until=ahead)
        polls.claim(connection, "other", ahead)

    await home.inbox.store.write(job)
    waiting = home.waiting(number)
    await home.polled()
    await cancelled(waiting)


async def test_an_erased_message_that_is_dated_a_little_ahead_does_not_come_back(home: Home) -> None:
    number = home.numbers[0]
    ahead = home.sandbox.now + timedelta(seconds=100)
    await home.sandbox.receive_sms(number, "Your code is 482913", deliver=False, received_at=ahead)
    assert await home.history.look(number, Priority.PERSON) == 1
    assert await home.inbox.store.write(events.erase, number) == 1
    home.clock.advance(POLL_SECONDS)
    assert await home.history.look(number, Priority.PERSON) == 0
