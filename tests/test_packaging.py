"""What is published and how it is proved: server.json, versions, dependencies, the runner of the tests, the CI.

`UPDATE_DOCS=1` rewrites the generated part of server.json.
"""

import ast
import copy
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any, cast, get_args

import pytest
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from setting_fields import choices_of, words_of

from piv_mcp import __version__
from piv_mcp.config import ENVIRONMENT_ONLY, Settings, load

ROOT = Path(__file__).parent.parent
ENTRY = ROOT / "server.json"
RUNNER = ROOT / "tests" / "run.py"
LOWEST = ROOT / "tests" / "lowest.py"
CLIENTS = ROOT / "tests" / "clients"
CI = ROOT / ".ci" / "run"
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


# server.json


def entry() -> Mapping[str, Any]:
    return json.loads(ENTRY.read_text(encoding="utf-8"))


def package() -> Mapping[str, Any]:
    (only,) = entry()["packages"]
    return cast("Mapping[str, Any]", only)


def variable(name: str, field: FieldInfo) -> dict[str, object]:
    """The registry's form of a setting."""
    kind: Any = field.annotation
    words = (field.description or "").removesuffix(" (environment only)")
    item: dict[str, object] = {
        "name": f"PIV_{name.upper()}",
        "description": f"{words[0].upper()}{words[1:]}.",
    }
    if kind is bool:
        item["format"] = "boolean"
    elif kind in (int, float, Decimal):
        item["format"] = "number"
    elif Path in get_args(kind):
        item["format"] = "filepath"
    match field.default:
        case None:
            pass
        case bool(value):
            item["default"] = str(value).lower()
        case tuple():
            item["default"] = words_of(field)
        case value:
            item["default"] = str(value)
    if choices := choices_of(kind):
        item["choices"] = list(choices)
    if SecretStr in get_args(kind):
        item["isSecret"] = True
    return item


def test_the_registry_entry_is_fresh() -> None:
    fresh = copy.deepcopy(dict(entry()))
    fresh["version"] = fresh["packages"][0]["version"] = __version__
    fresh["packages"][0]["environmentVariables"] = [
        variable(name, field) for name, field in Settings.model_fields.items()
    ]
    text = json.dumps(fresh, ensure_ascii=False, indent=2) + "\n"
    if os.environ.get("UPDATE_DOCS"):
        ENTRY.write_text(text, encoding="utf-8")
    assert ENTRY.read_text(encoding="utf-8") == text, "stale: run this test once with UPDATE_DOCS=1"


def test_the_registry_entry_agrees_with_the_package() -> None:
    assert entry()["$schema"].endswith("/2025-12-11/server.schema.json")
    assert entry()["version"] == package()["version"] == __version__
    assert (package()["registryType"], package()["identifier"]) == ("pypi", project()["name"])
    assert package()["transport"] == {"type": "stdio"}
    assert "registryBaseUrl" not in package()
    assert 0 < len(entry()["description"]) <= 100


def test_the_readme_proves_who_owns_the_registry_entry() -> None:
    assert f"<!-- mcp-name: {entry()['name']} -->" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_registry_entry_has_each_setting_with_its_default() -> None:
    variables = {item["name"]: item for item in package()["environmentVariables"]}
    assert list(variables) == [f"PIV_{name.upper()}" for name in Settings.model_fields]
    for name, field in Settings.model_fields.items():
        item = variables[f"PIV_{name.upper()}"]
        assert 0 < len(item["description"]) <= 100
        assert item.get("isSecret", False) == (name in ENVIRONMENT_ONLY)
        match field.default:
            case None:
                assert "default" not in item
            case bool(value):
                assert (item["format"], item["default"]) == ("boolean", str(value).lower())
            case tuple():
                assert item["default"] == words_of(field)
            case value:
                assert item["default"] == str(value)
        assert "default" not in item or item["default"] in item.get("choices", [item["default"]])


def test_the_settings_of_the_registry_entry_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for item in package()["environmentVariables"]:
        if "default" in item:
            monkeypatch.setenv(item["name"], item["default"])
    assert load() == Settings.model_construct(**{n: f.default for n, f in Settings.model_fields.items()})


# Versions


def test_the_changelog_begins_with_this_version() -> None:
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    versions = headings[1:] if headings[0] == "Unreleased" else headings
    assert versions[0] == __version__


def pythons() -> list[str]:
    return re.findall(r"Programming Language :: Python :: (3\.\d+)", "\n".join(project()["classifiers"]))


def test_the_workflow_runs_the_pythons_that_the_package_claims() -> None:
    (row,) = re.findall(r"^ +python: \[(.*)\]$", WORKFLOW.read_text(encoding="utf-8"), re.MULTILINE)
    assert re.findall(r"3\.\d+", row) == pythons()
    assert project()["requires-python"] == f">={pythons()[0]}"


# Dependencies


