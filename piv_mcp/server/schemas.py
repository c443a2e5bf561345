"""Simplifies JSON Schemas for models: small, without `anyOf`, and without additional properties."""

from collections.abc import Mapping
from functools import cache
from typing import Any, cast

from pydantic import BaseModel

Schema = dict[str, Any]


def input_schema(generated: Schema) -> Schema:
    """The schema of a tool's arguments: the SDK's schema of the handler, simplified and without other arguments."""
    schema = _simplify(generated, generated.get("$defs", {}))
    schema.setdefault("properties", {})
    schema["additionalProperties"] = False
    return schema


@cache
def output_schema(model: type[BaseModel]) -> Schema:
    """The schema of a tool's result. Optional fields are left out of a result; they are never null."""
    generated = model.model_json_schema(mode="serialization")
    return _simplify(generated, generated.get("$defs", {}))


def _simplify(node: Schema, definitions: Mapping[str, Any]) -> Schema:
    if "$ref" in node:
        target = definitions[str(node["$ref"]).rsplit("/", 1)[1]]
        node = {**target, **{key: value for key, value in node.items() if key != "$ref"}}
    branches = cast("list[Schema]", node.get("anyOf", []))
    non_null = [branch for branch in branches if branch.get("type") != "null"]
    if len(non_null) == 1:  # X | None: a field that is not required may be left out, and needs no null
        node = {**{key: value for key, value in node.items() if key != "anyOf"}, **non_null[0]}
        return _simplify(node, definitions)
    simplified: Schema = {}
    for key, value in node.items():
        if key in ("title", "$defs", "discriminator") or (key == "default" and value is None):
            continue
        if key == "properties":
            simplified[key] = {name: _simplify(item, definitions) for name, item in value.items()}
        elif key in ("items", "additionalProperties") and isinstance(value, dict):
            simplified[key] = _simplify(cast(Schema, value), definitions)
        elif key in ("anyOf", "oneOf", "allOf", "prefixItems"):
            simplified[key] = [_simplify(item, definitions) for item in value]
        else:
            simplified[key] = value
    return simplified
