"""The receiver as a service of the system, and `doctor --webhook-url`: how far an event from outside comes."""

import configparser
import os
import plistlib
import shutil
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from plain_http import stranger
from processes import KEY, SECRET, Machine, free_port, sandbox_on_a_port
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from piv_mcp.cli import doctor, outside, receiver
from piv_mcp.cli import main as cli
from piv_mcp.cli.configuration.clients import Launch, Places
from piv_mcp.cli.findings import Finding
from piv_mcp.config import load
from piv_mcp.sandbox import Sandbox
from piv_mcp.store import SqliteStore
from piv_mcp.web.webhook_endpoint import TEST_EVENT

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="systemd")
API_KEY = "pk-receiver-0123456789"


class System:
    """A user's home, and programs of the system that write down how they are called."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.called = home / "called"
        self.programs = home / "bin"
        self.programs.mkdir(parents=True)

    def has(self, program: str, *failing: str) -> None:
        """Give the system a program that fails where its arguments hold one of these words."""
        fails = "".join(f'case "$*" in *{word}*) echo "no {word} today" >&2; exit 1;; esac\n' for word in failing)
        file = self.programs / program
        file.write_text(f'#!/bin/sh\necho "{program} $*" >> {self.called}\n{fails}')
        file.chmod(0o700)

    def calls(self) -> list[str]:
        """What was done since the last question, but for what only looks."""
        with suppress(FileNotFoundError):
            lines = self.called.read_text().splitlines()
            self.called.unlink()
            return [
                line for line in lines if not any(look in line for look in ("show-environment", "is-active", "print"))
            ]
        return []


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> System:
    made = System(tmp_path / "home")
    monkeypatch.setenv("HOME", str(made.home))
    monkeypatch.setenv("PATH", str(made.programs))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("PIV_DATA_DIR", str(tmp_path / "data"))
    key = tmp_path / "key"
    key.write_text(API_KEY)
    monkeypatch.setenv("PIV_API_KEY_FILE", str(key))
    monkeypatch.setattr(receiver, "STARTED_SECONDS", 0)
    return made


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.main, list(arguments))


def unit_file(system: System) -> Path:
    return system.home / ".config" / "systemd" / "user" / "piv-mcp.service"


# systemd


@linux_only
def test_the_receiver_is_installed_started_and_taken_away(system: System, tmp_path: Path) -> None:
    system.has("systemctl")
    result = run("--webhook-port", "9000", "install", "receiver", "--yes")
    assert result.exit_code == 0, result.output
    assert API_KEY not in result.output
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    text = unit_file(system).read_text()
    unit.read_string(text)
    assert unit["Service"]["Restart"] == "always"
    assert unit["Service"]["ExecStart"].endswith('" "receive"')
    for line in (f'"PIV_API_KEY_FILE={tmp_path}/key"', f'"PIV_DATA_DIR={tmp_path}/data"', '"PIV_WEBHOOK_PORT=9000"'):
        assert f"Environment={line}\n" in text
    done = ["daemon-reload", "enable piv-mcp.service", "restart piv-mcp.service"]
    assert system.calls() == [f"systemctl --user {words}" for words in done]
    assert f"--data-dir {tmp_path}/data --webhook-port 9000 doctor --webhook-url" in result.stdout

    again = run("--webhook-port", "9000", "install", "receiver", "--yes")
    assert again.exit_code == 0
    assert "+ " not in again.stdout, "the file is what it is to be"
    assert system.calls() == [f"systemctl --user {words}" for words in done]

    gone = run("uninstall", "receiver", "--yes")
    assert gone.exit_code == 0, gone.output
    assert not unit_file(system).exists()
    assert system.calls() == [
        "systemctl --user disable --now piv-mcp.service",
        "systemctl --user daemon-reload",
    ]
    assert "nothing was changed" in run("uninstall", "receiver", "--yes").stdout


@linux_only
def test_nothing_is_written_where_the_system_cannot_be_told(system: System) -> None:
    for failing, said in ((None, "there is no systemctl"), ("show-environment", "no show-environment today")):
        if failing:
            system.has("systemctl", failing)
        result = run("install", "receiver", "--yes")
        assert result.exit_code == 1
        assert said in result.stderr
        assert "piv-mcp receive" in result.stderr
        assert not unit_file(system).exists()


@linux_only
def test_a_service_that_does_not_start_is_said(system: System) -> None:
    system.has("systemctl", "restart")
    result = run("install", "receiver", "--yes")
    assert result.exit_code == 1
    assert "no restart today" in result.stderr


@linux_only
def test_a_receiver_that_ends_at_once_is_said(system: System) -> None:
    system.has("systemctl", "is-active")
    result = run("install", "receiver", "--yes")
    assert result.exit_code == 1
    assert "has ended at once" in result.stderr


@linux_only
def test_a_receiver_that_cannot_be_stopped_is_left_as_it_is(system: System) -> None:
    system.has("systemctl")
    run("install", "receiver", "--yes")
    system.calls()
    system.has("systemctl", "show-environment")
    result = run("uninstall", "receiver", "--yes")
    assert result.exit_code == 1
    assert "cannot be stopped" in result.stderr
    assert unit_file(system).exists()
    assert system.calls() == []


@linux_only
def test_a_unit_that_a_person_changed_is_copied_and_a_link_followed(system: System, tmp_path: Path) -> None:
    system.has("systemctl")
    target = tmp_path / "dotfiles"
    target.mkdir()
    (target / "unit").write_text("[Service]\n# mine\nEnvironment=PIV_API_KEY=s3cret\n")
    unit_file(system).parent.mkdir(parents=True)
    unit_file(system).symlink_to(target / "unit")
    result = run("install", "receiver", "--yes")
    assert result.exit_code == 0, result.output
    assert "- # mine" in result.stdout
    assert "s3cret" not in result.stdout
    assert unit_file(system).is_symlink()
    assert "# mine" in next(copy.read_text() for copy in target.iterdir() if copy.name != "unit")


@linux_only
@pytest.mark.parametrize(("name", "value"), [("PIV_WEBHOOK_PORT", "0"), ("PIV_WEBHOOK_SECRET", SECRET)])
def test_settings_with_which_it_could_not_receive_are_refused(
    system: System, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    system.has("systemctl")
    monkeypatch.setenv(name, value)
    result = run("install", "receiver", "--yes")
    assert result.exit_code == 1
    assert name in result.stderr
    assert SECRET not in result.output
    assert not unit_file(system).exists()


@linux_only
def test_a_person_is_asked_first(system: System) -> None:
    system.has("systemctl")
    result = run("install", "receiver")
    assert (result.exit_code, "--yes" in result.stderr) == (1, True)
    assert "ExecStart" in result.stdout
    assert not unit_file(system).exists()
    assert system.calls() == []


ODD = Launch(('/opt/a "b" $HOME/100%/piv\\mcp', "--from", "x y $HOME"), {"PIV_DATA_DIR": '/d "q" %h $X \\n'})


def test_odd_paths_mean_themselves_in_a_unit(tmp_path: Path) -> None:
    text = receiver.Systemd(tmp_path / "x").text(ODD)
    assert r'ExecStart="/opt/a \"b\" $HOME/100%%/piv\\mcp" "--from" "x y $$HOME" "receive"' in text
    assert r'Environment="PIV_DATA_DIR=/d \"q\" %%h $X \\n"' in text


ANALYZE = shutil.which("systemd-analyze") or ""


@pytest.mark.skipif(not ANALYZE, reason="no systemd")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    program = tmp_path / "a b $X 50%" / "piv-mcp"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    unit = receiver.Systemd(tmp_path / "piv-mcp.service")
    unit.file.write_text(unit.text(Launch((str(program),), {"PIV_DATA_DIR": "/d %h 50%"})))
    done = subprocess.run([ANALYZE, "verify", str(unit.file)], capture_output=True, text=True, timeout=30, check=False)
    assert str(unit.file) not in done.stderr
    assert "piv-mcp.service:" not in done.stderr


# launchd


def test_launchd_gets_an_agent(tmp_path: Path) -> None:
    unit = receiver.service(Places("darwin", tmp_path, {}))
    assert isinstance(unit, receiver.Launchd)
    assert unit.file == tmp_path / "Library" / "LaunchAgents" / "day.piv.mcp.plist"
    agent = plistlib.loads(unit.text(ODD).encode())
    assert agent["Label"] == unit.file.stem
    assert agent["ProgramArguments"] == [*ODD.command, "receive"]
    assert agent["EnvironmentVariables"] == ODD.env
    assert agent["KeepAlive"] is agent["RunAtLoad"] is True


@pytest.mark.skipif(os.name != "posix", reason="a shell script stands in for launchctl")
def test_an_agent_that_runs_is_ended_before_it_starts_anew(system: System) -> None:
    system.has("launchctl")
    unit = receiver.Launchd(system.home / "day.piv.mcp.plist")
    domain = f"gui/{os.getuid()}"
    begun = ["launchctl", "bootstrap", domain, str(unit.file)]
    assert unit.stopped()
    assert [list(words) for words in unit.started()] == [["launchctl", "bootout", f"{domain}/day.piv.mcp"], begun]
    system.has("launchctl", "print")
    assert [list(words) for words in unit.started()] == [begun]
    assert unit.stopped() == [], "launchctl fails for an agent that it does not have"


def test_another_system_has_no_service() -> None:
    assert receiver.service(Places("win32", Path("/h"), {})) is None


# doctor


@linux_only
@pytest.mark.parametrize(
    ("failing", "ok", "state"),
    [
        ((), True, "runs as a service"),
        (("is-active",), False, "does not run"),
        (("show-environment",), False, "cannot be asked"),
    ],
)
def test_doctor_says_whether_the_receiver_runs(system: System, failing: tuple[str, ...], ok: bool, state: str) -> None:
    assert receiver.check() is None, "none is installed"
    system.has("systemctl")
    run("install", "receiver", "--yes")
    system.has("systemctl", *failing)
    found = receiver.check()
    assert found is not None
    assert (found.ok, state in found.state) == (ok, True)


@pytest.fixture
def machine(data_dir: Path) -> Machine:
    return Machine(data_dir, f"http://127.0.0.1:{free_port()}/api/v1")


async def outside_of(machine: Machine, url: str) -> Finding:
    """What doctor finds at this outside address."""
    store = SqliteStore(machine.data_dir / "store.sqlite3")
    try:
        return await outside.check(url, SECRET, "127.0.0.1:8787", store)
    finally:
        await store.close()


async def test_a_test_event_comes_through_and_is_no_event(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    async with sandbox_on_a_port(Sandbox(KEY)) as base_url:
        machine.base_url = base_url
        for name, value in machine.environment().items():
            monkeypatch.setenv(name, value)
        async with machine.receiver():
            base = f"http://127.0.0.1:{machine.port}"
            for url in (base, f"{base}/", f"{base}/webhooks", f"{base}/webhooks/", machine.url):
                found = {one.what: one for one in await doctor.examine(load(), url)}
                assert found["outside address"].ok, found["outside address"]
                assert "came through to the store" in found["outside address"].state
    store = SqliteStore(machine.data_dir / "store.sqlite3")
    types = await store.read(lambda connection: [row[0] for row in connection.rows("SELECT type FROM events")])
    await store.close()
    assert TEST_EVENT not in types, "nobody reads it as an event"


async def test_an_address_that_is_not_tried_is_said(data_dir: Path) -> None:
    found = {
        one.what: one for one in await doctor.examine(load(data_dir=data_dir, webhook_port=0), "https://x.example")
    }
    assert (found["outside address"].ok, found["outside address"].state) == (False, "not tried")


async def test_certificates_that_cannot_be_used_are_named(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(data_dir / "none.pem"))
    settings = load(data_dir=data_dir, webhook_port=free_port())
    found = {one.what: one for one in await doctor.examine(settings, "https://x.example")}
    assert (found["outside address"].ok, "SSL_CERT_FILE" in found["outside address"].state) == (False, True)


async def test_a_store_of_another_directory_is_told(machine: Machine, tmp_path: Path) -> None:
    other = Machine(tmp_path / "another" / "data", machine.base_url)
    other.data_dir.mkdir(parents=True, mode=0o700)
    async with other.receiver():
        found = await outside_of(machine, f"http://127.0.0.1:{other.port}")
        assert not found.ok
        assert "another store" in found.state
    async with other.receiver(webhook_secret="another-secret-of-its-own-1"):
        found = await outside_of(machine, f"http://127.0.0.1:{other.port}")
        assert not found.ok
        assert "does not know this secret" in found.state


async def test_a_tunnel_that_is_not_there_is_told(machine: Machine) -> None:
    found = await outside_of(machine, f"http://127.0.0.1:{free_port()}")
    assert not found.ok
    assert "did not reach the tunnel: 127.0.0.1 refused the connection" in found.state


def answering(status: int) -> Route:
    def answer(request: Request) -> Response:
        if 300 <= status < 400:
            return RedirectResponse("https://elsewhere.example/", status)
        return PlainTextResponse("tunnel page", status)

    return Route("/{path:path}", answer, methods=["POST"])


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (200, "another program"),
        (302, "does not follow"),
        (308, "does not follow"),
        (401, "sign-in"),
        (403, "sign-in"),
        (404, "another program or to none"),
        (429, "another program"),
        (502, "nothing answers behind it"),
        (530, "nothing answers behind it"),
    ],
)
async def test_a_tunnel_that_leads_nowhere_is_told(machine: Machine, status: int, said: str) -> None:
    async with stranger(answering(status)) as url:
        found = await outside_of(machine, url)
    assert not found.ok
    assert f"status {status}" in found.state
    assert said in found.state
    assert "127.0.0.1:8787" in (found.do or "")


async def test_a_receiver_that_cannot_store_is_told(machine: Machine) -> None:
    async def full(request: Request) -> Response:
        return JSONResponse({"ok": False, "error": "not stored, send it again"}, 503)

    async with stranger(Route("/{path:path}", full, methods=["POST"])) as url:
        found = await outside_of(machine, url)
    assert (found.ok, "could not store" in found.state) == (False, True)


async def test_a_prefix_of_a_proxy_stays(machine: Machine) -> None:
    asked: list[str] = []

    async def note(request: Request) -> Response:
        asked.append(request.url.path)
        return PlainTextResponse("")

    async with stranger(Route("/{path:path}", note, methods=["POST"])) as url:
        await outside_of(machine, f"{url}/piv/")
    assert asked == [f"/piv/webhooks/{SECRET}"]


@pytest.mark.parametrize(
    "url", ["http://example.org", "example.org", "https://u:p@example.org", "https://example.org?x=1", "ftp://x", ""]
)
async def test_an_address_that_would_give_the_secret_away_is_not_asked(machine: Machine, url: str) -> None:
    found = await outside_of(machine, url)
    assert not found.ok
    assert "https" in found.state
    assert SECRET not in repr(found)


async def test_another_secret_in_the_address_is_told_and_not_repeated(machine: Machine) -> None:
    found = await outside_of(machine, "https://tunnel.example/webhooks/some-other-secret-123")
    assert not found.ok
    assert "not the one of this data directory" in found.state
    assert "some-other-secret-123" not in repr(found)


@linux_only
def test_the_unit_is_for_the_user_alone(system: System) -> None:
    system.has("systemctl")
    run("install", "receiver", "--yes")
    assert stat.S_IMODE(unit_file(system).stat().st_mode) == 0o600
