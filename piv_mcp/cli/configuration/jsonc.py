"""JSON with comments: one value is set or removed, and every other character stays as it is.

The tokens are json-five's. What the strict parser of the standard library then refuses, such as keys without quotes, no
client reads either.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, cast

from json5.tokenizer import JSON5Token, tokenize
from json5.utils import JSON5DecodeError

from piv_mcp.cli.configuration.errors import UnreadableError

_COMMENTS = frozenset({"LINE_COMMENT", "BLOCK_COMMENT"})
_BLANK = _COMMENTS | {"WHITESPACE"}
_OPEN, _CLOSE = frozenset({"LBRACE", "LBRACKET"}), frozenset({"RBRACE", "RBRACKET"})
_EMPTY = "{}\n"


@dataclass(frozen=True, slots=True)
class _Member:
    """`"key": value` in an object. All positions are offsets in the text."""

    key: str
    start: int
    value: int
    """Where the value begins."""
    end: int
    comma: int | None
    """The offset of the comma after it."""


@dataclass(frozen=True, slots=True)
class _Object:
    start: int
    """The offset of the opening brace."""
    end: int
    """The offset of the closing brace."""
    members: tuple[_Member, ...]

    def member(self, key: str) -> _Member | None:
        return next((member for member in self.members if member.key == key), None)


def parse(text: str) -> dict[str, Any]:
    """The data of a file. One that holds nothing is an empty object.

    Raises:
        UnreadableError: it is no JSON with comments, or no object, or names something twice.
    """
    if not _significant(text):
        return {}
    try:
        data = json.loads(_strict(text), object_pairs_hook=_unique, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise UnreadableError(f"it is not valid JSON (line {error.lineno}, column {error.colno})") from None
    except (RecursionError, ValueError):  # a number of thousands of digits, too
        raise UnreadableError("it is nested too deeply, or holds an endless number") from None
    if not isinstance(data, dict):
        raise UnreadableError("it holds no JSON object")
    return cast("dict[str, Any]", data)


def put(text: str, path: Sequence[str], value: object) -> str:
    """The text with this value at this path. `parse` must accept the text."""
    if not _significant(text):
        text = (text.rstrip() + "\n" if text.strip() else "") + _EMPTY
    found = _object_at(text, 0)
    for depth, key in enumerate(path):
        member = found.member(key)
        inner = nested(path[depth + 1 :], value)
        if member is None:
            return _with_member(text, found, key, inner)
        if depth == len(path) - 1 or _is_null(text, member):
            shown = _shown(text, inner, _indent(text, member.start))
            return text[: member.value] + shown + text[member.end :]
        found = _object_at(text, member.value)
    return text


def remove(text: str, path: Sequence[str]) -> str:
    """The text without what is at this path, and without objects that it leaves empty."""
    found, parents = _object_at(text, 0), list[_Object]()
    for key in path[:-1]:
        parents.append(found)
        member = found.member(key)
        if member is None:
            return text
        found = _object_at(text, member.value)
    member = found.member(path[-1])
    if member is None:
        return text
    if parents and len(found.members) == 1 and not _has_comment(text, found, member):
        return remove(text, path[:-1])
    return _without(text, found, member)


def render(path: Sequence[str], value: object) -> str:
    """A file with this value alone."""
    return json.dumps(nested(path, value), indent=2, ensure_ascii=False)


def nested(path: Sequence[str], value: object) -> object:
    """The value, in an object for each key of the path."""
    for key in reversed(path):
        value = {key: value}
    return value


def compact(value: object) -> str:
    """The value on one line."""
    return json.dumps(value, ensure_ascii=False)


def _is_null(text: str, member: _Member) -> bool:
    return text[member.value : member.end] == "null"


def _with_member(text: str, found: _Object, key: str, value: object) -> str:
    inside = text[found.start : found.end]
    if found.members and "\n" not in inside:
        entry = f"{compact(key)}: {compact(value)}, "
        return _spliced(text, (found.members[0].start, found.members[0].start, entry))
    outer = _indent(text, found.start)
    inner = _indent(text, found.members[0].start) if found.members else outer + _unit(text)
    entry = f"\n{inner}{json.dumps(key)}: {_shown(text, value, inner)}"
    last = found.members[-1] if found.members else None
    content_end = len(text[: found.end].rstrip())
    if last is not None and last.comma is not None:
        entry += ","  # as its other members have it
    if "\n" not in text[content_end : found.end]:
        entry += f"\n{outer}"
    edits = [(content_end, content_end, entry)]
    if last is not None and last.comma is None:
        edits.insert(0, (last.end, last.end, ","))
    return _spliced(text, *edits)


def _without(text: str, found: _Object, member: _Member) -> str:
    index = found.members.index(member)
    start, end = member.start, member.end if member.comma is None else member.comma + 1
    edits: list[tuple[int, int, str]] = []
    if member.comma is None and index:
        comma = found.members[index - 1].comma
        if comma is not None:
            edits.append((comma, comma + 1, ""))
    line = text[end:].split("\n", 1)[0]
    before = len(text[:start].rstrip(" \t"))
    if not line.strip() and text[:before].endswith("\n"):
        start = before - 1  # the whole line
    elif member.comma is not None:
        end += len(line) - len(line.lstrip(" \t"))
    else:
        start = before
    return _spliced(text, *edits, (start, end, ""))


def _spliced(text: str, *edits: tuple[int, int, str]) -> str:
    """The text with each (start, end, replacement); they stand in order."""
    for start, end, replacement in reversed(edits):
        text = text[:start] + replacement + text[end:]
    return text


def _shown(text: str, value: object, indent: str) -> str:
    lines = json.dumps(value, indent=_unit(text), ensure_ascii=False).split("\n")
    return f"\n{indent}".join(lines)


def _unit(text: str) -> str:
    """What one level is indented by in this text."""
    first = _object_at(text, 0).members[:1]
    return (_indent(text, first[0].start) if first else "") or "  "


def _indent(text: str, position: int) -> str:
    line = text[text.rfind("\n", 0, position) + 1 : position]
    return line[: len(line) - len(line.lstrip(" \t"))]


@lru_cache(maxsize=4)
def _tokens(text: str) -> tuple[JSON5Token, ...]:
    """Raises `UnreadableError`: the text holds what is no token."""
    try:
        return tuple(tokenize(text))
    except JSON5DecodeError as error:
        line = f" (line {error.lineno})" if error.lineno else ""
        raise UnreadableError(f"it is not valid JSON{line}") from None


def _significant(text: str) -> list[JSON5Token]:
    """The tokens without comments and white space."""
    return [token for token in _tokens(text) if token.type not in _BLANK]


def _strict(text: str) -> str:
    """The text with spaces in place of comments and of commas before a closing bracket: all else stays in its line."""
    significant = _significant(text)
    left_out = {
        token.index for token, following in pairwise(significant) if token.type == "COMMA" and following.type in _CLOSE
    }
    return "".join(
        re.sub(r"[^\n]", " ", token.value) if token.type in _COMMENTS or token.index in left_out else token.value
        for token in _tokens(text)
    )


def _object_at(text: str, start: int) -> _Object:
    """The object whose opening brace is the first token from here on.

    Raises:
        UnreadableError: there is another value.
    """
    tokens = [token for token in _significant(text) if token.index >= start]
    if not tokens or tokens[0].type != "LBRACE":
        raise UnreadableError("something else stands where the servers belong")
    members: list[_Member] = []
    position = 1
    while tokens[position].type != "RBRACE":
        key, first = tokens[position], position + 2
        after = _after_value(tokens, first)
        comma = tokens[after].index if tokens[after].type == "COMMA" else None
        name = cast("str", json.loads(key.value))
        members.append(_Member(name, key.index, tokens[first].index, tokens[after - 1].end, comma))
        position = after if comma is None else after + 1
    return _Object(tokens[0].index, tokens[position].index, tuple(members))


def _after_value(tokens: Sequence[JSON5Token], position: int) -> int:
    """The position of the token after the value that begins here."""
    depth = 0
    while depth or tokens[position].type not in _CLOSE | {"COMMA"}:
        depth += (tokens[position].type in _OPEN) - (tokens[position].type in _CLOSE)
        position += 1
    return position


def _has_comment(text: str, found: _Object, member: _Member) -> bool:
    """Whether the object has a comment outside this member."""
    return any(
        token.type in _COMMENTS and not member.start < token.index < member.end
        for token in _tokens(text)
        if found.start < token.index < found.end
    )


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Raises `UnreadableError` where a name comes twice: programs differ in which of the two they read."""
    found: dict[str, object] = {}
    for name, value in pairs:
        if name in found:
            raise UnreadableError(f"it names {json.dumps(name)} twice in one object")
        found[name] = value
    return found


def _no_constant(name: str) -> object:
    """Raises `UnreadableError`: Python reads NaN and Infinity, and JSON does not have them."""
    raise UnreadableError(f"it is not valid JSON ({name})")
