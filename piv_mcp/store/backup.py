"""What the owner does to the store as a whole: a copy of it, and no trace of what was erased."""

import os
import sqlite3
import time
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path

from piv_mcp.errors import StoreError
from piv_mcp.store import facts, journal
from piv_mcp.store.connection import Connection
from piv_mcp.store.files import create_private, remove_all, size_of, sync_folder
from piv_mcp.store.opening import locked_when_whole
from piv_mcp.store.rows import damage
from piv_mcp.store.sqlite import SqliteConnection, connect, is_sound, refuse_newer, store_error

WAIT_SECONDS = 10.0
"""How long the owner waits for the transactions of running servers."""

CHECKPOINT_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Copied:
    """How many events and journal entries a copy holds."""

    events: int
    entries: int


def copy_to(path: Path, target: Path) -> Copied:
    """Copy the store while servers use it. The copy has an id of its own, so that a cursor of one is not taken for a
    cursor of the other. In it all quotes and approvals have expired: each allows one purchase, and not one for each
    copy. Nor does it hold what the running servers do, and who is signed in to them.

    Raises:
        StoreError: the target exists or has a name of the store's own files, the store cannot be read, or the disk is
            full. Nothing is left of the copy.
    """
    if not size_of(path):
        raise StoreError(f"there is no store at {path}")
    if os.path.lexists(target):
        raise StoreError(f"{target} exists, and is not overwritten", hint="Name another file")
    if target.resolve().parent == path.resolve().parent and target.name.casefold().startswith(path.name.casefold()):
        # SQLite deletes a log that is not its own; others are taken for damaged stores.
        raise StoreError(f"{target.name} is a name that the store's own files can have", hint="Name another file")
    part = target.with_name(f"{target.name}.part")
    try:
        create_private(part)
    except FileExistsError:
        raise StoreError(f"{part} exists, from a copy that broke off or still runs", hint="Delete it") from None
    except OSError as error:
        raise StoreError(f"the copy cannot be written: {error.strerror}") from None
    try:
        copied = _copy(path, part)
        _give_name(part, target)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"the copy was not made: {_reason(error)}") from error
    finally:
        remove_all(part)
    return copied


def _reason(error: OSError | sqlite3.Error) -> str:
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else store_error(error).message


def _copy(path: Path, part: Path) -> Copied:
    with ExitStack() as connections:
        with locked_when_whole(path) as whole:
            if not whole:
                raise StoreError(
                    "one of the store's files was deleted while in use",
                    hint="End all clients and start one again, which makes the store of what is left; then try again",
                )
            source = connect(path, WAIT_SECONDS).raw
            connections.callback(source.close)
            refuse_newer(SqliteConnection(source))  # opens the log: what is deleted from now on is still seen
        target = connect(part, 0).raw
        connections.callback(target.close)
        source.backup(target)  # in one step: what is written meanwhile is not in it, and does not disturb it
        copy = SqliteConnection(target)
        if not is_sound(copy):
            raise StoreError("the store is damaged", hint="The next start of a server repairs it; then try again")
        copy.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it
        tables = {name for (name,) in copy.rows("SELECT name FROM sqlite_master")}
        _end_what_is_going_on(copy, tables)
        counts = [
            copy.count(f"SELECT count(*) FROM {table}") if table in tables else 0  # noqa: S608 - our own names
            for table in ("events", "spending")
        ]
        return Copied(*counts)


def _end_what_is_going_on(copy: SqliteConnection, tables: set[str]) -> None:
    """An old version's file does not have all of the tables."""
    copy.execute("UPDATE facts SET value = lower(hex(randomblob(8))) WHERE name = ?", (facts.STORE_ID,))
    if "spending" in tables:
        journal.expire_all(copy, time.time())
    for table in tables & {"servers", "watches", "ceremonies", "sessions"}:
        copy.execute(f"DELETE FROM {table}")  # noqa: S608 - our own names


def _give_name(part: Path, target: Path) -> None:
    try:
        os.link(part, target)  # unlike a rename, never overwrites
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if os.path.lexists(target):
            raise
        part.rename(target)
    sync_folder(target.parent)


def meet_damage(connection: Connection) -> None:
    """Read the whole file: whoever meets damage has it repaired. A damaged file cannot be written anew."""
    if not is_sound(connection, "integrity_check"):
        raise damage("SQLite's own check finds the file damaged")


def erase_traces(path: Path) -> bool:
    """Write the whole file and its log anew, so that nothing of deleted rows is left in them. Returns false if that
    cannot be now: the disk is full, or another program reads all the time.

    Raises:
        StoreError: the file is damaged.
    """
    try:
        with suppress(sqlite3.OperationalError), closing(connect(path, WAIT_SECONDS).raw) as raw:
            connection = SqliteConnection(raw)
            refuse_newer(connection)
            try:
                connection.execute("VACUUM")
            finally:
                is_empty = _empty_log(connection)
            return is_empty
    except sqlite3.DatabaseError as error:
        raise StoreError("the messages are erased, but the file is damaged, so that traces may be left") from error
    return False


def _empty_log(connection: SqliteConnection) -> bool:
    until = time.monotonic() + WAIT_SECONDS
    while connection.count("PRAGMA wal_checkpoint(TRUNCATE)"):  # its first column: whether it was busy
        if time.monotonic() > until:
            return False
        time.sleep(CHECKPOINT_SECONDS)
    return True
