"""Who may open the approval page and decide on it: tokens, hosts, origins, proxies, forms."""

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from decimal import Decimal

import pytest
from approvals import (
    BUY,
    Pending,
    answer_of,
    asking,
    pending_in,
    pending_of,
    redirects,
    rented,
    serving,
    stranger,
)
from harness import Connect, until
from moving_clock import MovingClock
from playwright.async_api import Browser, expect
from starlette.routing import Route

from piv_mcp.spending.actions.base import Decision
from piv_mcp.spending.quote import FREEZE_SECONDS
from piv_mcp.web.guards import GUESSES_A_MINUTE

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(sys.platform == "win32", reason="the browser of the tests is a shell script"),
]


async def test_the_page_s_own_form_approves(pending: Pending) -> None:
    answer = await pending.post({"Sec-Fetch-Site": "same-origin"})
    assert (answer.status_code, answer.headers["location"]) == (303, f"{pending.path}?token={pending.token}")
    assert (await pending.app.ok("purchase_number", **BUY))["status"] == "charged"


ELSEWHERE: list[dict[str, str | None]] = [
    {"Origin": None},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "https://evil.example"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "http://127.0.0.1"},
    {"Origin": "https://{host}"},
    {"Origin": "http://localhost:{port}"},
    {"Origin": "http://{host}.evil.example"},
    {"Host": "evil.example:{port}", "Origin": "http://evil.example:{port}"},
    {"Host": "127.0.0.1:1", "Origin": "http://127.0.0.1:1"},
    {"Host": "127.0.0.1", "Origin": "http://127.0.0.1"},
    {"Host": "127.0.0.1.evil.example:{port}", "Origin": "http://127.0.0.1.evil.example:{port}"},
    {"Host": "localhost.:{port}", "Origin": "http://localhost.:{port}"},
    {"Host": "0.0.0.0:{port}", "Origin": "http://0.0.0.0:{port}"},
    {"Sec-Fetch-Site": "cross-site"},
    {"X-Forwarded-For": "127.0.0.1"},
    {"X-Forwarded-Host": "{host}"},
    {"Forwarded": "for=127.0.0.1"},
    {"Via": "1.1 tunnel"},
    {"X-Real-IP": "127.0.0.1"},
    {"CF-Connecting-IP": "127.0.0.1"},
]


async def test_another_origin_host_or_road_approves_nothing_even_with_the_token(pending: Pending) -> None:
    port = pending.host.rpartition(":")[2]
    for headers in ELSEWHERE:
        filled = {name: value and value.format(host=pending.host, port=port) for name, value in headers.items()}
        answer = await pending.post(filled)
        assert (filled, answer.status_code) == (filled, 403)
        assert pending.token not in answer.text
        assert await pending.is_untouched(), filled


async def test_another_host_or_road_sees_nothing_even_with_the_token(pending: Pending) -> None:
    for headers in (
        {"Host": "evil.example"},
        {"Host": "127.0.0.1:1"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"Via": "1.1 tunnel"},
    ):
        answer = await pending.request("GET", headers)
        assert (headers, answer.status_code) == (headers, 403)
        assert "Rent" not in answer.text
    assert "Rent" in (await pending.request("GET")).text


async def test_a_guessed_token_sees_and_decides_nothing(pending: Pending) -> None:
    right = pending.token
    for guess in ("", "0" * 64, "ümlaut", "\0", "x" * 3000, right.upper(), right[:-1], f"{right}0", f" {right}"):
        for answer in (await pending.post(token=guess), await pending.request("GET", query={"token": guess})):
            assert (guess, answer.status_code, answer.text) == (guess, 404, "There is no such approval.")
        assert await pending.is_untouched(), guess


async def test_a_form_without_a_token_decides_nothing(pending: Pending) -> None:
    answer = await pending.post(content="decision=approve")
    assert answer.status_code == 404
    assert await pending.is_untouched()


async def test_the_token_of_another_approval_decides_nothing_here(pending: Pending) -> None:
    other = await pending_in(pending.app, duration_months=2)
    assert (await pending.post(token=other.token)).status_code == 404
    assert await pending.is_untouched()
    assert await other.is_untouched()


async def test_the_token_of_an_expired_approval_decides_nothing(
    connect: Connect,
) -> None:
    clock = MovingClock()
    async with connect(confirm_wait=0, clock=clock) as app:
        old = await pending_in(app)
        clock.advance(FREEZE_SECONDS)
        await until(lambda: not redirects(app), seconds=20, what="the end of its time")
        new = await pending_in(app)
        assert old.token != new.token
        assert (await old.post(token=new.token)).status_code == 404
        assert (await new.post(token=old.token)).status_code == 404
        assert (await old.post()).headers["location"].endswith("&late=approve")
        assert [entry.state for entry in await app.entries()][1:] == ["expired"]
        assert rented(app.sandbox) == []


