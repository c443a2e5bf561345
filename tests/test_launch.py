"""The command with which others start this piv-mcp: it holds, and never starts another package of the same name."""

import json
import os
import sys
from collections.abc import Callable
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path

import pytest

from piv_mcp import __version__
from piv_mcp.cli import launch
from piv_mcp.config import load
from piv_mcp.errors import ConfigError

Install = Callable[..., Path]
posix_only = pytest.mark.skipif(os.name != "posix", reason="a shell script stands in for uvx")


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
    """The environment of a program that uvx has started. This uvx finds what the file `found` names, and writes down
    what it was given."""
    programs = tmp_path / "uv programs"
    programs.mkdir()
    (programs / "uv").touch()
    uvx = programs / "uvx"
    uvx.write_text(
        f'#!/bin/sh\nprintf "%s " "$@" > "{programs}/asked"\nenv > "{programs}/env"\ncat "{programs}/found"\n'
    )
    uvx.chmod(0o700)
    return {"UV": str(programs / "uv"), "PATH": os.environ["PATH"]}


def finds(uv: dict[str, str], prefix: Path) -> None:
    """Let a client's uvx find this environment."""
    Path(uv["UV"]).with_name("found").write_text(f"{prefix}\n")


def uvx(uv: dict[str, str]) -> str:
    return f"{uv['UV']}x"


@pytest.mark.parametrize("script", ["piv-mcp", "piv-mcp.exe"])
@pytest.mark.parametrize("origin", [None, {"url": "file:///checkout", "dir_info": {"editable": True}}])
def test_an_installation_that_stays_is_started_by_its_own_program(
    install: Install, script: str, origin: object
) -> None:
    prefix = install(origin=origin, script=script)
    assert launch.command({}, prefix) == (str(prefix / "bin" / script),)


def test_without_its_program_this_python_is_started_and_takes_nothing_from_the_folder(install: Install) -> None:
    prefix = install()
    (prefix / "bin" / "piv-mcp").unlink()
    assert launch.command({"PATH": "/usr/bin"}, prefix) == (sys.executable, "-P", "-m", "piv_mcp")


def test_a_checkout_that_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(name: str) -> Distribution:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(launch, "distribution", none)
    with pytest.raises(ConfigError, match="not installed"):
        launch.command()


@posix_only
def test_from_an_index_by_uvx_the_version_is_pinned(install: Install, uv: dict[str, str]) -> None:
    prefix = install(cached=True)
    finds(uv, prefix)
    given = {**uv, "UV_INDEX": "/some/place", "UV_CACHE_DIR": "/a/cache"}
    assert launch.command(given, prefix) == (uvx(uv), "--from", f"piv-mcp=={__version__}", "piv-mcp")
    programs = Path(uv["UV"]).parent
    assert (programs / "asked").read_text().startswith(f"--offline --from piv-mcp=={__version__} python ")
    asked = (programs / "env").read_text()
    assert "UV_CACHE_DIR=/a/cache" in asked
    assert "UV_INDEX" not in asked, "a client does not have it"


@posix_only
@pytest.mark.parametrize("elsewhere", [True, False])
def test_what_a_client_would_not_find_is_not_named(install: Install, uv: dict[str, str], elsewhere: bool) -> None:
    prefix = install(cached=True)
    if elsewhere:  # a package of the same name, from the index that a client asks
        finds(uv, prefix.with_name("another"))
    with pytest.raises(ConfigError, match="another") as refused:
        launch.command(uv, prefix)
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
        (
            {
                "url": "file:///repositories/r.git",
                "vcs_info": {"vcs": "git", "commit_id": "abc123"},
                "subdirectory": "python",
            },
            "piv-mcp @ git+file:///repositories/r.git@abc123#subdirectory=python",
        ),
    ],
    ids=["wheel", "folder", "address", "commit", "part of a repository"],
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


def test_settings_are_written_as_variables_and_as_flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_DATA_HOME")
    env = launch.variables(load(sandbox="true", confirm_destructive="false", toolsets="inbox,numbers"), tmp_path / "k")
    assert env == {
        "PIV_API_KEY_FILE": str(tmp_path / "k"),
        "PIV_SANDBOX": "true",
        "PIV_CONFIRM_DESTRUCTIVE": "false",
        "PIV_TOOLSETS": "numbers,inbox",
    }
    words = [
        "--api-key-file",
        str(tmp_path / "k"),
        "--sandbox",
        "--no-confirm-destructive",
        "--toolsets",
        "numbers,inbox",
    ]
    assert launch.flags(env) == words


def test_a_data_directory_that_depends_on_a_variable_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert launch.variables(load(), None) == {"PIV_DATA_DIR": str(load().directory)}


@pytest.mark.parametrize("name", ["a$b", "${HOME}", "%APPDATA%"])
def test_a_path_that_would_mean_another_one_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="PIV_API_KEY_FILE holds"):
        launch.variables(load(), tmp_path / name)
