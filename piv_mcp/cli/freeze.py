"""`piv-mcp freeze` and `unfreeze`: the commands."""

from typing import Any

import click

from piv_mcp import log
from piv_mcp.config import load, load_without_key


@click.command()
@click.pass_obj
def freeze(flags: dict[str, Any]) -> None:
    """Send nothing that costs money any more, approved or not, for all accounts of the store, until unfreeze.

    Returns when nothing can leave any more, and lists what piv.day goes on to renew by itself.
    """
    settings = load_without_key(**flags)  # running servers have theirs
    from piv_mcp.cli.freeze_all import freeze as freeze_all  # late: the other commands start without it

    log.configure("ERROR", "text")
    freeze_all(settings)


@click.command()
@click.pass_obj
def unfreeze(flags: dict[str, Any]) -> None:
    """Let what costs money be asked for and approved again."""
    settings = load(**flags)
    from piv_mcp.cli.freeze_all import unfreeze as unfreeze_all  # late: the other commands start without it

    log.configure("ERROR", "text")
    unfreeze_all(settings)
