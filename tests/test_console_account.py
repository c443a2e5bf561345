"""The pages of the account and its commitments: piv.day is asked seldom, and what fails takes nothing else along."""

import json
import sys
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from approvals import BUY, BrowserPerson
from consoles import PHONE, console, screenshot
from examples import domain, number
from harness import Connect, Connected
from moving_clock import MovingClock
from playwright.async_api import Locator, Page, expect

from piv_mcp.api.rate_limit import Priority
from piv_mcp.console.account import MOST_SHOWN
from piv_mcp.console.asked import SHARED_SECONDS
from piv_mcp.sandbox import Failure, Sandbox
from piv_mcp.store import pending
from piv_mcp.store.pending import Pending

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(sys.platform == "win32", reason="the browser of the tests is a shell script"),
    pytest.mark.usefixtures("instant_retries"),
]

LISTS = ("/account", "/domains", "/numbers", "/proxy/orders", "/proxy/servers", "/whites")


def asked(app: Connected) -> Counter[str]:
    """How often each list was asked for since the last `forget_requests`."""
    return Counter(path for method, path, _, _ in app.sent if method == "GET" and path in LISTS)


def section(page: Page, name: str) -> Locator:
    return page.locator(f"section[aria-labelledby={name}]")


async def test_the_account_shows_what_it_has_and_no_password(connect: Connect, person: BrowserPerson) -> None:
    async with connect() as app, console(app) as opened:
        page = await opened.page(person, "account")
        await screenshot(page, "account")
        state = app.sandbox.state
        for name, rows in (
            ("numbers", state.numbers),
            ("proxies", state.orders),
            ("domains", state.domains),
            ("sites", state.whites),
        ):
            await expect(section(page, name).get_by_role("heading", level=2)).to_contain_text(str(len(rows)))
            await expect(section(page, name).locator(":scope > ul > li")).to_have_count(len(rows))
        await expect(page.locator(".figure").first).to_have_text("150.50 USD")
        content = await page.content()
        secrets = [word for order in state.orders.values() for proxy in order.proxies for word in (proxy.password,)]
        assert secrets
        assert not [word for word in secrets if word in content]


async def test_a_list_that_fails_says_why_and_takes_no_other_along(
    connect: Connect, person: BrowserPerson, sandbox: Sandbox
) -> None:
    async with connect() as app, console(app) as opened:
        sandbox.fail_next(Failure(kind="html", path="/domains", times=None))
        page = await opened.page(person, "account")
        await expect(section(page, "domains").locator(".problem")).to_be_visible()
        await expect(section(page, "numbers").locator("li").first).to_be_visible()
        page = await opened.page(person, "commitments")
        await expect(page.locator(".problem")).to_contain_text("Domains")
        await expect(page.get_by_text("Ads")).to_be_visible()
        sandbox.clear_failures()
        await page.reload()
        await expect(page.locator(".problem")).to_have_count(0)


async def test_answers_are_shared_for_a_minute_and_asked_for_anew_on_a_click(
    connect: Connect, person: BrowserPerson
) -> None:
    clock = MovingClock()
    async with connect(clock=clock) as app, console(app) as opened:
        page = await opened.page(person, "account")
        app.forget_requests()
        await page.reload()
        await page.reload()
        assert asked(app) == Counter()
        clock.advance(30)
        async with page.expect_navigation():
            await page.get_by_role("button", name="Ask anew").click()
        assert set(asked(app).values()) == {1}
        assert set(asked(app)) == set(LISTS)
        clock.advance(SHARED_SECONDS - 20)
        await page.reload()
        assert set(asked(app).values()) == {1}
        clock.advance(30)
        await page.reload()
        assert set(asked(app).values()) == {2}


async def test_what_another_process_buys_is_shown_at_once(connect: Connect, person: BrowserPerson) -> None:
    budget: dict[str, Any] = {"spend_mode": "budget", "auto_approve_max": "5", "daily_budget": "20"}
    async with connect() as app, connect(**budget) as other, console(app) as opened:
        page = await opened.page(person, "account")
        commitments = await opened.page(person, "commitments")
        await expect(page.locator(".figure").first).to_have_text("150.50 USD")
        await expect(commitments.locator(".figure").last).to_have_text("150.50 USD")
        await other.ok("purchase_number", **BUY)
        await expect(page.locator(".figure").first).to_have_text("146.50 USD")
        await expect(section(page, "numbers").locator("li")).to_have_count(len(app.sandbox.state.numbers))
        await expect(commitments.locator(".figure").last).to_have_text("146.50 USD")


async def test_looking_takes_no_request_that_an_agent_could_use(connect: Connect, person: BrowserPerson) -> None:
    async with connect() as app, console(app) as opened:
        used: set[Priority] = set()
        limiter = app.services.client._http._limiter  # pyright: ignore[reportPrivateUsage]
        acquire = limiter.acquire

        async def noted(priority: Priority, **how: Any) -> None:
            used.add(priority)
            await acquire(priority, **how)

        limiter.acquire = noted
        for name in ("account", "commitments"):
            await opened.page(person, name)
        assert Priority.WAIT in used
        assert Priority.PERSON not in used


async def test_long_lists_say_what_is_left_out(connect: Connect, person: BrowserPerson, sandbox: Sandbox) -> None:
    sandbox.add_numbers(MOST_SHOWN + 5)
    count = len(sandbox.state.numbers)
    async with connect() as app, console(app) as opened:
        page = await opened.page(person, "account")
        await expect(section(page, "numbers").locator("li")).to_have_count(MOST_SHOWN)
        await expect(section(page, "numbers")).to_contain_text(f"{count - MOST_SHOWN} more are not shown.")


