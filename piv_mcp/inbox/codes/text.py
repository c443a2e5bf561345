"""Normalise and fold the text of an SMS.

The normalised text is what codes are taken from, the folded text is where words are found. Both have
the same length, so that an offset in one is an offset in the other.
"""

import re
import unicodedata
from typing import Final

from piv_mcp.inbox.codes.repair import LOST, repair, tidy

# A code is near the start or the end of a message. The middle of a very long one is left out, which
# bounds the time that a hostile text can take.
_HEAD_CHARS: Final = 1600
_TAIL_CHARS: Final = 400

# Letters that Unicode does not decompose into a plain letter and an accent.
_PLAIN_LETTERS: Final = dict(zip("øłđıæœßðþəħŋɓɗƙɲѐё", "oldiaasdtehnbdknее", strict=True))
# Arabic letters that have several forms, depending on the keyboard and the language.
_ARABIC: Final = str.maketrans("أإآٱىيئےكةۀہھؤەڪ", "ااااییییکههههوهک")
_SENTENCE_ENDS: Final = "。।॥؟۔։።។៕၊။…"
_COMMAS: Final = "、،՝"
_DASHES: Final = "‐‑‒–—―−﹣－﹘"
_INVISIBLE_LETTERS: Final = "\u034f\u115f\u1160\u3164\u17b4\u17b5"
_CACHE_LIMIT: Final = 20_000


class _Normal(dict[int, str]):
    """Maps a character's code point to what a person would type for it, an invisible one to nothing."""

    def __missing__(self, key: int) -> str:
        if len(self) > _CACHE_LIMIT:
            self.clear()
        value = self[key] = _normal(chr(key))
        return value


class _Folded(dict[int, str]):
    """Maps a character's code point to one lower-case letter without accents."""

    def __missing__(self, key: int) -> str:
        if len(self) > _CACHE_LIMIT:
            self.clear()
        value = self[key] = _folded(chr(key))
        return value


def _normal(char: str) -> str:
    if char in "\n\r\x0b\x0c\x85\u2028\u2029":
        return "\n"
    if char.isspace():
        return " "
    digit = unicodedata.decimal(char, None)
    if digit is not None:
        return str(digit)
    category = unicodedata.category(char)
    code = ord(char)
    # Joiners, bidi controls, variation selectors and keycap frames may stand between the digits of a code.
    if category in ("Cf", "Cc", "Me", "Cs") or 0xFE00 <= code <= 0xFE0F or char in _INVISIBLE_LETTERS:
        return ""
    # Vowel points and tatweel are optional in Hebrew and Arabic.
    if char == "\u0640" or 0x0591 <= code <= 0x05BD or 0x064B <= code <= 0x0652 or code == 0x0670:
        return ""
    if char in _DASHES:
        return "-"
    if char == "№":
        return "#"
    if char == "，":
        # A full-width comma separates words and is never part of a number, as an ASCII comma can be.
        return "、"
    plain = unicodedata.normalize("NFKC", char)
    if len(plain) == 1:
        digit = unicodedata.decimal(plain, None)
        return plain if digit is None else str(digit)
    return "".join(" " if c.isspace() else c for c in plain if unicodedata.category(c) != "Cf")


def _folded(char: str) -> str:
    if char in _SENTENCE_ENDS:
        return "!"
    if char in _COMMAS:
        return ","
    if ord(char) > 0x7F and char != LOST and unicodedata.category(char)[0] not in "LMN":
        return " "
    lower = char.lower()[:1] or char
    if lower in _PLAIN_LETTERS:
        return _PLAIN_LETTERS[lower]
    code = ord(lower)
    if code < 0x600 or 0x1E00 <= code < 0x2000:
        return unicodedata.normalize("NFD", lower)[0]
    return lower.translate(_ARABIC)


_NORMAL: Final = _Normal()
_FOLDED: Final = _Folded()
# Combining accents that remain after composition would split words.
_ACCENTS: Final = re.compile("[\u0300-\u036f]+")


def normalise(text: str) -> str:
    """The text with ASCII digits, spaces and hyphens, without invisible characters, at most 2,001 characters long."""
    short = text if len(text) <= _HEAD_CHARS + _TAIL_CHARS else text[:_HEAD_CHARS] + "\n" + text[-_TAIL_CHARS:]
    return tidy(_plain(repair(short)))


def fold_words(text: str) -> str:
    """Fold a list of words as messages are folded, at any length."""
    return fold(_plain(text))


def _plain(text: str) -> str:
    if text.isascii():
        return text.replace("\r\n", "\n").replace("\t", " ")
    if _ACCENTS.search(text):
        text = _ACCENTS.sub("", unicodedata.normalize("NFC", text))
    return text.translate(_NORMAL)


def fold(text: str) -> str:
    """The normalised text in lower case and without accents, of the same length."""
    return text.lower() if text.isascii() else text.translate(_FOLDED)
