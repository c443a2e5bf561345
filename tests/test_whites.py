"""The tools for generated sites: what they send and answer."""

from collections.abc import Mapping

import pytest
from examples import white
from harness import Connect, Connected, Request

from piv_mcp.api.whites import White
from piv_mcp.sandbox import Sandbox


def unfinished(sandbox: Sandbox) -> str:
    return next(item.id for item in sandbox.state.whites.values() if item.status == 3)


async def test_reads_send_the_documented_request_and_only_what_was_given(app: Connected) -> None:
    id_ = white(app.sandbox)
    filters = {"status": "done", "tier_key": "v2_tier3", "limit": 20, "offset": 0}
    wire = {"status": "done", "tier_key": "v2_tier3", "limit": "20", "offset": "0"}
    calls: list[tuple[str, Mapping[str, object], Request]] = [
        ("list_white_tiers", {}, ("GET", "/whites/tiers", {}, None)),
        ("list_whites", {}, ("GET", "/whites", {}, None)),
        ("list_whites", dict(filters), ("GET", "/whites", wire, None)),
        ("get_white", {"white_id": id_}, ("GET", f"/whites/{id_}", {}, None)),
        (
            "get_white_download",
            {"white_id": id_, "format": "php"},
            ("GET", f"/whites/{id_}/download", {"format": "php"}, None),
        ),
    ]
    for tool, arguments, request in calls:
        await app.ok(tool, **arguments)
        assert app.sent == [request], tool


STATES: dict[str, list[int | str | None]] = {
    "queued": [0, "0", "queued"],
    "processing": [1, 5, 9, "processing"],
    "done": [10, "10", "done"],
    "failed": [-1, -7, "-1", "failed"],
    "unknown": [11, 99, "frozen", "", "1.5", "\u0661", "9" * 30, None],
}


@pytest.mark.parametrize("state", STATES)
def test_a_site_s_status_is_told_in_a_word_where_one_is_known(state: str) -> None:
    for status in STATES[state]:
        site = White(id="w-1", status=status)
        assert site.state == state, status
        assert site.model_dump(mode="json")["status"] == status


async def test_the_word_stands_beside_the_number_in_answers(app: Connected) -> None:
    done = await app.ok("get_white", white_id=white(app.sandbox))
    assert (done["status"], done["state"]) == (10, "done")
    rows = (await app.ok("list_whites"))["whites"]
    assert {row["id"]: row["state"] for row in rows}[unfinished(app.sandbox)] == "processing"


async def test_configuring_sends_the_given_fields_alone(connect: Connect) -> None:
    whole = {
        "company": "My Brand",
        "domain": "newdomain.com",
        "email": "info@newdomain.com",
        "phone": "+49 30 123456",
        "address": "Berliner Str. 1, Berlin",
        "legal": "My Brand GmbH",
    }
    async with connect(confirm_destructive=False) as app:
        id_ = white(app.sandbox)
        for fields in ({"company": "Bücher & Söhne"}, whole):
            await app.ok("configure_white", white_id=id_, **fields)
            assert app.sent == [("POST", f"/whites/{id_}/config", {}, fields)]


async def test_a_page_says_the_total_and_where_the_next_begins(modern_app: Connected) -> None:
    first = await modern_app.ok("list_whites", limit=1)
    assert (first["total"], first["next_offset"], len(first["whites"])) == (2, 1, 1)
    last = await modern_app.ok("list_whites", limit=1, offset=1)
    assert last["whites"][0]["id"] != first["whites"][0]["id"]
    assert "next_offset" not in last


async def test_tiers_say_what_a_site_costs(modern_app: Connected) -> None:
    tiers = {row["tier_key"]: row for row in (await modern_app.ok("list_white_tiers"))["tiers"]}
    assert tiers["v2_tier3"]["price"] == "10.00"
    assert tiers["v2_tier3"]["extra_article_price"] == "1.50"
    assert "extra_article_price" not in tiers["v2_tier1"]


async def test_the_link_comes_with_its_end(modern_app: Connected) -> None:
    answer = await modern_app.ok("get_white_download", white_id=white(modern_app.sandbox))
    assert answer["url"].startswith("https://")
    assert {"filename", "format", "expires_at"} <= set(answer)


async def test_a_site_in_the_making_is_not_ready_and_can_be_waited_for(modern_app: Connected) -> None:
    said = await modern_app.error("get_white_download", white_id=unfinished(modern_app.sandbox))
    assert said.startswith("NOT_READY: ")
    assert "try again when it is done" in said
    assert len(modern_app.sent) == 1, "a refusal is not repeated"


async def test_a_change_of_nothing_is_refused_before_anything_is_sent(modern_app: Connected) -> None:
    said = await modern_app.error("configure_white", white_id=white(modern_app.sandbox))
    assert said.startswith("VALIDATION_ERROR: pass at least one of company, domain")
    assert modern_app.sent == []


@pytest.mark.parametrize("email", ["info", "info@", "a b@c.com", "@c.com"])
async def test_what_is_no_address_is_not_sent(modern_app: Connected, email: str) -> None:
    said = await modern_app.error("configure_white", white_id=white(modern_app.sandbox), email=email)
    assert said.startswith("VALIDATION_ERROR: email: ")
    assert modern_app.sent == []


async def test_hosts_leave_in_one_form(connect: Connect) -> None:
    wrong = (("domain", "https://mysite.com"), ("email", "info@my\u200bsite.com"), ("email", "info@a..b"))
    async with connect(confirm_destructive=False) as app:
        id_ = white(app.sandbox)
        await app.ok("configure_white", white_id=id_, domain="BÜCHER.example.", email="Info@BÜCHER.example")
        hosts = {"domain": "xn--bcher-kva.example", "email": "Info@xn--bcher-kva.example"}
        assert app.sent == [("POST", f"/whites/{id_}/config", {}, hosts)]
        for name, typed in wrong:
            said = await app.error("configure_white", white_id=id_, **{name: typed})
            assert said.startswith(f"VALIDATION_ERROR: {name}: ")
            assert app.sent == []
