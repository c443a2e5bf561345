"""`piv-mcp spending export`: the journal of every account of the store, for other programs."""

import asyncio
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import BinaryIO

import click

from piv_mcp.cli.stored_accounts import accounts_of
from piv_mcp.config import Settings
from piv_mcp.spending.export import FileFormat, exported
from piv_mcp.store import Store
from piv_mcp.store.directory import open_directory
from piv_mcp.store.engines import open_store
from piv_mcp.store.spending_pages import EntryFilter
from piv_mcp.text.times import DAY_SECONDS, SYSTEM_CLOCK


def export(settings: Settings, format: FileFormat, days: int | None, file: Path | None) -> None:
    """Write the entries of the last `days`, or of all, to a new private file or the standard output.

    Raises:
        StoreError: the store cannot be read.
        click.ClickException: the file exists, or cannot be written.
    """
    opened = partial(open_store, settings, open_directory(settings))
    since = 0.0 if days is None else SYSTEM_CLOCK.time() - days * DAY_SECONDS
    if file is None:
        asyncio.run(_write(opened, EntryFilter(since=since), format, sys.stdout.buffer))
        return
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            asyncio.run(_write(opened, EntryFilter(since=since), format, out))
    except OSError as error:
        raise click.ClickException(f"{file} cannot be written: {error.strerror}") from None


async def _write(opened: Callable[..., Store], wanted: EntryFilter, format: FileFormat, out: BinaryIO) -> None:
    for number, account in enumerate(await accounts_of(opened)):
        async with account.journal() as journal:
            parts = exported(journal.store, wanted, format, account=account.name or None, header=number == 0)
            async for part in parts:
                out.write(part)
    out.flush()
