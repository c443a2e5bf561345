"""Events found by asking: what a webhook would tell is also seen in the lists of the account.

What is in progress (`store/pending.py`) is looked at until piv.day shows its end: every few seconds while a call waits
for it, else more and more seldom. One request for a list serves all things of a kind, and all processes of the machine
share it. Messages and verifications are seen in the SMS history (`deliveries.py`).
"""

import json
import secrets
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from typing import get_args

import structlog

from piv_mcp.api.client import PivClient
from piv_mcp.api.rate_limit import Priority
from piv_mcp.errors import NotFoundError, PivError, StoreError
from piv_mcp.inbox import lists, progress
from piv_mcp.inbox.history import History
from piv_mcp.inbox.inbox import Inbox
from piv_mcp.inbox.lists import List, Seen, Times
from piv_mcp.inbox.outcomes import Happening, Told
from piv_mcp.inbox.settling import Settling
from piv_mcp.inbox.watch import POLL_SECONDS, Look, Trouble, take_turn
from piv_mcp.store import Connection, facts, leases, pending, polls
from piv_mcp.store.pending import Kind, Pending, Sought
from piv_mcp.store.view import Reads
from piv_mcp.text.times import DAY_SECONDS

SLOWEST_QUICK = 8.0
"""Seconds between two looks at what a call waits for, at most: its end is told within ten."""

SECONDS_A_REQUEST = 1.6
"""Looks at lists for calls that wait take one request in this time, so that a busy minute leaves enough for them."""

NOTHING_YET = 10.0
"""The same while nothing of the kind is in progress."""

SLOW_SECONDS, SLOWEST_SECONDS = 60.0, 900.0
"""Between two looks at what no call waits for: a minute, growing with its age."""

GROWTH = 0.2
"""The pause between two slow looks, as a part of how long the thing has been in progress."""

LISTED_AGAIN_SECONDS = 6 * 3600.0
"""All lists are read again after so long, and one in which something expires soon when it does."""

FRESH_LIST_SECONDS = 300.0
"""A server that starts does not read a list that another has read within this time."""

GIVEN_UP_DAYS: Mapping[Kind, float] = {"verification": 1, "message": 3}
"""What has not ended in so many days (in 30, of any other kind) will not: it is no longer looked at. A verification may
leave nothing that can be seen, and a carrier need not report on a message."""

MOST_HISTORIES = 5
"""So many numbers' histories are looked at for their messages while a call waits for any event."""

LISTS: Mapping[Kind, List] = {
    "registration": "domains",
    "renewal": "domains",
    "site": "whites",
    "restore": "numbers",
}
"""Where a thing in progress is seen; what is not here is seen in the SMS history."""

_log = structlog.get_logger(__name__)


