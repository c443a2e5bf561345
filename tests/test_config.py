"""Settings: what may be set, what is refused by name, and that no value is ever repeated."""

import os
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from piv_mcp.api.credentials import read_key_file
from piv_mcp.config import ASKED_BY_EXTENSION, ENVIRONMENT_ONLY, TOOLSETS, PaidArea, Settings, load
from piv_mcp.errors import ConfigError
from piv_mcp.spending.actions import ACTIONS
from piv_mcp.text.tidy import tidied

T = TypeVar("T")

KEY = "sk-5f2b8c19d0-4e7a63"


def test_the_defaults_are_those_of_the_table() -> None:
    settings = load()
    assert settings.api_key is None
    assert settings.base_url == "https://app.piv.day/api/v1"
    assert (settings.webhook_host, settings.webhook_port) == ("127.0.0.1", 8787)
    assert (settings.spend_mode, settings.confirm_channel, settings.confirm_wait) == ("ask", "auto", 45)
    assert (settings.auto_approve_max, settings.daily_budget) == (Decimal(0), Decimal(0))
    assert (settings.sandbox, settings.read_only, settings.confirm_destructive) == (False, False, True)
    assert (settings.toolsets, settings.inbox_days) == (TOOLSETS, 30)
    assert (settings.log_level, settings.log_format) == ("INFO", "json")


