"""Checks of the base URL and the API key, and the forms in which people keep a key."""

import codecs
import re
from pathlib import Path
from urllib.parse import urlsplit

from piv_mcp.text.tidy import is_placeholder, tidied

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


def checked_origin(url: str) -> str:
    """An address without a path, in small letters. Raises `ValueError`, whose message never repeats it."""
    try:
        parts = urlsplit(url)
        usable = url.isascii() and parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        extras = (parts.username, parts.password, parts.query, parts.fragment, parts.path.strip("/"))
    except ValueError:
        usable, extras, parts = False, (), urlsplit("")
    if not usable or any(extras):
        raise ValueError("must be an http(s) address without a path, such as https://mcp.example.com")
    usual = {"http": 80, "https": 443}[parts.scheme]
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port not in (None, usual) else "")


def checked_relying_party(url: str) -> str:
    """An address at which browsers accept passkeys. Raises `ValueError`, whose message never repeats it."""
    origin = checked_origin(url)
    host = urlsplit(origin).hostname or ""
    if re.fullmatch(r"(.*\.)?(\d+|0x[\da-f]*)\.?|.*:.*", host):  # what browsers take for an IP address
        raise ValueError("must have a name: passkeys belong to a name, and an IP address is none")
    if not re.fullmatch(r"[a-z\d_-]+(\.[a-z\d_-]+)*", host):
        raise ValueError("must have a host name as browsers send it, such as piv.example.com (no final dot)")
    if not origin.startswith("https:") and host != "localhost":
        raise ValueError("must be https, but for http://localhost")
    return origin


def checked_issuer(url: str) -> str:
    """The name of an identity provider, as it stands: tokens name it in the same characters. Raises `ValueError`, whose
    message never repeats it."""
    try:
        parts = urlsplit(url)
        usable = url.isascii() and bool(parts.hostname) and parts.port != 0 and not any((parts.query, parts.fragment))
        usable = usable and parts.username is None and parts.password is None
    except ValueError:
        usable, parts = False, urlsplit("")
    if not usable or not (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)):
        raise ValueError("must be an https address such as https://id.example.com (http only on this machine)")
    return url


def checked_key(key: str) -> str:
    """The key. Raises `ValueError`, whose message never repeats the key."""
    # An HTTP header can carry no other characters, and the HTTP library's own error would quote the key.
    if not key or not all("!" <= char <= "~" for char in key):
        raise ValueError("is empty or holds spaces, control characters or non-ASCII characters")
    return key


MAX_KEY_FILE_BYTES = 65_536

_ASSIGNED = re.compile(r"(?:export\s+|set\s+|\$env:)?PIV_API_KEY\s*[=:]\s*(.*)", re.IGNORECASE | re.DOTALL)
_BEARER = re.compile(r"(?:Authorization:\s*)?Bearer\s+(\S+)", re.IGNORECASE)
_STAND_IN = re.compile(
    r"(your|insert|paste|put|enter)[-_ ].*key.*|changeme|x{3,}|.*(\.{3}|…|\*{3}).*", re.IGNORECASE | re.DOTALL
)
"""What documentation and dashboards show in place of a key."""


def parse_key(text: str) -> str:
    """The key in this text: bare, in quotes, after `PIV_API_KEY=` or `Bearer`, among comments and blank lines.

    Raises:
        ValueError: there is no key, or more than one. The message never repeats the text.
    """
    lines = [line for line in map(tidied, text.splitlines()) if line and not line.startswith("#")]
    assigned = [match for match in map(_ASSIGNED.fullmatch, lines) if match]
    if assigned:
        lines = [tidied(re.sub(r"\s+#.*", "", assigned[-1][1]))]
    if len(lines) > 1:
        raise ValueError("holds several lines; it must hold the key alone, or a line PIV_API_KEY=...")
    key = lines[0] if lines else ""
    if match := _BEARER.fullmatch(key):
        key = match[1]
    if is_placeholder(key) or _STAND_IN.fullmatch(key):
        raise ValueError("holds a placeholder in place of the key: the client did not fill it in")
    return checked_key(key)


def read_key_file(path: Path) -> str:
    """The key in a file, in any encoding that Windows and its editors write.

    Raises:
        ValueError: the file cannot be read or holds no key. The message repeats neither its path nor what is in it.
    """
    try:
        if path.is_char_device():
            raise ValueError("is a device and not a file")
        with path.open("rb") as file:
            data = file.read(MAX_KEY_FILE_BYTES + 1)
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror or type(error).__name__})") from None
    if len(data) > MAX_KEY_FILE_BYTES:
        raise ValueError("is too large to be a file with a key")
    try:
        text = data.decode(_encoding(data))
    except UnicodeDecodeError:
        raise ValueError("is not a text file") from None
    try:
        return parse_key(text)
    except ValueError as error:
        raise ValueError(f"the key in it {error}") from None


def _encoding(data: bytes) -> str:
    """By the byte order mark, or by the zero bytes that UTF-16 has in every ASCII character."""
    if data.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\0" in data:
        return "utf-16-be" if data[:1] == b"\0" else "utf-16-le"
    return "utf-8-sig"
