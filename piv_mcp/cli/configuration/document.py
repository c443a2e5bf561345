"""One value in a configuration file, in whichever form the file has."""

import json
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol, cast

from piv_mcp.cli.configuration import jsonc, toml, yaml
from piv_mcp.cli.configuration.errors import UnreadableError

Form = Literal["json", "toml", "yaml"]


class _Editor(Protocol):
    def parse(self, text: str) -> dict[str, Any]: ...
    def put(self, text: str, path: Sequence[str], value: object) -> str: ...
    def remove(self, text: str, path: Sequence[str]) -> str: ...
    def render(self, path: Sequence[str], value: object) -> str: ...


_EDITORS: dict[Form, _Editor] = {
    "json": cast("_Editor", jsonc),
    "toml": cast("_Editor", toml),
    "yaml": cast("_Editor", yaml),
}

_NOTHING = object()


def render(form: Form, path: Sequence[str], value: object) -> str:
    """A file with this value alone."""
    return _EDITORS[form].render(path, value)


def get(form: Form, text: str, path: Sequence[str]) -> object:
    """The value at this path, or None.

    Raises:
        UnreadableError: the text is not valid, or another kind of value stands on the way.
    """
    found: Any = _EDITORS[form].parse(text)
    for key in path:
        if found is None:
            return None
        if not isinstance(found, dict):
            raise UnreadableError("something else stands where the servers belong")
        found = cast("dict[str, Any]", found).get(key)
    return found


def put(form: Form, text: str, path: Sequence[str], value: object) -> str:
    """The text with this value at this path, and all else as it was.

    Raises:
        UnreadableError: the text is not valid, or it cannot be changed in this place alone.
    """
    return _edited(form, text, path, value, lambda lines: _EDITORS[form].put(lines, path, value))


def remove(form: Form, text: str, path: Sequence[str]) -> str:
    """The text without what is at this path, and all else as it was. Raises as `put` does."""
    return _edited(form, text, path, _NOTHING, lambda lines: _EDITORS[form].remove(lines, path))


def _edited(form: Form, text: str, path: Sequence[str], value: object, edit: Callable[[str], str]) -> str:
    """The edited text, whose lines end as they did, if its data is what it should be.

    The data is compared since an alias of YAML, say, would change another place with this one.
    """
    parse = _EDITORS[form].parse
    before = _plain(parse(text))
    in_crlf = "\r\n" in text and text.count("\r\n") == text.count("\n")
    edited = edit(text.replace("\r\n", "\n")).replace("\n", "\r\n") if in_crlf else edit(text)
    try:
        after, found = _plain(parse(edited)), get(form, edited, path)
    except UnreadableError:
        raise UnreadableError("our entry cannot be put into it as it is written") from None
    for data in (before, after):
        _assign(data, path, value)
    shown = [json.dumps(data, sort_keys=True) for data in (before, after)]
    if found != (None if value is _NOTHING else value) or shown[0] != shown[1]:
        raise UnreadableError("it cannot be changed without changing something else in it")
    return edited


def _plain(data: object) -> Any:
    """A copy in which no two places are one object, and which JSON can show."""
    if isinstance(data, dict):
        return {str(name): _plain(value) for name, value in cast("dict[object, object]", data).items()}
    if isinstance(data, list | tuple | set):
        return [_plain(value) for value in cast("list[object]", data)]
    return data if isinstance(data, str | int | float | None) else repr(data)


def _assign(data: dict[str, Any], path: Sequence[str], value: object) -> None:
    """Set or take out the value, and take out what is left empty on its way."""
    *way, last = path
    inner: dict[str, Any] = data
    for key in way:
        inner[key] = inner.get(key) or {}
        inner = inner[key]
    inner.pop(last, None)
    if value is not _NOTHING:
        inner[last] = value
    elif way and not inner:
        _assign(data, way, _NOTHING)