@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        ("PIV_SANDBOX", "1", "sandbox", True),
        ("PIV_BASE_URL", "https://piv.example/api/v1/", "base_url", "https://piv.example/api/v1"),
        ("PIV_BASE_URL", "http://127.0.0.1:9/api/v1", "base_url", "http://127.0.0.1:9/api/v1"),
        ("PIV_WEBHOOK_PORT", "0", "webhook_port", 0),
        ("PIV_SPEND_MODE", " Budget ", "spend_mode", "budget"),
        ("PIV_DAILY_BUDGET", "12.50", "daily_budget", Decimal("12.50")),
        ("PIV_TOOLSETS", "whites, inbox", "toolsets", ("whites", "inbox")),
        ("PIV_TOOLSETS", "all", "toolsets", TOOLSETS),
        ("PIV_TOOLSETS", "", "toolsets", TOOLSETS),
        ("PIV_LOG_LEVEL", "debug", "log_level", "DEBUG"),
        ("PIV_CONFIRM_DESTRUCTIVE", "off", "confirm_destructive", False),
        ("PIV_WEBHOOK_PORT", "", "webhook_port", 8787),
        ("PIV_TRANSPORT", "HTTP", "transport", "http"),
        ("PIV_PUBLIC_URL", "https://MCP.example.com/", "public_url", "https://mcp.example.com"),
        ("PIV_PUBLIC_URL", "https://mcp.example.com:443", "public_url", "https://mcp.example.com"),
        ("PIV_PUBLIC_URL", "http://[::1]:8788", "public_url", "http://[::1]:8788"),
        ("PIV_TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.1", "trusted_proxies", ("10.0.0.0/8", "192.0.2.1/32")),
    ],
)
def test_a_setting_is_read_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, field: str, expected: object
) -> None:
    monkeypatch.setenv(name, value)
    assert getattr(load(), field) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PIV_BASE_URL", "http://piv.example/api/v1"),
        ("PIV_BASE_URL", "https://user:hunter2@piv.example/"),
        ("PIV_BASE_URL", "ftp://hunter2"),
        ("PIV_BASE_URL", "hunter2"),
        ("PIV_BASE_URL", "https://piv.example/?key=hunter2"),
        ("PIV_BASE_URL", "https://hunter2é.example"),
        ("PIV_BASE_URL", "http://hunter2.example"),
        ("PIV_API_KEY", "hunter2 hunter2"),
        ("PIV_API_KEY", "hunter2é"),
        ("PIV_SANDBOX", "hunter2"),
        ("PIV_WEBHOOK_PORT", "65536"),
        ("PIV_WEBHOOK_PORT", "-7777"),
        ("PIV_WEBHOOK_PORT", "hunter2"),
        ("PIV_WEBHOOK_SECRET", "hunter2 hunter2"),
        ("PIV_WEBHOOK_SECRET", "hunter2/hunter2/hunter2"),
        ("PIV_SPEND_MODE", "hunter2"),
        ("PIV_AUTO_APPROVE_MAX", "-7777"),
        ("PIV_DAILY_BUDGET", "hunter2"),
        ("PIV_DAILY_BUDGET", "NaN"),
        ("PIV_DAILY_BUDGET", "7777e999999999"),
        ("PIV_DAILY_BUDGET", "7777e-999999"),
        ("PIV_BUDGETS", "numbers=7777e999999999"),
        ("PIV_BUDGETS", "numbers=7777e-999999"),
        ("PIV_BUDGETS", "numbers=7777,numbers=7778"),
        ("PIV_BUDGETS", "numbers=5,7777"),
        ("PIV_BUDGETS", "numbers=-7777"),
        ("PIV_BUDGETS", "inbox=7777"),
        ("PIV_BUDGETS", "hunter2=5"),
        ("PIV_CONFIRM_CHANNEL", "hunter2"),
        ("PIV_CONFIRM_WAIT", "7777"),
        ("PIV_TOOLSETS", "numbers,hunter2"),
        ("PIV_INBOX_DAYS", "0"),
        ("PIV_LOG_LEVEL", "hunter2"),
        ("PIV_LOG_FORMAT", "hunter2"),
        ("PIV_STORE_URL", "mysql://hunter2@somewhere/x"),
        ("PIV_STORE_DIRECT_URL", "sqlite:////hunter2"),
        ("PIV_STORE_FROM", "postgresql://hunter2@somewhere/x"),
        ("PIV_STORE_URL", "sqlite:///hunter2.db"),
        ("PIV_STORE_URL", "sqlite:///:memory:"),
        ("PIV_DATA_DIR", "hunter2/data"),
        ("PIV_DATA_DIR", "./hunter2"),
        ("PIV_DATA_DIR", "hunter2"),
        ("PIV_DATA_DIR", "${hunter2}/piv"),
        ("PIV_DATA_DIR", "$hunter2/piv"),
        ("PIV_DATA_DIR", "%hunter2%/piv"),
        ("PIV_DATA_DIR", "${PIV_DATA_DIR}"),
        ("PIV_DATA_DIR", "${user_config.hunter2}"),
        ("PIV_DATA_DIR", "${user_config.hunter2}/x"),
        ("PIV_DATA_DIR", "${user_config.data_dir}"),
        ("PIV_DATA_DIR", "${input:hunter2}/x"),
        ("PIV_DATA_DIR", "/data/{{hunter2}}"),
        ("PIV_DATA_DIR", "~nobody-of-this-name/hunter2"),
        ("PIV_API_KEY_FILE", "sk-hunter2"),
        ("PIV_API_KEY", "${PIV_API_KEY}"),
        ("PIV_API_KEY", "$PIV_API_KEY"),
        ("PIV_API_KEY", "%PIV_API_KEY%"),
        ("PIV_API_KEY", "${env:PIV_API_KEY}"),
        ("PIV_API_KEY", "{{ hunter2 }}"),
        ("PIV_API_KEY", "<your key, hunter2>"),
        ("PIV_API_KEY", "YOUR_API_KEY_HERE"),
        ("PIV_API_KEY", "sk-...hunter2"),
        ("PIV_API_KEY", "PIV_API_KEY="),
        ("PIV_WEBHOOK_SECRET", "${user_config.hunter2}"),
        ("PIV_WEBHOOK_SECRET", "${input:hunter2}"),
        ("PIV_WEBHOOK_HOST", "${hunter2}"),
        ("PIV_SANDBOX", "${user_config.hunter2}"),
        ("PIV_SANDBOX", "${input:hunter2}"),
        ("PIV_SPEND_MODE", "${user_config.hunter2}"),
        ("PIV_READ_ONLY", "${user_config.sandbox}"),
        ("PIV_SPEND_MODE", "deny ${user_config.hunter2}"),
        ("PIV_API_KEY", "Bearer ${user_config.hunter2}"),
        ("PIV_API_KEY_FILE", "/hunter2/does/not/exist"),
    ],
)
def test_a_bad_value_is_refused_by_name_and_never_repeated(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        load()
    text = f"{caught.value} {caught.value!r} {caught.value.hint} {caught.value.__cause__}"
    assert name in text
    assert value not in text
    assert "hunter2" not in text


def test_every_bad_value_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIV_WEBHOOK_PORT", "x")
    monkeypatch.setenv("PIV_SPEND_MODE", "x")
    with pytest.raises(ConfigError, match=r"PIV_WEBHOOK_PORT.*PIV_SPEND_MODE"):
        load()


def test_the_key_comes_from_its_file_unless_it_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"  {KEY}\n")
    monkeypatch.setenv("PIV_API_KEY_FILE", str(file))
    key = load().api_key
    assert key is not None
    assert key.get_secret_value() == KEY
    monkeypatch.setenv("PIV_API_KEY", "another-key")
    key = load().api_key
    assert key is not None
    assert key.get_secret_value() == "another-key"


