"""Retention: what the inbox forgets, what a wrong clock must not delete, and how an answer says so."""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from harness import Connect, Connected, until
from inbox_home import PATIENCE, Home, open_home
from moving_clock import MovingClock
from processes import sms_webhook

from piv_mcp.api.rate_limit import Priority
from piv_mcp.inbox import cursor
from piv_mcp.inbox.cursor import Cursor
from piv_mcp.inbox.parse import event_of
from piv_mcp.inbox.retention import CLOCK_JUMPED, CLOCK_SEEN, PRUNE_SECONDS, TOLD_BY, Retention
from piv_mcp.sandbox import Sandbox
from piv_mcp.store import events, facts
from piv_mcp.text.times import DAY_SECONDS

pytestmark = pytest.mark.usefixtures("instant_retries")


def codes_of(answer: dict[str, Any]) -> list[str]:
    return [event["code"] for event in answer["events"]]


@asynccontextmanager
async def home_with(data_dir: Path, *ages_in_days: float) -> AsyncGenerator[Home]:
    """A home that knows piv.day's clock, with one event of each age, which was received at its time."""
    async with open_home(data_dir) as home:
        await home.history.look(home.numbers[0], Priority.PERSON)
        for n, days in enumerate(ages_in_days):
            await home.record(sms_webhook(home.numbers[1], f"Your code is {1000 + n}", None), ago=days * DAY_SECONDS)
        yield home


async def left(home: Home) -> list[str | None]:
    found, _ = await home.inbox.store.read(events.after, 0, limit=100)
    return [event.code for event in found]


async def test_retention_keeps_to_the_days_that_were_set(data_dir: Path) -> None:
    async with home_with(data_dir, 31, 29) as home:
        assert await Retention(home.inbox).prune() == 1
        assert await left(home) == ["1001"]


async def test_pruning_runs_by_itself(connect: Connect) -> None:
    clock = MovingClock(speed=0)
    async with connect(sandbox=Sandbox(seed=False), inbox_days=2, clock=clock) as app:
        inbox = app.services.inbox

        async def record(code: str, days: float) -> int:
            then = clock.time() - days * DAY_SECONDS
            stored, _ = await inbox.record(
                event_of(sms_webhook("some-number", f"Your code is {code}", code), then, then)
            )
            return stored.seq

        await app.ok("get_account")  # since then piv.day's clock is known
        for code in ("1111", "2222"):  # not only at the start
            old = await record(code, days=3)

            async def pruned(seq: int = old) -> bool:
                clock.advance(PRUNE_SECONDS)
                await app.ok("get_account")
                return (await inbox.store.read(events.span))[0] == seq

            await until(pruned, seconds=PATIENCE, what="pruning")
        await record("3333", days=1)
        assert codes_of(await app.ok("list_events")) == ["3333"]


@pytest.mark.parametrize("wrong", [40 * DAY_SECONDS, -20 * 365 * DAY_SECONDS], ids=["40 days ahead", "20 years back"])
async def test_a_clock_that_is_wrong_for_one_start_deletes_nothing(data_dir: Path, wrong: float) -> None:
    async with home_with(data_dir, 0, 0) as home:
        home.clock.correct(wrong)
        assert await Retention(home.inbox).prune() == 0
        await home.record(sms_webhook(home.numbers[1], "Your code is 5555", None))  # received at the wrong time
        home.clock.correct(-wrong)
        later = Retention(home.inbox)
        for _ in range(3):
            home.clock.advance(2 * PRUNE_SECONDS)
            await home.history.look(home.numbers[0], Priority.PERSON)
            assert await later.prune() == 0
        assert await left(home) == ["1000", "1001", "5555"]


async def test_nothing_old_is_deleted_within_an_hour_of_a_jump_of_the_clock(data_dir: Path) -> None:
    async with home_with(data_dir, 31) as home:
        retention = Retention(home.inbox)
        home.clock.correct(3600)
        assert await retention.prune() == 0
        home.clock.advance(PRUNE_SECONDS - 60)
        assert await retention.prune() == 0
        assert await Retention(home.inbox).prune() == 0, "another process knows of the jump as well"
        home.clock.advance(120)
        await home.history.look(home.numbers[0], Priority.PERSON)
        assert await retention.prune() == 1


async def test_nothing_old_is_deleted_within_an_hour_of_a_start_with_a_clock_that_was_set_back(data_dir: Path) -> None:
    async with home_with(data_dir, 31) as home:
        await home.inbox.store.write(facts.put, CLOCK_SEEN, str(home.clock.time() + 3600))
        retention = Retention(home.inbox)
        assert await retention.prune() == 0
        home.clock.advance(PRUNE_SECONDS)
        await home.history.look(home.numbers[0], Priority.PERSON)
        assert await retention.prune() == 1


