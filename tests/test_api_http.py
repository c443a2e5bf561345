"""How calls travel: envelopes, retries, the rate limit, and what never leaves or shows."""

import asyncio
import json
import logging
import subprocess
import sys
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
import stamina
import structlog
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from piv_mcp import errors
from piv_mcp.api import account, numbers, whites
from piv_mcp.api.client import PivClient
from piv_mcp.api.endpoint import Endpoint
from piv_mcp.api.events import parse_event, piv_num_ids
from piv_mcp.api.http import MAX_RESPONSE_BYTES
from piv_mcp.api.models import Page
from piv_mcp.api.numbers import Number, PurchaseNumber
from piv_mcp.api.rate_limit import (
    BACKFILL_OWN,
    MAX_PAUSE,
    TOTAL,
    WINDOW,
    LocalLimiter,
    Priority,
    no_slot,
    seconds_to_wait,
)
from piv_mcp.api.response import ApiResponse, Call, understand
from piv_mcp.api.retry import ATTEMPTS, parse_retry_after
from piv_mcp.api.text import clean, parse_json

BASE = "https://api.test/api/v1"
KEY = "key-0123456789-secret"
ACCOUNT = '{"success": true, "data": {"user_id": "u", "balance": 150.50}}'
PURCHASED = '{"success": true, "cost": 5.00, "numbers": [{"piv_num_id": "n"}]}'
PURCHASE = PurchaseNumber(country_code="SE", duration_months=1, auto_renew=False)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _no_waiting_between_tries() -> Iterator[None]:
    with stamina.set_testing(True, attempts=ATTEMPTS):
        yield


Reply = httpx.Response | Exception


def error(code: str, status: int, **headers: str) -> httpx.Response:
    body = {"success": False, "error": {"code": code, "message": "no"}}
    return httpx.Response(status, json=body, headers=headers)


class Server:
    """Gives the replies in order, the last one for ever."""

    def __init__(self, *replies: Reply | str) -> None:
        self.replies = [httpx.Response(200, text=item) if isinstance(item, str) else item for item in replies]
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        reply = self.replies[min(len(self.requests), len(self.replies)) - 1]
        if isinstance(reply, Exception):
            raise reply
        return httpx.Response(reply.status_code, headers=reply.headers, content=reply.content)

    def client(self, **options: Any) -> PivClient:
        return PivClient(BASE, SecretStr(KEY), transport=httpx.MockTransport(self), **options)


class Recorder:
    """A limiter that lets everything pass and remembers it."""

    def __init__(self) -> None:
        self.asked: list[tuple[Priority, float]] = []
        self.pauses: list[float] = []

    async def acquire(self, priority: Priority, *, timeout: float) -> None:  # noqa: ASYNC109 - the protocol's
        self.asked.append((priority, timeout))

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)


async def failure_of_read(*replies: Reply | str) -> errors.ApiError:
    with pytest.raises(errors.ApiError) as caught:
        await Server(*replies).client().account.get()
    return caught.value


async def failure_of_write(*replies: Reply | str) -> errors.ApiError:
    with pytest.raises(errors.ApiError) as caught:
        await Server(*replies).client().numbers.purchase(PURCHASE)
    return caught.value


# answers that are not the documented envelope

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


# properties of any answer

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(KEY),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
fields = st.sampled_from(["success", "data", "error", "numbers", "cost", "piv_num_id", "code", "message", "items"])
envelopes = st.dictionaries(
    fields, st.booleans() | json_values | st.dictionaries(fields, json_values, max_size=4), max_size=5
)
bodies = st.binary(max_size=200) | (json_values | envelopes).map(lambda value: json.dumps(value).encode())
endpoints = st.sampled_from([account.GET, numbers.LIST, numbers.PURCHASE, numbers.VERIFY, whites.CONFIG, numbers.SMS])


def _clean(text: str, limit: int) -> str:
    return clean(text, secret=KEY, limit=limit)


