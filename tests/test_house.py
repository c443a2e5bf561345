"""The house rules: which module may know which, what importing costs and does, and that versions agree."""

import ast
import json
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import piv_mcp

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "piv_mcp"
MODULES = sorted(
    module.name for module in pkgutil.walk_packages([str(PACKAGE)], "piv_mcp.") if module.name != "piv_mcp.__main__"
)
"""Every module but the one that starts the program when it is imported."""


def path_of(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return file if (file := path.with_suffix(".py")).is_file() else path / "__init__.py"


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse(path_of(module).read_text("utf-8"))


def imports(node: ast.AST, *, types_too: bool) -> Iterator[str]:
    """Every module that is imported below `node`, at any depth; without those only for type checkers."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING" and not types_too:
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "imports are absolute"
            assert child.module
            yield child.module
            yield from (f"{child.module}.{alias.name}" for alias in child.names)
        else:
            yield from imports(child, types_too=types_too)


@cache
def known_to(module: str, *, types_too: bool = False) -> frozenset[str]:
    return frozenset(imports(tree_of(module), types_too=types_too))


def knows(module: str, *others: str, types_too: bool = False) -> list[str]:
    """What of `others`, or below them, a module imports."""
    return sorted(
        name
        for name in known_to(module, types_too=types_too)
        for other in others
        if name == other or name.startswith(f"{other}.")
    )


def below(package: str) -> list[str]:
    return [module for module in MODULES if module == package or module.startswith(f"{package}.")]


# arrows

LAYERS: dict[str, tuple[str, ...]] = {
    "piv_mcp.errors": ("piv_mcp",),
    "piv_mcp.text": ("piv_mcp.api", "piv_mcp.store", "piv_mcp.inbox", "piv_mcp.spending", "piv_mcp.server"),
    "piv_mcp.store": tuple(f"piv_mcp.{name}" for name in ("tools", "inbox", "spending", "web", "server")),
    "piv_mcp.inbox": tuple(f"piv_mcp.{name}" for name in ("tools", "spending", "web", "server")),
    "piv_mcp.spending": tuple(f"piv_mcp.{name}" for name in ("tools", "server", "cli")),
    "piv_mcp.tools": tuple(f"piv_mcp.{name}" for name in ("server", "web", "cli", "runtime")),
    "piv_mcp.server": ("piv_mcp.cli",),
}
"""What each layer must not know: whatever stands above it."""


@pytest.mark.parametrize("layer", LAYERS)
def test_arrows_never_turn_back(layer: str) -> None:
    for module in below(layer):
        assert knows(module, *LAYERS[layer], types_too=True) == [], module


def test_the_api_knows_errors_and_its_own_alone_and_nothing_of_mcp() -> None:
    for module in below("piv_mcp.api"):
        known = knows(module, "piv_mcp", "mcp", types_too=True)
        allowed = re.compile(r"piv_mcp(\.__version__|\.api(\..+)?|\.text(\..+)?|\.errors(\..+)?)?")
        assert [name for name in known if not allowed.fullmatch(name)] == [], module


def test_the_sandbox_shares_no_code_with_what_it_tests() -> None:
    for module in below("piv_mcp.sandbox"):
        assert [name for name in knows(module, "piv_mcp", types_too=True) if ".sandbox" not in name] == [], module


def test_tools_know_neither_http_nor_settings_nor_the_store_s_database() -> None:
    for module in below("piv_mcp.tools"):
        unknown = ("httpx", "httpx2", "piv_mcp.config.Settings", "piv_mcp.config.load", "sqlite3", "os.environ")
        assert knows(module, *unknown, types_too=True) == [], module


def test_no_area_of_tools_knows_another() -> None:
    shared = {f"piv_mcp.tools.{name}" for name in ("spec", "parameters", "answers", "person", "event_rows")}
    for module in below("piv_mcp.tools"):
        others = {name for name in below("piv_mcp.tools") if name not in shared | {module, "piv_mcp.tools"}}
        assert not others & known_to(module, types_too=True), module


def test_only_the_boundary_and_elicitation_speak_the_sdk_s_errors() -> None:
    speaking = [
        module
        for module in MODULES
        if knows(module, "mcp.server.mcpserver.exceptions", "mcp.shared.exceptions", "mcp.MCPError", types_too=True)
    ]
    # How a question ends is an exchange of the protocol, errors included.
    assert speaking == ["piv_mcp.server.results", "piv_mcp.server.server", "piv_mcp.tools.person"]


def test_tools_do_not_catch_what_the_boundary_words() -> None:
    for module in below("piv_mcp.tools"):
        handlers = [node for node in ast.walk(tree_of(module)) if isinstance(node, ast.ExceptHandler)]
        caught = [ast.unparse(handler.type) if handler.type else "everything" for handler in handlers]
        assert not {"Exception", "BaseException", "PivError", "ApiError", "everything"} & set(caught), module


@pytest.mark.parametrize("module", [name for name in MODULES if name != "piv_mcp.cli.main"])
def test_nothing_prints_but_the_command_line(module: str) -> None:
    text = path_of(module).read_text("utf-8")
    calls = [ast.unparse(node.func) for node in ast.walk(tree_of(module)) if isinstance(node, ast.Call)]
    assert not {"print", "click.echo", "sys.stdout.write", "click.secho"} & set(calls)
    assert "sys.stdout" not in text


DATA = ("piv_mcp.inbox.codes.words", "piv_mcp.inbox.codes.lexicon")
"""Lists of words, looked up rather than read."""


@pytest.mark.parametrize("module", [name for name in MODULES if name not in DATA])
def test_modules_are_read_in_one_sitting(module: str) -> None:
    assert len(path_of(module).read_text("utf-8").splitlines()) <= 400


# importing


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=60, check=False
    )


def test_importing_every_module_writes_nothing_and_starts_nothing(tmp_path: Path) -> None:
    program = f"""
import importlib, os, threading
os.chdir({str(tmp_path)!r})
os.environ["HOME"] = os.environ["XDG_DATA_HOME"] = {str(tmp_path)!r}
for module in {MODULES!r}:
    importlib.import_module(module)
assert threading.active_count() == 1, threading.enumerate()
assert not os.listdir({str(tmp_path)!r}), os.listdir({str(tmp_path)!r})
"""
    done = run(program)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_listing_the_tools_imports_nothing_heavy() -> None:
    heavy = ("httpx", "stamina", "tenacity", "phonenumbers", "piv_mcp.sandbox", "piv_mcp.store.database", "uvicorn")
    program = f"""
import asyncio, sys
from mcp import Client
before = set(sys.modules)
from piv_mcp.config import load
from piv_mcp.server.build import build_server
async def main():
    async with Client(build_server(load())) as client:
        assert len((await client.list_tools()).tools) > 40
asyncio.run(main())
loaded = [name for name in {heavy!r} if name in set(sys.modules) - before]
sys.exit(f"imported before they are needed: {{loaded}}" if loaded else 0)
"""
    done = run(program)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_command_line_starts_without_what_other_commands_need() -> None:
    heavy = ("piv_mcp.sandbox", "piv_mcp.cli.doctor", "piv_mcp.cli.demo", "mcp.server", "httpx", "uvicorn")
    program = f"import sys, piv_mcp.cli.main; sys.exit(str([name for name in {heavy!r} if name in sys.modules] or 0))"
    done = run(program)
    assert done.stderr.strip() in ("", "0")


# versions and names


def project() -> dict[str, object]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def test_the_version_is_kept_in_one_place() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", piv_mcp.__version__)
    assert project()["dynamic"] == ["version"]
    assert piv_mcp.__version__ in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_server_json_agrees_with_the_package() -> None:
    described = json.loads((ROOT / "server.json").read_text("utf-8"))
    assert described["version"] == piv_mcp.__version__
    for package in described["packages"]:
        assert package["version"] == piv_mcp.__version__
        assert package["identifier"] == project()["name"]


def test_the_same_words_name_an_area_everywhere() -> None:
    from piv_mcp.config import TOOLSETS
    from piv_mcp.server.catalog import AREAS

    assert set(AREAS) == set(TOOLSETS)
    for area in AREAS:
        assert path_of(f"piv_mcp.tools.{area}").is_file()
        assert list((ROOT / "tests").glob(f"test_{area}*.py")), f"{area} has no tests"
    for area in ("account", "numbers", "proxies", "domains", "whites"):
        assert path_of(f"piv_mcp.api.{area}").is_file()
