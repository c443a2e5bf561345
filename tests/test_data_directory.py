"""The data directory: what is refused, what is made private, and the move out of AppData."""

import asyncio
import os
import sqlite3
import stat
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from store_helpers import run_script
from test_cli import findings

from piv_mcp.config import default_directory, former_directories, load
from piv_mcp.errors import ConfigError
from piv_mcp.runtime import Runtime
from piv_mcp.store import SqliteStore, events
from piv_mcp.store import directory as places
from piv_mcp.store.directory import find_directory, move_store, open_directory
from piv_mcp.web.secret import kept_secret

pytestmark = pytest.mark.sqlite

posix_only = pytest.mark.skipif(os.name != "posix", reason="modes and owners of POSIX")
root_only = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="gives files to other users")

STRANGER = 54321


def plant(directory: Path, name: str = "page-key", text: str = "planted-by-a-stranger") -> Path:
    file = directory / name
    file.write_text(text)
    file.chmod(0o600)
    return file


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir() if not path.name.endswith("-lock"))


def prepared(directory: Path, state: Callable[[Path], None]) -> list[str]:
    directory.mkdir(mode=0o700)
    state(directory)
    return names_in(directory)


def loose(directory: Path) -> None:
    plant(directory)
    directory.chmod(0o777)


def sticky(directory: Path) -> None:
    plant(directory)
    directory.chmod(0o1777)


def shared_with_a_group(directory: Path) -> None:
    plant(directory)
    os.chown(directory, -1, STRANGER)
    directory.chmod(0o770)


def shared_with_a_group_that_lists_nobody(directory: Path) -> None:
    """Its members are those whose own group it is: /etc/group does not name them."""
    import grp  # Windows has no such module

    plant(directory)
    os.chown(directory, -1, next(group.gr_gid for group in grp.getgrall() if group.gr_gid and not group.gr_mem))
    directory.chmod(0o770)


def foreign_secret(directory: Path) -> None:
    os.chown(plant(directory), STRANGER, -1)


def foreign_store(directory: Path) -> None:
    os.chown(plant(directory, "store.sqlite3-wal", ""), STRANGER, -1)


def open_store(directory: Path) -> None:
    plant(directory, "store.sqlite3", "").chmod(0o666)


def link_out(directory: Path) -> None:
    elsewhere = directory.with_name("elsewhere")
    elsewhere.write_text("planted-by-a-stranger")
    (directory / "webhook-secret").symlink_to(elsewhere)


def dangling_link(directory: Path) -> None:
    (directory / "store.sqlite3").symlink_to("/nowhere/store")


def folder_that_leads_out(directory: Path) -> None:
    (directory / "approvals").symlink_to(directory.parent)


@posix_only
@root_only
@pytest.mark.parametrize(
    "fault",
    [
        loose,
        sticky,
        shared_with_a_group,
        shared_with_a_group_that_lists_nobody,
        foreign_secret,
        foreign_store,
        open_store,
        link_out,
        dangling_link,
        folder_that_leads_out,
    ],
)
async def test_a_directory_in_which_others_can_plant_files_is_refused(
    data_dir: Path, fault: Callable[[Path], None]
) -> None:
    before = prepared(data_dir, fault)
    settings = load(data_dir=data_dir, webhook_port=0)
    runtime = Runtime(settings)
    with pytest.raises(ConfigError) as caught:
        await runtime.services()
    assert str(data_dir) in caught.value.message
    assert caught.value.hint
    assert names_in(data_dir) == before, "nothing was touched"
    found = await findings(data_dir=data_dir)
    assert found["data directory"].state == caught.value.message
    assert found["data directory"].do
    assert not any(found[what].ok for what in ("data directory", "store", "webhook endpoint"))
    assert "planted-by-a-stranger" not in repr(found)


def empty_and_loose(directory: Path) -> None:
    directory.chmod(0o777)


def readable(directory: Path) -> None:
    kept_secret(directory / "page-key")
    directory.chmod(0o755)


def link_within(directory: Path) -> None:
    kept_secret(directory / "key")
    (directory / "webhook-secret").symlink_to("key")


def files_of_others(directory: Path) -> None:
    (directory / "api-key").symlink_to("/run/secrets/piv")
    (directory / "notes.txt").write_text("mine")
    (directory / "notes.txt").chmod(0o666)


@posix_only
@pytest.mark.parametrize("state", [empty_and_loose, readable, link_within, files_of_others])
def test_a_directory_that_is_safe_is_used(data_dir: Path, state: Callable[[Path], None]) -> None:
    prepared(data_dir, state)
    assert open_directory(load(data_dir=data_dir)) == data_dir
    assert not stat.S_IMODE(data_dir.stat().st_mode) & 0o022


