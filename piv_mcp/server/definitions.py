"""The definitions of all tools as data, generated from the code and shipped with it.

`tools/list` is answered from these files, since building the tools with their argument models and schemas takes a third
of the time that the SDK itself takes to start. `index.json` has the tools in their order; each tool has a file with its
definition as it goes over the wire. A test fails when a file differs from the code; `UPDATE_SNAPSHOTS=1` rewrites them.
"""

import json
from pathlib import Path
from typing import TypedDict

from mcp.types import Tool

from piv_mcp.config import Area, Effect, Settings

FOLDER = Path(__file__).with_name("definitions")
INDEX = "index.json"


class Offer(TypedDict):
    """One row of the index. Tools without an area belong to the sandbox."""

    name: str
    area: Area | None
    effect: Effect


def load(settings: Settings) -> list[Tool]:
    """The tools that these settings offer, in order."""
    index: list[Offer] = json.loads((FOLDER / INDEX).read_bytes())
    names = [offer["name"] for offer in index if settings.offers(offer["area"], offer["effect"])]
    return [Tool.model_validate_json((FOLDER / f"{name}.json").read_bytes()) for name in names]
