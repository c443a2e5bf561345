"""What an HTTP answer means: the documented value, or an error that says whether anything may be done."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, NoReturn, TypeVar, cast

from pydantic import ValidationError

from piv_mcp.api.endpoint import Endpoint, NoData
from piv_mcp.api.text import SNIPPET, parse_json
from piv_mcp.errors import ApiError, MalformedAnswerError, OutcomeUnknownError, error_class

T = TypeVar("T")
Clean = Callable[[str, int], str]
"""Makes a server's text fit to show, at most so many characters of it."""

REFUSED_BARE = frozenset({401, 403, 404, 405, 407, 413, 415, 429})
"""Statuses that, without the documented error body, still mean that the API did nothing: a proxy or firewall
in front of it, or its router, gives them before the request is handled. Any other bare status (400, 402, 408,
409, 422, ...) may come from code that had begun, and for a purchase the safe reading is: unknown."""

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
        """Raise the error; on a write that may have had an effect, as `OutcomeUnknownError`."""
        error.method, error.path = self.endpoint.method, self.path
        if self.endpoint.writes and not certain:
            raise OutcomeUnknownError(error) from None
        raise error from None


@dataclass(frozen=True)
class Answer:
    """The status, the `Retry-After` in seconds, and the body; `None` where it was larger than we read."""

    status: int
    retry_after: float | None
    body: bytes | None


def understand(call: Call[T], answer: Answer, clean: Clean) -> T:
    """The value of a successful answer. Raises `ApiError` for all others."""
    status, endpoint = answer.status, call.endpoint
    if endpoint.undocumented and status == 204:
        return endpoint.adapter.validate_python({})
    try:
        body = _object(answer)
    except ValueError as problem:
        _refuse_bare(call, answer, str(problem), clean)
    if body.get("success") is False and (error := _documented_error(body, answer, clean)) is not None:
        refused = 400 <= status < 500 and status != 408
        call.fail(error, certain=refused or error.code in endpoint.refunds)
    if body.get("success") is not True or not 200 <= status < 300:
        _refuse_bare(call, answer, "a body that is not the documented envelope", clean)
    try:
        return endpoint.adapter.validate_python(endpoint.shape(body))
    except NoData as problem:
        _refuse_bare(call, answer, str(problem), clean)
    except ValidationError as problem:
        first = problem.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the answer"
        _refuse_bare(call, answer, f"{where}: {first['msg']}", clean)


def _object(answer: Answer) -> dict[str, Any]:
    if answer.body is None:
        raise ValueError("a body larger than 10 MiB")
    body = parse_json(answer.body)
    if not isinstance(body, dict):
        raise ValueError("JSON that is not an object")  # noqa: TRY004 - bad data, not a wrong call
    return cast(dict[str, Any], body)


def _documented_error(body: dict[str, Any], answer: Answer, clean: Clean) -> ApiError | None:
    error: Any = body.get("error")
    if not isinstance(error, dict):
        return None
    fields = cast(dict[str, Any], error)
    code, message = fields.get("code"), fields.get("message")
    if not isinstance(code, str) or not code.strip():
        return None
    kind = error_class(code, answer.status)
    text = clean(message, MESSAGE) if isinstance(message, str) else ""
    return kind(
        text or "the server gave no message",
        code=clean(code, 64),
        status=answer.status,
        retry_after=answer.retry_after,
    )


def _refuse_bare(call: Call[Any], answer: Answer, problem: str, clean: Clean) -> NoReturn:
    """Fail a call whose answer is not the documented envelope, by its status and with a snippet."""
    status = answer.status
    if 300 <= status < 400:
        problem = "a redirect, which is not followed"
    snippet = clean((answer.body or b"")[: SNIPPET * 100].decode("utf-8", errors="replace"), SNIPPET)
    message = f"HTTP {status} with {problem}" + (f": {snippet}" if snippet else "")
    by_status = status in (401, 403, 429) or status >= 500
    kind = error_class("", status) if by_status else MalformedAnswerError
    error = kind(message, code=f"HTTP_{status}", status=status, retry_after=answer.retry_after)
    call.fail(error, certain=status in REFUSED_BARE)
