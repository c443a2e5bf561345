"""Back-fill: what no webhook brought is found in the history, within the request limit, for all processes."""

import asyncio
import os
import sys
from datetime import timedelta

import pytest
from harness import Connect, Connected, until
from inbox_home import PATIENCE, Home, cancelled, codes
from moving_clock import MovingClock
from processes import sms_webhook

from piv_mcp.api.phonebook import Phonebook
from piv_mcp.api.rate_limit import BACKFILL_OWN, Priority
from piv_mcp.api.retry import ATTEMPTS
from piv_mcp.errors import RateLimitedError
from piv_mcp.inbox.backfill import LAST_ROUND_END, LEASE, LEASE_SECONDS, NOW_SECONDS, ROUND_SECONDS, Backfill
from piv_mcp.inbox.settling import SETTLE_SECONDS
from piv_mcp.sandbox import Failure, Sandbox
from piv_mcp.sandbox import numbers as sandbox_numbers
from piv_mcp.sandbox.state import SandboxNumber, State
from piv_mcp.store import accounts, events, facts, leases, minute

pytestmark = pytest.mark.usefixtures("instant_retries")


async def round_ended(home: Home) -> bool:
    return await home.inbox.store.read(facts.own_number, LAST_ROUND_END) > 0


async def test_back_fill_adds_what_is_missing_and_says_so(home: Home) -> None:
    await home.webhook(home.numbers[0], "1111")
    await home.sandbox.receive_sms(home.numbers[3], "Your code is 3333", deliver=False)
    filling = home.backfill()
    running = asyncio.create_task(filling.run())
    await filling.settled()
    found = {event.code: event.source for event in await home.inbox.store.read(events.codes, None, limit=10)}
    assert found == {"1111": "webhook", "3333": "history"}
    assert home.polls()[0] == home.numbers[0], "the number that heard something lately comes first"
    await cancelled(running)


