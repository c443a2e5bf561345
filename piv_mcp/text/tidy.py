"""What shells, editors and clients leave around a value: white space, quotes, placeholders that nobody filled in."""

import re
from collections.abc import Mapping

_INVISIBLE = "\ufeff\u200b\u200c\u200d\u2060\x00"
"""Byte order marks and zero-width characters, which come along when a value is copied or saved."""

_QUOTES = {'"': '"', "'": "'", "`": "`", "“": "”", "‘": "’"}

_FILLED_BY_CLIENTS = re.compile(r"\$\{[^}]*\}|\{\{.*?\}\}|<[^<>]+>")
"""`${user_config.key}`, `${env:NAME}`, `{{key}}`, `<your key>`: no value of a setting looks like this."""

_WHOLE_VARIABLE = re.compile(r"\$[A-Za-z_]\w*|%[A-Za-z_]\w*%|\$env:\w+")

_VARIABLE = re.compile(r"\$\{(?:env:)?([A-Za-z_]\w*)\}|\$(?:env:)?([A-Za-z_]\w*)|%([A-Za-z_][\w()]*)%")
"""A variable of the environment in a path, as shells and Windows write it."""


def tidied(text: str) -> str:
    """Without outer white space and invisible characters, and without one pair of quotes around the rest."""
    text = _stripped(text)
    if len(text) > 1 and _QUOTES.get(text[0]) == text[-1]:
        text = _stripped(text[1:-1])
    return text


def _stripped(text: str) -> str:
    before = None
    while text != before:
        before, text = text, text.strip().strip(_INVISIBLE)
    return text


def is_placeholder(text: str) -> bool:
    """Whether the text holds what a client was to replace, or is the name of a variable that a shell was to replace."""
    return bool(_FILLED_BY_CLIENTS.search(text) or _WHOLE_VARIABLE.fullmatch(text))


def with_variables(text: str, environment: Mapping[str, str]) -> str:
    """The text with `$NAME`, `${NAME}`, `${env:NAME}` and `%NAME%` replaced from the environment.

    Raises:
        ValueError: a variable is not set, or a placeholder is left. The message does not repeat the text.
    """

    def value(match: re.Match[str]) -> str:
        found = environment.get(match[1] or match[2] or match[3])
        if not found:
            raise ValueError("names a variable of the environment that is not set")
        if _VARIABLE.search(found):  # PIV_DATA_DIR=${PIV_DATA_DIR}: a client that replaces nothing
            raise ValueError("holds a placeholder that the client did not fill in")
        return found

    if is_placeholder(_VARIABLE.sub("", text)):
        raise ValueError("holds a placeholder that the client did not fill in")
    return _VARIABLE.sub(value, text)


def means_itself(path: str) -> bool:
    """Whether a path is taken as it is, with nothing in it that stands for a variable."""
    return tidied(path) == path and not _VARIABLE.search(path) and not is_placeholder(path)
