"""What `doctor` finds, and its checks of what surrounds the program: variables, files, and who can read them."""

import difflib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from piv_mcp.api.route import proxy_rules, trusted
from piv_mcp.config import Settings
from piv_mcp.errors import ConfigError
from piv_mcp.store.directory import TWO_STORES, find_directory, risks, second_stores

_WRITE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check. `do` is the advice to the person."""

    what: str
    ok: bool
    state: str
    do: str | None = None


def unknown_settings(settings: Settings, environment: Mapping[str, str] = os.environ) -> Finding | None:
    """Variables that look like settings and are none: a misspelt one has no effect."""
    known = [f"PIV_{name.upper()}" for name in type(settings).model_fields]
    unknown = sorted(name for name in environment if name.upper().startswith("PIV_") and name.upper() not in known)
    if not unknown:
        return None
    close = [f"{name} (is it {match[0]}?)" for name in unknown if (match := difflib.get_close_matches(name, known, 1))]
    others = [name for name in unknown if not difflib.get_close_matches(name, known, 1)]
    return Finding("settings", False, f"no such setting: {', '.join(close + others)}", "correct or remove it")


def proxy(settings: Settings) -> Finding | None:
    rules = proxy_rules()
    choice = rules.choose(settings.base_url)
    route = f"requests to piv.day go through the proxy of {choice.variable}" if choice else "piv.day is asked directly"
    if rules.problems:
        return Finding("proxy", False, f"{'; '.join(rules.problems)}; {route}", "correct or remove the variable")
    return Finding("proxy", True, route) if rules.proxies else None


def certificates(settings: Settings, environment: Mapping[str, str] = os.environ) -> Finding | None:
    """Those that the environment names. `REQUESTS_CA_BUNDLE` and the like are read by other programs alone."""
    given = [name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE") if environment.get(name)]
    others = [name for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE") if environment.get(name)]
    if not given:
        advice = f"set SSL_CERT_FILE to the same file: {others[0]} is not read" if others else None
        return Finding("certificates", True, "certifi's", advice) if others else None
    try:
        trusted(environment)
    except ConfigError as error:
        return Finding("certificates", False, error.message, error.hint)
    return Finding("certificates", True, f"as {given[0]} says")


def key_file(settings: Settings) -> Finding | None:
    """Whether others can read the file with the API key."""
    path = settings.key_file
    if path is None or os.name != "posix" or (settings.api_key_file is None and not path.exists()):
        return None
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        return Finding("API key file", False, f"it cannot be read ({error.strerror})", "correct PIV_API_KEY_FILE")
    if not mode & (stat.S_IRGRP | stat.S_IROTH):
        return Finding("API key file", True, "readable for its owner alone")
    if _is_mounted(path, mode):
        return Finding("API key file", True, f"mode {mode:04o}, as a container mounts it for all of its users")
    return Finding("API key file", False, f"other users can read it (mode {mode:04o})", "chmod 600 the file")


def _is_mounted(path: Path, mode: int) -> bool:
    """Whether a container's runtime provides the file: by a link, or so that nobody can write it."""
    return path.is_symlink() or not mode & _WRITE or path.parts[1:2] == ("run",) or path.parts[1:3] == ("var", "run")


def data_directory(settings: Settings) -> Finding | None:
    try:
        directory = find_directory(settings, [])
        found = risks(directory) if directory.exists() else []
    except ConfigError as error:
        return Finding("data directory", False, error.message, error.hint)
    except OSError as error:
        return Finding("data directory", False, f"{error.filename}: {error.strerror}", "set PIV_DATA_DIR")
    if found:
        problems, advice = [risk.problem for risk in found], dict.fromkeys(risk.do for risk in found)
        return Finding("data directory", False, "; ".join(problems), ". ".join(advice))
    return None


def second_store(settings: Settings) -> Finding | None:
    found = second_stores(settings)
    if not found:
        return None
    return Finding("second store", False, f"not used: {', '.join(map(str, found))}", TWO_STORES)
