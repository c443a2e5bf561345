"""The extension for Claude Desktop: its manifest says what the code does, and it holds what it needs and nothing else.

`tests/prove_bundle.py` starts it; these tests need neither Node nor the network.
"""

import json
import re
import shutil
import struct
import tomllib
from pathlib import Path
from typing import Any, get_args, get_origin
from zipfile import ZipFile

import bundle
import pytest
from mcp import Client

from piv_mcp import __version__
from piv_mcp.config import ASKED_BY_EXTENSION, ENVIRONMENT_ONLY, Settings, load
from piv_mcp.server.build import build_server

ROOT = Path(__file__).parent.parent
DEFAULTS = Settings.model_construct()


def manifest() -> dict[str, Any]:
    return json.loads(bundle.files()["manifest.json"])


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def user_config() -> dict[str, dict[str, Any]]:
    return manifest()["user_config"]


def environment(**filled_in: str) -> dict[str, str]:
    """The variables that the server gets, as Claude Desktop replaces placeholders: without a value they stay."""
    env: dict[str, str] = manifest()["server"]["mcp_config"]["env"]
    for name, value in filled_in.items():
        env = {variable: text.replace(f"${{user_config.{name}}}", value) for variable, text in env.items()}
    return env


# The manifest


async def test_the_manifest_promises_what_is_offered_with_nothing_set() -> None:
    async with Client(build_server(load())) as client:
        offered = [tool.name for tool in (await client.list_tools()).tools]
    assert [tool["name"] for tool in manifest()["tools"]] == offered


def test_each_tool_is_described_in_one_sentence() -> None:
    for tool in manifest()["tools"]:
        assert re.fullmatch(r"[A-Z].*\w\w\)?\.", tool["description"]), tool
        assert ". " not in tool["description"].replace("e.g. ", ""), tool


def test_the_manifest_has_the_name_and_version_of_the_package() -> None:
    assert (manifest()["name"], manifest()["version"]) == (project()["project"]["name"], __version__)
    assert manifest()["manifest_version"] == "0.4"


def test_the_command_is_one_of_the_package() -> None:
    server = manifest()["server"]
    *uv_run, command = server["mcp_config"]["args"]
    assert [server["type"], server["mcp_config"]["command"], *uv_run] == [
        "uv",
        "uv",
        "run",
        "--directory",
        "${__dirname}",
    ]
    assert command in project()["project"]["scripts"]
    assert server["entry_point"] in bundle.files()


def test_every_field_reaches_its_setting() -> None:
    assert tuple(user_config()) == ASKED_BY_EXTENSION, "what nobody fills in is not set, for these alone"
    assert environment() == {f"PIV_{name.upper()}": f"${{user_config.{name}}}" for name in user_config()}


def test_a_secret_is_masked_and_has_no_default() -> None:
    for name, option in user_config().items():
        secret = name in ENVIRONMENT_ONLY
        assert option.get("sensitive", False) == secret, name
        assert ("default" in option) != secret, name


def test_a_field_with_few_answers_names_each() -> None:
    for name, option in user_config().items():
        kind = Settings.model_fields[name].annotation
        for choice in get_args(kind) if get_origin(kind) is not None and option["type"] == "string" else ():
            assert name in ENVIRONMENT_ONLY or f"{choice}: " in option["description"], name


@pytest.mark.parametrize("left", ["as it is", "empty", "at its default"])
def test_the_server_starts_with_its_defaults_when_no_field_is_filled_in(
    monkeypatch: pytest.MonkeyPatch, left: str
) -> None:
    match left:
        case "empty":
            filled_in = dict.fromkeys(user_config(), "")
        case "at its default":  # a client writes a switch as JavaScript does
            defaults = {name: option["default"] for name, option in user_config().items() if "default" in option}
            filled_in = {
                name: value if isinstance(value, str) else json.dumps(value) for name, value in defaults.items()
            }
        case _:
            filled_in = {}
    for name, value in environment(**filled_in).items():
        monkeypatch.setenv(name, value)
    assert load() == DEFAULTS


def test_what_is_filled_in_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(api_key="sk-0123456789ab", sandbox="true", spend_mode="deny").items():
        monkeypatch.setenv(name, value)
    settings = load()
    assert settings.api_key is not None
    assert settings.api_key.get_secret_value() == "sk-0123456789ab"
    assert (settings.sandbox, settings.spend_mode) == (True, "deny")


# The file


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the extension holds, in a checkout that people work in."""
    for folder in bundle.FOLDERS:
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in bundle.FILES:
        shutil.copy(ROOT / name, tmp_path)
    for left in (
        *[".git/config", ".venv/bin/python", "tests/test_x.py", "dist/old.mcpb", ".env", "api-key"],
        *["piv_mcp/__pycache__/config.cpython-311.pyc", "piv_mcp/.DS_Store", "prompts/.read_my_code.md.swp"],
    ):
        (tmp_path / left).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / left).write_text("not for others")
    return tmp_path


def test_the_extension_holds_the_sources_and_nothing_else_of_a_checkout(checkout: Path, tmp_path: Path) -> None:
    with ZipFile(bundle.build(tmp_path / "built", checkout)) as built:
        names = built.namelist()
        assert b"not for others" not in b"".join(map(built.read, names))
    folders = {name.split("/")[0] for name in names if "/" in name}
    assert folders == {"piv_mcp", "prompts"}
    assert {name for name in names if "/" not in name} == {*bundle.FILES, "manifest.json", "icon.png"}
    assert names == sorted(bundle.files())


def test_the_extension_holds_what_installing_the_package_needs() -> None:
    held = set(bundle.files())
    package, hatch = project()["project"], project()["tool"]["hatch"]
    assert {package["readme"], *package["license-files"], hatch["version"]["path"], "pyproject.toml"} <= held
    wheel = hatch["build"]["targets"]["wheel"]
    for folder in (*wheel["packages"], *wheel["force-include"]):
        sources = (path for path in (ROOT / folder).rglob("*.*") if "__pycache__" not in path.parts)
        files = {path.relative_to(ROOT).as_posix() for path in sources}
        assert files
        assert files <= held


def test_the_same_checkout_gives_the_same_file(checkout: Path, tmp_path: Path) -> None:
    first = bundle.build(tmp_path / "one", checkout).read_bytes()
    for path in checkout.rglob("*.py"):
        path.touch()
        path.chmod(0o600)
    assert bundle.build(tmp_path / "two", checkout).read_bytes() == first


def test_the_icon_is_a_png_of_the_size_that_the_client_shows() -> None:
    picture = bundle.files()[manifest()["icon"]]
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", picture[16:24]) == (512, 512)
