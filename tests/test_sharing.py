"""Mistakes of sharing a machine: they are said at start, by `doctor`, and where webhooks are waited for."""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog.testing
from engines import open_at
from harness import until
from moving_clock import MovingClock
from plain_http import http_client, stranger
from processes import KEY, SECRET, Machine, ServerProcess, free_port, sandbox_on_a_port, sms_webhook
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from piv_mcp import __version__
from piv_mcp.cli import doctor
from piv_mcp.cli.findings import Finding
from piv_mcp.config import load
from piv_mcp.inbox.inbox import Inbox
from piv_mcp.inbox.parse import event_of
from piv_mcp.inbox.retention import Retention
from piv_mcp.sandbox import Sandbox
from piv_mcp.store import Store, accounts, events, servers
from piv_mcp.store.changes import Changes
from piv_mcp.text.times import DAY_SECONDS
from piv_mcp.web import sharing
from piv_mcp.web import standby as standby_module
from piv_mcp.web.addresses import Addresses
from piv_mcp.web.app import webhook_app
from piv_mcp.web.health import Expected, holder_of
from piv_mcp.web.listener import Listener
from piv_mcp.web.sharing import Sharing
from piv_mcp.web.standby import SILENT_SECONDS, Standby

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX shells and signals")

OTHER_SECRET = "another-secret-path-of-the-tests"


@pytest.fixture
async def machine(data_dir: Path) -> AsyncIterator[Machine]:
    account = Sandbox(KEY, seed=False)
    account.add_numbers(1)
    async with sandbox_on_a_port(account) as base_url:
        yield Machine(data_dir, base_url)


