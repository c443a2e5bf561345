"""A freeze: nothing that costs money is quoted, approved or sent until a person lifts it; what is out is followed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from engines import open_at, store_url
from harness import (
    APPROVE,
    YES,
    Connected,
    Person,
    approver,
    ask,
    charges,
    connected,
    decliner,
    question,
    text_of,
    until,
)
from lost_answers import graced, lose
from moving_clock import MovingClock
from purchases import BUY_NUMBER, COMMITMENTS, FREE, PURCHASES, given

from piv_mcp.cli.doctor import examine
from piv_mcp.cli.main import main
from piv_mcp.config import load
from piv_mcp.sandbox import Sandbox
from piv_mcp.spending import freezing
from piv_mcp.spending.errors import FrozenError, frozen_since
from piv_mcp.spending.journal import Ending
from piv_mcp.store import Store, accounts, freezes

pytestmark = pytest.mark.usefixtures("instant_retries")

KEY_A, KEY_B, KEY_C = "sk-key-of-account-a-01", "sk-key-of-account-b-02", "sk-key-of-account-a-03"


async def freeze(shop: Connected, *, by: str | None = None, of_all: bool = False) -> int:
    """How many approvals it has ended."""
    _, ended = await freezing.freeze(shop.gate.journal.store, "console", by=by, of_all=of_all)
    return ended


async def lift(shop: Connected) -> bool:
    return await shop.gate.journal.store.write(freezes.end, of_all=False)


async def approved(shop: Connected, **changed: Any) -> str:
    """The id of an action that a person has approved, and that has not been sent."""
    asked = await shop.receipt(BUY_NUMBER, **changed)
    assert asked["status"] == "approval_required"
    assert await shop.gate.journal.decide(asked["spending_id"], "approve", by="page")
    return asked["spending_id"]


@pytest.fixture
async def shop(sandbox: Sandbox, data_dir: Path) -> AsyncIterator[Connected]:
    """Nobody is asked in the client."""
    async with connected(sandbox, data_dir, confirm_wait=0, confirm_channel="elicit") as connected_shop:
        yield connected_shop


@pytest.mark.parametrize("mode", ["ask", "budget"])
async def test_nothing_that_costs_money_is_asked_for_or_sent(sandbox: Sandbox, data_dir: Path, mode: str) -> None:
    person = approver()
    rules: dict[str, Any] = {"spend_mode": mode, "auto_approve_max": 500, "daily_budget": 5000, "confirm_wait": 5}
    async with connected(sandbox, data_dir, person, **rules) as shop:
        await freeze(shop)
        for purchase in PURCHASES:
            told = text_of(await shop.buy(purchase))
            assert "SPENDING_FROZEN" in told
            assert "no money moved" in told
            assert "piv-mcp unfreeze" in told
            assert shop.sent == []
    assert person.asked == []


@pytest.mark.parametrize(("tool", "method", "arguments"), COMMITMENTS)
async def test_what_costs_money_later_is_frozen_too(
    shop: Connected, tool: str, method: str, arguments: dict[str, Any]
) -> None:
    await freeze(shop)
    assert "SPENDING_FROZEN" in await shop.error(tool, **given(shop.sandbox, arguments))
    assert shop.writes == []


@pytest.mark.parametrize(("tool", "method", "arguments"), FREE)
async def test_what_costs_nothing_goes_on(
    sandbox: Sandbox, data_dir: Path, tool: str, method: str, arguments: dict[str, Any]
) -> None:
    async with connected(sandbox, data_dir, approver(), confirm_wait=5) as shop:
        await freeze(shop)
        assert (await shop.ok(tool, **given(sandbox, arguments)))["status"] == "done"


async def test_an_approval_that_was_not_sent_is_ended_and_does_not_come_back(shop: Connected) -> None:
    await approved(shop)
    assert await freeze(shop) == 1
    assert "SPENDING_FROZEN" in text_of(await shop.buy(BUY_NUMBER))
    (entry,) = (await shop.ok("list_spending"))["entries"]
    assert (entry["state"], entry["problem"]) == ("expired", "spending was frozen before it was sent")
    assert await lift(shop)
    assert (await shop.receipt(BUY_NUMBER))["status"] == "approval_required"
    assert shop.writes == []


async def test_an_approval_of_what_costs_nothing_is_kept(shop: Connected) -> None:
    off = {"piv_num_id": given(shop.sandbox, FREE[0].values[2])["piv_num_id"], "auto_renew": False}  # pyright: ignore[reportArgumentType]
    asked = await shop.ok("set_number_auto_renewal", **off)
    assert await shop.gate.journal.decide(asked["spending_id"], "approve", by="page")
    assert await freeze(shop) == 0
    assert (await shop.ok("set_number_auto_renewal", **off))["status"] == "done"


async def test_what_waits_can_be_declined_and_is_approved_only_after_the_freeze(shop: Connected) -> None:
    first, second = [(await shop.receipt(BUY_NUMBER, custom_name=name))["spending_id"] for name in ("one", "two")]
    await freeze(shop)
    with pytest.raises(FrozenError):
        await shop.gate.journal.decide(first, "approve", by="page")
    assert await shop.gate.journal.decide(first, "decline", by="page")
    assert await lift(shop)
    assert await shop.gate.journal.decide(second, "approve", by="page")
    assert (await shop.receipt(BUY_NUMBER, custom_name="two"))["status"] == "charged"


async def test_a_yes_in_the_client_during_a_freeze_approves_nothing(sandbox: Sandbox, data_dir: Path) -> None:
    async with connected(sandbox, data_dir, decliner(), confirm_wait=5) as shop:
        state = await question(shop, BUY_NUMBER)
        await freeze(shop)
        result = await ask(shop, BUY_NUMBER, request_state=state, input_responses=YES)
        assert "SPENDING_FROZEN" in str(result)
        assert shop.writes == []


async def test_a_freeze_between_the_question_and_a_slow_answer_is_noticed(sandbox: Sandbox, data_dir: Path) -> None:
    person = Person(APPROVE)
    async with connected(sandbox, data_dir, person, "legacy", confirm_wait=5) as shop:
        read = person.read

        async def read_meanwhile() -> None:
            assert read is not None
            await read()
            await freeze(shop)

        person.read = read_meanwhile
        assert "SPENDING_FROZEN" in text_of(await shop.buy(BUY_NUMBER))
        assert len(person.asked) == 1
        assert shop.writes == []


async def test_what_is_out_is_followed_to_its_end(sandbox: Sandbox, data_dir: Path) -> None:
    rules: dict[str, Any] = {"spend_mode": "budget", "auto_approve_max": 10, "daily_budget": 100, "confirm_wait": 0}
    async with connected(sandbox, data_dir, clock=MovingClock(), **rules) as shop:
        await lose(shop, BUY_NUMBER, "drop_after")
        await freeze(shop)
        assert await graced(shop) == ["charged"]
        assert "nothing was sent now" in (await shop.receipt(BUY_NUMBER))["note"]
        assert "SPENDING_FROZEN" in text_of(await shop.buy(BUY_NUMBER)), "the outcome was told, and this is a new one"
    assert len(charges(sandbox, BUY_NUMBER)) == 1


async def test_the_freeze_waits_for_what_was_claimed_before(sandbox: Sandbox, data_dir: Path) -> None:
    """Another process of the same store; its clock and this one's are the same."""
    rules: dict[str, Any] = {"spend_mode": "budget", "auto_approve_max": 10, "daily_budget": 100, "confirm_wait": 0}
    may_answer = asyncio.Event()

    async with connected(sandbox, data_dir, **rules) as shop:
        held: list[str] = []
        send = shop.gate.reconciler.charged_amount

        async def held_up(*args: Any) -> Any:
            held.append("sent")
            await may_answer.wait()
            return await send(*args)

        shop.gate.reconciler.charged_amount = held_up  # pyright: ignore[reportAttributeAccessIssue]
        call = asyncio.create_task(shop.receipt(BUY_NUMBER))
        await until(lambda: held, seconds=10, what="the request")
        assert await freeze(shop) == 0
        told: list[str] = []
        waiting = asyncio.create_task(
            freezing.until_still(
                shop.gate.journal.store, of_all=False, tell=lambda entries: told.extend(e.kind for e in entries)
            )
        )
        await until(lambda: told, seconds=10, what="it says what it waits for")
        assert not waiting.done()
        may_answer.set()
        assert await waiting == []
        assert (await call)["status"] == "charged"
    assert told == ["purchase_number"]


