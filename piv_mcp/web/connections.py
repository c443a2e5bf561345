"""The connections of a listener: few of them, and none may keep the process waiting.

Left to themselves, asyncio accepts connections until the process has no descriptors, and uvicorn waits for ever for a
request that was begun. Whoever opens connections and sends nothing would then stop the webhooks, the API calls and
the store.
"""

import asyncio
import logging
import socket
import sys
from contextlib import suppress
from typing import Any, cast

import h11
import structlog
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from piv_mcp.text.times import Clock

WAIT_SECONDS = 10
"""How long a client may let us wait: for a head, for a body, for reading an answer, for the next request. piv.day
itself gives up after 5 s."""

ROOM_SECONDS = 0.03
"""When all places are taken, a connection that has let us wait so long gives its place to a new one."""

PAUSE_SECONDS = 0.1
"""The pause after a connection could not be accepted."""

WARN_SECONDS = 60.0
"""Minimum interval between two log lines about the same trouble."""

MAX_CONNECTIONS = 128
DESCRIPTORS_EACH = 8
"""A listener has at most `MAX_CONNECTIONS`, and one for so many descriptors of the process: the API's connections (up
to 100), the store and a second listener need the others."""

MOST_DESCRIPTORS = 65_536
"""A process asks for no more descriptors than that."""

LOGGER = "uvicorn.error.connection"

MAX_UNREAD = 1024 * 1024
"""Bytes. A request that was answered early may send so much more before its connection is closed."""

_TIMED_OUT = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

_log = structlog.get_logger(__name__)


class HttpConnection(H11Protocol):
    """One connection, which knows how long its client has let us wait."""

    def __init__(
        self,
        config: uvicorn.Config,
        state: ServerState,
        app_state: dict[str, Any],
        clock: Clock,
    ) -> None:
        """`config` names how long a client may let us wait for its next request (`timeout_keep_alive`)."""
        super().__init__(config, state, app_state)
        self._idle_seconds = config.timeout_keep_alive
        self.logger = logging.getLogger(LOGGER)
        self._clock = clock
        self._answered = True
        self._receiving = False
        self._unread = 0
        self._at_end = False
        self._served = False
        self.waiting_since = clock.monotonic()
        """When the present wait began, by the clock's `monotonic`. It is a wait only if `waited` is not 0."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.waiting_since = self._clock.monotonic()

    def data_received(self, data: bytes) -> None:
        if not self._receiving:
            self._receiving = True
            self.waiting_since = self._clock.monotonic()
        if self._answered and self.conn.their_state is h11.SEND_BODY:
            self._unread += len(data)
            if self._unread > MAX_UNREAD:
                self.transport.abort()
                return
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before:
            self._head_received()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Stay open for the answer: a client may close its side as soon as its request is sent."""
        self._at_end = not self._answered and not self.cycle.more_body
        return self._at_end

    def on_response_complete(self) -> None:
        self._answered = self._served = True
        self._unread = 0
        self.waiting_since = self._clock.monotonic()
        before = self.cycle
        super().on_response_complete()
        self._receiving = bool(self.conn.trailing_data[0])
        if self._at_end:
            self.transport.close()
        elif self.cycle is not before:  # the client had sent the next request already
            self._head_received()

    def _head_received(self) -> None:
        self._answered = False
        self.waiting_since = self._clock.monotonic()

    def waited(self) -> float:
        """How long the client has let us wait, in seconds; 0 while we are at work on its request."""
        at_work = not (self._answered or self.cycle.more_body or self.flow.write_paused)
        return 0.0 if at_work else self._clock.monotonic() - self.waiting_since

    def is_overdue(self) -> bool:
        """Whether the client has let us wait too long."""
        is_idle = self._answered and not self._receiving and self._served
        return self.waited() > (self._idle_seconds if is_idle else WAIT_SECONDS)

    def give_up(self) -> None:
        """Close the connection. Half a request gets an answer, so that its sender knows that it was not received."""
        half_a_head = self._answered and self._receiving and self.conn.their_state is h11.IDLE
        half_a_body = not self._answered and not self.cycle.response_started
        if (half_a_head or half_a_body) and not self.transport.is_closing():
            self.transport.write(_TIMED_OUT)
        if self.transport.get_write_buffer_size():
            self.transport.abort()  # `close` would wait until the client reads
        else:
            self.transport.close()


