"""The files of a store: the database, its write-ahead log, and the index of the log that its processes share."""

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

SIDES = ("-wal", "-shm")
"""What SQLite appends to a database's name for the log and for its index."""


class Files(NamedTuple):
    """The inodes of a store's files, which tell a file from one that replaced it. 0: there is no file."""

    database: int
    log: int
    log_index: int

    @property
    def are_a_set(self) -> bool:
        """Whether SQLite leaves files like this. It deletes the index before the log, and neither without both being in
        the database."""
        return bool(self.database) >= bool(self.log) >= bool(self.log_index)


def files_at(path: Path) -> Files:
    return look(path)[0]


def look(path: Path) -> tuple[Files, int]:
    """The files, and the size of the database in bytes."""
    name = str(path)
    try:
        found = os.stat(name)
        database, size = found.st_ino, found.st_size
    except OSError:
        database, size = 0, 0
    return Files(database, inode_of(name + "-wal"), inode_of(name + "-shm")), size


def inode_of(path: Path | str) -> int:
    """The inode; 0 if there is no file."""
    try:
        return os.stat(path).st_ino
    except OSError:
        return 0


def size_of(path: Path) -> int:
    """Bytes; 0 if there is no file."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def side(path: Path, name: str) -> Path:
    return path.with_name(path.name + name)


def remove_all(path: Path) -> None:
    """The database and what belongs to it."""
    for name in ("-journal", *SIDES, ""):
        side(path, name).unlink(missing_ok=True)


def note_made(path: Path) -> None:
    """Note in the lock's file that there is a database: whoever finds none later knows that it was deleted."""
    if not was_made(path):
        with suppress(OSError):  # Windows may keep a locked file from growing
            os.truncate(side(path, "-lock"), 1)


def was_made(path: Path) -> bool:
    return size_of(side(path, "-lock")) > 0


def create_private(path: Path) -> None:
    """An empty file that only its owner can read. The files beside a database get the same mode.

    Raises:
        FileExistsError: there is one.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def sync_folder(folder: Path) -> None:
    """Bring a file's new name to the disk, where systems ask for it."""
    if sys.platform != "win32":
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


@contextmanager
def locked(path: Path) -> Generator[None]:
    """Keep other processes from opening, making or renaming the file meanwhile."""
    lock = os.open(side(path, "-lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _lock(lock)
        yield
    finally:
        os.close(lock)


def _lock(lock: int) -> None:
    if sys.platform == "win32":
        import msvcrt  # other systems have no such module

        while True:
            try:
                msvcrt.locking(lock, msvcrt.LK_LOCK, 1)
            except OSError:
                continue  # it was tried for ten seconds
            return
    else:
        import fcntl  # Windows has no such module

        fcntl.flock(lock, fcntl.LOCK_EX)
