"""The command with which others start this piv-mcp: it holds, and never starts another package of the same name."""

import json
import sys
from collections.abc import Callable
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path

import pytest

from piv_mcp import __version__
from piv_mcp.cli import launch
from piv_mcp.errors import ConfigError

Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Makes an environment in which piv-mcp is installed; returns its folder."""

    def make(*, origin: object = None, cached: bool = False, installer: str = "uv", script: str = "piv-mcp") -> Path:
        prefix = tmp_path / "cache" / "archive" / "x1"
        packages = prefix / "lib" / "site-packages"
        info = packages / "piv_mcp-0.1.0.dist-info"
        info.mkdir(parents=True)
        (prefix / "bin").mkdir()
        (prefix / "bin" / script).touch()
        (prefix / "CACHEDIR.TAG").touch()  # uv puts one into every environment that it makes
        if cached:
            (tmp_path / "cache" / "CACHEDIR.TAG").touch()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: piv-mcp\nVersion: {__version__}\n")
        (info / "INSTALLER").write_text(installer)
        (info / "RECORD").write_text(f"../../bin/{script},,\npiv_mcp/__init__.py,,\n")
        if origin is not None:
            (info / "direct_url.json").write_text(json.dumps(origin))

        def found(name: str) -> Distribution:
            return Distribution.at(info)

        monkeypatch.setattr(launch, "distribution", found)
        return prefix

    return make


@pytest.fixture
def uv(tmp_path: Path) -> dict[str, str]:
    """The environment of a program that uvx has started."""
    programs = tmp_path / "uv programs"
    programs.mkdir()
    for name in ("uv", "uvx"):
        (programs / name).touch()
    return {"UV": str(programs / "uv"), "PATH": ""}


def uvx(uv: dict[str, str]) -> str:
    return f"{uv['UV']}x"


@pytest.mark.parametrize("script", ["piv-mcp", "piv-mcp.exe"])
@pytest.mark.parametrize("origin", [None, {"url": "file:///checkout", "dir_info": {"editable": True}}])
def test_an_installation_that_stays_is_started_by_its_own_program(
    install: Install, script: str, origin: object
) -> None:
    prefix = install(origin=origin, script=script)
    assert launch.command({}, prefix) == (str(prefix / "bin" / script),)


def test_without_its_program_this_python_is_started(install: Install) -> None:
    prefix = install()
    (prefix / "bin" / "piv-mcp").unlink()
    assert launch.command({"PATH": "/usr/bin"}, prefix) == (sys.executable, "-m", "piv_mcp")


def test_a_checkout_that_is_not_installed_is_started_by_this_python(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(name: str) -> Distribution:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(launch, "distribution", none)
    assert launch.command() == (sys.executable, "-m", "piv_mcp")


def test_from_an_index_by_uvx_the_version_is_pinned(install: Install, uv: dict[str, str]) -> None:
    prefix = install(cached=True)
    assert launch.command(uv, prefix) == (uvx(uv), "--from", f"piv-mcp=={__version__}", "piv-mcp")


@pytest.mark.parametrize(
    "variable", ["UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_NO_INDEX"]
)
def test_from_an_index_that_a_client_does_not_ask_the_name_is_not_used(
    install: Install, uv: dict[str, str], variable: str
) -> None:
    prefix = install(cached=True)
    with pytest.raises(ConfigError, match=variable) as refused:
        launch.command({**uv, variable: "/some/place"}, prefix)
    assert "/some/place" not in str(refused.value)
    assert "uv tool install" in (refused.value.hint or "")


@pytest.mark.parametrize(
    ("origin", "source"),
    [
        (
            {"url": "file:///a%20b/piv_mcp-0.1.0-py3-none-any.whl", "archive_info": {}},
            "/a b/piv_mcp-0.1.0-py3-none-any.whl",
        ),
        ({"url": "file:///checkout", "dir_info": {}}, "/checkout"),
        ({"url": "https://example.org/p.whl", "archive_info": {}}, "piv-mcp @ https://example.org/p.whl"),
        (
            {
                "url": "https://example.org/r.git",
                "vcs_info": {"vcs": "git", "commit_id": "abc123", "requested_revision": "m"},
            },
            "piv-mcp @ git+https://example.org/r.git@abc123",
        ),
    ],
    ids=["wheel", "folder", "address", "commit"],
)
def test_from_elsewhere_by_uvx_it_is_taken_from_there_again(
    install: Install, uv: dict[str, str], origin: object, source: str
) -> None:
    prefix = install(origin=origin, cached=True)
    assert launch.command(uv, prefix) == (uvx(uv), "--from", source, "piv-mcp")


def test_a_cache_of_another_program_is_refused(install: Install, uv: dict[str, str]) -> None:
    prefix = install(cached=True, installer="pip")
    with pytest.raises(ConfigError, match="cache"):
        launch.command(uv, prefix)


def test_without_uvx_a_cache_is_refused(install: Install) -> None:
    prefix = install(cached=True)
    with pytest.raises(ConfigError, match="cache"):
        launch.command({"PATH": ""}, prefix)
