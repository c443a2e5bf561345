"""Every error code that the reference documents, and its HTTP status."""

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType

from piv_mcp.sandbox.wire import dollars

STATUS_OF: Mapping[str, int] = MappingProxyType(
    {
        "UNAUTHORIZED": 401,
        "INSUFFICIENT_PERMISSIONS": 403,
        "PERMISSION_DENIED": 403,
        "VALIDATION_ERROR": 400,
        "NOT_FOUND": 404,
        "NUMBER_NOT_FOUND": 404,
        "NUMBER_EXPIRED": 403,
        "NUMBER_NOT_ACTIVE": 400,
        "INSUFFICIENT_BALANCE": 402,
        "INVALID_MESSAGE_FORMAT": 400,
        "COUNTRY_NOT_AVAILABLE": 400,
        "NO_NUMBERS_AVAILABLE": 400,
        "NO_RESTORABLE_NUMBERS": 404,
        "SMS_DISABLED": 400,
        "PROXY_DEAD": 502,
        "QUEUE_FULL": 503,
        "SERVER_UNAVAILABLE": 503,
        "DOMAIN_NOT_AVAILABLE": 400,
        "INVALID_TIER": 400,
        "NOT_READY": 409,
        "RATE_LIMITED": 429,
        "INTERNAL_ERROR": 500,
    }
)


class DocumentedError(Exception):
    """An answer in the documented error shape. A handler raises it instead of returning its normal answer."""

    def __init__(self, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = STATUS_OF[code]
        self.headers = dict(headers or {})


def error_body(code: str, message: str) -> dict[str, object]:
    return {"success": False, "error": {"code": code, "message": message}}


def invalid(field: str, reason: str) -> DocumentedError:
    """A VALIDATION_ERROR. The reference: "the message says which field, and why"."""
    return DocumentedError("VALIDATION_ERROR", f"{field}: {reason}")


def not_found(what: str, identifier: str) -> DocumentedError:
    return DocumentedError("NOT_FOUND", f"{what} not found: {identifier}")


def insufficient_balance(required: Decimal, available: Decimal) -> DocumentedError:
    message = f"Not enough balance: required {dollars(required)}, available {dollars(available)}"
    return DocumentedError("INSUFFICIENT_BALANCE", message)


def rate_limited(seconds: int) -> DocumentedError:
    message = f"Rate limit exceeded, retry in {seconds}s"
    return DocumentedError("RATE_LIMITED", message, {"Retry-After": str(seconds)})
