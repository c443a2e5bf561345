"""Answers of reads that callers share: how long, and never across a write or after a failure."""

import asyncio

import httpx
import pytest
from api_client import ACCOUNT, BASE, KEY, PURCHASE, PURCHASED, Recorder, Server, error
from moving_clock import MovingClock
from pydantic import SecretStr

from piv_mcp import errors
from piv_mcp.api.client import PivClient
from piv_mcp.api.readings import Readings, Span

pytestmark = pytest.mark.usefixtures("instant_retries")


@pytest.fixture
def clock() -> MovingClock:
    return MovingClock(speed=0)


async def test_an_answer_is_shared_for_five_seconds_from_the_start_of_its_request(clock: MovingClock) -> None:
    server = Server(ACCOUNT)
    piv = server.client(limiter=Recorder(), clock=clock)
    spans = [Span() for _ in range(3)]
    began = clock.time()
    await piv.recent(spans[0]).account.get()
    clock.advance(4)
    await piv.recent(spans[1]).account.get()
    assert len(server.requests) == 1
    assert (spans[1].began, spans[1].ended) == (began, began + 4)
    clock.advance(1)
    await piv.recent(spans[2]).account.get()
    assert len(server.requests) == 2
    assert spans[2].began == began + 5


async def test_who_needs_it_no_fresher_shares_an_older_answer(clock: MovingClock) -> None:
    server = Server(ACCOUNT)
    piv = server.client(limiter=Recorder(), clock=clock)
    await piv.recent(Span(max_age=60)).account.get()
    clock.advance(59)
    await piv.recent(Span(max_age=60)).account.get()
    assert len(server.requests) == 1
    await piv.recent(Span()).account.get()
    assert len(server.requests) == 2, "for others it is too old"
    clock.advance(59)
    await piv.recent(Span(max_age=60)).account.get()
    assert len(server.requests) == 2, "the newest counts for all"


async def test_a_read_that_failed_is_not_shared(clock: MovingClock) -> None:
    server = Server(error("UNAUTHORIZED", 401), ACCOUNT)
    piv = server.client(limiter=Recorder(), clock=clock)
    with pytest.raises(errors.ApiError):
        await piv.recent(Span()).account.get()
    assert (await piv.recent(Span()).account.get()).user_id == "u"


async def test_a_caller_that_gives_up_as_the_answer_comes_leaves_it_to_the_next(clock: MovingClock) -> None:
    came, reads = asyncio.Event(), 0
    readings = Readings(clock)

    async def read() -> int:
        nonlocal reads
        reads += 1
        await came.wait()
        return reads

    caller = asyncio.create_task(readings.get(("/account", ()), read, Span()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    came.set()
    await asyncio.sleep(0)  # the answer is there, and the caller does not have it yet
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    assert caller.cancelled()
    assert await readings.get(("/account", ()), read, Span()) == 1


async def test_what_was_read_before_a_write_or_during_it_is_not_shared_after_it(clock: MovingClock) -> None:
    written, reads = asyncio.Event(), 0

    async def answer(request: httpx.Request) -> httpx.Response:
        nonlocal reads
        if request.method == "POST":
            await written.wait()
            return httpx.Response(200, text=PURCHASED)
        reads += 1
        return httpx.Response(200, text=ACCOUNT)

    piv = PivClient(BASE, SecretStr(KEY), transport=httpx.MockTransport(answer), limiter=Recorder(), clock=clock)

    async def read() -> int:
        await piv.recent(Span()).account.get()
        return reads

    assert await read() == 1
    writing = asyncio.create_task(piv.numbers.purchase(PURCHASE))
    await asyncio.sleep(0)
    assert await read() == 2, "it may have taken effect"
    assert await read() == 2
    written.set()
    await writing
    assert await read() == 3
    assert await read() == 3


async def test_a_client_that_was_closed_sends_nothing(clock: MovingClock) -> None:
    server = Server(ACCOUNT)
    piv = server.client(limiter=Recorder(), clock=clock)
    await piv.aclose()
    with pytest.raises(errors.NoAnswerError, match="closed") as caught:
        await piv.account.get()
    assert not caught.value.sent
    with pytest.raises(errors.NoAnswerError, match="closed"):  # and not an unknown outcome
        await piv.numbers.purchase(PURCHASE)
    assert server.requests == []
