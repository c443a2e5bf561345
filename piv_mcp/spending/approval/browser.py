"""The channel that opens the approval page in the person's browser."""

import asyncio
import os
import subprocess as subprocess_flags
import sys
from asyncio import subprocess
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Protocol

import structlog

from piv_mcp.errors import PivError
from piv_mcp.spending.actions.base import Decision
from piv_mcp.spending.approval.channels import DecisionReply, Person
from piv_mcp.spending.approval.page_views import OPENING_SECONDS, PageViews
from piv_mcp.spending.quote import FREEZE_SECONDS
from piv_mcp.store.journal import Entry
from piv_mcp.text.times import SYSTEM_CLOCK, Clock

BROWSER_SECONDS = 3.0
"""Seconds to wait for the command that opens the browser. Some browsers end it only when their window is closed."""

_NO_WINDOW = subprocess_flags.CREATE_NO_WINDOW if sys.platform == "win32" else 0
"""Without it Windows shows a console for a moment, as often as a page is opened."""

FOLLOW_SECONDS = (4.0, OPENING_SECONDS - 3.0)
"""Waits before the two looks whether the page that is open, or just being opened, shows an entry."""

_log = structlog.get_logger(__name__)


class PageLink(Protocol):
    """An address that leads one browser to the approval page."""

    @property
    def url(self) -> str:
        """For example http://127.0.0.1:49152/approvals/..."""
        ...

    @property
    def is_public(self) -> bool:
        """Whether other users may see the address: it is refused to their programs."""
        ...

    @property
    def is_void(self) -> bool:
        """Whether the address was used a second time, so that it leads nowhere any more."""
        ...


class ServedAddress(Protocol):
    """The address at which the approval page is served until `release` is called."""

    def invite(self) -> PageLink:
        """An address for one browser."""
        ...

    def release(self) -> None:
        """Allow the server to stop serving the page at this address."""
        ...


class BrowserChannel:
    """Opens the approval page in the person's browser. One page lists all that waits, so that one tab is enough.

    `address` makes a server serve the page until a time (seconds since the epoch). `folder` holds the private files
    that lead the browser to the page where other users could not be told from ours.
    """

    name: ClassVar[str] = "page"

    def __init__(
        self,
        address: Callable[[float], Awaitable[ServedAddress]],
        views: PageViews,
        folder: Path,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._address = address
        self._views = views
        self._folder = folder
        self._clock = clock
        self._places: dict[str, str | None] = {}
        self._served: dict[str, ServedAddress] = {}
        self._invitation: PageLink | None = None
        self._invitations: dict[str, PageLink | None] = {}
        self._followers: dict[str, asyncio.Task[None]] = {}

    def can_ask(self, entry: Entry, person: Person) -> bool:
        return True

    async def put(self, entry: Entry, person: Person) -> asyncio.Future[Decision] | None:
        if entry.id not in self._places:
            self._places[entry.id] = None
            try:
                await self._show(entry)
            except OSError as error:  # the terminal remains
                _log.warning("the approval page cannot be served", entry_id=entry.id, problem=str(error))
                self.forget(entry.id)  # the next call tries again
            except BaseException:
                self.forget(entry.id)
                raise
        return None  # the page writes the answer to the journal

    async def decision(self, reply: DecisionReply) -> Decision | None:
        return None  # the page writes the answer to the journal

    def no_answer(self, entry: Entry, problem: str | None = None) -> None:
        """Nothing to do: the page stays open until the quote expires."""

    def problem(self, entry: Entry) -> str | None:
        if not self._is_void(entry):
            return None
        return "The address of the approval page was opened twice, perhaps by another program, so the page was closed"

    def where(self, entry: Entry) -> str | None:
        return None if self._is_void(entry) else self._places.get(entry.id)

    def forget(self, entry_id: str) -> None:
        self._places.pop(entry_id, None)
        self._invitations.pop(entry_id, None)
        if (follower := self._followers.pop(entry_id, None)) is not None:
            follower.cancel()
        with suppress(OSError):
            self._file(entry_id).unlink()
        if (address := self._served.pop(entry_id, None)) is not None:
            address.release()

    def close(self) -> None:
        for entry_id in list(self._places):
            self.forget(entry_id)

    def _is_void(self, entry: Entry) -> bool:
        invitation = self._invitations.get(entry.id)
        return invitation is not None and invitation.is_void

    async def _show(self, entry: Entry) -> None:
        """Show the entry on the page that is open, or open the page."""
        address = self._served[entry.id] = await self._address(entry.expires_at)
        self._clock.call_later(max(0.0, entry.expires_at - self._clock.time()), lambda: self.forget(entry.id))
        if await self._views.claim():
            await self._open(entry, address)
            return
        self._places[entry.id] = "on the page that is open in their browser"
        self._invitations[entry.id] = self._invitation
        self._followers[entry.id] = asyncio.create_task(self._follow(entry, address))

    async def _follow(self, entry: Entry, address: ServedAddress) -> None:
        """Open the page after all if the one that seemed to be open does not show the entry: it was closed just now."""
        put_at = self._clock.time()
        for pause in FOLLOW_SECONDS:
            await self._clock.sleep(pause)
            with suppress(PivError):
                if self._clock.time() >= entry.expires_at or not await self._views.waits(entry.id):
                    return
                if await self._views.claim(seen_since=put_at):
                    await self._open(entry, address)
                    return

    async def _open(self, entry: Entry, address: ServedAddress) -> None:
        """Open the page in a new tab.

        Other users can see the browser's arguments in the process list. Where they cannot be told from our own user,
        the browser opens a private file, and only that file has the address of the page.
        """
        invitation = self._invitation = self._invitations[entry.id] = address.invite()
        target, opened = invitation.url, False
        try:
            if not invitation.is_public:
                target = self._write(entry.id, target).as_uri()
            opened = await _open_browser(target, self._clock)
        except OSError as error:
            _log.warning("the approval page cannot be opened", entry_id=entry.id, problem=str(error))
        if not opened:
            await self._views.not_opened()
        if entry.id in self._places:  # still asked
            self._places[entry.id] = "on the page that was opened in their browser" if opened else None
        _log.info("approval page", entry_id=entry.id, opened=opened)

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
