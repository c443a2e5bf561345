"""Over HTTP each line of the log names its request and its agent, and the answer tells the request's id."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fleets import Replica, Site, piv_day, site
from harness import ERAS, Era
from processes import KEY

from piv_mcp import log
from piv_mcp.sandbox import Sandbox, Timing
from piv_mcp.server import identity


@pytest.fixture
async def place(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    monkeypatch.setattr(identity, "ROSTER_SECONDS", 0.01)
    sandbox = Sandbox(KEY, rate_limit=0, timing=Timing.instant())
    async with piv_day(sandbox) as base_url:
        yield site(data_dir, base_url)
    await sandbox.aclose()


@pytest.fixture
async def server(place: Site) -> AsyncIterator[Replica]:
    async with place.server() as replica:
        yield replica


def lines(stream: io.StringIO, path: str) -> list[dict[str, Any]]:
    """About requests to piv.day with this path, that somebody asked for."""
    found = [json.loads(line) for line in stream.getvalue().splitlines()]
    return [line for line in found if line.get("path") == path and "agent" in line]


async def test_an_id_that_the_sender_gave_is_in_the_answer_and_in_the_log(place: Site, server: Replica) -> None:
    stream = io.StringIO()
    log.configure("DEBUG", "json", stream)
    token = await place.agent("reader")
    call: dict[str, Any] = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "get_account", "arguments": {}},
    }
    async with server.http(token) as http:
        for given in ("order-4711.a", "not plain"):
            answer = await http.post("/mcp", json=call, headers={"X-Request-Id": given})
            assert answer.status_code == 200
            told = answer.headers["x-request-id"]
            assert (told == given) == (given == "order-4711.a")
            assert {(line["request"], line["agent"]) for line in lines(stream, "/account")[-1:]} == {(told, "reader")}
    async with server.http() as stranger:
        refused = await stranger.post("/mcp", json=call)
        assert refused.status_code == 401
        assert refused.headers["x-request-id"]


@pytest.mark.parametrize("era", ERAS)
async def test_requests_at_the_same_time_are_told_apart(place: Site, server: Replica, era: Era) -> None:
    stream = io.StringIO()
    log.configure("DEBUG", "json", stream)
    names = {name: await place.agent(name) for name in ("reader", "writer")}
    paths = {"reader": "/account", "writer": "/domains"}
    tools = {"reader": "get_account", "writer": "list_domains"}
    await asyncio.gather(*(server.call(names[name], tools[name], era) for name in 5 * list(names)))
    for name, path in paths.items():
        found = lines(stream, path)
        assert {line["agent"] for line in found} == {name}
        assert found
        assert all(line["request"] for line in found)
