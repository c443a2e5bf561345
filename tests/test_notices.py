"""Notices: what a person is told where they are, by real receivers on this machine. None is lost or comes twice."""

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from harness import Connected, connected, until
from moving_clock import MovingClock
from notice_receivers import Hook, Mailbox, hook, mailbox
from processes import KEY, Machine, sandbox_on_a_port
from purchases import BUY_NUMBER, FREE, given

from piv_mcp.cli.main import main
from piv_mcp.config import load
from piv_mcp.errors import ConfigError, PivError
from piv_mcp.notices import notifier
from piv_mcp.notices.findings import ACCOUNT_AGAIN_SECONDS, BALANCE_SECONDS, EXPIRY_SECONDS, GUESSES, Finder
from piv_mcp.notices.notifier import FIRST_PAUSE, LONGEST_PAUSE
from piv_mcp.notices.receivers import receivers
from piv_mcp.runtime import Runtime
from piv_mcp.sandbox import Failure, Sandbox, Timing
from piv_mcp.store import accounts, facts, notice_rows

ASKING: dict[str, Any] = {"confirm_wait": 0, "confirm_channel": "elicit"}
BUYING: dict[str, Any] = {"spend_mode": "budget", "auto_approve_max": 10, "daily_budget": 100, "confirm_wait": 0}


@pytest.fixture
async def phone() -> AsyncIterator[Hook]:
    async with hook() as receiver:
        yield receiver


@pytest.fixture
async def mails() -> AsyncIterator[Mailbox]:
    async with mailbox() as receiver:
        yield receiver


@asynccontextmanager
async def shop_that_tells(
    sandbox: Sandbox, data_dir: Path, *addresses: str, clock: MovingClock | None = None, **settings: Any
) -> AsyncGenerator[Connected]:
    given_settings: dict[str, Any] = {"notify": " ".join(addresses), "notify_events": "approval,charge", **settings}
    async with connected(sandbox, data_dir, clock=clock, **given_settings) as shop:
        yield shop


async def told(receiver: Hook | Mailbox, count: int = 1) -> list[tuple[str, str]]:
    """What came there, once there is so much."""
    found = receiver.notices if isinstance(receiver, Hook) else receiver.mails
    await until(lambda: len(found) >= count, seconds=20, what=f"{count} notices")
    return found


async def nothing_more(shop: Connected, receiver: Hook, count: int) -> None:
    """Another purchase is told, and nothing between."""
    await shop.receipt(BUY_NUMBER, custom_name="The last one")
    assert len(await told(receiver, count + 1)) == count + 1


async def test_what_waits_is_told_with_its_price_and_how_to_decide_it(
    sandbox: Sandbox, data_dir: Path, phone: Hook, mails: Mailbox
) -> None:
    async with shop_that_tells(sandbox, data_dir, phone.url, mails.url, **ASKING) as shop:
        await shop.receipt(BUY_NUMBER)
        ((title, body),) = await told(phone)
        assert title == "An approval waits: 4.00 USD (exact)"
        assert "Action: Rent a number in SE for 1 month" in body
        assert "piv-mcp approvals" in body
        assert "http" not in body
        ((subject, text),) = await told(mails)
        assert subject == title
        assert "Rent a number in SE" in text


async def test_on_a_server_the_link_of_the_console_is_told_and_no_token(
    sandbox: Sandbox, data_dir: Path, phone: Hook
) -> None:
    where: dict[str, Any] = {"console_url": "https://piv.example.com"}
    async with shop_that_tells(sandbox, data_dir, phone.url, **ASKING, **where) as shop:
        await shop.receipt(BUY_NUMBER)
        ((_, body),) = await told(phone)
        (line,) = [line for line in body.splitlines() if "https" in line]
        assert line.endswith(": https://piv.example.com/approvals")


async def test_a_charge_and_a_lost_answer_are_told_and_what_costs_nothing_is_not(
    sandbox: Sandbox, data_dir: Path, phone: Hook
) -> None:
    rules: dict[str, Any] = {**BUYING, "confirm_destructive": False}
    async with shop_that_tells(sandbox, data_dir, phone.url, **rules) as shop:
        tool, _, arguments = FREE[0].values
        assert (await shop.ok(str(tool), **given(sandbox, arguments)))["status"] == "done"  # pyright: ignore[reportArgumentType]
        await shop.receipt(BUY_NUMBER)
        await told(phone)
        sandbox.fail_next(Failure(kind="drop_after", method="POST", path=BUY_NUMBER.path))
        sandbox.fail_next(Failure(kind="status", method="GET", path="/numbers", times=1, status=503))
        await shop.buy(BUY_NUMBER, custom_name="lost")
        await until(lambda: len(phone.notices) >= 2, seconds=20, what="the second")
    assert phone.titles[0] == "Charged: 4.00 USD"
    assert set(phone.titles[1:]) <= {"An outcome is unknown", "Charged: 4.00 USD"}


