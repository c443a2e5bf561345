"""The command line. Only `cli/` prints: when a server runs, stdout belongs to the protocol."""

import asyncio
import errno
import io
import logging
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import click

from piv_mcp import __version__, log
from piv_mcp.cli.agents import agents
from piv_mcp.cli.configuration.clients import CLIENTS
from piv_mcp.cli.ending import STOP_SECONDS, leave, on_stop_signal
from piv_mcp.cli.freeze import freeze, unfreeze
from piv_mcp.cli.metrics import metrics_served
from piv_mcp.cli.notify import notify
from piv_mcp.cli.operators import operators
from piv_mcp.cli.spending import spending
from piv_mcp.config import ENVIRONMENT_ONLY, Settings, absolute_paths, load
from piv_mcp.errors import PivError
from piv_mcp.text.times import SYSTEM_CLOCK, Clock

Command = TypeVar("Command", bound=Callable[..., Any])


def _settings_options(command: Command) -> Command:
    """Every setting as a flag, except the secrets: a command line is seen by every process of the machine."""
    for name, field in reversed(Settings.model_fields.items()):
        if name in ENVIRONMENT_ONLY:
            continue
        flag = f"--{name.replace('_', '-')}"
        if field.annotation is bool:
            option = click.option(f"{flag}/--no-{flag[2:]}", name, default=None, help=field.description)
        else:
            option = click.option(flag, name, default=None, metavar="VALUE", help=field.description)
        command = option(command)
    return command


def _typed(flags: dict[str, Any], own: dict[str, Any]) -> Settings:
    """The settings of a command that takes them also after its name, with paths from where the person is."""
    given = {name: value for name, value in own.items() if value is not None}
    return load(**absolute_paths({**flags, **given}, Path.cwd()))


def _words(error: PivError) -> str:
    return ". ".join(part.removesuffix(".") for part in (error.message, error.hint) if part)


