"""Strict reading of request bodies and query strings.

The routing table lists the fields of each endpoint. Any other field is refused, so that tests notice a client that
sends undocumented fields. The typed readers below check types and forms. Every refusal is a VALIDATION_ERROR that names
the field. A client leaves an optional field out; null is refused.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar, cast

from piv_mcp.sandbox.errors import invalid

T = TypeVar("T")


@dataclass(frozen=True)
class Form:
    """A check of a string, and the message for a string that fails it."""

    fits: Callable[[str], object]
    says: str


def matching(pattern: str, says: str) -> Form:
    return Form(re.compile(pattern).fullmatch, says)


def one_of(*choices: str) -> Form:
    return Form(choices.__contains__, f"must be one of {', '.join(choices)}")


def length(shortest: int, longest: int) -> Form:
    return Form(lambda text: shortest <= len(text) <= longest, f"must have {shortest}-{longest} characters")


COUNTRY_CODE = matching(r"[A-Z]{2}", "must be a two-letter ISO 3166-1 code")
LANGUAGE = matching(r"[a-z]{2}", "must be a two-letter ISO 639-1 code")
E164 = matching(r"\+[1-9][0-9]{6,14}", "must be an international number (E.164)")
HOST = matching(r"(?i)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{1,62}", "must be a full domain name")
EMAIL = matching(r"[^@\s]+@[^@\s]+\.[^@\s]+", "must be a full e-mail address")
URL = matching(r"https?://\S+", "must be a full URL")
CUSTOM_NAME = length(1, 100)


class Fields:
    """A JSON object. `names` lists the known fields, like `"country_code* custom_name"`; `*` marks a required one."""

    def __init__(self, value: object, names: str, where: str = "") -> None:
        if not isinstance(value, dict):
            raise invalid(where or "body", "must be a JSON object")
        self._values = cast("dict[str, object]", value)
        self._prefix = f"{where}." if where else ""
        _check_names(self._values, names, self._prefix)

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def __bool__(self) -> bool:
        return bool(self._values)

    def null(self, name: str) -> bool:
        """Whether the field is present and null."""
        return name in self and self._values[name] is None

    def text(self, name: str, *forms: Form) -> str:
        return self._fitting(name, self._typed(name, self._values[name], str, "a string"), forms)

    def maybe_text(self, name: str, *forms: Form) -> str | None:
        return self.text(name, *forms) if name in self else None

    def integer(self, name: str, low: int, high: int) -> int:
        number = self._typed(name, self._values[name], int, "an integer")
        if not low <= number <= high:
            raise invalid(self._prefix + name, f"must be {low}-{high}")
        return number

    def maybe_integer(self, name: str, low: int, high: int) -> int | None:
        return self.integer(name, low, high) if name in self else None

    def boolean(self, name: str) -> bool:
        return self._typed(name, self._values[name], bool, "a boolean")

    def maybe_boolean(self, name: str) -> bool | None:
        return self.boolean(name) if name in self else None

    def seconds(self, name: str) -> float:
        value = self._values[name]
        if not isinstance(value, int | Decimal) or isinstance(value, bool) or value < 0:
            raise invalid(self._prefix + name, "must be a number of seconds")
        return float(value)

    def mapping(self, name: str) -> dict[str, object]:
        return cast("dict[str, object]", self._typed(name, self._values[name], dict, "a JSON object"))

    def texts(self, name: str, *forms: Form) -> list[str]:
        texts = [self._typed(name, item, str, "a list of strings") for item in self._list(name)]
        return [self._fitting(name, text, forms) for text in texts]

    def maybe_texts(self, name: str, *forms: Form) -> list[str] | None:
        return self.texts(name, *forms) if name in self else None

    def objects(self, name: str, names: str) -> "list[Fields]":
        return [Fields(item, names, f"{name}[{index}]") for index, item in enumerate(self._list(name))]

    def _list(self, name: str) -> list[object]:
        return cast("list[object]", self._typed(name, self._values[name], list, "a list"))

    def _typed(self, name: str, value: object, kind: type[T], words: str) -> T:
        # `isinstance` would take true for an integer.
        if type(value) is not kind:
            raise invalid(self._prefix + name, f"must be {words}")
        return value

    def _fitting(self, name: str, text: str, forms: Sequence[Form]) -> str:
        for form in forms:
            if not form.fits(text):
                raise invalid(self._prefix + name, form.says)
        return text


@dataclass(frozen=True)
class PageRequest:
    """Which page of a list a request asks for."""

    limit: int
    offset: int

    def of(self, items: Sequence[T]) -> tuple[Sequence[T], dict[str, int]]:
        """The items of the requested page, and the `pagination` block."""
        shown = items[self.offset : self.offset + self.limit]
        return shown, {"total": len(items), "limit": self.limit, "offset": self.offset}


class Query:
    """A query string. `names` is written as for `Fields`."""

    def __init__(self, values: Mapping[str, str], names: str) -> None:
        self._values = values
        _check_names(values, names, "")

    def text(self, name: str, *forms: Form) -> str | None:
        value = self._values.get(name)
        for form in forms:
            if value is not None and not form.fits(value):
                raise invalid(name, form.says)
        return value

    def flag(self, name: str) -> bool | None:
        value = self.text(name, one_of("true", "false"))
        return None if value is None else value == "true"

    def page(self, default: int, most: int) -> PageRequest:
        return PageRequest(self._integer("limit", default, 1, most), self._integer("offset", 0, 0, 10**9))

    def _integer(self, name: str, default: int, low: int, high: int) -> int:
        text = self._values.get(name)
        if text is None:
            return default
        if not re.fullmatch(r"[0-9]{1,10}", text) or not low <= int(text) <= high:
            raise invalid(name, f"must be an integer of {low}-{high}")
        return int(text)


def _check_names(values: Mapping[str, object], names: str, prefix: str) -> None:
    known = {name.rstrip("*") for name in names.split()}
    for name in values:
        if name not in known:
            raise invalid(prefix + name, "is not a known field")
    for name in names.split():
        if name.endswith("*") and name[:-1] not in values:
            raise invalid(prefix + name[:-1], "is required")
