"""What the tests of the person's pages share: a console in the tests' own process, and a look at it."""

import json
import math
import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from approvals import BrowserPerson
from harness import Connected
from playwright.async_api import Page
from run import AXE

from piv_mcp.cli.findings import Finding
from piv_mcp.console.app import PAGES, laptop_app
from piv_mcp.console.look import Examine
from piv_mcp.text.language import Code
from piv_mcp.web.serving import Address, PageDoor

SCREENS = os.environ.get("SCREENS")
"""A folder in which the pages are kept as they look, for somebody who wants to see them."""

PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
DESK: dict[str, Any] = {"viewport": {"width": 1280, "height": 860}}
WIDTHS = {"phone": PHONE, "desk": DESK}


@dataclass
class OpenConsole:
    """A console that is served until the end of the block."""

    app: Connected
    address: Address

    def invitation(self) -> str:
        """An address for one browser."""
        return self.address.invite().url

    async def page(self, person: BrowserPerson, name: str = "inbox", **how: Any) -> Page:
        """A page in a new browser of the person."""
        page = await person.page(self.invitation(), **how)
        await page.wait_for_url("http://127.0.0.1:*/console/*/inbox")
        if name != "inbox":
            await page.goto(page.url.replace("/inbox", f"/{name}"))
        return page


@asynccontextmanager
async def console(
    app: Connected, *, language: Code | None = None, findings: Sequence[Finding] | None = None
) -> AsyncGenerator[OpenConsole]:
    """The console of a server's services. `findings` are what an examination finds; None: there is none."""

    async def examine() -> Sequence[Finding]:
        return list(findings or [])

    services, wake = app.services, app.services.inbox.changes.notify
    check: Examine | None = None if findings is None else examine
    door = PageDoor(
        lambda visitors: laptop_app(visitors, lambda: services, wake, language, services.clock, PAGES, check),
        wake,
        services.clock,
    )
    try:
        yield OpenConsole(app, await door.address(math.inf))
    finally:
        await door.close()


async def screenshot(page: Page, name: str) -> None:
    """Keep the page as it looks, where somebody wants to see it."""
    if SCREENS:
        await page.screenshot(path=Path(SCREENS) / f"{name}.png", full_page=True)


async def violations(page: Page) -> list[str]:
    """What axe-core finds wrong, with the elements."""
    assert AXE.exists(), "tests/run.py installs axe-core"
    await page.evaluate(AXE.read_text("utf-8"))
    found: list[dict[str, Any]] = (await page.evaluate("axe.run(document, {resultTypes: ['violations']})"))[
        "violations"
    ]
    return [f"{rule['id']}: {json.dumps([node['html'][:200] for node in rule['nodes']])}" for rule in found]
