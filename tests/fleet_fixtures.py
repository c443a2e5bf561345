"""The fixtures of tests of servers over HTTP: an account with two numbers, and where its servers run."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fleets import Site, piv_day, site
from processes import KEY

from piv_mcp.sandbox import Sandbox, Timing


@pytest.fixture
async def account() -> AsyncIterator[Sandbox]:
    sandbox = Sandbox(KEY, rate_limit=0, timing=Timing.instant(), seed=False)
    sandbox.add_numbers(2)
    yield sandbox
    await sandbox.aclose()


@pytest.fixture
async def place(account: Sandbox, data_dir: Path) -> AsyncIterator[Site]:
    async with piv_day(account) as base_url:
        yield site(data_dir, base_url)
