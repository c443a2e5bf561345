"""How a transaction begins and ends: whose rows it is about, which locks it takes, and what became of it.

A transaction that writes first shares the store's lock, then takes its account's, so that "look, then write" is exact
over all servers, and the ids of an account's events become visible in their order. What merges accounts has the store's
lock for itself.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import psycopg
from psycopg.sql import SQL

from piv_mcp.store import accounts
from piv_mcp.store.postgres import tables
from piv_mcp.store.postgres.connection import SEEN_NOW, MoreLocksError, PostgresConnection
from piv_mcp.store.postgres.failures import is_lost
from piv_mcp.store.postgres.link import Link
from piv_mcp.store.postgres.tables import LOCKS, REQUESTS_LOCKS
from piv_mcp.text.times import Clock

T = TypeVar("T")
Result = Literal["committed", "aborted", "unknown"]

LOCK_MILLISECONDS = 1500
STATEMENT_MILLISECONDS = 2500
IDLE_MILLISECONDS = 5000
"""A process that was stopped in the midst of a transaction holds up the others for so long at most."""

DOUBT_SECONDS = 8.0
"""How long it is asked what became of a commit whose answer was lost: a server that restarts takes some seconds."""

NEXT_ATTEMPT_SECONDS = 0.1

_BEGIN = f"""BEGIN; SET LOCAL lock_timeout = {LOCK_MILLISECONDS};
SET LOCAL statement_timeout = {STATEMENT_MILLISECONDS};
SET LOCAL idle_in_transaction_session_timeout = {IDLE_MILLISECONDS}"""
_BEGIN_READING = f"""BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SET LOCAL statement_timeout = {STATEMENT_MILLISECONDS}"""


@dataclass(frozen=True, slots=True)
class Whose:
    """For which key, and in which process, a transaction is made. `writer` names whom no one else writes as."""

    key_digest: str | None
    process: str
    writer: str
    clock: Clock
    sees_others: Callable[[], bool]


@dataclass(slots=True)
class Locks:
    """What a transaction has to lock at its beginning, beside its own account."""

    accounts: set[int] = field(default_factory=set[int])
    alone: bool = False

    def add(self, more: MoreLocksError) -> None:
        self.accounts.update(more.accounts)
        self.alone |= more.alone


class NewKeyError(Exception):
    """Nobody has written with this key yet, so that it has no account."""


def begin_reading(raw: psycopg.Connection[Any], whose: Whose) -> PostgresConnection:
    """Begin a transaction that sees one moment.

    Raises:
        NewerStoreError: the tables are of a newer version.
        NewKeyError: the key has no account yet.
    """
    version, account = _run(raw, f"{_BEGIN_READING}; SELECT {_version_and_account(whose)}")
    tables.refuse_newer(version)
    if account is None:
        raise NewKeyError
    return PostgresConnection(
        raw, process=whose.process, account=account, clock=whose.clock, sees_others=whose.sees_others
    )


def begin_writing(raw: psycopg.Connection[Any], whose: Whose, locks: Locks) -> PostgresConnection:
    """Begin a transaction in which nobody else of the account writes. A new key gets its account.

    Raises:
        NewerStoreError: the tables are of a newer version.
        MoreLocksError: it needs others.
    """
    lock = "pg_advisory_xact_lock" if locks.alone else "pg_advisory_xact_lock_shared"
    begin = f"{_BEGIN}; SELECT {lock}({LOCKS}, 0); SELECT version, account"
    mine = not locks.accounts
    if mine:
        begin += f", pg_advisory_xact_lock({LOCKS}, account::integer)"
    found = f"SELECT {_version_and_account(whose)} OFFSET 0"  # the offset keeps the account from being looked for twice
    version, account, *_ = _run(raw, f"{begin} FROM ({found}) AS found (version, account)")
    tables.refuse_newer(version)
    connection = PostgresConnection(
        raw, process=whose.process, locked=set(), alone=locks.alone, clock=whose.clock, sees_others=whose.sees_others
    )
    if account is None:
        account = accounts.add_key(connection, whose.key_digest or "")
        mine = False
    wanted = {account, *locks.accounts}
    if not mine:
        for number in sorted(wanted):
            connection.execute("SELECT pg_advisory_xact_lock(?, ?)", (LOCKS, number))
    connection.locked = wanted
    connection.account = account
    return connection


def begin_counting(raw: psycopg.Connection[Any], whose: Whose) -> PostgresConnection:
    """Begin a transaction in which nobody else counts requests of the account."""
    found = f"SELECT {_version_and_account(whose)} OFFSET 0"
    lock = f"pg_advisory_xact_lock({REQUESTS_LOCKS}, account::integer)"
    begin = f"{_BEGIN}; SELECT version, account, {lock} FROM ({found}) AS found (version, account)"  # noqa: S608
    version, account, *_ = _run(raw, begin)
    tables.refuse_newer(version)
    if account is None:
        raise NewKeyError
    return PostgresConnection(
        raw, process=whose.process, account=account, clock=whose.clock, sees_others=whose.sees_others
    )


def _version_and_account(whose: Whose) -> str:
    if whose.key_digest is None:  # as `accounts.of_key` has it
        of_all = f"CASE WHEN min(account) = max(account) THEN min(account) ELSE {accounts.UNCLAIMED} END"
        return f"(SELECT version FROM schema_version), (SELECT {of_all} FROM keys)"  # noqa: S608 - our own words
    digest = "".join(letter for letter in whose.key_digest if letter.isalnum())  # a digest of ours: hexadecimal
    return f"(SELECT version FROM schema_version), (SELECT account FROM keys WHERE digest = '{digest}')"  # noqa: S608


def _run(raw: psycopg.Connection[Any], statements: str) -> tuple[Any, ...]:
    """Run several statements in one round trip. Returns the row of the last, if it has one."""
    cursor = raw.execute(SQL(statements))  # pyright: ignore[reportArgumentType] - all SQL is ours
    while cursor.nextset():
        pass
    return tuple(cursor.fetchone() or ()) if cursor.description else ()


def commit_writing(connection: PostgresConnection, whose: Whose, number: int) -> None:
    """Commit, as the writer's commit with this number."""
    statements = [
        "INSERT INTO writers (writer, account, commits, at)"  # noqa: S608 - numbers, and a name of ours
        f" VALUES ('{whose.writer}', {account}, {number}, {SEEN_NOW})"
        " ON CONFLICT (writer, account) DO UPDATE SET commits = excluded.commits, at = excluded.at"
        for account in sorted({connection.account, *(connection.locked or ())})
    ]
    statements += [
        f"UPDATE accounts SET last_seq = greatest(last_seq, {connection.last_events.get(account, 0)}),"  # noqa: S608
        f" changes = changes + 1 WHERE id = {account}"
        for account in sorted(connection.concerned)
    ]
    _run(connection.raw, "; ".join([*statements, "COMMIT"]))


