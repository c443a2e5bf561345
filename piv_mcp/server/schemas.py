"""JSON Schemas as a model should see them: small, without `anyOf`, and closed against unknown names."""

from collections.abc import Mapping
from functools import cache
from typing import Any, cast

from pydantic import BaseModel

Schema = dict[str, Any]


def input_schema(generated: Schema) -> Schema:
    """The SDK's schema of a handler's parameters, tidied, with unknown arguments refused."""
    schema = _tidy(generated, generated.get("$defs", {}))
    schema.setdefault("properties", {})
    schema["additionalProperties"] = False
    return schema


@cache
def output_schema(model: type[BaseModel]) -> Schema:
    """The schema of an answer as it is sent: optional fields are left out rather than null."""
    generated = model.model_json_schema(mode="serialization")
    return _tidy(generated, generated.get("$defs", {}))


def _tidy(node: Schema, definitions: Mapping[str, Any]) -> Schema:
    if "$ref" in node:
        target = definitions[str(node["$ref"]).rsplit("/", 1)[1]]
        node = {**target, **{key: value for key, value in node.items() if key != "$ref"}}
    branches = cast("list[Schema]", node.get("anyOf", []))
    solid = [branch for branch in branches if branch.get("type") != "null"]
    if len(solid) == 1:  # X | None: optional already says that it may be left out
        node = {**{key: value for key, value in node.items() if key != "anyOf"}, **solid[0]}
        return _tidy(node, definitions)
    tidied: Schema = {}
    for key, value in node.items():
        if key in ("title", "$defs", "discriminator") or (key == "default" and value is None):
            continue
        if key == "properties":
            tidied[key] = {name: _tidy(item, definitions) for name, item in value.items()}
        elif key in ("items", "additionalProperties") and isinstance(value, dict):
            tidied[key] = _tidy(cast(Schema, value), definitions)
        elif key in ("anyOf", "oneOf", "allOf", "prefixItems"):
            tidied[key] = [_tidy(item, definitions) for item in value]
        else:
            tidied[key] = value
    return tidied
