"""The inbox of the person's console, in a real browser."""

import json
import sys
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest
from approvals import BrowserPerson
from consoles import PHONE, console
from harness import Connect, Connected
from playwright.async_api import expect

from piv_mcp.console.inbox import EVENTS_OF_A_PAGE
from piv_mcp.inbox.confirming import LATE_IN_HISTORY_SECONDS
from piv_mcp.store import events, number_leases, polls
from piv_mcp.store.polls import Look

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(sys.platform == "win32", reason="the browser of the tests is a shell script"),
]


OFFICE, ADS = 0, 1
"""The places of two numbers of the sandbox, by their names."""


async def sms(app: Connected, text: str, *, number: int = 0, minutes: float = 0) -> str:
    """A webhook tells a message that was sent so many minutes ago; returns the id of its number."""
    piv_num_id = list(app.sandbox.state.numbers)[number]
    at = (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat()
    await app.tell("sms.received", piv_num_id=piv_num_id, text=text, received_at=at)
    return piv_num_id


async def test_a_code_shows_large_with_its_number_age_and_standing(connect: Connect, person: BrowserPerson) -> None:
    async with connect() as app, console(app) as shown:
        number = app.sandbox.state.numbers[await sms(app, "Your code is 482913", minutes=3)]
        number.custom_name = "Berlin"
        app.services.phonebook.remember((await app.services.client.numbers.list()).items)
        page = await shown.page(person)
        message = page.get_by_role("listitem").filter(has_text="482913")
        await expect(message.get_by_role("heading")).to_have_text("Code 482913")
        size = await message.locator(".value").evaluate("(e) => parseFloat(getComputedStyle(e).fontSize)")
        assert size >= 28
        await expect(message).to_contain_text(f"Berlin · {number.phone_number}")
        await expect(message).to_contain_text("3 minutes ago")
        await expect(message).to_contain_text("Not confirmed yet")
        await expect(message).to_contain_text("Only a webhook told it so far")
        await expect(message).to_contain_text("Your code is 482913")
        known = page.get_by_role("listitem").filter(has_text="558310")
        await expect(known).to_contain_text("Confirmed")
        await expect(known).to_contain_text("Old")
        await expect(known).to_contain_text("from Facebook")


async def test_what_the_history_lacks_is_marked_as_perhaps_forged(connect: Connect, person: BrowserPerson) -> None:
    async with connect() as app, console(app) as shown:
        number = await sms(app, "Your code is 666666")
        (event,), _ = await app.services.store.everything.read(events.after, 0, limit=1, newest=True)
        late = event.stored_at + LATE_IN_HISTORY_SECONDS
        await app.services.store.everything.write(polls.note_look, number, Look(at=late, seq=event.seq))
        page = await shown.page(person)
        message = page.get_by_role("listitem").filter(has_text="666666")
        await expect(message).to_contain_text("Perhaps forged")
        await expect(message).to_contain_text("do not use it")


async def test_a_message_shows_at_once_and_takes_neither_focus_nor_what_is_typed(
    connect: Connect, person: BrowserPerson
) -> None:
    async with connect() as app, console(app) as shown:
        page = await shown.page(person)
        await page.evaluate("window.stays = true")
        search = page.get_by_role("searchbox")
        await search.fill("half a wo")
        await sms(app, "Your code is 113355")
        await expect(page.locator(".value").first).to_have_text("113355")
        await expect(search).to_be_focused()
        await expect(search).to_have_value("half a wo")
        await page.keyboard.type("rd")
        await expect(search).to_have_value("half a word")
        copy = page.get_by_role("button", name="Copy the code 558310")
        await copy.focus()
        await sms(app, "Your code is 224466")
        await expect(page.locator(".value").first).to_have_text("224466")
        await expect(copy).to_be_focused()
        assert await page.evaluate("window.stays"), "the page was not loaded anew"


async def test_a_code_is_copied_with_a_button_and_selected_whole_without_scripts(
    connect: Connect, person: BrowserPerson
) -> None:
    async with connect() as app, console(app) as shown:
        await sms(app, "Your code is 482913")
        page = await shown.page(person, permissions=["clipboard-read", "clipboard-write"])
        await page.get_by_role("button", name="Copy the code 482913").click()
        await expect(page.locator("#told")).to_have_text("Copied")
        assert await page.evaluate("navigator.clipboard.readText()") == "482913"
        plain = await shown.page(person, java_script_enabled=False)
        await expect(plain.locator(".value").first).to_have_text("482913")
        await expect(plain.get_by_role("button", name="Copy")).to_have_count(0)


HOSTILE = 'Sign in: https://evil.example/login?token=aB3dE5gH7jK9 <a href="https://evil.example">x</a>\u202e<img src=x>'


async def test_links_and_markup_of_strangers_are_text(connect: Connect, person: BrowserPerson) -> None:
    async with connect() as app, console(app) as shown:
        await sms(app, HOSTILE)
        await app.tell('"><script>hacked=1</script>', **{"<b>x</b>": "<img src=x onerror=hacked=1>"})
        for kind in ("", "?show=all"):
            page = await shown.page(person)
            await page.goto(page.url + kind)
            message = page.get_by_role("listitem").filter(has_text="evil.example")
            await expect(message).to_contain_text('<a href="https://evil.example">x</a>⟨U+202E⟩<img src=x>')
            assert await page.locator("main img, main b, main script").count() == 0
            links = await page.locator("a").evaluate_all("(links) => links.map((link) => link.href)")
            assert all(link.startswith("http://127.0.0.1:") for link in links)
            assert await page.evaluate("typeof hacked") == "undefined"
        await expect(page.get_by_role("listitem").filter(has_text="<script>")).to_contain_text("<img src=x onerror")


async def test_a_sign_in_link_is_shown_with_its_host(connect: Connect, person: BrowserPerson) -> None:
    async with connect() as app, console(app) as shown:
        await sms(app, "Sign in to Linear: https://linear.app/login/verify?token=8fQ2xkLm0aPz7Wq")
        page = await shown.page(person)
        await expect(page.get_by_role("heading", name="Sign-in link to linear.app")).to_be_visible()
        await expect(page.locator(".link")).to_have_text("https://linear.app/login/verify?token=8fQ2xkLm0aPz7Wq")
        assert await page.locator("main a[href*=linear]").count() == 0


async def test_search_finds_by_number_name_sender_code_and_text(connect: Connect, person: BrowserPerson) -> None:
    async with connect() as app, console(app) as shown:
        await sms(app, "Your Stripe code is 482913", number=OFFICE)
        await sms(app, "Ваш код: 771155", number=ADS)
        phone = list(app.sandbox.state.numbers.values())[OFFICE].phone_number
        wanted = {
            "482913": ["482913"],
            "stripe": ["482913"],
            "КОД": ["771155"],
            "Facebook": ["558310"],
            "office LINE": ["482913", "204815"],
            f"{phone[:3]} {phone[3:8]}": ["482913", "204815"],
            "100%": [],
            "_": [],
        }
        page = await shown.page(person)
        for search, found in wanted.items():
            await page.get_by_role("searchbox").fill(search)
            await page.keyboard.press("Enter")
            await page.wait_for_url(f"**/inbox?{urlencode({'q': search})}")
            await expect(page.locator(".value")).to_have_text(found)
        await expect(page.locator(".empty")).to_contain_text("Nothing was found for “_”.")
        await sms(app, "A code_word: 909090")
        await expect(page.locator(".value")).to_have_text(["909090"])


async def test_older_messages_follow_page_by_page_and_none_is_left_out(connect: Connect, person: BrowserPerson) -> None:
    async with connect() as app, console(app) as shown:
        for n in range(2 * EVENTS_OF_A_PAGE):
            await sms(app, f"Your code is {100_000 + n}", minutes=n / 10)
        page = await shown.page(person)
        seen: list[str] = []
        while True:
            seen += await page.locator(".value").all_inner_texts()
            older = page.get_by_role("link", name="Older")
            if not await older.count():
                break
            await older.click()
            await page.wait_for_load_state()
        expected = [str(100_000 + n) for n in range(2 * EVENTS_OF_A_PAGE)]
        assert seen[: len(expected)] == expected, "the newest first, by when they were sent"
        assert len(seen) == len(set(seen))
        await page.get_by_role("link", name="Newest", exact=True).click()
        await expect(page.locator(".value").first).to_have_text("100000")


async def test_a_page_begins_after_the_last_message_of_the_one_before(connect: Connect, person: BrowserPerson) -> None:
    """However exact the times are: those of webhooks are parts of a microsecond."""
    async with connect() as app, console(app) as shown:
        for n in range(EVENTS_OF_A_PAGE + 5):
            await sms(app, f"Your code is {100_000 + n}")
        moments = (
            "UPDATE events SET reached_at = 1700000000.0 + (4 * seq + 1) / 4194304.0 WHERE text LIKE 'Your code is 10%'"
        )
        await app.services.store.everything.write(lambda connection: connection.execute(moments))
        page = await shown.page(person)
        seen = await page.locator(".value").all_inner_texts()
        await page.get_by_role("link", name="Older").click()
        seen += await page.locator(".value").all_inner_texts()
        assert len(seen) == len(set(seen))


async def test_the_person_sees_what_an_agent_has_leased(connect: Connect, person: BrowserPerson) -> None:
    async with connect() as app, console(app) as shown:
        number = await sms(app, "Your code is 111111")
        now = app.services.clock.time()
        await app.services.store.everything.write(
            number_leases.take, [number], "agent ada", now=now, remote_now=None, seconds=600, seq=0
        )
        await sms(app, "Your code is 222222")
        assert "222222" not in json.dumps(await app.ok("list_events"))
        page = await shown.page(person)
        await expect(page.locator(".value").first).to_have_text("222222")


async def test_other_events_are_shown_where_they_are_asked_for(connect: Connect, person: BrowserPerson) -> None:
    async with connect() as app, console(app) as shown:
        await app.tell("domain.expires_soon", domain="example.com", expires_at="2030-01-01T00:00:00Z")
        page = await shown.page(person)
        await expect(page.get_by_text("domain.expires_soon")).to_have_count(0)
        await page.get_by_role("link", name="All events").click()
        event = page.get_by_role("listitem").filter(has_text="domain.expires_soon")
        await expect(event).to_contain_text("example.com")
        await expect(page.locator(".value")).not_to_have_count(0)


async def test_on_a_phone_nothing_scrolls_sideways(connect: Connect, person: BrowserPerson) -> None:
    async with connect() as app, console(app) as shown:
        await sms(app, "W" * 300 + " https://evil.example/login?token=" + "a1B2" * 60)
        page = await shown.page(person, **PHONE)
        assert await page.evaluate("document.documentElement.scrollWidth") == 390
