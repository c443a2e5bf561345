"""What the store's queries read of events: of which account, which kinds, in which order, and how many."""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from store_helpers import an_event

from piv_mcp.store import accounts, events, polls, recording
from piv_mcp.store.event import CLOCK_TOLERANCE, SMS_RECEIVED, TOGETHER_SECONDS, StoredEvent, digest, newest_first
from piv_mcp.store.sqlite import SqliteConnection

NOW = 1_780_000_000.0
NUMBER = "vzPA1-kHKSg-EAL7e-Jqd3o"


def put(connection: SqliteConnection, n: int, **changes: Any) -> StoredEvent:
    """Store the event of a webhook, an SMS with a code unless `changes` say otherwise."""
    text = f"Your code is {n}"
    sms: dict[str, Any] = {"type": SMS_RECEIVED, "subject": NUMBER, "text": text, "text_key": text, "code": str(n)}
    return recording.add(connection, an_event(n, **{"arrived_at": NOW, **sms, **changes}))[0]


def quiet(connection: SqliteConnection, n: int, **changes: Any) -> StoredEvent:
    return put(connection, n, code=None, **changes)


def another_account(connection: SqliteConnection, n: int, **changes: Any) -> StoredEvent:
    account = connection.account
    connection.account = account + 1
    event = put(connection, n, **changes)
    connection.account = account
    return event


# Which


def test_every_query_reads_the_events_of_one_account(stored: SqliteConnection) -> None:
    mine = put(stored, 1000)
    another_account(stored, 2000, arrived_at=NOW + 10)
    assert events.codes(stored, NUMBER, limit=9) == [mine]
    assert events.code_ids(stored, NUMBER, after=0) == [mine.seq]
    assert events.last_heard(stored) == {NUMBER: mine.seq}
    assert events.after(stored, 0) == ([mine], 1)
    assert list(events.all_since(stored, 0)) == [mine]
    assert events.summary(stored) == (1, NOW)


def test_codes_and_messages_without_a_code_are_told_apart(stored: SqliteConnection) -> None:
    code, message = put(stored, 1000), quiet(stored, 2000)
    quiet(stored, 3000, text=None, text_key=None)  # a captured message that nobody may read
    quiet(stored, 4000, type="sms.status_updated")
    assert events.codes(stored, NUMBER, limit=9) == [code]
    assert events.code_ids(stored, NUMBER, after=0) == [code.seq]
    assert events.without_code(stored, NUMBER, limit=9) == [message]


def test_what_lies_at_a_bound_is_not_read(stored: SqliteConnection) -> None:
    first, second, third = (put(stored, n) for n in (1000, 2000, 3000))
    assert events.codes(stored, NUMBER, after=first.seq, limit=9) == [third, second]
    assert events.codes(stored, NUMBER, passed=[(second.seq, third.seq)], limit=9) == [first]
    assert events.code_ids(stored, NUMBER, after=second.seq) == [third.seq]
    assert events.after(stored, first.seq, before=third.seq) == ([second], 1)
    assert list(events.all_since(stored, second.seq)) == [third]


def test_only_confirmed_codes_are_read_where_only_they_are_wanted(stored: SqliteConnection) -> None:
    put(stored, 1000)
    confirmed = put(stored, 2000, source="history", digest=None, message_id="2", sender=None)
    assert confirmed.confirmed
    assert events.codes(stored, NUMBER, confirmed_only=True, limit=9) == [confirmed]


def test_the_newest_message_of_each_number_tells_when_it_was_heard(stored: SqliteConnection) -> None:
    put(stored, 1000)
    newest = put(stored, 2000)
    put(stored, 3000, text=None, text_key=None, code=None, type="verify.failed")
    other = put(stored, 4000, subject="another")
    assert events.last_heard(stored) == {NUMBER: newest.seq, "another": other.seq}


