"""Actions that mean the same are one action, however their arguments are written."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from examples import domain
from harness import ERAS, Connected, Era, approver, connected, decliner, text_of
from lost_answers import look, lose
from purchases import BUY_NUMBER, BUY_PROXIES, CREATE_WHITE, PURCHASES, REGISTER, SEND_SMS, Purchase

from piv_mcp.sandbox import Failure, Sandbox
from piv_mcp.spending import actions
from piv_mcp.spending.actions.base import Action

pytestmark = pytest.mark.usefixtures("instant_retries")

SERVERS = ["ns1.example.com", "ns2.example.com"]
OWN_SERVERS: dict[str, Any] = {"cloudflare": False, "nameservers": SERVERS}

SAME: list[Any] = [
    pytest.param(CREATE_WHITE, {}, {"keywords": []}, id="empty list"),
    pytest.param(CREATE_WHITE, {}, {"languages": ["de"]}, id="the only language"),
    pytest.param(CREATE_WHITE, {}, {"quality": "standard"}, id="default"),
    pytest.param(CREATE_WHITE, {"keywords": ["a", "b"]}, {"keywords": ["b", "a"]}, id="keywords in another order"),
    pytest.param(CREATE_WHITE, {"name": "A site"}, {"name": " A site "}, id="white space around a name"),
    pytest.param(CREATE_WHITE, {"email": "me@a.com"}, {"email": "Me@A.com"}, id="case of an address"),
    pytest.param(CREATE_WHITE, {"niche": "Caf\u00e9"}, {"niche": "Cafe\u0301"}, id="composed characters"),
    pytest.param(SEND_SMS, {"message_body": "Hello"}, {"message_body": "Hello "}, id="trailing space of a message"),
    pytest.param(SEND_SMS, {"message_body": "a\nb"}, {"message_body": "a\r\nb\n"}, id="line ends"),
    pytest.param(BUY_NUMBER, {"custom_name": "Main"}, {"custom_name": " Main"}, id="space before a name"),
    pytest.param(BUY_NUMBER, {}, {"country_code": "se"}, id="case of a country"),
    pytest.param(
        REGISTER,
        OWN_SERVERS,
        {**OWN_SERVERS, "nameservers": SERVERS[::-1]},
        id="nameservers in another order",
    ),
    pytest.param(REGISTER, {}, {"domain": "FREE-name.com"}, id="case of a domain"),
    pytest.param(
        REGISTER,
        {
            "dns_records": [
                {"type": "A", "name": "@", "content": "1.2.3.4"},
                {"type": "TXT", "name": "@", "content": "a"},
            ]
        },
        {
            "dns_records": [
                {"type": "TXT", "name": "@", "content": "a"},
                {"type": "A", "name": "@", "content": "1.2.3.4"},
            ]
        },
        id="records in another order",
    ),
]


@pytest.mark.parametrize(("purchase", "one", "other"), SAME)
@pytest.mark.parametrize("era", ERAS)
async def test_while_an_outcome_is_unknown_the_same_in_other_words_sends_nothing(
    sandbox: Sandbox, data_dir: Path, purchase: Purchase, one: dict[str, Any], other: dict[str, Any], era: Era
) -> None:
    person = approver()
    async with connected(sandbox, data_dir, person, era) as shop:
        sandbox.fail_next(Failure(kind="drop_before", method="POST", path=purchase.path))
        assert "OUTCOME_UNKNOWN" in text_of(await shop.buy(purchase, **one))
        sandbox.fail_next(Failure(kind="status", method="GET", times=None, status=503))  # so that it stays unknown
        assert "OUTCOME_UNKNOWN" in text_of(await shop.buy(purchase, **other))
        assert len(shop.writes) == 1
        assert len(person.asked) == 1


DIFFERENT: list[Any] = [
    pytest.param(SEND_SMS, {"message_body": "Hello"}, {"message_body": "hello"}, id="case of a message"),
    pytest.param(SEND_SMS, {"message_body": "a b"}, {"message_body": "a  b"}, id="white space in a message"),
    pytest.param(CREATE_WHITE, {"languages": ["de", "en"]}, {"languages": ["en", "de"]}, id="the first language"),
    pytest.param(CREATE_WHITE, {}, {"quality": "premium"}, id="quality"),
    pytest.param(BUY_PROXIES, {}, {"quantity": 3}, id="quantity"),
]


@pytest.mark.parametrize(("purchase", "one", "other"), DIFFERENT)
async def test_what_means_something_else_is_another_action(
    shop: Connected, purchase: Purchase, one: dict[str, Any], other: dict[str, Any]
) -> None:
    await lose(shop, purchase, "drop_before", **one)
    shop.person.answers.clear()
    await shop.buy(purchase, **other)
    assert len(shop.person.asked) == 2
    assert len(await shop.entries()) == 2


# --- another action on the same target


ELSEWHERE: dict[str, dict[str, Any]] = {
    "purchase_number": {"custom_name": "Another"},
    "renew_number": {"duration_months": 5},
    "send_sms": {"message_body": "Something else"},
    "start_google_verification": {"gv_url": "https://gv.google.com/other"},
    "purchase_proxies": {"quantity": 5},
    "renew_proxy_order": {"months": 2},
    "register_domain": {"period": 2},
    "renew_domain": {"period": 2},
    "create_white": {"niche": "Cooking"},
}


@pytest.mark.parametrize("purchase", [purchase for purchase in PURCHASES if purchase.tool in ELSEWHERE], ids=str)
async def test_an_unknown_action_on_the_same_target_is_named_in_the_question(
    shop: Connected, purchase: Purchase
) -> None:
    lost = await lose(shop, purchase, "drop_before")
    await shop.buy(purchase, **ELSEWHERE[purchase.tool])
    question = shop.person.asked[-1]
    assert "An action of this kind on the same target was sent at " in question
    assert lost.id in question


async def test_the_budget_does_not_decide_beside_an_unknown_action_on_the_same_target(
    sandbox: Sandbox, data_dir: Path
) -> None:
    person = decliner()
    settings: dict[str, Any] = {"spend_mode": "budget", "auto_approve_max": 10, "daily_budget": 100}
    async with connected(sandbox, data_dir, person, **settings) as shop:
        sandbox.fail_next(Failure(kind="drop_before", method="POST", path=BUY_NUMBER.path))
        assert "OUTCOME_UNKNOWN" in text_of(await shop.buy(BUY_NUMBER))
        assert person.asked == []
        assert (await shop.receipt(BUY_NUMBER, custom_name="Other"))["status"] == "declined"
        assert len(shop.writes) == 1
        assert (await shop.receipt(BUY_NUMBER, country_code="GB"))["status"] == "charged", "another target"


async def test_an_equal_action_is_mentioned_in_the_question_for_an_hour(shop: Connected) -> None:
    for seconds, mentioned in ((0, False), (3590, True), (3610, False)):
        shop.advance(seconds)
        assert (await shop.receipt(SEND_SMS))["status"] == "charged"
        assert ("The same action was carried out at " in shop.person.asked[-1]) is mentioned


# --- the mechanism


def each(kind: str) -> Callable[..., Action]:
    return actions.ACTIONS[kind].model_validate


async def test_every_action_names_its_target_and_its_arguments(sandbox: Sandbox) -> None:
    assert set(ELSEWHERE) | {"restore_numbers", "restore_proxy_order"} == {purchase.tool for purchase in PURCHASES}
    action = each("renew_domain")({"domain_id": domain(sandbox), "request": {"period": 2}})
    assert action.targets == {domain(sandbox)}
    assert action.arguments == {"domain_id": domain(sandbox), "period": 2}
    assert after_a_journey(action) == action.fingerprint


def after_a_journey(action: Action) -> str:
    """The fingerprint after a journey through the journal."""
    return actions.load(action.kind, action.model_dump_json()).fingerprint


async def test_what_the_journal_holds_keeps_its_fingerprint(shop: Connected) -> None:
    await lose(shop, CREATE_WHITE, "drop_before", keywords=["b", "a"])
    entry = await shop.only_entry()
    assert actions.load(entry.kind, entry.arguments).fingerprint == entry.fingerprint
    assert await look(shop) == ["unknown"]
