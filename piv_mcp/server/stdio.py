"""Standard input and output as the streams of messages that the SDK serves.

The SDK's own transport answers no line that it cannot read, and ends in a traceback if the client closes standard
output.
"""

import errno
import io
import os
import select
import sys
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import BinaryIO

import anyio
import structlog
from anyio.streams.memory import MemoryObjectReceiveStream
from anyio.to_thread import run_sync
from mcp.shared.message import SessionMessage
from mcp.types import JSONRPCMessage, JSONRPCNotification, JSONRPCRequest

from piv_mcp.server.lines import MAX_LINE_BYTES, Refused, read_line
from piv_mcp.server.output import Output

REFUSALS_AHEAD = 10_000
"""Messages that may wait to be written before a refusal without an id is left out: it would be no request's answer."""

LOGGED_ONE_BY_ONE = 10
"""Refused messages that are each logged. After these the log gets a line when their number has doubled."""

_log = structlog.get_logger(__name__)

Received = MemoryObjectReceiveStream[SessionMessage | Exception]


@asynccontextmanager
async def stdio_streams() -> AsyncGenerator[tuple[Received, Output]]:
    """The messages from standard input, which end with the input or when nobody reads the output; and a stream that
    writes messages to standard output."""
    stdio = Stdio(*_take_over())
    async with anyio.create_task_group() as tasks:
        for work in (stdio.read, stdio.write, stdio.watch):
            tasks.start_soon(work)
        yield stdio.received, stdio.output
        await stdio.output.finish()
        tasks.cancel_scope.cancel()


class Stdio:
    """Reads messages from `source`, and writes messages to the descriptor `sink`. Refuses what is no message."""

    def __init__(self, source: BinaryIO, sink: int) -> None:
        self._source = source
        self._sink = sink
        self._to_server, self.received = anyio.create_memory_object_stream[SessionMessage | Exception]()
        self.output = Output(sink)
        self._reading = anyio.CancelScope()
        self._refused = self._logged = self._unanswered = 0

    async def read(self) -> None:
        # Threads are abandoned when the server ends: one that waits for the client cannot be woken.
        with self._reading:
            async with self._to_server:
                try:
                    while line := await run_sync(self._next_line, abandon_on_cancel=True):
                        await self._take(read_line(line, batches=self.output.batches), len(line))
                    # The SDK ends all calls as soon as it knows that no more messages come.
                    await self.output.let_calls_finish()
                except (OSError, anyio.BrokenResourceError) as error:
                    _log.debug("no more messages are read", problem=type(error).__name__)
        if self._refused > self._logged:
            _log.warning(
                "more messages were refused than logged",
                refused=self._refused,
                logged=self._logged,
                left_unanswered=self._unanswered,
            )

    async def write(self) -> None:
        try:
            await self.output.write()
        except OSError as error:
            self._end(error)

    async def watch(self) -> None:
        """End when nobody reads standard output any more, although no answer is due."""
        if hasattr(select, "poll") and await run_sync(_wait_for_hangup, self._sink, abandon_on_cancel=True):
            self._end(BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)))

    def _end(self, error: OSError) -> None:
        if not self._reading.cancel_called:
            log = _log.info if isinstance(error, BrokenPipeError) else _log.error
            log("the client can be told nothing more", problem=error.strerror)
            self._reading.cancel()

    def _next_line(self) -> bytes:
        """The next line. One that is too long comes back with its first bytes only, which are still too many."""
        line = more = self._source.readline(MAX_LINE_BYTES + 1)
        while len(more) > MAX_LINE_BYTES and not more.endswith(b"\n"):
            more = self._source.readline(MAX_LINE_BYTES + 1)
        return line

    async def _take(self, messages: Iterable[JSONRPCMessage | Refused], size: int) -> None:
        for message in messages:
            if isinstance(message, Refused):
                self._refuse(message, size)
                continue
            if isinstance(message, JSONRPCRequest):
                self.output.expect(message)
            elif isinstance(message, JSONRPCNotification) and message.method == "notifications/cancelled":
                self.output.forget((message.params or {}).get("requestId"))
            await self._to_server.send(SessionMessage(message))

    def _refuse(self, refused: Refused, size: int) -> None:
        self._refused += 1
        if refused.answer is not None:
            if refused.id is None and self.output.waiting >= REFUSALS_AHEAD:
                self._unanswered += 1
            else:
                self.output.put(refused.answer)
        if self._refused <= LOGGED_ONE_BY_ONE or self._refused.bit_count() == 1:
            self._logged += 1
            _log.warning("a message was refused", reason=refused.reason, line_bytes=size, refused_so_far=self._refused)


class Input(io.RawIOBase):
    """A descriptor that another program may set to O_NONBLOCK at any time: all who share the open file share that."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # pyright: ignore[reportIncompatibleMethodOverride] - as it is called
        while True:
            try:
                read = os.read(self._descriptor, len(buffer))
            except BlockingIOError:
                select.select([self._descriptor], [], [])
                continue
            buffer[: len(read)] = read
            return len(read)


def _take_over() -> tuple[BinaryIO, int]:
    """Standard input and output on descriptors of our own.

    Programs that this process starts, and whatever prints, get an empty input and standard error instead.
    """
    nothing = os.open(os.devnull, os.O_RDWR)
    # A standard error that was closed at the start is None, and descriptor 2 is something else by now.
    errors = nothing if sys.stderr is None else 2  # pyright: ignore[reportUnnecessaryComparison]
    source, sink = os.dup(0), os.dup(1)
    for descriptor, stand_in in ((0, nothing), (1, errors)):
        os.dup2(stand_in, descriptor)
        if sys.platform == "win32":
            from mcp.os.win32.utilities import rebind_std_handle_to_fd  # late: only Windows has such handles

            with suppress(OSError):
                rebind_std_handle_to_fd(descriptor)
    return io.BufferedReader(Input(source)), sink


def _wait_for_hangup(descriptor: int) -> bool:
    """Wait until the other end of a pipe or a socket is closed. False where that cannot be seen."""
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll())
