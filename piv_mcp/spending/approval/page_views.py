"""Whether the person has the approval page open, in any process: the page lists what waits, so that one is enough."""

from contextlib import suppress

from piv_mcp.errors import StoreError
from piv_mcp.store import Store, facts, journal
from piv_mcp.text.times import SYSTEM_CLOCK, Clock

WATCHED_SECONDS = 15.0
"""A page that nobody has asked for since this many seconds is no longer open."""

OPENING_SECONDS = 15.0
"""How long a browser may take to show the page that it was opened with."""


class PageViews:
    """Notes when the page is looked at, and decides whether a process opens it."""

    def __init__(self, store: Store, clock: Clock = SYSTEM_CLOCK) -> None:
        self._store = store
        self._clock = clock

    async def seen(self) -> None:
        """Note that a browser shows the page now."""
        with suppress(StoreError):
            await self._store.write(facts.put_own, facts.PAGE_SEEN, str(self._clock.time()))

    async def claim(self, seen_since: float | None = None) -> bool:
        """Whether the caller has to open the page in a browser: no page is open, or just being opened.

        With `seen_since` (seconds since the epoch) a page counts as open only if it was looked at since then.
        """
        now = self._clock.time()
        return await self._store.write(
            facts.claim_page,
            now,
            seen_since=now - WATCHED_SECONDS if seen_since is None else seen_since,
            opened_since=now - OPENING_SECONDS,
        )

    async def waits(self, entry_id: str) -> bool:
        """Whether the entry still waits for a decision."""
        entry = await self._store.read(journal.get, entry_id)
        return entry is not None and entry.state == "quoted"

    async def not_opened(self) -> None:
        """Note that no browser could be opened."""
        with suppress(StoreError):
            await self._store.write(facts.put_own, facts.PAGE_OPENED, "0")
