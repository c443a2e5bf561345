"""The spending page: its chart, its table and the journal agree, and a person finds every entry and its end."""

import csv
import io
import json
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from approvals import BrowserPerson
from consoles import PHONE, console, screenshot
from harness import DECLINE, Connect, Connected, approver
from journal_entries import charged_entry
from lost_answers import lose
from playwright.async_api import Page, expect
from purchases import BUY_NUMBER, BUY_PROXIES, CREATE_WHITE, REGISTER, SEND_SMS

from piv_mcp.console.spending import MOST_UNKNOWN
from piv_mcp.spending.messages import message
from piv_mcp.spending.quote import Price, Quote
from piv_mcp.store import journal as rows
from piv_mcp.store.journal import Entry, State

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(sys.platform == "win32", reason="the browser of the tests is a shell script"),
    pytest.mark.usefixtures("instant_retries"),
]

HOSTILE = '<b>"a" & \u202eb</b>'


def an_entry(n: int, **columns: Any) -> Entry:
    """An entry that was charged 4 dollars, n hours ago."""
    return charged_entry(n, datetime.now(UTC).timestamp() - 3600.0 * n, **columns)


async def insert(app: Connected, entries: Sequence[Entry]) -> None:
    """Store these entries, the oldest first."""

    def job(connection: Any) -> None:
        for entry in sorted(entries, key=lambda entry: entry.quoted_at):
            rows.insert(connection, entry)

    await app.gate.journal.store.write(job)


def dollars(text: str) -> Decimal:
    return Decimal(re.sub(r"[^0-9.]", "", text) or "0")


async def drawn(page: Page) -> dict[str, Decimal]:
    """What the bars of the chart stand for, by area."""
    found: dict[str, Decimal] = {}
    for part in await page.locator("svg .part").all():
        area = (await part.get_attribute("class") or "").rpartition("-")[2]
        found[area] = found.get(area, Decimal(0)) + Decimal(await part.get_attribute("data-amount") or "0")
    return found


async def cells(page: Page, table: str) -> list[list[str]]:
    """The rows of a table, by the id of the section or details that it stands in."""
    return [await row.locator("th, td").all_inner_texts() for row in await page.locator(f"{table} tbody tr").all()]


async def test_the_chart_its_table_and_the_journal_have_the_same_numbers(
    connect: Connect, person: BrowserPerson
) -> None:
    async with connect(person=approver()) as app, console(app) as opened:
        for purchase in (BUY_NUMBER, BUY_PROXIES, REGISTER, CREATE_WHITE, SEND_SMS):
            await app.receipt(purchase)
        ago = datetime.now(UTC) - timedelta(days=20)
        at = ago.timestamp()
        await insert(app, [an_entry(1, quoted_at=at, settled_at=at, charged="0.0001", area="domains")])
        told = await app.ok("list_spending")
        by_area: dict[str, Decimal] = {}
        for total in told["totals"]:
            by_area[total["area"]] = by_area.get(total["area"], Decimal(0)) + Decimal(total["charged"])
        page = await opened.page(person, "spending")
        await screenshot(page, "spending")
        assert await drawn(page) == by_area
        await page.get_by_text("The chart as a table").click()
        header = await page.locator("#numbers-of-chart thead th").all_inner_texts()
        assert header == ["Day", "Numbers", "Proxies", "Domains", "Sites", "Together"]
        days = await cells(page, "#numbers-of-chart")
        assert [dollars(row[-1]) for row in days] == [
            sum(Decimal(total["charged"]) for total in told["totals"] if total["day"] == day)
            for day in dict.fromkeys(total["day"] for total in told["totals"])
        ]
        names = {"numbers": "Numbers", "proxies": "Proxies", "domains": "Domains", "whites": "Sites"}
        legend = {name.strip(): dollars(amount) for name, _, amount in await cells(page, ".legend")}
        assert legend == {names[area]: amount for area, amount in by_area.items()}
        figure = page.locator(".tiles .figure").first
        assert dollars(await figure.inner_text()) == Decimal(told["charged"]) == sum(by_area.values())


async def test_bars_are_as_high_as_their_amounts(connect: Connect, person: BrowserPerson) -> None:
    async with connect() as app, console(app) as opened:
        await insert(app, [an_entry(1, charged="2.5"), an_entry(30, charged="5", area="domains")])
        page = await opened.page(person, "spending")
        heights = {
            await part.get_attribute("data-amount"): Decimal(await part.get_attribute("height") or "0")
            for part in await page.locator("svg .part").all()
        }
        assert heights == {"2.5": 50, "5": 100}


