"""The definitions of all tools as JSON files, generated from the code and shipped with it.

`tools/list` is answered from these files, because building the tools with their argument models and schemas takes a
third of the time that the SDK itself takes to start. `index.json` lists the tools in order; each tool has a file with
its definition as sent to clients. A test fails if a file differs from the code; `UPDATE_SNAPSHOTS=1` rewrites them.
"""

import json
from functools import cache
from pathlib import Path
from typing import TypedDict

from mcp.types import Tool

from piv_mcp.config import Area, Effect
from piv_mcp.server.icons import icon
from piv_mcp.server.rights import Rights

ASKS_A_PERSON = "anthropic/requiresUserInteraction"
"""In a tool's `_meta`: the client lets a person see each call. That comes on top of our own question."""

FOLDER = Path(__file__).with_name("definitions")
INDEX = "index.json"


class IndexRow(TypedDict):
    """One tool in the index. `area` is None for the sandbox's tools."""

    name: str
    area: Area | None
    effect: Effect


def load(rights: Rights) -> list[Tool]:
    """The tools that these rights allow, in order."""
    asks = rights.spend_mode == "ask"
    return [
        _tool(row["name"], row["area"], asks=asks and row["effect"] == "spend")
        for row in _index()
        if rights.offers(row["area"], row["effect"])
    ]


@cache
def names() -> frozenset[str]:
    """The names of all tools that there are."""
    return frozenset(row["name"] for row in _index())


def withheld(rights: Rights) -> frozenset[str]:
    """The names of the tools that these rights do not allow."""
    return frozenset(row["name"] for row in _index() if not rights.offers(row["area"], row["effect"]))


@cache
def _index() -> list[IndexRow]:
    return json.loads((FOLDER / INDEX).read_bytes())


@cache
def _tool(name: str, area: Area | None, *, asks: bool) -> Tool:
    tool = Tool.model_validate_json((FOLDER / f"{name}.json").read_bytes())
    tool.icons = [icon(area or "sandbox")]
    if asks:
        tool.meta = {**(tool.meta or {}), ASKS_A_PERSON: True}
    return tool
