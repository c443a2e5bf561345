"""What `piv-mcp freeze` and `unfreeze` do, and what they say."""

import asyncio
import time
from collections.abc import Sequence
from functools import partial

import click

from piv_mcp.api.client import PivClient
from piv_mcp.cli.stored_accounts import accounts_of
from piv_mcp.config import Settings
from piv_mcp.errors import PivError
from piv_mcp.server.account_files import read_accounts
from piv_mcp.spending import freezing
from piv_mcp.spending.commitments import RENEWING, Commitment, Commitments, read_renewals, renewing
from piv_mcp.spending.errors import frozen_since
from piv_mcp.spending.messages import dollars
from piv_mcp.spending.quote import quote_of
from piv_mcp.store import Store, freezes
from piv_mcp.store.directory import open_directory
from piv_mcp.store.engines import open_store
from piv_mcp.store.journal import Entry
from piv_mcp.text.times import utc
from piv_mcp.text.untrusted import one_line

INTERRUPTED = 130
"""The exit status of a program that Ctrl+C has ended."""


def freeze(settings: Settings) -> None:
    """Freeze all accounts of the store. Returns when nothing that costs money can be sent any more.

    Raises:
        PivError: the store cannot be read or written: nothing is said of a freeze before it is in place.
        click.ClickException: somebody has lifted the freeze meanwhile.
    """
    directory = open_directory(settings)
    opened = partial(open_store, settings, directory)
    ordered, ended = asyncio.run(_freeze(opened()))
    click.echo(f"All that costs money is frozen {frozen_since(ordered)}: nothing is sent, approved or not.")
    where = "in the database of PIV_STORE_URL" if settings.is_shared else settings.store_path(directory)
    click.echo(f"This is about the accounts of one store: {where}")
    if ended:
        click.echo(f"Approvals that had not been sent, and are ended now: {ended}.")
    try:
        holds = asyncio.run(_wait(opened(), ordered))
    except KeyboardInterrupt:
        click.echo("\nThe freeze stays in place. What was claimed before may still be sent: run this again to wait.")
        raise click.exceptions.Exit(INTERRUPTED) from None
    if not holds:
        raise click.ClickException("the freeze was lifted meanwhile: what costs money can leave again")
    click.echo("Nothing that costs money can leave any more.")
    unknown = asyncio.run(_unknown(opened))
    if unknown:
        click.echo("\nSent before, with an outcome that is still unknown (`piv-mcp approvals` settles it):")
    for entry in unknown:
        click.echo(f"  {_line(entry)}")
    asyncio.run(_list_renewals(settings))


def unfreeze(settings: Settings) -> None:
    """Lift every freeze of the store.

    Raises:
        PivError: the store cannot be written.
    """
    was_frozen = asyncio.run(_unfreeze(open_store(settings, open_directory(settings))))
    click.echo("What costs money can be approved again." if was_frozen else "Nothing was frozen.")


async def _freeze(store: Store) -> tuple[freezes.Freeze, int]:
    try:
        return await freezing.freeze(store, "terminal", of_all=True)
    finally:
        await store.close()


async def _unfreeze(store: Store) -> bool:
    try:
        return await store.write(freezes.end, of_all=True)
    finally:
        await store.close()


async def _wait(store: Store, ordered: freezes.Freeze) -> bool:
    """Wait until nothing can leave any more. Returns whether the freeze still holds then."""

    def tell(entries: Sequence[Entry]) -> None:
        longest = freezing.END_SECONDS
        click.echo(
            f"Waiting, {longest:.0f} s at most, for what was claimed before (Ctrl+C leaves the freeze in place):"
        )
        for entry in entries:
            click.echo(f"  {_line(entry)}")

    try:
        await freezing.until_still(store, of_all=True, tell=tell)
        return await store.read(freezes.of_store) == ordered
    finally:
        await store.close()


async def _unknown(opened: partial[Store]) -> list[Entry]:
    """What has no outcome, of all accounts."""
    found: list[Entry] = []
    for account in await accounts_of(opened):
        async with account.journal() as journal:
            unknown = await journal.recover()
            found += [*await journal.entries(limit=200, states=("executing",)), *unknown]
    return found


async def _list_renewals(settings: Settings) -> None:
    """Say what piv.day goes on to renew by itself, which no freeze here can stop."""
    files, problems = read_accounts(settings)
    keys = [(file.name, file.key) for file in files if file.key is not None and not settings.sandbox]
    if not keys and not problems:
        click.echo("\nWhat piv.day renews by itself could not be read: there is no API key here that can be read.")
    for name, problem in problems.items():
        click.echo(f"\nWhat piv.day renews by itself for {name} could not be read: {problem}.")
    for name, key in keys:
        of = f" for {one_line(name)}" if len(files) > 1 else ""
        parts: list[Commitments] = []
        unread: dict[str, list[str]] = {}
        async with PivClient(settings.base_url, key, deadline=15) as client:
            for area in RENEWING:
                try:
                    parts.append(await read_renewals(client, area, utc(time.time())))
                except PivError as error:
                    unread.setdefault(error.message, []).append(area)
        for problem, areas in unread.items():
            click.echo(f"\nWhat piv.day renews by itself{of} in {' and '.join(areas)} could not be read: {problem}.")
        found = renewing(parts)
        left_out = f" ({found.left_out} numbers and domains were not looked at)" if found.left_out else ""
        if not found.rows:
            if not unread:
                click.echo(f"\npiv.day renews nothing by itself{of}{left_out}.")
            continue
        click.echo(f"\npiv.day goes on to renew by itself{of}{left_out}:")
        for row in found.rows:
            click.echo(f"  {_renewal(row)}")
        click.echo("Turning auto-renewal off costs nothing, and is not frozen.")


def _renewal(row: Commitment) -> str:
    name = "" if row.name in (None, row.id) else f" ({one_line(row.name or '')})"
    price = "at an unknown price" if row.price is None else f"for {dollars(row.price)}"
    return f"{row.charged_at:%Y-%m-%d}  {row.what} {one_line(row.id)}{name}, {price}"


def _line(entry: Entry) -> str:
    action = quote_of(entry).action
    return f"{entry.id}  {one_line(action, len(action))}"
