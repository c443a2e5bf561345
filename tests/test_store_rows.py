"""One value of one row is garbage: the others are read all the same, and money errs on the careful side."""

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
import structlog
from harness import Connect, until
from moving_clock import MovingClock
from store_helpers import PATIENCE, add_all, an_event
from test_store_damage import PAGE, content, overwrite_at, set_aside

from piv_mcp.api.rate_limit import TOTAL, Priority
from piv_mcp.errors import RateLimitedError
from piv_mcp.inbox.retention import Retention
from piv_mcp.runtime import RESTART_SECONDS
from piv_mcp.store import (
    Connection,
    SqliteStore,
    accounts,
    events,
    facts,
    journal,
    leases,
    limits,
    polls,
    questions,
    servers,
)
from piv_mcp.store.event import StoredEvent
from piv_mcp.store.journal import Entry
from piv_mcp.store.limits import Budget, Limit
from piv_mcp.store.polls import Look
from piv_mcp.store.rate_limit import SharedLimiter
from piv_mcp.store.rows import RowReader
from piv_mcp.store.servers import Server

pytestmark = pytest.mark.sqlite

NOW = 1_800_000_000.0
BUDGET = Decimal(100)
ALL = Limit("day", BUDGET)


def an_sms(n: int, **changes: object) -> StoredEvent:
    return an_event(
        n,
        type="sms.received",
        arrived_at=NOW + n,
        subject=f"number-{n}",
        sent_at=NOW + n,
        text=f"Your code is 100{n}",
        text_key=f"key-{n}",
        code=f"100{n}",
        payload='{"data": {}}',
        **changes,
    )


def an_entry(n: int, **changes: object) -> Entry:
    entry = Entry(
        id=f"sp_{n}",
        kind="purchase_number",
        area="numbers",
        arguments="{}",
        fingerprint=f"print-{n}",
        state="charged",
        quote="{}",
        price="4.00",
        quoted_at=NOW + n,
        expires_at=NOW + 600,
        decided_at=NOW + n,
        decided_by="budget",
        charged="4.00",
    )
    return replace(entry, **changes)


def spoil(store_path: Path, what: str) -> None:
    with closing(sqlite3.connect(store_path, isolation_level=None)) as connection:
        assert connection.execute(f"UPDATE {what}").rowcount == 1


GARBAGE = [
    "sent_at = 'garbage'",
    "sent_at = 1e300",
    "reached_at = 'garbage'",
    "arrived_at = x'00'",
    "stored_at = 'garbage'",
    "code = x'31303031'",
    "text = x'31ff'",
    "payload = x'7b'",
    "payload = '{\"x'",
    "age_known = 'garbage'",
]


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("source", ["webhook", "history"])
async def test_a_garbled_event_keeps_no_other_from_being_found_or_pruned(
    store: SqliteStore, store_path: Path, garbage: str, source: str
) -> None:
    await add_all(store, [an_sms(1, source=source, message_id="m1"), an_sms(2)])
    spoil(store_path, f"events SET {garbage} WHERE seq = 1")
    found, total = await store.read(events.after, 0)
    assert ([event.seq for event in found], total) == ([1, 2], 2)
    assert [event.code for event in await store.read(events.codes, "number-2")] == ["1002"]
    assert "1001" in [event.code for event in await store.read(events.codes, None, limit=9)]
    assert (await store.read(events.summary))[0] == 2
    assert await store.read(events.newest_times, 1) == [NOW + 2]
    assert await store.read(events.last_before, NOW + 3) == 2
    later = NOW + 86_400
    assert await store.write(events.prune, before=later, remote_before=later, keep=9) >= 1
    assert [event.seq for event in (await store.read(events.after, 0))[0]] in ([], [1])


@pytest.mark.parametrize("value", ["garbage", "nan", "inf", ""])
async def test_a_fact_that_is_no_number_is_as_good_as_none(store: SqliteStore, value: str) -> None:
    await store.write(facts.put, facts.PRUNED_THROUGH, value)
    assert await store.read(events.pruned_through) == 0


@pytest.mark.parametrize("column", ["at", "seq", "remote_at", "total", "erased_at", "failing_since"])
async def test_a_garbled_look_is_read_without_what_is_garbled(
    store: SqliteStore, store_path: Path, column: str
) -> None:
    whole = Look(at=NOW, seq=7, remote_at=NOW, total=3, erased_at=NOW, failing_since=NOW, problem="it hangs")
    await store.write(polls.note_erased, "one", NOW)
    await store.write(polls.note_look, "one", whole)
    spoil(store_path, f"looks SET {column} = 'garbage'")
    none = getattr(Look(), column)
    assert await store.read(polls.look, "one") == replace(whole, **{column: none})


