"""Settings: read once at start from the `PIV_*` variables and the command line, then frozen.

An invalid value stops the start with a `ConfigError`. The message names the variable and never repeats the value,
since that may be a secret that was put in the wrong variable.
"""

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from piv_mcp.api.credentials import checked_base_url, checked_key
from piv_mcp.errors import ConfigError
from piv_mcp.text.guessable import checked_secret

Area = Literal["account", "numbers", "proxies", "domains", "whites", "inbox", "spending"]
TOOLSETS: tuple[Area, ...] = get_args(Area)

Effect = Literal["read", "write", "spend"]
"""What a tool does: `write` changes something and costs nothing, `spend` costs money."""


class Settings(BaseSettings):
    """The settings of one process. docs/settings.md and server.json are generated from these fields, in this order."""

    model_config = SettingsConfigDict(
        env_prefix="PIV_", env_ignore_empty=True, frozen=True, extra="forbid", hide_input_in_errors=True
    )

    api_key: SecretStr | None = Field(None, description="the account's API key (environment only)")
    api_key_file: Path | None = Field(None, description="a file that holds the key, read when PIV_API_KEY is not set")
    base_url: str = Field("https://app.piv.day/api/v1", description="where the API is")
    sandbox: bool = Field(False, description="use the built-in sandbox instead of the API")
    data_dir: Path | None = Field(None, description="store and secrets; default: the per-user data directory")
    store_url: str | None = Field(
        None, description="where events and the journal live; default: SQLite in the data dir"
    )
    webhook_host: str = Field("127.0.0.1", description="address of the local web app")
    webhook_port: Annotated[int, Field(ge=0, le=65535)] = Field(8787, description="port of the local web app; 0 = off")
    webhook_secret: SecretStr | None = Field(
        None,
        description="last path segment of the webhook URL; default: made once and kept (environment only)",
    )
    spend_mode: Literal["ask", "budget", "deny"] = Field("ask", description="who approves spending")
    auto_approve_max: Annotated[Decimal, Field(ge=0)] = Field(
        Decimal(0), description="budget mode: dollars per action without a question"
    )
    daily_budget: Annotated[Decimal, Field(ge=0)] = Field(
        Decimal(0), description="budget mode: dollars per rolling 24 hours without a question"
    )
    confirm_channel: Literal["auto", "elicit", "page"] = Field("auto", description="how the person is asked")
    confirm_wait: Annotated[float, Field(ge=0, le=600)] = Field(
        45, description="seconds a call waits for an approval before it answers approval_required"
    )
    confirm_destructive: bool = Field(True, description="ask before deletions and other lasting changes too")
    read_only: bool = Field(False, description="leave out every tool that changes anything")
    toolsets: Annotated[tuple[Area, ...], NoDecode] = Field(
        TOOLSETS, description="areas to offer, comma-separated, or all"
    )
    inbox_days: Annotated[int, Field(ge=1, le=3650)] = Field(30, description="days that events are kept")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="minimum level to log")
    log_format: Literal["json", "text"] = Field("json", description="log format (on stderr)")

    @field_validator("toolsets", mode="before")
    @classmethod
    def _split_toolsets(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        words = [word.strip().lower() for word in value.split(",") if word.strip()]
        return (
            TOOLSETS
            if words in ([], ["all"])
            else tuple(area for area in TOOLSETS if area in words)
            + tuple(word for word in words if word not in TOOLSETS)
        )

    @field_validator("log_level", "spend_mode", "confirm_channel", "log_format", mode="before")
    @classmethod
    def _fold_case(cls, value: object, info: Any) -> object:
        if not isinstance(value, str):
            return value
        return value.strip().upper() if info.field_name == "log_level" else value.strip().lower()

    @field_validator("base_url")
    @classmethod
    def _check_base_url(cls, value: str) -> str:
        return checked_base_url(value.strip())

    @field_validator("api_key")
    @classmethod
    def _check_api_key(cls, value: SecretStr | None) -> SecretStr | None:
        return None if value is None else SecretStr(checked_key(value.get_secret_value().strip()))

    @field_validator("webhook_secret")
    @classmethod
    def _check_webhook_secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            checked_secret(value.get_secret_value())
        return value

    @field_validator("store_url")
    @classmethod
    def _check_store_url(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith("sqlite:///"):
            raise ValueError("must be sqlite:///path/to/file")
        return value

    @model_validator(mode="after")
    def _read_key_file(self) -> "Settings":
        if self.api_key_file is not None and self.api_key is None:
            try:
                key = self.api_key_file.expanduser().read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise ValueError(f"PIV_API_KEY_FILE cannot be read ({type(error).__name__})") from None
            try:
                object.__setattr__(self, "api_key", SecretStr(checked_key(key)))
            except ValueError as error:
                raise ValueError(f"PIV_API_KEY_FILE: the key in it {error}") from None
        return self

    @property
    def directory(self) -> Path:
        """The data directory."""
        if self.data_dir is not None:
            return self.data_dir.expanduser()
        from platformdirs import user_data_path  # late: it costs start-up time, and is not needed with PIV_DATA_DIR

        return user_data_path("piv-mcp", appauthor=False)

    def offers(self, area: Area | None, effect: Effect) -> bool:
        """Whether a tool of this area and effect is offered. Tools without an area belong to the sandbox."""
        if self.read_only and effect != "read":
            return False
        if area is None:
            return self.sandbox
        return area in self.toolsets and not (effect == "spend" and self.spend_mode == "deny")

    def store_path(self, directory: Path) -> Path:
        """The store's file: the one of `store_url`, else one in `directory`."""
        return (
            Path(self.store_url.removeprefix("sqlite:///")).expanduser()
            if self.store_url
            else directory / "store.sqlite3"
        )


# These are secrets, so they have no flags: every process of the machine can read a command line.
ENVIRONMENT_ONLY = frozenset({"api_key", "webhook_secret"})


def load(**flags: object) -> Settings:
    """Settings from the environment, overridden by `flags` that are not None.

    Raises:
        ConfigError: a value is missing or invalid; the message names its variable.
    """
    try:
        return Settings(**{name: value for name, value in flags.items() if value is not None})  # pyright: ignore[reportArgumentType]
    except ValidationError as error:
        raise ConfigError("; ".join(_problem(item["loc"], item["msg"]) for item in error.errors())) from None


def _problem(location: tuple[int | str, ...], message: str) -> str:
    message = message.removeprefix("Value error, ")
    return f"PIV_{str(location[0]).upper()}: {message}" if location else message
