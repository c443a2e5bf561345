"""The store of one process: groups of writes, old and new files, and who can read them."""

import asyncio
import os
import sqlite3
import stat
import threading
from contextlib import closing
from pathlib import Path

import pytest
from store_helpers import get, names, posix_only, put

from piv_mcp.errors import StoreError
from piv_mcp.store import Connection, SqliteStore, Store, events, facts, polls, writes
from piv_mcp.store import migrations as schema

# Groups


async def test_what_was_written_is_read_at_once_and_by_the_next_store(store: Store, store_path: Path) -> None:
    await store.write(put("a", "kept"))
    assert await store.read(get("a")) == "kept"
    await store.close()
    again = SqliteStore(store_path)
    assert await again.read(get("a")) == "kept"
    await again.close()


async def test_writes_that_wait_together_share_one_commit(store: Store) -> None:
    await store.write(put("open"))
    version: writes.Job[int] = lambda c: c.count("PRAGMA data_version")  # noqa: E731
    before = await store.read(version)
    started, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def hold(_: Connection) -> None:
        loop.call_soon_threadsafe(started.set)
        go_on.wait(10)

    first = asyncio.create_task(store.write(hold))
    await started.wait()
    transactions: list[int] = []

    def note(connection: Connection, name: str) -> None:
        facts.put(connection, name, "1")
        transactions.append(connection.count("SELECT total_changes()"))

    waiting = [asyncio.create_task(store.write(note, f"n{n}")) for n in range(200)]
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(first, *waiting)
    seen = await store.read(version)
    assert len(transactions) == 200
    assert 1 <= seen - before <= 2, "data_version counts commits at most"


async def test_a_job_that_fails_is_undone_alone(store: Store) -> None:
    def half_done(connection: Connection) -> None:
        facts.put(connection, "half", "1")
        raise LookupError("on purpose")

    def misspelt(connection: Connection) -> None:
        facts.put(connection, "misspelt", "1")
        connection.execute("SELECT nothing FROM nowhere")

    def against_the_rules(connection: Connection) -> None:
        facts.put(connection, "rules", "1")
        connection.execute("INSERT INTO facts (name, value) VALUES ('rules', NULL)")

    outcomes = await asyncio.gather(
        store.write(put("before")),
        store.write(half_done),
        store.write(misspelt),
        store.write(against_the_rules),
        store.write(put("after")),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [
        type(None),
        LookupError,
        sqlite3.OperationalError,
        sqlite3.IntegrityError,
        type(None),
    ]
    assert await store.read(names) == ["after", "before"]


async def test_a_writer_that_is_cancelled_while_waiting_writes_nothing(store: Store) -> None:
    await store.write(put("open"))
    started, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def hold(_: Connection) -> None:
        loop.call_soon_threadsafe(started.set)
        go_on.wait(10)

    first = asyncio.create_task(store.write(hold))
    await started.wait()
    gone = asyncio.create_task(store.write(put("gone")))
    stays = asyncio.create_task(store.write(put("stays")))
    await asyncio.sleep(0)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    go_on.set()
    await asyncio.gather(first, stays)
    assert await store.read(get("gone")) is None
    assert await store.read(get("stays")) == "1"


async def test_closing_commits_what_is_queued_and_refuses_what_comes_later(store: Store, store_path: Path) -> None:
    writing = [asyncio.create_task(store.write(put(f"n{n}"))) for n in range(50)]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*writing)
    with pytest.raises(StoreError, match="closed"):
        await store.write(put("late"))
    with pytest.raises(StoreError, match="closed"):
        await store.read(get("late"))
    await store.close()
    with sqlite3.connect(store_path) as connection:
        assert connection.execute("SELECT count(*) FROM facts WHERE name GLOB 'n*'").fetchone() == (50,)
    connection.close()


async def test_a_page_that_was_opened_by_a_clock_that_was_ahead_keeps_none_closed(store: Store) -> None:
    now = 1_800_000_000.0

    async def claim(at: float) -> bool:
        return await store.write(facts.claim_page, at, seen_since=now - 10, opened_since=now - 60)

    assert await claim(now)
    assert not await claim(now + 1)
    await store.write(facts.put_own, facts.PAGE_OPENED, str(now + 3600))
    await store.write(facts.put_own, facts.PAGE_SEEN, str(now + 3600))
    assert await claim(now)


async def test_reading_cannot_write(store: Store) -> None:
    with pytest.raises(StoreError, match="read-only"):
        await store.read(put("sneaked in"))


# Old and new files


async def test_a_file_of_the_first_step_is_brought_up_to_date_with_all_it_holds(store_path: Path) -> None:
    store_path.parent.mkdir()
    old = sqlite3.connect(store_path)
    old.executescript(schema.STEPS[0])
    old.execute("INSERT INTO events (type, source, arrived_at, payload) VALUES ('white.failed', 'webhook', 1, '{}')")
    old.execute("PRAGMA user_version = 1")
    old.commit()
    old.close()
    store = SqliteStore(store_path)
    found, total = await store.read(events.after, 0)
    assert (total, found[0].type) == (1, "white.failed")
    assert await store.read(lambda c: c.count("SELECT count(*) FROM spending")) == 0
    assert await store.read(lambda c: c.count("PRAGMA user_version")) == len(schema.STEPS)
    await store.close()