class Connections:
    """Accepts the connections of one listening socket, at most `limit` at a time."""

    def __init__(
        self, config: uvicorn.Config, state: ServerState, app_state: dict[str, Any], *, limit: int, clock: Clock
    ) -> None:
        self._config = config
        self._state = state
        self._app_state = app_state
        self._limit = limit
        self._clock = clock
        # uvicorn's warnings are about requests that are not HTTP, a line each. Its errors are about our app.
        logging.getLogger(LOGGER).setLevel(logging.ERROR)
        self._warned: dict[str, float] = {}

    async def accept(self, listening: socket.socket) -> None:
        """Accept connections until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted = await _accepted(loop, listening)
                await loop.connect_accepted_socket(self._connection, accepted)
            except ConnectionError:
                continue  # the client was gone before it was accepted
            except OSError as error:  # mostly: no more descriptors
                self._warn("connections cannot be accepted; trying again", problem=error.strerror)
                self._give_up_longest()
                await self._clock.sleep(PAUSE_SECONDS)
            await self._make_room()

    def close_overdue(self) -> None:
        """Close the connections whose clients have let us wait too long."""
        for connection in list(self._now_open()):
            if connection.is_overdue():
                connection.give_up()

    def close_waiting(self) -> None:
        """Close the connections whose clients let us wait at all."""
        for connection in list(self._now_open()):
            if connection.waited():
                connection.give_up()

    def _connection(self) -> HttpConnection:
        return HttpConnection(self._config, self._state, self._app_state, self._clock)

    async def _make_room(self) -> None:
        while len(self._now_open()) > self._limit:
            self._warn("too many connections: those that wait longest are closed", limit=self._limit)
            await self._clock.sleep(0 if self._give_up_longest() else PAUSE_SECONDS / 10)

    def _give_up_longest(self) -> bool:
        """Close those that have waited longest, a few at a time: to look for them costs more than to close them."""
        waiting = [connection for connection in self._now_open() if connection.waited() >= ROOM_SECONDS]
        waiting.sort(key=lambda connection: connection.waiting_since)
        for connection in waiting[: max(1, self._limit // 16)]:
            connection.give_up()
        return bool(waiting)

    def _now_open(self) -> set[HttpConnection]:
        return cast("set[HttpConnection]", self._state.connections)

    def _warn(self, trouble: str, **values: object) -> None:
        now = self._clock.monotonic()
        if now - self._warned.get(trouble, -WARN_SECONDS) >= WARN_SECONDS:
            self._warned[trouble] = now
            _log.warning(trouble, **values)


def connection_limit(most: int = MAX_CONNECTIONS, descriptors_each: int = DESCRIPTORS_EACH) -> int:
    """How many connections a listener of this process may have: at most `most`, and one for so many descriptors."""
    try:
        import resource  # not on Windows, where descriptors are no bound
    except ImportError:
        return most
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors == resource.RLIM_INFINITY:
        return most
    return max(4, min(most, descriptors // descriptors_each))


def raise_descriptors() -> None:
    """Let this process have as many descriptors as the system allows it."""
    try:
        import resource  # not on Windows, where descriptors are no bound
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # a system may allow less than it says
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, MOST_DESCRIPTORS)), hard))


async def _accepted(loop: asyncio.AbstractEventLoop, listening: socket.socket) -> socket.socket:
    """The next connection. `loop.sock_accept` loses one that comes as it is cancelled: nobody serves or closes it."""
    if sys.platform == "win32":  # its event loop has no readers
        return (await loop.sock_accept(listening))[0]
    while True:
        try:
            accepted, _ = listening.accept()
        except (BlockingIOError, InterruptedError):
            await _readable(loop, listening)
        else:
            accepted.setblocking(False)
            return accepted


async def _readable(loop: asyncio.AbstractEventLoop, listening: socket.socket) -> None:
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(listening, lambda: ready.done() or ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_reader(listening)
