"""The sandbox's whites: failure and list."""

from decimal import Decimal

from sandbox_api import NEW_WHITE, Api, Receiver, ids

from piv_mcp.sandbox import Sandbox

pytest_plugins = ["sandbox_fixtures"]


async def test_failed_white_is_refunded(piv_day: Sandbox, api: Api, receiver: Receiver) -> None:
    white = (await api.data("POST", "/whites", {**NEW_WHITE, "name": "Will fail"}))["white"]
    assert white["status"] == 0
    listed = await api.data("GET", "/whites?status=failed")
    assert [item["id"] for item in listed["whites"]] == [white["id"]]
    await piv_day.settled()
    assert receiver.events[0]["event_type"] == "white.failed"
    assert set(receiver.events[0]["data"]) == {"job_id", "name", "error"}
    assert piv_day.balance == Decimal("150.50")


async def test_white_is_filtered_by_the_word_for_its_status(piv_day: Sandbox, api: Api) -> None:
    listed = await api.data("GET", "/whites?status=processing&tier_key=v2_tier1")
    assert [white["id"] for white in listed["whites"]] == [ids(piv_day)["unfinished_white"]]
