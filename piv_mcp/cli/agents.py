"""`piv-mcp agents`: who may use a server that many share."""

import asyncio
from decimal import Decimal
from typing import Any

import click

from piv_mcp import log
from piv_mcp.config import Settings, load


@click.group()
def agents() -> None:
    """Who may use a server over HTTP: add an agent, list them, revoke one."""


@agents.command()
@click.argument("name")
@click.option("--account", metavar="A", help="the account: the name of its file in PIV_ACCOUNTS_DIR")
@click.option("--toolsets", metavar="AREAS", help="areas it is offered, comma-separated; default: the server's")
@click.option("--read-only", is_flag=True, help="no tool that changes anything")
@click.option("--numbers", metavar="N,...", help="see these numbers alone, by phone number or id")
@click.option("--spend-mode", type=click.Choice(["ask", "budget", "deny"]), help="who approves what it spends")
@click.option("--auto-approve-max", metavar="X", help="budget mode: dollars per action without a question")
@click.option("--daily-budget", metavar="X", help="budget mode: dollars per rolling 24 hours without a question")
@click.option("--attended", is_flag=True, help="a person sits before its client, and may approve there")
@click.option("--subject", metavar="S", help="the subject by which an identity provider knows it (PIV_OAUTH_ISSUER)")
@click.pass_obj
def add(
    flags: dict[str, Any], name: str, account: str | None, numbers: str | None, subject: str | None, **own: Any
) -> None:
    """Add an agent, and print its token, once: nobody can show it again."""
    _refuse_empty({"account": account, "numbers": numbers, "subject": subject, **own})
    settings = load(**flags)
    from piv_mcp.cli.agent_rows import WantedAgent, add_agent  # late: the other commands start without it

    log.configure("ERROR", "text")
    # Checked as the settings of the same names are.
    given = {key: value for key, value in own.items() if value and key != "attended"}
    checked = load(**{**flags, **given})
    wanted = WantedAgent(
        name=name,
        account=account,
        toolsets=",".join(checked.toolsets) if "toolsets" in given else None,
        read_only=bool(given.get("read_only")),
        numbers=_listed(numbers),
        spend_mode=given.get("spend_mode"),
        auto_approve_max=_dollars(checked, "auto_approve_max", given),
        daily_budget=_dollars(checked, "daily_budget", given),
        attended=bool(own["attended"]),
        subject=subject,
    )
    token = asyncio.run(add_agent(settings, wanted))
    click.echo(
        f"{name} is added. Its token, shown this once, belongs into the Authorization header: Bearer ...", err=True
    )
    click.echo(token)


@agents.command("list")
@click.pass_obj
def list_(flags: dict[str, Any]) -> None:
    """List all agents, with what each may do."""
    settings = load(**flags)
    from piv_mcp.cli.agent_rows import all_agents, described  # late: the other commands start without it

    log.configure("ERROR", "text")
    rows = asyncio.run(all_agents(settings))
    for agent, numbers, user_id in rows:
        click.echo(described(agent, numbers, user_id))
    if not rows:
        click.echo("There are no agents: piv-mcp agents add NAME", err=True)


@agents.command()
@click.argument("name")
@click.pass_obj
def revoke(flags: dict[str, Any], name: str) -> None:
    """End an agent's access for good, on every server within 2 seconds."""
    settings = load(**flags)
    from piv_mcp.cli.agent_rows import revoke_agent  # late: the other commands start without it

    log.configure("ERROR", "text")
    if not asyncio.run(revoke_agent(settings, name)):
        raise click.ClickException(f"there is no agent {name!r} with access")
    click.echo(f"{name} has no access any more.", err=True)


def _refuse_empty(given: dict[str, object]) -> None:
    """Raises `click.BadParameter` for a limit that names nothing, such as a variable of a shell that is not set: it
    must not count as no limit."""
    for name, value in given.items():
        if isinstance(value, str) and not value.replace(",", " ").strip():
            raise click.BadParameter("is empty", param_hint=f"--{name.replace('_', '-')}")


def _listed(numbers: str | None) -> tuple[str, ...] | None:
    if numbers is None:
        return None
    return tuple(dict.fromkeys(number.strip() for number in numbers.split(",") if number.strip()))


def _dollars(checked: Settings, name: str, given: dict[str, Any]) -> str | None:
    value: Decimal = getattr(checked, name)
    return format(value, "f") if name in given else None
