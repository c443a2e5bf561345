"""The webhook secrets that a process accepts: its own, and those of the other servers that use its store."""

import asyncio
import hmac
import math
from contextlib import suppress
from dataclasses import dataclass

from piv_mcp.errors import StoreError
from piv_mcp.store import Connection, Store, facts, servers
from piv_mcp.store.servers import WebhookAddress
from piv_mcp.text.times import SYSTEM_CLOCK, Clock

CACHED_SECONDS = 1.0
"""So long what the store says is believed, and so long it may take to say it: a guess costs no more than a hash."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the store has said last: its id, and the digests of the secrets that are accepted."""

    store_id: str
    secrets: frozenset[str]


class Addresses:
    """The secrets of the servers that run on this machine with this store; `secret` is our own."""

    def __init__(self, store: Store, secret: str, clock: Clock = SYSTEM_CLOCK) -> None:
        self._store = store
        self._secret = secret.encode()
        self._clock = clock
        self._own = servers.digest(secret)
        self._known = Known("", frozenset([self._own]))
        self._asked_at = -math.inf
        self._asking = asyncio.Lock()

    async def find(self, given: str) -> WebhookAddress | None:
        """The address with the secret `given`; None if it is not accepted."""
        if hmac.compare_digest(given.encode("utf-8", "surrogateescape"), self._secret):
            return WebhookAddress(self._own)
        digest = servers.digest(given)  # whoever guesses learns nothing from how long it takes to find a digest
        return WebhookAddress(digest, is_own=False) if digest in (await self.known()).secrets else None

    async def known(self) -> Known:
        """What the store says, or has said last if it does not answer."""
        async with self._asking:
            if self._clock.monotonic() - self._asked_at >= CACHED_SECONDS:
                with suppress(StoreError, TimeoutError):
                    async with self._clock.timeout(CACHED_SECONDS):
                        store_id, accepted = await self._store.read(_known, self._clock.time())
                    self._known = Known(store_id or "", accepted | {self._own})
                self._asked_at = self._clock.monotonic()
        return self._known


def _known(connection: Connection, now: float) -> tuple[str | None, frozenset[str]]:
    return facts.get(connection, facts.STORE_ID), servers.accepted(connection, now)