async def test_who_froze_it_and_since_when_is_told(shop: Connected, data_dir: Path) -> None:
    await freeze(shop, by="Ann\u202e")
    words = (await shop.ok("list_spending"))["frozen"]
    assert words.startswith("since ")
    assert words.endswith("UTC by Ann⟨U+202E⟩ in the console")
    assert await freeze(shop, by="Bob") == 0
    assert (await shop.ok("list_spending"))["frozen"] == words, "the first one holds"
    settings = load(data_dir=data_dir, webhook_port=0, store_url=store_url(data_dir / "store.sqlite3"))
    findings = await examine(settings)
    (finding,) = [finding for finding in findings if finding.what == "spending"]
    assert finding.state == f"frozen {words}"
    assert await lift(shop)
    assert "frozen" not in await shop.ok("list_spending")
    assert not await lift(shop)


async def test_what_was_taken_for_lost_just_now_may_still_come_whatever_the_clock_says(shop: Connected) -> None:
    """The clock was set forward after the claim, so that a claim of this moment looked old."""
    store, entry_id = shop.gate.journal.store, await approved(shop)
    assert await shop.gate.journal.claim(entry_id, "{}")
    shop.gate.journal.release(entry_id)
    await store.write(lambda c: c.execute("UPDATE spending SET sent_at = sent_at - 600"))
    await shop.gate.journal.recover()
    await freeze(shop)
    may_come, lost = await freezing.still_claimed(store, 0.0, of_all=False)
    assert ([entry.id for entry in may_come], lost) == ([entry_id], [])
    await store.write(lambda c: c.execute("UPDATE spending SET settled_at = settled_at - 60"))
    assert await freezing.still_claimed(store, 0.0, of_all=False) == ([], [])


