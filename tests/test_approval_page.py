"""The approval page: in a real browser, which the server opens, and against everybody who is not that browser."""

import asyncio
import html
import json
import os
import re
import shutil
import socket
import stat
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlencode

import httpx
import pytest
from harness import Connect, Connected, content_of, text_of, until
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.types import CallToolResult
from playwright.async_api import Browser, BrowserContext, FloatRect, Locator, Page, async_playwright, expect
from processes import KEY, Machine, free_port, sandbox_on_a_port
from run import BROWSERS
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from piv_mcp.sandbox import Failure, Sandbox
from piv_mcp.spending import journal
from piv_mcp.spending.approval import channels as approval
from piv_mcp.store import facts
from piv_mcp.store.journal import Entry
from piv_mcp.web import serving as presence
from piv_mcp.web.approval_page import GUESSES_A_MINUTE
from piv_mcp.web.listener import Listener
from piv_mcp.web.serving import proof_of

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(sys.platform == "win32", reason="the browser of the tests is a shell script"),
]

SWITCHES = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
BUY: dict[str, Any] = {"country_code": "SE", "duration_months": 1, "auto_renew": False}
PRICE = "4.00 USD"
TOKEN = "[0-9a-f]{64}"
Decision = Literal["approve", "decline"]


# The person and their browser


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def chromium() -> AsyncIterator[Browser]:
    """One browser for all tests. Without it they fail: nothing else shows that the page works."""
    async with async_playwright() as playwright:
        # The system's, else Playwright's own. Where there is neither, these tests fail.
        path = next((path for name in BROWSERS if (path := shutil.which(name))), None)
        browser = await playwright.chromium.launch(executable_path=path, args=SWITCHES)
        yield browser
        await browser.close()


@dataclass
class Person:
    """Somebody at the machine, whose browser opens what the server opens."""

    browser: Browser
    folder: Path
    contexts: list[BrowserContext] = field(default_factory=list[BrowserContext])
    problems: list[str] = field(default_factory=list[str])
    """What the pages complained about, or what ran in them that should not."""

    @property
    def command(self) -> str:
        return f"{self.folder / 'browser'} %s"

    @property
    def processes(self) -> str:
        """The command lines of the machine's processes while the browser was opened."""
        return (self.folder / "processes").read_bytes().decode(errors="replace").replace("\0", " ")

    def opened(self) -> list[str]:
        """The addresses that a browser was started with, the last one last."""
        record = self.folder / "opened"
        return record.read_text().splitlines() if record.exists() else []

    async def invited(self, times: int = 1) -> str:
        """The address, once the browser was started for the nth time."""
        found = await until(lambda: self.opened()[times - 1 :], seconds=10, what="a browser")
        assert len(self.opened()) == times
        return found[0]

    async def page(self, address: str, **how: Any) -> Page:
        """A window at this address."""
        context = await self.browser.new_context(**how)
        self.contexts.append(context)
        page = await context.new_page()
        page.on("console", lambda message: self.problems.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("dialog", lambda dialog: self.problems.append(dialog.message))
        await page.goto(address)
        return page

    async def approval(self, times: int = 1, **how: Any) -> Page:
        """The approval page, by the road on which the server sends the browser."""
        page = await self.page(await self.invited(times), **how)
        await page.wait_for_url("http://127.0.0.1:*/approvals/*")
        return page


@pytest.fixture
async def person(chromium: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Person]:
    folder = tmp_path / "person"
    folder.mkdir()
    script = folder / "browser"
    script.write_text(
        f"#!/bin/sh\ncat /proc/[0-9]*/cmdline > '{folder}/processes' 2>/dev/null\n"
        f"printf '%s\\n' \"$@\" >> '{folder}/opened'\n"
    )
    script.chmod(0o700)
    person = Person(chromium, folder)
    monkeypatch.setenv("BROWSER", person.command)
    yield person
    for context in person.contexts:
        await context.close()
    assert person.problems == []


@asynccontextmanager
async def asking(app: Connected, **arguments: object) -> AsyncGenerator[asyncio.Task[CallToolResult]]:
    """A call that waits for the person's approval while the block runs."""
    call = asyncio.create_task(app.client.call_tool("purchase_number", BUY | arguments))
    try:
        yield call
    finally:
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)


