"""The client's own request limit: its policy, the limiter of one process, and how calls use it."""

import asyncio
import math
from collections import Counter

import pytest
from api_client import ACCOUNT, PURCHASE, PURCHASED, Recorder, Server
from hypothesis import given
from hypothesis import strategies as st

from piv_mcp import errors
from piv_mcp.api.rate_limit import (
    ALL,
    BACKFILL_LEAST,
    BACKFILL_OWN,
    MAX_PAUSE,
    TOTAL,
    WAIT_OWN,
    WINDOW,
    LocalLimiter,
    Pause,
    Priority,
    no_slot,
    seconds_to_wait,
)

pytestmark = pytest.mark.usefixtures("instant_retries")

times = st.lists(st.floats(0, 200), max_size=120)
histories = st.fixed_dictionaries(dict.fromkeys(Priority, times))


@given(histories, st.floats(100, 150), st.sampled_from(Priority), st.booleans(), st.floats(0, 300))
def test_who_may_go_is_within_every_budget(
    sent: dict[Priority, list[float]], now: float, priority: Priority, waiting: bool, paused_until: float
) -> None:
    pause = Pause(paused_until)
    wait = seconds_to_wait(priority, sent, now=now, pause=pause, person_waiting=waiting)
    recent = {kind: sum(time + WINDOW > now for time in at) for kind, at in sent.items()}
    total = sum(recent.values())
    may_go = {
        Priority.PERSON: total - recent[Priority.WAIT] < TOTAL[priority],
        Priority.WAIT: total < TOTAL[priority] or recent[priority] < WAIT_OWN,
        Priority.BACKFILL: total < TOTAL[priority] and recent[priority] < BACKFILL_OWN and not waiting,
    }
    assert (wait == 0) == (paused_until <= now and total < ALL and may_go[priority])
    assert 0 <= wait <= max(WINDOW, paused_until - now)


@given(histories, st.floats(100, 150))
def test_background_work_never_goes_before_a_person(sent: dict[Priority, list[float]], now: float) -> None:
    waits = {priority: seconds_to_wait(priority, sent, now=now) for priority in Priority}
    assert waits[Priority.BACKFILL] >= max(waits[Priority.PERSON], waits[Priority.WAIT])


