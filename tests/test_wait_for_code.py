"""Waiting for a code: what comes before, during or between two calls is found, the newest first."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from engines import open_at
from harness import Connect, until
from inbox_home import PATIENCE, Home, cancelled, codes, no_progress, open_another, open_home
from processes import sms_webhook

from piv_mcp.api.rate_limit import Priority
from piv_mcp.errors import NotFoundError
from piv_mcp.inbox import wait
from piv_mcp.inbox.cursor import Cursor
from piv_mcp.inbox.parse import event_of
from piv_mcp.inbox.wanted import Wanted
from piv_mcp.inbox.watch import POLL_SECONDS
from piv_mcp.sandbox import Failure
from piv_mcp.store import events, recording
from piv_mcp.store.database import COMMIT_POLL_SECONDS
from piv_mcp.store.event import SMS_RECEIVED

pytestmark = pytest.mark.usefixtures("instant_retries")


async def test_calls_that_wait_for_nothing_find_what_the_history_has(connect: Connect) -> None:
    """An agent that asks again and again, of an API that takes longer than each of its calls."""
    async with connect() as app:
        await app.services.backfill.settled()
        number = app.sandbox.add_numbers(1)[0]
        await app.sandbox.receive_sms(number, "Your code is 482913", deliver=False)
        app.sandbox.fail_next(Failure(kind="slow", delay=0.2, path="/numbers/*/sms", times=None))

        async def code() -> str | None:
            answer = await app.ok("wait_for_code", number=number, timeout_seconds=0)
            return answer.get("newest", {}).get("code")

        assert await until(code, seconds=PATIENCE, what="the code", every=0.05) == "482913"


async def test_a_code_that_came_just_before_the_call_counts(home: Home) -> None:
    await home.webhook(home.numbers[0], "482913")
    waited = await home.wait(home.numbers[0])
    assert codes(waited) == ["482913"]
    assert waited.seconds < 1


async def test_without_a_cursor_the_last_minute_counts_and_nothing_before_it(home: Home) -> None:
    await home.record(sms_webhook(home.numbers[0], "Your code is 1111", "1111"), ago=61)
    assert codes(await home.wait(home.numbers[0], seconds=0)) == []
    await home.record(sms_webhook(home.numbers[0], "Your code is 2222", "2222"), ago=59)
    assert codes(await home.wait(home.numbers[0], seconds=0)) == ["2222"]


async def test_of_events_too_the_last_minute_counts_to_its_first_moment(home: Home) -> None:
    for ago in (61, 60):
        await home.record(sms_webhook(home.numbers[0], f"{ago} s ago"), ago=ago)
    waited = await wait.wait_for_event(home.inbox, types=[], match={}, seconds=0, progress=no_progress)
    assert [event.text for event in waited.found] == ["60 s ago"]


async def test_a_code_that_comes_during_the_wait_ends_it(home: Home) -> None:
    waiting = home.waiting(home.numbers[0])
    await home.asleep()
    assert not waiting.done()
    await home.webhook(home.numbers[0], "482913")
    waited = await waiting
    assert (codes(waited), waited.seconds) == (["482913"], 0), "at once"


async def test_a_code_that_comes_between_two_waits_is_found_by_the_cursor(home: Home) -> None:
    first = await home.wait(home.numbers[0], seconds=0)
    assert first.found == []
    await home.webhook(home.numbers[0], "482913")
    second = await home.wait(home.numbers[0], after=first.cursor)
    assert codes(second) == ["482913"]
    third = await home.wait(home.numbers[0], seconds=0, after=second.cursor)
    assert third.found == [], "nothing is reported twice"


async def test_a_code_on_another_number_does_not_end_the_wait(home: Home) -> None:
    await home.webhook(home.numbers[1], "482913")
    assert (await home.wait(home.numbers[0], seconds=0)).found == []


async def test_a_message_without_a_code_does_not_end_the_wait(home: Home) -> None:
    await home.record(sms_webhook(home.numbers[0], "See you at dinner"))
    assert (await home.wait(home.numbers[0], seconds=0)).found == []


async def test_a_code_that_no_webhook_brings_is_found_in_the_history(home: Home) -> None:
    waiting = home.waiting(home.numbers[0], seconds=10)
    await home.asleep()
    await home.sandbox.receive_sms(home.numbers[0], "Your code is 737373", trusted=False)
    home.clock.advance(POLL_SECONDS)
    waited = await waiting
    (found,) = waited.found
    assert (found.code, found.source, found.sender, found.confirmed) == ("737373", "history", "Google", True)
    assert waited.seconds == POLL_SECONDS


async def test_a_wait_says_now_and_then_that_it_waits(home: Home) -> None:
    told: list[tuple[float, float]] = []

    async def progress(waited: float, seconds: float) -> None:
        told.append((waited, seconds))

    waiting = asyncio.create_task(
        wait.wait_for_code(home.inbox, home.history, home.numbers[0], seconds=50, progress=progress)
    )
    for _ in range(50):
        await home.asleep()
        home.clock.advance(1)
    await waiting
    assert len(told) >= 4
    assert {seconds for _, seconds in told} == {50}
    times = [0, *(waited for waited, _ in told)]
    gaps = [after - before for before, after in pairwise(times)]
    assert all(wait.PROGRESS_SECONDS <= gap <= 2 * wait.PROGRESS_SECONDS for gap in gaps)


async def test_a_number_that_does_not_exist_ends_the_wait_at_once(home: Home) -> None:
    with pytest.raises(NotFoundError):
        await home.wait("no-such-number", seconds=20)


async def test_a_history_that_fails_leaves_the_webhook_to_bring_the_code(home: Home) -> None:
    home.sandbox.fail_next(Failure(kind="status", status=500, times=None))
    waiting = home.waiting(home.numbers[0])
    await home.polled()
    await home.webhook(home.numbers[0], "482913")
    assert codes(await waiting) == ["482913"]


async def test_a_wait_that_is_cancelled_stops_polling(home: Home) -> None:
    waiting = home.waiting(home.numbers[0])
    await home.polled()
    await cancelled(waiting)
    tasks = [task for task in asyncio.all_tasks() if "History._poll" in repr(task)]
    await asyncio.gather(*tasks, return_exceptions=True)
    assert all(task.done() for task in tasks)


async def test_confirmed_only_waits_until_the_history_shows_the_message(home: Home) -> None:
    number, now = home.numbers[0], datetime.now(UTC)
    await home.webhook(number, "666666", now)
    forged = await home.wait(number, seconds=0, confirmed_only=True)
    assert forged.found == []
    await home.sandbox.receive_sms(number, "Your code is 666666", deliver=False, received_at=now)
    home.clock.advance(POLL_SECONDS)
    confirmed = await home.wait(number, after=forged.cursor, confirmed_only=True)
    assert codes(confirmed) == ["666666"], "the cursor did not pass the message while it was unconfirmed"
    assert [event.source for event in confirmed.found] == ["webhook"]


# Order


async def test_of_messages_that_came_together_their_own_times_say_which_is_the_newest(home: Home) -> None:
    """A webhook that is tried again comes after a newer one. A time in the future is not believed."""
    number, now = home.numbers[0], datetime.now(UTC)
    await home.history.look(number, Priority.PERSON)  # since then piv.day's clock is known
    for code, skew in (("1111", -40), ("2222", -2), ("3333", -45), ("4444", 3600)):
        await home.webhook(number, code, now + timedelta(seconds=skew))
    assert codes(await home.wait(number)) == ["4444", "2222", "1111", "3333"]


async def test_two_codes_in_the_same_second_are_both_there_the_last_one_first(home: Home) -> None:
    number, now = home.numbers[0], datetime.now(UTC).replace(microsecond=0)
    await home.webhook(number, "1111", now)
    await home.webhook(number, "2222", now)
    assert codes(await home.wait(number)) == ["2222", "1111"]


async def test_old_messages_that_are_filled_in_do_not_pass_for_the_newest(home: Home) -> None:
    number, now = home.numbers[0], datetime.now(UTC)
    await home.webhook(number, "9999", now)
    for minutes in (30, 5, 90):
        old = now - timedelta(minutes=minutes)
        await home.sandbox.receive_sms(number, f"Your code is {1000 + minutes}", deliver=False, received_at=old)
    await home.history.look(number, Priority.PERSON)
    found = await home.inbox.store.read(events.codes, number, limit=10)
    assert [event.code for event in found] == ["9999", "1005", "1030", "1090"]
    assert codes(await home.wait(number)) == ["9999"]


async def test_a_message_that_shows_up_with_an_old_time_during_the_wait_counts_as_new(home: Home) -> None:
    number = home.numbers[0]
    first = await home.wait(number, seconds=0)
    await home.history.look(number, Priority.PERSON)
    old = datetime.now(UTC) - timedelta(hours=2)
    await home.sandbox.receive_sms(number, "Your code is 5151", deliver=False, received_at=old)
    await home.history.look(number, Priority.PERSON)
    assert codes(await home.wait(number, after=first.cursor)) == ["5151"]
    assert codes(await home.wait(number)) == ["5151"]


async def test_an_old_message_that_the_first_look_shows_during_a_wait_is_not_the_code_waited_for(home: Home) -> None:
    number, now = home.numbers[0], datetime.now(UTC)
    old = now - timedelta(hours=2)
    await home.sandbox.receive_sms(number, "Your code is 5151", deliver=False, received_at=old)
    waiting = home.waiting(number, seconds=5)
    await home.asleep()
    assert (await home.inbox.store.read(events.codes, number))[0].code == "5151"
    home.clock.advance(5)
    assert codes(await waiting) == []


async def test_a_delivery_that_breaks_off_takes_no_other_with_it(home: Home) -> None:
    """Webhooks that come together share one commit."""
    broken, whole = (asyncio.create_task(home.webhook(home.numbers[0], code)) for code in ("1111", "2222"))
    await asyncio.sleep(0)
    broken.cancel()
    assert (await whole).code == "2222"
    assert set(codes(await home.wait(home.numbers[0]))) == {"1111", "2222"}


# What counts


@pytest.mark.parametrize(("ago", "found"), [(30, ["482913"]), (61, [])])
async def test_what_a_first_look_finds_is_past_a_cursor_if_it_came_in_the_minute_before_it(
    home: Home, ago: int, found: list[str]
) -> None:
    number = home.numbers[0]
    await home.history.look(home.numbers[1], Priority.PERSON)  # since then piv.day's clock is known
    before = Cursor(0, at=int(home.inbox.remote_time() or 0))
    at = datetime.fromtimestamp(before.at - ago, UTC)
    await home.sandbox.receive_sms(number, "Your code is 482913", deliver=False, received_at=at)
    await home.history.look(number, Priority.PERSON)
    assert codes(await home.wait(number, seconds=0, after=before)) == found


async def test_a_message_without_a_code_that_a_cursor_has_passed_is_not_shown_again(home: Home) -> None:
    number = home.numbers[0]
    passed = await home.record(sms_webhook(number, "See you at dinner"))
    waited = await home.wait(number, seconds=0, after=Cursor(passed.seq - 1, ((passed.seq, passed.seq),)))
    assert waited.without_code == []


async def test_a_code_of_the_minute_before_the_wait_counts_also_when_it_is_confirmed_late(home: Home) -> None:
    number, then = home.numbers[0], datetime.now(UTC) - timedelta(seconds=50)
    await home.record(sms_webhook(number, "Your code is 482913", "482913", then.isoformat()), ago=50)
    waiting = asyncio.create_task(home.wait(number, seconds=60, confirmed_only=True))
    await home.asleep()
    home.clock.advance(15)
    await home.asleep()
    await home.sandbox.receive_sms(number, "Your code is 482913", deliver=False, received_at=then)
    home.clock.advance(POLL_SECONDS)
    await until(waiting.done, seconds=PATIENCE, what="the code")
    assert codes(await waiting) == ["482913"]


async def test_a_message_of_unknown_age_that_a_wait_finds_is_not_the_code_waited_for(home: Home) -> None:
    number = home.numbers[0]
    home.sandbox.date_shift = None
    await home.sandbox.receive_sms(number, "Your code is 482913", deliver=False)
    waiting = home.waiting(number, seconds=5)
    await home.asleep()
    assert [event.code for event in await home.inbox.store.read(events.codes, number)] == ["482913"]
    home.clock.advance(5)
    assert codes(await waiting) == []


@pytest.mark.parametrize("silent", [0, 60])
async def test_a_message_of_the_minute_before_the_wait_counts_whenever_the_history_shows_it(
    home: Home, silent: int
) -> None:
    number, then = home.numbers[0], datetime.now(UTC) - timedelta(seconds=30)
    await home.sandbox.receive_sms(number, "Your code is 482913", deliver=False, received_at=then)
    if silent:
        home.sandbox.fail_next(Failure(kind="html", path="/numbers/*/sms", times=None))
    waiting = home.waiting(number, seconds=90)
    await home.polled()
    if silent:
        await home.asleep()
        home.sandbox.clear_failures()
        home.sandbox.advance(timedelta(seconds=silent))
        home.clock.advance(silent)
    await until(waiting.done, seconds=PATIENCE, what="the code")
    assert codes(await waiting) == ["482913"]


async def test_of_messages_without_a_code_the_three_newest_past_the_cursor_are_shown(home: Home) -> None:
    number, now = home.numbers[0], datetime.now(UTC)
    for n in range(4):
        await home.record(sms_webhook(number, f"See you at {n}", at=(now - timedelta(seconds=9 - n)).isoformat()))
    first = await home.wait(number, seconds=0)
    assert [event.text for event in first.without_code] == ["See you at 3", "See you at 2", "See you at 1"]
    late = await home.record(sms_webhook(number, "See you at 5", at=(now - timedelta(seconds=50)).isoformat()))
    assert (await home.wait(number, seconds=0, after=first.cursor)).without_code == [late]


@pytest.mark.parametrize(("after", "found"), [(100, ["482913", "1000"]), (-100, ["1000"])])
async def test_a_cursor_that_leaves_codes_behind_passes_no_message_of_after_its_wait(
    home: Home, after: int, found: list[str]
) -> None:
    number, other = home.numbers[:2]
    await home.history.look(other, Priority.PERSON)  # since then piv.day's clock is known
    home.sandbox.fail_next(Failure(kind="html", path=f"/numbers/{number}/sms", times=None))
    first = await home.wait(number, seconds=0)
    home.clock.advance(300)
    home.sandbox.advance(timedelta(seconds=300))
    for n in range(6):
        at = datetime.fromtimestamp(first.cursor.at + 290 + n, UTC)
        await home.webhook(number, str(1000 + n), at)
    second = await home.wait(number, seconds=0, after=first.cursor)
    assert (len(second.found), second.more) == (5, 1)
    home.sandbox.clear_failures()
    at = datetime.fromtimestamp(first.cursor.at + after, UTC)
    await home.sandbox.receive_sms(number, "Your code is 482913", deliver=False, received_at=at)
    await home.history.look(number, Priority.PERSON)
    assert sorted(codes(await home.wait(number, seconds=0, after=second.cursor)), key=str) == sorted(found)


async def test_a_cursor_of_waits_whose_looks_all_failed_passes_no_code_of_that_time(home: Home) -> None:
    number, other = home.numbers[:2]
    await home.history.look(other, Priority.PERSON)  # since then piv.day's clock is known
    home.sandbox.fail_next(Failure(kind="html", path=f"/numbers/{number}/sms", times=None))
    waited = await home.wait(number, seconds=0)
    home.advance(100)
    await home.sandbox.receive_sms(number, "Your code is 482913", deliver=False)
    for _ in range(3):
        home.advance(100)
        waited = await home.wait(number, seconds=0, after=waited.cursor)
        assert waited.found == []
    home.sandbox.clear_failures()
    await home.history.look(number, Priority.PERSON)
    assert codes(await home.wait(number, seconds=0, after=waited.cursor)) == ["482913"]


async def test_a_look_at_one_number_passes_no_code_of_another_that_was_looked_at_before(home: Home) -> None:
    number, other = home.numbers[:2]
    await home.history.look(number, Priority.PERSON)
    first = await home.wait(number, seconds=0)
    await home.sandbox.receive_sms(number, "Your code is 482913", deliver=False)
    home.advance(120)
    await home.history.look(other, Priority.PERSON)
    second = await home.wait(other, seconds=0, after=first.cursor)
    assert second.cursor.at >= first.cursor.at + 120
    await home.history.look(number, Priority.PERSON)
    assert codes(await home.wait(number, seconds=0, after=second.cursor)) == ["482913"]


async def test_codes_left_by_a_wait_without_a_cursor_make_no_old_code_new(home: Home) -> None:
    number, other = home.numbers[:2]
    await home.history.look(other, Priority.PERSON)  # since then piv.day's clock is known
    old = home.sandbox.now - timedelta(minutes=5)
    await home.sandbox.receive_sms(number, "Your code is 9999", deliver=False, received_at=old)
    for n in range(6):
        await home.webhook(number, str(1000 + n), home.sandbox.now - timedelta(seconds=6 - n))
    first = await home.wait(number, seconds=0)
    assert codes(first) == ["1005", "1004", "1003", "1002", "1001"]
    await home.history.look(number, Priority.PERSON)
    second = await home.wait(number, seconds=0, after=first.cursor)
    assert (codes(second), second.earlier) == (["1000"], 1)
    third = await home.wait(number, seconds=0, after=second.cursor)
    assert (codes(third), third.earlier) == ([], 0), "what was said to be old is passed"


async def test_codes_that_are_left_of_a_first_look_are_found_by_the_next_wait(home: Home) -> None:
    number, other = home.numbers[:2]
    await home.history.look(other, Priority.PERSON)  # since then piv.day's clock is known
    home.sandbox.fail_next(Failure(kind="html", path=f"/numbers/{number}/sms", times=None))
    first = await home.wait(number, seconds=0)
    home.advance(30)
    for n in range(6):
        at = home.sandbox.now + timedelta(seconds=n)
        await home.sandbox.receive_sms(number, f"Your code is {1000 + n}", deliver=False, received_at=at)
    home.advance(300)
    home.sandbox.clear_failures()
    await home.history.look(number, Priority.PERSON)
    second = await home.wait(number, seconds=0, after=first.cursor)
    assert codes(second) == ["1005", "1004", "1003", "1002", "1001"]
    assert codes(await home.wait(number, seconds=0, after=second.cursor)) == ["1000"]


async def test_a_code_too_old_for_a_wait_without_a_cursor_is_none_of_those_left(home: Home) -> None:
    number = home.numbers[0]
    await home.history.look(number, Priority.PERSON)
    home.advance(7200)
    for n in range(6):
        await home.webhook(number, str(1000 + n), home.sandbox.now - timedelta(seconds=n))
    for minutes in (20, 15, 5):
        old = home.sandbox.now - timedelta(minutes=minutes)
        await home.sandbox.receive_sms(number, f"Your code is {9000 + minutes}", deliver=False, received_at=old)
    await home.history.look(number, Priority.PERSON)
    first = await home.wait(number, seconds=0)
    assert codes(first) == ["1000", "1001", "1002", "1003", "1004"]
    assert codes(await home.wait(number, seconds=0, after=first.cursor)) == ["1005"]


@pytest.mark.parametrize(("ago", "found"), [(30, ["482913"]), (400, [])])
async def test_an_old_message_whose_code_is_learnt_during_a_wait_is_not_the_code_waited_for(
    home: Home, ago: int, found: list[str]
) -> None:
    number, text = home.numbers[0], "Call us on 482913"
    await home.history.look(number, Priority.PERSON)
    at = home.sandbox.now
    await home.sandbox.receive_sms(number, text, deliver=False)
    home.clock.advance(POLL_SECONDS)
    await home.history.look(number, Priority.PERSON)
    home.advance(ago)
    waiting = home.waiting(number, seconds=5)
    await home.asleep()
    stored = await home.record(sms_webhook(number, text, "482913", at.isoformat()))
    assert (stored.source, stored.code) == ("history", "482913")
    home.clock.advance(5)
    assert codes(await waiting) == found


@pytest.mark.parametrize("whose", ["ours", "piv.day's"])
async def test_a_code_that_came_during_a_wait_counts_also_if_a_clock_is_set_before_it_is_confirmed(
    home: Home, whose: str
) -> None:
    number, at = home.numbers[0], home.sandbox.now
    ahead = 3600.0 if whose == "piv.day's" else 0.0
    home.inbox.remote_time = lambda: at.timestamp() + home.clock.monotonic() - started + ahead
    started = home.clock.monotonic()
    waiting = asyncio.create_task(home.wait(number, seconds=60, confirmed_only=True))
    await home.asleep()
    await home.webhook(number, "482913", at)
    if whose == "ours":
        home.clock.correct(3600)
    ahead = 0.0
    await home.sandbox.receive_sms(number, "Your code is 482913", deliver=False, received_at=at)
    home.clock.advance(POLL_SECONDS)
    await until(waiting.done, seconds=PATIENCE, what="the code")
    assert codes(await waiting) == ["482913"]


async def test_a_code_is_answered_although_the_number_is_just_found_to_be_missing(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, read, looked = home.numbers[0], home.inbox.store.read, 0
    home.sandbox.fail_next(Failure(kind="status", code="NOT_FOUND", path="/numbers/*/sms"))

    def is_refused() -> bool:
        return bool(home.polls()) and not any("History._poll" in repr(task) for task in asyncio.all_tasks())

    async def read_after_the_refusal(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        nonlocal looked
        is_own = any(isinstance(arg, Wanted) for arg in args)  # the wait's own question
        looked += is_own
        if is_own and looked == 2:  # the first comes before the history is asked
            await until(is_refused, seconds=PATIENCE, what="the refusal")
            await home.webhook(number, "482913")
        return await read(fn, *args, **kwargs)

    monkeypatch.setattr(home.inbox.store, "read", read_after_the_refusal)
    assert codes(await home.wait(number)) == ["482913"]


async def events_after(home: Home, cursor: Cursor | None = None, **match: str) -> wait.Waited:
    return await wait.wait_for_event(
        home.inbox, types=[SMS_RECEIVED], match=match, seconds=0, progress=no_progress, cursor=cursor
    )


async def test_ten_events_are_answered_at_once_and_the_cursor_passes_no_other(home: Home) -> None:
    number = home.numbers[0]
    stored = [await home.webhook(number, str(1000 + n)) for n in range(12)]
    first = await events_after(home)
    assert first.found == stored[:10]
    assert (await events_after(home, first.cursor)).found == stored[10:]


async def test_an_event_that_does_not_match_is_not_waited_for_again(home: Home) -> None:
    await home.webhook(home.numbers[0], "1000")
    first = await events_after(home, piv_num_id=home.numbers[1])
    assert first.found == []
    assert (await events_after(home, first.cursor)).found == []


async def test_what_a_first_look_finds_of_before_an_event_s_cursor_is_no_new_event(home: Home) -> None:
    number = home.numbers[0]
    await home.history.look(home.numbers[1], Priority.PERSON)  # since then piv.day's clock is known
    first = await events_after(home)
    old = home.sandbox.now - timedelta(seconds=300)
    await home.sandbox.receive_sms(number, "Your code is 482913", deliver=False, received_at=old)
    await home.history.look(number, Priority.PERSON)
    assert (await events_after(home, first.cursor)).found == []
    assert (await events_after(home)).found == []


# Several stores on one file


async def test_what_another_process_stored_between_a_query_and_the_first_look_wakes_the_wait(home: Home) -> None:
    changes = home.inbox.changes
    version = changes.version
    other = open_at(home.store_path)
    await other.write(recording.add, event_of(sms_webhook(home.numbers[0], "Your code is 482913"), home.clock.time()))
    await other.close()
    assert await asyncio.wait_for(changes.wait(version, 60), PATIENCE)


async def test_a_wait_wakes_within_250_ms_of_an_event_that_another_process_stored(home: Home) -> None:
    other = open_at(home.store_path)  # another connection is what another process has
    waiting = home.waiting(home.numbers[0])
    await home.asleep()
    event = event_of(sms_webhook(home.numbers[0], "Your code is 482913", "482913"), home.clock.time())
    await other.write(lambda c: recording.add(c, event))
    home.clock.advance(0.25)
    waited = await waiting
    assert (codes(waited), waited.seconds) == (["482913"], 0.25)
    await other.close()


READS = range(1, 3)
"""A wait reads twice before it sleeps."""


@pytest.mark.parametrize("reads", READS)
async def test_no_wake_up_is_lost_between_a_query_and_the_wait_after_it(
    home: Home, monkeypatch: pytest.MonkeyPatch, reads: int
) -> None:
    number = home.numbers[0]
    # It polls and looks for commits, and sleeps: so nothing but the event itself can wake the wait.
    asleep = asyncio.create_task(home.wait(number, seconds=60, confirmed_only=True))
    await home.asleep()
    home.after_reads(monkeypatch, reads, lambda: home.webhook(number, "482913"))
    waited = await home.wait(number, after=Cursor(0))
    assert (codes(waited), waited.seconds) == (["482913"], 0)
    await cancelled(asleep)


@pytest.mark.parametrize("what", ["code", "event"])
@pytest.mark.parametrize("reads", READS)
async def test_what_comes_while_a_wait_looks_is_in_its_answer_or_past_its_cursor(
    home: Home, monkeypatch: pytest.MonkeyPatch, what: str, reads: int
) -> None:
    number = home.numbers[0]

    async def wait_for_it(cursor: Cursor) -> wait.Waited:
        if what == "code":
            return await home.wait(number, seconds=0, after=cursor)
        return await wait.wait_for_event(
            home.inbox, types=[SMS_RECEIVED], match={}, seconds=0, progress=no_progress, cursor=cursor
        )

    home.after_reads(monkeypatch, reads, lambda: home.webhook(number, "482913"))
    first = await wait_for_it(Cursor(0))
    second = await wait_for_it(first.cursor)
    third = await wait_for_it(second.cursor)
    assert codes(first) + codes(second) + codes(third) == ["482913"]


async def never(*_: object) -> int:
    """A look that has no answer."""
    await asyncio.Event().wait()
    return 0


@pytest.mark.parametrize("looked", [True, False], ids=["looked at before", "never looked at"])
@pytest.mark.parametrize("reads", range(1, 6))
async def test_a_look_of_another_process_that_ends_during_a_wait_moves_no_cursor_past_its_code(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, reads: int, looked: bool
) -> None:
    async with open_home(data_dir) as home, open_another(home) as other:
        number = home.numbers[0]
        await other.history.look(number if looked else home.numbers[1], Priority.PERSON)
        await home.history.look(home.numbers[1], Priority.PERSON)  # since then piv.day's clock is known here
        monkeypatch.setattr(home.history, "look", never)
        first = await home.wait(number, seconds=0)
        home.advance(30)
        await home.sandbox.receive_sms(number, "Your code is 482913", deliver=False)
        home.advance(120)
        home.after_reads(monkeypatch, reads, lambda: other.history.look(number, Priority.PERSON))
        second = await home.wait(number, seconds=0, after=first.cursor)
        await other.history.look(number, Priority.PERSON)  # where the wait has read less often
        third = await home.wait(number, seconds=0, after=second.cursor)
        assert codes(second) + codes(third) == ["482913"]


async def test_an_idle_server_does_not_look(home: Home) -> None:
    waiting = home.waiting(home.numbers[0], seconds=1)
    await home.asleep()
    home.clock.advance(1)
    await waiting

    def nobody_looks() -> bool:
        home.clock.advance(COMMIT_POLL_SECONDS)
        return not any("_look" in repr(task) for task in asyncio.all_tasks())

    await until(nobody_looks, seconds=PATIENCE, what="rest")
