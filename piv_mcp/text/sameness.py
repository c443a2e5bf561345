"""Whether two texts are one message: it comes by webhook and stands in the history, and one of them may be damaged.

`same_text_key` sees through what changes no character: encodings, entities, quotes, invisible characters, white space.
`nearly_same` sees through what is lost: characters that were replaced, accents, the end of the text. It is meant for
texts that came to one number within a few minutes of each other.
"""

import codecs
import html
import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from hashlib import blake2b
from typing import Literal, NamedTuple

from piv_mcp.text.invisible import is_invisible
from piv_mcp.text.transliteration import spellings

PASSES = 4
"""How often a text is decoded at most: its entities may be encoded twice, and so may the whole."""

LONGEST = 1600
"""Characters of a text in which damage is looked for."""

LONGEST_DAMAGE = 700
"""Characters between the first and the last difference of two texts: with more of them they are not one message."""

FEW = 4
"""Letters and digits that two texts have in common at least, unless as many characters are replaced as there were."""

ENOUGH = 12
"""Characters that a cut-off text must have in common with the whole one."""

ENOUGH_WITH_DOTS = 6
"""The same where the text says by dots that it was cut off."""

ENOUGH_IN_NUMBER = 20
"""The same where it ends within a number: a shorter one is rather another message, with another number."""

MARKS = "?\ufffd_. "
"""What is put in the place of characters that cannot be sent."""

_ENTITY = re.compile(r"&(?:amp;|#0*38;|#[xX]0*26;)+")
_CUT_ENTITY = re.compile(r"&(?:amp;)*#?[A-Za-z0-9]{0,10}$")
_WHITE = "\t\n\x0b\x0c\r\x85\u2028\u2029"
_WHITES = re.compile(f"[ {_WHITE}]+")
_NOT_IN_EVERY_GSM = "[]{}\\~^|`"
"""Characters of ASCII that some networks cannot send."""

_QUOTES_AND_DASHES = {
    "'": "`´‘’‚‛′‵‹›ʼ\uff07\uff40",
    '"': "“”„‟″‶«»\u3003\u301d\u301e\u301f\uff02",
    "-": "‐‑‒–—―−⁃﹘﹣\uff0d",
}

_BYTES = {
    ord(char): byte for byte in range(256) for char in (chr(byte), bytes([byte]).decode("cp1252", "ignore")) if char
}
"""The characters of Latin-1, and those that Windows-1252 has where Latin-1 has controls."""


class _Tidy(dict[int, str | int | None]):
    """For `str.translate`: drops what is invisible, and unifies quotes, dashes and three dots. It remembers some."""

    def __missing__(self, code: int) -> str | int | None:
        char = chr(code)
        result = " " if char in _WHITE else None if is_invisible(char) else code
        if len(self) < 5000:
            self[code] = result
        return result


_TIDY = _Tidy({ord(char): unified for unified, chars in _QUOTES_AND_DASHES.items() for char in chars})
_TIDY[ord("…")] = "..."


def same_text_key(text: str) -> str:
    """32 hexadecimal digits, equal for texts that are the same but for their encoding, typography and white space."""
    return blake2b(_normal(text, "NFKC").encode(), digest_size=16).hexdigest()


def nearly_same(one: str, other: str) -> bool:
    """Whether one text can be the other, damaged: with characters outside ASCII replaced, transliterated or lost, one
    blank lost, or the end cut off. Never if digits or words in ASCII differ, but for what was cut off."""
    if max(len(one), len(other)) > LONGEST:
        return _begins_with(*sorted((" ".join(one.split()), " ".join(other.split())), key=len))
    if _normal(one, "NFKC") == _normal(other, "NFKC"):
        return True
    full, short = (_typeset(one), _typeset(other)), (_readable(one), _readable(other))
    if _is_damaged(full[0], short[1]) or _is_damaged(full[1], short[0]):
        return True
    return _is_cut(full[0], other) or _is_cut(full[1], one)


# The normal form


def _normal(text: str, form: Literal["NFC", "NFKC"]) -> str:
    if text.isascii() and "&" not in text:
        return " ".join(text.translate(_TIDY).split())
    for _ in range(PASSES):
        before = text
        if "&" in text:
            text = html.unescape(_ENTITY.sub("&", text))
        text = unicodedata.normalize(form, _tidied(_repaired(text)))
        text = " ".join(_tidied(text).split())
        if "&" not in text or text == before:
            break
    return text


def _tidied(text: str) -> str:
    """`text.translate(_TIDY)`. NFKC makes a long text of some characters, and mostly nothing in it is to be changed."""
    return text.translate(_TIDY) if any(_TIDY[ord(char)] != ord(char) for char in set(text)) else text


def _typeset(text: str) -> str:
    """The text with its typography, each character of which may have been replaced: decoded as `_normal` does, but with
    its own quotes, dashes and blanks."""
    if text.isascii() and "&" not in text:
        return _normal(text, "NFC")
    for _ in range(PASSES):
        before = text
        if "&" in text:
            text = html.unescape(_ENTITY.sub("&", text))
        text = unicodedata.normalize("NFC", _repaired(text))
        if text == before:
            break
    return _spelt_out(_WHITES.sub(" ", text).strip(" "))


def _repaired(text: str, *, final: bool = True) -> str:
    """The text as it was meant, if it is UTF-8 that was read as Latin-1 or Windows-1252. Without `final`, it may end
    within a character."""
    for _ in range(2):
        if text.isascii():
            break
        try:
            sent, _length = codecs.charmap_encode(text, "strict", _BYTES)
            text, _length = codecs.utf_8_decode(sent, "strict", final)
        except UnicodeError:
            break
    return text


