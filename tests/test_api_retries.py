"""Which calls are sent again, when a call ends, and how the server's own limit is obeyed."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
import stamina
from api_client import ACCOUNT, BASE, KEY, PURCHASE, PURCHASED, Recorder, Reply, Server, error, failure_of_write
from moving_clock import MovingClock
from pydantic import SecretStr

from piv_mcp import errors
from piv_mcp.api import numbers
from piv_mcp.api.client import PivClient
from piv_mcp.api.rate_limit import MAX_PAUSE, LocalLimiter
from piv_mcp.api.retry import ATTEMPTS, parse_retry_after

pytestmark = pytest.mark.usefixtures("instant_retries")


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
    assert len(server.requests) == ATTEMPTS == 4
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
        ("86400", 86400.0),
        ("1e9", 1e9),
        ("nan", None),
        ("inf", math.inf),
        ("-inf", 0.0),
        ("1e999", math.inf),
        ("soon", None),
        ("", None),
        ("Fri, 01 May 2026 10:00:30 GMT", 30.0),
        ("Fri, 01 May 2026 10:00:30 -0000", 30.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Sat, 01 May 2027 10:00:00 GMT", 365 * 86400.0),
        ("Wed, 99 Oct 2015 07:28:00 GMT", None),
        ("١٢", None),
    ],
)
def test_retry_after_in_seconds(header: str | None, seconds: float | None) -> None:
    assert parse_retry_after(header, NOON) == seconds


NOON = datetime(2026, 5, 1, 10, 0, 0, tzinfo=UTC).timestamp()


@pytest.mark.parametrize("ours", [-86400 * 365 * 20, -70, 0, 180, 86400 * 40])
async def test_a_date_to_wait_for_is_compared_with_the_date_of_the_response(ours: int) -> None:
    clock = MovingClock(speed=0)
    clock.correct(NOON - clock.time() + ours)
    limiter = Recorder()
    headers = {"retry-after": "Fri, 01 May 2026 10:00:41 GMT", "date": "Fri, 01 May 2026 10:00:00 GMT"}
    piv = Server(error("RATE_LIMITED", 429, **headers)).client(limiter=limiter, clock=clock)
    with pytest.raises(errors.RateLimitedError) as caught:
        await piv.account.get()
    assert limiter.pauses == [40.5]
    assert caught.value.hint == "Wait 41 s, then repeat"


async def test_without_a_date_of_the_response_it_is_compared_with_ours() -> None:
    clock = MovingClock(speed=0)
    later = format_datetime(datetime.fromtimestamp(clock.time() + 40, UTC), usegmt=True)
    limiter = Recorder()
    piv = Server(error("RATE_LIMITED", 429, **{"retry-after": later})).client(limiter=limiter, clock=clock)
    with pytest.raises(errors.RateLimitedError):
        await piv.account.get()
    assert limiter.pauses == [40.0]


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("66", "66 seconds"),
        ("3600", "60 minutes"),
        ("86400", "24 hours"),
        ("inf", "pause without end"),
        ("1e300", "pause without end"),
        ("Sat, 01 May 2027 10:00:00 GMT", "days"),
    ],
)
async def test_a_pause_that_is_too_long_is_told_and_shortened(header: str, words: str) -> None:
    limiter = LocalLimiter(clock=(clock := MovingClock(speed=0)).monotonic, sleep=clock.sleep)
    server = Server(error("RATE_LIMITED", 429, **{"retry-after": header}), ACCOUNT)
    piv = server.client(limiter=limiter, clock=clock, deadline=30.0)
    with pytest.raises(errors.RateLimitedError) as caught:
        await piv.account.get()
    assert "piv.day asked for a pause" in caught.value.message
    assert words in caught.value.message
    assert caught.value.hint == f"Wait {MAX_PAUSE:.0f} s, then repeat"
    clock.advance(20)
    with pytest.raises(errors.RateLimitedError) as caught:
        await piv.account.get()
    assert caught.value.message.startswith("piv.day asked for a pause")
    assert words in caught.value.message
    assert caught.value.message.endswith("; the next slot is in 45 s")
    assert caught.value.hint == "Wait 45 s, then repeat"
    assert len(server.requests) == 1
    clock.advance(45)
    assert await piv.account.get()


async def test_a_bare_error_page_with_a_long_pause_says_so_too() -> None:
    reply = httpx.Response(503, text="<html>", headers={"retry-after": "86400"})
    limiter = Recorder()
    with pytest.raises(errors.ServerError) as caught:
        await Server(reply).client(limiter=limiter).account.get()
    assert caught.value.message.endswith("(piv.day asked for a pause of 24 hours)")
    assert caught.value.hint == f"Wait {MAX_PAUSE:.0f} s, then repeat"
    assert limiter.pauses == [], "only a 429 is about all requests"


@pytest.mark.parametrize(("wait", "writes", "requests"), [(20, True, 2), (21, True, 1), (29, False, 2), (30, False, 1)])
async def test_no_wait_leaves_too_little_time_for_the_next_try(wait: int, writes: bool, requests: int) -> None:
    """A write that the deadline cuts off has an unknown outcome: it needs ten seconds, and a read one."""
    server = Server(error("RATE_LIMITED", 429, **{"retry-after": str(wait)}), PURCHASED if writes else ACCOUNT)
    piv = server.client(limiter=Recorder(), deadline=30.0, clock=MovingClock(speed=0))
    call = piv.numbers.purchase(PURCHASE) if writes else piv.account.get()
    if requests == 2:
        await call
    else:
        with pytest.raises(errors.RateLimitedError):
            await call
    assert len(server.requests) == requests
