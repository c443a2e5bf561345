"""The store under real life: groups, several processes, full disks, locks, damage, retention, old files."""

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piv_mcp.errors import StoreError
from piv_mcp.store import Connection, Store, database, events, facts, journal
from piv_mcp.store import migrations as schema
from piv_mcp.store.database import SqliteConnection
from piv_mcp.store.events import StoredEvent
from piv_mcp.store.journal import Entry

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="POSIX file modes, signals and limits")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "store.sqlite3"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[Store]:
    store = Store(path)
    yield store
    await store.close()


def put(name: str, value: str = "1") -> database.Job[None]:
    return lambda connection: facts.put(connection, name, value)


def names(connection: Connection) -> list[str]:
    """What the tests have put; the store keeps a fact of its own."""
    query = "SELECT name FROM facts WHERE name NOT GLOB 'store:*' AND name <> 'pruned_through' ORDER BY name"
    return [str(name) for (name,) in connection.rows(query)]


def get(name: str) -> database.Job[str | None]:
    return lambda connection: facts.get(connection, name)


def an_event(n: int, *, arrived_at: float | None = None, **changes: Any) -> StoredEvent:
    arrived = time.time() if arrived_at is None else arrived_at
    event = StoredEvent(
        type="domain.registered", source="webhook", arrived_at=arrived, payload="{}", digest=f"digest-{n}"
    )
    return replace(event, **changes)


async def add_all(store: Store, batch: list[StoredEvent]) -> None:
    def job(connection: Connection) -> None:
        for event in batch:
            events.add(connection, event)

    await store.write(job)


def script(code: str, *args: object) -> list[str]:
    """The command line of a small program that uses the store in a process of its own."""
    head = "import asyncio, os, sys, time\nfrom pathlib import Path\n"
    head += "from piv_mcp import log\nfrom piv_mcp.store import Store, facts\nlog.configure()\n"
    query = "SELECT name FROM facts WHERE name NOT GLOB 'store:*' AND name <> 'pruned_through' ORDER BY name"
    head += f"def names(c): return [name for name, in c.rows({query!r})]\n"
    return [sys.executable, "-c", head + textwrap.dedent(code), *map(str, args)]


async def run_script(code: str, *args: object) -> str:
    """What the program prints; it must end well."""
    process = await asyncio.create_subprocess_exec(*script(code, *args), stdout=subprocess.PIPE)
    out, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0
    return out.decode()


PUT_ONE = """
    async def main():
        store = Store(Path(sys.argv[1]))
        await store.write(facts.put, sys.argv[2], "1")
        await store.read(facts.get, sys.argv[2])
        await store.close()
    asyncio.run(main())
"""


# Groups


async def test_what_was_written_is_read_at_once_and_by_the_next_store(store: Store, path: Path) -> None:
    await store.write(put("a", "kept"))
    assert await store.read(get("a")) == "kept"
    await store.close()
    again = Store(path)
    assert await again.read(get("a")) == "kept"
    await again.close()


async def test_writes_that_wait_together_share_one_commit(store: Store) -> None:
    await store.write(put("open"))
    version: database.Job[int] = lambda c: c.count("PRAGMA data_version")  # noqa: E731
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


async def test_closing_commits_what_is_queued_and_refuses_what_comes_later(store: Store, path: Path) -> None:
    writing = [asyncio.create_task(store.write(put(f"n{n}"))) for n in range(50)]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*writing)
    with pytest.raises(StoreError, match="closed"):
        await store.write(put("late"))
    with pytest.raises(StoreError, match="closed"):
        await store.read(get("late"))
    await store.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM facts WHERE name GLOB 'n*'").fetchone() == (50,)
    connection.close()


async def test_reading_cannot_write(store: Store) -> None:
    with pytest.raises(StoreError, match="read-only"):
        await store.read(put("sneaked in"))


# Several processes


