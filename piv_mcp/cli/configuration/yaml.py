"""YAML: one value is set or removed, and every other line stays as it is.

ruamel.yaml reads the text and writes the new value. It is not used to write the whole text, whose indentation, quotes
and line breaks it would make its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any, cast

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from piv_mcp.cli.configuration import jsonc
from piv_mcp.cli.configuration.errors import UnreadableError

_NULLS = ("", "null", "~")

_STEP = 2
"""Columns that a level is indented by."""


@dataclass(frozen=True, slots=True)
class _Node:
    """A value: where it stands in the text. The offsets leave out comments and blank lines after it."""

    start: int
    end: int
    column: int
    scalar: str | None
    """The text of a scalar."""
    is_flow: bool
    """Whether it is written in brackets."""
    pairs: "tuple[_Pair, ...] | None"
    """What is in a mapping; None for any other value."""

    def pair(self, key: str) -> "_Pair | None":
        return next((pair for pair in self.pairs or () if pair.key.scalar == key), None)


@dataclass(frozen=True, slots=True)
class _Pair:
    """`key: value` in a mapping."""

    key: _Node
    value: _Node


def parse(text: str) -> dict[str, Any]:
    """The data of a file.

    Raises:
        UnreadableError: it is no YAML, or several documents, or no mapping, or names something twice.
    """
    try:
        data: object = YAML(typ="safe", pure=True).load(text)  # pyright: ignore[reportUnknownMemberType]
    except (YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        raise UnreadableError(f"it is not valid YAML{f' (line {mark.line + 1})' if mark else ''}") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise UnreadableError("it holds no YAML mapping")
    return cast("dict[str, Any]", data)


def put(text: str, path: Sequence[str], value: object) -> str:
    """The text with this value at this path. `parse` must accept the text."""
    node, parent = _root(text), None
    for depth, key in enumerate(path):
        pair = node.pair(key)
        if pair is None:
            return _with_pair(text, node, parent, key, jsonc.nested(path[depth + 1 :], value))
        if depth == len(path) - 1:
            if node.is_flow:
                return text[: pair.value.start] + jsonc.compact(value) + text[pair.value.end :]
            return text[: pair.key.start] + _block({key: value}, pair.key.column).lstrip() + text[pair.value.end :]
        node, parent = _mapping(pair.value), pair
    return text


def remove(text: str, path: Sequence[str]) -> str:
    """The text without what is at this path, and without mappings that it leaves empty."""
    node, parent = _root(text), None
    for key in path[:-1]:
        parent = node.pair(key)
        if parent is None:
            return text
        node = _mapping(parent.value)
    pair = node.pair(path[-1])
    if pair is None:
        return text
    pairs = node.pairs or ()
    if parent is not None and len(pairs) == 1 and "#" not in text[parent.key.end : pair.key.start]:
        return remove(text, path[:-1])
    if not node.is_flow:
        start, end = text.rfind("\n", 0, pair.key.start) + 1, text.find("\n", pair.value.end)
        return text[:start] + (text[end + 1 :] if end >= 0 else "")
    index = pairs.index(pair)
    if index + 1 < len(pairs):
        return text[: pair.key.start] + text[pairs[index + 1].key.start :]
    return text[: pairs[index - 1].value.end if index else pair.key.start] + text[pair.value.end :]


def render(path: Sequence[str], value: object) -> str:
    """A file with this value alone."""
    return _block(jsonc.nested(path, value), 0)


def _with_pair(text: str, node: _Node, parent: _Pair | None, key: str, value: object) -> str:
    pairs = node.pairs or ()
    if pairs and node.is_flow:
        return (
            text[: pairs[0].key.start] + f"{jsonc.compact(key)}: {jsonc.compact(value)}, " + text[pairs[0].key.start :]
        )
    column = pairs[0].key.column if pairs else (parent.key.column + _STEP if parent else 0)
    block = _block({key: value}, column)
    if parent is None and node.is_flow:  # a file that is just `{}`
        return text[: node.start] + block + text[node.end :]
    if parent is None:
        return (text if text.endswith("\n") or not text else text + "\n") + block + "\n"
    if node.is_flow or node.scalar:  # `{}`, `null`, `~`
        text = text[: node.start].rstrip(" ") + text[node.end :]
    line_end = text.find("\n", parent.key.end)
    if line_end < 0:
        return f"{text}\n{block}\n"
    return text[: line_end + 1] + block + "\n" + text[line_end + 1 :]


def _block(value: object, column: int) -> str:
    """The value as lines that begin at this column."""
    out, yaml = StringIO(), YAML()
    yaml.width = 1_000_000  # no line is broken
    yaml.dump(value, out)  # pyright: ignore[reportUnknownMemberType]
    return "\n".join(" " * column + line for line in out.getvalue().rstrip("\n").split("\n"))


def _root(text: str) -> _Node:
    found: Any = YAML(pure=True).compose(text)  # pyright: ignore[reportUnknownMemberType]
    return _mapping(_read(text, found)) if found is not None else _Node(0, 0, 0, None, False, ())


def _mapping(node: _Node) -> _Node:
    """The node, which is a mapping or nothing.

    Raises:
        UnreadableError: it is another value.
    """
    if node.pairs is None and node.scalar not in _NULLS:
        raise UnreadableError("something else stands where the servers belong")
    return node


def _read(text: str, found: Any, column: int = -1) -> _Node:
    """ruamel's node, which has no types, as ours. `column` is where the key of the value begins."""
    pairs: tuple[_Pair, ...] | None = None
    end, is_flow = int(found.end_mark.index), False
    if found.id == "mapping":
        pairs = tuple(
            _Pair(_read(text, key), _read(text, value, int(key.start_mark.column))) for key, value in found.value
        )
    if found.id != "scalar":
        is_flow = bool(found.flow_style)
        if found.value and not is_flow:  # the parser counts comments and blank lines after a block to it
            end = pairs[-1].value.end if pairs else _read(text, found.value[-1], column).end
    elif found.style in ("|", ">"):
        end = _end_of_block(text, int(found.start_mark.index), column)
    scalar = str(found.value) if found.id == "scalar" else None
    return _Node(int(found.start_mark.index), end, int(found.start_mark.column), scalar, is_flow, pairs)


def _end_of_block(text: str, start: int, column: int) -> int:
    """The end of the last line of a block scalar: the last one that is indented deeper than its key."""
    end = position = text.find("\n", start) if "\n" in text[start:] else len(text)
    while position < len(text):
        line_end = text.find("\n", position + 1)
        line_end = len(text) if line_end < 0 else line_end
        line = text[position + 1 : line_end]
        if line.strip():
            if len(line) - len(line.lstrip(" ")) <= column:
                break
            end = line_end
        position = line_end
    return end
