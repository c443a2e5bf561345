"""The definitions of all tools as JSON files, generated from the code and shipped with it.

`tools/list` is answered from these files, because building the tools with their argument models and schemas takes a
third of the time that the SDK itself takes to start. `index.json` lists the tools in order; each tool has a file with
its definition as sent to clients. A test fails if a file differs from the code; `UPDATE_SNAPSHOTS=1` rewrites them.
"""

import json
from pathlib import Path
from typing import TypedDict

from mcp.types import Tool

from piv_mcp.config import Area, Effect, Settings
from piv_mcp.server.icons import icon

ASKS_A_PERSON = "anthropic/requiresUserInteraction"
"""In a tool's `_meta`: the client lets a person see each call. That comes on top of our own question."""

FOLDER = Path(__file__).with_name("definitions")
INDEX = "index.json"


class IndexRow(TypedDict):
    """One tool in the index. `area` is None for the sandbox's tools."""

    name: str
    area: Area | None
    effect: Effect


def load(settings: Settings) -> list[Tool]:
    """The tools that these settings offer, in order."""
    return [_tool(row, settings) for row in _index() if settings.offers(row["area"], row["effect"])]


def withheld(settings: Settings) -> frozenset[str]:
    """The names of the tools that these settings do not offer."""
    return frozenset(row["name"] for row in _index() if not settings.offers(row["area"], row["effect"]))


def _index() -> list[IndexRow]:
    return json.loads((FOLDER / INDEX).read_bytes())


def _tool(row: IndexRow, settings: Settings) -> Tool:
    tool = Tool.model_validate_json((FOLDER / f"{row['name']}.json").read_bytes())
    tool.icons = [icon(row["area"] or "sandbox")]
    if row["effect"] == "spend" and settings.spend_mode == "ask":
        tool.meta = {**(tool.meta or {}), ASKS_A_PERSON: True}
    return tool