@pytest.mark.parametrize("column", ["price", "charged"])
@pytest.mark.parametrize("value", ["'garbage'", "'NaN'", "x'00'"])
async def test_a_charge_that_cannot_be_read_leaves_nothing_of_the_budget(
    store: SqliteStore, store_path: Path, column: str, value: str
) -> None:
    await store.write(lambda connection: [journal.insert(connection, an_entry(n)) for n in (1, 2)])
    assert await store.read(limits.reserved, 0.0, ALL) == 8
    spoil(store_path, f"spending SET {column} = {value} WHERE seq = 1")
    assert await store.read(limits.reserved, 0.0, ALL) > BUDGET
    entries = await store.read(journal.newest, limit=9)
    assert [getattr(entry, column) for entry in entries] == ["4.00", None]
    asked = an_entry(3, state="quoted", decided_by=None, decided_at=None, charged=None)
    proposed = await store.write(
        journal.propose,
        asked,
        budget=Budget(Decimal(4), (ALL,)),
        spent_since=0.0,
        doubtful_since=0.0,
        explained=lambda _: asked,
    )
    assert proposed.state == "quoted", "a person decides"
    if column == "charged":
        overcharged = await store.read(journal.overcharged, "purchase_number")
        assert overcharged is not None
        assert overcharged.id == "sp_1"


async def test_an_entry_whose_state_cannot_be_read_counts_as_sent(store: SqliteStore, store_path: Path) -> None:
    await store.write(journal.insert, an_entry(1))
    spoil(store_path, "spending SET state = 'ch@rged'")
    (shown,) = await store.read(journal.newest, limit=9)
    assert shown.state == "unknown"
    (unknown,) = await store.write(journal.recover, lambda _connection, _entry: False, NOW)
    assert (unknown.id, unknown.state) == ("sp_1", "unknown")
    blocking = await store.read(journal.blocking, "print-1")
    assert blocking is not None
    assert await store.read(limits.reserved, 0.0, ALL) == 4


@pytest.mark.parametrize("value", ["'garbage'", "x'00'", "1e300"])
async def test_an_approval_whose_end_cannot_be_read_is_over(store: SqliteStore, store_path: Path, value: str) -> None:
    await store.write(journal.insert, an_entry(1, state="approved", charged=None))
    spoil(store_path, f"spending SET expires_at = {value}")
    assert not await store.write(journal.claim, "sp_1", owner="me", before="{}", now=NOW)
    await store.write(journal.expire, NOW)
    (shown,) = await store.read(journal.newest, limit=9)
    assert shown.state == "expired"


@pytest.mark.parametrize("column", ["quoted_at", "settled_at", "decided_at", "sent_at", "result", "before"])
async def test_no_entry_is_lost_for_a_value_of_it(store: SqliteStore, store_path: Path, column: str) -> None:
    await store.write(lambda connection: [journal.insert(connection, an_entry(n, result="{}")) for n in (1, 2)])
    spoil(store_path, f"spending SET {column} = 'garbage' WHERE seq = 1")
    assert [entry.id for entry in await store.read(journal.newest, limit=9)] == ["sp_2", "sp_1"]
    assert await store.read(journal.made) == frozenset()
    assert await store.read(limits.reserved, 0.0, ALL) == 8


def test_a_row_that_is_as_it_should_be_is_read_as_it_is() -> None:
    read = RowReader(Look)
    row = (NOW, 7, None, 3, 5, None, None, "it hangs", 2)
    assert read(row) == read(row) == Look(*row)
    assert read((1e300, *row[1:])) == replace(Look(*row), at=0.0), "also after one of the same kinds"


async def test_an_index_that_would_lead_round_and_round_is_made_anew(store_path: Path) -> None:
    """One bit makes bytes of a text."""
    names = [f"{first}qbSn-J0YyB-COlfs-O8gIp" for first in "ax"]
    store = SqliteStore(store_path)
    await add_all(store, [replace(an_sms(n), subject=name) for n, name in enumerate(names)])
    await store.close()
    with closing(sqlite3.connect(store_path)) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'events_heard'").fetchone()
    page = content(store_path)[(root - 1) * PAGE : root * PAGE]
    kind = page.rfind(13 + 2 * len(names[1]), 0, page.rfind(names[1].encode()))
    overwrite_at(store_path, (root - 1) * PAGE + kind, bytes([page[kind] ^ 1]))
    store = SqliteStore(store_path)
    assert await store.read(events.last_heard) == {names[0]: 1, names[1]: 2}
    await store.close()
    assert set_aside(store_path) == []


async def test_a_number_that_became_bytes_is_a_text_again(store: SqliteStore, store_path: Path) -> None:
    await add_all(store, [an_sms(1), an_sms(2)])
    spoil(store_path, "events SET subject = CAST(subject AS BLOB) WHERE seq = 2")
    for _ in range(3):
        assert await store.read(events.last_heard) == {"number-1": 1, "number-2": 2}
    assert len(set_aside(store_path)) == 1, "once and for all"


