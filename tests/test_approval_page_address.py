"""Where the approval page is served: on a port of its own, open while it is needed, and never on the webhook port."""

import asyncio
import sys
from collections.abc import Awaitable
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from approvals import (
    BUY,
    BrowserPerson,
    answer_of,
    asking,
    button,
    card,
    first_pending,
    gone,
    rented,
    says,
    visitor,
)
from harness import Connect, pages, until
from moving_clock import MovingClock
from plain_http import http_client, stranger
from playwright.async_api import expect
from processes import free_port
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from piv_mcp.spending.quote import FREEZE_SECONDS
from piv_mcp.web.serving import LINGER_SECONDS, NEED_SECONDS

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(sys.platform == "win32", reason="the browser of the tests is a shell script"),
]


async def test_the_page_has_a_port_of_its_own_for_as_long_as_anything_waits(
    connect: Connect, person: BrowserPerson
) -> None:
    clock = MovingClock()
    async with connect(webhook_port=free_port(), clock=clock, confirm_wait=FREEZE_SECONDS) as app:
        async with asking(app) as call:
            page = await person.approval()
            address = page.url
            async with asking(app, duration_months=2) as other:
                await button(card(page, 1), "Approve").click()
                await asyncio.wait((call, other), timeout=20, return_when=asyncio.FIRST_COMPLETED)
                await says(card(page, 1), "Approved and done")
                clock.advance(LINGER_SECONDS + NEED_SECONDS)
                assert not await gone_soon(clock, address), "one is left that waits"
                await button(card(page, 2), "Approve").click()
                await says(card(page, 2), "Approved and done")
                await asyncio.gather(answer_of(call), answer_of(other))
        await until(lambda: passing(clock, gone(address)), seconds=20, what="the end of the port")
        await expect(page.locator("footer")).to_contain_text("piv-mcp serves this page no more")
        assert sorted(rented(app.sandbox)) == [Decimal("4.00"), Decimal("8.00")]
        async with asking(app, country_code="GB") as call:  # and it opens again
            page = await person.approval(times=2)
            await button(page, "Decline").click()
            assert (await answer_of(call))["status"] == "declined"


async def passing(clock: MovingClock, found: Awaitable[bool]) -> bool:
    """Let time pass until it is found."""
    if await found:
        return True
    clock.advance(NEED_SECONDS * 4)
    return False


async def gone_soon(clock: MovingClock, address: str) -> bool:
    """Whether the port closes within a few looks whether it is needed."""
    for _ in range(5):
        clock.advance(NEED_SECONDS)
        if await gone(address):
            return True
    return False


async def test_the_port_closes_when_what_waits_has_expired(connect: Connect, silent_browser: Path) -> None:
    clock = MovingClock()
    async with connect(confirm_wait=0, clock=clock) as app:
        pending = await first_pending(app, silent_browser)
        address = f"{pending.visitor.origin}{pending.visitor.path}"
        clock.advance(FREEZE_SECONDS)
        assert "Expired" in (await pending.visitor.request("GET")).text, "a person may still look at it"
        await until(lambda: passing(clock, gone(address)), seconds=20, what="the end of the port")
        second = await first_pending(app, silent_browser, count=2)
        assert second.visitor.origin != pending.visitor.origin
        again = await second.visitor.request("GET", pending.visitor.path, {"Cookie": pending.visitor.cookie})
        assert again.status_code == 404, "visits end with their port"


async def test_the_outcome_can_be_seen_for_half_a_minute(connect: Connect, silent_browser: Path) -> None:
    clock = MovingClock()
    async with connect(confirm_wait=0, clock=clock) as app:
        decided = await first_pending(app, silent_browser)
        await decided.post()
        assert (await app.ok("purchase_number", **BUY))["status"] == "charged"
        clock.advance(27)
        assert not await gone_soon(clock, decided.visitor.origin)
        assert "Approved and done" in (await decided.visitor.request("GET")).text
        clock.advance(4)
        assert await gone_soon(clock, decided.visitor.origin)


