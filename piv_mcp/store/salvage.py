"""What can be read of a damaged store file, copied into a new one.

Each table is read from both ends. What lies between, behind a damaged page, is read from the pages themselves. The
damaged file is never written to.
"""

import os
import shutil
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from piv_mcp.store import accounts, facts, freezes, migrations
from piv_mcp.store.connection import Connection, Row, Value
from piv_mcp.store.files import create_private, remove_all, side
from piv_mcp.store.pages import USUAL_PAGE_SIZE, Image, read_image
from piv_mcp.store.rows import needed_whole
from piv_mcp.store.sqlite import SqliteConnection

DAMAGE = "damage:"
"""What the names of the facts about the last damage begin with."""

EVENTS, JOURNAL = "events", "spending"
"""The tables whose rows are told by their number."""

ID_GAP = 1_000_000
"""Ids that are skipped when the highest one so far is not known."""

HEADER = 100
"""Bytes of a database's header."""

MOST_PADDED = 1 << 30
"""Bytes that are taken for cut off at most: the header can be damaged, too."""

LEAST_ROW = 64
"""Bytes of an event or an entry, at least."""

_ANY = range(-(1 << 63), 1 << 63)
_UNREADABLE = (sqlite3.DatabaseError, UnicodeError)
"""What reading a damaged file raises. The text of SQLite's own error may be damaged, too."""


@dataclass(frozen=True, slots=True)
class Damage:
    """What the last damage of the store cost. `at` is seconds since the epoch.

    `events` and `entries` were copied into a new file. `lost` is how many rows could not be read, at most: where the
    damaged file does not say, missing ids are counted. `through` is the highest id that an event among them can have, 0
    if none is among them. `tables` are the others of which some rows could not be read: nobody can say how many.
    """

    at: float
    events: int
    entries: int
    lost: int
    through: int
    tables: tuple[str, ...] = ()


_NUMBERS = ("at", "events", "entries", "lost", "through")
DAMAGE_TABLES = DAMAGE + "tables"


def last_damage(connection: Connection) -> Damage | None:
    """The last damage for which the store was made anew, if there was one."""
    at, *counts = (facts.number(connection, DAMAGE + name) for name in _NUMBERS)
    tables = (facts.get(connection, DAMAGE_TABLES) or "").split()
    return Damage(at, *map(int, counts), tables=tuple(tables)) if at else None


def fill(new: SqliteConnection, kept: Path) -> Damage:
    """Make the tables of the new file as they were in the damaged file `kept`, and copy what can be read of them.

    The caller brings the new file up to date afterwards, as any old one.

    Raises:
        sqlite3.Error: the new file cannot be written.
        OSError: the damaged file cannot be read at all, or the disk is full.
    """
    scratch = kept.with_name(f"{kept.name}.reading")
    remove_all(scratch)
    try:
        _copy(kept, scratch)
        with closing(sqlite3.connect(scratch, isolation_level=None)) as old:
            old.text_factory = _text
            return _Filling(new, old, kept).run()
    finally:
        remove_all(scratch)


def _text(content: bytes) -> str:
    """A text that is damaged inside is kept, too."""
    return content.decode("utf-8", "replace")


def _copy(kept: Path, scratch: Path) -> None:
    """Copy the file and its log: SQLite changes both when it reads them."""
    create_private(scratch)
    if kept.exists():
        shutil.copyfile(kept, scratch)
    log = side(kept, "-wal")
    if log.exists():
        shutil.copyfile(log, side(scratch, "-wal"))
    with scratch.open("r+b") as file:
        head = file.read(HEADER)
        pages, page_size = int.from_bytes(head[28:32], "big"), int.from_bytes(head[16:18], "big")
        size = file.seek(0, os.SEEK_END)
        # SQLite reads nothing of a file that was cut, and deletes the log of an empty one.
        wanted = max(USUAL_PAGE_SIZE, min(pages * page_size, size + MOST_PADDED))
        if size < wanted:
            file.truncate(wanted)


