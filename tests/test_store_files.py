"""Files of the store that are deleted, replaced or cut while processes use them."""

import asyncio
import os
import shutil
import sqlite3
import stat
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from harness import until
from moving_clock import MovingClock
from processor_time import times_as_long
from store_helpers import PATIENCE, PUT_ONE, add_all, an_event, get, names, posix_only, put, run_script, script

from piv_mcp.errors import StoreError
from piv_mcp.store import Connection, SqliteStore, facts, recovery
from piv_mcp.store.changes import Changes
from piv_mcp.store.database import COMMIT_POLL_SECONDS
from piv_mcp.store.files import inode_of, side, size_of
from piv_mcp.store.sqlite import SqliteConnection

pytestmark = [pytest.mark.sqlite, posix_only]

SIDES_AND_FILE = ["-wal", "-shm", ""]

SERVER = """
    async def main():
        store = SqliteStore(Path(sys.argv[1]), busy_seconds=20)
        for line in iter(sys.stdin.readline, ""):
            command, _, name = line.strip().partition(" ")
            try:
                if command == "put":
                    await store.write(facts.put, name, "1")
                    print("done", flush=True)
                elif command == "get":
                    print(await store.read(facts.get, name), flush=True)
            except Exception as error:
                print(f"{type(error).__name__}: {error}", flush=True)
        await store.close()
    asyncio.run(main())
"""
"""Another server process, which does what it is told."""


