"""Another database takes the place of one in use: what only its process still sees is added to the new one, or kept."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from store_helpers import PATIENCE, add_all, an_event, posix_only, put

from piv_mcp.errors import StoreError
from piv_mcp.store import Connection, SqliteStore, Store, accounts, events, freezes, journal, polls, recovery
from piv_mcp.store.event import StoredEvent
from piv_mcp.store.freezes import Freeze
from piv_mcp.store.journal import Entry, State
from piv_mcp.store.polls import Look

pytestmark = [pytest.mark.sqlite, posix_only]

NOW = 1_790_000_000.0


@pytest.fixture
async def store(store_path: Path) -> AsyncIterator[Store]:
    """The one in use."""
    store = SqliteStore(store_path, key_digest="key", busy_seconds=PATIENCE)
    yield store
    await store.close()


async def another(store_path: Path, *found: StoredEvent, key: str | None = "key") -> Path:
    """A store at another place, with these events."""
    path = store_path.with_name("another")
    store = SqliteStore(path, key_digest=key)
    await add_all(store, list(found))
    await store.close()
    return path


def an_sms(n: int, **changes: Any) -> StoredEvent:
    text = f"Your code is 10{n:02}"
    fields = {"text": text, "text_key": text, "code": f"10{n:02}", "code_source": "text", **changes}
    return an_event(n, arrived_at=NOW + n, type="sms.received", subject=f"number-{n}", sent_at=NOW + n, **fields)


def an_entry(name: str, state: State, *, sent_at: float | None = NOW) -> Entry:
    return Entry(
        id=name,
        kind="purchase_number",
        area="numbers",
        arguments="{}",
        fingerprint=name,
        state=state,
        quote="{}",
        price="4.00",
        quoted_at=NOW,
        expires_at=NOW,
        sent_at=sent_at,
    )


async def codes(store: Store) -> list[str | None]:
    found, _ = await store.read(events.after, 0)
    return [event.code for event in found]


async def test_events_and_journal_go_on_in_the_store_that_took_the_place_of_the_one_in_use(
    store: Store, store_path: Path
) -> None:
    await add_all(store, [an_sms(1), an_sms(2)])

    def spend(connection: Connection) -> None:
        journal.insert(connection, an_entry("sp_1", "unknown"))
        journal.insert(connection, an_entry("sp_2", "executing"))
        journal.insert(connection, an_entry("sp_3", "approved", sent_at=None))
        journal.insert(connection, an_entry("sp_4", "quoted", sent_at=None))

    await store.write(spend)
    os.replace(await another(store_path, an_sms(2), an_sms(3)), store_path)
    with structlog.testing.capture_logs() as logs:
        await store.write(put("after"))
    assert await codes(store) == ["1002", "1003", "1001"]
    entries = await store.read(journal.newest, limit=10)
    assert {entry.id: entry.state for entry in entries} == {"sp_1": "unknown", "sp_2": "executing"}
    assert await store.read(journal.blocking, "sp_1")
    (told,) = [log for log in logs if "what it did not have" in log["event"]]
    assert (told["events"], told["journal_entries"]) == (1, 2)
    assert (await store.read(events.select, "subject = 'number-1'", ()))[0].arrived_at == NOW + 1


async def test_an_entry_that_the_new_store_has_as_it_was_before_it_was_sent_counts_as_sent(
    store: Store, store_path: Path
) -> None:
    copy = await another(store_path)
    restored = SqliteStore(copy, key_digest="key")
    await restored.write(journal.insert, an_entry("sp_1", "expired", sent_at=None))
    await restored.write(journal.insert, an_entry("sp_2", "charged"))
    await restored.close()
    await store.write(journal.insert, an_entry("sp_1", "unknown"))
    await store.write(journal.insert, an_entry("sp_2", "unknown"))
    os.replace(copy, store_path)
    await store.write(put("after"))
    entries = await store.read(journal.newest, limit=10)
    assert {entry.id: entry.state for entry in entries} == {"sp_1": "unknown", "sp_2": "charged"}


@pytest.mark.parametrize("of_all", [True, False])
async def test_a_freeze_holds_in_the_store_that_took_the_place(store: Store, store_path: Path, of_all: bool) -> None:
    ordered = Freeze(NOW, "terminal")
    await store.write(freezes.begin, ordered, lambda _: True, of_all=of_all)
    os.replace(await another(store_path, an_sms(1), key="of somebody else"), store_path)
    await store.write(put("after"))
    assert await store.read(freezes.current) == ordered
    stranger = SqliteStore(store_path, key_digest="of somebody else")
    assert await stranger.read(freezes.current) == ordered, "also for a key that nobody knows the owner of"
    await stranger.close()


async def test_rows_stay_with_the_account_of_their_key(store: Store, store_path: Path) -> None:
    await add_all(store, [an_sms(1)])
    os.replace(await another(store_path, an_sms(2), key="of somebody else"), store_path)
    await store.write(put("after"))
    assert await codes(store) == ["1001"]
    stranger = SqliteStore(store_path, key_digest="of somebody else")
    assert await codes(stranger) == ["1002"]
    await stranger.close()


async def test_both_sources_of_a_message_become_one_event(store: Store, store_path: Path) -> None:
    await add_all(store, [an_sms(1)])
    shown = an_sms(1, source="history", digest=None, message_id="m-1", sender="Acme", payload="{}")
    os.replace(await another(store_path, shown), store_path)
    await store.write(put("after"))
    (event,), _ = await store.read(events.after, 0)
    assert (event.code, event.message_id, event.digest) == ("1001", "m-1", "digest-1")


async def test_what_was_erased_in_the_new_store_does_not_come_back(store: Store, store_path: Path) -> None:
    await add_all(store, [an_sms(1), an_sms(2)])
    copy = await another(store_path)
    restored = SqliteStore(copy, key_digest="key")
    await restored.write(polls.note_look, "number-1", Look(at=NOW))
    await restored.write(events.erase, "number-1", NOW + 60)
    await restored.close()
    os.replace(copy, store_path)
    await store.write(put("after"))
    assert await codes(store) == ["1002"]


async def test_what_cannot_be_added_is_kept_and_named(
    store: Store, store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise StoreError("of a newer version")

    monkeypatch.setattr(recovery, "join", refuse)
    await add_all(store, [an_sms(1)])
    os.replace(await another(store_path), store_path)
    with structlog.testing.capture_logs() as logs:
        await store.write(put("after"))
    (told,) = [log for log in logs if "kept" in log]
    kept = SqliteStore(Path(told["kept"]), key_digest="key")
    assert await codes(kept) == ["1001"]
    await kept.close()


async def test_rows_of_nobody_are_kept_and_given_to_nobody(store: Store, store_path: Path) -> None:
    await add_all(store, [an_sms(1)])

    def lose_key(connection: Connection) -> None:
        connection.execute("UPDATE events SET account = 77")

    await store.write(lose_key)
    os.replace(await another(store_path), store_path)
    await store.write(put("after"))
    assert await codes(store) == []
    assert len(recovery.damaged_copies(store_path)) == 1


async def test_while_the_disk_is_full_what_only_this_process_sees_is_not_given_up(
    store: Store, store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_all(store, [an_sms(1)])
    os.replace(await another(store_path), store_path)
    with monkeypatch.context() as full:

        def no_space(*_: object) -> bool:
            raise OSError(28, "No space left on device")

        full.setattr(recovery, "_copy_view", no_space)
        with pytest.raises(StoreError, match="No space left"):
            await store.write(put("refused"))
    await store.write(put("after"))
    assert await codes(store) == ["1001"]


async def test_a_process_without_a_key_adds_to_the_only_account(store_path: Path) -> None:
    store = SqliteStore(store_path, busy_seconds=PATIENCE)
    await add_all(store, [an_sms(1)])
    os.replace(await another(store_path, an_sms(2)), store_path)
    await store.write(put("after"))
    assert await codes(store) == ["1002", "1001"]
    assert await store.read(accounts.keys) == ["key"]
    await store.close()
