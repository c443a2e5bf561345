"""A damaged store is set aside, and what matters is taken over."""

import os
import sqlite3
import time
import traceback
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from store_helpers import PATIENCE, PUT_ONE, add_all, an_event, get, names, posix_only, put, run_script, run_together
from test_cli import run

from piv_mcp import log
from piv_mcp.errors import StoreError
from piv_mcp.store import (
    Connection,
    SqliteStore,
    Store,
    accounts,
    events,
    facts,
    freezes,
    journal,
    migrations,
    recording,
    recovery,
)
from piv_mcp.store.files import create_private, inode_of, side, size_of
from piv_mcp.store.freezes import Freeze
from piv_mcp.store.journal import Entry
from piv_mcp.store.pages import read_image
from piv_mcp.store.rows import damage
from piv_mcp.store.salvage import ID_GAP, Damage, last_damage

pytestmark = pytest.mark.sqlite

# Damage


def overwrite(store_path: Path) -> bytes:
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
    rubbish = overwrite(store_path)
    store = SqliteStore(store_path)
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
    rubbish = overwrite(store_path)
    store = SqliteStore(store_path)
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
    store = SqliteStore(store_path)
    await store.write(put("old"))
    told = 0

    def damaged(connection: Connection, times: int) -> str | None:
        nonlocal told
        if told < times:
            told += 1
            error = sqlite3.DatabaseError("database disk image is malformed")
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise error
        return facts.get(connection, "old")

    assert await store.read(damaged, 1) == "1"
    await store.write(put("new"))
    assert await store.read(names) == ["new", "old"]
    await store.close()
    assert set_aside(store_path) == [], "SQLite's own check finds nothing in it"


# What is carried over

COUNT, ENTRIES = 600, 200


async def filled(store_path: Path) -> str:
    """Write events and entries of the journal; returns the store's id."""
    store = SqliteStore(store_path)
    await add_all(
        store,
        [
            an_event(n, subject=f"number-{n % 7}", text=f"code {n}", text_key=f"key-{n}", payload="x" * 400)
            for n in range(COUNT)
        ],
    )
    await store.write(lambda connection: [journal.insert(connection, an_entry(n)) for n in range(ENTRIES)])
    store_id = await store.read(facts.get, facts.STORE_ID)
    await store.close()
    assert store_id is not None
    return store_id


@dataclass
class Found:
    """What a store holds when it was opened after the damage."""

    ids: list[int]
    entries: int
    store_id: str | None
    damage: Damage | None
    next_id: int


def read_all(connection: Connection, table: str) -> None:
    for query in (f"SELECT * FROM {table}", f"SELECT count(*) FROM {table}"):  # noqa: S608
        list(connection.rows(query))


async def opened(store_path: Path) -> Found:
    """Use the store as a server does, only with more patience: every row is read, and one is written."""
    store = SqliteStore(store_path, busy_seconds=PATIENCE)
    try:
        for table in ("events", "spending", "facts"):
            await store.read(read_all, table)
        await store.read(events.after, 0, limit=10_000)
        await store.read(events.codes, None, limit=10_000)
        ids = await store.read(lambda c: [int(seq) for (seq,) in c.rows("SELECT seq FROM events ORDER BY seq")])
        stored, _ = await store.write(recording.add, an_event(time.time_ns()))
        return Found(
            ids,
            await store.read(lambda c: c.count("SELECT count(*) FROM spending")),
            await store.read(facts.get, facts.STORE_ID),
            await store.read(last_damage),
            stored.seq,
        )
    finally:
        await store.close()


def set_aside(store_path: Path) -> list[Path]:
    """The databases that were set aside."""
    found = sorted(store_path.parent.glob("*.corrupt-*"))
    return [file for file in found if not file.name.endswith(("-wal", "-shm", "-journal"))]


PAGE = 4096


def overwrite_at(file: Path, place: int, rubbish: bytes) -> None:
    with file.open("r+b") as opened_file:
        opened_file.seek(place)
        opened_file.write(rubbish)


def damage_page(store_path: Path, number: int, with_: bytes = b"\xff") -> None:
    overwrite_at(store_path, (number - 1) * PAGE, with_ * PAGE)


