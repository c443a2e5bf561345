"""`piv-mcp install receiver`: the webhook receiver as a service of the user's, with systemd or launchd."""

import difflib
import os
import plistlib
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from piv_mcp.cli.configuration.clients import Launch, Places
from piv_mcp.cli.configuration.file import read, write
from piv_mcp.cli.findings import Finding
from piv_mcp.cli.key import chosen_key_file
from piv_mcp.cli.launch import command, flags, line, variables
from piv_mcp.cli.terminal import confirm
from piv_mcp.config import Settings

_SYSTEM_SECONDS = 30.0
"""How long a program of the system may take."""

_UNIT = """\
[Unit]
Description=Webhook receiver of piv-mcp

[Service]
ExecStart={command}
{environment}Restart=always
RestartSec=1

[Install]
WantedBy=default.target
"""

STARTED_SECONDS = 1.0
"""How long after its start a receiver must still run."""

Command = Sequence[str]


@dataclass(frozen=True, slots=True)
class Systemd:
    """A unit of the user's manager."""

    file: Path
    name: str = "piv-mcp.service"
    log: str = "journalctl --user -u piv-mcp"
    note: str = "It ends when you log out, unless you run once: loginctl enable-linger"

    def text(self, launch: Launch) -> str:
        """What the file holds."""
        program, *arguments = *launch.command, "receive"
        # In the program's path systemd replaces no variable, and takes `$$` as it is.
        words = " ".join([_quoted(program), *(_quoted(word).replace("$", "$$") for word in arguments)])
        lines = "".join(f"Environment={_quoted(f'{name}={value}')}\n" for name, value in launch.env.items())
        return _UNIT.format(command=words, environment=lines)

    def usable(self) -> str | None:
        """Why the system cannot be told of a service now, or None."""
        return _problem(["systemctl", "--user", "show-environment"])

    def started(self) -> Sequence[Command]:
        return [_systemctl("daemon-reload"), _systemctl("enable", self.name), _systemctl("restart", self.name)]

    def stopped(self) -> Sequence[Command]:
        return [_systemctl("disable", "--now", self.name)]

    def forgotten(self) -> Sequence[Command]:
        """What is done when the file is gone."""
        return [_systemctl("daemon-reload")]

    def runs(self) -> bool:
        return _problem(_systemctl("is-active", "--quiet", self.name)) is None


@dataclass(frozen=True, slots=True)
class Launchd:
    """An agent of the user's."""

    file: Path
    name: str = "day.piv.mcp"
    log: str = "Console, piv-mcp"
    note: str = "It runs while you are logged in."

    def text(self, launch: Launch) -> str:
        agent = {
            "Label": self.name,
            "ProgramArguments": [*launch.command, "receive"],
            "EnvironmentVariables": dict(launch.env),
            "KeepAlive": True,
            "RunAtLoad": True,
        }
        return plistlib.dumps(agent).decode()

    @property
    def _domain(self) -> str:
        return f"gui/{os.getuid()}"

    def usable(self) -> str | None:
        return _problem(["launchctl", "print", self._domain])

    def started(self) -> Sequence[Command]:
        # One that runs with the former file is ended first.
        begun: Command = ["launchctl", "bootstrap", self._domain, str(self.file)]
        return [*self.stopped(), begun]

    def stopped(self) -> Sequence[Command]:
        # launchctl fails for an agent that it does not have.
        return [["launchctl", "bootout", f"{self._domain}/{self.name}"]] if self.runs() else []

    def forgotten(self) -> Sequence[Command]:
        return []

    def runs(self) -> bool:
        return _problem(["launchctl", "print", f"{self._domain}/{self.name}"]) is None


Service = Systemd | Launchd


def service(places: Places) -> Service | None:
    """The way of this system; None where there is none."""
    match places.platform:
        case "linux":
            return Systemd(places.config / "systemd" / "user" / "piv-mcp.service")
        case "darwin":
            return Launchd(places.home / "Library" / "LaunchAgents" / "day.piv.mcp.plist")
        case _:
            return None


