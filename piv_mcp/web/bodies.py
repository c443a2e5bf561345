"""The JSON object in the body of a request, however it is packed.

Senders, relays and proxies differ in how they label and pack JSON: as text or as a form, compressed, in another
character set. What is JSON by its content is taken, whatever the headers say.
"""

import json
import re
import zlib
from collections.abc import Iterator
from contextlib import suppress
from email import message_from_bytes
from email.message import Message
from itertools import islice
from typing import Any
from urllib.parse import parse_qsl

from piv_mcp.api.text import as_object, parse_json

MAX_LAYERS = 3
"""A body may be compressed so many times."""

MAX_FIELDS = 100
"""Fields of a form."""

_GZIP = b"\x1f\x8b"
_UNDERSTOOD = frozenset({"", "identity", "gzip", "x-gzip", "deflate"})
_CHARSETS = re.compile(r"(?i)(iso-?8859|latin|windows-|cp\d|gb|big5|shift.?jis|euc|koi8|mac|utf-?(16|32))[\w-]*")
"""The names of character sets that are read. Some of Python's codecs are no character sets."""


class UnreadableBodyError(ValueError):
    """The body holds no JSON object that can be read. `status` is the HTTP status that says so."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def object_in(body: bytes, max_bytes: int, *, content_type: str = "", content_encoding: str = "") -> dict[str, Any]:
    """The JSON object in `body`: it may be compressed, in a form, or in any usual character set.

    Raises:
        UnreadableBodyError: there is none, or the body has more than `max_bytes` when it is decompressed.
    """
    codings = {name.strip() for name in content_encoding.lower().split(",")}
    plain, damage = _decompressed(body, max_bytes, codings)
    label = Message()
    label["Content-Type"] = content_type
    text = _text(plain, label)
    try:
        return _object(text)
    except ValueError as error:
        problem = damage or str(error)
    found = list(_objects(_fields(text, plain, label)))
    if found:
        return next((fields for fields in found if "event_type" in fields), found[0])
    if unknown := sorted(codings - _UNDERSTOOD):
        raise UnreadableBodyError(415, f"Content-Encoding {unknown[0][:20]} is not understood: use gzip or deflate")
    raise UnreadableBodyError(400, f"The webhook's body is {problem}")


def _object(text: str) -> dict[str, Any]:
    value = parse_json(text.strip("\0 \t\r\n").encode("utf-8", "replace"), cut_deep=True)
    if isinstance(value, str):  # encoded twice
        value = parse_json(value.encode("utf-8", "replace"), cut_deep=True)
    fields = as_object(value)
    if fields is None:
        raise ValueError("JSON, but not an object")
    return fields


def _objects(fields: list[tuple[str, str]]) -> Iterator[dict[str, Any]]:
    """The objects in the fields of a form: the form itself if it is an event, and any that a field holds."""
    if "event_type" in dict(fields):
        yield {name: _value(value) for name, value in fields}
    for name, value in fields:
        for text in (value, name):
            with suppress(ValueError):
                yield _object(text)


def _value(text: str) -> object:
    try:
        return _object(text)
    except ValueError:
        return text


def _fields(text: str, plain: bytes, label: Message) -> list[tuple[str, str]]:
    """The names and values of a form, in either of the two ways that a form is sent."""
    try:
        if label.get_content_maintype() == "multipart":
            head = f"Content-Type: {label['Content-Type']}\n\n".encode("utf-8", "replace")
            return [_part(part) for part in islice(message_from_bytes(head + plain).walk(), MAX_FIELDS)]
        return parse_qsl(text.strip(), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except (ValueError, RecursionError):
        return []


def _part(part: Message) -> tuple[str, str]:
    content = part.get_payload(decode=True)
    name = part.get_param("name", "", header="content-disposition")
    return str(name), _text(content, part) if isinstance(content, bytes) else ""


def _text(plain: bytes, label: Message) -> str:
    """The characters. JSON is in Unicode, whatever the label says; the label counts where it is not."""
    with suppress(UnicodeDecodeError):
        return plain.decode(json.detect_encoding(plain))
    charset = str(label.get_param("charset", ""))
    if _CHARSETS.fullmatch(charset):
        with suppress(LookupError, UnicodeDecodeError):
            return plain.decode(charset)
    return plain.decode("utf-8-sig", "replace")


def _decompressed(body: bytes, max_bytes: int, codings: set[str]) -> tuple[bytes, str | None]:
    """(the body without its compression, what is wrong with the compression).

    It is known by the first bytes, since labels are often wrong: a proxy decompresses a body and leaves the label.
    """
    for _ in range(MAX_LAYERS):
        if body.startswith(_GZIP) or _is_zlib(body):
            form = zlib.MAX_WBITS | 32  # either of the two
        elif "deflate" in codings and not body.lstrip().startswith(b"{"):
            form = -zlib.MAX_WBITS  # without a head, as some send it
        else:
            break
        try:
            body = _inflated(body, max_bytes, form)
        except (zlib.error, EOFError):
            return body, "compressed, and damaged or incomplete"
    return body, f"compressed more than {MAX_LAYERS} times" if body.startswith(_GZIP) else None


def _inflated(body: bytes, max_bytes: int, form: int) -> bytes:
    parts = bytearray()
    while body:
        decompressor = zlib.decompressobj(form)
        parts += decompressor.decompress(body, max_bytes + 1 - len(parts))
        if len(parts) > max_bytes:
            raise UnreadableBodyError(413, f"more than {max_bytes} bytes when decompressed")
        if not decompressor.eof:
            raise EOFError
        # gzip data may consist of several members
        body = decompressor.unused_data if decompressor.unused_data.startswith(_GZIP) else b""
    return bytes(parts)


def _is_zlib(body: bytes) -> bool:
    return len(body) > 2 and body[0] & 0x8F == 8 and (body[0] << 8 | body[1]) % 31 == 0