@dataclass(slots=True)
class _Table:
    """A table of the new file, and what of the damaged one was found."""

    name: str
    columns: list[tuple[str, str, bool]]
    """(name, type, whether a row must have a value for it)."""
    key: str | None
    """The column that is the rowid."""
    order: list[str]
    first_missing: int = _ANY[0]
    last_missing: int = _ANY[-1]
    broken: bool = False
    found: int = 0
    highest: int = 0
    """The highest key that the damaged file has given, as far as known."""
    begin: int = 0
    """New keys are higher than this."""

    @classmethod
    def of(cls, connection: SqliteConnection, name: str) -> "_Table":
        info = list(connection.rows(f"PRAGMA table_info({name})"))
        try:
            connection.rows(f"SELECT rowid FROM {name}")  # noqa: S608 - our own name
        except sqlite3.OperationalError:  # it has none: its rows begin with the key
            info.sort(key=lambda row: int(row[5]) or len(info) + 1)
        columns = [(str(row[1]), str(row[2]), bool(row[3]) and row[4] is None) for row in info]
        keys = [(str(row[1]), str(row[2])) for row in sorted(info, key=lambda row: int(row[5])) if row[5]]
        key = keys[0][0] if len(keys) == 1 and keys[0][1] == "INTEGER" else None
        return cls(name, columns, key, [key] if key else [column for column, _ in keys] or ["rowid"])

    def reached(self, key: int, order: str) -> None:
        """A row was read, from the beginning or from the end."""
        if order == "ASC":
            self.first_missing = key + 1
        else:
            self.last_missing = key - 1

    def fits(self, values: list[Value]) -> bool:
        """Whether a row of a damaged file can be one of this table. The key's own place is empty in it."""
        if len(values) > len(self.columns):
            return False
        for index, (name, type_, needed) in enumerate(self.columns):
            value = values[index] if index < len(values) else None
            if name == self.key:
                if value is not None:
                    return False
            elif value is None:
                if needed:
                    return False
            elif type_ in _TYPES and not isinstance(value, _TYPES[type_]):
                return False
        return True


_TYPES: dict[str, tuple[type, ...]] = {"TEXT": (str,), "INTEGER": (int,), "REAL": (float, int)}


