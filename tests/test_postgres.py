"""The store in PostgreSQL: what several servers on one database can rely on, and what happens when the database does
not answer. What both engines do alike is tested by the other files, with `pytest --engine postgresql`."""

import asyncio
import secrets
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest
from engines import open_in
from harness import until
from postgres import Cluster
from pydantic import SecretStr
from store_helpers import an_event

from piv_mcp.api.rate_limit import ALL, Priority
from piv_mcp.cli import operator_rows
from piv_mcp.config import Settings, load
from piv_mcp.errors import ConfigError, NewerStoreError, PivError, RateLimitedError, StoreError
from piv_mcp.store import (
    Connection,
    SqliteStore,
    accounts,
    events,
    facts,
    journal,
    leases,
    limits,
    migrations,
    number_leases,
    operators,
    recording,
)
from piv_mcp.store.changes import Changes
from piv_mcp.store.engines import open_store
from piv_mcp.store.journal import Entry
from piv_mcp.store.limits import Budget, Limit
from piv_mcp.store.postgres import notices, transactions
from piv_mcp.store.postgres.copying import COPIED, copy_into
from piv_mcp.store.postgres.database import PostgresDatabase
from piv_mcp.store.postgres.notices import Concerned
from piv_mcp.store.postgres.store import DoubtError, PostgresStore
from piv_mcp.store.rate_limit import SharedLimiter
from piv_mcp.store.sqlite import SqliteConnection
from piv_mcp.store.writes import BUSY_SECONDS
from piv_mcp.text.times import SYSTEM_CLOCK, Clock

pytestmark = [pytest.mark.postgresql, pytest.mark.sqlite]

KEY = accounts.digest("sk-the-key")
OTHER = accounts.digest("sk-of-another-account")

Replica = Callable[..., PostgresStore]

ENDS = "SELECT ends_at FROM ceremonies"


@pytest.fixture
async def replica(cluster: Cluster, tmp_path: Path) -> AsyncIterator[Replica]:
    """Makes one more server on the test's database."""
    async with AsyncExitStack() as stack:

        def make(key: str | None = KEY, busy_seconds: float = BUSY_SECONDS) -> PostgresStore:
            store = open_in(cluster, tmp_path, key_digest=key, busy_seconds=busy_seconds)
            stack.push_async_callback(store.close)
            return store

        yield make
    cluster.forget_databases()


def name_of(cluster: Cluster, tmp_path: Path) -> str:
    return cluster.database_for(tmp_path).rpartition("/")[2]


