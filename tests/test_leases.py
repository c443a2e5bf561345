"""Leases: a number for one agent at a time, exactly, and nothing of it for others meanwhile."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from harness import ERAS, Connected, Era, connected, content_of, text_of, until
from mcp.types import ResourceTemplateReference, TextResourceContents
from moving_clock import MovingClock
from team import Team, team

from piv_mcp.api.models import Page, Pagination
from piv_mcp.api.numbers import Sms
from piv_mcp.api.rate_limit import Priority
from piv_mcp.api.seen_numbers import SeenNumbersApi
from piv_mcp.inbox.parse import event_of
from piv_mcp.sandbox import Sandbox, Timing
from piv_mcp.store import SqliteStore, Store, events, leases, number_leases
from piv_mcp.store.connection import Connection
from piv_mcp.store.number_leases import NumberLease

MINUTE = 60.0


@pytest.fixture
async def home(data_dir: Path) -> AsyncIterator[Team]:
    """Three numbers, and agents that see all of them. The clock moves only when a test moves it."""
    sandbox = Sandbox(rate_limit=0, timing=Timing.instant(), seed=False)
    sandbox.add_numbers(3)
    async with team(sandbox, data_dir, clock=MovingClock(speed=0)) as home:
        for name in ("ada", "bob"):
            await home.add(name)
        yield home
    await sandbox.aclose()


async def sms(home: Team, number: str, code: str) -> None:
    """A message that is in the history of the number, and in the inbox."""
    await home.sandbox.receive_sms(number, f"Your code is {code}")
    at = datetime.fromtimestamp(home.clock.time(), UTC).isoformat()
    data = {"piv_num_id": number, "text": f"Your code is {code}", "code": code, "received_at": at}
    body = json.dumps({"event_type": "sms.received", "timestamp": at, "data": data}).encode()
    await home.services.inbox.record(event_of(body, home.clock.time()))


def advance(home: Team, seconds: float) -> None:
    assert isinstance(home.clock, MovingClock)
    home.clock.advance(seconds)
    home.sandbox.advance(timedelta(seconds=seconds))


async def everything(app: Connected, number: str) -> str:
    """All that the agent can read of a number without waiting."""
    answers = [
        await app.ok("get_latest_code"),
        await app.ok("get_latest_code", number=number),
        await app.ok("list_events", limit=200),
        await app.ok("list_events", number=number),
        await app.ok("list_sms", piv_num_id=number),
        await app.ok("wait_for_event", types=["sms.received"], timeout_seconds=0),
    ]
    for uri in ("piv://inbox", f"piv://numbers/{number}/sms"):
        (content,) = (await app.client.read_resource(uri)).contents
        assert isinstance(content, TextResourceContents)
        answers.append({"read": content.text})
    return json.dumps(answers)


async def test_what_comes_to_a_leased_number_is_its_holders_alone(home: Team) -> None:
    async with home.client("ada") as ada, home.client("bob") as bob:
        (number, *_) = home.sandbox.state.numbers
        await sms(home, number, "111222")
        advance(home, 10 * MINUTE)
        lease = await ada.ok("lease_number", number=number)
        advance(home, MINUTE)
        await sms(home, number, "333444")
        assert "333444" in await everything(ada, number)
        read = await everything(bob, number)
        assert "333444" not in read
        assert "111222" in read
        assert "Another agent has leased this number until" in read
        assert (await bob.ok("list_sms", piv_num_id=number))["total"] == 1
        advance(home, 15 * MINUTE)
        assert "333444" in await everything(bob, number)
        assert (await bob.ok("list_sms", piv_num_id=number))["total"] == 2
        assert lease["piv_num_id"] == number


@pytest.mark.parametrize("era", ERAS)
async def test_a_wait_on_anothers_number_is_refused_until_its_lease_ends(home: Team, era: Era) -> None:
    async with home.client("ada", era=era) as ada, home.client("bob", era=era) as bob:
        lease = await ada.ok("lease_number", minutes=2)
        number = lease["piv_num_id"]
        until_ = f"{datetime.fromisoformat(lease['until']):%H:%M:%S} UTC"
        for tool in ("wait_for_code", "wait_for_event"):
            arguments = {} if tool == "wait_for_code" else {"types": ["sms.received"]}
            said = await bob.error(tool, number=number, timeout_seconds=50, **arguments)
            assert "NUMBER_LEASED" in said
            assert until_ in said
            assert "ada" not in said
        advance(home, 2 * MINUTE)
        waited = await bob.ok("wait_for_code", number=number, timeout_seconds=0)
        assert waited["status"] == "timeout"


async def test_a_wait_ends_when_another_leases_its_number(home: Team) -> None:
    async with home.client("ada") as ada, home.client("bob") as bob:
        (number, *_) = home.sandbox.state.numbers
        waiting = asyncio.create_task(bob.error("wait_for_code", number=number, timeout_seconds=300))
        await until(lambda: _is_watched(home, number), seconds=20, what="the wait")
        await ada.ok("lease_number", number=number)
        home.services.inbox.changes.notify()  # as soon as this process sees the commit
        assert "NUMBER_LEASED" in await asyncio.wait_for(waiting, 20)


def _is_watched(home: Team, number: str) -> bool:
    watch = home.services.history.watches.get(number)
    return watch is not None and watch.watchers > 0


async def test_the_holder_waits_from_where_its_lease_began(home: Team) -> None:
    async with home.client("ada") as ada:
        (number, *_) = home.sandbox.state.numbers
        await sms(home, number, "111222")
        lease = await ada.ok("lease_number", number=number)
        call = lease["follow_up"]
        assert (await ada.ok(call["tool"], **call["arguments"], timeout_seconds=0))["status"] == "timeout"
        await sms(home, number, "333444")
        waited = await ada.ok(call["tool"], **call["arguments"], timeout_seconds=0)
        assert waited["newest"]["code"] == "333444"
        assert not waited.get("others")


async def test_the_number_that_was_idle_longest_is_leased(home: Team) -> None:
    async with home.client("ada") as ada, home.client("bob") as bob:
        first, second, third = home.sandbox.state.numbers
        for number in (second, third, first):
            await sms(home, number, "111222")
            advance(home, MINUTE)
        lease = await ada.ok("lease_number", minutes=1)
        assert lease["piv_num_id"] == second
        assert (await bob.ok("lease_number", minutes=1))["piv_num_id"] == third
        advance(home, 2 * MINUTE)  # second's and third's leases have ended after first's message
        assert (await ada.ok("lease_number", minutes=1))["piv_num_id"] == first


async def test_a_lease_is_extended_and_released_by_its_holder_alone(home: Team) -> None:
    async with home.client("ada") as ada, home.client("bob") as bob:
        lease = await ada.ok("lease_number", minutes=1)
        number = lease["piv_num_id"]
        assert "NUMBER_LEASED" in await bob.error("lease_number", number=number)
        assert not (await bob.ok("release_number", number=number))["released"]
        longer = await ada.ok("lease_number", number=number, minutes=5)
        assert longer["after"] == lease["after"]
        advance(home, 2 * MINUTE)
        assert "NUMBER_LEASED" in await bob.error("lease_number", number=number)
        assert (await ada.ok("release_number", number=number))["released"]
        assert not (await ada.ok("release_number", number=number))["released"]
        assert (await bob.ok("lease_number", number=number))["piv_num_id"] == number


async def test_when_all_are_leased_the_answer_says_when_one_is_free(home: Team) -> None:
    async with home.client("ada") as ada, home.client("bob") as bob:
        leases = [await ada.ok("lease_number", minutes=minutes) for minutes in (9, 4, 7)]
        assert len({lease["piv_num_id"] for lease in leases}) == 3
        said = await bob.error("lease_number")
        assert "all 3 active numbers are leased" in said
        assert f"{datetime.fromisoformat(leases[1]['until']):%H:%M:%S} UTC" in said
        assert "no active number in GB" in await bob.error("lease_number", country="GB")


async def test_only_what_an_agent_sees_is_leased_to_it(home: Team) -> None:
    first, *_, third = home.sandbox.state.numbers
    await home.add("eve", [third])
    async with home.client("eve") as eve:
        for number in (first, "Zz0nN-zzZ9z_9"):
            said = await eve.error("lease_number", number=number)
            assert said.replace(number, "X") == (await eve.error("get_number", piv_num_id=number)).replace(number, "X")
        assert (await eve.ok("lease_number"))["piv_num_id"] == third
        assert "the one active number is leased" in await eve.error("lease_number")


async def test_an_expired_number_is_not_leased(home: Team) -> None:
    (expired,) = home.sandbox.add_numbers(1, expires_in=-timedelta(days=1))
    async with home.client("ada") as ada:
        assert "NUMBER_NOT_ACTIVE" in await ada.error("lease_number", number=expired)
        for _ in range(3):
            assert (await ada.ok("lease_number"))["piv_num_id"] != expired


class Answering:
    """Stands in for the connection: a history with a message that does not say when it came, and an old one."""

    async def send(self, *_: object) -> Page[Sms]:
        old = Sms(id="old", message_body="old", received_at=datetime.fromtimestamp(1e9, UTC))
        return Page(items=[Sms(id="undated", message_body="undated"), old], pagination=Pagination(total=2))


class Since:
    """Every number is leased by another since a time on piv.day's clock."""

    def __init__(self, since: float | None) -> None:
        self._since = since

    async def own_numbers(self) -> None:
        return None

    async def hidden_since(self, piv_num_id: str) -> tuple[float | None]:
        return (self._since,)


