"""What the servers on one PostgreSQL do while it does not answer, cannot be written, or is behind a pooler."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import psycopg
import pytest
from engines import open_in
from harness import until
from postgres import Cluster

from piv_mcp.errors import StoreError
from piv_mcp.store import accounts, facts, leases
from piv_mcp.store.postgres.connection import GONE_SECONDS
from piv_mcp.store.postgres.store import UNHEARD_LOOK_SECONDS, PostgresStore

pytestmark = [pytest.mark.postgresql, pytest.mark.sqlite]

KEY = accounts.digest("sk-the-key")


@pytest.fixture
async def replica(cluster: Cluster, tmp_path: Path) -> AsyncIterator[Callable[[], PostgresStore]]:
    """Makes one more server on the test's database."""
    async with AsyncExitStack() as stack:

        def make() -> PostgresStore:
            store = open_in(cluster, tmp_path, key_digest=KEY)
            stack.push_async_callback(store.close)
            return store

        yield make
    cluster.forget_databases()


def signal_backends(cluster: Cluster, number: signal.Signals) -> None:
    main = cluster.pid()
    children = Path(f"/proc/{main}/task/{main}/children").read_text(encoding="ascii").split()
    for pid in (main, *map(int, children)):
        os.kill(pid, number)


async def test_calls_do_not_queue_behind_others_while_the_database_hangs(tmp_path: Path) -> None:
    own = await asyncio.to_thread(Cluster)
    store = open_in(own, tmp_path, key_digest=KEY)
    try:
        await store.write(facts.put, "a", "1")
        signal_backends(own, signal.SIGSTOP)
        began = time.monotonic()
        try:
            calls = [store.read(facts.get, "a") for _ in range(40)]
            calls += [store.requests.run(facts.get, "a") for _ in range(20)]
            found = await asyncio.gather(*calls, return_exceptions=True)
            took = time.monotonic() - began
        finally:
            signal_backends(own, signal.SIGCONT)
        assert {type(error) for error in found} == {StoreError}
        assert took < 12, "ten turns of four seconds, one after the other, are forty"

        async def works() -> bool:
            try:
                return await store.read(facts.get, "a") == "1"
            except StoreError:
                return False

        await until(works, seconds=20, what="the database")
    finally:
        await store.close()
        await asyncio.to_thread(own.remove)


async def test_it_is_known_that_the_database_cannot_be_written(
    replica: Callable[[], PostgresStore], cluster: Cluster, tmp_path: Path
) -> None:
    store = replica()
    await store.write(facts.put, "a", "1")
    assert store.is_writable()
    name = cluster.database_for(tmp_path).rpartition("/")[2]
    cluster.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    cluster.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")  # noqa: S608
    await until(lambda: not store.is_writable(), seconds=GONE_SECONDS + 5, what="that is known")
    assert await store.read(facts.get, "a") == "1"
    with pytest.raises(StoreError, match="read-only"):
        await store.write(facts.put, "a", "2")
    cluster.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    cluster.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")  # noqa: S608
    await until(store.is_writable, seconds=10, what="it is writable")


async def test_after_an_outage_nobody_is_taken_for_dead_who_could_not_show_that_he_lives(
    replica: Callable[[], PostgresStore], cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = replica(), replica()
    assert await one.write(leases.take, "work", one.process, now=1000.0, seconds=60)
    await other.account()
    database = other._database  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(database, "_beat_at", time.monotonic() - 10)  # no sign of life came through for ten seconds
    stale = f"UPDATE processes SET seen_at = seen_at - 10 WHERE name = '{one.process}'"  # noqa: S608
    cluster.execute(stale, cluster.database_for(tmp_path).rpartition("/")[2])
    assert not await other.write(leases.take, "work", other.process, now=1001.0, seconds=60)
    await until(database.is_writable, seconds=5, what="a sign of life")
    assert not await other.write(leases.take, "work", other.process, now=1002.0, seconds=60)


async def test_behind_a_pooler_nothing_is_prepared_and_nobody_relies_on_notices(
    replica: Callable[[], PostgresStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    def of_the_pooler(_: object) -> int:
        return 1

    monkeypatch.setattr(psycopg.ConnectionInfo, "backend_pid", property(of_the_pooler))
    store = replica()
    store.on_commit(lambda _: None)
    await store.write(facts.put, "a", "1")
    for _ in range(40):  # more often than any statement is run before it is prepared
        await store.read(facts.get, "a")
    await asyncio.sleep(0.5)
    prepared = await store.read(lambda c: c.count("SELECT count(*) FROM pg_prepared_statements"))
    assert prepared == 0
    assert store.look_seconds == UNHEARD_LOOK_SECONDS
