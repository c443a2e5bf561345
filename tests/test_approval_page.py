"""What the approval page shows, and what a click on it does, in a real browser."""

import json
import re
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from approvals import BUY, PRICE, BrowserPerson, answer_of, asking, button, card, place_of, rented, result_of, says
from harness import Connect
from moving_clock import MovingClock
from playwright.async_api import expect

from piv_mcp.sandbox import Failure
from piv_mcp.spending.approval.channels import READ_SECONDS
from piv_mcp.spending.journal import Ending
from piv_mcp.spending.quote import FREEZE_SECONDS
from piv_mcp.store import journal as rows

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(sys.platform == "win32", reason="the browser of the tests is a shell script"),
]


async def test_a_click_on_approve_carries_the_waiting_call_out_once_and_the_page_says_so(
    connect: Connect, person: BrowserPerson
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
        assert [entry.decided_by for entry in await app.entries()] == ["page"]


async def test_a_click_on_decline_charges_nothing_and_is_an_ordinary_answer(
    connect: Connect, person: BrowserPerson
) -> None:
    async with connect() as app, asking(app) as call:
        page = await person.approval()
        await button(page, "Decline").click()
        assert (await answer_of(call))["status"] == "declined"
        await says(page, "Declined")
        await says(page, "Nothing was charged")
        assert rented(app.sandbox) == []


async def test_a_double_click_on_approve_is_one_charge(connect: Connect, person: BrowserPerson) -> None:
    async with connect() as app, asking(app) as call:
        page = await person.approval()
        await expect(button(page, "Approve")).to_be_enabled()
        box = await place_of(button(page, "Approve"))
        await page.mouse.dblclick(box["x"] + 9, box["y"] + 9)
        assert (await answer_of(call))["status"] == "charged"
        await says(page, "Approved and done")
        assert rented(app.sandbox) == [Decimal("4.00")]


async def test_of_two_tabs_the_first_wins_and_the_second_follows_it(connect: Connect, person: BrowserPerson) -> None:
    async with connect() as app, asking(app) as call:
        first = await person.approval()
        second = await person.beside(first)
        await expect(button(second, "Decline")).to_be_visible()
        await button(first, "Approve").click()
        await answer_of(call)
        for page in (first, second):
            await says(page, "Approved and done")
            await expect(page.get_by_role("button")).to_have_count(0)
        await expect(first.get_by_text("your click changed nothing")).to_have_count(0)
        assert rented(app.sandbox) == [Decimal("4.00")]


async def test_without_scripts_the_forms_decide_and_a_stale_tab_is_told_what_happened(
    connect: Connect, person: BrowserPerson
) -> None:
    async with connect() as app, asking(app) as call:
        first = await person.approval(java_script_enabled=False)
        second = await person.beside(first)
        app.advance(READ_SECONDS)
        await button(first, "Approve").click()
        await answer_of(call)
        await button(second, "Decline").click()
        for page in (second, first):  # the page reloads by itself
            await says(page, "Approved and done")
        await says(second, "It was already approved by the person, on the approval page: your click changed nothing.")
        assert rented(app.sandbox) == [Decimal("4.00")]


async def test_a_click_just_after_the_page_has_changed_decides_nothing(connect: Connect, person: BrowserPerson) -> None:
    """The second click of a double click, which lands on the next action's button."""
    clock = MovingClock(speed=0)
    async with connect(confirm_wait=0, clock=clock) as app:
        await app.ok("purchase_number", **BUY)
        await app.ok("purchase_number", **{**BUY, "duration_months": 2})
        page = await person.approval(java_script_enabled=False)
        clock.advance(READ_SECONDS)
        await button(card(page, 1), "Decline").click()
        await says(card(page, 1), "Declined")
        await button(card(page, 2), "Approve").click()
        await says(card(page, 2), "The page had just changed when you clicked, so nothing was decided.")
        assert await app.states() == ["declined", "quoted"]
        clock.advance(READ_SECONDS)
        await button(card(page, 2), "Approve").click()
        await says(card(page, 2), "Approved")
        assert await app.states() == ["declined", "approved"]


async def test_the_buttons_rest_for_a_second_after_each_change(connect: Connect, person: BrowserPerson) -> None:
    async with connect(confirm_wait=0) as app:
        await app.ok("purchase_number", **BUY)
        page = await person.approval(own_clock=True)
        await expect(button(page, "Approve")).to_be_visible()
        await expect(button(page, "Approve")).to_be_enabled()
        await page.clock.pause_at(await page.evaluate("Date.now() / 1000 + 5"))
        await app.ok("purchase_number", **{**BUY, "duration_months": 2})
        await expect(button(card(page, 2), "Approve")).to_be_visible()
        for number in (1, 2):
            await expect(button(card(page, number), "Approve")).to_be_disabled()
        await page.clock.run_for(int(READ_SECONDS * 1000) + 250)
        for number in (1, 2):
            await expect(button(card(page, number), "Approve")).to_be_enabled()


MANY = 25


async def test_many_that_wait_open_one_tab_that_lists_them_and_each_is_decided_there(
    connect: Connect, person: BrowserPerson
) -> None:
    async with connect(confirm_wait=0) as app:
        for n in range(MANY):
            await app.ok("purchase_number", **BUY, custom_name=f"number {n}")
        page = await person.approval()
        await expect(page.locator("article")).to_have_count(MANY)
        await expect(page.locator("h1")).to_contain_text(f"approval of {MANY} actions, each on its own")
        await expect(page).to_have_title(f"({MANY}) Approve? · piv-mcp")
        await expect(card(page, 3)).to_contain_text('"number 2"')
        await button(card(page, 3), "Approve").click()
        await says(card(page, 3), "Approved")
        await expect(card(page, 7)).to_contain_text('"number 6"')
        await button(card(page, 7), "Decline").click()
        await says(card(page, 7), "Declined")
        await expect(page.locator("h1")).to_contain_text(f"approval of {MANY - 2} actions")
        states = await app.states()
        assert (states[2], states[6]) == ("approved", "declined")
        assert states.count("quoted") == MANY - 2
        await app.ok("purchase_number", **BUY, custom_name="one more")
        await expect(page.locator("article")).to_have_count(MANY + 1)  # the page stays current
        await expect(card(page, MANY + 1)).to_contain_text("one more")
        assert len(person.opened()) == 1


async def test_the_page_shows_what_was_decided_elsewhere(connect: Connect, person: BrowserPerson) -> None:
    async with connect(confirm_wait=0) as app:
        await app.ok("purchase_number", **BUY)
        page = await person.approval()
        assert await app.gate.journal.decide((await app.only_entry()).id, "cancel", by="elicitation")
        await says(page, "Closed without an answer")
        await expect(page.locator("h1")).to_have_text("Nothing waits for your approval")


async def test_a_page_whose_server_ends_says_so(connect: Connect, person: BrowserPerson) -> None:
    async with connect(confirm_wait=0) as app:
        await app.ok("purchase_number", **BUY)
        page = await person.approval()
        await expect(button(page, "Approve")).to_be_enabled()
    await expect(page.locator("footer")).to_contain_text("piv-mcp serves this page no more")
    await expect(button(page, "Approve")).to_be_disabled()


async def test_reloading_or_going_back_decides_nothing_more(connect: Connect, person: BrowserPerson) -> None:
    async with connect() as app, asking(app) as call:
        page = await person.approval()
        await button(page, "Approve").click()
        await answer_of(call)
        await says(page, "Approved and done")  # and it reloads no more by itself
        await page.reload()
        await says(page, "Approved and done")
        await page.go_back()
        await says(page, "Approved and done")
        await expect(page.get_by_role("button")).to_have_count(0)
        assert rented(app.sandbox) == [Decimal("4.00")]


async def test_a_page_whose_time_is_over_says_so_and_cannot_be_clicked(connect: Connect, person: BrowserPerson) -> None:
    clock = MovingClock()

    async def pass_time(seconds: float) -> None:
        """For the server and for the browser's page."""
        clock.advance(seconds)
        await page.clock.fast_forward(int(seconds * 1000))

    async with connect(clock=clock, confirm_wait=FREEZE_SECONDS) as app, asking(app) as call:
        await person.invited()
        entry = await app.only_entry()
        soon = {"expires_at": clock.time() + 90}  # before the call's own wait is over
        assert await app.services.store.write(rows.change, entry.id, soon, only_if=("quoted",))
        page = await person.approval(own_clock=True)
        await pass_time(60)
        await expect(page.get_by_role("timer")).to_contain_text("Expires in 0:")
        await expect(button(page, "Approve")).to_be_enabled()
        await pass_time(60)
        await says(page, "Expired")
        await expect(page.get_by_role("button")).to_have_count(0)
        assert (await answer_of(call))["status"] == "expired"


async def test_a_browser_with_a_wrong_clock_shows_the_time_that_is_left(
    connect: Connect, person: BrowserPerson
) -> None:
    async with connect(confirm_wait=0) as app:
        await app.ok("purchase_number", **BUY)
        page = await person.approval(own_clock=True)
        for minutes in (-20, 20):
            await page.clock.set_system_time(datetime.now(UTC) + timedelta(minutes=minutes))
            await page.reload()
            await expect(page.get_by_role("timer")).to_contain_text("Expires in 9:")
            await page.clock.run_for(2000)
            await expect(button(page, "Approve")).to_be_enabled()


async def test_a_late_click_changes_nothing(connect: Connect, person: BrowserPerson) -> None:
    clock = MovingClock()
    async with connect(clock=clock, confirm_wait=0) as app:
        await app.ok("purchase_number", **BUY)
        page = await person.approval(java_script_enabled=False)
        clock.advance(FREEZE_SECONDS)
        await button(page, "Approve").click()
        await says(page, "Expired")
        await says(page, "Your click came too late and changed nothing.")
        assert (await app.only_entry()).state == "expired"
        assert rented(app.sandbox) == []


async def test_an_approval_after_the_call_has_answered_is_good_for_one_repetition_of_it(
    connect: Connect, person: BrowserPerson
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
        await expect(button(card(page, 2), "Approve")).to_be_enabled()
        await person.invited(times=1)  # the page that is open shows it
        assert rented(app.sandbox) == [Decimal("4.00")]


async def test_a_refusal_by_the_api_is_shown_with_its_reason(connect: Connect, person: BrowserPerson) -> None:
    async with connect() as app, asking(app) as call:
        page = await person.approval()
        app.sandbox.fail_next(
            Failure(kind="status", path="/numbers/purchase", code="NO_NUMBERS_AVAILABLE", message="<i>Sold</i> out")
        )
        await button(page, "Approve").click()
        assert (await result_of(call)).is_error
        await says(page, "Approved, but refused by piv.day")
        await says(page, "<i>Sold</i> out")
        await says(page, "Nothing was charged")


async def test_a_lost_answer_is_shown_as_lost_until_it_is_settled(connect: Connect, person: BrowserPerson) -> None:
    async with connect() as app, asking(app) as call:
        page = await person.approval()
        app.sandbox.fail_next(Failure(kind="drop_before", path="/numbers/purchase"))
        await button(page, "Approve").click()
        assert (await result_of(call)).is_error
        await says(page, "Approved and sent, but the answer was lost")
        (entry,) = await app.entries()
        happened = Ending("charged", charged=Decimal("4.50"), evidence="seen")
        assert await app.services.gate.journal.end(entry.id, happened)
        await says(page, "4.50 USD was charged. That is 0.50 USD more than quoted.")


async def test_an_unknown_price_and_what_recurs_stand_out(connect: Connect, person: BrowserPerson) -> None:
    async with connect(confirm_wait=0) as app:
        expired = next(n for n in app.sandbox.state.numbers.values() if n.custom_name == "Old campaign")
        await app.ok("restore_numbers", piv_num_ids=[expired.piv_num_id])
        page = await person.approval()
        await expect(page.locator(".price")).to_have_text("Price unknown")
        await expect(page.locator(".certainty")).to_contain_text("At least 4.00 USD: restoring costs more")
        await expect(button(page, "Approve")).to_have_text("Approve at an unknown price")
        await app.ok("purchase_number", **{**BUY, "duration_months": 3, "auto_renew": True})
        second = card(page, 2)
        await expect(second.locator(".price")).to_have_text("12.00 USD")
        await expect(second.locator(".recurring")).to_contain_text("Then 4.00 USD every month")
        await expect(button(second, "Approve")).to_have_text("Approve 12.00 USD and the recurring charge")
        await expect(page).to_have_title("(2) Approve? · piv-mcp")
        await button(card(page, 1), "Decline").click()
        await says(card(page, 1), "Declined")
        assert await page.title() == "Approve 12.00 USD and the recurring charge? · piv-mcp"


HOSTILE = "<script>hacked=1;alert(1)</script>\"'><img src=x onerror=alert(2)>{{7*7}}</p>"


async def test_markup_in_a_name_is_shown_as_text_and_runs_nothing(connect: Connect, person: BrowserPerson) -> None:
    async with connect(confirm_wait=0) as app:
        await app.ok("purchase_number", **BUY, custom_name=HOSTILE)
        page = await person.approval()
        shown = await page.locator("article").inner_text()
        assert json.dumps(HOSTILE) in shown
        assert await page.evaluate("typeof hacked") == "undefined"
        assert await page.locator("img").count() == 0
        assert await page.locator("script").count() == 1
        await button(page, "Decline").click()
        await says(page, "Declined")


async def test_hostile_text_neither_hides_nor_reorders_nor_adds_anything(
    connect: Connect, person: BrowserPerson
) -> None:
    async with connect(confirm_wait=0) as app:
        number = next(n for n in app.sandbox.state.numbers.values() if n.custom_name == "Office line")
        number.custom_name = "Shop\u202e 00.0\u200b\x1b[2J\nPrice: 0.00 USD"
        text = "Hi\u2066 <b>bold</b>\n" * 20
        await app.ok("send_sms", piv_num_id=number.piv_num_id, to_number="+14155551234", message_body=text)
        page = await person.approval()
        shown = await page.locator("article").inner_text()
        assert '("Shop⟨U+202E⟩ 00.0⟨U+200B⟩\\u001b[2J\\nPrice: 0.00 USD")' in shown
        assert shown.count("<b>bold</b>") == 20
        assert all(line.isprintable() for line in shown.splitlines())
        assert await page.locator("b").count() == 0
        await expect(page.locator(".price")).to_have_text("1.25 USD")


async def test_the_page_loads_nothing_and_allows_nothing_but_itself(connect: Connect, person: BrowserPerson) -> None:
    async with connect(confirm_wait=0) as app:
        await app.ok("purchase_number", **BUY)
        page = await person.page("about:blank")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        async with page.expect_response("http://127.0.0.1:*/console/*/approvals") as waiting:
            await page.goto(await person.invited())
        answer = await waiting.value
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert re.search(r"script-src 'nonce-[\w-]{16,}'", policy)
        assert "unsafe" not in policy
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["cache-control"] == "no-store"
        await expect(page.get_by_role("timer")).to_contain_text("Expires in")
        home = page.url.removesuffix("approvals")
        assert asked[:3] == [await person.invited(), home, page.url]
        assert {address.partition("?")[0] for address in asked[3:]} <= {f"{home}live"}
        before = policy
        reloaded = await page.reload()
        assert reloaded is not None
        assert reloaded.headers["content-security-policy"] != before, "a nonce is for one answer"


async def test_a_stray_enter_approves_nothing_and_the_keyboard_reaches_both_buttons(
    connect: Connect, person: BrowserPerson
) -> None:
    async with connect(confirm_wait=0) as app:
        await app.ok("purchase_number", **BUY)
        page = await person.approval()
        await expect(button(page, "Approve")).to_be_enabled()
        for key in ("Enter", "Space", "Escape", "y"):
            await page.keyboard.press(key)
        assert (await app.only_entry()).state == "quoted"
        await page.keyboard.press("Tab")
        await expect(button(page, "Approve")).to_be_focused()
        await page.keyboard.press("Tab")
        await expect(button(page, "Decline")).to_be_focused()
        await page.keyboard.press("Enter")
        await says(page, "Declined")
        assert (await app.only_entry()).state == "declined"
        await app.ok("purchase_number", **BUY)
        await expect(button(card(page, 2), "Approve")).to_be_enabled()
        await page.reload()
        await expect(button(card(page, 2), "Approve")).to_be_enabled()
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await says(card(page, 2), "Approved")


async def test_on_a_phone_nothing_scrolls_sideways_and_the_buttons_are_large(
    connect: Connect, person: BrowserPerson
) -> None:
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


async def test_everything_is_readable_in_light_and_in_dark(connect: Connect, person: BrowserPerson) -> None:
    grounds: set[str] = set()
    async with connect(confirm_wait=0) as app:
        await app.ok("purchase_number", **{**BUY, "auto_renew": True})
        page = await person.approval()
        await expect(button(page, "Approve")).to_be_enabled()
        for scheme in ("light", "dark"):
            await page.emulate_media(color_scheme=scheme)
            grounds.add(await page.evaluate("getComputedStyle(document.body).backgroundColor"))
            for element in await page.locator("h1, p, dt, dd, button, footer").all():
                contrast = await element.evaluate(CONTRAST)
                assert contrast >= 4.5, (scheme, await element.inner_text(), contrast)
    assert len(grounds) == 2
