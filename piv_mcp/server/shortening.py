"""Cuts one answer that is too long although it holds no list whose rows could be asked for later."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

EVER_SHORTER = ((4000, 200), (2000, 100), (1000, 50), (500, 25), (200, 12), (80, 6), (30, 3), (10, 1))
"""(characters of a text, items of a list), tried in turn."""

WIDE = 50
"""An object with more fields than this is data, not one of our models, and loses fields like a list."""

_FENCED = re.compile(r"(⟦\w+⟧)(.*)(⟦/\w+⟧)", re.DOTALL)


def shortened(content: dict[str, Any], fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """`content` with shorter texts and lists, and a field `cut` that says what was left out."""
    shown = content
    for chars, items in EVER_SHORTER:
        cutter = _Cutter(chars, items)
        shown = {"cut": "", **cast("dict[str, Any]", cutter.cut(content))}
        shown["cut"] = (
            f"Too long for one answer: {cutter.left_out} items of lists and {cutter.characters} characters of texts "
            "were left out."
        )
        if fits(shown):
            break
    return shown


@dataclass
class _Cutter:
    chars: int
    items: int
    left_out: int = 0
    characters: int = 0

    def cut(self, value: object) -> object:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, list):
            items = cast("list[object]", value)
            self.left_out += max(0, len(items) - self.items)
            return [self.cut(item) for item in items[: self.items]]
        if isinstance(value, dict):
            fields = list(cast("dict[str, object]", value).items())
            kept = fields if len(fields) <= WIDE else fields[: self.items]
            self.left_out += len(fields) - len(kept)
            return {name: self.cut(item) for name, item in kept}
        return value

    def _text(self, text: str) -> str:
        fenced = _FENCED.fullmatch(text)
        before, inner, behind = fenced.groups() if fenced else ("", text, "")
        more = len(inner) - self.chars
        if more <= 0:
            return text
        self.characters += more
        return f"{before}{inner[: self.chars]}⟨{more} more characters⟩{behind}"
