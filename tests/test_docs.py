"""The README and the pages in docs/ are true. `UPDATE_DOCS=1` rewrites their generated tables."""

import os
import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import client_links
import pytest
from annotated_types import Ge, Le
from bundle import first_sentence
from click.testing import CliRunner
from pydantic.fields import FieldInfo
from setting_fields import choices_of, words_of

from piv_mcp.cli import main as cli
from piv_mcp.cli.configuration.clients import CLIENTS
from piv_mcp.config import TOOLSETS, Settings
from piv_mcp.server import catalog, prompts
from piv_mcp.server.resources import RESOURCES
from piv_mcp.tools.spec import ToolSpec

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
CHINESE = ROOT / "README.zh-CN.md"
DOCS = ROOT / "docs"
PAGES = (README, CHINESE, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted(DOCS.glob("*.md")))
MAX_README_WORDS = 1282
EFFECTS = {"read": "reads", "write": "changes", "spend": "**costs money**"}


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def section(page: Path, heading: str) -> str:
    return text_of(page).split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


# The generated tables


def table(*rows: Iterable[str]) -> list[str]:
    head, *body = ([cell.replace("|", "\\|") for cell in row] for row in rows)
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *body)]


def sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:].rstrip('.')}."


def tool_row(tool: ToolSpec) -> tuple[str, str, str]:
    return f"`{tool.name}`", EFFECTS[tool.effect], first_sentence(tool.handler.__doc__ or "")


def tools() -> list[str]:
    lines: list[str] = []
    for area, specs in catalog.AREAS.items():
        lines += [f"### {area.capitalize()}", ""]
        lines += [*table(("Tool", "Effect", "What it does"), *map(tool_row, specs)), ""]
    return lines[:-1]


def resources() -> list[str]:
    return table(("Resource", "What it holds"), *((f"`{spec.uri}`", spec.description) for spec in RESOURCES.values()))


def prompt_rows() -> list[str]:
    found = ((file.name, file.header) for file in prompts.load())
    rows = (
        (f"`{name}`", ", ".join(f"`{argument}`" for argument in header.arguments), header.description)
        for name, header in found
    )
    return table(("Prompt", "Arguments", "What it asks for"), *rows)


def values(field: FieldInfo) -> str:
    """What may be given, in words."""
    kind: Any = field.annotation
    choices = TOOLSETS if field.default == TOOLSETS else choices_of(kind)
    if choices:
        return ", ".join(f"`{choice}`" for choice in choices)
    if kind is bool:
        return "`true`, `false`"
    if kind in (int, float, Decimal):
        low = next((item.ge for item in field.metadata if isinstance(item, Ge)), None)
        high = next((item.le for item in field.metadata if isinstance(item, Le)), None)
        bounds = f"{low} to {high}" if high is not None else f"{low} or more"
        return f"whole number, {bounds}" if kind is int else f"number, {bounds}"
    return "path" if Path in get_args(kind) else "text"


def default(field: FieldInfo, words: str) -> str:
    """The default as it would be given; the description's own words where there is none."""
    match field.default:
        case None:
            return words
        case bool(value):
            return f"`{str(value).lower()}`"
        case tuple():
            return f"`{words_of(field)}`"
        case value:
            return f"`{value}`"


def settings() -> list[str]:
    rows: list[tuple[str, str, str, str]] = []
    for name, field in Settings.model_fields.items():
        meaning, _, words = (field.description or "").partition("; default: ")
        environment_only = " (environment only)"
        if words.endswith(environment_only):
            words = words.removesuffix(environment_only)
            meaning += environment_only
        rows.append((f"`PIV_{name.upper()}`", default(field, words), values(field), sentence(meaning)))
    return table(("Name", "Default", "Values", "Meaning"), *rows)


def areas() -> list[str]:
    rows = (
        (f"`{area}`", str(len(specs)), str(sum(spec.effect == "spend" for spec in specs)))
        for area, specs in catalog.AREAS.items()
    )
    return table(("Area", "Tools", "Of these cost money"), *rows)


