"""Keys, passwords and signed links are in no error, no repr and no log."""

import asyncio
import base64
import json
import logging
import traceback
from collections.abc import Awaitable, Callable
from typing import Any, get_args
from urllib.parse import quote

import httpx
import pytest
import structlog
from api_client import BASE, KEY, PURCHASE, PURCHASED, Server, error, failure_of_read, failure_of_write
from harness import Connected, text_of
from hypothesis import given
from hypothesis import strategies as st
from processor_time import times_as_long
from purchases import BUY_PROXIES
from pydantic import BaseModel, SecretStr

from piv_mcp import errors
from piv_mcp.api import account, domains, numbers, proxies, whites
from piv_mcp.api.client import PivClient
from piv_mcp.api.endpoint import Endpoint
from piv_mcp.api.models import Page
from piv_mcp.api.numbers import Number
from piv_mcp.api.proxies import Proxy, PurchaseProxies, RenewProxies
from piv_mcp.api.quoting import clean
from piv_mcp.sandbox.failures import Failure

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


# What the server sent, quoted

PASSWORD = "hunter2"
ROWS = {"login": "user7", "password": PASSWORD, "host": "1.2.3.4", "socks5_port": 1080}
LINK = f"https://strg.piv.day/{PASSWORD}/site.zip?format=php&token={PASSWORD}"
GOOD_JSON = json.dumps({"success": True, "data": {"order": {"id": "o", "items": [ROWS]}, "url": LINK}})

MALFORMED: dict[str, str] = {
    "truncated": GOOD_JSON[:-12],
    "truncated in the password": GOOD_JSON[: GOOD_JSON.index(PASSWORD) + 6],
    "single quotes": GOOD_JSON.replace('"', "'"),
    "no quotes": GOOD_JSON.replace('"', ""),
    "escaped": json.dumps(GOOD_JSON),
    "escaped twice": json.dumps(json.dumps(GOOD_JSON)),
    "spaces": GOOD_JSON.replace(":", " : ")[:-2],
    "new names": GOOD_JSON.replace("password", "parol")[:-2],
    "another envelope": GOOD_JSON.replace("success", "ok"),
    "another type": json.dumps({"success": True, "data": [{"order": PASSWORD}, PASSWORD]}),
    "a list": f"[{GOOD_JSON}]",
    "values as keys": json.dumps({"success": True, "data": {"order": {PASSWORD: {PASSWORD: 1}}, PASSWORD: 2}}),
    "a list of words": json.dumps({"success": "yes", "data": ["user7", PASSWORD, "1.2.3.4", 1080]}),
    "CSV": f"host,port,login,password\n1.2.3.4,1080,user7,{PASSWORD}\n",
    "CSV with semicolons": f"1.2.3.4;1080;user7;{PASSWORD}",
    "tabs": f"1.2.3.4\t1080\tuser7\t{PASSWORD}",
    "host:port:login:password": f"1.2.3.4:1080:user7:{PASSWORD}\n1.2.3.5:1080:user8:{PASSWORD}",
    "login:password:host:port": f"user7:{PASSWORD}:proxy.example:1080",
    "an IPv6 host": f"[2001:db8::7]:1080:user7:{PASSWORD}",
    "login:password@host": f"user7:{PASSWORD}@1.2.3.4:1080",
    "a URL": f"socks5://user7:{PASSWORD}@1.2.3.4:1080",
    "a password alone": PASSWORD,
    "a link alone": LINK,
    "HTML": f"<html><body><table><tr><td>user7</td><td>{PASSWORD}</td></tr></table>",
    "XML": f"<proxy><login>user7</login><password>{PASSWORD}</password></proxy>",
    "YAML": f"items:\n- login: user7\n  password: {PASSWORD}\n",
    "a form": f"login=user7&password={PASSWORD}",
    "a PHP dump": f"Array ( [login] => user7 [password] => {PASSWORD} )",
    "a traceback": f"KeyError: 'items' in {{'login': 'user7', 'password': '{PASSWORD}'}}",
    "base64": base64.b64encode(GOOD_JSON.encode()).decode(),
    "base64 of a line": base64.b64encode(f"user7:{PASSWORD}".encode()).decode(),
    "percent code": quote(GOOD_JSON),
    "UTF-16": GOOD_JSON.encode("utf-16").decode("latin-1"),
    "wide letters": " ".join(PASSWORD),
    "an error as text": json.dumps({"success": False, "error": f"no room for user7:{PASSWORD}"}),
    "an error without code": json.dumps({"success": False, "error": {"message": f"user7 / {PASSWORD}"}}),
    "an error with a list": json.dumps({"success": False, "error": {"code": [PASSWORD], "message": PASSWORD}}),
    "an error whose code it is": json.dumps({"success": False, "error": {"code": PASSWORD, "message": "no"}}),
    **{
        f"an error that says {words}": json.dumps(
            {"success": False, "error": {"code": "VALIDATION_ERROR", "message": words}}
        )
        for words in (
            f"cannot parse 1.2.3.4:1080:user7:{PASSWORD}",
            f"login user7 with password {PASSWORD} is taken",
            f"password: {PASSWORD}",
            f'wrong password "{PASSWORD}"',
            f"the link {LINK} has expired",
            f"proxy user7:{PASSWORD}@1.2.3.4 is dead",
            f"{{'login': 'user7', 'password': '{PASSWORD}'}} is invalid",
            f"Basic {base64.b64encode(f'user7:{PASSWORD}'.encode()).decode()} is wrong",
        )
    },
}
"""Answers that are not what the reference documents, and hold credentials."""

