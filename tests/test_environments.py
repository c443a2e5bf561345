"""The server in the environments that machines have: local tools and webhooks live on, and `doctor` names the cause."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner
from network import HOST, proxied, trust
from processes import KEY, Machine, ServerProcess, sms_webhook
from test_cli import findings, posix_only, run

from piv_mcp.cli import main as cli

pytestmark = [posix_only, pytest.mark.usefixtures("bare_environment")]


@dataclass(frozen=True)
class Environment:
    """Variables, and what `doctor` finds wrong because of them (None: nothing)."""

    variables: dict[str, str]
    named: str | None = None
    what: str = "proxy"


SOCKS = "127.0.0.1:9"

ENVIRONMENTS = {
    "socks5": Environment({"ALL_PROXY": f"socks5://{SOCKS}"}),
    "socks5h": Environment({"all_proxy": f"socks5h://{SOCKS}"}),
    "socks": Environment({"ALL_PROXY": f"socks://{SOCKS}", "NO_PROXY": HOST}),
    "socks4": Environment({"ALL_PROXY": f"socks4://{SOCKS}"}, "ALL_PROXY"),
    "proxy without an end": Environment({"HTTP_PROXY": "http://[::1"}, "HTTP_PROXY"),
    "proxy with a bad port": Environment({"https_proxy": "http://hunter2:hunter2"}, "https_proxy"),
    "proxy placeholder": Environment({"HTTPS_PROXY": "${HTTPS_PROXY}"}, "HTTPS_PROXY"),
    "no_proxy in brackets": Environment({"NO_PROXY": "[::1]", "HTTPS_PROXY": "127.0.0.1:9"}),
    "no_proxy network": Environment({"no_proxy": "::1/128,fe80::/10", "HTTPS_PROXY": "127.0.0.1:9"}),
    "no_proxy broken": Environment({"NO_PROXY": "[::1,hunter2/200"}, "NO_PROXY"),
    "certificates missing": Environment({"SSL_CERT_FILE": "/nowhere/hunter2"}, "SSL_CERT_FILE", "certificates"),
    "certificates are no PEM": Environment({"SSL_CERT_FILE": "/etc/hostname"}, "SSL_CERT_FILE", "certificates"),
    "certificates are a folder": Environment({"SSL_CERT_FILE": "/"}, "SSL_CERT_FILE", "certificates"),
    "no folder": Environment({"SSL_CERT_DIR": "/nowhere/hunter2"}, "SSL_CERT_DIR", "certificates"),
    "key log": Environment({"SSLKEYLOGFILE": "/nowhere/hunter2"}, "SSLKEYLOGFILE", "certificates"),
    "misspelt setting": Environment({"PIV_API_KEYFILE": "hunter2"}, "PIV_API_KEYFILE (is it PIV_API_KEY", "settings"),
    "tidy settings": Environment({"PIV_READ_ONLY": "false ", "PIV_LOG_LEVEL": " debug", "PIV_SPEND_MODE": '"ASK"'}),
}


@pytest.mark.usefixtures("instant_retries")
@pytest.mark.parametrize("name", ENVIRONMENTS)
async def test_local_tools_and_webhooks_live_and_doctor_names_the_cause(
    monkeypatch: pytest.MonkeyPatch, data_dir: Path, name: str
) -> None:
    environment = ENVIRONMENTS[name]
    machine = Machine(data_dir, f"https://{HOST}/api/v1")
    async with machine.server("server", around=environment.variables) as server:
        await lives(machine, server)
        said = server.log.read_text()
    assert "hunter2" not in said
    assert "Traceback" not in said
    if environment.what == "proxy" and environment.named:
        assert environment.named in said
    for variable, value in environment.variables.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("PIV_API_KEY", KEY)
    found = await findings(data_dir=data_dir, webhook_port=0, base_url=machine.base_url)
    assert "hunter2" not in repr(found)
    if environment.named is None:
        assert environment.what not in found or found[environment.what].ok
        return
    assert not found[environment.what].ok
    assert environment.named in found[environment.what].state
    assert found[environment.what].do


async def lives(machine: Machine, server: ServerProcess) -> None:
    await machine.served()
    answer = await machine.post(sms_webhook("num-a", "Your code is 482913", "482913"))
    assert answer is not None
    assert answer.status_code == 200
    assert "482913" in repr(await server.call("list_events"))
    assert (await server.call("list_spending"))["entries"] == []


@pytest.mark.parametrize("kind", ["http", "socks5h"])
async def test_a_server_behind_a_proxy_works(data_dir: Path, tmp_path: Path, kind: str) -> None:
    async with proxied(kind.removesuffix("5h"), ("me", "hunter2")) as (proxy, port):
        around = {"ALL_PROXY": f"{kind}://me:hunter2@127.0.0.1:{port}", "SSL_CERT_FILE": str(trust(tmp_path))}
        machine = Machine(data_dir, f"https://{HOST}/api/v1")
        async with machine.server("server", around=around, log_level="DEBUG") as server:
            assert (await server.call("get_account"))["balance"] == "150.50"
            assert "hunter2" not in server.log.read_text()
    assert f"{HOST}:443" in proxy.asked


async def test_a_variable_about_certificates_is_named_by_a_tool(data_dir: Path) -> None:
    machine = Machine(data_dir, f"https://{HOST}/api/v1")
    async with machine.server("server", around={"SSL_CERT_FILE": "/nowhere/hunter2"}) as server:
        result = await server.client.call_tool("get_account", {})
    assert result.is_error
    text = repr(result.content)
    assert "SSL_CERT_FILE" in text
    assert "data directory" not in text
    assert "no money moved" in text
    assert "hunter2" not in text


async def test_doctor_ends_without_a_traceback_where_everything_is_wrong(data_dir: Path) -> None:
    variables = {
        "ALL_PROXY": "hunter2://hunter2",
        "NO_PROXY": "[",
        "SSL_CERT_FILE": "/nowhere/hunter2",
        "SSLKEYLOGFILE": "/nowhere/hunter2",
        "PIV_API_KEY": "hunter2-hunter2",
        "PIV_WEBHOOK_HOST": "hunter2",
        "PIV_DATA_DIR": str(data_dir),
        "PYTHONIOENCODING": "ascii",
    }
    status, out, err = await run("doctor", env=variables)
    assert (status, err) == (1, "")
    for named in ("ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "PIV_WEBHOOK_HOST"):
        assert f"{named}" in out
    assert "hunter2" not in out


@pytest.mark.parametrize(("mode", "ok"), [(0o600, True), (0o400, True), (0o644, False), (0o640, False), (0o444, True)])
async def test_doctor_says_who_can_read_the_key_file(data_dir: Path, tmp_path: Path, mode: int, ok: bool) -> None:
    file = tmp_path / "key"
    file.write_text(KEY)
    file.chmod(mode)
    finding = (await findings(api_key_file=str(file), sandbox=True, data_dir=data_dir))["API key file"]
    assert finding.ok == ok
    assert ("chmod" in (finding.do or "")) != ok
    assert mode & 0o077 == 0 or f"{mode:04o}" in finding.state


async def test_doctor_takes_a_mounted_secret_for_one(data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "..data").write_text(KEY)
    (tmp_path / "..data").chmod(0o644)
    (tmp_path / "key").symlink_to("..data")
    found = await findings(api_key_file=str(tmp_path / "key"), sandbox=True, data_dir=data_dir)
    assert found["API key file"].ok


@pytest.mark.parametrize("host", ["sk-hunter2-0123456789", "sk_hunter2", "hunter2.example"])
async def test_doctor_repeats_no_host_that_could_be_a_secret(data_dir: Path, host: str) -> None:
    finding = (await findings(data_dir=data_dir, webhook_host=host))["webhook endpoint"]
    assert "PIV_WEBHOOK_HOST" in finding.state
    assert "hunter2" not in repr(finding)


async def test_the_log_repeats_no_host_that_could_be_a_secret(data_dir: Path) -> None:
    machine = Machine(data_dir, f"https://{HOST}/api/v1")
    async with machine.server("server", webhook_host="sk-hunter2-0123456789") as server:
        assert (await server.call("list_spending"))["entries"] == []
        said = server.log.read_text()
    assert "cannot be served" in said
    assert "hunter2" not in said


# output


@pytest.mark.parametrize("encoding", ["cp1252", "gbk", "ascii", "cp437", "koi8-r", "utf-8", "utf-16-le"])
@pytest.mark.parametrize("command", ["doctor", "config cursor", "approvals", "--help"])
def test_a_command_writes_to_any_encoding(
    monkeypatch: pytest.MonkeyPatch, data_dir: Path, encoding: str, command: str
) -> None:
    home = data_dir.with_name("家 ñ 🙂")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PIV_WEBHOOK_PORT", "0")
    arguments = ["--sandbox", "--data-dir", str(home), *command.split()]
    result = CliRunner(charset=encoding).invoke(cli.main, arguments)
    assert (result.exit_code, result.exception) == (0, None)
    if command == "doctor":
        written = (b"\\u5bb6", "家".encode(encoding, "ignore"), "家".encode())  # click takes ASCII for a mistake
        assert any(form and form in result.stdout_bytes for form in written), "what the encoding lacks is not lost"


@pytest.mark.parametrize(
    ("command", "closed"),
    [
        ("doctor", ">/dev/full"),
        ("approvals", "<&- >&-"),
        ("config cursor", "2>&- >&-"),
        ("demo --seconds 0.2", ">&-"),
        ("", ">&-"),
        ("doctor", "| true"),
    ],
)
async def test_a_command_whose_output_is_closed_ends_in_order(data_dir: Path, command: str, closed: str) -> None:
    env = {"PIV_DATA_DIR": str(data_dir), "PIV_SANDBOX": "1", "PIV_WEBHOOK_PORT": "0"}
    _, _, err = await run(command, env=env, shell=closed)
    assert "Traceback" not in err
    assert "Exception ignored" not in err
