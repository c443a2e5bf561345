"""`piv-mcp config`: the configuration snippet for each client."""

import json
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from piv_mcp.config import Settings, former_directories

FILES = {
    "claude-desktop": "claude_desktop_config.json (Settings > Developer > Edit Config)",
    "claude-code": ".mcp.json in the project, or: claude mcp add-json piv '<the inner object>'",
    "cursor": "~/.cursor/mcp.json",
    "vscode": ".vscode/mcp.json (or the command MCP: Open User Configuration)",
}
"""The file in which each client keeps its configuration."""

_KEY_PROMPT = {"id": "piv-api-key", "type": "promptString", "description": "piv.day API key", "password": True}


def snippet(client: str, settings: Settings, given: Iterable[str]) -> tuple[str, str]:
    """(configuration, note on where to put it). `given` are the names of the settings to include.

    The API key is not part of the configuration: the client asks for the key, or the server reads it from a file.
    """
    env = {f"PIV_{name.upper()}": _text(getattr(settings, name)) for name in given}
    note = f"Put this into {FILES[client]}, then restart the client."
    config: dict[str, object] = {}
    if not settings.sandbox and settings.api_key_file is None and client == "vscode":
        env = {"PIV_API_KEY": f"${{input:{_KEY_PROMPT['id']}}}", **env}
        config["inputs"] = [_KEY_PROMPT]
    elif not settings.sandbox:
        key_file = settings.api_key_file or _usual_key_file(settings)
        env = {**env, "PIV_API_KEY_FILE": str(key_file)}
        if not key_file.exists():
            note += f"\nPut the API key into {key_file} (create it readable for you alone: chmod 600)."
    entry: dict[str, object] = {**_command(), "env": env}
    if client == "vscode":
        return json.dumps({"servers": {"piv": {"type": "stdio", **entry}}, **config}, indent=2), note
    return json.dumps({"mcpServers": {"piv": entry}}, indent=2), note


def _text(value: object) -> str:
    """A setting as the value of an environment variable."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(map(str, value))  # pyright: ignore[reportUnknownArgumentType]
    return str(value)


def _usual_key_file(settings: Settings) -> Path:
    """In the data directory, unless an earlier version has one elsewhere."""
    usual = settings.directory / "api-key"
    former = [place / "api-key" for place in former_directories()]
    return next((path for path in (usual, *former) if path.exists()), usual)


def _command() -> dict[str, object]:
    """The command that starts the server. The path is absolute, since desktop programs do not have the shell's PATH."""
    beside = Path(sys.executable).with_name("piv-mcp")
    found = str(beside) if beside.exists() else shutil.which("piv-mcp")
    return {"command": found, "args": []} if found else {"command": sys.executable, "args": ["-m", "piv_mcp"]}
