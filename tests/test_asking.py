"""Events found by asking: with no webhook at all, each event reaches a waiting call, and is kept."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from examples import domain, order
from harness import Connected, approver, connected, until
from moving_clock import MovingClock
from purchases import CREATE_WHITE, REGISTER, RENEW_DOMAIN, RESTORE, SEND_SMS, VERIFY, Purchase

from piv_mcp.api.domains import RegisterDomain
from piv_mcp.api.numbers import RestoreNumbers, Sms
from piv_mcp.api.rate_limit import Priority
from piv_mcp.api.whites import CreateWhite, White
from piv_mcp.inbox import outcomes
from piv_mcp.inbox.asking import GIVEN_UP_DAYS, LISTED_AGAIN_SECONDS, SLOWEST_SECONDS
from piv_mcp.inbox.parse import event_of
from piv_mcp.inbox.watch import POLL_SECONDS
from piv_mcp.sandbox import Failure, Sandbox, Timing
from piv_mcp.sandbox.failures import Outcome
from piv_mcp.sandbox.service import Incoming
from piv_mcp.store import Connection, events, pending
from piv_mcp.text.times import PROGRESS_SECONDS

pytestmark = pytest.mark.usefixtures("instant_retries")

SLOWLY = Timing(sms=20, verify=40, restore=40, domain=20, white=20)

WITHIN = 10
"""Seconds within which an event reaches a call that waits for it."""

PATIENCE = 20.0
"""Real seconds for what takes a moment."""

Answer = dict[str, Any]


@dataclass
class World:
    """A server with its web side off, and a piv.day whose time passes with its own: only as the test lets it."""

    app: Connected
    sandbox: Sandbox
    clock: MovingClock

    async def pass_time(self, seconds: float, *, step: float = 1.0) -> None:
        for _ in range(round(seconds / step)):
            self.sandbox.advance(timedelta(seconds=step))
            self.clock.advance(step)
            await self.rested()

    async def rested(self) -> None:
        """Until every poll that is due has been made, but for those that wait for the request limit."""
        watches = self.app.services.history.watches._watches  # pyright: ignore[reportPrivateUsage]
        for _ in range(5):
            await asyncio.sleep(0)
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            if all(watch.task is None or watch.is_resting for watch in watches.values()):
                return
            await asyncio.sleep(0.001)

    def waiting(self, answer: Answer, **more: Any) -> "asyncio.Task[Answer]":
        """The call that an answer leads to."""
        call = answer["follow_up"]
        return asyncio.create_task(self.app.ok(call["tool"], **{**call["arguments"], "timeout_seconds": 300, **more}))

    async def begun(self) -> None:
        """Until a call waits, and what it waits for is looked at."""
        await until(lambda: self.clock.waits_for(PROGRESS_SECONDS), seconds=PATIENCE, what="a call that waits")
        await self.rested()

    async def ended(self, waiting: "asyncio.Task[Answer]", happened: Callable[[], bool]) -> Answer:
        """The answer of a wait, which comes within ten seconds of what has happened."""
        await self.begun()
        for _ in range(200):
            if happened():
                break
            await self.pass_time(1)
        assert happened()
        await self.pass_time(WITHIN)
        await until(waiting.done, seconds=PATIENCE, what="the answer of the wait")
        return waiting.result()

    async def in_progress(self) -> list[pending.Pending]:
        return await self.app.services.store.read(pending.in_progress)

    async def events(self, type_: str | None = None) -> list[Answer]:
        return (await self.app.ok("list_events", limit=200, **({"type": type_} if type_ else {})))["events"]


@asynccontextmanager
async def opened(data_dir: Path, sandbox: Sandbox, clock: MovingClock | None = None) -> AsyncGenerator[World]:
    clock = clock or MovingClock(speed=0)
    async with connected(sandbox, data_dir, approver(), clock=clock) as app:
        await app.services.asking.settled()
        yield World(app, sandbox, clock)


@pytest.fixture
async def account() -> AsyncIterator[Sandbox]:
    sandbox = Sandbox(timing=SLOWLY, rate_limit=0, auto_tick=False)
    sandbox.balance += 1000
    await settle(sandbox)
    yield sandbox
    await sandbox.aclose()


async def settle(sandbox: Sandbox) -> None:
    """Let what is in progress at the beginning end."""
    sandbox.advance(timedelta(hours=3))


@pytest.fixture
async def world(data_dir: Path, account: Sandbox) -> AsyncIterator[World]:
    async with opened(data_dir, account) as world:
        yield world


def has(sandbox: Sandbox, *types: str) -> Callable[[], bool]:
    """Whether piv.day has had an event of one of these types since now."""
    before = len(sandbox.events)
    return lambda: any(event.event_type in types for event in sandbox.events[before:])


ENDS: Mapping[str, tuple[Purchase, Answer, str]] = {
    "site": (CREATE_WHITE, {}, "white.completed"),
    "site that fails": (CREATE_WHITE, {"name": "will fail"}, "white.failed"),
    "registration": (REGISTER, {}, "domain.registered"),
    "registration that fails": (REGISTER, {"domain": "will-fail.com"}, "domain.failed"),
    "restore": (RESTORE, {}, "number.restore_completed"),
    "message": (SEND_SMS, {}, "sms.status_updated"),
    "verification": (VERIFY, {}, "verify.completed"),
}


ENDING = {type_ for *_, type_ in ENDS.values()} - {"sms.status_updated"}


@pytest.mark.parametrize("what", ENDS)
async def test_what_was_begun_is_told_to_the_call_that_waits_within_ten_seconds_of_its_end(
    world: World, what: str
) -> None:
    purchase, changed, type_ = ENDS[what]
    begun = await world.app.receipt(purchase, **changed)
    answer = await world.ended(world.waiting(begun), has(world.sandbox, type_))
    assert answer["status"] == "ok"
    (event,) = answer["events"]
    assert (event["type"], event["source"]) == (type_, "asked")
    told = next(event for event in reversed(world.sandbox.events) if event.event_type == type_)
    if type_ == "sms.status_updated":
        assert event["data"]["new_status"] == told.data["new_status"] == "sent"
        assert answer["follow_up"]["arguments"]["message_id"] == begun["result"]["message_id"]
    for name in ("job_id", "domain_id", "message_id", "total_restored", "total_failed"):
        assert str(event["data"].get(name)) == str(told.data.get(name))


async def test_a_renewal_that_ends_has_an_event_of_our_own(world: World) -> None:
    begun = await world.app.receipt(RENEW_DOMAIN)
    entry = next(iter(world.sandbox.state.queue.values()))
    answer = await world.ended(world.waiting(begun), lambda: entry.status == "completed")
    (event,) = answer["events"]
    assert (event["type"], event["source"]) == ("domain.renewed", "asked")
    assert event["data"]["domain_id"] == domain(world.sandbox)
    assert "piv.day has no such event" in event["note"]


async def test_a_renewal_that_fails_is_told_with_its_reason(world: World) -> None:
    found = world.sandbox.state.domains[domain(world.sandbox)]
    found.name = "will-fail.com"
    begun = await world.app.receipt(RENEW_DOMAIN)
    answer = await world.ended(world.waiting(begun), has(world.sandbox, "domain.failed"))
    (event,) = answer["events"]
    assert event["type"] == "domain.failed"
    assert "no longer available" in event["data"]["error"]


async def test_five_things_in_progress_are_each_told_within_ten_seconds(world: World) -> None:
    begun = [await world.app.receipt(CREATE_WHITE, name=f"Site {n}") for n in range(2)]
    begun += [await world.app.receipt(REGISTER, domain=f"five-{n}.com") for n in range(2)]
    begun.append(await world.app.receipt(RESTORE))
    before = len(world.sandbox.events)
    waits = [world.waiting(answer) for answer in begun]
    await world.begun()
    found: dict[str, datetime] = {}
    for _ in range(200):
        await world.pass_time(1)
        for data in await world.app.services.store.read(_ends):
            found.setdefault(_id(data), world.sandbox.now)
        if len(found) == len(begun):
            break
    ends = [event for event in world.sandbox.events[before:] if event.event_type in ENDING]
    told = {_id(event.data): event.timestamp for event in ends}
    assert found.keys() == told.keys()
    for id_, at in found.items():
        assert at - told[id_] <= timedelta(seconds=WITHIN)
    for wait in waits:
        await until(wait.done, seconds=PATIENCE, what="the answer of a wait")
        assert wait.result()["status"] == "ok"


def _ends(connection: Connection) -> list[Answer]:
    return [event.data for event in events.all_since(connection, 0, types=sorted(ENDING))]


def _id(data: Mapping[str, Any]) -> str:
    """What an event is about."""
    restored = data.get("restored")
    return str(restored[0]["piv_num_id"] if restored else data.get("job_id") or data.get("domain_id"))


@pytest.mark.parametrize("nap", [120.0, 3 * 86400.0])
async def test_what_ends_while_no_server_runs_is_there_after_the_next_start(
    data_dir: Path, account: Sandbox, nap: float
) -> None:
    clock = MovingClock(speed=0)
    async with opened(data_dir, account, clock) as world:
        for purchase, changed, _ in ENDS.values():
            await world.app.receipt(purchase, **changed)
        await world.app.receipt(RENEW_DOMAIN)
    account.advance(timedelta(seconds=nap))
    clock.advance(nap)
    async with opened(data_dir, account, clock) as world:
        found = await asked_to_the_end(world)
        assert {event["type"] for event in found} >= {type_ for *_, type_ in ENDS.values()} | {"domain.renewed"}


async def asked_to_the_end(world: World) -> list[Answer]:
    """All events once nothing that was begun is in progress any more: slow looks see it."""

    async def over() -> bool:
        world.clock.advance(SLOWEST_SECONDS)
        return not await world.in_progress()

    await until(over, seconds=PATIENCE, what="the end of all that was in progress", every=0.1)
    return await world.events()


@pytest.mark.parametrize("first", ["the webhook", "asking"])
async def test_webhook_and_asking_make_one_event(world: World, first: str) -> None:
    before = len(world.sandbox.events)
    for purchase, changed, _ in ENDS.values():
        await world.app.receipt(purchase, **changed)
    world.sandbox.advance(timedelta(minutes=5))
    told = world.sandbox.events[before:]
    if first == "asking":
        await asked_to_the_end(world)
    for event in told:
        body = event.body().encode()
        await world.app.services.inbox.record(event_of(body, world.clock.time(), world.sandbox.now.timestamp()))
    found = await asked_to_the_end(world)
    ends = [event for event in found if event["type"] in ENDING]
    assert sorted(event["type"] for event in ends) == sorted(
        event.event_type for event in told if event.event_type in ENDING
    )
    assert {event["source"] for event in ends} == {"webhook, asked"}
    delivered = [event["source"] for event in found if event.get("data", {}).get("new_status") == "delivered"]
    assert delivered.count("webhook, asked") == 1, "and the verification's own message, which nobody saw begin"
    assert [event.get("shown_when_asked") for event in found] == [None] * len(found)


async def test_what_piv_day_shows_otherwise_than_a_webhook_told_is_said(world: World) -> None:
    begun = await world.app.receipt(CREATE_WHITE)
    white_id = begun["result"]["white"]["id"]
    await world.app.tell("white.completed", job_id=white_id, name="Forged", country="FR", tier_key="v2_tier1")
    world.sandbox.advance(timedelta(minutes=5))
    (event,) = [event for event in await asked_to_the_end(world) if event["type"] == "white.completed"]
    assert event["source"] == "webhook, asked"
    assert event["shown_when_asked"]["country"] == "DE"
    assert "A new site" in event["shown_when_asked"]["name"]


async def test_a_forged_end_does_not_keep_the_true_one_from_being_told(world: World) -> None:
    begun = await world.app.receipt(CREATE_WHITE, name="will fail")
    white_id = begun["result"]["white"]["id"]
    await world.app.tell("white.completed", job_id=white_id, name="will fail")
    world.sandbox.advance(timedelta(minutes=5))
    found = [event for event in await asked_to_the_end(world) if event["type"].startswith("white.")]
    assert [(event["type"], event["source"]) for event in found] == [
        ("white.failed", "asked"),
        ("white.completed", "webhook"),
    ]


async def test_with_webhooks_each_event_is_there_once_and_at_once(data_dir: Path) -> None:
    timing = Timing(sms=0.2, verify=0.2, restore=0.2, domain=0.1, white=0.1)
    sandbox, clock = Sandbox(timing=timing, rate_limit=0), MovingClock()
    await settle(sandbox)
    sandbox.balance += 1000
    async with connected(sandbox, data_dir, approver(), clock=clock, webhooks=True) as app:
        world = World(app, sandbox, clock)
        before = len(sandbox.events)
        for purchase, changed, _ in ENDS.values():
            begun = await app.receipt(purchase, **changed)
            answer = await asyncio.wait_for(world.waiting(begun), PATIENCE)
            assert answer["status"] == "ok"
        await sandbox.settled()
        told = [event.event_type for event in sandbox.events[before:] if event.event_type in ENDING]
        found = await asked_to_the_end(world)
        assert sorted(event["type"] for event in found if event["type"] in ENDING) == sorted(told)
    await sandbox.aclose()


# expiry


@pytest.mark.parametrize("soon", ["order", "domain"])
async def test_what_expires_soon_is_told_when_it_does_and_once(world: World, soon: str) -> None:
    type_, lead = {"order": ("proxy.expires_soon", 3), "domain": ("domain.expires_soon", 7)}[soon]
    state, now = world.sandbox.state, world.sandbox.now
    thing = state.orders[order(world.sandbox)] if soon == "order" else state.domains[domain(world.sandbox)]
    thing.expires_at = now + timedelta(days=lead, hours=1)
    known = {event["event_id"] for event in await world.events(type_)}

    async def passed(seconds: float) -> list[Answer]:
        for _ in range(round(seconds / 60)):
            world.sandbox.advance(timedelta(seconds=60))
            world.clock.advance(60)
            await worked(world)
        return [event for event in await world.events(type_) if event["event_id"] not in known]

    assert await passed(55 * 60) == []
    await passed(LISTED_AGAIN_SECONDS)
    (event,) = await passed(60)
    assert event["source"] == "asked"
    assert datetime.fromisoformat(event["data"]["expires_at"]) == thing.expires_at.replace(microsecond=0)
    (again,) = await passed(2 * LISTED_AGAIN_SECONDS)
    assert again == event
    await world.app.services.store.write(lambda c: c.execute("DELETE FROM events"))  # as pruning does
    assert await passed(2 * LISTED_AGAIN_SECONDS) == []


async def test_what_is_found_to_expire_soon_although_it_did_before_is_told(world: World) -> None:
    found = world.sandbox.state.orders[order(world.sandbox)]
    found.expires_at = world.sandbox.now + timedelta(days=2)
    world.sandbox.advance(timedelta(seconds=LISTED_AGAIN_SECONDS))
    world.clock.advance(LISTED_AGAIN_SECONDS)
    for _ in range(5):
        await worked(world)
    told = [event["data"]["order_id"] for event in await world.events("proxy.expires_soon")]
    assert told.count(found.id) == 1


# what a time-out tells


async def test_a_time_out_tells_the_state_and_when_it_was_looked_at(world: World) -> None:
    begun = await world.app.receipt(REGISTER)
    waiting = world.waiting(begun, timeout_seconds=8)
    await world.begun()
    await world.pass_time(8)
    await until(waiting.done, seconds=PATIENCE, what="the end of the wait")
    answer = waiting.result()
    assert answer["status"] == "timeout"
    (row,) = answer["in_progress"]
    assert (row["what"], row["name"]) == ("registration", "free-name.com")
    assert row["state"] in ("queued", "purchasing", "processing", "pending")
    assert 0 <= row["looked_seconds_ago"] <= 4
    assert "webhook" not in answer["note"], "nothing is missed without one"


async def test_of_a_verification_a_time_out_says_that_only_a_webhook_or_its_message_can_tell(world: World) -> None:
    begun = await world.app.receipt(VERIFY)
    answer = await world.waiting(begun, timeout_seconds=0)
    assert "only a webhook tells, or a message that it leaves in the SMS history" in answer["note"]
    assert "Webhooks are not received here" in answer["note"]


async def test_what_had_ended_before_is_told_at_once(world: World) -> None:
    (site,) = [site for site in world.sandbox.state.whites.values() if site.status == 10][:1]
    answer = await world.app.ok("wait_for_event", types=["white.completed"], white_id=site.id, timeout_seconds=50)
    assert answer["status"] == "ended"
    assert "No event will come" in answer["note"]
    assert answer["follow_up"] == {"tool": "get_white_download", "arguments": {"white_id": site.id}}


@pytest.mark.parametrize("types", [[], ["domain.expires_soon"], ["domain.registered", "domain.renewed"]])
async def test_what_can_happen_to_a_domain_again_is_waited_for(world: World, types: list[str]) -> None:
    id_ = domain(world.sandbox)
    answer = await world.app.ok("wait_for_event", types=types, domain_id=id_, timeout_seconds=0)
    assert answer["status"] == "timeout"
    assert "No event will come" not in answer["note"]
    assert "check the id" not in answer["note"]


async def test_what_was_begun_elsewhere_is_looked_at_from_its_first_wait(world: World, account: Sandbox) -> None:
    elsewhere = await world.app.services.client.whites.create(
        CreateWhite(name="Elsewhere", tier_key="v2_tier1", niche="x", country="DE", language="de")
    )
    call = {"tool": "wait_for_event", "arguments": {"types": ["white.completed"], "white_id": elsewhere.white.id}}
    answer = await world.ended(world.waiting({"follow_up": call}), has(account, "white.completed"))
    assert [event["source"] for event in answer["events"]] == ["asked"]


async def test_what_began_and_ended_elsewhere_is_told_to_who_waits_for_any(world: World, account: Sandbox) -> None:
    waiting = world.waiting({"follow_up": {"tool": "wait_for_event", "arguments": {"types": ["white.completed"]}}})
    await world.begun()
    await world.pass_time(10)
    await world.app.services.client.whites.create(
        CreateWhite(name="Elsewhere", tier_key="v2_tier1", niche="x", country="DE", language="de")
    )
    await world.pass_time(75)
    await until(waiting.done, seconds=PATIENCE, what="the answer of the wait")
    assert [event["source"] for event in waiting.result()["events"]] == ["asked"]


async def test_a_look_that_fails_is_said(world: World) -> None:
    begun = await world.app.receipt(CREATE_WHITE)
    world.sandbox.fail_next(Failure(kind="status", status=403, code="PERMISSION_DENIED", path="/whites/*", times=None))
    waiting = world.waiting(begun, timeout_seconds=8)
    await world.begun()
    await world.pass_time(8)
    await until(waiting.done, seconds=PATIENCE, what="the end of the wait")
    assert "piv.day could not be asked since" in waiting.result()["note"]


# how many requests


async def test_an_idle_server_asks_for_nothing_in_an_hour(world: World) -> None:
    world.sandbox.requests.clear()
    for _ in range(60):
        world.sandbox.advance(timedelta(minutes=1))
        world.clock.advance(60)
        await worked(world)
    assert [request.raw_path for request in world.sandbox.requests] == []


async def test_what_is_in_progress_is_looked_at_more_and_more_seldom(world: World) -> None:
    world.sandbox.state.timing = Timing(white=10 * 86400)
    await world.app.receipt(CREATE_WHITE)

    async def looks_in_an_hour() -> int:
        before = len(world.sandbox.requests)
        for _ in range(60):
            world.sandbox.advance(timedelta(minutes=1))
            world.clock.advance(60)
            await worked(world)
        return len(world.sandbox.requests) - before

    first = await looks_in_an_hour()
    assert 5 <= first <= 20
    world.sandbox.advance(timedelta(hours=2))
    world.clock.advance(2 * 3600)
    assert await looks_in_an_hour() <= 3600 / SLOWEST_SECONDS + 1


async def worked(world: World) -> None:
    """Let what is due in the background be done: it reads and writes the store before and after a request."""
    store = world.app.services.store
    for _ in range(3):
        await store.read(pending.in_progress)
        await store.write(pending.in_progress)


async def test_several_processes_share_the_looks(data_dir: Path, account: Sandbox) -> None:
    clock = MovingClock(speed=0)
    async with opened(data_dir, account, clock) as one, opened(data_dir, account, clock) as other:
        begun = await one.app.receipt(CREATE_WHITE)
        account.requests.clear()
        waits = [world.waiting(begun) for world in (one, other, one)]
        await one.begun()
        happened = has(account, "white.completed")
        began = account.now
        while not happened():
            await one.pass_time(1)
            await other.rested()
        assert len(account.requests) <= (account.now - began).total_seconds() / POLL_SECONDS + 2
        await one.pass_time(WITHIN)
        for wait in waits:
            await until(wait.done, seconds=PATIENCE, what="the answer of a wait")
        assert {tuple(event["event_id"] for event in wait.result()["events"]) for wait in waits} == {
            (wait.result()["events"][0]["event_id"],) for wait in waits
        }


async def test_what_does_not_end_is_given_up_only_after_a_look(world: World) -> None:
    world.sandbox.state.timing = Timing(sms=100 * 86400)
    await world.app.receipt(SEND_SMS)
    days = GIVEN_UP_DAYS["message"]
    world.sandbox.advance(timedelta(days=days + 1))
    world.clock.advance((days + 1) * 86400)
    asked = len(world.sandbox.requests)
    await until(lambda: len(world.sandbox.requests) > asked, seconds=PATIENCE, what="a look")
    assert [row.kind for row in await world.in_progress()] == ["message"]
    await asked_to_the_end(world)


# what else may be


async def test_a_restore_that_was_begun_elsewhere_is_looked_at_by_its_number(world: World, account: Sandbox) -> None:
    number = next(item for item in account.state.numbers.values() if item.custom_name == "Old campaign").piv_num_id
    await world.app.services.client.numbers.restore(RestoreNumbers(piv_num_ids=[number]))
    call = {"tool": "wait_for_event", "arguments": {"types": ["number.restore_completed"], "number": number}}
    answer = await world.ended(world.waiting({"follow_up": call}), has(account, "number.restore_completed"))
    (event,) = answer["events"]
    assert [row["piv_num_id"] for row in event["data"]["restored"]] == [number]


async def test_a_number_that_could_be_restored_and_can_no_longer_is_no_restore_that_failed(
    data_dir: Path, account: Sandbox
) -> None:
    number = next(item for item in account.state.numbers.values() if item.custom_name == "Old campaign")
    number.restoring = True  # piv.day's word for it may mean that it can be restored
    async with opened(data_dir, account) as world:
        assert [row.kind for row in await world.in_progress()] == ["restore"]
        number.restoring = False
        await asked_to_the_end(world)
        assert await world.events("number.restore_completed") == []


async def test_what_cannot_be_looked_at_is_asked_for_more_and_more_seldom(world: World) -> None:
    await world.app.receipt(SEND_SMS)
    world.sandbox.fail_next(
        Failure(kind="status", status=403, code="PERMISSION_DENIED", path="/numbers/*/sms", times=None)
    )
    before = len(world.sandbox.requests)
    for _ in range(60):
        world.sandbox.advance(timedelta(minutes=1))
        world.clock.advance(60)
        await worked(world)
    assert len(world.sandbox.requests) - before <= 10


async def test_a_number_that_is_gone_is_looked_at_no_more(world: World) -> None:
    await world.app.receipt(SEND_SMS)
    await world.app.receipt(VERIFY)
    world.sandbox.state.numbers.clear()
    assert await asked_to_the_end(world) is not None
    assert await world.in_progress() == []


async def test_a_batch_of_numbers_makes_one_event_of_all(data_dir: Path, account: Sandbox) -> None:
    ids = account.add_numbers(3, expires_in=timedelta(days=-1))
    account.state.numbers[ids[1]].custom_name = "will fail"
    async with opened(data_dir, account) as world:
        begun = await world.app.receipt(RESTORE, piv_num_ids=ids)
        answer = await world.ended(world.waiting(begun), has(account, "number.restore_completed"))
        (event,) = answer["events"]
        assert {row["piv_num_id"] for row in event["data"]["restored"]} == {ids[0], ids[2]}
        assert [row["piv_num_id"] for row in event["data"]["failed"]] == [ids[1]]
        assert "piv.day shows no amount when asked" in event["note"]


async def test_one_thing_that_cannot_be_read_keeps_no_other_from_being_told(world: World) -> None:
    bad, good = [await world.app.receipt(RENEW_DOMAIN), await world.app.receipt(REGISTER)]
    world.sandbox.fail_next(
        Failure(kind="status", status=400, path=f"/domains/queue/{bad['result']['queue_id']}", times=None)
    )
    answer = await world.ended(world.waiting(good), has(world.sandbox, "domain.registered"))
    assert [event["type"] for event in answer["events"]] == ["domain.registered"]
    waiting = world.waiting(bad, timeout_seconds=8)
    await world.begun()
    await world.pass_time(8)
    await until(waiting.done, seconds=PATIENCE, what="the end of the wait")
    assert "piv.day could not be asked since" in waiting.result()["note"]


async def test_a_filter_that_the_server_ignores_makes_no_restore(data_dir: Path, account: Sandbox) -> None:
    answer = account.answer

    def ignoring(incoming: Incoming) -> Outcome:
        if "pending_restore" in incoming.raw_query:
            incoming = replace(incoming, raw_query="")
        return answer(incoming)

    account.answer = ignoring
    async with opened(data_dir, account) as world:
        assert await world.in_progress() == []


async def test_a_registration_that_fails_while_it_stays_listed_is_told_by_its_queue(world: World) -> None:
    begun = [await world.app.receipt(REGISTER, domain=f"stays-{n}.com") for n in range(2)]
    for entry in world.sandbox.state.queue.values():
        entry.status, entry.error = "failed", "Domain is no longer available"
    waits = [world.waiting(answer) for answer in begun]
    await world.begun()
    for _ in range(15):
        await world.pass_time(1)
        if all(wait.done() for wait in waits):
            break
        await asyncio.sleep(0.01)
    for wait in waits:
        await until(wait.done, seconds=PATIENCE, what="the answer of a wait")
        assert [event["type"] for event in wait.result()["events"]] == ["domain.failed"]


async def test_a_word_that_the_reference_does_not_have_ends_no_message(world: World) -> None:
    world.sandbox.state.timing = Timing(sms=10**9)
    begun = await world.app.receipt(SEND_SMS)
    (message,) = [
        sms
        for item in world.sandbox.state.numbers.values()
        for sms in item.messages
        if str(sms.id) == begun["result"]["message_id"]
    ]
    answer = begun
    for status in ("dispatched", "sent", "delivered"):
        message.status = status
        waiting = world.waiting(answer)
        await world.begun()
        await world.pass_time(4)
        await until(waiting.done, seconds=PATIENCE, what="the answer of the wait")
        answer = waiting.result()
        assert answer["events"][-1]["data"]["new_status"] == status
    assert "follow_up" not in answer
    assert await world.in_progress() == []


async def test_a_message_whose_status_was_not_told_has_not_changed_by_being_queued(world: World) -> None:
    world.sandbox.state.timing = Timing(sms=10**9)
    row = pending.pending("message", "77", domain(world.sandbox))
    assert outcomes.of_message(row, Sms(id="77", status="queued")).happenings == ()
    assert outcomes.of_message(row, Sms(id="77", status="delivered")).happenings != ()


async def test_a_time_of_the_year_1_ends_no_look(world: World) -> None:
    for item in world.sandbox.state.domains.values():
        item.expires_at = datetime.min.replace(tzinfo=UTC)
    for item in world.sandbox.state.orders.values():
        item.expires_at = datetime.min.replace(tzinfo=UTC)
    for name in ("domains", "orders"):
        await world.app.services.asking.look(name, Priority.PERSON, whole=True)


async def test_a_wait_for_what_began_elsewhere_is_not_starved_by_another_process(
    data_dir: Path, account: Sandbox
) -> None:
    clock = MovingClock(speed=0)
    async with opened(data_dir, account, clock) as one, opened(data_dir, account, clock) as other:
        account.state.timing = Timing(domain=10**6)
        busy = one.waiting(await one.app.receipt(RENEW_DOMAIN))
        await one.begun()
        account.state.timing = Timing(domain=5)
        call = {"tool": "wait_for_event", "arguments": {"types": ["domain.registered"]}}
        waiting = other.waiting({"follow_up": call})
        await other.rested()
        await one.pass_time(12)
        await one.app.services.client.domains.register(
            RegisterDomain(domain="elsewhere.com", period=1, cloudflare=True, auto_renew=False)
        )
        for _ in range(40):
            await one.pass_time(1)
            await other.rested()
        await until(waiting.done, seconds=PATIENCE, what="the answer of the wait")
        assert [event["data"]["domain_name"] for event in waiting.result()["events"]] == ["elsewhere.com"]
        busy.cancel()


async def test_a_domain_that_has_expired_is_no_registration(world: World) -> None:
    found = world.sandbox.state.domains[domain(world.sandbox)]
    found.expires_at = world.sandbox.now - timedelta(days=1)
    types = ["domain.registered", "domain.failed"]
    answer = await world.app.ok("wait_for_event", types=types, domain_id=found.id, timeout_seconds=50)
    assert answer["status"] == "ended"
    assert "expired" in answer["note"]
    assert await world.in_progress() == []


async def test_a_clock_that_is_days_ahead_for_a_while_gives_nothing_up(world: World) -> None:
    await world.app.receipt(SEND_SMS)
    await world.app.receipt(VERIFY)
    world.clock.correct(4 * 86400)
    for _ in range(4):
        world.clock.advance(70)
        await worked(world)
    world.clock.correct(-4 * 86400)
    kinds = {row.kind for row in await world.in_progress()}
    told = {event["type"] for event in await world.events()}
    assert "message" in kinds or "sms.status_updated" in told
    assert "verification" in kinds
    assert "verify.completed" not in told, "no message of before is the verification's"


async def test_a_verification_is_told_although_the_clock_was_set_back_meanwhile(world: World) -> None:
    await world.app.receipt(VERIFY)
    world.clock.correct(-86400)
    world.sandbox.advance(timedelta(minutes=5))
    found = [event["type"] for event in await asked_to_the_end(world)]
    assert found.count("verify.completed") == 1


async def test_a_clock_that_is_set_meanwhile_makes_no_second_event_of_a_webhook(world: World) -> None:
    await world.app.receipt(RESTORE)
    world.clock.correct(-3600)
    world.sandbox.advance(timedelta(minutes=5))
    (told,) = [event for event in world.sandbox.events if event.event_type == "number.restore_completed"]
    body = told.body().encode()
    await world.app.services.inbox.record(event_of(body, world.clock.time(), world.sandbox.now.timestamp()))
    found = [event for event in await asked_to_the_end(world) if event["type"] == "number.restore_completed"]
    assert [event["source"] for event in found] == ["webhook, asked"]


async def test_a_restore_that_is_over_is_said_to_be(world: World) -> None:
    id_ = next(iter(world.sandbox.state.numbers))
    answer = await world.app.ok("wait_for_event", types=["number.restore_completed"], number=id_, timeout_seconds=50)
    assert answer["status"] == "ended"
    assert "active" in answer["note"]


async def test_of_a_large_batch_only_what_is_open_is_asked_for(data_dir: Path, account: Sandbox) -> None:
    ids = account.add_numbers(20, expires_in=timedelta(days=-1))
    async with opened(data_dir, account) as world:
        begun = await world.app.receipt(RESTORE, piv_num_ids=ids)
        slow = account.state.numbers[ids[-1]]
        waiting = world.waiting(begun)
        await world.begun()
        account.advance(timedelta(minutes=2))
        slow.restoring, slow.expires_at = True, account.now + timedelta(days=30)
        account.events.clear()
        await world.pass_time(9)
        account.requests.clear()
        await world.pass_time(24)
        assert len(account.requests) <= 10
        slow.restoring = False
        await world.pass_time(WITHIN)
        await until(waiting.done, seconds=PATIENCE, what="the answer of the wait")
        assert waiting.result()["events"][0]["data"]["total_restored"] == 20


@pytest.mark.parametrize("waits", [True, False])
async def test_an_answer_that_nobody_foresaw_ends_no_looks(
    world: World, waits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = await world.app.receipt(CREATE_WHITE)
    of_site, left = outcomes.of_site, 2

    def unforeseen(site: White) -> outcomes.Told:
        nonlocal left
        left -= 1
        if left >= 0:
            raise OverflowError
        return of_site(site)

    monkeypatch.setattr(outcomes, "of_site", unforeseen)
    if waits:
        answer = await world.ended(world.waiting(begun), has(world.sandbox, "white.completed"))
        assert [event["type"] for event in answer["events"]] == ["white.completed"]
    else:
        world.sandbox.advance(timedelta(minutes=5))
        assert "white.completed" in {event["type"] for event in await asked_to_the_end(world)}
