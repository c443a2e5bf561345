"""What a person is asked: the price as far as it is known, and never a false "exact"."""

import json
import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest
from examples import domain, number, record, white
from harness import DECLINE, ERAS, Era, approver, charges, connected, decliner, text_of
from hypothesis import example, given, settings
from hypothesis import strategies as st
from purchases import BUY_NUMBER, CREATE_WHITE, PURCHASES, REGISTER, RESTORE, SEND_SMS, Purchase, in_turn

from piv_mcp.sandbox import Sandbox
from piv_mcp.sandbox.segments import segments
from piv_mcp.spending.actions.sms_segments import sms_segments
from piv_mcp.spending.approval.channels import message
from piv_mcp.spending.messages import Message, dollars
from piv_mcp.spending.quote import Argument, Price, Quote

pytestmark = pytest.mark.usefixtures("instant_retries")

GSM = "@£$¥èéùìòÇ\nØøÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCXYZÄÖÑÜ§¿abcxyzäöñüà"
EXTENSION = "^{}\\[~]|€"
OTHER = "ç`ąщ中😀👍\u0301\u200d"


# --- how many SMS a text becomes


@given(st.text(st.sampled_from(GSM + EXTENSION + OTHER), min_size=1, max_size=400))
@settings(max_examples=300)
@example("a" * 160)
@example("a" * 161)
@example("a" * 152 + "€" + "a" * 7)
@example("a" * 152 + "€" * 4 + "a")
@example("щ" * 69 + "😀")
@example("щ" * 66 + "😀" + "щ" * 67)
@example("€" * 80)
@example("€" * 81)
def test_segments_agree_with_an_independent_reading(text: str) -> None:
    assert sms_segments(text)[0] == segments(text)


@pytest.mark.parametrize(
    ("text", "count", "encoding"),
    [
        ("a" * 160, 1, "GSM-7"),
        ("a" * 161, 2, "GSM-7"),
        ("a" * 306, 2, "GSM-7"),
        ("a" * 307, 3, "GSM-7"),
        ("€" * 80, 1, "GSM-7"),
        ("€" * 81, 2, "GSM-7"),
        ("€" * 152, 2, "GSM-7"),  # 76 to a part of 153: a character is not split
        ("€" * 153, 3, "GSM-7"),
        ("щ" * 70, 1, "UCS-2"),
        ("щ" * 71, 2, "UCS-2"),
        ("😀" * 35, 1, "UCS-2"),
        ("😀" * 36, 2, "UCS-2"),
        ("😀" * 66, 2, "UCS-2"),  # 33 to a part of 67
        ("😀" * 67, 3, "UCS-2"),
        ("a" * 69 + "щ", 1, "UCS-2"),
    ],
)
def test_segments_are_those_of_the_standard(text: str, count: int, encoding: str) -> None:
    assert sms_segments(text) == (count, encoding)


# --- prices


VARIANTS: list[Any] = [
    *(pytest.param(purchase, {}, purchase.quoted, id=str(purchase)) for purchase in PURCHASES),
    pytest.param(BUY_NUMBER, {"country_code": "GB", "duration_months": 12}, "exact", id="number for a year"),
    pytest.param(SEND_SMS, {"message_body": "щ" * 200}, "estimate", id="long SMS"),
    pytest.param(CREATE_WHITE, {"quality": "standard", "languages": ["de"]}, "exact", id="site in one language"),
    pytest.param(CREATE_WHITE, {"tier_key": "v2_tier3", "blog_count": 3}, "exact", id="site with included articles"),
    pytest.param(CREATE_WHITE, {"tier_key": "v2_tier3", "blog_count": 7}, "exact", id="site with more articles"),
    pytest.param(CREATE_WHITE, {"quality": "premium"}, "unknown", id="premium site"),
    pytest.param(CREATE_WHITE, {"languages": ["de", "en", "fr"]}, "unknown", id="site in three languages"),
    pytest.param(CREATE_WHITE, {"language": "de", "languages": ["en"]}, "unknown", id="site in another language"),
    *(
        pytest.param(purchase, {"period": 3}, "estimate", id=f"{purchase} for three years")
        for purchase in PURCHASES
        if purchase.tool.endswith("_domain")
    ),
    *(
        pytest.param(purchase, {"months": 1}, "exact", id=f"{purchase} for a month")
        for purchase in PURCHASES
        if purchase.tool == "purchase_proxies"
    ),
]


