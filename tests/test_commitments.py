"""What ends or renews by itself, what that costs, and what can still be had back."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from examples import domain, order
from harness import Connect, Connected
from mcp.types import TextResourceContents

from piv_mcp.sandbox import Failure, Sandbox
from piv_mcp.spending.commitments import MAX_DOMAIN_PRICES, MAX_ROWS


def of(content: dict[str, Any], what: str) -> list[dict[str, Any]]:
    return [item for item in content["commitments"] if item["what"] == what]


def listing(*numbers: Mapping[str, object]) -> Failure:
    """The next list of numbers, as piv.day never would have it."""
    body = {"numbers": numbers, "pagination": {"total": len(numbers), "limit": 200, "offset": 0}}
    return Failure(kind="status_after", path="/numbers", status=200, body=json.dumps({"success": True, "data": body}))


async def test_commitments_are_what_ends_within_30_days_soonest_first(connect: Connect) -> None:
    async with connect() as app:
        content = await app.ok("list_commitments")
        ends = [item["ends_at"] for item in content["commitments"]]
        assert ends == sorted(ends)
        kinds = [item["what"] for item in content["commitments"]]
        assert (kinds.count("number"), kinds.count("proxy order"), kinds.count("domain")) == (5, 2, 0)
        # Of the four active numbers one renews by itself, in GB.
        (renewing,) = [item for item in content["commitments"] if item["renews_by_itself"]]
        assert (renewing["name"], renewing["renewal_cost"]) == ("Ads", "3.00")
        assert content["automatic_cost"] == "3.00"
        assert content["balance"] == "150.50"


async def test_what_renews_more_than_once_within_the_days_costs_as_often(connect: Connect) -> None:
    async with connect() as app:
        for days, often in ((30, 1), (60, 2), (365, 12)):
            content = await app.ok("list_commitments", days=days)
            (renewing,) = [item for item in content["commitments"] if item["name"] == "Ads"]
            assert renewing["renewals"] == often
            domains = [item for item in content["commitments"] if item["what"] == "domain" and item["renews_by_itself"]]
            assert Decimal(content["automatic_cost"]) == 3 * often + sum(
                Decimal(item["renewal_cost"]) * item["renewals"] for item in domains
            )


async def test_what_is_charged_within_30_days_is_a_commitment_though_it_ends_later(
    connect: Connect, sandbox: Sandbox
) -> None:
    """Auto-renewal is charged a day before the end."""
    ends = {True: (30.9, 31.1), False: (29.9, 30.1)}
    rows = iter(item for item in sandbox.state.numbers.values() if item.status(sandbox.now) == "active")
    wanted: set[str] = set()
    for auto_renew, (inside, outside) in ends.items():
        for days in (inside, outside):
            item = next(rows)
            item.auto_renew, item.expires_at = auto_renew, sandbox.now + timedelta(days=days)
            if days == inside:
                wanted.add(item.piv_num_id)
    async with connect() as app:
        content = await app.ok("list_commitments")
    assert {item["id"] for item in of(content, "number") if "restore" not in item} == wanted


async def test_commitments_say_what_they_leave_out_and_what_costs_are_not_known(modern_app: Connected) -> None:
    sandbox = modern_app.sandbox
    sandbox.add_numbers(MAX_ROWS + 7 - 4)
    site = sandbox.state.domains[domain(sandbox)]
    soon = sandbox.now + timedelta(days=9)
    for n in range(MAX_DOMAIN_PRICES + 2):
        sandbox.state.domains[f"d{n}"] = replace(site, id=f"d{n}", name=f"site-{n}.com", expires_at=soon)
    content = await modern_app.ok("list_commitments")
    assert content["left_out"] == 9
    assert content["unknown_costs"] == 2
    (proxies,) = [item for item in of(content, "proxy order") if "restore" not in item]
    bought = sandbox.state.orders[proxies["id"]]
    assert proxies["renewal_cost"] == str(len(bought.proxies) * Decimal("0.50"))


async def test_a_domain_that_ends_soon_has_its_renewal_price(connect: Connect, sandbox: Sandbox) -> None:
    sandbox.state.domains[domain(sandbox)].expires_at = sandbox.now + timedelta(days=9)
    async with connect() as app:
        content = await app.ok("list_commitments")
        assert ("GET", "/domains/search", {"q": "mysite.com"}, None) in app.sent
    (site,) = of(content, "domain")
    assert (site["name"], site["renewal_cost"], site["renewal_covers"]) == ("mysite.com", "12.50", "one year")
    assert site["renews_by_itself"] is True
    assert content["automatic_cost"] == "15.50"


async def test_a_price_that_cannot_be_had_is_counted_as_unknown(
    connect: Connect, sandbox: Sandbox, instant_retries: None
) -> None:
    sandbox.state.domains[domain(sandbox)].expires_at = sandbox.now + timedelta(days=9)
    async with connect() as app:
        sandbox.fail_next(Failure(kind="html", path="/domains/search", times=None))
        content = await app.ok("list_commitments")
    (site,) = of(content, "domain")
    assert "renewal_cost" not in site
    assert content["unknown_costs"] == 1


async def test_what_expired_is_listed_with_how_and_until_when_it_can_be_had_back(connect: Connect) -> None:
    async with connect() as app:
        content = await app.ok("list_commitments")
    # Of the two expired numbers one expired three days ago, the other twenty: seven days are over.
    ((number,), (order_,)) = (
        [item for item in of(content, what) if "restore" in item] for what in ("number", "proxy order")
    )
    old = next(item for item in app.sandbox.state.numbers.values() if item.custom_name == "Old campaign")
    until = old.expires_at + timedelta(days=7)
    assert (number["name"], number["state"]) == ("Old campaign", "expired")
    assert number["restore"] == f"restore_numbers, until {until:%Y-%m-%d %H:%M} UTC; dearer than a new number"
    assert "renewal_cost" not in number
    assert order_["restore"].startswith("restore_proxy_order; piv.day does not say until when")
    assert [number["renews_by_itself"], order_["renews_by_itself"]] == [False, False]
    assert content["unknown_costs"] == 0


@pytest.mark.parametrize("status", ["expired", "pending_restore"])
async def test_what_waits_to_be_restored_is_never_left_out(connect: Connect, sandbox: Sandbox, status: str) -> None:
    lost = next(item for item in sandbox.state.numbers.values() if item.custom_name == "Retired")
    lost.restoring = status == "pending_restore"
    async with connect() as app:
        content = await app.ok("list_commitments")
    shown = [item["name"] for item in of(content, "number")]
    assert ("Retired" in shown) == (status == "pending_restore")


async def test_an_expired_domain_is_listed_for_a_month(connect: Connect, sandbox: Sandbox) -> None:
    site = sandbox.state.domains[domain(sandbox)]
    async with connect() as app:
        for days, wanted in ((29, True), (31, False)):
            site.expires_at = sandbox.now - timedelta(days=days)
            rows = of(await app.ok("list_commitments"), "domain")
            assert [item["restore"].split(";")[0] for item in rows] == ["renew_domain may still work"] * wanted


@pytest.mark.parametrize(("hours", "restorable"), [(23, False), (25, True)])
async def test_what_is_called_active_after_its_end_may_be_renewing(
    connect: Connect, sandbox: Sandbox, hours: int, restorable: bool
) -> None:
    row = {"piv_num_id": "Ab3dE-xY7z-1", "country_code": "SE", "status": "active", "auto_renew": True}
    row["expires_at"] = (sandbox.now - timedelta(hours=hours)).isoformat()
    async with connect() as app:
        sandbox.fail_next(listing(row))
        (shown,) = of(await app.ok("list_commitments"), "number")
    assert ("restore" in shown, shown["renews_by_itself"]) == (restorable, not restorable)


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
@pytest.mark.parametrize("status", ["active", "expired", "pending_restore", "else", None])
async def test_the_ends_of_time_break_nothing(connect: Connect, sandbox: Sandbox, at: str, status: str | None) -> None:
    row = {"piv_num_id": "Ab3dE-xY7z-1", "country_code": "SE", "status": status, "auto_renew": True, "expires_at": at}
    async with connect() as app:
        sandbox.fail_next(listing(row))
        content = await app.ok("list_commitments", days=3650)
    assert len(of(content, "number")) <= 1


async def test_ten_years_show_all_that_renews_by_itself(connect: Connect, sandbox: Sandbox) -> None:
    async with connect() as app:
        soon = await app.ok("list_commitments", days=30)
        ever = await app.ok("list_commitments", days=3650)
    names = {item["name"] for item in ever["commitments"] if item["renews_by_itself"]}
    assert names == {"Ads"} | {item.name for item in sandbox.state.domains.values() if item.auto_renew}
    assert len(ever["commitments"]) > len(soon["commitments"])
    assert Decimal(ever["automatic_cost"]) > Decimal(soon["automatic_cost"])
    assert ever["days"] == 3650


async def test_a_cost_says_what_it_is_for(connect: Connect, sandbox: Sandbox) -> None:
    async with connect() as app:
        content = await app.ok("list_commitments", days=3650)
    count = len(sandbox.state.orders[order(sandbox)].proxies)
    assert {item["renewal_covers"] for item in content["commitments"]} >= {
        "one month of 30 days",
        f"the whole order ({count} proxies), one calendar month",
        "one year",
    }


async def test_a_price_in_another_currency_is_unknown(connect: Connect, sandbox: Sandbox) -> None:
    sandbox.state.domains[domain(sandbox)].expires_at = sandbox.now + timedelta(days=9)
    body = '{"success": true, "data": {"domain": "mysite.com", "renew_price": 12.5, "currency": "EUR"}}'
    async with connect() as app:
        sandbox.fail_next(Failure(kind="status_after", path="/domains/search", status=200, body=body))
        content = await app.ok("list_commitments")
    (site,) = of(content, "domain")
    assert "renewal_cost" not in site
    assert content["unknown_costs"] == 1


async def test_the_resource_shows_the_same_for_a_month(connect: Connect) -> None:
    async with connect() as app:
        (resource,) = (await app.client.read_resource("piv://commitments")).contents
        tool = await app.ok("list_commitments")
    assert isinstance(resource, TextResourceContents)
    assert json.loads(resource.text) == tool