async def test_guesses_are_counted_and_the_right_token_still_works(pending: Pending) -> None:
    statuses = [(await pending.post(token=f"{n}")).status_code for n in range(GUESSES_A_MINUTE + 3)]
    assert statuses == [404] * GUESSES_A_MINUTE + [429] * 3
    assert (await pending.request("GET", query={"token": "0"})).status_code == 429
    assert await pending.is_untouched()
    assert (await pending.post(decision="decline")).status_code == 303


async def test_looking_never_decides(pending: Pending) -> None:
    for query in ({}, {"decision": "approve"}, {"decision": "approve", "late": "approve"}):
        shown = await pending.request("GET", query=query)
        assert (query, shown.status_code, "Approve 4.00 USD" in shown.text) == (query, 200, True)
        head = await pending.request("HEAD", query=query)
        assert (query, head.status_code, head.text) == (query, 200, "")
        assert await pending.is_untouched(), query


async def test_other_methods_are_not_allowed(pending: Pending) -> None:
    for method in ("PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
        answer = await pending.request(method, {"Origin": pending.origin}, query={"decision": "approve"})
        assert (method, answer.status_code) == (method, 405)
        assert await pending.is_untouched(), method


async def test_a_decision_is_one_of_two_words(pending: Pending) -> None:
    for decision in ("", "approved", "APPROVE", "yes", "cancel", "approve ", "executing"):
        assert (decision, (await pending.post(decision=decision)).status_code) == (decision, 400)
        assert await pending.is_untouched(), decision


async def test_a_form_of_another_kind_decides_nothing(pending: Pending) -> None:
    words = json.dumps({"decision": "approve", "token": pending.token}).encode()
    for content in (b"", b"\xff\xfe\x00", b"&" * 4000, b"=&=%&%zz", words):
        assert (content, (await pending.post(content=content)).status_code) == (content, 404)
        assert await pending.is_untouched(), content


async def test_an_oversized_form_decides_nothing(pending: Pending) -> None:
    assert (await pending.post(more="x" * 5000)).status_code == 404
    assert (await pending.post(more="x" * 5_000_000)).status_code == 404
    assert await pending.is_untouched()
    assert (await pending.post(more="x" * 3000)).status_code == 303


async def test_an_approval_that_does_not_exist_is_not_found(pending: Pending) -> None:
    answer = await pending.request("GET", path="/approvals/sp_0000000000")
    assert answer.status_code == 404


async def test_of_many_decisions_at_once_one_counts(pending: Pending) -> None:
    decisions: list[Decision] = ["approve", "decline"] * 10
    answers = await asyncio.gather(*(pending.post(decision=decision) for decision in decisions))
    firsts = [
        decision
        for decision, answer in zip(decisions, answers, strict=True)
        if "late=" not in answer.headers["location"]
    ]
    assert len(firsts) == 1
    (entry,) = await pending.app.entries()
    assert entry.state == {"approve": "approved", "decline": "declined"}[firsts[0]]


async def test_ten_approvals_and_ten_equal_calls_at_once_are_one_charge(connect: Connect) -> None:
    async with connect() as app, AsyncExitStack() as stack:
        calls = [await stack.enter_async_context(asking(app)) for _ in range(10)]
        (file,) = await until(lambda: redirects(app), seconds=20, what="the page")
        pending = pending_of(app, file)
        await asyncio.gather(*(pending.post() for _ in range(10)))
        answers = await asyncio.gather(*map(answer_of, calls))
        assert {answer["spending_id"] for answer in answers} == {pending.id}
        assert {answer["status"] for answer in answers} == {"charged"}
        assert rented(app.sandbox) == [Decimal("4.00")]


async def test_a_form_on_another_site_s_page_approves_nothing(pending: Pending, chromium: Browser) -> None:
    form = (
        f'<form method="post" action="{pending.origin}{pending.path}"><input name="token" value="{pending.token}">'
        '<button name="decision" value="approve">Win</button></form>'
    )
    async with stranger(Route("/", serving(form))) as site:
        page = await chromium.new_page()
        for host in (site, site.replace("127.0.0.1", "localhost")):
            await page.goto(host)
            await page.get_by_role("button", name="Win").click()
            await page.wait_for_url(f"{pending.origin}{pending.path}")
            await expect(page.get_by_text("This request does not come from the approval page.")).to_be_visible()
            assert await pending.is_untouched()
        await page.close()


async def test_the_page_shows_in_no_frame(pending: Pending, chromium: Browser) -> None:
    address = f"{pending.origin}{pending.path}?token={pending.token}"
    framing = f'<iframe src="/other"></iframe><iframe src="{address}"></iframe>'
    async with stranger(Route("/", serving(framing)), Route("/other", serving("<button>Shown</button>"))) as site:
        page = await chromium.new_page()
        await page.goto(site)
        _, other, framed = page.frames
        await expect(other.get_by_role("button")).to_have_text("Shown")
        assert framed.url.startswith("chrome-error:")
        assert await framed.get_by_role("button").count() == 0
        await page.goto(address)
        await expect(page.get_by_role("button", name="Approve")).to_be_visible()
        await page.close()
