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
    return _read_slowly(line, batches) if _can_mislead(message, line) else [message]


def _can_mislead(message: JSONRPCMessage, line: bytes) -> bool:
    """Whether the line can say something else than the message that the SDK read.

    The SDK ignores an invalid `id` in a notification, and `method` or `error` beside a result. Of two keys that are the
    same it takes the last: of "decline" and "accept", too.
    """
    if isinstance(message, JSONRPCRequest):
        return b'"inputResponses"' in line
    return not isinstance(message, JSONRPCNotification) or b'"id"' in line or b"\\u" in line


def _read_slowly(line: bytes, batches: bool) -> list[JSONRPCMessage | Refused]:
    repeats = False

    def read_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal repeats
        fields = dict(pairs)
        repeats = repeats or len(fields) < len(pairs)
        return fields

    try:
        value = replace_surrogates_in(json.loads(line.decode(errors="replace"), object_pairs_hook=read_object))
    except RecursionError:
        return [Refused("The message is nested too deeply")]
    except json.JSONDecodeError as error:
        return [Refused(_not_json(line, error), PARSE_ERROR)]
    except ValueError:  # Python's limit, which JSON does not have
        return [Refused("The message has an integer of too many digits")]
    if not isinstance(value, list):
        return [_message(value, repeats=repeats)]
    items = cast("list[object]", value)
    if not items:
        return [Refused("A batch must not be empty")]
    if not batches:
        return [Refused("This protocol version has no batches: send each message in a line of its own")]
    return [_message(item, repeats=repeats) for item in items]


def _not_json(line: bytes, error: json.JSONDecodeError) -> str:
    if b"\0" in line[:4]:
        return "The line is not UTF-8: it looks like UTF-16"
    return f"The line is not JSON from character {error.pos + 1} on: send each message as JSON in one line of UTF-8"


def _message(value: object, *, repeats: bool) -> JSONRPCMessage | Refused:
    """`repeats`: some object of the line has a key twice. No answer of a person is taken from such a line."""
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
    if is_response and fields.get("result") is not None and fields.get("error") is not None:
        return Refused("A response must have either `result` or `error`", code=None)
    if repeats and is_response:
        return Refused("A response has a key twice", code=None)
    if repeats and isinstance(fields.get("params"), dict) and "inputResponses" in fields["params"]:
        return Refused("A request with `inputResponses` has a key twice", INVALID_PARAMS, id_)
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
