"""Responses that are not the documented envelope, and when an error certainly means that nothing was done."""

from collections.abc import AsyncIterator

import httpx
import pytest
from api_client import ACCOUNT, BASE, KEY, PURCHASE, PURCHASED, Server, error, failure_of_read, failure_of_write
from pydantic import SecretStr

from piv_mcp import errors
from piv_mcp.api.client import PivClient
from piv_mcp.api.http import MAX_RESPONSE_BYTES

pytestmark = pytest.mark.usefixtures("instant_retries")

STRANGE_BODIES = [
    "",
    "   ",
    "<html><h1>Maintenance</h1></html>",
    '{"success": true, "data": {"user_id"',
    '{"success": true}',
    '{"success": true, "data": null}',
    '{"success": true, "data": []}',
    '{"success": true, "data": {}}',
    '{"success": "yes", "data": {"user_id": "u"}}',
    '{"data": {"user_id": "u"}}',
    '{"success": false}',
    '{"success": false, "error": "no"}',
    '{"success": false, "error": {"message": "no"}}',
    '{"success": false, "error": {"code": 5, "message": "no"}}',
    '{"success": true, "data": {"user_id": "u", "balance": NaN}}',
    '{"success": true, "data": {"user_id": "u", "balance": 1e99999}}',
    '{"success": true, "data": {"user_id": "u", "balance": 1e99999999999999999999}}',
    '{"success": true, "data": {"user_id": "u", "balance": ' + "9" * 5000 + "}}",
    "[" * 100_000,
    '{"success": true, "data": ' + "[" * 700 + r'"\ud800"' + "]" * 700 + "}",
    "null",
    "[]",
    '"text"',
    "\x00\x01",
]


@pytest.mark.parametrize("body", STRANGE_BODIES)
async def test_a_strange_answer_to_a_read_is_a_clear_error(body: str) -> None:
    caught = await failure_of_read(body)
    assert type(caught) is errors.MalformedAnswerError
    assert caught.effect == "none"
    assert caught.status == 200
    assert len(caught.message) < 350
    assert caught.message.isprintable()


@pytest.mark.parametrize("body", STRANGE_BODIES)
async def test_a_strange_answer_to_a_write_is_an_unknown_outcome(body: str) -> None:
    caught = await failure_of_write(body)
    assert isinstance(caught, errors.OutcomeUnknownError)
    assert caught.effect == "unknown"
    assert type(caught.cause) is errors.MalformedAnswerError


async def test_the_snippet_shows_what_came_instead() -> None:
    caught = await failure_of_read("<html>\n\t<h1>Main\x1b[31mtenance\u202e</h1></html>" + "x" * 5000)
    assert caught.message.startswith("HTTP 200 with a page of HTML or XML, not JSON: <html> <h1>Main[31mtenance</h1>")
    assert caught.message.endswith("…")


async def test_a_body_beyond_10_mib_is_not_read_to_its_end() -> None:
    chunks = 0

    class Endless(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            nonlocal chunks
            while True:
                chunks += 1
                yield b" " * (1024 * 1024)

    transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=Endless()))
    with pytest.raises(errors.MalformedAnswerError, match="larger than 10 MiB"):
        await PivClient(BASE, SecretStr(KEY), transport=transport).account.get()
    assert chunks == MAX_RESPONSE_BYTES // (1024 * 1024) + 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    server = Server(httpx.Response(status, headers={"location": "https://evil.test/"}), ACCOUNT)
    with pytest.raises(errors.MalformedAnswerError, match="redirect"):
        await server.client().account.get()
    assert len(server.requests) == 1
    caught = await failure_of_write(httpx.Response(status, headers={"location": "https://evil.test/"}))
    assert caught.effect == "unknown"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.MalformedAnswerError),
        (401, errors.AuthenticationError),
        (403, errors.PermissionDeniedError),
        (404, errors.MalformedAnswerError),
        (429, errors.RateLimitedError),
        (500, errors.ServerError),
        (502, errors.ServerError),
        (520, errors.ServerError),
    ],
)
async def test_a_bare_error_page_is_classed_by_its_status(status: int, kind: type[errors.ApiError]) -> None:
    caught = await failure_of_read(httpx.Response(status, text="<html>nginx</html>"))
    assert type(caught) is kind
    assert (caught.status, caught.code) == (status, f"HTTP_{status}")
    assert "nginx" in caught.message


@pytest.mark.parametrize("status", range(400, 600))
async def test_a_bare_error_page_to_a_write_is_refused_only_where_nothing_can_have_begun(status: int) -> None:
    caught = await failure_of_write(httpx.Response(status, text="<html>nginx</html>"))
    refused = status in {401, 403, 404, 405, 407, 413, 415, 429}
    assert caught.effect == ("none" if refused else "unknown")


@pytest.mark.parametrize("status", [200, 201, 202])
async def test_any_2xx_is_a_success(status: int) -> None:
    answer = await Server(httpx.Response(status, text=PURCHASED)).client().numbers.purchase(PURCHASE)
    assert answer.numbers[0].piv_num_id == "n"


@pytest.mark.parametrize("status", [200, 400, 408, 418, 500, 503])
async def test_a_documented_error_to_a_write_is_a_refusal_only_with_4xx(status: int) -> None:
    caught = await failure_of_write(error("INSUFFICIENT_BALANCE", status))
    if status in (400, 418):
        assert type(caught) is errors.InsufficientBalanceError
    else:
        assert isinstance(caught, errors.OutcomeUnknownError)
        assert caught.cause.code == "INSUFFICIENT_BALANCE"


async def test_refund_codes_count_only_where_they_are_documented() -> None:
    assert (await failure_of_write(error("SERVER_UNAVAILABLE", 503))).effect == "unknown"


async def test_success_with_an_error_status_is_not_believed() -> None:
    assert (await failure_of_write(httpx.Response(400, text=PURCHASED))).effect == "unknown"
    assert type(await failure_of_read(httpx.Response(500, text=ACCOUNT))) is errors.ServerError
