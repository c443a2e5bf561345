"""What is new in a history and how old it is, told by its total, the messages' own times, and the last look."""

from datetime import UTC, datetime, timedelta

import pytest
from inbox_home import Home, codes

from piv_mcp.api.rate_limit import Priority
from piv_mcp.inbox.cursor import Cursor
from piv_mcp.inbox.watch import POLL_SECONDS
from piv_mcp.store import events

pytestmark = pytest.mark.usefixtures("instant_retries")

NEVER = datetime(1999, 1, 1, tzinfo=UTC)


async def come(home: Home, number: str, code: str, at: datetime) -> None:
    """The history has a message with a code, with whatever time."""
    await home.sandbox.receive_sms(number, f"Your code is {code}", deliver=False)
    home.sandbox.state.numbers[number].messages[-1].received_at = at


@pytest.mark.parametrize("before", [0, 1])
async def test_a_history_that_was_empty_grows_by_its_first_message(home: Home, before: int) -> None:
    number = home.numbers[0]
    for _ in range(before):
        await come(home, number, "1111", home.sandbox.now)
    await home.history.look(number, Priority.PERSON)
    await home.inbox.store.write(events.erase, number, home.inbox.remote_time() or 0.0)
    home.advance(POLL_SECONDS)
    await come(home, number, "482913", NEVER)
    assert await home.history.look(number, Priority.PERSON) == 1


# What must have been there at the last look


OLD = timedelta(days=20, minutes=7, seconds=11)


async def old_codes(home: Home, number: str) -> None:
    for n in range(3):
        await come(home, number, str(1111 * (n + 1)), home.sandbox.now - OLD + timedelta(hours=n))


async def ages(home: Home, number: str) -> list[float]:
    """How old the number's codes are, the oldest first."""
    found = await home.inbox.store.read(events.codes, number, limit=9)
    known = [event.age(home.clock.time(), home.inbox.remote_time()) for event in found]
    return sorted((age for age in known if age is not None), reverse=True)


@pytest.mark.parametrize("why", ["more days", "lost rows", "a later text"])
async def test_a_message_that_the_last_look_did_not_take_in_is_as_old_as_it_says(home: Home, why: str) -> None:
    number = home.numbers[0]
    await old_codes(home, number)
    messages = home.sandbox.state.numbers[number].messages
    texts = [message.message_body for message in messages]
    if why == "more days":
        home.inbox.days = 7
    if why == "a later text":
        for message in messages:
            message.message_body = None  # type: ignore[assignment]
    await home.history.look(number, Priority.PERSON)
    if why == "lost rows":
        await home.inbox.store.write(lambda connection: connection.execute("DELETE FROM events"))
    home.inbox.days = 30
    for message, text in zip(messages, texts, strict=True):
        message.message_body = text
    home.advance(POLL_SECONDS)
    assert await home.history.look(number, Priority.PERSON) == 3
    assert codes(await home.wait(number, seconds=0)) == []
    assert await ages(home, number) == pytest.approx([OLD.total_seconds() - 3600 * n for n in range(3)], abs=9)


async def test_a_message_that_says_hours_ago_is_new_beside_others_that_are_too_old_to_be_kept(home: Home) -> None:
    number = home.numbers[0]
    await old_codes(home, number)
    home.inbox.days = 7
    await home.history.look(number, Priority.PERSON)
    home.advance(POLL_SECONDS)
    await come(home, number, "482913", home.sandbox.now - timedelta(hours=8))
    assert codes(await home.wait(number)) == ["482913"]


async def test_a_message_with_a_new_id_is_delivered_once(home: Home) -> None:
    number = home.numbers[0]
    await old_codes(home, number)
    await home.history.look(number, Priority.PERSON)
    before = Cursor(await home.inbox.store.read(events.last_seq))
    for message in home.sandbox.state.numbers[number].messages:
        message.id += 5000
    await home.history.look(number, Priority.PERSON)
    assert codes(await home.wait(number, seconds=0, after=before)) == []
    home.advance(POLL_SECONDS)
    await come(home, number, "482913", home.sandbox.now)
    await home.history.look(number, Priority.PERSON)
    assert codes(await home.wait(number, seconds=0, after=before)) == ["482913"]
    assert (await home.inbox.store.read(events.after, 0))[1] == 4


async def test_two_messages_of_one_text_and_time_are_two(home: Home) -> None:
    number, at = home.numbers[0], home.sandbox.now
    for _ in range(3):
        await come(home, number, "482913", at)
        assert await home.history.look(number, Priority.PERSON) == 1
        home.advance(POLL_SECONDS)


