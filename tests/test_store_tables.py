"""What the store's smaller tables remember, and of which account."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from engines import open_at
from harness import until
from moving_clock import MovingClock
from store_helpers import an_event, put

from piv_mcp.errors import StoreError
from piv_mcp.store import Store, accounts, backup, facts, leases, polls, questions, recording, servers
from piv_mcp.store.changes import Changes
from piv_mcp.store.polls import Look
from piv_mcp.store.servers import Server
from piv_mcp.store.sqlite import SqliteConnection

NOW = 1_780_000_000.0


def texts(stored: SqliteConnection) -> list[tuple[int, str]]:
    return [(int(at), str(text)) for at, text in stored.rows("SELECT account, text FROM events ORDER BY text")]


# Accounts


def test_of_what_two_keys_of_one_person_brought_each_message_stays_once(stored: SqliteConnection) -> None:
    """An id that piv.day uses again is no other's message, and webhooks have none."""
    history: dict[str, Any] = {"source": "history", "subject": "n-1", "digest": None}
    first, second = accounts.add_key(stored, "a"), accounts.add_key(stored, "b")
    for account in (first, second):
        stored.account = account
        for n, (text, message) in enumerate([("same", "m-1"), (f"of {account}", "m-2")]):
            recording.add(stored, an_event(n, **history, text=text, text_key=text, message_id=message))
        recording.add(stored, an_event(9, subject="n-1", text="hook", text_key="hook"))
        assert accounts.identify(stored, "person") == first
    both = ["hook", "hook", *sorted(f"of {account}" for account in (first, second)), "same"]
    assert texts(stored) == [(first, text) for text in both]


def test_all_that_a_key_has_becomes_the_accounts_also_where_both_have_the_same(stored: SqliteConnection) -> None:
    both = accounts.add_key(stored, "a"), accounts.add_key(stored, "b")
    tables = [str(name) for (name,) in stored.rows("SELECT name FROM sqlite_master WHERE type = 'table'")]
    owned = {name for name in tables if any(row[1] == "account" for row in stored.rows(f"PRAGMA table_info({name})"))}
    assert owned == {*accounts.OWNED_TABLES, "keys"}
    for account in both:
        stored.account = account
        polls.note_look(stored, "one", Look(at=NOW + account, seq=1))
        accounts.identify(stored, "person")
    stored.account = both[0]
    assert polls.look(stored, "one").was_made
    assert stored.count("SELECT count(*) FROM looks") == 1


def test_what_is_known_of_a_key_alone_is_known_of_its_account(stored: SqliteConnection) -> None:
    for n in range(12):  # the ids of accounts end with those of others
        accounts.add_key(stored, f"key {n}")
    for account, received in ((2, 0.0), (12, NOW)):
        stored.account = account
        if received:
            facts.put_own(stored, facts.WEBHOOK_RECEIVED, str(received))
        facts.put_own(stored, "paused", str(account))
        assert accounts.identify(stored, "person") == 2
    assert facts.own_number(stored, facts.WEBHOOK_RECEIVED) == NOW
    assert facts.own_number(stored, "paused") == 2, "the account's own stays"
    assert facts.number(stored, "paused@12") == 0


@pytest.mark.parametrize(("first_at", "second_at"), [(NOW, 0.0), (NOW, NOW + 1), (NOW + 1, NOW)])
@pytest.mark.parametrize("erased_by", [0, 1])
def test_what_a_key_has_erased_stays_erased_when_another_joins_its_account(
    stored: SqliteConnection, first_at: float, second_at: float, erased_by: int
) -> None:
    both = accounts.add_key(stored, "a"), accounts.add_key(stored, "b")
    history: dict[str, Any] = {"type": "sms.received", "source": "history", "subject": "one", "digest": None}
    for n, (account, at) in enumerate(zip(both, (first_at, second_at), strict=True)):
        with accounts.acting_for(stored, account):
            if at:
                polls.note_look(stored, "one", Look(at=at, seq=n, total=n))
            else:
                polls.note_failure(stored, "one", "no answer", NOW)
    with accounts.acting_for(stored, both[erased_by]):
        polls.note_erased(stored, "one", NOW)
    stored.account = both[1]
    for n, sent_at in enumerate((NOW, NOW + 5)):
        event = an_event(n, **history, text=f"{n}", text_key=f"{n}", message_id=f"{n}", sent_at=sent_at, reached_at=NOW)
        recording.add(stored, event)
    stored.account = both[0]
    accounts.identify(stored, "person")
    stored.account = both[1]
    accounts.identify(stored, "person")
    assert stored.account == both[0]
    looked = max((first_at, 0), (second_at, 1))
    assert polls.look(stored, "one") == Look(at=looked[0], seq=looked[1], total=looked[1], erased_at=NOW)
    assert [text for _, text in texts(stored)] == ["1"]