FORMS = [
    *["{}", "  {}\r\n", '"{}"', " '{}' ", "“{}”", "`{}`", "PIV_API_KEY={}", 'export PIV_API_KEY="{}"'],
    *["set PIV_API_KEY={}", '$env:PIV_API_KEY = "{}"', "Bearer {}", "PIV_API_KEY: {}", "\u200b{}\ufeff", "{}\xa0"],
    *["# my key\n\n{}\n", "OTHER=1\nPIV_API_KEY='{}'  # mine\nMORE=2\n"],
]


@pytest.mark.parametrize("form", FORMS)
def test_a_key_is_understood_in_each_form_in_which_people_keep_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, form: str
) -> None:
    text = form.format(KEY)
    monkeypatch.setenv("PIV_API_KEY", text)
    assert key_of(load()) == KEY
    monkeypatch.delenv("PIV_API_KEY")
    file = tmp_path / "key"
    monkeypatch.setenv("PIV_API_KEY_FILE", f'"{file}"')
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"):
        file.write_bytes(text.encode(encoding))
        if encoding.startswith("utf-16-") and not text.isascii():
            continue  # without a byte order mark only ASCII is told from UTF-8
        assert key_of(load()) == KEY, encoding


def key_of(settings: Settings) -> str | None:
    return settings.api_key.get_secret_value() if settings.api_key is not None else None


def outcome(read: Callable[[], T]) -> T | str:
    """What was read, or the words of the refusal."""
    try:
        return read()
    except (ConfigError, ValueError) as error:
        return f"refused: {error}"


@settings(max_examples=50)
@given(st.binary(max_size=60))
def test_any_key_file_holds_a_key_or_is_refused_without_being_shown(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        file = Path(folder, "key")
        file.write_bytes(content)
        found = outcome(lambda: read_key_file(file))
    assert found.isascii()
    assert found.isprintable()
    assert found.startswith("refused: ") or found.encode() in content.replace(b"\0", b"")


@pytest.mark.parametrize("what", ["a folder", "a device", "a large file", "two keys", "a missing file"])
def test_a_key_file_that_is_none_is_refused_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, what: str
) -> None:
    file = tmp_path / "hunter2"
    if what == "a folder":
        file.mkdir()
    elif what == "a large file":
        file.write_bytes(b"k" * 100_000)
    elif what == "two keys":
        file.write_text("hunter2-one\nhunter2-two")
    reasons = {"a device": "device", "a large file": "too large", "two keys": "several lines"}
    monkeypatch.setenv("PIV_API_KEY_FILE", os.devnull if what == "a device" else str(file))
    with pytest.raises(ConfigError, match=reasons.get(what, "cannot be read")) as caught:
        load()
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PIV_WEBHOOK_SECRET", KEY),
        ("PIV_WEBHOOK_HOST", KEY),
        ("PIV_BASE_URL", f"https://app.piv.day/{KEY}"),
        ("PIV_DATA_DIR", f"/home/{KEY}"),
        ("PIV_STORE_URL", f"sqlite:////{KEY}"),
    ],
)
def test_the_key_in_another_setting_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv("PIV_API_KEY", KEY)
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=f"{name} holds the API key") as caught:
        load()
    assert KEY not in str(caught.value)


