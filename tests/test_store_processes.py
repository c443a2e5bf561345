"""The store of several processes, on a full disk, and behind a lock."""

import asyncio
import os
import sqlite3
import subprocess
import threading
import time
from pathlib import Path

import pytest
from processes import within
from store_helpers import PUT_ONE, get, names, posix_only, put, run_script, run_together, script

from piv_mcp.errors import StoreError
from piv_mcp.store import Connection, SqliteStore, Store, facts, recovery, writes
from piv_mcp.store.files import inode_of, locked, side
from piv_mcp.store.rows import damage
from piv_mcp.store.sqlite import SqliteConnection

pytestmark = pytest.mark.sqlite

# Several processes


async def test_two_processes_write_one_file_and_nothing_is_lost(store: Store, store_path: Path) -> None:
    other = """
        async def main():
            store = SqliteStore(Path(sys.argv[1]))
            await asyncio.gather(*(store.write(facts.put, f"theirs-{n}", "1") for n in range(300)))
            for n in range(300, 330):
                await store.write(facts.put, f"theirs-{n}", "1")
            await store.close()
        asyncio.run(main())
    """

    async def ours() -> None:
        for n in range(300):
            await store.write(put(f"ours-{n}"))

    await asyncio.gather(run_script(other, store_path), run_script(other, store_path), ours())
    found = await store.read(names)
    assert set(found) == {f"ours-{n}" for n in range(300)} | {f"theirs-{n}" for n in range(330)}


async def test_a_write_after_another_process_has_closed_the_file_is_there_for_all(
    store: Store, store_path: Path
) -> None:
    # A process that has lost its locks has its log deleted by the next process to end.
    await store.write(put("first"))
    await store.read(get("first"))
    await run_script(PUT_ONE, store_path, "second")
    await store.write(put("third"))
    connection = sqlite3.connect(store_path)
    found = {name for (name,) in connection.execute("SELECT name FROM facts")}
    connection.close()
    assert {"first", "second", "third"} <= found


async def test_many_processes_that_start_together_make_one_store(store_path: Path) -> None:
    await run_together(PUT_ONE, store_path, [f"p{n}" for n in range(6)])
    store = SqliteStore(store_path)
    assert await store.read(names) == [f"p{n}" for n in range(6)]
    await store.close()
    assert not list(store_path.parent.glob("*corrupt*"))


@posix_only
@pytest.mark.parametrize("why", ["made", "mended", "made anew"])
async def test_the_file_is_made_and_repaired_by_one_process_at_a_time(store_path: Path, why: str) -> None:
    store = SqliteStore(store_path)
    if why == "made":
        create_folder(store_path)
    else:
        await store.write(put("before"))
    told = False

    def damaged_once(connection: Connection) -> None:
        nonlocal told
        if why == "mended" and not told:
            told = True
            raise damage("told once")
        facts.put(connection, "after", "1")

    with locked(store_path):
        if why == "made anew":
            side(store_path, "-wal").unlink()
        before = what_is_there(store_path)
        writing = asyncio.create_task(store.write(damaged_once))
        await asyncio.wait({writing}, timeout=0.5)
        assert not writing.done()
        assert what_is_there(store_path) == before
    await writing
    assert await store.read(get("after")) == "1"
    await store.close()


def what_is_there(store_path: Path) -> tuple[int, list[str]]:
    """The file, and the names of what is not SQLite's own: closing deletes that."""
    found = sorted(os.listdir(store_path.parent))
    return inode_of(store_path), [name for name in found if not name.endswith(("-wal", "-shm"))]


def create_folder(store_path: Path) -> None:
    store_path.parent.mkdir()


@posix_only
async def test_what_was_acknowledged_survives_kill_9_at_once_afterwards(store_path: Path) -> None:
    code = """
        async def main():
            store = SqliteStore(Path(sys.argv[1]))
            for n in range(1000):
                await store.write(facts.put, f"n{n}", "1")
                print(n, flush=True)
        asyncio.run(main())
    """
    process = await asyncio.create_subprocess_exec(*script(code, store_path), stdout=subprocess.PIPE)
    assert process.stdout is not None
    acknowledged = [int(await process.stdout.readline()) for _ in range(25)]
    process.kill()
    acknowledged += [int(line) for line in (await process.stdout.read()).splitlines()]
    await process.wait()
    store = SqliteStore(store_path)
    found = await store.read(names)
    await store.close()
    assert {f"n{n}" for n in acknowledged} <= set(found)


# Disk full, file locked


