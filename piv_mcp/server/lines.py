"""Reads lines of the stdio transport by the rules of JSON-RPC 2.0.

The SDK drops what it cannot read, and takes a request with an invalid id for a notification. The client would wait for
an answer until its own time limit.
"""

import json
from codecs import BOM_UTF8
from dataclasses import dataclass
from typing import Any, cast

from mcp.types import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    PARSE_ERROR,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    JSONRPCRequest,
    RequestId,
    jsonrpc_message_adapter,
)
from pydantic import ValidationError

from piv_mcp.text.surrogates import replace_surrogates_in

MAX_LINE_BYTES = 16 * 1024 * 1024

BATCH_VERSION = "2025-03-26"
"""The only protocol version with batches."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A message that the server cannot take.

    `reason` repeats nothing of the message, which can contain secrets. `code` is None for responses and notifications:
    JSON-RPC answers neither.
    """

    reason: str
    code: int | None = INVALID_REQUEST
    id: RequestId | None = None

    @property
    def answer(self) -> JSONRPCError | None:
        if self.code is None:
            return None
        return JSONRPCError(jsonrpc="2.0", id=self.id, error=ErrorData(code=self.code, message=self.reason))


def read_line(line: bytes, *, batches: bool = False) -> list[JSONRPCMessage | Refused]:
    """The messages in a line: one, or none in a blank line, or several where `batches` are part of the protocol.

    A byte order mark before a message is skipped. Invalid UTF-8 and lone surrogates become U+FFFD: a client sends them
    if it has cut a text in the middle of a character.
    """
    if not line or line.isspace():
        return []
    if len(line) > MAX_LINE_BYTES:
        return [Refused(f"The line is longer than {MAX_LINE_BYTES} bytes")]
    line = line.removeprefix(BOM_UTF8)
    try:
        message = jsonrpc_message_adapter.validate_json(line, by_name=False)
    except ValidationError:
        return _read_slowly(line, batches)
    if isinstance(message, JSONRPCRequest):
        return [message]
    # The SDK ignores fields that tell a request: an invalid `id` in a notification, and `method` in a response.
    ignored = b'"id"' if isinstance(message, JSONRPCNotification) else b'"method"'
    return _read_slowly(line, batches) if ignored in line or b"\\u" in line else [message]


def _read_slowly(line: bytes, batches: bool) -> list[JSONRPCMessage | Refused]:
    try:
        value = replace_surrogates_in(json.loads(line.decode(errors="replace")))
    except RecursionError:
        return [Refused("The message is nested too deeply")]
    except ValueError as error:
        return [Refused(_not_json(line, error), PARSE_ERROR)]
    if not isinstance(value, list):
        return [_message(value)]
    items = cast("list[object]", value)
    if not items:
        return [Refused("A batch must not be empty")]
    if not batches:
        return [Refused("This protocol version has no batches: send each message in a line of its own")]
    return [_message(item) for item in items]


def _not_json(line: bytes, error: ValueError) -> str:
    if b"\0" in line[:4]:
        return "The line is not UTF-8: it looks like UTF-16"
    where = f" from character {error.pos + 1} on" if isinstance(error, json.JSONDecodeError) else ""
    return f"The line is not JSON{where}: send each message as JSON in one line of UTF-8"


def _message(value: object) -> JSONRPCMessage | Refused:
    if not isinstance(value, dict):
        return Refused("A message must be an object")
    fields = cast("dict[str, Any]", value)
    id_ = fields.get("id")
    if type(id_) not in (str, int):
        id_ = None
    answers = "result" in fields or "error" in fields
    is_response = answers and "method" not in fields
    if "id" in fields and id_ is None and not is_response:
        return Refused("`id` must be a string or an integer")
    if answers and not is_response:
        return Refused("A message with `method` must have neither `result` nor `error`", id=id_)
    try:
        return jsonrpc_message_adapter.validate_python(fields, by_name=False)
    except ValidationError:
        return Refused("A response is malformed", code=None) if is_response else _invalid_request(fields, id_)


def _invalid_request(fields: dict[str, Any], id_: RequestId | None) -> Refused:
    if fields.get("jsonrpc") != "2.0":
        return Refused('`jsonrpc` must be "2.0"', id=id_)
    if not isinstance(fields.get("method"), str):
        return Refused("`method` must be a string", id=id_)
    reason = "`params` must be an object"
    if isinstance(fields.get("params"), list):  # valid in JSON-RPC, but not in MCP
        return Refused(reason, None if id_ is None else INVALID_PARAMS, id_)
    return Refused(reason, id=id_)
