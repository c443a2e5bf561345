"""Loads `prompts/*.md`: a TOML header between `+++` lines, then the text of the message to the model."""

import re
import tomllib
from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Literal

from mcp.server.mcpserver.prompts.base import Prompt, PromptArgument, UserMessage
from mcp.types import TextContent
from pydantic import BaseModel, ConfigDict

Source = Literal["numbers", "domains"]
"""What of the account can complete an argument: see `completions`."""


class _Argument(BaseModel):
    model_config = ConfigDict(extra="forbid")
    description: str
    default: str | None = None
    """Value if the argument is left out. An argument without a default is required."""
    choices: Source | list[str] = []
    """What completes the argument while a person types it."""


class _Header(BaseModel):
    model_config = ConfigDict(extra="forbid")
    title: str
    description: str
    order: int
    arguments: dict[str, _Argument] = {}


@dataclass(frozen=True, slots=True)
class PromptFile:
    """One prompt. Its name is the file name without `.md`."""

    name: str
    header: _Header
    text: str

    def render(self, values: Mapping[str, str]) -> str:
        """The text with each `$argument` replaced by its value; an empty value counts as left out."""
        defaults = {name: argument.default or "" for name, argument in self.header.arguments.items()}
        given = {name: " ".join(value.split())[:500] for name, value in values.items() if value.strip()}
        return Template(self.text).safe_substitute({**defaults, **given})

    def names_any(self, tools: Set[str]) -> bool:
        """Whether the text names any of these tools."""
        return not tools.isdisjoint(re.findall(r"\w+", self.text))

    def sdk_prompt(self) -> Prompt:
        """The prompt as an object of the SDK."""

        async def render(**values: str) -> list[UserMessage]:
            return [UserMessage(content=TextContent(type="text", text=self.render(values)))]

        return Prompt(
            name=self.name,
            title=self.header.title,
            description=self.header.description,
            arguments=[
                PromptArgument(name=name, description=argument.description, required=argument.default is None)
                for name, argument in self.header.arguments.items()
            ],
            fn=render,
            context_kwarg=None,
        )


def directory() -> Path:
    """The folder with the prompts: in the installed package, or beside the package in a checkout."""
    packaged = Path(__file__).parent / "_prompts"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "prompts"


def load(folder: Path | None = None) -> list[PromptFile]:
    """All prompts, sorted by `order` in their headers."""
    files = [_parse(path) for path in sorted((folder or directory()).glob("*.md"))]
    return sorted(files, key=lambda file: file.header.order)


def _parse(path: Path) -> PromptFile:
    _, header, text = path.read_text(encoding="utf-8").split("+++\n", 2)
    return PromptFile(path.stem, _Header.model_validate(tomllib.loads(header)), text.strip())
