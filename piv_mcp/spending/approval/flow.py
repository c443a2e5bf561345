"""Puts a question to a person through the first channel that works, and waits for the answer from any of them."""

import asyncio
import time

import structlog

from piv_mcp.spending.actions.base import Decision
from piv_mcp.spending.approval.channels import ElicitationError, Pages, Person, message
from piv_mcp.spending.journal import Journal
from piv_mcp.spending.policy import Policy
from piv_mcp.spending.quote import Quote
from piv_mcp.store.changes import Changes
from piv_mcp.store.journal import Entry

PROGRESS_SECONDS = 5.0

JOIN_SECONDS = 2.0
"""An equal call that comes so soon after the question waits for its answer, and does not put the question again."""

_log = structlog.get_logger(__name__)


class Asking:
    """Elicitation where the client can, else the page; whichever a person answers first counts."""

    def __init__(self, journal: Journal, policy: Policy, pages: Pages, changes: Changes) -> None:
        self._journal = journal
        self._policy = policy
        self._pages = pages
        self._changes = changes
        self._asked: dict[str, float] = {}
        self._showing: set[str] = set()
        self._client_is_silent = False

    def page_is_open(self, entry: Entry) -> bool:
        """Whether the question stands on a page in the person's browser."""
        return self._pages.opened(entry)

    def forget(self, entry: Entry) -> None:
        """The question is answered, or moot."""
        self._pages.close(entry.id)
        self._asked.pop(entry.id, None)

    def close(self) -> None:
        """No page is served any more: what opens one is of no use."""
        self._pages.close_all()

    async def ask(self, entry: Entry, person: Person) -> Entry:
        """Ask through the first channel that works; returns the entry as it stands after `confirm_wait` at most."""
        asking = None
        if self._elicits(person):
            if self._is_unanswered(entry):
                self._client_is_silent = True
                await self._pages.open(entry)
            elif not self._is_being_asked(entry):
                self._asked[entry.id] = time.monotonic()
                self._showing.add(entry.id)
                asking = asyncio.ensure_future(person.ask(entry.id, message(Quote.model_validate_json(entry.quote))))
        elif self._policy.channel != "elicit":
            await self._pages.open(entry)
        try:
            entry = await self._decided(entry, person, asking)
        finally:
            if asking is not None:
                self._showing.discard(entry.id)
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
        if entry.state == "quoted" and self._policy.channel == "auto":
            if asking is not None:
                self._client_is_silent = True  # it declared elicitation, and no answer came: the page is what works
            await self._pages.open(entry)
        return entry

    def _is_being_asked(self, entry: Entry) -> bool:
        asked_at = self._asked.get(entry.id)
        just_now = asked_at is not None and time.monotonic() - asked_at < JOIN_SECONDS
        return just_now or entry.id in self._showing

    def _is_unanswered(self, entry: Entry) -> bool:
        """The client was to ask, and repeats the call without an answer (protocol 2026-07-28)."""
        if entry.id in self._showing:
            return False
        asked_at = self._asked.get(entry.id)
        overdue = asked_at is not None and time.monotonic() - asked_at >= self._policy.confirm_wait
        return overdue and self._policy.channel == "auto"

    def _elicits(self, person: Person) -> bool:
        if self._policy.channel == "page" or not person.can_be_asked:
            return False
        return self._policy.channel == "elicit" or not self._client_is_silent

    async def _decided(self, entry: Entry, person: Person, asking: asyncio.Future[Decision] | None) -> Entry:
        """Until the entry is decided, here or elsewhere, or `confirm_wait` is over."""
        started = time.monotonic()
        told = 0.0
        if asking is not None:
            await asyncio.wait({asking}, timeout=0)
            if asking.done():
                return await self._answered(entry, asking)
        while True:
            version = self._changes.version
            entry = await self._journal.again(entry)
            waited = time.monotonic() - started
            if entry.state != "quoted" or waited >= self._policy.confirm_wait:
                return entry
            if time.time() >= entry.expires_at:
                await self._journal.expire()
                continue
            if waited - told >= PROGRESS_SECONDS:
                told = waited
                await person.progress(waited, self._policy.confirm_wait, "waiting for the person's approval")
            pause = min(self._policy.confirm_wait - waited, PROGRESS_SECONDS, max(0.05, entry.expires_at - time.time()))
            changed = asyncio.ensure_future(self._changes.wait(version, pause))
            waits: set[asyncio.Future[object]] = {changed, asking} if asking else {changed}  # pyright: ignore[reportAssignmentType]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                changed.cancel()
            if asking is not None and asking.done():
                return await self._answered(entry, asking)

    async def _answered(self, entry: Entry, asking: asyncio.Future[Decision]) -> Entry:
        try:
            await self._journal.decide(entry.id, asking.result(), by="elicitation")
        except ElicitationError as error:
            _log.warning("the client could not ask", problem=error.message)
        return await self._journal.again(entry)
