"""Turn bytes from the server into JSON that is safe to handle."""

import json
import re
from decimal import Decimal
from typing import Any, NoReturn, cast

from piv_mcp.text.nesting import shallow
from piv_mcp.text.surrogates import replace_surrogates_in

_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")


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
        value = _JSON.decode(shallow(text) if cut_deep else text)
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


_JSON = json.JSONDecoder(parse_float=_fraction, parse_constant=_no_number)