@pytest.mark.parametrize(("purchase", "changed", "certainty"), VARIANTS)
async def test_a_quote_is_as_sure_as_it_says(
    sandbox: Sandbox, data_dir: Path, purchase: Purchase, changed: dict[str, Any], certainty: str
) -> None:
    person = approver()
    async with connected(sandbox, data_dir, person) as shop:
        before = sandbox.balance
        receipt = await shop.receipt(purchase, **changed)
        quote = Quote.model_validate_json((await shop.only_entry()).quote)
    charge = sum((charge.amount for charge in charges(sandbox, purchase)), Decimal(0))
    assert charge > 0
    assert Decimal(receipt["charged"]) == charge
    assert quote.price.certainty == certainty
    assert quote.balance == before
    if certainty == "unknown":
        assert quote.price.amount is None
        assert quote.price.reason
        assert quote.price.floor is None or quote.price.floor <= charge
        assert quote.balance_after is None
        assert "Price: unknown" in person.asked[0]
    else:
        assert quote.price.amount == charge
        assert f"Price: {dollars(charge)} ({certainty}" in person.asked[0]
        assert f"Balance now: {dollars(before)}\nBalance after: {dollars(before - charge)}" in person.asked[0]


@given(months=st.integers(1, 30), quantity=st.integers(1, 20))
@settings(max_examples=20)
def test_words_of_money_lose_no_cent(months: int, quantity: int) -> None:
    amount = Decimal("0.005") * months * quantity
    number = dollars(amount).removesuffix(" USD")
    assert Decimal(number) == amount
    assert re.fullmatch(r"\d+\.\d{2,}", number)


@pytest.mark.parametrize(
    ("tool", "floor"), [("restore_numbers", "4.00"), ("restore_proxy_order", "0.90"), ("create_white", "3.00")]
)
async def test_an_unknown_price_says_the_least_that_is_known(
    sandbox: Sandbox, data_dir: Path, tool: str, floor: str
) -> None:
    purchase = next(purchase for purchase in PURCHASES if purchase.tool == tool)
    person = decliner()
    async with connected(sandbox, data_dir, person) as shop:
        changed = {"quality": "premium"} if tool == "create_white" else {}
        await shop.receipt(purchase, **changed)
    assert f"Price: unknown, at least {floor} USD" in person.asked[0]


RECURRING = [
    pytest.param(BUY_NUMBER, "4.00 USD every month", id="number"),
    pytest.param(
        REGISTER,
        "12.50 USD every year",
        id="domain",
    ),
]


@pytest.mark.parametrize(("purchase", "words"), RECURRING)
async def test_what_recurs_is_in_the_question(sandbox: Sandbox, data_dir: Path, purchase: Purchase, words: str) -> None:
    person = decliner()
    async with connected(sandbox, data_dir, person) as shop:
        await shop.receipt(purchase, auto_renew=True)
        await shop.receipt(purchase, auto_renew=False)
    with_renewal, without = person.asked
    assert f"Then: {words}" in with_renewal
    assert "auto-renewal on" in with_renewal
    assert "Then:" not in without
    assert "auto-renewal off" in without


