"""Keys, passwords and signed links are in no error, no repr and no log."""

import asyncio
import json
import logging
import traceback

import httpx
import pytest
import structlog
from api_client import BASE, KEY, PURCHASE, PURCHASED, Server, error, failure_of_read, failure_of_write
from pydantic import SecretStr

from piv_mcp import errors
from piv_mcp.api.client import PivClient
from piv_mcp.api.models import Page
from piv_mcp.api.numbers import Number
from piv_mcp.api.proxies import Proxy

pytestmark = pytest.mark.usefixtures("instant_retries")


@pytest.mark.parametrize("key", ["", " ", "a b", "key\n", "key\r\nX: y", "ключ", "key\x00", "key\x7f"])
def test_an_ill_formed_key_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(errors.ConfigError) as caught:
        PivClient(BASE, SecretStr(key))
    if key.strip():
        assert key not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "app.piv.day/api/v1",
        "ftp://app.piv.day",
        "https://",
        "https://[::1",
        "https://user:hunter2@app.piv.day",
        "https://app.piv.day/?token=hunter2",
        "https://app.piv.day/#hunter2",
    ],
)
def test_a_base_url_that_cannot_be_right_is_refused(url: str) -> None:
    with pytest.raises(errors.ConfigError) as caught:
        PivClient(url, SecretStr(KEY))
    assert "hunter2" not in str(caught.value)


def test_the_key_is_in_no_repr() -> None:
    piv = PivClient(BASE, SecretStr(KEY))
    assert KEY not in f"{piv!r} {piv!s} {vars(piv)} {vars(piv.account)}"


@pytest.mark.parametrize("status", [200, 400, 401, 500])
async def test_a_server_that_repeats_the_key_does_not_get_it_shown(status: int) -> None:
    documented = {"success": False, "error": {"code": f"BAD_{KEY}", "message": f"Bearer {KEY} is wrong"}}
    for body in (json.dumps(documented), f"<html>{KEY}</html>", f'{{"success": true, "data": "{KEY}'):
        caught = await failure_of_read(httpx.Response(status, text=body))
        assert KEY not in "".join(traceback.format_exception(caught)) + caught.code + repr(caught)


async def test_no_error_holds_the_request_with_its_headers() -> None:
    for reply in (httpx.ReadTimeout("x"), httpx.ConnectError("x"), error("NOT_FOUND", 404)):
        caught: BaseException | None = await failure_of_write(reply)
        while caught is not None:
            assert not isinstance(caught, httpx.HTTPError)
            caught = caught.__cause__ or caught.__context__


async def test_snippets_show_no_proxy_password_and_no_signed_link() -> None:
    body = '{"success": true, "data": {"order": {"items": [{"login": "u", "password": "hunter2", "host"'
    assert "hunter2" not in (await failure_of_read(body)).message
    body = '{"success": true, "data": {"content": "user1:hunter2@1.2.3.4:1080\\nuser2:hunter2@'
    assert "hunter2" not in (await failure_of_read(body)).message
    body = "user1:hunter2@1.2.3.4:1080 https://strg.piv.day/x?format=php&token=hunter2"
    assert "hunter2" not in (await failure_of_read(body)).message


def test_passwords_are_in_no_repr() -> None:
    assert "pass1" not in repr(Proxy.model_validate({"password": "pass1"}))
    assert Proxy.model_validate({"password": 12345}).password == SecretStr("12345")


async def test_a_request_is_logged_without_query_body_and_headers() -> None:
    with structlog.testing.capture_logs() as logs:
        await Server(httpx.ReadTimeout("x"), '{"success": true, "data": []}').client().numbers.list(search="Bob")
        await Server(PURCHASED).client().numbers.purchase(PURCHASE)
    lines = [line for line in logs if line["event"] == "request"]
    for line in lines:
        assert line.pop("ms") >= 0
    assert lines == [
        {
            "event": "request",
            "log_level": level,
            "method": method,
            "path": path,
            "status": status,
            "attempt": n,
        }
        for level, method, path, status, n in [
            ("debug", "GET", "/numbers", "NO_ANSWER", 1),
            ("debug", "GET", "/numbers", 200, 2),
            ("info", "POST", "/numbers/purchase", 200, 1),
        ]
    ]
    assert "Bob" not in str(logs)


async def test_the_key_is_in_no_log_of_a_real_connection(caplog: pytest.LogCaptureFixture) -> None:
    received = b""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal received
        received = await reader.readuntil(b"\r\n\r\n")
        body = b'{"success": true, "data": [{"piv_num_id": "n"}]}'
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body))
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, PivClient(f"http://127.0.0.1:{port}/api/v1", SecretStr(KEY)) as piv:
        with caplog.at_level(logging.DEBUG):
            assert await piv.numbers.list(country="SE") == Page[Number](items=[Number(piv_num_id="n")])
    assert received.startswith(b"GET /api/v1/numbers?country=SE HTTP/1.1\r\n")
    assert f"Authorization: Bearer {KEY}".encode() in received
    assert caplog.records
    assert KEY not in caplog.text