class Asking:
    """Looks at what is in progress, in the background and for calls that wait."""

    def __init__(self, client: PivClient | None, inbox: Inbox, history: History) -> None:
        self._client = client
        self._inbox = inbox
        self._store = inbox.store
        self._shown = inbox.shown
        self._shown_client = client
        self._clock = inbox.clock
        self._history = history
        self._watches = history.watches
        self._failures: Counter[str] = Counter()
        self._again_at: dict[str, float] = {}
        """How often in turn a slow look has failed, and when the next is made (monotonic)."""
        self._requests: dict[str, int] = {}
        """How many the last look of each watch took."""
        self._first = Settling(self._clock)

    def seen_through(self, shown: Reads, client: PivClient | None) -> "Asking":
        """The same for a caller who is shown this of the store and of the account."""
        other = copy(self)
        other._shown, other._shown_client = shown, client
        return other

    async def settled(self) -> None:
        """Wait until the lists were read that are due at the start, in a bounded time."""
        if self._client is not None:
            await self._first.wait()

    async def look(self, name: List, priority: Priority, *, whole: bool = False) -> None:
        """Look at what is in progress in a list, once; `whole`, also at what nobody may know of yet.

        Raises:
            ApiError: the list could not be read.
            StoreError: what it tells could not be stored.
        """
        if self._client is not None:
            await self._watches.alone(_watch(name, whole), partial(self._look, self._client.at(priority), name, whole))

    async def _look(self, client: PivClient, name: List, whole: bool) -> tuple[None, Trouble | None]:
        at, remote_at = self._clock.time(), client.remote_clock.time()
        rows = [row for row in await self._store.read(pending.in_progress) if LISTS.get(row.kind) == name]
        watch = self._watches.of(_watch(name, whole))
        if not rows and not whole:
            watch.least = POLL_SECONDS
            return None, None
        listed = await self._store.read(_listed, name)
        times = Times(at, self._remote_time, listed.remote_at or None)
        seen = await lists.look(client, name, rows, times, whole=whole)
        ages = [at - row.since for row in rows]
        quick = NOTHING_YET if not rows else min(max(POLL_SECONDS, min(ages) / 60), SLOWEST_QUICK)
        self._requests[_watch(name, whole)] = seen.requests
        watch.least = max(quick, SECONDS_A_REQUEST * self._requests_of_waits())
        remote_at = client.remote_clock.time() if remote_at is None else remote_at
        await self._store.write(_note, name, seen, at, remote_at, whole)
        self._inbox.changes.notify()
        return None, Trouble(seen.problem, at) if seen.problem else None

    def _remote_time(self) -> float:
        """piv.day's, which a response tells; until one has come, this machine's stands in for it."""
        remote = self._inbox.remote_time()
        return self._clock.time() if remote is None else remote

    def _requests_of_waits(self) -> int:
        return sum(count for name, count in self._requests.items() if self._watches.of(name).watchers)

    # --- for calls that wait

    @asynccontextmanager
    async def watched(self, sought: Sought) -> AsyncGenerator[None]:
        """Look every few seconds at what a call waits for, until the block ends."""
        rows = await self.known(sought)
        names: set[List] = _lists_of(sought) if rows or not sought.names_one else set()
        numbers = dict.fromkeys(row.subject for row in rows if row.kind not in LISTS and row.subject)
        whole = not sought.names_one and not sought.is_open
        async with AsyncExitStack() as stack:
            for name in names:
                look = None if self._client is None else partial(self.look, name, whole=whole)
                self._watches.of(_watch(name, whole)).least = POLL_SECONDS if rows else NOTHING_YET
                await stack.enter_async_context(self._watches.watched(_watch(name, whole), look))
            for number in list(numbers)[:MOST_HISTORIES]:
                await stack.enter_async_context(self._history.watched(number))
            yield

    async def known(self, sought: Sought) -> list[Pending]:
        """What of it is in progress, as far as known; the newest first."""
        return [row for row in await self._shown.read(pending.in_progress) if sought.means(row)]

    async def standing(self, sought: Sought) -> Told | None:
        """What piv.day shows of the one thing that an id names, unless it is known to be in progress; None if it is, or
        no id names one that can be asked for. Asks for one thing, and looks at it from then on if it is in progress.

        Raises:
            ApiError: piv.day could not be asked.
        """
        if self._shown_client is None or not sought.kinds or not sought.names_one or await self.known(sought):
            return None
        try:
            found = await lists.ask_by_id(self._shown_client, sought.kinds, sought.ids, sought.number)
        except NotFoundError:
            return Told("not on the account")  # yet: a list may show late what was made just now
        if found is None:
            return None
        row, told = found
        if not told.has_ended:
            now = self._clock.time()
            await self._store.write(pending.find, replace(row, since=now, looked_at=now, state=told.state))
        return told

    async def trouble(self, sought: Sought) -> Trouble | None:
        """Why what a call waits for could not be looked at, and since when."""
        names = [_watch(name, whole) for name in _lists_of(sought) for whole in (False, True)]
        for name in names:
            watch = self._watches.get(name)
            if watch is not None and (trouble := watch.trouble or self._watches.silence(watch)) is not None:
                return trouble
        return None

    # --- in the background

    async def run(self) -> None:
        """Read the lists once, and look at what is in progress until cancelled."""
        if self._client is None:
            return
        started = self._clock.time()
        while True:
            pause = SLOW_SECONDS
            try:
                due = await self._slow_due()
                lists_due = await self._lists_due(started)
                due |= {_watch(name, whole=True): partial(self.look, name, whole=True) for name in lists_due}
                for name, look in due.items():
                    if self._again_at.get(name, 0.0) <= self._clock.monotonic():
                        await self._look_in_turn(name, look)
                pause = await self._seconds_to_next(started)
            except StoreError as error:
                _log.warning("nothing was asked for", problem=error.message)
            self._first.end()
            await self._clock.sleep(pause)

    async def _lists_due(self, started: float) -> list[List]:
        """The lists that are to be read whole now."""
        now = self._clock.time()
        return [name for name in get_args(List) if await self._list_due(name, started) <= now]

    async def _list_due(self, name: List, started: float) -> float:
        """When a list is to be read whole; 0 if nobody has read it since this process, or a little before, started."""
        listed = await self._store.read(_listed, name)
        if not started - FRESH_LIST_SECONDS <= listed.at <= self._clock.time():
            return 0.0
        return min(listed.at + LISTED_AGAIN_SECONDS, listed.next_at or listed.at + LISTED_AGAIN_SECONDS)

    async def _slow_due(self) -> dict[str, Look]:
        """The looks at what is in progress and due. What has been looked at for too long is given up."""
        now, due = self._clock.time(), dict[str, Look]()
        for row in await self._store.read(pending.in_progress):
            list_ = LISTS.get(row.kind)
            if self._age_when_asked(row) > GIVEN_UP_DAYS.get(row.kind, 30) * DAY_SECONDS:
                await self._store.write(pending.end, row)
            elif now < _next_look(row) <= now + SLOWEST_SECONDS:
                continue
            elif list_ is not None:
                due[_watch(list_, whole=False)] = partial(self.look, list_)
            elif row.subject is not None:
                due[row.subject] = partial(self._history.look, row.subject)
        return due

    def _age_when_asked(self, row: Pending) -> float:
        """How long it was in progress, for certain: this machine's clock may be ahead."""
        return min(row.asked_at, self._remote_time()) - row.since

    async def _seconds_to_next(self, started: float) -> float:
        now = self._clock.time()
        due = [
            await self._list_due(name, started)
            for name in get_args(List)
            if _watch(name, whole=True) not in self._failures
        ]
        due += [_next_look(row) for row in await self._store.read(pending.in_progress)]
        return min([max(POLL_SECONDS, at - now) for at in due] + [SLOW_SECONDS])

    async def _look_in_turn(self, name: str, look: Look) -> None:
        """Look, unless another process has just done so. What fails is looked at again after a while."""
        watcher = secrets.token_hex(8)
        try:
            if await self._store.write(take_turn, watcher, name, self._clock.time()) <= 0:
                await look(Priority.BACKFILL)
            self._failures.pop(name, None)
        except NotFoundError:
            await self._store.write(_end_all, name)  # the account has no such number any more
        except Exception as error:  # an answer that nobody foresaw keeps nothing else from being looked at
            if isinstance(error, PivError):
                _log.warning("not looked at", name=name, problem=error.message)
            else:
                _log.exception("not looked at", name=name)
            self._failures[name] += 1
            pause = min(SLOW_SECONDS * 2 ** (self._failures[name] - 1), SLOWEST_SECONDS)
            self._again_at[name] = self._clock.monotonic() + pause
        finally:
            with suppress(StoreError):
                await self._store.write(leases.forget_watch, watcher)


