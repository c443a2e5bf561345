"""How others start this very piv-mcp: clients, and the system's services."""

import json
import os
import shutil
import sys
from collections.abc import Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import unquote, urlsplit

from piv_mcp import __version__
from piv_mcp.config import ENVIRONMENT_ONLY, Settings
from piv_mcp.errors import ConfigError

PACKAGE = "piv-mcp"
_CACHE_TAG = "CACHEDIR.TAG"
_OTHER_INDEXES = (
    "UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_NO_INDEX"
)  # fmt: skip
"""With one of these, uvx has found the package where a client's uvx does not look."""


def command(environment: Mapping[str, str] = os.environ, prefix: Path | None = None) -> tuple[str, ...]:
    """The command that starts this installation, and never another package of its name.

    Its path is absolute, since programs of the desktop do not have the shell's PATH. A path in a cache (uvx, pipx run)
    would break when the cache is emptied: uvx is started again there, with just what it was started with.

    Raises:
        ConfigError: this installation is in a cache and cannot be named in a way that holds.
    """
    prefix = prefix or Path(sys.prefix)
    try:
        installed = distribution(PACKAGE)
    except PackageNotFoundError:  # a checkout that is not installed
        return (sys.executable, "-m", "piv_mcp")
    if not any((parent / _CACHE_TAG).exists() for parent in prefix.parents):
        script = _script(installed)
        return (str(script),) if script else (sys.executable, "-m", "piv_mcp")
    uv = environment.get("UV")
    uvx = str(Path(uv).with_name(f"uvx{Path(uv).suffix}")) if uv else shutil.which("uvx", path=environment.get("PATH"))
    if uvx is None or installed.read_text("INSTALLER") != "uv" or not Path(uvx).exists():
        raise ConfigError("this piv-mcp is in a cache that can be emptied at any time", hint=_FOR_GOOD)
    return (uvx, "--from", _source(installed, environment), PACKAGE)


_FOR_GOOD = "Install it for good, with `uv tool install`, `pipx install` or in a virtual environment, and run that one"


def variables(settings: Settings, key_file: Path | None) -> dict[str, str]:
    """The settings that are given, as variables for a process that does not have this one's. Secrets are left out: a
    process that needs the key gets the name of its file."""
    values: dict[str, object] = {name: getattr(settings, name) for name in type(settings).model_fields}
    given = settings.model_fields_set - ENVIRONMENT_ONLY - {"api_key_file"}
    texts = {name: _text(value) for name, value in values.items() if name in given}
    if key_file is not None:
        texts = {"api_key_file": str(key_file), **texts}
    return {f"PIV_{name.upper()}": text for name, text in texts.items()}


def _text(value: object) -> str:
    """A setting as the value of an environment variable."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(map(str, value))  # pyright: ignore[reportUnknownArgumentType]
    return str(value)


def _script(installed: Distribution) -> Path | None:
    """The program that belongs to this installation: another one can come first in the PATH."""
    for file in installed.files or ():
        if file.name in (PACKAGE, f"{PACKAGE}.exe"):
            path = Path(os.path.abspath(str(installed.locate_file(file))))
            if path.exists():
                return path
    return None


def _source(installed: Distribution, environment: Mapping[str, str]) -> str:
    """What uvx is to take the package from: where this one came from.

    Raises:
        ConfigError: from an index that a client's uvx does not ask.
    """
    record = installed.read_text("direct_url.json")
    if record is None:
        if other := [name for name in _OTHER_INDEXES if environment.get(name)]:
            raise ConfigError(f"a client does not have {other[0]}, and would start another package", hint=_FOR_GOOD)
        return f"{PACKAGE}=={__version__}"
    origin = json.loads(record)
    url = str(origin["url"])
    if url.startswith("file:"):
        path = unquote(urlsplit(url).path)
        return path.lstrip("/") if os.name == "nt" else path
    if vcs := origin.get("vcs_info"):
        return f"{PACKAGE} @ {vcs['vcs']}+{url}@{vcs['commit_id']}"
    return f"{PACKAGE} @ {url}"
