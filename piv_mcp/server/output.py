"""Standard output as the stream that the SDK writes its messages to."""

import os
import select
from collections import deque
from types import TracebackType
from typing import Self

import anyio
import structlog
from anyio.to_thread import run_sync
from mcp.shared.message import SessionMessage
from mcp.types import (
    CONNECTION_CLOSED,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCRequest,
    JSONRPCResponse,
    RequestId,
)

from piv_mcp.server.lines import BATCH_VERSION

FIRST_CALL_SECONDS = 5.0
"""How long the calls may go on without an answer when standard input has ended before the first call had one: it loads
what all calls need."""

LAST_CALLS_SECONDS = 0.1
"""How long they may go on after that. Those that wait for something are ended."""

UNREAD_SECONDS = 10.0
"""How long a client that reads nothing may hold up the end of the server. One that reads on gets everything."""

CHUNK_BYTES = 16 * 1024
"""What is written at once: a client that reads slowly shows after each of these that it reads."""

_log = structlog.get_logger(__name__)


class Output:
    """The messages to the client in their order, and the requests that have no answer yet.

    A sender never waits for the client: the SDK drops an answer that it could not hand over when standard input ends,
    and a client that writes on and on before it reads would wait for us, and we for it.
    """

    def __init__(self, sink: int) -> None:
        self._sink = sink
        self._lines: deque[bytes] = deque()
        self._unanswered: dict[RequestId, str] = {}
        """The methods of the requests."""
        self._called = False
        """Whether a call of a tool was answered."""
        self._more = anyio.Event()
        self._answered = anyio.Event()
        self._written = anyio.Event()
        """Set when nothing more will be written."""
        self._ended = False
        self._written_bytes = 0
        self.batches = False
        """Whether the protocol version has them."""

    @property
    def waiting(self) -> int:
        """Messages that are not written yet."""
        return len(self._lines)

    def expect(self, request: JSONRPCRequest) -> None:
        if request.method != "subscriptions/listen":  # answered when it ends: the SDK does it
            self._unanswered[request.id] = request.method

    def forget(self, request: object) -> None:
        """This request gets no answer: the client has cancelled it."""
        if isinstance(request, str | int):
            self._settle(request)

    async def send(self, item: SessionMessage, /) -> None:
        """Raises: anyio.BrokenResourceError: nothing more can be written."""
        if self._written.is_set():
            raise anyio.BrokenResourceError
        self.put(item.message)

    def put(self, message: JSONRPCMessage) -> None:
        if isinstance(message, JSONRPCResponse) and "protocolVersion" in message.result:
            self.batches = message.result["protocolVersion"] == BATCH_VERSION
        if isinstance(message, JSONRPCResponse | JSONRPCError):
            self._settle(message.id)
        self._lines.append(message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
        self._more.set()

    async def aclose(self) -> None:
        """Nothing to do: `finish` ends it, after the SDK."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        await self.aclose()

    async def write(self) -> None:
        """Write until `finish`.

        Raises:
            OSError: standard output takes nothing more.
        """
        try:
            while self._lines or not self._ended:
                if self._lines:
                    # Abandoned when the server ends: a thread that waits for the client cannot be woken.
                    await run_sync(self._write_line, self._lines[0], abandon_on_cancel=True)
                    self._lines.popleft()
                else:
                    self._more = anyio.Event()
                    await self._more.wait()
        except OSError:
            self._lines.clear()
            raise
        finally:
            self._written.set()

    async def let_calls_finish(self) -> None:
        """Wait for the answers that are about to come."""
        while self._unanswered:
            self._answered = anyio.Event()
            with anyio.move_on_after(LAST_CALLS_SECONDS if self._called else FIRST_CALL_SECONDS) as waiting:
                await self._answered.wait()
            if waiting.cancelled_caught:
                return

    async def finish(self) -> None:
        """Write what is left, as long as the client reads."""
        for request in list(self._unanswered):
            closed = ErrorData(code=CONNECTION_CLOSED, message="Connection closed")
            self.put(JSONRPCError(jsonrpc="2.0", id=request, error=closed))
        self._ended = True
        self._more.set()
        before = -1
        while before != self._written_bytes and not self._written.is_set():
            before = self._written_bytes
            with anyio.move_on_after(UNREAD_SECONDS):
                await self._written.wait()
        if self._lines:
            _log.warning("the client did not read its last messages", lost=len(self._lines))

    def _settle(self, request: RequestId | None) -> None:
        if request is not None and self._unanswered.pop(request, None) == "tools/call":
            self._called = True
        self._answered.set()

    def _write_line(self, line: bytes) -> None:
        rest = memoryview(line)
        while rest:
            try:
                written = os.write(self._sink, rest[:CHUNK_BYTES])
            except BlockingIOError:  # another program has set the file that it shares with us to O_NONBLOCK
                select.select([], [self._sink], [])
                continue
            self._written_bytes += written
            rest = rest[written:]
