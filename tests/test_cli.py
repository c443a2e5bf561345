"""The command line as people and clients meet it: real processes, their output, their ends, and what they hide."""

import asyncio
import json
import os
import signal
import socket
import sqlite3
import stat
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from click.testing import CliRunner
from harness import ERAS, Era
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from plain_http import http_client, stranger
from processes import KEY, SECRET, Machine, free_port, sandbox_on_a_port, sms_webhook, within
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from piv_mcp import __version__
from piv_mcp.cli import doctor
from piv_mcp.cli import main as cli
from piv_mcp.cli.doctor import Finding
from piv_mcp.config import ENVIRONMENT_ONLY, Settings, load
from piv_mcp.sandbox import Failure, Sandbox
from piv_mcp.store import SqliteStore, events

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}


@asynccontextmanager
async def program(
    *arguments: str, env: dict[str, str] | None = None, shell: str | None = None
) -> AsyncGenerator[Process]:
    """`piv-mcp ARGUMENTS` with pipes to all its ends; it never outlives the block."""
    command = [sys.executable, "-m", "piv_mcp", *arguments]
    if shell is not None:
        command = ["/bin/sh", "-c", f"exec '{sys.executable}' -m piv_mcp {' '.join(arguments)} {shell}"]
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env={**os.environ, **(env or {})},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def run(*arguments: str, env: dict[str, str] | None = None, shell: str | None = None) -> tuple[int, str, str]:
    """Status, stdout and stderr of a command that ends by itself. `shell` are redirections by the shell."""
    async with program(*arguments, env=env, shell=shell) as process:
        out, err = await asyncio.wait_for(process.communicate(), 40)
        return process.returncode or 0, out.decode(), err.decode()


async def say(process: Process, message: dict[str, Any]) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(message).encode() + b"\n")
    await process.stdin.drain()


async def hear(process: Process) -> dict[str, Any]:
    """The next line, which is a protocol message or the test fails."""
    assert process.stdout is not None
    message = json.loads(await asyncio.wait_for(process.stdout.readline(), 20))
    assert message["jsonrpc"] == "2.0"
    return message


@asynccontextmanager
async def served(**settings: str) -> AsyncGenerator[Process]:
    """A server over the sandbox that has answered its first request."""
    env = {"PIV_SANDBOX": "1", **{f"PIV_{name.upper()}": value for name, value in settings.items()}}
    async with program(env=env) as process:
        await say(process, INITIALIZE)
        assert (await hear(process))["id"] == 1
        await say(process, {"jsonrpc": "2.0", "method": "notifications/initialized"})
        yield process


async def call(process: Process, id_: int, tool: str, **arguments: object) -> None:
    params = {"name": tool, "arguments": arguments}
    await say(process, {"jsonrpc": "2.0", "id": id_, "method": "tools/call", "params": params})


# Serving


@pytest.mark.parametrize("era", ERAS)
async def test_a_client_of_either_era_works_over_stdio(era: Era) -> None:
    parameters = StdioServerParameters(
        command=sys.executable, args=["-m", "piv_mcp", "--sandbox"], env={"PIV_LOG_LEVEL": "ERROR"}
    )
    async with Client(stdio_client(parameters), mode=era) as client:
        names = [tool.name for tool in (await client.list_tools()).tools]
        assert {"get_latest_code", "wait_for_code", "simulate_incoming_sms"} <= set(names)
        answer = await client.call_tool("get_account", {})
        assert answer.structured_content is not None
        assert answer.structured_content["balance"] == "150.50"


async def test_stdout_holds_protocol_lines_only_whatever_is_sent_and_logged() -> None:
    async with served(log_level="DEBUG", log_format="text") as process:
        assert process.stdin is not None
        process.stdin.write(b"this is no JSON\n{}\n[1]\n\n")
        await call(process, 2, "get_account")
        await call(process, 3, "get_number", piv_num_id="no-such-number")
        await call(process, 4, "no_such_tool")
        await call(process, 5, "get_latest_code")
        answered: set[object] = set()
        while not {2, 3, 4, 5} <= answered:
            answered.add((await hear(process)).get("id"))
        process.stdin.close()
        assert process.stdout is not None
        rest = (await process.stdout.read()).splitlines()
        assert all(json.loads(line)["jsonrpc"] == "2.0" for line in rest)


