"""An inbox with its history and a sandbox, without a server around them. Its clock moves only when a test moves it."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from engines import open_at
from harness import until
from moving_clock import MovingClock
from processes import sms_webhook
from pydantic import SecretStr

from piv_mcp.api.client import PivClient
from piv_mcp.api.phonebook import Phonebook
from piv_mcp.inbox import wait
from piv_mcp.inbox.backfill import Backfill
from piv_mcp.inbox.cursor import Cursor
from piv_mcp.inbox.history import History
from piv_mcp.inbox.inbox import Inbox
from piv_mcp.inbox.parse import event_of
from piv_mcp.inbox.wanted import Wanted
from piv_mcp.sandbox import Sandbox, SandboxTransport
from piv_mcp.store.changes import Changes
from piv_mcp.store.event import StoredEvent
from piv_mcp.store.rate_limit import SharedLimiter

PATIENCE = 30.0
"""Real seconds after which a test fails that waits for something which happens at once on a quiet machine."""


@dataclass
class Home:
    """What one server process has of the inbox."""

    clock: MovingClock
    sandbox: Sandbox
    client: PivClient
    inbox: Inbox
    history: History
    numbers: list[str]
    store_path: Path

    def advance(self, seconds: float) -> None:
        """Let so much time pass here and at piv.day."""
        self.clock.advance(seconds)
        self.sandbox.advance(timedelta(seconds=seconds))

    async def webhook(self, number: str, code: str, at: datetime | None = None) -> StoredEvent:
        moment = (at or datetime.now(UTC)).isoformat()
        return await self.record(sms_webhook(number, f"Your code is {code}", code, moment))

    async def record(self, body: bytes, *, ago: float = 0) -> StoredEvent:
        """Store the event in a webhook's body, as it arrived so many seconds ago."""
        remote = self.inbox.remote_time()
        event = event_of(body, self.clock.time() - ago, None if remote is None else remote - ago)
        stored, _ = await self.inbox.record(event)
        return stored

    async def wait(self, number: str, *, seconds: float = 5, after: Cursor | None = None, **wanted: Any) -> wait.Waited:
        async with asyncio.timeout(PATIENCE):
            return await wait.wait_for_code(
                self.inbox,
                self.history,
                number,
                seconds=seconds,
                progress=no_progress,
                cursor=after,
                wanted=Wanted(**wanted),
            )

    def waiting(self, number: str, *, seconds: float = 60, **wanted: Any) -> "asyncio.Task[wait.Waited]":
        return asyncio.create_task(self.wait(number, seconds=seconds, **wanted))

    async def asleep(self, sleeping: int = 2) -> None:
        """Until so many tasks sleep. A process that waits has one for each number, which polls it, and one that looks
        for the commits of other processes."""
        await until(lambda: self.clock.sleeping >= sleeping, seconds=PATIENCE, what=f"{sleeping} sleeping tasks")

    async def waits_for(self, seconds: float) -> None:
        """Until something waits that ends in so many seconds."""
        await until(lambda: self.clock.waits_for(seconds), seconds=PATIENCE, what=f"a wait of {seconds} seconds")

    def polls(self) -> list[str]:
        """The numbers whose history was asked for, in order."""
        return [r.raw_path.split("/")[-2] for r in self.sandbox.requests if r.raw_path.endswith("/sms")]

    async def polled(self, count: int = 1) -> None:
        """Until so many polls were sent."""
        await until(lambda: len(self.polls()) >= count, seconds=PATIENCE, what=f"{count} polls")

    def after_reads(
        self, monkeypatch: pytest.MonkeyPatch, count: int, happens: Callable[[], Awaitable[object]]
    ) -> None:
        """Let something happen just after this process has read the store so many times."""
        read, left = self.inbox.store.read, count

        async def read_and_go_on(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            nonlocal left
            outcome = await read(fn, *args, **kwargs)
            left -= 1
            if left == 0:
                await happens()
            return outcome

        monkeypatch.setattr(self.inbox.store, "read", read_and_go_on)

    def limiter(self) -> SharedLimiter:
        """The request limit, as another call has it."""
        return SharedLimiter(self.inbox.store, self.clock)

    def backfill(self) -> Backfill:
        return Backfill(self.client, self.inbox, self.history, Phonebook(self.client))


@asynccontextmanager
async def open_home(data_dir: Path) -> AsyncGenerator[Home]:
    """With twelve numbers, and nothing else in the account."""
    clock, sandbox = MovingClock(speed=0), Sandbox(rate_limit=0, seed=False)
    numbers = sandbox.add_numbers(12)
    async with _process(data_dir / "store.sqlite3", sandbox, clock, numbers) as home:
        yield home
    await sandbox.aclose()


@asynccontextmanager
async def open_another(home: Home, *, key_digest: str | None = None) -> AsyncGenerator[Home]:
    """A second process on the same store file, with the same account and clock, and maybe another key."""
    async with _process(home.store_path, home.sandbox, home.clock, home.numbers, key_digest) as another:
        yield another


@asynccontextmanager
async def _process(
    path: Path, sandbox: Sandbox, clock: MovingClock, numbers: list[str], key_digest: str | None = None
) -> AsyncGenerator[Home]:
    store = open_at(path, key_digest=key_digest, clock=clock)
    client = PivClient(
        "https://api.test/api/v1",
        SecretStr(sandbox.api_key),
        transport=SandboxTransport(sandbox, sleep=clock.sleep),
        limiter=SharedLimiter(store, clock),
        clock=clock,
    )
    inbox = Inbox(store, Changes(store, clock), clock=clock, remote_time=client.remote_clock.time)
    history = History(client, inbox)
    yield Home(clock, sandbox, client, inbox, history, numbers, path)
    await history.watches.close()
    await inbox.changes.close()
    await client.aclose()
    await store.close()


async def no_progress(waited: float, seconds: float) -> None:
    """Progress that nobody watches."""


def codes(waited: wait.Waited) -> list[str | None]:
    return [event.code for event in waited.found]


async def cancelled(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel tasks that are still running."""
    for task in tasks:
        assert not task.done()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()