async def test_entries_are_found_by_state_area_agent_and_days_in_pages(connect: Connect, person: BrowserPerson) -> None:
    async with connect() as app, console(app) as opened:
        await insert(app, [an_entry(n, agent=HOSTILE if n % 2 else "bot") for n in range(60)])
        await insert(app, [an_entry(61, state="declined", problem="decline", charged=None, area="domains")])
        await insert(app, [an_entry(24 * 40)])
        page = await opened.page(person, "spending")
        shown = page.locator("section[aria-labelledby=entries] li")
        heading = page.locator("#entries")
        await expect(heading).to_have_text("Entries 61")
        await expect(shown).to_have_count(25)
        await page.get_by_role("link", name="Older").click()
        await page.get_by_role("link", name="Older").click()
        await expect(shown).to_have_count(11)
        await expect(page.get_by_text("51 to 61 of 61")).to_be_visible()
        await page.get_by_role("link", name="90 days").click()
        await expect(heading).to_have_text("Entries 62")
        await page.get_by_label("State", exact=True).select_option("declined")
        await page.get_by_role("button", name="Show").click()
        await expect(heading).to_have_text("Entries 1")
        await page.get_by_label("State", exact=True).select_option("")
        await page.get_by_label("Agent", exact=True).select_option(index=1)
        await page.get_by_role("button", name="Show").click()
        await expect(heading).to_have_text("Entries 30")
        await page.get_by_label("Area", exact=True).select_option("domains")
        await page.get_by_role("button", name="Show").click()
        await expect(page.get_by_text("No entry is like that in this time.")).to_be_visible()


async def test_agents_and_their_sums_are_told_apart(connect: Connect, person: BrowserPerson) -> None:
    async with connect() as app, console(app) as opened:
        await insert(app, [an_entry(1, agent="bot"), an_entry(2, agent="bot"), an_entry(3, agent=HOSTILE), an_entry(4)])
        page = await opened.page(person, "spending")
        rows_ = await cells(page, "section[aria-labelledby=by-agent]")
        assert [[*row[:2], dollars(row[2])] for row in rows_] == [
            ["bot", "2", Decimal(8)],
            ['<b>"a" & ⟨U+202E⟩b</b>', "1", Decimal(4)],
            ["No agent", "1", Decimal(4)],
        ]


async def test_an_entry_tells_its_whole_story(connect: Connect, person: BrowserPerson) -> None:
    async with connect(person=approver()) as app, console(app) as opened:
        id_ = (await app.receipt(BUY_PROXIES))["spending_id"]
        page = await opened.page(person, f"spending/{id_}")
        await screenshot(page, "entry")
        steps = [text.splitlines()[0] for text in await page.locator(".steps li").all_inner_texts()]
        assert steps == ["Asked for", "Approved by the person, in the client", "Sent to piv.day", "Charged"]
        await expect(page.locator(".figure")).to_have_text("3.00 USD")
        text = await page.locator("main").inner_text()
        passwords = [proxy.password for order in app.sandbox.state.orders.values() for proxy in order.proxies]
        assert passwords
        assert not [word for word in passwords if word in text]
        assert "**********" in text
        await page.goto(page.url.replace(id_, "sp_ffffffffff"))
        await expect(page.get_by_role("heading", name="No such entry")).to_be_visible()
        person.problems.clear()  # the browser's note of the 404


async def test_what_is_unknown_stands_first_and_can_be_settled_from_the_page(
    connect: Connect, person: BrowserPerson
) -> None:
    async with connect(person=approver()) as app, console(app) as opened:
        await lose(app, BUY_NUMBER, "drop_after")
        page = await opened.page(person, "spending")
        await expect(page.locator("#unknown")).to_have_text("1 outcome is unknown")
        await expect(page.get_by_role("link", name="Spending")).to_contain_text("1")
        await expect(page.locator("section[aria-labelledby=unknown]")).to_contain_text("piv-mcp approvals")
        await page.get_by_role("button", name="Look at the account now").click()
        await expect(page.locator("#unknown")).to_have_count(0)
        assert await app.states() == ["charged"]


async def test_what_cost_nothing_is_found_as_such_however_piv_day_writes_it(
    connect: Connect, person: BrowserPerson
) -> None:
    async with connect() as app, console(app) as opened:
        for n, price in enumerate(("0", "0.00", "0.50", "10")):
            free = Quote(headline=message("text", text=f"Act {n}"), price=Price(amount=Decimal(price)))
            await insert(app, [an_entry(n, quote=free.model_dump_json(), price=price, charged=price)])
        dear = Quote(headline=message("text", text="Act 4"), price=Price(amount=Decimal(0)))
        await insert(app, [an_entry(4, quote=dear.model_dump_json(), price="0", charged="2.50")])
        page = await opened.page(person, "spending?state=done")
        await expect(page.locator("#entries")).to_have_text("Entries 2")
        done = (await app.ok("list_spending", state="done"))["entries"]
        assert {row["quoted"] for row in done} == {"0.00 USD (exact)"}
        await page.goto(page.url.replace("done", "charged"))
        await expect(page.locator("#entries")).to_have_text("Entries 3")
        charged = (await app.ok("list_spending", state="charged"))["entries"]
        assert {(row["quoted"], row["charged"]) for row in charged} >= {("0.00 USD (exact)", "2.50")}