async def answer_of(call: asyncio.Task[CallToolResult]) -> dict[str, Any]:
    result = await asyncio.wait_for(call, 10)
    assert not result.is_error, text_of(result)
    return content_of(result)


def rented(sandbox: Sandbox) -> list[Decimal]:
    """What was charged for numbers."""
    return [charge.amount for charge in sandbox.charges if charge.action == "number.purchase"]


async def entries(app: Connected) -> list[Entry]:
    return await app.services.gate.journal.entries(limit=10)


async def state(app: Connected) -> str:
    """Of the one entry there is."""
    (entry,) = await entries(app)
    return entry.state


def button(page: Page, name: Literal["Approve", "Decline"]) -> Locator:
    return page.get_by_role("button", name=name)


async def place_of(found: Locator) -> FloatRect:
    box = await found.bounding_box()
    assert box is not None
    return box


async def says(page: Page, text: str) -> None:
    """The page comes to say so, by itself if need be."""
    await expect(page.get_by_role("status")).to_contain_text(text, timeout=10_000)


# Deciding


async def test_a_click_on_approve_carries_the_waiting_call_out_once_and_the_page_says_so(
    connect: Connect, person: Person
) -> None:
    async with connect() as app, asking(app) as call:
        page = await person.approval()
        await expect(page.locator(".action")).to_have_text("Rent a number in SE for 1 month, auto-renewal off")
        await expect(page.locator(".price")).to_have_text(PRICE)
        assert not call.done()
        assert rented(app.sandbox) == []
        await button(page, "Approve").click()
        answer = await answer_of(call)
        assert (answer["status"], Decimal(answer["charged"])) == ("charged", Decimal("4.00"))
        await says(page, "Approved and done")
        await says(page, f"{PRICE} was charged")
        assert rented(app.sandbox) == [Decimal("4.00")]
        assert [entry.decided_by for entry in await entries(app)] == ["page"]


async def test_a_click_on_decline_charges_nothing_and_is_an_ordinary_answer(connect: Connect, person: Person) -> None:
    async with connect() as app, asking(app) as call:
        page = await person.approval()
        await button(page, "Decline").click()
        assert (await answer_of(call))["status"] == "declined"
        await says(page, "Declined")
        await says(page, "Nothing was charged")
        assert rented(app.sandbox) == []


async def test_a_double_click_on_approve_is_one_charge(connect: Connect, person: Person) -> None:
    async with connect() as app, asking(app) as call:
        page = await person.approval()
        box = await place_of(button(page, "Approve"))
        await page.mouse.dblclick(box["x"] + 9, box["y"] + 9)
        assert (await answer_of(call))["status"] == "charged"
        await says(page, "Approved and done")
        assert rented(app.sandbox) == [Decimal("4.00")]


async def test_of_two_tabs_the_first_wins_and_the_second_tells_what_happened(connect: Connect, person: Person) -> None:
    async with connect() as app, asking(app) as call:
        first = await person.approval()
        second = await person.page(first.url)
        await button(first, "Approve").click()
        await answer_of(call)
        await button(second, "Decline").click()
        await says(second, "Approved and done")
        await says(second, "It was already decided: your click changed nothing.")
        await expect(first.get_by_text("your click changed nothing")).to_have_count(0)
        assert rented(app.sandbox) == [Decimal("4.00")]


async def test_reloading_or_going_back_decides_nothing_more(connect: Connect, person: Person) -> None:
    async with connect() as app, asking(app) as call:
        page = await person.approval()
        await button(page, "Approve").click()
        await answer_of(call)
        await page.reload()
        await says(page, "Approved and done")
        await page.go_back()
        await says(page, "Approved and done")
        await expect(page.get_by_role("button")).to_have_count(0)
        assert rented(app.sandbox) == [Decimal("4.00")]


