"""The sandbox on its own port, and its controls."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from decimal import Decimal

import httpx
import pytest
from sandbox_api import BUY_NUMBER, HEADERS, Json, Receiver, connect, ids, on_its_own_port

from piv_mcp.sandbox import Sandbox, sandbox_app
from piv_mcp.sandbox.serve import serve

pytest_plugins = ["sandbox_fixtures"]


@pytest.fixture
async def control(piv_day: Sandbox) -> AsyncIterator[Callable[[str, Json], Awaitable[httpx.Response]]]:
    async with on_its_own_port(piv_day) as client:
        del client.headers["Authorization"]

        async def post(path: str, body: Json) -> httpx.Response:
            return await client.post(str(client.base_url.join(f"/_sandbox/{path}")), json=body)

        yield post


Post = Callable[[str, Json], Awaitable[httpx.Response]]


async def test_sms_is_received_through_the_controls(control: Post, piv_day: Sandbox, receiver: Receiver) -> None:
    number = ids(piv_day)["number"]
    assert (await control("sms", {"number": number, "text": "12345678"})).status_code == 200
    await control("sms", {"number": number, "text": "12345678", "code": None})
    await control("sms", {"number": number, "text": "12345678", "trusted": False})
    assert [event["data"]["code"] for event in receiver.events] == ["12345678", None]
    unknown = await control("sms", {"number": "nobody", "text": "x"})
    assert unknown.json()["error"]["message"] == "number: there is no number nobody"


async def test_events_failures_time_and_url_are_controlled(control: Post, piv_day: Sandbox, receiver: Receiver) -> None:
    await control("event", {"event_type": "white.failed", "data": {"job_id": "1"}})
    assert receiver.events[0]["data"] == {"job_id": "1"}
    await control("fail", {"kind": "status", "code": "QUEUE_FULL", "times": None, "path": "/account"})
    async with connect(piv_day) as client:
        assert (await client.get("/account")).status_code == 503
        assert (await client.get("/account")).status_code == 503
    assert (await control("fail", {"kind": "sulk"})).status_code == 400
    assert (await control("fail", {"kind": "status", "speed": 1})).status_code == 400
    before = piv_day.now
    await control("advance", {"seconds": 3600})
    assert piv_day.now - before >= timedelta(hours=1)
    await control("webhook", {"url": None})
    assert piv_day.webhook_url is None


async def test_state_and_requests_are_readable_and_reset(piv_day: Sandbox) -> None:
    async with on_its_own_port(piv_day) as client:
        await client.post("/numbers/purchase", json=BUY_NUMBER)
        root = client.base_url.join("/_sandbox/")
        state = (await client.get(str(root.join("state")))).json()["data"]
        requests = (await client.get(str(root.join("requests")))).json()["data"]
        assert (state["balance"], state["counts"]["numbers"]) == (146.5, 7)
        assert [(charge["action"], charge["amount"]) for charge in state["charges"]] == [("number.purchase", 4.0)]
        assert [(request["path"], request["body"]) for request in requests] == [("/numbers/purchase", BUY_NUMBER)]
        assert "sandbox-key" not in json.dumps(requests)
        await client.post(str(root.join("reset")))
        assert (piv_day.balance, piv_day.requests) == (Decimal("150.50"), [])
        assert (await client.get("/account")).status_code == 200


async def test_controls_are_for_loopback_only(piv_day: Sandbox) -> None:
    transport = httpx.ASGITransport(sandbox_app(piv_day), client=("192.0.2.1", 1234))
    async with httpx.AsyncClient(transport=transport, base_url="http://sandbox") as client:
        assert (await client.get("/_sandbox/state")).status_code == 403
        assert (await client.get("/api/v1/account", headers=HEADERS)).status_code == 200


async def test_serving_an_occupied_port_says_so(piv_day: Sandbox) -> None:
    async with on_its_own_port(piv_day) as client:
        port = client.base_url.port
        assert port is not None
        with pytest.raises(OSError, match="in use"):
            await serve(Sandbox(), port=port)
