"""Opening the approval page in a browser: its address, and the private files that lead there on other systems."""

import asyncio
import errno
import os
import re
import socket
import stat
import sys
import time
from contextlib import AsyncExitStack
from decimal import Decimal
from pathlib import Path

import pytest
from approvals import (
    BUY,
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
from playwright.async_api import expect
from processes import KEY, Machine, sandbox_on_a_port

from piv_mcp.sandbox import Sandbox
from piv_mcp.spending.quote import FREEZE_SECONDS
from piv_mcp.web import listener, peers

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


async def test_where_no_port_can_be_opened_the_terminal_remains(
    connect: Connect, silent_browser: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = MovingClock()
    async with connect(confirm_wait=0, clock=clock) as app:
        with monkeypatch.context() as full:

            def listen(host: str, port: int) -> socket.socket:
                raise OSError(errno.EMFILE, "too many open files")

            full.setattr(listener, "listen", listen)
            call = asyncio.create_task(app.ok("purchase_number", **BUY))
            await until(lambda: call.done() or clock.advance(0.5), seconds=20, what="the answer")
            note = (await call)["note"]
        assert "page" not in note
        assert "piv-mcp approvals" in note
        assert "page that was opened" in (await app.ok("purchase_number", **BUY))["note"], "the next call tries again"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the users")
async def test_over_stdio_the_address_shows_in_the_process_list_and_no_secret_of_the_page_anywhere(
    data_dir: Path, person: BrowserPerson
) -> None:
    account = Sandbox(KEY)
    log = data_dir.with_name("server.log")
    async with sandbox_on_a_port(account) as base_url, AsyncExitStack() as stack:
        machine = Machine(data_dir, base_url)
        environment = machine.environment(log_level="DEBUG") | {"BROWSER": person.command}
        parameters = StdioServerParameters(command=sys.executable, args=["-m", "piv_mcp"], env=environment)
        transport = stdio_client(parameters, errlog=stack.enter_context(log.open("w")))
        client = await stack.enter_async_context(Client(transport))
        call = asyncio.create_task(client.call_tool("purchase_number", BUY))
        page = await person.approval()
        invitation = await person.invited()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/console/[0-9a-f]{16}/open/[\w-]{43}", invitation)
        assert origin_of(page.url) == origin_of(invitation) != f"http://127.0.0.1:{machine.port}"
        assert invitation in person.processes, "the browser is looked at"
        (cookie,) = await page.context.cookies(page.url)
        assert cookie.get("httpOnly")
        secret = str(cookie.get("value"))
        assert secret not in person.processes
        assert secret not in page.url
        assert secret not in await page.content()
        assert not (data_dir / "approvals").exists()
        await button(page, "Approve").click()
        result = await result_of(call)
        assert content_of(result)["status"] == "charged"
        await says(page, "Approved and done")
        for tool in ("list_spending", "list_events", "reconcile_spending"):
            result.content.extend((await client.call_tool(tool, {})).content)
        for kept in (secret, invitation.rpartition("/")[2]):
            assert kept not in result.model_dump_json()
            assert kept not in (data_dir / "store.sqlite3").read_bytes().decode("latin-1")
    assert rented(account) == [Decimal("4.00")]
    written = log.read_text()
    assert "decided on the page" in written
    for kept in (secret, invitation.rpartition("/")[2]):
        assert kept not in written


async def test_the_browser_s_process_gets_none_of_our_settings_and_all_else(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The key is one of them, and a browser hands its environment on to whatever it starts."""
    script, inherited = tmp_path / "browser", tmp_path / "environment"
    script.write_text(f"#!/bin/sh\nenv > {inherited}.part && mv {inherited}.part {inherited}\n")
    script.chmod(0o700)
    monkeypatch.setenv("BROWSER", f"{script} %s")
    async with connect(confirm_wait=0) as app:
        for name in ("PIV_API_KEY", "PIV_WEBHOOK_SECRET", "piv_api_key"):
            monkeypatch.setenv(name, KEY)
        monkeypatch.setenv("DISPLAY", ":7")
        await app.ok("purchase_number", **BUY)
        await until(inherited.exists, seconds=20, what="the browser")
    written = inherited.read_text()
    assert "DISPLAY=:7" in written
    assert "PIV_" not in written.upper()
    assert KEY not in written


@pytest.fixture
def nobody_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that does not tell whose a connection is."""

    def uid_of_client(client: peers.Endpoint, server: peers.Endpoint) -> None:
        return None

    monkeypatch.setattr(peers, "uid_of_client", uid_of_client)


@pytest.mark.usefixtures("nobody_told")
async def test_where_users_cannot_be_told_a_private_file_leads_to_the_page(
    connect: Connect, person: BrowserPerson
) -> None:
    async with connect(confirm_wait=0) as app:
        await app.ok("purchase_number", **BUY)
        page = await person.approval()
        (redirect,) = redirects(app)
        assert await person.invited() == redirect.as_uri()
        assert stat.S_IMODE(redirect.stat().st_mode) == 0o600
        assert stat.S_IMODE(redirect.parent.stat().st_mode) == 0o700
        (address,) = re.findall(r'url=(http://[^"]+)"', redirect.read_text())
        assert address not in person.processes
        await button(page, "Approve").click()
        await says(page, "Approved")
        assert (await app.ok("purchase_number", **BUY))["status"] == "charged"
        assert not redirect.exists()
        await says(page, "Approved and done")


@pytest.mark.usefixtures("nobody_told")
async def test_a_second_use_of_a_private_file_s_address_ends_the_visit_too(
    connect: Connect, person: BrowserPerson
) -> None:
    async with connect(confirm_wait=0) as app:
        await app.ok("purchase_number", **BUY)
        page = await person.approval()
        await expect(button(page, "Approve")).to_be_enabled()
        other = await person.page(await person.invited())
        await expect(other.get_by_text("opened twice")).to_be_visible()
        await expect(page.get_by_text("opened twice")).to_be_visible()  # the page that was open says so by itself
        assert (await app.only_entry()).state == "quoted"
        person.problems.clear()  # the browser reports the refusals


@pytest.mark.usefixtures("nobody_told")
async def test_a_server_that_ends_leaves_no_address_behind(connect: Connect) -> None:
    async with connect(confirm_wait=0) as app:
        await app.ok("purchase_number", **BUY)
        (file,) = redirects(app)
        assert "/open/" in file.read_text()
    assert redirects(app) == []


@pytest.mark.usefixtures("nobody_told")
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