async def test_where_there_are_several_accounts_it_is_told_which_one(
    sandbox: Sandbox, data_dir: Path, phone: Hook
) -> None:
    async with shop_that_tells(sandbox, data_dir, phone.url, **BUYING) as shop:
        await shop.receipt(BUY_NUMBER)
        await told(phone)
        await shop.gate.journal.store.write(accounts.add_key, accounts.digest("another key"))
        await shop.receipt(BUY_NUMBER, custom_name="Second")
        (_, alone), (_, beside) = await told(phone, 2)
    assert "Account" not in alone
    assert beside.endswith(f"\nAccount: {sandbox.state.user_id}")


async def test_an_address_that_is_down_is_told_later_and_the_other_at_once(
    sandbox: Sandbox, data_dir: Path, phone: Hook, mails: Mailbox
) -> None:
    clock = MovingClock()
    phone.is_down = True
    async with shop_that_tells(sandbox, data_dir, phone.url, mails.url, clock=clock, **BUYING) as shop:
        await shop.receipt(BUY_NUMBER)
        await told(mails)
        await until(lambda: phone.refused, seconds=20, what="the first try")
        phone.is_down = False
        clock.advance(FIRST_PAUSE)
        await told(phone)
        await nothing_more(shop, phone, 1)
        assert len(await told(mails, 2)) == 2


