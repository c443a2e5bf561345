"""The request limit over several processes, by way of the store."""

import asyncio
import json
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from engines import open_at
from harness import Connect, until
from moving_clock import MovingClock
from store_helpers import note_requests

from piv_mcp.api.rate_limit import BACKFILL_OWN, MAX_PAUSE, TOTAL, WAIT_OWN, WINDOW, YIELD, Pause, Priority
from piv_mcp.errors import RateLimitedError, StoreError
from piv_mcp.store import Store, minute
from piv_mcp.store.minute import Sent
from piv_mcp.store.rate_limit import IN_LINE, SharedLimiter, take_slot
from piv_mcp.text.times import SYSTEM_CLOCK


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[list[Store]]:
    """Two on one file, as two processes have them."""
    stores = [open_at(tmp_path / "store.sqlite3") for _ in range(2)]
    yield stores
    for store in stores:
        await store.close()


async def fill(store: Store, count: int, priority: Priority = Priority.PERSON, ago: float = 1.0) -> None:
    await note_requests(store, count, priority, at=SYSTEM_CLOCK.monotonic() - ago)


async def who_waits(store: Store) -> list[object]:
    return await store.requests.run(lambda c: list(c.rows("SELECT token FROM waiting")))


async def counted(store: Store) -> int:
    return await store.requests.run(lambda c: c.count("SELECT count(*) FROM requests"))


async def refused(*limiters: SharedLimiter) -> None:
    for limiter in limiters:
        with pytest.raises(RateLimitedError):
            await limiter.acquire(Priority.PERSON, timeout=0)


async def test_what_one_process_has_sent_counts_for_the_other(stores: list[Store]) -> None:
    first, second = map(SharedLimiter, stores)
    await fill(stores[0], TOTAL[Priority.PERSON] - 1)
    await first.acquire(Priority.PERSON, timeout=0)
    with pytest.raises(RateLimitedError) as caught:
        await second.acquire(Priority.PERSON, timeout=0)
    assert caught.value.retry_after == pytest.approx(WINDOW - 1, abs=2)


@pytest.mark.parametrize("priority", list(Priority))
async def test_each_priority_leaves_room_for_the_more_urgent_ones(stores: list[Store], priority: Priority) -> None:
    await fill(stores[0], WAIT_OWN, Priority.WAIT)
    await fill(stores[0], TOTAL[priority] - (0 if priority is Priority.PERSON else WAIT_OWN))
    with pytest.raises(RateLimitedError):
        await SharedLimiter(stores[1]).acquire(priority, timeout=0)
    for other in Priority:
        if TOTAL[other] > TOTAL[priority]:
            await SharedLimiter(stores[1]).acquire(other, timeout=0)


