"""Recovery of a store whose files are damaged, or are no longer those that its processes have open.

What is made new is made beside the old and renamed, so that a file at the store's path is always complete. It is always
a new file: other processes see that, leave the old one, and open it.
"""

import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import structlog

from piv_mcp.errors import StoreError
from piv_mcp.store.files import (
    SIDES,
    Files,
    create_private,
    files_at,
    inode_of,
    locked,
    remove_all,
    side,
    size_of,
    sync_folder,
)
from piv_mcp.store.joining import join
from piv_mcp.store.migrations import migrate
from piv_mcp.store.salvage import fill
from piv_mcp.store.sqlite import (
    SqliteConnection,
    concerns_the_file,
    connect,
    is_damage,
    is_locked,
    is_sound,
    refuse_newer,
)

MEND_SECONDS = 3.0
"""How long a process that starts waits for those that still have a deleted log open: each looks once a second."""

SMALLEST = 512
"""Bytes of the smallest database that has a table."""

_log = structlog.get_logger(__name__)


def create(path: Path) -> None:
    """Make the store, with what can be read of the newest damaged one, if there is one. The caller has it locked.

    Raises:
        sqlite3.Error, OSError: it cannot be made, for example on a full disk. Nothing is left of it.
    """
    new = beside(path)
    try:
        create_private(new)
        with closing(connect(new, 0).raw) as raw:
            connection = SqliteConnection(raw)
            connection.execute("PRAGMA journal_mode = MEMORY")
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            damaged = _newest_damaged(path)
            if damaged is not None:
                _take_over(connection, damaged)
            migrate(connection)
        put_in_place(new, path)
    finally:
        remove_all(new)


def _take_over(connection: SqliteConnection, damaged: Path) -> None:
    connection.execute("BEGIN IMMEDIATE")
    found = fill(connection, damaged)
    connection.execute("COMMIT")
    _log.warning(
        "what could be read of the damaged store was copied",
        events=found.events,
        journal_entries=found.entries,
        not_readable=found.lost,
        some_not_readable=list(found.tables),
        kept=str(damaged),
    )


def damaged_copies(path: Path) -> list[Path]:
    """The damaged files that were set aside, the oldest first."""
    found = path.parent.glob(f"{path.name}.corrupt-*")
    return sorted(file for file in found if not file.name.endswith((*SIDES, "-journal", ".reading")))


def _newest_damaged(path: Path) -> Path | None:
    return max(damaged_copies(path), default=None)


def mend(path: Path, inode: int) -> bool:
    """Make the indexes of a damaged file anew; returns whether it is sound then, or another process has replaced it.

    Raises:
        sqlite3.Error: the file is locked.
        NewerStoreError: it is of a newer version.
    """
    with locked(path):
        if inode_of(path) != inode:
            return True
        try:
            with closing(connect(path, 1.0).raw) as raw:
                connection = SqliteConnection(raw)
                refuse_newer(connection)
                connection.execute("REINDEX")
                sound = is_sound(connection, "integrity_check")
        except UnicodeError:  # in the text of an error
            return False
        except sqlite3.DatabaseError as error:
            if is_locked(error):
                raise
            return False
    if sound:
        _log.warning("the store's indexes were damaged: they were made anew, and nothing is lost")
    return sound


def set_aside(path: Path, inode: int, error: sqlite3.Error) -> None:
    """Rename a damaged file and its side files, and make a new one, unless another process did so already."""
    with locked(path):
        if inode_of(path) != inode:
            return
        aside = _aside(path)
        _rename_all(path, aside)
        _log.error(
            "the store was damaged: the file was renamed and a new one is made",
            problem=str(error),
            kept=str(aside),
            do="nothing: what can be read of it is copied",
        )
        create(path)


def _aside(path: Path) -> Path:
    """A name for a damaged file that is not taken."""
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    aside = path.with_name(f"{path.name}.corrupt-{now}")
    while aside.exists():
        aside = aside.with_name(f"{aside.name}x")
    return aside


def _rename_all(path: Path, aside: Path) -> None:
    """All of the files or none.

    Raises:
        StoreError: another program has one of them open, which keeps it from being renamed on Windows.
    """
    renamed: list[tuple[Path, Path]] = []
    for name in (*SIDES, ""):  # the database last: a new one must never be opened with the old log
        source, target = side(path, name), side(aside, name)
        try:
            source.rename(target)
        except FileNotFoundError:
            continue
        except PermissionError:
            for before, after in reversed(renamed):
                after.rename(before)
            raise StoreError("the store is damaged, and another program has it open: end the other clients") from None
        renamed.append((source, target))


# --- files that are not those that a process has open