class Program(click.Group):
    """The commands, on whatever terminal or file their output goes to."""

    def invoke(self, ctx: click.Context) -> Any:
        for stream in (sys.stdin, sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                # A person who decides sees the characters that the encoding lacks as escapes, and never as "?".
                stream.reconfigure(errors="replace" if stream is sys.stdin else "backslashreplace")
        try:
            return super().invoke(ctx)
        except PivError as error:
            raise click.ClickException(_words(error)) from None
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise  # click ends the program
            _drop_output()
            raise click.ClickException(f"this cannot be done: {error.strerror or type(error).__name__}") from None


def _drop_output() -> None:
    """Let the interpreter not try again, at its end, to write what could not be written."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@click.group(cls=Program, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="piv-mcp")
@_settings_options
@click.pass_context
def main(context: click.Context, **flags: Any) -> None:
    """MCP server for a piv.day account. Without a command it serves over stdio, as clients start it.

    Every setting is also an environment variable: --spend-mode is PIV_SPEND_MODE. The key is PIV_API_KEY or
    PIV_API_KEY_FILE, never a flag.
    """
    context.obj = flags
    if context.invoked_subcommand is None:
        _serve(load(**flags))


@main.command()
@_settings_options
@click.pass_obj
def serve(flags: dict[str, Any], **own: Any) -> None:
    """Serve over stdio (the default), or over HTTP for many agents: --transport http."""
    _serve(load(**{**flags, **{name: value for name, value in own.items() if value is not None}}))


def _serve(settings: Settings) -> None:
    if settings.transport == "stdio":
        serve_stdio(settings)
    else:
        from piv_mcp.cli.serve_http import serve as serve_many  # late: it is not needed over stdio

        serve_many(settings, log.configure(settings.log_level, settings.log_format, background=True))
        leave()


def serve_stdio(settings: Settings, clock: Clock = SYSTEM_CLOCK) -> None:
    """Serve MCP over standard input and output until one of them closes or a signal stops the process."""
    if sys.stdin is None or sys.stdout is None:  # pyright: ignore[reportUnnecessaryComparison] - a closed one is None
        raise click.ClickException("standard input and output are closed; an MCP client talks to the server over both")
    redactor = log.configure(settings.log_level, settings.log_format, background=True)
    from piv_mcp.runtime import Runtime  # late: the other commands start without it
    from piv_mcp.server.build import build_server  # late: the other commands start without it

    runtime = Runtime(settings, redactor, stop_within=STOP_SECONDS, clock=clock)
    server = build_server(settings, runtime)

    async def run() -> None:
        on_stop_signal(runtime.stop)
        async with metrics_served(settings):
            try:
                await server.run_stdio_async()
            except Exception:
                logging.getLogger(__name__).exception("the server failed")
                leave(1)
            leave()

    asyncio.run(run())


@main.command()
@click.option(
    "--seconds", type=click.FloatRange(0, 15), default=1.0, show_default=True, help="seconds until the SMS arrives"
)
def demo(seconds: float) -> None:
    """Show the main job on the sandbox: wait for a code, and get it. Needs no key."""
    from piv_mcp.cli.demo import run_demo  # late: the other commands start without it

    try:
        code = asyncio.run(run_demo(click.echo, seconds))
    except RuntimeError as error:
        raise click.ClickException(str(error)) from None
    if code is None:
        raise click.ClickException("no code arrived; run again with PIV_LOG_LEVEL=DEBUG to see why")
    click.echo(f"\nThe code is {click.style(code, bold=True)}")


@main.command()
@click.option("--webhook-url", metavar="URL", help="send a test event to the tunnel's address, and say how far it came")
@click.pass_obj
def doctor(flags: dict[str, Any], webhook_url: str | None) -> None:
    """Check key, API, store and webhook endpoint; say what to do about each fault; print the webhook URL."""
    settings = load(**flags)
    from piv_mcp.cli.doctor import examine  # late: the other commands start without it

    log.configure("ERROR", "text")
    findings = asyncio.run(examine(settings, webhook_url))
    for finding in findings:
        mark = click.style("ok  ", fg="green") if finding.ok else click.style("FAIL", fg="red")
        click.echo(f"{mark} {finding.what}: {finding.state}")
        if finding.do:
            click.echo(f"     -> {finding.do}")
    if not all(finding.ok for finding in findings):
        sys.exit(1)


@main.command()
@click.argument("client", type=click.Choice(list(CLIENTS)))
@_settings_options
@click.pass_obj
def config(flags: dict[str, Any], client: str, **own: Any) -> None:
    """Print the configuration snippet for CLIENT."""
    settings = _typed(flags, own)
    from piv_mcp.cli.install import snippet  # late: the other commands start without it

    text, note = snippet(client, settings)
    click.echo(note, err=True)
    click.echo(text)


_what = click.argument("what", metavar="CLIENT|receiver", type=click.Choice([*CLIENTS, "receiver"]))
_CLIENTS = f"The clients: {', '.join(CLIENTS)}."


@main.command(epilog=_CLIENTS)
@_what
@click.option("--yes", is_flag=True, help="do not ask; the key's file is then PIV_API_KEY_FILE")
@_settings_options
@click.pass_obj
def install(flags: dict[str, Any], what: str, yes: bool, **own: Any) -> None:
    """Write piv-mcp into the configuration of CLIENT, or let the system run the webhook receiver.

    What is written has the key's file and the settings that are given.
    """
    settings = _typed(flags, own)
    from piv_mcp.cli import install as clients  # late: the other commands start without it
    from piv_mcp.cli import receiver  # late: the other commands start without it

    log.configure("ERROR", "text")
    if what == "receiver":
        receiver.install(settings, yes=yes)
    else:
        clients.install(what, settings, yes=yes)


@main.command(epilog=_CLIENTS)
@_what
@click.option("--yes", is_flag=True, help="do not ask")
def uninstall(what: str, yes: bool) -> None:
    """Take piv-mcp out of the configuration of CLIENT again, or stop the receiver."""
    from piv_mcp.cli import install as clients  # late: the other commands start without it
    from piv_mcp.cli import receiver  # late: the other commands start without it

    if what == "receiver":
        receiver.uninstall(yes=yes)
    else:
        clients.uninstall(what, yes=yes)


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=0, show_default=True, help="0 takes any free one")
@click.option("--webhook-url", default=None, help="where events are sent")
@click.option("--api-key", "sandbox_key", default="sandbox-key", show_default=True, help="the key it accepts")
def sandbox(host: str, port: int, webhook_url: str | None, sandbox_key: str) -> None:
    """Run a simulated piv.day on its own port."""
    from piv_mcp.sandbox import Sandbox  # late: the other commands start without it
    from piv_mcp.sandbox.serve import serve as serve_sandbox  # late: the other commands start without it

    simulated = Sandbox(sandbox_key, webhook_url=webhook_url)

    def ready(bound: int) -> None:
        click.echo(f"PIV_BASE_URL=http://{host}:{bound}/api/v1")
        click.echo(f"PIV_API_KEY={sandbox_key}")

    try:
        asyncio.run(serve_sandbox(simulated, host, port, ready, handle_signals=True))
    except OSError as error:
        raise click.ClickException(f"port {port} cannot be opened: {error.strerror}") from None


@main.command()
@click.pass_obj
def approvals(flags: dict[str, Any]) -> None:
    """List what waits for your approval, and decide it. Decides only at a terminal, with a word typed there."""
    settings = load(**flags)
    from piv_mcp.cli.approvals import run  # late: the other commands start without it

    log.configure("ERROR", "text")
    run(settings)


main.add_command(agents)
main.add_command(operators)
main.add_command(spending)
main.add_command(freeze)
main.add_command(notify)
main.add_command(unfreeze)


@main.group()
def store() -> None:
    """Copy the store, or erase a number's messages."""


@store.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.pass_obj
def backup(flags: dict[str, Any], file: Path) -> None:
    """Copy the store to a new FILE, also while servers run."""
    settings = load(**flags)
    from piv_mcp.cli.store import backup as copy_to_file  # late: the other commands start without it

    log.configure("ERROR", "text")
    copy_to_file(settings, file)


@store.command()
@click.option("--number", required=True, help="the number's id, or its phone number")
@click.option("--yes", is_flag=True, help="do not ask")
@click.pass_obj
def erase(flags: dict[str, Any], number: str, yes: bool) -> None:
    """Delete the messages of a number for good."""
    settings = load(**flags)
    from piv_mcp.cli.store import erase as erase_messages  # late: the other commands start without it

    log.configure("ERROR", "text")
    erase_messages(settings, number, yes=yes)


@store.command()
@click.pass_obj
def copy(flags: dict[str, Any]) -> None:
    """Copy a store of SQLite into PostgreSQL: from PIV_STORE_FROM, or the data directory, to PIV_STORE_URL.

    PIV_STORE_FROM is sqlite:////path/to/file. End all servers of both first. The target must be empty.
    """
    settings = load(**flags)
    from piv_mcp.cli.store import copy as copy_to_database  # late: the other commands start without it

    log.configure("ERROR", "text")
    copy_to_database(settings)


@main.command()
@click.pass_obj
def receive(flags: dict[str, Any]) -> None:
    """Run the webhook receiver and the approval page alone, as a service."""
    settings = load(**flags)
    if settings.transport != "stdio":
        raise click.ClickException("a server over HTTP receives webhooks itself: unset PIV_TRANSPORT")
    from piv_mcp.runtime import Runtime  # late: the other commands start without it

    runtime = Runtime(settings, log.configure(settings.log_level, settings.log_format), stop_within=STOP_SECONDS)

    async def run() -> None:
        async with metrics_served(settings), runtime.running():
            on_stop_signal(runtime.stop)
            await runtime.services()
            await asyncio.Event().wait()

    asyncio.run(run())


@main.command()
@click.option("--browser/--no-browser", default=True, help="open a browser, or print the address for one")
@click.pass_obj
def console(flags: dict[str, Any], browser: bool) -> None:
    """Show what came in, what waits for you and what was spent, in your browser, until Ctrl+C."""
    settings = load(**flags)
    if settings.transport != "stdio":
        raise click.ClickException("a server over HTTP has its console at PIV_CONSOLE_URL: set that, and open it")
    from piv_mcp.cli.console import serve as serve_console  # late: the other commands start without it
    from piv_mcp.runtime import Runtime  # late: the other commands start without it

    level = settings.log_level if "log_level" in settings.model_fields_set else "WARNING"
    runtime = Runtime(settings, log.configure(level, "text"), stop_within=STOP_SECONDS)

    async def run() -> None:
        async with metrics_served(settings), runtime.running():
            await serve_console(settings, runtime, on_stop_signal, browser=browser)

    asyncio.run(run())
