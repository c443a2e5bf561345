"""The definitions of all tools as data, generated from the code and shipped with it, one file a tool.

`tools/list` is answered from these files: building them, their argument models and schemas takes a third of the
time that the SDK itself takes to start. A test fails when a file differs from the code; `UPDATE_SNAPSHOTS=1` rewrites
them.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mcp.types import Tool

from piv_mcp.config import Area, Settings

FOLDER = Path(__file__).with_name("definitions")

Offer = Mapping[str, Any]
"""`order`, `area` and `effect` of a tool beside its definition as it goes over the wire."""


def load(settings: Settings) -> list[Tool]:
    """The tools that these settings offer, in order."""
    offers = (json.loads(path.read_bytes()) for path in FOLDER.glob("*.json"))
    offered = [offer for offer in offers if is_offered(offer["area"], offer["effect"], settings)]
    offered.sort(key=lambda offer: offer["order"])
    return [Tool.model_validate(offer["tool"]) for offer in offered]


def is_offered(area: Area | None, effect: str, settings: Settings) -> bool:
    """Whether a tool is offered. Tools without an area belong to the sandbox."""
    if settings.read_only and effect != "read":
        return False
    if area is None:
        return settings.sandbox
    return area in settings.toolsets and not (effect == "spend" and settings.spend_mode == "deny")


def generate() -> Iterator[tuple[str, Offer]]:
    """(file name, content) of every definition, from the code."""
    from piv_mcp.server import catalog
    from piv_mcp.server.registration import wire_definition

    for order, (area, spec) in enumerate(catalog.everything()):
        offer = {"order": order, "area": area, "effect": spec.effect, "tool": wire_definition(spec)}
        yield f"{spec.name}.json", offer


def dump(offer: Offer) -> str:
    return json.dumps(offer, ensure_ascii=False, indent=1) + "\n"
