"""Texts for a model: errors, invalid arguments, and suggestions for unknown names."""

import difflib
import json

from pydantic import ValidationError

from piv_mcp.errors import PivError


def error_text(error: PivError, *, spends: bool = True) -> str:
    """The text of an error: its code, what happened, whether money moved, and what to do next."""
    money = "No money moved" if error.may_have_charged and not spends else error.money
    parts = [f"{error.code}: {_sentence(error.message)}", money, error.hint]
    return " ".join(_sentence(part) for part in parts if part)


def validation_problems(error: ValidationError) -> list[str]:
    """`parameter: reason` for each invalid argument, without the rejected value. Reasons are our validators' own words:
    what pydantic itself could find wrong, `server.arguments` found before."""
    return [
        f"{'.'.join(map(str, item['loc'])) or 'arguments'}: "
        + (
            item["msg"].removeprefix("Value error, ")
            if item["type"] == "value_error"
            else "is not of the expected kind"
        )
        for item in error.errors(include_url=False, include_input=False)
    ]


def refusal_text(problems: list[str], *more: str) -> str:
    """The text of a call that was refused because of its arguments."""
    return " ".join(["VALIDATION_ERROR: " + "; ".join(problems) + ".", *more, "Nothing was sent and no money moved."])


def did_you_mean(name: str, known: list[str]) -> str:
    """A suggestion in parentheses if one of the known names is similar, else nothing."""
    close = difflib.get_close_matches(name[:64], known, 1)
    return f" (did you mean {close[0]}?)" if close else ""


def quoted(name: str) -> str:
    """An unknown name in quotes, shortened and in ASCII, so that it can be repeated in an error."""
    return json.dumps(name[:64], ensure_ascii=True)


def _sentence(text: str) -> str:
    text = text.strip()
    return text if not text or text[-1] in ".!?" else f"{text}."
