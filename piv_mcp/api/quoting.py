"""What an error may quote of the server's words: never the API key, a password or a signed link.

Answers that carry credentials by their nature are not quoted at all (`Endpoint.confidential`). Here everything else is
cleaned, since any server may repeat what it was sent, or show a page with whatever it knows.
"""

import base64
import html
import re
from collections.abc import Iterator
from itertools import chain
from urllib.parse import unquote_plus

from piv_mcp.text.invisible import is_invisible

SNIPPET = 200
"""Characters of an unexpected response that an error shows."""

KEY_PART = 12
"""So many characters of the key in a row are not shown either."""

MAX_ENCODINGS = 3
"""The key is looked for under so many layers of encoding."""

MIN_KEY_LETTERS = 8
"""Letters and digits. Parts of a shorter key occur in ordinary text, too."""

_NAMES = (
    r"(?:pass(?:word|wd|phrase|code)?|pwd|psw|login|secret|token|key|auth|authorization|credentials?|signature|sig"
    r"|cookie|session)"
)
_CREDENTIAL = re.compile(
    r"(?i)"
    rf"(?<![a-z]){_NAMES}[\w-]{{0,20}}[\"'`\\\]]{{0,4}}\s?(?:=|:|>)"  # password=x  "token": "x  <secret>
    rf"|{_NAMES}\s[\"'`]?(?=\S*\d)"  # password x1
    r"|\b(?:bearer|basic|digest)\s+\S"
    r"|https?:\S{1,1000}?[?#]"  # a link with a query may be a signed one
    r"|://[^/\s]{0,200}@"
    r"|:[^\s@]{1,200}@\S"  # login:password@host
    r"|(?:\.\d{1,3}|\.[a-z]{2,}|:[0-9a-f]{1,4}\]?)[\"']?\s?[:,;|/\s]\s?[\"']?\d{2,5}\b"  # a host and its port
    r"|:\d{3,5}:\S"  # likewise, and more
    r"|[a-z]\d{1,9}:[a-z]"  # login1:password
)
"""Where credentials may begin. They, and all that follows, are not shown."""

_RUN = re.compile(r"[\w+/=-]{20,}")
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\w{5}(?:-\w{5}){3}")
"""Ids of the account's things are no secrets: a UUID, and a number's."""

_PUNCTUATION = ".,:;!?()[]"
_QUOTED_OR_WORD = re.compile(r"(?<!\w)([\"'`])(.*?)(?:\1|$)|\S+")
_PLAIN_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[a-z]+(?:_[a-z]+)+|[A-Z]+(?:_[A-Z]+)+|[^\W\d_A-Za-z]+")
_AMOUNT = re.compile(r"[$€]?\d{1,4}(?:\.\d{1,4})?[$€%]?")


def clean(text: str, *, secret: str, limit: int = SNIPPET) -> str:
    """One line of text without control or invisible characters, the secret, or credentials.

    At most `limit` characters long.
    """
    head = text[: limit * 5]
    line = " ".join("".join(char for char in head if char.isspace() or not is_invisible(char)).split())
    # Removing characters may have joined the parts of a secret, and cutting may leave a part of it.
    line = line.replace(secret, "[key]")
    if len(head) < len(text):
        line = line[: -len(secret)]
    if _repeats(line, secret):
        return "[hidden: it repeats the API key]"[:limit]
    if sign := _CREDENTIAL.search(line):
        line = f"{line[: line.rfind(' ', 0, sign.start()) + 1]}[hidden]"
    elif any(map(_CREDENTIAL.search, _readable(line))):
        return "[hidden: it holds credentials]"[:limit]
    line = _RUN.sub(lambda run: "[hidden]" if _is_opaque(run[0]) else run[0], line)
    return line if len(line) <= limit else line[: limit - 1] + "…"


def plain_words(line: str, known: str) -> str:
    """The line with nothing but words, amounts and what is `known`: what else it holds may be a credential."""

    def shown(match: re.Match[str]) -> str:
        bare = match[2] if match[1] else match[0].strip(_PUNCTUATION)
        return match[0] if bare in known or (not match[1] and _is_plain(bare)) else "[hidden]"

    return _QUOTED_OR_WORD.sub(shown, line)


def _is_plain(word: str) -> bool:
    return bool(_AMOUNT.fullmatch(word)) or all(map(_PLAIN_WORD.fullmatch, re.split(r"[-/'’]", word)))


def _is_opaque(run: str) -> bool:
    """Whether a long run of letters and digits looks like a secret, and like no id or name."""
    return any(map(str.isdigit, run)) and any(map(str.isalpha, run)) and not _ID.fullmatch(run)


def _repeats(text: str, secret: str) -> bool:
    """Whether the text holds a part of the secret, as it is or in a usual encoding."""
    letters = _letters(secret)
    if len(letters) < MIN_KEY_LETTERS:
        return False
    parts = {letters[at : at + KEY_PART] for at in range(max(1, len(letters) - KEY_PART + 1))}
    parts |= {part[::-1] for part in parts}
    texts = {text}
    for _ in range(MAX_ENCODINGS + 1):
        if any(part in view for view in map(_letters, texts) for part in parts):
            return True
        texts = set(chain.from_iterable(map(_decoded, texts)))
    return False


def _letters(text: str) -> str:
    """The letters and digits of a text, in lower case."""
    return re.sub(r"[\W_]", "", text.casefold())


def _readable(text: str) -> list[str]:
    """The text without the usual ways to write single letters."""
    return [
        whole for whole in (unquote_plus(text), html.unescape(text), _ESCAPE.sub(_unescaped, text)) if whole != text
    ]


def _decoded(text: str) -> Iterator[str]:
    """The text in each usual encoding that it may be in."""
    yield from _readable(text)
    for run in re.findall(r"[A-Za-z0-9+/_-]{8,}", text):
        for part in (run[start:] for start in range(4)):
            usable = part[:-1] if len(part) % 4 == 1 else part
            padded = usable.translate(_URL_SAFE) + "=" * (-len(usable) % 4)
            yield base64.b64decode(padded).decode("latin-1")
    for run in re.findall(r"[0-9A-Fa-f]{16,}", text):
        for part in (run, run[1:]):
            yield bytes.fromhex(part[: len(part) // 2 * 2]).decode("latin-1")


_URL_SAFE = str.maketrans("-_", "+/")
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|(.))")


def _unescaped(escape: re.Match[str]) -> str:
    code = escape[1] or escape[2]
    return chr(int(code, 16)) if code else escape[3]
