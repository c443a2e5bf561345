"""Tells the person at their addresses what they asked to be told.

What is to be told is found from the store and from the account, and noted in the store before it is sent: so no restart
loses it. One process at a time does so for an account. Each address is told on its own, and again and again for a day
while it takes nothing. A notice comes twice only if the process ends between sending it and noting that, or stops
while an address keeps it waiting.
"""

import asyncio
import json
import secrets
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import structlog
from pydantic import SecretStr

from piv_mcp.api.rate_limit import Priority
from piv_mcp.config import Settings
from piv_mcp.errors import PivError, StoreError
from piv_mcp.notices import wording
from piv_mcp.notices.findings import Finder
from piv_mcp.notices.receivers import Receiver, receivers
from piv_mcp.notices.wording import Words
from piv_mcp.store import Store, accounts, events, journal, leases, notice_rows
from piv_mcp.store.notice_rows import NoticeRow
from piv_mcp.text.language import Language, language_or_plain
from piv_mcp.text.times import DAY_SECONDS, Clock

if TYPE_CHECKING:
    from piv_mcp.api.client import PivClient

NOTICE_LOOK_SECONDS = 1.0
"""Between two looks whether there is something to tell."""

NOTICE_LEASE = "notices:lease"
"""Name of the lease of the process that tells."""

TELLING_SECONDS = 90.0
"""Its lifetime. It is extended when a third is over, so that it holds for as long as one notice may take."""

LAST_ANSWER_SECONDS = 0.2
"""How long a process that stops waits for the answer of an address to which it is sending: purchases need the rest of
the time that stopping may take."""

LAST_ANSWER_HOSTED_SECONDS = 3.0
"""Likewise a server over HTTP, which may take longer to stop."""

FIRST_PAUSE, LONGEST_PAUSE = 5.0, 1800.0
"""Seconds until an address that took nothing is tried again, doubled each time."""

_log = structlog.get_logger(__name__)


async def open_notifier(settings: Settings, store: Store, client: "PivClient | None", clock: Clock) -> "Notifier":
    """The notifier for these settings.

    Raises:
        ConfigError: PIV_NOTIFY has an address that is none, or Apprise is not installed.
    """
    addresses = settings.notify or SecretStr("")
    there = await asyncio.to_thread(receivers, addresses)
    api = None if client is None else client.at(Priority.BACKFILL)
    return Notifier(settings, language_or_plain(settings.language), store, api, there, clock)