@contextmanager
def locked(store: Path) -> Generator[None]:
    """Another program has the store for itself."""
    with closing(sqlite3.connect(store, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


async def test_half_a_character_in_a_message_is_answered_like_any_other() -> None:
    async with served() as process:
        await call(process, 2, "rename_number", piv_num_id="no-such-number", custom_name="cut \ud83d in two")
        await call(process, 3, "list_numbers", search="\udc00", **{"\ud83d": 1})
        await call(process, 4, "list_numbers", search="whole \U0001f600 and \\ud83d")
        answers = {answer["id"]: answer["result"] for answer in [await hear(process) for _ in range(3)]}
        assert "NUMBER_NOT_FOUND" in json.dumps(answers[2])
        assert "is not a parameter" in json.dumps(answers[3])
        assert answers[4]["isError"] is False


@posix_only
@pytest.mark.parametrize("how", ["closed stdin", "SIGTERM", "SIGINT"])
@pytest.mark.parametrize("busy", ["idle", "while a call waits", "while the store is locked"])
async def test_a_server_ends_within_a_second(how: str, busy: str, data_dir: Path) -> None:
    async with served(data_dir=str(data_dir)) as process, AsyncExitStack() as locks:
        if busy != "idle":
            await call(process, 2, "list_numbers")
            rows = (await hear(process))["result"]["structuredContent"]["numbers"]
            await call(process, 3, "wait_for_code", number=rows[0]["piv_num_id"], timeout_seconds=40)
            await call(process, 4, "get_account")
            assert (await hear(process))["id"] == 4
        if busy == "while the store is locked":
            locks.enter_context(locked(data_dir / "store.sqlite3"))
            await call(process, 5, "list_spending")
        async with within(1):
            if how == "closed stdin":
                assert process.stdin is not None
                process.stdin.close()
            else:
                process.send_signal(getattr(signal, how))
            assert await asyncio.wait_for(process.wait(), 20) == 0
        assert process.stderr is not None
        assert "Traceback" not in (await process.stderr.read()).decode()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PIV_WEBHOOK_PORT", "hunter2"),
        ("PIV_SPEND_MODE", "hunter2"),
        ("PIV_BASE_URL", "http://hunter2.example/"),
        ("PIV_WEBHOOK_SECRET", "hunter2/hunter2"),
        ("PIV_API_KEY_FILE", "/nowhere/hunter2"),
        ("PIV_TOOLSETS", "hunter2"),
    ],
)
async def test_a_bad_value_stops_the_start_by_name_and_is_not_repeated(name: str, value: str) -> None:
    status, out, err = await run(env={name: value})
    assert status != 0
    assert out == ""
    assert name in err
    assert "hunter2" not in err
    assert "Traceback" not in err


async def test_a_key_is_no_flag() -> None:
    status, _, err = await run("--api-key", "sk-secret-key")
    assert status != 0
    assert "--api-key" in err
    assert "sk-secret-key" not in err


async def test_the_key_is_in_no_argument_log_error_or_answer(data_dir: Path) -> None:
    account = Sandbox(KEY)
    number = next(iter(account.state.numbers))
    async with sandbox_on_a_port(account) as base_url:
        machine = Machine(data_dir, base_url)
        async with machine.server("server", whole=True, log_level="DEBUG") as server:
            answers = [await server.client.call_tool("get_account", {})]
            await machine.post(sms_webhook(number, "Your code is 482913", "482913"))
            for kind in ("html", "garbage", "drop_before"):
                account.fail_next(Failure(kind=kind, path="/account", times=None))
                answers.append(await server.client.call_tool("get_account", {}))
                account.clear_failures()
            account.api_key = "another-key"
            account.fail_next(Failure(kind="status", code="UNAUTHORIZED", message=f"key {KEY} was revoked"))
            answers.append(await server.client.call_tool("get_account", {}))
            answers.append(await server.client.call_tool("wait_for_code", {"number": number}))
            assert KEY not in command_line(server.pid)
            said = server.log.read_text()
        assert '"level": "debug"' in said
        assert "event received" in said
        for secret in (KEY, SECRET):
            assert secret not in said
            assert secret not in repr(answers)


