"""How each client wants to be told of a server."""

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

_FILES = {
    "claude-desktop": "claude_desktop_config.json (Settings > Developer > Edit Config)",
    "claude-code": ".mcp.json in the project, or: claude mcp add-json piv '<the inner object>'",
    "cursor": "~/.cursor/mcp.json",
    "vscode": ".vscode/mcp.json (or the command MCP: Open User Configuration)",
}


def snippet(client: str, key_file: Path, settings: Mapping[str, str]) -> tuple[str, str]:
    """(the configuration, a note on where it goes). The key is named by its file, so that it is in no configuration."""
    needs_key = not settings.get("PIV_SANDBOX")
    env = {**({"PIV_API_KEY_FILE": str(key_file)} if needs_key else {}), **settings}
    entry: dict[str, object] = {**_command(), "env": env}
    if client == "vscode":
        entry = {"type": "stdio", **entry}
        if needs_key:
            entry["env"] = {"PIV_API_KEY": "${input:piv-api-key}", **settings}
        config: dict[str, object] = {"servers": {"piv": entry}}
        if needs_key:
            config["inputs"] = [
                {
                    "id": "piv-api-key",
                    "type": "promptString",
                    "description": "piv.day API key",
                    "password": True,
                }
            ]
    else:
        config = {"mcpServers": {"piv": entry}}
    note = f"Put this into {_FILES[client]}, then restart the client."
    if needs_key and client != "vscode":
        note += f"\nPut the API key into {key_file} (create it readable for you alone: chmod 600)."
    return json.dumps(config, indent=2), note


def _command() -> dict[str, object]:
    """Absolute, since programs with windows do not know the shell's PATH."""
    beside = Path(sys.executable).with_name("piv-mcp")
    found = str(beside) if beside.exists() else shutil.which("piv-mcp")
    return {"command": found, "args": []} if found else {"command": sys.executable, "args": ["-m", "piv_mcp"]}
