"""Folding of SMS text: one plain copy to take codes from, one to find words in.

Both copies have the same length, so an offset in one is an offset in the other.
"""

import re
import unicodedata
from typing import Final

# Codes stand near the start or the end; the middle of a very long text is advertising or an attack.
_HEAD: Final = 1600
_TAIL: Final = 400

# Letters with strokes and ligatures, which do not decompose into a plain one and an accent.
_PLAIN_LETTERS: Final = dict(zip("øłđıæœßðþəħŋɓɗƙɲѐё", "oldiaasdtehnbdknее", strict=True))
# Arabic letters that keyboards and languages write in several ways.
_ARABIC: Final = str.maketrans("أإآٱىيئےكةۀہھؤەڪ", "ااااییییکههههوهک")
_SENTENCE_ENDS: Final = "。।॥؟۔։።។៕၊။…"
_COMMAS: Final = "、،՝"
_DASHES: Final = "‐‑‒–—―−﹣－﹘"
_BLANKS: Final = "\u034f\u115f\u1160\u3164\u17b4\u17b5"
_CACHE_LIMIT: Final = 20_000


class _Normal(dict[int, str]):
    """Maps a character to what a person would type for it; invisible ones to nothing."""

    def __missing__(self, key: int) -> str:
        if len(self) > _CACHE_LIMIT:
            self.clear()
        value = self[key] = _normal(chr(key))
        return value


class _Folded(dict[int, str]):
    """Maps a character to one lower-case letter without accents."""

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
    # Joiners, bidi controls, variation selectors and keycap frames hide inside codes.
    if category in ("Cf", "Cc", "Me", "Cs") or 0xFE00 <= code <= 0xFE0F or char in _BLANKS:
        return ""
    # Vowel points and tatweel are written or left out at will.
    if char == "\u0640" or 0x0591 <= code <= 0x05BD or 0x064B <= code <= 0x0652 or code == 0x0670:
        return ""
    if char in _DASHES:
        return "-"
    if char == "，":
        # Not the comma inside a number, which a full-width one never is.
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
    if ord(char) > 0x7F and unicodedata.category(char)[0] not in "LMN":
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
# Combining accents left over from decomposed text would break words apart.
_ACCENTS: Final = re.compile("[\u0300-\u036f]+")


def normalise(text: str) -> str:
    """The text with plain digits, spaces and dashes and nothing invisible, of bounded length."""
    return _plain(text if len(text) <= _HEAD + _TAIL else text[:_HEAD] + "\n" + text[-_TAIL:])


def fold_words(text: str) -> str:
    """A list of words folded like messages, of any length."""
    return fold(_plain(text))


def _plain(text: str) -> str:
    if text.isascii():
        return text.replace("\r\n", "\n").replace("\t", " ")
    if _ACCENTS.search(text):
        text = _ACCENTS.sub("", unicodedata.normalize("NFC", text))
    return text.translate(_NORMAL)


def fold(text: str) -> str:
    """The normalised text in lower case and without accents, character for character."""
    return text.lower() if text.isascii() else text.translate(_FOLDED)