@pytest.mark.parametrize(
    ("since", "shown"),
    [(1e9 + 121, ["old"]), (1e9 + 119, []), (1e9, []), (None, [])],
)
async def test_what_may_have_come_since_the_lease_is_hidden(since: float | None, shown: list[str]) -> None:
    api = SeenNumbersApi(cast("Any", Answering()), Priority.PERSON, sight=Since(since))
    page = await api.sms("n")
    assert [sms.id for sms in page.items] == shown
    assert page.pagination.total == len(shown)


async def test_an_inbox_that_is_shown_to_a_caller_records_like_any_other(home: Team) -> None:
    (number, *_) = home.sandbox.state.numbers
    inbox = home.services.inbox
    other = inbox.seen_through(home.services.store)
    stored = [
        await each.record(event_of({"event_type": "sms.received", "data": {"piv_num_id": number, "text": text}}, 1e9))
        for each, text in ((other, "one"), (inbox, "two"), (other, "three"))
    ]
    assert [(event.text, is_new) for event, is_new in stored] == [("one", True), ("two", True), ("three", True)]


async def test_completions_go_on_for_a_leased_number(home: Team) -> None:
    async with home.client("ada") as ada, home.client("bob") as bob:
        number = (await ada.ok("lease_number"))["piv_num_id"]
        template = ResourceTemplateReference(type="ref/resource", uri="piv://numbers/{piv_num_id}")
        done = await bob.client.complete(template, {"name": "piv_num_id", "value": ""})
        assert number in done.completion.values


