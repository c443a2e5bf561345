"""Codes of one sender, or with some words: what counts, and what a cursor passes meanwhile."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from harness import Connect, Connected
from hypothesis import given
from hypothesis import strategies as st
from inbox_home import Home, codes
from moving_clock import MovingClock
from processes import sms_webhook

from piv_mcp.api.rate_limit import Priority
from piv_mcp.inbox import wait
from piv_mcp.inbox.wanted import is_sender
from piv_mcp.inbox.watch import POLL_SECONDS
from piv_mcp.sandbox import Failure
from piv_mcp.text import phones

pytestmark = pytest.mark.usefixtures("instant_retries")


# Who is meant


@pytest.mark.parametrize(
    ("asked", "sender"),
    [
        ("Google", "Google"),
        (" google ", "GOOGLE"),
        ("google", "Google Verify"),
        ("hdfc", "AX-HDFCBK"),
        ("Ｇｏｏｇｌｅ", "Google"),
        ("+46 70-174 06 05", "+46701740605"),
        ("0046 (70) 174 06 05", "+46701740605"),
        ("46701740605", "+46701740605"),
        ("070-174 06 05", "+46701740605"),
        ("+46701740605", "0046701740605"),
        ("tel:+1 (415) 555-1234", "14155551234"),
        ("(415) 555-1234", "+14155551234"),
        ("22000", "22000"),
        ("22-000", "22000"),
        ("729725", "729-725"),
        ("022000", "022000"),
    ],
)
def test_a_sender_is_meant_in_whatever_form(asked: str, sender: str) -> None:
    assert is_sender(asked, sender)


@pytest.mark.parametrize(
    ("asked", "sender"),
    [
        ("Google", "Goggle"),
        ("Google Verify", "Google"),
        ("Google", ""),
        ("22000", "220001"),
        ("22000", "+46722000"),
        ("740605", "+46701740605"),
        ("+46701740605", "+46701740606"),
        ("+46701740605", "Google"),
        ("3", "3M"),
        ("070-174 06 05", "+47701740605999"),
    ],
)
def test_another_sender_is_not_meant(asked: str, sender: str) -> None:
    assert not is_sender(asked, sender)


@given(st.text(max_size=40), st.text(max_size=40))
def test_two_texts_are_one_number_in_either_order(one: str, other: str) -> None:
    assert phones.is_same(one, other) == phones.is_same(other, one)
    assert phones.is_same(one, one) == phones.is_number(one)


# A sender


async def test_a_code_of_another_sender_does_not_end_the_wait(home: Home) -> None:
    number = home.numbers[0]
    waiting = home.waiting(number, seconds=60, sender="google")
    await home.asleep()
    await home.sandbox.receive_sms(number, "Your code is 1111", sender="Fern", deliver=False)
    home.clock.advance(POLL_SECONDS)
    await home.polled(2)
    await home.asleep()
    assert not waiting.done()
    await home.sandbox.receive_sms(number, "Your code is 2222", sender="Google", deliver=False)
    home.clock.advance(POLL_SECONDS)
    waited = await waiting
    assert codes(waited) == ["2222"]
    assert (waited.more, waited.unconfirmed) == (0, 0)


async def test_a_code_counts_once_the_history_names_its_sender(home: Home) -> None:
    number, now = home.numbers[0], datetime.now(UTC)
    await home.webhook(number, "482913", now)
    first = await home.wait(number, seconds=0, sender="Google")
    assert (first.found, first.unconfirmed) == ([], 1)
    await home.sandbox.receive_sms(number, "Your code is 482913", sender="Google", deliver=False, received_at=now)
    home.clock.advance(POLL_SECONDS)
    waited = await home.wait(number, after=first.cursor, sender="Google")
    assert codes(waited) == ["482913"], "the cursor did not pass it while its sender was not known"
    assert (await home.wait(number, seconds=0, after=waited.cursor, sender="Google")).found == []


async def test_a_code_whose_sender_turns_out_to_be_another_is_passed(home: Home) -> None:
    number, now = home.numbers[0], datetime.now(UTC)
    await home.webhook(number, "482913", now)
    first = await home.wait(number, seconds=0, sender="Google")
    await home.sandbox.receive_sms(number, "Your code is 482913", sender="Fern", deliver=False, received_at=now)
    await home.history.look(number, Priority.PERSON)
    second = await home.wait(number, seconds=0, after=first.cursor, sender="Google")
    assert (second.found, second.unconfirmed, second.cursor.passed) == ([], 0, ())
    await home.webhook(number, "7171")
    third = await home.wait(number, seconds=0, after=second.cursor)
    assert codes(third) == ["7171"], "an answer without a sender goes on behind it"


async def test_a_code_whose_sender_is_not_known_is_found_without_a_sender_by_the_same_cursor(home: Home) -> None:
    number = home.numbers[0]
    await home.webhook(number, "1111")
    await home.sandbox.receive_sms(number, "Your code is 2222", sender="Google", deliver=False)
    await home.history.look(number, Priority.PERSON)
    await home.webhook(number, "3333")
    waited = await home.wait(number, seconds=0, sender="Google")
    assert (codes(waited), waited.unconfirmed) == (["2222"], 2)
    assert sorted(map(str, codes(await home.wait(number, seconds=0, after=waited.cursor)))) == ["1111", "3333"]


async def test_many_codes_of_others_hide_none_of_the_sender(home: Home) -> None:
    number, start = home.numbers[0], await home.wait(home.numbers[0], seconds=0)
    await home.sandbox.receive_sms(number, "Your code is 482913", sender="Google", deliver=False)
    for n in range(wait.CODES_COUNTED + 10):
        await home.sandbox.receive_sms(number, f"Your code is {1000 + n}", sender="Fern", deliver=False)
    await home.history.look(number, Priority.PERSON)
    waited = await home.wait(number, seconds=0, after=start.cursor, sender="Google")
    assert (codes(waited), waited.more) == (["482913"], 0)
    assert (await home.wait(number, seconds=0, sender="Google")).found == waited.found


async def test_forged_codes_hide_none_of_the_sender(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are newer, and more than are read at once."""
    number, start = home.numbers[0], await home.wait(home.numbers[0], seconds=0)
    await home.sandbox.receive_sms(number, "Your code is 482913", sender="Google", deliver=False)
    await home.history.look(number, Priority.PERSON)
    for n in range(30):
        await home.webhook(number, str(1000 + n))
    monkeypatch.setattr(wait, "SEARCHED", 20)
    waited = await home.wait(number, seconds=0, after=start.cursor, sender="Google")
    assert codes(waited) == ["482913"]
    assert len((await home.wait(number, seconds=0, after=waited.cursor)).found) == wait.CODES_AT_ONCE


