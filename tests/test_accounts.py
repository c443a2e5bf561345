"""Two accounts on one data directory: neither sees, spends or receives anything of the other."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog.testing
from engines import open_at
from harness import Connected, Person, connected, decliner, until
from moving_clock import MovingClock
from plain_http import http_client
from processes import SECRET, free_port, sms_webhook

from piv_mcp.cli import doctor
from piv_mcp.config import load
from piv_mcp.errors import StoreError
from piv_mcp.inbox.parse import event_of
from piv_mcp.sandbox import Sandbox, Timing
from piv_mcp.store import Store, accounts, events, facts, recording, servers
from piv_mcp.store.servers import Server, WebhookAddress
from piv_mcp.web.addresses import Addresses

KEY_A, KEY_B, KEY_C = "sk-key-of-account-a-01", "sk-key-of-account-b-02", "sk-key-of-account-a-03"
BUDGET: dict[str, Any] = {"spend_mode": "budget", "auto_approve_max": "10", "daily_budget": "4", "confirm_wait": 0}
BUY: dict[str, Any] = {"country_code": "SE", "duration_months": 1, "auto_renew": False}


def account(key: str, user_id: str, numbers: int) -> Sandbox:
    sandbox = Sandbox(key, seed=False, rate_limit=0, timing=Timing.instant())
    sandbox.state.user_id = user_id
    sandbox.add_numbers(numbers)
    return sandbox


def only_number(sandbox: Sandbox) -> str:
    """A number that the other account does not have."""
    return list(sandbox.state.numbers)[-1]


@dataclass
class House:
    """One data directory and one webhook port."""

    data_dir: Path
    port: int

    @asynccontextmanager
    async def server(
        self, sandbox: Sandbox, person: Person | None = None, **settings: Any
    ) -> AsyncGenerator[Connected]:
        given: dict[str, Any] = {"webhook_port": self.port, **settings}
        async with connected(sandbox, self.data_dir, person, webhooks=True, **given) as app:
            yield app

    def secret(self, key: str) -> str:
        """The webhook secret in the account's own file, or in the plain one."""
        own = self.data_dir / f"webhook-secret-{accounts.digest(key)[:12]}"
        return (own if own.exists() else self.data_dir / "webhook-secret").read_text()

    async def post(self, secret: str, number: str, code: str) -> httpx.Response:
        async with http_client(f"http://127.0.0.1:{self.port}") as http:
            return await http.post(f"/webhooks/{secret}", content=sms_webhook(number, f"Your code is {code}", code))


@pytest.fixture
def house(data_dir: Path) -> House:
    return House(data_dir, free_port())


@dataclass
class Two:
    """A server of each account; the first holds the port."""

    house: House
    a: Connected
    b: Connected


@pytest.fixture
async def two(house: House) -> AsyncIterator[Two]:
    a, b = account(KEY_A, "user-a", 2), account(KEY_B, "user-b", 4)
    async with house.server(a, **BUDGET) as first, house.server(b, **BUDGET) as second:
        yield Two(house, first, second)
    for sandbox in (a, b):
        await sandbox.aclose()


async def codes(app: Connected) -> list[str]:
    return [event["code"] for event in (await app.ok("list_events"))["events"]]


async def test_a_webhook_reaches_the_account_that_it_was_sent_to_whoever_holds_the_port(two: Two) -> None:
    assert two.a.services.receiving.serving_at() is not None
    assert two.b.services.receiving.serving_at() is None
    for_a, for_b = two.house.secret(KEY_A), two.house.secret(KEY_B)
    assert for_a != for_b
    numbers = only_number(two.a.sandbox), only_number(two.b.sandbox)
    waiting = asyncio.create_task(two.b.ok("wait_for_code", number=numbers[1], timeout_seconds=20))
    assert (await two.house.post(for_a, numbers[0], "111111")).status_code == 200
    assert (await two.house.post(for_b, numbers[1], "222222")).status_code == 200
    assert (await waiting)["newest"]["code"] == "222222"
    assert (await codes(two.a), await codes(two.b)) == (["111111"], ["222222"])
    for app in (two.a, two.b):
        assert await app.services.store.read(facts.own_number, facts.WEBHOOK_RECEIVED) > 0


async def test_equal_webhooks_of_two_accounts_are_two_events(two: Two) -> None:
    answers = [await two.house.post(two.house.secret(key), "both", "333333") for key in (KEY_A, KEY_B, KEY_A)]
    assert [(answer.json()["id"], answer.json()["new"]) for answer in answers] == [(1, True), (2, True), (1, False)]
    assert (await codes(two.a), await codes(two.b)) == (["333333"], ["333333"])


async def test_webhooks_of_both_accounts_in_one_commit_stay_apart(two: Two) -> None:
    secrets = [two.house.secret(key) for key in (KEY_A, KEY_B)] * 10
    answers = await asyncio.gather(*(two.house.post(s, "num", f"{1000 + n}") for n, s in enumerate(secrets)))
    assert {answer.status_code for answer in answers} == {200}
    assert sorted(await codes(two.a)) == [str(1000 + n) for n in range(0, 20, 2)]
    assert sorted(await codes(two.b)) == [str(1000 + n) for n in range(1, 20, 2)]


