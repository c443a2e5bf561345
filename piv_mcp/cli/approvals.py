"""`piv-mcp approvals`: lists what waits for a person, and takes their word for it, typed at a terminal."""

import asyncio
import secrets
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import TextIO

import click

from piv_mcp.spending.approval.channels import lines
from piv_mcp.spending.journal import Ending, Journal
from piv_mcp.spending.quote import Quote
from piv_mcp.store import Store
from piv_mcp.store.journal import Entry
from piv_mcp.text.untrusted import visible

_NOUNS = "amber birch cedar copper coral delta ember falcon garnet harbor indigo juniper lagoon maple marble meadow"


def run(store_path: Path) -> None:
    """List what waits in this store; at a terminal, ask for a decision on each.

    Raises:
        PivError: the store cannot be read or written.
        click.ClickException: something waits, and this is not a terminal.
    """
    at_terminal = all(is_terminal(stream) for stream in (sys.stdin, sys.stdout))
    waiting = asyncio.run(_waiting(store_path))
    if not waiting:
        click.echo("Nothing waits for approval.")
    for entry in waiting:
        _show(entry)
        if at_terminal:
            click.echo(_decide(store_path, entry) if entry.state == "quoted" else _settle(store_path, entry))
    if waiting and not at_terminal:
        raise click.ClickException("deciding needs a terminal: run this command in one yourself")


def is_terminal(stream: TextIO | None) -> bool:
    """Python has None for a stream that is closed at the start."""
    return stream is not None and not stream.closed and stream.isatty()


@asynccontextmanager
async def _opened(store_path: Path) -> AsyncGenerator[Journal]:
    store = Store(store_path)
    try:
        yield Journal(store)
    finally:
        await store.close()


async def _waiting(store_path: Path) -> list[Entry]:
    """Quotes to decide, then outcomes that are unknown; the oldest first."""
    async with _opened(store_path) as journal:
        await journal.expire()
        unknown = await journal.recover()
        return [*reversed(await journal.entries(limit=200, states=("quoted",))), *unknown]


def _show(entry: Entry) -> None:
    lost = f" (sent, and the answer was lost: {visible(entry.problem or 'no answer')})"
    click.echo(f"\n{click.style(entry.id, bold=True)}{lost if entry.state == 'unknown' else ''}")
    for label, value in lines(Quote.model_validate_json(entry.quote)):
        click.echo(f"  {label:<14} {value}")


def _decide(store_path: Path, entry: Entry) -> str:
    """The person's decision on a quote."""
    (approve,) = words(1)
    typed = click.prompt(f"Type {approve} to approve, no to decline, Enter to leave it", default="", show_default=False)
    if typed not in (approve, "no"):
        return "Left as it is."

    async def decide() -> bool:
        async with _opened(store_path) as journal:
            return await journal.decide(entry.id, "approve" if typed == approve else "decline", by="terminal")

    if not asyncio.run(decide()):
        return "It was decided elsewhere in the meantime, or has expired."
    return "Approved. The assistant carries it out." if typed == approve else "Declined."


def _settle(store_path: Path, entry: Entry) -> str:
    """The person's word on an outcome that is unknown."""
    charged, not_charged = words(2)
    typed = click.prompt(
        f"Look at the dashboard: type {charged} if it was charged, {not_charged} if not, Enter to leave it",
        default="",
        show_default=False,
    )
    if typed not in (charged, not_charged):
        return "Left as it is."
    amount = Decimal(entry.price) if typed == charged and entry.price is not None else None
    state = "charged" if typed == charged else "not_charged"
    ending = Ending(state, None, amount, entry.problem, "a person settled it in the terminal")

    async def settle() -> bool:
        async with _opened(store_path) as journal:
            return await journal.settle(entry.id, ending)

    return "Settled." if asyncio.run(settle()) else "It was settled elsewhere in the meantime."


def words(count: int) -> list[str]:
    """Words to be typed by the person who reads the screen, all different."""
    return [f"{chosen}-{secrets.randbelow(90) + 10}" for chosen in secrets.SystemRandom().sample(_NOUNS.split(), count)]
