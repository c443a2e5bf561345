"""Repairs JSON-RPC lines that contain lone surrogates.

A client sends a lone surrogate if it has cut a text in the middle of an emoji. The SDK's parser rejects the whole line
without a response, and the client would wait until its own time limit.
"""

import contextvars
import json
from types import TracebackType
from typing import Protocol

import anyio
from mcp.shared.message import SessionMessage
from mcp.types import jsonrpc_message_adapter
from pydantic import ValidationError

from piv_mcp.text.surrogates import replace_surrogates_in

Received = SessionMessage | Exception
"""A message, or the error of a line that could not be parsed."""


class Stream(Protocol):
    async def receive(self) -> Received: ...

    async def aclose(self) -> None: ...


class RepairedStream:
    """A stream of received messages, with each lone surrogate replaced by U+FFFD."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    @property
    def last_context(self) -> contextvars.Context | None:
        """The context of the last message's sender. The SDK reads this attribute."""
        return getattr(self._stream, "last_context", None)

    async def receive(self) -> Received:
        return repaired(await self._stream.receive())

    async def aclose(self) -> None:
        await self._stream.aclose()

    def __aiter__(self) -> "RepairedStream":
        return self

    async def __anext__(self) -> Received:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> "RepairedStream":
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        await self.aclose()


def repaired(item: Received) -> Received:
    """The message in a line that could not be parsed because of lone surrogates; any other item unchanged."""
    if not isinstance(item, ValidationError):
        return item
    line = item.errors(include_url=False, include_context=False)[0]["input"]
    if not isinstance(line, str) or "\\u" not in line:
        return item
    try:
        text = json.dumps(replace_surrogates_in(json.loads(line)), ensure_ascii=False)
        return SessionMessage(jsonrpc_message_adapter.validate_json(text, by_name=False))
    except (ValueError, RecursionError):
        return item