def imported(path: Path) -> set[str]:
    """The top-level names of all modules that a file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").split(".")[0])
    return names


def requirements() -> list[str]:
    """What the package needs, and what its extras add to it."""
    extras = project()["optional-dependencies"]
    return [*project()["dependencies"], *extras["server"], *extras["notify"]]


def test_what_the_extras_bring_is_there_for_the_tests() -> None:
    extras = project()["optional-dependencies"]
    assert {*extras["server"], *extras["notify"]} <= set(extras["dev"])


def test_every_library_that_the_package_imports_is_a_dependency() -> None:
    declared = {re.split(r"[^\w.-]", requirement)[0].lower() for requirement in requirements()}
    libraries = set[str]().union(*(imported(path) for path in (ROOT / "piv_mcp").rglob("*.py")))
    distributions = packages_distributions()
    for library in libraries - sys.stdlib_module_names - {"piv_mcp"}:
        assert {name.lower() for name in distributions[library]} & declared, library


def test_the_lowest_versions_are_those_of_pyproject() -> None:
    done = subprocess.run([sys.executable, str(LOWEST)], capture_output=True, text=True, timeout=60, check=True)
    pinned = [line.split("==") for line in done.stdout.splitlines()]
    assert len(pinned) == len(requirements())
    for (name, version), requirement in zip(pinned, requirements(), strict=True):
        assert re.sub(r"\[.*\]", "", requirement).split(",")[0] == f"{name}>={version}"


# The runner of the tests, and the CI


def test_the_scripts_that_start_the_tests_need_the_standard_library_alone() -> None:
    assert imported(RUNNER) | imported(LOWEST) | imported(CLIENTS / "run.py") <= sys.stdlib_module_names


def runner(*arguments: str, path: Path, ci: bool = False) -> subprocess.CompletedProcess[str]:
    """The runner in a copy of itself, with programs in `path` instead of the real ones."""
    environment = {"PATH": str(path), "HOME": str(path), **({"CI": "true"} if ci else {})}
    command = [sys.executable, str(path / "tests" / "run.py"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A checkout with the runner alone, on a machine without a browser. Its Python writes down what it is to do, finds
    no browser of Playwright, and PostgreSQL unless there is a file `no-database`. Its npm installs axe-core."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "run.py").write_bytes(RUNNER.read_bytes())
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    has_database = f'case "$2" in *postgres*) test ! -e {tmp_path}/no-database; exit;; esac'
    python.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/done\ncase "$1" in -c) {has_database}; exit 1;; esac\n')
    python.chmod(0o700)
    axe = tmp_path / "tests" / ".axe" / "node_modules" / "axe-core" / "axe.min.js"
    axe.parent.mkdir(parents=True)
    npm = tmp_path / "npm"
    npm.write_text(f'#!/bin/sh\necho npm "$@" >> {tmp_path}/done\n: > {axe}\n')
    npm.chmod(0o700)
    return tmp_path


def done(copied: Path) -> str:
    return (copied / "done").read_text()


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for Python is a shell script")
def test_the_runner_installs_nothing_on_the_system_when_told_so(copied: Path) -> None:
    ran = runner("--no-install", "-k", "one", path=copied)
    assert ran.returncode == 0, ran.stderr
    assert "playwright install" not in done(copied)
    assert "--no-install" not in done(copied).splitlines()[-1]
    assert done(copied).splitlines()[-1].endswith("-m not browser and not axe -k one")
    assert ran.stdout.count("LEFT OUT: the tests of the approval page") == 2


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for Python is a shell script")
def test_the_runner_says_that_it_leaves_out_what_needs_a_database(copied: Path) -> None:
    (copied / "no-database").touch()
    ran = runner("--no-install", path=copied)
    assert ran.returncode == 0, ran.stderr
    assert done(copied).splitlines()[-1].endswith("-m not browser and not axe and not postgresql")
    assert ran.stdout.count("LEFT OUT: the tests of the store in PostgreSQL") == 2


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for Python is a shell script")
def test_the_runner_leaves_no_test_out_in_a_ci(copied: Path) -> None:
    ran = runner("--no-install", path=copied, ci=True)
    assert ran.returncode != 0
    assert "no test may be left out" in ran.stderr
    assert "-m pytest" not in done(copied)


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for Python is a shell script")
def test_the_runner_says_what_it_installs_and_how_to_do_so_by_hand(copied: Path) -> None:
    ran = runner(path=copied)
    assert ran.returncode == 0, ran.stderr
    python = copied / ".venv" / "bin" / "python"
    assert f"    {python} -m pip install" in ran.stdout
    assert f"    {python} -m playwright install chromium\n" in ran.stdout
    assert "-m playwright install chromium\n" in done(copied)
    assert re.search(r"^npm install .*axe-core@\d+\.\d+\.\d+$", done(copied), re.MULTILINE)
    assert re.search(r"-m pytest -n \d+$", done(copied).splitlines()[-1])
    assert "LEFT OUT" not in ran.stdout


def test_the_ci_runs_the_commands_of_the_readme() -> None:
    ci = CI.read_text(encoding="utf-8")
    assert "README.md" in ci
    assert os.access(CI, os.X_OK)


def test_the_ci_runs_other_pythons_and_the_lowest_dependencies() -> None:
    ci = CI.read_text(encoding="utf-8")
    assert '"$python" tests/run.py' in ci
    assert "tests/lowest.py" in ci
    assert "PIP_CONSTRAINT" in ci


def test_the_ci_runs_the_clients_that_are_not_ours_all_of_them() -> None:
    ci = CI.read_text(encoding="utf-8")
    assert ci.index('commands[0]}"\n') < ci.index("python3 tests/clients/run.py\n") < ci.index("tests/lowest.py")
    runner = (CLIENTS / "run.py").read_text(encoding="utf-8")
    for script in [*CLIENTS.glob("python/*.txt"), *CLIENTS.glob("node/typescript_*.mjs")]:
        assert f"{script.parent.name}/{script.stem}.{'py' if script.suffix == '.txt' else 'mjs'}" in runner


def test_the_versions_of_the_clients_that_are_not_ours_are_exact() -> None:
    packages: dict[str, str] = json.loads((CLIENTS / "node" / "package.json").read_text("utf-8"))["dependencies"]
    pins = [f"{name}=={version}" for name, version in packages.items()]
    for requirements in [*CLIENTS.glob("python/*.txt"), *CLIENTS.glob("node/*.txt")]:
        pins += requirements.read_text("utf-8").splitlines()
    assert len(pins) > 10
    for pin in pins:
        assert re.fullmatch(r"[@\w./-]+(\[\w+\])?==\d+(\.\d+)+", pin), pin
