"""Cursors: how far a caller has read the inbox of one store.

A cursor is an opaque text with a version and the identity of the store and the account in it. One of another store, or
one that somebody made up, is recognised.
"""

import base64
import binascii
import hashlib
from dataclasses import dataclass

from piv_mcp.errors import PivError
from piv_mcp.store import Connection, facts

VERSION = "c1"
IDENTITY_BYTES = 5
MAX_BYTES = 400
LIMIT = 2**62
"""Above all event ids: SQLite's integers have 64 bits."""


class CursorError(PivError):
    """The text is no cursor."""


class ForeignCursorError(CursorError):
    """A cursor of another store, or of an earlier version."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Everything up to event `seq` was read, and of what follows the events `passed`."""

    seq: int
    passed: frozenset[int] = frozenset()

    def is_past(self, seq: int) -> bool:
        return seq <= self.seq or seq in self.passed


def identity(connection: Connection) -> bytes:
    """The identity of the store and of the account whose rows are read."""
    named = f"{facts.get(connection, facts.STORE_ID)} {connection.account}"
    return hashlib.sha256(named.encode()).digest()[:IDENTITY_BYTES]


def write(cursor: Cursor, owner: bytes) -> str:
    """The text of a cursor; `owner` is the `identity` of its store."""
    numbers = [cursor.seq, *(seq - cursor.seq for seq in sorted(cursor.passed))]
    body = owner + b"".join(map(_varint, numbers))
    return VERSION + base64.urlsafe_b64encode(body).decode().rstrip("=")


def read(text: str, owner: bytes) -> Cursor:
    """The cursor in a text.

    Raises:
        ForeignCursorError: it is one of another store.
        CursorError: it is none.
    """
    if text.isdecimal():  # what version 0.1.0 gave
        raise ForeignCursorError("is not a cursor of this inbox")
    if not text.startswith(VERSION):
        raise CursorError("is not a cursor of this inbox")
    encoded = text[len(VERSION) :]
    try:
        body = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
        seq, *offsets = _numbers(body[IDENTITY_BYTES:])
    except (binascii.Error, ValueError):
        raise CursorError("is not a cursor of this inbox") from None
    if body[:IDENTITY_BYTES] != owner:
        raise ForeignCursorError("belongs to an inbox that no longer exists, or to another account")
    return Cursor(seq, frozenset(seq + offset for offset in offsets))


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def _numbers(body: bytes) -> list[int]:
    if not body or len(body) > MAX_BYTES or body[-1] & 0x80:
        raise ValueError("cut off")
    numbers: list[int] = []
    number = shift = 0
    for byte in body:
        number |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            numbers.append(number)
            number = shift = 0
    if max(numbers) >= LIMIT:
        raise ValueError("too large")
    return numbers
