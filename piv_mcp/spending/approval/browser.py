"""The channel that opens the approval page in the person's browser."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Protocol

import structlog

from piv_mcp.errors import PivError
from piv_mcp.spending.actions.base import Decision
from piv_mcp.spending.approval.channels import DecisionReply, Person
from piv_mcp.spending.approval.opening import Opener, PageLink
from piv_mcp.spending.approval.page_views import OPENING_SECONDS, PageViews
from piv_mcp.store.journal import Entry
from piv_mcp.text.times import SYSTEM_CLOCK, Clock

FOLLOW_SECONDS = (4.0, OPENING_SECONDS - 3.0)
"""Waits before the two looks whether the page that is open, or just being opened, shows an entry."""

_log = structlog.get_logger(__name__)


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
        self._opener = Opener(folder, clock)
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
        self._opener.forget(entry_id)
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
        """Open the page in a new tab."""
        invitation = self._invitation = self._invitations[entry.id] = address.invite()
        opened = False
        try:
            opened = await self._opener.open(entry.id, invitation)
        except OSError as error:
            _log.warning("the approval page cannot be opened", entry_id=entry.id, problem=str(error))
        if not opened:
            await self._views.not_opened()
        if entry.id in self._places:  # still asked
            self._places[entry.id] = "on the page that was opened in their browser" if opened else None
        _log.info("approval page", entry_id=entry.id, opened=opened)