async def test_polls_keep_a_share_of_their_own_over_all_processes(stores: list[Store]) -> None:
    await fill(stores[0], TOTAL[Priority.PERSON])
    one, two = map(SharedLimiter, stores)
    for limiter in (one, two, one) * (WAIT_OWN // 3):
        with pytest.raises(RateLimitedError):
            await limiter.acquire(Priority.PERSON, timeout=0)
        await limiter.acquire(Priority.WAIT, timeout=0)
    with pytest.raises(RateLimitedError):
        await two.acquire(Priority.WAIT, timeout=0)


async def test_back_fill_has_a_share_of_its_own_over_all_processes(stores: list[Store]) -> None:
    await fill(stores[0], BACKFILL_OWN, Priority.BACKFILL)
    with pytest.raises(RateLimitedError):
        await SharedLimiter(stores[1]).acquire(Priority.BACKFILL, timeout=0)
    await SharedLimiter(stores[1]).acquire(Priority.WAIT, timeout=0)


async def test_requests_of_more_than_a_minute_ago_are_forgotten(stores: list[Store]) -> None:
    await fill(stores[0], 500, ago=WINDOW + 1)
    await SharedLimiter(stores[1]).acquire(Priority.PERSON, timeout=0)
    assert await counted(stores[0]) == 1


async def test_a_pause_that_one_process_was_told_holds_for_all(stores: list[Store]) -> None:
    first, second = map(SharedLimiter, stores)
    await first.pause(30)
    await first.pause(1)  # does not shorten it
    with pytest.raises(RateLimitedError) as caught:
        await second.acquire(Priority.PERSON, timeout=0)
    assert caught.value.retry_after == pytest.approx(30, abs=2)


async def test_a_pause_without_end_is_not_believed(stores: list[Store]) -> None:
    await SharedLimiter(stores[0]).pause(10**9)
    with pytest.raises(RateLimitedError) as caught:
        await SharedLimiter(stores[1]).acquire(Priority.PERSON, timeout=0)
    assert caught.value.retry_after == pytest.approx(MAX_PAUSE, abs=2)
    assert caught.value.message.startswith("piv.day asked for a pause of 11574 days; the next slot is in 6")


@pytest.mark.parametrize("by", [3600, -3600], ids=["forward", "back"])
async def test_a_clock_that_is_set_changes_no_pause(stores: list[Store], by: float) -> None:
    clock = MovingClock(speed=0)
    await SharedLimiter(stores[0], clock).pause(50)
    waiting = asyncio.create_task(SharedLimiter(stores[0], clock).acquire(Priority.PERSON, timeout=60))
    await until(lambda: clock.sleeping, seconds=30, what="the wait")
    clock.correct(by)
    for seconds in (1, 48):
        clock.advance(seconds)
        await until(lambda: clock.sleeping, seconds=30, what="the next look")
        await refused(SharedLimiter(stores[1], clock))
    clock.advance(1)
    await asyncio.wait_for(waiting, 30)
    await SharedLimiter(stores[1], clock).acquire(Priority.PERSON, timeout=0)


@pytest.mark.parametrize("by", [3600, -3600], ids=["forward", "back"])
async def test_a_clock_that_is_set_makes_room_for_nothing_and_takes_none_away(stores: list[Store], by: float) -> None:
    clock = MovingClock(speed=0)
    first, second = (SharedLimiter(store, clock) for store in stores)
    for _ in range(TOTAL[Priority.PERSON]):
        await first.acquire(Priority.PERSON, timeout=0)
    clock.correct(by)
    clock.advance(WINDOW - 1)
    await refused(first, second)
    clock.advance(1)
    await second.acquire(Priority.PERSON, timeout=0)


async def test_what_was_sent_before_the_machine_started_is_forgotten(stores: list[Store]) -> None:
    """The clock of the machine begins anew then, and the file is still there."""
    clock = MovingClock(speed=0)
    before = clock.monotonic() + 24 * 3600
    await note_requests(stores[0], TOTAL[Priority.PERSON], Priority.PERSON, at=before)
    await stores[0].requests.run(minute.put_pause, Pause(before + 30, 30))
    await stores[0].requests.run(minute.note_waiting, "person", before + 30)
    await SharedLimiter(stores[1], clock).acquire(Priority.BACKFILL, timeout=0)


async def test_a_request_of_a_process_whose_clock_is_a_little_ahead_counts_for_a_minute(stores: list[Store]) -> None:
    clock = MovingClock(speed=0)
    limiter = SharedLimiter(stores[0], clock)
    await note_requests(stores[1], TOTAL[Priority.PERSON], Priority.PERSON, at=clock.monotonic() + 10)
    await refused(limiter)
    clock.advance(WINDOW)
    await limiter.acquire(Priority.PERSON, timeout=0)


async def test_a_person_who_gave_up_at_once_keeps_nobody_aside(stores: list[Store]) -> None:
    limiter = SharedLimiter(stores[0])
    await limiter.pause(30)
    with pytest.raises(RateLimitedError):
        await limiter.acquire(Priority.PERSON, timeout=0)
    assert await who_waits(stores[1]) == []


async def test_a_call_is_told_of_the_pause_only_as_long_as_it_lasts(stores: list[Store]) -> None:
    clock = MovingClock(speed=0)
    limiter = SharedLimiter(stores[0], clock)
    await limiter.pause(30)
    clock.advance(30)
    for _ in range(TOTAL[Priority.PERSON]):
        await limiter.acquire(Priority.PERSON, timeout=0)
    with pytest.raises(RateLimitedError, match="This minute's requests are used up; the next slot is in 60 s"):
        await limiter.acquire(Priority.PERSON, timeout=0)


async def test_a_person_who_waits_keeps_back_fill_of_every_process_aside(stores: list[Store]) -> None:
    clock = MovingClock(speed=0)
    first, second = (SharedLimiter(store, clock) for store in stores)
    await first.pause(30)
    person = asyncio.create_task(first.acquire(Priority.PERSON, timeout=60))
    await until(lambda: clock.sleeping == 1, seconds=30, what="the wait")
    with pytest.raises(RateLimitedError):
        await second.acquire(Priority.BACKFILL, timeout=0)
    clock.advance(30)
    await person
    await second.acquire(Priority.BACKFILL, timeout=0)


async def test_a_person_who_waits_keeps_back_fill_of_no_other_account_aside(tmp_path: Path) -> None:
    stores = [open_at(tmp_path / "store.sqlite3", key_digest=key) for key in ("a", "b")]
    await stores[0].requests.run(minute.note_waiting, "person", SYSTEM_CLOCK.monotonic() + 60)
    await SharedLimiter(stores[1]).acquire(Priority.BACKFILL, timeout=0)
    with pytest.raises(RateLimitedError):
        await SharedLimiter(stores[0]).acquire(Priority.BACKFILL, timeout=0)
    for store in stores:
        await store.close()


async def test_a_process_that_died_waiting_is_forgotten(stores: list[Store]) -> None:
    await stores[0].requests.run(minute.note_waiting, "dead", SYSTEM_CLOCK.monotonic() - 0.001)
    await SharedLimiter(stores[1]).acquire(Priority.BACKFILL, timeout=0)


async def test_a_caller_that_is_cancelled_while_waiting_waits_no_more(stores: list[Store]) -> None:
    await SharedLimiter(stores[0]).pause(30)
    person = asyncio.create_task(SharedLimiter(stores[0]).acquire(Priority.PERSON, timeout=60))
    await until(lambda: who_waits(stores[1]), seconds=20, what="the wait")
    person.cancel()
    with pytest.raises(asyncio.CancelledError):
        await person
    assert await who_waits(stores[1]) == []


async def test_without_a_store_each_process_keeps_the_limit_for_itself(stores: list[Store]) -> None:
    limiter = SharedLimiter(stores[0])
    await limiter.acquire(Priority.PERSON, timeout=0)
    await stores[0].close()
    for _ in range(BACKFILL_OWN):
        await limiter.acquire(Priority.BACKFILL, timeout=0)
    with pytest.raises(RateLimitedError):
        await limiter.acquire(Priority.BACKFILL, timeout=0)


async def test_processes_that_race_for_slots_never_take_more_than_there_are(tmp_path: Path) -> None:
    code = """
        import asyncio, json, sys
        from pathlib import Path
        from piv_mcp.api.rate_limit import Priority
        from piv_mcp.errors import RateLimitedError
        from piv_mcp.store.rate_limit import SharedLimiter
        from piv_mcp.store import SqliteStore, Store

        async def main():
            store = SqliteStore(Path(sys.argv[1]))
            limiter = SharedLimiter(store)
            outcomes = await asyncio.gather(
                *(limiter.acquire(Priority.WAIT, timeout=0) for _ in range(60)), return_exceptions=True
            )
            print(json.dumps([outcomes.count(None), sum(isinstance(o, RateLimitedError) for o in outcomes)]))
            await store.close()

        asyncio.run(main())
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "store.sqlite3")]
    processes = [await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE) for _ in range(2)]
    results = [json.loads((await process.communicate())[0]) for process in processes]
    assert sum(taken for taken, _ in results) == TOTAL[Priority.WAIT]
    assert sum(refused for _, refused in results) == 120 - TOTAL[Priority.WAIT]


async def test_two_servers_on_one_data_directory_share_the_limit(connect: Connect) -> None:
    async with connect() as first, connect() as second:
        await second.ok("list_countries")
        await fill(first.services.inbox.store, TOTAL[Priority.PERSON])
        said = await second.error("list_countries")
        assert said.startswith("RATE_LIMITED: This minute's requests are used up")
        assert second.sent == []


async def test_no_call_sleeps_longer_than_it_must(stores: list[Store]) -> None:
    clock = MovingClock(speed=0)
    limiter = SharedLimiter(stores[0], clock)
    await limiter.pause(0.5)
    with pytest.raises(RateLimitedError):
        await limiter.acquire(Priority.PERSON, timeout=0.25)
    waiting = asyncio.create_task(limiter.acquire(Priority.PERSON, timeout=60))
    await until(lambda: clock.sleeping, seconds=30, what="the wait")
    assert await counted(stores[1]) == 0
    clock.advance(0.5)
    await asyncio.wait_for(waiting, 30)
    assert await counted(stores[1]) == 1


async def test_a_person_who_is_about_to_look_again_still_goes_first(stores: list[Store]) -> None:
    """The pause is over for everybody at the same moment, and a waiting call sleeps up to a second beyond it."""
    clock = MovingClock(speed=0)
    await SharedLimiter(stores[0], clock).pause(30)
    await stores[0].requests.run(take_slot, Sent(1, clock.monotonic(), Priority.PERSON), "person")
    clock.advance(30.5)
    with pytest.raises(RateLimitedError) as caught:
        await SharedLimiter(stores[1], clock).acquire(Priority.BACKFILL, timeout=0)
    assert caught.value.retry_after == YIELD
    await SharedLimiter(stores[1], clock).acquire(Priority.WAIT, timeout=0)
    clock.advance(1)
    await SharedLimiter(stores[1], clock).acquire(Priority.BACKFILL, timeout=0)


async def test_a_poll_that_gives_up_takes_no_person_s_place(stores: list[Store]) -> None:
    clock = MovingClock(speed=0)
    limiter = SharedLimiter(stores[0], clock)
    await limiter.pause(30)
    person = asyncio.create_task(limiter.acquire(Priority.PERSON, timeout=60))
    await until(lambda: clock.sleeping, seconds=30, what="the wait")
    with pytest.raises(RateLimitedError):
        await limiter.acquire(Priority.WAIT, timeout=0)
    assert len(await who_waits(stores[1])) == 1
    clock.advance(30)
    await asyncio.wait_for(person, 30)
    assert await who_waits(stores[1]) == []


async def test_without_a_store_the_rest_of_the_patience_is_kept(stores: list[Store]) -> None:
    clock = MovingClock(speed=0)
    limiter = SharedLimiter(stores[0], clock)
    await stores[0].close()
    await limiter.pause(10)
    with pytest.raises(RateLimitedError):
        await asyncio.wait_for(limiter.acquire(Priority.PERSON, timeout=9), 10)
    waiting = asyncio.create_task(limiter.acquire(Priority.PERSON, timeout=10))
    await until(lambda: clock.sleeping, seconds=30, what="the wait")
    clock.advance(10)
    await asyncio.wait_for(waiting, 30)


async def test_a_store_that_fails_during_a_wait_leaves_the_rest_of_the_patience(stores: list[Store]) -> None:
    clock = MovingClock(speed=0)
    limiter = SharedLimiter(stores[0], clock)
    await limiter.pause(30)
    waiting = asyncio.create_task(limiter.acquire(Priority.PERSON, timeout=31))
    await until(lambda: clock.sleeping, seconds=30, what="the wait")
    await stores[0].close()
    await limiter.pause(31.5)
    clock.advance(1)
    with pytest.raises(RateLimitedError, match="the next slot is in 31 s"):
        await asyncio.wait_for(waiting, 10)


async def test_requests_of_another_account_do_not_count(tmp_path: Path) -> None:
    stores = [open_at(tmp_path / "store.sqlite3", key_digest=key) for key in ("a", "b")]
    await fill(stores[0], TOTAL[Priority.PERSON])
    await SharedLimiter(stores[1]).acquire(Priority.PERSON, timeout=0)
    with pytest.raises(RateLimitedError):
        await SharedLimiter(stores[0]).acquire(Priority.PERSON, timeout=0)
    for store in stores:
        await store.close()


async def test_a_slot_is_waited_for_as_long_as_the_caller_has_patience_and_no_longer(stores: list[Store]) -> None:
    clock = MovingClock(speed=0)
    limiter = SharedLimiter(stores[0], clock)
    await limiter.pause(30)
    with pytest.raises(RateLimitedError):
        await asyncio.wait_for(limiter.acquire(Priority.PERSON, timeout=29), 10)
    assert clock.sleeping == 0
    waiting = asyncio.create_task(limiter.acquire(Priority.PERSON, timeout=30))
    await until(lambda: clock.sleeping, seconds=30, what="the wait")
    for _ in range(30):
        clock.advance(1)
        await until(lambda: clock.sleeping or waiting.done(), seconds=30, what="the next look")
    await asyncio.wait_for(waiting, 30)


async def test_a_store_that_fails_for_a_moment_makes_room_for_nothing_twice(
    stores: list[Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = MovingClock(speed=0)
    limiter, other = (SharedLimiter(store, clock) for store in stores)

    async def full(*_: object, **__: object) -> None:
        raise StoreError("the disk is full")

    async def take(count: int) -> None:
        for _ in range(count):
            await limiter.acquire(Priority.PERSON, timeout=0)

    await take(30)
    with monkeypatch.context() as broken:
        broken.setattr(stores[0].requests, "run", full)
        await take(TOTAL[Priority.PERSON] - 30)
        await refused(limiter)
    await refused(limiter, other)  # what was sent meanwhile counts for both
    clock.advance(WINDOW)
    await take(TOTAL[Priority.PERSON])
    await refused(limiter, other)


class Slots(SharedLimiter):
    """Notes who looks for a slot at the same time."""

    most = 0
    looking = 0

    async def _acquire(self, priority: Priority, give_up: float) -> None:
        self.looking += 1
        self.most = max(self.most, self.looking)
        await asyncio.sleep(0.001)
        await super()._acquire(priority, give_up)
        self.looking -= 1


async def test_of_one_who_sends_much_few_requests_are_in_line(stores: list[Store]) -> None:
    """Whoever sends less has as good a chance of the next slot."""
    callers = iter(["greedy"] * 30 + ["modest"])
    limiter = Slots(stores[0], SYSTEM_CLOCK, lambda: next(callers))
    order: list[int] = []

    async def take(place: int) -> None:
        await limiter.acquire(Priority.PERSON, timeout=10)
        order.append(place)

    await asyncio.gather(*(take(place) for place in range(31)))
    assert limiter.most == IN_LINE + 1
    assert order.index(30) <= IN_LINE, "the last to come is the only one of its caller"
    assert await counted(stores[0]) == 31


async def test_polls_and_one_persons_own_calls_are_in_no_line(stores: list[Store]) -> None:
    limiter = Slots(stores[0], SYSTEM_CLOCK, lambda: "ada")
    await asyncio.gather(*(limiter.acquire(Priority.WAIT, timeout=10) for _ in range(5)))
    assert limiter.most == 5
    alone = Slots(stores[0])
    await asyncio.gather(*(alone.acquire(Priority.PERSON, timeout=10) for _ in range(5)))
    assert alone.most == 5


async def test_who_waits_behind_ones_own_gives_up_in_time(stores: list[Store]) -> None:
    limiter = SharedLimiter(stores[0], MovingClock(speed=50), lambda: "ada")
    await fill(stores[0], TOTAL[Priority.PERSON], ago=30)
    for _ in range(2):  # also when it was so before
        answers = await asyncio.gather(
            *(limiter.acquire(Priority.PERSON, timeout=5) for _ in range(8)), return_exceptions=True
        )
        assert all(isinstance(answer, RateLimitedError) for answer in answers)