UNRECOGNISED = frozenset(
    {
        "another type",
        "values as keys",
        "a list of words",
        "a password alone",
        "HTML",
        "an error without code",
        "an error with a list",
    }
)
"""Nothing in these tells that a word is a password. So the endpoints that have any are quoted in nothing."""

ENCODED = [
    PASSWORD,
    quote(PASSWORD),
    base64.b64encode(PASSWORD.encode()).decode()[:8],
    " ".join(PASSWORD),
    "h\0u\0n",
    "aHVudGVy",
]

CONFIDENTIAL: dict[str, Callable[[PivClient], Awaitable[object]]] = {
    "orders": lambda piv: piv.proxies.orders(),
    "order": lambda piv: piv.proxies.order("o"),
    "export": lambda piv: piv.proxies.export("o"),
    "purchase": lambda piv: piv.proxies.purchase(PurchaseProxies(server_id="s", quantity=1, months=1)),
    "renew": lambda piv: piv.proxies.renew("o", RenewProxies(months=1)),
    "restore": lambda piv: piv.proxies.restore("o"),
    "download": lambda piv: piv.whites.download("w"),
    "messages": lambda piv: piv.numbers.sms("n"),
}


@pytest.mark.parametrize("call", CONFIDENTIAL)
@pytest.mark.parametrize("status", [200, 400, 500])
async def test_no_answer_with_credentials_is_quoted(call: str, status: int) -> None:
    for name, body in MALFORMED.items():
        with structlog.testing.capture_logs() as logs:
            try:
                await CONFIDENTIAL[call](Server(httpx.Response(status, text=body)).client())
            except errors.ApiError as caught:
                shown = "".join(traceback.format_exception(caught)) + caught.message + caught.code + repr(caught.hint)
            else:
                continue  # it was understood after all
        for form in ENCODED:
            assert form not in shown + repr(logs), f"{name}: {shown}"


async def test_what_is_not_quoted_is_told_by_its_size_and_kind() -> None:
    with pytest.raises(errors.MalformedAnswerError) as caught:
        await Server(GOOD_JSON[:-2]).client().proxies.order("o")
    assert caught.value.message == (
        f"HTTP 200 with broken JSON ({len(GOOD_JSON) - 2} bytes, not shown: they may hold credentials)"
    )


@pytest.mark.parametrize(
    "message",
    [
        "Insufficient balance. Required: 12.00, available: $3.50",
        "Server not found or not available",
        "quantity must be between 1 and 500",
        "The order can't be renewed for more than 12 months",
        "Server srv-de-7 is sold out",
        "余额不足",
    ],
)
async def test_a_message_in_plain_words_is_shown_also_there(message: str) -> None:
    refused = httpx.Response(400, json={"success": False, "error": {"code": "VALIDATION_ERROR", "message": message}})
    with pytest.raises(errors.InvalidRequestError) as caught:
        await Server(refused).client().proxies.purchase(PurchaseProxies(server_id="srv-de-7", quantity=1, months=1))
    assert caught.value.message == message