GENERATED: list[tuple[str, str, Callable[[], list[str]]]] = [
    ("tools.md", "tools", tools),
    ("tools.md", "resources", resources),
    ("tools.md", "prompts", prompt_rows),
    ("settings.md", "settings", settings),
    ("../README.md", "links", client_links.lines),
    ("../README.zh-CN.md", "links", lambda: client_links.lines("在 {client} 中安装")),
    ("clients.md", "areas", areas),
]


@pytest.mark.parametrize(
    ("page", "mark", "make"), GENERATED, ids=[f"{mark} in {Path(page).name}" for page, mark, _ in GENERATED]
)
def test_the_generated_tables_are_fresh(page: str, mark: str, make: Callable[[], list[str]]) -> None:
    path = DOCS / page
    before, rest = text_of(path).split(f"<!-- {mark} -->\n")
    _, after = rest.split(f"<!-- /{mark} -->")
    fresh = "\n".join([f"{before}<!-- {mark} -->", "", *make(), "", f"<!-- /{mark} -->{after}"])
    if os.environ.get("UPDATE_DOCS"):
        path.write_text(fresh, encoding="utf-8")
    assert text_of(path) == fresh, "stale: run this test once with UPDATE_DOCS=1"


def test_the_table_of_settings_has_each_setting_once_in_the_order_of_the_code() -> None:
    names = re.findall(r"^\| `(PIV_[A-Z_]+)` \|", text_of(DOCS / "settings.md"), re.MULTILINE)
    assert names == [f"PIV_{name.upper()}" for name in Settings.model_fields]


def test_the_defaults_in_the_table_of_settings_are_those_of_the_code() -> None:
    defaults = dict(re.findall(r"^\| `PIV_([A-Z_]+)` \| (.*?) \|", text_of(DOCS / "settings.md"), re.MULTILINE))
    for name, field in Settings.model_fields.items():
        shown = defaults[name.upper()].strip("`")
        match field.default:
            case None:
                assert shown == "" or " " in shown, f"{name} has no default, so the table describes one"
            case bool(value):
                assert shown == ("true" if value else "false"), name
            case tuple():
                assert shown == words_of(field), name
            case value:
                assert shown == str(value), name


# What the pages name


def test_the_readme_is_short() -> None:
    assert len(text_of(README).split()) <= MAX_README_WORDS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_setting_that_a_page_names_exists(page: Path) -> None:
    named = set(re.findall(r"PIV_[A-Z_]+", text_of(page)))
    assert named <= {f"PIV_{name.upper()}" for name in Settings.model_fields}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    folder = ""
    pattern = r"`([a-z_.]+/[a-z_/]*(?:\.[a-z]+)?|[a-z_]+\.(?:py|json|toml)|[A-Z]+\.md)`"
    for name in re.findall(pattern, text_of(page)):
        if name == "tools/list":  # a method of MCP
            continue
        here = [ROOT / name, ROOT / "piv_mcp" / name, ROOT / folder / name]
        assert any(path.exists() for path in here), name
        if "/" in name and name.endswith(".py"):
            folder = str(Path(name).parent)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    targets = [target for target in re.findall(r"\]\(([^)]+)\)", text_of(page)) if "://" not in target]
    for target in targets:
        assert (page.parent / target).is_file(), target


def test_the_areas_that_the_page_on_clients_advises_are_few_enough() -> None:
    page = text_of(DOCS / "clients.md")
    (advised,) = re.findall(r"`([a-z,]+)` has everything for codes and stays below 40", page)
    assert sum(len(catalog.AREAS[area]) for area in advised.split(",")) < 40


def test_every_client_that_can_be_configured_has_a_row() -> None:
    page = section(DOCS / "clients.md", "What they do").partition("<!-- areas -->")[0]
    rows = re.findall(r"^\| `([a-z-]+)` \|", page, re.MULTILINE)
    assert rows == list(CLIENTS)


