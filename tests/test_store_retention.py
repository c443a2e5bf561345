"""Pruning of events: what goes, what stays, and what the cursor says of it."""

import sqlite3
import time

from hypothesis import given, settings
from hypothesis import strategies as st
from store_helpers import add_all, an_event

from piv_mcp.store import Store, events
from piv_mcp.store import migrations as schema
from piv_mcp.store.database import SqliteConnection

# Retention


async def seqs(store: Store) -> list[int]:
    return await store.read(lambda c: [seq for (seq,) in c.rows("SELECT seq FROM events ORDER BY seq")])


async def test_pruning_by_age_forgets_the_old_and_says_which(store: Store) -> None:
    now = time.time()
    await add_all(store, [an_event(n, arrived_at=now - 3600 * (10 - n)) for n in range(10)])
    gone = await store.write(events.prune, before=now - 5.5 * 3600, keep=1000)
    assert gone == 5
    assert await seqs(store) == [6, 7, 8, 9, 10]
    assert await store.read(events.pruned_through) == 5
    assert await store.write(events.prune, before=now - 5.5 * 3600, keep=1000) == 0


async def test_pruning_by_count_keeps_the_newest(store: Store) -> None:
    await add_all(store, [an_event(n) for n in range(10)])
    assert await store.write(events.prune, before=0.0, keep=3) == 7
    assert await seqs(store) == [8, 9, 10]
    assert await store.read(events.pruned_through) == 7
    assert await store.read(events.last_seq) == 10


async def test_a_pruned_empty_store_goes_on_counting(store: Store) -> None:
    await add_all(store, [an_event(n, arrived_at=1.0) for n in range(3)])
    assert await store.write(events.prune, before=2.0, keep=1000) == 3
    await add_all(store, [an_event(9)])
    assert await seqs(store) == [4]
    assert await store.write(events.prune, before=2.0, keep=1000) == 0


@settings(max_examples=40, deadline=None)
@given(
    ages=st.lists(st.floats(0, 100), max_size=30),
    holes=st.sets(st.integers(1, 30), max_size=10),
    keep=st.integers(0, 30),
    before=st.floats(0, 100),
    at_most=st.integers(1, 12),
)
def test_pruning_in_steps_never_forgets_what_it_should_keep(
    ages: list[float], holes: set[int], keep: int, before: float, at_most: int
) -> None:
    connection = SqliteConnection(sqlite3.connect(":memory:", isolation_level=None))
    schema.migrate(connection)
    for n, age in enumerate(ages):
        events.add(connection, an_event(n, arrived_at=age))
    for hole in holes:
        connection.execute("DELETE FROM events WHERE seq = ?", (hole,))
    arrived: dict[int, float] = dict(connection.rows("SELECT seq, arrived_at FROM events"))
    while gone := events.prune(connection, before=before, keep=keep, at_most=at_most):
        assert gone <= at_most
    left = {seq for (seq,) in connection.rows("SELECT seq FROM events")}
    pruned, last = events.pruned_through(connection), events.last_seq(connection)
    assert left == {seq for seq in arrived if seq > pruned}, "one prefix goes, and the cursor knows which"
    for seq in arrived.keys() - left:
        old_prefix = all(arrived[other] < before for other in arrived if other <= seq)
        assert (
            seq <= last - keep
            or old_prefix
            or any(
                other <= last - keep and all(arrived[mid] < before for mid in arrived if other < mid <= seq)
                for other in range(last + 1)
            )
        )
    if left:
        assert min(left) > last - keep
        assert arrived[min(left)] >= before
    connection.raw.close()