def command_line(pid: int) -> str:
    path = Path(f"/proc/{pid}/cmdline")
    return path.read_text() if path.exists() else ""


WITHOUT_SIGNALS = """
import asyncio
def refuse(*_): raise NotImplementedError
asyncio.SelectorEventLoop.add_signal_handler = asyncio.unix_events._UnixSelectorEventLoop.add_signal_handler = refuse
from piv_mcp.cli.main import main
main()
"""
"""As on Windows, whose event loop has no signal handlers."""


@posix_only
async def test_ctrl_c_ends_a_server_at_once_where_the_event_loop_has_no_signals() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", WITHOUT_SIGNALS),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env={**os.environ, "PIV_SANDBOX": "1"},
    )
    try:
        await say(process, INITIALIZE)
        assert (await hear(process))["id"] == 1
        async with within(1):
            process.send_signal(signal.SIGINT)
            assert await asyncio.wait_for(process.wait(), 20) == 0
    finally:
        if process.returncode is None:
            process.kill()
        _, err = await process.communicate()
    assert b"Traceback" not in err


# demo, doctor, config, sandbox, receive


async def test_the_demo_ends_with_the_code_and_status_0() -> None:
    status, out, err = await run("demo", "--seconds", "0.2")
    assert (status, err) == (0, "")
    assert out.splitlines()[-1] == "The code is 482913"
    assert "the code came from the webhook" in out


async def findings(**settings: Any) -> dict[str, Finding]:
    return {finding.what: finding for finding in await doctor.examine(load(**settings))}


async def test_doctor_finds_nothing_wrong_with_a_working_installation(
    monkeypatch: pytest.MonkeyPatch, data_dir: Path
) -> None:
    monkeypatch.setenv("PIV_API_KEY", KEY)
    monkeypatch.setenv("PIV_WEBHOOK_SECRET", SECRET)
    async with sandbox_on_a_port(Sandbox(KEY)) as base_url:
        found = await findings(base_url=base_url, data_dir=data_dir, webhook_port=free_port())
    assert all(finding.ok for finding in found.values())
    assert "150.5" in found["API"].state
    assert "0 events" in found["store"].state
    assert f"/webhooks/{SECRET}" in (found["webhook endpoint"].do or "")


async def test_doctor_says_where_to_get_a_key(data_dir: Path) -> None:
    finding = (await findings(data_dir=data_dir, webhook_port=0))["API key"]
    assert not finding.ok
    assert "PIV_API_KEY" in (finding.do or "")


async def test_doctor_says_that_a_key_is_wrong(monkeypatch: pytest.MonkeyPatch, data_dir: Path) -> None:
    monkeypatch.setenv("PIV_API_KEY", "sk-a-wrong-key")
    async with sandbox_on_a_port(Sandbox(KEY)) as base_url:
        finding = (await findings(base_url=base_url, data_dir=data_dir, webhook_port=0))["API"]
    assert not finding.ok
    assert "key" in (finding.do or "").lower()
    assert "sk-a-wrong-key" not in repr(finding)


@pytest.mark.usefixtures("instant_retries")
async def test_doctor_says_that_the_api_does_not_answer(monkeypatch: pytest.MonkeyPatch, data_dir: Path) -> None:
    monkeypatch.setenv("PIV_API_KEY", KEY)
    base_url = f"http://127.0.0.1:{free_port()}/api/v1"
    finding = (await findings(base_url=base_url, data_dir=data_dir, webhook_port=0))["API"]
    assert not finding.ok
    assert finding.do