async def findings(machine: Machine, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> dict[str, Finding]:
    monkeypatch.setenv("PIV_API_KEY", KEY)
    given = {
        "base_url": machine.base_url,
        "data_dir": machine.data_dir,
        "webhook_port": machine.port,
        "webhook_secret": SECRET,
        **settings,
    }
    found = await doctor.examine(load(**given))
    assert not any(secret in f"{one.what} {one.state}" for one in found for secret in (KEY, SECRET, OTHER_SECRET))
    return {finding.what: finding for finding in found}


async def note_of(server: ServerProcess) -> str:
    """What an answer of a wait says that it cannot know."""
    return (await server.call("wait_for_event", types=["sms.received"], timeout_seconds=0)).get("note", "")


async def says(server: ServerProcess, words: str, *, seconds: float = 20) -> str:
    async def note() -> str:
        told = await note_of(server)
        return told if words in told else ""

    return await until(note, seconds=seconds, what=words, every=0.1)


def logged(server: ServerProcess, words: str) -> list[str]:
    return [line for line in server.log.read_text().splitlines() if words in line]


# who holds the port


async def test_two_data_directories_on_one_port_are_said_everywhere(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Machine(machine.data_dir.with_name("other"), machine.base_url, machine.port)
    async with AsyncExitStack() as servers_:
        first = await servers_.enter_async_context(machine.server("first"))
        await first.call("list_events")
        await machine.served()
        second = await servers_.enter_async_context(other.server("second"))
        note = await says(second, "another data directory")
        assert f"port {machine.port}" in note
        assert "data directory" not in await note_of(first)
        assert len(logged(second, "another data directory")) == 1
        finding = (await findings(other, monkeypatch))["webhook endpoint"]
        assert not finding.ok
        assert "another data directory" in finding.state
        await asyncio.sleep(2.5)
        assert len(logged(second, "another data directory")) == 1, "once"
        first.kill()
        await until(lambda: logged(second, "webhooks can arrive again"), seconds=10, what="the take-over")
        assert "data directory" not in await note_of(second)


async def test_a_stranger_on_the_port_is_said_where_webhooks_are_waited_for(machine: Machine) -> None:
    async def health(request: Request) -> PlainTextResponse:
        return PlainTextResponse("ok")

    async with stranger(Route("/health", health)) as url:
        machine.port = int(url.rpartition(":")[2])
        async with machine.server("alone") as server:
            assert "another program" in await says(server, "No webhooks arrive")


async def test_a_port_that_cannot_be_opened_is_said(machine: Machine) -> None:
    async with machine.server("alone", webhook_host="192.0.2.1") as server:
        assert "cannot be opened" in await says(server, "No webhooks arrive")


@pytest.mark.parametrize("kind", ["one secret", "two accounts"])
async def test_a_standby_of_the_same_store_finds_nothing_wrong(machine: Machine, kind: str) -> None:
    other_key: dict[str, Any] = (
        {"api_key": "sk-another-key-0123456789", "webhook_secret": OTHER_SECRET} if kind != "one secret" else {}
    )
    async with machine.server("first") as first:
        await first.call("list_events")
        async with machine.server("second", **other_key) as second:
            await asyncio.sleep(4)
            assert "No webhooks arrive" not in await note_of(second)
            assert not logged(second, '"warning"') or other_key
            assert not logged(second, '"error"')


@asynccontextmanager
async def stopped(pid: int) -> AsyncGenerator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_a_hung_holder_of_the_port_is_said_loudly_until_it_answers_again(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with machine.server("first") as first:
        await first.call("list_events")
        await machine.served()
        async with machine.server("second") as second, machine.server("third") as third:
            await asyncio.gather(second.call("list_events"), third.call("list_events"))
            await asyncio.sleep(2.5)
            async with stopped(first.pid):
                note = await says(second, "has not answered since")
                assert f"end process {first.pid}." in note
                await says(third, "has not answered since")
                (line,) = logged(second, "does not answer")
                assert '"level": "error"' in line
                finding = (await findings(machine, monkeypatch))["webhook endpoint"]
                assert not finding.ok
                assert "does not answer" in finding.state
                assert f"end process {first.pid}" in (finding.do or "")

            async def well() -> bool:
                return "has not answered" not in await note_of(second)

            await until(well, seconds=15, what="its answer", every=0.1)
            assert len(logged(second, "webhooks can arrive again")) == 1
            assert len(logged(second, "does not answer")) == 1
            answer = await machine.post(sms_webhook("num-a", "Your code is 1111", "1111"))
            assert answer is not None
            assert answer.status_code == 200


async def test_a_holder_that_is_busy_for_a_moment_is_not_accused(machine: Machine) -> None:
    async with machine.server("first") as first:
        await first.call("list_events")
        async with machine.server("second") as second:
            await second.call("list_events")
            for _ in range(3):
                async with stopped(first.pid):
                    await asyncio.sleep(SILENT_SECONDS / 2)
                await asyncio.gather(
                    *(machine.post(sms_webhook("num-a", f"Your code is {n}", str(n))) for n in range(1000, 1060))
                )
            assert not logged(second, "does not answer")
            assert "No webhooks arrive" not in await note_of(second)


@asynccontextmanager
async def standing_by(store: Store, clock: MovingClock, port: int) -> AsyncGenerator[Standby]:
    """Beside a holder of the port, with the store that is given."""
    inbox = Inbox(store, Changes(store), clock=clock)
    sharing = Sharing(inbox, SECRET, port)
    await sharing.start()
    listener = Listener(webhook_app(inbox, Addresses(store, SECRET, clock)), "127.0.0.1", port, clock=clock)
    standby = Standby(listener, sharing, clock)
    tasks = [asyncio.create_task(work) for work in (listener.run(), standby.run())]
    await asyncio.wait_for(listener.tried.wait(), 20)
    try:
        yield standby
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await inbox.changes.close()


async def test_a_clock_that_is_set_accuses_nobody_and_excuses_nobody(store: Store) -> None:
    clock = MovingClock(speed=10)
    asked = 0

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        await reader.read()
        writer.close()

    port = free_port()
    inbox = Inbox(store, Changes(store), clock=clock)
    holder = Listener(webhook_app(inbox, Addresses(store, SECRET, clock)), "127.0.0.1", port)
    holding = asyncio.create_task(holder.run())
    await asyncio.wait_for(holder.serving.wait(), 20)
    async with standing_by(store, clock, port) as standby:
        for seconds in (3600, -7200, 40 * DAY_SECONDS):
            await asyncio.sleep(0.2)
            clock.correct(seconds)
            assert standby.problem() is None
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)
    hung = await asyncio.start_server(hang, "127.0.0.1", 0)
    async with standing_by(store, clock, hung.sockets[0].getsockname()[1]) as standby:
        await until(lambda: asked, seconds=20, what="a question")
        clock.correct(-3600)
        assert standby.problem() is None
        assert "has not answered since" in (await until(standby.problem, seconds=20, what="the silence") or "")
        assert asked == 1, "one connection"
    hung.close()


@pytest.mark.parametrize(
    ("seen", "problem", "lines"),
    [
        (["another account's", "ours", "other", "ours"], None, 0),
        (["other", "other", "other"], "another program", 1),
        (["silent", "silent", "silent"], "has not answered", 1),
        (["late", "late"], None, 0),
        (["silent", "closing"], "has not answered", 1),
        (["silent", "ours"], None, 2),
    ],
)
async def test_what_a_standby_has_seen_is_said_once(
    store: Store, monkeypatch: pytest.MonkeyPatch, seen: list[str], problem: str | None, lines: int
) -> None:
    clock, answers = MovingClock(speed=0), list(seen)

    async def scripted(*_: object) -> str:
        holder = answers.pop(0) if answers else "closing"
        if holder == "late":  # this process had no time: its own time-out came late
            clock.advance(10)
            clock.correct(-10)
        return "silent" if holder == "late" else holder

    monkeypatch.setattr(standby_module, "holder_of", scripted)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        async with standing_by(store, clock, taken.getsockname()[1]) as standby:
            with structlog.testing.capture_logs() as logs:
                while answers:
                    await until(lambda: clock.sleeping, seconds=20, what="its pause")
                    clock.advance(2)
                    await asyncio.sleep(0.02)
                await asyncio.sleep(0.05)
    assert (problem or "") in (standby.problem() or "")
    assert (standby.problem() is None) == (problem is None)
    assert len([log for log in logs if "webhook" in log["event"]]) == lines


async def test_nobody_and_a_name_that_is_none_hold_no_port() -> None:
    expected = Expected("id", servers.digest(SECRET))
    assert await holder_of("127.0.0.1", free_port(), expected, 3) == "nobody"
    assert await holder_of("no-such-host.invalid", 1, expected, 3) == "nobody"


@pytest.mark.parametrize(
    ("answer", "holder"),
    [
        (b"", "closing"),
        (b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n", "closing"),
        (b"HTTP/1.1 200 OK\r\n\r\n[]", "other"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1_000_000, "other"),
        (b'HTTP/1.1 200 OK\r\n\r\n{"name":"piv-mcp","version":"0.1.0"}', "other"),
        (b'HTTP/1.1 200 OK\r\n\r\n{"name":"piv-mcp","version":"1","proof":"\\ud800","accepts":["\\ud800"]}', "other"),
    ],
)
async def test_any_answer_on_the_port_has_a_meaning(answer: bytes, holder: str) -> None:
    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(respond, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    assert await holder_of("127.0.0.1", port, Expected("id", servers.digest(SECRET)), 5) == holder
    server.close()
    await server.wait_closed()


# settings that do not go together


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"webhook_secret": OTHER_SECRET}, "has another webhook secret for the same account"),
        ({"inbox_days": 60}, "keeps events for 30 days and not for 60"),
    ],
    ids=["two secrets", "two times"],
)
async def test_settings_that_do_not_go_together_are_said_at_start_and_by_doctor(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], words: str
) -> None:
    async with machine.server("first") as first:
        await first.call("list_events")
        assert "other servers" not in await findings(machine, monkeypatch)
        async with machine.server("second", **settings) as second:
            await second.call("list_events")
            (line,) = await until(lambda: logged(second, words), seconds=20, what=words)
            assert '"level": "warning"' in line
            assert f"process id {first.pid}" in line
            told = (await findings(machine, monkeypatch, **settings))["other servers"]
            assert not told.ok
            assert words in told.state
            assert told.do
            assert "other servers" in await findings(machine, monkeypatch), "also for the first one's settings"
        assert "other servers" not in await findings(machine, monkeypatch), "nothing is left of a server that ended"


