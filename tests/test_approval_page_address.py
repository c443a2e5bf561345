"""Where the approval page is served: on the machine's port, or on a port of its own."""

import asyncio
import socket
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from approvals import (
    BUY,
    BrowserPerson,
    answer_of,
    answers,
    asking,
    button,
    gone,
    origin_of,
    pending_in,
    redirects,
    rented,
    says,
    stranger,
)
from harness import Connect, until
from moving_clock import MovingClock
from processes import free_port
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from piv_mcp.spending.quote import FREEZE_SECONDS
from piv_mcp.store import facts
from piv_mcp.web.serving import LINGER_SECONDS, NEED_SECONDS, proof_of

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(sys.platform == "win32", reason="the browser of the tests is a shell script"),
]


async def test_with_the_web_app_off_a_port_of_its_own_is_open_for_as_long_as_anything_waits(
    connect: Connect, person: BrowserPerson
) -> None:
    clock = MovingClock()
    async with connect(webhook_port=0, clock=clock, confirm_wait=FREEZE_SECONDS) as app:
        async with asking(app) as call, asking(app, duration_months=2) as other:
            await until(lambda: len(person.opened()) == 2, seconds=20, what="both pages")
            first, second = [await person.page(address) for address in person.opened()]
            for page in (first, second):
                await page.wait_for_url("http://127.0.0.1:*/approvals/*")
            assert origin_of(first.url) == origin_of(second.url)
            await button(first, "Approve").click()
            await asyncio.wait((call, other), timeout=20, return_when=asyncio.FIRST_COMPLETED)
            await says(first, "Approved and done")
            clock.advance(LINGER_SECONDS + NEED_SECONDS)
            await asyncio.sleep(0.3)  # a listener that stops is gone by then
            assert await answers(second.url), "one is left that waits"
            await button(second, "Approve").click()
            await says(second, "Approved and done")
            await asyncio.gather(answer_of(call), answer_of(other))
        address = second.url
        clock.advance(LINGER_SECONDS + NEED_SECONDS)
        await until(lambda: gone(address), seconds=20, what="the end of the port")
        assert sorted(rented(app.sandbox)) == [Decimal("4.00"), Decimal("8.00")]
        async with asking(app, country_code="GB") as call:  # and it opens again
            page = await person.approval(times=3)
            await button(page, "Decline").click()
            assert (await answer_of(call))["status"] == "declined"


async def test_a_port_of_its_own_closes_when_what_waits_has_expired(connect: Connect, person: BrowserPerson) -> None:
    clock = MovingClock()
    async with connect(webhook_port=0, confirm_wait=0, clock=clock) as app:
        await app.ok("purchase_number", **BUY)
        page = await person.page("about:blank")
        await page.goto(await person.invited())
        await page.wait_for_url("http://127.0.0.1:*/approvals/*")
        address = page.url
        assert await answers(address)
        clock.advance(FREEZE_SECONDS)
        await until(lambda: not redirects(app), seconds=20, what="the end of its time")
        assert await answers(address), "a person may still look at it"
        clock.advance(LINGER_SECONDS + NEED_SECONDS)
        await until(lambda: gone(address), seconds=20, what="the end of the port")


async def test_a_port_that_another_program_or_store_has_is_not_used(
    connect: Connect, person: BrowserPerson, data_dir: Path
) -> None:
    ours = {"name": "piv-mcp", "version": "0.1.0"}
    others: list[object] = ["hello", {"name": "other", "version": "1", "proof": ""}, ours, {**ours, "proof": ""}]
    health: object = others[0]
    key = store = ""

    def answer(request: Request) -> Response:
        if health is not None:
            return JSONResponse(health)
        return JSONResponse({**ours, "proof": proof_of(key, store, request.query_params["nonce"])})

    async with (
        stranger(Route("/health", answer)) as taken,
        connect(webhook_port=int(taken.rpartition(":")[2]), confirm_wait=0) as app,
    ):
        key, store = (data_dir / "page-key").read_text(), await app.services.store.read(facts.get, facts.STORE_ID) or ""
        others += [{**ours, "proof": proof_of(key, store, "")}]
        for months, health in enumerate(others, start=1):
            assert (await pending_in(app, duration_months=months)).origin != taken, health
        page = await person.approval(times=len(others))
        await button(page, "Approve").click()
        await says(page, "Approved")
        health = None
        right, key = key, f"{key}x"
        assert (await pending_in(app, duration_months=10)).origin != taken, "it knows our store, and not our key"
        key = right
        assert (await pending_in(app, duration_months=11)).origin == taken


async def test_a_port_whose_holder_never_answers_is_not_used(connect: Connect, person: BrowserPerson) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with connect(webhook_port=silent.getsockname()[1]) as app, asking(app) as call:
            page = await person.approval()
            await button(page, "Decline").click()
            assert (await answer_of(call))["status"] == "declined"


async def test_a_web_app_that_listens_to_another_address_only_leaves_the_page_to_loopback(
    connect: Connect, person: BrowserPerson
) -> None:
    async with connect(webhook_host="127.0.0.2", webhook_port=free_port()) as app, asking(app) as call:
        page = await person.approval()
        await button(page, "Approve").click()
        assert (await answer_of(call))["status"] == "charged"