def test_every_source_is_named_where_it_counts() -> None:
    body, sources = text_of(DOCS / "clients.md").split("\n## Where this is from\n")
    numbers = [int(number) for number in re.findall(r"^(\d+)\. ", sources, re.MULTILINE)]
    assert numbers == sorted({int(number) for number in re.findall(r"\[(\d+)\]", body)})


def test_the_readme_links_every_page() -> None:
    linked = set(re.findall(r"\]\(([^)]+)\)", section(README, "More")))
    assert linked >= {str(page.relative_to(ROOT)) for page in PAGES if page not in (README, CHINESE)}
    assert CHINESE.name in re.findall(r"\]\(([^)]+)\)", text_of(README))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_tool_and_resource_that_a_page_names_exists(page: Path) -> None:
    text = text_of(page)
    verbs = "get|list|wait|purchase|renew|restore|send|register|create|reconcile|simulate"
    named = set(re.findall(rf"`((?:{verbs})_[a-z_]+)`", text))
    assert named <= {spec.name for _, spec in catalog.everything()}
    assert set(re.findall(r"piv://[a-z_/{}]+", text)) <= set(RESOURCES)


def test_every_command_that_a_page_names_exists() -> None:
    commands = {
        command for page in PAGES for command in re.findall(r"(?:^|`|/)piv-mcp ([a-z]+)\b", text_of(page), re.MULTILINE)
    }
    assert {"demo", "doctor", "install", "uninstall", "receive", "approvals"} <= commands
    for command in commands:
        assert CliRunner().invoke(cli.main, [command, "--help"]).exit_code == 0, command


def test_the_readme_counts_the_tools_that_cost_money() -> None:
    assert sum(spec.effect == "spend" for _, spec in catalog.everything()) == 11
    assert "Eleven tools cost money." in section(README, "Money")


# The README in another language


def sections(page: Path) -> list[str]:
    """What is before the first heading of the second level, and each section with its heading."""
    return text_of(page).split("\n## ")


@pytest.mark.parametrize("other", [CHINESE], ids=lambda page: page.name)
def test_the_readme_in_another_language_has_the_same_commands_names_and_links(other: Path) -> None:
    assert len(sections(other)) == len(sections(README))
    for ours, theirs in zip(sections(README), sections(other), strict=True):
        heading = ours.partition("\n")[0]
        for pattern in (
            r"```sh\n.*?\n```",  # commands
            r"(?<!`)`[^`\n]+`(?!`)",  # settings, tools, values
            r"^(?:- |\d\. |> |\| `)",  # items, quotations, rows
            r"\d+(?:[.,-]\d+)*",  # figures
        ):
            found = [sorted(re.findall(pattern, text, re.DOTALL | re.MULTILINE)) for text in (ours, theirs)]
            assert found[1] == found[0], f"{heading}: {pattern}"
        links = [set(re.findall(r"\]\(([^)]+)\)", text)) - {README.name, CHINESE.name} for text in (ours, theirs)]
        assert links[1] == links[0], heading
    assert f"[English]({README.name})" in text_of(other)


# Trying it


def commands_to_try() -> list[str]:
    """The commands that do all the set-up."""
    return re.findall(r"```sh\n(.*?)\n```", section(README, "Try it"), re.DOTALL)


def test_two_commands_of_one_line_each_do_all_the_set_up() -> None:
    demo, tests = commands_to_try()
    for command in (demo, tests):
        assert "\n" not in command
    assert demo.startswith("python3 -m venv .venv && .venv/bin/pip install")
    steps = demo.split(" && ")[1:]
    assert all(step.startswith(".venv/bin/") for step in steps), "nothing touches the system's Python"
    assert demo.endswith(" && .venv/bin/piv-mcp demo")
    assert tests == "python3 tests/run.py"
