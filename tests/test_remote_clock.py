"""piv.day's time, by the `Date` headers of its responses."""

import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest
from api_client import ACCOUNT, BASE, Recorder, Server, error
from hypothesis import given
from hypothesis import strategies as st
from moving_clock import MovingClock
from pydantic import SecretStr
from sandbox_api import Api, connect, on_its_own_port

from piv_mcp import errors
from piv_mcp.api.client import PivClient
from piv_mcp.api.rate_limit import Priority
from piv_mcp.api.readings import Span
from piv_mcp.api.remote_clock import parse_http_date
from piv_mcp.sandbox import Failure, Sandbox, SandboxTransport

pytest_plugins = ["sandbox_fixtures"]

AT = datetime(2026, 5, 1, 10, 0, 0, tzinfo=UTC)
NOON = AT.timestamp()


def dated(date: str | None = None, **headers: str) -> httpx.Response:
    date = format_datetime(AT, usegmt=True) if date is None else date
    return httpx.Response(200, text=ACCOUNT, headers={"date": date, **headers})


def clock_never_set() -> MovingClock:
    """Of a machine whose time agrees with no date, whenever the test runs."""
    clock = MovingClock(speed=0)
    clock.correct(-clock.time())
    return clock


async def time_after(*replies: httpx.Response) -> float | None:
    piv = Server(*replies).client(clock=clock_never_set())
    for _ in replies:
        await piv.account.get()
    return piv.remote_clock.time()


async def test_the_time_is_the_middle_of_the_second_that_the_response_names() -> None:
    assert await time_after(dated()) == NOON + 0.5


def later(seconds: float) -> httpx.Response:
    return dated(format_datetime(AT + timedelta(seconds=seconds), usegmt=True))


@pytest.mark.parametrize("seconds", [1, 29, -29])
async def test_the_last_response_counts(seconds: int) -> None:
    assert await time_after(dated(), later(seconds)) == NOON + seconds + 0.5
    assert await time_after(later(seconds), dated()) == NOON + 0.5


@pytest.mark.parametrize("jump", [31, -31, 3 * 3600, -3 * 3600])
async def test_a_date_that_jumps_is_believed_once_a_second_response_agrees_with_it(jump: int) -> None:
    assert await time_after(dated(), later(jump)) == NOON + 0.5
    assert await time_after(dated(), later(jump), later(jump + 4)) == NOON + jump + 4.5
    assert await time_after(dated(), later(jump), later(jump), dated()) == NOON + jump + 0.5


async def test_dates_that_agree_neither_with_each_other_nor_with_the_time_so_far_are_not_believed() -> None:
    assert await time_after(dated(), later(100), later(200), later(300)) == NOON + 0.5
    assert await time_after(dated(), later(100), dated(), later(100)) == NOON + 0.5


async def test_whether_two_dates_agree_is_told_by_what_has_passed_between_them() -> None:
    clock = clock_never_set()
    began = clock.monotonic()
    piv = Server(dated(), later(3600), later(3600), later(3660)).client(clock=clock)
    for believed in (0, 0, 0, 3660 - 180):
        await piv.account.get()
        assert piv.remote_clock.time() == clock.monotonic() - began + NOON + believed + 0.5
        clock.advance(60)


async def test_a_date_that_jumps_to_the_time_of_this_machine_is_believed_at_once() -> None:
    """This machine's clock tells that the first date was wrong, or that `Clock.monotonic` stood still meanwhile."""
    clock = MovingClock(speed=0)
    clock.correct(NOON + 3600 - clock.time())
    piv = Server(dated(), later(3 * 3600), later(3600 + 29)).client(clock=clock)
    for believed in (0, 0, 3600 + 29):
        await piv.account.get()
        assert piv.remote_clock.time() == NOON + believed + 0.5


async def test_the_time_goes_on_by_what_has_passed_and_not_by_our_wall_clock() -> None:
    clock = MovingClock(speed=0)
    piv = Server(dated()).client(clock=clock)
    assert piv.remote_clock.time() is None
    await piv.account.get()
    clock.advance(70)
    clock.correct(-20 * 365 * 86400)
    assert piv.remote_clock.time() == NOON + 70.5


async def test_after_an_hour_without_a_response_the_time_is_not_known() -> None:
    clock = MovingClock(speed=0)
    piv = Server(dated()).client(clock=clock)
    await piv.account.get()
    clock.advance(3600)
    assert piv.remote_clock.time() == NOON + 3600.5
    clock.advance(0.5)
    assert piv.remote_clock.time() is None
    await piv.account.get()
    assert piv.remote_clock.time() == NOON + 0.5


@pytest.mark.parametrize(
    "date",
    [
        "",
        "soon",
        "0",
        "1777629600",
        "Fri, 99 May 2026 10:00:00 GMT",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "Fri, 31 Dec 1999 23:59:59 GMT",
        "Fri, 01 Jan 2100 00:00:00 GMT",
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "Fri, 01 May 99999 10:00:00 GMT",
        "Fri, 01 May 2026 10:00:00 +9999",
    ],
)
async def test_a_date_that_is_none_is_as_if_there_were_none(date: str) -> None:
    assert await time_after(dated(date)) is None
    assert await time_after(dated(), dated(date)) == NOON + 0.5


