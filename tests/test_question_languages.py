"""The question in the person's language, wherever it is put; what a model reads stays English."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from harness import DECLINE, ERAS, Era, Person, ask, connected, decliner
from mcp.client import ClientRequestContext
from mcp.types import ElicitRequestFormParams, ElicitRequestParams, ElicitResult, InputRequiredResult
from purchases import BUY_NUMBER

from piv_mcp.sandbox import Sandbox
from piv_mcp.spending.approval.channels import message as question_text
from piv_mcp.spending.messages import Message, message, named
from piv_mcp.spending.quote import Argument, Price, Quote
from piv_mcp.text.language import PLAIN, Code, Language, language, preferred

pytestmark = pytest.mark.usefixtures("instant_retries")

RENT: dict[str, Any] = {"country_code": "SE", "duration_months": 5, "auto_renew": True}
ASKED: dict[Code, tuple[str, str, str]] = {
    "ru": (
        "Цена: 20,00 USD (точная цена)\n"
        "Затем: каждый месяц: 4,00 USD; списывается за 24 часа до окончания срока, пока автопродление не выключено\n"
        "Действие: Арендовать номер (SE) на 5 месяцев, автопродление включено\n"
        'Код страны: "SE"\n'
        "Срок, месяцев: 5\n"
        "Автопродление: да\n"
        "Баланс сейчас: 100,00 USD\n"
        "Баланс после: 80,00 USD\n\n"
        "Одобрить?",
        "Одобрить",
        "Поставьте галочку, чтобы одобрить. Всё остальное — отказ.",
    ),
    "zh-Hans": (
        "价格：20.00 USD（准确价格）\n"
        "之后：每月 4.00 USD，到期前 24 小时扣费，直到关闭自动续期\n"
        "操作：租用 SE 号码 5 个月，自动续期开启\n"
        '国家/地区代码："SE"\n'
        "租用期（月）：5\n"
        "自动续期：是\n"
        "当前余额：100.00 USD\n"
        "之后余额：80.00 USD\n\n"
        "批准吗？",
        "批准",
        "勾选表示批准，否则视为拒绝。",
    ),
    "en": (
        "Price: 20.00 USD (exact)\n"
        "Then: 4.00 USD every month, charged 24 hours before expiry, until auto-renewal is turned off\n"
        "Action: Rent a number in SE for 5 months, auto-renewal on\n"
        'country_code: "SE"\n'
        "duration_months: 5\n"
        "auto_renew: yes\n"
        "Balance now: 100.00 USD\n"
        "Balance after: 80.00 USD\n\n"
        "Approve this?",
        "Approve",
        "Tick to approve. Anything else declines.",
    ),
}
"""The question, the box to tick, and the hint on it."""

languages = pytest.mark.parametrize("code", ASKED)


class Reader(Person):
    """Somebody who reads the whole dialogue, and declines."""

    def __init__(self) -> None:
        super().__init__(DECLINE)
        self.forms: list[tuple[str, str, str]] = []

    async def __call__(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        self.forms.append(shown(params))
        return await super().__call__(context, params)


def shown(params: object) -> tuple[str, str, str]:
    """What a client shows of a dialogue."""
    assert isinstance(params, ElicitRequestFormParams)
    (box,) = params.requested_schema["properties"].values()
    return params.message, box["title"], box["description"]


@languages
@pytest.mark.parametrize("era", ERAS)
async def test_the_client_asks_in_the_chosen_language_and_the_model_is_answered_in_english(
    sandbox: Sandbox, data_dir: Path, era: Era, code: Code
) -> None:
    person = Reader()
    sandbox.balance = Decimal(100)
    async with connected(sandbox, data_dir, person, era, language=code) as shop:
        receipt = await shop.ok("purchase_number", **RENT)
    assert person.forms == [ASKED[code]]
    assert receipt["action"] == "Rent a number in SE for 5 months, auto-renewal on"
    assert receipt["price"] == "20.00 USD (exact)"
    assert receipt["later"].startswith("4.00 USD every month")
    assert receipt["decision"] == "declined by the person, in the client"


async def test_without_a_choice_the_client_asks_in_english(sandbox: Sandbox, data_dir: Path) -> None:
    person = Reader()
    sandbox.balance = Decimal(100)
    async with connected(sandbox, data_dir, person) as shop:
        await shop.ok("purchase_number", **RENT)
    assert person.forms == [ASKED["en"]]


async def test_a_question_that_is_put_again_has_the_same_words(sandbox: Sandbox, data_dir: Path) -> None:
    async with connected(sandbox, data_dir, decliner(), "auto", language="ru", confirm_channel="elicit") as shop:
        texts: list[object] = []
        for _ in range(2):
            asked = await ask(shop, BUY_NUMBER)
            assert isinstance(asked, InputRequiredResult)
            (request,) = (asked.input_requests or {}).values()
            texts.append(request.params)
            shop.advance(5)
    assert shown(texts[0]) == shown(texts[1])


# values


@pytest.mark.parametrize(
    ("months", "russian", "chinese", "english"),
    [
        (1, "1 месяц", "1 个月", "1 month"),
        (2, "2 месяца", "2 个月", "2 months"),
        (5, "5 месяцев", "5 个月", "5 months"),
        (11, "11 месяцев", "11 个月", "11 months"),
        (21, "21 месяц", "21 个月", "21 months"),
        (22, "22 месяца", "22 个月", "22 months"),
    ],
)
def test_months_agree_with_their_number(months: int, russian: str, chinese: str, english: str) -> None:
    renewal = message("renew_number", number=named("+46700000001", None), months=months)
    assert renewal.in_language(language("ru")) == f"Продлить +46700000001 на {russian}"
    assert renewal.in_language(language("zh-Hans")) == f"将 +46700000001 续期 {chinese}"
    for plain in (renewal.text, renewal.in_language(language("en"))):
        assert plain == f"Renew +46700000001 for {english}"


@pytest.mark.parametrize(
    ("read_in", "day", "none"),
    [
        (PLAIN, "2026-12-30", "its expiry date"),
        (language("en"), "Dec 30, 2026", "its expiry date"),
        (language("ru"), "30 дек. 2026\N{NARROW NO-BREAK SPACE}г.", "в день окончания срока"),
        (language("zh-Hans"), "2026年12月30日", "其到期日"),
    ],
    ids=["plain", "en", "ru", "zh-Hans"],
)
def test_dates_are_written_as_the_language_does(read_in: Language, day: str, none: str) -> None:
    for expires, words in (("2026-12-30", day), (None, none)):
        off = message("domain_auto_renewal_off", domain="example.com", expires=expires)
        assert words in off.in_language(read_in)


@pytest.mark.parametrize(
    ("code", "amounts"),
    [
        ("en", ["4.00 USD", "1,234.50 USD", "0.005 USD"]),
        ("ru", ["4,00 USD", "1\N{NO-BREAK SPACE}234,50 USD", "0,005 USD"]),
        ("zh-Hans", ["4.00 USD", "1,234.50 USD", "0.005 USD"]),
    ],
)
def test_prices_are_written_as_the_language_does_and_lose_no_part_of_a_cent(code: Code, amounts: list[str]) -> None:
    written = [Price(amount=Decimal(amount)).in_language(language(code)) for amount in ("4", "1234.5", "0.005")]
    assert [words.split(" (")[0].split("（")[0] for words in written] == amounts


def test_an_action_in_a_note_is_told_in_the_language_of_the_note() -> None:
    restore = message("restore_numbers", numbers=[named("pn_1", "a\nb")])
    note = message("unknown_before", when="10:05 UTC", entry="sp_1", action=restore.model_dump())
    assert r': Restore pn_1 ("a\nb"). Approve' in note.text
    assert r": Восстановить pn_1 (\"a\nb\"). Одобряйте".replace('\\"', '"') in note.in_language(language("ru"))


def test_journals_from_before_messages_are_read_as_they_were_written() -> None:
    note = {"id": "unknown_before", "values": {"when": "10:05 UTC", "entry": "sp_1", "action": "Renew {x}"}}
    headline = "Rent {a} number"
    quote = Quote.model_validate({"action": headline, "price": {"amount": "4"}, "notes": [note]})
    assert quote.action == headline
    assert Message.model_validate(headline).in_language(language("ru")) == headline
    assert ": Renew {x}. " in dict(quote.lines(language("ru")))["Примечание"]


@languages
def test_texts_of_others_stay_what_they_are(code: Code) -> None:
    """Braces and markup in a name are no words of ours, in any language."""
    name = "{months} \N{RIGHT-TO-LEFT OVERRIDE}{0} %(count)s"
    quote = Quote(
        headline=message("create_white", name=name, tier="{tier}"),
        price=Price(amount=Decimal(1)),
        arguments=[Argument(name="name", value=name)],
        agent=name,
    )
    text = question_text(quote, language(code))
    assert text.count("{months} ") == 3
    assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in text


# which language


@pytest.mark.parametrize(
    ("accepted", "code"),
    [
        ("", "en"),
        ("de-DE,de;q=0.9", "en"),
        ("ru", "ru"),
        ("ru-RU,ru;q=0.9,en-US;q=0.8,en;q=0.7", "ru"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh-Hans"),
        ("de,en;q=0.5,ru;q=0.8", "ru"),
        ("en-GB,ru;q=0.9", "en"),
        ("ru;q=0, zh;q=0.1", "zh-Hans"),
        ("ru;q=oops,en;q=0.1", "en"),
        ("*", "en"),
        (",;q=,;;,ZH-hans ; Q=1", "zh-Hans"),
        ("ru" * 5000, "en"),
    ],
)
def test_of_our_languages_the_one_counts_that_the_browser_likes_best(accepted: str, code: Code) -> None:
    assert preferred(accepted).code == code
    for chosen in ASKED:
        assert preferred(accepted, chosen).code == chosen


@pytest.mark.parametrize(
    ("code", "moment", "age", "span"),
    [
        ("en", "Dec 30, 2026 09:05 UTC", "3 hours ago", "5 minutes"),
        ("ru", "30 дек. 2026\N{NARROW NO-BREAK SPACE}г. 09:05 UTC", "3 часа назад", "5 минут"),
        ("zh-Hans", "2026年12月30日 09:05 UTC", "3小时前", "5分钟"),
    ],
)
def test_times_are_written_as_the_language_does(code: Code, moment: str, age: str, span: str) -> None:
    words = language(code)
    assert words.moment(datetime(2026, 12, 30, 9, 5, tzinfo=UTC)) == moment
    assert (words.age(3 * 3600), words.span(300)) == (age, span)
