"""`piv-mcp store`: a copy of the store, and the end of a number's messages."""

import asyncio
from pathlib import Path

import click

from piv_mcp.api.client import PivClient
from piv_mcp.api.phonebook import Phonebook
from piv_mcp.cli.terminal import confirm
from piv_mcp.config import Settings
from piv_mcp.errors import NotFoundError
from piv_mcp.store import SqliteStore, events
from piv_mcp.store.backup import copy_to, erase_traces, meet_damage
from piv_mcp.store.recovery import damaged_copies
from piv_mcp.text.times import SYSTEM_CLOCK


def backup(store_path: Path, file: Path) -> None:
    """Copy the store to a new file, and say what is in it.

    Raises:
        StoreError: the copy was not made.
    """
    copied = copy_to(store_path, file)
    click.echo(f"{file} holds {copied.events} events and {copied.entries} journal entries.")


def erase(settings: Settings, store_path: Path, number: str, *, yes: bool) -> None:
    """Delete a number's messages for good, and say how many. Asks first, unless `yes`.

    Raises:
        PivError: the number is not known, or the store cannot be written.
        click.ClickException: there is nobody to ask.
    """
    piv_num_id, through = asyncio.run(_resolve(settings, number))
    confirm(f"Erase all messages of {piv_num_id} for good?", yes=yes)
    count = asyncio.run(_erase(store_path, piv_num_id, through))
    click.echo(f"Erased {count} messages of {piv_num_id}.")
    if not erase_traces(store_path):
        click.echo(
            "Parts of their text may still be in free space of the file: free disk space, and run this again", err=True
        )
    if copies := damaged_copies(store_path):
        click.echo("Damaged copies of the store, which may hold them too, are yours to delete:", err=True)
        for copy in copies:
            click.echo(f"  {copy}", err=True)


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


async def _erase(store_path: Path, piv_num_id: str, through: float) -> int:
    store = SqliteStore(store_path)
    try:
        await store.read(meet_damage)
        return await store.write(events.erase, piv_num_id, through, now=SYSTEM_CLOCK.time())
    finally:
        await store.close()
