"""The forms in which clients write an argument, put together from its schema: what is understood, what is refused."""

import json
from collections.abc import Iterator
from typing import Any, cast

from examples import CONSTANTS, VALUES

from piv_mcp.sandbox import Sandbox

Schema = dict[str, Any]

WRONG_TYPES: dict[str, list[object]] = {
    "string": [1.5, True, ["x"], {"x": "y"}, 10**30],
    "integer": ["soon", 1.5, "1,000", "five", "5e0", True, [1], {"x": 1}],
    "number": ["soon", "1,000", True, [1], {"x": 1}],
    "boolean": ["maybe", "yes", 7, [True], {"x": True}],
    "array": [True, 1.5, {"x": "y"}, "['x']", "[", "{"],
    "object": ["x", 5, ["x"], "[]", "{"],
}
"""What no reading turns into the type."""

CONTROL = ["\x00", "a\x00b", "a\nb\x1b[31m", "a\rb", "\x7f", "\x9b31m"]
TRICKS = [
    *(".", "..", "../account", "../../account", "..\\account", "/account", "a/b", "a/../b", "a\\b"),
    *("%2e%2e", "%2e%2e%2faccount", "%2E%2E/", "a%00", "a?limit=1", "a#b", "a;b", "a b"),
    *("\u2024\u2024", "\uff0e\uff0e/", "i\nd", "http://example.com/", "@example.com", "{piv_num_id}", "*"),
]
"""Where a path is meant to lead elsewhere."""

HUGE = "9" * 10_000

OPTIONAL: dict[str, object] = {
    "search": "46",
    "sender": "Google",
    "contains": "your code",
    "message_id": "42",
    "contacts_template": "Call us",
    "style_hint": "plain",
    "email": "me@example.com",
    "phone": "+46 8 123 456",
    "address": "1 Road",
    "legal": "Brand Ltd",
    "legal_name": "Brand Ltd",
    "keywords": ["proxies"],
    "banned_words": ["casino"],
    "languages": ["de"],
    "after": "c1AAAAAAAA",
    "format": "php",
    "spending_id": "sp_0123456789",
    "dns_records": [{"type": "TXT", "name": "@", "content": "null"}],
    **dict.fromkeys(("facebook", "instagram", "linkedin", "youtube", "tiktok"), "https://example.com/me"),
}
"""Values of the parameters that no tool requires, as far as their schemas do not say them."""

TOGETHER: dict[str, dict[str, object]] = {
    "nameservers": {"cloudflare": False},
    **{name: {"types": []} for name in ("message_id", "domain_id", "order_id", "white_id", "queue_id")},
    "contacts_template": {"contacts_mode": "template"},
    "contacts_mode": {"contacts_template": "Call us", "contacts_mode": "template"},
    "blog_count": {"tier_key": "v2_tier3"},
}
"""What else must be given for an optional parameter to be possible."""

ONE_LINE = ("custom_name", "content", "search", "niche", "name", "company", "address", "legal", "legal_name", "phone")
FREE = (*ONE_LINE, "style_hint", "sender", "contains", "text", "message_body", "contacts_template")
"""Texts in which white space may mean something."""

Form = tuple[str, object]
"""Its kind, and the value."""


def value_of(name: str, schema: Schema, sandbox: Sandbox) -> Any:
    """A valid value of a parameter."""
    if "enum" in schema:
        return schema["enum"][-1]
    if name in VALUES:
        return VALUES[name](sandbox)
    if name in OPTIONAL:
        return OPTIONAL[name]
    if name in CONSTANTS:
        return CONSTANTS[name](sandbox)
    return {"integer": max(1, schema.get("minimum", 1)), "number": 0, "boolean": False}[schema["type"]]


def understood(name: str, schema: Schema, value: Any) -> Iterator[Form]:
    """Other ways to write `value`."""
    kind = schema["type"]
    if kind in ("integer", "number"):
        yield from (
            ("text", str(value)),
            ("float", float(value)),
            ("text", f"{value}.0"),
            ("white space", f" {value}\n"),
        )
    elif kind == "boolean":
        yield from (("text", str(value).lower()), ("case", str(value)), ("case", f"{value}".upper()))
        yield from (("number", int(value)), ("text", str(int(value))), ("white space", f" {value} "))
    elif kind == "array":
        yield "text", json.dumps(value)
        yield "white space", f" {json.dumps(value, indent=1)} "
        if len(value) == 1:
            yield "item", value[0]
        if schema["items"]["type"] == "object":
            yield "text", [json.dumps(item) for item in value]
    elif kind == "object":
        yield "text", json.dumps(value)
    elif "enum" in schema:
        yield from (("case", value.upper()), ("case", value.title()), ("white space", f" {value}\t"))
    elif name not in FREE:
        yield "white space", f" {value}\n" if name != "email" and "://" not in value else f"  {value} "
    if name in ("country", "country_code", "language", "type"):
        yield from (("case", value.lower()), ("case", value.upper()))
    if isinstance(value, str) and value.isdigit():
        yield "number", int(value)


def not_given(schema: Schema) -> Iterator[Form]:
    """Ways to write that an optional parameter is left out."""
    yield from (("null", None), ("empty", ""), ("empty", "  "))
    if schema["type"] != "string":
        yield "null", "null"


def refused(name: str, schema: Schema, *, required: bool) -> Iterator[object]:
    """Values that the parameter's own schema, or common sense, rules out."""
    if required:
        yield from (None, "", "   ")
    kind = cast("str", schema["type"])
    yield from WRONG_TYPES[kind]
    if "minimum" in schema:
        yield schema["minimum"] - 1
    if "maximum" in schema:
        yield schema["maximum"] + 1
        yield 10**30
    if kind == "string":
        yield HUGE
        yield "letters " * 1_250
        if "enum" in schema:
            yield "unheard-of"
        yield from CONTROL
        if name.endswith("_id"):
            yield from TRICKS
    if kind == "array":
        yield from ([True], [None], [""], [["x"]], ["x" * 10_000])
        if "maxItems" in schema:
            yield ["ns.example.com"] * (schema["maxItems"] + 1)
        if "minItems" in schema:
            yield from ([], ["ns.example.com"] * (schema["minItems"] - 1))
