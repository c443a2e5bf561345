"""Agents on several servers over HTTP, with PostgreSQL, spend at the same time: never more than any budget allows, and
one charge for one approval."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from fleets import Replica, Site, piv_day, site
from postgres import Cluster
from processes import KEY
from pydantic import SecretStr

from piv_mcp.sandbox import Sandbox, Timing
from piv_mcp.spending.journal import Journal
from piv_mcp.store.engines import open_store

pytestmark = [pytest.mark.postgresql, pytest.mark.sqlite]

BUY: dict[str, Any] = {"country_code": "SE", "duration_months": 1, "auto_renew": False}
PRICE = Decimal(4)
REPLICAS, AGENTS, ROUNDS = 3, 10, 3
SHARED, OWN = Decimal(50), Decimal(9)
"""Of all agents together: twelve purchases. Of each of half of them: two."""


@pytest.fixture
async def account() -> AsyncIterator[Sandbox]:
    sandbox = Sandbox(KEY, rate_limit=0, timing=Timing.instant(), seed=False)
    sandbox.balance = Decimal(1000)
    yield sandbox
    await sandbox.aclose()


@pytest.fixture
async def place(account: Sandbox, cluster: Cluster, data_dir: Path) -> AsyncIterator[Site]:
    url = SecretStr(cluster.database_for(data_dir))
    rules = {"spend_mode": "budget", "auto_approve_max": 5, "daily_budget": SHARED, "confirm_wait": 0}
    async with piv_day(account) as base_url:
        yield site(data_dir, base_url, store_url=url, **rules)
    cluster.forget_databases()


@pytest.fixture
async def replicas(place: Site) -> AsyncIterator[list[Replica]]:
    async with AsyncExitStack() as stack:
        starting = [stack.enter_async_context(place.process()) for _ in range(REPLICAS)]
        yield list(await asyncio.gather(*starting))


async def test_ten_agents_on_three_servers_spend_no_cent_above_a_budget(
    place: Site, replicas: list[Replica], account: Sandbox
) -> None:
    limits = [{"daily_budget": OWN} if n % 2 else {} for n in range(AGENTS)]
    tokens = [await place.agent(f"bot{n}", **limit) for n, limit in enumerate(limits)]
    await asyncio.sleep(1.1)  # until all servers know them

    async def buy(n: int) -> list[dict[str, Any]]:
        receipts = list[dict[str, Any]]()
        for round_ in range(ROUNDS):
            receipts.append(await replicas[(n + round_) % REPLICAS].call(tokens[n], "purchase_number", **BUY))
        return receipts

    receipts = await asyncio.gather(*map(buy, range(AGENTS)))
    spent = [sum(receipt["status"] == "charged" for receipt in own) for own in receipts]
    assert sum(spent) == len(account.charges) == SHARED // PRICE
    assert sum(charge.amount for charge in account.charges) <= SHARED
    assert all(PRICE * spent[n] <= OWN for n in range(1, AGENTS, 2))
    waiting = next((n, own[-1]) for n, own in enumerate(receipts) if own[-1]["status"] == "approval_required")

    # One approval, one charge: whichever server the repeated call is sent to.
    agent, asked = waiting
    store = open_store(place.settings(), place.data_dir)
    assert await Journal(store).decide(asked["spending_id"], "approve", by="terminal")
    await store.close()
    before = len(account.charges)
    again = await asyncio.gather(*(replica.call(tokens[agent], "purchase_number", **BUY) for replica in replicas))
    assert len(account.charges) == before + 1
    told = Counter(receipt["status"] for receipt in again if receipt["spending_id"] == asked["spending_id"])
    assert told["charged"] >= 1


async def test_agents_on_two_servers_spend_no_cent_above_the_budget_of_an_area(place: Site, account: Sandbox) -> None:
    area = Decimal(22)
    tokens = [await place.agent(f"bot{n}") for n in range(4)]
    async with AsyncExitStack() as stack:
        starting = [stack.enter_async_context(place.process(budgets=f"numbers={area}")) for _ in range(2)]
        two = await asyncio.gather(*starting)
        receipts = await asyncio.gather(
            *(two[n % 2].call(token, "purchase_number", **BUY) for token in tokens for n in range(3))
        )
    spent = sum(receipt["status"] == "charged" for receipt in receipts)
    assert spent == len(account.charges) == area // PRICE
    over = {receipt["over_budget"] for receipt in receipts if receipt["status"] == "approval_required"}
    assert over == {"The budget for numbers is 22.00 USD in 24 hours, and 2.00 USD of it is left"}
