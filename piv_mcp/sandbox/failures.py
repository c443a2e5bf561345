"""Failures on demand.

A `Failure` says which request fails and how. The kind decides whether the sandbox does the request's work (and charges
for it) before the failure; `after` overrides that.

| kind | work done | the client sees |
| --- | --- | --- |
| `drop_before` | no | the connection closed without an answer |
| `drop_after` | yes | the same |
| `status` | no | an error answer with `status` and `code` |
| `status_after` | yes | the same |
| `rate_limited` | no | 429 with Retry-After |
| `html` | no | a proxy's HTML error page |
| `garbage` | yes | the answer, cut in half |
| `empty` | yes | an answer without a body |
| `slow` | yes | the answer, `delay` seconds later |
| `hang` | yes | no answer until it times out |
| `connect_error` | no | no connection (over a port: the same as `drop_before`) |
| `duplicate_webhook` | | the next webhook is sent twice |
| `lost_webhook` | | the next webhook is not sent |
"""

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Literal, TypeAlias, get_args

from piv_mcp.sandbox.errors import STATUS_OF, error_body, rate_limited
from piv_mcp.sandbox.wire import dumps

WebhookKind = Literal["duplicate_webhook", "lost_webhook"]
Kind = Literal[
    "drop_before",
    "drop_after",
    "status",
    "status_after",
    "rate_limited",
    "html",
    "garbage",
    "empty",
    "slow",
    "hang",
    "connect_error",
    WebhookKind,
]
_WORK_DONE = frozenset({"drop_after", "status_after", "garbage", "empty", "slow", "hang"})
_HTML = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"


@dataclass(frozen=True)
class Reply:
    """An HTTP response, sent after `delay` seconds."""

    status: int
    body: str
    headers: tuple[tuple[str, str], ...] = (("content-type", "application/json"),)
    delay: float = 0.0

    def dated(self, moment: datetime) -> "Reply":
        """The response with a `Date` header. It has whole seconds: what is left of a second is cut off."""
        return replace(self, headers=(*self.headers, ("date", format_datetime(moment.astimezone(UTC), usegmt=True))))


@dataclass(frozen=True)
class Drop:
    """The connection is closed without an answer, with a TCP reset if `reset`."""

    reset: bool = False


@dataclass(frozen=True)
class Refuse:
    """The connection is refused."""


@dataclass(frozen=True)
class Hang:
    """The connection stays open and no answer comes."""


Outcome: TypeAlias = Reply | Drop | Refuse | Hang


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Raises ValueError for an unknown kind, or if the kind needs the work that `after` forbids."""

    kind: Kind
    method: str | None = None
    """None for any method."""
    path: str | None = None
    """Below `/api/v1`; `*` or `{name}` matches one segment, `**` any number of them. None for any path."""
    times: int | None = 1
    """How many requests fail. None for all until the failures are cleared."""
    after: bool | None = None
    """Whether the work is done before the failure. None for what the table above says."""
    status: int | None = None
    """None for 502 with `html`, else for the documented status of `code`."""
    code: str = "INTERNAL_ERROR"
    message: str = "Something went wrong"
    body: str | None = None
    """Replaces the body that the kind would send."""
    delay: float = 2.0
    """Seconds, for `slow`."""
    retry_after: int = 1
    """Seconds, for `rate_limited`."""
    reset: bool = False
    """Drop with a TCP reset, which httpx reports as ReadError, not as RemoteProtocolError."""

    def __post_init__(self) -> None:
        if self.kind not in known_kinds():
            raise ValueError(f"unknown kind of failure: {self.kind}")
        if self.kind in ("garbage", "slow") and self.after is False:
            raise ValueError(f"{self.kind} needs the answer, so the work must be done: leave `after` out")

    @property
    def works(self) -> bool:
        """Whether the work is done before the failure."""
        return self.kind in _WORK_DONE if self.after is None else self.after

    def meets(self, method: str, path: str) -> bool:
        """Whether a request is to fail in this way."""
        if self.kind in get_args(WebhookKind) or self.method not in (None, method):
            return False
        return self.path is None or bool(re.fullmatch(_pattern(self.path), path))

    def outcome(self, reply: Reply) -> Outcome:
        """How the exchange ends, given the reply that the client would have got."""
        match self.kind:
            case "drop_before" | "drop_after":
                return Drop(self.reset)
            case "connect_error":
                return Refuse()
            case "hang":
                return Hang()
            case "slow":
                return replace(reply, delay=self.delay)
            case _:
                return self._spoilt(reply)

    def _spoilt(self, reply: Reply) -> Reply:
        if self.kind == "rate_limited":
            error = rate_limited(self.retry_after)
            headers = (*reply.headers, *error.headers.items())
            spoilt = Reply(error.status, dumps(error_body(error.code, error.message)), headers)
        elif self.kind == "html":
            spoilt = Reply(self.status or 502, _HTML, (("content-type", "text/html"),))
        elif self.kind == "garbage":
            spoilt = replace(reply, body=reply.body[: len(reply.body) // 2])
        elif self.kind == "empty":
            spoilt = replace(reply, body="")
        else:
            status = self.status or STATUS_OF.get(self.code, 500)
            spoilt = Reply(status, dumps(error_body(self.code, self.message)))
        return spoilt if self.body is None else replace(spoilt, body=self.body)


class Failures:
    """The failures that are still to happen, in the order in which they were added."""

    def __init__(self) -> None:
        self._waiting: list[Failure] = []

    def add(self, failure: Failure) -> None:
        self._waiting.append(failure)

    def clear(self) -> None:
        self._waiting.clear()

    def take(self, method: str, path: str) -> Failure | None:
        """The first failure that this request meets; counts it as used."""
        return self._use(next((failure for failure in self._waiting if failure.meets(method, path)), None))

    def take_webhook(self, kind: WebhookKind) -> bool:
        """Whether the next webhook is to fail in this way; counts the failure as used."""
        return self._use(next((failure for failure in self._waiting if failure.kind == kind), None)) is not None

    def _use(self, failure: Failure | None) -> Failure | None:
        if failure is not None and failure.times is not None:
            index = self._waiting.index(failure)
            left = failure.times - 1
            self._waiting[index : index + 1] = [replace(failure, times=left)] if left > 0 else []
        return failure


def known_kinds() -> tuple[str, ...]:
    return get_args(Kind)


def _pattern(path: str) -> str:
    parts = re.split(r"(\*\*|\*|\{[^/]*?\})", path)
    wild = {"**": ".*"}
    return "".join(wild.get(part, "[^/]*") if index % 2 else re.escape(part) for index, part in enumerate(parts))