async def test_the_webhook_port_serves_no_page_and_the_page_s_port_no_webhooks(
    connect: Connect, silent_browser: Path, data_dir: Path
) -> None:
    port = free_port()
    async with connect(confirm_wait=0, webhook_port=port) as app:
        pending = await first_pending(app, silent_browser)
        secret = (data_dir / "webhook-secret").read_text()
        assert pending.visitor.origin != f"http://127.0.0.1:{port}"
        async with http_client(f"http://127.0.0.1:{port}") as http:
            for path in (pending.path, pending.visitor.path, "/console/"):
                for method in ("GET", "POST"):
                    answer = await http.request(method, path, headers={"Cookie": pending.visitor.cookie})
                    assert answer.status_code == 404, path
            redirect = await http.get("/health/", headers={"Host": "evil.example"})
            assert (redirect.status_code, redirect.headers.get("location")) == (404, None)
        for path in (f"/webhooks/{secret}", "/health"):
            assert (await pending.visitor.request("POST", path, json={})).status_code == 404
        assert await pending.is_untouched()


async def test_a_stranger_on_the_webhook_port_learns_nothing_and_the_page_works(
    connect: Connect, silent_browser: Path
) -> None:
    """It may relay whatever it is asked to the real one."""
    asked: list[str] = []

    def look(request: Request) -> Response:
        asked.append(str(request.url))
        return JSONResponse({"name": "piv-mcp", "version": "0.1.0", "proof": "0" * 64})

    async with (
        stranger(Route("/{path:path}", look)) as taken,
        connect(webhook_port=int(taken.rpartition(":")[2]), confirm_wait=0) as app,
    ):
        pending = await first_pending(app, silent_browser)
        assert pending.visitor.origin != taken
        assert (await pending.post()).status_code == 303
        assert (await app.ok("purchase_number", **BUY))["status"] == "charged"
    assert all(urlsplit(url).path == "/health" for url in asked), "it is only asked whose it is"
    assert not any(part in url for url in asked for part in (pending.visitor.path, pending.id))


async def test_the_page_of_one_process_shows_what_waits_in_another_which_opens_no_tab(
    connect: Connect, person: BrowserPerson
) -> None:
    clock = MovingClock()
    async with (
        connect(confirm_wait=0, clock=clock) as one,
        connect(confirm_wait=FREEZE_SECONDS, clock=clock) as two,
    ):
        await one.ok("purchase_number", **BUY)
        page = await person.approval()
        async with asking(two, duration_months=2) as call:
            await button(card(page, 2), "Approve").click()
            assert (await answer_of(call))["status"] == "charged"
        await says(card(page, 2), "Approved and done")
        assert len(person.opened()) == 1


async def test_when_the_page_that_was_open_has_been_closed_another_process_opens_its_own(
    connect: Connect, silent_browser: Path
) -> None:
    clock = MovingClock(speed=0)
    async with connect(confirm_wait=0, clock=clock) as one, connect(confirm_wait=0, clock=clock) as two:
        pending = await first_pending(one, silent_browser)
        clock.advance(1)
        answer = await two.ok("purchase_number", **{**BUY, "duration_months": 2})
        assert "on the page that is open in their browser" in answer["note"]
        assert len(pages(silent_browser)) == 1
        # Nobody looks at the page that was open.
        await until(lambda: clock.advance(1) or len(pages(silent_browser)) > 1, seconds=20, what="a page of its own")
        second = await visitor(pages(silent_browser)[1])
        assert second.origin != pending.visitor.origin
        shown = (await second.request("GET")).text
        assert shown.count("<article") == 2


async def test_a_web_app_that_listens_to_another_address_only_leaves_the_page_to_loopback(
    connect: Connect, person: BrowserPerson
) -> None:
    async with connect(webhook_host="127.0.0.2", webhook_port=free_port()) as app, asking(app) as call:
        page = await person.approval()
        await button(page, "Approve").click()
        assert (await answer_of(call))["status"] == "charged"
