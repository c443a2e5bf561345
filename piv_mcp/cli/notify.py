"""`piv-mcp notify test`: whether the addresses of notices work."""

import asyncio
from typing import Any

import click

from piv_mcp import log
from piv_mcp.config import Settings, load


@click.group()
def notify() -> None:
    """Notices to the addresses of PIV_NOTIFY."""


@notify.command()
@click.pass_obj
def test(flags: dict[str, Any]) -> None:
    """Send one notice to each address, and say which of them took it."""
    settings = load(**flags)
    log.configure("ERROR", "text")
    failed = [number for number, taken in asyncio.run(_tell(settings)) if not taken]
    if failed:
        raise click.ClickException(f"no notice went to {', '.join(f'address {number}' for number in failed)}")


async def _tell(settings: Settings) -> list[tuple[int, bool]]:
    from piv_mcp.notices import wording  # late: the other commands start without it
    from piv_mcp.notices.receivers import receivers  # late: likewise
    from piv_mcp.text.language import language_or_plain  # late: likewise

    if settings.notify is None:
        raise click.ClickException("PIV_NOTIFY is not set: it holds addresses of Apprise, with spaces between")
    words = wording.test(language_or_plain(settings.language))
    told: list[tuple[int, bool]] = []
    for receiver in await asyncio.to_thread(receivers, settings.notify):
        taken = await receiver.tell(words.title, words.body)
        click.echo(f"address {receiver.number}: {'taken' if taken else 'FAILED'}")
        told.append((receiver.number, taken))
    return told