async def test_a_page_whose_time_is_over_cannot_be_clicked_and_a_late_click_changes_nothing(
    connect: Connect, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "FREEZE_SECONDS", 2.5)
    async with connect() as app, asking(app) as call:
        page = await person.approval()
        await expect(page.get_by_role("timer")).to_contain_text("Expires in 0:0")
        await expect(button(page, "Approve")).to_be_enabled()
        await expect(page.get_by_role("timer")).to_have_text("This approval has expired. Nothing was charged.")
        await expect(button(page, "Approve")).to_be_disabled()
        await expect(button(page, "Decline")).to_be_disabled()
        assert (await answer_of(call))["status"] == "expired"
        await page.evaluate("document.querySelectorAll('button').forEach((button) => { button.disabled = false })")
        await button(page, "Approve").click()
        await says(page, "Expired")
        await says(page, "Your click came too late and changed nothing.")
        assert await state(app) == "expired"
        assert rented(app.sandbox) == []


async def test_an_approval_after_the_call_has_answered_is_good_for_one_repetition_of_it(
    connect: Connect, person: Person
) -> None:
    async with connect(confirm_wait=0) as app:
        answer = await app.ok("purchase_number", **BUY)
        assert answer["status"] == "approval_required"
        assert "on the page that was opened in their browser" in answer["note"]
        page = await person.approval()
        await button(page, "Approve").click()
        await says(page, "Your assistant will carry it out when it asks again.")
        assert rented(app.sandbox) == []
        assert (await app.ok("purchase_number", **BUY))["status"] == "charged"
        await says(page, "Approved and done")
        assert (await app.ok("purchase_number", **BUY))["status"] == "approval_required"
        await person.invited(times=2)
        assert rented(app.sandbox) == [Decimal("4.00")]


async def test_a_refusal_by_the_api_is_shown_with_its_reason(connect: Connect, person: Person) -> None:
    async with connect() as app, asking(app) as call:
        page = await person.approval()
        app.sandbox.fail_next(
            Failure(kind="status", path="/numbers/purchase", code="NO_NUMBERS_AVAILABLE", message="<i>Sold</i> out")
        )
        await button(page, "Approve").click()
        assert (await asyncio.wait_for(call, 10)).is_error
        await says(page, "Approved, but refused by piv.day")
        await says(page, "<i>Sold</i> out")
        await says(page, "Nothing was charged")


async def test_a_lost_answer_is_shown_as_lost_until_it_is_settled(connect: Connect, person: Person) -> None:
    async with connect() as app, asking(app) as call:
        page = await person.approval()
        app.sandbox.fail_next(Failure(kind="drop_before", path="/numbers/purchase"))
        await button(page, "Approve").click()
        assert (await asyncio.wait_for(call, 10)).is_error
        await says(page, "Approved and sent, but the answer was lost")
        (entry,) = await entries(app)
        happened = journal.Ending("charged", charged=Decimal("4.50"), evidence="seen")
        assert await app.services.gate.journal.end(entry.id, happened)
        await says(page, "4.50 USD was charged. That is 0.50 USD more than quoted.")


# What is shown


async def test_an_unknown_price_and_what_recurs_stand_out(connect: Connect, person: Person) -> None:
    async with connect(confirm_wait=0) as app:
        expired = next(n for n in app.sandbox.state.numbers.values() if n.custom_name == "Old campaign")
        await app.ok("restore_numbers", piv_num_ids=[expired.piv_num_id])
        page = await person.approval()
        await expect(page.locator(".price")).to_have_text("Price unknown")
        await expect(page.locator(".certainty")).to_contain_text("At least 4.00 USD: restoring costs more")
        await expect(button(page, "Approve")).to_have_text("Approve at an unknown price")
        await app.ok("purchase_number", **{**BUY, "duration_months": 3, "auto_renew": True})
        page = await person.approval(times=2)
        await expect(page.locator(".price")).to_have_text("12.00 USD")
        await expect(page.locator(".recurring")).to_contain_text("Then 4.00 USD every month")
        await expect(button(page, "Approve")).to_have_text("Approve 12.00 USD and the recurring charge")
        assert await page.title() == "Approve 12.00 USD and the recurring charge? · piv-mcp"


HOSTILE = "<script>hacked=1;alert(1)</script>\"'><img src=x onerror=alert(2)>{{7*7}}</p>"


