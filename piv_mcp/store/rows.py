"""Rows as objects whose fields are the columns.

SQLite keeps a value of any kind in any column, and one changed bit of the file makes another kind of it. Such a row is
read all the same, with what can be read of it: one bad value must not keep the good rows from being read. Where a row
says nothing without the value, it is damage, and is repaired.
"""

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from functools import partial
from operator import is_
from types import NoneType
from typing import Any, Generic, Literal, TypeGuard, TypeVar, get_args, get_origin, get_type_hints

from piv_mcp.store.connection import Row

T = TypeVar("T")

FIRST_TIME, LAST_TIME = -62e9, 253e9
"""Times, in seconds since the epoch, that a date can be made of. In SQL, what is no number is higher than all."""


class RowReader(Generic[T]):
    """Makes a `type_`, whose fields are texts, whole numbers and times, of a row of its columns. What a value cannot be
    becomes None; where that cannot be, "" or 0."""

    def __init__(self, type_: type[T]) -> None:
        self._type = type_
        hints = get_type_hints(type_).values()
        self._read = [_reader(hint) for hint in hints]
        self._times = [place for place, hint in enumerate(hints) if float in (hint, *get_args(hint))]
        self._good: set[tuple[type, ...]] = set()
        """The kinds of the values of rows that were as they should be: nearly all rows are like one of the few."""

    def __call__(self, row: Row) -> T:
        kinds = tuple(map(type, row))
        if kinds in self._good and all(is_time(row[place]) for place in self._times if row[place] is not None):
            return self._type(*row)
        values = [read(value) for read, value in zip(self._read, row, strict=True)]
        if all(map(is_, values, row)):
            self._good.add(kinds)
        return self._type(*values)


def _reader(hint: Any) -> Callable[[object], object]:
    kinds = get_args(hint) if NoneType in get_args(hint) else (hint,)
    kind = str if get_origin(kinds[0]) is Literal else kinds[0]
    read = {str: _text, int: _whole, float: _time}[kind]
    return partial(read, instead=None if NoneType in kinds else kind())


def _text(value: object, *, instead: object) -> object:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return instead if value is None else str(value)


def _whole(value: object, *, instead: object) -> object:
    return value if isinstance(value, int) else instead


def _time(value: object, *, instead: object) -> object:
    return value if is_time(value) else instead


def is_time(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and FIRST_TIME < value < LAST_TIME


def needed_whole(value: object) -> int:
    """A whole number without which its row says nothing.

    Raises:
        sqlite3.DatabaseError: it is none, since the file is damaged.
    """
    if not isinstance(value, int):
        raise damage("a value that should be a whole number is none")
    return value


def amount_of(text: object) -> Decimal | None:
    """The amount; None if it cannot be read, since the row is damaged."""
    with suppress(InvalidOperation):
        amount = Decimal(str(text))
        return amount if amount.is_finite() else None
    return None


def damage(problem: str) -> sqlite3.DatabaseError:
    """The error of SQLite about a damaged file, for damage that SQLite itself does not see."""
    error = sqlite3.DatabaseError(problem)
    error.sqlite_errorcode = sqlite3.SQLITE_NOTADB
    return error
