"""Reads the Containerfile, stage by stage, and compose.yaml."""

import json
import re
import shlex
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, cast

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parent.parent
CONTAINERFILE = ROOT / "Containerfile"


@dataclass
class Stage:
    """One stage of the build. `base` is the name of its image."""

    base: str
    name: str | None
    steps: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """(instruction, arguments), in order."""

    def all_of(self, instruction: str) -> list[str]:
        return [arguments for name, arguments in self.steps if name == instruction]

    def last(self, instruction: str) -> str:
        return self.all_of(instruction)[-1]

    def words(self, instruction: str) -> list[str]:
        """The last such instruction, which is in JSON."""
        return json_words(self.last(instruction))

    def environment(self) -> dict[str, str]:
        return dict(word.split("=", 1) for line in self.all_of("ENV") for word in shlex.split(line))

    def extras(self) -> list[str]:
        """Those with which pip installs the project."""
        named = [re.findall(r"\.\[([\w,-]+)\]", line) for line in self.all_of("RUN")]
        return [extra for names in chain(*named) for extra in names.split(",")]


def stages(text: str) -> list[Stage]:
    """The stages of a Containerfile, the last of which becomes the image."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    found: list[Stage] = []
    defaults: dict[str, str] = {}
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        instruction, _, arguments = line.strip().partition(" ")
        match instruction.upper():
            case "ARG" if not found:
                name, _, value = arguments.partition("=")
                defaults[name] = value
            case "FROM":
                words = re.sub(r"\$\{(\w+)\}", lambda name: defaults[name[1]], arguments).split()
                found.append(Stage(words[0], words[2] if len(words) > 2 else None))
            case name:
                found[-1].steps.append((name, arguments.strip()))
    return found


def json_words(text: str) -> list[str]:
    return json.loads(text)


def compose() -> dict[str, Any]:
    """What compose.yaml says."""
    parser = cast("Any", YAML(typ="safe"))
    return parser.load((ROOT / "compose.yaml").read_text("utf-8"))
