"""Subscriptions: whoever asked to be told of the inbox is told, in both eras, whichever process received the event."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from engines import open_at
from harness import ERAS, Connect, Era, until
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import ResourceUpdated
from mcp.types import INVALID_PARAMS, ResourceUpdatedNotification
from processes import KEY, Machine, sandbox_on_a_port, sms_webhook

from piv_mcp.api.rate_limit import Priority
from piv_mcp.config import load
from piv_mcp.inbox.inbox import Inbox
from piv_mcp.inbox.parse import event_of
from piv_mcp.runtime import Runtime
from piv_mcp.sandbox import Sandbox
from piv_mcp.server import subscriptions as updates
from piv_mcp.server.build import build_server
from piv_mcp.server.resources import RESOURCES
from piv_mcp.server.subscriptions import INBOX
from piv_mcp.services import Services
from piv_mcp.store.changes import Changes

pytestmark = pytest.mark.filterwarnings("ignore:resources/(un)?subscribe is removed")

eras = pytest.mark.parametrize("era", ERAS)


@dataclass
class Listener:
    """A client of one era that subscribes, and what it has been told."""

    era: Era
    heard: list[str] = field(default_factory=list[str])

    @property
    def client(self) -> Callable[..., Client]:
        return partial(Client, mode=self.era, message_handler=self._on_message)

    async def _on_message(self, message: object) -> None:
        if self.era == "legacy" and isinstance(message, ResourceUpdatedNotification):
            self.heard.append(str(message.params.uri))

    @asynccontextmanager
    async def subscribed(self, client: Client, *uris: str) -> AsyncGenerator[None]:
        if self.era == "legacy":
            for uri in uris:
                await client.subscribe_resource(uri)  # pyright: ignore[reportDeprecated]
            yield
            for uri in uris:
                await client.unsubscribe_resource(uri)  # pyright: ignore[reportDeprecated]
            return
        async with client.listen(resource_subscriptions=uris) as stream:

            async def follow() -> None:
                async for event in stream:
                    assert isinstance(event, ResourceUpdated)
                    self.heard.append(event.uri)

            following = asyncio.create_task(follow())
            yield
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    async def told(self, *uris: str) -> list[str]:
        """All that it has been told, once it has been told of these; it is forgotten then."""
        await until(lambda: set(uris) <= set(self.heard), seconds=20, what=f"news of {uris}, not only {self.heard}")
        heard = self.heard.copy()
        self.heard.clear()
        return heard


@dataclass(frozen=True)
class Home:
    """A server with subscriptions, the numbers of its account, and the inbox as another process has it."""

    client: Client
    services: Services
    sandbox: Sandbox
    numbers: list[str]
    elsewhere: Inbox


def sms_of(number: str) -> str:
    return f"piv://numbers/{number}/sms"


@asynccontextmanager
async def home(listener: Listener, data_dir: Path) -> AsyncGenerator[Home]:
    sandbox = Sandbox(rate_limit=0, seed=False)
    numbers = sandbox.add_numbers(2)
    settings = load(sandbox=True, data_dir=data_dir)
    runtime = Runtime(settings, sandbox=sandbox)
    async with listener.client(build_server(settings, runtime)) as client:
        services = await runtime.services()
        await services.backfill.settled()
        other = open_at(data_dir / "store.sqlite3")
        try:
            yield Home(client, services, sandbox, numbers, Inbox(other, Changes(other)))
        finally:
            await other.close()
    await sandbox.aclose()


@eras
async def test_an_sms_is_news_of_the_inbox_and_of_its_number_alone(era: Era, data_dir: Path) -> None:
    listener = Listener(era)
    async with home(listener, data_dir) as here:
        mine, other = map(sms_of, here.numbers)
        async with listener.subscribed(here.client, INBOX, mine, other):
            await here.services.inbox.record(
                event_of(sms_webhook(here.numbers[0], "Your code is 482913", "482913"), time.time())
            )
            await listener.told(INBOX, mine)
            await here.services.inbox.record(
                event_of(sms_webhook(here.numbers[1], "Your code is 555777", "555777"), time.time())
            )
            await listener.told(INBOX, other)
            assert mine not in listener.heard
            events = (await here.client.read_resource(INBOX)).contents[0]
            assert "555777" in events.model_dump_json()


@eras
async def test_what_another_process_received_is_news_too(era: Era, data_dir: Path) -> None:
    listener = Listener(era)
    async with home(listener, data_dir) as here:
        mine = sms_of(here.numbers[0])
        async with listener.subscribed(here.client, INBOX, mine):
            await here.elsewhere.record(
                event_of(sms_webhook(here.numbers[0], "Your code is 482913", "482913"), time.time())
            )
            await listener.told(INBOX, mine)


@eras
async def test_an_sms_that_the_history_brings_is_news_though_it_arrived_before(era: Era, data_dir: Path) -> None:
    listener = Listener(era)
    async with home(listener, data_dir) as here:
        mine = sms_of(here.numbers[0])
        async with listener.subscribed(here.client, INBOX, mine):
            await here.elsewhere.record(
                event_of(sms_webhook(here.numbers[0], "Your code is 111222", "111222"), time.time())
            )
            await listener.told(INBOX, mine)
            an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
            await here.sandbox.receive_sms(
                here.numbers[0], "Your code is 482913", deliver=False, received_at=an_hour_ago
            )
            assert await here.services.history.look(here.numbers[0], Priority.PERSON) == 1
            await listener.told(INBOX, mine)


@eras
async def test_a_burst_is_told_to_its_end(era: Era, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(updates, "BATCH_SIZE", 3)
    listener = Listener(era)
    async with home(listener, data_dir) as here, listener.subscribed(here.client, *map(sms_of, here.numbers)):
        first, last = here.numbers
        bodies = [sms_webhook(first, f"Your code is {n}", str(n)) for n in range(1000, 1010)]
        bodies.append(sms_webhook(last, "Your code is 482913", "482913"))
        await here.elsewhere.record_all([event_of(body, time.time()) for body in bodies])
        await listener.told(*map(sms_of, here.numbers))


@eras
async def test_who_has_unsubscribed_hears_nothing_more(era: Era, data_dir: Path) -> None:
    listener = Listener(era)
    async with home(listener, data_dir) as here:
        mine, other = map(sms_of, here.numbers)
        async with listener.subscribed(here.client, mine):
            await here.elsewhere.record(
                event_of(sms_webhook(here.numbers[0], "Your code is 111222", "111222"), time.time())
            )
            await listener.told(mine)
        async with listener.subscribed(here.client, other):
            for number in here.numbers:
                await here.elsewhere.record(event_of(sms_webhook(number, "Your code is 482913", "482913"), time.time()))
            heard = await listener.told(other)
            assert mine not in heard  # whose message came first


async def test_who_subscribes_twice_hears_once_and_unsubscribes_once(data_dir: Path) -> None:
    listener = Listener("legacy")
    async with home(listener, data_dir) as here:
        mine, other = map(sms_of, here.numbers)
        async with listener.subscribed(here.client, other):
            async with listener.subscribed(here.client, mine), listener.subscribed(here.client, mine):
                for number in here.numbers:
                    await here.elsewhere.record(
                        event_of(sms_webhook(number, "Your code is 482913", "482913"), time.time())
                    )
                assert await listener.told(mine, other) == [mine, other]
            for number in here.numbers:
                await here.elsewhere.record(event_of(sms_webhook(number, "Your code is 111222", "111222"), time.time()))
            assert await listener.told(other) == [other]


@eras
@pytest.mark.parametrize(
    "uri", ["piv://nothing", "https://example.com/", "piv://numbers/..", "piv://numbers/a/b/c", ""]
)
async def test_what_is_no_resource_cannot_be_subscribed_to(era: Era, uri: str, connect: Connect) -> None:
    listener = Listener(era)
    async with connect(era=era) as app:
        with pytest.raises(MCPError) as caught:
            async with listener.subscribed(app.client, INBOX, uri):
                pass
        assert caught.value.code == INVALID_PARAMS
        assert json.dumps(uri) in caught.value.message
        for known in RESOURCES:
            assert known in caught.value.message
        for known in RESOURCES:
            async with listener.subscribed(app.client, known.replace("{", "").replace("}", "")):
                pass


@eras
async def test_a_subscriber_over_stdio_hears_of_what_the_owner_of_the_port_received(era: Era, data_dir: Path) -> None:
    account = Sandbox(KEY, seed=False)
    (number,) = account.add_numbers(1)
    listener = Listener(era)
    async with sandbox_on_a_port(account) as base_url:
        machine = Machine(data_dir, base_url)
        async with machine.server("owner"):
            await machine.served()
            async with (
                machine.server("subscriber", client=listener.client) as process,
                listener.subscribed(process.client, INBOX, sms_of(number)),
            ):
                delivery = await machine.post(sms_webhook(number, "Your code is 482913", "482913"))
                assert delivery is not None
                assert delivery.status_code == 200
                await listener.told(INBOX, sms_of(number))