@pytest.mark.parametrize("wanted", [{"confirmed_only": True}, {"sender": "Google"}])
async def test_a_wait_without_a_cursor_passes_no_confirmed_code_behind_many_forged_ones(
    home: Home, wanted: dict[str, Any]
) -> None:
    number = home.numbers[0]
    for n in range(wait.CODES_AT_ONCE + 2):
        await home.sandbox.receive_sms(number, f"Your code is {7000 + n}", sender="Google", deliver=False)
    await home.history.look(number, Priority.PERSON)
    for n in range(wait.SEARCHED + 1):
        await home.webhook(number, str(1000 + n))
    first = await home.wait(number, seconds=0, **wanted)
    assert (len(first.found), first.more) == (wait.CODES_AT_ONCE, 2)
    second = await home.wait(number, seconds=0, after=first.cursor, **wanted)
    assert (len(second.found), second.more) == (2, 0)


# Words


async def test_only_a_message_with_the_words_ends_the_wait(home: Home) -> None:
    number = home.numbers[0]
    await home.record(sms_webhook(number, "Fern: your code is 1111", "1111"))
    first = await home.wait(number, seconds=0, contains="opal bank")
    assert (first.found, first.unconfirmed) == ([], 0)
    await home.record(sms_webhook(number, "ＯＰＡＬ  Bank: your code is 2222", "2222"))
    second = await home.wait(number, after=first.cursor, contains="opal bank")
    assert codes(second) == ["2222"]
    assert codes(await home.wait(number, seconds=0, after=second.cursor)) == ["1111"], "none is lost"


async def test_words_that_the_history_alone_has_are_found(home: Home) -> None:
    """The webhook's text is damaged; the cursor does not pass it before the history has shown it."""
    number, now = home.numbers[0], datetime.now(UTC)
    await home.record(sms_webhook(number, "Ihr Best?tigungscode lautet 482913", "482913", now.isoformat()))
    first = await home.wait(number, seconds=0, contains="bestätigungscode")
    assert first.found == []
    await home.sandbox.receive_sms(
        number, "Ihr Bestätigungscode lautet 482913", sender="Fern", deliver=False, received_at=now
    )
    await home.history.look(number, Priority.PERSON)
    assert codes(await home.wait(number, seconds=0, after=first.cursor, contains="Bestätigungscode")) == ["482913"]


async def test_what_came_without_a_code_is_shown_if_it_may_be_the_message(home: Home) -> None:
    number = home.numbers[0]
    await home.sandbox.receive_sms(number, "See you at Fern", sender="Ana", deliver=False)
    await home.sandbox.receive_sms(number, "Hello from Opal", sender="Google", deliver=False)
    await home.history.look(number, Priority.PERSON)
    await home.record(sms_webhook(number, "Who is it?", at=datetime.now(UTC).isoformat()))
    texts = [event.text for event in (await home.wait(number, seconds=0, sender="Google")).without_code]
    assert texts == ["Who is it?", "Hello from Opal"]
    (only,) = (await home.wait(number, seconds=0, contains="OPAL")).without_code
    assert only.text == "Hello from Opal"


# The tools


