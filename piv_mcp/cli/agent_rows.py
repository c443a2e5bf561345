"""Agents in the store: adding them with a token, listing and revoking them."""

import re
import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import click
from pydantic import SecretStr

from piv_mcp.api.client import PivClient
from piv_mcp.api.phonebook import Phonebook
from piv_mcp.config import Settings
from piv_mcp.errors import NotFoundError, PivError
from piv_mcp.sandbox import Sandbox
from piv_mcp.server.account_files import AccountFile, read_accounts
from piv_mcp.server.identity import TOKEN
from piv_mcp.store import Connection, Store, accounts
from piv_mcp.store import agents as rows
from piv_mcp.store.agents import Agent
from piv_mcp.store.directory import open_directory
from piv_mcp.store.engines import open_store
from piv_mcp.text.times import SYSTEM_CLOCK, utc
from piv_mcp.text.untrusted import one_line

TOKEN_BYTES = 32

MAX_CALLER_NAME = 64

LOOK_UP_SECONDS = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedAgent:
    """An agent as the person describes it. `numbers` is None for all of the account."""

    name: str
    account: str | None
    toolsets: str | None
    read_only: bool
    numbers: tuple[str, ...] | None
    spend_mode: str | None
    auto_approve_max: str | None
    daily_budget: str | None
    attended: bool
    subject: str | None


async def add_agent(settings: Settings, wanted: WantedAgent) -> str:
    """Store the agent. Returns its token, which is kept nowhere.

    Raises:
        click.ClickException: the name or the subject is taken, or no account is named.
        PivError: a number is not known, or the store cannot be written.
    """
    refuse_name(wanted.name)
    account = named_account(settings, wanted.account)
    numbers = await _resolved(settings, account, wanted.numbers or ())
    token = TOKEN + secrets.token_urlsafe(TOKEN_BYTES)
    agent = Agent(
        name=wanted.name,
        account=0,  # the store knows it
        token=rows.digest(token),
        added_at=SYSTEM_CLOCK.time(),
        subject=wanted.subject,
        toolsets=wanted.toolsets,
        read_only=int(wanted.read_only),
        numbers_only=int(wanted.numbers is not None),
        spend_mode=wanted.spend_mode,
        auto_approve_max=wanted.auto_approve_max,
        daily_budget=wanted.daily_budget,
        attended=int(wanted.attended),
    )
    async with opened_store(settings, digest_of(account)) as store:
        if not await store.write(rows.add, agent, numbers):
            raise click.ClickException("there is an agent with this name or subject, maybe a revoked one")
    return token


async def all_agents(settings: Settings) -> list[tuple[Agent, Sequence[str], str | None]]:
    """(agent, the ids of its own numbers, the `user_id` of its account if that is known) of every agent."""
    async with opened_store(settings) as store:
        return await store.read(_all)


async def revoke_agent(settings: Settings, name: str) -> bool:
    """End the agent's access. Returns whether there was an agent with access."""
    async with opened_store(settings) as store:
        return await store.write(rows.revoke, name, SYSTEM_CLOCK.time())


def described(agent: Agent, numbers: Sequence[str], user_id: str | None) -> str:
    """An agent in a line."""
    limits = [
        f"account {user_id or agent.account}",
        f"toolsets {agent.toolsets}" if agent.toolsets is not None else "",
        "read-only" if agent.read_only else "",
        f"numbers {', '.join(numbers) or 'none yet'}" if agent.numbers_only else "",
        f"spend mode {agent.spend_mode}" if agent.spend_mode is not None else "",
        f"at most {agent.auto_approve_max} dollars an action" if agent.auto_approve_max is not None else "",
        f"{agent.daily_budget} dollars a day" if agent.daily_budget is not None else "",
        "attended" if agent.attended else "",
        f"subject {one_line(agent.subject)}" if agent.subject is not None else "",
        f"added {utc(agent.added_at):%Y-%m-%d}",
        f"REVOKED {utc(agent.revoked_at):%Y-%m-%d}" if agent.revoked_at is not None else "",
    ]
    return f"{agent.name}: {'; '.join(limit for limit in limits if limit)}"


def _all(connection: Connection) -> list[tuple[Agent, Sequence[str], str | None]]:
    found: list[tuple[Agent, Sequence[str], str | None]] = []
    for agent in rows.listed(connection):
        with accounts.acting_for(connection, agent.account):
            found.append((agent, sorted(rows.numbers(connection, agent.name)), accounts.user_id(connection)))
    return found


def refuse_name(name: str) -> None:
    """
    Raises:
        click.ClickException: nobody can be called so.
    """
    if not re.fullmatch(rf"[A-Za-z0-9][\w.@-]{{0,{MAX_CALLER_NAME - 1}}}", name, re.ASCII):
        raise click.ClickException(f"the name must be at most {MAX_CALLER_NAME} letters, digits, or . _ - @")


def digest_of(account: AccountFile) -> str:
    """The digest of an account's key; of the sandbox's, where that stands for it."""
    return accounts.digest(account.key.get_secret_value() if account.key is not None else Sandbox(seed=False).api_key)


def named_account(settings: Settings, name: str | None) -> AccountFile:
    """The account with this name; without one, the only account.

    Raises:
        click.ClickException: there is none, or it cannot be used, or there are several.
    """
    found, problems = read_accounts(settings)
    names = ", ".join(file.name for file in found)
    if name is not None and settings.accounts_dir is not None:
        if name in problems:
            raise click.ClickException(f"the account {name} cannot be used: its file {problems[name]}")
        found = [file for file in found if file.name == name]
    elif name is not None:
        raise click.ClickException("--account names a file of PIV_ACCOUNTS_DIR, which is not set")
    if len(found) == 1:
        return found[0]
    if settings.accounts_dir is None:
        raise click.ClickException("there is no account: set PIV_API_KEY_FILE or PIV_API_KEY, or PIV_ACCOUNTS_DIR")
    raise click.ClickException(f"name the account with --account; there are: {names or 'none'}")


async def _resolved(settings: Settings, account: AccountFile, numbers: Sequence[str]) -> list[str]:
    """The ids of the numbers."""
    if not numbers or account.key is None:
        return list(numbers)
    found: list[str] = []
    async with PivClient(settings.base_url, SecretStr(account.key.get_secret_value()), deadline=LOOK_UP_SECONDS) as api:
        phonebook = Phonebook(api)
        for number in numbers:
            try:
                found.append(await phonebook.resolve(number))
            except NotFoundError as error:
                raise click.ClickException(f"{number}: {error.message}") from None
            except PivError as error:
                raise click.ClickException(f"{number} cannot be looked up: {error.message}") from None
    return found


@asynccontextmanager
async def opened_store(settings: Settings, key_digest: str | None = None) -> AsyncGenerator[Store]:
    """The store of the servers, for the account of a key."""
    store = open_store(settings, open_directory(settings), key_digest=key_digest)
    try:
        yield store
    finally:
        await store.close()
