"""Cursors: how far a caller has read the inbox of one store.

A cursor is an opaque text with a version, the identity of the store and the account, and a checksum in it. One of
another store, one that somebody made up, and one that was copied with a mistake are recognised.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise

from piv_mcp.errors import PivError
from piv_mcp.store import Connection, facts

VERSION = "c1"
IDENTITY_BYTES = 5
CHECKSUM_BYTES = 2
MAX_BYTES = 400
LIMIT = 2**62
"""Above all event ids: SQLite's integers have 64 bits."""

KINDS = 2**14 - 1
"""What cursors are about is told apart by so many numbers: they take two bytes of a text that a model copies."""


class CursorError(PivError):
    """The text is no cursor of this inbox."""


Stretch = tuple[int, int]
"""The ids of the first and the last event of a stretch."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Everything up to event `seq` was read, and of what follows the stretches `passed`, in their order.

    `at` is the time on piv.day's clock, in whole seconds since the epoch, through which the account was looked at; 0 if
    that is not known. A message from before it that the first look at a history brings to light later is no new one.
    `about` is what the answer that gave it was about: it may have passed anything else without showing it.
    """

    seq: int
    passed: tuple[Stretch, ...] = ()
    at: int = 0
    about: int = 0

    def is_past(self, seq: int) -> bool:
        return seq <= self.seq or any(first <= seq <= last for first, last in self.passed)

    def covers(self, *about: int) -> bool:
        """Whether the answer that gave it would have shown what an answer shows that is about one of these."""
        return self.about in (0, *about)


def about(number: str | None = None, types: Collection[str] = (), match: Mapping[str, str] = {}) -> int:
    """What an answer is about: 0 for everything, else a number that stands for its filter."""
    if number is None and not types and not match:
        return 0
    told = json.dumps([number, sorted(set(types)), sorted(match.items())])
    return 1 + int.from_bytes(hashlib.sha256(told.encode()).digest()[:4]) % KINDS


def identity(connection: Connection) -> bytes:
    """The identity of the store and of the account whose rows are read."""
    named = f"{facts.get(connection, facts.STORE_ID)} {connection.account}"
    return hashlib.sha256(named.encode()).digest()[:IDENTITY_BYTES]


def write(cursor: Cursor, owner: bytes) -> str:
    """The text of a cursor; `owner` is the `identity` of its store."""
    bounds = [cursor.seq, *chain.from_iterable(cursor.passed)]
    steps = [bounds[0], *(after - before for before, after in pairwise(bounds))]
    body = owner + b"".join(map(_varint, (cursor.about, cursor.at, *steps)))
    return VERSION + base64.urlsafe_b64encode(body + _checksum(body)).decode().rstrip("=")


def read(text: str, owner: bytes) -> Cursor:
    """The cursor in a text.

    Raises:
        CursorError: it is no cursor, or one of another store.
    """
    if not text.startswith(VERSION):
        raise CursorError("is not a cursor of this inbox")
    encoded = text[len(VERSION) :]
    try:
        body = _checked(base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True))
        about, at, *steps = _numbers(body[IDENTITY_BYTES:])
        seq, *bounds = accumulate(steps)
        passed = tuple(zip(bounds[::2], bounds[1::2], strict=True))
    except (binascii.Error, ValueError):
        raise CursorError("is not a cursor of this inbox") from None
    if body[:IDENTITY_BYTES] != owner:
        raise CursorError("belongs to an inbox that no longer exists, or to another account")
    return Cursor(seq, passed, at, about)


def _checksum(body: bytes) -> bytes:
    """It shows every mistake in one character, and two neighbours that were swapped."""
    return binascii.crc_hqx(body, 0).to_bytes(CHECKSUM_BYTES)


def _checked(whole: bytes) -> bytes:
    """The body before its checksum."""
    body = whole[:-CHECKSUM_BYTES]
    if whole != body + _checksum(body):
        raise ValueError("copied with a mistake")
    return body


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
    if sum(numbers) >= LIMIT:
        raise ValueError("too large")
    return numbers
