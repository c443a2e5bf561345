"""`piv-mcp store`: a copy of the store, and the end of a number's messages."""

import asyncio
import os
import sqlite3
import stat
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from harness import Connect
from moving_clock import MovingClock
from processes import KEY, sandbox_on_a_port
from purchases import BUY_NUMBER
from store_helpers import add_all, an_event, get, posix_only, put, run_script
from test_approvals_cli import Terminal
from test_cli import findings, run
from test_store_damage import damage_page, root_pages
from test_store_damage import filled as filled_with_events

from piv_mcp.errors import NewerStoreError, StoreError
from piv_mcp.sandbox import Sandbox
from piv_mcp.store import Connection, SqliteStore, Store, backup, events, facts, leases, recovery, servers
from piv_mcp.store import migrations as schema
from piv_mcp.store.files import inode_of, side, size_of

pytestmark = pytest.mark.sqlite

TEXT = "The code for the erased number is {}"


async def filled(store: Store, *numbers: str, count: int = 50) -> None:
    for number in numbers:
        texts = [TEXT.format(f"{number}-{n}") for n in range(count)]
        batch = [
            an_event(n, type="sms.received", subject=number, text=text, text_key=text, digest=text, payload=text)
            for n, text in enumerate(texts)
        ]
        await add_all(store, batch)


def settings(data_dir: Path, **more: str) -> dict[str, str]:
    return {"PIV_DATA_DIR": str(data_dir), **more}


def copied(file: Path) -> dict[str, Any]:
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
        (check,) = connection.execute("PRAGMA integrity_check").fetchone()
        (count,) = connection.execute("SELECT count(*) FROM events").fetchone()
        (store_id,) = connection.execute("SELECT value FROM facts WHERE name = 'store:id'").fetchone()
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        return {"check": check, "events": count, "id": store_id, "mode": mode}


# A copy


async def test_a_copy_is_made_while_servers_write_and_has_an_id_of_its_own(
    store: Store, store_path: Path, tmp_path: Path
) -> None:
    await filled(store, "one", "two")
    writing = asyncio.create_task(write_on(store))
    status, out, err = await run("store", "backup", str(tmp_path / "copy.sqlite3"), env=settings(store_path.parent))
    writing.cancel()
    assert (status, err) == (0, "")
    found = copied(tmp_path / "copy.sqlite3")
    assert found["check"] == "ok"
    assert found["events"] == 100
    assert "100 events and 0 journal entries" in out
    assert found["id"] != await store.read(facts.get, facts.STORE_ID)
    assert found["mode"] == "delete"
    mode = os.stat(tmp_path / "copy.sqlite3").st_mode
    assert stat.S_IMODE(mode) == 0o600
    assert names_in(tmp_path) == ["copy.sqlite3", "data"], "one file, and nothing beside it"