TIDY_SETTINGS = [
    ("PIV_SANDBOX", "true", True),
    ("PIV_READ_ONLY", "On", True),
    ("PIV_CONFIRM_DESTRUCTIVE", "FALSE", False),
    ("PIV_WEBHOOK_PORT", "5", 5),
    ("PIV_WEBHOOK_PORT", "5.0", 5),
    ("PIV_INBOX_DAYS", "7", 7),
    ("PIV_CONFIRM_WAIT", "1.5", 1.5),
    ("PIV_DAILY_BUDGET", "12.50", Decimal("12.50")),
    ("PIV_AUTO_APPROVE_MAX", "2", Decimal(2)),
    ("PIV_SPEND_MODE", "DENY", "deny"),
    ("PIV_CONFIRM_CHANNEL", "Page", "page"),
    ("PIV_LOG_LEVEL", "warning", "WARNING"),
    ("PIV_LOG_FORMAT", "TEXT", "text"),
    ("PIV_TOOLSETS", "Inbox", ("inbox",)),
    ("PIV_WEBHOOK_HOST", "localhost", "localhost"),
    ("PIV_BASE_URL", "https://piv.example/api", "https://piv.example/api"),
    ("PIV_DATA_DIR", "/data", Path("/data")),
    ("PIV_STORE_URL", "sqlite:////data/x", SecretStr("sqlite:////data/x")),
]


@pytest.mark.parametrize("around", ["{} ", "\t{}\r\n", '"{}"', "' {} '", "\ufeff{}"])
@pytest.mark.parametrize(("name", "value", "expected"), TIDY_SETTINGS)
def test_white_space_case_and_quotes_around_any_setting_mean_nothing(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: object, around: str
) -> None:
    monkeypatch.setenv(name, around.format(value))
    assert getattr(load(), name.removeprefix("PIV_").lower()) == expected


@pytest.mark.parametrize("empty", ["", "  ", "\n", '""', "' '"])
@pytest.mark.parametrize("name", list(Settings.model_fields))
def test_an_empty_setting_is_not_set(monkeypatch: pytest.MonkeyPatch, name: str, empty: str) -> None:
    monkeypatch.setenv(f"PIV_{name.upper()}", empty)
    assert load() == load(**{name: empty})
    assert load().model_fields_set == set()
    if name == "spend_mode":
        monkeypatch.setenv("PIV_SPEND_MODE", "deny")
        assert load(spend_mode=empty).spend_mode == "deny", "an empty flag leaves the variable"


@pytest.mark.parametrize("around", ["{}", ' "{}"\n'])
@pytest.mark.parametrize("name", ASKED_BY_EXTENSION)
def test_a_field_of_the_extension_that_nobody_filled_in_is_not_set(
    monkeypatch: pytest.MonkeyPatch, name: str, around: str
) -> None:
    monkeypatch.setenv(f"PIV_{name.upper()}", around.format(f"${{user_config.{name}}}"))
    assert getattr(load(), name) == Settings.model_fields[name].default


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("~", ""),
        ("~/piv", "piv"),
        ("$HOME/piv", "piv"),
        ("${HOME}/piv", "piv"),
        ("${env:HOME}/piv", "piv"),
        ("%HOME%/piv", "piv"),
        (' "$HOME/a b" ', "a b"),
        ("$HOME/../someone/piv/", "../someone/piv"),
    ],
)
def test_a_path_means_the_same_wherever_the_client_starts_us(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, written: str, meant: str
) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setenv("PIV_DATA_DIR", written)
    found: set[Path] = set()
    for folder in (tmp_path, Path("/")):
        monkeypatch.chdir(folder)
        found.add(load().directory)
    assert found == {Path("/home/someone", meant)}


