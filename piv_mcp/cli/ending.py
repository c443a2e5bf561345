"""How a process of the command line ends."""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress

from piv_mcp import log

STOP_SECONDS = 0.8
"""How long stopping may take. What is not done by then is taken up at the next start."""

FLUSH_SECONDS = 0.5
"""How long the last lines of the log may take to be written."""

STOP_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGBREAK") if hasattr(signal, name)]
"""SIGBREAK exists on Windows alone."""


def leave(status: int = 0) -> None:
    """Exit at once: everything is flushed, and interpreter teardown dominates shutdown time.

    Teardown would also wait for threads that wait for the client, or for a reader of the log.
    """
    flushing = threading.Thread(target=_flush, daemon=True)
    flushing.start()
    flushing.join(FLUSH_SECONDS)
    os._exit(status)


def _flush() -> None:
    log.flush()
    with suppress(OSError, AttributeError):  # a standard error that was closed at the start is None
        sys.stdout.flush()
        sys.stderr.flush()


def on_stop_signal(stop: Callable[[], Awaitable[None]]) -> None:
    """End cleanly on a signal, although a thread is blocked reading stdin and cannot be woken."""

    async def stop_andleave() -> None:
        try:
            await stop()
        finally:
            leave()

    tasks: set[asyncio.Task[None]] = set()
    loop = asyncio.get_running_loop()

    def begin() -> None:
        tasks.add(loop.create_task(stop_andleave()))

    def begin_from_handler(_number: int, _frame: object) -> None:
        loop.call_soon_threadsafe(begin)

    for number in STOP_SIGNALS:
        try:
            loop.add_signal_handler(number, begin)
        except NotImplementedError:  # Windows, where Ctrl+C would wait for the thread that reads stdin
            signal.signal(number, begin_from_handler)