def holds_credentials(kind: object) -> bool:
    """Whether an answer of this type has a secret in it, at any depth."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return any(not field.repr or holds_credentials(field.annotation) for field in kind.model_fields.values())
    return kind is SecretStr or any(map(holds_credentials, get_args(kind)))


def test_every_endpoint_whose_answer_has_a_secret_is_confidential() -> None:
    endpoints: list[Endpoint[Any]] = [
        value
        for area in (account, domains, numbers, proxies, whites)
        for value in vars(area).values()
        if isinstance(value, Endpoint)
    ]
    assert len(endpoints) == 38
    secret = {str(endpoint) for endpoint in endpoints if holds_credentials(endpoint.answer)}
    assert "GET /proxy/orders/{id}" in secret
    assert "GET /whites/{id}/download" in secret
    assert secret <= {str(endpoint) for endpoint in endpoints if endpoint.confidential}


@pytest.mark.parametrize("name", [name for name in MALFORMED if name not in UNRECOGNISED])
async def test_elsewhere_what_looks_like_a_credential_is_hidden(name: str) -> None:
    shown = str(await failure_of_read(MALFORMED[name]))
    assert PASSWORD not in shown, shown


def spelled(text: str) -> dict[str, str]:
    """The text in many encodings."""
    raw = text.encode()
    return {
        "as it is": text,
        "percent code": "".join(f"%{byte:02x}" for byte in raw),
        "percent code twice": quote(quote("".join(f"%{byte:02X}" for byte in raw))),
        "base64": base64.b64encode(raw).decode(),
        "base64 of more": base64.b64encode(b"x:" + raw + b":y").decode(),
        "base64 of another alignment": base64.b64encode(b"Bearer " + raw).decode(),
        "base64 for URLs": base64.urlsafe_b64encode(b"\xfb\xff" + raw).decode(),
        "base64 twice": base64.b64encode(base64.b64encode(raw)).decode(),
        "base64 in percent code": quote(base64.b64encode(raw + b"?").decode()),
        "hexadecimal": raw.hex(),
        "JSON escapes": "".join(f"\\u{byte:04x}" for byte in raw),
        "string escapes": "".join(f"\\x{byte:02x}" for byte in raw),
        "HTML": "".join(f"&#{byte};" for byte in raw),
        "HTML in hexadecimal": "".join(f"&#x{byte:x};" for byte in raw),
        "capitals": text.upper(),
        "backwards": text[::-1],
        "letter by letter": " ".join(text),
        "a list of letters": json.dumps(list(text)),
        "zero-width blanks": "\u200b".join(text),
        "soft hyphens": "\u00ad".join(text),
        "without its end": text[:-4],
        "without its beginning": text[4:],
        "in two lines": f"{text[:10]}\n{text[10:]}",
    }


SPELLED = spelled(KEY)


@pytest.mark.parametrize("spelling", SPELLED)
@pytest.mark.parametrize("text", ["{}", "The value {} is wrong", "x{}x", '{{"got": "{}'])
async def test_a_key_that_the_server_repeats_is_hidden_in_any_spelling(spelling: str, text: str) -> None:
    said = text.format(SPELLED[spelling])
    documented = json.dumps({"success": False, "error": {"code": "UNAUTHORIZED", "message": said}})
    for body in (said, documented, json.dumps({"success": False, "error": said})):
        shown = str(await failure_of_read(httpx.Response(400, text=body)))
        assert "0123456789" not in shown
        assert SPELLED[spelling] not in shown
        assert not any(part in shown for part in (SPELLED[spelling][3:21], SPELLED[spelling][-18:]))


@pytest.mark.parametrize("spelling", SPELLED)
def test_a_key_of_letters_alone_is_hidden_too(spelling: str) -> None:
    """It looks like a word, so that nothing but its own letters tells."""
    secret = "correcthorsebatterystaple"
    written = spelled(secret)[spelling]
    shown = clean(f"The value {written} is wrong", secret=secret)
    assert written not in shown
    assert not any(part in shown for part in (written[3:21], written[-18:]))


@given(st.text(max_size=300), st.integers(0, 300), st.sampled_from(sorted(SPELLED)))
def test_no_text_around_it_lets_the_key_through(text: str, at: int, spelling: str) -> None:
    shown = clean(f"{text[:at]} {SPELLED[spelling]} {text[at:]}", secret=KEY)
    assert SPELLED[spelling] not in shown
    assert "0123456789" not in shown or "0123456789" in text


@pytest.mark.parametrize(
    "text", ["a." * 5000, ":" * 5000, "x@" * 5000, "https:" * 3000, "a1" * 5000, "%25" * 3000, "&amp;" * 2000]
)
def test_cleaning_takes_no_longer_for_strange_text(text: str) -> None:
    strange = text * 5000
    usual = "The number is not active any more: nothing was charged. " * (len(strange) // 50)

    def cleaning(text: str) -> None:
        assert len(clean(text, secret=KEY, limit=500)) <= 500

    assert times_as_long(lambda: cleaning(strange), lambda: cleaning(usual), tries=3) < 20


async def test_a_purchase_whose_answer_breaks_off_leaves_no_password_behind(shop: Connected) -> None:
    shop.sandbox.fail_next(Failure(kind="garbage", method="POST"))
    with structlog.testing.capture_logs() as logs:
        said = text_of(await shop.buy(BUY_PROXIES))
    (entry,) = await shop.entries()
    assert entry.state in ("unknown", "charged"), "its answer was lost, and what it did may have been found since"
    passwords = [proxy.password for order in shop.sandbox.state.orders.values() for proxy in order.proxies]
    assert passwords
    assert not any(password in said + repr(entry) + repr(logs) for password in passwords)


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
