"""Recovery from a damaged store file: rename it, and copy the readable journal entries into a new file.

Only the spending journal is copied. It exists nowhere else, and an entry whose outcome is unknown must keep blocking
equal actions. The inbox is filled again from the SMS history.
"""

import os
import sqlite3
import sys
import time
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import structlog

from piv_mcp.errors import StoreError
from piv_mcp.store import events
from piv_mcp.store.connection import Connection

JOURNAL_TABLE = "spending"

_log = structlog.get_logger(__name__)


def set_aside(path: Path, inode: int, error: sqlite3.Error) -> None:
    """Rename a damaged file and its side files, unless another process did so already."""
    with locked(path):
        if inode_of(path) != inode:
            return
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        aside = path.with_name(f"{path.name}.corrupt-{now}")
        while aside.exists():
            aside = aside.with_name(f"{aside.name}x")
        _rename_all(path, aside)
    _log.error(
        "the store was damaged: the file was renamed and a new one created",
        problem=str(error),
        kept=str(aside),
        do="nothing: SMS are fetched again from the history, and the readable journal entries are copied",
    )


def _rename_all(path: Path, aside: Path) -> None:
    """All of the files or none.

    Raises:
        StoreError: another program has one of them open, which keeps it from being renamed on Windows.
    """
    renamed: list[tuple[Path, Path]] = []
    for side in ("-wal", "-shm", ""):  # the database last: a new one must never be opened with the old log
        source, target = path.with_name(path.name + side), aside.with_name(aside.name + side)
        try:
            source.rename(target)
        except FileNotFoundError:
            continue
        except PermissionError:
            for before, after in reversed(renamed):
                after.rename(before)
            raise StoreError("the store is damaged, and another program has it open: end the other clients") from None
        renamed.append((source, target))


def take_over(connection: Connection, path: Path) -> None:
    """Copy the readable journal entries of the newest damaged file, if there is one, into the new store at `path`."""
    files = (file for file in path.parent.glob(f"{path.name}.corrupt-*") if not file.name.endswith(("-wal", "-shm")))
    kept = max(files, default=None)
    if kept is None:
        return
    # The time in seconds is higher than any event id of the old store: no store has held so many events.
    events.begin_after(connection, int(time.time()))
    entries = _readable(kept)
    for entry in entries:
        columns, marks = ", ".join(entry), ", ".join("?" * len(entry))
        connection.execute(
            f"INSERT OR IGNORE INTO {JOURNAL_TABLE} ({columns}) VALUES ({marks})",  # noqa: S608 - our own names
            list(entry.values()),
        )
    _log.warning("journal entries were copied from the damaged store", entries=len(entries), kept=str(kept))


def is_damage(error: sqlite3.Error) -> bool:
    return primary_code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def primary_code(error: sqlite3.Error) -> int:
    """SQLite's primary result code; 0 if the error has none."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def inode_of(path: Path) -> int:
    """The inode, which tells a file from another that replaced it; 0 if there is no file."""
    try:
        return path.stat().st_ino
    except OSError:
        return 0


@contextmanager
def locked(path: Path) -> Generator[None]:
    """Keep other processes from opening or renaming the file. Windows needs no lock: it cannot rename an open file."""
    if sys.platform == "win32":
        yield
        return
    import fcntl  # Windows has no such module

    lock = os.open(path.with_name(f"{path.name}-lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _readable(kept: Path) -> list[dict[str, str | int | float | None]]:
    """The entries before and after the damaged part, the oldest first. The file is only read."""
    found: dict[int, dict[str, str | int | float | None]] = {}
    with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(f"{kept.as_uri()}?mode=ro", uri=True)) as old:
        for order in ("ASC", "DESC"):
            with suppress(sqlite3.DatabaseError):
                cursor = old.execute(f"SELECT * FROM {JOURNAL_TABLE} ORDER BY seq {order}")  # noqa: S608
                names = [column[0] for column in cursor.description]
                for row in cursor:
                    entry = dict(zip(names, row, strict=True))
                    found[int(entry["seq"])] = entry
    return [found[seq] for seq in sorted(found)]