@pytest.mark.parametrize(("fact", "ahead"), [(CLOCK_SEEN, 50), (CLOCK_JUMPED, 7200)])
async def test_a_clock_that_differs_by_seconds_and_a_jump_of_the_future_keep_nothing(
    data_dir: Path, fact: str, ahead: float
) -> None:
    async with home_with(data_dir, 31) as home:
        await home.inbox.store.write(facts.put, fact, str(home.clock.time() + ahead))
        assert await Retention(home.inbox).prune() == 1


async def test_without_a_key_the_times_of_the_newest_webhooks_are_the_second_clock(data_dir: Path) -> None:
    async with open_home(data_dir) as home:
        home.inbox.remote_time = lambda: None
        now = home.clock.time()
        for days in (35, 31, 29, *[0.001 * n for n in range(TOLD_BY)]):
            moment = now - days * DAY_SECONDS
            at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))
            body = sms_webhook(home.numbers[1], f"Your code is {1000 + int(days)}", None, at)
            await home.inbox.record(event_of(body, moment))
        home.clock.correct(40 * DAY_SECONDS)
        retention = Retention(home.inbox)
        await retention.prune()
        assert await left(home) == ["1029", *["1000"] * TOLD_BY]
        home.clock.correct(-40 * DAY_SECONDS)


async def test_a_webhook_that_is_dated_ahead_deletes_nothing(data_dir: Path) -> None:
    """Anybody who knows the address can send one, and without a key nothing else tells piv.day's time."""
    async with open_home(data_dir) as home:
        home.inbox.remote_time = lambda: None
        for days in (0, 0, 40):
            at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(home.clock.time() + days * DAY_SECONDS))
            await home.record(sms_webhook(home.numbers[1], f"Your code is {1000 + days}", None, at))
        home.clock.correct(40 * DAY_SECONDS)
        retention = Retention(home.inbox)
        home.clock.advance(2 * PRUNE_SECONDS)
        assert await retention.prune() == 0
        home.clock.correct(-40 * DAY_SECONDS)


async def test_a_webhook_that_is_dated_as_a_wrong_clock_says_deletes_nothing(data_dir: Path) -> None:
    async with open_home(data_dir) as home:
        home.inbox.remote_time = lambda: None
        for days in (0, 0, 40):
            home.clock.correct(days * DAY_SECONDS)
            at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(home.clock.time()))
            await home.record(sms_webhook(home.numbers[1], f"Your code is {1000 + days}", None, at))
            home.clock.advance(1)
        retention = Retention(home.inbox)
        home.clock.advance(2 * PRUNE_SECONDS)
        assert await retention.prune() == 0


async def test_a_message_whose_time_says_nothing_is_not_deleted_only_to_come_back_as_a_new_one(data_dir: Path) -> None:
    async with home_with(data_dir) as home:
        number = home.numbers[0]
        message = await home.sandbox.receive_sms(number, "Your code is 1999", deliver=False)
        home.sandbox.state.numbers[number].messages[0].received_at = None  # type: ignore[assignment]
        await home.history.look(number, Priority.PERSON)
        assert message
        assert await left(home) == ["1999"]
        home.clock.advance(31 * DAY_SECONDS)
        home.sandbox.advance(timedelta(days=31))
        await home.history.look(home.numbers[1], Priority.PERSON)
        await Retention(home.inbox).prune()
        assert await home.history.look(number, Priority.PERSON) == 0


async def test_a_cursor_before_what_was_pruned_says_which_events_are_gone(modern_app: Connected) -> None:
    inbox = modern_app.services.inbox
    number = modern_app.sandbox.add_numbers(1)[0]
    start = (await modern_app.ok("list_events"))["after"]
    for n in range(5):
        await inbox.record(event_of(sms_webhook(number, f"Your code is {1000 + n}", str(1000 + n)), time.time()))
    await inbox.store.write(lambda c: events.prune(c, before=0, remote_before=None, keep=2))
    pruned, _ = await inbox.store.read(events.span)
    just_there = cursor.write(Cursor(pruned), await inbox.store.read(cursor.identity))
    for tool, arguments in (
        ("wait_for_code", {"number": number}),
        ("list_events", {}),
        ("wait_for_event", {"types": ["sms.received"]}),
    ):
        answer = await modern_app.ok(tool, after=start, **arguments)
        assert f"up to {pruned}, are gone" in answer["note"]
        assert "are gone" not in (await modern_app.ok(tool, after=just_there, **arguments)).get("note", "")
