"""The house rules: which module may know which, what importing costs and does, and that versions agree."""

import ast
import gc
import json
import pkgutil
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import suppress
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
    gc.disable()  # a collection in the middle of a parse can fail it (SystemError in CPython 3.11)
    try:
        return ast.parse(path_of(module).read_text("utf-8"))
    finally:
        gc.enable()


def below(package: str) -> list[str]:
    return [module for module in MODULES if module == package or module.startswith(f"{package}.")]


# arrows: the contracts in pyproject.toml, by import-linter


def contracts(folder: Path) -> subprocess.CompletedProcess[str]:
    """import-linter's verdict on the package in a folder, by the contracts beside it."""
    program = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    return subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def another_house(tmp_path: Path) -> Path:
    """A copy of the package with its contracts."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(PACKAGE, tmp_path / "piv_mcp", ignore=shutil.ignore_patterns("__pycache__", "*.json"))
    return tmp_path


def test_every_contract_is_kept() -> None:
    done = contracts(ROOT)
    assert done.returncode == 0, done.stdout


def test_a_room_without_a_rule_breaks_them(another_house: Path) -> None:
    (another_house / "piv_mcp" / "attic").mkdir()
    (another_house / "piv_mcp" / "attic" / "__init__.py").touch()
    done = contracts(another_house)
    assert done.returncode == 1
    assert "attic" in done.stdout


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("text/times.py", "import piv_mcp.errors, piv_mcp.store"),
        ("store/facts.py", "import piv_mcp.inbox.wait"),
        ("spending/quote.py", "import piv_mcp.spending.gate"),
        ("tools/numbers.py", "import piv_mcp.tools.inbox"),
        ("spending/gate.py", "import sqlite3"),
        ("inbox/inbox.py", "from mcp import Client"),
        ("store/events.py", "import httpx"),
    ],
    ids=lambda value: value.split(".")[0],
)
def test_an_arrow_that_turns_back_breaks_them(another_house: Path, module: str, line: str) -> None:
    file = another_house / "piv_mcp" / module
    file.write_text(f"{file.read_text('utf-8')}\n{line}\n", "utf-8")
    done = contracts(another_house)
    assert done.returncode == 1, done.stdout
    assert "BROKEN" in done.stdout


SQL = re.compile(r"^\s*(SELECT|INSERT INTO|UPDATE \w+ SET|DELETE FROM|PRAGMA|CREATE TABLE|ALTER TABLE|BEGIN)\b")


def test_one_module_of_the_money_gate_reads_events() -> None:
    """Webhooks are hearsay: what may be concluded from one stands in one place."""
    readers = {
        path.name
        for path in (PACKAGE / "spending").rglob("*.py")
        if re.search(r"^from piv_mcp\.store(\.events)? import .*\b(events|StoredEvent)\b", path.read_text(), re.M)
    }
    assert readers == {"hearsay.py"}


def test_sql_stands_in_the_store_alone() -> None:
    for module in sorted(set(MODULES) - set(below("piv_mcp.store"))):
        texts = [node.value for node in ast.walk(tree_of(module)) if isinstance(node, ast.Constant)]
        assert [text for text in texts if isinstance(text, str) and SQL.match(text)] == [], module


def test_the_top_holds_rooms_and_a_few_modules_alone() -> None:
    loose = {path.stem for path in PACKAGE.glob("*.py")}
    assert loose == {"__init__", "__main__", "errors", "log", "metrics", "services", "runtime"}


def classes() -> Iterator[tuple[str, str]]:
    for module in MODULES:
        for node in tree_of(module).body:
            if isinstance(node, ast.ClassDef):
                yield node.name, module


def test_a_class_has_a_name_of_its_own() -> None:
    seen: dict[str, str] = {}
    for name, module in classes():
        assert name not in seen, f"{name} stands in {seen.get(name)} and {module}"
        seen[name] = module


def constants() -> Iterator[tuple[str, object, str]]:
    """The module-level constants that are written out. Not the word lists of the code extractor."""
    for module in sorted(set(MODULES) - set(below("piv_mcp.inbox.codes"))):
        for node in tree_of(module).body:
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=value) if name.isupper():
                    pass
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value) if name.isupper():
                    pass
                case _:
                    continue
            with suppress(ValueError, TypeError):
                yield name, ast.literal_eval(value), module


def test_a_constant_has_one_value() -> None:
    seen: dict[str, tuple[object, str]] = {}
    for name, value, module in constants():
        known = seen.setdefault(name, (value, module))
        assert known[0] == value, f"{name} is {known[0]!r} in {known[1]} and {value!r} in {module}"


def late_imports(node: ast.AST, *, inside: bool = False) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports inside functions."""
    for child in ast.iter_child_nodes(node):
        if inside and isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        yield from late_imports(child, inside=inside or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("module", MODULES)
def test_an_import_that_does_not_stand_at_the_top_says_why(module: str) -> None:
    lines = path_of(module).read_text("utf-8").splitlines()
    unexplained: list[str] = []
    explained_to = 0
    for node in late_imports(tree_of(module)):
        span = lines[node.lineno - 1 : node.end_lineno]
        # A comment on the import, or above the first of a group.
        if any("#" in line for line in span) or node.lineno == explained_to or "#" in lines[node.lineno - 2]:
            explained_to = (node.end_lineno or 0) + 1
        else:
            unexplained.append(span[0].strip())
    assert unexplained == []


def test_tools_know_no_settings() -> None:
    for module in below("piv_mcp.tools"):
        text = path_of(module).read_text("utf-8")
        assert not re.search(r"import .*\b(Settings|load)\b", text), module
        assert "os.environ" not in text


def test_tools_do_not_catch_what_the_server_words() -> None:
    for module in below("piv_mcp.tools"):
        handlers = [node for node in ast.walk(tree_of(module)) if isinstance(node, ast.ExceptHandler)]
        caught = [ast.unparse(handler.type) if handler.type else "everything" for handler in handlers]
        assert not {"Exception", "BaseException", "PivError", "ApiError", "everything"} & set(caught), module


@pytest.mark.parametrize("module", [name for name in MODULES if not name.startswith("piv_mcp.cli")])
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
    heavy += ("babel", "piv_mcp.console")
    program = f"""
import asyncio, sys
from mcp import Client
before = set(sys.modules)
from piv_mcp.config import load
from piv_mcp.server.build import build_server
async def main():
    async with Client(build_server(load())) as client:
        assert len((await client.list_tools()).tools) > 40
        loaded = [name for name in {heavy!r} if name in set(sys.modules) - before]  # the services start a moment later
    sys.exit(f"imported before they are needed: {{loaded}}" if loaded else 0)
asyncio.run(main())
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
