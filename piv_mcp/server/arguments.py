"""Reads the arguments of a call as the tool's own schema means them, whatever the client's habits.

Clients write the same argument in different ways: null or an empty text for "not given", a text for a number, one item
for a list of one, a whole list as JSON in a text, parameters of their own on every tool. All of that becomes one form
here, before the arguments are validated.

What is not text may come as JSON in a text. What is text is never decoded: a DNS record whose content is `null` or
`{"v":1}` is sent as it was written. What has two readings (1.5 for a whole number, two items for one, a fraction for a
text) is refused in words: nothing that would be sent changes its meaning.

The schema is one that `schemas.input_schema` made: every node has a `type`, and there are no choices of types.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NoReturn, cast

from piv_mcp.server.wording import did_you_mean, quoted

Schema = dict[str, Any]

FILLERS = frozenset(
    {
        "wait_for_previous",  # Gemini CLI, on every tool
        "waitForPreviousTools",
        "toolAction",
        "toolSummary",
        "task_progress",  # Cline
        "random_string",  # Cursor and others, on tools without parameters
        "dummy",
        "placeholder",
    }
)
"""Parameters that clients add to any tool for themselves. They are dropped. So are names that begin with an underscore,
such as `_meta`, unless a parameter of the tool may have been meant."""

LARGEST = 2**53
"""Above this, clients that have no integers have rounded a number before they sent it."""

MIN_TEXT_DIGITS = 6
"""A number that came as a fraction (46764794425.0) is an id or a phone number from this many digits on. With fewer it
may be a version or an amount, whose zeros mean something."""

MOST_PROBLEMS = 8
"""Problems that one refusal names."""

_INTEGER = re.compile(r"[+-]?(?:0|[1-9][0-9]{0,30})(?:\.0{1,30})?")
_NUMBER = re.compile(r"[+-]?(?:0|[1-9][0-9]{0,30})(?:\.[0-9]{1,30})?")
_SWITCHES = {"true": True, "false": False, "1": True, "0": False}


@dataclass
class Arguments:
    """The arguments that were understood, and what is wrong with the others, in words."""

    values: dict[str, Any] = field(default_factory=dict[str, Any])
    problems: list[str] = field(default_factory=list[str])
    unknown: bool = False
    """Whether a name was unknown."""
    instead: Mapping[str, str] = field(default_factory=dict[str, str])
    """Unknown names for which there is something to do instead."""

    def named_problems(self) -> list[str]:
        more = len(self.problems) - MOST_PROBLEMS
        return [*self.problems[:MOST_PROBLEMS], *([f"and {more} more"] if more > 0 else [])]


class _Unreadable(ValueError):
    """What is wrong with a value: the rest of a sentence that begins with its name."""


def read_arguments(
    given: Mapping[str, Any], schema: Schema, extra: Mapping[str, bool | str] = MappingProxyType({})
) -> Arguments:
    """The arguments `given` by a client, read by the tool's input schema.

    `extra` are names that the schema does not show: a switch with its only possible value, or, for what the API lacks,
    what to do instead.
    """
    read = Arguments(instead={name: words for name, words in extra.items() if isinstance(words, str)})
    known: Schema = schema["properties"]
    kept: dict[str, Any] = {}
    for name, value in given.items():
        if name in known:
            kept[name] = value
        elif isinstance(only := extra.get(name), bool):
            _check_switch(name, value, only, read)
        elif not _is_filler(name, known):
            kept[name] = value  # an unknown name, which `_fields` refuses
    read.values = _fields(kept, schema, "", read)
    return read


def _is_filler(name: str, known: Mapping[str, Any]) -> bool:
    return name in FILLERS or (name.startswith("_") and not did_you_mean(name.strip("_"), list(known)))


def _check_switch(name: str, value: object, only: bool, read: Arguments) -> None:
    try:
        if _is_given(value) and _switch(value) is not only:
            read.problems.append(f"{name}: can only be {json.dumps(only)}, which need not be given")
    except _Unreadable as problem:
        read.problems.append(f"{name}: {problem}")


def _fields(given: Mapping[str, Any], schema: Schema, place: str, read: Arguments) -> dict[str, Any]:
    """The fields of an object whose schema has `properties`. Problems are noted in `read`."""
    known: Schema = schema["properties"]
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name not in known:
            read.unknown = True
            what = f" is not a parameter{did_you_mean(name, list(known))}"
            read.problems.append(
                place + (f"{name}: {read.instead[name]}" if name in read.instead else quoted(name) + what)
            )
        elif _is_given(value, known[name]):
            values[name] = _read(value, known[name], f"{place}{name}", read)
    missing = [name for name in schema.get("required", []) if name not in values]
    read.problems += [f"{place}{name}: is required" for name in missing]
    return values


def _is_given(value: object, schema: Schema | None = None) -> bool:
    """Whether a value says anything. Where no text is wanted, `null` may come as JSON in a text."""
    if isinstance(value, str):
        text = value.strip()
        return bool(text) and not (text == "null" and schema is not None and schema["type"] != "string")
    return value is not None


def _read(value: object, schema: Schema, place: str, read: Arguments) -> object:
    try:
        if schema["type"] == "array":
            return _list(value, schema, place, read)
        if schema["type"] == "object":
            return _object(value, schema, place, read)
        return _SCALARS[schema["type"]](value, schema)
    except _Unreadable as problem:
        read.problems.append(f"{place}: {problem}")
        return None


# lists and objects


def _list(value: object, schema: Schema, place: str, read: Arguments) -> list[Any]:
    items: object = _decoded(value, _such_as_list(schema)) if isinstance(value, str) else value
    listed = cast("list[object]", items if isinstance(items, list) else [items])
    if isinstance(items, dict) and schema["items"]["type"] != "object":
        raise _Unreadable(_such_as_list(schema))
    if len(listed) < schema.get("minItems", 0):
        raise _Unreadable(f"must have at least {schema['minItems']} items, {_such_as_list(schema, verb='as')}")
    if len(listed) > schema.get("maxItems", len(listed)):
        raise _Unreadable(f"must have at most {schema['maxItems']} items")
    return [_item(item, schema["items"], f"{place}.{index}", read) for index, item in enumerate(listed)]


def _item(item: object, schema: Schema, place: str, read: Arguments) -> object:
    if not _is_given(item):
        read.problems.append(f"{place}: is empty; leave it out")
        return None
    return _read(item, schema, place, read)


def _object(value: object, schema: Schema, place: str, read: Arguments) -> dict[str, Any]:
    given = _decoded(value, _SUCH_AS_OBJECT) if isinstance(value, str) else value
    if not isinstance(given, dict):
        raise _Unreadable(_SUCH_AS_OBJECT)
    fields = cast("dict[str, Any]", given)
    if "properties" in schema:
        return _fields(fields, schema, f"{place}.", read)
    return _map(fields, place, read)


def _map(fields: dict[str, Any], place: str, read: Arguments) -> dict[str, Any]:
    """An object whose names are the caller's own. Its values are single ones, of any type."""
    for name, value in fields.items():
        if isinstance(value, dict | list) or (isinstance(value, float) and not math.isfinite(value)):
            read.problems.append(f'{place}.{quoted(name)}: must be one value, such as "abc"')
    return {name: _map_value(value) for name, value in fields.items() if value is not None}


