"""Containerfile and compose.yaml: what runs has few rights, and every name in them is one that piv-mcp knows.

That they work is proved by tests/prove_container.py.
"""

import ast
from typing import Any
from urllib.parse import urlsplit

import pytest
from containerfile import CONTAINERFILE, ROOT, compose, json_words, stages

from piv_mcp.config import ENVIRONMENT_ONLY, Settings

IMAGE = stages(CONTAINERFILE.read_text("utf-8"))[-1]
SERVICES: dict[str, dict[str, Any]] = compose()["services"]
SERVERS = ["server-1", "server-2"]


def names(variables: object) -> set[str]:
    """The settings among variables."""
    assert isinstance(variables, dict)
    return {str(name).removeprefix("PIV_").lower() for name in variables if str(name).startswith("PIV_")}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def test_every_setting_in_them_exists() -> None:
    given = names(IMAGE.environment()).union(*(names(SERVICES[name]["environment"]) for name in SERVERS))
    assert given <= set(Settings.model_fields)
    for variables in (IMAGE.environment(), *(SERVICES[name]["environment"] for name in SERVERS)):
        secrets = {name: value for name, value in variables.items() if names({name: value}) & ENVIRONMENT_ONLY}
        assert set(secrets) <= {"PIV_STORE_URL"}, "a secret belongs into a file"
        assert all(urlsplit(value).password is None for value in secrets.values())


def test_the_image_runs_without_root() -> None:
    user, _, group = IMAGE.last("USER").partition(":")
    assert int(user) > 0
    assert int(group) > 0
    assert IMAGE.steps.index(("USER", f"{user}:{group}")) > max(
        number for number, (instruction, _) in enumerate(IMAGE.steps) if instruction in ("RUN", "COPY")
    )


def test_the_health_checks_are_programs_that_need_no_shell() -> None:
    of_image = json_words(IMAGE.last("HEALTHCHECK").partition(" CMD ")[2])
    for words in (of_image, *(SERVICES[name]["healthcheck"]["test"][1:] for name in SERVERS)):
        assert words[:2] == ["python", "-c"]
        ast.parse(words[2])


def test_only_what_is_needed_reaches_the_build() -> None:
    """Above all no key and no store."""
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    taken = {line[1:] for line in rules if line.startswith("!")}
    build = stages(CONTAINERFILE.read_text("utf-8"))[0]
    assert taken == {word for line in build.all_of("COPY") for word in line.split()[:-1]}


@pytest.mark.parametrize("name", list(SERVICES))
def test_a_service_has_few_rights(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert set(service.get("cap_add", ())) <= {"NET_BIND_SERVICE"}
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service


def test_only_the_proxy_is_reached_from_outside() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["proxy"]
    assert compose()["networks"]["inside"]["internal"] is True
    assert SERVICES["database"]["networks"] == ["inside"]
    assert "inside" not in SERVICES["proxy"]["networks"]


def test_a_server_has_the_time_that_it_takes_to_stop() -> None:
    assert [SERVICES[name]["stop_grace_period"] for name in SERVERS] == ["30s", "30s"]


def test_secrets_are_files_that_git_does_not_take() -> None:
    made = compose()["secrets"]
    assert {secret["file"].startswith("./secrets/") for secret in made.values()} == {True}
    assert "secrets/" in (ROOT / ".gitignore").read_text("utf-8").splitlines()
    used = {secret for service in SERVICES.values() for secret in service.get("secrets", ())}
    assert used == set(made)


def test_the_proxy_knows_both_servers_and_asks_whether_they_are_ready() -> None:
    text = compose()["configs"]["caddyfile"]["content"]
    port = IMAGE.environment()["PIV_HTTP_PORT"]
    for name in SERVERS:
        assert f"{name}:{port}" in text
    assert "health_uri /ready" in text
