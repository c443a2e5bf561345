"""The fixtures of the sandbox's tests."""

from collections.abc import AsyncIterator

import httpx
import pytest
from sandbox_api import HOOK, Api, Receiver, connect

from piv_mcp.sandbox import Sandbox, Timing


@pytest.fixture
def receiver() -> Receiver:
    """Receives the webhooks of `piv_day`."""
    return Receiver()


@pytest.fixture
async def piv_day(receiver: Receiver) -> AsyncIterator[Sandbox]:
    """A seeded sandbox without a rate limit, whose background work ends at once and whose webhooks go to `receiver`."""
    sandbox = Sandbox(
        webhook_url=HOOK,
        rate_limit=0,
        timing=Timing.instant(),
        webhook_transport=httpx.MockTransport(receiver),
    )
    yield sandbox
    await sandbox.aclose()


@pytest.fixture
async def api(piv_day: Sandbox) -> AsyncIterator[Api]:
    """The API of `piv_day`."""
    async with connect(piv_day) as client:
        yield Api(client)
