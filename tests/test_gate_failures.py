"""The API fails in every way, at every action: charged once at most, and the journal finds the truth."""

import asyncio
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from harness import DEADLINE, DECLINE, ERAS, Connected, Era, approver, charges, connected, content_of, text_of, until
from mcp.types import CallToolResult
from moving_clock import MovingClock
from purchases import PURCHASES, Purchase

from piv_mcp.sandbox import Failure, Sandbox

pytestmark = pytest.mark.usefixtures("instant_retries")


@dataclass(frozen=True)
class Loss:
    """A way to lose an answer. `done` says whether the work was done before."""

    name: str
    failure: dict[str, Any]
    done: bool

    @property
    def hangs(self) -> bool:
        return self.failure["kind"] == "hang"

    def at(self, purchase: Purchase) -> Failure:
        return Failure(method="POST", path=purchase.path, **self.failure)

    def __str__(self) -> str:
        return self.name


LOSSES = (
    Loss("dropped_after", {"kind": "drop_after"}, done=True),
    Loss("dropped_before", {"kind": "drop_before"}, done=False),
    Loss("reset_after", {"kind": "drop_after", "reset": True}, done=True),
    Loss("timeout_after", {"kind": "hang"}, done=True),
    Loss("timeout_before", {"kind": "hang", "after": False}, done=False),
    Loss("error_500_before", {"kind": "status"}, done=False),
    Loss("error_500_after", {"kind": "status_after"}, done=True),
    Loss("html_502_before", {"kind": "html"}, done=False),
    Loss("html_502_after", {"kind": "html", "after": True}, done=True),
    Loss("truncated_json", {"kind": "garbage"}, done=True),
    Loss("empty_answer", {"kind": "empty"}, done=True),
)


async def lost(shop: Connected, purchase: Purchase, loss: Loss) -> CallToolResult:
    """The first call's result; a call that hangs lasts until its deadline."""
    call = asyncio.create_task(shop.buy(purchase))
    if loss.hangs:
        await until(lambda: shop.writes, seconds=20, what="the request")
        shop.advance(DEADLINE)
    return await call


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("loss", LOSSES, ids=str)
@pytest.mark.parametrize("purchase", PURCHASES, ids=str)
async def test_a_lost_answer_is_never_sent_again_and_ends_in_the_truth(
    sandbox: Sandbox, data_dir: Path, purchase: Purchase, loss: Loss, era: Era
) -> None:
    """Loses the answer of one purchase, repeats the call, waits for the truth, and buys no other."""
    person = approver()
    async with connected(sandbox, data_dir, person, era, MovingClock()) as shop:
        arguments = purchase.arguments(sandbox)
        sandbox.fail_next(loss.at(purchase))
        amounts = [purchase.price] if loss.done else []

        first = await lost(shop, purchase, loss)
        assert [charge.amount for charge in charges(sandbox, purchase)] == amounts
        known = not first.is_error
        if known:  # it was found at once
            assert content_of(first)["status"] == ("charged" if loss.done else "not_charged")
            assert content_of(first)["evidence"]
        else:
            assert "OUTCOME_UNKNOWN" in text_of(first)
            assert "Do not repeat it" in text_of(first)
            listed = await shop.ok("list_spending")
            assert [entry["state"] for entry in listed["entries"]] in (["unknown"], ["charged"], ["not_charged"])
            assert len(shop.writes) == 1

        (entry,) = await shop.settled()
        assert entry.state == ("charged" if loss.done else "not_charged")
        assert entry.evidence
        assert len(shop.writes) == 1
        if loss.done and entry.charged is not None:
            assert Decimal(entry.charged) == purchase.price

        told = await shop.ok(purchase.tool, **arguments)
        assert told["status"] == entry.state
        assert "nothing was sent now" in told["note"]
        assert len(shop.writes) == 1
        assert len(person.asked) == 1

        person.answers.append(DECLINE)
        further = await shop.call(purchase.tool, **arguments)
        if not further.is_error:  # a second one of some things is refused before anybody is asked: the domain is taken
            assert content_of(further)["status"] == "declined"
            assert len(person.asked) == 2
        assert len(shop.writes) == 1
        assert [charge.amount for charge in charges(sandbox, purchase)] == amounts