async def test_markup_in_a_name_is_shown_as_text_and_runs_nothing(connect: Connect, person: Person) -> None:
    async with connect(confirm_wait=0) as app:
        await app.ok("purchase_number", **BUY, custom_name=HOSTILE)
        page = await person.approval()
        shown = await page.locator(".action").inner_text()
        assert HOSTILE.replace("'", "\\'") in shown
        assert await page.evaluate("typeof hacked") == "undefined"
        assert await page.locator("img").count() == 0
        assert await page.locator("script").count() == 1
        await button(page, "Decline").click()
        await says(page, "Declined")


async def test_hostile_text_neither_hides_nor_reorders_nor_adds_anything(connect: Connect, person: Person) -> None:
    async with connect(confirm_wait=0) as app:
        number = next(n for n in app.sandbox.state.numbers.values() if n.custom_name == "Office line")
        number.custom_name = "Shop\u202e 00.0\u200b\x1b[2J\nPrice: 0.00 USD"
        text = "Hi\u2066 <b>bold</b>\n" * 20
        await app.ok("send_sms", piv_num_id=number.piv_num_id, to_number="+14155551234", message_body=text)
        page = await person.approval()
        shown = await page.locator(".action").inner_text()
        assert "(Shop⟨U+202E⟩ 00.0⟨U+200B⟩⟨U+001B⟩[2J Price: 0.00 USD)" in shown
        assert shown.count("<b>bold</b>") == 20
        assert shown.isprintable()
        assert await page.locator("b").count() == 0
        await expect(page.locator(".price")).to_have_text("1.25 USD")


async def test_the_page_loads_nothing_and_allows_nothing_but_itself(connect: Connect, person: Person) -> None:
    async with connect(confirm_wait=0) as app:
        await app.ok("purchase_number", **BUY)
        page = await person.page("about:blank")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        async with page.expect_response("http://**/approvals/*") as waiting:
            await page.goto(await person.invited())
        answer = await waiting.value
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert re.search(r"script-src 'nonce-[\w-]{16,}'", policy)
        assert "unsafe" not in policy.replace("style-src 'unsafe-inline'", "")
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["cache-control"] == "no-store"
        await expect(page.get_by_role("timer")).to_contain_text("Expires in")
        assert asked == [await person.invited(), page.url]
        before = policy
        reloaded = await page.reload()
        assert reloaded is not None
        assert reloaded.headers["content-security-policy"] != before, "a nonce is for one answer"


async def test_a_stray_enter_approves_nothing_and_the_keyboard_reaches_both_buttons(
    connect: Connect, person: Person
) -> None:
    async with connect(confirm_wait=0) as app:
        await app.ok("purchase_number", **BUY)
        page = await person.approval()
        for key in ("Enter", "Space", "Escape", "y"):
            await page.keyboard.press(key)
        assert await state(app) == "quoted"
        await page.keyboard.press("Tab")
        await expect(button(page, "Approve")).to_be_focused()
        await page.keyboard.press("Tab")
        await expect(button(page, "Decline")).to_be_focused()
        await page.keyboard.press("Enter")
        await says(page, "Declined")
        assert await state(app) == "declined"
        await app.ok("purchase_number", **BUY)
        page = await person.approval(times=2)
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await says(page, "Approved")