def _map_value(value: object) -> object:
    return str(value) if isinstance(value, float) else value


_SUCH_AS_OBJECT = 'must be an object, such as {"name": "value"}'


def _such_as_list(schema: Schema, verb: str = "must be a list, such as") -> str:
    return f"{verb} {_LISTS[schema['items']['type']]}"


_LISTS = {"string": '["first", "second"]', "object": '[{"name": "value"}]'}


def _decoded(text: str, problem: str) -> object:
    """The list or object that a text holds as JSON; any other text is itself."""
    if text.lstrip()[:1] not in ("[", "{"):
        return text
    try:
        return json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise _Unreadable(f"is not valid JSON; it {problem}") from None


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


# single values


def _text(value: object, schema: Schema) -> str:
    if "enum" in schema:
        return _choice(value, schema["enum"])
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST:
        return str(value)
    if isinstance(value, float) and value.is_integer() and 10 ** (MIN_TEXT_DIGITS - 1) <= abs(value) <= LARGEST:
        return str(int(value))
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise _Unreadable('must be text: write the number in quotes, such as "1.50"')
    raise _Unreadable('must be one text, such as "abc"')


def _choice(value: object, choices: list[str]) -> str:
    wanted = value.strip().casefold() if isinstance(value, str) else None
    for choice in choices:
        if choice.casefold() == wanted:
            return choice
    raise _Unreadable(f"must be one of {', '.join(choices)}")


def _switch(value: object, schema: Schema | None = None) -> bool:
    if isinstance(value, bool):
        return value
    word = value.strip().casefold() if isinstance(value, str) else None
    if isinstance(value, int | float) and value in (0, 1):
        word = str(int(value))
    if word not in _SWITCHES:
        raise _Unreadable("must be true or false")
    return _SWITCHES[word]


def _integer(value: object, schema: Schema) -> int:
    if isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
        return _in_range(int(value.strip().partition(".")[0]), schema)
    if isinstance(value, int) and not isinstance(value, bool):
        return _in_range(value, schema)
    if isinstance(value, float) and value.is_integer():
        return _in_range(int(value), schema)
    raise _Unreadable(f"must be a whole number, such as {_example(schema)}")


def _number(value: object, schema: Schema) -> float:
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        return _in_range(float(value), schema)
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return _in_range(value, schema)
    raise _Unreadable(f"must be a number, such as {_example(schema)}")


def _in_range(value: Any, schema: Schema) -> Any:
    least, most = schema.get("minimum", -LARGEST), schema.get("maximum", LARGEST)
    if value < least:
        raise _Unreadable(f"must be at least {least}")
    if value > most:
        raise _Unreadable(f"must be at most {most}")
    return value


def _example(schema: Schema) -> object:
    return schema.get("default", max(1, schema.get("minimum", 1)))


_SCALARS: Mapping[str, Callable[[object, Schema], object]] = {
    "string": _text,
    "boolean": _switch,
    "integer": _integer,
    "number": _number,
}
