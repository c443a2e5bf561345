"""Whether a converter has lost something of a tool's parameters."""

from collections.abc import Iterator, Mapping
from typing import Any

from checks import check, equal

Schema = Mapping[str, Any]

KEPT = ("type", "description", "enum", "default", "minimum", "maximum", "minItems", "maxItems")


def nodes(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Every parameter with its path, those of objects in lists too."""
    for name, node in schema.get("properties", {}).items():
        yield f"{path}.{name}", node
        yield from nodes(node, f"{path}.{name}")
        if "items" in node:
            yield f"{path}.{name}[]", node["items"]
            yield from nodes(node["items"], f"{path}.{name}[]")


def nothing_is_lost(what: str, sent: Schema, found: Schema, *, but: tuple[str, ...] = (), strict: bool = False) -> None:
    """Hold what a converter made of a schema against it. `but`: keywords that the converter does not know."""
    wanted, made = dict(nodes(sent)), dict(nodes(found))
    equal(f"{what}: parameters", list(made), list(wanted))
    for path in wanted.keys() & made.keys():
        for key in KEPT:
            if key not in but:
                equal(f"{what}: {key} of {path}", made[path].get(key), wanted[path].get(key))
    required = set(sent["properties"]) if strict else set(sent.get("required", []))
    equal(f"{what}: required parameters", set(found.get("required", [])), required)
    if strict:
        check(f"{what}: closed", found.get("additionalProperties") is False, found)
