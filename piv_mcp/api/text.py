"""Turn bytes from the server into JSON that is safe to handle, or into a snippet that is safe to show."""

import json
import re
import unicodedata
from decimal import Decimal
from typing import Any, NoReturn, cast

from piv_mcp.text.nesting import shallow
from piv_mcp.text.surrogates import replace_surrogates_in

SNIPPET = 200
"""Characters of an unexpected response that an error shows."""

_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")

_CREDENTIALS = (
    re.compile(r'(?i)("(?:password|content|token|url)"\s*:\s*")(?:[^"\\]|\\.)*'),
    re.compile(r"(?i)([?&]token=)[^&\s\"']+"),
    re.compile(r"()[^\s\"':/@]+:[^\s\"'@/]+(?=@)"),
)
"""What responses hold and an error must not show: proxy passwords, signed links."""


def parse_json(body: bytes, *, cut_deep: bool = False) -> Any:
    """The JSON value in a body, its fractions as exact `Decimal`. `cut_deep`: with `shallow` nesting.

    Raises `ValueError`, with a short reason, for everything else: no body, HTML, broken or truncated JSON, NaN,
    numbers out of range, nesting that is too deep. Bytes that are not UTF-8 and lone surrogates become U+FFFD, so
    that a garbled character does not lose the message, and every text can be stored.
    """
    if not body.strip():
        raise ValueError("an empty body")
    if body.lstrip().startswith(b"<"):
        raise ValueError("a page of HTML or XML, not JSON")
    try:
        text = body.decode("utf-8-sig", errors="replace")
        value = json.loads(shallow(text) if cut_deep else text, parse_float=_fraction, parse_constant=_no_number)
        return replace_surrogates_in(value) if _SURROGATE_ESCAPE.search(body) else value
    except (ValueError, ArithmeticError, RecursionError):
        raise ValueError("broken JSON") from None


def as_object(value: object) -> dict[str, Any] | None:
    """The value where it is a JSON object, else `None`."""
    return cast(dict[str, Any], value) if isinstance(value, dict) else None


def _fraction(text: str) -> Decimal:
    value = Decimal(text)
    if abs(value.adjusted()) > 400:
        raise ValueError("a number out of range")
    return value


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def clean(text: str, *, secret: str, limit: int = SNIPPET) -> str:
    """One line of text without control or invisible characters, the secret, or credentials.

    At most `limit` characters long.
    """
    head = text[: limit * 5]
    line = " ".join("".join(char for char in head if char.isspace() or _is_visible(char)).split())
    # Removing characters may have joined the parts of a secret, and cutting may leave a part of it.
    line = line.replace(secret, "[key]")
    if len(head) < len(text):
        line = line[: -len(secret)]
    for pattern in _CREDENTIALS:
        line = pattern.sub(r"\1[hidden]", line)
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _is_visible(char: str) -> bool:
    return unicodedata.category(char)[0] != "C"
