"""`piv-mcp install` and `uninstall`: our entry comes into each client's file and out again. Nothing else changes."""

import json
import os
import shlex
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from click.testing import CliRunner, Result
from mcp import Client as McpClient
from mcp.client.stdio import StdioServerParameters, stdio_client
from processes import sandbox_on_a_port
from terminal import terminal

from piv_mcp.cli import main as cli
from piv_mcp.cli.configuration import document
from piv_mcp.cli.configuration.clients import CLIENTS, Client, Places
from piv_mcp.cli.configuration.document import Form
from piv_mcp.config import load
from piv_mcp.sandbox import Sandbox

KEY = "pk-install-0123456789"
FILES = {name: client for name, client in CLIENTS.items() if client.file is not None}
every_client = pytest.mark.parametrize("name", FILES)
posix_only = pytest.mark.skipif(os.name != "posix", reason="modes and pseudo-terminals")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, without any client's file."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "APPDATA", "LOCALAPPDATA", "CODEX_HOME"):
        monkeypatch.delenv(name, raising=False)
    return folder


def path_of(name: str) -> Path:
    file = FILES[name].file
    assert file is not None
    return file(Places.of_this_user())


def run(*arguments: str, typed: str | None = None) -> Result:
    return CliRunner().invoke(cli.main, list(arguments), input=typed)


def done(*arguments: str) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def install(name: str, *flags: str) -> str:
    return done("--sandbox", *flags, "install", name, "--yes")


def entry_in(name: str, text: str | None = None) -> dict[str, Any]:
    text = path_of(name).read_text("utf-8") if text is None else text
    return cast("dict[str, Any]", document.get(FILES[name].form, text, FILES[name].path))


