"""Settings: what may be set, what is refused by name, and that no value is ever repeated."""

from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import ValidationError

from piv_mcp.config import ENVIRONMENT_ONLY, TOOLSETS, Settings, load
from piv_mcp.errors import ConfigError

KEY = "sk-0123456789-abcdef"


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
        ("PIV_CONFIRM_CHANNEL", "hunter2"),
        ("PIV_CONFIRM_WAIT", "7777"),
        ("PIV_TOOLSETS", "numbers,hunter2"),
        ("PIV_INBOX_DAYS", "0"),
        ("PIV_LOG_LEVEL", "hunter2"),
        ("PIV_LOG_FORMAT", "hunter2"),
        ("PIV_STORE_URL", "postgres://hunter2@somewhere/x"),
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
    assert {"api_key", "webhook_secret"} == ENVIRONMENT_ONLY
    assert set(Settings.model_fields) >= ENVIRONMENT_ONLY


@pytest.mark.parametrize(
    ("store_url", "expected"),
    [(None, "/data/store.sqlite3"), ("sqlite:////elsewhere/x.db", "/elsewhere/x.db"), ("sqlite:///x.db", "x.db")],
)
def test_the_store_is_in_the_data_directory_unless_told_otherwise(store_url: str | None, expected: str) -> None:
    assert load(store_url=store_url).store_path(Path("/data")) == Path(expected)