async def test_of_a_history_that_was_read_before_the_update_all_that_comes_is_new(store_path: Path) -> None:
    """Of one that was not, the first reading is still to come."""
    store_path.parent.mkdir()
    old = sqlite3.connect(store_path)
    for step in schema.STEPS[:6]:
        old.executescript(step)
    old.execute("INSERT INTO looks (number, at) VALUES ('read', 1), ('refused', 0)")
    old.execute("PRAGMA user_version = 6")
    old.commit()
    old.close()
    store = SqliteStore(store_path)
    looks = [await store.read(polls.look, number) for number in ("read", "refused", "never heard of")]
    assert [look.first_brought(1) for look in looks] == [False, True, True]
    await store.close()


def make_newer(store_path: Path) -> None:
    """As a newer version does, with the file open elsewhere or not."""
    with closing(sqlite3.connect(store_path, isolation_level=None)) as newer:
        newer.execute("CREATE TABLE of_tomorrow (x)")
        newer.execute("PRAGMA user_version = 999")


def dump(store_path: Path) -> list[str]:
    with closing(sqlite3.connect(store_path)) as connection:
        return list(connection.iterdump())


async def test_a_file_of_a_newer_version_is_refused_with_what_to_do_and_left_as_it_is(store_path: Path) -> None:
    store = SqliteStore(store_path)
    await store.write(put("kept"))
    await store.close()
    make_newer(store_path)
    before = dump(store_path)
    again = SqliteStore(store_path)
    for refused in (again.read(get("kept")), again.write(put("new"))):
        with pytest.raises(StoreError, match=r"newer version of piv-mcp.*999") as caught:
            await refused
        assert "Update piv-mcp, or restart this client" in (caught.value.hint or "")
    await again.close()
    assert dump(store_path) == before
    assert not list(store_path.parent.glob("*corrupt*"))


async def test_a_process_beside_a_newer_one_stops_writing_and_reading_and_says_so(
    store: Store, store_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await store.write(put("kept"))
    assert await store.read(get("kept")) == "1"
    make_newer(store_path)
    before = dump(store_path)
    with pytest.raises(StoreError, match="newer version"):
        await store.write(put("new"))
    with pytest.raises(StoreError, match="newer version"):
        await store.read(get("kept"))
    assert dump(store_path) == before
    assert "newer version" in capsys.readouterr().out


async def test_the_version_is_looked_at_inside_the_transaction(store: Store, store_path: Path) -> None:
    """A newer process that migrates while a write waits for its lock comes first."""
    await store.write(put("kept"))
    newer = sqlite3.connect(store_path, isolation_level=None)
    newer.execute("BEGIN IMMEDIATE")
    writing = asyncio.create_task(store.write(put("late")))
    await asyncio.sleep(0.2)
    newer.execute("PRAGMA user_version = 999")
    newer.execute("COMMIT")
    newer.close()
    with pytest.raises(StoreError, match="newer version"):
        await writing


async def test_a_step_that_breaks_off_leaves_the_old_version(store_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SqliteStore(store_path)
    await store.write(put("kept"))
    await store.close()
    steps = schema.STEPS
    monkeypatch.setattr(schema, "STEPS", (*steps, "CREATE TABLE half (x);\nCREATE TABLE half (x);\n"))
    broken = SqliteStore(store_path)
    with pytest.raises(StoreError):
        await broken.write(put("new"))
    await broken.close()
    monkeypatch.setattr(schema, "STEPS", steps)
    again = SqliteStore(store_path)
    assert await again.read(get("kept")) == "1"
    tables = await again.read(lambda c: {name for (name,) in c.rows("SELECT name FROM sqlite_master")})
    assert "half" not in tables
    await again.close()


@posix_only
async def test_only_the_owner_can_read_any_file_of_the_store(store: Store, store_path: Path) -> None:
    before = os.umask(0)
    try:
        await store.write(put("secret"))
        await store.read(get("secret"))
    finally:
        os.umask(before)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in store_path.parent.iterdir()}
    assert {"store.sqlite3", "store.sqlite3-wal", "store.sqlite3-shm"} <= set(modes)
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE(store_path.parent.stat().st_mode) == 0o700


async def test_every_commit_is_on_disk_before_it_is_acknowledged(store: Store) -> None:
    def pragmas(connection: Connection) -> tuple[str, int]:
        (mode,) = next(connection.rows("PRAGMA journal_mode"))
        return mode, connection.count("PRAGMA synchronous")

    # Inside a transaction the level shows as set.
    assert await store.write(pragmas) == ("wal", 2)
