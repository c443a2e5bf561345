"""Servers over HTTP share one account in PostgreSQL: one of them does the work of the background, and another takes it
up when that one is killed."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from fleets import Replica, Site, piv_day, site
from harness import until
from postgres import Cluster
from processes import sms_webhook
from pydantic import SecretStr

from piv_mcp.sandbox import Failure, Sandbox
from piv_mcp.store import journal
from piv_mcp.store.engines import open_store

pytest_plugins = ["fleet_fixtures"]
pytestmark = [pytest.mark.postgresql, pytest.mark.sqlite]

BUY: dict[str, Any] = {"country_code": "SE", "duration_months": 1, "auto_renew": False}
TAKEN_OVER_WITHIN = 5.0
SLACK = 2.0
"""For a busy machine."""


@pytest.fixture
async def place(account: Sandbox, cluster: Cluster, data_dir: Path) -> AsyncIterator[Site]:
    rules = {"spend_mode": "budget", "auto_approve_max": 5, "daily_budget": 50, "confirm_wait": 0}
    async with piv_day(account) as base_url:
        yield site(data_dir, base_url, store_url=SecretStr(cluster.database_for(data_dir)), **rules)
    cluster.forget_databases()


async def states(place: Site) -> list[str]:
    store = open_store(place.settings(), place.data_dir)
    try:
        return [entry.state for entry in await store.read(journal.newest, limit=9)]
    finally:
        await store.close()


async def settled(account: Sandbox) -> None:
    """Until no request has come for a while."""
    count = -1
    while count != len(account.requests):
        count = len(account.requests)
        await asyncio.sleep(1.5)


async def test_what_a_killed_server_was_sending_is_looked_for_by_one_other_and_never_sent_again(
    place: Site, account: Sandbox
) -> None:
    token = await place.agent()
    async with place.process() as killed, place.process(), place.process():
        await asyncio.sleep(1.1)
        await settled(account)
        account.requests.clear()
        account.fail_next(Failure(kind="hang", method="POST", path="/numbers/purchase"))
        buying = asyncio.create_task(killed.call(token, "purchase_number", **BUY))
        await until(lambda: account.charges, seconds=10, what="the request", every=0.05)
        assert await states(place) == ["executing"]
        account.requests.clear()
        assert killed.process is not None
        killed.process.kill()

        async def is_settled() -> bool:
            return await states(place) == ["charged"]

        await until(is_settled, seconds=TAKEN_OVER_WITHIN + SLACK, what="the outcome", every=0.1)
        await asyncio.gather(buying, return_exceptions=True)
        await asyncio.sleep(2.5)  # the other would look now, too
        assert len(account.charges) == 1
        assert [request.method for request in account.requests if request.method != "GET"] == []
        assert max(Counter(request.path for request in account.requests).values()) <= 2


async def test_servers_that_start_beside_one_that_receives_read_no_history_again(place: Site, account: Sandbox) -> None:
    async with place.process():
        await settled(account)
        of_one = Counter(request.path for request in account.requests)
        async with place.process(), place.process():
            await settled(account)
        more = Counter(request.path for request in account.requests) - of_one
        assert [path for path in more if path.endswith("/sms")] == []


async def test_a_killed_server_loses_no_event_and_doubles_none(place: Site, account: Sandbox) -> None:
    """As piv.day does, an event is sent again, to whichever server, until it is acknowledged."""
    (number, *_) = account.state.numbers
    async with AsyncExitStack() as stack:
        replicas = [await stack.enter_async_context(place.process()) for _ in range(2)]
        secret = await replicas[0].secret()
        acknowledged = 0

        async def send(n: int) -> None:
            nonlocal acknowledged
            body, tries = sms_webhook(number, f"Your code is {100_000 + n}", str(100_000 + n)), n
            while not await _is_stored(replicas[tries % 2], secret, body):
                tries += 1
            acknowledged += 1
            if acknowledged == 100 and (process := replicas[0].process) is not None:
                process.kill()

        for start in range(0, 400, 40):
            await asyncio.gather(*map(send, range(start, start + 40)))
        store = open_store(place.settings(), place.data_dir)
        texts = await store.read(
            lambda c: [text for (text,) in c.rows("SELECT text FROM events WHERE code IS NOT NULL")]
        )
        await store.close()
        assert Counter(texts) == Counter(f"Your code is {100_000 + n}" for n in range(400))


async def _is_stored(replica: Replica, secret: str, body: bytes) -> bool:
    try:
        async with replica.http() as http:
            return (await http.post(f"/webhooks/{secret}", content=body)).is_success
    except httpx.TransportError:
        return False
