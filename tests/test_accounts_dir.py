"""Several accounts in one server over HTTP: a key file each, as secrets are mounted."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from fleets import Replica, Site, piv_day, site
from harness import ERAS, Era, text_of, until
from mcp.types import ResourceTemplateReference, TextResourceContents
from processes import sms_webhook

from piv_mcp.config import load
from piv_mcp.errors import ConfigError
from piv_mcp.log import Redactor
from piv_mcp.runtime import Runtime
from piv_mcp.sandbox import Sandbox, Timing
from piv_mcp.server import fleet, identity
from piv_mcp.server.account_files import AccountFile, read_accounts
from piv_mcp.services import CALLER
from piv_mcp.store import SqliteStore, agents, facts
from piv_mcp.store.agents import Agent

KEY_A, KEY_B, KEY_A2 = "sk-key-of-account-a-01", "sk-key-of-account-b-02", "sk-key-of-account-a-03"


def account(key: str, user_id: str, numbers: int) -> Sandbox:
    sandbox = Sandbox(key, seed=False, rate_limit=0, timing=Timing.instant())
    sandbox.state.user_id = user_id
    sandbox.add_numbers(numbers)
    return sandbox


@dataclass
class Mounted:
    """A folder of secrets as Kubernetes mounts it: links to `..data/NAME`, which is a link itself."""

    folder: Path
    version: int = 0

    def put(self, **secrets: str) -> None:
        """Replace all secrets, in one step."""
        self.version += 1
        data = self.folder / f"..version-{self.version}"
        data.mkdir(parents=True)
        for name, text in secrets.items():
            file = data / name.replace("__", ".")
            file.write_text(text + "\n")
            file.chmod(0o444)
        new = self.folder / "..new"
        new.symlink_to(data.name)
        new.replace(self.folder / "..data")
        for name in {name.replace("__", ".") for name in secrets}:
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(f"..data/{name}")


@dataclass
class House:
    place: Site
    mounted: Mounted
    a: Sandbox
    b: Sandbox
    a2: Sandbox
    """The first account, as its other key shows it."""


@pytest.fixture
async def house(data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    monkeypatch.setattr(identity, "ROSTER_SECONDS", 0.01)
    monkeypatch.setattr(fleet, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(fleet, "LEAVE_SECONDS", 0.1)
    a, b, a2 = account(KEY_A, "user-a", 2), account(KEY_B, "user-b", 4), account(KEY_A2, "user-a", 2)
    mounted = Mounted(tmp_path / "accounts")
    mounted.put(alpha=KEY_A, beta=KEY_B)
    async with piv_day(a, b, a2) as base_url:
        yield House(site(data_dir, base_url, api_key=None, accounts_dir=mounted.folder), mounted, a, b, a2)
    for sandbox in (a, b, a2):
        await sandbox.aclose()


async def total(server: Replica, token: str) -> int:
    return int((await server.call(token, "list_numbers"))["total"])


async def own_secret(house: House, server: Replica, owner: str) -> str:
    """The webhook secret that the store holds for the account of an agent."""
    store = SqliteStore(server.settings.store_path(server.settings.directory))
    try:
        (number,) = [agent.account for agent in await store.read(agents.listed) if agent.name == owner]
        return str(await store.read(facts.get, f"{facts.WEBHOOK_SECRET}@{number}"))
    finally:
        await store.close()


async def test_each_agent_has_the_account_that_it_was_added_to(house: House) -> None:
    one = await house.place.agent("one", account="alpha")
    other = await house.place.agent("other", account="beta")
    async with house.place.server() as server:
        totals = await asyncio.gather(*(total(server, token) for token in (one, other) * 5))
        assert totals == [2, 4] * 5


@pytest.mark.parametrize("era", ERAS)
async def test_resources_and_completions_at_once_are_each_of_their_account(house: House, era: Era) -> None:
    one = await house.place.agent("one", account="alpha")
    other = await house.place.agent("other", account="beta")
    template = ResourceTemplateReference(uri="piv://numbers/{piv_num_id}")

    async def seen(server: Replica, token: str) -> tuple[set[str], set[str]]:
        async with server.client(token, era) as client:
            (content,) = (await client.read_resource("piv://numbers")).contents
            assert isinstance(content, TextResourceContents)
            completed = await client.complete(template, {"name": "piv_num_id", "value": ""})
            return {row["piv_num_id"] for row in json.loads(content.text)["rows"]}, set(completed.completion.values)

    async with house.place.server() as server:
        found = await asyncio.gather(*(seen(server, token) for token in (one, other) * 5))
    own, others = set(house.a.state.numbers), set(house.b.state.numbers)
    assert found == [(own, own), (others, others)] * 5


async def test_a_webhook_goes_to_the_account_whose_secret_it_has(house: House) -> None:
    one = await house.place.agent("one", account="alpha")
    other = await house.place.agent("other", account="beta")
    async with house.place.server() as server, server.http() as http:
        number = list(house.b.state.numbers)[-1]
        secret = await own_secret(house, server, "other")
        waiting = asyncio.create_task(server.call(other, "wait_for_code", number=number, timeout_seconds=10))
        sent = await http.post(f"/webhooks/{secret}", content=sms_webhook(number, "Code 918273", "918273"))
        assert sent.is_success
        assert "918273" in str(await waiting)
        assert "918273" not in str(await server.call(one, "list_events"))


async def test_a_secret_of_a_file_is_taken(house: House) -> None:
    token = await house.place.agent("one", account="alpha")
    secret = "7vKx2mQ9sB4nLw8eRt5y"
    house.mounted.put(alpha=KEY_A, alpha__webhook=secret)
    async with house.place.server() as server, server.http() as http:
        number = next(iter(house.a.state.numbers))
        sent = await http.post(f"/webhooks/{secret}", content=sms_webhook(number, "Code 918273", "918273"))
        assert sent.is_success
        assert "918273" in str(await server.call(token, "list_events"))


async def test_a_bad_file_stops_none_of_the_others(house: House) -> None:
    token = await house.place.agent("one", account="alpha")
    house.mounted.put(alpha=KEY_A, beta="two\nlines", gamma="", delta=KEY_B, delta__webhook="abc")
    (house.mounted.folder / "folder").mkdir()
    os.mkfifo(house.mounted.folder / "pipe")
    (house.mounted.folder / "dangling").symlink_to("nowhere")
    found, problems = read_accounts(house.place.settings())
    assert [file.name for file in found] == ["alpha"]
    assert set(problems) == {"beta", "gamma", "delta", "pipe", "dangling"}
    assert "two" not in str(problems)
    async with house.place.server() as server:
        assert await total(server, token) == 2


async def test_an_agent_whose_account_has_no_key_here_is_told_so(house: House) -> None:
    token = await house.place.agent("other", account="beta")
    house.mounted.put(alpha=KEY_A)
    (house.mounted.folder / "beta").unlink()
    async with house.place.server() as server, server.client(token) as client:
        refused = await client.call_tool("list_numbers", {})
        assert refused.is_error
        assert "account is not served here" in text_of(refused)
        assert KEY_A not in text_of(refused)


async def test_the_trouble_of_another_account_is_not_told(house: House) -> None:
    settings = house.place.settings()
    members = fleet.Fleet(settings, Redactor())
    for name, problem in (("alpha", "it is starting"), ("beta", "PIV_BETA is wrong")):
        member = fleet._Served(AccountFile(name, None, None), Runtime(settings), problem=problem)  # pyright: ignore[reportPrivateUsage]
        members._members[name] = member  # pyright: ignore[reportPrivateUsage]
    caller = CALLER.set(Agent(name="bot", account=1, token="", added_at=0.0))
    try:
        with pytest.raises(ConfigError) as caught:
            await members.services()
    finally:
        CALLER.reset(caller)
    assert "may not be ready" in caught.value.message
    assert "starting" not in caught.value.message
    assert "BETA" not in caught.value.message


async def test_a_key_is_rotated_without_a_restart(house: House) -> None:
    token = await house.place.agent("one", account="alpha")
    async with house.place.server() as server:
        assert await total(server, token) == 2
        house.mounted.put(alpha=KEY_A2, beta=KEY_B)

        async def is_asked_with_the_new_key() -> bool:
            """Three times: what asks may be the background of the new services, and not the call yet."""
            for _ in range(3):
                before = len(house.a2.requests)
                if await total(server, token) != 2 or len(house.a2.requests) == before:
                    return False
            return True

        await until(is_asked_with_the_new_key, seconds=20, what="calls go out with the new key", every=0.1)


async def test_two_files_of_one_account_are_one_account(house: House) -> None:
    one = await house.place.agent("one", account="alpha")
    house.mounted.put(alpha=KEY_A, beta=KEY_B, gamma=KEY_A2)
    two = await house.place.agent("two", account="gamma")
    async with house.place.server() as server, server.http() as http:
        number = next(iter(house.a.state.numbers))

        async def is_one() -> bool:
            return await own_secret(house, server, "one") == await own_secret(house, server, "two")

        await until(is_one, seconds=5, what="the two are one account")
        secret = await own_secret(house, server, "one")
        assert (await http.post(f"/webhooks/{secret}", content=sms_webhook(number, "Code 918273", "918273"))).is_success
        for token in (one, two):
            assert "918273" in str(await server.call(token, "list_events"))


async def test_a_file_that_appears_is_served(house: House) -> None:
    house.mounted.put(alpha=KEY_A)
    async with house.place.server() as server:
        house.mounted.put(alpha=KEY_A, beta=KEY_B)
        token = await house.place.agent("other", account="beta")

        async def is_served() -> bool:
            async with server.client(token) as client:
                return not (await client.call_tool("list_numbers", {})).is_error

        await until(is_served, seconds=10, what="the new account is served", every=0.1)


def test_without_a_directory_there_is_the_one_key(data_dir: Path) -> None:
    data_dir.mkdir(mode=0o700)
    settings = load(transport="http", data_dir=data_dir, api_key=KEY_A)
    found, problems = read_accounts(settings)
    assert [file.key.get_secret_value() for file in found if file.key is not None] == [KEY_A]
    assert problems == {}
    assert read_accounts(load(transport="http", data_dir=data_dir)) == ([], {})
