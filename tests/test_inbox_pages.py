"""How the pages of an SMS history are read that differ from what was asked for."""

from dataclasses import replace
from datetime import timedelta
from urllib.parse import parse_qsl, urlencode

import pytest
from inbox_home import Home

from piv_mcp.api.rate_limit import Priority
from piv_mcp.errors import ApiError, NotFoundError
from piv_mcp.sandbox import Failure
from piv_mcp.sandbox.failures import Outcome
from piv_mcp.sandbox.service import Incoming

pytestmark = pytest.mark.usefixtures("instant_retries")


@pytest.mark.parametrize("cap", [20, 50, 100])
@pytest.mark.parametrize("oldest_first", [False, True])
async def test_a_history_in_shorter_pages_than_asked_for_is_read_to_its_end(
    home: Home, monkeypatch: pytest.MonkeyPatch, cap: int, oldest_first: bool
) -> None:
    number, now, answer = home.numbers[0], home.sandbox.now, home.sandbox.answer

    def capped(incoming: Incoming) -> Outcome:
        query = dict(parse_qsl(incoming.raw_query))
        query["limit"] = str(min(cap, int(query["limit"])))
        return answer(replace(incoming, raw_query=urlencode(query)))

    monkeypatch.setattr(home.sandbox, "answer", capped)
    home.sandbox.state.oldest_sms_first = oldest_first
    for known, new in ((0, 1), (1, 170), (171, 500)):
        for n in range(known, known + new):
            at = now - timedelta(seconds=1000 - n)
            await home.sandbox.receive_sms(number, f"Your code is {1000 + n}", deliver=False, received_at=at)
        assert await home.history.look(number, Priority.PERSON) == new


ERRORS = {"VALIDATION_ERROR": 400, "PERMISSION_DENIED": 403, "NOT_FOUND": 404, "INTERNAL_ERROR": 500}


async def come(home: Home, count: int) -> None:
    for n in range(count):
        at = home.sandbox.now - timedelta(seconds=1000 - n)
        await home.sandbox.receive_sms(home.numbers[0], f"Your code is {1000 + n}", deliver=False, received_at=at)


def fail_later_pages(home: Home, monkeypatch: pytest.MonkeyPatch, first: int, code: str) -> None:
    """Whatever lies at or behind this row is answered with an error."""
    answer = home.sandbox.answer

    def failing(incoming: Incoming) -> Outcome:
        if int(dict(parse_qsl(incoming.raw_query)).get("offset", 0)) >= first:
            home.sandbox.fail_next(Failure(kind="status", status=ERRORS[code], code=code, path="/numbers/*/sms"))
        return answer(incoming)

    monkeypatch.setattr(home.sandbox, "answer", failing)


@pytest.mark.parametrize("code", ERRORS)
@pytest.mark.parametrize("messages", [50, 250])
async def test_an_error_behind_the_last_message_is_the_end_of_the_history(
    home: Home, monkeypatch: pytest.MonkeyPatch, messages: int, code: str
) -> None:
    await come(home, messages)
    fail_later_pages(home, monkeypatch, messages, code)
    assert await home.history.look(home.numbers[0], Priority.PERSON) == messages


async def test_nothing_is_asked_for_behind_a_total_that_later_pages_reach(home: Home) -> None:
    await come(home, 250)
    await home.history.look(home.numbers[0], Priority.PERSON)
    assert len(home.polls()) == 2


@pytest.mark.parametrize("code", ERRORS)
async def test_an_error_before_the_last_message_leaves_no_gap_and_the_number_there(
    home: Home, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    await come(home, 120)
    with monkeypatch.context() as failing:
        fail_later_pages(home, failing, 50, code)
        with pytest.raises(ApiError) as raised:
            await home.history.look(home.numbers[0], Priority.PERSON)
    assert not isinstance(raised.value, NotFoundError)
    home.sandbox.clear_failures()
    assert await home.history.look(home.numbers[0], Priority.PERSON) == 120