async def test_the_secret_of_an_account_without_a_running_server_is_not_found(house: House) -> None:
    a, b = account(KEY_A, "user-a", 1), account(KEY_B, "user-b", 1)
    async with house.server(a) as app:
        async with house.server(b):
            assert (await house.post(house.secret(KEY_B), "num", "1111")).status_code == 200

        async def refused() -> bool:
            return (await house.post(house.secret(KEY_B), "num", "2222")).status_code == 404

        await until(refused, seconds=20, what="the end of b's address", every=0.2)
        assert await codes(app) == []


async def test_each_account_keeps_its_secret_over_restarts_whoever_starts_first(house: House) -> None:
    async def secrets_of(*sandboxes: Sandbox) -> list[str]:
        async with AsyncExitStack() as stack:
            for sandbox in sandboxes:
                await stack.enter_async_context(house.server(sandbox))
            return [house.secret(key) for key in (KEY_A, KEY_B)]

    a, b = account(KEY_A, "user-a", 1), account(KEY_B, "user-b", 1)
    first = await secrets_of(a, b)
    assert first[0] == (house.data_dir / "webhook-secret").read_text()
    assert await secrets_of(b, a) == first
    assert await secrets_of(b) == first
    for lost in house.data_dir.glob("store.sqlite3*"):
        lost.unlink()
    async with house.server(b), house.server(a):
        assert (await house.post(first[1], "num", "1111")).status_code == 200
    store = open_at(house.data_dir / "store.sqlite3", key_digest=accounts.digest(KEY_B))
    assert [event.code for event in await store.read(events.codes, None)] == ["1111"], "the new store's first account"
    await store.close()


async def test_a_new_key_of_the_same_account_has_the_address_and_the_inbox_of_the_old_one(house: House) -> None:
    async with house.server(account(KEY_A, "user-a", 1)):
        assert (await house.post(house.secret(KEY_A), "num", "1111")).status_code == 200
    async with house.server(account(KEY_C, "user-a", 1)) as app:
        assert not list(house.data_dir.glob("webhook-secret-*[!k]")), "no file but the plain one and its lock"
        assert (await house.post((house.data_dir / "webhook-secret").read_text(), "num", "2222")).status_code == 200
        assert sorted(await codes(app)) == ["1111", "2222"]


async def test_one_secret_set_for_two_accounts_belongs_to_the_first_for_good(house: House) -> None:
    given: dict[str, Any] = {"webhook_secret": SECRET}
    a, b = account(KEY_A, "user-a", 1), account(KEY_B, "user-b", 1)
    async with house.server(a, **given) as first:
        with structlog.testing.capture_logs() as logs:
            async with house.server(b, **given) as second:
                problem = second.services.receiving.problem()
                assert problem is not None
                assert "first used for another account" in problem
                assert first.services.receiving.problem() is None
                assert (await house.post(SECRET, "num", "1111")).status_code == 200
                assert (await codes(first), await codes(second)) == (["1111"], [])
        assert "first used for another account" in str([log for log in logs if log["log_level"] == "warning"])
        assert SECRET not in str(logs)
    async with house.server(b, **given) as alone:
        assert (await house.post(SECRET, "num", "2222")).status_code == 200
        assert await codes(alone) == []
    async with house.server(a, **given) as again:
        assert sorted(await codes(again)) == ["1111", "2222"]


async def test_journal_budget_and_approvals_are_each_accounts_own(two: Two) -> None:
    bought = await two.b.ok("purchase_number", **BUY)
    assert bought["status"] == "charged", bought
    asked = await two.b.ok("purchase_number", **{**BUY, "duration_months": 3})
    assert asked["status"] == "approval_required"
    spending = await two.a.ok("list_spending")
    assert (spending["entries"], spending["budget"]["left_today"]) == ([], "4.00")
    assert len((await two.b.ok("list_spending"))["entries"]) == 2
    assert await two.a.gate.journal.get(asked["spending_id"]) is None
    assert not await two.a.gate.journal.decide(asked["spending_id"], "approve", by="page")
    assert (await two.a.ok("purchase_number", **BUY))["status"] == "charged", "its own budget is whole"


async def test_cursors_resources_and_texts_of_another_account_are_refused(two: Two) -> None:
    number = only_number(two.b.sandbox)
    await two.house.post(two.house.secret(KEY_B), number, "424242")
    cursor = (await two.b.ok("list_events"))["after"]
    answer = await two.a.ok("list_events", after=cursor)
    assert (answer["events"], "to another account" in answer["note"]) == ([], True)
    for uri in ("piv://inbox", "piv://spending"):
        shown = await two.a.client.read_resource(uri)
        assert "424242" not in str(shown)
    assert "424242" in str(await two.b.client.read_resource("piv://inbox"))
    assert "424242" not in str(await two.a.client.call_tool("get_latest_code", {}))
    assert "424242" not in str(await two.a.client.call_tool("list_sms", {"number": number}))


