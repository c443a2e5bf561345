"""What the tests of the approval page share: a person with a browser, and a purchase that waits for their approval."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlencode

import httpx
from harness import Connected, content_of, pages, text_of, until
from mcp.types import CallToolResult
from plain_http import http_client
from playwright.async_api import Browser, BrowserContext, FloatRect, Locator, Page, async_playwright, expect
from run import system_browser
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from piv_mcp.sandbox import Sandbox
from piv_mcp.spending.approval.channels import READ_SECONDS

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


# The person and their browser


@asynccontextmanager
async def launched() -> AsyncGenerator[Browser]:
    """The system's Chromium, else Playwright's own. Raises where there is neither."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=system_browser(), args=SWITCHES)
        yield browser
        await browser.close()


@dataclass
class BrowserPerson:
    """Somebody at the machine, whose browser opens what the server opens."""

    browser: Browser
    folder: Path
    contexts: list[BrowserContext] = field(default_factory=list[BrowserContext])
    problems: list[str] = field(default_factory=list[str])
    """Errors and dialogues of the pages."""

    def __post_init__(self) -> None:
        """Write the program that the server starts as the browser. It opens nothing, and notes how it was started."""
        self.folder.mkdir()
        self.program.write_text(
            f"#!/bin/sh\ncat /proc/[0-9]*/cmdline > '{self.folder}/processes' 2>/dev/null\n"
            f"printf '%s\\n' \"$@\" >> '{self.folder}/opened'\n"
        )
        self.program.chmod(0o700)

    @property
    def program(self) -> Path:
        return self.folder / "browser"

    @property
    def command(self) -> str:
        """For the variable `BROWSER`."""
        return f"{self.program} %s"

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
        found = await until(lambda: self.opened()[times - 1 :], seconds=30, what="a browser")
        assert len(self.opened()) == times
        return found[0]

    async def page(self, address: str, *, own_clock: bool = False, **how: Any) -> Page:
        """A window at this address. With `own_clock` the test moves the browser's clock, by `page.clock`."""
        context = await self.browser.new_context(**how)
        self.contexts.append(context)
        page = await context.new_page()
        page.on("console", lambda message: self.note(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("dialog", lambda dialog: self.problems.append(dialog.message))
        if own_clock:
            await page.clock.install()
        await page.goto(address)
        return page

    def note(self, problem: str) -> None:
        """Note an error of a page; that the server has ended is none."""
        if "ERR_CONNECTION" not in problem:
            self.problems.append(problem)

    async def approval(self, times: int = 1, *, own_clock: bool = False, **how: Any) -> Page:
        """The approval page, reached as the browser reaches it: through the address that the server opens."""
        page = await self.page(await self.invited(times), own_clock=own_clock, **how)
        await page.wait_for_url("http://127.0.0.1:*/console/*/approvals")
        return page

    async def beside(self, page: Page) -> Page:
        """The same address in a second tab of the same browser."""
        second = await page.context.new_page()
        await second.goto(page.url)
        return second


def button(page: Page | Locator, name: Literal["Approve", "Decline"]) -> Locator:
    return page.get_by_role("button", name=name)


def card(page: Page, number: int) -> Locator:
    """The nth action on the page, from 1."""
    return page.locator("article").nth(number - 1)


async def place_of(found: Locator) -> FloatRect:
    box = await found.bounding_box()
    assert box is not None
    return box


async def says(page: Page | Locator, text: str) -> None:
    """Wait until the page says so, without a reload by the test."""
    await expect(page.get_by_role("status")).to_contain_text(text, timeout=20_000)


# The purchase


@asynccontextmanager
async def asking(app: Connected, **arguments: object) -> AsyncGenerator[asyncio.Task[CallToolResult]]:
    """A call that waits for the person's approval while the block runs."""
    call = asyncio.create_task(app.client.call_tool("purchase_number", BUY | arguments))
    try:
        yield call
    finally:
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)


async def result_of(call: asyncio.Task[CallToolResult]) -> CallToolResult:
    return await asyncio.wait_for(call, 20)


async def answer_of(call: asyncio.Task[CallToolResult]) -> dict[str, Any]:
    result = await result_of(call)
    assert not result.is_error, text_of(result)
    return content_of(result)


def rented(sandbox: Sandbox) -> list[Decimal]:
    """What was charged for numbers."""
    return [charge.amount for charge in sandbox.charges if charge.action == "number.purchase"]


def redirects(app: Connected) -> list[Path]:
    """The private files that lead the browser to the approval page, where users cannot be told apart."""
    return sorted((app.services.exports.parent / "approvals").glob("*.html"))


@dataclass(frozen=True)
class Visitor:
    """What only the person's browser knows of the approval page: the address of their visit, and its cookie."""

    origin: str
    path: str
    cookie: str
    """As the header has it."""

    @property
    def host(self) -> str:
        return self.origin.removeprefix("http://")

    @property
    def live(self) -> str:
        """Where an open page learns of changes."""
        return f"{self.path.removesuffix('/approvals')}/live?page=approvals"

    async def request(
        self,
        method: str,
        path: str = "",
        headers: Mapping[str, str | None] | None = None,
        **content: Any,
    ) -> httpx.Response:
        """As the browser sends it; but for `headers` (None: left out) and the `path`, if it is another."""
        given = {"Cookie": self.cookie, **(headers or {})}
        async with http_client(self.origin) as http:
            kept = {name: value for name, value in given.items() if value is not None}
            return await http.request(method, path or self.path, headers=kept, **content)

    @asynccontextmanager
    async def following(self, seen: str) -> AsyncGenerator[AsyncIterator[str]]:
        """The lines that an open page gets which shows `seen`."""
        async with (
            http_client(self.origin) as http,
            http.stream("GET", f"{self.live}&seen={seen}", headers={"Cookie": self.cookie}, timeout=30) as answer,
        ):
            assert answer.headers["content-type"].startswith("text/event-stream")
            yield answer.aiter_lines()


async def visitor(invitation: str) -> Visitor:
    """The browser that opens this address."""
    async with http_client() as http:
        answer = await http.get(invitation)
    assert answer.status_code == 200, answer.text
    (path,) = re.findall(r'content="0;url=(/console/[0-9a-f]+)/"', answer.text)
    return Visitor(origin_of(invitation), f"{path}/approvals", answer.headers["set-cookie"].partition(";")[0])


@dataclass(frozen=True)
class Pending:
    """A purchase that waits for approval, and the browser that shows it."""

    app: Connected
    visitor: Visitor
    id: str

    @property
    def path(self) -> str:
        return f"{self.visitor.path}/{self.id}"

    async def post(
        self, headers: Mapping[str, str | None] | None = None, content: str | bytes | None = None, **fields: str
    ) -> httpx.Response:
        """As the page's form does; but for `fields`, and `headers` (None: left out)."""
        given = {"Origin": self.visitor.origin, "Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
        form = urlencode({"decision": "approve", **fields}) if content is None else content
        return await self.visitor.request("POST", self.path, given, content=form)

    async def is_untouched(self) -> bool:
        entry = await self.app.gate.journal.get(self.id)
        return entry is not None and entry.state == "quoted" and rented(self.app.sandbox) == []


async def read_by(app: Connected, visitor: Visitor, entry_id: str) -> Pending:
    """What waits, once the person has read it."""
    assert entry_id in (await visitor.request("GET")).text
    app.advance(READ_SECONDS)
    return Pending(app, visitor, entry_id)


async def first_pending(app: Connected, opened: Path, *, count: int = 1) -> Pending:
    """A purchase that waits, and that the person has read in a new browser; `confirm_wait` must be 0.

    `opened` is `silent_browser`, which is opened the nth time.
    """
    answer = await app.ok("purchase_number", **BUY)
    return await read_by(app, await visitor(await invited(opened, count)), answer["spending_id"])


async def invited(opened: Path, count: int = 1) -> str:
    """The address that the browser was opened with the nth time; `opened` is `silent_browser`."""
    found = await until(lambda: pages(opened)[count - 1 :], seconds=20, what="the page")
    assert len(pages(opened)) == count
    return found[0]


# Web servers


def origin_of(url: str) -> str:
    return url.partition("/console/")[0]


async def answers(url: str) -> bool:
    """Whether a web app answers at the address of this page."""
    try:
        async with http_client() as http:
            return (await http.get(origin_of(url))).status_code == 404
    except httpx.TransportError:
        return False


async def gone(url: str) -> bool:
    return not await answers(url)


def serving(content: object) -> Callable[[Request], Response]:
    """An endpoint: of HTML if it is text, else of JSON."""
    response = HTMLResponse(content) if isinstance(content, str) else JSONResponse(content)
    return lambda request: response
