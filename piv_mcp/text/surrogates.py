"""Lone surrogates: halves of a UTF-16 pair that stand alone.

A text that was cut in the middle of an emoji ends in one. JSON can carry it (`\\ud83d`), UTF-8 cannot, so that it can
be neither stored nor sent on. U+FFFD, the replacement character, takes its place.
"""

from typing import Any


def replace_surrogates(text: str) -> str:
    """`text` with each lone surrogate replaced by U+FFFD, and with pairs that stand apart joined."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def replace_surrogates_in(value: Any) -> Any:
    """Likewise in every text of a JSON value, keys included."""
    if isinstance(value, str):
        return replace_surrogates(value)
    if isinstance(value, dict):
        return {replace_surrogates_in(key): replace_surrogates_in(item) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list):
        return [replace_surrogates_in(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return value