@given(endpoint=endpoints, status=st.integers(200, 599), body=bodies)
def test_any_answer_is_a_value_or_one_of_our_errors(endpoint: Endpoint[Any], status: int, body: bytes) -> None:
    call = Call(endpoint, endpoint.template, {}, None)
    caught = _failure(call, ApiResponse(status, None, body))
    if caught is None:
        assert 200 <= status < 300
        return
    assert KEY not in f"{caught!s} {caught!r} {caught.code} {''.join(traceback.format_exception(caught))}"
    assert str(caught).isprintable()
    assert len(str(caught)) < 800
    refused = 400 <= status < 500 or caught.code in errors.REFUNDED
    assert caught.effect == "none" or endpoint.writes
    assert caught.effect == "unknown" or refused or not endpoint.writes


def _failure(call: Call[Any], answer: ApiResponse) -> errors.ApiError | None:
    try:
        understand(call, answer, _clean)
    except errors.ApiError as caught:
        return caught
    return None


@given(st.binary(max_size=300) | envelopes.map(lambda value: json.dumps(value).encode()))
def test_any_webhook_body_is_an_event_or_malformed(body: bytes) -> None:
    try:
        event = parse_event(body)
    except errors.MalformedEventError:
        return
    assert isinstance(piv_num_ids(event.fields), tuple)
    assert event.data or event.problem


@given(st.text(max_size=300), st.integers(0, 10))
def test_cleaned_text_is_one_printable_line_without_the_key(text: str, at: int) -> None:
    hidden = text[:at] + "\x00".join(KEY) + text[at:] + KEY
    for limit in (20, 200):
        line = clean(hidden, secret=KEY, limit=limit)
        assert len(line) <= limit
        assert line.isprintable()
        assert KEY not in line


@given(json_values)
def test_parsed_json_can_always_be_stored(value: Any) -> None:
    try:
        parsed = parse_json(json.dumps([value]).encode())
    except ValueError:
        return
    json.dumps(parsed, default=str, ensure_ascii=False).encode()


# retries


@pytest.mark.parametrize(
    "reply",
    [
        httpx.ConnectError("x"),
        httpx.ConnectTimeout("x"),
        httpx.ReadTimeout("x"),
        httpx.WriteError("x"),
        httpx.RemoteProtocolError("x"),
        httpx.PoolTimeout("x"),
        httpx.DecodingError("x"),
        error("RATE_LIMITED", 429),
        error("INTERNAL_ERROR", 500),
        httpx.Response(502, text="<html>"),
        httpx.Response(503, text=""),
        httpx.Response(408, text=""),
    ],
    ids=repr,
)
async def test_a_read_is_tried_again(reply: Reply) -> None:
    server = Server(reply, reply, ACCOUNT)
    assert (await server.client().account.get()).user_id == "u"
    assert len(server.requests) == 3


async def test_a_read_is_given_up_after_some_tries() -> None:
    server = Server(httpx.ReadTimeout("x"))
    with pytest.raises(errors.NoAnswerError) as caught:
        await server.client().account.get()
    assert len(server.requests) == ATTEMPTS
    assert (caught.value.method, caught.value.path, caught.value.status) == ("GET", "/account", None)


@pytest.mark.parametrize(
    "reply",
    [
        error("NOT_FOUND", 404),
        error("UNAUTHORIZED", 401),
        error("VALIDATION_ERROR", 400),
        httpx.Response(200, text="<html>"),
        httpx.Response(302),
    ],
    ids=repr,
)
async def test_a_read_that_will_fail_again_is_not_repeated(reply: Reply) -> None:
    server = Server(reply)
    with pytest.raises(errors.ApiError):
        await server.client().account.get()
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "reply",
    [
        httpx.ReadTimeout("x"),
        httpx.WriteTimeout("x"),
        httpx.ReadError("x"),
        httpx.WriteError("x"),
        httpx.RemoteProtocolError("x"),
        httpx.DecodingError("x"),
        OSError("x"),
        error("INTERNAL_ERROR", 500),
        httpx.Response(502, text="<html>"),
        httpx.Response(200, text=PURCHASED[:-5]),
        httpx.Response(200, text=""),
    ],
    ids=repr,
)
async def test_a_write_that_may_have_happened_is_sent_once(reply: Reply) -> None:
    server = Server(reply, PURCHASED)
    with pytest.raises(errors.OutcomeUnknownError) as caught:
        await server.client().numbers.purchase(PURCHASE)
    assert len(server.requests) == 1
    assert caught.value.effect == "unknown"
    assert "may or may not have happened" in caught.value.message
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("Do not repeat it")
    assert (caught.value.method, caught.value.path) == ("POST", "/numbers/purchase")


