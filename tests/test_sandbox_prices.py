"""What the sandbox charges, and how exact its amounts are."""

from decimal import Decimal

import pytest
from sandbox_api import BUY_DOMAIN, BUY_NUMBER, NEW_WHITE, SEND, VERIFY, Api, Json, filled, ids

from piv_mcp.sandbox import Sandbox
from piv_mcp.sandbox.segments import segments
from piv_mcp.sandbox.wire import dumps

pytest_plugins = ["sandbox_fixtures"]

PRICES = [
    ("4.00", "/numbers/purchase", BUY_NUMBER),
    ("9.00", "/numbers/purchase", {**BUY_NUMBER, "country_code": "GB", "duration_months": 3}),
    ("8.00", "/numbers/{number}/renew", {"duration_months": 2}),
    ("6.00", "/numbers/restore", {"piv_num_ids": ["{expired_number}", "{expired_number}"]}),
    ("0.25", "/numbers/{number}/sms/send", SEND),
    ("0.50", "/numbers/{number}/sms/send", {**SEND, "message_body": "x" * 161}),
    ("1.00", "/numbers/{number}/verify", VERIFY),
    ("5.00", "/proxy/purchase", {"server_id": "{server}", "quantity": 5, "months": 2}),
    ("3.00", "/proxy/orders/{order}/renew", {"months": 2}),
    ("0.90", "/proxy/orders/{expired_order}/restore", None),
    ("35.00", "/domains", {**BUY_DOMAIN, "domain": "new.org", "period": 3}),
    ("25.00", "/domains/{domain}/renew", {"period": 2}),
    ("10.00", "/whites", NEW_WHITE),
    ("19.00", "/whites", {**NEW_WHITE, "quality": "premium", "languages": ["de", "en", "fr"]}),
    ("17.50", "/whites", {**NEW_WHITE, "blog_count": 8}),
]


@pytest.mark.parametrize(("price", "path", "body"), PRICES)
async def test_price_is_charged_once(price: str, path: str, body: Json | None, piv_day: Sandbox, api: Api) -> None:
    names = ids(piv_day)
    await api.ok("POST", filled(path, names), filled(body, names))
    assert [charge.amount for charge in piv_day.charges] == [Decimal(price)]
    assert piv_day.balance == Decimal("150.50") - Decimal(price)


async def test_money_is_exact_on_the_wire(piv_day: Sandbox, api: Api) -> None:
    piv_day.balance = Decimal("0.30")
    assert '"balance": 0.30,' in (await api.client.get("/account")).text
    assert dumps({"sum": Decimal("0.1") + Decimal("0.2"), "tiny": Decimal("1E-7")}) == '{"sum": 0.3, "tiny": 0.0000001}'


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("x" * 160, 1),
        ("x" * 161, 2),
        ("x" * 306, 2),
        ("x" * 307, 3),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("x" * 152 + "€" + "x" * 152, 3),
        ("ж" * 70, 1),
        ("ж" * 71, 2),
        ("😀" * 35, 1),
        ("😀" * 36, 2),
        ("😀" * 67, 3),
    ],
)
def test_text_is_cut_into_segments(text: str, count: int) -> None:
    assert segments(text) == count
