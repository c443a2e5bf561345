"""The fixtures that the tests share: a clean environment, a sandbox, and a client connected to the server over it."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import stamina
from harness import ERAS, Connect, Connected, Era, Person, connected
from inbox_home import Home, open_another, open_home

from piv_mcp.api.client import PivClient
from piv_mcp.api.retry import ATTEMPTS
from piv_mcp.sandbox import Sandbox, Timing
from piv_mcp.spending.reconcile import reconciler as reconcile
from piv_mcp.store import Store
from piv_mcp.text.times import SYSTEM_CLOCK, Clock


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the person who runs the tests reaches them, and no page opens in their browser."""
    monkeypatch.setenv("BROWSER", "true %s")
    for name in list(os.environ):
        if name.startswith("PIV_"):
            monkeypatch.delenv(name)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data directory that does not exist yet."""
    return tmp_path / "data"


@pytest.fixture
def instant_retries() -> Iterator[None]:
    """As many tries as ever, without the waits between them."""
    with stamina.set_testing(True, attempts=ATTEMPTS):
        yield


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A seeded piv.day without a rate limit, whose background work is over at once."""
    sandbox = Sandbox(rate_limit=0, timing=Timing.instant())
    yield sandbox
    await sandbox.aclose()


@pytest.fixture
def connect(sandbox: Sandbox, data_dir: Path) -> Connect:
    """For tests with settings, a clock or a person of their own; the others take `app`."""
    own = sandbox

    def connect(
        *,
        person: Person | None = None,
        era: Era = "auto",
        sandbox: Sandbox | None = None,
        clock: Clock = SYSTEM_CLOCK,
        webhooks: bool = False,
        **settings: Any,
    ) -> AbstractAsyncContextManager[Connected]:
        return connected(sandbox or own, data_dir, person, era, clock, webhooks=webhooks, **settings)

    return connect


@pytest.fixture(params=ERAS)
async def app(request: pytest.FixtureRequest, connect: Connect) -> AsyncIterator[Connected]:
    """The whole server over the sandbox, and a client of either protocol era."""
    async with connect(era=request.param) as connected:
        yield connected


@pytest.fixture
async def modern_app(connect: Connect) -> AsyncIterator[Connected]:
    """Likewise with a client of today alone, where the era makes no difference."""
    async with connect() as connected:
        yield connected


@pytest.fixture(params=ERAS)
async def hooked_app(request: pytest.FixtureRequest, connect: Connect) -> AsyncIterator[Connected]:
    """`app`, with the account's webhooks."""
    async with connect(era=request.param, webhooks=True) as connected:
        yield connected


@pytest.fixture
async def modern_hooked_app(connect: Connect) -> AsyncIterator[Connected]:
    """`modern_app`, with the account's webhooks."""
    async with connect(webhooks=True) as connected:
        yield connected


# for tests of the store and the inbox without a server


@pytest.fixture
def store_path(data_dir: Path) -> Path:
    """Of a store that does not exist yet."""
    return data_dir / "store.sqlite3"


@pytest.fixture
async def store(store_path: Path) -> AsyncIterator[Store]:
    store = Store(store_path)
    yield store
    await store.close()


@pytest.fixture
async def home(data_dir: Path) -> AsyncIterator[Home]:
    """An inbox, its history and a sandbox with numbers."""
    async with open_home(data_dir) as home:
        yield home


@pytest.fixture
async def homes(home: Home) -> AsyncIterator[list[Home]]:
    """Two on one store file, one account and one clock, as two server processes are."""
    async with open_another(home) as another:
        yield [home, another]


# for tests that spend

GRACE = 0.05
LONG_GRACE = 0.4
DEADLINE = 0.4
"""Seconds, in place of the ones that suit a real network."""


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The grace of the reconciliation and the deadline of a call, as short as a test can bear."""
    monkeypatch.setattr(reconcile, "GRACE_SECONDS", GRACE)
    monkeypatch.setattr(reconcile, "LONG_GRACE_SECONDS", LONG_GRACE)
    monkeypatch.setattr(reconcile, "AGAIN_SECONDS", GRACE)
    defaults: dict[str, Any] = PivClient.__init__.__kwdefaults__ or {}
    shorter = {**defaults, "deadline": DEADLINE, "timeout": DEADLINE / 4}
    monkeypatch.setattr(PivClient.__init__, "__kwdefaults__", shorter)


@pytest.fixture
def silent_browser(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A browser that shows nothing; the file has a line for each page that it was to open."""
    opened = tmp_path / "opened-pages"
    script = tmp_path / "browser"
    script.write_text(f'#!/bin/sh\necho "$1" >> {opened}\n')
    script.chmod(0o700)
    monkeypatch.setenv("BROWSER", str(script))
    return opened
