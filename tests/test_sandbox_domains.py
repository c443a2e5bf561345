"""The sandbox's domains: registration, renewal, DNS records and Cloudflare."""

from datetime import timedelta
from decimal import Decimal

import httpx
from sandbox_api import BUY_DOMAIN, HOOK, Api, Json, Receiver, connect, ids

from piv_mcp.sandbox import Sandbox, Timing

pytest_plugins = ["sandbox_fixtures"]


async def test_domain_registration_goes_through_the_queue(receiver: Receiver) -> None:
    sandbox = Sandbox(webhook_url=HOOK, timing=Timing(domain=10), webhook_transport=httpx.MockTransport(receiver))
    async with connect(sandbox) as client:
        api = Api(client)
        answer = await api.data("POST", "/domains", BUY_DOMAIN)
        entry = f"/domains/queue/{answer['queue_id']}"
        assert await api.data("GET", entry) == {
            "queue_id": answer["queue_id"],
            "domain": "new.com",
            "status": "pending",
        }
        assert (await api.data("GET", "/domains?status=pending"))["domains"][0]["status"] == "purchasing"
        assert (await api.data("GET", "/domains/search?q=new.com"))["available"] is False
        sandbox.advance(timedelta(seconds=10))
        assert (await api.data("GET", entry))["status"] == "processing"
        sandbox.advance(timedelta(seconds=10))
        done = await api.data("GET", entry)
        assert (done["status"], done["domain"]["status"]) == ("completed", "active")
        await sandbox.settled()
    assert receiver.events[0]["event_type"] == "domain.registered"
    keys = {"domain_id", "domain_name", "registered_at", "expires_at", "cloudflare_enabled"}
    assert set(receiver.events[0]["data"]) == keys
    assert receiver.events[0]["data"]["registered_at"] == done["domain"]["registered_at"]
    await sandbox.aclose()


async def test_failed_registration_is_refunded(piv_day: Sandbox, api: Api, receiver: Receiver) -> None:
    answer = await api.data("POST", "/domains", {**BUY_DOMAIN, "domain": "fail.com"})
    assert (await api.data("GET", f"/domains/queue/{answer['queue_id']}"))["status"] == "failed"
    assert (await api.error("GET", f"/domains/{answer['domain']['id']}"))[0] == "NOT_FOUND"
    await piv_day.settled()
    assert set(receiver.events[0]["data"]) == {"domain_id", "domain_name", "error"}
    assert piv_day.balance == Decimal("150.50")


async def test_domain_renewal_adds_to_the_expiry_once_done(piv_day: Sandbox, api: Api) -> None:
    path = f"/domains/{ids(piv_day)['domain']}"
    before = (await api.data("GET", path))["domain"]["expires_at"]
    answer = await api.data("POST", f"{path}/renew", {"period": 2})
    after = (await api.data("GET", path))["domain"]["expires_at"]
    assert answer["expires_at"] == before
    assert int(after[:4]) - int(before[:4]) == 2


async def test_dns_records_are_added_changed_and_deleted(piv_day: Sandbox, api: Api) -> None:
    path = f"/domains/{ids(piv_day)['domain']}/dns"
    new: Json = {"type": "MX", "name": "@", "content": "mail.a.com", "priority": 5}
    record = (await api.data("POST", path, new))["record"]
    changed = (await api.data("PUT", f"{path}/{record['id']}", {"content": "mail.b.com"}))["record"]
    assert changed == {**record, "content": "mail.b.com"}
    assert await api.ok("DELETE", f"{path}/{record['id']}") == {"success": True}
    listed = (await api.data("GET", path))["records"]
    assert record["id"] not in {item["id"] for item in listed}


async def test_cloudflare_can_be_enabled_again_without_effect(piv_day: Sandbox, api: Api) -> None:
    path = f"/domains/{ids(piv_day)['domain']}/cloudflare"
    assert (await api.data("POST", path, {"enabled": True}))["ssl_mode"] == "full"


async def test_dns_needs_cloudflare(piv_day: Sandbox, api: Api) -> None:
    path = f"/domains/{ids(piv_day)['plain_domain']}"
    record: Json = {"type": "A", "name": "@", "content": "1.2.3.4"}
    plain = (await api.data("GET", path))["domain"]
    assert [server["order_index"] for server in plain["nameservers"]] == [1, 2]
    assert (await api.error("POST", f"{path}/dns", record))[0] == "VALIDATION_ERROR"
    await api.ok("POST", f"{path}/cloudflare", {"enabled": True})
    await api.ok("POST", f"{path}/dns", record)
    assert "nameservers" not in (await api.data("GET", path))["domain"]