async def test_what_is_in_progress_is_shown_and_followed(connect: Connect, person: BrowserPerson) -> None:
    async with connect() as app, console(app) as opened:
        page = await opened.page(person, "account")
        shown = section(page, "in-progress")
        await expect(shown).to_contain_text("Generation of a site")  # the account's lists have been looked at
        begun = pending.pending("registration", "d-1", domain_name="shop-example.com", state="purchasing")
        await app.services.store.everything.write(pending.begin, replace(begun, since=app.services.clock.time()))
        app.services.inbox.changes.notify()
        await expect(shown).to_contain_text("Registration of a domain")
        await expect(shown).to_contain_text("shop-example.com")
        await expect(shown).to_contain_text("Being registered")

        def end(connection: Any) -> None:
            for row in pending.in_progress(connection):
                assert isinstance(row, Pending)
                pending.end(connection, row)

        await app.services.store.everything.write(end)
        app.services.inbox.changes.notify()
        await expect(shown).to_have_count(0)


async def test_without_a_key_the_pages_say_what_to_do(connect: Connect, person: BrowserPerson) -> None:
    async with connect() as app, console(app) as opened:
        app.services.api = None
        app.services.spending = None
        for name in ("account", "commitments"):
            page = await opened.page(person, name)
            await expect(page.get_by_text("piv-mcp install")).to_be_visible()
        page = await opened.page(person, "spending")
        await expect(page.get_by_text("No API key is set: nothing can be bought.")).to_be_visible()


async def test_names_cannot_become_markup_or_hide_anything(
    connect: Connect, person: BrowserPerson, sandbox: Sandbox
) -> None:
    sandbox.state.numbers[number(sandbox)].custom_name = "<img src=x onerror=alert(1)>\u202eevil"
    sandbox.state.domains[domain(sandbox)].name = "xn--pypal-4ve.com"
    async with connect() as app, console(app) as opened:
        page = await opened.page(person, "account")
        await expect(section(page, "numbers")).to_contain_text("<img src=x onerror=alert(1)>⟨U+202E⟩evil")
        await expect(section(page, "domains")).to_contain_text("xn--pypal-4ve.com")
        assert await page.locator("img").count() == 0


# Commitments


async def test_the_calendar_has_what_the_tool_tells_and_its_sum(
    connect: Connect, person: BrowserPerson, sandbox: Sandbox
) -> None:
    sandbox.state.domains[domain(sandbox)].expires_at = sandbox.now + timedelta(days=3, hours=1)
    async with connect() as app, console(app) as opened:
        told = await app.ok("list_commitments")
        page = await opened.page(person, "commitments")
        await screenshot(page, "commitments")
        cost, balance = await page.locator(".tiles .figure").all_inner_texts()
        assert cost == f"{told['automatic_cost']} USD"
        assert balance == f"{told['balance']} USD"
        shown = await page.locator("section li h3").all_inner_texts()
        names = {row["name"] for row in told["commitments"] if row["what"] != "proxy order"}
        assert names <= set(shown)
        assert len(shown) == len(told["commitments"])
        renewing = [row["name"] for row in told["commitments"] if row["renews_by_itself"]]
        rows = page.locator("section li").filter(has_text="Renews by itself")
        assert sorted(await rows.locator("h3").all_inner_texts()) == sorted(renewing)
        await expect(section(page, "ended").locator("li")).to_have_count(
            sum("restore" in row for row in told["commitments"])
        )


async def test_a_longer_look_ahead_counts_each_renewal(connect: Connect, person: BrowserPerson) -> None:
    async with connect() as app, console(app) as opened:
        page = await opened.page(person, "commitments")
        await page.get_by_role("link", name="365 days").click()
        row = page.locator("section li").filter(has_text="Ads")
        await expect(row).to_contain_text("12 times within these days")
        told = await app.ok("list_commitments", days=365)
        await expect(page.locator(".tiles .figure").first).to_have_text(f"{Decimal(told['automatic_cost']):.2f} USD")


async def test_a_balance_that_does_not_cover_what_renews_is_said(
    connect: Connect, person: BrowserPerson, sandbox: Sandbox
) -> None:
    sandbox.balance = Decimal("0.50")
    async with connect() as app, console(app) as opened:
        page = await opened.page(person, "commitments")
        await expect(page.get_by_text("It does not cover what renews by itself.")).to_be_visible()


async def test_nothing_to_come_is_said(connect: Connect, person: BrowserPerson, sandbox: Sandbox) -> None:
    for path, name in (("/numbers", "numbers"), ("/proxy/orders", "orders"), ("/domains", "domains")):
        body = json.dumps({"success": True, "data": {name: [], "pagination": {"total": 0, "limit": 200, "offset": 0}}})
        sandbox.fail_next(Failure(kind="status_after", path=path, status=200, body=body, times=None))
    async with connect() as app, console(app) as opened:
        page = await opened.page(person, "commitments")
        await expect(page.get_by_text("Nothing ends or renews within 30 days.")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["account", "commitments"])
async def test_a_phone_needs_no_scrolling_aside(
    connect: Connect, person: BrowserPerson, sandbox: Sandbox, name: str, scheme: Any
) -> None:
    sandbox.state.numbers[number(sandbox)].custom_name = "name" * 60
    async with connect() as app, console(app) as opened:
        page = await opened.page(person, name, color_scheme=scheme, **PHONE)
        await screenshot(page, f"{name}-phone-{scheme}")
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