@pytest.mark.parametrize(
    "reply",
    [
        httpx.ConnectError("x"),
        httpx.ConnectTimeout("x"),
        httpx.PoolTimeout("x"),
        httpx.ProxyError("x"),
        error("RATE_LIMITED", 429),
        httpx.Response(429, text="<html>"),
    ],
    ids=repr,
)
async def test_a_write_that_certainly_did_nothing_is_tried_again(reply: Reply) -> None:
    server = Server(reply, reply, PURCHASED)
    assert (await server.client().numbers.purchase(PURCHASE)).numbers
    assert len(server.requests) == 3
    caught = await failure_of_write(reply)
    assert isinstance(caught, errors.NoAnswerError | errors.RateLimitedError)
    assert caught.effect == "none"
    if isinstance(caught, errors.NoAnswerError):
        assert not caught.sent


@pytest.mark.parametrize("code", sorted(errors.REFUNDED))
async def test_a_refunded_verification_is_not_repeated_by_us(code: str) -> None:
    server = Server(error(code, 503))
    with pytest.raises(errors.ServerError):
        await server.client().numbers.verify("n", numbers.StartVerification(gv_url="https://gv.google.com/x"))
    assert len(server.requests) == 1


# the deadline


async def _hang(_: httpx.Request) -> httpx.Response:
    await asyncio.sleep(30)
    raise AssertionError("cancelled before")


class _Trickle(httpx.AsyncByteStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            await asyncio.sleep(0.005)
            yield b" "


async def _trickle(_: httpx.Request) -> httpx.Response:
    return httpx.Response(200, stream=_Trickle())


@pytest.mark.parametrize("handler", [_hang, _trickle])
async def test_a_call_ends_at_its_deadline(handler: Callable[[httpx.Request], Any]) -> None:
    piv = PivClient(BASE, SecretStr(KEY), transport=httpx.MockTransport(handler), deadline=0.05)
    async with asyncio.timeout(5):
        with pytest.raises(errors.NoAnswerError, match="deadline"):
            await piv.account.get()
        with pytest.raises(errors.OutcomeUnknownError, match="deadline"):
            await piv.numbers.purchase(PURCHASE)


async def test_a_write_waits_for_its_answer_as_long_as_the_call_lasts() -> None:
    server = Server(PURCHASED)
    await server.client(timeout=2.0, deadline=60.0).numbers.purchase(PURCHASE)
    assert server.requests[0].extensions["timeout"]["read"] > 50
    server = Server(ACCOUNT)
    await server.client(timeout=2.0, deadline=60.0).account.get()
    assert server.requests[0].extensions["timeout"] == {
        "connect": 5.0,
        "read": 2.0,
        "write": 10.0,
        "pool": 5.0,
    }


async def test_a_write_does_not_start_late() -> None:
    limiter = Recorder()
    await Server(PURCHASED).client(limiter=limiter, deadline=30.0).numbers.purchase(PURCHASE)
    [(_, patience)] = limiter.asked
    assert patience <= 20


# the server's own limit


async def test_retry_after_is_obeyed_and_told_to_the_limiter() -> None:
    limiter = Recorder()
    server = Server(error("RATE_LIMITED", 429, **{"retry-after": "12"}), ACCOUNT)
    await server.client(limiter=limiter, deadline=30.0).account.get()
    assert limiter.pauses == [12.0]
    assert len(server.requests) == len(limiter.asked) == 2


async def test_the_wait_before_the_next_try_is_what_the_server_said(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("stamina._core._smart_sleep", sleep)
    busy = error("RATE_LIMITED", 429, **{"retry-after": "7"})
    with stamina.set_testing(False):
        await Server(busy, httpx.ReadTimeout("x"), ACCOUNT).client(limiter=Recorder()).account.get()
    assert slept[0] == 7.0
    assert 0 <= slept[1] <= 1.0


@pytest.mark.parametrize("write", [False, True])
async def test_a_retry_after_beyond_the_deadline_is_reported_at_once(write: bool) -> None:
    limiter = Recorder()
    server = Server(error("RATE_LIMITED", 429, **{"retry-after": "45"}))
    piv = server.client(limiter=limiter, deadline=30.0)
    with pytest.raises(errors.RateLimitedError) as caught:
        await (piv.numbers.purchase(PURCHASE) if write else piv.account.get())
    assert (caught.value.retry_after, caught.value.effect) == (45.0, "none")
    assert caught.value.hint == "Wait 45 s, then repeat"
    assert len(server.requests) == 1
    assert limiter.pauses == [45.0]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("12", 12.0),
        (" 0.5 ", 0.5),
        ("-3", 0.0),
        ("1e9", MAX_PAUSE),
        ("nan", None),
        ("inf", MAX_PAUSE),
        ("soon", None),
        ("", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 99 Oct 2015 07:28:00 GMT", None),
        ("١٢", None),
    ],
)
def test_retry_after_in_seconds(header: str | None, seconds: float | None) -> None:
    assert parse_retry_after(header) == seconds


def test_retry_after_as_a_date() -> None:
    seconds = parse_retry_after(format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True))
    assert seconds is not None
    assert 28 <= seconds <= 30