async def test_it_is_said_how_many_of_what_is_unknown_are_not_shown(connect: Connect, person: BrowserPerson) -> None:
    async with connect() as app, console(app) as opened:
        await insert(app, [an_entry(n, state="unknown", charged=None) for n in range(1, MOST_UNKNOWN + 6)])
        page = await opened.page(person, "spending")
        await expect(page.locator("#unknown")).to_have_text(f"{MOST_UNKNOWN + 5} outcomes are unknown")
        section = page.locator("section[aria-labelledby=unknown]")
        await expect(section.get_by_role("listitem")).to_have_count(MOST_UNKNOWN)
        await expect(section).to_contain_text("5 more are not shown.")


async def test_an_open_page_follows_what_is_spent(connect: Connect, person: BrowserPerson) -> None:
    async with connect(person=approver()) as app, console(app) as opened:
        page = await opened.page(person, "spending")
        await expect(page.get_by_text("Nothing was charged in this time.")).to_be_visible()
        await app.receipt(BUY_NUMBER)
        await expect(page.locator(".tiles .figure").first).to_have_text("4.00 USD")
        app.person.answers.append(DECLINE)
        await app.receipt(SEND_SMS)
        await expect(page.locator("#entries")).to_have_text("Entries 2")


async def test_limits_and_what_is_left_of_them_are_shown(connect: Connect, person: BrowserPerson) -> None:
    budget: dict[str, Any] = {"auto_approve_max": "5", "daily_budget": "20", "budgets": "numbers=10"}
    async with connect(spend_mode="budget", **budget) as app, console(app) as opened:
        await app.receipt(BUY_NUMBER)
        page = await opened.page(person, "spending")
        assert [
            [name.strip(), left, of] for name, left, of in await cells(page, "section[aria-labelledby=limits]")
        ] == [
            ["All that needs no question", "16.00 USD", "20.00 USD"],
            ["Numbers", "6.00 USD", "10.00 USD"],
        ]


async def test_both_downloads_hold_the_entries_that_are_chosen(connect: Connect, person: BrowserPerson) -> None:
    async with connect() as app, console(app) as opened:
        await insert(app, [an_entry(n, problem="=1+1") for n in range(30)])
        await insert(app, [an_entry(40, area="domains")])
        page = await opened.page(person, "spending?area=numbers", accept_downloads=True)
        for name, ending in (("CSV", "csv"), ("JSON Lines", "jsonl")):
            async with page.expect_download() as started:
                await page.get_by_role("link", name=name, exact=True).click()
            file = await started.value
            assert re.fullmatch(rf"piv-mcp-spending-\d{{4}}-\d\d-\d\d\.{ending}", file.suggested_filename)
            text = (await file.path()).read_text("utf-8")
            if ending == "csv":
                told = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
            else:
                told = [json.loads(line) for line in text.splitlines()]
            assert [row["spending_id"] for row in told] == [an_entry(n).id for n in reversed(range(30))]
            assert {row["problem"] for row in told} == {"'=1+1" if ending == "csv" else "=1+1"}


@pytest.mark.parametrize(("scheme", "locale"), [("light", "en"), ("dark", "ru"), ("light", "zh-CN")])
async def test_a_phone_needs_no_scrolling_to_the_side(
    connect: Connect, person: BrowserPerson, scheme: Any, locale: str
) -> None:
    budget: dict[str, Any] = {"auto_approve_max": "5", "daily_budget": "20000", "budgets": "numbers=10000"}
    async with connect(spend_mode="budget", **budget) as app, console(app) as opened:
        await insert(app, [an_entry(n, action="word" * 50, agent="agent" * 20) for n in range(3)])
        page = await opened.page(person, "spending", color_scheme=scheme, locale=locale, **PHONE)
        await screenshot(page, f"spending-phone-{scheme}-{locale}")
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("state", ["quoted", "approved", "executing", "price_changed", "refused", "charged", "unknown"])
async def test_a_damaged_entry_hides_no_other(connect: Connect, person: BrowserPerson, state: State) -> None:
    later = datetime.now(UTC).timestamp() + 500
    damaged = an_entry(0, state=state, quote="{", arguments="{", result="[", proof="{", expires_at=later)
    sound = an_entry(1, state="quoted", expires_at=later)
    async with connect(person=approver()) as app, console(app) as opened:
        await insert(app, [damaged, sound])
        page = await opened.page(person, "approvals")
        await expect(page.locator("article", has_text="Rent number 1")).to_be_visible()
        visit = page.url.removesuffix("/approvals")
        for path in ("spending", f"spending/{damaged.id}", "commitments"):
            answer = await page.goto(f"{visit}/{path}")
            assert answer is not None
            assert answer.status == 200
        told = await app.ok("list_spending")
        assert {row["spending_id"] for row in told["entries"]} == {damaged.id, sound.id}