@settings(max_examples=50)
@given(st.text(min_size=1, max_size=30).filter(tidied))
def test_any_text_is_a_path_that_is_absolute_or_refused_without_being_shown(text: str) -> None:
    found = outcome(lambda: load(data_dir=text).directory)
    assert isinstance(found, str) or found.is_absolute()
    assert not isinstance(found, str) or found.startswith("refused: PIV_DATA_DIR: ")
    assert not isinstance(found, str) or len(text) < 8 or text not in found


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe", b"two words"])
def test_a_key_file_without_a_key_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    monkeypatch.setenv("PIV_API_KEY_FILE", str(file))
    with pytest.raises(ConfigError, match="PIV_API_KEY_FILE"):
        load()


def test_no_secret_shows_in_the_settings_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIV_API_KEY", KEY)
    monkeypatch.setenv("PIV_WEBHOOK_SECRET", "webhook-secret-0123")
    settings = load()
    shown = f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"
    assert KEY not in shown
    assert "webhook-secret-0123" not in shown


def test_settings_do_not_change_after_the_start() -> None:
    with pytest.raises(ValidationError):
        load().sandbox = True  # pyright: ignore[reportAttributeAccessIssue]


def test_a_flag_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIV_INBOX_DAYS", "7")
    assert load(inbox_days="9").inbox_days == 9
    assert load(inbox_days=None).inbox_days == 7


def test_secrets_are_no_flags() -> None:
    assert {"api_key", "webhook_secret", "store_url", "store_direct_url", "store_from", "notify"} == ENVIRONMENT_ONLY
    assert set(Settings.model_fields) >= ENVIRONMENT_ONLY


@pytest.mark.parametrize(
    ("store_url", "expected"),
    [
        (None, "/data/store.sqlite3"),
        ("sqlite:////elsewhere/x.db", "/elsewhere/x.db"),
        ("sqlite:///$HOME/x.db", "/home/someone/x.db"),
    ],
)
def test_the_store_is_in_the_data_directory_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, store_url: str | None, expected: str
) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    assert load(store_url=store_url).store_path(Path("/data")) == Path(expected)


# The key's usual file


def test_a_key_in_the_data_directory_is_used_where_none_is_given(data_dir: Path, tmp_path: Path) -> None:
    data_dir.mkdir()
    assert load(data_dir=str(data_dir)).api_key is None
    (data_dir / "api-key").write_text("pk-usual-0123456789\n")
    assert secret_of(load(data_dir=str(data_dir))) == "pk-usual-0123456789"
    assert load(data_dir=str(data_dir), sandbox="true").api_key is None
    other = tmp_path / "other"
    other.write_text("pk-other-0123456789")
    assert secret_of(load(data_dir=str(data_dir), api_key_file=str(other))) == "pk-other-0123456789"


def test_a_key_of_the_environment_comes_before_the_usual_file(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data_dir.mkdir()
    (data_dir / "api-key").write_text("not one key\nbut two\n")
    monkeypatch.setenv("PIV_API_KEY", "pk-environment-01")
    assert secret_of(load(data_dir=str(data_dir))) == "pk-environment-01"
    monkeypatch.delenv("PIV_API_KEY")
    with pytest.raises(ConfigError, match="api-key in the data directory the key in it holds several lines"):
        load(data_dir=str(data_dir))


def secret_of(settings: Settings) -> str:
    assert settings.api_key is not None
    return settings.api_key.get_secret_value()


def test_every_area_that_costs_money_can_be_limited_and_no_other() -> None:
    assert {action.area for action in ACTIONS.values()} == set(get_args(PaidArea))