@pytest.mark.parametrize(
    "garbage",
    [
        "keys SET account = 'garbage'",
        "keys SET account = x'ff'",
        "webhook_secrets SET account = 'garbage'",
        "sqlite_sequence SET seq = 'garbage' WHERE name = 'events'",
    ],
)
async def test_a_value_without_which_nothing_works_is_repaired(store_path: Path, garbage: str) -> None:
    store = SqliteStore(store_path, key_digest="key")
    await store.write(accounts.identify, "person")
    await store.write(servers.claim, "secret")
    await add_all(store, [an_sms(1), an_sms(2)])
    await store.write(events.erase, "number-2")
    await store.close()
    spoil(store_path, garbage)
    store = SqliteStore(store_path, key_digest="key", busy_seconds=PATIENCE)
    assert await store.read(events.last_seq) >= 2, "no id is given a second time"
    assert await store.write(accounts.identify, "person") == await store.read(whose)
    assert await store.write(servers.claim, "secret"), "the secret can be used again"
    found, _ = await store.read(events.after, 0)
    assert [event.code for event in found] == ["1001"]
    await store.close()


def whose(connection: Connection) -> int:
    return connection.account


@pytest.mark.parametrize("column", ["secret", "port", "inbox_days", "version", "started_at", "serving", "seen_at"])
@pytest.mark.parametrize("value", ["'garbage'", "x'ff'"])
async def test_a_garbled_server_keeps_no_other_from_starting(
    store: SqliteStore, store_path: Path, column: str, value: str
) -> None:
    await store.write(servers.note, a_server("one"), NOW)
    spoil(store_path, f"servers SET {column} = {value}")
    await store.write(servers.note, a_server("two"), NOW)
    found = await store.read(servers.around, a_server("two"), NOW)
    assert [other.owner for other in found.others] == [a_server("one").owner]
    assert await store.read(servers.longest_days, 20, NOW) in (20, 30)
    assert not await store.read(servers.is_noted, a_server("one"), NOW), "it notes itself again"


def a_server(name: str) -> Server:
    owner = f"{leases.this_process()}:{name}"
    return Server(owner, "secret", port=8000, inbox_days=30, version="1", started_at=NOW, serving=1)


@pytest.mark.parametrize("value", ["'garbage'", "x'ff'", "7.5"])
async def test_a_server_whose_process_cannot_be_read_has_ended(
    store: SqliteStore, store_path: Path, value: str
) -> None:
    await store.write(servers.note, a_server("one"), NOW)
    spoil(store_path, f"servers SET owner = {value}")
    assert await store.read(servers.living, NOW) == []
    await store.write(servers.note, a_server("two"), NOW)
    assert await store.read(lambda c: c.count("SELECT count(*) FROM servers")) == 1


@pytest.mark.parametrize("end", ["17n5.3", "", "inf", "nan"])
async def test_a_lease_that_cannot_be_read_is_free(store: SqliteStore, end: str) -> None:
    one, other = (f"{leases.this_process()}:{name}" for name in ("one", "other"))

    def put_lease(connection: Connection) -> None:
        facts.put_own(connection, "lease", f"{other}|{end}")

    await store.write(put_lease)
    assert await store.write(leases.take, "lease", one, now=NOW, seconds=5)
    assert not await store.write(leases.take, "lease", other, now=NOW, seconds=5)


async def test_a_request_whose_priority_cannot_be_read_counts_as_a_person_s(
    store: SqliteStore, store_path: Path
) -> None:
    limiter = SharedLimiter(store, MovingClock(speed=0))
    await limiter.acquire(Priority.BACKFILL, timeout=0)
    spoil(store.requests.path, "requests SET priority = 'bAckfill'")
    for _ in range(TOTAL[Priority.PERSON] - 1):
        await limiter.acquire(Priority.PERSON, timeout=0)
    with pytest.raises(RateLimitedError):
        await limiter.acquire(Priority.PERSON, timeout=0)


async def test_an_answer_whose_time_cannot_be_read_is_none(store: SqliteStore, store_path: Path) -> None:
    await store.write(questions.put, "question", "entry", NOW)
    await store.write(questions.answer, "question", "entry", NOW)
    spoil(store_path, "questions SET answered_at = 'garbage'")
    assert await store.write(questions.answer, "question", "entry", NOW) is None


async def test_background_work_goes_on_after_an_error_that_nobody_thought_of(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Retention] = []

    async def fail_once(self: Retention) -> None:
        begun.append(self)
        if len(begun) == 1:
            raise ValueError("a value that nobody can read")
        await asyncio.Event().wait()

    monkeypatch.setattr(Retention, "run", fail_once)
    clock = MovingClock()
    with structlog.testing.capture_logs() as logs:
        async with connect(clock=clock):
            await until(lambda: begun, seconds=PATIENCE, what="the beginning")
            clock.advance(RESTART_SECONDS)
            await until(lambda: len(begun) == 2, seconds=PATIENCE, what="the second beginning")
    assert [log["log_level"] for log in logs if log["event"] == "background work failed"] == ["error"]
