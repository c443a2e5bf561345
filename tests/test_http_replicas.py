"""Several servers over HTTP in processes of their own, on one store: any of them answers any request."""

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator

import pytest
from fleets import Replica, Site
from harness import APPROVE, ERAS, Era, approver, content_of, until
from mcp.types import CallToolResult, InputRequiredResult
from processes import sms_webhook

from piv_mcp.cli.agent_rows import revoke_agent
from piv_mcp.sandbox import Sandbox
from piv_mcp.spending.approval.channels import READ_SECONDS

BUY = {"country_code": "SE", "duration_months": 1, "auto_renew": False}


pytest_plugins = ["fleet_fixtures"]


@pytest.fixture
async def pair(place: Site) -> AsyncIterator[tuple[Replica, Replica]]:
    async with place.process() as one, place.process() as other:
        yield one, other


async def test_a_question_of_one_replica_is_answered_on_another(
    place: Site, pair: tuple[Replica, Replica], account: Sandbox
) -> None:
    token = await place.agent(attended=True)
    await asyncio.sleep(1.1)  # until both know the agent
    one, other = pair
    async with one.client(token, person=approver()) as client:
        asked = await client.session.call_tool("purchase_number", BUY, allow_input_required=True)
    assert isinstance(asked, InputRequiredResult)
    await asyncio.sleep(READ_SECONDS)  # a person reads
    async with other.client(token, person=approver()) as client:
        done = await client.session.call_tool(
            "purchase_number",
            BUY,
            allow_input_required=True,
            input_responses={"approval": APPROVE},
            request_state=asked.request_state,
        )
    assert isinstance(done, CallToolResult)
    assert content_of(done)["status"] == "charged"
    assert len(account.charges) == 1


async def test_a_question_of_one_agent_is_no_question_of_another(
    place: Site, pair: tuple[Replica, Replica], account: Sandbox
) -> None:
    token, other_token = await place.agent(attended=True), await place.agent("other", attended=True)
    await asyncio.sleep(1.1)
    one, other = pair
    async with one.client(token, person=approver()) as client:
        asked = await client.session.call_tool("purchase_number", BUY, allow_input_required=True)
    assert isinstance(asked, InputRequiredResult)
    await asyncio.sleep(READ_SECONDS)
    async with other.client(other_token, person=approver()) as client:
        with pytest.raises(Exception, match="Invalid or expired requestState"):
            await client.session.call_tool(
                "purchase_number",
                BUY,
                allow_input_required=True,
                input_responses={"approval": APPROVE},
                request_state=asked.request_state,
            )
    assert account.charges == []


@pytest.mark.parametrize("era", ERAS)
async def test_a_webhook_to_one_replica_wakes_a_call_on_another(
    place: Site, pair: tuple[Replica, Replica], account: Sandbox, era: Era
) -> None:
    token, number = await place.agent(), next(iter(account.state.numbers))
    await asyncio.sleep(1.1)
    one, other = pair
    waiting = asyncio.create_task(other.call(token, "wait_for_code", era, number=number, timeout_seconds=20))
    await asyncio.sleep(0.3)
    async with one.http() as http:
        sent = await http.post(f"/webhooks/{await one.secret()}", content=sms_webhook(number, "Code 918273", "918273"))
        assert sent.is_success
    assert "918273" in json.dumps(await waiting)


async def test_a_replica_that_is_told_to_end_does_so_in_time(place: Site, account: Sandbox) -> None:
    token, number = await place.agent(), next(iter(account.state.numbers))
    async with place.process() as replica, replica.client(token) as client:
        await client.list_tools()
        waiting = asyncio.create_task(client.call_tool("wait_for_code", {"number": number, "timeout_seconds": 50}))
        await asyncio.sleep(0.5)
        assert replica.process is not None
        stopped_at = time.monotonic()
        replica.process.send_signal(signal.SIGTERM)
        assert content_of(await waiting)["after"]
        assert await asyncio.wait_for(replica.process.wait(), 20) == 0
        assert time.monotonic() - stopped_at < 20


async def test_a_revoked_agent_is_out_on_every_replica(place: Site, pair: tuple[Replica, Replica]) -> None:
    token = await place.agent()
    await asyncio.sleep(1.1)
    for replica in pair:
        await replica.call(token, "list_numbers")
    assert await revoke_agent(place.settings(), "bot")

    async def are_out() -> bool:
        for replica in pair:
            async with replica.http(token) as http:
                if (await http.post("/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "ping"})).status_code != 401:
                    return False
        return True

    await until(are_out, seconds=2.5, what="both refuse the token", every=0.1)
