"""The API key's file: where it is, and how a person's key comes into it."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import click
from pydantic import SecretStr

from piv_mcp.api.credentials import parse_key
from piv_mcp.cli.terminal import at_terminal
from piv_mcp.config import Settings
from piv_mcp.errors import AuthenticationError, PivError


@dataclass(frozen=True, slots=True)
class KeyFile:
    """The file with the key. `new` is the key that it is to get, if it has none yet."""

    path: Path
    new: str | None = None

    def __repr__(self) -> str:
        return f"KeyFile({str(self.path)!r})"

    def save(self, settings: Settings) -> None:
        """Write a new key, readable for the user alone.

        Raises:
            PivError: the data directory cannot be used, or the file cannot be written.
        """
        from piv_mcp.cli.configuration.file import read, write  # late: other commands start without it
        from piv_mcp.store.directory import open_directory  # late: likewise

        if self.new is not None:
            open_directory(settings)
            write(read(self.path), f"{self.new}\n")


def chosen_key_file(settings: Settings, *, ask: bool) -> KeyFile | None:
    """The key's file. The person is asked for the key once, at the terminal, if there is none. None for the sandbox.

    Raises:
        click.ClickException: there is no key, and nobody to ask; or piv.day does not accept it.
    """
    path = settings.key_file
    if path is None or settings.sandbox:
        return None
    if path.exists():
        return KeyFile(path)
    if not ask or not at_terminal():
        raise click.ClickException(
            "there is no API key yet: set PIV_API_KEY_FILE to the file that holds it, run this in a terminal without "
            "--yes to be asked for it, or try it without a key, with --sandbox"
        )
    if settings.api_key is not None:
        click.echo(f"The key in PIV_API_KEY is to be kept in {path}, since clients do not have your shell's variables.")
        key = settings.api_key.get_secret_value()
    else:
        click.echo("Create a key in the piv.day dashboard (Settings > API Keys).")
        key = _ask()
    _check(settings, key)
    return KeyFile(path, key)


def _ask() -> str:
    while True:
        typed = click.prompt("API key (it is not shown)", hide_input=True)
        try:
            return parse_key(typed)
        except ValueError as error:
            click.echo(f"That is no key: it {error}.", err=True)


def _check(settings: Settings, key: str) -> None:
    """Ask piv.day whether it accepts the key. A key that cannot be checked now is kept: `doctor` checks it again."""
    from piv_mcp.api.client import PivClient  # late: other commands start without it

    async def ask() -> str:
        async with PivClient(settings.base_url, SecretStr(key), deadline=10) as client:
            return str((await client.account.get()).balance)

    try:
        click.echo(f"piv.day accepts the key; the balance is {asyncio.run(ask())} dollars.")
    except AuthenticationError as error:
        raise click.ClickException(f"piv.day does not accept this key ({error.message}). Nothing was written") from None
    except PivError as error:
        click.echo(f"The key could not be checked now: {error.message}.", err=True)
