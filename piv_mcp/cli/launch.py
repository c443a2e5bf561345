"""How others start this very piv-mcp: clients, and the system's services."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import unquote, urlsplit

from piv_mcp import __version__
from piv_mcp.config import ENVIRONMENT_ONLY, PATHS, Settings
from piv_mcp.errors import ConfigError
from piv_mcp.text.tidy import means_itself

PACKAGE = "piv-mcp"
_CACHE_TAG = "CACHEDIR.TAG"
_PROOF_SECONDS = 30.0

_FOR_GOOD = "Install it for good, with `uv tool install`, `pipx install` or in a virtual environment, and run that one"


def command(environment: Mapping[str, str] = os.environ, prefix: Path | None = None) -> tuple[str, ...]:
    """The command that starts this installation, and never another package of its name.

    Its path is absolute, since programs of the desktop do not have the shell's PATH. A path in a cache (uvx, pipx run)
    would break when the cache is emptied: uvx is started again there, with just what it was started with.

    Raises:
        ConfigError: this installation cannot be named in a way that holds.
    """
    prefix = prefix or Path(sys.prefix)
    try:
        installed = distribution(PACKAGE)
    except PackageNotFoundError:
        # `python -m` would run whatever has this name in the folder in which a client starts it.
        raise ConfigError("this piv-mcp runs from its sources and is not installed", hint=_FOR_GOOD) from None
    if not any((parent / _CACHE_TAG).exists() for parent in prefix.parents):
        script = _script(installed)
        # -P: nothing is taken from the folder in which a client starts it.
        return (str(script),) if script else (sys.executable, "-P", "-m", "piv_mcp")
    uv = environment.get("UV")
    uvx = str(Path(uv).with_name(f"uvx{Path(uv).suffix}")) if uv else shutil.which("uvx", path=environment.get("PATH"))
    if uvx is None or installed.read_text("INSTALLER") != "uv" or not Path(uvx).exists():
        raise ConfigError("this piv-mcp is in a cache that can be emptied at any time", hint=_FOR_GOOD)
    return (uvx, "--from", _source(installed, uvx, environment, prefix), PACKAGE)


def variables(settings: Settings, key_file: Path | None) -> dict[str, str]:
    """The settings that are given, as variables for a process that does not have this one's. Secrets are left out: a
    process that needs the key gets the name of its file."""
    values: dict[str, object] = {name: getattr(settings, name) for name in type(settings).model_fields}
    given = settings.model_fields_set - ENVIRONMENT_ONLY - {"api_key_file"}
    texts = {name: _text(value) for name, value in values.items() if name in given}
    if key_file is not None:
        texts = {"api_key_file": str(key_file), **texts}
    if settings.data_dir is None and os.environ.get("XDG_DATA_HOME"):  # which programs of the desktop do not have
        texts["data_dir"] = str(settings.directory)
    for name in PATHS & texts.keys():
        if not means_itself(texts[name]):
            raise ConfigError(f"the path for PIV_{name.upper()} holds $ or %, which stand for variables there")
    return {f"PIV_{name.upper()}": text for name, text in texts.items()}


def flags(env: Mapping[str, str]) -> list[str]:
    """The same settings as flags of the command line."""
    words: list[str] = []
    for variable, text in env.items():
        name = variable.removeprefix("PIV_").lower()
        if Settings.model_fields[name].annotation is bool:
            words.append(f"--{'' if text == 'true' else 'no-'}{name.replace('_', '-')}")
        else:
            words += [f"--{name.replace('_', '-')}", text]
    return words


def line(*parts: str) -> str:
    """A command for the system's shell."""
    return subprocess.list2cmdline(parts) if sys.platform == "win32" else shlex.join(parts)


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


def _source(installed: Distribution, uvx: str, environment: Mapping[str, str], prefix: Path) -> str:
    """What uvx is to take the package from: where this one came from.

    Raises:
        ConfigError: from an index that a client's uvx would not ask.
    """
    record = installed.read_text("direct_url.json")
    if record is None:
        source = f"{PACKAGE}=={__version__}"
        if not _is_what_a_client_gets(source, uvx, environment, prefix):
            raise ConfigError("a client's uvx would look for this package elsewhere, and find another", hint=_FOR_GOOD)
        return source
    origin = json.loads(record)
    url = str(origin["url"])
    folder = f"#subdirectory={origin['subdirectory']}" if origin.get("subdirectory") else ""
    if vcs := origin.get("vcs_info"):
        return f"{PACKAGE} @ {vcs['vcs']}+{url}@{vcs['commit_id']}{folder}"
    if url.startswith("file:") and not folder:
        path = unquote(urlsplit(url).path)
        return path.lstrip("/") if os.name == "nt" else path
    return f"{PACKAGE} @ {url}{folder}"


def _is_what_a_client_gets(source: str, uvx: str, environment: Mapping[str, str], prefix: Path) -> bool:
    """Whether uvx finds this very environment again, without the settings and options that it was started with.

    It may use its cache alone, in which each index has a place of its own: what came from another index is not found.
    """
    plain = {name: value for name, value in environment.items() if name == "UV_CACHE_DIR" or not name.startswith("UV")}
    program = [uvx, "--offline", "--from", source, "python", "-P", "-c", "import sys; print(sys.prefix)"]
    try:
        done = subprocess.run(  # noqa: S603 - the program that started this one
            program,
            env=plain,
            cwd=Path(uvx).anchor,
            capture_output=True,
            text=True,
            timeout=_PROOF_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and Path(done.stdout.strip()) == prefix