class Notifier:
    """Finds and tells, while it is this process's turn."""

    def __init__(
        self,
        settings: Settings,
        language: Language,
        store: Store,
        api: "PivClient | None",
        addresses: Sequence[Receiver],
        clock: Clock,
    ) -> None:
        self._store = store
        self._clock = clock
        self._language = language
        self._console = settings.console_url
        self._receivers = addresses
        self._finder = Finder(settings, store, api, [receiver.digest for receiver in addresses], clock)
        self._owner = f"{store.process}:{secrets.token_hex(4)}"
        self._last_answer = LAST_ANSWER_HOSTED_SECONDS if settings.transport == "http" else LAST_ANSWER_SECONDS
        self._taking = asyncio.Lock()
        self._taken_at: float | None = None

    async def run(self) -> None:
        """Find and tell until cancelled."""
        await self._store.write(notice_rows.turn_on, self._clock.time())
        async with asyncio.TaskGroup() as group:
            group.create_task(self._find())
            for receiver in self._receivers:
                group.create_task(self._tell_all(receiver))

    async def end(self) -> None:
        """Let another process take over at once."""
        if self._taken_at is not None:
            self._taken_at = None
            with suppress(StoreError):
                await self._store.write(leases.release, NOTICE_LEASE, self._owner)

    async def _find(self) -> None:
        while True:
            try:
                if await self._is_ours():
                    await self._finder.look()
            except PivError as error:
                _log.debug("no look for what is to be told", problem=error.message)
            await self._clock.sleep(NOTICE_LOOK_SECONDS)

    async def _tell_all(self, receiver: Receiver) -> None:
        while True:
            try:
                now = self._clock.time()
                due = await self._store.read(notice_rows.due, receiver.digest, now, longest_pause=LONGEST_PAUSE)
                for row in due:
                    if not await self._is_ours():
                        break
                    await self._ended(self._tell(receiver, row))
            except StoreError as error:
                _log.debug("nothing can be told", problem=error.message)
            await self._clock.sleep(NOTICE_LOOK_SECONDS)

    async def _tell(self, receiver: Receiver, row: NoticeRow) -> None:
        try:
            words = await self._words(row)
        except (ValueError, ArithmeticError, LookupError, TypeError) as error:  # a damaged row, or a date beyond all
            _log.error("a notice cannot be put in words", kind=row.event, problem=type(error).__name__)
            words = None
        if words is None:
            await self._note(replace(row, state="over"))
            return
        account = await self._store.read(accounts.user_id_among_several)
        if account is not None:
            words = wording.of_account(words, account, self._language)
        if await receiver.tell(words.title, words.body):
            await self._note(replace(row, state="told"))
            return
        now = self._clock.time()
        if now - row.found_at > DAY_SECONDS:
            _log.error("a notice was given up after a day", kind=row.event, address_number=receiver.number)
            await self._note(replace(row, state="over"))
            return
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2**row.tries)
        _log.warning("an address took no notice", kind=row.event, address_number=receiver.number, again_in=pause)
        await self._note(replace(row, tries=row.tries + 1, next_at=now + pause))

    async def _note(self, row: NoticeRow) -> None:
        """Note what became of a notice, however long the store cannot be written: it must not be told again."""
        while True:
            try:
                return await self._store.write(notice_rows.note, row)
            except StoreError as error:
                _log.warning("what became of a notice cannot be noted yet", problem=error.message)
            await self._clock.sleep(NOTICE_LOOK_SECONDS)

    async def _ended(self, telling: Coroutine[Any, Any, None]) -> None:
        """Let it end also when the process stops: sending goes on by itself, and what is not noted is sent again."""
        task = asyncio.create_task(telling)
        try:
            await asyncio.shield(task)
        finally:
            await asyncio.wait({task}, timeout=self._last_answer)
            task.cancel()

    async def _words(self, row: NoticeRow) -> Words | None:
        """The text of a notice; None if it is about nothing any more."""
        language = self._language
        told = json.loads(row.facts or "{}")
        match row.event:
            case "approval" | "charge":
                entry_id, _, state = row.subject.partition(":")
                entry = await self._store.read(journal.get, entry_id)
                if entry is None or entry.state != state:
                    return None
                if row.event == "charge":
                    return wording.charge(entry, language)
                is_over = entry.expires_at <= self._clock.time()
                return None if is_over else wording.approval(entry, language, self._console)
            case "expiry":
                return wording.expiry(told, language)
            case "balance":
                return wording.balance(told, language)
            case "webhook":
                return wording.webhook(told, language)
            case _:
                found = await self._store.read(events.select, "seq = ?", (int(row.subject),))
                words = wording.code if row.event == "code" else wording.message
                return words(found[0], language) if found else None

    async def _is_ours(self) -> bool:
        """Whether it is this process's turn, also for as long as one notice takes."""
        async with self._taking:
            now = self._clock.monotonic()
            if self._taken_at is not None and now - self._taken_at < TELLING_SECONDS / 3:
                return True
            at = self._clock.time()
            is_free = await self._store.read(leases.is_free, NOTICE_LEASE, self._owner, now=at)
            taken = is_free and await self._store.write(
                leases.take, NOTICE_LEASE, self._owner, now=at, seconds=TELLING_SECONDS
            )
            self._taken_at = now if taken else None
            return taken
