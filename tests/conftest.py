"""What the tests share: a clean environment, a sandbox, and a client connected to the server over it."""

import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import pytest
import stamina
from mcp import Client
from mcp.types import CallToolResult, TextContent

from piv_mcp.api.client import PivClient
from piv_mcp.api.retry import ATTEMPTS
from piv_mcp.config import load
from piv_mcp.runtime import Runtime
from piv_mcp.sandbox import Sandbox, Timing
from piv_mcp.server.build import build_server
from piv_mcp.services import Services
from piv_mcp.spending.reconcile import reconciler as reconcile
from piv_mcp.text.times import SYSTEM_CLOCK, Clock

Era = Literal["auto", "legacy"]
ERAS: tuple[Era, ...] = ("auto", "legacy")
"""Protocol 2026-07-28, and the handshake era up to 2025-11-25."""

Request = tuple[str, str, dict[str, str], object]
"""Method, path below `/api/v1` as it was sent, query, body."""


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


@dataclass(frozen=True)
class Connected:
    """A client, the server's services, and the sandbox behind them."""

    client: Client
    services: Services
    sandbox: Sandbox

    async def call(self, tool: str, /, **arguments: Any) -> CallToolResult:
        """A tool's result, error or not. What earlier calls sent is forgotten."""
        self.sandbox.requests.clear()
        return await self.client.call_tool(tool, arguments)

    async def ok(self, tool: str, /, **arguments: Any) -> dict[str, Any]:
        """The answer of a call that must succeed."""
        result = await self.call(tool, **arguments)
        assert not result.is_error, text_of(result)
        return content_of(result)

    async def error(self, tool: str, /, **arguments: Any) -> str:
        """The words of a call that must fail."""
        result = await self.call(tool, **arguments)
        assert result.is_error, text_of(result)
        return text_of(result)

    @property
    def sent(self) -> list[Request]:
        """What the last call sent to piv.day."""
        return [(item.method, item.raw_path, item.query, item.body) for item in self.sandbox.requests]


class Connect(Protocol):
    """Connects a new client to a new server with these settings, in an `async with`."""

    def __call__(
        self, *, era: Era = "auto", sandbox: Sandbox | None = None, clock: Clock = SYSTEM_CLOCK, **settings: Any
    ) -> AbstractAsyncContextManager[Connected]: ...


@pytest.fixture
def connect(sandbox: Sandbox, data_dir: Path) -> Connect:
    """For tests with settings of their own; the others take `app`."""
    own = sandbox

    @asynccontextmanager
    async def connected(
        *, era: Era = "auto", sandbox: Sandbox | None = None, clock: Clock = SYSTEM_CLOCK, **settings: Any
    ) -> AsyncGenerator[Connected]:
        chosen = load(sandbox=True, data_dir=data_dir, **settings)
        runtime = Runtime(chosen, sandbox=sandbox or own, clock=clock)
        async with Client(build_server(chosen, runtime), mode=era) as client:
            services = await runtime.services()
            await services.backfill.settled()  # its requests are not the test's
            yield Connected(client, services, sandbox or own)

    return connected


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


def text_of(result: CallToolResult) -> str:
    """The text that a model reads."""
    return "\n".join(block.text for block in result.content if isinstance(block, TextContent))


def content_of(result: CallToolResult) -> dict[str, Any]:
    """The answer that a program reads."""
    content: dict[str, Any] | None = result.structured_content
    assert content is not None
    return content


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
