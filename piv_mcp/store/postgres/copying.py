"""The contents of a store in a file, copied into a database."""

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier

from piv_mcp.errors import StoreError
from piv_mcp.store import accounts, journal, servers
from piv_mcp.store.backup import WAIT_SECONDS
from piv_mcp.store.connection import Row
from piv_mcp.store.files import size_of
from piv_mcp.store.opening import open_store
from piv_mcp.store.postgres import tables
from piv_mcp.store.postgres.connection import PostgresConnection
from piv_mcp.store.postgres.failures import in_words
from piv_mcp.store.postgres.link import DatabaseAddress
from piv_mcp.store.sqlite import SqliteConnection, store_error
from piv_mcp.store.sqlite import transaction as transaction_of_file

COPIED = (
    "accounts",
    "keys",
    "facts",
    *(table for table in accounts.OWNED_TABLES if table not in ("servers", "watches")),
)
"""All tables but those of what running servers do."""

NUMBERED = {"events": "seq", "spending": "seq", "accounts": "id"}


def copy_into(path: Path, url: str, password_file: Path | None = None) -> dict[str, int]:
    """Copy the store's file into an empty database, with all ids. Open quotes and approvals have expired in the copy:
    each allows one purchase, and not one for each copy. Returns how many rows each table has, in both.

    Raises:
        StoreError: the file cannot be read, servers use it, the database has a store already, or cannot be written.
            Nothing is left of the copy.
    """
    if not size_of(path):
        raise StoreError(f"there is no store at {path}")
    try:
        opened = open_store(path, WAIT_SECONDS)
        with closing(opened.connection.raw), DatabaseAddress(url, password_file=password_file).connect() as raw:
            raw.autocommit = True
            with raw.transaction(), transaction_of_file(opened.connection, "BEGIN"):
                return _copy(opened.connection, raw)
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"the store was not copied: {store_error(error).message}") from error
    except psycopg.Error as error:
        raise StoreError(f"the store was not copied: {in_words(error).message}") from None


def _copy(source: SqliteConnection, raw: psycopg.Connection[Any]) -> dict[str, int]:
    if servers.living(source, time.time()):
        raise StoreError("servers use the file", hint="End all clients of this machine first, then run this again")
    target = PostgresConnection(raw)
    tables.migrate(target)
    target.execute("SELECT pg_advisory_xact_lock(?, 0)", (tables.LOCKS,))
    if any(target.count(f"SELECT count(*) FROM {table}") for table in COPIED if table not in ("accounts", "facts")):  # noqa: S608
        raise StoreError("the database has a store already", hint="Copy into an empty database")
    for table in ("accounts", "facts"):
        target.execute(f"DELETE FROM {table}")  # noqa: S608 - our own names
    counts = {table: _copy_table(source, raw, table) for table in COPIED}
    last = source.last_event()
    target.execute("UPDATE accounts SET last_seq = ?", (last,))
    for table, column in NUMBERED.items():
        highest = max(last if table == "events" else 0, target.count(f"SELECT max({column}) FROM {table}"))  # noqa: S608
        target.execute("SELECT setval(pg_get_serial_sequence(?, ?), ?)", (table, column, max(1, highest)))
    journal.expire_all(target, time.time())
    for table, count in counts.items():
        if target.count(f"SELECT count(*) FROM {table}") != count:  # noqa: S608
            raise StoreError(f"not all rows of {table} were copied")
    return counts


def _copy_table(source: SqliteConnection, raw: psycopg.Connection[Any], table: str) -> int:
    columns = [str(name) for (name,) in source.rows(f"SELECT name FROM pragma_table_info('{table}')")]  # noqa: S608
    kinds = _kinds(raw, table, columns)
    names = SQL(", ").join(map(Identifier, columns))
    statement = SQL("COPY {} ({}) FROM STDIN").format(Identifier(table), names)
    count = 0
    with raw.cursor() as cursor, cursor.copy(statement) as copy:
        for row in _rows(source, table, columns):
            copy.write_row([_value(value, kind) for value, kind in zip(row, kinds, strict=True)])
            count += 1
    return count


def _rows(source: SqliteConnection, table: str, columns: Sequence[str]) -> Iterator[Row]:
    return source.rows(f"SELECT {', '.join(columns)} FROM {table}")  # noqa: S608 - names of our own tables


def _kinds(raw: psycopg.Connection[Any], table: str, columns: Sequence[str]) -> list[str]:
    query = "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = %s"
    found = dict(raw.execute(query, (table,)).fetchall())
    return [str(found[name]) for name in columns]


def _value(value: object, kind: str) -> object:
    """The value as the column takes it. SQLite keeps a value of any kind in any column."""
    if value is None:
        return None
    if kind == "text":
        return (value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)).replace("\0", "\ufffd")
    with suppress(TypeError, ValueError):
        return int(value) if kind == "bigint" else float(value)  # pyright: ignore[reportArgumentType]
    return None
