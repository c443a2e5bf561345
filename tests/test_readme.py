"""The README and the registry's entry are true. `UPDATE_README=1` writes the table of tools anew."""

import ast
import configparser
import json
import os
import plistlib
import re
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from click.testing import CliRunner

from piv_mcp import __version__
from piv_mcp.cli import main as cli
from piv_mcp.config import Settings, load
from piv_mcp.server import catalog
from piv_mcp.tools.spec import ToolSpec

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
EFFECTS = {"read": "reads", "write": "changes", "spend": "**costs money**"}


def section(heading: str) -> str:
    text = README.read_text(encoding="utf-8")
    return text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


def row(tool: ToolSpec) -> str:
    first = re.split(r"(?<=[a-z0-9])\. ", (tool.handler.__doc__ or "").strip())[0].rstrip(".")
    return f"| `{tool.name}` | {EFFECTS[tool.effect]} | {first}. |"


def tools_table() -> str:
    parts: list[str] = []
    for area, tools in catalog.AREAS.items():
        parts += [f"### {area.capitalize()}", "", "| Tool | Effect | What it does |", "| --- | --- | --- |"]
        parts += [*map(row, tools), ""]
    return "\n".join(parts)


def test_the_table_of_tools_is_fresh() -> None:
    text = README.read_text(encoding="utf-8")
    start, end = "<!-- tools -->\n", "<!-- /tools -->"
    before, rest = text.split(start)
    _, after = rest.split(end)
    fresh = f"{before}{start}\n{tools_table()}\n{end}{after}"
    if os.environ.get("UPDATE_README"):
        README.write_text(fresh, encoding="utf-8")
    assert README.read_text(encoding="utf-8") == fresh, "stale: run the tests once with UPDATE_README=1"


def test_the_table_of_settings_has_each_setting_once_in_the_order_of_the_code() -> None:
    names = re.findall(r"^\| `(PIV_[A-Z_]+)` \|", section("Settings"), re.MULTILINE)
    assert names == [f"PIV_{name.upper()}" for name in Settings.model_fields]


def test_the_defaults_in_the_table_of_settings_are_those_of_the_code() -> None:
    defaults = dict(re.findall(r"^\| `PIV_([A-Z_]+)` \| (.*?) \|", section("Settings"), re.MULTILINE))
    for name, field in Settings.model_fields.items():
        shown = defaults[name.upper()].strip("`")
        match field.default:
            case None:
                assert shown == "" or " " in shown, f"{name} has no default, so the table describes one"
            case bool(value):
                assert shown == ("on" if value else "off"), name
            case tuple():
                assert shown == "all", name
            case value:
                assert shown == str(value), name


def test_every_setting_that_the_readme_names_exists() -> None:
    named = set(re.findall(r"PIV_[A-Z_]+", README.read_text(encoding="utf-8")))
    assert named <= {f"PIV_{name.upper()}" for name in Settings.model_fields}


def test_every_file_that_the_readme_names_exists() -> None:
    folder = ""
    for name in re.findall(r"`([a-z_]+/[a-z_/]*(?:\.py)?|[a-z_]+\.py|[A-Z]+\.md)`", README.read_text(encoding="utf-8")):
        here = [ROOT / name, ROOT / "piv_mcp" / name, ROOT / folder / name]
        assert any(path.exists() for path in here), name
        if "/" in name and name.endswith(".py"):
            folder = str(Path(name).parent)


def test_every_command_that_the_readme_names_exists() -> None:
    text = README.read_text(encoding="utf-8")
    commands = set(re.findall(r"(?:^|`|/)piv-mcp ([a-z]+)\b", text, re.MULTILINE))
    assert {"demo", "doctor", "config", "receive", "approvals"} <= commands
    for command in commands:
        assert CliRunner().invoke(cli.main, [command, "--help"]).exit_code == 0, command


def commands() -> list[str]:
    """The commands that do all the set-up."""
    return re.findall(r"```sh\n(.*?)\n```", section("Try it"), re.DOTALL)