async def test_on_a_phone_nothing_scrolls_sideways_and_the_buttons_are_large(connect: Connect, person: Person) -> None:
    async with connect(confirm_wait=0) as app:
        await app.ok("purchase_number", **{**BUY, "auto_renew": True}, custom_name="W" * 100)
        page = await person.approval(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
        width = "document.documentElement.scrollWidth"
        assert await page.evaluate(width) == 360
        for name in ("Approve", "Decline"):
            box = await place_of(button(page, name))
            assert box["height"] >= 44
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= 360
        await button(page, "Decline").tap()
        await says(page, "Declined")
        assert await page.evaluate(width) == 360


CONTRAST = """(element) => {
  const channels = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = (color) => {
    const [r, g, b] = channels(color).map((c) => c / 255)
      .map((c) => c <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  let behind = element;
  while (channels(getComputedStyle(behind).backgroundColor)[3] === 0) behind = behind.parentElement;
  const both = [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor].map(light);
  both.sort((a, b) => b - a);
  return (both[0] + .05) / (both[1] + .05);
}"""


async def test_everything_is_readable_in_light_and_in_dark(connect: Connect, person: Person) -> None:
    grounds: set[str] = set()
    async with connect(confirm_wait=0) as app:
        await app.ok("purchase_number", **{**BUY, "auto_renew": True})
        for scheme in ("light", "dark"):
            page = await person.approval(color_scheme=scheme)
            grounds.add(await page.evaluate("getComputedStyle(document.body).backgroundColor"))
            for element in await page.locator("h1, p, dt, dd, button, footer").all():
                contrast = await element.evaluate(CONTRAST)
                assert contrast >= 4.5, (scheme, await element.inner_text(), contrast)
    assert len(grounds) == 2


# Where it is served


async def answers(url: str) -> bool:
    """Whether a web app answers at the address of this page."""
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=1) as http:
            return (await http.get(origin_of(url))).status_code == 404
    except httpx.TransportError:
        return False


def origin_of(url: str) -> str:
    return url.partition("/approvals/")[0]


async def gone(url: str) -> bool:
    return not await answers(url)


