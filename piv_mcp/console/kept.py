"""Keeps what is dear to find out for a minute, for all who look at the pages of an account."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

from piv_mcp.services import Services
from piv_mcp.text.times import SYSTEM_CLOCK, Clock

KEPT_SECONDS = 60.0
"""How long it is shown before it is found out anew."""

T = TypeVar("T")
_Key = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """What was found out, and when that was: in seconds since the epoch, and on the monotonic clock."""

    value: T
    at: float
    found_at: float


class Kept:
    """What the pages of one listener keep. Errors are not kept."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._found: dict[_Key, Found[object]] = {}
        self._finding: defaultdict[_Key, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._noticed: dict[int, object] = {}

    async def notice(self, app: Services, state: object) -> bool:
        """Notice the state of the account. Returns whether it is another than the last one, or the first."""
        account = await app.store.everything.account()
        is_known = self._noticed.get(account) == state
        self._noticed[account] = state
        return not is_known

    async def get(self, app: Services, name: str, find: Callable[[], Awaitable[T]], *, anew: bool = False) -> Found[T]:
        """What `find` found for the account in the last minute; it is asked if there is none, or `anew`. Those who ask
        while it is being found out get the same."""
        key = await app.store.everything.account(), name
        asked_at = self._clock.monotonic()
        async with self._finding[key]:
            found = self._found.get(key)
            since = asked_at if anew else asked_at - KEPT_SECONDS
            if found is None or found.found_at <= since:
                value = await find()
                found = self._found[key] = Found(value, self._clock.time(), self._clock.monotonic())
            return cast("Found[T]", found)