def renew(path: Path, known: Files, connection: SqliteConnection, close: Callable[[], None]) -> bool:
    """Make the store's file anew from what `connection` sees, after somebody has deleted, replaced or cut one of the
    files `known`, which it has open. Returns false if there is a new one already: then what `connection` sees and the
    new one does not have is added to that.

    `close` closes all connections of this process.

    Raises:
        sqlite3.Error, OSError: it cannot be made, for example on a full disk. Nothing was changed.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(path):
        now = files_at(path)
        if now.database not in (0, known.database):
            if now.log and now.log == known.log:  # of the file before: SQLite would write it into the new one
                aside = _aside(path)
                for name in SIDES:
                    with suppress(FileNotFoundError):
                        side(path, name).rename(side(aside, name))
            if not _is_kept(path, known):
                _join_view(path, connection)
            close()
            return False
        new = beside(path)
        try:
            # The log is whole where only its index is gone, and other processes may have written more to it.
            is_log_whole = now[:2] == known[:2] and now.log_index != known.log_index
            sound = _copy_files(path, new) if is_log_whole else _copy_view(connection, new)
            close()
            if sound:
                put_in_place(new, path)
            elif is_log_whole:
                _rename_all(path, _aside(path))
            else:
                put_in_place(new, _aside(path))
                remove_all(path)  # the copy holds all that was in them
        finally:
            remove_all(new)
        _log.error(
            "the store's files were deleted or cut while in use: the store was made anew from what was still open",
            whole=sound,
            do="nothing" if sound else "nothing: what can be read of it is copied",
        )
        if not sound:
            create(path)
    return True


def _is_kept(path: Path, known: Files) -> bool:
    """Whether these files were set aside for their damage, so that what is in them was copied already."""
    return any(files_at(file)[:2] == known[:2] for file in damaged_copies(path))


def _join_view(path: Path, connection: SqliteConnection) -> None:
    """Add what the connection sees, and maybe no other process any more, to the store; keep a copy of what cannot be.

    Raises:
        sqlite3.Error, OSError: there is no space for a copy now, or another process has the store locked.
    """
    view = beside(path)
    try:
        _copy_view(connection, view)
        joined = join(path, view)
    except (sqlite3.Error, StoreError) as error:
        if isinstance(error, sqlite3.Error) and not is_damage(error) and concerns_the_file(error):
            raise
        aside = _aside(path)
        put_in_place(view, aside)
        _log.error(
            "another store is in the place of the one in use, and could not take over what that held: a copy was kept",
            problem=str(error),
            kept=str(aside),
            do="keep the file: it may hold purchases whose outcome is not known",
        )
    else:
        if joined.events or joined.entries:
            _log.error(
                "another store is in the place of the one in use: what it did not have was added to it",
                events=joined.events,
                journal_entries=joined.entries,
            )
    finally:
        remove_all(view)


def is_cut(path: Path, connection: SqliteConnection, size: int) -> bool:
    """Whether the file, which has become smaller, was cut. It also gets smaller when free pages are given back."""
    if size < SMALLEST:
        return True
    if size >= connection.count("PRAGMA page_count") * connection.count("PRAGMA page_size"):
        return False
    with closing(connect(path, 0).raw) as raw:  # its own: what another one remembers of the file hides a hole
        return not is_sound(SqliteConnection(raw))


def is_complete(path: Path) -> bool:
    """Whether a process can open the files at the path. SQLite never leaves a log without its database, or the index of
    a log that is gone: somebody deleted one of them, and a process that has it open will make the store anew."""
    now = files_at(path)
    return now.are_a_set and not (now.log and size_of(path) < SMALLEST)


def is_whole(path: Path) -> bool:
    """Whether the files are complete, and hold all that processes have committed: while any has the database open there
    is a log, unless somebody deleted it with its index. The caller has the store locked."""
    now = files_at(path)
    return is_complete(path) and not (now.database and not now.log and _is_open(path))


def _is_open(path: Path) -> bool:
    """Whether any process has the database open: then SQLite gives nobody else the lock that this asks for."""
    try:
        with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as raw:
            raw.execute("PRAGMA locking_mode = EXCLUSIVE")
            raw.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except UnicodeError:  # in the text of an error
        return False
    except sqlite3.DatabaseError as error:  # whoever opens it meets what else is wrong
        return is_locked(error)
    return False


def complete(path: Path) -> None:
    """Make a store of files that are not complete, and that no process has made anew. The caller has it locked."""
    now = files_at(path)
    if not any(now):
        return  # all was deleted
    if size_of(path) >= SMALLEST:
        new = beside(path)
        try:
            create_private(new)
            shutil.copyfile(path, new)
            put_in_place(new, path)
        finally:
            remove_all(new)
    else:
        aside = _aside(path)
        _rename_all(path, aside)
        if not aside.exists():
            create_private(aside)
    _log.error("one of the store's files was deleted: what it alone held is missing", log=bool(now.log))


def _copy_files(path: Path, new: Path) -> bool:
    """Copy the database and its log; returns whether the copy is sound."""
    create_private(new)
    for name in ("", "-wal"):
        shutil.copyfile(side(path, name), side(new, name))
    with closing(connect(new, 0).raw) as raw:
        connection = SqliteConnection(raw)
        sound = is_sound(connection)
        if sound:
            connection.count("PRAGMA wal_checkpoint(TRUNCATE)")
    return sound


def _copy_view(connection: SqliteConnection, new: Path) -> bool:
    """Copy what the connection sees, page by page; returns whether the copy is sound."""
    create_private(new)
    with closing(connect(new, 0).raw) as raw:
        connection.raw.backup(raw)
        return is_sound(SqliteConnection(raw))


def put_in_place(new: Path, path: Path) -> None:
    """Rename a complete file to its name. A log of the file before would be taken for its own."""
    opened = os.open(new, os.O_RDWR)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
    os.replace(new, path)
    for name in SIDES:
        side(path, name).unlink(missing_ok=True)
    sync_folder(path.parent)


def beside(path: Path) -> Path:
    """The name of a file in the making. One can be left by a process that was killed."""
    new = path.with_name(f"{path.name}.new")
    remove_all(new)
    return new
