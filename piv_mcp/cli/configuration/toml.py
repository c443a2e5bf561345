"""TOML, kept as it is by tomlkit but for the value that is set or removed."""

from collections.abc import MutableMapping, Sequence
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
    return _document(text).unwrap()


def put(text: str, path: Sequence[str], value: object) -> str:
    """The text with this value at this path."""
    document = _document(text)
    table: MutableMapping[str, Any] = document
    for key in path[:-1]:
        if key not in table:
            table[key] = tomlkit.table(is_super_table=True)
        table = _table(table[key])
    table[path[-1]] = value
    return tomlkit.dumps(document)


def remove(text: str, path: Sequence[str]) -> str:
    """The text without what is at this path, and without tables that it leaves empty."""
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


def render(path: Sequence[str], value: object) -> str:
    """A file with this value alone."""
    return put("", path, value).rstrip("\n")


def _document(text: str) -> tomlkit.TOMLDocument:
    try:
        return tomlkit.parse(text)
    except (TOMLKitError, ValueError, RecursionError) as error:
        line: int | None = getattr(error, "line", None)
        raise UnreadableError(f"it is not valid TOML{f' (line {line})' if line else ''}") from None


def _table(item: object) -> MutableMapping[str, Any]:
    if not isinstance(item, MutableMapping):
        raise UnreadableError("something else stands where the servers belong")
    return cast("MutableMapping[str, Any]", item)


def _is_bare(item: object) -> bool:
    """Whether a table has neither values nor comments."""
    return isinstance(item, Table | InlineTable) and not item and not item.as_string().strip("{} \r\n")
