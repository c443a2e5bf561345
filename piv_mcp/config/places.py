"""Where files are kept when no setting says so."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from piv_mcp.errors import ConfigError


def default_directory(platform: str = sys.platform) -> Path:
    """The data directory of this user: one for all clients of the machine.

    Raises:
        ConfigError: the home directory is not known.
    """
    try:
        directory = _home() / ".piv-mcp" if platform == "win32" else _user_data()
    except RuntimeError:
        directory = Path()
    if not directory.is_absolute():
        raise ConfigError("the home directory is not known", hint="Set PIV_DATA_DIR to an absolute path, or HOME")
    return directory


def _home() -> Path:
    # Not below AppData: what a packaged program (Claude Desktop) and its children write there is redirected to a folder
    # of that program, so that its store would not be the one of the other clients.
    return Path.home()


def _user_data() -> Path:
    from platformdirs import user_data_path  # late: it costs start-up time, and is not needed with PIV_DATA_DIR

    return user_data_path("piv-mcp", appauthor=False)


def former_directories(platform: str = sys.platform, environment: Mapping[str, str] = os.environ) -> list[Path]:
    """Where earlier versions kept the data on Windows: for programs of the desktop, and for each packaged one."""
    local = environment.get("LOCALAPPDATA")
    if platform != "win32" or not local:
        return []
    packages = sorted(Path(local, "Packages").glob("*/LocalCache/Local/piv-mcp"))
    return [Path(local, "piv-mcp"), *packages]
