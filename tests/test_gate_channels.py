"""Clients that cannot ask, or never do: the page and the terminal take the question."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from harness import (
    APPROVE,
    ERAS,
    Connected,
    Era,
    Person,
    answered,
    approver,
    ask,
    charges,
    connected,
    content_of,
    pages,
    question,
    until,
)
from mcp.client import ClientRequestContext
from mcp.shared.dispatcher import ProgressFnT
from mcp.shared.exceptions import MCPError
from mcp.types import ElicitRequestParams, ElicitResult
from moving_clock import MovingClock
from purchases import (
    BUY_NUMBER,
    SEND_SMS,
)

from piv_mcp.sandbox import Sandbox
from piv_mcp.spending.approval.elicitation import JOIN_SECONDS

pytestmark = pytest.mark.usefixtures("instant_retries")

eras = pytest.mark.parametrize("era", ERAS)

LONG_WAIT = 300
"""Seconds that a call waits for the person: so many that none of these tests reaches the end."""


async def test_a_client_that_cannot_ask_is_sent_to_the_page_and_told_so(
    sandbox: Sandbox, data_dir: Path, silent_browser: Path
) -> None:
    async with connected(sandbox, data_dir, None, confirm_wait=0.2) as shop:
        receipt = await shop.receipt(BUY_NUMBER)
        assert receipt["status"] == "approval_required"
        assert "page that was opened" in receipt["note"]
        assert len(pages(silent_browser)) == 1
        entry = await shop.only_entry()
        assert await shop.gate.journal.decide(entry.id, "approve", by="page")
        assert (await shop.receipt(BUY_NUMBER))["status"] == "charged"
        assert (await shop.only_entry()).decided_by == "page"
        assert len(charges(sandbox, BUY_NUMBER)) == 1


async def test_a_call_that_waits_goes_on_when_the_person_approves_on_the_page(
    sandbox: Sandbox, data_dir: Path, silent_browser: Path
) -> None:
    async with connected(sandbox, data_dir, None, confirm_wait=60) as shop:
        call = asyncio.create_task(shop.receipt(BUY_NUMBER))
        await until(lambda: pages(silent_browser), seconds=20, what="the page")
        assert await shop.gate.journal.decide((await shop.only_entry()).id, "approve", by="page")
        assert (await asyncio.wait_for(call, 20))["status"] == "charged"


@asynccontextmanager
async def silent_shop(
    sandbox: Sandbox, data_dir: Path, era: Era, **settings: Any
) -> AsyncGenerator[tuple[Connected, list[str]]]:
    """With a client that declares elicitation and never shows a question."""
    asked: list[str] = []

    class Silent(Person):
        async def __call__(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
            asked.append(params.message)
            await asyncio.Event().wait()
            raise AssertionError("nobody answers")

    async with connected(sandbox, data_dir, Silent(APPROVE), era, MovingClock(), **settings) as shop:
        yield shop, asked


def progress_into(told: list[tuple[float, float | None, str | None]]) -> ProgressFnT:
    """Keeps each progress that reaches the client."""

    async def tell(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))

    return tell


@eras
async def test_a_call_that_waits_for_approval_tells_the_client_again_and_again(
    sandbox: Sandbox, data_dir: Path, era: Era
) -> None:
    told: list[tuple[float, float | None, str | None]] = []
    async with connected(sandbox, data_dir, None, era, MovingClock(), confirm_wait=LONG_WAIT) as shop:
        arguments = BUY_NUMBER.arguments(sandbox)
        waits = shop.client.call_tool(BUY_NUMBER.tool, arguments, progress_callback=progress_into(told))
        call = asyncio.create_task(waits)
        await until(shop.entries, seconds=20, what="the question")
        await until(lambda: len(told) >= 3 or shop.advance(1), seconds=20, what="progress, three times")
        assert await shop.gate.journal.decide((await shop.only_entry()).id, "approve", by="terminal")
        assert content_of(await asyncio.wait_for(call, 20))["status"] == "charged"
    waited = [progress for progress, _, _ in told]
    assert waited == sorted(set(waited)), "ever more"
    for progress, total, message in told:
        assert 0 < progress < LONG_WAIT
        assert total == LONG_WAIT
        assert message == f"waiting for the person's approval ({progress:.0f} of {LONG_WAIT} s)"


async def test_a_client_whose_question_is_open_is_told_that_the_call_waits(sandbox: Sandbox, data_dir: Path) -> None:
    told: list[tuple[float, float | None, str | None]] = []
    async with silent_shop(sandbox, data_dir, "legacy", confirm_wait=LONG_WAIT) as (shop, asked):
        arguments = BUY_NUMBER.arguments(sandbox)
        waits = shop.client.call_tool(BUY_NUMBER.tool, arguments, progress_callback=progress_into(told))
        call = asyncio.create_task(waits)
        await until(lambda: asked, seconds=20, what="the question")
        await until(lambda: told or shop.advance(1), seconds=20, what="progress")
        assert await shop.gate.journal.decide((await shop.only_entry()).id, "decline", by="terminal")
        assert content_of(await asyncio.wait_for(call, 20))["status"] == "declined"


async def test_a_client_that_never_answers_is_replaced_by_the_page(
    sandbox: Sandbox, data_dir: Path, silent_browser: Path
) -> None:
    async with silent_shop(sandbox, data_dir, "legacy", confirm_wait=0.3) as (shop, asked):
        receipt = await shop.receipt(BUY_NUMBER)
        assert receipt["status"] == "approval_required"
        assert len(asked) == 1
        assert len(pages(silent_browser)) == 1
        assert await shop.gate.journal.decide((await shop.only_entry()).id, "approve", by="page")
        assert (await shop.receipt(BUY_NUMBER))["status"] == "charged"
        assert len(charges(sandbox, BUY_NUMBER)) == 1
        assert (await shop.receipt(BUY_NUMBER, duration_months=2))["status"] == "approval_required"
        assert len(asked) == 2  # the client is asked about the next purchase
        assert (await shop.receipt(BUY_NUMBER, duration_months=2))["status"] == "approval_required"
        assert len(asked) == 2  # and once about each


async def test_a_client_of_today_that_repeats_the_call_without_an_answer_is_replaced_by_the_page(
    sandbox: Sandbox, data_dir: Path, silent_browser: Path
) -> None:
    async with connected(sandbox, data_dir, approver(), confirm_wait=0.3) as shop:
        await question(shop, BUY_NUMBER)
        joined = answered(await ask(shop, BUY_NUMBER))  # at once: it waits for the answer to the first
        assert joined["status"] == "approval_required"
        assert answered(await ask(shop, BUY_NUMBER))["status"] == "approval_required"
        assert len(pages(silent_browser)) == 1
        assert await shop.gate.journal.decide((await shop.only_entry()).id, "approve", by="page")
        assert answered(await ask(shop, BUY_NUMBER))["status"] == "charged"
        assert len(charges(sandbox, BUY_NUMBER)) == 1


@eras
async def test_the_page_can_be_forced_on_a_client_that_can_ask(
    sandbox: Sandbox, data_dir: Path, era: Era, silent_browser: Path
) -> None:
    person = approver()
    async with connected(sandbox, data_dir, person, era, confirm_channel="page", confirm_wait=0) as shop:
        assert (await shop.receipt(BUY_NUMBER))["status"] == "approval_required"
        assert person.asked == []
        assert len(pages(silent_browser)) == 1


@eras
async def test_a_client_that_cannot_ask_is_sent_to_the_terminal_where_no_page_is_wanted(
    sandbox: Sandbox, data_dir: Path, era: Era, silent_browser: Path
) -> None:
    async with connected(sandbox, data_dir, None, era, confirm_channel="elicit", confirm_wait=0.2) as shop:
        for _ in range(2):
            receipt = await shop.receipt(BUY_NUMBER)
            assert receipt["status"] == "approval_required"
            assert "piv-mcp approvals" in receipt["note"]
            assert "page" not in receipt["note"]
        assert pages(silent_browser) == []
        assert await shop.gate.journal.decide((await shop.only_entry()).id, "approve", by="terminal")
        assert (await shop.receipt(BUY_NUMBER))["status"] == "charged"
        assert pages(silent_browser) == []


async def test_a_client_that_never_answers_is_asked_again_where_no_page_is_wanted(
    sandbox: Sandbox, data_dir: Path, silent_browser: Path
) -> None:
    async with silent_shop(sandbox, data_dir, "legacy", confirm_channel="elicit", confirm_wait=0.2) as (shop, asked):
        for count, purchase in enumerate((BUY_NUMBER, BUY_NUMBER, SEND_SMS), start=1):
            receipt = await shop.receipt(purchase)
            assert receipt["status"] == "approval_required"
            assert "page" not in receipt["note"]
            assert len(asked) == count
            shop.advance(JOIN_SECONDS)
        assert pages(silent_browser) == []
        assert shop.writes == []


async def test_a_client_of_today_that_never_answers_is_asked_again_where_no_page_is_wanted(
    sandbox: Sandbox, data_dir: Path, silent_browser: Path
) -> None:
    clock = MovingClock()
    async with connected(
        sandbox, data_dir, approver(), clock=clock, confirm_channel="elicit", confirm_wait=0.2
    ) as shop:
        await question(shop, BUY_NUMBER)
        joined = answered(await ask(shop, BUY_NUMBER))  # at once: it waits for the answer to the first
        assert joined["status"] == "approval_required"
        assert "page" not in joined["note"]
        clock.advance(JOIN_SECONDS)
        await question(shop, BUY_NUMBER)
        assert pages(silent_browser) == []
        assert await shop.states() == ["quoted"]
        assert shop.writes == []


@eras
async def test_a_wait_of_no_seconds_does_not_keep_a_client_of_today_from_asking(
    sandbox: Sandbox, data_dir: Path, era: Era, silent_browser: Path
) -> None:
    person = approver()
    async with connected(sandbox, data_dir, person, era, confirm_wait=0) as shop:
        receipt = await shop.receipt(BUY_NUMBER)
        assert receipt["status"] == ("charged" if era == "auto" else "approval_required")
        assert len(charges(sandbox, BUY_NUMBER)) == (1 if era == "auto" else 0)


async def test_a_client_that_refuses_to_ask_is_replaced_by_the_page(
    sandbox: Sandbox, data_dir: Path, silent_browser: Path
) -> None:
    class Refusing(Person):
        async def __call__(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
            raise MCPError(code=-32601, message="no such dialogue")

    async with connected(sandbox, data_dir, Refusing(APPROVE), "legacy", confirm_wait=0.2) as shop:
        assert (await shop.receipt(BUY_NUMBER))["status"] == "approval_required"
        assert len(pages(silent_browser)) == 1
        assert shop.writes == []
