"""Pruning of events: what goes, what stays, and what the cursor says of it."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_helpers import add_all, an_event

from piv_mcp.store import SqliteStore, Store, events, facts, recording, space
from piv_mcp.store import migrations as schema
from piv_mcp.store.files import side, size_of
from piv_mcp.store.space import INCREMENTAL, make_shrinkable, shrink
from piv_mcp.store.sqlite import MAX_LOG_BYTES, SqliteConnection

pytestmark = pytest.mark.sqlite

# Retention


async def seqs(store: Store) -> list[int]:
    return await store.read(lambda c: [seq for (seq,) in c.rows("SELECT seq FROM events ORDER BY seq")])


async def test_pruning_by_age_forgets_the_old_and_says_which(store: Store) -> None:
    now = time.time()
    await add_all(store, [an_event(n, arrived_at=now - 3600 * (10 - n)) for n in range(10)])
    gone = await store.write(events.prune, before=now - 5.5 * 3600, remote_before=now - 5.5 * 3600, keep=1000)
    assert gone == 5
    assert await seqs(store) == [6, 7, 8, 9, 10]
    assert await store.read(events.pruned_through) == 5
    assert await store.write(events.prune, before=now - 5.5 * 3600, remote_before=now - 5.5 * 3600, keep=1000) == 0


async def test_what_was_said_to_be_pruned_is_not_taken_back(store: Store) -> None:
    """An event that was stored first may become old last."""
    await add_all(store, [an_event(1, arrived_at=200.0), an_event(2, arrived_at=100.0), an_event(3, arrived_at=300.0)])
    for before in (150.0, 250.0):
        assert await store.write(events.prune, before=before, remote_before=before, keep=1000) == 1
        assert await store.read(events.pruned_through) == 2


async def test_pruning_by_count_keeps_the_newest(store: Store) -> None:
    await add_all(store, [an_event(n) for n in range(10)])
    assert await store.write(events.prune, before=0.0, remote_before=None, keep=3) == 7
    assert await seqs(store) == [8, 9, 10]
    assert await store.read(events.pruned_through) == 7
    assert await store.read(events.last_seq) == 10


async def test_a_pruned_empty_store_goes_on_counting(store: Store) -> None:
    await add_all(store, [an_event(n, arrived_at=1.0) for n in range(3)])
    assert await store.write(events.prune, before=2.0, remote_before=2.0, keep=1000) == 3
    await add_all(store, [an_event(9)])
    assert await seqs(store) == [4]
    assert await store.write(events.prune, before=2.0, remote_before=2.0, keep=1000) == 0


@settings(max_examples=60)
@given(
    ages=st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), max_size=30),
    holes=st.sets(st.integers(1, 30), max_size=10),
    keep=st.integers(0, 30),
    before=st.tuples(st.floats(0, 100), st.floats(0, 100) | st.none()),
    at_most=st.integers(1, 12),
)
def test_pruning_in_steps_deletes_what_both_clocks_call_old_or_is_too_many_and_nothing_else(
    ages: list[tuple[float, float]],
    holes: set[int],
    keep: int,
    before: tuple[float, float | None],
    at_most: int,
) -> None:
    connection = SqliteConnection(sqlite3.connect(":memory:", isolation_level=None))
    schema.migrate(connection)
    for n, (here, there) in enumerate(ages):
        recording.add(connection, an_event(n, arrived_at=here, reached_at=there))
    for hole in holes:
        connection.execute("DELETE FROM events WHERE seq = ?", (hole,))
    there_before = {seq for (seq,) in connection.rows("SELECT seq FROM events")}
    while gone := events.prune(connection, before=before[0], remote_before=before[1], keep=keep, at_most=at_most):
        assert gone <= at_most
    left = {seq for (seq,) in connection.rows("SELECT seq FROM events")}
    pruned = events.pruned_through(connection)
    newest = sorted(there_before, reverse=True)[:keep]

    def is_old(seq: int) -> bool:
        here, there = ages[seq - 1]
        return before[1] is not None and here < before[0] and there < before[1]

    deleted = there_before - left
    assert all(seq not in newest or is_old(seq) for seq in deleted)
    assert all(seq <= pruned for seq in deleted), "a cursor knows what may be gone"
    assert left <= set(newest)
    first = sorted(left)[:at_most]
    assert not any(is_old(seq) for seq in first)
    connection.raw.close()


# The size of the file


async def test_space_of_deleted_events_is_given_back_in_small_steps(store: Store, store_path: Path) -> None:
    await add_all(store, [an_event(n, payload="x" * 2000) for n in range(1000)])
    await store.write(events.prune, before=0.0, remote_before=None, keep=10)
    steps = 0
    while given := await store.write(shrink, 100):
        assert given <= 100
        steps += 1
    assert steps > 5
    await store.close()
    assert size_of(store_path) < 300_000
    again = SqliteStore(store_path)
    assert len(await seqs(again)) == 10
    assert await again.write(shrink, 100) == 0
    await again.close()


async def test_a_file_of_an_earlier_version_shrinks_too(store_path: Path) -> None:
    store_path.parent.mkdir()
    with closing(sqlite3.connect(store_path)) as old:
        for step in schema.STEPS:
            old.executescript(step)
        old.execute(f"PRAGMA user_version = {len(schema.STEPS)}")
        rows = [("white.failed", "webhook", float(n), "x" * 2000) for n in range(1000)]
        old.executemany("INSERT INTO events (type, source, arrived_at, payload) VALUES (?, ?, ?, ?)", rows)
        old.commit()
        old.execute("DELETE FROM events WHERE seq <= 990")
        old.commit()
    before = size_of(store_path)
    store = SqliteStore(store_path)
    await store.write(shrink, 100)
    assert await seqs(store) == list(range(991, 1001))
    assert await store.read(lambda c: c.count("PRAGMA auto_vacuum")) == INCREMENTAL
    await store.close()
    assert size_of(store_path) < before / 5


async def test_a_file_that_cannot_be_converted_now_is_used_as_it_is(store_path: Path) -> None:
    store_path.parent.mkdir()
    with closing(sqlite3.connect(store_path, isolation_level=None)) as old:
        old.execute("PRAGMA journal_mode = WAL")
        for step in schema.STEPS:
            old.executescript(step)
        old.execute(f"PRAGMA user_version = {len(schema.STEPS)}")
        old.execute("VACUUM")  # the pages of dropped tables would be room
        old.execute("BEGIN")
        old.execute("SELECT count(*) FROM events").fetchone()
        raw = sqlite3.connect(store_path, isolation_level=None, timeout=0)
        raw.execute("PRAGMA max_page_count = 1")
        make_shrinkable(SqliteConnection(raw))
        assert raw.execute("PRAGMA auto_vacuum").fetchone() == (0,)
        raw.execute("INSERT INTO facts VALUES ('used', '1')")
        assert shrink(SqliteConnection(raw), 10) == 0
        raw.close()


async def test_a_large_file_of_an_earlier_version_is_not_converted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "MOST_CONVERTED", 10_000)
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as raw:
        for step in schema.STEPS:
            raw.executescript(step)
        make_shrinkable(SqliteConnection(raw))
        assert raw.execute("PRAGMA auto_vacuum").fetchone() == (0,)


async def test_the_log_does_not_stay_as_large_as_it_once_was(store: Store, store_path: Path) -> None:
    log = side(store_path, "-wal")
    await store.write(facts.put, "huge", "x" * 40_000_000)
    assert size_of(log) > 40_000_000
    for n in range(20):
        await store.write(facts.put, f"n{n}", "x" * 100_000)
    assert size_of(log) <= MAX_LOG_BYTES
