"""`piv-mcp agents`: a token that is shown once, what an agent may do, and the end of its access."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from fleets import piv_day

from piv_mcp.cli.main import main
from piv_mcp.config import load
from piv_mcp.sandbox import Sandbox, Timing
from piv_mcp.store import SqliteStore, accounts, agents
from piv_mcp.store.agents import Agent

KEY = "sk-key-of-the-tests-0123456789"


@pytest.fixture
def place(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PIV_DATA_DIR", str(data_dir))
    monkeypatch.setenv("PIV_API_KEY", KEY)
    return data_dir


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["agents", *arguments])


def kept(place: Path) -> dict[str, Agent]:
    return asyncio.run(stored_agents(place))


async def stored_agents(place: Path) -> dict[str, Agent]:
    store = SqliteStore(load().store_path(place))
    try:
        return {agent.name: agent for agent in await store.read(agents.listed)}
    finally:
        await store.close()


def test_the_token_is_the_only_line_and_the_store_has_its_digest_alone(place: Path) -> None:
    done = run("add", "bot")
    assert done.exit_code == 0, done.output
    token = done.stdout.removesuffix("\n")
    assert re.fullmatch(r"piv_agent_[A-Za-z0-9_-]{43}", token)
    assert "bot" in done.stderr
    agent = kept(place)["bot"]
    assert agent.token == agents.digest(token)
    assert token.encode() not in b"".join(file.read_bytes() for file in place.glob("store.sqlite3*"))
    assert token not in run("list").output
    assert run("add", "other").stdout != done.stdout


def test_the_rights_are_kept_as_they_were_given(place: Path) -> None:
    done = run(
        *("add", "bot", "--toolsets", " Inbox,numbers", "--read-only", "--spend-mode", "budget", "--attended"),
        *("--auto-approve-max", "2.50", "--daily-budget", "10", "--subject", "user|1"),
    )
    assert done.exit_code == 0, done.output
    agent = kept(place)["bot"]
    assert agent.toolsets == "numbers,inbox"
    assert (agent.read_only, agent.numbers_only, agent.attended, agent.subject) == (1, 0, 1, "user|1")
    assert (agent.spend_mode, agent.auto_approve_max, agent.daily_budget) == ("budget", "2.50", "10")
    plain = run("add", "plain")
    assert plain.exit_code == 0
    agent = kept(place)["plain"]
    assert (agent.toolsets, agent.read_only, agent.spend_mode, agent.attended) == (None, 0, None, 0)
    listed = run("list").stdout
    assert "bot: " in listed
    assert "at most 2.50 dollars an action" in listed


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--toolsets", "inbox,nonsense"], "PIV_TOOLSETS"),
        (["--daily-budget", "-1"], "PIV_DAILY_BUDGET"),
        (["--auto-approve-max", "much"], "PIV_AUTO_APPROVE_MAX"),
        (["--spend-mode", "always"], "--spend-mode"),
        (["--numbers", " , "], "--numbers: is empty"),
        (["--toolsets", ""], "--toolsets: is empty"),
        (["--toolsets", " , "], "--toolsets: is empty"),
        (["--daily-budget", ""], "--daily-budget: is empty"),
        (["--daily-budget", "NaN"], "PIV_DAILY_BUDGET"),
        (["--auto-approve-max", " "], "--auto-approve-max: is empty"),
        (["--subject", ""], "--subject: is empty"),
        (["--account", ""], "--account: is empty"),
        (["--account", "alpha"], "PIV_ACCOUNTS_DIR"),
    ],
)
def test_what_is_wrong_is_refused_and_nothing_is_kept(place: Path, arguments: list[str], words: str) -> None:
    assert run("list").exit_code == 0
    done = run("add", "bot", *arguments)
    assert done.exit_code != 0
    assert words in done.output
    assert "piv_agent_" not in done.output
    assert kept(place) == {}


@pytest.mark.parametrize("name", ["", "-x", "a b", "x" * 65, "bot\n", "ä"])
def test_a_name_is_a_plain_word(place: Path, name: str) -> None:
    assert run("add", "--", name).exit_code != 0


def test_what_a_subject_holds_breaks_no_line(place: Path) -> None:
    assert run("add", "bot", "--subject", "a\nb: account 1; attended\x1b[2J").exit_code == 0
    listed = run("list").stdout
    assert listed.count("\n") == 1
    assert "\x1b" not in listed


def test_a_name_is_an_agents_for_good(place: Path) -> None:
    assert run("add", "bot").exit_code == 0
    assert "is an agent with this name" in run("add", "bot").output
    assert run("revoke", "bot").exit_code == 0
    assert "REVOKED" in run("list").stdout
    assert run("revoke", "bot").exit_code != 0
    assert run("add", "bot").exit_code != 0


def test_without_an_account_there_are_no_agents(place: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PIV_API_KEY")
    assert "there is no account" in run("add", "bot").output
    folder = tmp_path / "accounts"
    folder.mkdir()
    monkeypatch.setenv("PIV_ACCOUNTS_DIR", str(folder))
    assert "there are: none" in run("add", "bot").output
    for name in ("alpha", "beta"):
        (folder / name).write_text(f"sk-key-of-{name}-0123")
    assert "there are: alpha, beta" in run("add", "bot").output
    assert run("add", "bot", "--account", "beta").exit_code == 0


@pytest.fixture
async def account() -> AsyncIterator[Sandbox]:
    sandbox = Sandbox(KEY, rate_limit=0, timing=Timing.instant())
    yield sandbox
    await sandbox.aclose()


async def test_numbers_are_kept_by_their_ids(place: Path, account: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    (id_, number), (other, _) = list(account.state.numbers.items())[:2]
    async with piv_day(account) as base_url:
        monkeypatch.setenv("PIV_BASE_URL", base_url)
        done = await asyncio.to_thread(run, "add", "bot", "--numbers", f"{number.phone_number}, {other}")
        unknown = await asyncio.to_thread(run, "add", "other", "--numbers", "+46700000001")
    assert done.exit_code == 0, done.output
    assert unknown.exit_code != 0
    store = SqliteStore(load().store_path(place), key_digest=accounts.digest(KEY))
    assert await store.read(agents.numbers, "bot") == {id_, other}
    await store.close()
    assert (await stored_agents(place))["bot"].numbers_only == 1


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"PIV_API_KEY": None}, "there is no account"),
        ({"PIV_HTTP_HOST": "192.0.2.1"}, "PIV_PUBLIC_URL is not set"),
        ({"PIV_OAUTH_ISSUER": "https://id.example.com"}, "PIV_PUBLIC_URL is not"),
        ({"PIV_OAUTH_ISSUER": "http://id.example.com"}, "PIV_OAUTH_ISSUER: must be an https address"),
        ({"PIV_TRUSTED_PROXIES": "proxy.example.com"}, "PIV_TRUSTED_PROXIES: must be addresses"),
        (
            {"PIV_PUBLIC_URL": "https://mcp.example.com/path"},
            "PIV_PUBLIC_URL: must be an http(s) address without a path",
        ),
    ],
)
def test_a_server_that_cannot_begin_says_why(place: Path, environment: dict[str, str | None], words: str) -> None:
    done = CliRunner().invoke(main, ["serve", "--transport", "http", "--http-port", "0"], env=environment)
    assert done.exit_code == 1
    assert words in done.output
    assert KEY not in done.output


def test_a_receiver_is_for_stdio(place: Path) -> None:
    done = CliRunner().invoke(main, ["--transport", "http", "receive"])
    assert (done.exit_code, "receives webhooks itself" in done.output) == (1, True)