async def test_doctor_says_that_the_store_is_locked(data_dir: Path) -> None:
    store = SqliteStore(data_dir / "store.sqlite3")
    await store.write(lambda c: None)
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    finding = (await findings(data_dir=data_dir, webhook_port=0))["store"]
    other.close()
    await store.close()
    assert not finding.ok
    assert "locked" in finding.state
    assert finding.do


async def test_doctor_says_that_the_data_directory_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    found = await findings(data_dir=tmp_path / "file" / "data")
    assert not found["store"].ok
    assert not found["webhook endpoint"].ok
    assert "PIV_DATA_DIR" in (found["webhook endpoint"].do or "")


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
async def test_doctor_says_that_the_web_app_cannot_be_served_there(data_dir: Path, host: str) -> None:
    found = await findings(data_dir=data_dir, webhook_host=host, webhook_port=free_port())
    assert not found["webhook endpoint"].ok
    assert host in found["webhook endpoint"].state
    assert "PIV_WEBHOOK_HOST" in (found["webhook endpoint"].do or "")


async def test_an_empty_secret_that_a_full_disk_left_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "webhook-secret").touch()
    finding = (await findings(data_dir=tmp_path, webhook_port=free_port()))["webhook endpoint"]
    assert finding.ok
    assert f"/webhooks/{(tmp_path / 'webhook-secret').read_text()}" in (finding.do or "")


async def test_doctor_finds_a_kept_secret_that_somebody_shortened(tmp_path: Path) -> None:
    (tmp_path / "webhook-secret").write_text("hunter2")
    finding = (await findings(data_dir=tmp_path, webhook_port=free_port()))["webhook endpoint"]
    assert not finding.ok
    assert "at least 16 characters" in finding.state
    assert "Delete it" in (finding.do or "")
    assert "hunter2" not in repr(finding)


@pytest.mark.parametrize("secret", ["hunter2", "a" * 40])
async def test_a_secret_that_can_be_guessed_stops_the_start_and_says_how_to_make_one(secret: str) -> None:
    status, out, err = await run(env={"PIV_WEBHOOK_SECRET": secret})
    assert status != 0
    assert out == ""
    assert "PIV_WEBHOOK_SECRET" in err
    assert "secrets.token_urlsafe(24)" in err
    assert secret not in err


async def test_doctor_tells_a_stranger_on_the_port_from_ourselves(data_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:

        async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]")
            writer.close()

        server = await asyncio.start_server(refuse, sock=stranger)
        port = int(stranger.getsockname()[1])
        finding = (await findings(data_dir=data_dir, webhook_port=port))["webhook endpoint"]
        server.close()
        await server.wait_closed()
    assert not finding.ok
    assert "another program" in finding.state
    assert "PIV_WEBHOOK_PORT" in (finding.do or "")


async def test_doctor_believes_no_holder_of_the_port_that_cannot_prove_itself(data_dir: Path) -> None:
    """Not even one that relays the question to the real piv-mcp, which serves another port."""
    real = Machine(data_dir, f"http://127.0.0.1:{free_port()}/api/v1")
    asked: list[str] = []
    answers: list[Callable[[httpx.Response], object]] = [
        lambda told: {"name": "piv-mcp"},
        lambda told: {"name": "piv-mcp", "version": "0.1.0", "proof": ""},
        lambda told: {"name": "piv-mcp", "version": "0.1.0", "proof": "0" * 64},
        lambda told: {"name": "piv-mcp", "version": "0.1.0", "proof": "\u00fc" * 64},
        lambda told: told.json(),
    ]

    async def relay(request: Request) -> JSONResponse:
        asked.append(str(request.url))
        async with http_client(f"http://127.0.0.1:{real.port}") as http:
            told = await http.get("/health", params=request.query_params)
        return JSONResponse(answers[0](told))

    async with real.receiver(), stranger(Route("/health", relay)) as taken:
        settings = {"data_dir": data_dir, "webhook_secret": SECRET}
        while answers:
            found = await findings(webhook_port=int(taken.rpartition(":")[2]), **settings)
            finding = found["webhook endpoint"]
            assert not finding.ok, len(answers)
            assert "another program" in finding.state
            answers.pop(0)
        believed = (await findings(webhook_port=real.port, **settings))["webhook endpoint"]
        other_secret = {**settings, "webhook_secret": f"{SECRET}x"}
        another = (await findings(webhook_port=real.port, **other_secret))["webhook endpoint"]
    assert believed.ok
    assert "served by a running piv-mcp" in believed.state
    assert not another.ok
    assert "takes another webhook secret for this account" in another.state
    assert not any(SECRET in address for address in asked)


