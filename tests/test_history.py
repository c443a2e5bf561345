"""The SMS history: how far a look reads, and how processes that wait share polls and the request limit."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from harness import until
from inbox_home import PATIENCE, Home, cancelled, codes, open_another

from piv_mcp.api.rate_limit import TOTAL, Priority
from piv_mcp.errors import NotFoundError, PermissionDeniedError, StoreError
from piv_mcp.inbox.history import POLL_SECONDS, POLLS_A_MINUTE, REFUSED_SECONDS, TURN_SECONDS
from piv_mcp.sandbox import Failure
from piv_mcp.store import Connection, events, leases, polls
from piv_mcp.store import rate_limit as requests
from piv_mcp.store.changes import COMMIT_POLL_SECONDS

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
    assert await home.inbox.store.read(polls.looked_through, [number]) == {number: before.seq}


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
    interval = home.history.interval()
    assert 10 * 60 / interval <= POLLS_A_MINUTE
    for number in home.numbers[:10]:
        await home.webhook(number, "482913")
    await asyncio.gather(*waits)
    assert sorted(home.polls()) == sorted(home.numbers[:10]), "one poll each"
    assert home.history.interval() == POLL_SECONDS


async def test_since_when_a_history_fails_is_told_by_its_first_failure_in_any_process(homes: list[Home]) -> None:
    home, other = homes
    number, since = home.numbers[0], home.clock.time()
    home.sandbox.fail_next(Failure(kind="status", code="PERMISSION_DENIED", path="/numbers/*/sms", times=None))
    for process in homes:
        with pytest.raises(PermissionDeniedError):
            await process.history.look(number, Priority.PERSON)
        home.clock.advance(60)
    async with open_another(home) as third:
        trouble = await third.history.trouble(number)
    assert trouble is not None
    assert trouble.since == since
    home.sandbox.clear_failures()
    await other.history.look(number, Priority.PERSON)
    async with open_another(home) as third:
        assert await third.history.trouble(number) is None


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
    just_now = home.clock.time()

    def fill(connection: Connection) -> None:
        for _ in range(TOTAL[Priority.WAIT]):
            requests.note_sent(connection, Priority.WAIT, just_now)

    await home.inbox.store.write(fill)
    waits = [each.waiting(number) for each in homes]
    await home.asleep(4)
    assert home.polls() == []
    await home.inbox.store.write(lambda c: c.execute("DELETE FROM requests"))
    home.clock.advance(REFUSED_SECONDS)
    await home.polled()
    await cancelled(*waits)


async def test_a_poll_that_the_limit_refused_is_due_again_although_many_numbers_are_polled(home: Home) -> None:
    just_now = home.clock.time()
    await home.inbox.store.write(
        lambda c: [requests.note_sent(c, Priority.WAIT, just_now) for _ in range(TOTAL[Priority.WAIT])]
    )
    waits = [home.waiting(number) for number in home.numbers]
    await home.asleep(1 + len(home.numbers))
    assert home.polls() == []
    await home.inbox.store.write(lambda c: c.execute("DELETE FROM requests"))
    home.clock.advance(REFUSED_SECONDS)
    assert home.history.interval() > REFUSED_SECONDS
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
