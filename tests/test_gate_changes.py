"""What costs nothing and cannot be taken back."""

from pathlib import Path
from typing import Any, cast

import pytest
from examples import number
from harness import (
    APPROVE,
    DECLINE,
    ERAS,
    Era,
    Person,
    approver,
    connected,
    decliner,
    text_of,
)
from moving_clock import MovingClock
from purchases import COMMITMENTS, FREE, PURCHASES, given

from piv_mcp.sandbox import Failure, Sandbox

pytestmark = pytest.mark.usefixtures("instant_retries")

eras = pytest.mark.parametrize("era", ERAS)


@eras
@pytest.mark.parametrize(("tool", "method", "arguments"), [*FREE, *COMMITMENTS])
async def test_a_lasting_change_is_asked_at_no_cost_and_done_once(
    sandbox: Sandbox, data_dir: Path, era: Era, tool: str, method: str, arguments: dict[str, Any]
) -> None:
    person = Person(APPROVE, answers=[DECLINE])
    async with connected(sandbox, data_dir, person, era) as shop:
        exact = given(sandbox, arguments)
        assert (await shop.ok(tool, **exact))["status"] == "declined"
        assert shop.writes == []
        receipt = await shop.ok(tool, **exact)
        assert receipt["status"] == "done"
        assert "charged" not in receipt
        assert [request.method for request in shop.writes] == [method]
        assert all("Price: 0.00 USD" in asked for asked in person.asked)
        assert ("Then: " in person.asked[0]) is (arguments.get("auto_renew") is True)
        assert sandbox.charges == []


@pytest.mark.parametrize(("tool", "method", "arguments"), FREE)
async def test_who_does_not_want_to_be_asked_about_changes_is_not(
    sandbox: Sandbox, data_dir: Path, tool: str, method: str, arguments: dict[str, Any]
) -> None:
    person = decliner()
    async with connected(sandbox, data_dir, person, confirm_destructive=False) as shop:
        assert (await shop.ok(tool, **given(sandbox, arguments)))["status"] == "done"
        assert [request.method for request in shop.writes] == [method]
        assert person.asked == []


@pytest.mark.parametrize(("tool", "method", "arguments"), COMMITMENTS)
async def test_turning_auto_renewal_on_is_asked_all_the_same(
    sandbox: Sandbox, data_dir: Path, tool: str, method: str, arguments: dict[str, Any]
) -> None:
    person = decliner()
    async with connected(sandbox, data_dir, person, confirm_destructive=False) as shop:
        assert (await shop.ok(tool, **given(sandbox, arguments)))["status"] == "declined"
        assert shop.writes == []
        assert "until auto-renewal is turned off" in person.asked[0]


@pytest.mark.parametrize(("tool", "method", "arguments"), [*FREE, *COMMITMENTS])
async def test_a_lasting_change_whose_answer_was_lost_is_found_and_not_repeated(
    sandbox: Sandbox, data_dir: Path, tool: str, method: str, arguments: dict[str, Any]
) -> None:
    async with connected(sandbox, data_dir, approver(), clock=MovingClock()) as shop:
        sandbox.fail_next(Failure(kind="drop_after", method=cast("Any", method)))
        exact = given(sandbox, arguments)
        await shop.call(tool, **exact)
        (entry,) = await shop.settled()
        assert entry.state == "charged"
        assert entry.charged == "0"
        assert (await shop.ok(tool, **exact))["status"] == "done"
        assert len(shop.writes) == 1


@eras
async def test_who_denies_all_spending_is_offered_none_and_commits_to_none(
    sandbox: Sandbox, data_dir: Path, era: Era
) -> None:
    person = approver()
    async with connected(sandbox, data_dir, person, era, spend_mode="deny") as shop:
        offered = {tool.name for tool in (await shop.client.list_tools()).tools}
        assert not offered & {purchase.tool for purchase in PURCHASES}
        assert "set_number_auto_renewal" in offered
        for purchase in PURCHASES:
            assert "UNKNOWN_TOOL" in text_of(await shop.buy(purchase))
        refused = await shop.call("set_number_auto_renewal", piv_num_id=number(sandbox), auto_renew=True)
        assert "SPENDING_DENIED" in text_of(refused)
        assert shop.writes == []
        assert person.asked == []
        off = await shop.ok("set_number_auto_renewal", piv_num_id=number(sandbox), auto_renew=False)
        assert off["status"] == "done"
