"""While a purchase is carried out, callers go away, servers stop and disks fail. No secret is written down."""

import asyncio
from pathlib import Path

import pytest
from engines import open_at
from harness import (
    DECLINE,
    ERAS,
    Era,
    approver,
    charges,
    connected,
    content_of,
    decliner,
    pages,
    text_of,
    until,
)
from moving_clock import MovingClock
from plain_http import http_client
from purchases import (
    BUY_NUMBER,
    BUY_PROXIES,
)

from piv_mcp.errors import StoreError
from piv_mcp.sandbox import Failure, Sandbox
from piv_mcp.spending.journal import Journal

pytestmark = pytest.mark.usefixtures("instant_retries")

eras = pytest.mark.parametrize("era", ERAS)


@eras
async def test_a_caller_that_goes_away_while_it_is_carried_out_is_told_by_the_next_equal_call(
    sandbox: Sandbox, data_dir: Path, era: Era
) -> None:
    sandbox.fail_next(Failure(kind="slow", method="POST", path=BUY_NUMBER.path, delay=10))
    person = approver()
    async with connected(sandbox, data_dir, person, era, MovingClock()) as shop:
        call = asyncio.create_task(shop.receipt(BUY_NUMBER))
        await until(lambda: shop.writes, seconds=20, what="the request")
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await shop.settled()
        told = await shop.receipt(BUY_NUMBER)
        assert told["status"] == "charged"
        assert "nothing was sent now" in told["note"]
        assert len(person.asked) == 1
        assert len(charges(sandbox, BUY_NUMBER)) == 1
        person.answers.append(DECLINE)
        assert (await shop.receipt(BUY_NUMBER))["status"] == "declined"


async def test_what_another_server_of_the_process_carries_out_does_not_look_dead(
    sandbox: Sandbox, data_dir: Path
) -> None:
    sandbox.fail_next(Failure(kind="hang", method="POST", path=BUY_NUMBER.path))
    clock = MovingClock()
    async with connected(sandbox, data_dir, approver(), clock=clock) as one, connected(sandbox, data_dir) as two:
        call = asyncio.create_task(one.receipt(BUY_NUMBER))
        await until(lambda: one.writes, seconds=20, what="the request")
        assert await two.gate.journal.recover() == []
        assert (await one.only_entry()).state == "executing"
        await one.settled()
        assert (await call)["status"] == "charged"


@eras
async def test_a_server_that_is_stopped_while_a_request_is_out_finds_the_truth_at_its_next_start(
    sandbox: Sandbox, data_dir: Path, era: Era
) -> None:
    sandbox.fail_next(Failure(kind="hang", method="POST", path=BUY_NUMBER.path))
    async with connected(sandbox, data_dir, approver(), era) as shop:
        call = asyncio.create_task(shop.receipt(BUY_NUMBER))
        await until(lambda: shop.writes, seconds=20, what="the request")
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
    person = decliner()
    async with connected(sandbox, data_dir, person, era, MovingClock()) as shop:
        (entry,) = await shop.settled()
        assert entry.state == "charged"
        assert entry.evidence
        assert "nothing was sent now" in (await shop.receipt(BUY_NUMBER))["note"]
        assert shop.writes == []
        assert person.asked == []
        assert len(charges(sandbox, BUY_NUMBER)) == 1


async def test_a_server_that_is_stopped_while_a_request_is_out_leaves_the_word_that_the_outcome_is_unknown(
    sandbox: Sandbox, data_dir: Path
) -> None:
    """Other servers need not wait until its process has ended."""
    sandbox.fail_next(Failure(kind="hang", method="POST", path=BUY_NUMBER.path))
    async with connected(sandbox, data_dir, approver()) as shop:
        call = asyncio.create_task(shop.receipt(BUY_NUMBER))
        await until(lambda: shop.writes, seconds=20, what="the request")
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
    store = open_at(data_dir / "store.sqlite3")
    (entry,) = await Journal(store).entries(limit=2)
    await store.close()
    assert (entry.state, entry.problem) == ("unknown", "the server was stopped before the answer came")
    assert entry.settled_at is not None


@eras
async def test_a_store_that_fails_before_the_execution_lets_nothing_be_sent(
    sandbox: Sandbox, data_dir: Path, era: Era, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connected(sandbox, data_dir, approver(), era) as shop:

        async def full(id_: str, before: str) -> bool:
            raise StoreError("the disk is full")

        with monkeypatch.context() as broken:
            broken.setattr(shop.gate.journal, "claim", full)
            assert "the disk is full" in text_of(await shop.buy(BUY_NUMBER))
        assert shop.writes == []
        assert (await shop.receipt(BUY_NUMBER))["status"] == "charged"  # its approval is still good
        assert len(charges(sandbox, BUY_NUMBER)) == 1


@eras
async def test_a_store_that_fails_after_the_charge_lets_nothing_be_sent_again(
    sandbox: Sandbox, data_dir: Path, era: Era, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = approver()
    async with connected(sandbox, data_dir, person, era, MovingClock()) as shop:

        async def full(*_: object) -> bool:
            raise StoreError("the disk is full")

        with monkeypatch.context() as broken:
            broken.setattr(shop.gate.journal, "end", full)
            broken.setattr(shop.gate.journal, "settle", full)
            lost = text_of(await asyncio.wait_for(shop.buy(BUY_NUMBER), 20))
            assert "OUTCOME_UNKNOWN" in lost
            assert "the disk is full" in lost
            assert "OUTCOME_UNKNOWN" in text_of(await asyncio.wait_for(shop.buy(BUY_NUMBER), 20))
        (entry,) = await shop.settled()
        assert entry.state == "charged"
        assert "nothing was sent now" in (await shop.receipt(BUY_NUMBER))["note"]
        assert len(shop.writes) == 1
        assert len(person.asked) == 1


@eras
async def test_no_secret_reaches_journal_receipts_or_log(
    sandbox: Sandbox, data_dir: Path, era: Era, capfd: pytest.CaptureFixture[str], silent_browser: Path
) -> None:
    async with connected(sandbox, data_dir, None, era, confirm_wait=0) as shop:
        results = [await shop.buy(BUY_PROXIES)]
        invitation = pages(silent_browser)[0].rpartition("/")[2]
        async with http_client() as http:
            cookie = (await http.get(pages(silent_browser)[0])).cookies.jar
        (secret,) = (str(each.value) for each in cookie)
        await shop.gate.journal.decide((await shop.only_entry()).id, "approve", by="page")
        results += [await shop.buy(BUY_PROXIES), await shop.call("list_spending")]
        rows = "\n".join(map(str, await shop.entries()))
    passwords = [proxy.password for order in sandbox.state.orders.values() for proxy in order.proxies]
    seen = {
        "journal": rows,
        "receipts": "\n".join(map(str, results)),
        "log": "".join(capfd.readouterr()),
        "store": (data_dir / "store.sqlite3").read_bytes().decode("latin-1"),
    }
    assert content_of(results[1])["status"] == "charged"
    assert len(invitation) == len(secret) == 43
    for where, text in seen.items():
        for hidden in (sandbox.api_key, invitation, secret, *passwords):
            assert hidden not in text, where
