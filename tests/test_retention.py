"""Retention: what the inbox forgets, and how an answer says so."""

import time
from dataclasses import replace
from typing import Any

import pytest
from harness import Connect, Connected, until
from inbox_home import PATIENCE
from moving_clock import MovingClock
from processes import sms_webhook

from piv_mcp.inbox.parse import event_of
from piv_mcp.runtime import PRUNE_SECONDS
from piv_mcp.sandbox import Sandbox
from piv_mcp.store import events

pytestmark = pytest.mark.usefixtures("instant_retries")


def codes_of(answer: dict[str, Any]) -> list[str]:
    return [event["code"] for event in answer["events"]]


async def test_retention_keeps_to_the_days_that_were_set(connect: Connect) -> None:
    async with connect(inbox_days=2, sandbox=Sandbox(seed=False)) as app:
        inbox = app.services.inbox
        _, start = await inbox.store.read(events.span)
        for days in (3, 1):
            event = event_of(sms_webhook("some-number", f"Your code is {days}000", f"{days}000"), time.time())
            await inbox.record(replace(event, arrived_at=time.time() - days * 86400, digest=str(days)))
        await inbox.prune()
        found, _ = await inbox.store.read(events.after, start)
        assert [event.code for event in found] == ["1000"]


async def test_pruning_runs_by_itself(connect: Connect) -> None:
    clock = MovingClock(speed=0)
    async with connect(sandbox=Sandbox(seed=False), inbox_days=2, clock=clock) as app:
        inbox = app.services.inbox

        async def record(code: str, days: float) -> int:
            event = event_of(sms_webhook("some-number", f"Your code is {code}", code), clock.time())
            stored, _ = await inbox.record(replace(event, arrived_at=clock.time() - days * 86400))
            return stored.seq

        for code in ("1111", "2222"):  # not only at the start
            old = await record(code, days=3)

            async def pruned(seq: int = old) -> bool:
                clock.advance(PRUNE_SECONDS)
                return (await inbox.store.read(events.span))[0] == seq

            await until(pruned, seconds=PATIENCE, what="pruning")
        await record("3333", days=1)
        answer = await app.ok("list_events", after=0)
        assert codes_of(answer) == ["3333"]
        assert f"Events 1 to {old} are gone" in answer["note"]


async def test_a_cursor_before_what_was_pruned_says_which_events_are_gone(modern_app: Connected) -> None:
    inbox = modern_app.services.inbox
    number = modern_app.sandbox.add_numbers(1)[0]
    _, start = await inbox.store.read(events.span)
    for n in range(5):
        await inbox.record(event_of(sms_webhook(number, f"Your code is {1000 + n}", str(1000 + n)), time.time()))
    await inbox.store.write(lambda c: events.prune(c, before=0, keep=2))
    pruned, _ = await inbox.store.read(events.span)
    for tool, arguments in (
        ("wait_for_code", {"number": number}),
        ("list_events", {}),
        ("wait_for_event", {"types": ["sms.received"]}),
    ):
        answer = await modern_app.ok(tool, after=start, **arguments)
        assert f"Events {start + 1} to {pruned} are gone" in answer["note"]
