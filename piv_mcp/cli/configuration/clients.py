"""The MCP clients: where each keeps its configuration for a user, and the form of our entry in it."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from piv_mcp.cli.configuration.document import Form  # its editors would slow the start of every command

NAME = "piv"
"""The name under which clients know the server."""

TOOL_SECONDS = 300
"""How long Goose waits for a tool. Its entry has no default."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where programs keep their files for one user, by the system's rules."""

    platform: str
    home: Path
    environment: Mapping[str, str]

    @classmethod
    def of_this_user(cls) -> "Places":
        return cls(sys.platform, Path.home(), os.environ)

    @property
    def config(self) -> Path:
        """Where programs that follow XDG keep their configuration, on every system."""
        return self._named("XDG_CONFIG_HOME") or self.home / ".config"

    @property
    def application_data(self) -> Path:
        """Where programs of the desktop keep it."""
        if self.platform == "win32":
            return self._named("APPDATA") or self.home / "AppData" / "Roaming"
        return self.home / "Library" / "Application Support" if self.platform == "darwin" else self.config

    @property
    def packages(self) -> Path:
        """Where Windows keeps what packaged programs write to AppData."""
        return (self._named("LOCALAPPDATA") or self.home / "AppData" / "Local") / "Packages"

    def _named(self, variable: str) -> Path | None:
        path = Path(self.environment.get(variable, ""))
        return path if path.is_absolute() or (self.platform == "win32" and path.parts) else None

    def codex(self) -> Path:
        return (self._named("CODEX_HOME") or self.home / ".codex") / "config.toml"

    def claude_desktop(self) -> Path:
        own = Path("Claude", "claude_desktop_config.json")
        packaged = sorted(self.packages.glob("Claude_*/LocalCache/Roaming/Claude")) if self.platform == "win32" else []
        return packaged[-1] / own.name if packaged else self.application_data / own

    def opencode(self) -> Path:
        files = [self.config / "opencode" / name for name in ("opencode.json", "opencode.jsonc")]
        return next((file for file in files if file.exists()), files[0])

    def goose(self) -> Path:
        if self.platform == "win32":
            return self.application_data / "Block" / "goose" / "config" / "config.yaml"
        return self.config / "goose" / "config.yaml"

    def zed(self) -> Path:
        if self.platform == "win32":
            return self.application_data / "Zed" / "settings.json"
        # On macOS too Zed keeps it below ~/.config.
        return (self.config if self.platform != "darwin" else self.home / ".config") / "zed" / "settings.json"


@dataclass(frozen=True, slots=True)
class Launch:
    """How a client starts the server."""

    command: tuple[str, ...]
    env: Mapping[str, str]


def _plain(launch: Launch) -> dict[str, Any]:
    return {"command": launch.command[0], "args": list(launch.command[1:]), "env": dict(launch.env)}


def _opencode(launch: Launch) -> dict[str, Any]:
    return {"type": "local", "command": list(launch.command), "environment": dict(launch.env), "enabled": True}


def _goose(launch: Launch) -> dict[str, Any]:
    return {
        "name": NAME,
        "description": "piv.day: SMS codes, numbers, proxies, domains, sites",
        "type": "stdio",
        "enabled": True,
        "cmd": launch.command[0],
        "args": list(launch.command[1:]),
        "envs": dict(launch.env),
        "timeout": TOOL_SECONDS,
    }


@dataclass(frozen=True, slots=True)
class Client:
    """A client. `keys` lead to the servers in its file, and `env` is what its entries call the variables. Without a
    `file` it changes its configuration itself, by a command."""

    title: str
    file: Callable[[Places], Path] | None
    keys: tuple[str, ...] = ("mcpServers",)
    form: "Form" = "json"
    entry: Callable[[Launch], dict[str, Any]] = _plain
    env: str = "env"

    @property
    def path(self) -> tuple[str, ...]:
        """Where our entry stands."""
        return (*self.keys, NAME)


CLIENTS: dict[str, Client] = {
    "claude-desktop": Client("Claude Desktop", Places.claude_desktop),
    "claude-code": Client("Claude Code", None),
    "cursor": Client("Cursor", lambda at: at.home / ".cursor" / "mcp.json"),
    "vscode": Client(
        "VS Code",
        lambda at: at.application_data / "Code" / "User" / "mcp.json",
        ("servers",),
        entry=lambda launch: {"type": "stdio", **_plain(launch)},
    ),
    "codex": Client("Codex", Places.codex, ("mcp_servers",), "toml"),
    "gemini": Client("Gemini CLI", lambda at: at.home / ".gemini" / "settings.json"),
    "opencode": Client("OpenCode", Places.opencode, ("mcp",), entry=_opencode, env="environment"),
    "windsurf": Client("Windsurf", lambda at: at.home / ".codeium" / "windsurf" / "mcp_config.json"),
    "zed": Client("Zed", Places.zed, ("context_servers",), entry=lambda launch: {"source": "custom", **_plain(launch)}),
    "goose": Client("Goose", Places.goose, ("extensions",), "yaml", _goose, "envs"),
}
"""The clients that `piv-mcp install` knows."""
