"""Which errors of PostgreSQL mean that a connection is gone or was not made, so that the same may work again."""

import psycopg
import pytest
from psycopg import errors

from piv_mcp.store.postgres.failures import is_lost


@pytest.mark.parametrize(
    "kind",
    [
        errors.AdminShutdown,
        errors.CrashShutdown,
        errors.CannotConnectNow,
        errors.TooManyConnections,
        errors.ConnectionFailure,
        psycopg.OperationalError,  # the server is not there: there is no code
    ],
)
def test_a_connection_that_ended_or_was_not_made_is_lost(kind: type[psycopg.Error]) -> None:
    assert is_lost(kind("the database system is starting up"))


@pytest.mark.parametrize("kind", [errors.UniqueViolation, errors.UndefinedTable, errors.DiskFull, ValueError])
def test_other_errors_are_about_the_statement(kind: type[Exception]) -> None:
    assert not is_lost(kind("no"))
