"""What the store remembers of the looks at each number's history, and of who polls it."""

import pytest

from piv_mcp.store import leases, polls
from piv_mcp.store.polls import Look
from piv_mcp.store.sqlite import SqliteConnection

NOW = 1_780_000_000.0


def test_the_last_claim_of_a_number_is_one_of_the_same_account_and_not_of_the_future(stored: SqliteConnection) -> None:
    for watcher, number, at in (("a", "one", NOW - 9), ("b", "one", NOW), ("c", "one", NOW + 1), ("d", "two", NOW - 1)):
        leases.note_watch(stored, watcher, number, now=NOW, until=NOW + 60)
        polls.claim(stored, watcher, at)
    assert polls.claimed_at(stored, "one", NOW) == NOW
    polls.claim(stored, "b", None)
    assert polls.claimed_at(stored, "one", NOW) == NOW - 9
    stored.account += 1
    assert polls.claimed_at(stored, "one", NOW) == 0


@pytest.mark.parametrize(
    ("now", "remote_now", "seconds"),
    [
        (NOW + 5, None, 5),
        (NOW + 5, NOW + 7, 7),
        (NOW + 7, NOW + 5, 7),
        (NOW - 5, NOW + 3, 3),
        (NOW, None, 0),
        (NOW - 1, None, None),
        (NOW - 1, NOW - 2, None),
    ],
)
def test_a_look_was_so_long_ago_by_the_clock_that_says_longer(
    now: float, remote_now: float | None, seconds: float | None
) -> None:
    assert Look(at=NOW, remote_at=NOW).seconds_since(now, remote_now) == seconds
    assert Look(at=NOW).seconds_since(NOW + 1, NOW + 9) == 1
    assert Look(remote_at=NOW).seconds_since(now, remote_now) is None, "no look was made"


def test_a_failure_lasts_from_the_first_to_the_next_look(stored: SqliteConnection) -> None:
    for at, problem in ((NOW, "refused"), (NOW + 5, "no answer")):
        polls.note_failure(stored, "one", problem, at)
        assert polls.look(stored, "one") == Look(failing_since=NOW, problem=problem)
    assert not any(look.was_made for look in polls.looks(stored, ["one", "two"]).values())
    look = Look(at=NOW + 9, seq=7, remote_at=NOW + 10, total=3)
    polls.note_look(stored, "one", look)
    assert polls.look(stored, "one") == look
    looks = polls.looks(stored, ["one", "two"]).values()
    assert [(found.was_made, found.seq) for found in looks] == [(True, 7), (False, 0)]
    polls.note_failure(stored, "one", "refused", NOW + 20)
    assert polls.look(stored, "one") == Look(NOW + 9, 7, NOW + 10, 3, failing_since=NOW + 20, problem="refused")


def test_what_the_first_look_brought_is_told_from_all_that_came_later(stored: SqliteConnection) -> None:
    polls.note_failure(stored, "one", "refused", NOW)
    polls.note_erased(stored, "one", NOW)
    assert [polls.look(stored, "one").first_brought(seq) for seq in (1, 9)] == [True, True], "none has ended"
    polls.note_look(stored, "one", Look(at=NOW + 1, seq=3, first_seq=7))
    polls.note_failure(stored, "one", "refused", NOW + 2)
    polls.note_look(stored, "one", Look(at=NOW + 3, seq=7, first_seq=9))
    assert [polls.look(stored, "one").first_brought(seq) for seq in (1, 7, 8, 9)] == [True, True, False, False]


def test_what_was_erased_is_remembered_over_later_looks(stored: SqliteConnection) -> None:
    for at in (NOW, NOW - 60):
        polls.note_erased(stored, "one", at)
        assert polls.look(stored, "one") == Look(erased_at=NOW)
    polls.note_look(stored, "one", Look(at=NOW + 9, seq=7))
    assert polls.look(stored, "one") == Look(at=NOW + 9, seq=7, erased_at=NOW)


def test_a_look_is_of_one_account_and_number_and_not_of_the_future(stored: SqliteConnection) -> None:
    polls.note_look(stored, "one", Look(at=NOW, seq=7))
    assert polls.looked_at(stored, "one", NOW) == NOW
    assert polls.looked_at(stored, "one", NOW - 1) == 0
    assert polls.look(stored, "two") == Look()
    stored.account += 1
    assert polls.look(stored, "one") == Look()
    polls.note_look(stored, "one", Look(at=NOW, seq=8))
    stored.account -= 1
    assert polls.look(stored, "one").seq == 7