# our own limit

times = st.lists(st.floats(0, 200), max_size=120)
histories = st.fixed_dictionaries(dict.fromkeys(Priority, times))


@given(histories, st.floats(100, 150), st.sampled_from(Priority), st.booleans(), st.floats(0, 300))
def test_who_may_go_is_within_every_budget(
    sent: dict[Priority, list[float]], now: float, priority: Priority, waiting: bool, paused_until: float
) -> None:
    wait = seconds_to_wait(priority, sent, now=now, paused_until=paused_until, person_waiting=waiting)
    recent = {kind: sum(time + WINDOW > now for time in at) for kind, at in sent.items()}
    total = sum(recent.values())
    own = priority is not Priority.BACKFILL or (recent[priority] < BACKFILL_OWN and not waiting)
    assert (wait == 0) == (paused_until <= now and total < TOTAL[priority] and own)
    assert 0 <= wait <= max(WINDOW, paused_until - now)


@given(histories, st.floats(100, 150))
def test_background_work_never_goes_before_a_person(sent: dict[Priority, list[float]], now: float) -> None:
    waits = [seconds_to_wait(priority, sent, now=now) for priority in Priority]
    assert waits == sorted(waits)


@given(times, st.floats(0, 150))
def test_after_the_wait_the_slot_is_free(sent: list[float], now: float) -> None:
    history = {Priority.PERSON: [min(time, now) for time in sent]}
    wait = seconds_to_wait(Priority.WAIT, history, now=now)
    assert seconds_to_wait(Priority.WAIT, history, now=now + wait + 1e-6) == 0


def test_a_clock_that_was_set_back_stops_nobody_for_good() -> None:
    sent = {Priority.PERSON: [10_000.0] * 95}
    assert seconds_to_wait(Priority.PERSON, sent, now=0.0) <= WINDOW
    assert seconds_to_wait(Priority.PERSON, {}, now=0.0, paused_until=1e9) == MAX_PAUSE


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)

    def limiter(self) -> LocalLimiter:
        return LocalLimiter(clock=self, sleep=self.sleep)


async def _goes(limiter: LocalLimiter, priority: Priority) -> bool:
    try:
        await limiter.acquire(priority, timeout=0)
    except errors.RateLimitedError:
        return False
    return True


async def test_polling_leaves_room_for_a_person() -> None:
    clock = Clock()
    limiter = clock.limiter()
    went: Counter[Priority] = Counter()
    for priority in (Priority.BACKFILL, Priority.WAIT, Priority.PERSON):
        while await _goes(limiter, priority):
            went[priority] += 1
        with pytest.raises(errors.RateLimitedError) as caught:
            await limiter.acquire(priority, timeout=59)
        assert caught.value.retry_after == WINDOW
        assert (caught.value.effect, caught.value.status) == ("none", None)
    assert went == {Priority.BACKFILL: 20, Priority.WAIT: 55, Priority.PERSON: 20}
    assert clock.slept == []