def install(settings: Settings, *, yes: bool) -> None:
    """Let the system run the receiver from now on.

    Raises:
        PivError: the data directory, or this installation, cannot be used.
        click.ClickException: the system cannot run it, or there is nobody to ask.
        click.Abort: the person says no.
    """
    if settings.webhook_port == 0:
        raise click.ClickException("PIV_WEBHOOK_PORT=0 turns webhooks off: there is nothing to receive")
    if settings.webhook_secret is not None:
        raise click.ClickException(
            "PIV_WEBHOOK_SECRET cannot be passed on: keep it in the file webhook-secret of the data directory instead"
        )
    unit = _usable()
    launch = command()
    key_file = chosen_key_file(settings, ask=not yes)
    env = variables(settings, key_file.path if key_file else None)
    former, text = read(unit.file), unit.text(Launch(launch, env))
    if former.text != text:
        click.echo(f"{unit.file}:")
        for shown in difflib.ndiff((former.text or "").splitlines(), text.splitlines()):
            name, equals, _ = shown.partition("=")  # a former unit can hold a secret
            click.echo(f"  {f'{name}=***' if equals and shown.startswith('-') else shown}")
        confirm("Write this, and start the receiver?", yes=yes)
    if key_file is not None:
        key_file.save(settings)
    if former.text != text:
        write(former, text)
    _do(unit.started())
    time.sleep(STARTED_SECONDS)
    if not unit.runs():
        raise click.ClickException(f"the receiver was started and has ended at once; its log says why ({unit.log})")
    click.echo(f"The receiver runs, and starts by itself from now on. {unit.note}")
    outside = line(*launch, *flags(env), "doctor", "--webhook-url", "https://YOUR-TUNNEL")
    click.echo(f"The address for piv.day, and whether it works: {outside}")


def uninstall(*, yes: bool) -> None:
    """Stop the receiver and take it out of the system. Raises as `install` does."""
    unit = service(Places.of_this_user())
    if unit is None or not unit.file.exists():
        click.echo("There is no receiver that runs as a service: nothing was changed.")
        return
    if problem := unit.usable():
        raise click.ClickException(
            f"the receiver cannot be stopped, since the system cannot be asked ({problem}): run this where you are "
            "logged in. Nothing was changed"
        )
    confirm(f"Stop the receiver, and delete {unit.file}?", yes=yes)
    _do(unit.stopped())
    unit.file.unlink()
    _do(unit.forgotten())
    click.echo("The receiver is stopped, and starts no more. The store and the key's file stay where they are.")


def check(places: Places | None = None) -> Finding | None:
    """Whether a receiver that is installed as a service runs."""
    unit = service(places or Places.of_this_user())
    if unit is None or not unit.file.exists():
        return None
    if problem := unit.usable():
        return Finding("receiver", False, f"{unit.file} is there, and the system cannot be asked: {problem}", None)
    if unit.runs():
        return Finding("receiver", True, f"runs as a service ({unit.name})")
    return Finding("receiver", False, f"its service ({unit.name}) does not run", "piv-mcp install receiver")


def _usable() -> Service:
    unit = service(Places.of_this_user())
    if unit is None:
        raise click.ClickException("this system has neither systemd nor launchd: start `piv-mcp receive` at log-on")
    if problem := unit.usable():
        raise click.ClickException(
            f"the system cannot be told of a service ({problem}): let what starts your programs start `piv-mcp receive`"
        )
    return unit


def _do(commands: Sequence[Command]) -> None:
    """Run programs of the system, one after the other.

    Raises:
        click.ClickException: one failed.
    """
    for words in commands:
        if problem := _problem(words):
            raise click.ClickException(f"`{' '.join(words)}` failed: {problem}")


def _problem(words: Command) -> str | None:
    """Run a program of the system; what it said if it failed."""
    try:
        done = subprocess.run(  # noqa: S603 - names and paths of our own
            words, capture_output=True, text=True, errors="replace", timeout=_SYSTEM_SECONDS, check=False
        )
    except FileNotFoundError:
        return f"there is no {words[0]}"
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{words[0]} cannot be run ({type(error).__name__})"
    if done.returncode == 0:
        return None
    said = (done.stderr or done.stdout).strip().splitlines()
    return said[-1] if said else f"{words[0]} ended with status {done.returncode}"


def _systemctl(*words: str) -> Command:
    return ["systemctl", "--user", *words]


def _quoted(text: str) -> str:
    """A word of a unit, in which systemd replaces nothing."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("\n", "\\n")
    return f'"{escaped}"'