async def test_both_secrets_of_one_account_are_taken_while_their_servers_run(machine: Machine) -> None:
    async with machine.server("first") as first, machine.server("second", webhook_secret=OTHER_SECRET) as second:
        await asyncio.gather(first.call("list_events"), second.call("list_events"))
        await asyncio.sleep(1.1)
        for secret, code in ((SECRET, "1111"), (OTHER_SECRET, "2222")):
            assert await posted(machine, secret, code) == 200
        for server in (first, second):
            listed = (await server.call("list_events"))["events"]
            assert sorted(event["code"] for event in listed) == ["1111", "2222"]


async def posted(machine: Machine, secret: str, code: str) -> int:
    async with http_client(f"http://127.0.0.1:{machine.port}") as http:
        body = sms_webhook("num-a", f"Your code is {code}", code)
        return (await http.post(f"/webhooks/{secret}", content=body)).status_code


@pytest.fixture
async def inbox(store: Store) -> AsyncIterator[Inbox]:
    inbox = Inbox(store, Changes(store), days=1, clock=MovingClock(), remote_time=time.time)
    yield inbox
    await inbox.changes.close()


async def test_the_longest_time_of_the_running_servers_of_an_account_counts(inbox: Inbox) -> None:
    async def left_after(*others: Sharing) -> list[str | None]:
        for n, days in enumerate((10, 40)):
            body = {"event_type": "x.y", "data": {"n": n, "days": days}}
            at = inbox.clock.time() - days * DAY_SECONDS
            await inbox.record(event_of(body, at, at))
        for other in others:
            await other.start()
        await Retention(inbox).prune()
        found, _ = await inbox.store.read(events.after, 0)
        return [str(event.data["days"]) for event in found]

    longer = Sharing(Inbox(inbox.store, inbox.changes, days=30, clock=inbox.clock), SECRET, None)
    own = Sharing(inbox, SECRET, None)
    assert await left_after(own, longer) == ["10"]
    await own.note()
    assert inbox.days == 30, "also for what is taken from the history"
    await longer.close()
    await own.note()
    assert await left_after() == []


