"""The links that install the server start this version of it, and hold no key."""

import json
import re
import tomllib
from base64 import b64decode
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from piv_mcp import __version__
from piv_mcp.config import load

ROOT = Path(__file__).parent.parent
KEY = "sk-5f2b8c19d0-4e7a63"


def parameters(host: str) -> Mapping[str, str]:
    """The query of the only link on the page that installs something by this host."""
    page = (ROOT / "README.md").read_text("utf-8")
    links = [urlsplit(match[1]) for match in re.finditer(r"\[Install in [\w ]+\]\((\S+)\)", page)]
    (query,) = [link.query for link in links if link.hostname == host]
    return {name: only for name, (only,) in parse_qs(query, strict_parsing=True).items()}


def cursor_entry() -> dict[str, Any]:
    return json.loads(b64decode(parameters("cursor.com")["config"], validate=True))


def vscode_entry() -> dict[str, Any]:
    return json.loads(parameters("insiders.vscode.dev")["config"])


@pytest.mark.parametrize("entry", [cursor_entry, vscode_entry])
def test_a_link_starts_this_version_of_the_package(entry: Any) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert (entry()["command"], entry()["args"]) == ("uvx", [f"{project['name']}=={__version__}"])
    assert project["name"] in project["scripts"], "uvx starts the script that has the package's name"


def test_the_links_name_the_server_alike() -> None:
    assert parameters("cursor.com")["name"] == parameters("insiders.vscode.dev")["name"] == "piv"


def test_cursor_starts_the_server_with_the_key_of_the_file_that_the_page_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (setting,) = cursor_entry()["env"].items()
    assert f"`{setting[1]}`" in (ROOT / "docs" / "clients.md").read_text("utf-8")
    file = tmp_path / setting[1].removeprefix("~/")
    file.parent.mkdir()
    file.write_text(KEY)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv(*setting)
    key = load().api_key
    assert key is not None
    assert key.get_secret_value() == KEY


def test_vs_code_asks_for_the_key_and_hides_it(monkeypatch: pytest.MonkeyPatch) -> None:
    (asked,) = json.loads(parameters("insiders.vscode.dev")["inputs"])
    assert (asked["type"], asked["password"]) == ("promptString", True)
    ((name, value),) = vscode_entry()["env"].items()
    assert value == f"${{input:{asked['id']}}}", "the client replaces it"
    monkeypatch.setenv(name, KEY)
    key = load().api_key
    assert key is not None
    assert key.get_secret_value() == KEY