async def test_a_number_that_receives_no_sms_is_not_asked_for_any(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    deaf, *others = home.numbers
    view = sandbox_numbers._view  # pyright: ignore[reportPrivateUsage]

    def view_of_a_deaf_one(state: State, number: SandboxNumber) -> dict[str, object]:
        return {**view(state, number), "can_receive_sms": number.piv_num_id != deaf}

    monkeypatch.setattr(sandbox_numbers, "_view", view_of_a_deaf_one)
    running = asyncio.create_task(home.backfill().run())
    await until(lambda: round_ended(home), seconds=PATIENCE, what="the end of the round")
    await cancelled(running)
    assert sorted(home.polls()) == sorted(others)


async def test_back_fill_of_500_numbers_keeps_to_20_requests_a_minute_the_recent_ones_first(
    home: Home,
) -> None:
    numbers = [*home.numbers, *home.sandbox.add_numbers(488)]
    recent = [numbers[n] for n in (477, 3, 222)]
    for number in reversed(recent):
        await home.record(sms_webhook(number, "Your code is 1234", "1234"))
    running = asyncio.create_task(home.backfill().run())
    await until(lambda: len(home.sandbox.requests) >= BACKFILL_OWN, seconds=PATIENCE, what="the first requests")
    with pytest.raises(RateLimitedError):
        await home.limiter().acquire(Priority.BACKFILL, timeout=0)
    assert len(home.sandbox.requests) == BACKFILL_OWN
    assert home.polls()[:3] == recent
    assert len(home.polls()) == BACKFILL_OWN - 4, "whose the key is, and three pages of numbers"
    assert await home.history.refresh(numbers[9], seconds=3) is None, "a person's call goes on"
    await cancelled(running)


async def test_back_fill_stands_aside_while_a_persons_call_waits(home: Home) -> None:
    store = home.inbox.store
    await store.requests.run(minute.note_waiting, "somebody", home.clock.monotonic() + 60)
    with pytest.raises(RateLimitedError):
        await home.limiter().acquire(Priority.BACKFILL, timeout=0)
    await home.limiter().acquire(Priority.WAIT, timeout=0)
    await store.requests.run(minute.forget_waiting, "somebody")
    await home.limiter().acquire(Priority.BACKFILL, timeout=0)


async def test_a_round_of_one_process_serves_the_others(home: Home) -> None:
    first, second = home.backfill(), home.backfill()
    for filling in (first, second):
        running = asyncio.create_task(filling.run())
        await filling.settled()
        await until(lambda: round_ended(home), seconds=PATIENCE, what="the end of the round")
        await cancelled(running)
        assert len(home.polls()) == len(home.numbers), "once each"


async def test_a_start_and_a_take_over_begin_a_round_of_their_own(home: Home) -> None:
    first = home.backfill()
    running = asyncio.create_task(first.run())
    await until(lambda: round_ended(home), seconds=PATIENCE, what="the end of the round")
    home.sandbox.requests.clear()
    home.clock.advance(1)
    first.hurry()
    await home.polled()
    await cancelled(running)


async def test_a_round_that_ended_by_a_clock_that_was_ahead_keeps_nobody_from_the_next(home: Home) -> None:
    ahead = home.clock.time() + 3600
    await home.inbox.store.write(lambda c: facts.put_own(c, LAST_ROUND_END, str(ahead)))
    running = asyncio.create_task(home.backfill().run())
    await home.polled()
    await cancelled(running)


async def test_back_fill_waits_for_the_process_that_does_it_and_follows_when_that_hangs(home: Home) -> None:
    until_then = home.clock.time() + LEASE_SECONDS
    hangs = f"{leases.this_process()}:hangs|{until_then}"
    await home.inbox.store.write(lambda c: facts.put_own(c, LEASE, hangs))
    filling = home.backfill()
    running = asyncio.create_task(filling.run())
    await filling.settled()
    assert home.polls() == []
    home.clock.advance(LEASE_SECONDS)
    await home.polled()
    await cancelled(running)
    await filling.release()
    assert await home.inbox.store.read(lambda c: facts.get(c, facts.own(c, LEASE))) == ""


async def test_a_process_that_stops_gives_up_no_lease_of_another(home: Home) -> None:
    lease = f"another|{home.clock.time() + LEASE_SECONDS}"
    await home.inbox.store.write(lambda c: facts.put_own(c, LEASE, lease))
    await home.backfill().release()
    assert await home.inbox.store.read(lambda c: facts.get(c, facts.own(c, LEASE))) == lease


@pytest.mark.parametrize("pid", ["of nobody", "used again"])
async def test_back_fill_follows_at_once_a_process_that_is_known_to_be_dead(home: Home, pid: str) -> None:
    dead = os.getpid()
    if pid == "of nobody":
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
        await asyncio.wait_for(process.wait(), PATIENCE)
        dead = process.pid
    lease = f"{dead}:1:abcdef|{home.clock.time() + 3600}"
    await home.inbox.store.write(lambda c: facts.put_own(c, LEASE, lease))
    running = asyncio.create_task(home.backfill().run())
    await home.polled()
    await cancelled(running)


async def test_no_other_process_takes_over_while_a_round_lasts(home: Home) -> None:
    home.sandbox.fail_next(Failure(kind="slow", path="/numbers/*/sms", delay=3600))
    running = asyncio.create_task(home.backfill().run())
    await home.polled()
    for _ in range(5):
        await home.asleep(2)  # the answer, and the lease
        home.clock.advance(LEASE_SECONDS / 3)
        await home.asleep(2)
        soon = home.clock.time() + LEASE_SECONDS / 2
        assert not await home.inbox.store.write(leases.take, LEASE, "another", now=soon, seconds=1)
    await cancelled(running)


async def test_a_number_whose_turn_the_request_limit_refuses_is_read_later(home: Home) -> None:
    number = home.numbers[0]
    await home.sandbox.receive_sms(number, "Your code is 2468", deliver=False)
    home.sandbox.fail_next(Failure(kind="rate_limited", retry_after=30, path=f"/numbers/{number}/sms", times=ATTEMPTS))
    running = asyncio.create_task(home.backfill().run())

    async def found() -> bool:
        home.clock.advance(1)
        return bool(await home.inbox.store.read(events.codes, number)) or await round_ended(home)

    await until(found, seconds=PATIENCE, what="the code, or the end of the round")
    assert [event.code for event in await home.inbox.store.read(events.codes, number)] == ["2468"]
    await cancelled(running)


async def test_one_number_that_cannot_be_read_does_not_keep_the_others_from_it(home: Home) -> None:
    home.sandbox.fail_next(Failure(kind="status", code="NOT_FOUND", path=f"/numbers/{home.numbers[0]}/sms"))
    await home.sandbox.receive_sms(home.numbers[11], "Your code is 2468", deliver=False)
    running = asyncio.create_task(home.backfill().run())
    await until(lambda: round_ended(home), seconds=PATIENCE, what="the end of the round")
    await cancelled(running)
    assert [event.code for event in await home.inbox.store.read(events.codes, None)] == ["2468"]


async def test_a_start_waits_for_the_back_fill_for_five_seconds_at_most(home: Home) -> None:
    home.sandbox.fail_next(Failure(kind="slow", path="/numbers", delay=3600))
    filling = home.backfill()
    running, settled = asyncio.create_task(filling.run()), asyncio.create_task(filling.settled())
    await home.asleep(2)  # the answer, and the lease
    home.clock.advance(SETTLE_SECONDS - 0.5)
    await home.asleep(2)
    assert not settled.done()
    home.clock.advance(0.5)
    await asyncio.wait_for(settled, PATIENCE)
    await cancelled(running)


async def test_a_round_that_broke_off_is_begun_again_after_half_a_minute(home: Home) -> None:
    home.sandbox.fail_next(Failure(kind="status", code="PERMISSION_DENIED", path="/numbers"))
    filling = home.backfill()
    running = asyncio.create_task(filling.run())
    await asyncio.wait_for(filling.settled(), PATIENCE)
    await home.waits_for(30)
    home.clock.advance(29.5)
    await home.waits_for(0.5)
    assert home.polls() == []
    home.clock.advance(0.5)
    await home.polled()
    await cancelled(running)


async def test_a_round_that_the_api_refused_waits_as_long_as_it_says(home: Home) -> None:
    home.sandbox.fail_next(Failure(kind="rate_limited", retry_after=50, path="/numbers"))
    filling = home.backfill()
    running = asyncio.create_task(filling.run())
    await asyncio.wait_for(filling.settled(), PATIENCE)
    await home.waits_for(50)
    asked = len(home.sandbox.requests)
    home.clock.advance(40)
    await home.waits_for(10)
    assert len(home.sandbox.requests) == asked
    home.clock.advance(10)
    await home.polled()
    await cancelled(running)


async def test_a_round_reads_active_numbers_and_learns_whose_the_key_is_and_what_they_are_called(home: Home) -> None:
    expired, *active = home.numbers
    home.sandbox.state.numbers[expired].expires_at = home.sandbox.now - timedelta(days=1)
    book = Phonebook(home.client)
    filling = Backfill(home.client, home.inbox, home.history, book)
    running = asyncio.create_task(filling.run())
    await until(lambda: round_ended(home), seconds=PATIENCE, what="the end of the round")
    assert sorted(home.polls()) == sorted(active)
    assert [book.phone_of(id_) for id_ in (expired, active[0])] == [
        None,
        home.sandbox.state.numbers[active[0]].phone_number,
    ]
    assert await home.inbox.store.read(accounts.user_id)
    home.clock.advance(60)
    filling.hurry()
    await home.polled(2 * len(active))
    assert [r.raw_path for r in home.sandbox.requests].count("/account") == 1
    await cancelled(running)


@pytest.mark.parametrize("had_webhooks", [False, True])
async def test_the_next_round_begins_when_somebody_reads_the_inbox_after_a_while(
    home: Home, had_webhooks: bool
) -> None:
    if had_webhooks:
        await home.webhook(home.numbers[0], "1111")
        await home.inbox.store.write(lambda c: facts.put_own(c, facts.WEBHOOK_RECEIVED, "1"))
    filling = home.backfill()
    running = asyncio.create_task(filling.run())
    await filling.refresh()
    await until(lambda: round_ended(home), seconds=PATIENCE, what="the end of the round")
    count = len(home.polls())
    home.clock.advance(ROUND_SECONDS if had_webhooks else NOW_SECONDS)
    await filling.refresh()
    assert len(home.polls()) == count
    home.clock.advance(3600)
    assert len(home.polls()) == count, "nobody has asked"

    async def read_again() -> bool:
        await filling.refresh()
        return len(home.polls()) == 2 * count

    await until(read_again, seconds=PATIENCE, what="the second round")
    await cancelled(running)


async def test_while_the_account_cannot_be_read_the_inbox_is_read_without_waiting_for_it(home: Home) -> None:
    filling = home.backfill()
    running = asyncio.create_task(filling.run())
    await until(lambda: round_ended(home), seconds=PATIENCE, what="the end of the round")
    home.clock.advance(2 * ROUND_SECONDS)
    home.sandbox.fail_next(Failure(kind="status", status=401, code="UNAUTHORIZED", times=None))
    home.sandbox.requests.clear()
    for _ in range(5):
        await filling.refresh()
    assert len(home.sandbox.requests) == 1
    await cancelled(running)


async def test_back_fill_that_was_hurried_rests_after_its_round(home: Home) -> None:
    filling = home.backfill()
    running = asyncio.create_task(filling.run())
    await until(lambda: round_ended(home), seconds=PATIENCE, what="the end of the round")
    home.clock.advance(60)
    filling.hurry()
    await until(lambda: len(home.polls()) == 2 * len(home.numbers), seconds=PATIENCE, what="the second round")
    home.clock.advance(3600)
    for _ in range(20):
        await home.inbox.store.read(events.last_seq)
    assert len(home.polls()) == 2 * len(home.numbers)
    await cancelled(running)


# With a server


async def between_rounds(app: Connected) -> bool:
    """Whether a round has ended and its lease was given back."""
    return await app.services.store.read(lambda c: facts.get(c, facts.own(c, LEASE))) == ""


async def test_an_sms_that_no_webhook_brought_is_listed_without_anybody_asking_for_it(connect: Connect) -> None:
    clock = MovingClock(speed=0)
    async with connect(sandbox=Sandbox(rate_limit=0, seed=False), clock=clock) as app:
        number = app.sandbox.add_numbers(1)[0]
        await app.sandbox.receive_sms(number, "Your code is 2468", deliver=False)

        async def listed() -> bool:
            if await between_rounds(app):
                clock.advance(ROUND_SECONDS)
            return (await app.ok("list_events"))["total"] == 1

        await until(listed, seconds=PATIENCE, what="a later round")
        (event,) = (await app.ok("list_events"))["events"]
        assert (event["code"], event["source"], event["confirmed"]) == ("2468", "history", "in the SMS history")


async def test_a_server_that_starts_beside_another_looks_for_itself_at_once(connect: Connect) -> None:
    clock, sandbox = MovingClock(speed=0), Sandbox(rate_limit=0, seed=False)
    number = sandbox.add_numbers(1)[0]
    async with connect(sandbox=sandbox, clock=clock) as earlier:
        await until(lambda: between_rounds(earlier), seconds=PATIENCE, what="the end of the first round")
        clock.advance(1)
        await sandbox.receive_sms(number, "Your code is 2468", deliver=False)
        async with connect(sandbox=sandbox, clock=clock) as later:
            assert (await later.ok("get_latest_code"))["newest"]["code"] == "2468"


@pytest.mark.parametrize("how", ["a wait", "get_latest_code"])
async def test_back_fill_that_waits_for_its_share_of_the_limit_keeps_nobody_from_the_number(
    home: Home, how: str
) -> None:
    number = home.numbers[0]
    for _ in range(BACKFILL_OWN):
        await home.limiter().acquire(Priority.BACKFILL, timeout=0)
    home.advance(31)  # the next slot comes within the time of a request
    filling = asyncio.create_task(home.history.look(number, Priority.BACKFILL))
    await home.asleep(1)
    assert home.polls() == []
    await home.sandbox.receive_sms(number, "Your code is 482913", deliver=False)
    if how == "a wait":
        assert codes(await home.wait(number)) == ["482913"]
    else:
        assert await home.history.refresh(number, seconds=3) is None
    assert await filling == 0, "what was looked at meanwhile needs no look"
    assert home.polls() == [number]


async def test_back_fill_that_gave_way_to_a_look_that_failed_looks_again(home: Home) -> None:
    number = home.numbers[0]
    for _ in range(BACKFILL_OWN):
        await home.limiter().acquire(Priority.BACKFILL, timeout=0)
    home.advance(31)
    filling = asyncio.create_task(home.history.look(number, Priority.BACKFILL))
    await home.asleep(1)
    await home.sandbox.receive_sms(number, "Your code is 482913", deliver=False)
    home.sandbox.fail_next(Failure(kind="status", status=401, code="UNAUTHORIZED"))
    assert await home.history.refresh(number, seconds=3) is not None
    await home.asleep(1)
    home.advance(29)
    assert await filling == 1
