"""The API key's file: where it is, and how a person's key comes into it."""

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

import click
from pydantic import SecretStr

from piv_mcp.api.credentials import parse_key, read_key_file
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
        _take(settings, path)
        return KeyFile(path)
    if not ask or not at_terminal():
        raise click.ClickException(
            "there is no API key yet: set PIV_API_KEY_FILE to the file that holds it, run this in a terminal without "
            "--yes to be asked for it, or try it without a key, with --sandbox"
        )
    if settings.api_key is not None:
        click.echo(f"The key in PIV_API_KEY is to be kept in {path}: clients do not have your variables.", err=True)
        key = settings.api_key.get_secret_value()
    else:
        click.echo("Create a key in the piv.day dashboard (Settings > API Keys).", err=True)
        key = _ask()
    _check(settings, key)
    return KeyFile(path, key)


def _take(settings: Settings, path: Path) -> None:
    """Use a file that is there. Ours is closed to others; whose key it holds is said where two are given."""
    click.echo(f"The key in {path} is used. To use another one, write it into that file.", err=True)
    if settings.api_key_file is None and os.name == "posix" and path.stat().st_mode & 0o077:
        path.chmod(0o600)
        click.echo("It could be read by other users: it is private now.", err=True)
    try:
        other = settings.api_key is not None and read_key_file(path) != settings.api_key.get_secret_value()
    except ValueError as error:
        raise click.ClickException(f"{path} {error}") from None
    if other:
        click.echo("PIV_API_KEY holds another key, which is not used.", err=True)


def _ask() -> str:
    while True:
        typed = click.prompt("API key (it is not shown)", hide_input=True, err=True)
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
        click.echo(f"piv.day accepts the key; the balance is {asyncio.run(ask())} dollars.", err=True)
    except AuthenticationError as error:
        raise click.ClickException(f"piv.day does not accept this key ({error.message}). Nothing was written") from None
    except PivError as error:
        click.echo(f"The key could not be checked now: {error.message}.", err=True)