@pytest.mark.parametrize("shown_before", [0, 1])
async def test_a_history_that_comes_back_is_as_old_as_it_says(home: Home, shown_before: int) -> None:
    """A number was restored, or one answer did not show its messages."""
    number = home.numbers[0]
    await old_codes(home, number)
    messages = home.sandbox.state.numbers[number].messages
    whole, messages[:] = messages[:], messages[:shown_before]
    assert await home.history.look(number, Priority.PERSON) == shown_before
    home.advance(POLL_SECONDS)
    messages[:] = whole
    assert await home.history.look(number, Priority.PERSON) == 3 - shown_before
    assert codes(await home.wait(number, seconds=0)) == []
    assert await ages(home, number) == pytest.approx([OLD.total_seconds() - 3600 * n for n in range(3)], abs=9)
    home.advance(POLL_SECONDS)
    await come(home, number, "482913", home.sandbox.now)
    await home.history.look(number, Priority.PERSON)
    assert codes(await home.wait(number, seconds=0)) == ["482913"]


async def test_one_of_two_new_messages_may_say_hours_ago(home: Home) -> None:
    number = home.numbers[0]
    await come(home, number, "1111", home.sandbox.now - OLD)
    await home.history.look(number, Priority.PERSON)
    home.advance(POLL_SECONDS)
    await come(home, number, "2222", home.sandbox.now)
    await come(home, number, "3333", home.sandbox.now - timedelta(hours=8))
    await home.history.look(number, Priority.PERSON)
    assert sorted(filter(None, codes(await home.wait(number)))) == ["2222", "3333"]


# Wrong dates


@pytest.mark.parametrize("ago", [timedelta(days=40), timedelta(days=365), timedelta(days=3000)])
@pytest.mark.parametrize("others", [0, 3, 120])
async def test_a_new_message_with_a_date_of_long_ago_is_new(home: Home, others: int, ago: timedelta) -> None:
    number = home.numbers[0]
    for n in range(others):
        await come(home, number, str(1000 + n), home.sandbox.now - timedelta(days=20 + n))
    await home.history.look(number, Priority.PERSON)
    home.advance(POLL_SECONDS)
    await come(home, number, "482913", home.sandbox.now - ago)
    assert await home.history.look(number, Priority.PERSON) == 1
    assert codes(await home.wait(number, seconds=0)) == ["482913"]
    home.sandbox.requests.clear()
    assert await home.history.look(number, Priority.PERSON) == 0
    assert len(home.polls()) == 1


async def test_messages_that_are_too_old_stay_out_when_a_history_comes_back(home: Home) -> None:
    number = home.numbers[0]
    messages = home.sandbox.state.numbers[number].messages
    for n in range(4):
        await come(home, number, str(1000 + n), home.sandbox.now - timedelta(days=20 * n + 5))
    whole, messages[:] = messages[:], []
    await home.history.look(number, Priority.PERSON)
    home.advance(POLL_SECONDS)
    messages[:] = whole
    assert await home.history.look(number, Priority.PERSON) == 2


async def test_of_a_history_that_says_it_has_grown_no_old_message_is_new(home: Home) -> None:
    number = home.numbers[0]
    for n in range(4):
        await come(home, number, str(1000 + n), home.sandbox.now - timedelta(days=85 - 20 * n))
    await home.history.look(number, Priority.PERSON)
    home.advance(POLL_SECONDS)
    await come(home, number, "2222", home.sandbox.now)
    home.sandbox.state.numbers[number].messages[-1].direction = "outbound"
    home.advance(3600)
    assert await home.history.look(number, Priority.PERSON) == 0
    assert codes(await home.wait(number, seconds=0)) == []


async def test_what_a_number_has_just_sent_is_counted_once(home: Home) -> None:
    number = home.numbers[0]
    for n in range(70):
        await come(home, number, str(1000 + n), home.sandbox.now - timedelta(minutes=n + 1))
    for sent in (1, 2):
        await come(home, number, "2222", home.sandbox.now)
        home.sandbox.state.numbers[number].messages[-1].direction = "outbound"
        await home.history.look(number, Priority.PERSON)
        home.sandbox.requests.clear()
        home.advance(POLL_SECONDS)
        assert await home.history.look(number, Priority.PERSON) == 0
        assert len(home.polls()) == 1
        home.advance(POLL_SECONDS)
        await come(home, number, f"48291{sent}", home.sandbox.now - timedelta(hours=8))
        assert await home.history.look(number, Priority.PERSON) == 1
        home.advance(POLL_SECONDS)