def test_an_event_about_several_numbers_is_found_by_a_whole_id(stored: SqliteConnection) -> None:
    kind = events.SEVERAL_NUMBERS_EVENT
    several = {"type": kind, "text": None, "text_key": None, "code": None}
    both = put(stored, 1, **several, subject=None, payload=json.dumps({"ids": [NUMBER, "another"]}))
    one = put(stored, 2, **several, payload=json.dumps({"ids": [NUMBER]}))
    assert events.after(stored, 0, subject=NUMBER) == ([both, one], 2), "each once, in their order"
    assert events.after(stored, 0, subject=NUMBER, newest=True) == ([one, both], 2)
    assert events.after(stored, 0, subject=NUMBER, limit=1) == ([both], 2)
    assert events.after(stored, 0, subject=NUMBER[:-1]) == ([], 0)


def test_events_are_counted_up_to_a_thousand(stored: SqliteConnection) -> None:
    recording.add_all(stored, [an_event(n, arrived_at=NOW, subject=NUMBER) for n in range(events.COUNTED)])
    assert events.after(stored, 0, limit=1)[1] == 1000
    several = {"type": events.SEVERAL_NUMBERS_EVENT, "subject": None, "payload": json.dumps([NUMBER])}
    recording.add(stored, an_event(5000, arrived_at=NOW, **several))
    assert events.after(stored, 0, subject=NUMBER, limit=1)[1] == 1000


def test_events_are_matched_before_they_are_counted(stored: SqliteConnection) -> None:
    for n in range(4):
        put(stored, n, payload=json.dumps({"data": {"n": n % 2}}))
    found = events.matching(stored, [SMS_RECEIVED], {"n": "1"}, after=0, limit=2)
    assert [event.data["n"] for event in found] == [1, 1]
    assert events.matching(stored, ["white.completed"], {}, after=0, limit=2) == []
    assert events.matching(stored, (), {"m": "null"}, after=0, limit=2) == []


def test_a_value_is_matched_as_it_is_written(stored: SqliteConnection) -> None:
    event = put(stored, 1, payload=json.dumps({"data": {"names": ["é", 7], "name": "é"}}))
    for match in ({"names": '["é", 7]'}, {"name": "é"}, {}):
        assert events.matching(stored, (), match, after=0, limit=2) == [event]
    assert events.matching(stored, (), {"name": '"é"'}, after=0, limit=2) == []