async def test_two_processes_write_one_file_and_nothing_is_lost(store: Store, path: Path) -> None:
    other = """
        async def main():
            store = Store(Path(sys.argv[1]))
            await asyncio.gather(*(store.write(facts.put, f"theirs-{n}", "1") for n in range(300)))
            for n in range(300, 330):
                await store.write(facts.put, f"theirs-{n}", "1")
            await store.close()
        asyncio.run(main())
    """

    async def ours() -> None:
        for n in range(300):
            await store.write(put(f"ours-{n}"))

    await asyncio.gather(run_script(other, path), run_script(other, path), ours())
    found = await store.read(names)
    assert set(found) == {f"ours-{n}" for n in range(300)} | {f"theirs-{n}" for n in range(330)}


async def test_a_write_after_another_process_has_closed_the_file_is_there_for_all(store: Store, path: Path) -> None:
    # A process that has lost its locks has its log deleted by the next process to end.
    await store.write(put("first"))
    await store.read(get("first"))
    await run_script(PUT_ONE, path, "second")
    await store.write(put("third"))
    connection = sqlite3.connect(path)
    found = {name for (name,) in connection.execute("SELECT name FROM facts")}
    connection.close()
    assert {"first", "second", "third"} <= found


async def test_many_processes_that_start_together_make_one_store(path: Path) -> None:
    await asyncio.gather(*(run_script(PUT_ONE, path, f"p{n}") for n in range(4)))
    store = Store(path)
    assert await store.read(names) == ["p0", "p1", "p2", "p3"]
    await store.close()
    assert not list(path.parent.glob("*corrupt*"))


@posix_only
async def test_what_was_acknowledged_survives_kill_9_at_once_afterwards(path: Path) -> None:
    code = """
        async def main():
            store = Store(Path(sys.argv[1]))
            for n in range(1000):
                await store.write(facts.put, f"n{n}", "1")
                print(n, flush=True)
        asyncio.run(main())
    """
    process = await asyncio.create_subprocess_exec(*script(code, path), stdout=subprocess.PIPE)
    assert process.stdout is not None
    acknowledged = [int(await process.stdout.readline()) for _ in range(25)]
    process.kill()
    acknowledged += [int(line) for line in (await process.stdout.read()).splitlines()]
    await process.wait()
    store = Store(path)
    found = await store.read(names)
    await store.close()
    assert {f"n{n}" for n in acknowledged} <= set(found)


# Disk full, file locked


@posix_only
async def test_a_full_disk_is_an_error_that_writes_nothing_and_passes(path: Path) -> None:
    code = """
        import resource, signal
        from piv_mcp.errors import StoreError
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        async def main():
            store = Store(Path(sys.argv[1]))
            await store.write(facts.put, "before", "1")
            resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
            try:
                await store.write(facts.put, "too much", "x" * 1_000_000)
            except StoreError as error:
                print(error.message)
            print(await store.read(facts.get, "too much"))
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            await store.write(facts.put, "after", "1")
            print(await store.read(names))
            await store.close()
        asyncio.run(main())
    """
    said = (await run_script(code, path)).splitlines()
    assert said[0] in ("the disk is full", "the disk reports an error")
    assert said[1:] == ["None", "['after', 'before']"]
    assert not list(path.parent.glob("*corrupt*"))


async def test_a_database_that_may_not_grow_says_that_the_disk_is_full(store: Store) -> None:
    def limit(connection: Connection, pages: int) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages}")

    await store.write(limit, 1)  # SQLite takes the present size for the least
    results = await asyncio.gather(
        *(store.write(put(f"n{n}", "x" * 10_000)) for n in range(100)), return_exceptions=True
    )
    errors = [result for result in results if result is not None]
    assert errors
    assert {str(error) for error in errors} == {"the disk is full"}
    assert all(isinstance(error, StoreError) for error in errors)
    await store.write(limit, 1_000_000)
    await store.write(put("after"))
    assert await store.read(get("after")) == "1"


async def test_a_locked_file_is_an_error_in_good_time_and_writes_go_on_afterwards(store: Store, path: Path) -> None:
    await store.write(put("before"))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    started = time.monotonic()
    with pytest.raises(StoreError, match="locked by another program"):
        await store.write(put("meanwhile"))
    assert time.monotonic() - started < 5, "what piv.day gives a webhook"
    assert await store.read(get("before")) == "1", "reading goes on"
    other.execute("ROLLBACK")
    other.close()
    await store.write(put("after"))
    assert await store.read(names) == ["after", "before"]


