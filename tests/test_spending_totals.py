"""What list_spending and its resource tell of the journal: which entries, and the totals of which days."""

import json
import time
from collections.abc import AsyncGenerator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from examples import number
from harness import CANCEL, DECLINE, Connected, approver, connected
from mcp.types import TextResourceContents
from purchases import BUY_NUMBER, CREATE_WHITE, REGISTER, RENEW_NUMBER, SEND_SMS, VERIFY, Purchase

from piv_mcp.sandbox import Sandbox

pytestmark = pytest.mark.usefixtures("instant_retries")

MIDNIGHT = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=3)
MINUTE = timedelta(minutes=1)


@pytest.fixture(params=["Pacific/Kiritimati", "Pacific/Pago_Pago"])
def far_from_utc(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose day is another one for most of the time, before UTC or after it."""
    with monkeypatch.context() as here:
        here.setenv("TZ", request.param)
        time.tzset()
        yield
    time.tzset()


@pytest.fixture
async def shop(sandbox: Sandbox, data_dir: Path) -> AsyncGenerator[Connected]:
    async with connected(sandbox, data_dir, approver()) as shop:
        yield shop


async def bought(shop: Connected, purchase: Purchase, settled: datetime, quoted: datetime | None = None) -> str:
    """A purchase of another day; without `quoted` it was approved at once."""
    id_: str = (await shop.receipt(purchase))["spending_id"]
    times = ((quoted or settled).timestamp(), settled.timestamp())
    await shop.gate.journal.store.write(
        lambda connection: connection.execute(
            "UPDATE spending SET quoted_at = ?, settled_at = ? WHERE id = ?", (*times, id_)
        )
    )
    return id_


async def listed(shop: Connected, **arguments: Any) -> dict[str, Any]:
    return await shop.ok("list_spending", **arguments)


def totals(answer: dict[str, Any]) -> list[tuple[str, str, str, int]]:
    return [(total["day"], total["area"], total["charged"], total["actions"]) for total in answer["totals"]]


def ids(answer: dict[str, Any]) -> list[str]:
    return [row["spending_id"] for row in answer["entries"]]


@pytest.mark.usefixtures("far_from_utc")
async def test_totals_are_by_area_and_by_the_day_in_utc_on_which_it_was_charged(shop: Connected) -> None:
    await bought(shop, BUY_NUMBER, MIDNIGHT - MINUTE)
    await bought(shop, SEND_SMS, MIDNIGHT + MINUTE, quoted=MIDNIGHT - MINUTE)
    await bought(shop, RENEW_NUMBER, MIDNIGHT + timedelta(days=1) - MINUTE)
    await bought(shop, REGISTER, MIDNIGHT)
    await bought(shop, CREATE_WHITE, MIDNIGHT + timedelta(days=1))
    days = [f"{MIDNIGHT + timedelta(days=add):%Y-%m-%d}" for add in (-1, 0, 1)]
    answer = await listed(shop)
    assert answer["charged"] == "27.75"
    assert sorted(totals(answer)) == [
        (days[0], "numbers", "4.00", 1),
        (days[1], "domains", "12.50", 1),
        (days[1], "numbers", "8.25", 2),
        (days[2], "whites", "3.00", 1),
    ]
    told = [total["day"] for total in answer["totals"]]
    assert told == sorted(told, reverse=True), "the newest first"


async def test_a_reported_refund_is_shown_and_lowers_no_total(shop: Connected) -> None:
    await shop.tell("verify.failed", piv_num_id=number(shop.sandbox), task_id=1)  # an earlier one
    verified = await bought(shop, VERIFY, MIDNIGHT)
    await bought(shop, SEND_SMS, MIDNIGHT)
    await bought(shop, SEND_SMS, MIDNIGHT + timedelta(days=1))
    day, next_day = (f"{MIDNIGHT + timedelta(days=add):%Y-%m-%d}" for add in (0, 1))
    assert totals(await listed(shop)) == [(next_day, "numbers", "0.25", 1), (day, "numbers", "1.25", 2)]
    await shop.tell("verify.failed", piv_num_id=number(shop.sandbox), task_id=2)
    answer = await listed(shop)
    assert totals(answer) == [(next_day, "numbers", "0.25", 1), (day, "numbers", "1.25", 2)]
    assert answer["charged"] == "1.50"
    assert [row["spending_id"] for row in answer["entries"] if "refund_reported" in row] == [verified]


async def test_totals_hold_what_was_charged_and_nothing_else(shop: Connected) -> None:
    empty = await listed(shop)
    assert empty.pop("note")
    assert empty == {"mode": "ask", "entries": [], "totals": [], "charged": "0.00"}
    shop.person.answers += [CANCEL, DECLINE]
    await shop.receipt(BUY_NUMBER)
    await shop.receipt(BUY_NUMBER)
    assert (await shop.buy(BUY_NUMBER, country_code="NL")).is_error
    await shop.call("set_number_auto_renewal", piv_num_id=number(shop.sandbox), auto_renew=False)
    answer = await listed(shop)
    assert [row["state"] for row in answer["entries"]] == ["done", "refused", "declined", "cancelled"]
    assert (answer["totals"], answer["charged"]) == ([], "0.00")


async def test_what_cost_nothing_and_what_was_closed_can_be_listed_by_their_words(shop: Connected) -> None:
    shop.person.answers += [CANCEL, DECLINE]
    for purchase in (BUY_NUMBER, BUY_NUMBER, SEND_SMS):
        await shop.receipt(purchase)
    await shop.call("set_number_auto_renewal", piv_num_id=number(shop.sandbox), auto_renew=False)
    for state in ("done", "charged", "declined", "cancelled"):
        (row,) = (await listed(shop, state=state))["entries"]
        assert row["state"] == state
    assert (await listed(shop, state="refused"))["entries"] == []


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("ask", " There is no budget: the person is asked about every purchase."),
        ("deny", " There is no budget: their settings allow no purchase."),
        ("budget", ""),
    ],
)
async def test_the_list_says_what_it_tells_of(sandbox: Sandbox, data_dir: Path, mode: str, words: str) -> None:
    budget: dict[str, Any] = {"auto_approve_max": "5", "daily_budget": "20"} if mode == "budget" else {}
    async with connected(sandbox, data_dir, spend_mode=mode, **budget) as shop:
        answer = await listed(shop, days=7)
    told = (
        "The last 7 days, each of 24 hours: what went through this store of piv-mcp, not what was done in the dashboard"
        " or elsewhere. The totals are in US dollars, before refunds, by day in UTC."
    )
    assert answer["note"] == told + words
    assert ("budget" in answer) == (mode == "budget")


async def test_days_leave_out_what_is_older_and_its_totals(shop: Connected) -> None:
    now = datetime.now(UTC)
    old = await bought(shop, REGISTER, now - timedelta(days=40))
    recent = await bought(shop, BUY_NUMBER, now - timedelta(days=29))
    fresh = await bought(shop, SEND_SMS, now - timedelta(hours=23))
    for arguments, shown, charged in (
        ({"days": 1}, [fresh], "0.25"),
        ({"days": 28}, [fresh], "0.25"),
        ({}, [fresh, recent], "4.25"),
        ({"days": 30}, [fresh, recent], "4.25"),
        ({"days": 3650}, [fresh, recent, old], "16.75"),
    ):
        answer = await listed(shop, **arguments)
        assert ids(answer) == shown, arguments
        assert answer["charged"] == charged, arguments
        assert sum(total["actions"] for total in answer["totals"]) == len(shown), arguments


async def test_a_state_and_a_limit_choose_entries_and_leave_the_totals_whole(shop: Connected) -> None:
    shop.person.answers.append(DECLINE)
    declined = (await shop.receipt(SEND_SMS))["spending_id"]
    charged = [(await shop.receipt(BUY_NUMBER))["spending_id"] for _ in range(3)][::-1]
    whole = await listed(shop)
    assert ids(whole) == [*charged, declined], "the newest first"
    assert whole["charged"] == "12.00"
    for arguments, shown, left_out in (
        ({"limit": 4}, [*charged, declined], None),
        ({"limit": 3}, charged, 1),
        ({"limit": 1}, charged[:1], 3),
        ({"state": "charged"}, charged, None),
        ({"state": "charged", "limit": 2}, charged[:2], 1),
        ({"state": "declined", "limit": 1}, [declined], None),
        ({"state": "unknown"}, [], None),
    ):
        answer = await listed(shop, **arguments)
        assert ids(answer) == shown, arguments
        assert answer.get("left_out") == left_out, arguments
        assert (answer["totals"], answer["charged"]) == (whole["totals"], whole["charged"]), arguments


async def test_the_resource_holds_what_the_tool_tells_of_thirty_days(shop: Connected) -> None:
    now = datetime.now(UTC)
    await bought(shop, REGISTER, now - timedelta(days=31))
    await bought(shop, CREATE_WHITE, now - timedelta(days=29))
    for _ in range(21):  # more than the tool tells unasked
        shop.person.answers.append(DECLINE)
        await shop.receipt(SEND_SMS)
    await shop.receipt(VERIFY)
    await shop.tell("verify.failed", piv_num_id=number(shop.sandbox))
    (resource,) = (await shop.client.read_resource("piv://spending")).contents
    assert isinstance(resource, TextResourceContents)
    held = json.loads(resource.text)
    assert len(held["entries"]) == 23
    assert held["entries"][0]["refund_reported"] == "1.00"
    assert held["charged"] == "4.00"
    assert held == await listed(shop, limit=100)
