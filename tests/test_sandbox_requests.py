"""What the sandbox does with every request: key, rate limit, body, path and record."""

from datetime import timedelta
from decimal import Decimal

import pytest
from sandbox_api import Api, connect

from piv_mcp.sandbox import Sandbox

pytest_plugins = ["sandbox_fixtures"]


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Basic sandbox-key"])
async def test_missing_or_wrong_key_is_unauthorized(header: str | None, piv_day: Sandbox) -> None:
    async with connect(piv_day) as client:
        del client.headers["Authorization"]
        headers = {"Authorization": header} if header else {}
        response = await client.get("/account", headers=headers)
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "UNAUTHORIZED"


async def test_body_that_is_not_json_is_refused(api: Api) -> None:
    for content, kind in ((b"{", "application/json"), (b"[]", "application/json"), (b"{}", "text/plain")):
        response = await api.client.post("/numbers/purchase", content=content, headers={"Content-Type": kind})
        assert response.json()["error"]["code"] == "VALIDATION_ERROR"


async def test_rate_limit_counts_a_minute_of_real_time() -> None:
    sandbox = Sandbox(rate_limit=3)
    async with connect(sandbox) as client:
        for _ in range(3):
            assert (await client.get("/account")).status_code == 200
        sandbox.advance(timedelta(minutes=2))
        refused = await client.get("/account")
    assert refused.status_code == 429
    seconds = int(refused.headers["Retry-After"])
    assert 55 <= seconds <= 60
    message = f"Rate limit exceeded, retry in {seconds}s"
    assert refused.json() == {"success": False, "error": {"code": "RATE_LIMITED", "message": message}}
    await sandbox.aclose()


async def test_requests_are_recorded_without_the_key(piv_day: Sandbox, api: Api) -> None:
    await api.client.get("/numbers/a%2Fb%20c?x=1")
    await api.client.post("/numbers/purchase", json={"duration_months": 1.5})
    first, second = piv_day.requests
    assert (first.method, first.path, first.raw_path) == ("GET", "/numbers/a/b c", "/numbers/a%2Fb%20c")
    assert (first.query, first.body) == ({"x": "1"}, None)
    assert second.body == {"duration_months": Decimal("1.5")}
    assert second.headers["content-type"] == "application/json"
    assert not {"authorization", "Authorization"} & set(second.headers)


async def test_encoded_slash_stays_in_its_segment(api: Api) -> None:
    assert (await api.error("GET", "/numbers/a%2Fsms"))[0] == "NUMBER_NOT_FOUND"
