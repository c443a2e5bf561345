"""Background work, automatic renewals and notices of expiry follow the sandbox's clock."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import httpx
import pytest
from sandbox_api import (
    BUY_NUMBER,
    HOOK,
    NEW_WHITE,
    Api,
    Receiver,
    connect,
    ids,
)

from piv_mcp.sandbox import Sandbox, Timing

pytest_plugins = ["sandbox_fixtures"]


async def poll(condition: Callable[[], object]) -> None:
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the condition did not come true within five seconds")


async def test_auto_renewal_charges_a_day_before_each_expiry(piv_day: Sandbox, api: Api) -> None:
    bought = await api.ok("POST", "/numbers/purchase", {**BUY_NUMBER, "auto_renew": True})
    number = bought["numbers"][0]["piv_num_id"]
    start = piv_day.now
    piv_day.advance(timedelta(days=60))
    renewals = [charge for charge in piv_day.charges if (charge.action, charge.id) == ("number.auto_renew", number)]
    assert [round((charge.at - start) / timedelta(days=1)) for charge in renewals] == [29, 59]
    assert (await api.data("GET", f"/numbers/{number}"))["status"] == "active"


async def test_auto_renewal_without_balance_lets_the_number_expire(piv_day: Sandbox, api: Api) -> None:
    number = ids(piv_day)["number"]
    await api.ok("PATCH", f"/numbers/{number}/auto-renewal", {"auto_renew": True})
    piv_day.balance = Decimal("0.00")
    piv_day.advance(timedelta(days=19))
    assert (await api.data("GET", f"/numbers/{number}"))["status"] == "expired"
    assert piv_day.charges == []


async def test_expired_domain_is_not_renewed_automatically(piv_day: Sandbox, api: Api) -> None:
    domain = ids(piv_day)["plain_domain"]
    piv_day.advance(timedelta(days=340))
    await api.ok("POST", f"/domains/{domain}/auto-renew", {"auto_renew": True})
    assert [item["id"] for item in (await api.data("GET", "/domains?status=expired"))["domains"]] == [domain]
    assert domain not in {charge.id for charge in piv_day.charges}


async def test_auto_renewal_switched_on_twice_charges_once(piv_day: Sandbox, api: Api) -> None:
    number = ids(piv_day)["number"]
    for wanted in (True, False, True):
        await api.ok("PATCH", f"/numbers/{number}/auto-renewal", {"auto_renew": wanted})
    piv_day.advance(timedelta(days=20))
    assert [charge.id for charge in piv_day.charges].count(number) == 1


async def test_expiry_notices_come_three_and_seven_days_before(piv_day: Sandbox, receiver: Receiver) -> None:
    names = ids(piv_day)
    order = piv_day.state.orders[names["order"]]
    domain = piv_day.state.domains[names["plain_domain"]]
    piv_day.advance(timedelta(days=366))
    await piv_day.settled()
    notices = {event["data"].get("order_id") or event["data"].get("domain_id"): event for event in receiver.events}
    of_order, of_domain = notices[order.id], notices[domain.id]
    assert of_order["event_type"] == "proxy.expires_soon"
    assert set(of_order["data"]) == {"order_id", "country", "quantity", "expires_at"}
    assert of_order["timestamp"] == (order.expires_at - timedelta(days=3)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert of_domain["event_type"] == "domain.expires_soon"
    assert set(of_domain["data"]) == {"domain_id", "domain_name", "expires_at", "auto_renew"}
    assert domain.expires_at is not None
    assert of_domain["timestamp"] == (domain.expires_at - timedelta(days=7)).strftime("%Y-%m-%dT%H:%M:%SZ")


async def test_work_progresses_by_itself(receiver: Receiver) -> None:
    timing = Timing(white=0.01)
    sandbox = Sandbox(webhook_url=HOOK, timing=timing, webhook_transport=httpx.MockTransport(receiver))
    async with connect(sandbox) as client:
        white = (await Api(client).data("POST", "/whites", NEW_WHITE))["white"]
        await poll(lambda: receiver.requests)
    data = {"job_id": white["id"], "name": "Tech Blog DE", "tier_key": "v2_tier3", "country": "DE"}
    assert receiver.events[0]["data"] == data
    await sandbox.aclose()


async def test_without_auto_tick_only_requests_and_advance_move_things(receiver: Receiver) -> None:
    sandbox = Sandbox(auto_tick=False, timing=Timing(white=10))
    async with connect(sandbox) as client:
        white = (await Api(client).data("POST", "/whites", NEW_WHITE))["white"]
        states: list[int] = []
        for _ in range(4):
            states.append((await Api(client).data("GET", f"/whites/{white['id']}"))["white"]["status"])
            sandbox.advance(timedelta(seconds=10))
    assert states == [0, 3, 7, 10]


def test_clock_does_not_go_back() -> None:
    with pytest.raises(ValueError, match="forward"):
        Sandbox().advance(timedelta(seconds=-1))