def _lists_of(sought: Sought) -> set[List]:
    return {LISTS[kind] for kind in sought.kinds if kind in LISTS}


def _watch(name: List, whole: bool) -> str:
    """The name of a list among the watches, which are else of numbers. Looks at all of it have one of their own: those
    of another process at single things are no substitute."""
    return f"asked:{name}:all" if whole else f"asked:{name}"


def _end_all(connection: Connection, piv_num_id: str) -> None:
    for row in pending.in_progress(connection, subject=piv_num_id):
        pending.end(connection, row)


def _next_look(row: Pending) -> float:
    """When what is in progress is looked at if no call waits for it."""
    pause = min(max(SLOW_SECONDS, (row.asked_at - row.since) * GROWTH), SLOWEST_SECONDS)
    return row.asked_at + pause


JUST_AFTER_SECONDS = 2.0
"""A list is read so long after the moment from which something expires soon: piv.day's clock is known to a second."""


@dataclass(frozen=True, slots=True)
class Listed:
    """When a list was last read whole, `at` on this machine's clock and `remote_at` on piv.day's, and when something in
    it expires soon. 0 if that is not known."""

    at: float = 0.0
    remote_at: float = 0.0
    next_at: float = 0.0


def _listed(connection: Connection, name: List) -> Listed:
    told = facts.get(connection, facts.own(connection, f"asked:{name}")) or ""
    return Listed(*map(facts.as_number, told.split("|")[:3]))


def _not_told(connection: Connection, fact: str, soon: Sequence[Happening]) -> list[Happening]:
    """Those of the events that were not among the last ones: an event that was told and pruned does not come again."""
    keys = [json.dumps(found.data, sort_keys=True) for found in soon]
    told = (facts.get(connection, facts.own(connection, fact)) or "").splitlines()
    facts.put_own(connection, fact, "\n".join(keys))
    return [found for found, key in zip(soon, keys, strict=True) if key not in told]


def _note(connection: Connection, name: List, seen: Seen, at: float, remote_at: float | None, whole: bool) -> None:
    progress.note(connection, seen.told, seen.found, at=at, remote_at=remote_at)
    since = _listed(connection, name).at or at
    progress.record(connection, seen.born, since=since, at=at, remote_at=remote_at)
    if whole:
        new = _not_told(connection, f"asked:{name}:soon", seen.soon)
        progress.record(connection, new, since=since, at=at, remote_at=remote_at)
        ahead = 0.0 if remote_at is None else remote_at - at
        next_at = 0.0 if seen.next_at is None else seen.next_at - ahead + JUST_AFTER_SECONDS
        facts.put_own(connection, f"asked:{name}", f"{at}|{remote_at or 0.0}|{next_at}")
    polls.note_look(connection, _watch(name, whole), polls.Look(at, remote_at=remote_at))