@given(histories, st.floats(100, 150))
def test_polling_never_lacks_its_share_and_takes_no_other(sent: dict[Priority, list[float]], now: float) -> None:
    """However many calls the minute holds, the polls of a window and the others together stay within all."""
    polls = [time for time in sent[Priority.WAIT] if time + WINDOW > now][: WAIT_OWN - 1]
    others = {kind: times[: TOTAL[Priority.PERSON] // 2] for kind, times in sent.items() if kind is not Priority.WAIT}
    assert seconds_to_wait(Priority.WAIT, {**others, Priority.WAIT: polls}, now=now) == 0


@given(times, st.floats(0, 150))
def test_after_the_wait_the_slot_is_free(sent: list[float], now: float) -> None:
    history = {Priority.PERSON: [min(time, now) for time in sent]}
    wait = seconds_to_wait(Priority.WAIT, history, now=now)
    assert seconds_to_wait(Priority.WAIT, history, now=now + wait + 1e-6) == 0


def test_a_key_sends_95_requests_in_a_minute_and_no_more() -> None:
    """The reference allows 100, and polling keeps 15."""
    sent = {Priority.WAIT: [1000.0] * 15, Priority.PERSON: [1000.0] * 79}
    assert seconds_to_wait(Priority.PERSON, sent, now=1000.0) == 0
    sent[Priority.PERSON].append(1000.0)
    assert seconds_to_wait(Priority.PERSON, sent, now=1000.0) == 60
    assert seconds_to_wait(Priority.PERSON, sent, now=1059.0) == 1
    assert seconds_to_wait(Priority.PERSON, sent, now=1060.0) == 0


def test_a_person_s_calls_leave_the_polls_their_share() -> None:
    sent = {Priority.PERSON: [1000.0] * 80}
    assert seconds_to_wait(Priority.PERSON, sent, now=1000.0) == 60
    for _ in range(15):
        assert seconds_to_wait(Priority.WAIT, sent, now=1000.0) == 0
        sent.setdefault(Priority.WAIT, []).append(1000.0)
    assert seconds_to_wait(Priority.WAIT, sent, now=1000.0) == 60


@pytest.mark.parametrize(("priority", "total"), [(Priority.WAIT, 75), (Priority.BACKFILL, 60)])
def test_work_that_nobody_waits_for_leaves_more_room(priority: Priority, total: int) -> None:
    sent = {Priority.WAIT: [1000.0] * 15, Priority.PERSON: [1000.0] * (total - 15 - 1)}
    assert seconds_to_wait(priority, sent, now=1000.0) == 0
    sent[Priority.PERSON].append(1000.0)
    assert seconds_to_wait(priority, sent, now=1000.0) == 60


def test_the_wait_is_for_the_request_whose_end_frees_a_slot() -> None:
    sent = {Priority.PERSON: [1000.0, 1010.0, *[1020.0] * 79]}
    assert seconds_to_wait(Priority.PERSON, sent, now=1030.0) == 40
    sent = {Priority.BACKFILL: [1000.0, 1010.0, *[1020.0] * 19]}
    assert seconds_to_wait(Priority.BACKFILL, sent, now=1030.0) == 40
    sent = {Priority.WAIT: [1000.0, 1010.0, *[1020.0] * 14], Priority.PERSON: [1025.0] * 70}
    assert seconds_to_wait(Priority.WAIT, sent, now=1030.0) == 40, "its own slot is free before a shared one"
    sent = {Priority.WAIT: [1000.0] * 16, Priority.PERSON: [1025.0] * 79}
    assert seconds_to_wait(Priority.PERSON, sent, now=1030.0) == 30, "polls beyond their own count for all"


def test_a_longer_pause_is_kept_and_none_is_longer_than_the_longest() -> None:
    assert Pause().extended(30, 1000.0) == Pause(1030.0, 30)
    assert Pause(1030.0, 30).extended(10, 1000.0) == Pause(1030.0, 30)
    assert Pause(1030.0, 30).extended(40, 1000.0) == Pause(1040.0, 40)
    assert Pause(1065.0, 100).extended(200, 1000.0) == Pause(1065.0, 100)
    assert Pause(4600.0, 3600).extended(10, 1000.0) == Pause(1065.0, 3600)
    assert Pause(1030.0, 30).extended(math.inf, 1000.0) == Pause(1065.0, math.inf)


@pytest.mark.parametrize(
    ("wait", "pause", "message"),
    [
        (0.2, Pause(), "This minute's requests are used up; the next slot is in 1 s"),
        (44.1, Pause(5.0, 90), "This minute's requests are used up; the next slot is in 45 s"),
        (5.0, Pause(10.0), "piv.day asked for a pause; the next slot is in 5 s"),
        (5.0, Pause(10.0, 90), "piv.day asked for a pause of 90 seconds; the next slot is in 5 s"),
        (5.0, Pause(10.0, math.inf), "piv.day asked for a pause without end; the next slot is in 5 s"),
    ],
)
def test_a_call_without_a_slot_says_why_and_when(wait: float, pause: Pause, message: str) -> None:
    error = no_slot(wait, pause=pause, now=5.0)
    assert (error.message, error.retry_after) == (message, wait)
    assert error.hint == f"Wait {math.ceil(wait)} s, then repeat"


def test_a_clock_that_was_set_back_stops_nobody_for_good() -> None:
    sent = {Priority.PERSON: [10_000.0] * 95}
    assert seconds_to_wait(Priority.PERSON, sent, now=0.0) <= WINDOW
    assert seconds_to_wait(Priority.PERSON, {}, now=0.0, pause=Pause(1e9, 5.0)) == MAX_PAUSE


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)

    def limiter(self) -> LocalLimiter:
        return LocalLimiter(clock=self, sleep=self.sleep)


async def _goes(limiter: LocalLimiter, priority: Priority) -> bool:
    try:
        await limiter.acquire(priority, timeout=0)
    except errors.RateLimitedError:
        return False
    return True


async def test_polling_leaves_room_for_a_person() -> None:
    clock = Clock()
    limiter = clock.limiter()
    went: Counter[Priority] = Counter()
    for priority in (Priority.BACKFILL, Priority.WAIT, Priority.PERSON):
        while await _goes(limiter, priority):
            went[priority] += 1
        with pytest.raises(errors.RateLimitedError) as caught:
            await limiter.acquire(priority, timeout=59)
        assert caught.value.retry_after == WINDOW
        assert (caught.value.effect, caught.value.status) == ("none", None)
    assert went == {Priority.BACKFILL: 20, Priority.WAIT: 55, Priority.PERSON: 20}
    assert clock.slept == []


async def test_a_slot_is_waited_for_within_the_timeout() -> None:
    clock = Clock()
    limiter = clock.limiter()
    for _ in range(80):
        await limiter.acquire(Priority.PERSON, timeout=0)
    clock.now += 50
    await limiter.acquire(Priority.PERSON, timeout=20)
    assert clock.slept == [pytest.approx(10)]


async def test_a_request_of_a_minute_ago_makes_room_for_one_other() -> None:
    clock = Clock()
    limiter = clock.limiter()
    await limiter.acquire(Priority.PERSON, timeout=0)
    clock.now += 30
    for _ in range(79):
        await limiter.acquire(Priority.PERSON, timeout=0)
    clock.now += 30
    assert [await _goes(limiter, Priority.PERSON) for _ in range(2)] == [True, False]


async def test_nobody_sends_during_a_pause() -> None:
    clock = Clock()
    limiter = clock.limiter()
    await limiter.pause(30)
    await limiter.pause(5)
    with pytest.raises(errors.RateLimitedError, match="pause of 30 seconds; the next slot is in 30 s"):
        await limiter.acquire(Priority.PERSON, timeout=10)
    await limiter.acquire(Priority.PERSON, timeout=31)
    assert clock.slept == [pytest.approx(30)]


async def test_backfill_stands_aside_while_a_person_waits() -> None:
    clock = Clock()
    limiter = clock.limiter()
    await limiter.pause(10)
    order: list[Priority] = []

    async def call(priority: Priority) -> None:
        await limiter.acquire(priority, timeout=100)
        order.append(priority)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(call(Priority.PERSON))
        tasks.create_task(call(Priority.BACKFILL))
    assert order == [Priority.PERSON, Priority.BACKFILL]


async def test_a_call_says_its_priority() -> None:
    limiter = Recorder()
    piv = Server(ACCOUNT).client(limiter=limiter)
    await piv.account.get()
    await piv.at(Priority.WAIT).account.get()
    await piv.at(Priority.BACKFILL).account.get()
    assert [priority for priority, _ in limiter.asked] == list(Priority)


async def test_a_call_without_a_slot_is_not_sent() -> None:
    class Full(Recorder):
        async def acquire(self, priority: Priority, *, timeout: float) -> None:  # noqa: ASYNC109 - the protocol's
            raise no_slot(42.0)

    server = Server(PURCHASED)
    with pytest.raises(errors.RateLimitedError) as caught:
        await server.client(limiter=Full()).numbers.purchase(PURCHASE)
    assert server.requests == []
    assert (caught.value.retry_after, caught.value.effect) == (42.0, "none")
    assert (caught.value.method, caught.value.path) == ("POST", "/numbers/purchase")


def test_polls_leave_back_fill_a_small_share() -> None:
    now = 1000.0
    polls = {Priority.WAIT: [now - n for n in range(59)] + [now]}
    assert seconds_to_wait(Priority.BACKFILL, polls, now=now) == 0
    polls[Priority.BACKFILL] = [now] * BACKFILL_LEAST
    assert seconds_to_wait(Priority.BACKFILL, polls, now=now) > 0
    polls[Priority.BACKFILL], polls[Priority.PERSON] = [], [now] * BACKFILL_OWN
    assert seconds_to_wait(Priority.BACKFILL, polls, now=now) > 0, "but not beside a person's calls"
