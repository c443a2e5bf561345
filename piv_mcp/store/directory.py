"""The data directory: whether it can be trusted, and its move from where earlier versions kept it on Windows.

Whoever can write to the directory can plant a webhook secret or a spending journal. So
nothing is read from a directory that others can write to, or from a file in it that is not ours.
"""

import os
import shutil
import sqlite3
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from piv_mcp.config import STORE_FILE, Settings, former_directories
from piv_mcp.errors import ConfigError
from piv_mcp.store.files import locked

KEPT_SECRETS = ("page-key", "webhook-secret")
OURS = (STORE_FILE, *KEPT_SECRETS, "approvals", "exports")
"""What the names of our own files and folders begin with."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Risk:
    """Something that lets others change what we read. `do` is the advice to the person."""

    problem: str
    do: str

    def __str__(self) -> str:
        return f"{self.problem}. {self.do}"


def open_directory(settings: Settings) -> Path:
    """The data directory, made if there is none.

    Raises:
        ConfigError: others can write to it, or a file in it is not ours.
        OSError: it cannot be made or read.
    """
    directory = find_directory(settings, former_directories())
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    _close_if_empty(directory)
    _refuse_risks(risks(directory))
    store = settings.store_path(directory)
    if store.parent != directory:
        store.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _refuse_risks(risks(store.parent, names=(store.name,)))
    return directory


def _refuse_risks(found: Iterable[Risk]) -> None:
    for risk in found:
        raise ConfigError(risk.problem, hint=risk.do)


def _close_if_empty(directory: Path) -> None:
    """An empty directory of ours that others can write to is made private: nothing can have been planted in it yet."""
    if os.name == "posix":
        found = directory.stat()
        if found.st_uid == os.geteuid() and _others_write(found) and not any(directory.iterdir()):
            directory.chmod(0o700)


def risks(directory: Path, names: tuple[str, ...] = OURS) -> list[Risk]:
    """What lets others change the files in this directory whose names begin with `names`. Nothing on Windows, where
    each user's folders are closed to others."""
    if os.name != "posix":
        return []
    return list(_risks(directory, names))


def _risks(directory: Path, names: tuple[str, ...]) -> Iterator[Risk]:
    here = directory.stat()
    trusted = {os.geteuid(), 0} if os.geteuid() else {0, here.st_uid}
    # For root, whose containers mount a directory of the person, its owner is as good as root.
    if here.st_uid not in trusted:
        yield Risk(f"the data directory {directory} belongs to another user", _ELSEWHERE)
    if _others_write(here):
        yield Risk(f"other users can write to the data directory {directory}", _CLOSE.format(directory))
    real = directory.resolve()
    for entry in sorted(directory.iterdir()):
        if not entry.name.startswith(names):
            continue
        try:
            found = entry.lstat()
        except FileNotFoundError:
            continue  # SQLite and other processes delete files of theirs at any time
        if stat.S_ISLNK(found.st_mode):
            if not entry.resolve().is_relative_to(real):
                yield Risk(f"{entry} is a link that leads out of the data directory", _REMOVE)
        elif found.st_uid not in trusted | {here.st_uid}:
            yield Risk(f"{entry} belongs to another user", _REMOVE)
        elif _others_write(found):
            yield Risk(f"other users can write to {entry}", f"If you trust what is in it: chmod go-w '{entry}'")


_ELSEWHERE = "Set PIV_DATA_DIR to a directory of your own, such as a new folder in it"
_CLOSE = "If you trust the files in it: chmod 700 '{}'. Otherwise set PIV_DATA_DIR to a new directory"
_REMOVE = "Somebody may have planted it: look at it, then remove it"


def _others_write(found: os.stat_result) -> bool:
    """Whether users other than the owner can write. A group that is the owner's alone counts as the owner."""
    if found.st_mode & stat.S_IWOTH:
        return True
    return bool(found.st_mode & stat.S_IWGRP) and not _is_private_group(found.st_gid, found.st_uid)


def _is_private_group(gid: int, uid: int) -> bool:
    """Whether the group is the one that many systems make for each user, without other members."""
    import grp  # Windows has no such modules
    import pwd

    try:
        user, group = pwd.getpwuid(uid), grp.getgrgid(gid)
    except KeyError:
        return False
    return group.gr_name == user.pw_name and not set(group.gr_mem) - {user.pw_name}


# --- the move on Windows


def find_directory(settings: Settings, former: list[Path]) -> Path:
    """The data directory. A store in a former one is moved to it, unless there are two or a process has it open."""
    directory = settings.directory
    places = _stores(settings, former)
    if places and places[0] != directory:
        if not move_store(places[0], directory):
            _log.warning("a process has the store open, so that it is not moved yet", store=str(places[0]))
            return places[0]
        _log.info("the store was moved out of AppData", to=str(directory))
    for unused in places[1:]:
        _log.warning("there is a second store, which is not used", store=str(unused), do=TWO_STORES)
    return directory


TWO_STORES = "Stores are never merged: end all clients, keep the one with your codes and your journal, rename the other"


def second_stores(settings: Settings) -> list[Path]:
    """Directories with a store that is not used."""
    return _stores(settings, former_directories())[1:]


def _stores(settings: Settings, former: list[Path]) -> list[Path]:
    """The directories with a store: the data directory, then the former ones. A packaged program sees its own twice."""
    if settings.data_dir is not None or settings.store_url is not None:
        return []
    found: list[Path] = []
    for place in (settings.directory, *former):
        store = place / STORE_FILE
        if store.exists() and not any(store.samefile(known / STORE_FILE) for known in found):
            found.append(place)
    return found


def move_store(old: Path, new: Path, rename: Callable[[Path, Path], object] = os.rename) -> bool:
    """Move the store and the secrets from one directory to another. False, with nothing changed, if that cannot be now.

    What else is in the old directory stays: clients can be configured to read the API key there.
    """
    source, target = old / STORE_FILE, new / STORE_FILE
    copied: list[Path] = []
    try:
        new.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(source):
            _fold_log(source)
            copied = list(_copy_secrets(old, new))
            rename(source, target)
    except (OSError, sqlite3.Error):
        for copy in copied:
            copy.unlink(missing_ok=True)
        return False
    for name in KEPT_SECRETS:
        with suppress(OSError):
            (old / name).unlink(missing_ok=True)
    return True


def _fold_log(store: Path) -> None:
    """Bring the write-ahead log into the database file, which SQLite refuses while another process has it open."""
    with closing(sqlite3.connect(store, timeout=0, isolation_level=None)) as raw:
        raw.execute("PRAGMA journal_mode = DELETE").fetchone()


def _copy_secrets(old: Path, new: Path) -> Iterator[Path]:
    for name in KEPT_SECRETS:
        if (old / name).exists():
            if (new / name).exists():
                raise FileExistsError(name)
            shutil.copy2(old / name, new / name)
            yield new / name