def outcome_of(link: Link, whose: Whose, account: int, number: int) -> Result:
    """What became of a commit whose answer was lost. The number of a transaction does not tell that: after a crash
    the server can give it to another. The lock of the account is free when the transaction has ended."""
    until = time.monotonic() + DOUBT_SECONDS
    while time.monotonic() < until:
        try:
            with link.use(DOUBT_SECONDS) as raw:
                _run(raw, _BEGIN)
                connection = PostgresConnection(raw)
                connection.execute("SELECT pg_advisory_xact_lock(?, ?)", (LOCKS, account))
                query = "SELECT commits FROM writers WHERE writer = ? AND account = ?"
                last = connection.count(query, (whose.writer, account))
                raw.execute("COMMIT")
        except psycopg.Error:
            time.sleep(NEXT_ATTEMPT_SECONDS)
        else:
            return "committed" if last == number else "aborted"
    return "unknown"


def retried(action: Callable[[], T], until: float) -> T:
    """What the action returns. While the connection is lost, it is tried again until this time (monotonic)."""
    while True:
        try:
            return action()
        except psycopg.Error as error:
            if not is_lost(error) or time.monotonic() + NEXT_ATTEMPT_SECONDS > until:
                raise
        time.sleep(NEXT_ATTEMPT_SECONDS)
