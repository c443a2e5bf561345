"""Checks of the base URL and the API key."""

from urllib.parse import urlsplit

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
"""Host names of this machine."""


def checked_base_url(base_url: str) -> str:
    """The base URL without a final slash. Raises `ValueError`, whose message never repeats the URL."""
    try:
        parts = urlsplit(base_url)
        usable = base_url.isascii() and parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        extras = (parts.username, parts.password, parts.query, parts.fragment)
    except ValueError:
        usable, extras, parts = False, (), urlsplit("")
    if not usable:
        raise ValueError("must be an http(s) address such as https://app.piv.day/api/v1")
    if any(extras):
        raise ValueError("must hold no user name, password, query or fragment")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise ValueError("must be https, since the key travels with every request (http only to this machine)")
    return base_url.rstrip("/")


def checked_key(key: str) -> str:
    """The key. Raises `ValueError`, whose message never repeats the key."""
    # An HTTP header can carry no other characters, and the HTTP library's own error would quote the key.
    if not key or not all("!" <= char <= "~" for char in key):
        raise ValueError("is empty or holds spaces, control characters or non-ASCII characters")
    return key
