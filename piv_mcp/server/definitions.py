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

FOLDER = Path(__file__).with_name("definitions")
INDEX = "index.json"


class IndexRow(TypedDict):
    """One tool in the index. `area` is None for the sandbox's tools."""

    name: str
    area: Area | None
    effect: Effect


def load(settings: Settings) -> list[Tool]:
    """The tools that these settings offer, in order."""
    index: list[IndexRow] = json.loads((FOLDER / INDEX).read_bytes())
    names = [row["name"] for row in index if settings.offers(row["area"], row["effect"])]
    return [Tool.model_validate_json((FOLDER / f"{name}.json").read_bytes()) for name in names]