async def test_doctor_shows_who_serves_and_how_often_a_wrong_secret_came(data_dir: Path) -> None:
    machine = Machine(data_dir, f"http://127.0.0.1:{free_port()}/api/v1")
    async with machine.receiver():
        async with httpx.AsyncClient(trust_env=False) as http:
            for _ in range(3):
                await http.post(f"http://127.0.0.1:{machine.port}/webhooks/wrong", content=b"{}")
        found = await findings(data_dir=data_dir, webhook_port=machine.port, webhook_secret=SECRET)
        finding = found["webhook endpoint"]
    assert finding.ok
    assert "served by a running piv-mcp" in finding.state
    assert "3 requests with a wrong secret" in finding.state


async def test_doctor_has_an_answer_for_a_store_of_a_newer_version(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "store.sqlite3")) as newer:
        newer.execute("PRAGMA user_version = 999")
    found = await doctor.examine(load(data_dir=tmp_path, webhook_port=free_port()))
    assert not [finding for finding in found if "itself failed" in finding.state]
    (store,) = [finding for finding in found if finding.what == "store"]
    assert not store.ok
    assert store.do


async def test_doctor_ends_with_status_1_when_something_is_wrong(data_dir: Path) -> None:
    env = {"PIV_DATA_DIR": str(data_dir), "PIV_WEBHOOK_PORT": str(free_port())}
    status, out, err = await run("doctor", env=env)
    assert (status, err) == (1, "")
    assert "FAIL API key: not set" in out
    assert "ok   store" in out
    secret = (data_dir / "webhook-secret").read_text()
    assert f"/webhooks/{secret}" in out, "the address to enter in the dashboard"
    if os.name == "posix":
        assert stat.S_IMODE((data_dir / "webhook-secret").stat().st_mode) == 0o600


CLIENTS = ("claude-desktop", "claude-code", "cursor", "vscode")


def entry_of(config: dict[str, Any]) -> dict[str, Any]:
    (servers,) = (config[name] for name in ("servers", "mcpServers") if name in config)
    return cast("dict[str, Any]", servers["piv"])


@pytest.mark.parametrize("client", CLIENTS)
def test_the_configuration_of_each_client_is_json_without_the_key(
    monkeypatch: pytest.MonkeyPatch, client: str, data_dir: Path
) -> None:
    monkeypatch.setenv("PIV_API_KEY", KEY)
    result = CliRunner().invoke(cli.main, ["--data-dir", str(data_dir), "--spend-mode", "deny", "config", client])
    assert result.exit_code == 0
    assert KEY not in result.output
    config = json.loads(result.stdout)
    entry = entry_of(config)
    assert Path(entry["command"]).is_absolute()
    assert entry["env"]["PIV_SPEND_MODE"] == "deny"
    assert set(entry["env"]) & {"PIV_API_KEY_FILE", "PIV_API_KEY"}
    assert "restart" in result.stderr
    if client == "vscode":
        assert entry["type"] == "stdio"
        assert entry["env"]["PIV_API_KEY"] == "${input:piv-api-key}"
        assert config["inputs"][0]["password"] is True
    else:
        assert entry["env"]["PIV_API_KEY_FILE"] == str(data_dir / "api-key")


