"""What PostgreSQL's errors mean for the store. No message of the server is repeated: it can hold what is stored."""

import time

import psycopg
from psycopg import errors

from piv_mcp.errors import StoreError
from piv_mcp.text.times import utc

_REASONS: dict[type[psycopg.Error], str] = {
    errors.DiskFull: "the disk of the database is full",
    errors.OutOfMemory: "the database has no memory left",
    errors.TooManyConnections: "the database has no connection left (its max_connections are used up)",
    errors.ReadOnlySqlTransaction: "the database is read-only: a standby, or set so",
    errors.LockNotAvailable: "the store is busy: another server's transaction does not end",
    errors.QueryCanceled: "the database took too long",
    errors.DeadlockDetected: "the store is busy: the transactions of two servers were in each other's way",
    errors.InvalidPassword: "the database refuses the user or the password",
    errors.InvalidAuthorizationSpecification: "the database refuses the user or the password",
    errors.InvalidCatalogName: "there is no such database",
    errors.InsufficientPrivilege: "the database does not allow that to this user",
    errors.UndefinedTable: "the store's tables are not there",
}

_WORDS = {
    "password authentication failed": "the database refuses the user or the password",
    "no password supplied": "the database refuses the user or the password",
    "no pg_hba.conf entry": "the database does not allow a connection from here",
    "too many clients": _REASONS[errors.TooManyConnections],
    "remaining connection slots": _REASONS[errors.TooManyConnections],
    "too many connections": _REASONS[errors.TooManyConnections],
    "starting up": "the database is starting",
    "shutting down": "the database is stopping",
    "in recovery": "the database is recovering",
    "Connection refused": "nothing answers at its address",
    "timeout": "no answer in time",
    "timed out": "no answer in time",
    "resolve host": "the name of its host is not known",
    "does not exist": "there is no such database or user",
}
"""What is looked for in the messages of connections that were not made, which have no code."""

_ENDED = (
    errors.TooManyConnections,
    errors.AdminShutdown,
    errors.CrashShutdown,
    errors.CannotConnectNow,
    errors.IdleInTransactionSessionTimeout,
)


def is_lost(error: BaseException) -> bool:
    """Whether the connection is gone, or was not made."""
    if isinstance(error, _ENDED):
        return True
    if not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return False
    return error.sqlstate is None or error.sqlstate.startswith(("08", "57P"))


def is_in_the_way(error: BaseException) -> bool:
    """Whether transactions were in each other's way, so that the same may succeed now."""
    return isinstance(error, errors.DeadlockDetected | errors.SerializationFailure)


def concerns_all(error: BaseException) -> bool:
    """Whether the error is about the database, and not about one job's SQL."""
    return is_lost(error) or isinstance(
        error,
        errors.OperationalError
        | errors.ReadOnlySqlTransaction
        | errors.LockNotAvailable
        | errors.QueryCanceled
        | errors.UndefinedTable
        | errors.InsufficientPrivilege,
    )


def in_words(error: BaseException, since: float | None = None) -> StoreError:
    """The error in words. `since` is when the database was last reached, if it is out of reach (monotonic time)."""
    if isinstance(error, StoreError):
        return error
    reason = next((words for kind, words in _REASONS.items() if isinstance(error, kind)), None)
    if reason is not None and not is_lost(error):
        return StoreError(reason)
    if not is_lost(error):
        return StoreError(f"the store failed ({type(error).__name__})")
    reason = reason or next((words for told, words in _WORDS.items() if told in str(error)), "the connection was lost")
    away = 0.0 if since is None else time.monotonic() - since
    when = f" since {utc(time.time() - away):%H:%M:%S} UTC" if away >= 1 else ""
    return StoreError(f"the store is out of reach{when}: {reason}")
