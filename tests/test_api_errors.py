"""The class, the words and the effect on money of each documented and each unknown error code."""

import httpx
import pytest
from api_client import Server, error

from piv_mcp import errors
from piv_mcp.api.numbers import StartVerification

pytestmark = pytest.mark.usefixtures("instant_retries")

DOCUMENTED: dict[str, tuple[int, type[errors.ApiError]]] = {
    "UNAUTHORIZED": (401, errors.AuthenticationError),
    "INSUFFICIENT_PERMISSIONS": (403, errors.PermissionDeniedError),
    "PERMISSION_DENIED": (403, errors.PermissionDeniedError),
    "VALIDATION_ERROR": (400, errors.InvalidRequestError),
    "NUMBER_NOT_FOUND": (404, errors.NotFoundError),
    "NUMBER_EXPIRED": (403, errors.NumberStateError),
    "NUMBER_NOT_ACTIVE": (400, errors.NumberStateError),
    "INSUFFICIENT_BALANCE": (402, errors.InsufficientBalanceError),
    "INVALID_MESSAGE_FORMAT": (400, errors.InvalidRequestError),
    "COUNTRY_NOT_AVAILABLE": (400, errors.UnavailableError),
    "NO_NUMBERS_AVAILABLE": (400, errors.UnavailableError),
    "NO_RESTORABLE_NUMBERS": (404, errors.NotFoundError),
    "RATE_LIMITED": (429, errors.RateLimitedError),
    "INTERNAL_ERROR": (500, errors.ServerError),
    "NOT_FOUND": (404, errors.NotFoundError),
    "SMS_DISABLED": (400, errors.NumberStateError),
    "PROXY_DEAD": (502, errors.ServerError),
    "QUEUE_FULL": (503, errors.ServerError),
    "SERVER_UNAVAILABLE": (503, errors.ServerError),
    "DOMAIN_NOT_AVAILABLE": (400, errors.UnavailableError),
    "INVALID_TIER": (400, errors.InvalidRequestError),
    "NOT_READY": (409, errors.ConflictError),
}


def test_every_documented_code_has_a_class() -> None:
    assert set(errors.CODES) == set(DOCUMENTED)


@pytest.mark.parametrize("code", sorted(DOCUMENTED))
async def test_documented_error_becomes_its_class(code: str) -> None:
    status, kind = DOCUMENTED[code]
    body = {"success": False, "error": {"code": code, "message": "Not enough: $5.00"}}
    server = Server(httpx.Response(status, json=body))
    # A verification: a write, and the one endpoint whose 5xx are documented to have been refunded.
    with pytest.raises(errors.ApiError) as caught:
        await server.client().numbers.verify("n/1", StartVerification(gv_url="https://gv.google.com/..."))
    error = caught.value
    if code == "INTERNAL_ERROR":
        assert isinstance(error, errors.OutcomeUnknownError)
        error = error.cause
    else:
        assert error.effect == "none"
    assert type(error) is kind
    assert (error.code, error.status, error.message) == (code, status, "Not enough: $5.00")
    assert (error.method, error.path) == ("POST", "/numbers/n%2F1/verify")
    assert error.hint
    assert str(error) == f"POST /numbers/n%2F1/verify: {status} {code}: Not enough: $5.00"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.InvalidRequestError),
        (401, errors.AuthenticationError),
        (402, errors.InsufficientBalanceError),
        (403, errors.PermissionDeniedError),
        (404, errors.NotFoundError),
        (409, errors.ConflictError),
        (410, errors.ApiError),
        (422, errors.InvalidRequestError),
        (451, errors.ApiError),
    ],
)
async def test_unknown_code_is_classed_by_its_status(status: int, kind: type[errors.ApiError]) -> None:
    server = Server(error("BRAND_NEW", status))
    with pytest.raises(errors.ApiError) as caught:
        await server.client().account.get()
    assert type(caught.value) is kind
    assert caught.value.code == "BRAND_NEW"


def test_money_in_words() -> None:
    refused = errors.NotFoundError("gone", code="NOT_FOUND", status=404, method="POST", path="/x")
    assert refused.money == "Nothing was done and no money moved"
    assert errors.OutcomeUnknownError(refused).money == "Money may have moved"
    refunded = errors.ServerError("full", code="QUEUE_FULL", status=503, method="POST", path="/x")
    assert refunded.money == "The charge was refunded"
    assert errors.StoreError("full").money == "Nothing was done and no money moved"