def test_whose_a_key_is_matters_only_beside_another_account(stored: SqliteConnection) -> None:
    stored.account = accounts.add_key(stored, "a")
    assert not accounts.is_doubtful(stored)
    stored.account = accounts.add_key(stored, "b")
    assert accounts.is_doubtful(stored)
    accounts.identify(stored, "person")
    assert not accounts.is_doubtful(stored)


def test_two_keys_of_one_account_leave_no_doubt(stored: SqliteConnection) -> None:
    stored.account = accounts.add_key(stored, "a")
    stored.execute("INSERT INTO keys (digest, account) VALUES ('b', ?)", (stored.account,))
    assert accounts.user_id(stored) is None
    assert not accounts.is_doubtful(stored)
    assert servers.key_digests(stored) == ["a", "b"]
    stored.account = accounts.add_key(stored, "c")
    assert servers.key_digests(stored) == ["c"]


def test_what_lasts_until_a_moment_is_over_then(stored: SqliteConnection) -> None:
    leases.note_watch(stored, "a", "one", now=NOW, until=NOW + 5)
    leases.note_watch(stored, "b", "two", now=NOW + 5, until=NOW + 60)
    assert leases.watched(stored) == 1


def test_what_a_clock_that_was_ahead_has_granted_is_over(stored: SqliteConnection) -> None:
    ahead = NOW + 3600
    leases.note_watch(stored, "a", "one", now=ahead, until=ahead + 30)
    hangs = f"{leases.this_process()}:hangs"
    assert leases.take(stored, "lease", hangs, now=ahead, seconds=6)
    leases.note_watch(stored, "b", "two", now=NOW, until=NOW + 30)
    assert leases.watched(stored) == 1
    assert leases.take(stored, "lease", "another", now=NOW, seconds=6)


def test_an_id_that_no_process_can_have_is_that_of_none() -> None:
    assert leases.is_gone(f"{'9' * 30}:1:abc")


