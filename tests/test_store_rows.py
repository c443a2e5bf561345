"""One value of one row is garbage: the others are read all the same, and money errs on the careful side."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from store_helpers import add_all, an_event
from test_store_damage import PAGE, content, overwrite_at, set_aside

from piv_mcp.store import Store, events, facts, journal, polls
from piv_mcp.store.event import StoredEvent
from piv_mcp.store.journal import Entry
from piv_mcp.store.polls import Look
from piv_mcp.store.rows import RowReader

NOW = 1_800_000_000.0
BUDGET = Decimal(100)


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
    store: Store, store_path: Path, garbage: str, source: str
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
async def test_a_fact_that_is_no_number_is_as_good_as_none(store: Store, value: str) -> None:
    await store.write(facts.put, events.PRUNED_THROUGH, value)
    assert await store.read(events.pruned_through) == 0


@pytest.mark.parametrize("column", ["at", "seq", "remote_at", "total", "erased_at", "failing_since"])
async def test_a_garbled_look_is_read_without_what_is_garbled(store: Store, store_path: Path, column: str) -> None:
    whole = Look(at=NOW, seq=7, remote_at=NOW, total=3, erased_at=NOW, failing_since=NOW, problem="it hangs")
    await store.write(polls.note_erased, "one", NOW)
    await store.write(polls.note_look, "one", whole)
    spoil(store_path, f"looks SET {column} = 'garbage'")
    none = getattr(Look(), column)
    assert await store.read(polls.look, "one") == replace(whole, **{column: none})


@pytest.mark.parametrize("column", ["price", "charged"])
@pytest.mark.parametrize("value", ["'garbage'", "'NaN'", "x'00'"])
async def test_a_charge_that_cannot_be_read_leaves_nothing_of_the_budget(
    store: Store, store_path: Path, column: str, value: str
) -> None:
    await store.write(lambda connection: [journal.insert(connection, an_entry(n)) for n in (1, 2)])
    assert await store.read(journal.reserved_by_budget, 0.0) == 8
    spoil(store_path, f"spending SET {column} = {value} WHERE seq = 1")
    assert await store.read(journal.reserved_by_budget, 0.0) > BUDGET
    entries = await store.read(journal.newest, limit=9)
    assert [getattr(entry, column) for entry in entries] == ["4.00", None]
    proposed = await store.write(
        journal.propose,
        an_entry(3, state="quoted", decided_by=None, decided_at=None, charged=None),
        budget=Decimal(4),
        daily_budget=BUDGET,
        spent_since=0.0,
        doubtful_since=0.0,
    )
    assert proposed.state == "quoted", "a person decides"
    if column == "charged":
        overcharged = await store.read(journal.overcharged, "purchase_number")
        assert overcharged is not None
        assert overcharged.id == "sp_1"


async def test_an_entry_whose_state_cannot_be_read_counts_as_sent(store: Store, store_path: Path) -> None:
    await store.write(journal.insert, an_entry(1))
    spoil(store_path, "spending SET state = 'ch@rged'")
    (shown,) = await store.read(journal.newest, limit=9)
    assert shown.state == "unknown"
    (unknown,) = await store.write(journal.recover, lambda _: False, NOW)
    assert (unknown.id, unknown.state) == ("sp_1", "unknown")
    blocking = await store.read(journal.blocking, "print-1")
    assert blocking is not None
    assert await store.read(journal.reserved_by_budget, 0.0) == 4


@pytest.mark.parametrize("value", ["'garbage'", "x'00'", "1e300"])
async def test_an_approval_whose_end_cannot_be_read_is_over(store: Store, store_path: Path, value: str) -> None:
    await store.write(journal.insert, an_entry(1, state="approved", charged=None))
    spoil(store_path, f"spending SET expires_at = {value}")
    assert not await store.write(journal.claim, "sp_1", owner="me", before="{}", now=NOW)
    await store.write(journal.expire, NOW)
    (shown,) = await store.read(journal.newest, limit=9)
    assert shown.state == "expired"


@pytest.mark.parametrize("column", ["quoted_at", "settled_at", "decided_at", "sent_at", "result", "before"])
async def test_no_entry_is_lost_for_a_value_of_it(store: Store, store_path: Path, column: str) -> None:
    await store.write(lambda connection: [journal.insert(connection, an_entry(n, result="{}")) for n in (1, 2)])
    spoil(store_path, f"spending SET {column} = 'garbage' WHERE seq = 1")
    assert [entry.id for entry in await store.read(journal.newest, limit=9)] == ["sp_2", "sp_1"]
    assert await store.read(journal.made) == frozenset()
    assert await store.read(journal.reserved_by_budget, 0.0) == 8


def test_a_row_that_is_as_it_should_be_is_read_as_it_is() -> None:
    read = RowReader(Look)
    row = (NOW, 7, None, 3, 5, None, None, "it hangs")
    assert read(row) == read(row) == Look(*row)
    assert read((1e300, *row[1:])) == replace(Look(*row), at=0.0), "also after one of the same kinds"


async def test_an_index_that_would_lead_round_and_round_is_made_anew(store_path: Path) -> None:
    """One bit makes bytes of a text."""
    names = [f"{first}qbSn-J0YyB-COlfs-O8gIp" for first in "ax"]
    store = Store(store_path)
    await add_all(store, [replace(an_sms(n), subject=name) for n, name in enumerate(names)])
    await store.close()
    with closing(sqlite3.connect(store_path)) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'events_heard'").fetchone()
    page = content(store_path)[(root - 1) * PAGE : root * PAGE]
    kind = page.rfind(13 + 2 * len(names[1]), 0, page.rfind(names[1].encode()))
    overwrite_at(store_path, (root - 1) * PAGE + kind, bytes([page[kind] ^ 1]))
    store = Store(store_path)
    assert await store.read(events.last_heard) == {names[0]: 1, names[1]: 2}
    await store.close()
    assert set_aside(store_path) == []


async def test_a_number_that_became_bytes_is_a_text_again(store: Store, store_path: Path) -> None:
    await add_all(store, [an_sms(1), an_sms(2)])
    spoil(store_path, "events SET subject = CAST(subject AS BLOB) WHERE seq = 2")
    for _ in range(3):
        assert await store.read(events.last_heard) == {"number-1": 1, "number-2": 2}
    assert len(set_aside(store_path)) == 1, "once and for all"