async def test_the_tables_have_the_columns_that_they_have_in_sqlite(
    replica: Replica, cluster: Cluster, tmp_path: Path
) -> None:
    await replica().account()
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as raw:
        migrations.migrate(SqliteConnection(raw))
        tables = [name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        ours = {
            (table, row[1]): bool(row[3] or row[5])
            for table in tables
            if not table.startswith("sqlite_")
            for row in raw.execute(f"PRAGMA table_info({table})")
        }
    query = (
        "SELECT table_name, column_name, is_nullable FROM information_schema.columns WHERE table_schema = 'public'"
        " AND table_name NOT IN ('processes', 'writers', 'requests', 'pauses', 'waiting', 'schema_version')"
    )
    theirs = {(t, c): null == "NO" for t, c, null in cluster.execute(query, name_of(cluster, tmp_path))}
    assert theirs == {**ours, ("accounts", "last_seq"): True, ("accounts", "changes"): True}


async def test_the_last_event_is_one_that_all_before_are_visible_of(replica: Replica) -> None:
    """Ids of a sequence commit out of order: no cursor may pass one that is not visible yet."""
    slow, quick, reader = replica(), replica(), replica()
    await slow.account()
    inserted, go_on = threading.Event(), threading.Event()

    def late(connection: Connection) -> int:
        stored, _ = recording.add(connection, an_event(1))
        inserted.set()
        assert go_on.wait(10)
        return stored.seq

    writing = asyncio.create_task(slow.write(late))
    await asyncio.to_thread(inserted.wait, 10)
    second = asyncio.create_task(quick.write(recording.add, an_event(2)))
    await asyncio.sleep(0.2)
    seen = await reader.read(events.last_seq)
    go_on.set()
    first, (other, _) = await writing, await second
    assert seen < first < other.seq
    found = await reader.read(events.matching, (), {}, after=seen, limit=9)
    assert [event.seq for event in found] == [first, other.seq]
    assert await reader.read(events.last_seq) == other.seq


async def test_another_account_waits_for_no_slow_one(replica: Replica) -> None:
    slow, other = replica(), replica(OTHER)
    await slow.account()
    await other.account()
    go_on = threading.Event()
    writing = asyncio.create_task(slow.write(lambda _: go_on.wait(10)))
    await asyncio.sleep(0.1)
    await asyncio.wait_for(other.write(recording.add, an_event(1)), 5)
    assert not writing.done()
    go_on.set()
    await writing


async def test_what_comes_while_another_server_writes_shares_one_commit(replica: Replica) -> None:
    slow, store = replica(), replica()
    await slow.account()
    go_on = threading.Event()
    writing = asyncio.create_task(slow.write(lambda _: go_on.wait(10)))
    await asyncio.sleep(0.1)
    transactions_of: list[asyncio.Task[int]] = []
    for _ in range(3):
        transactions_of.append(asyncio.create_task(store.write(lambda c: c.count("SELECT txid_current()"))))
        await asyncio.sleep(0.1)
    go_on.set()
    await writing
    assert len(set(await asyncio.gather(*transactions_of))) == 1


async def test_a_job_that_fails_takes_no_other_with_it(replica: Replica) -> None:
    store = replica()

    def mistaken(connection: Connection) -> None:
        facts.put(connection, "mistaken", "1")
        connection.execute("INSERT INTO events (seq) VALUES ('x')")

    def refused(connection: Connection) -> None:
        facts.put(connection, "refused", "1")
        raise StoreError("no")

    jobs = [store.write(facts.put, "good", "1"), store.write(mistaken), store.write(refused)]
    good, *bad = await asyncio.gather(*jobs, return_exceptions=True)
    assert good is None
    assert [type(error) for error in bad] == [StoreError, StoreError]
    assert [await store.read(facts.get, name) for name in ("good", "mistaken", "refused")] == ["1", None, None]


async def test_a_text_with_a_nul_loses_no_event(replica: Replica) -> None:
    store = replica()
    await store.write(recording.add, an_event(1, text="a\0b", subject="num_1", type="sms.received"))
    (found,) = await store.read(events.matching, (), {}, after=0, limit=9)
    assert found.text == "a\ufffdb"


async def test_a_commit_wakes_who_waits_at_another_server(replica: Replica) -> None:
    one, other = replica(), replica()
    await other.account()
    changes = Changes(other)
    await until(lambda: other.look_seconds > 1, seconds=10, what="notices")
    await asyncio.sleep(0.3)
    waiting = asyncio.create_task(changes.wait(changes.version, 20))
    await asyncio.sleep(0)
    await one.write(recording.add, an_event(1))
    assert await asyncio.wait_for(waiting, 10)
    await changes.close()


async def test_a_notice_wakes_who_waits_for_what_it_is_about_and_nobody_else(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("piv_mcp.store.postgres.store.HEARD_LOOK_SECONDS", 600.0)
    one, other = replica(), replica()
    await other.account()
    changes = Changes(other)
    await until(lambda: other.look_seconds > 1, seconds=10, what="notices")
    await asyncio.sleep(0.3)
    assert await changes.wait(changes.version, 20), "the first look, which wakes all"
    of_one, of_two, of_any = (changes.version_of(subject) for subject in ("num_1", "num_2", None))
    waiting = asyncio.create_task(changes.wait(of_one, 20, "num_1"))
    await one.write(leases.note_watch, "w-1", "num_2", now=1.0, until=2.0)  # as each poll does: it concerns nobody
    await one.write(recording.add, an_event(1, subject="num_1'\u2028", type="sms.received"))
    await until(lambda: changes.version_of(None) > of_any, seconds=10, what="the notice")
    assert (changes.version_of("num_1"), changes.version_of("num_2")) == (of_one, of_two)
    await one.write(recording.add, an_event(2, subject="num_1", type="sms.received"))
    assert await asyncio.wait_for(waiting, 10)
    assert changes.version_of("num_2") == of_two
    assert changes.version_of(None) == of_any + 2
    await one.write(number_leases.release, "num_2", "agent x", 1.0)  # a lease may be anybody's business
    await until(lambda: changes.version_of("num_2") > of_two, seconds=10, what="the notice of a lease")
    await changes.close()


@pytest.mark.parametrize("told", [{}, {1: None}, {1: ["a", None], 20: ["\u2028'\\"]}])
def test_a_notice_says_what_was_committed(told: Concerned) -> None:
    assert notices.read(notices.written(told)) == told


def test_a_notice_that_would_be_too_long_is_about_anything() -> None:
    notice = notices.written({7: [f"number-{n}" for n in range(2000)]})
    assert notices.read(notice) == {7: None}


@pytest.mark.parametrize("garbled", ["", "1 2", "[]", '"x"', '{"a":null}', "null"])
def test_a_notice_that_is_none_of_ours_is_about_anything(garbled: str) -> None:
    assert notices.read(garbled) == {}


async def test_a_lost_notice_delays_a_wait_and_loses_nothing(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    def lose(*_: object) -> None:
        """Nobody is told."""

    monkeypatch.setattr(PostgresDatabase, "notify", lose)
    one, other = replica(), replica()
    await other.account()
    changes = Changes(other)
    version = changes.version
    await one.write(recording.add, an_event(1))
    seen = await other.read(events.last_seq)
    while seen == 0 and await changes.wait(version, 10):
        version, seen = changes.version, await other.read(events.last_seq)
    assert seen
    await changes.close()


# --- who has ended


async def test_a_server_that_shows_no_sign_of_life_has_ended(
    replica: Replica, cluster: Cluster, tmp_path: Path
) -> None:
    one, other = replica(), replica()
    assert await one.write(leases.take, "work", one.process, now=1000.0, seconds=60)
    assert not await other.write(leases.take, "work", other.process, now=1001.0, seconds=60)
    stopped = f"UPDATE processes SET seen_at = seen_at - 5 WHERE name = '{one.process}'"  # noqa: S608
    cluster.execute(stopped, name_of(cluster, tmp_path))
    await until(
        lambda: other.write(leases.take, "work", other.process, now=1002.0, seconds=60), seconds=5, what="the lease"
    )


async def test_all_servers_have_the_clock_of_the_database(replica: Replica) -> None:
    store = replica()
    await store.account()
    assert abs(store.clock(SYSTEM_CLOCK).time() - time.time()) < 1
    own = Clock()
    assert store.clock(own) is own


async def test_a_terminal_with_a_wrong_clock_ends_an_operators_access_at_the_databases_time(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the operator approved before stays approved by a passkey that was theirs."""

    def two_hours_behind(_: Clock) -> float:
        return time.time() - 7200

    monkeypatch.setattr(type(SYSTEM_CLOCK), "time", two_hours_behind)
    settings = load(
        store_url=SecretStr(cluster.database_for(tmp_path)), console_url="https://piv.example.com", api_key="sk-the-key"
    )
    await operator_rows.invite(settings, "anna", None, again=False)
    store = open_in(cluster, tmp_path)
    (ends_at,) = await store.read(lambda connection: [float(row[0]) for row in connection.rows(ENDS)])
    assert await operator_rows.revoke_operator(settings, "anna")
    anna = await store.read(operators.get, "anna")
    await store.close()
    assert anna is not None
    assert anna.revoked_at == pytest.approx(time.time(), abs=10)
    assert ends_at == pytest.approx(time.time() + operator_rows.LINK_SECONDS, abs=10)


# --- money and requests


def an_entry(n: int, price: str) -> Entry:
    return Entry(f"sp_{n}", "buy", "numbers", "{}", f"print-{n}", "quoted", "{}", price, 1000.0, 2000.0)


async def test_the_budget_is_exact_over_all_servers(replica: Replica) -> None:
    stores = [replica() for _ in range(4)]
    tasks = [
        stores[n % 4].write(
            journal.propose,
            an_entry(n, "1.00"),
            budget=Budget(Decimal("1.00"), (Limit("day", Decimal("7.50")),)),
            spent_since=0.0,
            doubtful_since=0.0,
            explained=lambda _, n=n: an_entry(n, "1.00"),
        )
        for n in range(40)
    ]
    entries = await asyncio.gather(*tasks)
    assert sum(entry.state == "approved" for entry in entries) == 7
    assert await stores[0].read(limits.reserved, 0.0, Limit("day", Decimal(0))) == Decimal(7)


async def test_one_approval_is_carried_out_once_on_whichever_server(replica: Replica) -> None:
    stores = [replica() for _ in range(4)]
    entry = replace(an_entry(1, "1.00"), state="approved", decided_by="page")
    await stores[0].write(journal.insert, entry)
    claims = [store.write(journal.claim, "sp_1", owner=store.process, before="{}", now=1001.0) for store in stores]
    assert sorted(await asyncio.gather(*claims)) == [False, False, False, True]


async def test_the_request_limit_is_exact_over_all_servers(replica: Replica) -> None:
    limiters = [
        SharedLimiter(
            replica(),
        )
        for _ in range(3)
    ]

    async def ask(limiter: SharedLimiter) -> int:
        granted = 0
        while True:
            try:
                await limiter.acquire(Priority.PERSON, timeout=0)
            except RateLimitedError:
                return granted
            granted += 1

    granted = sum(await asyncio.gather(*map(ask, limiters)))
    assert granted == 80  # ALL - WAIT_OWN, for a person's calls
    assert granted <= ALL


async def test_no_request_is_sent_that_not_all_servers_count(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    limiter = SharedLimiter(store := replica(busy_seconds=0.2))
    await limiter.acquire(Priority.PERSON, timeout=0)

    def lost(*_: object) -> None:
        raise psycopg.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr("piv_mcp.store.postgres.requests.begin_counting", lost)
    with pytest.raises(StoreError, match="no request was sent"):
        await limiter.acquire(Priority.PERSON, timeout=0)
    assert await store.read(lambda c: c.count("SELECT count(*) FROM requests")) == 1


# --- lost connections


async def test_backends_that_are_killed_lose_and_double_nothing(
    replica: Replica, cluster: Cluster, tmp_path: Path
) -> None:
    await _burst(replica, lambda: _kill_backends(cluster, tmp_path))


async def test_a_server_that_restarts_at_once_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """With fsync: what was acknowledged is on the disk."""
    own = await asyncio.to_thread(lambda: Cluster(durable=True))
    try:
        async with AsyncExitStack() as stack:

            def make() -> PostgresStore:
                store = open_in(own, tmp_path, key_digest=KEY)
                stack.push_async_callback(store.close)
                return store

            def restart() -> None:
                own.stop("immediate")
                own.start()

            await _burst(make, lambda: asyncio.to_thread(restart))
    finally:
        await asyncio.to_thread(own.remove)


async def _burst(replica: Callable[[], PostgresStore], happens: Callable[[], Awaitable[None]]) -> None:
    """Two servers store events while something happens to the database. As piv.day does, an event is sent again until
    it is acknowledged."""
    stores = [replica(), replica()]
    await asyncio.gather(*(store.account() for store in stores))
    acknowledged: list[str] = []
    ends_at = time.monotonic() + 4

    async def send(store: PostgresStore, sender: int) -> None:
        n = 0
        while time.monotonic() < ends_at:
            n += 1
            event = an_event(sender * 100_000 + n)
            while True:
                try:
                    await store.write(recording.add_received, lambda event=event: [(event, None)])
                except StoreError:
                    await asyncio.sleep(0.05)
                else:
                    break
            acknowledged.append(event.digest or "")

    senders = [asyncio.create_task(send(stores[n % 2], n)) for n in range(8)]
    for _ in range(2):
        await asyncio.sleep(0.8)
        await happens()
    await asyncio.wait_for(asyncio.gather(*senders), 60)
    rows = await stores[0].read(lambda c: [digest for (digest,) in c.rows("SELECT digest FROM events")])
    assert sorted(rows) == sorted(acknowledged)
    assert len(rows) > 50


async def _kill_backends(cluster: Cluster, tmp_path: Path) -> None:
    query = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name_of(cluster, tmp_path)}'"  # noqa: S608
    await asyncio.to_thread(cluster.execute, query)


@pytest.mark.parametrize("was_committed", [True, False])
async def test_a_commit_whose_answer_was_lost_is_looked_up(
    replica: Replica, monkeypatch: pytest.MonkeyPatch, *, was_committed: bool
) -> None:
    store, runs = replica(), 0
    await store.account()
    commit = transactions.commit_writing

    def losing(*arguments: object) -> None:
        monkeypatch.setattr("piv_mcp.store.postgres.store.commit_writing", commit)
        if was_committed:
            commit(*arguments)  # pyright: ignore[reportArgumentType]
        raise psycopg.OperationalError("server closed the connection unexpectedly")

    def count_up(connection: Connection) -> None:
        nonlocal runs
        runs += 1
        facts.count_up(connection, "n", 1.0)

    monkeypatch.setattr("piv_mcp.store.postgres.store.commit_writing", losing)
    await store.write(count_up)
    assert (await store.read(facts.counted, "n"))[0] == 1
    assert runs == (1 if was_committed else 2)


async def test_what_is_not_known_is_said(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    store = replica()
    await store.account()

    def losing(*_: object) -> None:
        raise psycopg.OperationalError("server closed the connection unexpectedly")

    def unknown(*_: object) -> str:
        return "unknown"

    monkeypatch.setattr("piv_mcp.store.postgres.store.commit_writing", losing)
    monkeypatch.setattr("piv_mcp.store.postgres.store.outcome_of", unknown)
    with pytest.raises(DoubtError, match="not known"):
        await store.write(facts.put, "a", "1")


async def test_a_database_out_of_reach_is_said_without_its_address_and_comes_back(tmp_path: Path) -> None:
    own = await asyncio.to_thread(Cluster)
    store = open_in(own, tmp_path, key_digest=KEY, busy_seconds=0.5)
    try:
        await store.write(facts.put, "a", "1")
        await asyncio.to_thread(own.stop)
        for call in (store.write(facts.put, "b", "1"), store.read(facts.get, "a")):
            with pytest.raises(StoreError, match="out of reach") as caught:
                await asyncio.wait_for(call, 10)
            assert str(own.port) not in str(caught.value)
        await asyncio.to_thread(own.start)
        await until(lambda: _works(store), seconds=20, what="the database")
        assert await store.read(facts.get, "b") is None
    finally:
        await store.close()
        await asyncio.to_thread(own.remove)


async def _works(store: PostgresStore) -> bool:
    try:
        return await store.read(facts.get, "a") == "1"
    except StoreError:
        return False


# --- opening, moving in


async def test_servers_that_start_together_make_the_tables_once(cluster: Cluster) -> None:
    name = f"fresh_{secrets.token_hex(4)}"
    await asyncio.to_thread(cluster.execute, f"CREATE DATABASE {name}")
    databases = [PostgresDatabase(cluster.url(name)) for _ in range(4)]
    stores = [PostgresStore(database, key_digest=KEY, release=database.close) for database in databases]
    found = await asyncio.gather(*(store.write(lambda c: c.account) for store in stores))
    assert found == [1, 1, 1, 1]
    await asyncio.gather(*(store.close() for store in stores))
    await asyncio.to_thread(cluster.execute, f"DROP DATABASE {name} WITH (FORCE)")


async def test_a_newer_store_is_neither_read_nor_written(replica: Replica, cluster: Cluster, tmp_path: Path) -> None:
    running = replica()
    await running.account()
    cluster.execute("UPDATE schema_version SET version = version + 1", name_of(cluster, tmp_path))
    for store in (running, replica()):
        with pytest.raises(NewerStoreError):
            await store.read(facts.get, "a")
        with pytest.raises(NewerStoreError):
            await store.write(facts.put, "a", "1")


async def test_two_keys_of_one_person_share_what_both_have_stored(replica: Replica) -> None:
    one, other = replica(), replica(OTHER)
    await one.write(recording.add, an_event(1))
    await other.write(recording.add, an_event(2))
    assert await one.account() != await other.account()
    await asyncio.gather(one.write(accounts.identify, "user-1"), other.write(accounts.identify, "user-1"))
    found = [await store.read(events.matching, (), {}, after=0, limit=9) for store in (one, other)]
    assert [len(rows) for rows in found] == [2, 2]


async def test_a_file_is_copied_with_its_ids_and_its_accounts(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite3"
    source = SqliteStore(path, key_digest=KEY)
    stored = [(await source.write(recording.add, an_event(n)))[0].seq for n in range(3)]
    await source.write(journal.insert, an_entry(1, "1.00"))
    await source.close()
    url = cluster.database_for(tmp_path)
    counts = await asyncio.to_thread(copy_into, path, url)
    assert set(counts) == set(COPIED)
    assert (counts["events"], counts["spending"], counts["keys"]) == (3, 1, 1)
    database = PostgresDatabase(url)
    target = PostgresStore(database, key_digest=KEY, release=database.close)
    found = await target.read(events.matching, (), {}, after=0, limit=9)
    assert [event.seq for event in found] == stored
    (entry,) = await target.read(journal.newest, limit=9)
    assert entry.state == "expired"
    assert (await target.write(recording.add, an_event(9)))[0].seq == stored[-1] + 1
    await target.close()
    with pytest.raises(StoreError, match="already"):
        await asyncio.to_thread(copy_into, path, url)
    cluster.forget_databases()


@pytest.mark.parametrize("url", ["postgresql://me:hunter2@127.0.0.1:1/db", "postgresql://me:hunter2@[::bad/db?x"])
async def test_no_error_shows_the_address_or_its_password(url: str, tmp_path: Path) -> None:
    settings = load(data_dir=tmp_path, store_url=url)
    assert "hunter2" not in repr(settings)
    with pytest.raises(PivError) as caught:
        await _read_once(settings, tmp_path)
    assert isinstance(caught.value, StoreError | ConfigError)
    assert "hunter2" not in f"{caught.value} {caught.value.hint} {caught.value.__cause__}"


async def _read_once(settings: Settings, directory: Path) -> None:
    store = open_store(settings, directory)
    try:
        await store.read(facts.get, "a")
    finally:
        await store.close()