def test_another_users_process_is_told_by_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_allowed(_: int, __: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", not_allowed)
    assert not leases.is_gone(f"{leases.this_process()}:abc")
    assert leases.is_gone(f"{leases.this_process()}1:abc"), "its id was used again"


def test_numbers_that_another_account_polls_do_not_count(stored: SqliteConnection) -> None:
    for account, watcher, number in ((1, "a", "one"), (1, "b", "one"), (1, "c", "two"), (2, "d", "three")):
        stored.account = account
        leases.note_watch(stored, watcher, number, now=NOW, until=NOW + 60)
    assert leases.watched(stored) == 1
    stored.account = 1
    assert leases.watched(stored) == 2


def test_how_long_events_are_kept_is_told_by_the_accounts_own_servers(stored: SqliteConnection) -> None:
    for account, days in ((1, 20), (1, 40), (2, 90)):
        stored.account = account
        owner = f"{leases.this_process()}:{days}"
        servers.note(stored, Server(owner=owner, port=0, secret="s", inbox_days=days, version="1", started_at=0), NOW)
    assert servers.longest_days(stored, 30, NOW) == 90
    stored.account = 1
    assert (servers.longest_days(stored, 30, NOW), servers.longest_days(stored, 50, NOW)) == (40, 50)


def test_who_holds_a_port_is_named_where_only_one_can(stored: SqliteConnection) -> None:
    def server(name: str, *, serving: int = 0) -> Server:
        owner = f"{leases.this_process()}:{name}"
        return Server(owner, "s", port=8000, inbox_days=30, version="1", started_at=0, serving=serving)

    servers.note(stored, server("a"), NOW)
    assert servers.holder_pid(stored, 8000, NOW) == str(os.getpid())
    servers.note(stored, server("b"), NOW)
    assert servers.holder_pid(stored, 8000, NOW) is None, "nobody knows which"
    assert servers.holder_pid(stored, 8000, NOW, but=server("b").owner) == str(os.getpid())
    servers.note(stored, server("b", serving=1), NOW)
    assert servers.holder_pid(stored, 8000, NOW) == str(os.getpid())
    assert servers.holder_pid(stored, 8001, NOW) is None
    assert servers.is_noted(stored, server("a"), NOW)
    assert not servers.is_noted(stored, server("b"), NOW), "it does not serve any more"
    assert not servers.is_noted(stored, server("a"), NOW + servers.UNSEEN_SECONDS)
    stored.account += 1
    assert servers.is_noted(stored, server("a"), NOW), "as another account's row it is kept"


# The page


@pytest.mark.parametrize(
    ("name", "at", "opens"),
    [
        (facts.PAGE_SEEN, -10.0, False),
        (facts.PAGE_SEEN, -10.1, True),
        (facts.PAGE_SEEN, facts.SAME_MOMENT_SECONDS, False),
        (facts.PAGE_SEEN, facts.SAME_MOMENT_SECONDS + 0.1, True),
        (facts.PAGE_OPENED, -60.0, False),
        (facts.PAGE_OPENED, -60.1, True),
    ],
)
def test_a_page_is_opened_unless_it_was_seen_or_opened_just_now(
    stored: SqliteConnection, name: str, at: float, opens: bool
) -> None:
    """A time in the future is that of a clock that was wrong."""
    facts.put_own(stored, name, str(NOW + at))
    assert facts.claim_page(stored, NOW, seen_since=NOW - 10, opened_since=NOW - 60) is opens
    stored.account += 1
    assert facts.claim_page(stored, NOW, seen_since=NOW - 10, opened_since=NOW - 60), "the page of another account"
    assert not facts.claim_page(stored, NOW, seen_since=NOW - 10, opened_since=NOW - 60)


# Questions


def test_an_answer_counts_for_the_entry_that_was_asked_about_and_from_the_first_time(stored: SqliteConnection) -> None:
    questions.put(stored, "q", "entry", NOW)
    assert questions.answer(stored, "q", "another entry", NOW + 1) is None
    assert questions.answer(stored, "q", "entry", NOW + 2) == NOW + 2
    assert questions.answer(stored, "q", "entry", NOW + 3) == NOW + 2
    questions.put(stored, "later", "entry", NOW + 86_400)
    assert questions.answer(stored, "q", "entry", NOW) == NOW + 2
    questions.put(stored, "later still", "entry", NOW + 86_401)
    assert questions.answer(stored, "q", "entry", NOW) is None, "it is deleted after a day"


# Changes


async def test_a_store_that_cannot_be_read_for_a_moment_ends_no_wait(
    store: Store, store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = Changes(store, MovingClock(speed=50))
    await store.write(put("first"))
    read, failed = store.read, 0

    async def fails_at_first(*args: Any, **kwargs: Any) -> Any:
        nonlocal failed
        failed += 1
        if failed <= 3:
            raise StoreError("the store is locked by another program")
        return await read(*args, **kwargs)

    monkeypatch.setattr(store, "read", fails_at_first)
    waiting = asyncio.create_task(changes.wait(changes.version, 60))
    another = open_at(store_path)
    await another.write(put("second"))
    assert await asyncio.wait_for(waiting, 20)
    assert failed > 3
    await another.close()
    await changes.close()


async def test_a_commit_about_one_number_wakes_who_waits_for_that_one_or_for_any(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = Changes(store, MovingClock(speed=0))
    waits = {
        subject: asyncio.create_task(changes.wait(changes.version_of(subject), 60, subject))
        for subject in ("one", "two", None)
    }
    await until(lambda: changes.version > 0, seconds=20, what="the first look, which wakes all")
    await asyncio.gather(*waits.values())
    versions = {subject: changes.version_of(subject) for subject in waits}
    changes.notify({"one", None})
    told = {subject for subject, version in versions.items() if changes.version_of(subject) != version}
    assert told == {"one", None}
    monkeypatch.setattr("piv_mcp.store.changes.MOST_SUBJECTS", 1)
    for subject in ("a", "b", "c"):
        before = {subject: changes.version_of(subject) for subject in ("a", "b", "c", "two")}
        changes.notify({subject})
        after = {subject: changes.version_of(subject) for subject in before}
        assert after[subject] > before[subject]
        assert all(after[name] >= before[name] for name in before), "no version comes again"
    changes.notify()
    assert all(changes.version_of(name) > after[name] for name in after)
    await changes.close()


# Copies


async def test_a_copy_overwrites_nothing_where_files_have_no_second_name(
    store: Store, store_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.write(put("one"))
    target = tmp_path / "copy.sqlite3"

    def no_links(_: Path, to: Path) -> None:
        if is_late:
            to.write_text("of somebody")
        raise PermissionError("no hard links here")

    monkeypatch.setattr(os, "link", no_links)
    is_late = False
    backup.copy_to(store_path, target)
    assert target.stat().st_size > 4096
    target.unlink()
    is_late = True
    with pytest.raises(StoreError, match="the copy was not made"):
        backup.copy_to(store_path, target)
    assert target.read_text() == "of somebody"
    assert sorted(name for name in os.listdir(tmp_path) if name.startswith("copy")) == ["copy.sqlite3"]
