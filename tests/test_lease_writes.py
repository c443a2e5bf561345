"""What a lease keeps from others beside messages: what they would do with the number, and all numbers at once."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from moving_clock import MovingClock
from team import Team, team

from piv_mcp.sandbox import Sandbox, Timing
from piv_mcp.store.number_leases import MOST_HELD


@pytest.fixture
async def home(data_dir: Path) -> AsyncIterator[Team]:
    """More numbers than one agent may lease. The clock moves only when a test moves it."""
    sandbox = Sandbox(rate_limit=0, timing=Timing.instant(), seed=False)
    sandbox.add_numbers(MOST_HELD + 2)
    async with team(sandbox, data_dir, clock=MovingClock(speed=0)) as home:
        for name in ("ada", "bob"):
            await home.add(name)
        yield home
    await sandbox.aclose()


def uses(number: str) -> dict[str, dict[str, Any]]:
    return {
        "send_sms": {"piv_num_id": number, "to_number": "+46701234567", "message_body": "hello"},
        "start_google_verification": {"piv_num_id": number, "gv_url": "https://example.com/verify"},
        "restore_numbers": {"piv_num_ids": [number]},
    }


def expire(home: Team, number: str) -> None:
    item = home.sandbox.state.numbers[number]
    item.expires_at = home.sandbox.now - timedelta(days=1)


@pytest.mark.parametrize("tool", uses("any"))
async def test_nobody_else_uses_a_leased_number(home: Team, tool: str) -> None:
    async with home.client("ada") as ada, home.client("bob") as bob:
        lease = await ada.ok("lease_number")
        number = lease["piv_num_id"]
        if tool == "restore_numbers":
            expire(home, number)
        arguments = uses(number)[tool]
        said = await bob.error(tool, **arguments)
        assert "NUMBER_LEASED" in said
        assert f"until {datetime.fromisoformat(lease['until']):%H:%M:%S} UTC" in said
        assert "no money moved" in said
        assert "ada" not in said
        assert await home.services.gate.journal.entries(limit=9) == []  # and nobody was asked
        assert (await ada.ok(tool, **arguments))["status"] == "approval_required"
        await ada.ok("release_number", number=number)
        assert (await bob.ok(tool, **arguments))["status"] == "approval_required"


async def test_a_number_that_was_leased_after_the_question_is_not_used(home: Team) -> None:
    journal = home.services.gate.journal
    async with home.client("ada") as ada, home.client("bob") as bob:
        number = next(iter(home.sandbox.state.numbers))
        arguments = uses(number)["send_sms"]
        waiting = await bob.ok("send_sms", **arguments)
        assert await journal.decide(waiting["spending_id"], "approve", by="terminal")
        await ada.ok("lease_number", number=number)
        assert "NUMBER_LEASED" in await bob.error("send_sms", **arguments)
        await ada.ok("release_number", number=number)
        assert (await bob.ok("send_sms", **arguments))["status"] == "charged"  # by the same approval
    assert len([request for request in home.sandbox.requests if request.method == "POST"]) == 1


async def test_a_lease_keeps_nobody_from_the_outcome_of_what_was_sent_before(home: Team) -> None:
    async with home.client("ada") as ada, home.client("bob") as bob:
        number = next(iter(home.sandbox.state.numbers))
        arguments = uses(number)["send_sms"]
        waiting = await bob.ok("send_sms", **arguments)
        gate = bob.services.gate
        assert await gate.journal.decide(waiting["spending_id"], "approve", by="terminal")
        entry = await gate.journal.get(waiting["spending_id"])
        assert entry is not None
        await gate._execute(entry)  # pyright: ignore[reportPrivateUsage] - as if the call had been cut off
        await ada.ok("lease_number", number=number)
        assert (await bob.ok("send_sms", **arguments))["spending_id"] == entry.id


async def test_one_agent_leases_some_numbers_and_not_all(home: Team) -> None:
    async with home.client("ada") as ada, home.client("bob") as bob:
        leases = [await ada.ok("lease_number", minutes=30 + place) for place in range(MOST_HELD)]
        said = await ada.error("lease_number")
        assert "TOO_MANY_LEASES" in said
        assert f"{datetime.fromisoformat(leases[0]['until']):%H:%M:%S} UTC" in said
        assert leases[0]["piv_num_id"] in said
        free = set(home.sandbox.state.numbers) - {lease["piv_num_id"] for lease in leases}
        assert "TOO_MANY_LEASES" in await ada.error("lease_number", number=free.pop())
        await ada.ok("lease_number", number=leases[3]["piv_num_id"])  # of what it has, it extends
        await bob.ok("lease_number")
        await ada.ok("release_number", number=leases[5]["piv_num_id"])
        await ada.ok("lease_number")