@pytest.mark.sqlite
async def test_doctor_prints_the_address_of_the_keys_account_and_counts_its_events(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = account(KEY_A, "user-a", 1), account(KEY_B, "user-b", 1)
    async with house.server(a):
        async with house.server(b):
            await house.post(house.secret(KEY_B), "num", "1111")
        for key, events_, received in ((KEY_A, "0 events", False), (KEY_B, "1 events", True)):
            monkeypatch.setenv("PIV_API_KEY", key)
            base_url = f"http://127.0.0.1:{free_port()}/api/v1"  # nobody answers there
            settings = load(data_dir=house.data_dir, webhook_port=house.port, base_url=base_url)
            found = {finding.what: finding for finding in await doctor.examine(settings)}
            endpoint = found["webhook endpoint"]
            assert endpoint.ok, endpoint
            assert f"/webhooks/{house.secret(key)}" in (endpoint.do or "")
            assert events_ in found["store"].state
            assert ("no webhook has ever been received" in endpoint.state) != received


async def test_doctor_prints_no_address_for_a_key_of_which_nobody_knows_whose_it_is(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house.server(account(KEY_A, "user-a", 1)):
        monkeypatch.setenv("PIV_API_KEY", KEY_B)
        base_url = f"http://127.0.0.1:{free_port()}/api/v1"
        found = await doctor.examine(load(data_dir=house.data_dir, webhook_port=house.port, base_url=base_url))
    assert house.secret(KEY_A) not in str(found)
    (endpoint,) = [finding for finding in found if finding.what == "webhook endpoint"]
    assert not endpoint.ok
    store = open_at(house.data_dir / "store.sqlite3")
    assert await store.read(accounts.keys) == [accounts.digest(KEY_A)], "and notes no such key"
    await store.close()


async def test_guesses_ask_the_store_once_a_second(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = MovingClock(speed=0)
    addresses, asked, read = Addresses(store, SECRET, clock), 0, store.read

    async def counting(*given: Any, **named: Any) -> Any:
        nonlocal asked
        asked += 1
        return await read(*given, **named)

    monkeypatch.setattr(store, "read", counting)
    for seconds in range(3):
        assert [await addresses.find(f"guess-{n}") for n in range(100)] == [None] * 100
        assert asked == seconds + 1
        clock.advance(1)
    assert await addresses.find(SECRET) == WebhookAddress(servers.digest(SECRET))
    assert asked == 3


async def test_an_event_for_an_address_that_nobody_knows_any_more_is_not_stored(store: Store) -> None:
    address = WebhookAddress(servers.digest("a-secret-of-another"), is_own=False)
    with pytest.raises(StoreError, match="not known"):
        await store.write(recording.add_received, lambda: [(events.StoredEvent("x.y", "webhook", 0.0, "{}"), address)])
    assert await store.read(events.last_seq) == 0


async def test_the_secrets_of_servers_that_have_ended_are_swept(store: Store) -> None:
    gone = Server("999999999:1:aa", servers.digest("gone"), 1, 30, "0", 0.0)
    await store.write(servers.note, gone, 0.0)
    assert await store.read(servers.accepted, 0.0) == frozenset()
    await store.write(servers.note, Server("", servers.digest("new"), 1, 30, "0", 0.0), 0.0)
    assert await store.read(lambda c: c.count("SELECT count(*) FROM servers")) == 1


async def test_a_declining_person_of_one_account_is_not_asked_for_the_other(house: House) -> None:
    a, b = account(KEY_A, "user-a", 1), account(KEY_B, "user-b", 1)
    person = decliner()
    async with house.server(a, person), house.server(b, confirm_wait=0) as other:
        await other.call("purchase_number", **BUY)
        assert person.asked == []


async def test_what_is_stored_in_the_commit_that_finds_two_keys_of_one_account_is_kept(store_path: Path) -> None:
    first, second = open_at(store_path, key_digest="a"), open_at(store_path, key_digest="b")
    await first.write(accounts.identify, "user")
    assert await second.read(accounts.user_id) is None
    event = event_of(sms_webhook("num", "Your code is 1111", "1111"), 1000.0)
    await asyncio.gather(second.write(accounts.identify, "user"), second.write(recording.add, event))
    for store in (first, second):
        assert (await store.read(events.after, 0))[1] == 1
        await store.close()


async def test_without_a_key_nothing_of_several_accounts_is_shown(store_path: Path) -> None:
    stores = [open_at(store_path, key_digest=key) for key in ("a", "b", "c")]
    for store in stores:
        await store.read(accounts.user_id)
    await stores[1].write(accounts.identify, "user")
    await stores[0].write(accounts.identify, "user")  # what the first key claimed is the second's
    await stores[1].write(recording.add, event_of(sms_webhook("num", "Your code is 1111", "1111"), 1000.0))
    for store in stores:
        await store.close()
    nobody = open_at(store_path)
    assert await nobody.read(events.after, 0) == ([], 0)
    await nobody.close()
