"""`piv-mcp store`: a copy of the store, and the end of a number's messages."""

import asyncio
from pathlib import Path

import click

from piv_mcp.api.client import PivClient
from piv_mcp.api.phonebook import Phonebook
from piv_mcp.cli.terminal import confirm
from piv_mcp.config import Settings
from piv_mcp.errors import ConfigError, NotFoundError, StoreError
from piv_mcp.store import Store, events
from piv_mcp.store.backup import copy_to, erase_traces, meet_damage
from piv_mcp.store.directory import open_directory
from piv_mcp.store.engines import copier, open_store
from piv_mcp.store.recovery import damaged_copies
from piv_mcp.text.times import SYSTEM_CLOCK


def backup(settings: Settings, file: Path) -> None:
    """Copy the store to a new file, and say what is in it.

    Raises:
        StoreError: the copy was not made.
    """
    if settings.is_shared:
        raise StoreError("the store is in PostgreSQL", hint="Back it up with pg_dump: see docs/operations.md")
    copied = copy_to(settings.store_path(open_directory(settings)), file)
    click.echo(f"{file} holds {copied.events} events and {copied.entries} journal entries.")


def erase(settings: Settings, number: str, *, yes: bool) -> None:
    """Delete a number's messages for good, and say how many. Asks first, unless `yes`.

    Raises:
        PivError: the number is not known, or the store cannot be written.
        click.ClickException: there is nobody to ask.
    """
    piv_num_id, through = asyncio.run(_resolve(settings, number))
    confirm(f"Erase all messages of {piv_num_id} for good?", yes=yes)
    directory = open_directory(settings)
    count = asyncio.run(_erase(open_store(settings, directory), piv_num_id, through, is_file=not settings.is_shared))
    click.echo(f"Erased {count} messages of {piv_num_id}.")
    if settings.is_shared:
        click.echo("Parts of their text are in the database's files until it is vacuumed, and in its backups", err=True)
        return
    store_path = settings.store_path(directory)
    if not erase_traces(store_path):
        click.echo(
            "Parts of their text may still be in free space of the file: free disk space, and run this again", err=True
        )
    if copies := damaged_copies(store_path):
        click.echo("Damaged copies of the store, which may hold them too, are yours to delete:", err=True)
        for copy in copies:
            click.echo(f"  {copy}", err=True)


def copy(settings: Settings) -> None:
    """Copy a store in a file into the database of the settings, and say how many rows each table has.

    Raises:
        PivError: the store was not copied.
    """
    if not settings.is_shared or settings.store_url is None:
        raise ConfigError("PIV_STORE_URL does not name PostgreSQL", hint="Set it to postgresql://user@host/database")
    path = settings.source_path(open_directory(settings))
    copy_into = copier()
    for table, count in copy_into(path, settings.store_url.get_secret_value(), settings.store_password_file).items():
        click.echo(f"{table:<16} {count:>9} rows")
    click.echo(f"All of {path} is in the database. The file is as it was: keep it, or delete it.")


async def _resolve(settings: Settings, number: str) -> tuple[str, float]:
    """The number's id, and the time on piv.day's clock, 0 if not known. Messages are stored under the id; which phone
    number it has, only the API knows."""
    try:
        if settings.api_key is None or settings.sandbox:
            return await Phonebook(None).resolve(number), 0.0
        async with PivClient(settings.base_url, settings.api_key, deadline=15) as client:
            return await Phonebook(client).resolve(number), client.remote_clock.time() or 0.0
    except NotFoundError as error:
        problem = error.message if settings.api_key else "without an API key a phone number cannot be looked up"
        raise click.ClickException(f"{problem}: give the number's id, which list_events shows") from None


async def _erase(store: Store, piv_num_id: str, through: float, *, is_file: bool) -> int:
    try:
        if is_file:
            await store.read(meet_damage)
        return await store.write(events.erase, piv_num_id, through, now=SYSTEM_CLOCK.time())
    finally:
        await store.close()
