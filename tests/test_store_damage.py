"""A damaged store is set aside, and what matters is taken over."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from store_helpers import PUT_ONE, add_all, an_event, get, names, posix_only, put, run_script

from piv_mcp.store import Connection, Store, facts, journal
from piv_mcp.store.journal import Entry

# Damage


def damage(store_path: Path) -> bytes:
    """Overwrite all but nothing of the file; returns what it holds then."""
    rubbish = b"this is no database " * 4096
    store_path.write_bytes(rubbish)
    return rubbish


def damage_pages(store_path: Path) -> None:
    """The file opens as ever, and no page of it is right."""
    header = store_path.read_bytes()[:100]
    store_path.write_bytes(header + b"\xff" * 100_000)


async def test_a_corrupt_file_is_set_aside_at_the_start_and_kept(
    store_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store_path.parent.mkdir()
    rubbish = damage(store_path)
    store = Store(store_path)
    await store.write(put("new"))
    assert await store.read(get("new")) == "1"
    await store.close()
    (kept,) = store_path.parent.glob("store.sqlite3.corrupt-*")
    assert kept.read_bytes() == rubbish
    told = capsys.readouterr().out
    assert "damaged" in told
    assert str(kept) in told


async def test_a_corrupt_file_that_is_only_read_is_set_aside_too(store_path: Path) -> None:
    store_path.parent.mkdir()
    rubbish = damage(store_path)
    store = Store(store_path)
    assert await store.read(get("new")) is None
    await store.write(put("new"))
    assert await store.read(get("new")) == "1"
    await store.close()
    (kept,) = store_path.parent.glob("store.sqlite3.corrupt-*")
    assert kept.read_bytes() == rubbish


async def test_damage_under_a_running_process_begins_a_new_store_and_keeps_the_old(
    store: Store, store_path: Path
) -> None:
    await store.write(put("old", "x" * 100_000))
    other = sqlite3.connect(store_path)
    other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    other.close()
    damage_pages(store_path)
    assert await store.read(get("old")) is None
    await store.write(put("new"))
    assert await store.read(get("new")) == "1"
    assert len([kept for kept in store_path.parent.glob("*.corrupt-*") if kept.stat().st_size > 90_000]) == 1


async def test_damage_that_only_reading_meets_is_repaired_within_the_same_call(store_path: Path) -> None:
    store = Store(store_path)
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
    assert (
        len([kept for kept in store_path.parent.glob("*.corrupt-*") if not kept.name.endswith(("-wal", "-shm"))]) == 1
    )


async def test_the_spending_journal_is_taken_over_from_a_damaged_store(store_path: Path) -> None:
    entries = [an_entry(n) for n in range(300)]
    store = Store(store_path)
    await add_all(store, [an_event(n, payload="x" * 500) for n in range(500)])
    await store.write(lambda connection: [journal.insert(connection, entry) for entry in entries])
    await store.close()
    with closing(sqlite3.connect(store_path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'events'").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    with store_path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)

    store = Store(store_path)
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


async def test_of_two_stores_that_meet_the_same_damage_one_sets_it_aside(store_path: Path) -> None:
    store_path.parent.mkdir()
    damage(store_path)
    await asyncio.gather(*(run_script(PUT_ONE, store_path, f"p{n}") for n in range(3)))
    assert len(list(store_path.parent.glob("*.corrupt-*"))) == 1
    store = Store(store_path)
    assert await store.read(names) == ["p0", "p1", "p2"]
    await store.close()


async def test_two_files_damaged_within_one_second_are_both_kept(store_path: Path) -> None:
    store_path.parent.mkdir()
    for _ in range(2):
        damage(store_path)
        store = Store(store_path)
        await store.write(put("new"))
        await store.close()
    assert len([kept for kept in store_path.parent.glob("*.corrupt-*") if kept.stat().st_size > 80_000]) == 2


@posix_only
async def test_a_store_that_is_replaced_under_a_running_process_is_the_one_it_uses(
    store: Store, store_path: Path
) -> None:
    await store.write(put("old"))
    await store.read(get("old"))
    for side in ("", "-wal", "-shm"):
        store_path.with_name(store_path.name + side).unlink()
    await run_script(PUT_ONE, store_path, "theirs")
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
        store_path,
    )
    assert out.strip() == "['ours', 'theirs']"
