"""An endpoint as data: method, path, the model of its answer, and where that answer is in the response body.

The envelopes differ between endpoints. Most answers are in `data`, some one level deeper under a name, some
beside `success`; a few are not documented. Each shape below also accepts the similar forms, since the server
may make its envelopes consistent one day.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import quote

from pydantic import TypeAdapter

from piv_mcp.api.text import as_object
from piv_mcp.errors import InvalidRequestError

NO_IDS = frozenset({".", "..", "countries", "purchase", "restore", "search", "queue", "tiers"})
"""Path segments that would name another endpoint if they stood in place of an id."""

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
        data = in_data(body)
        return (as_object(data) or {}).get(name, data)

    return shape


def page_of(name: str) -> Shape:
    """`{"data": {name: [...], "pagination": {...}}}`, or a bare list."""
    rows = under(name)

    def shape(body: Body) -> Any:
        pagination = (as_object(in_data(body)) or {}).get("pagination")
        return {"items": rows(body), "pagination": pagination or body.get("pagination") or {}}

    return shape


def beside(body: Body) -> Any:
    """`{"success": true, ...}`: the answer is beside `success`, or in `data` after all."""
    return {**body, **(as_object(body.get("data")) or {})}


@dataclass(frozen=True)
class Endpoint(Generic[T]):
    """One endpoint. `template` is its path below `/api/v1`, with the reference's own placeholder names."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    template: str
    answer: type[T]
    shape: Shape = in_data
    refunds: frozenset[str] = frozenset()
    """Error codes that, even with a 5xx status, mean by the reference that the charge was refunded."""
    confidential: bool = False
    """The answer may hold passwords, signed links or messages: no error quotes it."""
    undocumented: bool = False
    """The reference shows no answer, so 204 without a body is also a success."""

    def __str__(self) -> str:
        return f"{self.method} {self.template}"

    @property
    def writes(self) -> bool:
        return self.method != "GET"

    @cached_property
    def adapter(self) -> TypeAdapter[T]:
        return TypeAdapter(self.answer)

    def path(self, *ids: str) -> str:
        """The path with the percent-encoded ids in place of the placeholders. Raises `InvalidRequestError`."""
        remaining = iter(ids)
        return re.sub(r"\{(\w+)\}", lambda match: self._segment(match[1], next(remaining)), self.template)

    def _segment(self, name: str, value: str) -> str:
        # "." and ".." cannot be encoded: clients and proxies would resolve them to another endpoint.
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
