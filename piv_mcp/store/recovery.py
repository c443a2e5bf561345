"""What happens to a damaged store: the file is set aside, and a new one takes over what can be read of it.

The inbox fills itself again from the SMS history. The spending journal has no second source, and an entry whose outcome
is unknown must go on blocking its action: that is what is taken over.
"""

import os
import sqlite3
import sys
import time
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import structlog

from piv_mcp.store import events
from piv_mcp.store.connection import Connection

TABLE = "spending"

_log = structlog.get_logger(__name__)


def set_aside(path: Path, inode: int, error: sqlite3.Error) -> None:
    """Rename a damaged file and its side files, unless another process did so already."""
    with alone(path):
        if inode_of(path) != inode:
            return
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        aside = path.with_name(f"{path.name}.corrupt-{now}")
        while aside.exists():
            aside = aside.with_name(f"{aside.name}x")
        for side in ("-wal", "-shm", ""):  # the file last: a new one must never meet the log of the old one
            with suppress(FileNotFoundError):
                path.with_name(path.name + side).rename(aside.with_name(aside.name + side))
    _log.error(
        "the store was damaged: it was set aside and a new one begun",
        problem=str(error),
        kept=str(aside),
        do="nothing: SMS are fetched again from the history, and the spending journal is taken over if it can be read",
    )


def take_over(connection: Connection, path: Path) -> None:
    """Copy what can be read of the newest damaged store into the new one at `path`, if one was set aside."""
    files = (file for file in path.parent.glob(f"{path.name}.corrupt-*") if not file.name.endswith(("-wal", "-shm")))
    kept = max(files, default=None)
    if kept is None:
        return
    events.begin_after(connection, int(time.time()))  # no store has held so many events
    entries = _readable(kept)
    for entry in entries:
        columns, marks = ", ".join(entry), ", ".join("?" * len(entry))
        connection.execute(
            f"INSERT OR IGNORE INTO {TABLE} ({columns}) VALUES ({marks})",  # noqa: S608 - our own names
            list(entry.values()),
        )
    _log.warning("the spending journal was taken over from the damaged store", entries=len(entries), kept=str(kept))


def is_damage(error: sqlite3.Error) -> bool:
    return primary_code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def primary_code(error: sqlite3.Error) -> int:
    """SQLite's result code without its extension; 0 where there is none."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def inode_of(path: Path) -> int:
    """Tells a file from one that has taken its place; 0 where there is none."""
    try:
        return path.stat().st_ino
    except OSError:
        return 0


@contextmanager
def alone(path: Path) -> Generator[None]:
    """While no other process opens the file or sets it aside. Windows needs no lock: it cannot rename an open file."""
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
    """The entries before the damage and those behind it, the oldest first. The file stays as it is."""
    found: dict[int, dict[str, str | int | float | None]] = {}
    with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(f"{kept.as_uri()}?mode=ro", uri=True)) as old:
        for order in ("ASC", "DESC"):
            with suppress(sqlite3.DatabaseError):
                cursor = old.execute(f"SELECT * FROM {TABLE} ORDER BY seq {order}")  # noqa: S608
                names = [column[0] for column in cursor.description]
                for row in cursor:
                    entry = dict(zip(names, row, strict=True))
                    found[int(entry["seq"])] = entry
    return [found[seq] for seq in sorted(found)]