async def test_a_slot_is_waited_for_within_the_timeout() -> None:
    clock = Clock()
    limiter = clock.limiter()
    for _ in range(95):
        await limiter.acquire(Priority.PERSON, timeout=0)
    clock.now += 50
    await limiter.acquire(Priority.PERSON, timeout=20)
    assert clock.slept == [pytest.approx(10)]


async def test_nobody_sends_during_a_pause() -> None:
    clock = Clock()
    limiter = clock.limiter()
    await limiter.pause(30)
    await limiter.pause(5)
    with pytest.raises(errors.RateLimitedError, match="30 s"):
        await limiter.acquire(Priority.PERSON, timeout=10)
    await limiter.acquire(Priority.PERSON, timeout=31)
    assert clock.slept == [pytest.approx(30)]


async def test_backfill_stands_aside_while_a_person_waits() -> None:
    clock = Clock()
    limiter = clock.limiter()
    await limiter.pause(10)
    order: list[Priority] = []

    async def call(priority: Priority) -> None:
        await limiter.acquire(priority, timeout=100)
        order.append(priority)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(call(Priority.PERSON))
        tasks.create_task(call(Priority.BACKFILL))
    assert order == [Priority.PERSON, Priority.BACKFILL]


async def test_a_call_says_its_priority() -> None:
    limiter = Recorder()
    piv = Server(ACCOUNT).client(limiter=limiter)
    await piv.account.get()
    await piv.at(Priority.WAIT).account.get()
    await piv.at(Priority.BACKFILL).account.get()
    assert [priority for priority, _ in limiter.asked] == list(Priority)


async def test_a_call_without_a_slot_is_not_sent() -> None:
    class Full(Recorder):
        async def acquire(self, priority: Priority, *, timeout: float) -> None:  # noqa: ASYNC109 - the protocol's
            raise no_slot(42.0)

    server = Server(PURCHASED)
    with pytest.raises(errors.RateLimitedError) as caught:
        await server.client(limiter=Full()).numbers.purchase(PURCHASE)
    assert server.requests == []
    assert (caught.value.retry_after, caught.value.effect) == (42.0, "none")
    assert (caught.value.method, caught.value.path) == ("POST", "/numbers/purchase")


# secrets


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


async def test_cookies_of_the_server_are_not_sent_back() -> None:
    server = Server(httpx.Response(200, text=ACCOUNT, headers={"set-cookie": "track=1; Path=/"}))
    piv = server.client()
    await piv.account.get()
    await piv.account.get()
    assert "cookie" not in server.requests[1].headers


async def test_a_request_carries_no_more_than_it_must() -> None:
    server = Server(ACCOUNT)
    await server.client(user_agent="piv-mcp/1 (test)").account.get()
    headers = dict(server.requests[0].headers)
    assert headers.pop("authorization") == f"Bearer {KEY}"
    assert headers.pop("user-agent") == "piv-mcp/1 (test)"
    assert set(headers) == {"host", "accept", "accept-encoding", "connection"}


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


async def test_a_closed_port_is_a_failure_to_connect() -> None:
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    async with PivClient(f"http://127.0.0.1:{port}", SecretStr(KEY)) as piv:
        with pytest.raises(errors.NoAnswerError) as caught:
            await piv.numbers.purchase(PURCHASE)
    assert not caught.value.sent


async def test_closing_one_client_closes_what_it_shares() -> None:
    server = Server(ACCOUNT)
    piv = server.client()
    async with piv.at(Priority.WAIT):
        pass
    with pytest.raises(errors.NoAnswerError) as caught:
        await piv.numbers.purchase(PURCHASE)
    assert not caught.value.sent
    assert server.requests == []


def test_the_models_are_imported_without_the_http_libraries() -> None:
    areas = "account, numbers, proxies, domains, whites, events"
    program = f"import sys; from piv_mcp.api import {areas}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert not {"httpx", "stamina", "structlog", "mcp"} & set(loaded.split())


def test_the_client_is_imported_without_the_retry_library() -> None:
    program = "import sys; import piv_mcp.api.client; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert not {"stamina", "tenacity", "mcp"} & set(loaded.split())