# --- accounts


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[dict[str, Store]]:
    """Two accounts of one store."""
    async with AsyncExitStack() as stack:
        found: dict[str, Store] = {}
        for key in (KEY_A, KEY_B):
            found[key] = open_at(tmp_path / "store.sqlite3", key_digest=accounts.digest(key))
            stack.push_async_callback(found[key].close)
            await found[key].write(accounts.identify, f"user-{key}")
        yield found


async def is_frozen(store: Store) -> bool:
    return await store.read(freezes.current) is not None


async def test_the_console_freezes_and_lifts_the_freeze_of_its_account_alone(stores: dict[str, Store]) -> None:
    ours, theirs = stores.values()
    await freezing.freeze(ours, "console", by="ann", of_all=False)
    assert (await is_frozen(ours), await is_frozen(theirs)) == (True, False)
    await freezing.freeze(theirs, "terminal", of_all=True)
    await ours.write(freezes.end, of_all=False)
    assert await is_frozen(ours), "one operator does not lift what was frozen for all accounts"
    assert await ours.write(freezes.end, of_all=True)
    assert (await is_frozen(ours), await is_frozen(theirs)) == (False, False)


async def test_a_freeze_of_all_holds_for_an_account_that_comes_later(stores: dict[str, Store], tmp_path: Path) -> None:
    await freezing.freeze(stores[KEY_A], "terminal", of_all=True)
    later = open_at(tmp_path / "store.sqlite3", key_digest=accounts.digest(KEY_C))
    try:
        await later.write(accounts.identify, "user-of-another")
        assert await is_frozen(later)
    finally:
        await later.close()


async def test_a_new_key_of_the_account_lifts_no_freeze(stores: dict[str, Store], tmp_path: Path) -> None:
    await freezing.freeze(stores[KEY_A], "console", of_all=False)
    rotated = open_at(tmp_path / "store.sqlite3", key_digest=accounts.digest(KEY_C))
    try:
        await rotated.write(accounts.identify, f"user-{KEY_A}")
        assert await is_frozen(rotated)
        assert not await is_frozen(stores[KEY_B])
    finally:
        await rotated.close()


async def test_a_new_key_is_frozen_until_it_is_known_whose_it_is(stores: dict[str, Store], tmp_path: Path) -> None:
    await freezing.freeze(stores[KEY_A], "console", by="ann", of_all=False)
    rotated = open_at(tmp_path / "store.sqlite3", key_digest=accounts.digest(KEY_C))
    try:
        await rotated.write(freezes.end, of_all=False)  # gives it an account
        freeze = await rotated.read(freezes.current)
        assert freeze is not None
        assert freeze.by is None, "the operator of another account is not named"
        await rotated.write(accounts.identify, "user-of-another")
        assert not await is_frozen(rotated)
    finally:
        await rotated.close()


