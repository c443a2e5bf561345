"""The person's console: who may look, what follows by itself, and the command that opens it."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from pathlib import Path

import pytest
from approvals import BUY, PRICE, BrowserPerson, Visitor, button, rented, says
from consoles import DESK, OpenConsole, console
from harness import Connect, until
from plain_http import http_client
from playwright.async_api import Route, expect

from piv_mcp.cli.findings import Finding
from piv_mcp.console.app import PAGES, PARTS
from piv_mcp.console.kept import KEPT_SECONDS
from piv_mcp.errors import StoreError
from piv_mcp.spending.approval.channels import READ_SECONDS
from piv_mcp.store import SqliteStore

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(sys.platform == "win32", reason="the browser of the tests is a shell script"),
]


async def visitor_of(shown: OpenConsole) -> Visitor:
    """The browser that opens a new invitation."""
    invitation = shown.invitation()
    async with http_client() as http:
        answer = await http.get(invitation)
    (path,) = re.findall(r'content="0;url=(/console/[0-9a-f]+)/"', answer.text)
    origin = invitation.partition("/console/")[0]
    return Visitor(origin, path, answer.headers["set-cookie"].partition(";")[0])


def paths(visit: str) -> list[tuple[str, str]]:
    """All that the console answers, but for the invitation: methods and paths."""
    pages = [("GET", f"{visit}/{page.name}") for page in PAGES]
    parts = [(part.method, f"{visit}/{re.sub('{[^}]*}', 'sp_0000000000', part.path)}") for part in PARTS]
    return [("GET", f"{visit}/"), ("GET", f"{visit}/live?page=inbox"), *pages, *parts]


# who may look


async def test_a_foreign_host_origin_or_cookie_gets_nothing_of_any_page(connect: Connect) -> None:
    async with connect() as app, console(app) as shown:
        visitor, other = await visitor_of(shown), await visitor_of(shown)
        own = {"Origin": visitor.origin}
        for method, path in paths(visitor.path):
            for headers, statuses in (
                ({**own, "Host": "evil.example"}, (403,)),
                ({**own, "Host": f"{visitor.host}.evil.example"}, (403,)),
                ({**own, "Cookie": None}, (404, 429)),
                ({**own, "Cookie": other.cookie}, (404, 429)),
            ):
                answer = await visitor.request(method, path, headers)
                assert answer.status_code in statuses, (method, path, headers)
                assert "<main" not in answer.text
            if method == "POST":
                for headers in ({}, {"Origin": "http://127.0.0.1:1"}, {**own, "Sec-Fetch-Site": "cross-site"}):
                    assert (await visitor.request(method, path, headers)).status_code == 403, (path, headers)
        for page in PAGES:
            assert (await visitor.request("GET", f"{visitor.path}/{page.name}")).status_code == 200


async def test_nothing_of_the_console_is_reachable_through_the_webhook_port(connect: Connect) -> None:
    async with connect(webhooks=True) as app, console(app) as shown:
        visitor, open_port = await visitor_of(shown), app.services.receiving.serving_at()
        assert open_port is not None
        assert open_port != visitor.origin
        async with http_client(open_port) as http:
            for method, path in [*paths(visitor.path), ("GET", "/console/"), ("GET", "/inbox")]:
                answer = await http.request(method, path, headers={"Cookie": visitor.cookie})
                assert answer.status_code == 404, path


async def test_a_second_use_of_the_invitation_closes_the_console(connect: Connect, person: BrowserPerson) -> None:
    async with connect() as app, console(app) as shown:
        invitation = shown.invitation()
        page = await person.page(invitation)
        await page.wait_for_url("**/inbox")
        thief = await person.page(invitation)
        for one in (page, thief):  # the one that is open says so by itself
            await expect(one.get_by_text("opened twice")).to_be_visible()
        person.problems.clear()  # the browser reports the refusals


async def test_pages_keep_nothing_and_allow_nothing_but_themselves(connect: Connect) -> None:
    async with connect() as app, console(app, findings=[]) as shown:
        visitor = await visitor_of(shown)
        nonces: set[str] = set()
        for page in PAGES:
            answer = await visitor.request("GET", f"{visitor.path}/{page.name}")
            policy = answer.headers["content-security-policy"]
            assert "unsafe" not in policy
            assert "default-src 'none'" in policy
            nonces.update(re.findall("nonce-([^']+)'", policy))
            assert answer.headers["cache-control"] == "no-store"
            assert not re.search(r"\sstyle=|\son\w+=|javascript:", answer.text)
            assert re.findall(r'(?:src|href)="(?!/console/|#)([^"]+)"', answer.text) == []
        assert len(nonces) == len(PAGES), "one for each answer"


# what it shows


async def test_the_keyboard_reaches_every_page_and_skips_to_its_content(
    connect: Connect, person: BrowserPerson
) -> None:
    async with connect() as app, console(app, findings=[]) as shown:
        page = await shown.page(person, **DESK)
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("main")).to_be_focused()
        for place in range(len(PAGES)):
            await page.reload()
            for _ in range(2 + place):
                await page.keyboard.press("Tab")
            await page.keyboard.press("Enter")
            await page.wait_for_url(f"**/{PAGES[place].name}")
            await expect(page.locator("nav a[aria-current=page]")).to_have_count(1)
            await expect(page.get_by_role("heading", level=1)).to_have_count(1)


async def test_what_waits_is_counted_on_every_page_and_decided_on_its_own(
    connect: Connect, person: BrowserPerson
) -> None:
    async with connect(confirm_wait=0) as app, console(app) as shown:
        page = await shown.page(person)
        tab = page.get_by_role("navigation").get_by_role("link", name="Approvals")
        await expect(tab).to_have_text("Approvals")
        await app.ok("purchase_number", **BUY)
        await expect(tab).to_contain_text("1 thing to look at")
        await tab.click()
        await expect(page.locator(".price")).to_have_text(PRICE)
        await expect(page).to_have_title("Approve 4.00 USD? · piv-mcp")
        await button(page, "Approve").click()
        await says(page, "Approved")
        assert (await app.ok("purchase_number", **BUY))["status"] == "charged"
        await says(page, "Approved and done")
        await expect(tab).to_have_text("Approvals")
        assert rented(app.sandbox) == [Decimal("4.00")]


async def test_without_scripts_approvals_are_decided_in_the_console(connect: Connect, person: BrowserPerson) -> None:
    async with connect(confirm_wait=0) as app, console(app) as shown:
        await app.ok("purchase_number", **BUY)
        page = await shown.page(person, "approvals", java_script_enabled=False)
        app.advance(READ_SECONDS)
        await button(page, "Decline").click()
        await says(page, "Declined")
        assert await app.states() == ["declined"]


async def test_while_the_console_shows_approvals_no_tab_is_opened(connect: Connect, person: BrowserPerson) -> None:
    async with connect(confirm_wait=0) as app, console(app) as shown:
        page = await shown.page(person, "approvals")
        await app.ok("purchase_number", **BUY)
        await expect(page.locator(".price")).to_have_text(PRICE)
        assert person.opened() == []


async def test_health_examines_once_a_minute_and_when_it_is_asked_to(connect: Connect, person: BrowserPerson) -> None:
    findings = [Finding("API", True, "accepts the key"), Finding("store", False, "it is full", "free <b>space</b>")]
    async with connect(webhooks=True) as app, console(app, findings=findings) as shown:
        await app.tell("domain.expires_soon", domain="example.com")
        page = await shown.page(person, "health")
        await expect(page.get_by_role("heading", name="1 thing is to be mended")).to_be_visible()
        await expect(page.get_by_text("free <b>space</b>")).to_be_visible()
        await expect(page.locator("section").first).to_contain_text("seconds ago")
        await expect(page.get_by_text("This process receives webhooks at http://127.0.0.1:")).to_be_visible()
        findings[1] = Finding("store", True, "there is room again")
        await page.reload()
        await expect(page.get_by_text("it is full")).to_be_visible()
        await page.get_by_role("button", name="Examine again").click()
        await expect(page.get_by_role("heading", name="All is well")).to_be_visible()
        findings[0] = Finding("API", False, "the key was revoked")
        app.advance(KEPT_SECONDS)
        await page.reload()
        await expect(page.get_by_text("the key was revoked")).to_be_visible()


async def test_health_tells_how_much_of_the_minute_is_used(connect: Connect, person: BrowserPerson) -> None:
    async with connect() as app, console(app) as shown:
        app.advance(60)
        for _ in range(3):
            await app.ok("get_account")
        page = await shown.page(person, "health")
        tile = page.locator("section").filter(has_text="Requests in the last minute")
        await expect(tile).to_contain_text("calls: 3")


async def test_a_page_whose_store_fails_says_why_and_the_next_look_works(
    connect: Connect, person: BrowserPerson, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connect() as app, console(app) as shown:
        page = await shown.page(person)

        async def full(*_: object) -> object:
            raise StoreError("the disk is full", hint="Free some space")

        with monkeypatch.context() as broken:
            broken.setattr(SqliteStore, "read", full)
            await page.reload()
            await expect(page.get_by_role("heading", name="This page cannot be shown now")).to_be_visible()
            await expect(page.get_by_text("the disk is full")).to_be_visible()
        await page.get_by_role("link", name="Try again").click()
        await expect(page.get_by_role("heading", name="Inbox")).to_be_visible()
        person.problems.clear()  # the browser reports the refusal


async def test_a_form_whose_store_fails_leads_back_to_its_page(
    connect: Connect, person: BrowserPerson, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connect() as app, console(app) as shown:
        page = await shown.page(person, "freeze")

        async def locked(*_: object, **__: object) -> object:
            raise StoreError("the store is locked by another program")

        with monkeypatch.context() as broken:
            broken.setattr(SqliteStore, "write", locked)
            await page.get_by_role("button", name="Freeze now").click()
            await expect(page.get_by_text("the store is locked")).to_be_visible()
        await page.get_by_role("link", name="Try again").click()
        await expect(page.get_by_role("button", name="Freeze now")).to_be_visible()
        person.problems.clear()  # the browser reports the refusal


async def test_an_open_page_stays_while_the_store_fails_and_follows_again(
    connect: Connect, person: BrowserPerson
) -> None:
    async with connect(confirm_wait=0) as app, console(app) as shown:
        page = await shown.page(person, "spending")
        failed = asyncio.Event()

        async def fail(route: Route) -> None:
            await route.fulfill(status=503, body="the store is out of reach.")
            failed.set()

        await page.route("**/spending", fail)
        await app.ok("purchase_number", **BUY)
        await failed.wait()
        await expect(page.get_by_role("heading", name="Spending")).to_be_visible()
        await page.unroute("**/spending")
        await expect(page.get_by_text("Waits for approval", exact=True).last).to_be_visible()
        person.problems.clear()  # the browser reports the refusal


async def test_an_answer_that_is_late_takes_the_place_of_no_newer_one(connect: Connect, person: BrowserPerson) -> None:
    async with connect(confirm_wait=0) as app, console(app) as shown:
        page = await shown.page(person, "spending")
        asked, second = asyncio.Event(), asyncio.Event()

        async def hold(route: Route) -> None:
            if asked.is_set():
                return await route.continue_()
            answer = await route.fetch()
            asked.set()
            await second.wait()
            await asyncio.sleep(1)  # what comes after it overtakes it
            return await route.fulfill(response=answer)

        await page.route("**/spending", hold)
        await app.ok("purchase_number", **BUY)
        await asked.wait()
        await app.ok("purchase_number", **{**BUY, "duration_months": 2})
        second.set()
        await expect(page.get_by_text("for 1 month,")).to_be_visible()
        await asyncio.sleep(1)
        await expect(page.get_by_text("for 2 months,")).to_be_visible()


async def test_tabs_that_were_opened_behind_the_page_hold_no_connection(
    connect: Connect, person: BrowserPerson
) -> None:
    """A browser has six for each server: with as many behind it, the page itself would wait for ever."""
    async with connect() as app, console(app) as shown:
        page = await shown.page(person)
        await page.context.add_init_script("Object.defineProperty(document, 'hidden', {value: true})")
        for _ in range(8):
            await person.beside(page)


async def test_the_language_is_the_browser_s_or_the_one_that_was_set(connect: Connect) -> None:
    async with connect() as app, console(app, language="en") as shown:
        visitor = await visitor_of(shown)
        answer = await visitor.request("GET", f"{visitor.path}/inbox", {"Accept-Language": "ru,zh;q=0.5"})
        assert answer.headers["content-language"] == "en"
        assert '<html lang="en">' in answer.text


# the command


@asynccontextmanager
async def command(*flags: str, **environment: str) -> AsyncGenerator[tuple[asyncio.subprocess.Process, list[str]]]:
    """`piv-mcp console` as a person starts it, and the lines that it prints. It ends by Ctrl+C."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "piv_mcp", "console", *flags),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PIV_WEBHOOK_PORT": "0", **environment},
    )
    lines: list[str] = []

    async def read() -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            lines.append(line.decode().rstrip())

    reading = asyncio.create_task(read())
    try:
        yield process, lines
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), 20) == 0
        assert process.stderr is not None
        assert b"Traceback" not in await process.stderr.read()
    finally:
        if process.returncode is None:
            process.kill()
        reading.cancel()