def root_pages(store_path: Path) -> dict[str, int]:
    with closing(sqlite3.connect(store_path)) as connection:
        return dict(connection.execute("SELECT name, rootpage FROM sqlite_master WHERE rootpage"))


def content(file: Path) -> bytes:
    return file.read_bytes()


def append(file: Path, more: bytes) -> None:
    with file.open("ab") as opened_file:
        opened_file.write(more)


def event_pages(store_path: Path) -> list[int]:
    """The pages that hold the events themselves."""
    whole = content(store_path)
    return [n for n in range(1, len(whole) // PAGE + 1) if b"x" * 300 in whole[(n - 1) * PAGE : n * PAGE]]


def replace_file(store_path: Path, content: bytes) -> None:
    for file in store_path.parent.iterdir():
        file.unlink()
    store_path.write_bytes(content)


@pytest.mark.parametrize("rubbish", [b"\xff", b"\0"], ids=["ones", "zeros"])
async def test_a_damaged_page_costs_its_own_rows_and_no_more(store_path: Path, rubbish: bytes) -> None:
    store_id = await filled(store_path)
    roots = root_pages(store_path)
    whole = content(store_path)
    pages = len(whole) // PAGE
    for number in sorted({1, *roots.values(), *range(3, pages + 1, 9)}):
        replace_file(store_path, whole)
        damage_page(store_path, number, rubbish)
        found = await opened(store_path)
        assert set(found.ids) <= set(range(1, COUNT + 1))
        assert len(found.ids) >= COUNT - 12, f"page {number}"
        assert found.entries >= ENTRIES - 40, f"page {number}"
        assert found.next_id > COUNT, "a cursor of before never hides a new event"
        if number != roots["facts"]:
            assert found.store_id == store_id, f"cursors go on, page {number}"
        missing = COUNT - len(found.ids) + ENTRIES - found.entries
        assert (found.damage.lost if found.damage else 0) == missing
        gone = set(range(1, COUNT + 1)) - set(found.ids)
        assert (found.damage.through if found.damage else 0) >= max(gone, default=0)


@pytest.mark.parametrize("of_all", [True, False])
async def test_a_freeze_is_not_lifted_by_damage(store_path: Path, of_all: bool) -> None:
    await filled(store_path)
    store = SqliteStore(store_path)
    await store.write(freezes.begin, Freeze(1.0), lambda _: True, of_all=of_all)
    await store.close()
    damage_page(store_path, root_pages(store_path)["facts"])
    await opened(store_path)
    store = SqliteStore(store_path)
    assert await store.read(freezes.current) is not None
    assert await store.write(freezes.end, of_all=True)
    await store.close()


async def test_damage_of_other_tables_freezes_nothing(store_path: Path) -> None:
    await filled(store_path)
    damage_page(store_path, root_pages(store_path)["events"])
    await opened(store_path)
    store = SqliteStore(store_path)
    assert await store.read(freezes.current) is None
    await store.close()


async def test_several_damaged_pages_cost_their_own_rows_and_no_more(
    store_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store_id = await filled(store_path)
    leaves = event_pages(store_path)
    for number in (root_pages(store_path)["events"], leaves[5], leaves[20], leaves[-1]):
        damage_page(store_path, number)
    log.configure()
    found = await opened(store_path)
    assert COUNT - 36 <= len(found.ids) < COUNT
    assert found.store_id == store_id
    assert found.damage is not None
    assert found.damage.lost >= COUNT - len(found.ids)
    assert found.damage.events == len(found.ids)
    assert found.damage.entries == found.entries == ENTRIES
    told = capsys.readouterr().err
    assert f'"not_readable": {found.damage.lost}' in told
    assert f'"events": {len(found.ids)}' in told


async def test_pruning_leaves_what_was_saved_whatever_the_ids_that_were_skipped(store_path: Path) -> None:
    await filled(store_path)
    for number in (root_pages(store_path)["sqlite_sequence"], event_pages(store_path)[-1]):
        damage_page(store_path, number)
    found = await opened(store_path)
    assert found.next_id > ID_GAP
    store = SqliteStore(store_path)
    assert await store.write(events.prune, before=0.0, remote_before=None, keep=ID_GAP) == 0
    assert await store.write(events.prune, before=0.0, remote_before=None, keep=len(found.ids)) == 1
    ids = await store.read(lambda c: [int(seq) for (seq,) in c.rows("SELECT seq FROM events ORDER BY seq")])
    assert ids == [*found.ids[1:], found.next_id]
    await store.close()


async def test_a_damaged_page_of_an_index_costs_nothing(store_path: Path) -> None:
    store_id = await filled(store_path)
    roots = root_pages(store_path)
    for name in ("events_codes", "events_digest", "sqlite_autoindex_spending_1"):
        damage_page(store_path, roots[name])
    found = await opened(store_path)
    assert found.ids == list(range(1, COUNT + 1))
    assert (found.store_id, found.next_id, found.entries) == (store_id, COUNT + 1, ENTRIES)
    assert found.damage is not None
    assert (found.damage.lost, found.damage.through) == (0, 0)


async def test_an_index_that_does_not_fit_its_table_is_made_anew_in_place(store_path: Path) -> None:
    store_id = await filled(store_path)
    inode = inode_of(store_path)
    with closing(sqlite3.connect(store_path, isolation_level=None)) as raw:
        raw.execute("PRAGMA writable_schema = ON")
        (index,) = raw.execute("SELECT * FROM sqlite_master WHERE name = 'events_type'").fetchall()
        raw.execute("DELETE FROM sqlite_master WHERE name = 'events_type'")
    with closing(sqlite3.connect(store_path, isolation_level=None)) as raw:
        raw.execute("UPDATE events SET type = 'another' WHERE seq <= 50")
        raw.execute("PRAGMA writable_schema = ON")
        raw.execute("INSERT INTO sqlite_master VALUES (?, ?, ?, ?, ?)", index)
    store = SqliteStore(store_path)
    assert await store.write(events.prune, before=0.0, remote_before=None, keep=500) == 100, "deleting is what meets it"
    found, _ = await store.read(events.after, 0, types=["domain.registered"], limit=1000)
    assert len(found) == 500
    assert await store.read(facts.get, facts.STORE_ID) == store_id
    await store.close()
    assert inode_of(store_path) == inode
    assert set_aside(store_path) == []


async def test_damage_in_the_log_costs_what_was_in_it_and_no_more(store_path: Path) -> None:
    store_id = await filled(store_path)
    code = """
        from piv_mcp.store import recording
        from piv_mcp.store.event import StoredEvent
        async def main():
            store = SqliteStore(Path(sys.argv[1]))
            for n in range(20):
                event = StoredEvent("white.failed", "webhook", 1.0, "{}", digest=f"late-{n}")
                await store.write(recording.add, event)
            os._exit(0)
        asyncio.run(main())
    """
    await run_script(code, store_path)
    log_file = store_path.with_name("store.sqlite3-wal")
    pages = len(content(log_file)) // PAGE
    assert pages > 20
    damage_page(log_file, pages // 2)
    found = await opened(store_path)
    assert found.ids[:COUNT] == list(range(1, COUNT + 1))
    assert found.store_id == store_id


@pytest.mark.parametrize("share", [0.5, 0.9])
async def test_a_file_that_was_cut_keeps_the_events_before_the_cut(store_path: Path, share: float) -> None:
    store_id = await filled(store_path)
    os.truncate(store_path, int(len(content(store_path)) * share))
    found = await opened(store_path)
    assert len(found.ids) > 0.6 * share * COUNT
    assert found.store_id == store_id
    assert found.next_id > COUNT
    assert found.damage is not None
    assert found.damage.lost >= COUNT - len(found.ids)


async def test_two_damages_in_a_row_cost_two_pages(store_path: Path) -> None:
    store_id = await filled(store_path)
    damage_page(store_path, event_pages(store_path)[10])
    await opened(store_path)
    damage_page(store_path, event_pages(store_path)[11])
    found = await opened(store_path)
    assert len(set_aside(store_path)) == 2
    assert COUNT - 24 <= len([seq for seq in found.ids if seq <= COUNT]) < COUNT
    assert found.store_id == store_id
    assert found.next_id == COUNT + 2, "one was written after each"
    assert found.entries == ENTRIES


async def test_a_damaged_file_of_an_earlier_version_is_carried_over_and_brought_up_to_date(store_path: Path) -> None:
    store_path.parent.mkdir()
    with closing(sqlite3.connect(store_path)) as old:
        for step in migrations.STEPS[:2]:
            old.executescript(step)
        rows = [("white.failed", "webhook", float(n), "x" * 300) for n in range(COUNT)]
        old.executemany("INSERT INTO events (type, source, arrived_at, payload) VALUES (?, ?, ?, ?)", rows)
        old.execute(
            "INSERT INTO spending (id, kind, area, arguments, fingerprint, state, quote, quoted_at, expires_at)"
            " VALUES ('sp_1', 'k', 'a', '{}', 'f', 'unknown', '{}', 0, 1)"
        )
        old.execute("PRAGMA user_version = 2")
        old.commit()
    damage_page(store_path, root_pages(store_path)["events"])
    found = await opened(store_path)
    assert len(found.ids) == COUNT
    assert found.entries == 1
    assert found.next_id == COUNT + 1


async def test_deleted_rows_do_not_come_back_from_a_damaged_file(store_path: Path) -> None:
    await filled(store_path)
    with closing(sqlite3.connect(store_path)) as raw:
        raw.execute("PRAGMA secure_delete = OFF")  # as in most builds of SQLite: the pages keep what was in them
        raw.execute("DELETE FROM events WHERE seq <= 400")
        raw.commit()
    assert len(event_pages(store_path)) > 50
    damage_page(store_path, root_pages(store_path)["events"])
    found = await opened(store_path)
    assert found.ids == list(range(401, COUNT + 1))


async def test_what_was_carried_over_from_an_earlier_version_is_migrated_like_any_old_file(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(store_path)
    damage_page(store_path, root_pages(store_path)["events"])
    step = "UPDATE events SET problem = 'moved'"
    monkeypatch.setattr(migrations, "STEPS", (*migrations.STEPS, step))
    assert len((await opened(store_path)).ids) == COUNT
    store = SqliteStore(store_path)
    assert await store.read(lambda c: c.count("SELECT count(*) FROM events WHERE problem = 'moved'")) == COUNT
    await store.close()


async def test_a_text_that_is_damaged_inside_makes_no_call_fail_for_ever(store_path: Path) -> None:
    store_id = await filled(store_path)
    place = content(store_path).index(b"x" * 300) + 100
    overwrite_at(store_path, place, b"\xff")
    found = await opened(store_path)
    assert found.ids == list(range(1, COUNT + 1)), "the row is kept, with a mark in the place of the byte"
    assert found.store_id == store_id


async def test_a_text_that_is_damaged_inside_is_not_repeated_in_the_log(
    store_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = SqliteStore(store_path, busy_seconds=PATIENCE)
    await add_all(store, [an_event(1, type="sms.received", text="Your code is 482913, says X", code="482913")])
    await store.close()
    overwrite_at(store_path, content(store_path).index(b"says X") + 5, b"\xff")
    log.configure("DEBUG")
    store = SqliteStore(store_path, busy_seconds=PATIENCE)
    await store.read(events.codes, None)
    await store.close()
    told = capsys.readouterr().err
    assert "a text is not UTF-8" in told
    assert "482913" not in told


@pytest.mark.parametrize("where", ["read", "write"])
async def test_no_error_repeats_a_text_of_the_store(store: Store, where: str) -> None:
    def job(connection: Connection) -> None:
        list(connection.rows("SELECT CAST(x'34383239ff' AS TEXT)"))

    with pytest.raises(StoreError) as caught:
        await (store.read(job) if where == "read" else store.write(job))
    assert "4829" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("place", "rubbish"), [(60, b"\xff\xff\xff\xff"), (44, b"\x00\x00\x00\x99")], ids=["version", "format"]
)
async def test_rubbish_in_the_header_is_damage(store_path: Path, place: int, rubbish: bytes) -> None:
    store_id = await filled(store_path)
    overwrite_at(store_path, place, rubbish)
    found = await opened(store_path)
    assert (len(found.ids), found.entries, found.store_id) == (COUNT, ENTRIES, store_id)


async def test_a_schema_that_is_no_text_is_damage(store_path: Path) -> None:
    store_id = await filled(store_path)
    whole = content(store_path)
    for name, rubbish in ((b"CREATE TABLE spending", b"CREATE TABLX spending"), (b"spendingspending", b"\xff\xfe" * 8)):
        assert whole.count(name) == 1
        whole = whole.replace(name, rubbish)
    replace_file(store_path, whole)
    found = await opened(store_path)
    assert (len(found.ids), found.store_id) == (COUNT, store_id)
    assert len(set_aside(store_path)) == 1


async def test_new_ids_come_after_all_old_ones_though_nothing_says_which_was_the_last(store_path: Path) -> None:
    await filled(store_path)
    for number in (root_pages(store_path)["sqlite_sequence"], event_pages(store_path)[-1]):
        damage_page(store_path, number)
    found = await opened(store_path)
    assert max(found.ids) < COUNT
    assert found.next_id > COUNT, "an id is never given twice"
    assert found.damage is not None
    assert COUNT <= found.damage.through < found.next_id


async def test_what_was_not_committed_is_not_read_from_a_log(store_path: Path) -> None:
    code = """
        async def main():
            store = SqliteStore(Path(sys.argv[1]))
            await store.write(facts.put, "before", "1")
            os._exit(0)
        asyncio.run(main())
    """
    await run_script(code, store_path)
    log_file = side(store_path, "-wal")
    before = read_image(store_path)
    frames = content(log_file)
    begun = bytearray(frames[-PAGE - 24 :])
    begun[4:8] = bytes(4)  # no frame of a commit's end
    begun[24:] = b"\xff" * PAGE
    append(log_file, bytes(begun))
    assert read_image(store_path).log == before.log


async def test_the_disk_that_is_full_during_recovery_leaves_the_damaged_file_for_the_next_start(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(store_path)
    damage_page(store_path, root_pages(store_path)["events"])
    with monkeypatch.context() as full:

        def no_space(*_: object) -> None:
            raise OSError(28, "No space left on device")

        full.setattr(recovery, "fill", no_space)
        store = SqliteStore(store_path)
        with pytest.raises(StoreError, match="No space left"):
            await store.write(recording.add, an_event(1))
        await store.close()
    assert inode_of(store_path) == 0, "nothing half"
    found = await opened(store_path)
    assert len(found.ids) == COUNT


async def test_the_spending_journal_is_taken_over_from_a_damaged_store(store_path: Path) -> None:
    entries = [an_entry(n) for n in range(300)]
    store = SqliteStore(store_path)
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

    store = SqliteStore(store_path)
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
        arguments='{"country_code": "SE", "months": 1}',
        fingerprint=str(n),
        state="unknown",
        quote="{}",
        price="4.00",
        quoted_at=0,
        expires_at=600,
    )


@pytest.mark.parametrize("left", ["empty", "without tables"])
async def test_a_file_that_a_full_disk_left_without_tables_counts_as_new(store_path: Path, left: str) -> None:
    store_id = await filled(store_path)
    os.replace(store_path, store_path.with_name("store.sqlite3.corrupt-20260101T000000Z"))
    if left == "empty":
        create_private(store_path)
    else:
        with closing(sqlite3.connect(store_path)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
        assert size_of(store_path) > 0
    found = await opened(store_path)
    assert (found.store_id, len(found.ids), found.entries) == (store_id, COUNT, ENTRIES)


async def test_of_two_stores_that_meet_the_same_damage_one_sets_it_aside(store_path: Path) -> None:
    store_path.parent.mkdir()
    overwrite(store_path)
    await run_together(PUT_ONE, store_path, [f"p{n}" for n in range(6)])
    assert len(list(store_path.parent.glob("*.corrupt-*"))) == 1
    store = SqliteStore(store_path)
    assert await store.read(names) == [f"p{n}" for n in range(6)]
    await store.close()


async def test_a_file_that_another_process_has_replaced_meanwhile_is_left_alone(store_path: Path) -> None:
    await filled(store_path)
    before = content(store_path)
    recovery.set_aside(store_path, inode_of(store_path) + 1, damage("of the file before"))
    assert recovery.mend(store_path, inode_of(store_path) + 1)
    assert content(store_path) == before
    assert set_aside(store_path) == []


async def test_two_files_damaged_within_one_second_are_both_kept(store_path: Path) -> None:
    store_path.parent.mkdir()
    for _ in range(2):
        overwrite(store_path)
        store = SqliteStore(store_path)
        await store.write(put("new"))
        await store.close()
    assert len([kept for kept in store_path.parent.glob("*.corrupt-*") if kept.stat().st_size > 80_000]) == 2


@posix_only
async def test_a_store_that_is_replaced_under_a_running_process_is_the_one_it_uses(
    store: Store, store_path: Path
) -> None:
    await store.write(put("old"))
    await store.read(get("old"))
    other = store_path.with_name("other")
    await run_script(PUT_ONE, other, "theirs")
    for name in ("", "-wal", "-shm"):
        side(store_path, name).unlink()
    os.replace(other, store_path)
    await store.write(put("ours"))
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


async def test_the_oldest_rows_that_are_lost_are_counted_and_those_that_were_pruned_are_not(store_path: Path) -> None:
    await filled(store_path)
    store = SqliteStore(store_path)
    assert await store.write(events.prune, before=0.0, remote_before=None, keep=COUNT - 100) == 100
    await store.close()
    for number in (root_pages(store_path)["events"], *event_pages(store_path)[:10]):
        damage_page(store_path, number)
    found = await opened(store_path)
    assert 100 < found.ids[0] - 1 <= COUNT
    assert found.damage is not None
    assert found.damage.lost == COUNT - 100 - len(found.ids)


async def test_a_table_of_which_nobody_can_say_how_much_is_lost_is_named(store_path: Path) -> None:
    await filled(store_path)
    for table in ("looks", "accounts"):
        damage_page(store_path, root_pages(store_path)[table])
    store = SqliteStore(store_path, busy_seconds=PATIENCE)
    await store.read(read_all, "looks")
    found = await store.read(last_damage)
    await store.close()
    assert found is not None
    assert (found.lost, set(found.tables)) == (0, {"looks", "accounts"})
    _, told, _ = await run("doctor", env={"PIV_DATA_DIR": str(store_path.parent), "PIV_SANDBOX": "1"})
    assert "some rows of" in told
    assert "all that was in it" not in told


async def test_a_key_whose_row_was_lost_gets_no_other_keys_account(store_path: Path) -> None:
    keys = [accounts.digest(name) for name in ("one", "two")]
    for n, key in enumerate(keys):
        store = SqliteStore(store_path, key_digest=key)
        await store.write(accounts.identify, f"user {n}")
        await add_all(store, [an_event(n)])
        await store.close()
    damage_page(store_path, root_pages(store_path)["keys"])
    for n, key in reversed(list(enumerate(keys))):
        store = SqliteStore(store_path, key_digest=key, busy_seconds=PATIENCE)
        assert await store.read(events.after, 0) == ([], 0), "nobody knows yet whose key it is"
        await store.write(accounts.identify, f"user {n}")
        found, _ = await store.read(events.after, 0)
        assert [event.digest for event in found] == [f"digest-{n}"]
        await store.close()


@pytest.mark.parametrize("table", ["keys", "accounts"])
async def test_a_new_key_gets_no_rows_of_an_account_that_was_lost(store_path: Path, table: str) -> None:
    for n in range(2):
        store = SqliteStore(store_path, key_digest=accounts.digest(f"key {n}"))
        await add_all(store, [an_event(n)])
        await store.close()
    damage_page(store_path, root_pages(store_path)[table])
    for name in ("new", "newer"):
        store = SqliteStore(store_path, key_digest=accounts.digest(name), busy_seconds=PATIENCE)
        await store.read(read_all, table)
        assert await store.read(events.after, 0) == ([], 0)
        await store.close()
