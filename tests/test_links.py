"""The links that sign in: which are found in a text, and what is told of them."""

import json
from pathlib import Path
from typing import Any

import pytest
from harness import Connected
from hypothesis import given
from hypothesis import strategies as st
from inbox_home import Home
from processes import sms_webhook
from processor_time import times_as_long

from piv_mcp.api.rate_limit import Priority
from piv_mcp.inbox.codes.extract import extract_code
from piv_mcp.inbox.codes.links import host_of, sign_in_link
from piv_mcp.store import Connection, events

CORPUS = [
    json.loads(line) for line in (Path(__file__).parent / "corpus" / "links.jsonl").read_text("utf-8").splitlines()
]
LINK = "https://fern.example/login?token=q8Zt2LmX"
SIGN_IN = f"Sign in to Fern: {LINK}"

HOSTILE = {
    "links": "Sign in https://" * 120,
    "names": "Sign in https://" + "a@" * 900,
    "dots": "Sign in https://" + "a." * 900 + "com/login?token=1",
    "brackets": "Sign in https://x.com/" + ")" * 1_900,
    "words": "log in " * 200 + "https://a.com/login?token=1",
    "pieces": "Sign in https://x.com/" + "a_" * 900,
}


# Finding


@pytest.mark.parametrize("row", CORPUS, ids=[row["text"][:60] for row in CORPUS])
def test_a_link_that_signs_in_is_found_and_no_other(row: dict[str, str | None]) -> None:
    assert sign_in_link(row["text"] or "") == row["link"]


def test_the_corpus_has_as_many_links_of_either_kind_and_no_code_beside_one() -> None:
    signing_in = [row["text"] for row in CORPUS if row["link"]]
    assert min(len(signing_in), len(CORPUS) - len(signing_in)) >= 30
    assert [text for text in signing_in if extract_code(text)] == []


@pytest.mark.parametrize(
    ("link", "host"),
    [
        (LINK, "fern.example"),
        ("https://google.com@evil.example/login?token=1", "evil.example"),
        ("https://google.com:443@evil.example:8443/login?token=1", "evil.example"),
        ("https://evil.example/@google.com/login?token=1", "evil.example"),
        ("https://evil.example/login?to=@google.com&token=1", "evil.example"),
        ("https://google.com.evil.example/login?token=1", "google.com.evil.example"),
    ],
)
def test_the_host_is_that_which_the_link_leads_to(link: str, host: str) -> None:
    assert sign_in_link(f"Sign in: {link}") == link
    assert host_of(link) == host


PIECES = st.sampled_from(
    (
        *("Sign in: ", "https://", "http://", "fern.example", "/login", "?token=", "q8Zt2LmX", "xn--", "%2e", "&amp;"),
        *"@\\:é登а. \n()\u200b\u202e",
    )
)


@given(st.one_of(st.text(), st.lists(PIECES, max_size=14).map("".join), st.text().map("Sign in: https://{}".format)))
def test_whatever_the_text_a_link_is_of_it_and_its_host_in_ascii(text: str) -> None:
    link = sign_in_link(text)
    if link is not None:
        host = host_of(link)
        assert host is not None
        assert link.isascii()
        assert link.isprintable()
        assert host in link
        before, _, behind = link.partition(host)
        assert behind in text.replace("&amp;", "&")
        assert before.split("//")[1] in text


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_no_text_takes_long(text: str) -> None:
    assert times_as_long(lambda: sign_in_link(text), lambda: json.dumps([SIGN_IN] * 200), tries=3) < 1000


# Keeping


async def test_a_link_ends_a_wait_as_a_code_does(home: Home) -> None:
    number = home.numbers[0]
    first = await home.wait(number, seconds=0)
    await home.record(sms_webhook(number, SIGN_IN))
    waited = await home.wait(number, after=first.cursor)
    assert [(event.link, event.code) for event in waited.found] == [(LINK, None)]
    assert waited.without_code == []
    again = await home.wait(number, seconds=0, after=waited.cursor)
    assert again.found == []


async def test_the_two_sources_of_a_link_are_one_message(home: Home) -> None:
    number = home.numbers[0]
    await home.sandbox.receive_sms(number, SIGN_IN, sender="Fern", deliver=False)
    at = home.sandbox.state.numbers[number].messages[-1].received_at.isoformat()
    told = await home.record(sms_webhook(number, SIGN_IN, at=at))
    await home.history.look(number, Priority.PERSON)
    (found,) = await home.inbox.store.read(events.codes, number, limit=10)
    assert (found.seq, found.link, found.sender, found.confirmed) == (told.seq, LINK, "Fern", True)


async def test_a_code_that_comes_for_a_message_with_a_link_takes_its_place_and_is_found(home: Home) -> None:
    """A webhook that is sent again may have a code that its first delivery had not."""
    number, text = home.numbers[0], f"Sign in to Fern with KXQW or {LINK}"
    await home.record(sms_webhook(number, text))
    waited = await home.wait(number)
    assert [event.link for event in waited.found] == [LINK]
    await home.record(sms_webhook(number, text, "KXQW"))
    later = await home.wait(number, seconds=0, after=waited.cursor)
    assert [(event.code, event.link) for event in later.found] == [("KXQW", None)]


