"""When an event of one source is one that is stored already, and what its row then says."""

from typing import Any

import pytest
from store_helpers import an_event

from piv_mcp.store import events, polls, recording
from piv_mcp.store.event import CREDIBLE_SINCE, SMS_RECEIVED, TIMED, StoredEvent
from piv_mcp.store.sqlite import SqliteConnection
from piv_mcp.text.sameness import same_text_key

NOW = 1_780_000_000.0
NUMBER = "vzPA1-kHKSg-EAL7e-Jqd3o"
TEXT = "Your code is 482913, don’t share it"
DAMAGED = TEXT.replace("’", "?")


def sms(text: str, **changes: Any) -> StoredEvent:
    about: dict[str, Any] = {"type": SMS_RECEIVED, "subject": NUMBER, "text": text, "text_key": same_text_key(text)}
    return an_event(1, **{"arrived_at": NOW, **about, **changes})


def webhook(text: str = TEXT, **changes: Any) -> StoredEvent:
    return sms(text, **{"sent_at": NOW, **changes})


def history(text: str = TEXT, **changes: Any) -> StoredEvent:
    return sms(text, **{"source": "history", "digest": None, "message_id": "1", "sent_at": NOW, **changes})


def add(connection: SqliteConnection, event: StoredEvent) -> StoredEvent:
    return recording.add(connection, event)[0]


def is_new(connection: SqliteConnection, event: StoredEvent) -> bool:
    return recording.add(connection, event)[1]


# Its own time


@pytest.mark.parametrize(
    ("now", "remote_now", "sent_at", "credible"),
    [
        (NOW, None, NOW + 3600, True),
        (NOW, None, NOW + 3601, False),
        (1000.0, None, NOW, True),  # this machine's clock was never set
        (1000.0, None, 4_200_000_000.0, False),
        (1000.0, NOW, NOW + 120, True),
        (NOW, NOW, NOW + 121, False),
        (NOW, NOW, CREDIBLE_SINCE, True),
        (NOW, NOW, CREDIBLE_SINCE - 1, False),
    ],
)
def test_a_message_s_own_time_is_believed_within_bounds(
    stored: SqliteConnection, now: float, remote_now: float | None, sent_at: float, *, credible: bool
) -> None:
    event = add(stored, webhook(arrived_at=now, reached_at=remote_now, sent_at=sent_at))
    assert event.sent_at == (sent_at if credible else None)


def test_a_webhook_reaches_the_account_when_it_comes(stored: SqliteConnection) -> None:
    polls.note_look(stored, NUMBER, polls.Look(at=NOW - 100, remote_at=NOW - 100))
    event = add(stored, webhook(reached_at=NOW, sent_at=NOW - 7200))
    assert (event.sent_at, event.reached_at, event.age_when_stored, event.age_known) == (NOW - 7200, NOW, 0, 1)


def test_a_message_that_is_dated_a_little_ahead_has_just_come(stored: SqliteConnection) -> None:
    event = add(stored, history(reached_at=NOW, sent_at=NOW + 60))
    assert (event.sent_at, event.reached_at, event.arrived_at) == (NOW + 60, NOW, NOW)


# The same source


def test_one_account_s_events_are_no_repetitions_of_another_s(stored: SqliteConnection) -> None:
    for event in (webhook(), history("Your code is 7777")):
        assert is_new(stored, event)
        stored.account += 1
        assert is_new(stored, event)
        assert [new for _, new in recording.add_all(stored, [event])] == [False]
        stored.account -= 1


def test_the_sources_of_two_accounts_are_not_put_together(stored: SqliteConnection) -> None:
    for first, second in ((webhook(), history()), (history("Another", message_id="2"), webhook("Another", digest="2"))):
        add(stored, first)
        stored.account += 1
        assert is_new(stored, second)
        stored.account -= 1


def test_a_message_of_the_history_is_one_whose_text_is_damaged_at_the_next_look(stored: SqliteConnection) -> None:
    known = add(stored, history())
    assert recording.knows(stored, history(DAMAGED))
    assert add(stored, history(DAMAGED)) == known
    assert is_new(stored, history("Something else under the same id"))


