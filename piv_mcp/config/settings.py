"""Settings: read once at start from the `PIV_*` variables and the command line, then frozen.

An invalid value stops the start with a `ConfigError`. The message names the variable and never repeats the value,
since that may be a secret that was put in the wrong variable.
"""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from piv_mcp.api.credentials import (
    checked_base_url,
    checked_issuer,
    checked_origin,
    checked_relying_party,
    parse_key,
    read_key_file,
)
from piv_mcp.config.places import default_directory, former_directories
from piv_mcp.config.values import (
    absolute_path,
    amounts_by_area,
    language_of,
    networks,
    split,
    words,
)
from piv_mcp.errors import ConfigError
from piv_mcp.text.guessable import checked_secret
from piv_mcp.text.language import Code
from piv_mcp.text.tidy import is_placeholder, tidied

Area = Literal["account", "numbers", "proxies", "domains", "whites", "inbox", "spending"]
TOOLSETS: tuple[Area, ...] = get_args(Area)

PaidArea = Literal["numbers", "proxies", "domains", "whites"]
"""An area with actions that cost money."""

Dollars = Annotated[Decimal, Field(ge=0, le=1_000_000_000, decimal_places=6)]
"""An amount of a setting: beyond these bounds are texts of a million digits, and sums that nobody can reckon."""

Effect = Literal["read", "write", "spend"]
"""What a tool does: `write` changes something and costs nothing, `spend` costs money."""

SpendMode = Literal["ask", "budget", "deny"]
"""Who approves spending: the person each time, a budget, nobody."""

Notified = Literal["approval", "charge", "expiry", "balance", "webhook", "code", "message"]
"""What the person can be told of while they look at nothing."""

# These are secrets, or can hold one, so they have no flags: every process of the machine can read a command line.
ENVIRONMENT_ONLY = frozenset({"api_key", "webhook_secret", "store_url", "store_direct_url", "store_from", "notify"})

PATHS = frozenset({"api_key_file", "data_dir", "store_password_file", "accounts_dir"})
"""Settings that are paths. `store_url` can hold one, too."""

SQLITE = "sqlite:///"
POSTGRESQL = ("postgresql://", "postgres://")
STORE_FILE = "store.sqlite3"
KEY_FILE = "api-key"

ASKED_BY_EXTENSION = ("api_key", "sandbox", "spend_mode", "auto_approve_max", "daily_budget", "read_only")
"""The settings that the extension for Claude Desktop asks for."""

MIN_KEY = 12
"""Characters. A shorter key is part of ordinary text, so that it is not looked for in other settings."""


def _toolsets(value: object) -> object:
    """The areas in the order that they have everywhere, then what is none."""
    if not isinstance(value, str):
        return value
    found = split(value)
    if found in ((), ("all",)):
        return TOOLSETS
    return tuple(area for area in TOOLSETS if area in found) + tuple(word for word in found if word not in TOOLSETS)