@pytest.mark.skipif(sys.platform == "win32", reason="a process cannot set its time zone there")
def test_data_is_the_same_whatever_the_form_and_place_of_its_times(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as tokyo:
        tokyo.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        forms = ["2026-05-22T12:34:56Z", "2026-05-22T14:34:56+02:00", "2026-05-22 12:34:56", " 2026-05-22T12:34:56.0Z"]
        places: list[Callable[[str], object]] = [lambda at: at, lambda at: {"at": at}, lambda at: [{"at": [at]}]]
        for place in places:
            assert len({digest("type", place(at)) for at in forms}) == 1
            assert digest("type", place("2026-05-22T12:34:57Z")) != digest("type", place(forms[0]))
    time.tzset()
    assert digest("one", {}) != digest("another", {})
    assert digest("type", {"a": 1, "b": 2}) == digest("type", {"b": 2, "a": 1})


@pytest.mark.parametrize(
    "payload", ["{", "[]", "null", "5", '"x"', '{"data": 5, "asked": 5}', f'{{"data": {"1" * 5000}}}']
)
@pytest.mark.parametrize("source", ["webhook", "history", "asked"])
def test_an_event_whose_payload_is_damaged_has_no_data_and_hides_no_other(source: Any, payload: str) -> None:
    damaged = an_event(1, source=source, subject=NUMBER, payload=payload, asked_since=NOW)
    assert (damaged.data.get("name"), damaged.differences) == (None, {})
    assert not damaged.matches({"name": "x"})


def test_what_arrived_at_a_moment_is_since_then(stored: SqliteConnection) -> None:
    put(stored, 1, arrived_at=NOW - 1)
    then, later = put(stored, 2), put(stored, 3, arrived_at=NOW + 1)
    assert list(events.all_since(stored, 0, arrived=NOW)) == [then, later]


# Order


def test_the_newest_code_stays_the_newest_though_many_older_ones_are_learnt_of_later(stored: SqliteConnection) -> None:
    newest = put(stored, 1000)
    for n in range(2000, 2000 + events.ORDERED_BEYOND + 1):
        history = {"source": "history", "digest": None, "message_id": str(n)}
        put(stored, n, **history, sent_at=NOW - 3600, reached_at=NOW)
    assert events.codes(stored, NUMBER) == [newest]


def test_as_many_are_read_as_are_wanted_and_those_in_their_order(stored: SqliteConnection) -> None:
    """A webhook that is tried again comes after a newer one."""
    late = put(stored, 1000, sent_at=NOW - 10, reached_at=NOW)
    early = put(stored, 2000, sent_at=NOW - 20, arrived_at=NOW + 60, reached_at=NOW + 60)
    assert events.codes(stored, NUMBER) == [late]
    assert events.codes(stored, NUMBER, limit=2) == [late, early]


@pytest.mark.parametrize(("apart", "own"), [(TOGETHER_SECONDS, True), (TOGETHER_SECONDS + 1, False)])
def test_own_times_decide_among_those_that_came_within_five_minutes(
    stored: SqliteConnection, apart: float, own: bool
) -> None:
    assert TOGETHER_SECONDS == 300
    first = put(stored, 1000, sent_at=NOW, reached_at=NOW)
    second = put(stored, 2000, sent_at=NOW - 10, arrived_at=NOW + apart, reached_at=NOW + apart)
    assert newest_first([second, first]) == ([first, second] if own else [second, first])


def test_of_two_that_came_at_one_moment_the_later_record_is_the_newer(stored: SqliteConnection) -> None:
    first, second = put(stored, 1000), put(stored, 2000)
    assert newest_first([first, second]) == newest_first([second, first]) == [second, first]


# Times


def test_the_last_event_that_was_recorded_before_a_moment(stored: SqliteConnection) -> None:
    before = put(stored, 1000, arrived_at=NOW - 1)
    put(stored, 2000)
    assert events.last_before(stored, NOW) == before.seq
    assert events.last_before(stored, NOW - 1) == 0


def test_the_last_event_is_as_old_as_it_says(stored: SqliteConnection) -> None:
    assert events.summary(stored) == (0, None)
    put(stored, 1000, source="history", digest=None, message_id="1", sent_at=NOW - 60, reached_at=NOW)
    assert events.summary(stored) == (1, NOW - 60)


def test_the_newest_webhooks_tell_the_time(stored: SqliteConnection) -> None:
    for n in range(4):
        put(stored, n, sent_at=NOW - 100 + n)
    put(stored, 4)
    put(stored, 5, source="history", digest=None, message_id="5", sent_at=NOW - 5, reached_at=NOW)
    assert events.newest_times(stored, 2) == [NOW - 97, NOW - 98]


@pytest.mark.parametrize(
    ("reached", "seconds", "within"), [(-60, 60, True), (-60.5, 60, False), (120, 60, True), (120.5, 60, False)]
)
def test_what_came_lately_is_told_by_piv_days_clock(reached: float, seconds: float, *, within: bool) -> None:
    """Its times come from several machines: a little ahead is not yet wrong."""
    event = an_event(1, arrived_at=NOW - 9999, stored_at=NOW, reached_at=NOW + reached)
    assert event.is_within(seconds, NOW, NOW) is within
    assert not replace(event, age_known=0).is_within(seconds, NOW, NOW)


@pytest.mark.parametrize(
    ("arrived", "stored", "within"), [(-60, 0, True), (-61, 0, False), (0, 5, True), (0, 3600, False)]
)
def test_without_piv_days_clock_what_came_lately_is_told_by_a_clock_that_was_not_set_back(
    arrived: float, stored: float, *, within: bool
) -> None:
    event = an_event(1, arrived_at=NOW + arrived, stored_at=NOW + stored)
    assert event.is_within(60, NOW, None) is within
    assert event.is_within(60, NOW, NOW) is within


@pytest.mark.parametrize(
    ("sent", "age"), [(-30, 30), (0, 0), (CLOCK_TOLERANCE, 0), (CLOCK_TOLERANCE + 1, 500), (None, 500)]
)
def test_an_age_is_told_by_the_message_s_own_time_unless_that_is_in_the_future(sent: float | None, age: float) -> None:
    assert CLOCK_TOLERANCE == 120
    event = an_event(1, arrived_at=NOW - 500, stored_at=NOW, sent_at=None if sent is None else NOW + sent)
    assert event.age(NOW, NOW) == age
    assert event.age(NOW, None) == 500
    assert event.age(NOW - 3600, None) is None
    assert event.age(NOW - 503, None) is None
    assert replace(event, stored_at=NOW - 500).age(NOW - 503, None) == 0, "clocks of several processes differ a little"
    assert replace(event, age_known=0).age(NOW, None) is None


# Erasing and pruning


def test_nothing_of_an_erased_number_is_left_nor_anything_of_another_gone(stored: SqliteConnection) -> None:
    put(stored, 1000, reached_at=NOW - 50)
    put(stored, 2000, type="verify.failed", text=None, text_key=None, code=None)
    other = put(stored, 3000, subject="another", reached_at=NOW)
    assert events.erase(stored, NUMBER) == 2
    assert list(events.all_since(stored, 0)) == [other]
    assert polls.look(stored, NUMBER).erased_at == NOW - 50
    events.erase(stored, NUMBER, NOW - 60)
    assert polls.look(stored, NUMBER).erased_at == NOW - 50, "not taken back"
    events.erase(stored, NUMBER, NOW + 60)
    assert polls.look(stored, NUMBER).erased_at == NOW + 60


@pytest.mark.parametrize(
    ("message", "through", "erased_at"),
    [
        ({"sent_at": NOW + 3590}, NOW + 1, NOW + 1),
        ({"sent_at": NOW + 3590}, 0.0, NOW - 5),
        ({"arrived_at": NOW + 40 * 86_400}, NOW, NOW),
        ({"sent_at": NOW + 100}, NOW, NOW + 100),
        ({"sent_at": NOW + 100, "reached_at": NOW + 60}, NOW - 3600, NOW + 100),
        pytest.param({"sent_at": "garbage"}, NOW, NOW, marks=pytest.mark.sqlite),
    ],
)
def test_what_was_erased_is_no_newer_than_can_be(
    stored: SqliteConnection, message: dict[str, Any], through: float, erased_at: float
) -> None:
    """What comes after it must be found."""
    put(stored, 1000, arrived_at=NOW - 5)
    seq = put(stored, 2000).seq
    for column, value in message.items():
        stored.execute(f"UPDATE events SET {column} = ? WHERE seq = ?", (value, seq))  # noqa: S608
    assert events.erase(stored, NUMBER, through, now=NOW) == 2
    assert polls.look(stored, NUMBER).erased_at == erased_at


@pytest.mark.parametrize("own", [1, 2, 3])
def test_what_was_erased_is_gone_for_every_account(stored: SqliteConnection, own: int) -> None:
    accounts.add_key(stored, "one")
    assert accounts.add_key(stored, "two") == 2
    stored.account = 3  # whose key and account were lost
    put(stored, 1000)
    stored.account = own
    assert events.erase(stored, NUMBER, NOW) == 1
    assert stored.account == own
    for account in (1, 2, 3):
        with accounts.acting_for(stored, account):
            assert polls.look(stored, NUMBER).erased_at == NOW


@pytest.mark.parametrize(("before", "remote_before", "deleted"), [(1, 1, 1), (0, 1, 0), (1, 0, 0)])
def test_an_event_is_old_by_both_clocks_or_not_at_all(
    stored: SqliteConnection, before: int, remote_before: int, deleted: int
) -> None:
    put(stored, 1000, reached_at=NOW + 1000)
    gone = events.prune(stored, before=NOW + before, remote_before=NOW + 1000 + remote_before, keep=100)
    assert gone == deleted


def test_a_message_that_the_history_showed_late_is_as_old_as_its_record(stored: SqliteConnection) -> None:
    history = {"source": "history", "digest": None, "message_id": "1"}
    payload = json.dumps({"id": "1", "received_at": "2026-05-01T00:00:00Z"})
    put(stored, 1000, **history, payload=payload, sent_at=NOW - 3600, reached_at=NOW)
    assert events.prune(stored, before=NOW, remote_before=NOW, keep=100) == 0
    assert events.prune(stored, before=NOW + 1, remote_before=NOW, keep=100) == 1


def test_one_call_of_prune_deletes_so_many_at_most(stored: SqliteConnection) -> None:
    for n in range(10):
        put(stored, n)
    for left in (7, 4, 3):
        events.prune(stored, before=NOW + 1, remote_before=NOW + 1 if left > 4 else None, keep=3, at_most=3)
        assert events.after(stored, 0)[1] == left
    for left in (1, 0):
        events.prune(stored, before=NOW + 1, remote_before=NOW + 1, keep=3, at_most=2)
        assert events.after(stored, 0)[1] == left


@pytest.mark.parametrize(
    ("received_at", "deleted"), [(None, 0), ("1999-01-01T00:00:00Z", 0), ("2026-05-01T00:00:00Z", 1)]
)
@pytest.mark.parametrize("sent_at", [None, NOW - 10], ids=["no time of a webhook", "with that of its webhook"])
def test_a_message_that_the_history_would_bring_back_as_a_new_one_is_kept(
    stored: SqliteConnection, received_at: str | None, deleted: int, sent_at: float | None
) -> None:
    payload = json.dumps({"id": "1", "message_body": "Your code is 1000", "received_at": received_at})
    history = {"source": "history", "digest": None, "message_id": "1", "payload": payload}
    put(stored, 1000, **history, sent_at=sent_at, reached_at=NOW)
    assert events.prune(stored, before=NOW + 1, remote_before=NOW + 1, keep=100) == deleted


def test_pruning_is_about_one_account(stored: SqliteConnection) -> None:
    others = [another_account(stored, n) for n in range(5)]
    mine = [put(stored, n) for n in range(10, 13)]
    assert events.prune(stored, before=NOW + 1, remote_before=None, keep=2) == 1
    assert [event.seq for event in events.all_since(stored, 0)] == [event.seq for event in mine[1:]]
    assert events.pruned_through(stored) == mine[0].seq
    with accounts.acting_for(stored, stored.account + 1):
        assert list(events.all_since(stored, 0)) == others
        assert events.pruned_through(stored) == 0, "nothing of theirs was deleted"


def test_what_was_pruned_of_either_account_is_known_of_both_in_one(stored: SqliteConnection) -> None:
    first, second = stored.account, stored.account + 1
    another_account(stored, 1)
    stored.execute("INSERT INTO accounts (id, user_id) VALUES (?, 'user') ON CONFLICT (id) DO NOTHING", (second,))
    with accounts.acting_for(stored, second):
        accounts.identify(stored, "user")
    put(stored, 2)
    last = put(stored, 3)
    assert events.prune(stored, before=NOW, remote_before=None, keep=0) == 2
    assert accounts.identify(stored, "user") == second != first
    stored.account = second
    assert events.pruned_through(stored) == last.seq
