"""Counts the SMS segments of a text (3GPP TS 23.038 and 23.040). Each segment is charged."""

from collections.abc import Iterable

# The GSM-7 default alphabet, and its extension table, whose characters take two septets.
_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡"
    "ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENSION = frozenset("\f^{}\\[~]|€")


def sms_segments(text: str) -> tuple[int, str]:
    """(number of segments, encoding). A character of two units is never split between two segments."""
    if all(char in _BASIC or char in _EXTENSION for char in text):
        return _count((1 + (char in _EXTENSION) for char in text), 160, 153), "GSM-7"
    return _count((1 + (ord(char) > 0xFFFF) for char in text), 70, 67), "UCS-2"


def _count(units: Iterable[int], single: int, part: int) -> int:
    sizes = list(units)
    if sum(sizes) <= single:
        return 1
    parts, room = 0, 0
    for size in sizes:
        if size > room:
            parts, room = parts + 1, part
        room -= size
    return parts
