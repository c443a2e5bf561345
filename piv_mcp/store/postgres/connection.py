"""The dialect: the SQL of this package on a connection to PostgreSQL."""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import lru_cache
from typing import Any

import psycopg
from psycopg import RawCursor

from piv_mcp.store.accounts import UNCLAIMED
from piv_mcp.store.connection import Row, Value
from piv_mcp.store.postgres.tables import LOCKS
from piv_mcp.store.rows import needed_whole
from piv_mcp.text.times import SYSTEM_CLOCK, Clock

GONE_SECONDS = 4.0
"""A process that has not been seen for so long, on the database's clock, has ended."""

SEEN_NOW = "extract(epoch FROM clock_timestamp())::double precision"
"""The database's clock, in seconds since the epoch."""

MOST_STATEMENTS = 1000

QUIET = frozenset(
    {
        *("events", "facts", "looks", "pending", "servers", "watches", "processes", "writers"),
        *("passkeys", "ceremonies", "sessions", "notices"),
    }
)
"""Tables that nobody waits for a change of: `note_events` tells of new events."""

_WRITES = re.compile(r"\s*(INSERT INTO|UPDATE|DELETE FROM)\s+(\w+)")


class MoreLocksError(Exception):
    """The transaction needs a lock that it did not take at its beginning, and another has it: it is run again."""

    def __init__(self, *accounts: int, alone: bool = False) -> None:
        self.accounts = accounts
        self.alone = alone


@lru_cache(MOST_STATEMENTS)
def translated(sql: str) -> bytes:
    """The statement with PostgreSQL's own placeholders: psycopg would look through it for its own at each use."""
    first, *others = sql.split("?")
    return "".join([first, *(f"${number}{part}" for number, part in enumerate(others, 1))]).encode()


@lru_cache(MOST_STATEMENTS)
def _concerns_any(sql: str) -> bool:
    """Whether a statement changes what somebody may wait for, whatever that is."""
    written = _WRITES.match(sql)
    if written is None:
        return False
    how, table = written.groups()
    return table not in QUIET or (table == "events" and how != "INSERT INTO")


class PostgresConnection:
    """A `Connection` in a transaction. `locked` are the accounts whose locks it holds; None: it only reads."""

    def __init__(
        self,
        raw: psycopg.Connection[Any],
        *,
        process: str = "",
        account: int = UNCLAIMED,
        locked: set[int] | None = None,
        alone: bool = False,
        clock: Clock = SYSTEM_CLOCK,
        sees_others: Callable[[], bool] = lambda: True,
    ) -> None:
        self.raw = raw
        self.locked = locked
        self.last_events: dict[int, int] = {}
        """The highest id of an event that the transaction has inserted, by account."""
        self.concerned: dict[int, set[str | None] | None] = {}
        """What the transaction has changed, by account: the subjects of events; None: anything."""
        self._process = process
        self._account = account
        self._alone = alone
        self._clock = clock
        self._sees_others = sees_others

    @property
    def account(self) -> int:
        return self._account

    @account.setter
    def account(self, account: int) -> None:
        if self.locked is not None and account not in self.locked:
            # Not waited for: two that wait for each other would wait for ever.
            if not self.count("SELECT pg_try_advisory_xact_lock(?, ?)", (LOCKS, account)):
                raise MoreLocksError(account)
            self.locked.add(account)
        self._account = account

    def execute(self, sql: str, values: Sequence[Value] = ()) -> int:
        return self._run(sql, values).rowcount

    def rows(self, sql: str, values: Sequence[Value] = ()) -> Iterator[Row]:
        return iter(self._run(sql, values).fetchall())

    def count(self, sql: str, values: Sequence[Value] = ()) -> int:
        row = self._run(sql, values).fetchone()
        return needed_whole(row[0]) if row and row[0] is not None else 0

    def last_event(self) -> int:
        if (seq := self.last_events.get(self._account)) is not None:
            return seq
        return self.count("SELECT last_seq FROM accounts WHERE id = ?", (self._account,))

    def note_events(self, last: int, subjects: Collection[str | None]) -> None:
        self.last_events[self._account] = max(last, self.last_events.get(self._account, 0))
        known = self.concerned.setdefault(self._account, set())
        if known is not None:
            known.update(subjects)

    def is_gone(self, owner: str) -> bool:
        name = ":".join(owner.split(":")[:2])
        if name == self._process or not self._sees_others():
            return False
        living = f"SELECT count(*) FROM processes WHERE name = ? AND seen_at > {SEEN_NOW} - {GONE_SECONDS}"  # noqa: S608
        return not self.count(living, (name,))

    def alone(self) -> None:
        if not self._alone:
            raise MoreLocksError(alone=True)

    def now(self, here: float) -> float:
        if self._clock is not SYSTEM_CLOCK:
            return here
        (row,) = self.rows(f"SELECT {SEEN_NOW}")
        return float(row[0])

    def _run(self, sql: str, values: Sequence[Value]) -> psycopg.Cursor[Any]:
        if _concerns_any(sql):
            self.concerned[self._account] = None
        # A text of PostgreSQL's holds no NUL.
        told = [value.replace("\0", "\ufffd") if isinstance(value, str) else value for value in values]
        return RawCursor(self.raw).execute(translated(sql), told)
