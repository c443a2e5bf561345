"""Standard input and output as the streams of messages that the SDK serves.

The SDK's own transport answers no line that it cannot read, and ends in a traceback if the client closes standard
output.
"""

import errno
import os
import select
import sys
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import BinaryIO

import anyio
import structlog
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from anyio.to_thread import run_sync
from mcp.shared.message import SessionMessage
from mcp.types import JSONRPCMessage, JSONRPCResponse

from piv_mcp.server.lines import BATCH_VERSION, MAX_LINE_BYTES, Refused, read_line

LAST_ANSWERS_SECONDS = 0.5
"""How long the last answers may take to be written, when the server ends."""

ANSWERS_AHEAD = 100
"""Answers that may wait to be written. The SDK drops one that it could not hand over when standard input ends."""

UNREAD_SECONDS = 1.0
"""How long a client that reads no answers may hold up the reading of its next messages."""

LOGGED_ONE_BY_ONE = 10
"""Refused messages that are each logged. After these the log gets a line when their number has doubled."""

_log = structlog.get_logger(__name__)

Received = MemoryObjectReceiveStream[SessionMessage | Exception]
Answers = MemoryObjectSendStream[SessionMessage]


@asynccontextmanager
async def stdio_streams() -> AsyncGenerator[tuple[Received, Answers]]:
    """The messages from standard input, which end with the input or when nobody reads the output; and a stream that
    writes messages to standard output."""
    stdio = Stdio(*_take_over())
    async with anyio.create_task_group() as tasks:
        for work in (stdio.read, stdio.write, stdio.watch):
            tasks.start_soon(work)
        yield stdio.received, stdio.answers
        with anyio.move_on_after(LAST_ANSWERS_SECONDS):
            await stdio.written.wait()
        tasks.cancel_scope.cancel()


class Stdio:
    """Reads messages from `source`, and writes messages to the descriptor `sink`. Refuses what is no message."""

    def __init__(self, source: BinaryIO, sink: int) -> None:
        self._source = source
        self._sink = sink
        self._to_server, self.received = anyio.create_memory_object_stream[SessionMessage | Exception]()
        self.answers, self._from_server = anyio.create_memory_object_stream[SessionMessage](ANSWERS_AHEAD)
        self._refusals = self.answers.clone()
        self.written = anyio.Event()
        """Set when nothing more will be written."""
        self._reading = anyio.CancelScope()
        self._batches = False
        self._unread = False
        """Whether the client did not read an answer in time."""
        self._refused = self._logged = 0

    async def read(self) -> None:
        # Threads are abandoned when the server ends: one that waits for the client cannot be woken.
        with self._reading:
            async with self._to_server, self._refusals:
                try:
                    while line := await run_sync(self._next_line, abandon_on_cancel=True):
                        await self._take(read_line(line, batches=self._batches), len(line))
                except (OSError, anyio.BrokenResourceError) as error:
                    _log.debug("no more messages are read", problem=type(error).__name__)
        if self._refused > self._logged:
            _log.warning("more messages were refused than logged", refused=self._refused, logged=self._logged)

    async def write(self) -> None:
        with self._from_server:
            async for item in self._from_server:
                message = item.message
                if isinstance(message, JSONRPCResponse) and "protocolVersion" in message.result:
                    self._batches = message.result["protocolVersion"] == BATCH_VERSION
                line = message.model_dump_json(by_alias=True, exclude_unset=True) + "\n"
                try:
                    await run_sync(_write_all, self._sink, line.encode(), abandon_on_cancel=True)
                except OSError as error:
                    self._end(error)
                    break
        self.written.set()

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
                await self._refuse(message, size)
            else:
                await self._to_server.send(SessionMessage(message))

    async def _refuse(self, refused: Refused, size: int) -> None:
        self._refused += 1
        if self._refused <= LOGGED_ONE_BY_ONE or self._refused.bit_count() == 1:
            self._logged += 1
            _log.warning("a message was refused", reason=refused.reason, line_bytes=size, refused_so_far=self._refused)
        if refused.answer is None:
            return
        answer = SessionMessage(refused.answer)
        try:
            self._refusals.send_nowait(answer)
            self._unread = False
        except anyio.WouldBlock:
            # A client that writes on and on before it reads would wait for us, and we for it: leave it unanswered.
            if not self._unread:
                with anyio.move_on_after(UNREAD_SECONDS) as waiting:
                    await self._refusals.send(answer)
                self._unread = waiting.cancelled_caught


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
    return os.fdopen(source, "rb", closefd=False), sink


def _write_all(descriptor: int, line: bytes) -> None:
    rest = memoryview(line)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _wait_for_hangup(descriptor: int) -> bool:
    """Wait until the other end of a pipe or a socket is closed. False where that cannot be seen."""
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll())
