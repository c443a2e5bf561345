"""Opening the approval page in a browser, and the private files that lead there."""

import asyncio
import os
import re
import stat
import sys
import time
from contextlib import AsyncExitStack
from decimal import Decimal
from pathlib import Path

import pytest
from approvals import (
    BUY,
    TOKEN,
    BrowserPerson,
    answer_of,
    asking,
    button,
    origin_of,
    redirects,
    rented,
    result_of,
    says,
)
from harness import Connect, content_of, until
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from moving_clock import MovingClock
from processes import KEY, Machine, sandbox_on_a_port

from piv_mcp.sandbox import Sandbox
from piv_mcp.spending.quote import FREEZE_SECONDS

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(sys.platform == "win32", reason="the browser of the tests is a shell script"),
]


async def test_a_browser_that_returns_only_when_it_is_closed_holds_nothing_up(
    connect: Connect, person: BrowserPerson
) -> None:
    closed = person.folder / "closed"
    with person.program.open("a") as script:
        script.write(f"for n in $(seq 1200); do [ -e '{closed}' ] && break; sleep 0.05; done\n")
    clock = MovingClock()
    async with connect(confirm_wait=1.5, clock=clock) as app, asking(app) as call:
        await person.invited()

        def has_answered() -> bool:
            clock.advance(0.5)
            return call.done()

        await until(has_answered, seconds=20, what="the answer")
        answer = await answer_of(call)
        assert answer["status"] == "approval_required"
        assert "page that was opened" in answer["note"]
        closed.touch()


async def test_a_machine_without_a_browser_is_sent_to_the_terminal(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROWSER", "false %s")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", "/nonexistent")
    async with connect(confirm_wait=0) as app:
        note = (await app.ok("purchase_number", **BUY))["note"]
    assert "browser" not in note
    assert "piv-mcp approvals" in note


async def test_over_stdio_another_process_serves_the_page_and_no_token_shows_anywhere(
    data_dir: Path, person: BrowserPerson
) -> None:
    account = Sandbox(KEY)
    logs = [data_dir.with_name(f"{name}.log") for name in ("first", "second")]
    async with sandbox_on_a_port(account) as base_url, AsyncExitStack() as stack:
        machine = Machine(data_dir, base_url)
        environment = machine.environment(log_level="DEBUG") | {"BROWSER": person.command}
        parameters = StdioServerParameters(command=sys.executable, args=["-m", "piv_mcp"], env=environment)
        first, second = [
            await stack.enter_async_context(Client(stdio_client(parameters, errlog=stack.enter_context(log.open("w")))))
            for log in logs
        ]
        await first.call_tool("list_events", {})  # its services run: it has the port
        await machine.served()
        call = asyncio.create_task(second.call_tool("purchase_number", BUY))
        page = await person.approval()
        (token,) = re.findall(TOKEN, page.url)
        assert origin_of(page.url) == f"http://127.0.0.1:{machine.port}"
        (redirect,) = (data_dir / "approvals").iterdir()
        assert stat.S_IMODE(redirect.stat().st_mode) == 0o600
        assert stat.S_IMODE(redirect.parent.stat().st_mode) == 0o700
        assert token in redirect.read_text()
        assert redirect.as_uri() in person.processes, "the browser is looked at"
        assert token not in person.processes
        await button(page, "Approve").click()
        result = await result_of(call)
        assert content_of(result)["status"] == "charged"
        await says(page, "Approved and done")
        assert not redirect.exists()
        for tool in ("list_spending", "list_events", "reconcile_spending"):
            result.content.extend((await second.call_tool(tool, {})).content)
        assert token not in result.model_dump_json()
    assert rented(account) == [Decimal("4.00")]
    written = [log.read_text() for log in logs]
    assert "decided on the page" in written[0]
    assert "approval page" in written[1]
    key = (data_dir / "page-key").read_text()
    for secret in (token, key):
        assert not any(secret in log for log in written)


async def test_a_server_that_ends_leaves_no_token_behind(connect: Connect) -> None:
    async with connect(confirm_wait=0) as app:
        await app.ok("purchase_number", **BUY)
        (file,) = redirects(app)
        assert "token=" in file.read_text()
    assert redirects(app) == []


async def test_what_a_killed_process_left_behind_is_removed(connect: Connect, data_dir: Path) -> None:
    folder = data_dir / "approvals"
    folder.mkdir(parents=True)
    old, young = folder / "sp_0000000000.html", folder / "sp_1111111111.html"
    for file in (old, young):
        file.write_text("x")
    long_ago = time.time() - 2 * FREEZE_SECONDS
    os.utime(old, (long_ago, long_ago))
    async with connect(confirm_wait=0) as app:
        await app.ok("purchase_number", **BUY)
        assert old not in redirects(app)
        assert young in redirects(app)
        assert len(redirects(app)) == 2
