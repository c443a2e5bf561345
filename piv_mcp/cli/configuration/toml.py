"""TOML: one table is set or removed, and every other line stays as it is.

A table with a header of its own is changed by its lines: tomlkit counts the comments before the next header to the
table above it, and would move or remove them with it. Inline tables and dotted keys are left to tomlkit.
"""

import re
import tomllib
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any, cast

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import InlineTable, Table

from piv_mcp.cli.configuration.errors import UnreadableError


def parse(text: str) -> dict[str, Any]:
    """The data of a file.

    Raises:
        UnreadableError: it is no TOML.
    """
    try:
        return tomllib.loads(text.replace("\r\n", "\n"))  # the strictest reader
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        where = re.search(r"line \d+", str(error))
        raise UnreadableError(f"it is not valid TOML ({where[0] if where else 'at its end'})") from None


def put(text: str, path: Sequence[str], value: object) -> str:
    """The text with this value at this path, in the first form in which the file then reads as it should. `parse` must
    accept the text."""
    wanted = parse(text)
    table: Any = wanted
    for key in path[:-1]:
        table = _table(table.setdefault(key, {}))
    table[path[-1]] = value
    for write in (_put_as_table, _put_by_tomlkit, _put_at_top, _put_anew):
        with suppress(UnreadableError):
            changed = write(text, path, value)
            if parse(changed) == wanted:
                return changed
    raise UnreadableError("our entry cannot be put into it as it is written")


def remove(text: str, path: Sequence[str]) -> str:
    """The text without what is at this path, and without tables that it leaves empty."""
    lines = text.splitlines(keepends=True)
    blocks = list(_blocks(lines, path))
    if not blocks:
        return _remove_by_tomlkit(text, path)
    for block in reversed(blocks):
        start = block.start
        while start and not lines[start - 1].strip():
            start -= 1  # the blank lines before a table go with it
        del lines[start : block.stop]
    return "".join(lines)


def render(path: Sequence[str], value: object) -> str:
    """A file with this value alone."""
    return _put_by_tomlkit("", path, value).rstrip("\n")


_HEADER = re.compile(r"\s*\[(?P<array>\[)?(?P<name>.+?)\]+\s*(#.*)?$")


def _blocks(lines: Sequence[str], path: Sequence[str]) -> Iterator[range]:
    """The lines of each table at this path or below it, up to its last value: what follows belongs to the next table.

    A line in a text of several lines may look like a header. Then the data is not what it should be, and the file is
    refused.
    """
    headers = [number for number, line in enumerate(lines) if _HEADER.match(line)]
    for number, following in pairwise([*headers, len(lines)]):
        if _names(lines[number])[: len(path)] == list(path):
            while following > number + 1 and not lines[following - 1].split("#")[0].strip():
                following -= 1
            yield range(number, following)


def _names(header: str) -> list[str]:
    """The dotted name in a header, part by part."""
    match = _HEADER.match(header)
    try:
        found: object = tomlkit.parse(f"[{match['name']}]").unwrap() if match and not match["array"] else None
    except TOMLKitError:
        return []
    names: list[str] = []
    while isinstance(found, dict) and found:
        (name,) = cast("dict[str, object]", found)
        names.append(name)
        found = cast("dict[str, object]", found)[name]
    return names


def _put_as_table(text: str, path: Sequence[str], value: object) -> str:
    """In the place of the former table, or at the end."""
    lines = text.splitlines(keepends=True)
    blocks = list(_blocks(lines, path))
    shown = render(path, value) + "\n"
    if not blocks:
        return text.rstrip("\n") + "\n\n" + shown if text.strip() else shown
    first = blocks[0].start
    for block in reversed(blocks):
        end = block.stop
        while block is not blocks[-1] and end < len(lines) and not lines[end].strip():
            end += 1  # the blank lines between two tables of the entry
        del lines[block.start : end]
    return "".join([*lines[:first], shown, *lines[first:]])


def _put_at_top(text: str, path: Sequence[str], value: object) -> str:
    """In one line before every table, as dotted keys are written."""
    table = tomlkit.inline_table()
    for name, inner in cast("dict[str, Any]", value).items():
        table[name] = inner
    return f"{'.'.join(path)} = {table.as_string()}\n{text}"


def _put_anew(text: str, path: Sequence[str], value: object) -> str:
    """At the end, once what is there is gone."""
    return _put_as_table(_remove_by_tomlkit(text, path), path, value)


def _put_by_tomlkit(text: str, path: Sequence[str], value: object) -> str:
    document = _document(text)
    table: MutableMapping[str, Any] = document
    for key in path[:-1]:
        if key not in table:
            table[key] = tomlkit.table(is_super_table=True)
        table = _table(table[key])
    table[path[-1]] = value
    return tomlkit.dumps(document)


def _remove_by_tomlkit(text: str, path: Sequence[str]) -> str:
    document = _document(text)
    tables: list[MutableMapping[str, Any]] = [document]
    for key in path[:-1]:
        if key not in tables[-1]:
            return text
        tables.append(_table(tables[-1][key]))
    for table, key in zip(reversed(tables), reversed(path), strict=True):
        if key in table and (table is tables[-1] or _is_bare(table[key])):
            del table[key]
    return tomlkit.dumps(document)


def _document(text: str) -> tomlkit.TOMLDocument:
    try:
        return tomlkit.parse(text)
    except (TOMLKitError, ValueError, RecursionError):
        raise UnreadableError("it is not valid TOML") from None


def _table(item: object) -> MutableMapping[str, Any]:
    if not isinstance(item, MutableMapping):
        raise UnreadableError("something else stands where the servers belong")
    return cast("MutableMapping[str, Any]", item)


def _is_bare(item: object) -> bool:
    """Whether a table has neither values nor comments."""
    return isinstance(item, Table | InlineTable) and not item and not item.as_string().strip("{} \r\n")
