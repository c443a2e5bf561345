"""How the values of settings are written. Errors are `ValueError`, and never repeat the value, which may be a secret in
the wrong place."""

import ipaddress
import os
import re
from pathlib import Path

from piv_mcp.text.tidy import with_variables


def split(text: str) -> tuple[str, ...]:
    """Words in small letters, with commas or spaces between."""
    return tuple(text.lower().replace(",", " ").split())


def words(value: object) -> object:
    return split(value) if isinstance(value, str) else value


def networks(value: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Addresses and networks, in one form."""
    try:
        return value and tuple(str(ipaddress.ip_network(network, strict=False)) for network in value)
    except ValueError:
        raise ValueError("must be addresses or networks such as 10.0.0.0/8, with commas between") from None


def amounts_by_area(value: object) -> object:
    """Dollars by area, such as `numbers=5,domains=20`."""
    if not isinstance(value, str):
        return value
    pairs = [word.partition("=") for word in split(value)]
    if not all(mark for _, mark, _ in pairs) or len({area for area, _, _ in pairs}) < len(pairs):
        raise ValueError("must be areas with dollars, each area once, such as numbers=5,domains=20")
    return {area: amount for area, _, amount in pairs}


def language_of(value: object) -> object:
    """The language of a tag as systems and browsers write it, such as `zh_CN.UTF-8`."""
    if not isinstance(value, str):
        return value
    spoken = re.split(r"[-_.@]", value, maxsplit=1)[0].lower()
    return {"zh": "zh-Hans"}.get(spoken, spoken)


def absolute_path(text: str) -> Path:
    """The absolute path that a setting means. Raises `ValueError`, which does not repeat it."""
    try:
        path = Path(with_variables(text, os.environ)).expanduser()
    except RuntimeError:
        raise ValueError("begins with ~, and the home directory is not known") from None
    if not path.is_absolute():
        # A client starts the server in any folder, so that a relative path would mean another file for each.
        raise ValueError("must be an absolute path (~ and $HOME are understood)")
    return path


def is_plain_host(host: str) -> bool:
    """Whether a host is certainly no secret in the wrong variable, so that a message may show it."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or re.fullmatch(r"[a-z]+(-[a-z]+)*(\.[a-z]+(-[a-z]+)*)+", host) is not None
    return True
