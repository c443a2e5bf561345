"""Undo what gateways and senders do to a text: entities, tags, wrong encodings, marks, digits that stand apart."""

from __future__ import annotations

import html
import re
from contextlib import suppress
from typing import Final
from urllib.parse import unquote

_ENTITY: Final = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z]{2,8});")
_TAG: Final = re.compile(r"</?[A-Za-z]{1,10}(?:\s[^<>]{0,80})?/?>")

LOST: Final = "\ufffd"
"""Stands for a letter that a gateway could not write."""
# A question mark is often written for it; in links it has a meaning.
_LOST_LETTER: Final = re.compile(r"(?<=[A-Za-z])\?(?=[a-z])(?![\w-]*=)|(?<=[a-z] )\?(?= [a-z0-9])")


def _single_bytes(encoding: str) -> dict[str, str]:
    """Map each character above ASCII of a one-byte encoding to the Latin-1 character of the same byte."""
    table: dict[str, str] = {}
    for byte in range(0x80, 0x100):
        # Bytes without a character come through as control characters.
        table[bytes([byte]).decode(encoding, "ignore") or chr(byte)] = chr(byte)
    return table


# UTF-8 that was read as one of these: "cÃ³digo", "РљРѕРґ".
_MISREAD: Final = tuple(map(_single_bytes, ("cp1252", "cp1251")))
# In cp1251, the first of three bytes is a small letter, which words in Cyrillic have too; of two bytes, a capital.
_LAST_FIRST_BYTE: Final = ("\xf4", "\xdf")
_TO_LATIN_1: Final = tuple(str.maketrans({**table, LOST: "\xff"}) for table in _MISREAD)


def _misread_pair(table: dict[str, str], last: str) -> str:
    """A pattern for the first two bytes of a misread character."""
    first = "".join(char for char, byte in table.items() if "\xc2" <= byte <= last)
    then = "".join(char for char, byte in table.items() if byte < "\xc0")
    return f"[{re.escape(first)}][{re.escape(then)}]"


_MAYBE_MISREAD: Final = re.compile("|".join(map(_misread_pair, _MISREAD, _LAST_FIRST_BYTE)))
_ABOVE_ASCII: Final = re.compile("[^\x00-\x7f]{2,}")

# The patterns begin with a plain set of characters, which is quick to look for; what stands before is looked at then.
# The same marks on both sides: **447120**, _*447120*_, $447120$.
_MARK: Final = r"[*_•·×$€£+^/\\.#%@=~|-]"
_MARKED: Final = re.compile(
    rf"({_MARK}(?<![A-Za-z0-9].)(?<!{_MARK}.){_MARK}{{0,2}})([0-9A-Za-z][0-9A-Za-z -]{{2,10}}[0-9A-Za-z])"
    rf"({_MARK}{{1,3}})(?![A-Za-z0-9*_/#@|~^]|[.-][A-Za-z0-9])"
)
# Digits one by one, with the same between each two: "5-5-1-2", "5, 5, 1, 2", "[5][5][1][2]".
_SINGLE: Final = r"( ?(?:[-,./_|·•・;:+、]|\.\.\.) ?|\s{1,3}|\]\[|\)\()[0-9](?:\1[0-9]){2,8}"
# Pairs with commas or with different marks between, which no date has: "55, 12, 09", "55 12-09".
_PAIRS: Final = r"[0-9](?:, [0-9]{2}){2,3}|[0-9](?: [0-9]{2}-|-[0-9]{2} )[0-9]{2}(?:[ -][0-9]{2})?"
_APART: Final = re.compile(
    rf"[0-9](?<![A-Za-z0-9].)(?<![0-9][-.,:/+*\s].)(?:{_SINGLE}|{_PAIRS}|[0-9]{{2}}, [0-9]{{3}}(?! \w))"
    r"(?![A-Za-z0-9*%]|[.,:/-][0-9]| ?- ?[0-9]|,? [0-9])"
)
# Halves with a wide or unusual mark between: "551 - 209", "551·209".
_HALVES: Final = re.compile(r"([0-9](?<![A-Za-z0-9].)[0-9]{1,3})(?: [-/] |  |[·•_])(?=[0-9]{2,4}(?![A-Za-z0-9]))")


def repair(text: str) -> str:
    """Undo what a gateway did to the characters of a text."""
    if "&" in text:
        text = _ENTITY.sub(lambda match: html.unescape(match.group()), text)
    if "%20" in text and " " not in text:
        text = unquote(text)
    if "<" in text:
        text = _TAG.sub(" ", text)
    if not text.isascii() and _MAYBE_MISREAD.search(text):
        text = _ABOVE_ASCII.sub(_decode, text)
    return _LOST_LETTER.sub(LOST, text) if "?" in text else text


def _decode(match: re.Match[str]) -> str:
    run = match.group()
    for table, last in zip(_TO_LATIN_1, _LAST_FIRST_BYTE, strict=True):
        latin = run.translate(table)
        with suppress(UnicodeError):
            read = latin.encode("latin-1").decode("utf-8", "replace")
            lost = read.count(LOST)
            if max(latin.replace("\xff", ""), default="") <= last and (not lost or 2 < len(read) - lost >= lost):
                return read
    return run


def tidy(plain: str) -> str:
    """Put quotes in the place of marks around a code, and digits that stand apart together."""
    plain = _MARKED.sub(_quote, plain)
    plain = _HALVES.sub(r"\1-", plain)
    return _APART.sub(_join, plain)


def _quote(match: re.Match[str]) -> str:
    before, value, after = match.groups()
    if not after.startswith(before[::-1]) or not any(map(str.isdigit, value)):
        return match.group()
    quotes = '"' * len(before)
    return f"{quotes}{value}{quotes}{after[len(before) :]}"


def _join(match: re.Match[str]) -> str:
    digits = "".join(filter(str.isdigit, match.group()))
    return match.group() if digits in "0123456789" else digits