async def test_the_question_shows_the_price_first_and_then_every_argument_in_full(
    sandbox: Sandbox, data_dir: Path
) -> None:
    person = decliner()
    body = "Transfer everything\nto me. " + "x" * 1500
    async with connected(sandbox, data_dir, person) as shop:
        await shop.receipt(SEND_SMS, message_body=body, to_number="+491701234567")
        await shop.receipt(BUY_NUMBER, custom_name="(main) for 1 month at 4.00 USD", duration_months=6)
    sms, rent = (asked.splitlines() for asked in person.asked)
    assert sms[0].startswith("Price: 2.50 USD (estimate")
    assert sms[1].startswith("Action: Send 10 SMS (GSM-7) from +46")
    assert f"message_body: {json.dumps(body)}" in sms
    assert 'to_number: "+491701234567"' in sms
    assert rent[:2] == ["Price: 24.00 USD (exact)", "Action: Rent a number in SE for 6 months, auto-renewal off"]
    assert 'custom_name: "(main) for 1 month at 4.00 USD"' in rent
    assert [line.partition(":")[0] for line in rent[2:6]] == [
        "country_code",
        "duration_months",
        "auto_renew",
        "custom_name",
    ]
    assert rent[6].startswith("Balance now: ")


EVERYTHING: list[Any] = [
    pytest.param(
        "create_white",
        {
            **CREATE_WHITE.arguments(Sandbox()),
            "tier_key": "v2_tier3",
            "blog_count": 5,
            "quality": "premium",
            "languages": ["de", "en"],
            "domain": "a-site.com",
            "email": "me@a-site.com",
            "phone": "+49 30 1234",
            "address": "A street 1",
            "legal_name": "A Ltd",
            "style_hint": "calm",
            "keywords": ["roses", "soil"],
            "banned_words": ["spam"],
            "contacts_mode": "template",
            "contacts_template": "Write to us",
            "facebook": "https://facebook.com/a",
        },
        id="site",
    ),
    pytest.param(
        "register_domain",
        {
            **REGISTER.arguments(Sandbox()),
            "ssl_mode": "strict",
            "dns_records": [{"type": "TXT", "name": "_dmarc", "content": "v=DMARC1; p=none", "ttl": 300}],
        },
        id="domain",
    ),
    pytest.param("start_google_verification", {"piv_num_id": number, "gv_url": f"https://g.co/{'v' * 1900}"}, id="url"),
]


@pytest.mark.parametrize(("tool", "arguments"), EVERYTHING)
async def test_no_argument_is_left_out_of_the_question(
    sandbox: Sandbox, data_dir: Path, tool: str, arguments: dict[str, Any]
) -> None:
    person = decliner()
    arguments = {name: value(sandbox) if callable(value) else value for name, value in arguments.items()}
    async with connected(sandbox, data_dir, person) as shop:
        await shop.ok(tool, **arguments)
    lines = person.asked[0].splitlines()
    assert lines[0].startswith("Price: ")
    for name, value in arguments.items():
        (line,) = [line for line in lines if line.startswith(f"{name}: ")]
        for text in leaves(value):
            assert (json.dumps(text) if isinstance(text, str) else str(text)) in line


def leaves(value: Any) -> list[Any]:
    """The texts and numbers in a value."""
    if isinstance(value, bool):  # in words of their own
        return []
    if isinstance(value, dict):
        return [leaf for item in cast("dict[str, Any]", value).values() for leaf in leaves(item)]
    if isinstance(value, list):
        return [leaf for item in cast("list[Any]", value) for leaf in leaves(item)]
    return [value]


LOOKALIKES: list[Any] = [
    pytest.param("register_domain", {**REGISTER.arguments(Sandbox()), "domain": "p\u0430ypal.com"}, id="domain"),
    pytest.param(
        "create_white", {**CREATE_WHITE.arguments(Sandbox()), "facebook": "https://p\u0430ypal.com/a"}, id="link"
    ),
    pytest.param("create_white", {**CREATE_WHITE.arguments(Sandbox()), "email": "me@p\u0430ypal.com"}, id="address"),
    pytest.param(
        "send_sms",
        {"piv_num_id": number, "to_number": "+14155551234", "message_body": "Log in at https://p\u0430ypal.com/ now"},
        id="text",
    ),
]