@posix_only
@root_only
def test_a_directory_that_a_container_mounts_is_its_owners(data_dir: Path) -> None:
    data_dir.mkdir(mode=0o700)
    os.chown(data_dir, STRANGER, -1)
    os.chown(plant(data_dir), STRANGER, -1)
    assert open_directory(load(data_dir=data_dir)) == data_dir


@posix_only
def test_the_group_of_one_user_alone_is_no_other(data_dir: Path) -> None:
    data_dir.mkdir(mode=0o700)
    plant(data_dir)
    data_dir.chmod(0o770)
    assert open_directory(load(data_dir=data_dir)) == data_dir


@posix_only
def test_the_folder_of_a_store_elsewhere_is_looked_at_too(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    plant(shared, "x.db", "")
    shared.chmod(0o777)
    with pytest.raises(ConfigError, match="shared"):
        open_directory(load(data_dir=tmp_path / "data", store_url=f"sqlite:///{shared}/x.db"))


@posix_only
def test_a_secret_that_others_can_read_becomes_private(data_dir: Path) -> None:
    data_dir.mkdir(mode=0o700)
    secret = kept_secret(data_dir / "page-key")
    (data_dir / "page-key").chmod(0o644)
    assert kept_secret(data_dir / "page-key") == secret
    assert stat.S_IMODE((data_dir / "page-key").stat().st_mode) == 0o600


FULL_DISK = """
    import resource, signal
    from piv_mcp.config import load
    from piv_mcp.errors import PivError
    from piv_mcp.runtime import Runtime
    from piv_mcp.web.secret import kept_secret
    from piv_mcp.store.directory import open_directory
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    data, size = Path(sys.argv[1]), int(sys.argv[2])
    async def start():
        runtime = Runtime(load(data_dir=data, webhook_port=0))
        services = await runtime.services()
        await services.store.write(facts.put, "works", "1")
        await runtime.stop()
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    try:
        asyncio.run(start())
    except PivError as error:
        print(type(error).__name__)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print([file.name for file in data.iterdir() if not file.name.endswith("-lock") and file.stat().st_size == 0])
    asyncio.run(start())
    print("started", len(kept_secret(data / "webhook-secret")))
"""


@posix_only
@pytest.mark.parametrize("size", [0, 100, 5000, 30_000])
async def test_a_full_disk_at_the_first_start_is_over_when_there_is_space(data_dir: Path, size: int) -> None:
    said = (await run_script(FULL_DISK, data_dir, size)).splitlines()
    assert said[0] in ("ConfigError", "StoreError")
    assert said[1:] == ["[]", "started 32"]


def test_the_first_of_many_makes_the_secret_of_all(data_dir: Path) -> None:
    data_dir.mkdir(mode=0o700)
    (data_dir / "page-key").touch()
    with ThreadPoolExecutor(8) as many:
        made = set(many.map(kept_secret, [data_dir / "page-key"] * 40))
    assert made == {(data_dir / "page-key").read_text()}


async def test_without_a_home_the_start_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platformdirs.user_data_path", lambda *_, **__: Path("~/.local/share/piv-mcp"))  # pyright: ignore
    with pytest.raises(ConfigError) as caught:
        open_directory(load())
    assert "PIV_DATA_DIR" in (caught.value.hint or "")
    assert not (await findings(webhook_port=0))["data directory"].ok


# the move out of AppData, as on Windows


@pytest.fixture
def appdata(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The data directory of 0.1.0 on Windows, with the settings of a machine that has it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("piv_mcp.config.settings.default_directory", lambda: default_directory("win32"))
    old = tmp_path / "AppData/Local/piv-mcp"
    old.mkdir(parents=True, mode=0o700)
    return old


async def fill(directory: Path, *ids: str) -> None:
    store = SqliteStore(directory / "store.sqlite3")
    for piv_num_id in ids:
        await store.write(add, piv_num_id)
    await store.close()
    plant(directory, "page-key", "key")
    plant(directory, "webhook-secret", "secret")


def add(connection: Any, piv_num_id: str) -> None:
    connection.execute("INSERT INTO facts (name, value) VALUES (?, ?)", (piv_num_id, "x"))


async def facts_in(directory: Path) -> set[str]:
    store = SqliteStore(directory / "store.sqlite3")
    found = await store.read(lambda c: {str(row[0]) for row in c.rows("SELECT name FROM facts")})
    await store.close()
    return found


def test_on_windows_the_data_is_outside_appdata_for_all_clients(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert default_directory("win32") == tmp_path / ".piv-mcp"
    assert default_directory("linux") != default_directory("win32")
    local = tmp_path / "AppData/Local"
    packaged = local / "Packages/Claude_x/LocalCache/Local/piv-mcp"
    packaged.mkdir(parents=True)
    assert former_directories("win32", {"LOCALAPPDATA": str(local)}) == [local / "piv-mcp", packaged]
    assert former_directories("linux", {"LOCALAPPDATA": str(local)}) == []
    assert former_directories("win32", {}) == []


async def test_the_store_and_the_secrets_are_moved_and_the_key_stays(appdata: Path) -> None:
    await fill(appdata, "n1", "n2")
    plant(appdata, "api-key", "sk-key")
    new = find_directory(load(), [appdata])
    assert new == default_directory("win32")
    assert {"n1", "n2"} <= await facts_in(new)
    assert [(new / name).read_text() for name in ("page-key", "webhook-secret")] == ["key", "secret"]
    assert names_in(appdata) == ["api-key"]
    assert find_directory(load(), [appdata]) == new


async def test_what_only_the_log_holds_is_moved_too(appdata: Path) -> None:
    await fill(appdata, "n1")
    code = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('INSERT INTO facts (name, value) VALUES (?, ?)', ('late', 'x')); os._exit(0)"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, str(appdata / "store.sqlite3"))
    assert await process.wait() == 0
    assert (appdata / "store.sqlite3-wal").stat().st_size > 0
    assert "late" in await facts_in(find_directory(load(), [appdata]))


async def test_a_store_that_a_process_has_open_is_used_where_it_is_and_moved_later(
    appdata: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await fill(appdata, "n1")
    store = SqliteStore(appdata / "store.sqlite3")
    await store.read(lambda c: c.count("SELECT count(*) FROM facts"))
    assert find_directory(load(), [appdata]) == appdata
    assert "has the store open" in capsys.readouterr().out
    assert not (default_directory("win32") / "page-key").exists()
    await store.write(add, "n2")
    await store.close()
    assert {"n1", "n2"} <= await facts_in(find_directory(load(), [appdata]))


async def test_a_move_that_fails_leaves_all_where_it_was(appdata: Path, tmp_path: Path) -> None:
    await fill(appdata, "n1")

    def refuse(_: Path, __: Path) -> None:
        raise PermissionError(13, "the file is in use")

    assert not move_store(appdata, tmp_path / "new", refuse)
    assert list((tmp_path / "new").iterdir()) == []
    assert (appdata / "page-key").read_text() == "key"
    assert "n1" in await facts_in(appdata)


@pytest.mark.parametrize("second", ["data directory", "package"])
async def test_two_stores_are_reported_and_never_merged(
    appdata: Path, tmp_path: Path, second: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    new, package = default_directory("win32"), tmp_path / "package"
    await fill(appdata, "theirs")
    await fill(new if second == "data directory" else package, "mine")
    former = [appdata, package]
    unused = appdata if second == "data directory" else package
    assert find_directory(load(), former) == new
    assert find_directory(load(), former) == new
    told = capsys.readouterr().out
    assert "second store" in told
    assert str(unused) in told
    monkeypatch.setattr(places, "former_directories", lambda: former)
    finding = (await findings(webhook_port=0))["second store"]
    assert not finding.ok
    assert str(unused) in finding.state
    assert (unused / "store.sqlite3").exists()
    assert ("mine" in await facts_in(new)) == (second == "data directory")


async def test_a_store_seen_by_two_names_is_one(appdata: Path, tmp_path: Path) -> None:
    new = default_directory("win32")
    await fill(new, "n1")
    (tmp_path / "package").symlink_to(new)
    assert places._stores(load(), [tmp_path / "package"]) == [new]  # pyright: ignore[reportPrivateUsage]


# a damaged store, as on Windows, where an open file cannot be renamed


def is_open(path: Path) -> bool:
    return str(path) in [os.readlink(fd) for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink()]


def damage_pages(path: Path) -> None:
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 100_000)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="looks at the open files")
async def test_no_reader_of_ours_has_a_damaged_store_open_when_it_is_renamed(
    monkeypatch: pytest.MonkeyPatch, store_path: Path
) -> None:
    rename = Path.rename

    def rename_if_closed(path: Path, target: Path) -> Path:
        if is_open(path):
            raise PermissionError(13, "the file is in use")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", rename_if_closed)
    store = SqliteStore(store_path)
    await store.write(add, "n1")
    await store.read(lambda c: c.count("SELECT count(*) FROM facts"))
    damage_pages(store_path)
    await store.write(add, "n2")
    await store.read(events.summary)
    await store.close()
    assert len([path for path in store_path.parent.glob("*.corrupt-*") if path.stat().st_size > 90_000]) == 1