class Process:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def tell(self, command: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{command}\n".encode())
        return (await asyncio.wait_for(self._process.stdout.readline(), 20)).decode().strip()

    async def kill(self) -> None:
        self._process.kill()
        await self._process.wait()


@asynccontextmanager
async def another_process(store_path: Path) -> AsyncGenerator[Process]:
    command = script(SERVER, store_path)
    process = await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield Process(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def names_in(store_path: Path) -> list[str]:
    """What the next process finds."""
    store = SqliteStore(store_path, busy_seconds=PATIENCE)
    try:
        await store.write(put("next"))
        return await store.read(names)
    finally:
        await store.close()


def delete(store_path: Path, name: str) -> None:
    for one in name.split("+"):
        side(store_path, one).unlink()


@pytest.mark.parametrize("name", [*SIDES_AND_FILE, "-wal+-shm", "+-wal+-shm"])
async def test_what_was_acknowledged_survives_a_deleted_file_and_a_kill(store_path: Path, name: str) -> None:
    async with another_process(store_path) as process:
        for n in range(20):
            assert await process.tell(f"put before-{n}") == "done"
        delete(store_path, name)
        for n in range(20):
            assert await process.tell(f"put after-{n}") == "done"
        await process.kill()
    wanted = {f"{when}-{n}" for when in ("before", "after") for n in range(20)}
    assert wanted <= set(await names_in(store_path))


@pytest.mark.parametrize("first", ["read", "write"])
async def test_what_was_acknowledged_survives_the_deletion_of_the_whole_folder(store_path: Path, first: str) -> None:
    store = SqliteStore(store_path, busy_seconds=PATIENCE)
    await store.write(put("before"))
    shutil.rmtree(store_path.parent)
    if first == "read":
        assert await store.read(names) == ["before"]
    await store.write(put("after"))
    assert await store.read(names) == ["after", "before"]
    assert stat.S_IMODE(os.stat(store_path.parent).st_mode) == 0o700
    await store.close()
    assert await names_in(store_path) == ["after", "before", "next"]


@pytest.mark.parametrize("name", SIDES_AND_FILE)
async def test_two_processes_go_on_with_one_store_after_a_file_was_deleted(store_path: Path, name: str) -> None:
    async with another_process(store_path) as first, another_process(store_path) as second:
        for n, process in enumerate((first, second, first, second)):
            assert await process.tell(f"put before-{n}") == "done"
            assert await process.tell(f"get before-{n}") == "1"
        delete(store_path, name)
        for n in range(6):
            writer, reader = (first, second) if n % 2 else (second, first)
            assert await writer.tell(f"put after-{n}") == "done"
            assert await reader.tell(f"get after-{n}") == "1"
            assert await reader.tell("get before-3") == "1"
        await first.kill()
        await second.kill()
    found = await names_in(store_path)
    assert {f"before-{n}" for n in range(4)} | {f"after-{n}" for n in range(6)} <= set(found)


@pytest.mark.parametrize("name", [*SIDES_AND_FILE, "-wal+-shm", "+-wal+-shm"])
async def test_a_process_that_starts_after_a_file_was_deleted_waits_for_those_that_have_it_open(
    store_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "MEND_SECONDS", PATIENCE)
    async with another_process(store_path) as process:
        assert await process.tell("put before") == "done"
        delete(store_path, name)
        assert "before" in await names_in(store_path)
        assert await process.tell("get next") == "1"
        await process.kill()
    assert {"before", "next"} <= set(await names_in(store_path))


@pytest.mark.parametrize("name", SIDES_AND_FILE)
async def test_a_process_that_only_reads_notices_a_deleted_file_too(store_path: Path, name: str) -> None:
    writer = SqliteStore(store_path)
    await writer.write(put("before"))
    reader = SqliteStore(store_path)
    assert await reader.read(get("before")) == "1"
    delete(store_path, name)
    assert await reader.read(get("before")) == "1"
    await writer.write(put("after"))
    assert await reader.read(names) == ["after", "before"]
    await writer.close()
    await reader.close()
    assert await names_in(store_path) == ["after", "before", "next"]


@pytest.mark.parametrize("name", ["-wal", "-shm"])
async def test_a_file_beside_the_database_that_was_replaced_is_noticed(store_path: Path, name: str) -> None:
    async with another_process(store_path) as process:
        assert await process.tell("put before") == "done"
        beside = side(store_path, name)
        os.replace(write(store_path.parent / "other", b""), beside)
        assert await process.tell("put after") == "done"
        await process.kill()
    assert {"before", "after"} <= set(await names_in(store_path))


def write(file: Path, content: bytes) -> Path:
    file.write_bytes(content)
    return file


@pytest.mark.parametrize("size", [0, 4096, 40_000])
async def test_a_database_that_was_cut_is_made_anew_from_what_is_still_open(store_path: Path, size: int) -> None:
    async with another_process(store_path) as process:
        for n in range(50):
            assert await process.tell(f"put before-{n}") == "done"
        os.truncate(store_path, min(size, size_of(store_path) - 1))
        assert await process.tell("put after") == "done"
        await process.kill()
    assert {f"before-{n}" for n in range(50)} | {"after"} <= set(await names_in(store_path))


async def test_a_database_that_was_cut_after_a_checkpoint_loses_only_what_nobody_remembers(store_path: Path) -> None:
    store = SqliteStore(store_path)
    await store.write(put("old", "x" * 4_000_000))
    await store.write(put("before"))
    with closing(sqlite3.connect(store_path)) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    await store.write(put("late"))
    os.truncate(store_path, 2_000_000)
    await store.write(put("after"))
    found = await store.read(names)
    await store.close()
    assert {"before", "late", "after"} <= set(found)
    assert await names_in(store_path) == sorted([*found, "next"])


async def test_looking_at_an_empty_file_leaves_its_log(store: SqliteStore, store_path: Path) -> None:
    """SQLite deletes the log of an empty database when it opens it, and the log may hold all there is."""
    await store.write(put("before"))
    os.truncate(store_path, 0)
    log = inode_of(side(store_path, "-wal"))
    with closing(sqlite3.connect(":memory:")) as unused:
        assert recovery.is_cut(store_path, SqliteConnection(unused), 0)
    assert inode_of(side(store_path, "-wal")) == log
    assert await store.write(get("before")) == "1"


async def test_another_store_in_the_place_of_one_in_use_is_not_destroyed_by_the_old_log(
    store_path: Path, tmp_path: Path
) -> None:
    another = SqliteStore(tmp_path / "another")
    await another.write(put("another", "y" * 100_000))
    await another.close()
    store = SqliteStore(store_path, busy_seconds=PATIENCE)
    await store.write(put("before", "x" * 200_000))
    os.replace(tmp_path / "another", store_path)
    await store.write(put("after"))
    assert await store.read(names) == ["after", "another"]
    await store.close()
    assert len(list(store_path.parent.glob("*.corrupt-*-wal"))) == 1


async def test_a_log_that_was_cut_while_in_use_keeps_nobody_from_writing(store_path: Path) -> None:
    """What it alone held is gone. SQLite calls it an error of the disk to meet its end too soon."""
    store = SqliteStore(store_path, busy_seconds=PATIENCE)
    await store.write(put("before", "x" * 10_000))
    await run_script(PUT_ONE, store_path, "other")  # so that this process must read the log
    os.truncate(side(store_path, "-wal"), 0)
    await store.write(put("after"))
    assert "after" in await store.read(names)
    await store.close()


async def test_a_file_that_shrinks_by_itself_is_not_taken_for_cut(store: SqliteStore, store_path: Path) -> None:
    await store.write(put("big", "x" * 1_000_000))
    with closing(sqlite3.connect(store_path, isolation_level=None)) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        await store.write(put("seen"))
        inode, before = inode_of(store_path), size_of(store_path)
        other.execute("UPDATE facts SET value = '1' WHERE name = 'big'")
        other.execute("VACUUM")
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        other.execute("INSERT INTO facts VALUES ('grown', ?)", ("x" * 100_000,))
    assert size_of(store_path) < before - 1_000_000, "all that was big is gone"
    await store.write(put("after"))
    assert inode_of(store_path) == inode, "the same file"
    assert await store.read(get("seen")) == "1"


async def test_a_write_is_refused_until_the_store_can_be_made_anew(
    store: SqliteStore, store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.write(put("before"))
    with monkeypatch.context() as full:

        def no_space(*_: object) -> bool:
            raise OSError(28, "No space left on device")

        full.setattr(recovery, "_copy_view", no_space)
        delete(store_path, "-wal")
        for _ in range(2):
            with pytest.raises(StoreError, match="No space left"):
                await store.write(put("refused"))
    await store.write(put("after"))
    assert await store.read(names) == ["after", "before"]


async def test_a_store_that_is_made_anew_is_on_disk_before_it_has_its_name(
    store: SqliteStore, store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.write(put("before"))
    synced: set[int] = set()
    fsync, replace = os.fsync, os.replace

    def note_sync(opened: int) -> None:
        synced.add(os.fstat(opened).st_ino)
        fsync(opened)

    def replace_what_is_synced(new: Path, path: Path) -> None:
        assert inode_of(new) in synced
        replace(new, path)
        synced.clear()

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(os, "replace", replace_what_is_synced)
    delete(store_path, "")
    await store.write(put("after"))
    assert await store.read(names) == ["after", "before"]
    assert inode_of(store_path.parent) in synced, "and so is the name"


async def test_an_idle_process_makes_the_store_anew_by_itself(store: SqliteStore, store_path: Path) -> None:
    await store.write(put("before"))
    delete(store_path, "-wal")

    await until(lambda: ("before", "1") in facts_in(store_path), seconds=10, what="a store made anew")


def facts_in(store_path: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(f"{store_path.as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        return list(connection.execute("SELECT name, value FROM facts WHERE name NOT GLOB '*:*'"))


async def test_a_call_that_waits_is_woken_by_an_event_in_a_file_that_took_the_store_s_place(store_path: Path) -> None:
    """Its first connection to the new file counts changes from the beginning, as that to the old one did."""
    other = store_path.with_name("other")
    for path, batch in ((store_path, []), (other, [an_event(1)])):
        store = SqliteStore(path)
        await add_all(store, batch)
        await store.close()
    store, clock = SqliteStore(store_path), MovingClock(speed=0)
    changes = Changes(store, clock)
    assert await changes.wait(changes.version, 60), "the first look wakes it"
    await until(lambda: clock.sleeping, seconds=PATIENCE, what="the pause before the next look")
    waiting = asyncio.create_task(changes.wait(changes.version, 60))
    os.replace(other, store_path)
    clock.advance(COMMIT_POLL_SECONDS)
    assert await asyncio.wait_for(waiting, PATIENCE)
    await changes.close()
    await store.close()


@pytest.mark.parametrize("left", [("-shm",), ("-wal",), ("-wal", "-shm")], ids="+".join)
async def test_what_a_dead_process_and_a_deleted_file_leave_is_used_after_a_while(
    store_path: Path, left: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "MEND_SECONDS", 0.2)
    async with another_process(store_path) as process:
        assert await process.tell("put before") == "done"
        await process.kill()
    for name in ("-wal", "-shm", *([] if left == ("-shm",) else [""])):
        if name not in left:
            delete(store_path, name)
    found = await names_in(store_path)
    assert "next" in found
    assert ("before" in found) == ("-wal" in left), "the log alone held it"


async def test_the_second_look_after_the_commit_writes_again_what_went_to_a_replaced_file(
    store: SqliteStore, store_path: Path
) -> None:
    await store.write(put("first"))
    replaced = False

    def replace_meanwhile(connection: Connection) -> None:
        nonlocal replaced
        facts.put(connection, "ours", "1")
        if not replaced:
            replaced = True
            for name in SIDES_AND_FILE:
                side(store_path, name).unlink(missing_ok=True)
            subprocess.run(script(PUT_ONE, store_path, "theirs"), check=True, timeout=30)

    await store.write(replace_meanwhile)
    assert await store.read(names) == ["ours", "theirs"]
    out = await run_script(
        """
        async def main():
            store = SqliteStore(Path(sys.argv[1]))
            print(await store.read(names))
            await store.close()
        asyncio.run(main())
        """,
        store_path,
    )
    assert out.strip() == "['ours', 'theirs']"


async def test_the_looks_cost_next_to_nothing(store: SqliteStore) -> None:
    await store.write(put("first"))
    await store.read(get("first"))
    opened = store._writing  # pyright: ignore[reportPrivateUsage]
    assert opened is not None

    def looks() -> None:
        for _ in range(1000):
            assert opened.is_current()

    def statuses() -> None:
        for _ in range(1000):
            os.stat(store.path)

    assert times_as_long(looks, statuses) < 20
