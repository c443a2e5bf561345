"""What is new in a history and how old it is, told by its total, the messages' own times, and the last look."""

from datetime import UTC, datetime

import pytest
from inbox_home import Home

from piv_mcp.api.rate_limit import Priority
from piv_mcp.inbox.history import POLL_SECONDS
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