@pytest.mark.parametrize("client", CLIENTS)
def test_a_configuration_passes_on_what_was_given(client: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XDG_DATA_HOME")
    Path("key").write_text(KEY)
    given = ("--api-key-file", "key", "--no-sandbox", "--no-confirm-destructive", "--toolsets", "inbox,numbers")
    result = CliRunner().invoke(cli.main, [*given, "config", client])
    env = entry_of(json.loads(result.stdout))["env"]
    assert env == {
        "PIV_API_KEY_FILE": str(tmp_path / "key"),
        "PIV_SANDBOX": "false",
        "PIV_CONFIRM_DESTRUCTIVE": "false",
        "PIV_TOOLSETS": "numbers,inbox",
    }
    assert "chmod" not in result.stderr, "the key is there already"


def test_a_demo_that_could_not_end_with_a_code_is_refused() -> None:
    result = CliRunner().invoke(cli.main, ["demo", "--seconds", "21"])
    assert result.exit_code == 2
    assert "0<=x<=15" in result.stderr


async def test_the_command_of_a_configuration_starts_the_server() -> None:
    result = CliRunner().invoke(cli.main, ["--sandbox", "config", "claude-code"])
    entry = entry_of(json.loads(result.stdout))
    assert not set(entry["env"]) & {"PIV_API_KEY_FILE", "PIV_API_KEY"}, "a sandbox needs no key"
    async with Client(stdio_client(StdioServerParameters(**entry))) as client:
        assert (await client.list_tools()).tools


@posix_only
async def test_the_sandbox_runs_on_its_own_port_until_it_is_stopped() -> None:
    port = free_port()
    async with program("sandbox", "--port", str(port), "--api-key", KEY) as process:
        assert process.stdout is not None
        line = (await asyncio.wait_for(process.stdout.readline(), 15)).decode().strip()
        assert line == f"PIV_BASE_URL=http://127.0.0.1:{port}/api/v1"
        async with httpx.AsyncClient(trust_env=False) as http:
            url = f"http://127.0.0.1:{port}/api/v1/account"
            answer = await http.get(url, headers={"Authorization": f"Bearer {KEY}"})
            assert answer.json()["success"] is True
            assert (await http.get(url)).status_code == 401
        async with within(1):
            process.terminate()
            await asyncio.wait_for(process.wait(), 20)


async def test_a_sandbox_on_a_port_that_is_taken_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        status, _, err = await run("sandbox", "--port", str(taken.getsockname()[1]))
    assert status == 1
    assert "cannot be opened" in err


@posix_only
async def test_the_receiver_alone_takes_webhooks_and_ends_within_a_second(data_dir: Path) -> None:
    machine = Machine(data_dir, f"http://127.0.0.1:{free_port()}/api/v1")
    async with machine.receiver() as process:
        answer = await machine.post(sms_webhook("num-a", "Your code is 482913", "482913"))
        assert answer is not None
        assert answer.status_code == 200
        async with within(1):
            process.terminate()
            assert await asyncio.wait_for(process.wait(), 20) == 0
    store = SqliteStore(data_dir / "store.sqlite3")
    found = await store.read(lambda c: events.codes(c, "num-a"))
    await store.close()
    assert [event.code for event in found] == ["482913"]


async def test_a_receiver_needs_no_key_and_makes_its_secret_once(data_dir: Path) -> None:
    machine = Machine(data_dir, "")
    env = {"PIV_DATA_DIR": str(data_dir), "PIV_WEBHOOK_PORT": str(machine.port)}
    secrets: list[str] = []
    for _ in range(2):
        async with program("receive", env=env):
            await machine.served()
            secrets.append((data_dir / "webhook-secret").read_text())
    assert secrets[0] == secrets[1]
    assert len(secrets[0]) >= 24


# Help


def test_help_shows_every_setting_but_the_secrets_as_a_flag() -> None:
    text = CliRunner().invoke(cli.main, ["--help"]).output
    for name in Settings.model_fields:
        flag = f"--{name.replace('_', '-')}"
        secret = name in ENVIRONMENT_ONLY
        assert (f"{flag} " in text or f"{flag}/" in text or f"{flag}\n" in text) != secret, name
    for command in ("serve", "demo", "doctor", "config", "sandbox", "receive"):
        assert f"\n  {command} " in text


def test_the_version_is_the_packages() -> None:
    assert CliRunner().invoke(cli.main, ["--version"]).output.strip() == f"piv-mcp, version {__version__}"