@dataclass(slots=True)
class _Filling:
    new: SqliteConnection
    old: sqlite3.Connection
    kept: Path
    image: Image | None = None
    statements: dict[tuple[str, int], tuple[str, list[int]]] = field(
        default_factory=dict[tuple[str, int], tuple[str, list[int]]]
    )
    """How a row of so many columns is inserted, and which of its columns the new table has."""

    def run(self) -> Damage:
        self._make_tables()
        indexes = self._drop_indexes()
        query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT GLOB 'sqlite_*'"
        tables = [_Table.of(self.new, str(name)) for (name,) in list(self.new.rows(query))]
        for table in tables:
            self._carry(table)
            self._number_on(table)
        for index in indexes:
            self.new.execute(index)
        by_name = {table.name: table for table in tables}
        own, journal = by_name[EVENTS], by_name[JOURNAL]
        lost = {table.name: self._lost(table) for table in tables}
        through = min(own.last_missing, own.begin) if lost[EVENTS] or own.begin > own.highest else 0
        if by_name["facts"].broken and facts.get(self.new, facts.PRUNED_THROUGH) is None:
            facts.put(self.new, facts.PRUNED_THROUGH, str(self._before_first() if own.found else own.begin))
        if lost["facts"] != 0:  # a freeze may be among them
            freezes.hold(self.new, time.time())
        if "keys" in by_name:  # in a file of an old version there are no accounts yet
            garbled = accounts.forget_garbled(self.new)
            accounts.note_all(self.new)
            if garbled or lost["keys"] != 0:
                facts.put(self.new, facts.KEYS_LOST, "1")
        unknown = tuple(name for name, count in lost.items() if count is None)
        total = sum(count or 0 for count in lost.values())
        damage = Damage(time.time(), own.found, journal.found, total, through, unknown)
        for name in _NUMBERS:
            facts.put(self.new, DAMAGE + name, str(getattr(damage, name)))
        facts.put(self.new, DAMAGE_TABLES, " ".join(unknown))
        return damage

    def _make_tables(self) -> None:
        version = newest = len(migrations.STEPS)
        with suppress(*_UNREADABLE):
            (version,) = self.old.execute("PRAGMA user_version").fetchone()
        if not 0 < version <= newest:
            version = newest
        for step in migrations.STEPS[:version]:
            for statement in step.split(";\n"):
                self.new.execute(statement)
        self.new.execute(f"PRAGMA user_version = {version}")

    def _drop_indexes(self) -> list[str]:
        """Returns the statements that make them: one index after the other takes less time than all row by row."""
        query = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
        indexes = [(str(name), str(sql)) for name, sql in self.new.rows(query)]
        for name, _ in indexes:
            self.new.execute(f"DROP INDEX {name}")
        return [sql for _, sql in indexes]

    def _carry(self, table: _Table) -> None:
        for columns, row in self._from_both_ends(table):
            self._put(table, columns, row)
        found = f"SELECT count(*) FROM {table.name}"  # noqa: S608 - our own name
        if (self._counted(table) or 0) > self.new.count(found) and not table.broken:
            table.broken, table.first_missing, table.last_missing = True, _ANY[0], _ANY[-1]
        if table.broken:
            self._carry_between(table)
        table.found = self.new.count(found)

    def _from_both_ends(self, table: _Table) -> Iterator[tuple[list[str], Row]]:
        """The rows up to the first that cannot be read, and those after the last one."""
        for order in ("ASC", "DESC"):
            by = ", ".join(f"{name} {order}" for name in table.order)
            try:
                cursor = self.old.execute(f"SELECT * FROM {table.name} NOT INDEXED ORDER BY {by}")  # noqa: S608
                columns = [str(column[0]) for column in cursor.description]
                place = columns.index(table.key) if table.key in columns else None
                for row in cursor:
                    if place is not None:
                        table.reached(int(row[place]), order)
                    yield columns, row
            except _UNREADABLE:
                table.broken = True
            else:
                return

    def _carry_between(self, table: _Table) -> None:
        """The rows between the two ends, from the pages themselves."""
        if self.image is None:
            self.image = read_image(self.kept)
        names = [name for name, *_ in table.columns]
        if table.key is None:
            for values in self.image.keyed_rows():
                if table.fits(values):
                    self._put(table, names[: len(values)], values)
            return
        place = names.index(table.key)
        for rowid, values in self.image.rows(table.first_missing, table.last_missing):
            if len(values) > place and table.fits(values):
                values[place] = rowid
                self._put(table, names[: len(values)], values)

    def _put(self, table: _Table, columns: Sequence[str], row: Sequence[Value]) -> None:
        statement = self.statements.get((table.name, len(columns)))
        if statement is None:
            known = {name for name, *_ in table.columns}
            names = [name for name in columns if name in known]
            statement = (
                f"INSERT OR REPLACE INTO {table.name} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})",  # noqa: S608
                [index for index, name in enumerate(columns) if name in known],
            )
            self.statements[table.name, len(columns)] = statement
        text, places = statement
        with suppress(sqlite3.IntegrityError):  # bytes that only look like a row
            values = [row[place] for place in places]
            self.new.raw.execute(text, [_text(value) if isinstance(value, bytes) else value for value in values])

    def _number_on(self, table: _Table) -> None:
        """Let new keys begin after all old ones."""
        if table.key is None:
            return
        known = self._sequence(table.name)
        table.highest = max(known or 0, self.new.count(f"SELECT max({table.key}) FROM {table.name}"))  # noqa: S608
        table.begin = table.highest
        if known is None:
            # The time in seconds is higher than the ids of a store without such a gap: none has held so many rows.
            table.begin = max(table.highest + ID_GAP, int(time.time()))
        if self.new.count("SELECT count(*) FROM sqlite_sequence WHERE name = ?", (table.name,)):
            self.new.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = ?", (table.begin, table.name))
        elif table.begin:
            self.new.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table.name, table.begin))

    def _sequence(self, table: str) -> int | None:
        """The highest key that the damaged file has given; None if that cannot be read."""
        with suppress(*_UNREADABLE):
            row = self.old.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
            return needed_whole(row[0]) if row else 0
        rows = self.image.rows(_ANY[0], _ANY[-1]) if self.image is not None else ()
        found = [values[1] for _, values in rows if len(values) == 2 and values[0] == table]
        return max((seq for seq in found if isinstance(seq, int)), default=None)

    def _before_first(self) -> int:
        """The id before the first event that was found; 0 if there is none."""
        return max(0, self.new.count("SELECT min(seq) FROM events") - 1)

    def _counted(self, table: _Table) -> int | None:
        """How many rows the damaged file has, by an index; None if no index is whole."""
        with suppress(*_UNREADABLE):
            return int(self.old.execute(f"SELECT count(*) FROM {table.name}").fetchone()[0])  # noqa: S608
        return None

    def _lost(self, table: _Table) -> int | None:
        """How many rows could not be read, at most; None if nobody can say."""
        if not table.broken:
            return 0
        if (count := self._counted(table)) is not None:
            return max(0, count - table.found)
        if table.name not in (EVENTS, JOURNAL) or self.image is None:
            return None
        pruned = facts.highest(self.new, facts.PRUNED_THROUGH) if table.name == EVENTS else 0
        first, last = max(table.first_missing, pruned + 1), min(table.last_missing, table.highest)
        inside = self.new.count(
            f"SELECT count(*) FROM {table.name} WHERE {table.key} BETWEEN ? AND ?",  # noqa: S608 - our own names
            (first, last),
        )
        room = self.image.count * self.image.page_size // LEAST_ROW
        return min(max(0, last - first + 1 - inside), room)
