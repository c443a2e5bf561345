"""Rows of a damaged SQLite file, read from its pages without the tree that leads to them.

A damaged page of the tree hides all rows below it, although their own pages are whole. The layout is described in
SQLite's documentation, under "Database File Format".
"""

import mmap
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from piv_mcp.store.connection import Value

USUAL_PAGE_SIZE = 4096
LEAF_OF_TABLE = 0x0D
LEAF_OF_INDEX = 0x0A
"""Also of a table without a rowid."""
MAX_VARINT = 9

Cell = tuple[int, list[Value]]
"""A row: its rowid and its columns."""


class UnreadableCellError(Exception):
    """The bytes are no row."""


_UNREADABLE = (UnreadableCellError, IndexError, struct.error)


@dataclass(frozen=True, slots=True)
class Image:
    """The pages of a database file, with those of its log in their place."""

    database: bytes | mmap.mmap
    log: dict[int, bytes]
    """By page number, from 1."""
    page_size: int

    @property
    def count(self) -> int:
        return max(len(self.database) // self.page_size, max(self.log, default=0))

    def page(self, number: int) -> bytes:
        start = (number - 1) * self.page_size
        return self.log.get(number) or self.database[start : start + self.page_size]

    def rows(self, first: int, last: int) -> Iterator[Cell]:
        """The rows of all tables with a rowid between these two, of pages in use as far as the file says which."""
        for page, pointer in self._cells(LEAF_OF_TABLE):
            with suppress(*_UNREADABLE):
                (at,) = struct.unpack_from(">H", page, pointer)
                length, at = _varint(page, at)
                rowid, at = _varint(page, at)
                if first <= _signed(rowid) <= last:
                    yield _signed(rowid), _record(self._payload(page, at, length))

    def keyed_rows(self) -> Iterator[list[Value]]:
        """The short rows of all tables without a rowid. The entries of indexes look alike, but end in a rowid."""
        for page, pointer in self._cells(LEAF_OF_INDEX):
            with suppress(*_UNREADABLE):
                (at,) = struct.unpack_from(">H", page, pointer)
                length, at = _varint(page, at)
                values = _record(page[at : at + length])
                if not isinstance(values[-1], int):
                    yield values

    def _cells(self, kind: int) -> Iterator[tuple[bytes, int]]:
        """(a page of this kind, where in it a pointer to a cell is)."""
        free = self._free()
        for number in range(1, self.count + 1):
            page = self.page(number)
            start = 100 if number == 1 else 0
            if number in free or len(page) < self.page_size or page[start] != kind:
                continue
            (cells,) = struct.unpack_from(">H", page, start + 3)
            for index in range(min(cells, self.page_size // 4)):
                yield page, start + 8 + 2 * index

    def _free(self) -> set[int]:
        """The pages in the list of free ones."""
        free: set[int] = set()
        head = self.page(1)
        trunk = struct.unpack_from(">I", head, 32)[0] if len(head) >= 100 else 0
        while 0 < trunk <= self.count and trunk not in free:
            page = self.page(trunk)
            free.add(trunk)
            if len(page) < self.page_size:
                break
            trunk, leaves = struct.unpack_from(">II", page)
            if leaves > self.page_size // 4 - 2:
                break
            free.update(struct.unpack_from(f">{leaves}I", page, 8))
        return free

    def _payload(self, page: bytes, at: int, length: int) -> bytes:
        """The bytes of a row, from its page and the pages that it overflows to."""
        if length > self.count * self.page_size:
            raise UnreadableCellError
        if length <= self.page_size - 35:
            return page[at : at + length]
        least = (self.page_size - 12) * 32 // 255 - 23
        here = least + (length - least) % (self.page_size - 4)
        if here > self.page_size - 35:
            here = least
        payload = bytearray(page[at : at + here])
        (number,) = struct.unpack_from(">I", page, at + here)
        while len(payload) < length:
            if not 0 < number <= self.count:
                raise UnreadableCellError
            overflow = self.page(number)
            (number,) = struct.unpack_from(">I", overflow)
            payload += overflow[4 : 4 + length - len(payload)]
        if number:
            raise UnreadableCellError
        return bytes(payload)


def read_image(path: Path) -> Image:
    """The pages of a file that nothing has open.

    Raises:
        OSError: it cannot be read.
    """
    database = b""
    if path.stat().st_size:
        with path.open("rb") as file:
            database = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    log = path.with_name(f"{path.name}-wal")
    frames = log.read_bytes() if log.exists() else b""
    page_size = _page_size(database, frames)
    return Image(database, _pages_of(frames, page_size), page_size)


def _page_size(database: bytes | mmap.mmap, log: bytes) -> int:
    for given in (log[8:12], database[16:18]):
        size = int.from_bytes(given, "big")
        size = 65536 if size == 1 else size
        if 512 <= size <= 65536 and not size & (size - 1):
            return size
    return USUAL_PAGE_SIZE


def _pages_of(log: bytes, page_size: int) -> dict[int, bytes]:
    """The newest committed version of each page in a write-ahead log."""
    committed: dict[int, bytes] = {}
    pending: dict[int, bytes] = {}
    for start in range(32, len(log) - 24 - page_size + 1, 24 + page_size):
        number, pages, *salt = struct.unpack_from(">IIII", log, start)
        if tuple(salt) != struct.unpack_from(">II", log, 16):
            break  # the rest is from before the log began anew
        pending[number] = log[start + 24 : start + 24 + page_size]
        if pages:  # the last frame of a commit
            committed.update(pending)
            pending = {}
    return committed


def _record(payload: bytes) -> list[Value]:
    end, at = _varint(payload, 0)
    values: list[Value] = []
    place = end
    if end > len(payload):
        raise UnreadableCellError
    while at < end:
        kind, at = _varint(payload, at)
        size = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)[kind] if kind < 10 else (kind - 12) // 2
        content = payload[place : place + size]
        if kind in (10, 11) or len(content) < size:
            raise UnreadableCellError
        values.append(_value(kind, content))
        place += size
    if place != len(payload):
        raise UnreadableCellError
    return values


def _value(kind: int, content: bytes) -> Value:
    if kind == 0:
        return None
    if kind <= 6:
        return int.from_bytes(content, "big", signed=True)
    if kind == 7:
        return float(struct.unpack(">d", content)[0])
    if kind in (8, 9):
        return kind - 8
    if kind % 2:
        return content.decode("utf-8", "replace")
    raise UnreadableCellError  # we store no blobs


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """(a number of one to nine bytes, where it ends)."""
    value = data[at]
    if value < 0x80:
        return value, at + 1
    value = 0
    for index in range(MAX_VARINT):
        byte = data[at + index]
        if index == MAX_VARINT - 1:
            return value << 8 | byte, at + index + 1
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + index + 1
    raise UnreadableCellError


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value