async def test_another_version_is_said_once(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "__version__", "0.0.9")
    older = Sharing(inbox, SECRET, None)
    await older.start()
    monkeypatch.undo()
    newer = Sharing(inbox, SECRET, None)
    with structlog.testing.capture_logs() as logs:
        await newer.start()
        await newer.note()
    (told,) = logs
    assert f"is version 0.0.9 and not {__version__}" in told["event"]
    assert "restart" in told["do"]


async def test_a_server_notes_itself_again_in_a_store_that_replaced_its_own(inbox: Inbox) -> None:
    server = Sharing(inbox, SECRET, 8787)
    await server.start()
    await inbox.store.write(servers.remove, server.server.owner)
    assert await inbox.store.read(servers.accepted, time.time()) == frozenset()
    await server.note()
    assert await inbox.store.read(servers.accepted, time.time()) == {servers.digest(SECRET)}


async def test_a_port_that_another_account_took_over_makes_us_look_for_what_was_lost(store_path: Path) -> None:
    looked: list[str] = []
    stores: list[Store] = []

    async def server(key: str, name: str) -> Sharing:
        store = open_at(store_path, key_digest=accounts.digest(key))
        stores.append(store)
        return Sharing(Inbox(store, Changes(store)), name, 8787, lambda: looked.append(name))

    first, second = await server("key-of-a", "secret-a1"), await server("key-of-a", "secret-a2")
    other = await server("key-of-b", "secret-b")
    await first.serves()
    await asyncio.gather(second.start(), other.start())
    assert looked == []
    await first.close()
    await second.serves()
    for _ in range(3):
        await other.note()
    assert looked == ["secret-b"], "once; the account of who took over looks by itself"
    for store in stores:
        await store.close()
