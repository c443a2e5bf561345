"""The terminal: whether there is a person at it, and the question whether to go on."""

import sys
from typing import TextIO

import click


def is_terminal(stream: TextIO | None) -> bool:
    """Python has None for a stream that is closed at the start."""
    return stream is not None and not stream.closed and stream.isatty()


def at_terminal() -> bool:
    """Whether a person reads what is printed, and can answer."""
    return is_terminal(sys.stdin) and is_terminal(sys.stdout)


def confirm(question: str, *, yes: bool) -> None:
    """Ask the person, unless `yes` was given beforehand.

    Raises:
        click.ClickException: there is nobody to ask.
        click.Abort: the person says no.
    """
    if yes:
        return
    if not at_terminal():
        raise click.ClickException("this needs a terminal to ask you, or --yes")
    click.confirm(question, abort=True)