async def test_an_address_whose_answers_never_end_holds_up_no_other(
    phone: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("piv_mcp.notices.receivers.SEND_SECONDS", 0.05)
    async with hook() as endless:
        endless.never_ends = True
        stuck, good = receivers(shop_address(f"{endless.url} {phone.url}"))
        for _ in range(40):  # more than Apprise has threads
            assert not await stuck.tell("a title", "a text")
        assert len(endless.notices) == 1
        monkeypatch.undo()
        assert await good.tell("a title", "a text")
        assert all(thread.daemon for thread in threading.enumerate() if thread.name == "notice")
        endless.never_ends = False
        await until(lambda: stuck.tell("the next", "a text"), seconds=20, what="the end of the answer")


async def test_an_approval_that_was_decided_before_it_could_be_told_is_not_told(
    sandbox: Sandbox, data_dir: Path, phone: Hook
) -> None:
    clock = MovingClock()
    phone.is_down = True
    async with shop_that_tells(sandbox, data_dir, phone.url, clock=clock, **ASKING) as shop:
        asked = await shop.receipt(BUY_NUMBER)
        await until(lambda: phone.refused, seconds=20, what="the first try")
        assert await shop.gate.journal.decide(asked["spending_id"], "decline", by="page")
        phone.is_down = False
        clock.advance(FIRST_PAUSE)
        await nothing_more(shop, phone, 0)


async def test_of_two_processes_one_tells(sandbox: Sandbox, data_dir: Path, phone: Hook) -> None:
    async with (
        shop_that_tells(sandbox, data_dir, phone.url, **BUYING) as one,
        shop_that_tells(sandbox, data_dir, phone.url, **BUYING) as two,
    ):
        for number, shop in enumerate((one, two)):
            await shop.receipt(BUY_NUMBER, custom_name=f"Line {number}")
        await told(phone, 2)
        await nothing_more(two, phone, 2)


async def test_what_was_there_before_notices_were_turned_on_is_not_told(
    sandbox: Sandbox, data_dir: Path, phone: Hook
) -> None:
    async with connected(sandbox, data_dir, **BUYING) as shop:
        await shop.receipt(BUY_NUMBER)
    async with shop_that_tells(sandbox, data_dir, phone.url, **BUYING) as shop:
        await nothing_more(shop, phone, 0)


async def test_a_low_balance_is_told_once_until_it_was_above_again(
    sandbox: Sandbox, data_dir: Path, phone: Hook
) -> None:
    clock = MovingClock()
    sandbox.balance = 3  # pyright: ignore[reportAttributeAccessIssue]
    settings: dict[str, Any] = {"notify_events": "balance", "notify_balance": 5}
    async with shop_that_tells(sandbox, data_dir, phone.url, clock=clock, **settings):
        ((title, body),) = await told(phone)
        assert title == "The balance is low"
        assert "3.00 USD" in body
        assert "5.00 USD" in body

        async def look_again(balance: int) -> None:
            before = len(sandbox.requests)
            sandbox.balance = balance  # pyright: ignore[reportAttributeAccessIssue]
            clock.advance(BALANCE_SECONDS + 1)
            await until(
                lambda: any(r.path == "/account" for r in sandbox.requests[before:]), seconds=20, what="the next look"
            )

        for balance in (2, 9, 1):
            await look_again(balance)
        await told(phone, 2)
    assert len(phone.notices) == 2


async def test_a_balance_around_the_threshold_is_told_once_an_hour(
    sandbox: Sandbox, data_dir: Path, phone: Hook
) -> None:
    clock = MovingClock()
    rules: dict[str, Any] = {**BUYING, "notify_events": "balance,charge", "notify_balance": 6}
    low = "The balance is low"
    async with shop_that_tells(sandbox, data_dir, phone.url, clock=clock, **rules) as shop:

        async def buy(balance: int) -> None:
            """A purchase for 4 dollars, and the look at the balance after it."""
            sandbox.balance = Decimal(balance)
            await shop.receipt(BUY_NUMBER, custom_name=f"Line {len(sandbox.requests)}")
            before = len(sandbox.requests)
            await until(
                lambda: any(r.path == "/account" for r in sandbox.requests[before:]), seconds=20, what="the next look"
            )

        for balance in (9, 13, 9, 13, 9):
            await buy(balance)
        await until(lambda: len(phone.notices) >= 6, seconds=20, what="all charges, and one balance")
        assert phone.titles.count(low) == 1
        clock.advance(BALANCE_SECONDS + 1)
        await until(lambda: phone.titles.count(low) == 2, seconds=20, what="the balance, which is still low")


async def test_an_account_that_could_not_be_read_is_looked_at_again_soon(sandbox: Sandbox, data_dir: Path) -> None:
    clock = MovingClock()
    sandbox.balance = Decimal(3)
    async with connected(sandbox, data_dir) as shop:
        store = shop.gate.journal.store
        finder = Finder(load(sandbox=True, notify_events="balance"), store, shop.services.client, ["a"], clock)
        sandbox.fail_next(Failure(kind="status", method="GET", path="/account", times=None, status=404))
        with pytest.raises(PivError):
            await finder.look()
        sandbox.clear_failures()
        clock.advance(ACCOUNT_AGAIN_SECONDS)
        await finder.look()
        (notice,) = await store.read(notice_rows.due, "a", clock.time(), longest_pause=LONGEST_PAUSE)
        assert notice.event == "balance"


@pytest.mark.parametrize("status", [403, 503])
async def test_an_area_that_cannot_be_read_keeps_nothing_else_from_being_told(
    sandbox: Sandbox, data_dir: Path, phone: Hook, status: int
) -> None:
    failure = Failure(kind="status", method="GET", path="/numbers", times=None, status=status, code="PERMISSION_DENIED")
    sandbox.fail_next(failure)
    domain = next(iter(sandbox.state.domains.values()))
    domain.expires_at = datetime.now(UTC) + timedelta(days=2)
    async with shop_that_tells(sandbox, data_dir, phone.url, notify_events="expiry"):
        await until(lambda: any("The domain" in body for _, body in phone.notices), seconds=20, what="the notice")


async def test_what_cost_money_that_was_not_quoted_is_told(sandbox: Sandbox, data_dir: Path, phone: Hook) -> None:
    async with shop_that_tells(sandbox, data_dir, phone.url, **BUYING) as shop:
        await shop.receipt(BUY_NUMBER)
        await told(phone)
        store = shop.gate.journal.store
        await store.write(lambda c: c.execute("UPDATE spending SET price = '0', charged = '2.50'"))
        await store.write(lambda c: c.execute("DELETE FROM notices"))
        assert (await told(phone, 2))[1][0] == "Charged: 2.50 USD"


async def test_a_clock_that_was_ahead_and_was_set_back_delays_no_notice(
    sandbox: Sandbox, data_dir: Path, phone: Hook
) -> None:
    """As after a start of a machine whose own clock is wrong."""
    clock = MovingClock()
    clock.correct(30 * 86_400)
    phone.is_down = True
    async with shop_that_tells(sandbox, data_dir, phone.url, clock=clock, **BUYING) as shop:
        await shop.receipt(BUY_NUMBER)
        await until(lambda: phone.refused, seconds=20, what="the first try")
    phone.is_down = False
    async with shop_that_tells(sandbox, data_dir, phone.url, **BUYING) as shop:
        await told(phone)
        await nothing_more(shop, phone, 1)


async def test_what_ends_soon_is_told_once(sandbox: Sandbox, data_dir: Path, phone: Hook) -> None:
    clock = MovingClock()
    sandbox.state.numbers.clear()
    (piv_num_id,) = sandbox.add_numbers(1)
    ends = datetime.now(UTC) + timedelta(days=2)
    sandbox.state.numbers[piv_num_id].expires_at = ends
    async with shop_that_tells(sandbox, data_dir, phone.url, clock=clock, notify_events="expiry") as shop:
        await until(lambda: any("The number" in body for _, body in phone.notices), seconds=20, what="the notice")
        before = len(phone.notices)
        data = {"domain_id": "dom_x", "domain_name": "soon.example", "auto_renew": True}
        await shop.tell("domain.expires_soon", **data, expires_at=(ends + timedelta(days=4)).isoformat())
        assert "soon.example" in (await told(phone, before + 1))[-1][1]
        assert "It renews by itself." in phone.notices[-1][1]
        requests = len(sandbox.requests)
        clock.advance(EXPIRY_SECONDS + 1)
        await until(
            lambda: any(r.path == "/numbers" for r in sandbox.requests[requests:]), seconds=20, what="the next look"
        )
        await shop.tell(
            "domain.expires_soon",
            **{**data, "domain_name": "other.example", "domain_id": "dom_y"},
            expires_at=ends.isoformat(),
        )
        await told(phone, before + 2)
    assert len(phone.notices) == before + 2


async def test_what_cannot_be_put_in_words_keeps_nothing_else_from_being_told(
    sandbox: Sandbox, data_dir: Path, phone: Hook
) -> None:
    rules: dict[str, Any] = {**BUYING, "notify_events": "expiry,charge"}
    async with shop_that_tells(sandbox, data_dir, phone.url, **rules) as shop:
        data = {"domain_id": "dom_x", "domain_name": "late.example", "auto_renew": True}
        await shop.tell("domain.expires_soon", **data, expires_at="9999-12-31T23:59:59-12:00")
        await shop.receipt(BUY_NUMBER)
        await until(lambda: "Charged: 4.00 USD" in phone.titles, seconds=20, what="the charge")


async def test_an_entry_whose_question_cannot_be_read_is_told(sandbox: Sandbox, data_dir: Path, phone: Hook) -> None:
    clock = MovingClock()
    phone.is_down = True
    async with shop_that_tells(sandbox, data_dir, phone.url, clock=clock, **BUYING) as shop:
        await shop.receipt(BUY_NUMBER)
        await until(lambda: phone.refused, seconds=20, what="the first try")
        await shop.gate.journal.store.write(lambda c: c.execute("UPDATE spending SET quote = '{'"))
        phone.is_down = False
        clock.advance(FIRST_PAUSE)
        ((title, body),) = await told(phone)
        assert (title, body.splitlines()[0]) == ("Charged: 4.00 USD", "Action: purchase_number")


async def test_a_guessed_webhook_secret_is_told_once_an_hour(sandbox: Sandbox, data_dir: Path, phone: Hook) -> None:
    clock = MovingClock()
    rules: dict[str, Any] = {**BUYING, "notify_events": "webhook,charge"}
    async with shop_that_tells(sandbox, data_dir, phone.url, clock=clock, **rules) as shop:
        store = shop.gate.journal.store
        await shop.receipt(BUY_NUMBER)
        await told(phone)
        for _ in range(2):
            await store.write(facts.count_up, facts.WRONG_SECRET, clock.time(), GUESSES)
            clock.advance(61)
            await told(phone, 2)
        assert phone.titles[1] == "Somebody guesses the webhook secret"
        assert f"{GUESSES} requests" in phone.notices[1][1]
        await nothing_more(shop, phone, 2)
        clock.advance(3700)
        await told(phone, 4)
        assert phone.titles[3] == "Somebody guesses the webhook secret"


@pytest.mark.parametrize(
    ("events", "titles"),
    [
        ("code", ["Code: 123456"]),
        ("message", ["A message has come", "A message has come"]),
        ("code,message", ["Code: 123456", "A message has come"]),
    ],
)
async def test_codes_and_messages_are_told_where_they_are_asked_for(
    sandbox: Sandbox, data_dir: Path, phone: Hook, events: str, titles: list[str]
) -> None:
    (piv_num_id,) = sandbox.add_numbers(1)
    async with shop_that_tells(sandbox, data_dir, phone.url, notify_events=events) as shop:
        for code, text in (("123456", "Your code is 123456"), (None, "Hello\u202e there")):
            at = datetime.now(UTC).isoformat()
            await shop.tell("sms.received", piv_num_id=piv_num_id, text=text, code=code, received_at=at, country="SE")
        found = await told(phone, len(titles))
        assert sorted(phone.titles) == sorted(titles)
        if "message" in events:
            assert any("Hello⟨U+202E⟩ there" in body for _, body in found)


@pytest.mark.parametrize(("transport", "pause"), [("stdio", 0.1), ("http", 1.0)])
async def test_a_server_that_stops_while_it_sends_lets_nothing_come_twice(
    sandbox: Sandbox, data_dir: Path, phone: Hook, monkeypatch: pytest.MonkeyPatch, transport: str, pause: float
) -> None:
    """A laptop's may wait longer here than elsewhere: on a busy machine the answer takes its time."""
    monkeypatch.setattr(notifier, "LAST_ANSWER_SECONDS", 20.0 if transport == "stdio" else 0.0)
    phone.pause = pause
    async with shop_that_tells(sandbox, data_dir, phone.url, **BUYING, transport=transport) as shop:
        await shop.receipt(BUY_NUMBER)
        await told(phone)
    phone.pause = 0.0
    async with shop_that_tells(sandbox, data_dir, phone.url, **BUYING, transport=transport) as shop:
        await shop.receipt(BUY_NUMBER, custom_name="The last one")
        await until(lambda: len(set(phone.notices)) == 2, seconds=20, what="the next one")
    assert len(phone.notices) == 2


async def test_a_killed_server_loses_no_notice(data_dir: Path, phone: Hook) -> None:
    """It was found, could not be told, and nobody was there when the address came back."""
    account = Sandbox(KEY, rate_limit=0, timing=Timing.instant(), seed=False)
    settings: dict[str, Any] = {"webhook_port": 0, "notify": phone.url, "notify_events": "approval,charge", **BUYING}
    phone.is_down = True
    async with sandbox_on_a_port(account) as base_url:
        machine = Machine(data_dir, base_url)
        buy: dict[str, Any] = {"country_code": "SE", "duration_months": 1, "auto_renew": False}
        async with machine.server("first", **settings) as first:
            await first.call("purchase_number", **buy)
            await until(lambda: phone.refused, seconds=20, what="the first try")
            first.kill()
        phone.is_down = False
        async with machine.server("second", speed=20, **settings) as second:
            await second.call("list_spending")
            assert await told(phone) == phone.notices
            await second.call("purchase_number", **buy)
            await told(phone, 2)
    assert phone.titles == ["Charged: 4.00 USD", "Charged: 4.00 USD"]
    await account.aclose()


# --- addresses are secrets


async def test_no_log_repeats_an_address_that_fails(
    sandbox: Sandbox, data_dir: Path, phone: Hook, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    phone.is_down = True
    gone = "json://127.0.0.1:9/another-secret-path"
    async with shop_that_tells(sandbox, data_dir, phone.url, gone, **BUYING) as shop:
        await shop.receipt(BUY_NUMBER)
        await until(lambda: phone.refused, seconds=20, what="the first try")
    said = capsys.readouterr()
    for text in (caplog.text, said.out, said.err, repr(receivers(shop_address(gone)))):
        assert "secret-path" not in text


def shop_address(address: str) -> Any:
    return load(sandbox=True, notify=address).notify


async def test_an_address_that_is_none_stops_the_start_and_is_not_repeated(data_dir: Path) -> None:
    settings = load(
        sandbox=True, data_dir=data_dir, webhook_port=0, notify="json://127.0.0.1:9/ nonsense://secret-thing"
    )
    with pytest.raises(ConfigError, match="PIV_NOTIFY: address 2 is none") as caught:
        await Runtime(settings).services()
    assert "secret-thing" not in str(caught.value)


def test_addresses_with_commas_between_are_refused() -> None:
    """Apprise takes them for one, and tells all of them again as long as one of them fails."""
    with pytest.raises(ConfigError, match="PIV_NOTIFY: address 2 is several in one") as caught:
        receivers(shop_address("json://127.0.0.1:9/ json://127.0.0.1:9/secret-a,json://127.0.0.1:9/secret-b"))
    assert "secret" not in str(caught.value)


async def test_the_test_command_says_which_address_fails(phone: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIV_NOTIFY", f"{phone.url} json://127.0.0.1:9/another-secret-path")
    result = await asyncio.to_thread(CliRunner().invoke, main, ["notify", "test"])
    assert result.exit_code == 1
    assert "address 1: taken" in result.output
    assert "address 2: FAILED" in result.output
    assert "no notice went to address 2" in result.output
    assert "secret-path" not in result.output
    assert phone.titles == ["A test of piv-mcp"]
