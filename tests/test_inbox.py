"""The inbox: how events that come together are stored, and what a store that fails costs."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from inbox_home import Home
from processes import sms_webhook
from store_helpers import an_event

from piv_mcp.errors import StoreError
from piv_mcp.inbox.parse import event_of
from piv_mcp.inbox.retention import FIRST_SECONDS, PRUNE_SECONDS, Retention
from piv_mcp.store import events, facts, recording
from piv_mcp.store.event import StoredEvent
from piv_mcp.text.times import DAY_SECONDS


def count_writes(
    home: Home, monkeypatch: pytest.MonkeyPatch, *, failing: Callable[[object], bool] = lambda _: False
) -> list[object]:
    """The jobs that this process writes from now on. Those that are `failing` fail."""
    written: list[object] = []
    write = home.inbox.store.write

    async def counted(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        written.append(fn)
        if failing(fn):
            raise StoreError("the disk is full")
        return await write(fn, *args, **kwargs)

    monkeypatch.setattr(home.inbox.store, "write", counted)
    return written


async def last_webhook(home: Home) -> float:
    return await home.inbox.store.read(facts.own_number, facts.WEBHOOK_RECEIVED)


async def test_events_that_come_together_share_one_commit(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    written = count_writes(home, monkeypatch)
    stored = await asyncio.gather(*(home.webhook(home.numbers[0], str(1000 + n)) for n in range(5)))
    assert [event.code for event in stored] == ["1000", "1001", "1002", "1003", "1004"]
    assert written.count(recording.add_received) == 1


async def test_an_event_that_comes_a_turn_of_the_loop_later_shares_the_commit(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = count_writes(home, monkeypatch)

    async def next_turn() -> StoredEvent:
        await asyncio.sleep(0)
        return await home.webhook(home.numbers[0], "1001")

    stored = await asyncio.gather(home.webhook(home.numbers[0], "1000"), next_turn())
    assert [event.code for event in stored] == ["1000", "1001"]
    assert written.count(recording.add_received) == 1


async def test_events_share_the_commit_that_waits_for_another_to_end(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    before = asyncio.create_task(home.inbox.store.write(lambda _: go_on.wait(10)))
    await asyncio.sleep(0.1)
    written = count_writes(home, monkeypatch)
    waiting: list[asyncio.Task[StoredEvent]] = []
    for n in range(3):
        waiting.append(asyncio.create_task(home.webhook(home.numbers[0], str(1000 + n))))
        await asyncio.sleep(0.1)
    go_on.set()
    await before
    assert [event.code for event in await asyncio.gather(*waiting)] == ["1000", "1001", "1002"]
    assert written.count(recording.add_received) == 1
    assert (await home.webhook(home.numbers[0], "1003")).code == "1003"
    assert written.count(recording.add_received) == 2


async def test_that_webhooks_come_is_noted_once_for_each_address(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    written, first = count_writes(home, monkeypatch), home.clock.time()
    assert await last_webhook(home) == 0
    for writes in (2, 3, 4):
        await home.webhook(home.numbers[0], str(1000 + writes))
        assert len(written) == writes
        assert await last_webhook(home) == first
        home.clock.advance(1)


async def test_an_event_is_stored_although_it_cannot_be_noted_that_webhooks_come(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    count_writes(home, monkeypatch, failing=lambda fn: fn is not recording.add_received)
    assert (await home.webhook(home.numbers[0], "1000")).seq
    assert await last_webhook(home) == 0


async def test_an_event_that_cannot_be_stored_is_said_to_be_lost(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as full:
        count_writes(home, full, failing=lambda _: True)
        with pytest.raises(StoreError):
            await home.webhook(home.numbers[0], "1000")
    assert (await home.webhook(home.numbers[0], "1000")).code == "1000"


async def test_events_of_another_process_than_the_one_that_waits_end_its_wait(homes: list[Home]) -> None:
    home, other = homes
    version = home.inbox.changes.version
    await home.inbox.record_all([event_of(sms_webhook(home.numbers[0], "Your code is 1000"), home.clock.time())])
    assert home.inbox.changes.version != version, "at once in its own process"
    found, _ = await other.inbox.store.read(events.after, 0)
    assert len(found) == 1


async def test_pruning_begins_half_a_minute_after_the_start_and_survives_a_store_that_fails(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = home.clock.time() - 31 * DAY_SECONDS
    home.inbox.remote_time = home.clock.time
    await home.inbox.record(event_of(sms_webhook(home.numbers[0], "Your code is 1000"), old, old))
    running = asyncio.create_task(Retention(home.inbox).run())

    async def left_after(seconds: float) -> int:
        home.clock.advance(seconds)
        await home.asleep(1)
        return (await home.inbox.store.read(events.after, 0))[1]

    await home.asleep(1)
    assert await left_after(FIRST_SECONDS - 1) == 1
    with monkeypatch.context() as full:
        count_writes(home, full, failing=lambda _: True)
        assert await left_after(1) == 1
    assert await left_after(PRUNE_SECONDS - 1) == 1
    assert await left_after(1) == 0
    running.cancel()


async def test_pruning_gives_all_free_pages_back_to_the_disk(home: Home) -> None:
    old = home.clock.time() - 31 * DAY_SECONDS
    home.inbox.remote_time = home.clock.time
    texts = [f"Your code is {1000 + n}. {'x' * 1500}" for n in range(400)]
    await home.inbox.record_all([event_of(sms_webhook(home.numbers[0], text), old, old) for text in texts])
    few = [an_event(n, arrived_at=old, reached_at=old) for n in range(5000)]
    await home.inbox.record_all(few)
    assert await Retention(home.inbox).prune() == len(texts) + len(few)
    assert await home.inbox.store.read(lambda c: c.count("PRAGMA freelist_count")) == 0
