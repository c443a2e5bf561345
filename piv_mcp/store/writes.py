"""Writes that wait to be committed: those that come together share one commit."""

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from piv_mcp.errors import StoreError
from piv_mcp.store.connection import Connection
from piv_mcp.store.measuring import measured

T = TypeVar("T")
Job = Callable[[Connection], T]
Outcome = tuple[Any, Exception | None]
"""What a job returned, or what it raised."""

BUSY_SECONDS = 2.0
"""How long a write waits, from when it was handed in: below the 5 s that piv.day gives a webhook."""

LATER_SECONDS = 0.25
"""How much later a write is given up that waits behind others: the engine is to say first why it could not begin."""


@dataclass(frozen=True, slots=True)
class Write:
    """A job, and where its caller waits."""

    job: Job[Any]
    done: asyncio.Future[Any]


@dataclass(slots=True)
class Group:
    """Writes that share a commit. It is given up, whole, if it was not begun by `until` (of the monotonic clock)."""

    writes: list[Write]
    until: float
    state: Literal["waiting", "begun", "ended"] = "waiting"
    lock: threading.Lock = field(default_factory=threading.Lock)

    def change(self, before: str, after: Literal["waiting", "begun", "ended"]) -> bool:
        """Whether it was in the state `before`."""
        with self.lock:
            if self.state != before:
                return False
            self.state = after
            return True

    def begin(self) -> bool:
        """Take up the writes whose callers still wait. Returns whether the group was not given up."""
        if not self.change("waiting", "begun"):
            return False
        self.writes = [write for write in self.writes if not write.done.cancelled()]
        return True

    def end(self) -> None:
        """Let go of the writes: the timer that would give the group up keeps it for a while."""
        self.state, self.writes = "ended", []


class Gathering:
    """Gathers the writes of one turn of the event loop into a group, and gives up what was not begun in time."""

    def __init__(self, hand_over: Callable[[Group], object], busy_seconds: float, *, busy: str) -> None:
        """`hand_over` takes a group that is complete. `busy` says why a group was not begun in time."""
        self._hand = hand_over
        self._busy_seconds = busy_seconds
        self._busy = busy
        self._waiting: list[Write] = []

    async def add(self, job: Job[T]) -> T:
        """What the job returns, when its group is on disk."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        self._waiting.append(Write(job, done))
        if len(self._waiting) == 1:
            # Hand over when the loop has run all ready tasks: their writes join this group, and the tasks do not
            # compete with the writing thread for the interpreter lock.
            loop.call_soon(self.hand_over)
        with measured("write"):
            return await done

    def hand_over(self) -> None:
        """Hand over what waits."""
        if not self._waiting:
            return
        group = Group(self._waiting, time.monotonic() + self._busy_seconds)
        self._waiting = []
        self._hand(group)
        loop = asyncio.get_running_loop()
        loop.call_later(self._busy_seconds + LATER_SECONDS, self._give_up, group, loop)

    def _give_up(self, group: Group, loop: asyncio.AbstractEventLoop) -> None:
        """Let nobody wait longer whose write was not begun in time. One that was begun may be on disk already."""
        if group.change("waiting", "ended"):
            writes = group.writes
            resolve(writes, [(None, StoreError(self._busy)) for _ in writes])
        elif group.state == "begun":
            loop.call_later(LATER_SECONDS, self._give_up, group, loop)


def resolve(writes: list[Write], outcomes: list[Outcome]) -> None:
    """Give the callers their outcomes."""
    for write, (value, problem) in zip(writes, outcomes, strict=True):
        if write.done.done():
            continue  # the caller was cancelled during the write
        if problem is None:
            write.done.set_result(value)
        else:
            write.done.set_exception(problem)
