"""Replaces lone surrogates, which are halves of a UTF-16 surrogate pair without the other half.

A text that was cut in the middle of an emoji ends with one. JSON can contain a lone surrogate (`\\ud83d`), but UTF-8
cannot, so that the text could be neither stored nor sent. U+FFFD, the replacement character, is used instead.
"""

from typing import Any


def replace_surrogates(text: str) -> str:
    """`text` with each lone surrogate replaced by U+FFFD, and each surrogate pair by the character that it encodes."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def replace_surrogates_in(value: Any) -> Any:
    """`value`, a JSON value, with the same replacement in every string, including keys."""
    if isinstance(value, str):
        return replace_surrogates(value)
    if isinstance(value, dict):
        return {replace_surrogates_in(key): replace_surrogates_in(item) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list):
        return [replace_surrogates_in(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return value
