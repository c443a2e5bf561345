"""The freeze on the person's console: one button, what it stops, and how it is lifted."""

import sys

import pytest
from approvals import BUY, BrowserPerson, button, rented, says
from consoles import console
from harness import Connect, approver
from playwright.async_api import Locator, Page, expect

from piv_mcp.console import asked
from piv_mcp.sandbox import Failure, Sandbox

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(sys.platform == "win32", reason="the browser of the tests is a shell script"),
]


def press(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


async def test_one_button_freezes_and_what_was_approved_does_not_leave(connect: Connect, person: BrowserPerson) -> None:
    async with connect(confirm_wait=0) as app, console(app) as shown:
        await app.ok("purchase_number", **BUY)
        (entry,) = await app.entries()
        assert await app.gate.journal.decide(entry.id, "approve", by="page")
        page = await shown.page(person, "freeze")
        await press(page, "Freeze now").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("All that costs money is frozen")
        await says(page, "Nothing that costs money can leave any more.")
        assert "frozen" in await app.error("purchase_number", **BUY)
        assert rented(app.sandbox) == []
        assert await app.states() == ["expired"]


async def test_it_lists_what_piv_day_goes_on_to_renew(connect: Connect, person: BrowserPerson) -> None:
    async with connect() as app, console(app) as shown:
        page = await shown.page(person, "freeze")
        await press(page, "Freeze now").click()
        renewals = page.get_by_role("region", name="What piv.day goes on to renew by itself")
        listed = (await app.ok("list_commitments", days=3650))["commitments"]
        on = [item for item in listed if item["renews_by_itself"]]
        assert on
        await expect(renewals.get_by_role("listitem")).to_have_count(len(on))


async def test_it_follows_what_is_no_longer_renewed(connect: Connect, person: BrowserPerson) -> None:
    async with connect() as app, connect(person=approver()) as other, console(app) as shown:
        (item, *others) = [item for item in app.sandbox.state.numbers.values() if item.auto_renew]
        assert not others
        page = await shown.page(person, "freeze")
        await press(page, "Freeze now").click()
        renewals = page.get_by_role("region", name="What piv.day goes on to renew by itself")
        await expect(renewals).to_contain_text(item.custom_name or "")
        off = await other.ok("set_number_auto_renewal", piv_num_id=item.piv_num_id, auto_renew=False)
        assert off["status"] == "done"
        await expect(renewals).not_to_contain_text(item.custom_name or "")


async def test_what_piv_day_does_not_answer_holds_the_page_up_no_longer_than_others(
    connect: Connect, person: BrowserPerson, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asked, "ASK_SECONDS", 0.2)
    async with connect() as app, console(app, language="ru") as shown:
        page = await shown.page(person, "freeze")
        sandbox.fail_next(Failure(kind="hang", path="/numbers", times=None))
        await press(page, "Заморозить").click()
        await says(page, "Ничто из того, что стоит денег, больше не может быть отправлено.")
        await expect(page.get_by_text("piv.day пока не ответил.").first).to_be_visible()
        sandbox.clear_failures()


async def test_an_area_that_cannot_be_read_hides_nothing_of_another(connect: Connect, person: BrowserPerson) -> None:
    async with connect() as app, console(app) as shown:
        page = await shown.page(person, "freeze")
        app.sandbox.fail_next(Failure(kind="status", path="/domains", status=403, code="INSUFFICIENT_PERMISSIONS"))
        await press(page, "Freeze now").click()
        renewals = page.get_by_role("region", name="What piv.day goes on to renew by itself")
        await expect(renewals).to_contain_text("Domains: The API key may not read this.")
        await expect(renewals.get_by_role("listitem")).to_have_count(1)
        await expect(renewals).to_contain_text("Ads")


async def test_while_frozen_nothing_is_approved_and_what_waits_can_be_declined(
    connect: Connect, person: BrowserPerson
) -> None:
    async with connect(confirm_wait=0) as app, console(app) as shown:
        await app.ok("purchase_number", **BUY)
        page = await shown.page(person, "freeze")
        await press(page, "Freeze now").click()
        await page.get_by_role("link", name="Approvals").click()
        await button(page, "Approve").click()
        await says(page, "All that costs money is frozen")
        assert await app.states() == ["quoted"]
        await button(page, "Decline").click()
        await says(page, "Declined")
        assert await app.states() == ["declined"]


async def test_it_is_lifted_by_a_button_and_other_pages_follow(connect: Connect, person: BrowserPerson) -> None:
    async with connect(confirm_wait=0) as app, console(app) as shown:
        page, other = await shown.page(person, "freeze"), await shown.page(person, "inbox")
        await press(page, "Freeze now").click()
        await expect(other.get_by_role("link", name="Freeze")).to_contain_text("1 thing to look at")
        await press(page, "Unfreeze").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Freeze all that costs money")
        await expect(other.get_by_role("link", name="Freeze")).to_have_text("Freeze")
        assert (await app.ok("purchase_number", **BUY))["status"] == "approval_required"
