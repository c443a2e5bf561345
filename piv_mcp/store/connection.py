"""What the SQL of the store asks of an engine. Placeholders are `?`; rows are tuples."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

Value = str | int | float | None
Row = tuple[Any, ...]


class Connection(Protocol):
    """A connection to the store, inside a transaction where it may write."""

    def execute(self, sql: str, values: Sequence[Value] = ()) -> int:
        """Run a statement; returns how many rows it changed."""
        ...

    def rows(self, sql: str, values: Sequence[Value] = ()) -> Iterator[Row]:
        """The rows that a statement returns, one by one."""
        ...

    def count(self, sql: str, values: Sequence[Value] = ()) -> int:
        """The first column of a query's first row, as an integer; 0 where it is null or there is no row."""
        ...
