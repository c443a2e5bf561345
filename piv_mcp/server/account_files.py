"""The accounts of a server for many: one key file each, as secrets are mounted."""

import stat
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from piv_mcp.api.credentials import read_key_file
from piv_mcp.config import Settings
from piv_mcp.text.guessable import checked_secret
from piv_mcp.text.untrusted import one_line

WEBHOOK_FILE = ".webhook"
"""Beside the key file NAME, NAME.webhook holds the account's webhook secret."""

ONLY = "the one of PIV_API_KEY"
"""The name of the account where there is no directory of accounts."""

MAX_SECRET_BYTES = 4096


@dataclass(frozen=True, slots=True)
class AccountFile:
    """An account as its files name it: the name is an alias. `key` is None for the sandbox alone; `webhook_secret` is
    None if the store is to hold one."""

    name: str
    key: SecretStr | None
    webhook_secret: SecretStr | None

    def settings(self, settings: Settings) -> Settings:
        """The server's settings, for this account."""
        return settings.model_copy(update={"api_key": self.key, "webhook_secret": self.webhook_secret})


def read_accounts(settings: Settings) -> tuple[list[AccountFile], dict[str, str]]:
    """(the accounts by name, what is wrong with the others by name). A bad file stops none of the others."""
    if settings.accounts_dir is None or settings.sandbox:
        there = settings.sandbox or settings.api_key is not None
        return [AccountFile(ONLY, settings.api_key, settings.webhook_secret)] if there else [], {}
    found: list[AccountFile] = []
    problems: dict[str, str] = {}
    try:
        files = sorted(settings.accounts_dir.iterdir())
    except OSError as error:
        return [], {"PIV_ACCOUNTS_DIR": f"cannot be read ({error.strerror or type(error).__name__})"}
    for file in files:
        # A mounted secret is a link to `..data/NAME`, beside `..data` and the folder that this leads to.
        if file.name.startswith(".") or file.suffix == WEBHOOK_FILE or file.is_dir():
            continue
        try:
            _require_file(file)
            found.append(AccountFile(file.name, SecretStr(read_key_file(file)), _webhook_secret(file)))
        except ValueError as error:
            problems[one_line(file.name, 100)] = str(error)
    return found, problems


def _webhook_secret(key_file: Path) -> SecretStr | None:
    """Raises `ValueError`, which repeats nothing of the secret."""
    file = key_file.with_name(key_file.name + WEBHOOK_FILE)
    if not file.exists():
        return None
    try:
        _require_file(file)
        with file.open("rb") as opened:
            text = opened.read(MAX_SECRET_BYTES).decode("ascii", "replace")
        return SecretStr(checked_secret(text.strip()))
    except (OSError, ValueError) as error:
        problem = f"cannot be read ({error.strerror})" if isinstance(error, OSError) else str(error)
        raise ValueError(f"is not used, since its {WEBHOOK_FILE} file {problem}") from None


def _require_file(path: Path) -> None:
    """Raises `ValueError` for what would keep us waiting, such as a pipe."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror})") from None
    if not stat.S_ISREG(mode):
        raise ValueError("is no file")
