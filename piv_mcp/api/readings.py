"""Answers of reads, shared by callers that need them no fresher than they are.

A purchase reads the balance, the price list and its own object several times within seconds, and so do purchases that
run together. Each such read costs one of the account's hundred requests a minute.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from piv_mcp.text.times import Clock

T = TypeVar("T")

RECENT_SECONDS = 5.0
"""How old a shared answer may be, in seconds from the start of its request, where nobody says otherwise."""

MAX_KEPT = 100
"""The largest number of answers that are kept."""

Key = tuple[str, tuple[tuple[str, str], ...]]
"""Path and query."""


@dataclass(frozen=True, slots=True)
class _Reading:
    task: "asyncio.Task[Any]"
    writes: int
    """How many writes came before it."""
    asked_at: float
    """By `Clock.monotonic`."""
    began: float
    """By `Clock.time`."""


@dataclass(slots=True)
class Span:
    """When the shared answers that somebody used were read, in seconds since the epoch. They may be `max_age` seconds
    old."""

    max_age: float = RECENT_SECONDS
    began: float | None = None
    ended: float | None = None

    def add(self, began: float, ended: float) -> None:
        self.began = began if self.began is None else min(self.began, began)
        self.ended = ended if self.ended is None else max(self.ended, ended)


@dataclass(slots=True)
class Readings:
    """The answers of one connection. After a write of this connection, no answer from before it is used again."""

    clock: Clock
    _kept: dict[Key, _Reading] = field(default_factory=dict[Key, _Reading])
    _writes: int = 0

    def forget(self) -> None:
        """Something was written, or is about to be."""
        self._writes += 1

    async def get(self, key: Key, read: Callable[[], Awaitable[T]], span: Span) -> T:
        """The answer to `key`: one that was asked for lately, else that of `read`. Raises what `read` raises."""
        while True:
            kept = self._kept.get(key)
            if kept is not None and self._is_recent(kept, span.max_age):
                break
            if kept is None or kept.task.done():
                kept = self._start(key, read)
                break
            # It is too old. Callers that wait for its end share the next one.
            await asyncio.wait({kept.task})
        try:
            answer: T = await asyncio.shield(kept.task)
        except BaseException:
            if _has_failed(kept.task) and self._kept.get(key) is kept:
                del self._kept[key]
            raise
        span.add(kept.began, self.clock.time())
        return answer

    def _is_recent(self, reading: _Reading, max_age: float) -> bool:
        return reading.writes == self._writes and self.clock.monotonic() - reading.asked_at < max_age

    def _start(self, key: Key, read: Callable[[], Awaitable[T]]) -> _Reading:
        while len(self._kept) >= MAX_KEPT:
            del self._kept[next(iter(self._kept))]
        task = asyncio.ensure_future(read())
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # the callers get it
        reading = _Reading(task, self._writes, self.clock.monotonic(), self.clock.time())
        self._kept.pop(key, None)
        self._kept[key] = reading
        return reading


def _has_failed(task: "asyncio.Task[Any]") -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
