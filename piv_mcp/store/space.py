"""The size of the store's file: space that deleted events leave is given back to the disk."""

import sqlite3
from contextlib import suppress

from piv_mcp.store.connection import Connection
from piv_mcp.store.sqlite import SqliteConnection

INCREMENTAL = 2
"""SQLite's number for a file whose free pages can be given back one by one."""

MOST_CONVERTED = 64 * 1024 * 1024
"""Bytes in use up to which a file of an earlier version is written anew when it is opened: about half a second."""


def shrink(connection: Connection, pages: int) -> int:
    """Give back up to so many free pages, in a transaction; returns how many. The file gets smaller with the next
    checkpoint. Other writes wait a few milliseconds for a hundred pages."""
    if not isinstance(connection, SqliteConnection):
        return 0  # PostgreSQL does so by itself
    before = connection.count("PRAGMA freelist_count")
    if not before or connection.count("PRAGMA auto_vacuum") != INCREMENTAL:
        return 0
    for _ in connection.rows(f"PRAGMA incremental_vacuum({int(pages)})"):
        pass  # each row is a page
    return before - connection.count("PRAGMA freelist_count")


def make_shrinkable(connection: SqliteConnection) -> None:
    """Convert a file of an earlier version, once, if that is quick. Should it fail (a full disk, a lock), nothing is
    changed and the next process tries again."""
    if connection.count("PRAGMA auto_vacuum") == INCREMENTAL:
        return
    used = connection.count("PRAGMA page_count") - connection.count("PRAGMA freelist_count")
    if used * connection.count("PRAGMA page_size") > MOST_CONVERTED:
        return
    with suppress(sqlite3.OperationalError):
        connection.execute(f"PRAGMA auto_vacuum = {INCREMENTAL}")
        connection.execute("VACUUM")
