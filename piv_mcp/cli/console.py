"""`piv-mcp console`: the person's pages, served to the browser of this machine until the command ends."""

import asyncio
import math
import os
from collections.abc import Awaitable, Callable
from functools import partial

import click
from starlette.types import ASGIApp

from piv_mcp.cli.doctor import examine
from piv_mcp.config import Settings
from piv_mcp.console.app import laptop_app
from piv_mcp.console.rendering import prepare
from piv_mcp.runtime import Runtime
from piv_mcp.spending.approval.opening import Opener
from piv_mcp.text.language import preferred
from piv_mcp.web.serving import PageDoor
from piv_mcp.web.visitors import Visitors

Stop = Callable[[], Awaitable[None]]


async def serve(settings: Settings, runtime: Runtime, on_signal: Callable[[Stop], None], *, browser: bool) -> None:
    """Open the console, and serve it until cancelled. `on_signal` is given what ends it in order.

    Raises:
        PivError: the services cannot start.
        OSError: no port can be opened, or the private file for the browser cannot be written.
    """
    services = await runtime.services()
    wake = services.inbox.changes.notify
    check = partial(examine, settings)

    def pages(visitors: Visitors) -> ASGIApp:
        return laptop_app(visitors, lambda: services, wake, settings.language, runtime.clock, examine=check)

    await asyncio.to_thread(prepare, preferred("", settings.language))
    door = PageDoor(pages, wake, runtime.clock)
    opener, name = Opener(services.exports.parent / "approvals", runtime.clock), f"console-{os.getpid()}"

    async def stop() -> None:
        opener.forget(name)
        await door.close()
        await runtime.stop()

    on_signal(stop)
    link = (await door.address(math.inf)).invite()
    if browser and await opener.open(name, link):
        # Not the address: who used it a second time would close the pages.
        click.echo("The console is open in your browser. Ctrl+C ends it.")
    else:
        click.echo("Open this address in a browser of this machine. It is good for one use; Ctrl+C ends the console.")
        click.echo(opener.target(name, link))
    await asyncio.Event().wait()
