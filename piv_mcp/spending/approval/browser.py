"""The channel that opens the approval page in the person's browser."""

import asyncio
import hashlib
import hmac
import os
import sys
from asyncio import subprocess
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Protocol

import structlog

from piv_mcp.spending.actions.base import Decision
from piv_mcp.spending.approval.channels import DecisionReply, Person
from piv_mcp.spending.quote import FREEZE_SECONDS
from piv_mcp.store.journal import Entry
from piv_mcp.text.times import SYSTEM_CLOCK, Clock

BROWSER_SECONDS = 3.0
"""Seconds to wait for the command that opens the browser. Some browsers end it only when their window is closed."""

_log = structlog.get_logger(__name__)


class ServedAddress(Protocol):
    """The address at which the approval page is served until `release` is called."""

    @property
    def url(self) -> str:
        """For example http://127.0.0.1:8787."""
        ...

    def release(self) -> None:
        """Allow the server to stop serving the page at this address."""
        ...


class BrowserChannel:
    """Opens the approval page in the person's browser.

    `address` makes a server serve the page until a time (seconds since the epoch). `key` is the secret of this machine,
    from which each of its processes derives the same token for an entry. `folder` holds the private files that redirect
    the browser to the page.
    """

    name: ClassVar[str] = "page"

    def __init__(
        self,
        key: str,
        folder: Path,
        address: Callable[[float], Awaitable[ServedAddress]],
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._key = key
        self._folder = folder
        self._address = address
        self._clock = clock
        self._opened: dict[str, bool] = {}
        self._served: dict[str, ServedAddress] = {}

    def can_ask(self, entry: Entry, person: Person) -> bool:
        return True

    async def put(self, entry: Entry, person: Person) -> asyncio.Future[Decision] | None:
        await self._open(entry)
        return None  # the page writes the answer to the journal

    async def decision(self, reply: DecisionReply) -> Decision | None:
        return None  # the page writes the answer to the journal

    def no_answer(self, entry: Entry, problem: str | None = None) -> None:
        """Nothing to do: the page stays open until the quote expires."""

    def problem(self, entry: Entry) -> str | None:
        return None

    def where(self, entry: Entry) -> str | None:
        return "on the page that was opened in their browser" if self._opened.get(entry.id) else None

    def forget(self, entry_id: str) -> None:
        self._opened.pop(entry_id, None)
        with suppress(OSError):
            self._file(entry_id).unlink()
        if (address := self._served.pop(entry_id, None)) is not None:
            address.release()

    def close(self) -> None:
        for entry_id in list(self._opened):
            self.forget(entry_id)

    async def _open(self, entry: Entry) -> None:
        """Open the page, once for each entry and process.

        Other users can see the browser's arguments in the process list. So the browser opens a private file, and only
        that file has the token.
        """
        if entry.id in self._opened:
            return
        self._opened[entry.id] = False
        try:
            address = self._served[entry.id] = await self._address(entry.expires_at)
        except BaseException:
            self.forget(entry.id)  # the next call tries again
            raise
        self._clock.call_later(max(0.0, entry.expires_at - self._clock.time()), lambda: self.forget(entry.id))
        try:
            file = self._write(entry.id, f"{address.url}/approvals/{entry.id}?token={token_of(self._key, entry.id)}")
        except OSError as error:
            _log.warning("the approval page cannot be opened", entry_id=entry.id, problem=str(error))
            return
        self._opened[entry.id] = await _open_browser(file.as_uri(), self._clock)
        _log.info("approval page", entry_id=entry.id, opened=self._opened[entry.id])

    def _file(self, entry_id: str) -> Path:
        return self._folder / f"{entry_id}.html"

    def _write(self, entry_id: str, address: str) -> Path:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for leftover in self._folder.glob("*.html"):  # a killed process may have left files
            if self._clock.time() - leftover.stat().st_mtime > FREEZE_SECONDS:
                leftover.unlink(missing_ok=True)
        file = self._file(entry_id)
        file.unlink(missing_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as page:
            page.write(
                '<!doctype html><meta charset="utf-8"><title>piv-mcp</title>'
                f'<meta http-equiv="refresh" content="0;url={address}">'
                f'<a href="{address}">Go to the approval page</a>\n'
            )
        return file


def token_of(key: str, entry_id: str) -> str:
    """The token that gives access to the approval page of an entry. Only the person's browser gets it."""
    return hmac.new(key.encode(), entry_id.encode(), hashlib.sha256).hexdigest()


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
