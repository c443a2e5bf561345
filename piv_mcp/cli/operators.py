"""`piv-mcp operators`: the people who decide on a server from anywhere, each with passkeys of their own."""

import asyncio
from typing import Any

import click

from piv_mcp import log
from piv_mcp.config import load


@click.group()
def operators() -> None:
    """Who may sign in to the console of a server: add a person, list them, revoke one."""


@operators.command()
@click.argument("name")
@click.option("--account", metavar="A", help="the account: the name of its file in PIV_ACCOUNTS_DIR")
@click.option("--again", is_flag=True, help="a new link for somebody who is there: for a further passkey")
@click.pass_obj
def add(flags: dict[str, Any], name: str, account: str | None, again: bool) -> None:
    """Add a person, and print the link with which they make their passkey. It is good once, for an hour."""
    if again and account is not None:
        raise click.UsageError("--account is for a new operator: with --again it is known")
    settings = load(**flags)
    from piv_mcp.cli.operator_rows import invite  # late: the other commands start without it

    log.configure("ERROR", "text")
    link = asyncio.run(invite(settings, name, account, again=again))
    click.echo(
        f"Send {name} this link by a way that nobody else reads: whoever makes a passkey with it is {name}. It is good "
        "once, for an hour:",
        err=True,
    )
    click.echo(link)


@operators.command("list")
@click.pass_obj
def list_(flags: dict[str, Any]) -> None:
    """List all people, with their passkeys."""
    settings = load(**flags)
    from piv_mcp.cli.operator_rows import all_operators  # late: the other commands start without it

    log.configure("ERROR", "text")
    rows = asyncio.run(all_operators(settings))
    for row in rows:
        click.echo(row)
    if not rows:
        click.echo("There are no operators: piv-mcp operators add NAME", err=True)


@operators.command()
@click.argument("name")
@click.pass_obj
def revoke(flags: dict[str, Any], name: str) -> None:
    """End a person's access for good, at once and on every server: their passkeys, sessions and links."""
    settings = load(**flags)
    from piv_mcp.cli.operator_rows import revoke_operator  # late: the other commands start without it

    log.configure("ERROR", "text")
    if not asyncio.run(revoke_operator(settings, name)):
        raise click.ClickException(f"there is no operator {name!r} with access")
    click.echo(f"{name} has no access any more.", err=True)
