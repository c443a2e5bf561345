"""Operators in the store: adding them with a link, listing and revoking them."""

import base64
import secrets

import click

from piv_mcp.cli.agent_rows import digest_of, named_account, opened_store, refuse_name
from piv_mcp.config import Settings
from piv_mcp.errors import ConfigError
from piv_mcp.store import Connection, accounts, ceremonies
from piv_mcp.store import operators as rows
from piv_mcp.store.ceremonies import Ceremony
from piv_mcp.store.operators import Operator, Passkey
from piv_mcp.text.times import SYSTEM_CLOCK, utc

LINK_SECONDS = 3600.0
"""How long a link is good that enrols a passkey."""

HANDLE_BYTES = 32


async def invite(settings: Settings, name: str, account: str | None, *, again: bool) -> str:
    """Store an operator. Returns a link with which a passkey of theirs can be made, once. `again`: the operator is
    there, and earlier links of theirs end.

    Raises:
        ConfigError: PIV_CONSOLE_URL is not set.
        click.ClickException: the name is taken, or with `again` nobody's, or no account is named.
        PivError: the store cannot be written.
    """
    if settings.console_url is None:
        raise ConfigError("PIV_CONSOLE_URL is not set", hint="Set it to the address of the console, as its server has")
    refuse_name(name)
    secret = secrets.token_urlsafe(32)
    handle = base64.urlsafe_b64encode(secrets.token_bytes(HANDLE_BYTES)).decode().rstrip("=")

    def store_link(connection: Connection) -> bool:
        now = clock.time()
        if again:
            if rows.active(connection, name) is None:
                return False
            ceremonies.end_of(connection, name, kind="enrolment")
        elif not rows.add(connection, Operator(name, connection.account, handle, now)):
            return False
        link = Ceremony(ceremonies.digest(secret), "enrolment", now + LINK_SECONDS, name)
        ceremonies.begin(connection, link, now)
        return True

    key_digest = None if again else digest_of(named_account(settings, account))
    async with opened_store(settings, key_digest) as store:
        clock = store.clock(SYSTEM_CLOCK)
        if not await store.write(store_link):
            raise click.ClickException(
                f"there is no operator {name!r} with access"
                if again
                else f"there is an operator {name!r}, maybe a revoked one. A further passkey for them: --again"
            )
    return f"{settings.console_url}/enrol/{secret}"


async def all_operators(settings: Settings) -> list[str]:
    """Every operator in a line."""
    async with opened_store(settings) as store:
        return await store.read(_described)


async def revoke_operator(settings: Settings, name: str) -> bool:
    """End the operator's access. Returns whether there was one with access."""
    async with opened_store(settings) as store:
        clock = store.clock(SYSTEM_CLOCK)
        return await store.write(lambda connection: rows.revoke(connection, name, clock.time()))


def _described(connection: Connection) -> list[str]:
    lines: list[str] = []
    for operator in rows.listed(connection):
        with accounts.acting_for(connection, operator.account):
            account = accounts.user_id(connection) or operator.account
        passkeys = [_of_passkey(passkey) for passkey in rows.passkeys(connection, operator.name)]
        parts = [
            f"account {account}",
            *(passkeys or ["no passkey yet"]),
            f"added {utc(operator.added_at):%Y-%m-%d}",
            f"REVOKED {utc(operator.revoked_at):%Y-%m-%d}" if operator.revoked_at is not None else "",
        ]
        lines.append(f"{operator.name}: {'; '.join(part for part in parts if part)}")
    return lines


def _of_passkey(passkey: Passkey) -> str:
    used = f", last used {utc(passkey.used_at):%Y-%m-%d %H:%M} UTC" if passkey.used_at is not None else ""
    return f"passkey {passkey.id[:8]} of {utc(passkey.added_at):%Y-%m-%d}{used}"
