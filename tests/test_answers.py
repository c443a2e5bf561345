"""How long an answer may be, and how the rest of it is reached: no row is lost between two pages."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from examples import domain, order
from harness import Connect, Connected
from hypothesis import given, settings
from hypothesis import strategies as st
from mcp.types import TextResourceContents

from piv_mcp.api.models import Page, Pagination
from piv_mcp.inbox import cursor
from piv_mcp.inbox.cursor import Cursor
from piv_mcp.inbox.parse import event_of
from piv_mcp.sandbox.records import SandboxDnsRecord
from piv_mcp.server.results import MAX_CHARS, answer, compact
from piv_mcp.server.shortening import shortened
from piv_mcp.tools.answers import paging
from piv_mcp.tools.event_rows import EventRow
from piv_mcp.tools.inbox_answers import Events, WaitedEvents
from piv_mcp.tools.numbers import Messages, SmsRow


def length(content: dict[str, Any]) -> int:
    return len(json.dumps(content, ensure_ascii=False, separators=(",", ":")))


# through a client


async def test_a_long_sms_history_is_read_page_by_page(modern_app: Connected) -> None:
    id_ = modern_app.sandbox.add_numbers(1)[0]
    for index in range(150):
        await modern_app.sandbox.receive_sms(id_, f"{index} " + "wörds " * 60, deliver=False)
    seen: list[str] = []
    offset: int | None = 0
    while offset is not None:
        page = await modern_app.ok("list_sms", piv_num_id=id_, limit=200, offset=offset)
        assert length(page) <= MAX_CHARS
        assert page["total"] == 150
        seen += [row["id"] for row in page["messages"]]
        offset = page.get("next_offset")
        assert ("cut" in page) == (offset is not None)
        if offset is not None:
            assert f"offset={offset}" in page["cut"]
    assert len(seen) == len(set(seen)) == 150


async def test_a_large_order_leads_to_the_file_that_has_all(modern_app: Connected) -> None:
    id_ = order(modern_app.sandbox)
    proxies = modern_app.sandbox.state.orders[id_].proxies
    proxies += [proxies[0]] * (900 - len(proxies))
    for tool, more in (("get_proxy_order", {}), ("export_proxies", {}), ("export_proxies", {"show_passwords": True})):
        shown = await modern_app.ok(tool, order_id=id_, **more)
        assert length(shown) <= MAX_CHARS
        assert "export_proxies(to_file=true)" in shown["cut"]
    written = await modern_app.ok("export_proxies", order_id=id_, to_file=True)
    with open(written["file"], encoding="utf-8") as file:  # noqa: ASYNC230 - a small file
        assert len(file.readlines()) == 900


async def test_many_dns_records_are_read_page_by_page(modern_app: Connected) -> None:
    id_ = domain(modern_app.sandbox)
    records = modern_app.sandbox.state.domains[id_].records
    records += [SandboxDnsRecord(f"rec-{index}", "TXT", "@", "v" * 100) for index in range(400)]
    seen: list[str] = []
    offset: int | None = 0
    while offset is not None:
        page = await modern_app.ok("list_dns_records", domain_id=id_, offset=offset)
        assert length(page) <= MAX_CHARS
        seen += [row["id"] for row in page["records"]]
        offset = page.get("next_offset")
    assert seen == [record.id for record in records]
    whole = await modern_app.ok("get_domain", domain_id=id_)
    assert length(whole) <= MAX_CHARS
    assert "items of lists" in whole["cut"]


def event(index: int, size: int, **data: object) -> bytes:
    body = {"event_type": "white.failed", "timestamp": datetime.now(UTC).isoformat()}
    return json.dumps({**body, "data": {"job_id": f"job-{index}", "error": "e" * size, **data}}).encode()


async def test_events_are_read_in_both_directions_without_a_gap(modern_app: Connected) -> None:
    after = (await modern_app.ok("list_events", limit=1))["after"]
    for index in range(120):
        await modern_app.services.inbox.record(event_of(event(index, 400), time.time()))
    everything = (await modern_app.ok("list_events", limit=1))["total"]

    forward: list[int] = []
    while len(forward) < 120:
        page = await modern_app.ok("list_events", after=after, limit=200)
        assert length(page) <= MAX_CHARS
        assert page["events"]
        forward += [row["event_id"] for row in page["events"]]
        after = page["after"]
    assert forward == sorted(set(forward))

    page = await modern_app.ok("list_events", limit=200)
    backward = [row["event_id"] for row in page["events"]]
    while len(backward) < everything:
        assert page.get("cut") is None or f"before={backward[-1]}" in page["cut"]
        page = await modern_app.ok("list_events", before=backward[-1], limit=200)
        backward += [row["event_id"] for row in page["events"]]
    assert backward[: len(forward)] == forward[::-1]

    waited: list[int] = []
    after = 0
    while len(waited) < 120:
        page = await modern_app.ok("wait_for_event", types=["white.failed"], after=after, timeout_seconds=0)
        assert length(page) <= MAX_CHARS
        waited += [row["event_id"] for row in page["events"]]
        after = page["after"]
    assert waited == [seq for seq in forward if seq in set(waited)]


async def test_the_inbox_resource_says_where_its_rest_is(modern_app: Connected) -> None:
    for index in range(60):
        await modern_app.services.inbox.record(event_of(event(index, 490), time.time()))
    (content,) = (await modern_app.client.read_resource("piv://inbox")).contents
    assert isinstance(content, TextResourceContents)
    assert len(content.text) <= MAX_CHARS
    inbox = json.loads(content.text)
    last = inbox["events"][-1]["event_id"]
    assert f"list_events(before={last})" in inbox["cut"]
    total = (await modern_app.ok("list_events", limit=1))["total"]
    assert inbox["left_out"] == total - len(inbox["events"])
    assert (await modern_app.ok("list_events", before=last, limit=1))["events"][0]["event_id"] == last - 1


async def test_one_huge_event_is_cut_visibly_and_keeps_its_marks(modern_app: Connected) -> None:
    strings = {f"field {index}": "words " * 200 for index in range(40)}
    await modern_app.services.inbox.record(event_of(event(1, 10, deep=[strings] * 4), time.time()))
    calls: list[tuple[str, dict[str, Any]]] = [
        ("list_events", {"limit": 1}),
        ("wait_for_event", {"types": []}),
    ]
    for tool, arguments in calls:
        shown = await modern_app.ok(tool, **arguments)
        assert length(shown) <= MAX_CHARS
    shown = await modern_app.ok("list_events", limit=1)
    assert "were left out" in shown["cut"]
    texts = list(leaves(shown["events"]))
    assert any("more characters⟩⟦/" in text for text in texts)


def leaves(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        yield from leaves(list(cast("dict[str, object]", value).values()))
    elif isinstance(value, list):
        for item in cast("list[object]", value):
            yield from leaves(item)
    elif isinstance(value, str):
        yield value


async def test_spending_is_read_page_by_page(connect: Connect) -> None:
    async with connect(confirm_wait=0) as app:
        for months in (1, 2):
            await app.call("purchase_number", country_code="SE", duration_months=months, auto_renew=False)
        both = await app.ok("list_spending")
        first = await app.ok("list_spending", limit=1)
        second = await app.ok("list_spending", limit=1, offset=1)
        assert len(both["entries"]) == 2
        assert [*first["entries"], *second["entries"]] == both["entries"]
        assert first["left_out"] == 1
        assert "left_out" not in second


# every shape

sizes = st.lists(st.integers(0, 30_000), max_size=60)
small = st.lists(st.integers(0, 900), max_size=200)


@given(sizes | small, st.integers(0, 1000))
@settings(max_examples=60)
def test_no_row_is_lost_between_pages(texts: list[int], start: int) -> None:
    rows = [SmsRow(id=str(index), text='"ü' * (size // 2)) for index, size in enumerate(texts)]
    shown: list[str] = []
    while len(shown) < len(rows):
        left = rows[len(shown) :]
        total = Pagination(total=start + len(rows))
        page = Messages(messages=left, **paging(Page[Any](items=left, pagination=total), start + len(shown), 50))
        text, content = compact(page)
        assert len(text) <= MAX_CHARS
        assert json.loads(text) == content
        shown += [row["id"] for row in content["messages"]]
        going_on = content.get("next_offset")
        assert going_on == (start + len(shown) if len(shown) < len(rows) else None)
    assert shown == [str(index) for index in range(len(rows))]


@given(small, st.sampled_from([Events, WaitedEvents]))
@settings(max_examples=30)
def test_a_cursor_continues_after_the_last_event_shown(
    texts: list[int], kind: "type[Events] | type[WaitedEvents]"
) -> None:
    now = datetime.now(UTC)
    rows = [
        EventRow(event_id=index + 1, type="x", received_at=now, source="webhook", text="y" * size)
        for index, size in enumerate(texts)
    ]
    more: dict[str, Any] = {"total": len(rows)} if kind is Events else {"status": "ok", "waited_seconds": 0}
    owner = b"store"
    where = Cursor(len(rows), at=1_800_000_000, about=77)
    _, content = compact(kind(events=rows, after=cursor.write(where, owner), store=owner, **more))
    if len(rows) > 1:
        assert cursor.read(content["after"], owner) == replace(where, seq=content["events"][-1]["event_id"])


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=50) | st.just("⟦ab⟧" + "x" * 9000 + "⟦/ab⟧"),
        lambda inner: st.lists(inner, max_size=300) | st.dictionaries(st.text(max_size=5), inner, max_size=60),
        max_leaves=400,
    )
)
@settings(max_examples=25)
def test_whatever_is_too_long_is_cut_visibly(value: Any) -> None:
    shown = shortened({"data": value}, lambda content: length(content) <= MAX_CHARS)
    assert "left out" in shown["cut"]
    for text in leaves(shown):
        assert text.count("⟦ab⟧") == text.count("⟦/ab⟧")


@pytest.mark.parametrize("chars", [10, MAX_CHARS * 3])
def test_text_and_structured_content_say_the_same(chars: int) -> None:
    result = answer(SmsRow(id="1", text="x" * chars))
    (block,) = result.content
    assert block.type == "text"
    assert json.loads(block.text) == result.structured_content
    assert ("more characters" in block.text) == (chars > MAX_CHARS)
