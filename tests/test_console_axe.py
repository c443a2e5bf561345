"""Every page of the console by axe-core: on a phone and a desk, light and dark."""

import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from approvals import BUY, BrowserPerson
from consoles import PHONE, WIDTHS, console, screenshot, violations
from harness import Connect, Connected
from lost_answers import lose
from playwright.async_api import expect
from purchases import BUY_NUMBER, BUY_PROXIES, CREATE_WHITE, REGISTER, SEND_SMS

from piv_mcp.cli.findings import Finding
from piv_mcp.console.app import PAGES
from piv_mcp.spending.actions.base import Decision
from piv_mcp.store import events, polls
from piv_mcp.store.polls import Look

pytestmark = [
    pytest.mark.axe,
    pytest.mark.browser,
    pytest.mark.skipif(sys.platform == "win32", reason="the browser of the tests is a shell script"),
]

FINDINGS = [
    Finding("API", True, "https://app.piv.day/api/v1 accepts the key; balance 150.50 dollars"),
    Finding("webhook endpoint", False, "another program is using 127.0.0.1:8787", "stop that program"),
]

DECISIONS: tuple[Decision, ...] = ("approve", "decline")

QUERIES = {"inbox": ("", "?show=all", "?q=nothing+like+it"), "approvals": ("",)}
"""How the pages are asked for that look different then."""


async def fill(app: Connected) -> None:
    """Something of every kind that a page can show."""
    now, numbers = datetime.now(UTC), list(app.sandbox.state.numbers)
    texts = {
        "Your code is 482913": 1,
        "Sign in to Linear: https://linear.app/login/verify?token=8fQ2xkLm0aPz7Wq": 2,
        "Are we still on for lunch?": 3,
        "(1/2) Your long message": 4,
        "Your code is 666666": 5,
    }
    for text, minutes in texts.items():
        at = (now - timedelta(minutes=minutes)).isoformat()
        await app.tell("sms.received", piv_num_id=numbers[0], text=text, received_at=at)
    await app.tell("domain.expires_soon", domain="example.com", expires_at=now.isoformat())
    last = await app.services.store.everything.read(events.last_seq)
    look = Look(at=app.services.clock.time() + 600, seq=last)
    await app.services.store.everything.write(polls.note_look, numbers[0], look)
    await app.ok("purchase_number", **{**BUY, "auto_renew": True}, custom_name="Berlin office")
    await app.ok("purchase_number", **{**BUY, "duration_months": 3})


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_no_page_has_a_violation(connect: Connect, person: BrowserPerson, scheme: str) -> None:
    async with connect(confirm_wait=0, webhooks=True) as app, console(app, findings=FINDINGS) as shown:
        await fill(app)
        found: dict[str, list[str]] = {}
        for width, how in WIDTHS.items():
            page = await shown.page(person, color_scheme=scheme, **how)
            home = page.url.removesuffix("inbox")
            for one in PAGES:
                for query in QUERIES.get(one.name, ("",)):
                    await page.goto(f"{home}{one.name}{query}")
                    await expect(page.locator("button:disabled")).to_have_count(0)
                    found[f"{one.name}{query} {width}"] = await violations(page)
                    if not query:
                        await screenshot(page, f"{one.name}-{width}-{scheme}")
                    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), one.name
        assert {name: rules for name, rules in found.items() if rules} == {}


async def test_what_was_decided_has_none_either(connect: Connect, person: BrowserPerson) -> None:
    async with connect(confirm_wait=0) as app, console(app) as shown:
        await app.ok("purchase_number", **BUY)
        await app.ok("purchase_number", **{**BUY, "duration_months": 2})
        page = await shown.page(person, "approvals")
        for entry, decision in zip(await app.entries(), DECISIONS, strict=True):
            assert await app.gate.journal.decide(entry.id, decision, by="page")
        await expect(page.get_by_role("status")).to_have_count(2)
        assert await violations(page) == []


async def test_spending_with_all_its_parts_has_none(connect: Connect, person: BrowserPerson) -> None:
    budget: dict[str, Any] = {"auto_approve_max": "20", "daily_budget": "50", "budgets": "numbers=10"}
    async with connect(spend_mode="budget", **budget) as app, console(app) as shown:
        for purchase in (BUY_NUMBER, BUY_PROXIES, REGISTER, CREATE_WHITE):
            await app.receipt(purchase)
        entry = await lose(app, SEND_SMS, "drop_after")
        found: dict[str, list[str]] = {}
        for scheme in ("light", "dark"):
            page = await shown.page(person, "spending", color_scheme=scheme, **PHONE)
            for name in ("spending", "spending?days=365", f"spending/{entry.id}", "spending/sp_none", "commitments"):
                await page.goto(f"{page.url.partition('spending')[0].removesuffix('commitments')}{name}")
                for closed in await page.locator("details:not([open]) > summary").all():
                    await closed.click()
                found[f"{name} {scheme}"] = await violations(page)
        person.problems.clear()  # the browser's note of the entry that there is not
        assert {name: rules for name, rules in found.items() if rules} == {}