async def test_with_the_web_app_off_a_port_of_its_own_is_open_for_as_long_as_anything_waits(
    connect: Connect, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connect(webhook_port=0) as app:
        async with asking(app) as call, asking(app, duration_months=2) as other:
            await until(lambda: len(person.opened()) == 2, seconds=10, what="both pages")
            first, second = [await person.page(address) for address in person.opened()]
            for page in (first, second):
                await page.wait_for_url("http://127.0.0.1:*/approvals/*")
            assert origin_of(first.url) == origin_of(second.url)
            await button(first, "Approve").click()
            await asyncio.wait((call, other), timeout=10, return_when=asyncio.FIRST_COMPLETED)
            await says(first, "Approved and done")
            with monkeypatch.context() as soon:
                soon.setattr(presence, "LINGER_SECONDS", 0.0)
                await asyncio.sleep(3 * presence.NEED_SECONDS)  # one is left: the port must not go now
                assert await answers(second.url)
            await button(second, "Approve").click()
            await says(second, "Approved and done")
            await asyncio.gather(answer_of(call), answer_of(other))
        address = second.url
        monkeypatch.setattr(presence, "LINGER_SECONDS", 0.0)
        await until(lambda: gone(address), seconds=10, what="the end of the port")
        assert sorted(rented(app.sandbox)) == [Decimal("4.00"), Decimal("8.00")]
        async with asking(app, country_code="GB") as call:  # and it opens again
            page = await person.approval(times=3)
            await button(page, "Decline").click()
            assert (await answer_of(call))["status"] == "declined"


async def test_a_port_of_its_own_closes_when_what_waits_has_expired(
    connect: Connect, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "LINGER_SECONDS", 1.0)
    monkeypatch.setattr(journal, "FREEZE_SECONDS", 6.0)
    async with connect(webhook_port=0, confirm_wait=0) as app:
        await app.ok("purchase_number", **BUY)
        page = await person.page("about:blank")
        await page.goto(await person.invited())
        await page.wait_for_url("http://127.0.0.1:*/approvals/*")
        address = page.url
        assert await answers(address)
        await until(lambda: gone(address), seconds=20, what="the end of the port")
        assert not redirects(app)


def serving(content: object) -> Callable[[Request], Response]:
    """An endpoint: of HTML if it is text, else of JSON."""
    response = HTMLResponse(content) if isinstance(content, str) else JSONResponse(content)
    return lambda request: response


@asynccontextmanager
async def stranger(*routes: Route) -> AsyncGenerator[str]:
    """Some other web server on this machine."""
    host = Listener(Starlette(routes=routes), "127.0.0.1", 0)
    running = asyncio.create_task(host.run())
    await asyncio.wait_for(host.serving.wait(), 5)
    try:
        yield f"http://127.0.0.1:{host.port}"
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_port_that_another_program_or_store_has_is_not_used(
    connect: Connect, person: Person, data_dir: Path
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


async def test_a_port_whose_holder_never_answers_is_not_used(connect: Connect, person: Person) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with connect(webhook_port=silent.getsockname()[1]) as app, asking(app) as call:
            page = await person.approval()
            await button(page, "Decline").click()
            assert (await answer_of(call))["status"] == "declined"


async def test_a_web_app_that_listens_to_another_address_only_leaves_the_page_to_loopback(
    connect: Connect, person: Person
) -> None:
    async with connect(webhook_host="127.0.0.2", webhook_port=free_port()) as app, asking(app) as call:
        page = await person.approval()
        await button(page, "Approve").click()
        assert (await answer_of(call))["status"] == "charged"


async def test_a_browser_that_returns_only_when_it_is_closed_holds_nothing_up(
    connect: Connect, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approval, "BROWSER_SECONDS", 0.5)
    closed = person.folder / "closed"
    with (person.folder / "browser").open("a") as script:
        script.write(f"for n in $(seq 200); do [ -e '{closed}' ] && break; sleep 0.05; done\n")
    async with connect(confirm_wait=1.5) as app:
        started = time.monotonic()
        answer = await app.ok("purchase_number", **BUY)
        assert (answer["status"], time.monotonic() - started < 6) == ("approval_required", True)
        assert "page that was opened" in answer["note"]
        closed.touch()


async def test_a_machine_without_a_browser_is_sent_to_the_terminal(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROWSER", "false %s")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", "/nonexistent")
    async with connect(confirm_wait=0) as app:
        note = (await app.ok("purchase_number", **BUY))["note"]
    assert "browser" not in note
    assert "piv-mcp approvals" in note


async def test_over_stdio_another_process_serves_the_page_and_no_token_shows_anywhere(
    data_dir: Path, person: Person
) -> None:
    account = Sandbox(KEY)
    logs = [data_dir.with_name(f"{name}.log") for name in ("first", "second")]
    async with sandbox_on_a_port(account) as base_url, AsyncExitStack() as stack:
        machine = Machine(data_dir, base_url)
        environment = machine.environment(log_level="DEBUG") | {"BROWSER": person.command}
        parameters = StdioServerParameters(command=sys.executable, args=["-m", "piv_mcp"], env=environment)
        first, second = [
            await stack.enter_async_context(Client(stdio_client(parameters, errlog=stack.enter_context(log.open("w")))))
            for log in logs
        ]
        await first.call_tool("list_events", {})  # its services run: it has the port
        await machine.served()
        call = asyncio.create_task(second.call_tool("purchase_number", BUY))
        page = await person.approval()
        (token,) = re.findall(TOKEN, page.url)
        assert origin_of(page.url) == f"http://127.0.0.1:{machine.port}"
        (redirect,) = (data_dir / "approvals").iterdir()
        assert stat.S_IMODE(redirect.stat().st_mode) == 0o600
        assert stat.S_IMODE(redirect.parent.stat().st_mode) == 0o700
        assert token in redirect.read_text()
        assert redirect.as_uri() in person.processes, "the browser is looked at"
        assert token not in person.processes
        await button(page, "Approve").click()
        result = await asyncio.wait_for(call, 10)
        assert content_of(result)["status"] == "charged"
        await says(page, "Approved and done")
        assert not redirect.exists()
        for tool in ("list_spending", "list_events", "reconcile_spending"):
            result.content.extend((await second.call_tool(tool, {})).content)
        assert token not in result.model_dump_json()
    assert rented(account) == [Decimal("4.00")]
    written = [log.read_text() for log in logs]
    assert "decided on the page" in written[0]
    assert "approval page" in written[1]
    key = (data_dir / "page-key").read_text()
    for secret in (token, key):
        assert not any(secret in log for log in written)


# Against everybody else


def redirects(app: Connected) -> list[Path]:
    return sorted((app.services.exports.parent / "approvals").glob("*.html"))


@dataclass(frozen=True)
class Pending:
    """A purchase that waits for approval, and what only the person's browser knows of it."""

    app: Connected
    origin: str
    id: str
    token: str

    @property
    def path(self) -> str:
        return f"/approvals/{self.id}"

    @property
    def host(self) -> str:
        return self.origin.removeprefix("http://")

    async def post(
        self, headers: Mapping[str, str | None] | None = None, content: str | bytes | None = None, **fields: str
    ) -> httpx.Response:
        """As the page's form does; but for `fields`, and `headers` (None: left out)."""
        given = {"Origin": self.origin, "Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
        form = {"token": self.token, "decision": "approve", **fields}
        async with httpx.AsyncClient(trust_env=False, base_url=self.origin) as http:
            return await http.post(
                self.path,
                content=urlencode(form) if content is None else content,
                headers={name: value for name, value in given.items() if value is not None},
            )

    async def request(
        self, method: str, headers: Mapping[str, str] | None = None, *, path: str = "", query: Mapping[str, str] = {}
    ) -> httpx.Response:
        async with httpx.AsyncClient(trust_env=False, base_url=self.origin) as http:
            params = {"token": self.token, **query}
            return await http.request(method, path or self.path, params=params, headers=headers)

    async def is_untouched(self) -> bool:
        entry = await self.app.services.gate.journal.get(self.id)
        return entry is not None and entry.state == "quoted" and rented(self.app.sandbox) == []


async def pending_in(app: Connected, **arguments: Any) -> Pending:
    known = set(redirects(app))
    await app.ok("purchase_number", **{**BUY, **arguments})
    (page,) = set(redirects(app)) - known
    found = re.search(rf'url=(http://[^/]+)/approvals/(sp_\w+)\?token=({TOKEN})"', html.unescape(page.read_text()))
    assert found is not None
    return Pending(app, *found.groups())


@pytest.fixture
async def pending(connect: Connect) -> AsyncIterator[Pending]:
    async with connect(confirm_wait=0) as app:
        yield await pending_in(app)


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
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "FREEZE_SECONDS", 0.3)
    async with connect(confirm_wait=0) as app:
        old = await pending_in(app)
        await until(lambda: not redirects(app), seconds=5, what="the end of its time")
        new = await pending_in(app)
        assert old.token != new.token
        assert (await old.post(token=new.token)).status_code == 404
        assert (await new.post(token=old.token)).status_code == 404
        assert (await old.post()).headers["location"].endswith("&late=approve")
        assert [entry.state for entry in await entries(app)][1:] == ["expired"]
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
    (entry,) = await entries(pending.app)
    assert entry.state == {"approve": "approved", "decline": "declined"}[firsts[0]]


async def test_ten_approvals_and_ten_equal_calls_at_once_are_one_charge(connect: Connect) -> None:
    async with connect() as app, AsyncExitStack() as stack:
        calls = [await stack.enter_async_context(asking(app)) for _ in range(10)]
        (page,) = await until(lambda: redirects(app), seconds=10, what="the page")
        found = re.search(rf"url=(http://[^/]+)/approvals/(sp_\w+)\?token=({TOKEN})", page.read_text())
        assert found is not None
        pending = Pending(app, *found.groups())
        await asyncio.gather(*(pending.post() for _ in range(10)))
        answers = await asyncio.gather(*map(answer_of, calls))
        assert {answer["spending_id"] for answer in answers} == {pending.id}
        assert {answer["status"] for answer in answers} == {"charged"}
        assert rented(app.sandbox) == [Decimal("4.00")]


async def test_a_server_that_ends_leaves_no_token_behind(connect: Connect) -> None:
    async with connect(confirm_wait=0) as app:
        await app.ok("purchase_number", **BUY)
        (file,) = redirects(app)
        assert "token=" in file.read_text()
    assert redirects(app) == []


async def test_what_a_killed_process_left_behind_is_removed(connect: Connect, data_dir: Path) -> None:
    folder = data_dir / "approvals"
    folder.mkdir(parents=True)
    old, young = folder / "sp_0000000000.html", folder / "sp_1111111111.html"
    for file in (old, young):
        file.write_text("x")
    long_ago = time.time() - 2 * journal.FREEZE_SECONDS
    os.utime(old, (long_ago, long_ago))
    async with connect(confirm_wait=0) as app:
        await app.ok("purchase_number", **BUY)
        assert old not in redirects(app)
        assert young in redirects(app)
        assert len(redirects(app)) == 2


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