async def test_two_freezes_at_once_are_one(stores: dict[str, Store]) -> None:
    ours, theirs = stores.values()
    (first, _), (second, _) = await asyncio.gather(
        freezing.freeze(ours, "terminal", of_all=True), freezing.freeze(theirs, "console", by="ann", of_all=True)
    )
    assert first == second


@pytest.mark.parametrize("garbage", ["garbage", "[]", '{"since": 1e30}', '{"since": "x"}'])
async def test_a_freeze_that_cannot_be_read_holds(stores: dict[str, Store], garbage: str) -> None:
    ours = stores[KEY_A]
    await freezing.freeze(ours, "terminal", of_all=True)
    await ours.write(lambda c: c.execute("UPDATE facts SET value = ? WHERE name = 'spending:frozen'", (garbage,)))
    freeze = await ours.read(freezes.current)
    assert freeze is not None
    assert "since 1970" in frozen_since(freeze)
    assert await ours.write(freezes.end, of_all=True)
    assert not await is_frozen(ours)


# --- the terminal


def test_without_a_key_the_command_freezes_and_says_what_it_could_not_read(data_dir: Path) -> None:
    settings = ["--data-dir", str(data_dir)]
    run = CliRunner().invoke
    frozen = run(main, [*settings, "freeze"])
    assert frozen.exit_code == 0, frozen.output
    assert "nothing is sent, approved or not" in frozen.output
    assert "Nothing that costs money can leave any more." in frozen.output
    assert "there is no API key here" in frozen.output
    assert "All that costs money is frozen since" in run(main, [*settings, "approvals"]).output
    assert "can be approved again" in run(main, [*settings, "unfreeze"]).output
    assert "Nothing was frozen" in run(main, [*settings, "unfreeze"]).output


@pytest.mark.sqlite
async def test_the_command_names_what_it_waits_for_though_its_question_cannot_be_read(
    shop: Connected, data_dir: Path
) -> None:
    entry_id = await approved(shop)
    assert await shop.gate.journal.claim(entry_id, "{}")
    shop.gate.journal.release(entry_id)
    await shop.gate.journal.recover()
    await shop.gate.journal.store.write(lambda c: c.execute("UPDATE spending SET quote = '{', sent_at = 1"))
    frozen = await asyncio.to_thread(CliRunner().invoke, main, ["--data-dir", str(data_dir), "freeze"])
    assert frozen.exit_code == 0, frozen.output
    assert f"{entry_id}  purchase_number" in frozen.output


@pytest.mark.sqlite
async def test_the_command_does_not_say_that_nothing_can_leave_if_the_freeze_was_lifted_while_it_waited(
    shop: Connected, data_dir: Path
) -> None:
    store, entry_id = shop.gate.journal.store, await approved(shop)
    assert await shop.gate.journal.claim(entry_id, "{}")
    waiting = asyncio.create_task(asyncio.to_thread(CliRunner().invoke, main, ["--data-dir", str(data_dir), "freeze"]))
    await until(lambda: is_frozen(store), seconds=20, what="the freeze")
    assert await store.write(freezes.end, of_all=True)
    assert await shop.gate.journal.end(entry_id, Ending("refused"))
    frozen = await waiting
    assert frozen.exit_code == 1, frozen.output
    assert "the freeze was lifted meanwhile" in frozen.output
    assert "Nothing that costs money can leave" not in frozen.output


def test_a_key_that_cannot_be_read_is_in_no_freezes_way(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody has deleted it in a hurry, and running servers still have it."""
    for name, value in (("PIV_API_KEY_FILE", str(data_dir / "deleted")), ("PIV_API_KEY", "two words")):
        monkeypatch.setenv(name, value)
        frozen = CliRunner().invoke(main, ["--data-dir", str(data_dir), "freeze"])
        assert frozen.exit_code == 0, frozen.output
        assert "there is no API key here that can be read" in frozen.output
    monkeypatch.setenv("PIV_SPEND_MODE", "never")
    assert "PIV_SPEND_MODE" in CliRunner().invoke(main, ["--data-dir", str(data_dir), "freeze"]).output


def test_the_command_names_the_store_that_it_freezes(data_dir: Path, tmp_path: Path) -> None:
    for directory in (data_dir, tmp_path / "another"):
        frozen = CliRunner().invoke(main, ["--data-dir", str(directory), "freeze"])
        assert f"the accounts of one store: {directory / 'store.sqlite3'}\n" in frozen.output