async def test_a_link_that_the_history_shows_later_is_past_the_cursor(home: Home) -> None:
    """The parts of a long message come one by one."""
    number = home.numbers[0]
    await home.sandbox.receive_sms(number, "Sign in to Fern", deliver=False)
    await home.history.look(number, Priority.PERSON)
    before = await home.wait(number, seconds=0)
    assert [event.text for event in before.without_code] == ["Sign in to Fern"]
    home.sandbox.state.numbers[number].messages[-1].message_body = f"Sign in to Fern with {LINK}"
    await home.history.look(number, Priority.PERSON)
    later = await home.wait(number, seconds=0, after=before.cursor)
    assert [event.link for event in later.found] == [LINK]


async def test_links_and_codes_are_in_one_order(home: Home) -> None:
    number = home.numbers[0]
    await home.record(sms_webhook(number, SIGN_IN))
    await home.webhook(number, "482913")
    found = await home.inbox.store.read(events.codes, number, limit=10)
    assert [event.sign_in for event in found] == ["482913", LINK]
    assert await home.inbox.store.read(events.without_code, number, limit=10) == []


@pytest.mark.parametrize("subject", ["num-a", None])
def test_the_newest_codes_and_links_are_the_first_rows_of_an_index(stored: Connection, subject: str | None) -> None:
    plans: list[str] = []

    class Explained:
        account = stored.account

        def rows(self, query: str, values: Any = ()) -> Any:
            plans.extend(str(row[3]) for row in stored.rows(f"EXPLAIN QUERY PLAN {query}", values))
            return stored.rows(query, values)

    explained: Any = Explained()
    events.codes(explained, subject, limit=5)
    assert plans
    assert all("USING INDEX events_codes" in plan for plan in plans), "and nothing is sorted"


# Telling


@pytest.mark.parametrize("tool", ["wait_for_code", "get_latest_code"])
async def test_a_link_is_shown_in_place_of_a_code_and_never_opened(modern_app: Connected, tool: str) -> None:
    number = modern_app.sandbox.state.numbers[modern_app.sandbox.add_numbers(1)[0]]
    text = "Log in: https://pаypal.com/login?token=q8Zt2LmX"
    await modern_app.sandbox.receive_sms(number.piv_num_id, text, sender="Fern", deliver=False)
    answer = await modern_app.ok(tool, number=number.phone_number)
    newest = answer["newest"]
    assert answer["status"] == "ok"
    assert (newest["link"], newest["host"]) == (
        "https://xn--pypal-4ve.com/login?token=q8Zt2LmX",
        "xn--pypal-4ve.com",
    )
    assert "code" not in newest
    assert newest["confirmed"] == "in the SMS history"
    assert newest["text"].startswith("⟦")
    assert "for the person alone to open" in answer["note"]
    assert all("pypal" not in request.raw_path for request in modern_app.sandbox.requests)


async def test_a_link_that_only_a_webhook_told_may_be_forged(modern_app: Connected) -> None:
    number = modern_app.sandbox.add_numbers(1)[0]
    await modern_app.tell("sms.received", piv_num_id=number, text=SIGN_IN, code=None)
    answer = await modern_app.ok("wait_for_code", number=number, timeout_seconds=0)
    assert (answer["newest"]["link"], answer["newest"]["confirmed"]) == (LINK, "not looked for yet")
    only = await modern_app.ok("wait_for_code", number=number, timeout_seconds=0, confirmed_only=True)
    assert only["status"] == "timeout"


async def test_a_message_with_a_code_and_a_link_has_its_code(modern_app: Connected) -> None:
    number = modern_app.sandbox.add_numbers(1)[0]
    await modern_app.sandbox.receive_sms(number, f"Your code is 482913. Or sign in: {LINK}", deliver=False)
    answer = await modern_app.ok("wait_for_code", number=number)
    assert (answer["newest"]["code"], "link" in answer["newest"]) == ("482913", False)


async def test_every_code_and_link_names_its_number_and_time(modern_app: Connected) -> None:
    numbers = [modern_app.sandbox.state.numbers[id_] for id_ in modern_app.sandbox.add_numbers(2)]
    await modern_app.ok("list_numbers", limit=200)
    for number, text in zip(numbers, (SIGN_IN, "Your code is 482913"), strict=True):
        await modern_app.tell("sms.received", piv_num_id=number.piv_num_id, text=text, code=None)
    answer = await modern_app.ok("get_latest_code")
    rows = [answer["newest"], *answer["others"]]
    assert {(row["piv_num_id"], row["phone_number"]) for row in rows[:2]} == {
        (number.piv_num_id, number.phone_number) for number in numbers
    }
    assert all(row["received_at"] for row in rows)