class Settings(BaseSettings):
    """The settings of one process. docs/settings.md and server.json are generated from these fields, in this order."""

    model_config = SettingsConfigDict(
        env_prefix="PIV_", env_ignore_empty=True, frozen=True, extra="forbid", hide_input_in_errors=True
    )

    api_key: SecretStr | None = Field(None, description="the account's API key (environment only)")
    api_key_file: Path | None = Field(
        None,
        description="a file that holds the key, read when PIV_API_KEY is not set; default: api-key in the data dir",
    )
    base_url: str = Field("https://app.piv.day/api/v1", description="where the API is")
    sandbox: bool = Field(False, description="use the built-in sandbox instead of the API")
    data_dir: Path | None = Field(None, description="store and secrets; default: the per-user data directory")
    store_url: SecretStr | None = Field(
        None,
        description="sqlite:////path/to/file or postgresql://...; default: SQLite in the data dir (environment only)",
    )
    store_direct_url: SecretStr | None = Field(
        None,
        description="the database itself, where PIV_STORE_URL leads through a pooler (environment only)",
    )
    store_password_file: Path | None = Field(
        None, description="a file that holds the database's password, read at each connection"
    )
    store_from: SecretStr | None = Field(
        None,
        description="what `piv-mcp store copy` copies; default: the file in the data dir (environment only)",
    )
    webhook_host: str = Field("127.0.0.1", description="address of the local web app")
    webhook_port: Annotated[int, Field(ge=0, le=65535)] = Field(8787, description="port of the local web app; 0 = off")
    webhook_secret: SecretStr | None = Field(
        None,
        description="last path segment of the webhook URL; default: made once and kept (environment only)",
    )
    transport: Literal["stdio", "http"] = Field("stdio", description="one person over stdio, or agents over HTTP")
    http_host: str = Field("127.0.0.1", description="HTTP: address to listen on")
    http_port: Annotated[int, Field(ge=0, le=65535)] = Field(8788, description="HTTP: port to listen on")
    public_url: str | None = Field(
        None, description="HTTP: the outside address, such as https://mcp.example.com; Host and Origin must name it"
    )
    trusted_proxies: Annotated[tuple[str, ...] | None, NoDecode, BeforeValidator(words), AfterValidator(networks)] = (
        Field(
            None, description="HTTP: addresses or networks of proxies whose X-Forwarded headers count, comma-separated"
        )
    )
    accounts_dir: Path | None = Field(
        None, description="HTTP: a directory with one key file per account, and its webhook secret in NAME.webhook"
    )
    oauth_issuer: str | None = Field(
        None, description="HTTP: the identity provider whose tokens count, beside those of agents"
    )
    oauth_audience: str | None = Field(
        None, description="HTTP: the audience of its tokens for this server; default: PIV_PUBLIC_URL with /mcp"
    )
    spend_mode: SpendMode = Field("ask", description="who approves spending")
    auto_approve_max: Dollars = Field(Decimal(0), description="budget mode: dollars per action without a question")
    daily_budget: Dollars = Field(
        Decimal(0), description="budget mode: dollars per rolling 24 hours without a question"
    )
    budgets: Annotated[dict[PaidArea, Dollars] | None, NoDecode, BeforeValidator(amounts_by_area)] = Field(
        None, description="budget mode: dollars per rolling 24 hours by area, such as numbers=5,domains=20"
    )
    confirm_channel: Literal["auto", "elicit", "page"] = Field("auto", description="how the person is asked")
    confirm_wait: Annotated[float, Field(ge=0, le=600)] = Field(
        45, description="seconds a call waits for an approval before it answers approval_required"
    )
    confirm_destructive: bool = Field(True, description="ask before deletions and other lasting changes too")
    read_only: bool = Field(False, description="leave out every tool that changes anything")
    toolsets: Annotated[tuple[Area, ...], NoDecode, BeforeValidator(_toolsets)] = Field(
        TOOLSETS, description="areas to offer, comma-separated, or all"
    )
    language: Annotated[Code | None, BeforeValidator(language_of)] = Field(
        None, description="language of the person's pages and questions: en, zh-Hans or ru; default: the browser's"
    )
    console_url: str | None = Field(
        None, description="HTTP: the address of the person's console, such as https://piv.example.com; passkeys need it"
    )
    console_host: str = Field("127.0.0.1", description="HTTP: address on which the console listens")
    console_port: Annotated[int, Field(ge=0, le=65535)] = Field(8789, description="HTTP: port of the console")
    notify: SecretStr | None = Field(
        None, description="where the person is told, as addresses of Apprise with spaces between (environment only)"
    )
    notify_events: Annotated[tuple[Notified, ...], NoDecode, BeforeValidator(words)] = Field(
        ("approval", "charge", "expiry", "balance", "webhook"),
        description="what they are told of, comma-separated; code and message are the others",
    )
    notify_balance: Dollars = Field(Decimal(5), description="dollars below which the balance is told as low")
    inbox_days: Annotated[int, Field(ge=1, le=3650)] = Field(30, description="days that events are kept")
    metrics_host: str = Field("127.0.0.1", description="address of the metrics for Prometheus")
    metrics_port: Annotated[int, Field(ge=0, le=65535)] = Field(
        0, description="port of the metrics, never a public one; 0 = off (needs the extra `server`)"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="minimum level to log")
    log_format: Literal["json", "text"] = Field("json", description="log format (on stderr)")

    @model_validator(mode="before")
    @classmethod
    def _tidy(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Without what shells and clients leave around a value, and without the values that nobody gave."""
        # The key has a parser of its own, since its file can hold several lines.
        tidy = {
            name: tidied(value) if isinstance(value, str) and name != "api_key" else value
            for name, value in values.items()
        }
        return {
            name: value for name, value in tidy.items() if not (isinstance(value, str) and _is_left_empty(name, value))
        }

    @field_validator("*", mode="before")
    @classmethod
    def _read_text(cls, value: object, info: ValidationInfo) -> object:
        name = info.field_name or ""
        if not isinstance(value, str) or name in (ENVIRONMENT_ONLY - {"webhook_secret"}):
            return value
        if name in PATHS:
            return absolute_path(value)
        if is_placeholder(value):
            raise ValueError("holds a placeholder that the client did not fill in")
        field = cls.model_fields[name]
        if get_origin(field.annotation) is Literal:
            return next((known for known in get_args(field.annotation) if known.lower() == value.lower()), value)
        return value

    @field_validator("console_url")
    @classmethod
    def _check_console_url(cls, value: str | None) -> str | None:
        return None if value is None else checked_relying_party(value)

    @field_validator("public_url")
    @classmethod
    def _check_public_url(cls, value: str | None) -> str | None:
        return None if value is None else checked_origin(value)

    @field_validator("oauth_issuer")
    @classmethod
    def _check_issuer(cls, value: str | None) -> str | None:
        return None if value is None else checked_issuer(value)

    @field_validator("base_url")
    @classmethod
    def _check_base_url(cls, value: str) -> str:
        return checked_base_url(value)

    @field_validator("api_key")
    @classmethod
    def _check_api_key(cls, value: SecretStr | None) -> SecretStr | None:
        return None if value is None else SecretStr(parse_key(value.get_secret_value()))

    @field_validator("webhook_secret")
    @classmethod
    def _check_webhook_secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            checked_secret(value.get_secret_value())
        return value

    @field_validator("store_url")
    @classmethod
    def _check_store_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        url = value.get_secret_value()
        if is_postgresql(url):
            return value
        scheme, path = url[: len(SQLITE)], url[len(SQLITE) :]
        if scheme.lower() != SQLITE or not path:
            raise ValueError("must be sqlite:////path/to/file or postgresql://user@host:port/database")
        return SecretStr(f"{SQLITE}{absolute_path(path)}")

    @field_validator("store_from")
    @classmethod
    def _check_store_from(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and is_postgresql(value.get_secret_value()):
            raise ValueError("must be sqlite:////path/to/file")
        return cls._check_store_url(value)

    @field_validator("store_direct_url")
    @classmethod
    def _check_store_direct_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not is_postgresql(value.get_secret_value()):
            raise ValueError("must be postgresql://user@host:port/database")
        return value

    @model_validator(mode="after")
    def _read_key_file(self) -> "Settings":
        file = self.key_file if self.api_key is None else None
        if file is not None and (self.api_key_file is not None or file.exists()):
            try:
                object.__setattr__(self, "api_key", SecretStr(read_key_file(file)))
            except ValueError as error:
                name = "PIV_API_KEY_FILE" if self.api_key_file else f"{KEY_FILE} in the data directory"
                raise ValueError(f"{name} {error}") from None
        return self

    @model_validator(mode="after")
    def _refuse_key_elsewhere(self) -> "Settings":
        """Other settings are shown in messages, and the webhook secret is in the address that piv.day calls."""
        key = self.api_key.get_secret_value() if self.api_key is not None else ""
        for name in type(self).model_fields:
            value: object = getattr(self, name)
            text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
            if name != "api_key" and len(key) >= MIN_KEY and key in text:
                raise ValueError(f"PIV_{name.upper()} holds the API key, which belongs into PIV_API_KEY alone")
        return self

    @property
    def directory(self) -> Path:
        """The data directory.

        Raises:
            ConfigError: none is set, and the home directory is not known.
        """
        return self.data_dir or default_directory()

    @property
    def key_file(self) -> Path | None:
        """The file in which the key is or belongs: the given one, else one in the data directory, or where an earlier
        version has it. None for the sandbox, or if the home directory is not known."""
        if self.api_key_file is not None or self.sandbox:
            return self.api_key_file
        try:
            places = [self.directory, *former_directories()]
        except ConfigError:
            return None
        return next((place / KEY_FILE for place in places if (place / KEY_FILE).exists()), places[0] / KEY_FILE)

    def store_path(self, directory: Path) -> Path:
        """The store's file, unless it is in a database: the one of `store_url`, else one in `directory`."""
        return _file(None if self.is_shared else self.store_url, directory)

    def source_path(self, directory: Path) -> Path:
        """The file that is copied into a database: the one of `store_from`, else one in `directory`."""
        return _file(self.store_from, directory)

    @property
    def is_shared(self) -> bool:
        """Whether the store is in PostgreSQL, which servers on other machines can share."""
        return self.store_url is not None and is_postgresql(self.store_url.get_secret_value())


def _file(url: SecretStr | None, directory: Path) -> Path:
    return directory / STORE_FILE if url is None else Path(url.get_secret_value().removeprefix(SQLITE))


def is_postgresql(url: str) -> bool:
    return url.lower().startswith(POSTGRESQL)


def _is_left_empty(name: str, text: str) -> bool:
    """Whether nobody gave a value. Claude Desktop passes the placeholder of a field that was left empty."""
    text = tidied(text)
    return not text or (name in ASKED_BY_EXTENSION and text == f"${{user_config.{name}}}")


def load(**flags: object) -> Settings:
    """Settings from the environment, overridden by `flags` that are not None.

    Raises:
        ConfigError: a value is missing or invalid; the message names its variable.
    """
    try:
        given = {
            name: value for name, value in flags.items() if value is not None and not _is_left_empty(name, str(value))
        }
        return Settings(**given)  # pyright: ignore[reportArgumentType]
    except ValidationError as error:
        raise ConfigError("; ".join(_problem(item["loc"], item["msg"]) for item in error.errors())) from None


def load_without_key(**flags: object) -> Settings:
    """`load` for what must not fail for want of a key: without one, if it cannot be read.

    Raises:
        ConfigError: another value is missing or invalid.
    """
    try:
        return load(**flags)
    except ConfigError:
        settings = load(**{**flags, "api_key": "unread"})  # so that no file is read for it
        return settings.model_copy(update={"api_key": None})


def absolute_paths(flags: Mapping[str, object], folder: Path) -> dict[str, object]:
    """The flags, with relative paths taken from `folder`: what a person types means the folder that they are in."""

    def absolute(name: str, value: object) -> object:
        if not isinstance(value, str) or name not in PATHS:
            return value
        path = tidied(value)
        return value if path[:1] in ("", "~", "$", "%") else str(folder / path)

    return {name: absolute(name, value) for name, value in flags.items()}


def _problem(location: tuple[int | str, ...], message: str) -> str:
    message = message.removeprefix("Value error, ")
    return f"PIV_{str(location[0]).upper()}: {message}" if location else message
