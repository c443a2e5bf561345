"""Characters that nobody sees: they hide text in a text, or change the order in which a text is read."""

import unicodedata

_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Control, format (bidi controls, zero-width characters, tags), surrogate, private, unassigned; line and paragraph
separators."""

_RANGES = (
    (0x034F, 0x034F),  # combining grapheme joiner
    (0x115F, 0x1160),  # Hangul fillers
    (0x17B4, 0x17B5),  # Khmer inherent vowels
    (0x180B, 0x180F),  # Mongolian variation selectors
    (0x2800, 0x2800),  # empty Braille pattern
    (0x3164, 0x3164),  # Hangul filler
    (0xFE00, 0xFE0F),  # variation selectors
    (0xFFA0, 0xFFA0),  # half-width Hangul filler
    (0x13441, 0x13442),  # Egyptian blanks
    (0x16FE4, 0x16FE4),  # Khitan filler
    (0x1D159, 0x1D159),  # musical null note head
    (0xE0000, 0xE0FFF),  # tags, and further variation selectors
)
"""What is invisible in the other categories: Unicode's default-ignorable characters, and a few that look empty."""

_INVISIBLE = frozenset(chr(code) for first, last in _RANGES for code in range(first, last + 1))


def is_invisible(char: str) -> bool:
    """Whether a character shows nothing, or reorders others. Spaces are visible, a line break and a tab are not."""
    return char in _INVISIBLE or unicodedata.category(char) in _CATEGORIES