def _readable(text: str) -> str:
    """The normal form with the digits spelt out, and without the rest that NFKC would spell out, such as the trademark
    sign: each may have been replaced as one character."""
    return _spelt_out(_normal(text, "NFC"))


def _spelt_out(text: str) -> str:
    return text if text.isascii() else "".join(map(_digits_or_self, text))


@lru_cache(maxsize=2048)
def _digits_or_self(char: str) -> str:
    spelt = str(unicodedata.decimal(char, None) or unicodedata.normalize("NFKC", char))
    return spelt if any(part.isdecimal() for part in spelt) else char


# Damage


def _begins_with(short: str, full: str) -> bool:
    return len(short) >= ENOUGH_IN_NUMBER and full.startswith(_without_dots(short))


def _without_dots(text: str) -> str:
    """The text without the dots, two or more, that say that it was cut off."""
    bare = text.rstrip(". …")
    return bare if len(text) > len(bare) + text.endswith(".") else text


def _is_damaged(full: str, short: str) -> bool:
    """Whether `short` is what became of `full`."""
    start = _common(full, short)
    end = _common(full[start:][::-1], short[start:][::-1])
    changed, became = full[start : len(full) - end], short[start : len(short) - end]
    if max(len(changed), len(became)) > LONGEST_DAMAGE:
        return False
    enough = len(short) == len(full) or _in_common(short) >= FEW
    return enough and len(changed) in _fits(changed, became, before=full[:start], behind=full[len(full) - end :])


def _is_cut(full: str, damaged: str) -> bool:
    """Whether a text is what became of the beginning of `full`."""
    end = damaged.rstrip()
    bare = _without_dots(end)
    short = _readable(_repaired(_CUT_ENTITY.sub("", bare), final=False)).rstrip("\ufffd ")
    least = ENOUGH if bare == end else ENOUGH_WITH_DOTS
    start = _common(full, short)
    changed, became = full[start:], short[start:]
    if len(became) > LONGEST_DAMAGE or len(short) < least or _in_common(short) < FEW:
        return False
    behind = changed[LONGEST_DAMAGE:]
    for read in _fits(changed[:LONGEST_DAMAGE], became, before=full[:start], behind=behind):
        in_number = short[-1].isdecimal() and changed[read : read + 1].isdecimal()
        if not in_number or bare != end or len(short) >= ENOUGH_IN_NUMBER:
            return True
    return False


def _in_common(short: str) -> int:
    """How many letters and digits of a text that fits another are certainly in both."""
    return sum(char.isascii() and char.isalnum() for char in short)


def _common(one: str, other: str) -> int:
    """How many characters both texts begin with."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _fits(full: str, short: str, *, before: str, behind: str) -> Iterator[int]:
    """After how many characters of `full` all of `short` is explained. `before` and `behind` are around `full`.

    All ways to explain it are followed at once: bit n of a set stands for the first n characters of `short`. One set
    is without a lost blank, the other with one.
    """
    where: dict[str, int] = {}
    for index, char in enumerate(short):
        where[char] = where.get(char, 0) | 1 << index
    blanks, end = where.get(" ", 0), 1 << len(short)
    marks = sum(where.get(char, 0) for char in MARKS)
    padded = f"{before[-1:] or ' '}{full}{behind[:1] or ' '}"
    exact, once = 1, (blanks & 1) << 1
    ways: dict[str, _Ways] = {}
    for index, char in enumerate(full):
        if (exact | once) & end:
            yield index
        here = where.get(char, 0)
        if _is_soft(char):
            way = ways.get(char) or ways.setdefault(char, _ways(char, where))
            exact = _after_soft(exact, way, here, marks)
            once = _after_soft(once, way, here, marks)
        elif char == " " and (_is_soft(padded[index]) or _is_soft(padded[index + 2])):
            # It is lost together with what is beside it, which cannot be told from a blank between other words.
            exact, once = ((exact & here) << 1) | exact, ((once & here) << 1) | once
        else:
            lost = exact if char == " " else 0
            exact, once = (exact & here) << 1, ((once & here) << 1) | lost
        once |= (exact & blanks) << 1
        if not exact | once:
            return
    if (exact | once) & end:
        yield len(full)


class _Ways(NamedTuple):
    """What a character outside ASCII can have become in one text: a mark for each byte, at most, or a spelling, each
    letter of which stands at the places of a set."""

    marks: int
    spellings: tuple[tuple[int, ...], ...]


def _ways(char: str, where: dict[str, int]) -> _Ways:
    found = (tuple(where.get(letter, 0) for letter in spelling) for spelling in _spellings(char))
    return _Ways(len(char.encode()), tuple(places for places in found if all(places)))


def _after_soft(positions: int, ways: _Ways, here: int, marks: int) -> int:
    """Where a character outside ASCII can lead: it stands there, is lost, became marks, or is transliterated."""
    if not positions:
        return 0
    reached = positions | (positions & here) << 1
    marked = positions
    for _ in range(ways.marks):
        marked = (marked & marks) << 1
        if not marked:
            break
        reached |= marked
    for places in ways.spellings:
        spelt = positions
        for place in places:
            spelt = (spelt & place) << 1
        reached |= spelt
    return reached


@lru_cache(maxsize=2048)
def _spellings(char: str) -> tuple[str, ...]:
    """What a character can have become in a text that `_readable` made."""
    tidy = _TIDY[ord(char)]
    return (*spellings(char), tidy) if isinstance(tidy, str) else spellings(char)


def _is_soft(char: str) -> bool:
    """Whether a character may be lost: it is not in ASCII, or not every network can send it. Digits never are."""
    return char in _NOT_IN_EVERY_GSM if char.isascii() else not char.isdecimal()