@pytest.mark.parametrize("tool", ["wait_for_code", "get_latest_code"])
async def test_the_tools_take_a_sender_and_words(modern_app: Connected, tool: str) -> None:
    number = modern_app.sandbox.add_numbers(1)[0]
    for code, sender in (("1111", "Google Verify"), ("2222", "+46 70 174 06 05"), ("3333", "Opal")):
        await modern_app.sandbox.receive_sms(number, f"{sender[:4]}: your code is {code}", sender=sender, deliver=False)
    await modern_app.services.history.look(number, Priority.PERSON)

    async def newest(**wanted: str) -> str | None:
        answer = await modern_app.ok(
            tool, number=number, **({"timeout_seconds": 0} if "wait" in tool else {}), **wanted
        )
        assert "others" not in answer or not wanted
        return answer.get("newest", {}).get("code")

    assert await newest() == "3333"
    assert await newest(sender="google") == "1111"
    assert await newest(sender="0701740605") == "2222"
    assert await newest(contains="OPAL: your") == "3333"
    assert await newest(sender="google", contains="opal") is None


@pytest.mark.parametrize("tool", ["wait_for_code", "get_latest_code"])
async def test_an_answer_says_that_a_sender_is_not_known_yet(connect: Connect, tool: str) -> None:
    async with connect(clock=MovingClock(speed=0)) as app:
        number = app.sandbox.add_numbers(1)[0]
        await app.tell("sms.received", piv_num_id=number, text="Your code is 482913", code="482913")
        more = {"timeout_seconds": 0} if tool == "wait_for_code" else {}
        answer = await app.ok(tool, number=number, sender="Google", **more)
        assert answer["status"] in ("timeout", "none")
        assert "sender the SMS history does not tell yet: get_latest_code without sender" in answer["note"]
        other = await app.ok(tool, number=number, sender="Google", contains="opal", **more)
        assert "does not tell yet" not in other["note"]


async def test_the_latest_code_of_a_sender_is_looked_for_in_the_history_first(modern_app: Connected) -> None:
    number = modern_app.sandbox.add_numbers(1)[0]
    await modern_app.sandbox.receive_sms(number, "Your code is 482913", sender="Google", deliver=False)
    answer = await modern_app.ok("get_latest_code", number=number, sender="Google")
    assert (answer["newest"]["code"], answer["newest"]["sender"]) == ("482913", "Google")


async def test_a_cursor_of_all_codes_serves_for_one_sender_and_the_other_way_round_it_is_said(
    modern_app: Connected,
) -> None:
    number = modern_app.sandbox.add_numbers(1)[0]
    every = await modern_app.ok("wait_for_code", number=number, timeout_seconds=0)
    narrow = await modern_app.ok(
        "wait_for_code", number=number, timeout_seconds=0, sender="Google", after=every["after"]
    )
    assert "something else" not in narrow["note"]
    again = await modern_app.ok(
        "wait_for_code", number=number, timeout_seconds=0, sender=" GOOGLE ", after=narrow["after"]
    )
    assert "something else" not in again["note"]
    wide = await modern_app.ok("wait_for_code", number=number, timeout_seconds=0, after=narrow["after"])
    assert "an answer about something else" in wide["note"]


# At once


@pytest.mark.parametrize("arguments", [{}, {"contains": "your code"}])
async def test_a_code_that_is_there_is_answered_without_a_request(
    modern_app: Connected, arguments: dict[str, str]
) -> None:
    number = modern_app.sandbox.add_numbers(1)[0]
    await modern_app.tell("sms.received", piv_num_id=number, text="Your code is 482913", code="482913")
    modern_app.sandbox.fail_next(Failure(kind="slow", delay=60, times=None))
    answer = await modern_app.ok("wait_for_code", number=number, **arguments)
    assert (answer["newest"]["code"], answer["waited_seconds"]) == ("482913", 0)
    assert modern_app.sent == []
    assert not any("History._poll" in repr(task) for task in asyncio.all_tasks()), "and none is under way"


@pytest.mark.parametrize("arguments", [{"confirmed_only": True}, {"sender": "Google"}])
async def test_a_confirmed_code_and_one_of_a_sender_are_looked_for_in_the_history_first(
    modern_app: Connected, arguments: dict[str, object]
) -> None:
    number, now = modern_app.sandbox.add_numbers(1)[0], modern_app.sandbox.now
    text = "Your code is 482913"
    await modern_app.tell("sms.received", piv_num_id=number, text=text, code="482913", received_at=now.isoformat())
    await modern_app.sandbox.receive_sms(number, text, sender="Google", deliver=False, received_at=now)
    answer = await modern_app.ok("wait_for_code", number=number, **arguments)
    assert (answer["newest"]["code"], answer["newest"]["sender"]) == ("482913", "Google")
    assert [path.rsplit("/", 1)[-1] for _, path, _, _ in modern_app.sent] == ["sms"]
    again = await modern_app.ok("wait_for_code", number=number, **arguments)
    assert (again["newest"]["code"], modern_app.sent) == ("482913", []), "what is confirmed need not be asked again"
