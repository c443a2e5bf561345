"""What a purchase costs of the account's hundred requests a minute."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from harness import Connected, approver, charges, connected
from moving_clock import MovingClock
from purchases import BUY_NUMBER, PURCHASES, Purchase

from piv_mcp.api.readings import RECENT_SECONDS
from piv_mcp.sandbox import Sandbox

pytestmark = pytest.mark.usefixtures("instant_retries")

REQUESTS = {
    "purchase_number": 5,
    "renew_number": 5,
    "restore_numbers": 5,
    "send_sms": 6,
    "start_google_verification": 5,
    "purchase_proxies": 5,
    "renew_proxy_order": 4,
    "restore_proxy_order": 4,
    "register_domain": 5,
    "renew_domain": 5,
    "create_white": 5,
}
"""Of each purchase that is approved within seconds, its own write among them."""


def accounts(shop: Connected) -> int:
    return sum(path == "/account" for _, path, _, _ in shop.sent)


@pytest.mark.parametrize("purchase", PURCHASES, ids=str)
async def test_a_purchase_approved_at_once_reads_nothing_twice(
    sandbox: Sandbox, data_dir: Path, purchase: Purchase
) -> None:
    async with connected(sandbox, data_dir, approver()) as shop:
        assert (await shop.receipt(purchase))["status"] == "charged"
        assert len(shop.sent) == REQUESTS[purchase.tool]
        assert accounts(shop) == 2, "one balance before and one after"


def test_all_purchases_together_take_at_most_56_requests() -> None:
    assert sum(REQUESTS.values()) <= 56


async def test_what_was_read_for_the_question_is_read_again_when_it_is_old(sandbox: Sandbox, data_dir: Path) -> None:
    clock = MovingClock()
    person = approver()
    person.before_answering = lambda: clock.advance(RECENT_SECONDS)
    async with connected(sandbox, data_dir, person, clock=clock) as shop:
        await shop.receipt(BUY_NUMBER)
        reads = [path for method, path, _, _ in shop.sent if method == "GET"]
        assert reads.count("/numbers/countries") == 2
        assert reads.count("/account") == 3
        written = [method for method, *_ in shop.sent].index("POST")
        assert [path for _, path, _, _ in shop.sent[:written]][-3:] == ["/numbers/countries", "/numbers", "/account"]


async def test_purchases_that_run_together_share_what_they_read(sandbox: Sandbox, data_dir: Path) -> None:
    settings: dict[str, Any] = {"spend_mode": "budget", "auto_approve_max": 10, "daily_budget": 100}
    async with connected(sandbox, data_dir, None, **settings) as shop:
        names = [f"Line {index}" for index in range(8)]
        shop.forget_requests()
        await asyncio.gather(
            *(
                shop.client.call_tool(BUY_NUMBER.tool, {**BUY_NUMBER.arguments(sandbox), "custom_name": name})
                for name in names
            )
        )
        assert len(charges(sandbox, BUY_NUMBER)) == len(names)
        assert len(shop.sent) < 8 * REQUESTS["purchase_number"]
        entries = await shop.entries()
        assert [entry.charged for entry in entries] == ["4.00"] * len(names)
