"""`piv-mcp spending`: the journal of what was spent."""

import asyncio
import sys
from pathlib import Path
from typing import Any, Literal

import click

from piv_mcp import log
from piv_mcp.config import load


@click.group()
def spending() -> None:
    """What was spent through this program."""


@spending.command()
@click.argument("id_", metavar="ID")
@click.pass_obj
def show(flags: dict[str, Any], id_: str) -> None:
    """Show an entry in full: what was asked, who decided and how, and how it ended.

    An approval by passkey is checked anew, against the entry as it stands. If it does not verify, the exit code is 1.
    """
    settings = load(**flags)
    from piv_mcp.cli.spending_entry import shown  # late: the other commands start without it

    log.configure("ERROR", "text")
    entry = asyncio.run(shown(settings, id_))
    for label, value in entry.rows:
        click.echo(f"{label:<14} {value}")
    if not entry.is_sound:
        sys.exit(1)


@spending.command()
@click.option("--format", type=click.Choice(["csv", "jsonl"]), default="csv", show_default=True, help="of the lines")
@click.option("--days", type=click.IntRange(1, 3650), metavar="N", help="how many days back; default: all")
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.pass_obj
def export(flags: dict[str, Any], format: Literal["csv", "jsonl"], days: int | None, file: Path | None) -> None:
    """Write the journal's entries to a new FILE, or to the standard output: CSV, or JSON Lines."""
    settings = load(**flags)
    from piv_mcp.cli.spending_export import export as write_entries  # late: the other commands start without it

    log.configure("ERROR", "text")
    write_entries(settings, format, days, file)
