"""Host names: one ASCII form for everything that is sent, and a form for people that no look-alike can pass.

A name is typed in many ways. `host_name` turns each into the form of the DNS (lower case, punycode, no final dot), or
says in words what is wrong; nothing invisible is dropped in silence, since the name would then be another one.
"""

import re
from collections.abc import Callable

from piv_mcp.text.invisible import is_invisible
from piv_mcp.text.untrusted import one_line

MAX_NAME = 253
"""Characters of a whole name in its ASCII form."""
MAX_LABEL = 63
"""Characters between two dots."""

_MAX_TYPED = 1000
"""Longer texts are refused before they are parsed: the ASCII form of a name is never so much shorter."""

_PUNYCODE = "xn--"
_BESIDE_THE_NAME = re.compile(r"[/?#:@\\]")


class HostNameError(ValueError):
    """A text that is no host name. The message says in words what is wrong with it."""


def host_name(typed: str) -> str:
    """The ASCII form of a full name, such as `mysite.com`. Raises `HostNameError`."""
    labels = ascii_labels(typed, alone=host_name)
    if labels[-1].isdigit():
        raise HostNameError("is an IP address or a number; give a name such as mysite.com")
    if len(labels) < 2 or len(labels[-1]) < 2:
        raise HostNameError("lacks its ending; give the whole name, such as mysite.com")
    return ".".join(labels)


def ascii_labels(typed: str, *, alone: Callable[[str], str], underscores: bool = False) -> list[str]:
    """The parts of a name between its dots, each in ASCII.

    `alone` checks the name that stands in an address or e-mail, which is then suggested. Raises `HostNameError`.
    """
    text = typed.strip()
    if len(text) > _MAX_TYPED:
        raise HostNameError(f"is too long; a name has at most {MAX_NAME} characters")
    for char in text:
        if is_invisible(char):
            raise HostNameError(f"holds the invisible character U+{ord(char):04X}; write the name without it")
    if _BESIDE_THE_NAME.search(text):
        raise HostNameError(f"is more than a name; give the name alone{_suggestion(text, alone)}")
    name = _mapped(text).removesuffix(".")
    if not name:
        raise HostNameError("is empty; give a name such as mysite.com")
    labels = [_ascii_label(label, underscores=underscores) for label in name.split(".")]
    if len(".".join(labels)) > MAX_NAME:
        raise HostNameError(f"is too long; a name has at most {MAX_NAME} characters")
    return labels


def display(name: str) -> str:
    """A name for people, or the content of a record: with letters beyond ASCII, its look beside its ASCII form.

    `pаypal.com (xn--pypal-4ve.com)` when the second letter is Cyrillic. Other names are unchanged.
    """
    labels = re.split("([. ])", name[:_MAX_TYPED])
    looks = "".join(_looks(label) for label in labels)
    ascii_form = "".join(label if label.isascii() else _PUNYCODE + _punycode(label.lower()) for label in labels)
    shown = one_line(looks, _MAX_TYPED)
    return shown if ascii_form == looks else f"{shown} ({one_line(_ascii_of(name) or ascii_form, _MAX_TYPED)})"


def _suggestion(text: str, alone: Callable[[str], str]) -> str:
    """The name in an address such as `https://me@mysite.com:8080/page`, if there is one."""
    bare = re.sub(r"^(mailto:|([A-Za-z][A-Za-z0-9+.-]*:)?[/\\]{2,})", "", text)
    bare = re.split(r"[/?#\\]", bare, maxsplit=1)[0].rpartition("@")[2]
    bare = re.sub(r":\d*$", "", bare)
    try:
        return f": {alone(bare)}" if bare != text else ", such as mysite.com"
    except HostNameError:
        return ", such as mysite.com"


def _mapped(text: str) -> str:
    """The name in lower case and in Unicode's normal form, its full-width letters and dots as ASCII (UTS 46)."""
    if text.isascii():
        return text.lower()
    import idna  # late: it costs start-up time, and only names beyond ASCII need it

    try:
        return idna.uts46_remap(text, std3_rules=False)
    except idna.IDNAError as error:
        raise HostNameError(_unfit(text, error)) from None


def _ascii_label(label: str, *, underscores: bool) -> str:
    if not label:
        raise HostNameError("has a dot too many: nothing stands before it or between two")
    shown = one_line(label, MAX_LABEL)
    if label.startswith("-") or label.endswith("-"):
        raise HostNameError(f"has a hyphen at the start or end of '{shown}'")
    if label.startswith(_PUNYCODE) or not label.isascii():
        label = _a_label(label)
    elif any(char.isspace() for char in label):
        raise HostNameError("holds a space; a name has none")
    elif wrong := re.search(r"[^a-z0-9_-]" if underscores else r"[^a-z0-9-]", label):
        beyond = ", which only the names of DNS records have" if wrong[0] == "_" else ""
        raise HostNameError(f"holds the character {wrong[0]}{beyond}; a name has letters, digits, hyphens and dots")
    if len(label) > MAX_LABEL:
        raise HostNameError(f"has a part of more than {MAX_LABEL} characters: '{shown}'")
    return label


def _a_label(label: str) -> str:
    """A label beyond ASCII as punycode; one that is punycode already, if it is valid."""
    import idna  # late, as above

    try:
        return idna.alabel(label).decode("ascii")
    except (idna.IDNAError, UnicodeError) as error:
        raise HostNameError(_unfit(label, error)) from None


def _unfit(text: str, error: UnicodeError) -> str:
    shown = one_line(text, MAX_LABEL)
    if "too long" in str(error):
        return f"has a part of more than {MAX_LABEL} characters: '{shown}'"
    code = re.search(r"U\+[0-9A-F]{4,6}", str(error))
    return f"is not a valid name (IDNA 2008): '{shown}'" + (f" holds {code[0]}" if code else "")


def _ascii_of(name: str) -> str | None:
    try:
        return ".".join(ascii_labels(name, alone=host_name, underscores=True))
    except HostNameError:
        return None


def _looks(label: str) -> str:
    """What a label looks like, whether it is valid or not."""
    if not label.lower().startswith(_PUNYCODE):
        return label
    try:
        return label[len(_PUNYCODE) :].encode("ascii").decode("punycode") or label
    except UnicodeError:
        return label


def _punycode(label: str) -> str:
    return label.encode("punycode").decode("ascii")
