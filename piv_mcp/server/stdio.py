"""Half a character in a message is no reason to give no answer.

Whoever cuts a text in the middle of an emoji sends a surrogate alone. JSON can say that, the SDK's parser refuses the
whole line, and the caller would wait for an answer until its own time is over.
"""

import contextvars
import json
from types import TracebackType
from typing import Protocol

import anyio
from mcp.shared.message import SessionMessage
from mcp.types import jsonrpc_message_adapter
from pydantic import ValidationError

Received = SessionMessage | Exception
"""A message, or why a line is none."""


class Stream(Protocol):
    async def receive(self) -> Received: ...

    async def aclose(self) -> None: ...


class Mended:
    """A stream of received messages, in which a surrogate alone has become a replacement character."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    @property
    def last_context(self) -> contextvars.Context | None:
        """Of whoever sent the last message: the SDK asks for it."""
        return getattr(self._stream, "last_context", None)

    async def receive(self) -> Received:
        return mended(await self._stream.receive())

    async def aclose(self) -> None:
        await self._stream.aclose()

    def __aiter__(self) -> "Mended":
        return self

    async def __anext__(self) -> Received:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> "Mended":
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        await self.aclose()


def mended(item: Received) -> Received:
    """The message of a line that could not be read for its surrogates alone; everything else as it is."""
    if not isinstance(item, ValidationError):
        return item
    line = item.errors(include_url=False, include_context=False)[0]["input"]
    if not isinstance(line, str) or "\\u" not in line:
        return item
    try:
        text = json.dumps(json.loads(line), ensure_ascii=False)
        whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return SessionMessage(jsonrpc_message_adapter.validate_json(whole, by_name=False))
    except (ValueError, RecursionError):
        return item
