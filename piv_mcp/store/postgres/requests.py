"""The requests of the last minute in the database: all servers count the same ones.

Each is durable before it is sent. While the database is out of reach nothing is sent: each server alone would let
through as much as all together may.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Concatenate, ParamSpec, TypeVar

import psycopg

from piv_mcp.store import minute
from piv_mcp.store.connection import Connection
from piv_mcp.store.minute import Sent
from piv_mcp.store.postgres.database import PostgresDatabase
from piv_mcp.store.postgres.failures import is_in_the_way
from piv_mcp.store.postgres.transactions import Whose, begin_counting, retried
from piv_mcp.store.writes import BUSY_SECONDS, Job

T = TypeVar("T")
P = ParamSpec("P")


class RequestTable:
    """A `RequestLog` in PostgreSQL."""

    may_be_missing = False

    def __init__(self, database: PostgresDatabase, whose: Whose, account: Callable[[], Awaitable[int]]) -> None:
        self._account = account
        self._database = database
        self._whose = whose
        self._acted_for: int | None = None

    async def run(self, job: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        def bound(connection: Connection) -> T:
            return job(connection, *args, **kwargs)

        await self._account()  # a new key has one then
        return await asyncio.get_running_loop().run_in_executor(
            self._database.writers, self._run, bound, time.monotonic()
        )

    def sent(self, request: Sent, *, told: bool) -> None:
        pass  # the table has it

    def _run(self, job: Job[T], asked_at: float) -> T:
        self._database.refuse_late(asked_at)
        until = time.monotonic() + BUSY_SECONDS
        try:
            # A commit in doubt is made again, too: the same request counts once.
            return retried(lambda: self._transact(job), until)
        except psycopg.Error as error:
            if is_in_the_way(error):
                return self._run(job, asked_at)
            raise self._database.failure(error) from None

    def _transact(self, job: Job[T]) -> T:
        link = self._database.link()
        with link.use(BUSY_SECONDS + 1) as raw:
            connection = begin_counting(raw, self._whose)
            account = connection.account
            if self._acted_for is not None and self._acted_for != account:
                minute.move(connection, self._acted_for, account)
            value = job(connection)
            raw.execute("COMMIT")
        self._acted_for = account
        self._database.reached()
        return value
