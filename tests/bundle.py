"""Builds `dist/piv-mcp-<version>.mcpb`, the extension for Claude Desktop: `.venv/bin/python tests/bundle.py`.

An extension is a zip file with a manifest. Ours is of type `uv`: it holds the package as source, and the client
installs the dependencies with uv at the first start. The manifest is made from the code. The same checkout gives the
same bytes on the same Python. `tests/prove_bundle.py` proves that the file starts.
"""

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, TypedDict, get_args, get_origin
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from pydantic import SecretStr

from piv_mcp import __version__
from piv_mcp.config import Settings
from piv_mcp.server import definitions
from piv_mcp.server.rights import Rights

ROOT = Path(__file__).parent.parent
ICON = ROOT / "docs" / "icon.png"
"""`piv_mcp/server/icons/server.svg`, drawn at 512 x 512 by Chromium. Claude Desktop takes PNG files alone."""

ENTRY_POINT = "piv_mcp/__main__.py"
FOLDERS = ("piv_mcp", "prompts")
FILES = ("LICENSE", "README.md", "pyproject.toml")
"""What hatchling needs to install the package."""

FIRST_DAY = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip file can hold. The files' own times would make each build another file."""

ASKED: Mapping[str, tuple[str, str]] = {
    "api_key": (
        "API key",
        "The key of your piv.day account (dashboard: Settings, API Keys). Without one the tools say what to do.",
    ),
    "sandbox": ("Sandbox", "Try everything on a simulated account. Needs no key, and nothing costs money."),
    "spend_mode": (
        "Who approves spending",
        "ask: you approve each purchase. budget: small ones up to the two limits below need no question. "
        "deny: nothing can be bought.",
    ),
    "auto_approve_max": ("Limit per action", "With budget: dollars that one action may cost without a question."),
    "daily_budget": ("Limit per day", "With budget: dollars that may be spent in 24 hours without a question."),
    "read_only": ("Read only", "Leave out every tool that changes anything."),
}
"""The settings that the client asks for when the extension is installed: title and description. All are optional."""


class Option(TypedDict, total=False):
    """One entry of `user_config`."""

    type: Literal["string", "boolean", "number"]
    title: str
    description: str
    required: bool
    sensitive: bool
    default: str | bool | float
    min: float


def first_sentence(text: str) -> str:
    """The first sentence of a tool's description. `e.g.` ends none."""
    return re.split(r"(?<=\.)(?<!e\.g\.) ", " ".join(text.split()))[0]


def manifest() -> dict[str, object]:
    """The manifest, version 0.4. It promises the tools that are offered with nothing set.

    The form of a prompt in a manifest has no defaults for arguments, which ours rely on: the server lists them.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    entry = json.loads((ROOT / "server.json").read_text("utf-8"))
    (author,) = project["authors"]
    return {
        "manifest_version": "0.4",
        "name": project["name"],
        "display_name": entry["title"],
        "version": __version__,
        "description": project["description"],
        "author": {"name": author["name"]},
        "homepage": entry["websiteUrl"],
        "icon": ICON.name,
        "server": {
            "type": "uv",
            "entry_point": ENTRY_POINT,
            "mcp_config": {
                "command": "uv",
                "args": ["run", "--directory", "${__dirname}", project["name"]],
                "env": {f"PIV_{name.upper()}": f"${{user_config.{name}}}" for name in ASKED},
            },
        },
        "user_config": {name: _option(name) for name in ASKED},
        "tools": [
            {"name": tool.name, "description": first_sentence(tool.description or "")}
            for tool in definitions.load(Rights.of(Settings.model_construct()))
        ],
        "tools_generated": True,  # the sandbox has one more, and other settings leave some out
        "prompts_generated": True,
        "keywords": project["keywords"],
        "license": project["license"],
        "compatibility": {
            "platforms": ["darwin", "linux", "win32"],
            "runtimes": {"python": project["requires-python"]},
        },
    }


def _option(name: str) -> Option:
    title, description = ASKED[name]
    field = Settings.model_fields[name]
    kind: Any = field.annotation
    words: Option = {"title": title, "description": f"{description} (PIV_{name.upper()})", "required": False}
    if SecretStr in get_args(kind):
        return {"type": "string", **words, "sensitive": True}
    if kind is bool:
        return {"type": "boolean", **words, "default": bool(field.default)}
    if kind is Decimal:
        return {"type": "number", **words, "default": float(field.default), "min": 0}
    if get_origin(kind) is Literal:
        return {"type": "string", **words, "default": str(field.default)}
    raise TypeError(f"{name}: no field of an extension holds this kind of setting")


def files(root: Path = ROOT) -> dict[str, bytes]:
    """What the extension holds: the content of each file by its name."""
    found = [root / name for name in FILES]
    found += (path for folder in FOLDERS for path in (root / folder).rglob("*") if path.is_file() and _is_source(path))
    contents = {path.relative_to(root).as_posix(): path.read_bytes() for path in found}
    contents[ICON.name] = ICON.read_bytes()
    contents["manifest.json"] = (json.dumps(manifest(), ensure_ascii=False, indent=2) + "\n").encode()
    return dict(sorted(contents.items()))


def _is_source(path: Path) -> bool:
    """Not what an interpreter, an editor or a file manager leaves beside the sources."""
    return "__pycache__" not in path.parts and path.suffix != ".pyc" and not path.name.startswith(".")


def build(folder: Path, root: Path = ROOT) -> Path:
    """Write the extension into the folder, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"piv-mcp-{__version__}.mcpb"
    with ZipFile(target, "w") as bundle:
        for name, content in files(root).items():
            entry = ZipInfo(name, FIRST_DAY)
            entry.create_system = 3  # Unix, also where the file is built on Windows: the modes below count
            entry.external_attr = 0o100644 << 16
            bundle.writestr(entry, content, ZIP_DEFLATED, 9)
    return target


if __name__ == "__main__":
    built = build(ROOT / "dist")
    print(built)
    print(f"sha256 {hashlib.sha256(built.read_bytes()).hexdigest()}, {built.stat().st_size:,} bytes")
