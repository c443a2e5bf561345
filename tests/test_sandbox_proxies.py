"""The sandbox's proxies: export and restore of orders."""

from datetime import timedelta

from sandbox_api import Api, ids

from piv_mcp.sandbox import Sandbox

pytest_plugins = ["sandbox_fixtures"]


async def test_proxy_export_lists_credentials(piv_day: Sandbox, api: Api) -> None:
    order = ids(piv_day)["order"]
    items = (await api.data("GET", f"/proxy/orders/{order}"))["order"]["items"]
    exported = await api.data("GET", f"/proxy/orders/{order}/export?format=both")
    lines = exported["content"].split("\n")
    assert exported["count"] == len(lines) == 6
    first = items[0]
    credentials = f"{first['login']}:{first['password']}@{first['host']}"
    assert (lines[0], lines[3]) == (f"{credentials}:1080", f"{credentials}:3128")
    assert exported["filename"] == f"piv-day-proxy-{order[:9]}-both.txt"


async def test_restored_order_keeps_its_proxies(piv_day: Sandbox, api: Api) -> None:
    path = f"/proxy/orders/{ids(piv_day)['expired_order']}"
    before = (await api.data("GET", path))["order"]
    await api.ok("POST", f"{path}/restore")
    after = (await api.data("GET", path))["order"]
    assert (before["status"], after["status"]) == ("expired", "active")
    assert before["items"] == after["items"]


async def test_order_cannot_be_restored_after_seven_days(piv_day: Sandbox, api: Api) -> None:
    path = f"/proxy/orders/{ids(piv_day)['expired_order']}/restore"
    piv_day.advance(timedelta(days=8))
    assert (await api.error("POST", path))[0] == "VALIDATION_ERROR"
