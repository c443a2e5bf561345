"""`piv-mcp install`, `uninstall` and `config`: our entry in a client's configuration file, and the printed snippet."""

import difflib
import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import click

from piv_mcp.cli.configuration import document
from piv_mcp.cli.configuration.clients import CLIENTS, NAME, Client, Launch, Places
from piv_mcp.cli.configuration.errors import UnreadableError
from piv_mcp.cli.configuration.file import FileState, check_writable, copies, read, write
from piv_mcp.cli.key import chosen_key_file
from piv_mcp.cli.launch import command, flags, line, variables
from piv_mcp.cli.terminal import confirm
from piv_mcp.config import Settings

_ACCOUNT = ("PIV_API_KEY", "PIV_API_KEY_FILE", "PIV_SANDBOX")
"""What says which account is used. An install decides it anew; the other variables of an entry stay."""

_KEY_PROMPT = {"id": "piv-api-key", "type": "promptString", "description": "piv.day API key", "password": True}
_ASKED = f"${{input:{_KEY_PROMPT['id']}}}"
"""What VS Code replaces by what it has asked for."""


def install(name: str, settings: Settings, *, yes: bool) -> None:
    """Write our entry into the client's file. Shows it, asks for what is missing, and keeps a copy of the file.

    Raises:
        PivError: the file, or the installation, cannot be used; nothing was changed.
        click.ClickException: there is nobody to ask.
        click.Abort: the person says no.
    """
    client = CLIENTS[name]
    if client.file is None:
        _install_by_command(settings, yes=yes)
        return
    launch = command()
    file = client.file(Places.of_this_user())
    found, former = _entry(client, file)
    check_writable(found)
    key_file = chosen_key_file(settings, ask=not yes)
    env = variables(settings, key_file.path if key_file else None)
    entry = _merged(client, former, Launch(launch, env))
    if entry != former:
        with _about(file):
            changed = document.put(client.form, found.text or "", client.path, entry)
        _show(client, found, former, entry, client.entry(Launch(launch, env)))
        if key_file is not None and key_file.new:
            click.echo(f"{key_file.path} gets the key, readable for you alone.")
        confirm("Write this?", yes=yes)
        if key_file is not None:
            key_file.save(settings)
        _say_copy(write(found, changed))
        if former is not None and "PIV_API_KEY" in (former.get(client.env) or ()):
            click.echo("The former entry held the API key: delete that copy when you need it no more.")
        click.echo(f"{client.title} starts piv-mcp from now on: restart it, or reload its MCP servers.")
    else:
        if key_file is not None:
            key_file.save(settings)
        click.echo(f"{client.title} has this entry already, in {file}: nothing was changed.")
    if settings.webhook_secret is not None:
        click.echo(
            f"PIV_WEBHOOK_SECRET is a secret and is not in that file: give it to {client.title} yourself.", err=True
        )
    click.echo(f"To check the installation: {line(*launch, *flags(env), 'doctor')}")


def uninstall(name: str, *, yes: bool) -> None:
    """Take our entry out of the client's file again. Raises as `install` does."""
    client = CLIENTS[name]
    if client.file is None:
        click.echo("Run this line, which takes the server out of Claude Code:", err=True)
        click.echo(line("claude", "mcp", "remove", "--scope", "user", NAME))
        return
    file = client.file(Places.of_this_user())
    found, former = _entry(client, file)
    if former is None or found.text is None:
        click.echo(f"{client.title} has no entry of piv-mcp in {file}: nothing was changed.")
        return
    check_writable(found)
    _show(client, found, former, None, None)
    confirm("Take it out?", yes=yes)
    _say_copy(write(found, _without_entry(client, found, former)))
    click.echo(f"{client.title} starts piv-mcp no more, once it is restarted. The API key's file stays where it is.")


def snippet(name: str, settings: Settings) -> tuple[str, str]:
    """(configuration, note on where to put it). The API key is not part of it: the server reads it from a file,
    or VS Code asks for it."""
    client = CLIENTS[name]
    place = client.file(Places.of_this_user()) if client.file else ".mcp.json in the project"
    note = f"Put this into {place}, then restart the client. `piv-mcp install {name}` does that for you."
    key_file = None if settings.sandbox else settings.key_file
    if key_file is not None and not key_file.exists():
        if name == "vscode":
            entry = client.entry(Launch(command(), {"PIV_API_KEY": _ASKED, **variables(settings, None)}))
            return json.dumps({"servers": {NAME: entry}, "inputs": [_KEY_PROMPT]}, indent=2), note
        note += f"\nPut the API key into {key_file} (create it readable for you alone: chmod 600)."
    entry = client.entry(Launch(command(), variables(settings, key_file)))
    return document.render(client.form, client.path, entry), note