async def test_a_lock_is_waited_for_less_than_a_webhook_may_take() -> None:
    assert 2 * database.BUSY_SECONDS < 5, "a group that waits, and the one behind it"


async def test_a_place_that_cannot_be_written_is_an_error_for_writing_and_reading(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way of the directory")
    store = Store(tmp_path / "file" / "store.sqlite3")
    with pytest.raises(StoreError, match="cannot be opened"):
        await store.write(put("a"))
    with pytest.raises(StoreError, match="cannot be opened"):
        await store.read(get("a"))
    await store.close()


# Damage


def damage(path: Path) -> bytes:
    """Overwrite all but nothing of the file; returns what it holds then."""
    rubbish = b"this is no database " * 4096
    path.write_bytes(rubbish)
    return rubbish


def damage_pages(path: Path) -> None:
    """The file opens as ever, and no page of it is right."""
    header = path.read_bytes()[:100]
    path.write_bytes(header + b"\xff" * 100_000)


async def test_a_corrupt_file_is_set_aside_at_the_start_and_kept(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path.parent.mkdir()
    rubbish = damage(path)
    store = Store(path)
    await store.write(put("new"))
    assert await store.read(get("new")) == "1"
    await store.close()
    (kept,) = path.parent.glob("store.sqlite3.corrupt-*")
    assert kept.read_bytes() == rubbish
    told = capsys.readouterr().out
    assert "damaged" in told
    assert str(kept) in told


async def test_a_corrupt_file_that_is_only_read_is_set_aside_too(path: Path) -> None:
    path.parent.mkdir()
    rubbish = damage(path)
    store = Store(path)
    assert await store.read(get("new")) is None
    await store.write(put("new"))
    assert await store.read(get("new")) == "1"
    await store.close()
    (kept,) = path.parent.glob("store.sqlite3.corrupt-*")
    assert kept.read_bytes() == rubbish


async def test_damage_under_a_running_process_begins_a_new_store_and_keeps_the_old(store: Store, path: Path) -> None:
    await store.write(put("old", "x" * 100_000))
    other = sqlite3.connect(path)
    other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    other.close()
    damage_pages(path)
    assert await store.read(get("old")) is None
    await store.write(put("new"))
    assert await store.read(get("new")) == "1"
    assert len([kept for kept in path.parent.glob("*.corrupt-*") if kept.stat().st_size > 90_000]) == 1


async def test_damage_that_only_reading_meets_is_repaired_within_the_same_call(path: Path) -> None:
    store = Store(path)
    await store.write(put("old"))
    assert await store.read(get("old")) == "1"
    told = False

    def damaged_once(connection: Connection) -> str | None:
        nonlocal told
        if not told:
            told = True
            error = sqlite3.DatabaseError("database disk image is malformed")
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise error
        return facts.get(connection, "old")

    assert await store.read(damaged_once) is None
    await store.write(put("new"))
    assert await store.read(get("new")) == "1"
    await store.close()
    assert len([kept for kept in path.parent.glob("*.corrupt-*") if not kept.name.endswith(("-wal", "-shm"))]) == 1


async def test_the_spending_journal_is_taken_over_from_a_damaged_store(path: Path) -> None:
    entries = [an_entry(n) for n in range(300)]
    store = Store(path)
    await add_all(store, [an_event(n, payload="x" * 500) for n in range(500)])
    await store.write(lambda connection: [journal.insert(connection, entry) for entry in entries])
    await store.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'events'").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)

    store = Store(path)
    await add_all(store, [an_event(1000)])
    kept = list(reversed(await store.read(journal.newest, limit=10_000)))
    await store.close()
    assert [entry.id for entry in kept] == [entry.id for entry in entries]
    assert {entry.state for entry in kept} == {"unknown"}, "it goes on blocking its action"


def an_entry(n: int) -> Entry:
    return Entry(
        id=f"sp_{n:010x}",
        kind="purchase_number",
        area="numbers",
        arguments="{}",
        fingerprint=str(n),
        state="unknown",
        quote="{}",
        price="4.00",
        quoted_at=0,
        expires_at=600,
    )


async def test_of_two_stores_that_meet_the_same_damage_one_sets_it_aside(path: Path) -> None:
    path.parent.mkdir()
    damage(path)
    await asyncio.gather(*(run_script(PUT_ONE, path, f"p{n}") for n in range(3)))
    assert len(list(path.parent.glob("*.corrupt-*"))) == 1
    store = Store(path)
    assert await store.read(names) == ["p0", "p1", "p2"]
    await store.close()


async def test_two_files_damaged_within_one_second_are_both_kept(path: Path) -> None:
    path.parent.mkdir()
    for _ in range(2):
        damage(path)
        store = Store(path)
        await store.write(put("new"))
        await store.close()
    assert len([kept for kept in path.parent.glob("*.corrupt-*") if kept.stat().st_size > 80_000]) == 2


@posix_only
async def test_a_store_that_is_replaced_under_a_running_process_is_the_one_it_uses(store: Store, path: Path) -> None:
    await store.write(put("old"))
    await store.read(get("old"))
    for side in ("", "-wal", "-shm"):
        path.with_name(path.name + side).unlink()
    await run_script(PUT_ONE, path, "theirs")
    await store.write(put("ours"))
    assert await store.read(names) == ["ours", "theirs"]
    out = await run_script(
        """
        async def main():
            store = Store(Path(sys.argv[1]))
            print(await store.read(names))
            await store.close()
        asyncio.run(main())
        """,
        path,
    )
    assert out.strip() == "['ours', 'theirs']"


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


# Old and new files


async def test_a_file_of_the_first_step_is_brought_up_to_date_with_all_it_holds(path: Path) -> None:
    path.parent.mkdir()
    old = sqlite3.connect(path)
    old.executescript(schema.STEPS[0])
    old.execute("INSERT INTO events (type, source, arrived_at, payload) VALUES ('white.failed', 'webhook', 1, '{}')")
    old.execute("PRAGMA user_version = 1")
    old.commit()
    old.close()
    store = Store(path)
    found, total = await store.read(events.after, 0)
    assert (total, found[0].type) == (1, "white.failed")
    assert await store.read(lambda c: c.count("SELECT count(*) FROM spending")) == 0
    assert await store.read(lambda c: c.count("PRAGMA user_version")) == len(schema.STEPS)
    await store.close()


async def test_a_file_of_a_newer_version_is_used_and_left_as_it_is(path: Path) -> None:
    store = Store(path)
    await store.write(put("kept"))
    await store.close()
    newer = sqlite3.connect(path)
    newer.execute("CREATE TABLE of_tomorrow (x)")
    newer.execute("PRAGMA user_version = 999")
    newer.commit()
    newer.close()
    again = Store(path)
    assert await again.read(get("kept")) == "1"
    assert await again.read(lambda c: c.count("PRAGMA user_version")) == 999
    await again.close()


async def test_a_step_that_breaks_off_leaves_the_old_version(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(path)
    await store.write(put("kept"))
    await store.close()
    steps = schema.STEPS
    monkeypatch.setattr(schema, "STEPS", (*steps, "CREATE TABLE half (x);\nCREATE TABLE half (x);\n"))
    broken = Store(path)
    with pytest.raises(StoreError):
        await broken.write(put("new"))
    await broken.close()
    monkeypatch.setattr(schema, "STEPS", steps)
    again = Store(path)
    assert await again.read(get("kept")) == "1"
    tables = await again.read(lambda c: {name for (name,) in c.rows("SELECT name FROM sqlite_master")})
    assert "half" not in tables
    await again.close()


@posix_only
async def test_only_the_owner_can_read_any_file_of_the_store(store: Store, path: Path) -> None:
    before = os.umask(0)
    try:
        await store.write(put("secret"))
        await store.read(get("secret"))
    finally:
        os.umask(before)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert {"store.sqlite3", "store.sqlite3-wal", "store.sqlite3-shm"} <= set(modes)
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_every_commit_is_on_disk_before_it_is_acknowledged(store: Store) -> None:
    def pragmas(connection: Connection) -> tuple[str, int]:
        (mode,) = next(connection.rows("PRAGMA journal_mode"))
        return mode, connection.count("PRAGMA synchronous")

    # Inside a transaction the level shows as set.
    assert await store.write(pragmas) == ("wal", 2)
