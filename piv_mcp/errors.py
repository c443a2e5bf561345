"""Every error that piv-mcp raises on purpose, except those of the money gate (`spending/receipt.py`).

PivError                        root: `code`, `message`, and `hint` where the next step is known
├─ ConfigError                  a bad setting
├─ StoreError                   the store cannot be read or written
│  └─ NewerStoreError           it belongs to a newer version of piv-mcp
├─ MalformedEventError          a webhook body that is not a JSON object
└─ ApiError                     a call of the API failed: `status`, `code`, `retry_after`, `effect`, ...
   ├─ AuthenticationError       401: the key is missing, expired or revoked
   ├─ PermissionDeniedError     403: the key or the account may not do this
   ├─ InvalidRequestError       400: refused for its arguments, by the server or by us before sending
   ├─ NotFoundError             404: no such thing on this account
   ├─ ConflictError             409: the current state does not allow this
   ├─ InsufficientBalanceError  402: the balance does not cover the price
   ├─ UnavailableError          not for sale at the moment
   ├─ NumberStateError          the number is expired, not active, or may not send
   ├─ RateLimitedError          429, or our own limit: wait `retry_after` seconds
   ├─ ServerError               5xx
   ├─ MalformedAnswerError      an answer that is not what the reference documents
   ├─ NoAnswerError             no connection, or no answer in time: `sent`
   └─ OutcomeUnknownError       a write whose answer was lost: `cause`; never repeated

`ApiError.effect` tells the money gate whether the call had an effect: `"none"` means that nothing was done,
`"unknown"` that something may have been. Only `OutcomeUnknownError` has `"unknown"`.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

Effect = Literal["none", "unknown"]


class PivError(Exception):
    """Root of the tree. `code` is a word for programs; `hint` is the next step, if one is known."""

    code: str = "PIV_ERROR"
    hint: str | None = None

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if hint is not None:
            self.hint = hint

    @property
    def may_have_charged(self) -> bool:
        """Whether money may have moved. Errors that can follow a charge override this."""
        return False

    @property
    def money(self) -> str:
        """What is known about money, in words."""
        return "Money may have moved" if self.may_have_charged else "Nothing was done and no money moved"


class ConfigError(PivError):
    """A setting is missing or invalid. The message names the setting and never repeats its value."""

    code = "CONFIG_ERROR"


class StoreError(PivError):
    """The store cannot be read or written."""

    code = "STORE_ERROR"


class NewerStoreError(StoreError):
    """A newer piv-mcp has brought the store up to date; this one neither reads nor writes it."""

    hint = "Update piv-mcp, or restart this client so that it starts the newer version"


class MalformedEventError(PivError):
    """A webhook body that is not a JSON object, so that it cannot be stored as an event."""

    code = "MALFORMED_EVENT"


class ApiError(PivError):
    """A call of the API failed.

    `status` is the HTTP status, `None` if there was no answer; `code` the server's `error.code`, or ours
    if the server gave none; `path` the path below the base URL, without the query; `retry_after` the
    seconds to wait.
    """

    effect: Effect = "none"

    def __init__(
        self,
        message: str,
        *,
        code: str,
        status: int | None = None,
        method: str = "",
        path: str = "",
        retry_after: float | None = None,
        hint: str | None = None,
    ) -> None:
        wait = None if retry_after is None else f"Wait {math.ceil(retry_after)} s, then repeat"
        super().__init__(message, hint=hint or wait or HINTS.get(code))
        self.status = status
        self.code = code
        self.method = method
        self.path = path
        self.retry_after = retry_after

    @property
    def may_have_charged(self) -> bool:
        return self.effect == "unknown"

    @property
    def money(self) -> str:
        if self.code in REFUNDED and self.method == "POST":
            return "The charge was refunded"
        return super().money

    def __str__(self) -> str:
        call = f"{self.method} {self.path}: " if self.method else ""
        status = f"{self.status} " if self.status is not None else ""
        return f"{call}{status}{self.code}: {self.message}"


class AuthenticationError(ApiError):
    hint = "Check the API key: it is missing, expired or revoked"


class PermissionDeniedError(ApiError):
    hint = "The key or the account may not do this; permissions are set in the piv.day dashboard"


class InvalidRequestError(ApiError):
    hint = "Correct the arguments; the same request will be refused again"


class NotFoundError(ApiError):
    hint = "Check the id: it does not exist or does not belong to this account"


class ConflictError(ApiError):
    hint = "Its current status does not allow this; check the status first"


class InsufficientBalanceError(ApiError):
    hint = "Top up the balance in the piv.day dashboard; repeating does not help"


class UnavailableError(ApiError):
    hint = "Choose another one, or try again later"


class NumberStateError(ApiError):
    hint = "Check the number's status first"


class RateLimitedError(ApiError):
    hint = "Wait a minute, then repeat"


class ServerError(ApiError):
    hint = "The fault is on the side of piv.day; try again later"


class MalformedAnswerError(ApiError):
    """An answer that is not the documented envelope. The message ends in a short, cleaned snippet of it."""

    hint = "The answer did not come from the documented API: check the base URL, or try again later"


class NoAnswerError(ApiError):
    """No connection, or no answer in time. `sent` is false if the request was certainly not sent."""

    hint = "Check the connection, then try again"

    def __init__(
        self,
        message: str,
        *,
        sent: bool,
        code: str = "NO_ANSWER",
        method: str = "",
        path: str = "",
        hint: str | None = None,
    ) -> None:
        super().__init__(message, code=code, method=method, path=path, hint=hint)
        self.sent = sent


class OutcomeUnknownError(ApiError):
    """A write was sent and its outcome is not known. Such a write is never repeated. `cause` is the error behind it."""

    effect: Effect = "unknown"
    hint = "Do not repeat it. Check first whether it happened"

    def __init__(self, cause: ApiError) -> None:
        super().__init__(
            f"It may or may not have happened: {cause.message}",
            code="OUTCOME_UNKNOWN",
            status=cause.status,
            method=cause.method,
            path=cause.path,
        )
        self.cause = cause


REFUNDED = frozenset({"PROXY_DEAD", "QUEUE_FULL", "SERVER_UNAVAILABLE"})
"""Codes of a failed verification whose charge, by the reference, was refunded."""

CODES: Mapping[str, type[ApiError]] = MappingProxyType(
    {
        "UNAUTHORIZED": AuthenticationError,
        "INSUFFICIENT_PERMISSIONS": PermissionDeniedError,
        "PERMISSION_DENIED": PermissionDeniedError,
        "VALIDATION_ERROR": InvalidRequestError,
        "INVALID_MESSAGE_FORMAT": InvalidRequestError,
        "INVALID_TIER": InvalidRequestError,
        "NOT_FOUND": NotFoundError,
        "NUMBER_NOT_FOUND": NotFoundError,
        "NO_RESTORABLE_NUMBERS": NotFoundError,
        "NOT_READY": ConflictError,
        "INSUFFICIENT_BALANCE": InsufficientBalanceError,
        "COUNTRY_NOT_AVAILABLE": UnavailableError,
        "NO_NUMBERS_AVAILABLE": UnavailableError,
        "DOMAIN_NOT_AVAILABLE": UnavailableError,
        "NUMBER_EXPIRED": NumberStateError,
        "NUMBER_NOT_ACTIVE": NumberStateError,
        "SMS_DISABLED": NumberStateError,
        "RATE_LIMITED": RateLimitedError,
        "INTERNAL_ERROR": ServerError,
        "PROXY_DEAD": ServerError,
        "QUEUE_FULL": ServerError,
        "SERVER_UNAVAILABLE": ServerError,
    }
)
"""Every code of the reference: those of its table "Error codes", and eight from the tables of single endpoints."""

HINTS: Mapping[str, str] = MappingProxyType(
    {
        "INSUFFICIENT_PERMISSIONS": "The key lacks the scope for this; set it in the piv.day dashboard",
        "NO_RESTORABLE_NUMBERS": "Numbers can be restored within 7 days of their expiry; rent a new one",
        "NOT_READY": "The site is still being generated; try again when it is done",
        "NUMBER_EXPIRED": "Restore it within 7 days of its expiry, or rent a new one",
        "SMS_DISABLED": "This number cannot send SMS; use another one",
        "PROXY_DEAD": "Try again later",
        "QUEUE_FULL": "Try again later",
        "SERVER_UNAVAILABLE": "Try again later",
    }
)
"""Hints for the codes whose meaning is narrower than that of their class."""

STATUSES: Mapping[int, type[ApiError]] = MappingProxyType(
    {
        400: InvalidRequestError,
        401: AuthenticationError,
        402: InsufficientBalanceError,
        403: PermissionDeniedError,
        404: NotFoundError,
        409: ConflictError,
        422: InvalidRequestError,
        429: RateLimitedError,
    }
)
"""The class of an unknown code, by its HTTP status."""


def hint_of(code: str) -> str | None:
    """The next step after an error with this code of the API, if one is known."""
    return HINTS.get(code) or (CODES[code].hint if code in CODES else None)


def error_class(code: str, status: int) -> type[ApiError]:
    """The class for an error answer: by its code, else by its status, else plain `ApiError`."""
    if code in CODES:
        return CODES[code]
    return ServerError if status >= 500 else STATUSES.get(status, ApiError)
