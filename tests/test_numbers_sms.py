"""The messages that `list_sms` shows: the history's, and in their place what only webhooks told."""

import json
from datetime import timedelta

import pytest
from harness import Connect, Connected
from moving_clock import MovingClock
from processes import sms_webhook

from piv_mcp.api.models import Page, Pagination
from piv_mcp.inbox.parse import event_of
from piv_mcp.sandbox.sms import add_outbound
from piv_mcp.server.results import MAX_CHARS, compact
from piv_mcp.store import events
from piv_mcp.tools.answers import paging
from piv_mcp.tools.numbers import MOST_TOLD, Messages, SmsRow


async def told(app: Connected, id_: str, text: str, *, ago: float = 0) -> None:
    """A webhook of a message that the history has not."""
    at = app.sandbox.now - timedelta(seconds=ago)
    remote = app.services.inbox.remote_time()
    event = event_of(sms_webhook(id_, text, at=at.isoformat()), app.services.clock.time(), remote)
    await app.services.inbox.record(event)


async def received(app: Connected, id_: str, text: str, *, ago: float = 0) -> None:
    at = app.sandbox.now - timedelta(seconds=ago)
    await app.sandbox.receive_sms(id_, text, deliver=False, received_at=at)


def texts(answer: dict[str, list[dict[str, str]]]) -> list[str]:
    """What the texts say between their marks."""
    return [row["text"].split("⟧")[1].split("⟦")[0] for row in answer["messages"]]


@pytest.fixture
def id_(modern_app: Connected) -> str:
    return modern_app.sandbox.add_numbers(1)[0]


async def test_what_only_a_webhook_told_is_shown_in_its_place_and_marked(modern_app: Connected, id_: str) -> None:
    await received(modern_app, id_, "first", ago=30)
    await received(modern_app, id_, "third", ago=10)
    await told(modern_app, id_, "second", ago=20)
    await told(modern_app, id_, "fourth")
    answer = await modern_app.ok("list_sms", piv_num_id=id_)
    assert texts(answer) == ["fourth", "third", "second", "first"]
    assert [row.get("source") for row in answer["messages"]] == ["webhook", None, "webhook", None]
    assert [row.get("confirmed") for row in answer["messages"]] == ["not looked for yet", None] * 2
    assert (answer["total"], answer["note"][:32]) == (2, "2 of these only a webhook told: ")
    assert all(row["received_at"] for row in answer["messages"])


async def test_an_old_one_that_the_page_does_not_have_may_be_forged(connect: Connect) -> None:
    clock = MovingClock(speed=0)
    async with connect(clock=clock) as app:
        id_ = app.sandbox.add_numbers(1)[0]
        await told(app, id_, "Your code is 666666")
        app.advance(120)
        (row,) = (await app.ok("list_sms", piv_num_id=id_))["messages"]
        assert row["confirmed"] == "not in the SMS history, may be forged"


async def test_a_message_of_both_sources_is_shown_once(modern_app: Connected, id_: str) -> None:
    """Also while the store has not yet learnt that they are one."""
    await received(modern_app, id_, "Ihr Bestätigungscode lautet 482913")
    await told(modern_app, id_, "Ihr Best?tigungscode lautet 482913")
    answer = await modern_app.ok("list_sms", piv_num_id=id_)
    assert texts(answer) == ["Ihr Bestätigungscode lautet 482913"]
    assert "note" not in answer
    (known,) = await modern_app.services.store.read(events.unconfirmed, id_, limit=10)
    assert not known.confirmed


async def test_it_is_on_the_first_page_alone_and_not_twice(modern_app: Connected, id_: str) -> None:
    for n in range(4):
        await received(modern_app, id_, f"message {n}", ago=10 * n)
    for ago in (5, 15, 25):
        await told(modern_app, id_, f"told {ago}", ago=ago)
    first = await modern_app.ok("list_sms", piv_num_id=id_, limit=2)
    assert texts(first) == ["message 0", "told 5", "message 1"]
    assert (first["total"], first["next_offset"]) == (4, 2)
    assert "2 more that only webhooks told are not on this page: list_events" in first["note"]
    second = await modern_app.ok("list_sms", piv_num_id=id_, limit=2, offset=2)
    assert texts(second) == ["message 2", "message 3"]
    assert "note" not in second


async def test_an_oldest_first_history_has_them_in_its_own_order(modern_app: Connected, id_: str) -> None:
    modern_app.sandbox.state.oldest_sms_first = True
    for n in range(3):
        await received(modern_app, id_, f"message {n}", ago=10 * n)
    for ago in (25, 15, 5):
        await told(modern_app, id_, f"told {ago}", ago=ago)
    answer = await modern_app.ok("list_sms", piv_num_id=id_, limit=200)
    assert texts(answer) == ["told 25", "message 2", "told 15", "message 1", "told 5", "message 0"]


async def test_of_many_that_only_webhooks_told_the_newest_are_shown_and_the_others_counted(
    modern_app: Connected, id_: str
) -> None:
    for n in range(MOST_TOLD + 3):
        await told(modern_app, id_, f"told {n}", ago=n)
    answer = await modern_app.ok("list_sms", piv_num_id=id_)
    assert texts(answer) == [f"told {n}" for n in range(MOST_TOLD)]
    assert "3 more that only webhooks told" in answer["note"]
    assert answer["total"] == 0


async def test_what_was_erased_stays_erased(modern_app: Connected, id_: str) -> None:
    await told(modern_app, id_, "told", ago=30)
    await modern_app.services.store.write(events.erase, id_)
    assert (await modern_app.ok("list_sms", piv_num_id=id_))["messages"] == []


async def test_another_number_does_not_show_it(modern_app: Connected, id_: str) -> None:
    await told(modern_app, id_, "told")
    other = modern_app.sandbox.add_numbers(1)[0]
    assert (await modern_app.ok("list_sms", piv_num_id=other))["messages"] == []


async def test_a_message_that_was_sent_has_the_time_at_which_it_was(modern_app: Connected, id_: str) -> None:
    state = modern_app.sandbox.state
    add_outbound(state, state.numbers[id_], "+14155551234", "Hello")
    await received(modern_app, id_, "Hi")
    answer = await modern_app.ok("list_sms", piv_num_id=id_)
    rows = {row["direction"]: row for row in answer["messages"]}
    assert "received_at" not in rows["outbound"]
    assert "sent_at" not in rows["inbound"]
    assert rows["outbound"]["sent_at"]
    assert rows["inbound"]["received_at"]


@pytest.mark.parametrize("size", [10, 3_000, 12_000])
def test_an_answer_that_is_too_long_goes_on_with_the_next_message_of_the_history(size: int) -> None:
    """Whatever a stranger sends to the webhook."""
    history = [SmsRow(id=str(n), text="x" * 7_000) for n in range(4)]
    shown: list[str] = []
    start: int | None = 0
    while start is not None:
        hearsay = [SmsRow(text="y" * size, source="webhook") for _ in range(2 if start == 0 else 0)]
        left = history[start:]
        page: Page[SmsRow] = Page(items=left, pagination=Pagination(total=len(history)))
        text, content = compact(Messages(messages=[*hearsay, *left], **paging(page, start, 50)))
        assert len(text) <= MAX_CHARS
        assert json.loads(text) == content
        ids = [row["id"] for row in content["messages"] if "id" in row]
        assert ids, "each answer brings the reader on"
        shown += ids
        start = content.get("next_offset")
    assert shown == ["0", "1", "2", "3"]
