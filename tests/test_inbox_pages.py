"""How the pages of an SMS history are read that differ from what was asked for."""

from dataclasses import replace
from datetime import timedelta
from urllib.parse import parse_qsl, urlencode

import pytest
from inbox_home import Home

from piv_mcp.api.rate_limit import Priority
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
