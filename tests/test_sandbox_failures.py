"""Failures on demand, in-process and over a port."""

import contextlib
from collections.abc import AsyncGenerator, Callable

import httpx
import pytest
from sandbox_api import (
    BUY_NUMBER,
    Api,
    Json,
    connect,
    on_its_own_port,
)

from piv_mcp.sandbox import Failure, Sandbox

pytest_plugins = ["sandbox_fixtures"]


def bought(sandbox: Sandbox) -> int:
    return len(sandbox.charges)


DROPS = [
    (Failure(kind="connect_error"), httpx.ConnectError, 0),
    (Failure(kind="drop_before"), httpx.RemoteProtocolError, 0),
    (Failure(kind="drop_after"), httpx.RemoteProtocolError, 1),
    (Failure(kind="drop_before", reset=True), httpx.ReadError, 0),
    (Failure(kind="drop_after", reset=True), httpx.ReadError, 1),
    (Failure(kind="hang"), httpx.ReadTimeout, 1),
    (Failure(kind="hang", after=False), httpx.ReadTimeout, 0),
    (Failure(kind="slow", delay=5), httpx.ReadTimeout, 1),
]

ANSWERS = [
    (Failure(kind="status", status=503), 503, 0),
    (Failure(kind="status", code="PERMISSION_DENIED"), 403, 0),
    (Failure(kind="status_after"), 500, 1),
    (Failure(kind="rate_limited", retry_after=7), 429, 0),
    (Failure(kind="html"), 502, 0),
    (Failure(kind="html", after=True), 502, 1),
    (Failure(kind="garbage"), 200, 1),
    (Failure(kind="empty"), 200, 1),
    (Failure(kind="slow", delay=0.01), 200, 1),
]


def describe(value: object) -> str | None:
    return f"{value.kind}-{value.after}-{value.reset}" if isinstance(value, Failure) else None


@contextlib.asynccontextmanager
async def in_process(sandbox: Sandbox) -> AsyncGenerator[httpx.AsyncClient]:
    async def no_wait(seconds: float) -> None:
        """Instead of `asyncio.sleep`."""

    async with connect(sandbox, no_wait) as client:
        yield client


Where = Callable[[Sandbox], contextlib.AbstractAsyncContextManager[httpx.AsyncClient]]

PLACES = [in_process, on_its_own_port]


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize(("failure", "error", "work"), DROPS, ids=describe)
async def test_connection_fails(
    failure: Failure, error: type[Exception], work: int, where: Where, piv_day: Sandbox
) -> None:
    if where is on_its_own_port and failure.kind == "connect_error":
        error = httpx.RemoteProtocolError
    async with where(piv_day) as client:
        piv_day.fail_next(failure)
        patience = httpx.Timeout(5, read=0.1 if error is httpx.ReadTimeout else 5)
        with pytest.raises(error):
            await client.post("/numbers/purchase", json=BUY_NUMBER, timeout=patience)
        assert bought(piv_day) == work
        assert (await client.get("/account")).status_code == 200


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize(("failure", "status", "work"), ANSWERS, ids=describe)
async def test_answer_is_spoilt(failure: Failure, status: int, work: int, where: Where, piv_day: Sandbox) -> None:
    async with where(piv_day) as client:
        piv_day.fail_next(failure)
        response = await client.post("/numbers/purchase", json=BUY_NUMBER)
    assert (response.status_code, bought(piv_day)) == (status, work)
    if failure.kind in ("garbage", "empty", "html"):
        with pytest.raises(ValueError, match=r"Expecting|Unterminated|delimiter"):
            response.json()
    if failure.kind == "rate_limited":
        assert response.headers["Retry-After"] == "7"


@pytest.mark.parametrize(
    ("pattern", "path", "meets"),
    [
        (None, "/anything", True),
        ("/numbers/purchase", "/numbers/purchase", True),
        ("/numbers/*", "/numbers/a/sms", False),
        ("/numbers/**", "/numbers/a/sms", True),
        ("/numbers/{piv_num_id}/sms", "/numbers/a/sms", True),
        ("/numbers", "/numbers/a", False),
        ("/a.c", "/abc", False),
    ],
)
def test_failure_meets_paths(pattern: str | None, path: str, meets: bool) -> None:
    assert Failure(kind="status", path=pattern).meets("GET", path) is meets


async def test_failure_strikes_as_often_as_asked_and_only_there(piv_day: Sandbox, api: Api) -> None:
    piv_day.fail_next(Failure(kind="status", method="POST", path="/numbers/*", times=2))
    piv_day.fail_next(Failure(kind="status", path="/whites", times=None))
    assert (await api.client.get("/numbers/countries")).status_code == 200
    posts = [(await api.client.post("/numbers/purchase", json=BUY_NUMBER)).status_code for _ in range(3)]
    assert posts == [500, 500, 200]
    gets = [(await api.client.get("/whites")).status_code for _ in range(3)]
    piv_day.clear_failures()
    assert [*gets, (await api.client.get("/whites")).status_code] == [500, 500, 500, 200]


@pytest.mark.parametrize("values", [{"kind": "sulk"}, {"kind": "slow", "after": False}])
def test_senseless_failure_is_refused(values: Json) -> None:
    with pytest.raises(ValueError, match=r"unknown kind|needs the answer"):
        Failure(**values)
