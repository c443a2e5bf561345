"""`piv-mcp approvals`: lists what waits for a person, and takes their word for it, typed at a terminal."""

import asyncio
import secrets
from collections.abc import Callable
from decimal import Decimal
from functools import partial

import click

from piv_mcp.cli.stored_accounts import StoredAccount, accounts_of
from piv_mcp.cli.terminal import at_terminal
from piv_mcp.config import Settings
from piv_mcp.spending.approval.channels import lines
from piv_mcp.spending.errors import FrozenError, frozen_since
from piv_mcp.spending.journal import Ending
from piv_mcp.spending.quote import quote_of
from piv_mcp.spending.receipt import decision
from piv_mcp.store import Store
from piv_mcp.store.directory import open_directory
from piv_mcp.store.engines import open_store
from piv_mcp.store.freezes import Freeze
from piv_mcp.store.journal import Entry
from piv_mcp.text.times import utc
from piv_mcp.text.untrusted import visible

_NOUNS = "amber birch cedar copper coral delta ember falcon garnet harbor indigo juniper lagoon maple marble meadow"


def run(settings: Settings) -> None:
    """List what waits in the store, for every account in it; at a terminal, ask for a decision on each.

    Raises:
        PivError: the store cannot be read or written.
        click.ClickException: something waits, and this is not a terminal.
    """
    decides = at_terminal()
    opened = partial(open_store, settings, open_directory(settings))
    waiting, freezes = asyncio.run(_waiting(opened))
    for account, freeze in freezes:
        of = f" of account {account.name}" if account.name else ""
        click.echo(f"All that costs money{of} is frozen {frozen_since(freeze)}: piv-mcp unfreeze lifts it.")
    if not waiting:
        click.echo("Nothing waits for approval.")
    for account, entry in waiting:
        _show(entry, account)
        if decides:
            click.echo(_decide(account, entry) if entry.state == "quoted" else _settle(account, entry))
    if waiting and not decides:
        raise click.ClickException("deciding needs a terminal: run this command in one yourself")


Waiting = list[tuple[StoredAccount, Entry]]
Freezes = list[tuple[StoredAccount, Freeze]]


async def _waiting(opened: Callable[..., Store]) -> tuple[Waiting, Freezes]:
    """Of each account, quotes to decide, then outcomes that are unknown, the oldest first; and freezes."""
    waiting: Waiting = []
    freezes: Freezes = []
    for account in await accounts_of(opened):
        async with account.journal() as journal:
            if (freeze := await journal.freeze()) is not None:
                freezes.append((account, freeze))
            await journal.expire()
            unknown = await journal.recover()
            quoted = reversed(await journal.entries(limit=200, states=("quoted",)))
            waiting += [(account, entry) for entry in (*quoted, *unknown)]
    return waiting, freezes


def _show(entry: Entry, account: StoredAccount) -> None:
    lost = f" (sent, and the answer was lost: {visible(entry.problem or 'no answer')})"
    click.echo(f"\n{click.style(entry.id, bold=True)}{lost if entry.state == 'unknown' else ''}")
    if account.name:
        click.echo(f"  {'account':<14} {account.name}")
    rows = lines(quote_of(entry))
    if entry.decided_at is not None:
        rows.append(("Decision", f"{decision(entry)}, {utc(entry.decided_at):%Y-%m-%d %H:%M} UTC"))
    for label, value in rows:
        click.echo(f"  {label:<14} {value}")


def _decide(account: StoredAccount, entry: Entry) -> str:
    """The person's decision on a quote."""
    (approve,) = words(1)
    typed = click.prompt(f"Type {approve} to approve, no to decline, Enter to leave it", default="", show_default=False)
    if typed not in (approve, "no"):
        return "Left as it is."

    async def decide() -> Entry | None:
        """The entry if somebody else has decided it, or if it has expired."""
        async with account.journal() as journal:
            is_ours = await journal.decide(entry.id, "approve" if typed == approve else "decline", by="terminal")
            return None if is_ours else await journal.reload(entry)

    try:
        other = asyncio.run(decide())
    except FrozenError as error:
        return f"Not approved: {error.message}. Lift the freeze first: piv-mcp unfreeze"
    if other is not None:
        return f"In the meantime it was {decision(other)}." if other.decided_at is not None else "It has expired."
    return "Approved. The assistant carries it out." if typed == approve else "Declined."


def _settle(account: StoredAccount, entry: Entry) -> str:
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
        async with account.journal() as journal:
            return await journal.settle(entry.id, ending)

    return "Settled." if asyncio.run(settle()) else "It was settled elsewhere in the meantime."


def words(count: int) -> list[str]:
    """Words to be typed by the person who reads the screen, all different."""
    return [f"{chosen}-{secrets.randbelow(90) + 10}" for chosen in secrets.SystemRandom().sample(_NOUNS.split(), count)]