def files_below(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def other_servers(client: Client) -> str:
    """A file of this client with another server, a secret of it, and comments."""
    texts: dict[Form, str] = {
        "json": """\
// mine
{
    "KEY": {
        "other": { "command": "x", "env": {"TOKEN": "s3cret"} } // keep
    },
    /* and this */ "theme":   "dark",
}
""",
        "toml": """\
model = "o" # mine

[KEY.other]
command = "x" # keep

[KEY.other.env]
TOKEN = "s3cret"

[tui]
# last
""",
        "yaml": """\
# mine
MODEL:   o
KEY:
    other:
        cmd: 'x' # keep
        envs: {TOKEN: s3cret}
# last
""",
    }
    return texts[client.form].replace("KEY", client.keys[0])


# Each client's file in each state


@every_client
def test_a_file_that_is_not_there_is_made_and_taken_away(name: str, home: Path) -> None:
    said = install(name)
    path = path_of(name)
    assert str(path) in said
    assert FILES[name].title in said
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert files_below(path.parent) == [path.name], "there was nothing to copy"
    done("uninstall", name, "--yes")
    assert not path.exists()
    assert files_below(path.parent) == []


@every_client
@pytest.mark.parametrize("before", ["", "\n", None])
def test_a_file_is_after_uninstalling_what_it_was_before(name: str, before: str | None) -> None:
    path = path_of(name)
    path.parent.mkdir(parents=True)
    text = other_servers(FILES[name]) if before is None else before
    path.write_text(text, "utf-8")
    said = install(name)
    assert "s3cret" not in said, "what other servers have is not shown"
    installed = path.read_text("utf-8")
    assert entry_in(name)
    for line in text.splitlines():
        assert line.rstrip() in installed or f"{line.split(' //')[0]}," in installed, "comments and all"
    copies = [copy for copy in path.parent.iterdir() if copy != path]
    assert [copy.read_text("utf-8") for copy in copies] == [text]
    assert str(copies[0]) in said

    again = install(name)
    assert "nothing was changed" in again
    assert path.read_text("utf-8") == installed
    assert len(files_below(path.parent)) == 2

    done("uninstall", name, "--yes")
    assert path.read_text("utf-8") == text
    assert "nothing was changed" in done("uninstall", name, "--yes")


@every_client
def test_what_changed_since_stays_when_the_entry_is_taken_out(name: str) -> None:
    path = path_of(name)
    path.parent.mkdir(parents=True)
    text = other_servers(FILES[name])
    path.write_text(text, "utf-8")
    install(name)
    path.write_text(path.read_text("utf-8").replace("mine", "mine since"), "utf-8")
    done("uninstall", name, "--yes")
    after = path.read_text("utf-8")
    assert "mine since" in after
    assert "piv" not in after
    form = FILES[name].form
    assert document.get(form, after, ()) == document.get(form, text, ())


@every_client
def test_a_broken_file_is_refused_and_left_as_it_is(name: str) -> None:
    path = path_of(name)
    path.parent.mkdir(parents=True)
    for broken in ('{"mcpServers": {', "key: [s3cret", "[table\nx"):
        path.write_text(broken, "utf-8")
        for arguments in (("--sandbox", "install", name, "--yes"), ("uninstall", name, "--yes")):
            result = run(*arguments)
            assert result.exit_code == 1
            assert f"{path} was left as it is: " in result.stderr
            assert "piv-mcp config" in result.stderr
            assert "s3cret" not in result.output
            assert path.read_text("utf-8") == broken
            assert files_below(path.parent) == [path.name]


@every_client
@pytest.mark.parametrize("value", ["5", '["a"]', '{"piv": "text"}'])
def test_another_kind_of_value_in_its_place_is_refused(name: str, value: str) -> None:
    client = FILES[name]
    path = path_of(name)
    path.parent.mkdir(parents=True)
    text = document.render(client.form, client.keys, json.loads(value))
    path.write_text(text, "utf-8")
    result = run("--sandbox", "install", name, "--yes")
    assert result.exit_code == 1
    assert "was left as it is" in result.stderr
    assert path.read_text("utf-8") == text


@every_client
@posix_only
def test_a_read_only_file_is_refused_and_left_as_it_is(name: str) -> None:
    path = path_of(name)
    path.parent.mkdir(parents=True)
    text = other_servers(FILES[name])
    path.write_text(text, "utf-8")
    path.chmod(0o444)
    result = run("--sandbox", "install", name, "--yes")
    assert result.exit_code == 1
    assert f"{path} is read-only" in result.stderr
    assert (path.read_text("utf-8"), files_below(path.parent)) == (text, [path.name])


@every_client
@posix_only
def test_a_link_is_followed_and_stays_a_link(name: str, tmp_path: Path) -> None:
    path, target = path_of(name), tmp_path / "dotfiles" / "settings"
    for folder in (path.parent, target.parent):
        folder.mkdir(parents=True)
    text = other_servers(FILES[name])
    target.write_text(text, "utf-8")
    target.chmod(0o640)
    path.symlink_to(target)
    said = install(name)
    assert f"a link to {target}" in said
    assert path.is_symlink()
    assert entry_in(name)
    assert files_below(path.parent) == [path.name], "the copy is where the file is"
    modes = {copy.name: stat.S_IMODE(copy.stat().st_mode) for copy in target.parent.iterdir()}
    assert modes.pop("settings") == 0o640
    assert set(modes.values()) == {0o600}, "a copy is for the user alone"
    done("uninstall", name, "--yes")
    assert (path.is_symlink(), target.read_text("utf-8")) == (True, text)


@every_client
@posix_only
def test_a_link_that_leads_nowhere_makes_the_file_there(name: str, tmp_path: Path) -> None:
    path, target = path_of(name), tmp_path / "dotfiles" / "settings"
    path.parent.mkdir(parents=True)
    path.symlink_to(target)
    install(name)
    assert (path.is_symlink(), target.is_file()) == (True, True)


@every_client
def test_a_byte_order_mark_and_line_breaks_stay(name: str) -> None:
    path = path_of(name)
    path.parent.mkdir(parents=True)
    data = b"\xef\xbb\xbf" + other_servers(FILES[name]).replace("\n", "\r\n").encode()
    path.write_bytes(data)
    install(name)
    installed = path.read_bytes()
    assert installed.startswith(b"\xef\xbb\xbf")
    assert installed.count(b"\n") == installed.count(b"\r\n")
    done("uninstall", name, "--yes")
    assert path.read_bytes() == data


@pytest.mark.parametrize("data", ["{}".encode("utf-16"), b'{"a": "\xff"}'])
def test_a_file_in_another_encoding_is_refused(data: bytes) -> None:
    path = path_of("cursor")
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    result = run("--sandbox", "install", "cursor", "--yes")
    assert (result.exit_code, "UTF-8" in result.stderr) == (1, True)
    assert path.read_bytes() == data


@posix_only
def test_what_is_no_file_is_refused(home: Path) -> None:
    path = path_of("cursor")
    path.mkdir(parents=True)
    assert "it is no file" in run("--sandbox", "install", "cursor", "--yes").stderr
    path.rmdir()
    os.mkfifo(path)
    assert "it is no file" in run("--sandbox", "install", "cursor", "--yes").stderr
    path.unlink()
    path.symlink_to(path)
    assert run("--sandbox", "install", "cursor", "--yes").exit_code == 1


@posix_only
def test_a_folder_that_cannot_be_made_is_refused(home: Path) -> None:
    (home / ".cursor").write_text("a file where the folder belongs")
    result = run("--sandbox", "install", "cursor", "--yes")
    assert result.exit_code == 1
    assert "Traceback" not in result.output
    assert (home / ".cursor").read_text() == "a file where the folder belongs"


def test_a_change_of_the_file_in_the_meantime_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    path = path_of("cursor")
    path.parent.mkdir(parents=True)
    path.write_text("{}")

    def somebody_else_writes(question: str, *, yes: bool) -> None:
        path.write_text('{"theirs": 1}')

    monkeypatch.setattr("piv_mcp.cli.install.confirm", somebody_else_writes)
    result = run("--sandbox", "install", "cursor", "--yes")
    assert result.exit_code == 1
    assert "was changed in the meantime" in result.stderr
    assert path.read_text() == '{"theirs": 1}'


def test_a_failed_replacement_leaves_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    path = path_of("cursor")
    path.parent.mkdir(parents=True)
    path.write_text("{}")

    def no_space(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", no_space)
    result = run("--sandbox", "install", "cursor", "--yes")
    assert (result.exit_code, "No space left" in result.stderr) == (1, True)
    assert path.read_text() == "{}"
    assert [name for name in files_below(path.parent) if name.startswith(".")] == []


# What is in the entry


@every_client
async def test_the_entry_starts_the_server(name: str, data_dir: Path) -> None:
    install(name, "--data-dir", str(data_dir), "--webhook-port", "0")
    entry = entry_in(name)
    command = [entry["command"], *entry["args"]] if isinstance(entry.get("command"), str) else entry.get("command")
    command = command or [entry["cmd"], *entry["args"]]
    env = entry[FILES[name].env]
    assert env == {"PIV_SANDBOX": "true", "PIV_DATA_DIR": str(data_dir), "PIV_WEBHOOK_PORT": "0"}
    assert Path(command[0]).is_absolute()
    if name == "cursor":  # the command is the same in all
        async with McpClient(stdio_client(StdioServerParameters(command=command[0], args=command[1:], env=env))) as mcp:
            assert (await mcp.list_tools()).tools


def test_the_forms_are_those_that_the_clients_read() -> None:
    for name in FILES:
        install(name)
    run_ = entry_in("cursor")["command"]
    env = {"PIV_SANDBOX": "true"}
    plain: dict[str, Any] = {"command": run_, "args": [], "env": env}
    assert entry_in("claude-desktop") == entry_in("gemini") == entry_in("windsurf") == entry_in("codex") == plain
    assert entry_in("vscode") == {"type": "stdio", **plain}
    assert entry_in("zed") == {"source": "custom", **plain}
    assert entry_in("opencode") == {"type": "local", "command": [run_], "environment": env, "enabled": True}
    goose = entry_in("goose")
    assert (goose["cmd"], goose["envs"], goose["type"], goose["enabled"]) == (run_, env, "stdio", True)
    assert goose["timeout"] > 60
    assert "[mcp_servers.piv]\n" in path_of("codex").read_text()
    assert "[mcp_servers.piv.env]\n" in path_of("codex").read_text()


@every_client
def test_what_a_person_added_to_the_entry_stays_at_a_second_install(name: str) -> None:
    client = FILES[name]
    install(name, "--spend-mode", "deny")
    path = path_of(name)
    entry = entry_in(name)
    entry["alwaysAllow"] = ["list_numbers"]
    entry[client.env]["PIV_INBOX_DAYS"] = "7"
    path.write_text(document.put(client.form, path.read_text("utf-8"), client.path, entry), "utf-8")
    install(name, "--toolsets", "inbox")
    after = entry_in(name)
    assert after["alwaysAllow"] == ["list_numbers"]
    assert after[client.env] == {
        "PIV_SPEND_MODE": "deny",
        "PIV_INBOX_DAYS": "7",
        "PIV_SANDBOX": "true",
        "PIV_TOOLSETS": "inbox",
    }


def test_an_install_for_the_account_ends_the_sandbox_and_a_key_in_the_file(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(KEY)
    install("cursor")
    path = path_of("cursor")
    text = path.read_text().replace(
        '"PIV_SANDBOX": "true"', f'"PIV_SANDBOX": "true", "PIV_API_KEY": "{KEY}", "X": "tok"'
    )
    path.write_text(text)
    said = done("--api-key-file", str(key), "install", "cursor", "--yes")
    assert entry_in("cursor")["env"] == {"X": "tok", "PIV_API_KEY_FILE": str(key)}
    assert KEY not in said
    assert "tok" not in said
    assert "delete that copy" in said


FOREIGN: list[dict[str, Any]] = [
    {"url": "https://x.example/mcp", "headers": {"Authorization": "Bearer s3cret"}, "bearer_token_env_var": "T"},
    {"httpUrl": "https://x.example/mcp", "command": "x"},
    {"type": "sse", "url": "https://x.example/s3cret"},
    {"command": "x", "args": None, "env": None},
    {"command": "env", "args": ["PIV_API_KEY=s3cret", "piv-mcp"], "env": {"PIV_TOKEN": "s3cret"}, "disabled": True},
]


@every_client
@pytest.mark.parametrize("former", FOREIGN, ids=range(len(FOREIGN)))
def test_a_former_entry_of_another_kind_is_replaced_and_not_shown(name: str, former: dict[str, Any]) -> None:
    client = FILES[name]
    path = path_of(name)
    path.parent.mkdir(parents=True)
    if client.form == "toml":  # which has no null
        former = {key: value for key, value in former.items() if value is not None}
    path.write_text(document.render(client.form, client.path, former) + "\n", "utf-8")
    said = install(name)
    assert "s3cret" not in said
    entry = entry_in(name)
    assert not {"url", "httpUrl", "headers", "bearer_token_env_var", "disabled"} & entry.keys()
    assert entry.get("enabled", True) is True
    assert "s3cret" not in done("uninstall", name, "--yes")


def test_an_entry_that_was_switched_off_is_switched_on() -> None:
    install("codex")
    path = path_of("codex")
    path.write_text(path.read_text().replace("args = []", "args = []\nenabled = false"))
    install("codex")
    assert "enabled" not in entry_in("codex")


def test_copies_are_few_and_the_first_one_stays() -> None:
    path = path_of("cursor")
    path.parent.mkdir(parents=True)
    path.write_text('{"mine": 1}')
    for days in range(1, 12):
        install("cursor", "--inbox-days", str(days))
    copies = sorted(copy for copy in path.parent.iterdir() if copy != path)
    assert len(copies) <= 5
    assert copies[0].read_text() == '{"mine": 1}'
    done("uninstall", "cursor", "--yes")
    assert path.read_text() == '{"mine": 1}'


def test_the_line_that_checks_names_what_the_client_gets(data_dir: Path) -> None:
    said = install("cursor", "--data-dir", str(data_dir))
    (line,) = (line for line in said.splitlines() if line.startswith("To check"))
    assert shlex.split(line)[-4:] == ["--sandbox", "--data-dir", str(data_dir), "doctor"]


def test_settings_of_the_environment_are_passed_on_and_secrets_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIV_SPEND_MODE", "deny")
    monkeypatch.setenv("PIV_WEBHOOK_SECRET", "a-secret-of-the-webhook-1")
    result = run("--sandbox", "install", "cursor", "--yes")
    assert entry_in("cursor")["env"] == {"PIV_SANDBOX": "true", "PIV_SPEND_MODE": "deny"}
    assert "PIV_WEBHOOK_SECRET" in result.stderr
    assert "a-secret-of-the-webhook-1" not in result.output + path_of("cursor").read_text()


def test_settings_can_follow_the_command_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done(
        "--toolsets", "inbox", "install", "cursor", "--sandbox", "--yes", "--data-dir", "here", "--toolsets", "numbers"
    )
    env = {"PIV_TOOLSETS": "numbers", "PIV_SANDBOX": "true", "PIV_DATA_DIR": str(tmp_path / "here")}
    assert entry_in("cursor")["env"] == env
    assert json.loads(done("config", "cursor", "--sandbox"))["mcpServers"]["piv"]["env"] == {"PIV_SANDBOX": "true"}


# Claude Code


def test_claude_code_gets_a_line_for_the_shell(tmp_path: Path) -> None:
    key = tmp_path / "a key"
    key.write_text(KEY)
    result = run("--api-key-file", str(key), "--toolsets", "inbox", "install", "claude-code", "--yes")
    assert result.exit_code == 0, result.output
    assert shlex.split(result.stdout)[:6] == ["claude", "mcp", "add", "piv", "--scope", "user"]
    options = shlex.split(result.stdout)[6:]
    end = options.index("--")
    assert options[:end] == ["--env", f"PIV_API_KEY_FILE={key}", "--env", "PIV_TOOLSETS=inbox"]
    assert Path(options[end + 1]).is_absolute()
    assert shlex.split(run("uninstall", "claude-code").stdout) == [
        "claude", "mcp", "remove", "--scope", "user", "piv"
    ]  # fmt: skip


# The key


def test_without_a_key_nothing_is_written_and_it_says_how_to_give_one() -> None:
    result = run("install", "cursor", "--yes")
    assert result.exit_code == 1
    assert "PIV_API_KEY_FILE" in result.stderr
    assert not path_of("cursor").exists()


def test_without_a_terminal_the_change_is_shown_and_not_made() -> None:
    result = run("--sandbox", "install", "cursor", typed="y\n")
    assert result.exit_code == 1
    assert '"PIV_SANDBOX": "true"' in result.stdout
    assert "--yes" in result.stderr
    assert not path_of("cursor").exists()


def test_a_key_file_that_cannot_be_read_stops_before_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIV_API_KEY_FILE", str(tmp_path / "none"))
    result = run("install", "cursor", "--yes")
    assert (result.exit_code, "PIV_API_KEY_FILE" in result.stderr) == (1, True)
    assert not path_of("cursor").exists()


@posix_only
def test_a_key_file_that_is_there_is_closed_to_others_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    file = load().key_file
    assert file is not None
    file.parent.mkdir(parents=True)
    file.write_text(KEY)
    file.chmod(0o644)
    monkeypatch.setenv("PIV_API_KEY", "pk-another-0123456789")
    result = run("install", "cursor", "--yes")
    assert result.exit_code == 0, result.output
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert f"The key in {file} is used" in result.stderr
    assert "PIV_API_KEY holds another key" in result.stderr
    assert "pk-another" not in result.output


def environment(home: Path, url: str) -> Mapping[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PIV_")}
    return {**kept, "HOME": str(home), "PIV_BASE_URL": url}


def assert_is_the_users_alone(file: Path, key: str) -> None:
    assert file == load().key_file
    assert file.read_text().strip() == key
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


INSTALL = ("-m", "piv_mcp", "install", "cursor")


@posix_only
async def test_the_key_is_asked_once_without_echo_and_kept_for_the_user_alone(home: Path) -> None:
    async with sandbox_on_a_port(Sandbox(KEY)) as url, terminal(*INSTALL, env=environment(home, url)) as person:
        await person.sees("API key .*: ")
        person.types("two words")
        await person.sees("That is no key.*\n.*API key .*: ")
        person.types(KEY)
        await person.sees("accepts the key; the balance is")
        await person.sees(r"Write this\? \[y/N\]: ")
        assert not path_of("cursor").exists()
        person.types("y")
        assert await person.process.wait() == 0
        assert KEY not in person.screen
    env = entry_in("cursor")["env"]
    file = env.pop("PIV_API_KEY_FILE")
    assert env == {"PIV_BASE_URL": url}
    assert_is_the_users_alone(Path(file), KEY)
    done("install", "goose", "--yes")
    assert entry_in("goose")["envs"] == {"PIV_API_KEY_FILE": file}, "the second client uses the same file"


@posix_only
@pytest.mark.parametrize(("typed", "said"), [(f"{KEY}-wrong", "does not accept this key"), (KEY, "Aborted")])
async def test_a_refused_key_and_a_no_leave_nothing(home: Path, typed: str, said: str) -> None:
    async with sandbox_on_a_port(Sandbox(KEY)) as url, terminal(*INSTALL, env=environment(home, url)) as person:
        await person.sees("API key .*: ")
        person.types(typed)
        if typed == KEY:
            await person.sees("Write this")
            person.types("n")
        await person.sees(said)
        assert await person.process.wait() == 1
    assert not path_of("cursor").exists()
    assert load().api_key is None


# Where the files are

HOME = Path("/home/ann")
WINDOWS = {"APPDATA": "/roaming", "LOCALAPPDATA": "/local"}
EVERYWHERE: dict[str, tuple[str, ...]] = {
    "claude-desktop": (
        ".config/Claude/claude_desktop_config.json",
        "Library/Application Support/Claude/claude_desktop_config.json",
        "/roaming/Claude/claude_desktop_config.json",
    ),
    "cursor": (".cursor/mcp.json",) * 3,
    "vscode": (
        ".config/Code/User/mcp.json",
        "Library/Application Support/Code/User/mcp.json",
        "/roaming/Code/User/mcp.json",
    ),
    "codex": (".codex/config.toml",) * 3,
    "gemini": (".gemini/settings.json",) * 3,
    "opencode": (".config/opencode/opencode.json",) * 3,
    "windsurf": (".codeium/windsurf/mcp_config.json",) * 3,
    "zed": (".config/zed/settings.json", ".config/zed/settings.json", "/roaming/Zed/settings.json"),
    "goose": (".config/goose/config.yaml", ".config/goose/config.yaml", "/roaming/Block/goose/config/config.yaml"),
}


@every_client
@pytest.mark.parametrize(("platform", "column"), [("linux", 0), ("darwin", 1), ("win32", 2)])
def test_each_system_has_its_place(name: str, platform: str, column: int) -> None:
    file = cast("Callable[[Places], Path]", FILES[name].file)
    found = file(Places(platform, HOME, WINDOWS if platform == "win32" else {}))
    assert found == HOME / EVERYWHERE[name][column]


def test_variables_that_move_a_place_are_followed() -> None:
    moved = Places("linux", HOME, {"XDG_CONFIG_HOME": "/xdg", "CODEX_HOME": "/codex"})
    assert moved.zed() == Path("/xdg/zed/settings.json")
    assert moved.codex() == Path("/codex/config.toml")
    assert Places("linux", HOME, {"XDG_CONFIG_HOME": "relative"}).zed() == HOME / ".config/zed/settings.json"


def test_a_packaged_claude_desktop_reads_its_own_place(tmp_path: Path) -> None:
    own = tmp_path / "Packages" / "Claude_pzs8sxrjxfjjc" / "LocalCache" / "Roaming" / "Claude"
    own.mkdir(parents=True)
    places = Places("win32", HOME, {"LOCALAPPDATA": str(tmp_path), "APPDATA": "/roaming"})
    assert places.claude_desktop() == own / "claude_desktop_config.json"


def test_an_opencode_file_with_comments_in_its_name_is_used_where_it_is(home: Path) -> None:
    folder = home / ".config" / "opencode"
    folder.mkdir(parents=True)
    (folder / "opencode.jsonc").write_text("{}")
    assert path_of("opencode") == folder / "opencode.jsonc"


def test_every_client_is_offered_by_name() -> None:
    for command in ("install", "uninstall", "config"):
        words = run(command, "nobody").stderr
        assert all(name in words for name in CLIENTS), command