def test_a_code_that_the_same_source_gives_later_is_found_by_who_had_read_its_message(stored: SqliteConnection) -> None:
    for source in (webhook, history):
        known = add(stored, source(text=f"{source.__name__} 482913"))
        row = add(stored, source(text=f"{source.__name__} 482913", code="482913", code_source="api"))
        assert (row.code, row.code_source) == ("482913", "api")
        assert events.codes(stored, NUMBER, after=known.seq, limit=9) == [row]
        assert add(stored, source(text=f"{source.__name__} 482913", code="7777", code_source="text")) == row


def test_a_retry_is_told_among_many_equal_events(stored: SqliteConnection) -> None:
    for n in range(25):
        assert is_new(stored, an_event(1, arrived_at=NOW + 100 * n, sent_at=NOW + 100 * n))
    assert not is_new(stored, an_event(1, arrived_at=NOW + 2430, sent_at=NOW + 2430))


@pytest.mark.parametrize(("later", "new"), [(60, False), (61, True)])
def test_a_retry_is_told_also_when_its_row_has_the_time_of_the_history(
    stored: SqliteConnection, later: float, *, new: bool
) -> None:
    add(stored, history(sent_at=NOW - 600, reached_at=NOW))
    assert add(stored, webhook()).sent_at == NOW - 600
    assert is_new(stored, webhook(arrived_at=NOW + later, sent_at=NOW + later)) is new


def test_a_retry_of_a_webhook_with_a_time_of_its_own_is_one_however_late_and_wrong_that_time(
    stored: SqliteConnection,
) -> None:
    for later in (0, 3600):
        event = webhook(digest=f"{TIMED}1", arrived_at=NOW + later, sent_at=NOW + 86_400)
        assert is_new(stored, event) is (later == 0)


# Two sources


def test_an_equal_text_of_another_time_does_not_hide_a_damaged_one_of_this(stored: SqliteConnection) -> None:
    add(stored, webhook(digest="earlier", sent_at=NOW - 2000))
    damaged = add(stored, webhook(DAMAGED))
    assert add(stored, history()).seq == damaged.seq


@pytest.mark.parametrize(
    ("text", "apart", "one"),
    [
        (TEXT, 900, True),
        (TEXT, 903, False),
        (TEXT, 1802, True),  # another local time
        (TEXT, 1803, False),
        (TEXT, 26 * 3600, True),
        (TEXT, 26 * 3600 + 900, False),
        (DAMAGED, 300, True),
        (DAMAGED, 301, False),
        (DAMAGED, 1800, True),
        ("Your code is 482914, don’t share it", 0, False),
    ],
)
def test_a_webhook_and_a_message_are_one_if_their_times_fit(
    stored: SqliteConnection, text: str, apart: float, *, one: bool
) -> None:
    add(stored, webhook())
    assert is_new(stored, history(text, arrived_at=NOW + 1000, sent_at=NOW - apart)) is not one


@pytest.mark.parametrize(("looked_before", "one"), [(True, True), (False, False), (None, False)])
def test_an_equal_text_that_came_since_the_last_look_is_the_same_message(
    stored: SqliteConnection, looked_before: bool | None, *, one: bool
) -> None:
    known = add(stored, webhook())
    if looked_before is not None:
        seq = known.seq - 1 if looked_before else known.seq
        polls.note_look(stored, NUMBER, polls.Look(at=NOW - 5, seq=seq))
    assert is_new(stored, history(arrived_at=NOW + 10, sent_at=NOW - 1000)) is not one


@pytest.mark.parametrize(("age", "later", "one"), [(0, 300, True), (0, 301, False), (1000, 10, False)])
def test_a_webhook_that_comes_right_after_the_history_showed_its_text_is_the_same_message(
    stored: SqliteConnection, age: float, later: float, *, one: bool
) -> None:
    add(stored, history(sent_at=NOW - 1000, reached_at=NOW if age else None))
    assert is_new(stored, webhook(arrived_at=NOW + later)) is not one


def test_of_equal_texts_the_nearest_in_time_is_the_same_message(stored: SqliteConnection) -> None:
    times = (0, 50, 100, 100)
    events = [add(stored, webhook(digest=str(n), sent_at=NOW + time)) for n, time in enumerate(times)]
    assert add(stored, history(sent_at=NOW + 90)).seq == events[2].seq, "of two the first"


