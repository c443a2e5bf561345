"""Tell that an SMS is one part of a longer message: "(1/2) Your code is"."""

from __future__ import annotations

import re
from typing import Final

from piv_mcp.inbox.codes.text import fold, normalise

_MOST_PARTS: Final = 9
_COUNT: Final = r"([1-9]) ?(?:/|of|de|von|sur|di|van|av|af|из|з|z|dari|/) ?([1-9])"
_WORD: Final = (
    r"(?:part|pt|msg|message|sms|page|teil|seite|parte|partie|deel|del|czesc|cast|bolum|bagian|phan|часть|част|частина)"
)
# In brackets or with a word at either end of the text, or before a colon at its start.
_START: Final = re.compile(
    rf"\s*(?:[(\[<]\s*(?:{_WORD}\.? ?)?{_COUNT}\s*[)\]>]|{_WORD}\.? {_COUNT}(?![0-9/])|{_COUNT} ?(?:[:)]|- )(?![0-9]))"
)
_END: Final = re.compile(rf"(?:[(\[<]\s*(?:{_WORD}\.? ?)?{_COUNT}\s*[)\]>]|(?<![a-z]){_WORD}\.? {_COUNT})[\s.]*$")


def parts_of(text: str) -> tuple[int, int] | None:
    """Return (part, of how many) for an SMS that is one part of several, or None.

    A count is read at either end of the text alone, and never from a date, a time or a fraction.
    """
    folded = fold(normalise(text))
    found = _START.match(folded) or _END.search(folded)
    if found is None:
        return None
    part, of = (int(group) for group in found.groups() if group is not None)
    return (part, of) if part <= of and 2 <= of <= _MOST_PARTS else None
