"""The approval page in the languages of people, in a real browser."""

import sys

import pytest
from approvals import BUY, BrowserPerson, answer_of, asking, card
from harness import Connect
from playwright.async_api import Page, expect

from piv_mcp.api.readings import RECENT_SECONDS
from piv_mcp.text.language import Code

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(sys.platform == "win32", reason="the browser of the tests is a shell script"),
]

WORDS: dict[Code, dict[str, str]] = {
    "ru": {
        "title": "Одобрить 12,00 USD и регулярное списание? · piv-mcp",
        "heading": "Ассистент просит вашего одобрения",
        "price": "12,00 USD",
        "certainty": "Точная цена",
        "action": "Арендовать номер (SE) на 3 месяца, автопродление включено",
        "recurring": "Затем каждый месяц: 4,00 USD; списывается за 24 часа до окончания срока",
        "details": "Срок, месяцев",
        "approve": "Одобрить 12,00 USD и регулярное списание",
        "decline": "Отклонить",
        "timer": "Осталось",
        "closing": "Без вашего одобрения ничего не произойдёт.",
        "done": "Одобрено и выполнено",
        "charged": "Списано 12,00 USD.",
        "two": "Ассистент просит одобрить 2 действия, каждое отдельно",
        "declined": "Отклонено",
        "gone": "piv-mcp больше не обслуживает эту страницу",
    },
    "zh-Hans": {
        "title": "批准 12.00 USD 和定期扣费？ · piv-mcp",
        "heading": "您的助手请求您批准",
        "price": "12.00 USD",
        "certainty": "准确价格",
        "action": "租用 SE 号码 3 个月，自动续期开启",
        "recurring": "之后 每月 4.00 USD，到期前 24 小时扣费",
        "details": "租用期（月）",
        "approve": "批准 12.00 USD 和定期扣费",
        "decline": "拒绝",
        "timer": "分钟后过期",
        "closing": "未经您批准，什么都不会发生。",
        "done": "已批准并完成",
        "charged": "已扣费 12.00 USD。",
        "two": "您的助手请求您批准 2 个操作，逐个决定",
        "declined": "已拒绝",
        "gone": "piv-mcp 已不再提供此页面",
    },
}

LIKED: dict[Code, str] = {"ru": "ru-RU", "zh-Hans": "zh-CN"}
"""What a browser of such a person likes to read."""

RENT = {"duration_months": 3, "auto_renew": True}
languages = pytest.mark.parametrize("code", WORDS)


async def no_english(page: Page, *names: str) -> None:
    """What the page says holds no English words but these names."""
    text = await page.locator("body").inner_text()
    for name in (*names, "piv-mcp", "USD", "SE"):
        text = text.replace(name, "")
    assert not [word for word in text.split() if word.isascii() and word.isalpha() and len(word) > 2]


@languages
async def test_the_page_speaks_the_language_that_the_browser_likes(
    connect: Connect, person: BrowserPerson, code: Code
) -> None:
    words = WORDS[code]
    async with connect() as app, asking(app, **RENT) as call:
        page = await person.approval(locale=LIKED[code])
        await expect(page).to_have_title(words["title"])
        await expect(page.locator("html")).to_have_attribute("lang", code)
        await expect(page.locator("h1")).to_have_text(words["heading"])
        for part in ("price", "certainty", "action"):
            await expect(page.locator(f".{part}")).to_have_text(words[part])
        await expect(page.locator(".recurring")).to_contain_text(words["recurring"])
        await expect(page.locator("dl")).to_contain_text(words["details"])
        await expect(page.get_by_role("timer")).to_contain_text(words["timer"])
        await expect(page.locator("#closing")).to_have_text(words["closing"])
        await expect(page.get_by_role("button", name=words["decline"])).to_be_enabled()
        (entry,) = await app.entries()
        await no_english(page, entry.id)
        await page.get_by_role("button", name=words["approve"]).click()
        answer = await answer_of(call)
        assert answer["action"] == "Rent a number in SE for 3 months, auto-renewal on"
        assert answer["decision"] == "approved by the person, on the approval page"
        status = page.get_by_role("status")
        await expect(status).to_contain_text(words["done"], timeout=20_000)
        await expect(status).to_contain_text(words["charged"])


@languages
async def test_a_chosen_language_goes_before_the_browser_s_and_also_when_the_page_changes_and_ends(
    connect: Connect, person: BrowserPerson, code: Code
) -> None:
    words = WORDS[code]
    async with connect(confirm_wait=0, language=code) as app:
        await app.ok("purchase_number", **BUY)
        page = await person.approval(locale="en-GB")
        await app.ok("purchase_number", **{**BUY, **RENT})
        await expect(page.locator("h1")).to_have_text(words["two"], timeout=20_000)
        await card(page, 1).get_by_role("button", name=words["decline"]).click()
        await expect(card(page, 1).get_by_role("status")).to_contain_text(words["declined"], timeout=20_000)
    await expect(page.locator("footer")).to_contain_text(words["gone"], timeout=20_000)


async def test_why_an_approved_action_was_not_sent_is_told_in_the_person_s_language(
    connect: Connect, person: BrowserPerson
) -> None:
    async with connect(language="ru") as app, asking(app) as call:
        page = await person.approval()
        await expect(page.get_by_role("button", name="Одобрить")).to_be_enabled()
        app.sandbox.state.reprice(lambda price: price + 1)
        app.advance(RECENT_SECONDS)
        await page.get_by_role("button", name="Одобрить").click()
        assert (await answer_of(call))["status"] == "price_changed"
        await expect(page.get_by_role("status")).to_contain_text(
            "Ничего не списано: цена теперь: 5,00 USD (точная цена)."
        )
