"""Cuts JSON that is nested too deeply, before it is parsed.

Python's parser and encoder recurse, and how deep they can go depends on the stack at that moment. A webhook that could
be stored must be readable from everywhere, so that its nesting is bounded without recursion.
"""

import re

LEVELS = 60
"""Levels of objects and lists that are kept. The reference's events have four."""

CUT = '"⟨deeper levels left out⟩"'
"""Stands in place of what was nested more deeply."""

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)
"""A bracket, or a string. A string without an end goes to the end of the text, so that it is scanned once."""


def shallow(text: str, levels: int = LEVELS) -> str:
    """JSON with every object and list below `levels` levels replaced by `CUT`. Other texts come back much the same."""
    if text.count("[") + text.count("{") <= levels:
        return text
    kept: list[str] = []
    depth = start = 0
    for match in _TOKEN.finditer(text):
        token = match.group()
        if token in ("[", "{"):
            depth += 1
            if depth == levels + 1:
                kept.append(text[start : match.start()] + CUT)
        elif token in ("]", "}"):
            depth -= 1
            if depth == levels:
                start = match.end()
    if depth <= levels:
        kept.append(text[start:])
    return "".join(kept)
