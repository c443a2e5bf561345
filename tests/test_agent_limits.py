"""What an agent may spend: its limits come on top of its account's, and only a person approves what is above them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from engines import store_url
from harness import ERAS, YES, Connected, Era, approver, ask, charges, connected, content_of
from mcp.types import CallToolResult, InputRequiredResult
from moving_clock import MovingClock
from purchases import BUY_NUMBER, RENEW_NUMBER
from team import Team, team

from piv_mcp.api.numbers import PurchaseNumber
from piv_mcp.cli import main as cli
from piv_mcp.sandbox import Failure, Sandbox
from piv_mcp.server.scoping import for_agent
from piv_mcp.spending.actions.base import Decision
from piv_mcp.spending.actions.numbers import PurchaseNumberAction
from piv_mcp.spending.approval.channels import DecisionReply, Dialogue, Question
from piv_mcp.spending.errors import UnsettledError
from piv_mcp.spending.journal import MOST_QUESTIONS
from piv_mcp.spending.policy import Policy
from piv_mcp.store.agents import Agent
from piv_mcp.store.journal import Entry

PRICE = Decimal("4.00")
"""Of a number for a month."""


def agent(**limits: Any) -> Agent:
    return Agent(name="ada", account=1, token="", added_at=0.0, **limits)


@pytest.fixture
async def home(sandbox: Sandbox, data_dir: Path) -> AsyncIterator[Team]:
    async with team(sandbox, data_dir) as home:
        yield home


@pytest.fixture
async def rich(sandbox: Sandbox, data_dir: Path) -> AsyncIterator[Team]:
    """Where a budget approves what is asked for."""
    async with team(sandbox, data_dir, spend_mode="budget", auto_approve_max=5, daily_budget=50) as home:
        yield home


@pytest.mark.parametrize(
    ("account", "own", "effective"),
    [
        ("ask", None, "ask"),
        ("ask", "a word of a later version", "deny"),
        ("ask", "budget", "ask"),
        ("ask", "deny", "deny"),
        ("budget", None, "budget"),
        ("budget", "budget", "budget"),
        ("budget", "ask", "ask"),
        ("budget", "deny", "deny"),
        ("deny", "budget", "deny"),
        ("deny", None, "deny"),
    ],
)
def test_an_agent_has_no_more_than_its_account(account: Any, own: str | None, effective: str) -> None:
    assert Policy(mode=account).narrowed_to(agent(spend_mode=own)).mode == effective


def test_of_two_limits_the_lower_counts() -> None:
    policy = Policy(mode="budget", auto_approve_max=Decimal(5), daily_budget=Decimal(50))
    as_it_is = policy.narrowed_to(agent())
    assert (as_it_is.auto_approve_max, as_it_is.daily_budget, as_it_is.own_budget) == (5, 50, None)
    assert policy.narrowed_to(agent(auto_approve_max="3.50")).auto_approve_max == Decimal("3.5")
    assert policy.narrowed_to(agent(auto_approve_max="900")).auto_approve_max == 5
    assert policy.narrowed_to(agent(daily_budget="9")).own_budget == 9
    for damaged in ("", "nonsense", "NaN", "Infinity"):
        nothing = policy.narrowed_to(agent(auto_approve_max=damaged, daily_budget=damaged))
        assert (nothing.auto_approve_max, nothing.own_budget) == (0, 0)


async def test_an_agent_that_may_not_spend_buys_nothing(rich: Team) -> None:
    await rich.add("ada", spend_mode="deny")
    async with rich.client("ada") as app:
        assert "SPENDING_DENIED" in str((await app.buy(BUY_NUMBER)).content)
        assert (await app.ok("list_spending"))["mode"] == "deny"
    assert charges(rich.sandbox, BUY_NUMBER) == []


async def test_its_own_budget_ends_before_the_accounts(rich: Team) -> None:
    await rich.add("ada", daily_budget="9")
    await rich.add("bob", auto_approve_max="3.99")
    async with rich.client("ada") as ada, rich.client("bob") as bob:
        states = [(await ada.receipt(BUY_NUMBER))["status"] for _ in range(3)]
        assert states == ["charged", "charged", "approval_required"]
        budget = (await ada.ok("list_spending"))["budget"]
        assert {name: Decimal(amount) for name, amount in budget.items()} == {
            "per_action": Decimal(5),
            "per_day": Decimal(9),
            "left_today": Decimal(1),
        }
        assert (await bob.receipt(BUY_NUMBER))["status"] == "approval_required"
    assert len(charges(rich.sandbox, BUY_NUMBER)) == 2


async def test_an_agent_is_told_its_own_limits_and_those_of_areas_alone(sandbox: Sandbox, data_dir: Path) -> None:
    rules: dict[str, Any] = {"spend_mode": "budget", "auto_approve_max": 5, "daily_budget": 10, "budgets": "domains=7"}
    async with team(sandbox, data_dir, **rules) as home:
        await home.add("ada", daily_budget="9")
        await home.add("bob", daily_budget="6")
        async with home.client("ada") as ada, home.client("bob") as bob:
            assert [(await ada.receipt(BUY_NUMBER))["status"] for _ in range(2)] == ["charged", "charged"]
            over = (await ada.receipt(BUY_NUMBER))["over_budget"]
            assert over == "The budget of this agent is 9.00 USD in 24 hours, and 1.00 USD of it is left"
            over = (await bob.receipt(BUY_NUMBER))["over_budget"]
            assert over == "Of the budget that all agents share, 2.00 USD is left"
            budget = (await bob.ok("list_spending"))["budget"]
            assert (Decimal(budget["per_day"]), Decimal(budget["left_today"])) == (6, 2)
            assert [row["area"] for row in budget["areas"]] == ["domains"]


async def test_ten_agents_on_three_processes_stay_below_every_budget(sandbox: Sandbox, data_dir: Path) -> None:
    settings: dict[str, Any] = {"spend_mode": "budget", "auto_approve_max": 5, "daily_budget": 50}
    sandbox.balance = Decimal(1000)
    names = [f"agent-{place}" for place in range(10)]
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(team(sandbox, data_dir, **settings))
        others = [team(sandbox, data_dir, first.clock, **settings) for _ in range(2)]
        homes = [first, *[await stack.enter_async_context(other) for other in others]]
        for name in names:
            await first.add(name, daily_budget="9")
        clients: list[Connected] = []
        for place, name in enumerate(names * 2):  # each agent on two of the processes
            home = homes[place % 3]
            home.agents = first.agents
            clients.append(await stack.enter_async_context(home.client(name)))
        answers = await asyncio.gather(*(app.receipt(BUY_NUMBER) for app in clients for _ in range(3)))
        entries = await first.services.gate.journal.entries(limit=500)
    charged = [entry for entry in entries if entry.state == "charged"]
    assert len(charged) == 50 // PRICE == len(charges(sandbox, BUY_NUMBER))
    for name in names:
        assert sum(Decimal(entry.charged or 0) for entry in charged if entry.agent == name) <= 9
    assert {answer["status"] for answer in answers} == {"charged", "approval_required"}


async def test_equal_actions_of_two_agents_are_two_and_nobody_gets_the_others_outcome(home: Team) -> None:
    await home.add("ada")
    await home.add("bob")
    async with home.client("ada") as ada, home.client("bob") as bob:
        first, second = await ada.receipt(BUY_NUMBER), await bob.receipt(BUY_NUMBER)
        assert first["spending_id"] != second["spending_id"]
        assert (await ada.receipt(BUY_NUMBER))["spending_id"] == first["spending_id"]
        journal = home.services.gate.journal
        assert await journal.decide(first["spending_id"], "approve", by="terminal")
        assert (await bob.receipt(BUY_NUMBER))["status"] == "approval_required"
        assert (await ada.receipt(BUY_NUMBER))["status"] == "charged"
        assert (await bob.receipt(BUY_NUMBER))["spending_id"] == second["spending_id"]
        for app, own in ((ada, first), (bob, second)):
            listed = await app.ok("list_spending")
            assert [entry["spending_id"] for entry in listed["entries"]] == [own["spending_id"]]
        assert "NOT_FOUND" in await bob.error("reconcile_spending", spending_id=first["spending_id"])
        assert (await bob.ok("list_spending"))["totals"] == []
    assert len(charges(home.sandbox, BUY_NUMBER)) == 1


async def test_anothers_unknown_outcome_is_a_doubt_without_a_name(rich: Team, instant_retries: None) -> None:
    await rich.add("ada")
    await rich.add("bob")
    async with rich.client("ada") as ada, rich.client("bob") as bob:
        rich.sandbox.fail_next(Failure(kind="drop_before", path="/numbers/purchase"))
        lost = await ada.error("purchase_number", **BUY_NUMBER.arguments(rich.sandbox))
        assert UnsettledError.code in lost
        (entry,) = await rich.services.gate.journal.entries(limit=9)
        assert (entry.state, entry.agent) == ("unknown", "ada")
        receipt = await bob.receipt(BUY_NUMBER)
        assert receipt["status"] == "approval_required"  # the budget does not decide it
        asked = await _entry(rich, receipt["spending_id"])
        assert "unknown_elsewhere" in asked.quote
        assert entry.id not in asked.quote
        assert "ada" not in asked.quote
        assert (await bob.ok("reconcile_spending"))["entries"] == []


async def _entry(home: Team, entry_id: str) -> Entry:
    entry = await home.services.gate.journal.get(entry_id)
    assert entry is not None
    return entry


async def test_one_agent_does_not_bury_the_person_in_questions(home: Team) -> None:
    for name in ("ada", "bob"):
        await home.add(name)
    journal = home.services.gate.journal
    async with home.client("ada") as ada, home.client("bob") as bob:
        asked = [await ada.receipt(BUY_NUMBER, duration_months=months + 1) for months in range(MOST_QUESTIONS)]
        said = await ada.buy(BUY_NUMBER, duration_months=MOST_QUESTIONS + 1)
        assert "TOO_MANY_QUESTIONS" in str(said.content)
        assert "no money moved" in str(said.content)
        assert await journal.waiting() == MOST_QUESTIONS
        again = await ada.receipt(BUY_NUMBER, duration_months=1)
        assert again["spending_id"] == asked[0]["spending_id"]
        assert (await bob.receipt(BUY_NUMBER))["status"] == "approval_required"
        assert await journal.decide(asked[3]["spending_id"], "decline", by="terminal")
        assert (await ada.receipt(BUY_NUMBER, duration_months=MOST_QUESTIONS + 1))["status"] == "approval_required"


@pytest.mark.parametrize("era", ERAS)
async def test_an_agent_that_nobody_attends_is_not_asked(home: Team, era: Era) -> None:
    await home.add("ada")
    program = approver()
    async with home.client("ada", person=program, era=era) as app:
        receipt = await app.receipt(BUY_NUMBER)
        assert receipt["status"] == "approval_required"
        assert "piv-mcp approvals" in receipt["note"]
    assert program.asked == []
    assert charges(home.sandbox, BUY_NUMBER) == []


@pytest.mark.parametrize("era", ERAS)
async def test_an_attended_agent_asks_its_person_and_says_who_asks(sandbox: Sandbox, data_dir: Path, era: Era) -> None:
    async with team(sandbox, data_dir, confirm_wait=30) as home:
        await home.add("ada", attended=1)
        person = approver()
        async with home.client("ada", person=person, era=era) as app:
            assert (await app.receipt(BUY_NUMBER))["status"] == "charged"
        assert 'Asked by: agent "ada"' in person.asked[0]
    assert len(charges(sandbox, BUY_NUMBER)) == 1


async def test_an_answer_that_nobody_attended_approves_nothing(home: Team) -> None:
    """Also not by the very words that an attended client sends (protocol 2026-07-28)."""
    await home.add("ada", attended=1)
    async with home.client("ada", person=approver()) as app:
        asked = await ask(app, BUY_NUMBER)
        assert isinstance(asked, InputRequiredResult)
        unattended = for_agent(home.services, agent(attended=0))
        app.services.agent = unattended.agent  # the same server, and from now on nobody sits there
        result = await ask(app, BUY_NUMBER, input_responses=YES, request_state=asked.request_state)
        assert isinstance(result, CallToolResult)
        assert content_of(result)["status"] == "approval_required"
    assert charges(home.sandbox, BUY_NUMBER) == []


class Replying:
    """A person whose answer to a question comes with the request."""

    can_be_asked = True

    def __init__(self, question: Question, answer: Decision) -> None:
        self.reply = DecisionReply(question, answer)

    async def ask(self, question: Question, dialogue: Dialogue) -> Decision:
        raise AssertionError("nobody is to be asked here")

    async def progress(self, seconds: float, total: float, message: str) -> None:
        """Nobody watches."""


async def test_an_answer_counts_for_the_agent_alone_that_was_asked(home: Team) -> None:
    await home.add("ada", attended=1)
    await home.add("bob", attended=1)
    action = PurchaseNumberAction(request=PurchaseNumber.of(**BUY_NUMBER.arguments(home.sandbox)))
    async with home.client("ada") as ada:
        receipt = await ada.receipt(BUY_NUMBER)
    question = Question(receipt["spending_id"], "q_0", home.clock.time() - 60)
    for name in ("bob", None):
        gate = home.services.gate if name is None else for_agent(home.services, home.agents[name]).gate
        with pytest.raises(AssertionError, match="nobody is to be asked"):  # it is a new question of their own
            await gate.perform(action, Replying(question, "approve"))
        assert (await _entry(home, receipt["spending_id"])).state == "quoted"


async def test_the_person_is_told_which_agent_asks(home: Team, data_dir: Path) -> None:
    await home.add("ada\u202e lovelace")
    async with home.client("ada\u202e lovelace") as app:
        waiting = await app.receipt(RENEW_NUMBER)
    url = store_url(data_dir / "store.sqlite3")
    env = {"PIV_DATA_DIR": str(data_dir), **({"PIV_STORE_URL": url.get_secret_value()} if url else {})}
    shown = await asyncio.to_thread(CliRunner().invoke, cli.main, ["approvals"], env=env)
    assert waiting["spending_id"] in shown.output
    assert "Asked by" in shown.output
    assert "lovelace" in shown.output
    assert "\u202e" not in shown.output
    async with connected(home.sandbox, data_dir, clock=MovingClock()) as person:
        (row,) = (await person.ok("list_spending"))["entries"]
        assert "lovelace" in row["agent"]
        assert "\u202e" not in row["agent"]
