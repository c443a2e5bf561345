"""Which of the servers that share an account looks for lost outcomes by itself: one at a time, so that piv.day is not
asked by each. Another takes over when it ends, and also takes up what it was sending.
"""

import secrets
from contextlib import suppress

import structlog

from piv_mcp.errors import StoreError
from piv_mcp.spending.journal import Journal
from piv_mcp.spending.reconcile.reconciler import AGAIN_SECONDS, MAX_AGAIN_SECONDS, Reconciler
from piv_mcp.store import leases
from piv_mcp.text.times import Clock

SHIFT_LOOK_SECONDS = 1.0
"""How often a server looks whether there is something, and whether it is its turn: one that ended without a word is
known to have done so after four seconds, and its work is taken over within five."""

SHIFT_SECONDS = 60.0
"""Lifetime of the lease: longer than the looks at the account take."""

SHIFT = "reconcile:lease"
"""Name of the lease."""

_log = structlog.get_logger(__name__)


class Shift:
    """Runs the `Reconciler` while it is this server's turn."""

    def __init__(self, reconciler: Reconciler, journal: Journal, clock: Clock) -> None:
        self._reconciler = reconciler
        self._journal = journal
        self._store = journal.store
        self._clock = clock
        self._owner = f"{self._store.process}:{secrets.token_hex(4)}"
        self._is_mine = False
        self._taken_at = 0.0
        self._known: frozenset[str] = frozenset()
        """The entries that the last round has left."""
        self._next_at = 0.0
        self._pause = AGAIN_SECONDS

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                await self.look()
            except StoreError as error:
                _log.debug("no look for lost outcomes", problem=error.message)
            await self._clock.sleep(SHIFT_LOOK_SECONDS)

    async def look(self) -> None:
        """Reconcile if there is something new, or the pause since the last round is over, and it is this server's turn.

        Raises:
            StoreError: the journal cannot be read.
        """
        doubtful = await self._journal.doubtful()
        if not doubtful or not await self._take():
            self._known = frozenset()
            if not doubtful:
                await self.end()
            return
        now = self._clock.monotonic()
        is_new = not doubtful <= self._known
        if not is_new and now < self._next_at:
            return
        left = await self._reconciler.reconcile_all()
        self._known = frozenset(entry.id for entry in left) | doubtful
        self._pause = AGAIN_SECONDS if is_new else min(2 * self._pause, MAX_AGAIN_SECONDS)
        self._next_at = self._clock.monotonic() + self._pause

    async def end(self) -> None:
        """Let another server take over at once."""
        if self._is_mine:
            self._is_mine = False
            with suppress(StoreError):
                await self._store.write(leases.release, SHIFT, self._owner)

    async def _take(self) -> bool:
        if self._is_mine and self._clock.monotonic() - self._taken_at < SHIFT_SECONDS / 3:
            return True
        now = self._clock.time()
        self._is_mine = await self._store.read(leases.is_free, SHIFT, self._owner, now=now) and (
            await self._store.write(leases.take, SHIFT, self._owner, now=now, seconds=SHIFT_SECONDS)
        )
        self._taken_at = self._clock.monotonic()
        return self._is_mine
