"""What an open page is told, and how seldom it writes."""

import asyncio
import itertools

import pytest
from moving_clock import MovingClock

from piv_mcp.console import live
from piv_mcp.store import Store, facts
from piv_mcp.store.changes import Changes


async def test_an_open_page_that_nothing_changes_writes_once_in_every_beat(store: Store) -> None:
    """Each write of its own is a commit, which wakes the page."""
    clock = MovingClock(speed=20)
    changes = Changes(store, clock)
    beaten: list[float] = []

    async def look() -> str:
        return "same"

    async def beat() -> None:
        beaten.append(clock.monotonic())
        await store.write(facts.put_own, facts.PAGE_SEEN, str(clock.time()))

    events = live.told(look, "same", changes, clock, beat)
    async with asyncio.timeout(30):
        while len(beaten) < 4:
            assert await anext(events) in (":\n\n", "retry: 2000\n\n")
    await events.aclose()
    await changes.close()
    assert all(later - earlier >= live.BEAT_SECONDS for earlier, later in itertools.pairwise(beaten))


@pytest.mark.parametrize("ended", ["closed", "gone"])
async def test_a_page_that_has_ended_does_not_count_as_open(store: Store, ended: live.Ended) -> None:
    """Else no process would open another for a while."""
    changes = Changes(store, MovingClock())

    async def look() -> str:
        return ended

    async def beat() -> None:
        raise AssertionError("it says that it is open")

    told = [event async for event in live.told(look, "seen", changes, MovingClock(), beat)]
    assert told[1:] == [f"event: {ended}\ndata:\n\n"]
    await changes.close()
