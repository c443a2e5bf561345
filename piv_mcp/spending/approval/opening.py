"""Opens a page in the person's browser.

Other users can see the browser's arguments in the process list. Where they cannot be told from our own user, the
browser opens a private file, and only that file has the address of the page.
"""

import asyncio
import os
import subprocess as subprocess_flags
import sys
from asyncio import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from piv_mcp.spending.quote import FREEZE_SECONDS
from piv_mcp.text.times import SYSTEM_CLOCK, Clock

BROWSER_SECONDS = 3.0
"""Seconds to wait for the command that opens the browser. Some browsers end it only when their window is closed."""

_NO_WINDOW = subprocess_flags.CREATE_NO_WINDOW if sys.platform == "win32" else 0
"""Without it Windows shows a console for a moment, as often as a page is opened."""


class PageLink(Protocol):
    """An address that leads one browser to the person's pages."""

    @property
    def url(self) -> str:
        """For example http://127.0.0.1:49152/console/..."""
        ...

    @property
    def is_public(self) -> bool:
        """Whether other users may see the address: it is refused to their programs."""
        ...

    @property
    def is_void(self) -> bool:
        """Whether the address was used a second time, so that it leads nowhere any more."""
        ...


class Opener:
    """Opens pages. `folder` holds the private files."""

    def __init__(self, folder: Path, clock: Clock = SYSTEM_CLOCK) -> None:
        self._folder = folder
        self._clock = clock

    async def open(self, name: str, link: PageLink) -> bool:
        """Open the page in a new tab; returns whether a browser was started. `name` is for `target` and `forget`.

        Raises:
            OSError: the private file cannot be written.
        """
        return await _open_browser(self.target(name, link), self._clock)

    def target(self, name: str, link: PageLink) -> str:
        """The address that the browser is given: the page's own, or that of a private file that leads to it.

        Raises:
            OSError: the file cannot be written.
        """
        return link.url if link.is_public else self._write(self._file(name), link.url).as_uri()

    def forget(self, name: str) -> None:
        """Remove the private file, if there is one."""
        with suppress(OSError):
            self._file(name).unlink()

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.html"

    def _write(self, file: Path, address: str) -> Path:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for leftover in self._folder.glob("*.html"):  # a killed process may have left files
            if self._clock.time() - leftover.stat().st_mtime > FREEZE_SECONDS:
                leftover.unlink(missing_ok=True)
        file.unlink(missing_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as page:
            page.write(
                '<!doctype html><meta charset="utf-8"><title>piv-mcp</title>'
                f'<meta http-equiv="refresh" content="0;url={address}">'
                f'<a href="{address}">piv-mcp</a>\n'
            )
        return file


async def _open_browser(address: str, clock: Clock) -> bool:
    """Open the address in the browser, from a separate process, since a browser may print to stdout or block.

    The process gets none of our `PIV_` settings, and `-I` keeps it from importing modules of the current folder.
    """
    program = "import sys, webbrowser; sys.exit(not webbrowser.open(sys.argv[1]))"
    try:
        process = await subprocess.create_subprocess_exec(
            sys.executable,
            "-I",
            "-c",
            program,
            address,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            creationflags=_NO_WINDOW,
            env={name: value for name, value in os.environ.items() if not name.upper().startswith("PIV_")},
        )
    except OSError:
        return False
    ended = asyncio.ensure_future(process.wait())
    _browsers.add(ended)
    ended.add_done_callback(_browsers.discard)
    try:
        async with clock.timeout(BROWSER_SECONDS):
            return await asyncio.shield(ended) == 0
    except TimeoutError:
        return True  # the process ends when the browser window is closed


_browsers: set[asyncio.Future[int]] = set()
"""Browser processes that still run. Without a reference the event loop could drop their futures."""