async def test_a_response_without_a_date_tells_no_time() -> None:
    assert await time_after(httpx.Response(200, text=ACCOUNT)) is None


@pytest.fixture
def local_time_of_tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.skipif(sys.platform == "win32", reason="a process cannot set its time zone there")
@pytest.mark.usefixtures("local_time_of_tokyo")
@pytest.mark.parametrize("date", ["Fri, 01 May 2026 10:00:00 -0000", "Fri, 01 May 2026 12:00:00 +0200"])
async def test_other_ways_to_write_the_date_are_understood(date: str) -> None:
    assert await time_after(dated(date)) == NOON + 0.5


@pytest.mark.parametrize("year", [2000, 2099])
async def test_a_date_of_this_century_is_believed(year: int) -> None:
    first = datetime(year, 1, 1, tzinfo=UTC)
    assert await time_after(dated(format_datetime(first, usegmt=True))) == first.timestamp() + 0.5


@given(
    st.text() | st.lists(st.sampled_from(["Fri,", "1", "May", "99999999999", "10:0:0", "-", ":", "+"])).map(" ".join)
)
def test_any_text_is_a_time_or_none(text: str) -> None:
    assert isinstance(parse_http_date(text), float | None)


@pytest.mark.parametrize("age", ["1", "10", "3600", "yes", "-1"])
async def test_a_response_from_a_cache_tells_no_time(age: str) -> None:
    assert await time_after(dated(age=age)) is None


@pytest.mark.parametrize("age", ["0", " 0 ", "00", ""])
async def test_a_response_that_is_no_second_old_tells_the_time(age: str) -> None:
    assert await time_after(dated(age=age)) == NOON + 0.5


@pytest.mark.parametrize("status", [401, 429, 500])
async def test_an_error_tells_the_time_too(status: int) -> None:
    reply = error("NO", status, date=format_datetime(AT, usegmt=True), **{"retry-after": "99"})
    piv = Server(reply).client(clock=MovingClock(speed=0), limiter=Recorder(), deadline=0.1)
    with pytest.raises(errors.ApiError):
        await piv.account.get()
    assert piv.remote_clock.time() == NOON + 0.5


async def test_every_view_of_the_client_shares_the_clock() -> None:
    piv = Server(dated()).client(clock=MovingClock(speed=0))
    await piv.at(Priority.WAIT).account.get()
    views = (piv, piv.at(Priority.BACKFILL), piv.recent(Span()), piv.prompt(), piv.at(Priority.WAIT).prompt())
    assert [view.remote_clock.time() for view in views] == [NOON + 0.5] * 5


# the sandbox


def sandbox_client(sandbox: Sandbox, clock: MovingClock) -> PivClient:
    return PivClient(BASE, SecretStr("sandbox-key"), transport=SandboxTransport(sandbox), clock=clock)


async def test_the_sandbox_tells_its_own_time(piv_day: Sandbox) -> None:
    piv = sandbox_client(piv_day, MovingClock())
    for _ in range(2):
        for _ in range(2):
            await piv.account.get()
        assert abs((piv.remote_clock.time() or 0) - piv_day.now.timestamp()) <= 1
        piv_day.advance(timedelta(days=40))


async def test_the_date_of_the_sandbox_can_be_wrong_or_missing(piv_day: Sandbox) -> None:
    piv_day.date_shift = timedelta(seconds=-180)
    piv = sandbox_client(piv_day, MovingClock())
    await piv.account.get()
    assert abs((piv.remote_clock.time() or 0) - piv_day.now.timestamp() + 180) <= 1
    piv_day.date_shift = None
    piv = sandbox_client(piv_day, MovingClock())
    await piv.account.get()
    assert piv.remote_clock.time() is None


@pytest.mark.parametrize("failure", [Failure(kind="html"), Failure(kind="rate_limited"), Failure(kind="garbage")])
async def test_a_spoilt_answer_of_the_sandbox_is_dated_as_well(piv_day: Sandbox, failure: Failure) -> None:
    piv_day.fail_next(failure)
    async with connect(piv_day) as client:
        assert "date" in (await client.get("/account")).headers


async def test_over_a_port_the_sandbox_sends_one_date_and_its_own(piv_day: Sandbox) -> None:
    async with on_its_own_port(piv_day) as client:
        shift = client.base_url.join("/_sandbox/date")
        assert (await client.post(str(shift), json={"shift": -86400})).is_success
        (date,) = (await client.get("/account")).headers.get_list("date")
        sent = datetime.strptime(date, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
        assert abs(piv_day.now - timedelta(days=1) - sent) <= timedelta(seconds=2)
        assert (await client.post(str(shift), json={"shift": None})).is_success
        assert "date" not in (await client.get("/account")).headers
        assert (await client.post(str(shift), json={"shift": "soon"})).status_code == 400


async def test_a_reset_sandbox_is_right_again(piv_day: Sandbox, api: Api) -> None:
    piv_day.date_shift = None
    await piv_day.reset()
    assert "date" in (await api.client.get("/account")).headers
