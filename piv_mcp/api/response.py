"""Turn an HTTP response into the documented value, or an error that says whether the call may have had an effect."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, NoReturn, TypeVar, cast

from pydantic import ValidationError

from piv_mcp.api.endpoint import Endpoint, NoData
from piv_mcp.api.models import Page, good_rows
from piv_mcp.api.quoting import SNIPPET, plain_words
from piv_mcp.api.rate_limit import MAX_PAUSE, asked_for
from piv_mcp.api.text import as_object, parse_json
from piv_mcp.errors import ApiError, MalformedAnswerError, OutcomeUnknownError, error_class

T = TypeVar("T")
Clean = Callable[[str, int], str]
"""Makes text from the server safe to show, cut to at most so many characters."""

REFUSED_BARE = frozenset({401, 403, 404, 405, 407, 413, 415, 429})
"""Statuses that mean that the API did nothing, even without the documented error body: a proxy or firewall in
front of the API, or its router, sends them before the request is handled. Any other status without that body
(400, 402, 408, 409, 422, ...) may come from code that had already begun, so the outcome of a write is unknown."""

CODE = re.compile(r"[A-Z][A-Z0-9_]*|[a-z]+(?:_[a-z]+)*")
"""What an error code looks like. Any other word in its place is not shown."""

MESSAGE = 500
"""Characters of the server's own message that an error keeps."""


@dataclass(frozen=True)
class Call(Generic[T]):
    """One call: an endpoint, its path below the base URL, and what is sent."""

    endpoint: Endpoint[T]
    path: str
    query: dict[str, Any]
    body: dict[str, Any] | None

    def fail(self, error: ApiError, *, certain: bool) -> NoReturn:
        """Raise the error, as an `OutcomeUnknownError` for a write unless it is `certain` that nothing was done."""
        error.method, error.path = self.endpoint.method, self.path
        if self.endpoint.writes and not certain:
            raise OutcomeUnknownError(error) from None
        raise error from None


@dataclass(frozen=True)
class ApiResponse:
    """The status, the seconds that `Retry-After` asks for, and the body, `None` where it was too large to read."""

    status: int
    retry_after: float | None
    body: bytes | None

    @property
    def wait(self) -> float | None:
        """The seconds after which the call may be tried again: what the server asks for, within reason."""
        return None if self.retry_after is None else min(self.retry_after, MAX_PAUSE)

    @property
    def excess(self) -> str:
        """What to add to a message if the server asks for more than is obeyed."""
        asked = self.retry_after or 0.0
        return f" ({asked_for(asked)})" if asked > MAX_PAUSE else ""


def understand(call: Call[T], response: ApiResponse, clean: Clean) -> T:
    """The value of a successful response. Raises `ApiError` for any other."""
    status, endpoint = response.status, call.endpoint
    if endpoint.undocumented and status == 204:
        return endpoint.adapter.validate_python({})
    try:
        body = _object(response)
    except ValueError as problem:
        _refuse_bare(call, response, str(problem), clean)
    if body.get("success") is False and (error := _documented_error(call, body, response, clean)) is not None:
        refused = 400 <= status < 500 and status != 408
        call.fail(error, certain=refused or error.code in endpoint.refunds)
    if body.get("success") is not True or not 200 <= status < 300:
        _refuse_bare(call, response, "a body that is not the documented envelope", clean)
    try:
        return _read(call, endpoint.shape(body))
    except NoData as problem:
        _refuse_bare(call, response, str(problem), clean)
    except ValidationError as problem:
        first = problem.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"])) or "the answer"
        # The kind of the problem, and not its message: some messages repeat what was found.
        _refuse_bare(call, response, f"{where}: {first['type'].replace('_', ' ')}", clean)


def _read(call: Call[T], value: object) -> T:
    """The documented value. Rows of a list that cannot be read are left out."""
    answer = good_rows(value, call.endpoint.adapter.validate_python)
    if unreadable := _unreadable(value, answer):
        import structlog  # late: it costs start-up time, and listing the tools needs it not

        log = structlog.get_logger(__name__)
        log.warning("rows of a list cannot be read", path=call.endpoint.template, rows=unreadable)
    return answer


def _unreadable(sent: object, answer: object) -> int:
    """How many rows of the list that was sent are not in the answer."""
    if isinstance(answer, Page):
        return cast("Page[Any]", answer).unreadable
    if isinstance(sent, list) and isinstance(answer, list):
        return len(cast(list[object], sent)) - len(cast(list[object], answer))
    return 0


def _object(response: ApiResponse) -> dict[str, Any]:
    if response.body is None:
        raise ValueError("a body larger than 10 MiB")
    body = as_object(parse_json(response.body))
    if body is None:
        raise ValueError("JSON that is not an object")
    return body


def _documented_error(call: Call[Any], body: dict[str, Any], response: ApiResponse, clean: Clean) -> ApiError | None:
    fields = as_object(body.get("error")) or {}
    code, message = fields.get("code"), fields.get("message")
    if not isinstance(code, str) or not code.strip():
        return None
    kind = error_class(code, response.status)
    text = clean(message, MESSAGE) if isinstance(message, str) else ""
    if call.endpoint.confidential:
        text = plain_words(text, known=f"{call.path} {call.query} {call.body}")
    shown = clean(code, 64)
    return kind(
        (text or "the server gave no message") + response.excess,
        code=shown if CODE.fullmatch(shown) else f"HTTP_{response.status}",
        status=response.status,
        retry_after=response.wait,
    )


def _quoted(endpoint: Endpoint[Any], body: bytes, clean: Clean) -> str:
    """The beginning of an unexpected body, where it can be shown."""
    if endpoint.confidential:
        return f" ({len(body)} bytes, not shown: they may hold credentials)" if body else ""
    snippet = clean(body[: SNIPPET * 100].decode("utf-8", errors="replace"), SNIPPET)
    return f": {snippet}" if snippet else ""


def _refuse_bare(call: Call[Any], response: ApiResponse, problem: str, clean: Clean) -> NoReturn:
    """Fail a call whose response is not the documented envelope: class by status, message with a snippet."""
    status = response.status
    if 300 <= status < 400:
        problem = "a redirect, which is not followed"
    message = f"HTTP {status} with {problem}" + _quoted(call.endpoint, response.body or b"", clean) + response.excess
    by_status = status in (401, 403, 429) or status >= 500
    kind = error_class("", status) if by_status else MalformedAnswerError
    error = kind(message, code=f"HTTP_{status}", status=status, retry_after=response.wait)
    call.fail(error, certain=status in REFUSED_BARE)
