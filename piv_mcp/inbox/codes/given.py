"""Choose between the API's `code` field and our own reading of the text."""

from __future__ import annotations

from typing import Final, Literal

from piv_mcp.inbox.codes.extract import read_text
from piv_mcp.inbox.codes.numbers import MAX_SIZE, MIN_SIZE
from piv_mcp.inbox.codes.text import normalise

MAX_GIVEN: Final = 32
"""Characters. A longer value in the API's `code` field is not taken for a code."""

# What programs write where they have no code.
_FILLERS: Final = frozenset(("null", "none", "nil", "undefined", "unknown", "false", "true", "empty"))
_LEAST_SCORE: Final = 0.0  # below it, a label says that the number is something else


def choose_code(text: str | None, given: object) -> tuple[str | None, Literal["api", "text"] | None]:
    """Return (the code of a message, where it comes from): the API's `code` field if it holds, else our own reading.

    `given` holds if it has the form of a code and stands in the text as a number or word of its own that no label
    names as something else. It is returned as our own readings are: without separators, in ASCII. An `int` has lost
    the zeros it began with, which the text has. Without a text the form decides.
    """
    value = _code_form(given)
    if text is None or not text.strip():
        alone = value is not None and len(value) >= MIN_SIZE and any(map(str.isdigit, value)) and value.strip("0") != ""
        return (value, "api") if alone else (None, None)
    own, candidates = read_text(text)
    if value is not None:
        standing = [found for found, score in candidates if score > _LEAST_SCORE]
        for found in [own, *standing] if own else standing:
            known = found.lstrip("0") if isinstance(given, int) else found
            if known.lower() == value.lower():
                return found, "api"
    return own, "text" if own else None


def _code_form(given: object) -> str | None:
    """A value of the API's `code` field, normalised; None if it cannot be a code."""
    if isinstance(given, int) and not isinstance(given, bool):
        return str(given) if 0 < given < 10**MAX_SIZE else None
    if not isinstance(given, str) or len(given) > MAX_GIVEN:
        return None
    if MIN_SIZE <= len(given) <= MAX_SIZE and given.isascii() and given.isdigit():
        return given  # as nearly all are: a burst of webhooks need not read them like a text
    plain = normalise(given).strip()
    if plain.lower() in _FILLERS:
        return None
    values = {value for value, _ in read_text(given).candidates}
    if not values and plain.isascii() and plain.isalnum() and len(plain) <= MAX_SIZE:
        return plain  # letters that look like a word
    value = values.pop() if len(values) == 1 else None
    # Only a tag may stand beside the code: G-123456.
    return value if value and "".join(filter(str.isalnum, plain)).endswith(value) else None
