"""Lists with rows that cannot be read: such a row costs only itself, and is counted."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import structlog
from api_client import PURCHASE, Server

from piv_mcp import errors
from piv_mcp.api.client import PivClient
from piv_mcp.api.models import SMALL_PAGE, Page
from piv_mcp.api.numbers import Sms
from piv_mcp.api.paging import all_rows, complete_rows

BAD: list[Any] = [None, "row", 7, True, [], {}, {"id": {}}, {"piv_num_id": None}, [{"id": "a"}]]


def client(data: object, **beside: object) -> PivClient:
    return Server(json.dumps({"success": True, "data": data, **beside})).client()


GOOD: dict[str, Any] = {"piv_num_id": "n", "id": "a", "name": "n.com", "tier_key": "t", "country_code": "SE"}
PAGES: dict[str, Callable[[PivClient], Awaitable[Page[Any]]]] = {
    "numbers": lambda piv: piv.numbers.list(),
    "messages": lambda piv: piv.numbers.sms("n"),
    "orders": lambda piv: piv.proxies.orders(),
    "domains": lambda piv: piv.domains.list(),
    "whites": lambda piv: piv.whites.list(),
}
LISTS: dict[str, Callable[[PivClient], Awaitable[list[Any]]]] = {
    "countries": lambda piv: piv.numbers.countries(),
    "servers": lambda piv: piv.proxies.servers(),
    "records": lambda piv: piv.domains.dns("d"),
    "tiers": lambda piv: piv.whites.tiers(),
}


@pytest.mark.parametrize("bad", BAD, ids=repr)
@pytest.mark.parametrize("name", PAGES)
async def test_a_bad_row_of_a_page_costs_only_itself(name: str, bad: object) -> None:
    data = {name: [bad, GOOD, bad, GOOD], "pagination": {"total": 9}}
    with structlog.testing.capture_logs() as logs:
        page = await PAGES[name](client(data))
    assert (len(page.items), page.unreadable, page.length, page.pagination.total) == (2, 2, 4, 9)
    (said,) = [entry for entry in logs if "cannot be read" in entry["event"]]
    assert (said["log_level"], said["rows"]) == ("warning", 2)
    with pytest.raises(errors.MalformedAnswerError, match="2 rows"):
        page.whole()


@pytest.mark.parametrize("name", PAGES)
async def test_a_good_page_is_whole(name: str) -> None:
    with structlog.testing.capture_logs() as logs:
        page = await PAGES[name](client({name: [GOOD, GOOD]}))
    assert (page.unreadable, page.length, page.whole()) == (0, 2, page.items)
    assert not [entry for entry in logs if entry["log_level"] == "warning"]
    assert (await PAGES[name](client({name: []}))).items == []


@pytest.mark.parametrize("name", LISTS)
async def test_a_bad_row_of_a_list_costs_only_itself(name: str) -> None:
    with structlog.testing.capture_logs() as logs:
        assert len(await LISTS[name](client({name: [None, GOOD | {"type": "A", "content": "x"}, "row"]}))) == 1
    assert [entry["rows"] for entry in logs if "cannot be read" in entry["event"]] == [2]


@pytest.mark.parametrize("rows", [None, "rows", {}, 5, [None], [7, "row"]], ids=repr)
async def test_a_list_of_which_nothing_can_be_read_is_an_error_and_not_empty(rows: object) -> None:
    for name in PAGES:
        with pytest.raises(errors.MalformedAnswerError):
            await PAGES[name](client({name: rows}))
    for name in LISTS:
        with pytest.raises(errors.MalformedAnswerError):
            await LISTS[name](client({name: rows}))


async def test_a_bad_row_inside_another_costs_only_itself() -> None:
    body: dict[str, Any] = {
        "success": True,
        "cost": 4,
        "numbers": [None, {"piv_num_id": "n", "tags": ["a", None, {}, "b"]}],
    }
    bought = await Server(json.dumps(body)).client().numbers.purchase(PURCHASE)
    assert [(number.piv_num_id, number.tags) for number in bought.numbers] == [("n", ["a", "b"])]


async def test_reading_goes_on_behind_a_bad_row() -> None:
    full = [{"piv_num_id": str(index)} for index in range(SMALL_PAGE)]
    pages: list[list[Any]] = [[*full[:7], None, *full[8:]], [{"piv_num_id": "last"}]]
    server = Server(*(json.dumps({"success": True, "data": {"numbers": rows}}) for rows in pages))
    rows, total = await all_rows(server.client().numbers.list, SMALL_PAGE)
    assert (len(rows), total, rows[-1].piv_num_id) == (SMALL_PAGE, SMALL_PAGE + 1, "last")
    assert [dict(request.url.params).get("offset") for request in server.requests] == [None, str(SMALL_PAGE)]


async def test_what_may_be_in_a_bad_row_is_not_held_to_be_absent() -> None:
    page = json.dumps({"success": True, "data": {"numbers": [None, {"piv_num_id": "n"}]}})
    with pytest.raises(errors.MalformedAnswerError):
        await complete_rows(Server(page).client().numbers.list, SMALL_PAGE)
    page = json.dumps({"success": True, "data": {"numbers": [{"piv_num_id": "n"}]}})
    assert len(await complete_rows(Server(page).client().numbers.list, SMALL_PAGE, country="SE")) == 1


# messages


@pytest.mark.parametrize("id_", [{}, {"id": None}, {"id": ""}, {"id": []}, {"id": {"a": 1}}, {"id": True}], ids=repr)
async def test_a_message_without_an_id_keeps_its_text(id_: dict[str, Any]) -> None:
    row = {**id_, "message_body": "Acme code 111001", "received_at": "2026-05-01T10:00:00"}
    page = await client({"messages": [row]}).numbers.sms("n")
    assert [(sms.id, sms.message_body) for sms in page.items] == [("", "Acme code 111001")]
    assert page.unreadable == 0


@pytest.mark.parametrize("id_", [12, "12"])
async def test_an_id_may_be_a_number(id_: object) -> None:
    page = await client({"messages": [{"id": id_, "message_body": 5}]}).numbers.sms("n")
    assert page.items == [Sms(id="12", message_body="5")]


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (5, "5"),
        (4.5, "4.5"),
        (True, "true"),
        (False, "false"),
        ("", ""),
        (None, None),
        ({"a": "b"}, None),
        (["a"], None),
    ],
)
async def test_a_text_is_kept_as_far_as_it_is_one(sent: object, read: str | None) -> None:
    page = await client({"messages": [{"id": "1", "message_body": sent}]}).numbers.sms("n")
    assert [(sms.message_body, sms.lacks_text) for sms in page.items] == [(read, read is None)]


@pytest.mark.parametrize(
    "time",
    [
        "2026-05-01T10:00:00Z",
        "2026-05-01T12:00:00+02:00",
        "2026-05-01T10:00:00",
        "2026-05-01 10:00:00",
        " 2026-05-01T10:00:00Z ",
        "2026-05-01 10:00:00 UTC",
        "2026-05-01 10:00:00 +0000",
        "Fri, 01 May 2026 10:00:00 GMT",
        1777629600,
        "1777629600",
        1777629600000,
        "1777629600000",
        1777629600.0,
        "1777629600.0",
        1777629600000000,
    ],
)
async def test_a_time_is_understood_in_any_usual_form(time: object) -> None:
    page = await client({"messages": [{"id": "1", "received_at": time}]}).numbers.sms("n")
    assert [sms.received_at.isoformat() for sms in page.items if sms.received_at] == ["2026-05-01T10:00:00+00:00"]


@pytest.mark.parametrize("time", [True, "soon", "Monday", "", None, {}, "10", 1e30, "99999-01-01T00:00:00Z"])
async def test_a_time_that_is_none_costs_only_itself(time: object) -> None:
    page = await client({"messages": [{"id": "1", "message_body": "x", "received_at": time}]}).numbers.sms("n")
    assert [(sms.id, sms.message_body) for sms in page.items] == [("1", "x")]
