"""The interface that a database engine offers to the functions of this package.

Their SQL is what SQLite and PostgreSQL both understand: placeholders are `?`, rows are tuples, and what differs between
the two is a method here.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Protocol

Value = str | int | float | None
Row = tuple[Any, ...]


class Connection(Protocol):
    """A connection to the store: inside a transaction during `Store.write`, read-only during `Store.read`."""

    @property
    def account(self) -> int:
        """Whose rows are read and written: see `accounts`."""
        ...

    @account.setter
    def account(self, account: int) -> None: ...

    def execute(self, sql: str, values: Sequence[Value] = ()) -> int:
        """Run a statement. Returns the number of rows that it changed."""
        ...

    def rows(self, sql: str, values: Sequence[Value] = ()) -> Iterator[Row]:
        """Run a statement and return its rows, one by one."""
        ...

    def count(self, sql: str, values: Sequence[Value] = ()) -> int:
        """The first column of the first row of a query, as an integer; 0 if it is null or there is no row."""
        ...

    def last_event(self) -> int:
        """The highest id that an event has had, pruned events included. All events that come later have higher ones."""
        ...

    def note_events(self, last: int, subjects: Collection[str | None]) -> None:
        """This transaction has inserted events about these subjects, up to this id."""
        ...

    def is_gone(self, owner: str) -> bool:
        """Whether the process that the first two parts of `owner` name has certainly ended."""
        ...

    def alone(self) -> None:
        """Keep out all other transactions that write, also those of other accounts, until the end of this one."""
        ...

    def now(self, here: float) -> float:
        """The moment on the clock of all that share the store: `here`, unless they are on several machines."""
        ...


def equals(column: str, value: Value) -> tuple[str, tuple[Value, ...]]:
    """A condition that can use an index, and its values: the column has this value, which may be null."""
    return (f"{column} IS NULL", ()) if value is None else (f"{column} = ?", (value,))
