"""Wakes waiting calls when any process has changed the store."""

import asyncio
from collections import Counter
from collections.abc import Hashable
from contextlib import suppress
from contextvars import Context

from piv_mcp.errors import StoreError
from piv_mcp.store.interface import Store, Subjects
from piv_mcp.text.times import SYSTEM_CLOCK, Clock

MOST_SUBJECTS = 100_000
"""Subjects whose commits are counted apart. Beyond these all waiting calls are woken once, and counting begins anew."""


class Changes:
    """Counts commits. To miss none, read `version`, then query the store, then `wait` for a later version.

    A call that waits for what is about one subject only, such as a number, takes `version_of` in place of `version`:
    thousands may wait, and each event is about one of them.
    """

    def __init__(self, store: Store, clock: Clock = SYSTEM_CLOCK) -> None:
        self._store = store
        self._clock = clock
        self.version = 0
        self.stopping = False
        """The process is to end: a call that waits answers now, as at its time-out."""
        self._of_all = 0
        """How many of the commits may be about every subject."""
        self._about: Counter[str] = Counter()
        """How many are about one, by the subject."""
        self._awaited: dict[str | None, asyncio.Event] = {}
        """What those wait for that are waiting, by the subject; None: anything."""
        self._waiting = 0
        self._seen: Hashable = None
        self._poll_task: asyncio.Task[None] | None = None
        store.on_commit(self.notify)

    def notify(self, about: Subjects = None) -> None:
        """Wake the waiting calls: something was committed about these subjects; None: about any."""
        self.version += 1
        if about is not None and len(self._about) > MOST_SUBJECTS:
            self._of_all += max(self._about.values())  # so that no version comes again
            self._about.clear()
            about = None
        if about is None:
            self._of_all += 1
            woken = list(self._awaited)
        else:
            subjects = {subject for subject in about if subject is not None}
            self._about.update(subjects)
            woken = [None, *subjects]
        for subject in woken:
            if (awaited := self._awaited.pop(subject, None)) is not None:
                awaited.set()

    def version_of(self, subject: str | None) -> int:
        """The version for a call that waits for what is about this subject; None: for anything."""
        return self.version if subject is None else self._of_all + self._about[subject]

    def stop(self) -> None:
        """Let every call that waits answer now."""
        self.stopping = True
        self.notify()

    async def wait(self, version: int, seconds: float, subject: str | None = None) -> bool:
        """Wait until the version of this subject differs from `version`. Returns false if it did not within
        `seconds`."""
        if self.version_of(subject) != version:
            return True
        self._waiting += 1
        if self._poll_task is None or self._poll_task.done():
            self._poll_task = asyncio.create_task(self._poll_commits(), context=Context())  # for all who wait
        try:
            # Not `asyncio.wait_for`: in Python 3.11 it swallows a cancellation that arrives together with the change.
            async with self._clock.timeout(seconds):
                await self._awaited.setdefault(subject, asyncio.Event()).wait()
        except TimeoutError:
            return False
        else:
            return True
        finally:
            self._waiting -= 1

    async def close(self) -> None:
        if self._poll_task is not None:
            self._poll_task.cancel()
            with suppress(asyncio.CancelledError):
                await self._poll_task

    async def _poll_commits(self) -> None:
        while self._waiting:
            with suppress(StoreError):  # the file may be locked for a moment: try again
                current = await self._store.marker()
                if current != self._seen:  # also on the first check: a commit may have come after the caller's query
                    self._seen = current
                    self.notify()
            await self._clock.sleep(self._store.look_seconds)