def _install_by_command(settings: Settings, *, yes: bool) -> None:
    """Claude Code changes its file itself: print the line that makes it do so."""
    key_file = chosen_key_file(settings, ask=not yes)
    env = variables(settings, key_file.path if key_file else None)
    if key_file is not None:
        key_file.save(settings)
    click.echo("Run this line, which tells Claude Code of the server:", err=True)
    options = [part for variable, text in env.items() for part in ("--env", f"{variable}={text}")]
    click.echo(line("claude", "mcp", "add", NAME, "--scope", "user", *options, "--", *command()))


def _entry(client: Client, file: Path) -> tuple[FileState, dict[str, Any] | None]:
    """What is in the client's file, and our entry in it.

    Raises:
        UnreadableError: the file cannot be understood.
    """
    with _about(file):
        found = read(file)
        entry = document.get(client.form, found.text or "", client.path)
    if entry is not None and not isinstance(entry, dict):
        raise UnreadableError(f"{file} was left as it is: something else stands where our entry belongs")
    return found, cast("dict[str, Any] | None", entry)


@contextmanager
def _about(file: Path) -> Generator[None]:
    """Let the error of what is done with a file say which file that is."""
    try:
        yield
    except UnreadableError as error:
        raise UnreadableError(f"{file} was left as it is: {error.message}", hint=error.hint or _MEND) from None


_MEND = "Mend or rename the file, or print the entry with `piv-mcp config` and put it in yourself"


def _merged(client: Client, former: dict[str, Any] | None, launch: Launch) -> dict[str, Any]:
    """The entry, with what the person or the client has added to the former one, and switched on.

    Nothing is kept of an entry that was not for a program: clients refuse one that names an address, too.
    """
    entry = client.entry(launch)
    if (
        former is None
        or not entry.keys() & former.keys() & {"command", "cmd"}
        or any("url" in key.lower() for key in former)
    ):
        return entry
    kept = {name: value for name, value in former.items() if name not in ("disabled", "enabled")}
    variables_kept = former.get(client.env)
    if isinstance(variables_kept, dict):
        former_env = cast("dict[str, Any]", variables_kept)
        others = {name: value for name, value in former_env.items() if name not in _ACCOUNT}
        entry[client.env] = {**others, **entry[client.env]}
    return {**kept, **entry}


def _without_entry(client: Client, found: FileState, entry: dict[str, Any]) -> str | None:
    """The file as it was before our entry came into it, if that is certain; else without the entry. None: no file.

    It is certain where putting the entry into a copy gives just what the file holds now.
    """
    text = found.text or ""
    for before in (*(copy.text or "" for copy in copies(found.path)), None):
        try:
            is_without = document.get(client.form, before or "", client.path) is None
            if is_without and document.put(client.form, before or "", client.path, entry) == text:
                return before
        except UnreadableError:
            continue
    with _about(found.path):
        return document.remove(client.form, text, client.path)


def _show(
    client: Client, found: FileState, former: dict[str, Any] | None, entry: dict[str, Any] | None, ours: object
) -> None:
    """The change, without the rest of the file. Of what is not `ours` the names are shown, and no text: others keep
    secrets in arguments and headers, too."""
    state = "" if found.text is not None else " (new)"
    link = f", a link to {found.target}" if found.path.is_symlink() else ""
    click.echo(f"{found.path}{state}{link}, at {'.'.join(client.path)}:")
    before, after = (
        [] if value is None else document.render(client.form, client.path, _masked(value, ours)).splitlines()
        for value in (former, entry)
    )
    for shown in difflib.ndiff(before, after):
        if not shown.startswith("?"):
            click.echo(f"  {click.style(shown, fg={'+': 'green', '-': 'red'}.get(shown[0]))}")


def _masked(value: object, ours: object) -> object:
    if value == ours or not isinstance(value, dict | list | str):
        return value
    if isinstance(value, dict):
        known = cast("dict[str, object]", ours) if isinstance(ours, dict) else {}
        return {name: _masked(inner, known.get(name)) for name, inner in cast("dict[str, object]", value).items()}
    return ["***" for _ in cast("list[object]", value)] if isinstance(value, list) else "***"


def _say_copy(copy: Path | None) -> None:
    if copy is not None:
        click.echo(f"What was there is kept in {copy}.")