async def test_the_command_opens_a_browser_and_ends_with_ctrl_c_in_words(person: BrowserPerson, data_dir: Path) -> None:
    async with command(PIV_SANDBOX="1", PIV_DATA_DIR=str(data_dir), BROWSER=person.command) as (process, lines):
        page = await person.page(await person.invited())
        await page.wait_for_url("**/inbox")
        await expect(page.locator(".value").first).to_have_text("558310")
        await until(lambda: lines, seconds=20, what="a line")
        assert lines == ["The console is open in your browser. Ctrl+C ends it."]
        process.send_signal(signal.SIGINT)
        await expect(page.locator("footer")).to_contain_text("piv-mcp serves this page no more")


async def test_without_a_browser_or_a_key_the_address_is_printed_and_the_store_is_shown(
    person: BrowserPerson, data_dir: Path
) -> None:
    async with command("--no-browser", PIV_DATA_DIR=str(data_dir)) as (_, lines):
        await until(lambda: len(lines) == 2, seconds=20, what="the address")
        page = await person.page(lines[1])
        await page.wait_for_url("**/inbox")
        await expect(page.get_by_text("No API key is set")).to_be_visible()
        for name in [page.name for page in PAGES]:
            answer = await page.goto(page.url.rpartition("/")[0] + f"/{name}")
            assert answer is not None
            assert answer.status == 200
            await expect(page.get_by_role("heading", level=1)).to_be_visible()
    person.problems.clear()


async def test_with_http_the_command_says_where_the_console_is(data_dir: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "piv_mcp", "console"),
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PIV_TRANSPORT": "http", "PIV_DATA_DIR": str(data_dir)},
    )
    _, said = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 1
    assert b"PIV_CONSOLE_URL" in said


async def test_a_live_stream_ends_with_the_console(connect: Connect) -> None:
    async with connect() as app, AsyncExitStack() as stack:
        shown = await stack.enter_async_context(console(app))
        async with (await visitor_of(shown)).following("x") as lines:
            await anext(lines)
            await stack.aclose()
            async with asyncio.timeout(20):
                assert "event: closed" in [line async for line in lines]