@pytest.mark.parametrize(("tool", "arguments"), LOOKALIKES)
async def test_a_look_alike_is_never_shown_alone(
    sandbox: Sandbox, data_dir: Path, tool: str, arguments: dict[str, Any]
) -> None:
    person = decliner()
    arguments = {name: value(sandbox) if callable(value) else value for name, value in arguments.items()}
    async with connected(sandbox, data_dir, person) as shop:
        await shop.ok(tool, **arguments)
    assert "p\u0430ypal.com (xn--pypal-4ve.com)" in person.asked[0]


async def test_cloudflare_is_asked_with_the_nameservers_that_it_replaces(sandbox: Sandbox, data_dir: Path) -> None:
    id_ = domain(sandbox, cloudflare=False)
    person = decliner()
    async with connected(sandbox, data_dir, person) as shop:
        await shop.ok("enable_cloudflare", domain_id=id_)
    for server in sandbox.state.domains[id_].nameservers:
        assert f'"{server}"' in person.asked[0]


OVERWRITES: list[Any] = [
    pytest.param(
        "update_dns_record",
        {"domain_id": domain, "record_id": record, "content": "9.9.9.9"},
        ['content: "9.9.9.9"', "record now: type: "],
        "PUT",
        id="record",
    ),
    pytest.param(
        "configure_white",
        {"white_id": white, "email": "new@example.com"},
        ['email: "new@example.com"'],
        "POST",
        id="site",
    ),
]


@pytest.mark.parametrize(("tool", "arguments", "shown", "method"), OVERWRITES)
@pytest.mark.parametrize("era", ERAS)
async def test_what_overwrites_something_is_asked_with_what_it_overwrites(
    sandbox: Sandbox, data_dir: Path, tool: str, arguments: dict[str, Any], shown: list[str], method: str, era: Era
) -> None:
    person = approver()
    person.answers.append(DECLINE)
    arguments = {name: value(sandbox) if callable(value) else value for name, value in arguments.items()}
    async with connected(sandbox, data_dir, person, era) as shop:
        assert (await shop.ok(tool, **arguments))["status"] == "declined"
        assert shop.writes == []
        for text in shown:
            assert text in person.asked[0]
        assert (await shop.ok(tool, **arguments))["status"] == "done"
        assert [request.method for request in shop.writes] == [method]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\u2028", "\x85", "\v"])
def test_no_name_can_pass_for_another_line_of_the_question(end: str) -> None:
    """A name that was given in the dashboard may hold anything."""
    price = Price(amount=Decimal("4.00"))
    headline = Message(id="text", values={"text": f"Renew Office{end}Price: 0.00 USD (exact)"})
    quote = Quote(headline=headline, price=price, arguments=[Argument(name="name", value=f"a{end}Price: 0.00 USD")])
    prices = [line for line in message(quote).splitlines() if line.startswith("Price")]
    assert prices == ["Price: 4.00 USD (exact)"]


# --- the balance


PRICED = [purchase for purchase in PURCHASES if purchase.tool != "start_google_verification"]


@pytest.mark.parametrize(("purchase", "era"), in_turn(PRICED))
async def test_a_balance_that_is_too_low_is_said_before_anybody_is_asked(
    sandbox: Sandbox, data_dir: Path, purchase: Purchase, era: Era
) -> None:
    sandbox.balance = Decimal("0.10")
    person = approver()
    async with connected(sandbox, data_dir, person, era) as shop:
        refused = text_of(await shop.buy(purchase))
        assert refused.startswith("INSUFFICIENT_BALANCE")
        assert "the balance is 0.10 USD" in refused
        assert "no money moved" in refused
        assert person.asked == []
        assert shop.writes == []
        assert await shop.entries() == []


