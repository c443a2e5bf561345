"""How a person reads through the stored events: by when they came, page by page, and by searching."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from piv_mcp.store import Connection, accounts, events, listing
from piv_mcp.store.event import SMS_RECEIVED, StoredEvent
from piv_mcp.store.listing import InboxSearch

NOW = 1_800_000_000.0
BASE = StoredEvent(type=SMS_RECEIVED, source="webhook", arrived_at=NOW, payload="{}", subject="number-1", text="hello")


def put(stored: Connection, *rows: StoredEvent) -> None:
    events.insert(stored, rows)


def texts(found: Sequence[StoredEvent]) -> list[str | None]:
    return [event.text for event in found]


def search(stored: Connection, text: str, subjects: Sequence[str] = ()) -> list[str | None]:
    listed = listing.newest(stored, messages_only=True, sought=InboxSearch(text, subjects), limit=10)
    return texts(listed.events)


def test_events_are_in_the_order_in_which_they_came_and_not_in_that_of_their_ids(stored: Connection) -> None:
    put(stored, replace(BASE, text="new", reached_at=NOW), replace(BASE, text="old", sent_at=NOW - 9, arrived_at=NOW))
    put(stored, replace(BASE, text="older", arrived_at=NOW - 99))
    listed = listing.newest(stored, messages_only=True, limit=10)
    assert (texts(listed.events), listed.more) == (["new", "old", "older"], False)


def test_pages_follow_each_other_without_a_gap_also_at_one_moment(stored: Connection) -> None:
    put(stored, *(replace(BASE, text=str(n)) for n in range(7)))
    seen: list[str | None] = []
    before = None
    while True:
        listed = listing.newest(stored, messages_only=True, before=before, limit=3)
        seen += texts(listed.events)
        if not listed.more:
            break
        before = listing.place_of(listed.events[-1])
    assert seen == [str(n) for n in reversed(range(7))]


def test_other_events_and_other_accounts_show_where_they_belong(stored: Connection) -> None:
    put(stored, BASE, replace(BASE, type="domain.expired", text=None, subject=None))
    with accounts.acting_for(stored, stored.account + 7):
        put(stored, replace(BASE, text="of another account"))
    assert texts(listing.newest(stored, messages_only=True, limit=9).events) == ["hello"]
    assert len(listing.newest(stored, messages_only=False, limit=9).events) == 2
    assert search(stored, "account") == []


@pytest.mark.parametrize("text", ["STRASSE", "straße 5%", "a_b", "!x", "код 12", "КОД 12", "Код 12"])
def test_a_search_takes_text_as_it_is_whatever_its_case(stored: Connection, text: str) -> None:
    found = {
        "STRASSE": "In der Strasse",
        "straße 5%": "In der Straße 5%",
        "a_b": "see a_b",
        "!x": "stop!x",
    }.get(text, "Ваш код 12")
    put(stored, replace(BASE, text=found), replace(BASE, text="aXb 5 yes"))
    assert search(stored, text) == [found]


def test_a_search_looks_in_senders_codes_links_and_at_numbers(stored: Connection) -> None:
    put(
        stored,
        replace(BASE, text="1", sender="Google"),
        replace(BASE, text="2", code="482913"),
        replace(BASE, text="3", link="https://example.com/x"),
        replace(BASE, text="4", subject="number-2"),
    )
    assert search(stored, "google") == ["1"]
    assert search(stored, "4829") == ["2"]
    assert search(stored, "example.com") == ["3"]
    assert search(stored, "nothing", ["number-2"]) == ["4"]


def test_a_search_says_how_far_it_looked_and_goes_on_from_there(
    stored: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "SEARCHED_EVENTS", 5)
    put(stored, replace(BASE, text="wanted", arrived_at=NOW - 50), *(replace(BASE, text=str(n)) for n in range(7)))
    listed = listing.newest(stored, messages_only=True, sought=InboxSearch("wanted"), limit=3)
    assert (listed.events, listed.more) == ([], False)
    assert listed.searched_to is not None
    further = listing.newest(
        stored, messages_only=True, before=listed.searched_to, sought=InboxSearch("wanted"), limit=3
    )
    assert (texts(further.events), further.searched_to) == (["wanted"], None)


def test_the_last_webhook_is_told_among_the_newest_events(stored: Connection) -> None:
    put(stored, replace(BASE, stored_at=NOW - 60, digest="x"), replace(BASE, source="history", stored_at=NOW))
    assert listing.last_webhook(stored, among=10) == NOW - 60
    assert listing.last_webhook(stored, among=1) is None