async def test_of_twenty_that_lease_at_once_each_gets_a_number_of_its_own(store_path: Path) -> None:
    numbers = [f"n{place}" for place in range(12)]
    stores: list[Store] = [SqliteStore(store_path) for _ in range(4)]
    try:
        taken = await asyncio.gather(
            *(_take(stores[place % 4], numbers, f"agent {place}") for place in range(20)),
        )
    finally:
        for store in stores:
            await store.close()
    leased = [lease.number for lease in taken if lease is not None]
    assert sorted(leased) == sorted(numbers)
    assert taken.count(None) == 8


async def _take(store: Store, numbers: list[str], holder: str) -> NumberLease | None:
    def take(connection: Connection) -> NumberLease | None:
        last = events.last_seq(connection)
        return number_leases.take(connection, numbers, holder, now=1e9, remote_now=None, seconds=60.0, seq=last)

    return await store.write(take)


def _named(names: Iterator[str]) -> Callable[[str], str]:
    def name(_: str) -> str:
        return next(names)

    return name


def _is_never_gone(_: Connection, __: str) -> bool:
    return False


async def test_two_processes_of_one_machine_are_two_agents(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox = Sandbox(rate_limit=0, timing=Timing.instant(), seed=False)
    (number,) = sandbox.add_numbers(1)
    names: Any = iter(["process here 1:1", "process here 2:2"])
    monkeypatch.setattr(number_leases, "holder_of_process", _named(names))
    monkeypatch.setattr(number_leases, "_is_gone", _is_never_gone)
    async with connected(sandbox, data_dir) as one, connected(sandbox, data_dir, clock=one.services.clock) as other:
        assert content_of(await one.call("lease_number"))["piv_num_id"] == number
        await sandbox.receive_sms(number, "Your code is 333444")
        assert "333444" in text_of(await one.call("list_sms", piv_num_id=number))
        assert "333444" not in text_of(await other.call("list_sms", piv_num_id=number))
        assert "NUMBER_LEASED" in await other.error("wait_for_code", number=number)
    await sandbox.aclose()


def test_the_lease_of_a_process_that_has_ended_is_over(stored: Connection) -> None:
    gone = number_leases.holder_of_process("999999999:1")
    number_leases.take(stored, ["n"], gone, now=1e9, remote_now=None, seconds=60.0, seq=0)
    assert list(number_leases.current(stored, 1e9)) == []
    here = number_leases.holder_of_process(leases.this_process())
    assert number_leases.take(stored, ["n"], here, now=1e9, remote_now=None, seconds=60.0, seq=0) is not None
    assert [lease.holder for lease in number_leases.current(stored, 1e9)] == [here]


def test_a_lease_of_a_clock_that_was_ahead_has_ended(stored: Connection) -> None:
    number_leases.take(stored, ["n"], "agent ada", now=2e9, remote_now=None, seconds=60.0, seq=0)
    assert number_leases.others(stored, "agent bob", 1e9) == []
    assert number_leases.take(stored, ["n"], "agent bob", now=1e9, remote_now=None, seconds=60.0, seq=0) is not None