def test_two_commands_of_one_line_each_do_all_the_set_up() -> None:
    demo, tests = commands()
    for command in (demo, tests):
        assert "\n" not in command
    assert demo.startswith("python3 -m venv .venv && .venv/bin/pip install")
    steps = demo.split(" && ")[1:]
    assert all(step.startswith(".venv/bin/") for step in steps), "nothing touches the system's Python"
    assert demo.endswith(" && .venv/bin/piv-mcp demo")
    assert tests == "python3 tests/run.py"


def test_the_runner_of_the_tests_needs_the_standard_library_alone() -> None:
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse((ROOT / "tests" / "run.py").read_text(encoding="utf-8")))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported <= sys.stdlib_module_names


def test_the_ci_runs_the_commands_of_the_readme() -> None:
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "README.md" in ci
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


# The receiver as a service


def block(language: str) -> str:
    """The only block of this language."""
    (only,) = re.findall(rf"```{language}\n(.*?)\n```", README.read_text(encoding="utf-8"), re.DOTALL)
    return cast("str", only)


def test_the_systemd_unit_can_be_read_and_receives() -> None:
    unit = configparser.ConfigParser(interpolation=None)
    unit.read_string(block("ini"))
    assert unit.sections() == ["Unit", "Service", "Install"]
    assert unit["Service"]["ExecStart"].endswith("/piv-mcp receive")
    assert unit["Service"]["Restart"] == "always"


def test_the_launchd_plist_can_be_read_and_receives() -> None:
    plist = plistlib.loads(block("xml").encode())
    program, command = plist["ProgramArguments"]
    assert program.endswith("/piv-mcp")
    assert command == "receive"
    assert plist["KeepAlive"] is True
    assert f"~/Library/LaunchAgents/{plist['Label']}.plist" in README.read_text(encoding="utf-8")


# server.json


def entry() -> Mapping[str, Any]:
    return json.loads((ROOT / "server.json").read_text(encoding="utf-8"))


def package() -> Mapping[str, Any]:
    (only,) = entry()["packages"]
    return cast("Mapping[str, Any]", only)


def test_the_registry_entry_agrees_with_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert entry()["$schema"].endswith("/2025-12-11/server.schema.json")
    assert entry()["version"] == package()["version"] == __version__
    assert (package()["registryType"], package()["identifier"]) == ("pypi", project["name"])
    assert package()["transport"] == {"type": "stdio"}
    assert "registryBaseUrl" not in package()
    assert 0 < len(entry()["description"]) <= 100


def test_the_readme_proves_who_owns_the_registry_entry() -> None:
    assert f"<!-- mcp-name: {entry()['name']} -->" in README.read_text(encoding="utf-8")


def test_the_registry_entry_has_each_setting_with_its_default() -> None:
    variables = {item["name"]: item for item in package()["environmentVariables"]}
    assert list(variables) == [f"PIV_{name.upper()}" for name in Settings.model_fields]
    for name, field in Settings.model_fields.items():
        item = variables[f"PIV_{name.upper()}"]
        assert item["description"]
        assert item.get("isSecret", False) == (name in ("api_key", "webhook_secret"))
        match field.default:
            case None:
                assert "default" not in item
            case bool(value):
                assert (item["format"], item["default"]) == ("boolean", str(value).lower())
            case tuple():
                assert item["default"] == "all"
            case value:
                assert item["default"] == str(value)
        assert item.get("default", "") in item.get("choices", [item.get("default", "")])


def test_the_settings_of_the_registry_entry_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for item in package()["environmentVariables"]:
        if "default" in item:
            monkeypatch.setenv(item["name"], item["default"])
    assert load() == Settings.model_construct(**{n: f.default for n, f in Settings.model_fields.items()})


# Versions


def test_the_changelog_begins_with_this_version() -> None:
    versions = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert versions[0] == __version__