def names_in(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


async def write_on(store: Store) -> None:
    for n in range(10_000):
        await store.write(put(f"n{n}"))


async def test_a_copy_in_the_place_of_the_store_is_a_store_with_all_that_was_in_it(
    store: Store, store_path: Path, tmp_path: Path
) -> None:
    await filled(store, "one")
    last = await store.read(events.last_seq)
    await asyncio.to_thread(backup.copy_to, store_path, tmp_path / "copy")
    restored = SqliteStore(tmp_path / "copy")
    await filled(restored, "two", count=1)
    assert await restored.read(events.last_seq) == last + 1
    assert len((await restored.read(events.after, 0, limit=100))[0]) == 51
    await restored.close()


async def test_an_approval_is_good_for_one_purchase_also_where_the_store_was_copied(
    connect: Connect, store_path: Path, tmp_path: Path, sandbox: Sandbox
) -> None:
    waits: dict[str, Any] = {"confirm_wait": 0, "confirm_channel": "page", "clock": MovingClock()}
    async with connect(**waits) as shop:
        await shop.receipt(BUY_NUMBER)
        entry = await shop.only_entry()
        assert await shop.gate.journal.decide(entry.id, "approve", by="terminal")
        await asyncio.to_thread(backup.copy_to, store_path, tmp_path / "copy")
        await shop.receipt(BUY_NUMBER)
        assert len(sandbox.charges) == 1
    os.replace(tmp_path / "copy", store_path)
    async with connect(**waits) as shop:
        assert (await shop.receipt(BUY_NUMBER))["status"] == "approval_required"
    assert len(sandbox.charges) == 1


async def test_a_copy_holds_nothing_of_what_running_servers_do(store: Store, store_path: Path, tmp_path: Path) -> None:
    def use(connection: Connection) -> None:
        owner, now = leases.this_process(), time.time()
        servers.note(connection, servers.Server(owner, "secret", 8000, 30, "1", now), now)
        leases.note_watch(connection, owner, "one", now=now, until=now + 60)

    await store.write(use)
    await asyncio.to_thread(backup.copy_to, store_path, tmp_path / "copy")
    with closing(sqlite3.connect(tmp_path / "copy")) as copy:
        for table in ("servers", "watches"):
            assert not list(copy.execute(f"SELECT * FROM {table}"))  # noqa: S608 - our own names
    assert len(await store.read(servers.living, time.time())) == 1


@posix_only
@pytest.mark.parametrize("gone", [("-wal",), ("-wal", "-shm"), ("-shm",)], ids="+".join)
async def test_a_copy_waits_for_a_server_to_mend_files_that_were_deleted(
    store: Store, store_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: tuple[str, ...]
) -> None:
    monkeypatch.setattr(recovery, "MEND_SECONDS", 20.0)
    await filled(store, "one")
    for name in gone:
        side(store_path, name).unlink()
    copied = await asyncio.to_thread(backup.copy_to, store_path, tmp_path / "copy")
    assert copied.events == 50


@posix_only
async def test_no_copy_is_made_of_a_store_whose_log_was_deleted_and_nobody_mends_it(
    store_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "MEND_SECONDS", 0.1)
    store = SqliteStore(store_path)
    await store.write(put("a"))
    await store.close()
    with closing(sqlite3.connect(store_path, isolation_level=None)) as hangs:
        hangs.execute("INSERT INTO facts VALUES ('acknowledged', '1')")
        for name in ("-wal", "-shm"):
            side(store_path, name).unlink()
        with pytest.raises(StoreError, match="deleted while in use"):
            await asyncio.to_thread(backup.copy_to, store_path, tmp_path / "copy")
    assert names_in(tmp_path) == ["data"]


@pytest.mark.parametrize("there", ["a file", "a folder", "a link to nowhere"])
async def test_nothing_is_overwritten_by_a_copy(store: Store, store_path: Path, tmp_path: Path, there: str) -> None:
    await store.write(put("a"))
    target = tmp_path / "copy"
    {"a file": lambda: target.write_text("mine"), "a folder": target.mkdir}.get(
        there, lambda: target.symlink_to("nowhere")
    )()
    status, _, err = await run("store", "backup", str(target), env=settings(store_path.parent))
    assert status != 0
    assert "Traceback" not in err
    assert target.is_symlink() or target.is_dir() or target.read_text() == "mine"
    assert names_in(tmp_path) == ["copy", "data"]


async def test_a_damaged_store_is_not_copied(store_path: Path, tmp_path: Path) -> None:
    store = SqliteStore(store_path)
    await filled(store, "one")
    await store.close()
    with store_path.open("r+b") as file:
        file.seek(size_of(store_path) // 2)
        file.write(b"\xff" * 8192)
    with pytest.raises(StoreError, match="the store is damaged"):
        await asyncio.to_thread(backup.copy_to, store_path, tmp_path / "copy")
    assert names_in(tmp_path) == ["data"]


async def test_a_file_that_appears_during_the_copy_is_not_overwritten(
    store: Store, store_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.write(put("a"))
    target = tmp_path / "copy"

    def meanwhile(connection: object) -> bool:
        target.write_text("mine")
        return True

    monkeypatch.setattr(backup, "is_sound", meanwhile)
    with pytest.raises(StoreError):
        await asyncio.to_thread(backup.copy_to, store_path, target)
    assert target.read_text() == "mine"
    assert names_in(tmp_path) == ["copy", "data"]


@pytest.mark.parametrize("name", ["store.sqlite3-wal", "store.sqlite3.corrupt-x", "Store.SQLite3-lock2"])
async def test_a_copy_gets_no_name_that_the_store_s_own_files_can_have(
    store: Store, store_path: Path, tmp_path: Path, name: str
) -> None:
    await filled(store, "one")
    await store.close()
    before = names_in(store_path.parent)
    status, _, err = await run("store", "backup", str(store_path.with_name(name)), env=settings(store_path.parent))
    assert status != 0
    assert err == f"Error: {name} is a name that the store's own files can have. Name another file\n"
    assert names_in(store_path.parent) == before
    status, _, err = await run("store", "backup", str(tmp_path / name), env=settings(store_path.parent))
    assert (status, err) == (0, "")


@posix_only
async def test_a_full_disk_leaves_nothing_of_a_copy(store: Store, store_path: Path, tmp_path: Path) -> None:
    await filled(store, "one")
    code = """
        import resource, signal
        from piv_mcp.errors import StoreError
        from piv_mcp.store.backup import copy_to
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, resource.RLIM_INFINITY))
        try:
            copy_to(Path(sys.argv[1]), Path(sys.argv[2]))
        except StoreError as error:
            print(error.message)
    """
    out = await run_script(code, store_path, tmp_path / "copy")
    assert "the copy was not made: the disk" in out
    assert names_in(tmp_path) == ["data"]


async def test_a_copy_of_no_store_and_into_no_folder_say_so(data_dir: Path, tmp_path: Path) -> None:
    status, _, err = await run("store", "backup", str(tmp_path / "copy"), env=settings(data_dir))
    assert status != 0
    assert "there is no store at" in err
    store = SqliteStore(data_dir / "store.sqlite3")
    await store.write(put("a"))
    await store.close()
    status, _, err = await run("store", "backup", str(tmp_path / "no" / "copy"), env=settings(data_dir))
    assert status != 0
    assert "cannot be written" in err


# What was erased


def raw_content(folder: Path) -> bytes:
    return b"".join((folder / name).read_bytes() for name in names_in(folder))


async def test_an_erased_number_is_gone_from_every_file_while_servers_run(store: Store, store_path: Path) -> None:
    await filled(store, "pn_gone", "pn_stays")
    await store.read(get("a"))
    assert b"pn_gone-7" in raw_content(store_path.parent)
    status, out, err = await run("store", "erase", "--number", "pn_gone", "--yes", env=settings(store_path.parent))
    assert (status, err) == (0, "")
    assert "Erased 50 messages of pn_gone" in out
    content = raw_content(store_path.parent)
    assert b"pn_gone-" not in content
    assert b"pn_stays-7" in content
    left, _ = await store.read(events.after, 0, limit=200)
    assert {event.subject for event in left} == {"pn_stays"}
    await store.write(put("after"))


async def test_what_was_deleted_before_leaves_no_trace_either(store_path: Path) -> None:
    """SQLite as others build it leaves the bytes of deleted rows where they were."""
    store_path.parent.mkdir()
    with closing(sqlite3.connect(store_path)) as old:
        old.execute("PRAGMA auto_vacuum = INCREMENTAL")  # or opening it would write it anew
        old.execute("PRAGMA secure_delete = OFF")
        for step in schema.STEPS:
            old.executescript(step)
        old.execute(f"PRAGMA user_version = {len(schema.STEPS)}")
        old.execute(
            "INSERT INTO events (type, source, arrived_at, payload, subject)"
            " VALUES ('sms.received', 'webhook', 1, 'pn_gone-secret', 'pn_gone')"
        )
        old.execute("DELETE FROM events")
        old.commit()
    assert b"pn_gone-secret" in raw_content(store_path.parent)
    status, _, _ = await run("store", "erase", "--number", "pn_gone", "--yes", env=settings(store_path.parent))
    assert status == 0
    assert b"pn_gone-secret" not in raw_content(store_path.parent)


async def test_a_phone_number_is_looked_up_with_the_key(store: Store, store_path: Path) -> None:
    async with sandbox_on_a_port(sandbox := Sandbox(KEY)) as base_url:
        (number,) = sandbox.add_numbers(1)
        phone = sandbox.state.numbers[number].phone_number
        await filled(store, number)
        env = settings(store_path.parent, PIV_API_KEY=KEY, PIV_BASE_URL=base_url)
        status, out, err = await run("store", "erase", "--number", phone, "--yes", env=env)
    assert (status, err) == (0, "")
    assert f"Erased 50 messages of {number}" in out


async def test_without_a_key_a_phone_number_is_refused_with_what_to_give(store: Store, store_path: Path) -> None:
    await filled(store, "pn_stays")
    status, _, err = await run("store", "erase", "--number", "+46701234567", "--yes", env=settings(store_path.parent))
    assert status != 0
    assert "give the number's id" in err
    assert len((await store.read(events.after, 0))[0]) == 50


async def test_without_a_terminal_nothing_is_erased_unasked(store: Store, store_path: Path) -> None:
    await filled(store, "pn_stays")
    status, _, err = await run("store", "erase", "--number", "pn_stays", env=settings(store_path.parent))
    assert status != 0
    assert "--yes" in err
    assert len((await store.read(events.after, 0))[0]) == 50


@asynccontextmanager
async def at_a_terminal(*arguments: str, **env: str) -> AsyncGenerator[Terminal]:
    master, slave = os.openpty()
    command = (sys.executable, "-m", "piv_mcp", *arguments)
    process = await asyncio.create_subprocess_exec(
        *command, stdin=slave, stdout=slave, stderr=slave, env={**os.environ, **env}
    )
    os.close(slave)
    terminal = Terminal(process, master)
    asyncio.get_running_loop().add_reader(master, terminal.read)
    try:
        yield terminal
    finally:
        asyncio.get_running_loop().remove_reader(master)
        if process.returncode is None:
            process.kill()
        await process.wait()
        os.close(master)


@posix_only
@pytest.mark.parametrize("answer", ["n", "y"])
async def test_at_a_terminal_the_person_is_asked(store: Store, store_path: Path, answer: str) -> None:
    await filled(store, "pn_one")
    env = settings(store_path.parent)
    async with at_a_terminal("store", "erase", "--number", "pn_one", **env) as terminal:
        await terminal.sees(r"(Erase all messages of pn_one)")
        terminal.types(answer)
        await asyncio.wait_for(terminal.process.wait(), 20)
    assert len((await store.read(events.after, 0))[0]) == (50 if answer == "n" else 0)


async def test_damaged_copies_are_named_since_they_hold_the_messages_too(store: Store, store_path: Path) -> None:
    await filled(store, "pn_gone")
    copy = store_path.with_name("store.sqlite3.corrupt-20260101T000000Z")
    copy.write_bytes(b"pn_gone")
    side(copy, "-wal").write_bytes(b"")
    status, _, err = await run("store", "erase", "--number", "pn_gone", "--yes", env=settings(store_path.parent))
    assert status == 0
    assert err.count(str(copy)) == 1
    assert inode_of(copy)


@posix_only
async def test_what_cannot_be_written_anew_is_said(
    store: Store, store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(store, "pn_gone")
    monkeypatch.setattr(backup, "WAIT_SECONDS", 0.2)
    with closing(sqlite3.connect(store_path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM events").fetchone()
        assert not await asyncio.to_thread(backup.erase_traces, store_path)
    assert await asyncio.to_thread(backup.erase_traces, store_path)
    assert size_of(side(store_path, "-wal")) == 0


@pytest.mark.parametrize("name", ["spending", "spending_state", "events_type", "facts", "looks", "events"])
async def test_a_damaged_store_is_repaired_before_a_number_is_erased(store_path: Path, name: str) -> None:
    await filled_with_events(store_path)
    damage_page(store_path, root_pages(store_path)[name])
    status, out, err = await run("store", "erase", "--number", "number-3", "--yes", env=settings(store_path.parent))
    assert status == 0, err
    assert "Erased" in out
    assert "Traceback" not in err
    store = SqliteStore(store_path)
    left, _ = await store.read(events.after, 0, limit=1000)
    await store.close()
    assert {event.subject for event in left} == {f"number-{n}" for n in range(7)} - {"number-3"}


async def test_a_file_that_cannot_be_written_anew_for_its_damage_is_an_error_in_words(store_path: Path) -> None:
    await filled_with_events(store_path)
    damage_page(store_path, root_pages(store_path)["spending"])
    with pytest.raises(StoreError, match="traces may be left"):
        await asyncio.to_thread(backup.erase_traces, store_path)


# Every command on a store of a newer version


@pytest.mark.parametrize(
    "command", ["store backup copy", "store erase --number pn_a --yes", "approvals", "doctor", "receive"]
)
async def test_a_store_of_a_newer_version_stops_each_command_with_what_to_do(
    store: Store, store_path: Path, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.write(put("kept"))
    await store.close()
    with closing(sqlite3.connect(store_path)) as newer:
        newer.execute("PRAGMA user_version = 999")
    monkeypatch.chdir(tmp_path)
    status, out, err = await run(*command.split(), env=settings(store_path.parent, PIV_WEBHOOK_PORT="0"))
    assert status != 0
    assert "Traceback" not in out + err
    assert "newer version of piv-mcp" in out + err
    assert "Update piv-mcp" in out + err
    assert names_in(tmp_path) == ["data"]


async def test_the_traces_of_what_was_deleted_stay_where_a_newer_version_has_the_store(
    store: Store, store_path: Path
) -> None:
    await store.write(put("kept"))
    await store.close()
    with closing(sqlite3.connect(store_path)) as newer:
        newer.execute("PRAGMA user_version = 999")
    before = raw_content(store_path.parent)
    with pytest.raises(NewerStoreError):
        await asyncio.to_thread(backup.erase_traces, store_path)
    assert raw_content(store_path.parent) == before


async def test_doctor_tells_of_damage(store_path: Path) -> None:
    store = SqliteStore(store_path)
    await store.write(put("damage:at", str(time.time() - 3600)))
    await store.write(put("damage:lost", "7"))
    await store.close()
    found = (await findings(data_dir=store_path.parent, webhook_port=0))["store"]
    assert "damaged 1 h ago" in found.state or "damaged 60 min" in found.state, found.state
    assert "up to 7 rows" in found.state
