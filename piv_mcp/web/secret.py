"""The webhook secret, which is kept in a file of the data directory unless it is set."""

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

import structlog

from piv_mcp.config import Settings
from piv_mcp.errors import ConfigError, StoreError
from piv_mcp.store import Store, facts, servers
from piv_mcp.store.files import locked
from piv_mcp.text.guessable import checked_secret

SECRET_FILE = "webhook-secret"  # noqa: S105 - the name of a file

KEY_LENGTH = 12
"""Characters of a key's digest in the name of a file."""

_log = structlog.get_logger(__name__)


async def webhook_secret(settings: Settings, directory: Path, store: Store) -> str:
    """The secret path segment: as set, or made once for the account whose store it is.

    Raises:
        ConfigError: the secret in the file can be guessed.
        OSError: the file cannot be read or written.
    """
    if settings.webhook_secret is not None:
        return settings.webhook_secret.get_secret_value()
    path = await _file(directory, store)
    try:
        return checked_secret(kept_secret(path))
    except ValueError as error:  # somebody wrote one of their own into the file
        raise ConfigError(f"{path}: the secret in it {error}", hint="Delete it: a new one is made") from None


async def shared_secret(settings: Settings, store: Store) -> str:
    """The secret path segment of an account whose servers may run on many machines: as set, or made once in the store.

    Raises:
        StoreError: the store cannot be read or written.
    """
    if settings.webhook_secret is not None:
        return settings.webhook_secret.get_secret_value()
    return await store.write(facts.made_once_own, facts.WEBHOOK_SECRET, secrets.token_urlsafe(24))


async def _file(directory: Path, store: Store) -> Path:
    """The first account of the data directory has the plain file, each other one a file of its own.

    The store says whose the plain file is. A file of one's own bears the digest of a key, and so outlasts a store that
    is lost.
    """
    plain = directory / SECRET_FILE
    with suppress(StoreError):  # then it says later whose the secret is, before the first event
        keys = await store.read(servers.key_digests)
        files = [directory / f"{SECRET_FILE}-{key[:KEY_LENGTH]}" for key in keys]
        own = [file for file in files if file.exists()]
        secret = servers.digest(kept_secret(plain))
        owned = await store.read(servers.owns, secret) or (not own and await store.write(servers.claim, secret))
        if files and not owned:
            return [*own, *files][0]
    return plain


def kept_secret(path: Path) -> str:
    """The secret in this file, made once by whichever process comes first.

    Raises:
        OSError: the file cannot be read or written, for example on a full disk. Nothing half is left.
    """
    if secret := _read_secret(path):
        return secret
    with locked(path):
        if secret := _read_secret(path):
            return secret
        secret = secrets.token_urlsafe(24)
        _write_private(path, secret)
        return secret


def _read_secret(path: Path) -> str:
    """The secret; empty if there is none. An empty file is what 0.1.0 left on a full disk."""
    try:
        secret = path.read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        return ""
    if secret:
        _close(path)
    return secret


def _write_private(path: Path, content: str) -> None:
    """Write a file that only its owner can read, completely or not at all."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def _close(path: Path) -> None:
    """Make a secret private again, for example after a copy that gave it the usual mode."""
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        path.chmod(0o600)
        _log.warning("a secret could be read by others: it is private now", file=str(path))
