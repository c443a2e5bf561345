"""An endpoint as data: method, path, the model of its answer, and where in the body that answer is.

The envelopes are irregular. Most answers are in `data`, some one level deeper under their own name, some
beside `success`; a few are not documented. Each shape below also takes the readings next to it, since the
server may mend them.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, Literal, TypeVar, cast
from urllib.parse import quote

from pydantic import TypeAdapter

from piv_mcp.errors import InvalidRequestError

NO_IDS = frozenset({".", "..", "countries", "purchase", "restore", "search", "queue", "tiers"})
"""What would name another endpoint in the place of an id."""

T = TypeVar("T")
Body = dict[str, Any]
Shape = Callable[[Body], Any]


class NoData(ValueError):
    """The envelope lacks `data`."""


def in_data(body: Body) -> Any:
    """`{"success": true, "data": ...}`"""
    if body.get("data") is None:
        raise NoData("the answer has no data")
    return body["data"]


def under(name: str) -> Shape:
    """`{"data": {name: {...}}}`, or the object without its name."""

    def shape(body: Body) -> Any:
        data: Any = in_data(body)
        return cast(Body, data).get(name, data) if isinstance(data, dict) else data

    return shape


def page_of(name: str) -> Shape:
    """`{"data": {name: [...], "pagination": {...}}}`, or a bare list."""
    rows = under(name)

    def shape(body: Body) -> Any:
        data = in_data(body)
        pagination = cast(Body, data).get("pagination") if isinstance(data, dict) else None
        return {"items": rows(body), "pagination": pagination or body.get("pagination") or {}}

    return shape


def beside(body: Body) -> Any:
    """`{"success": true, ...}`: the answer stands beside `success`, or in `data` after all."""
    data = body.get("data")
    return {**body, **cast(Body, data)} if isinstance(data, dict) else body


@dataclass(frozen=True)
class Endpoint(Generic[T]):
    """One endpoint. `template` is its path below `/api/v1`, with the reference's own placeholder names."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    template: str
    answer: type[T]
    shape: Shape = in_data
    refunds: frozenset[str] = frozenset()
    """Codes of 5xx answers that, by the reference, say that the charge was taken back: nothing was done."""
    undocumented: bool = False
    """Its answer is not documented: 204 without a body is a success, too."""

    def __str__(self) -> str:
        return f"{self.method} {self.template}"

    @property
    def writes(self) -> bool:
        return self.method != "GET"

    @cached_property
    def adapter(self) -> TypeAdapter[T]:
        return TypeAdapter(self.answer)

    def path(self, *ids: str) -> str:
        """The path with the ids, percent-encoded, for the placeholders. Raises `InvalidRequestError`."""
        remaining = iter(ids)
        return re.sub(r"\{(\w+)\}", lambda match: self._segment(match[1], next(remaining)), self.template)

    def _segment(self, name: str, value: str) -> str:
        # "." and ".." cannot be encoded: every client and proxy would resolve them to another endpoint.
        try:
            encoded = quote(value, safe="")
        except UnicodeEncodeError:
            encoded = ""
        if not value.strip() or value in NO_IDS or not encoded:
            raise InvalidRequestError(
                f"{name}: not an id",
                code="VALIDATION_ERROR",
                method=self.method,
                path=self.template,
            )
        return encoded
