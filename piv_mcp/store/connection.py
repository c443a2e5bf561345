"""The interface that a database engine must offer to the store. Placeholders are `?`; rows are tuples."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

Value = str | int | float | None
Row = tuple[Any, ...]


class Connection(Protocol):
    """A connection to the store: inside a transaction during `Store.write`, read-only during `Store.read`."""

    account: int
    """Whose rows are read and written: see `accounts`."""

    def execute(self, sql: str, values: Sequence[Value] = ()) -> int:
        """Run a statement. Returns the number of rows that it changed."""
        ...

    def rows(self, sql: str, values: Sequence[Value] = ()) -> Iterator[Row]:
        """Run a statement and return its rows, one by one."""
        ...

    def count(self, sql: str, values: Sequence[Value] = ()) -> int:
        """The first column of the first row of a query, as an integer; 0 if it is null or there is no row."""
        ...