async def test_a_balance_of_just_the_price_is_enough(sandbox: Sandbox, data_dir: Path) -> None:
    sandbox.balance = Decimal("4.00")
    async with connected(sandbox, data_dir, approver()) as shop:
        assert (await shop.receipt(BUY_NUMBER))["status"] == "charged"
        assert sandbox.balance == 0


async def test_what_cannot_be_bought_is_said_before_anybody_is_asked(sandbox: Sandbox, data_dir: Path) -> None:
    impossible = {
        "register_domain": {"domain": "taken-name.com"},
        "purchase_number": {"country_code": "ZZ"},
        "renew_number": {"piv_num_id": "pn_unknown"},
        "purchase_proxies": {"server_id": "no-such-server"},
    }
    person = approver()
    async with connected(sandbox, data_dir, person) as shop:
        for purchase in PURCHASES:
            if purchase.tool in impossible:
                assert (await shop.buy(purchase, **impossible[purchase.tool])).is_error
        assert person.asked == []
        assert shop.writes == []
        assert await shop.entries() == []


def test_a_quote_reads_the_same_in_every_channel_and_holds_no_clock() -> None:
    """Also one that a journal of 0.1.0 holds, whose messages were texts."""
    quote = Quote.model_validate(
        {
            "action": "Buy",
            "price": {"amount": "4", "recurring": "4.00 USD every month"},
            "balance": "10",
            "notes": ["The same action was carried out at 12:00 UTC"],
        }
    )
    again = Quote.model_validate_json(quote.model_dump_json())
    assert message(quote) == message(again)
    assert quote.lines() == [
        ("Price", "4.00 USD (exact)"),
        ("Then", "4.00 USD every month"),
        ("Action", "Buy"),
        ("Balance now", "10.00 USD"),
        ("Balance after", "6.00 USD"),
        ("Note", "The same action was carried out at 12:00 UTC"),
    ]


async def test_an_estimate_above_the_balance_is_asked_and_said(sandbox: Sandbox, data_dir: Path) -> None:
    """How long texts are charged is not documented: piv.day decides whether the balance is enough."""
    sandbox.balance = Decimal("0.30")
    person = approver()
    async with connected(sandbox, data_dir, person) as shop:
        await shop.buy(SEND_SMS, message_body="a" * 161)
        assert "Balance after: -0.20 USD (not enough, if the estimate is right)" in person.asked[0]
        assert len(shop.writes) == 1


# --- what is not in the price list


async def test_a_number_of_a_country_that_is_not_for_sale_can_still_send_and_renew_itself(
    sandbox: Sandbox, data_dir: Path
) -> None:
    own = number(sandbox)
    countries, code = sandbox.state.countries, sandbox.state.numbers[own].country_code
    countries[code] = replace(countries[code], for_sale=False)
    person = approver()
    async with connected(sandbox, data_dir, person) as shop:
        await shop.buy(SEND_SMS)
        assert "the country has no listed SMS price" in person.asked[0]
        await shop.call("set_number_auto_renewal", piv_num_id=own, auto_renew=True)
        assert "an unlisted price every month" in person.asked[1]
        assert len(shop.writes) == 2


async def test_a_number_that_is_not_on_the_account_is_named_and_left_out_of_a_restore(
    sandbox: Sandbox, data_dir: Path
) -> None:
    person = approver()
    unknown = "abc12-defgh-ijklm-nopqr"
    async with connected(sandbox, data_dir, person) as shop:
        both = [unknown, *RESTORE.arguments(sandbox)["piv_num_ids"]]
        assert (await shop.receipt(RESTORE, piv_num_ids=both))["status"] == "charged"
        assert f"not on the account, so piv.day will skip them: {unknown}" in person.asked[0]
        (request,) = shop.writes
        assert request.body == {"piv_num_ids": sorted(both)}
        assert "NUMBER_NOT_FOUND" in text_of(await shop.buy(RESTORE, piv_num_ids=[unknown]))
        assert len(shop.writes) == 1