@posix_only
async def test_a_full_disk_is_an_error_that_writes_nothing_and_passes(store_path: Path) -> None:
    code = """
        import resource, signal
        from piv_mcp.errors import StoreError
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        async def main():
            store = SqliteStore(Path(sys.argv[1]))
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
    said = (await run_script(code, store_path)).splitlines()
    assert said[0] in ("the disk is full", "the disk reports an error")
    assert said[1:] == ["None", "['after', 'before']"]
    assert not list(store_path.parent.glob("*corrupt*"))


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


async def test_a_locked_file_is_an_error_in_good_time_and_writes_go_on_afterwards(store_path: Path) -> None:
    store = SqliteStore(store_path, busy_seconds=0.2)
    await store.write(put("before"))
    other = sqlite3.connect(store_path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    async with within(2):
        with pytest.raises(StoreError, match="locked by another program"):
            await store.write(put("meanwhile"))
    assert await store.read(get("before")) == "1", "reading goes on"
    other.execute("ROLLBACK")
    other.close()
    await store.write(put("after"))
    assert await store.read(names) == ["after", "before"]
    await store.close()


async def test_every_write_behind_a_lock_is_refused_in_time_however_many_wait(store_path: Path) -> None:
    store = SqliteStore(store_path)
    await store.write(put("before"))
    other = sqlite3.connect(store_path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    async def one(name: str) -> float:
        started = time.monotonic()
        with pytest.raises(StoreError, match=r"locked by another program|has it locked"):
            await store.write(put(name))
        return time.monotonic() - started

    waiting: list[asyncio.Task[float]] = []
    for n in range(20):  # each comes in a turn of the loop of its own, and so in a group of its own
        waiting.append(asyncio.create_task(one(f"n{n}")))
        await asyncio.sleep(0.02)
    took = await asyncio.gather(*waiting)
    assert max(took) < 1.6 * writes.BUSY_SECONDS, "not one after the other"
    other.execute("ROLLBACK")
    other.close()
    await store.write(put("after"))
    assert await store.read(names) == ["after", "before"], "what was refused is not written later"
    await store.close()


async def test_of_writes_that_wait_together_each_has_its_own_time(store_path: Path) -> None:
    store = SqliteStore(store_path, busy_seconds=2.0)
    await store.write(put("before"))
    other = sqlite3.connect(store_path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    waiting: list[asyncio.Task[None]] = []
    for n in range(3):
        waiting.append(asyncio.create_task(store.write(put(f"n{n}"))))
        await asyncio.sleep(0.9)
    release = threading.Timer(0.6, other.execute, ["ROLLBACK"])  # between the ends of the second and the third
    release.start()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [isinstance(result, StoreError) for result in results] == [True, True, False]
    assert await store.read(names) == ["before", "n2"]
    release.join()
    other.close()
    await store.close()


async def test_writes_that_come_during_a_commit_share_the_next(store: Store) -> None:
    released = threading.Event()
    begun: list[str] = []

    def slow(connection: SqliteConnection) -> None:
        connection.raw.set_trace_callback(lambda sql: begun.append(sql) if sql.startswith("BEGIN") else None)
        released.wait(10)

    waiting = [asyncio.create_task(store.write(slow))]  # pyright: ignore[reportArgumentType]
    for n in range(20):  # each comes in a turn of the loop of its own
        await asyncio.sleep(0.005)
        waiting.append(asyncio.create_task(store.write(put(f"n{n:02}"))))
    await asyncio.sleep(0.005)
    released.set()
    await asyncio.gather(*waiting)
    assert len(begun) == 1
    assert len(await store.read(names)) == 20


async def test_a_lock_is_waited_for_less_than_a_webhook_may_take() -> None:
    assert writes.BUSY_SECONDS + 2 * writes.LATER_SECONDS < 5


async def test_a_write_that_was_begun_is_not_given_up(store_path: Path) -> None:
    """It may be on disk already."""
    store = SqliteStore(store_path, busy_seconds=0.2)
    await store.write(put("before"))

    def slow(connection: Connection) -> str:
        time.sleep(1.0)
        facts.put(connection, "slow", "1")
        return "written"

    assert await store.write(slow) == "written"
    assert await store.read(get("slow")) == "1"
    await store.close()


async def test_writes_during_a_long_recovery_are_refused_in_time(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = threading.Event()
    create = recovery.create

    def slow_create(path: Path) -> None:
        made.wait(10)
        create(path)

    monkeypatch.setattr(recovery, "create", slow_create)
    store = SqliteStore(store_path, busy_seconds=0.2)
    async with within(2):
        results = await asyncio.gather(*(store.write(put(f"n{n}")) for n in range(3)), return_exceptions=True)
    assert all(isinstance(result, StoreError) and "busy" in result.message for result in results)
    made.set()
    await store.write(put("after"))
    assert await store.read(names) == ["after"]
    await store.close()


async def test_a_write_that_was_rolled_back_for_a_long_repair_is_refused_in_time(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqliteStore(store_path, busy_seconds=0.2)
    await store.write(put("before"))
    repaired = threading.Event()
    mend = recovery.mend

    def slow_mend(path: Path, inode: int) -> bool:
        repaired.wait(10)
        return mend(path, inode)

    def met_late(connection: Connection) -> None:
        time.sleep(2 * (0.2 + writes.LATER_SECONDS))
        raise damage("met late")

    monkeypatch.setattr(recovery, "mend", slow_mend)
    async with within(5):
        with pytest.raises(StoreError, match="busy"):
            await store.write(met_late)
    repaired.set()
    await store.write(put("after"))
    assert await store.read(names) == ["after", "before"]
    await store.close()


async def test_a_place_that_cannot_be_written_is_an_error_for_writing_and_reading(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way of the directory")
    store = SqliteStore(tmp_path / "file" / "store.sqlite3")
    with pytest.raises(StoreError, match="cannot be opened"):
        await store.write(put("a"))
    with pytest.raises(StoreError, match="cannot be opened"):
        await store.read(get("a"))
    await store.close()