def test_of_very_many_equal_texts_the_nearest_in_time_is_the_same_message(stored: SqliteConnection) -> None:
    events = [add(stored, webhook(digest=str(n), arrived_at=NOW + 9000, sent_at=NOW + 100 * n)) for n in range(90)]
    for id_, sent_at, nearest in (("1", 990, 10), ("2", 2010, 20), ("3", 8500, 85)):
        known = add(stored, history(message_id=id_, arrived_at=NOW + 9000, sent_at=NOW + sent_at))
        assert known.seq == events[nearest].seq


# The row of both


def test_a_row_has_the_time_of_the_history_unless_the_webhook_s_is_much_nearer_to_when_it_came(
    stored: SqliteConnection,
) -> None:
    for n, (sent_at, kept) in enumerate([(-600, -600), (-3600, 0), (None, 0)]):
        text = f"Your code is {1000 + n}"
        add(stored, webhook(text, digest=text, reached_at=NOW))
        sent = None if sent_at is None else NOW + sent_at
        assert add(stored, history(text, message_id=text, sent_at=sent)).sent_at == NOW + kept
    add(stored, webhook(digest="no time", sent_at=None))
    assert add(stored, history(sent_at=NOW - 5)).sent_at == NOW - 5


def test_a_message_that_the_history_dated_an_hour_back_is_as_new_as_its_webhook_says(stored: SqliteConnection) -> None:
    known = add(stored, history(sent_at=NOW - 3600, reached_at=NOW, arrived_at=NOW + 40_000))
    assert known.age_when_stored == 3600
    row = add(stored, webhook(sent_at=NOW - 1, reached_at=NOW + 1, arrived_at=NOW + 40_001))
    assert (row.seq, row.sent_at, row.arrived_at, row.reached_at) == (known.seq, NOW - 1, NOW + 40_000, NOW)
    unknown = add(stored, history("Another", message_id="2", sent_at=NOW - 3600))
    assert not unknown.age_known
    assert add(stored, webhook("Another", digest="2", sent_at=NOW - 1)).age_known


def test_a_webhook_that_is_not_younger_than_its_row_makes_it_no_younger(stored: SqliteConnection) -> None:
    known = add(stored, history(sent_at=NOW - 3600, reached_at=NOW))
    row = add(stored, webhook(sent_at=NOW + 3600, reached_at=NOW + 3600, arrived_at=NOW + 3600))
    assert (row.seq, row.sent_at, row.reached_at) == (known.seq, NOW - 3600, NOW - 3600)


def test_a_row_has_the_sender_of_the_history_and_the_digest_of_the_webhook(stored: SqliteConnection) -> None:
    message = {"message_id": "2", "sender": "Google"}
    for n, pair in enumerate([(webhook, history), (history, webhook)]):
        number = f"number-{n}"
        for make in pair:
            add(stored, make(subject=number, **(message if make is history else {"digest": number})))
        row = add(stored, history(subject=number, **message))
        assert (row.sender, row.digest, row.message_id) == ("Google", number, "2")


@pytest.mark.parametrize("text", ["it’s yours", "caf\ufffd yours"])
def test_a_row_has_the_better_of_two_texts(stored: SqliteConnection, text: str) -> None:
    whole = f"Your code is 482913, {text.replace(chr(0xFFFD), 'é')}"
    damaged = whole.replace("’", "?").replace("é", "\ufffd")
    for n, (first, second) in enumerate([(whole, damaged), (damaged, whole)]):
        number = f"number-{n}"
        add(stored, webhook(first, digest=number, subject=number))
        assert add(stored, history(second, subject=number)).text == whole
    add(stored, webhook(whole))
    assert add(stored, history(f" {whole} ")).text == whole, "what differs only in its writing is not better"


def test_a_code_that_was_cut_is_completed_by_the_history_whoever_read_it(stored: SqliteConnection) -> None:
    text = "Acme: thank you for signing up with us today, we are glad to have you. Your verification code is 482913"
    for source in ("text", "api"):
        cut = webhook(text[:-2], digest=source, subject=source, code="4829", code_source=source)
        add(stored, cut)
        row = add(stored, history(text, subject=source, code="482913", code_source="text"))
        assert (row.text, row.code, row.code_source) == (text, "482913", "text")
