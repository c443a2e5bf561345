"""Names and contents of DNS records, in the form that is sent.

The API's reference says little about either, so only clear mistakes are refused: an IPv6 address in an A record, an
address or a URL where a host name belongs.
"""

import ipaddress
import re

from piv_mcp.text.hosts import HostNameError, ascii_labels, host_name

ROOT = "@"
"""The name of the domain itself."""

_TARGETS = {"CNAME": 0, "DNAME": 0, "NS": 0, "PTR": 0, "MX": 1, "SRV": 3}
"""Types whose content ends in a host name, with how many integers may stand before it."""


def record_name(typed: str) -> str:
    """The name of a record: `@`, `www`, `*.shop`, `_dmarc`, in ASCII and lower case. Raises `HostNameError`."""
    text = typed.strip()
    if text in (ROOT, "*"):
        return text
    star = "*." if text.startswith("*.") else ""
    return star + ".".join(ascii_labels(text.removeprefix(star), alone=record_name, underscores=True))


def may_be_whole(name: str) -> bool:
    """Whether a record's name may be a full domain name. No top-level domain has an underscore."""
    return "." in name and "_" not in name.rpartition(".")[2]


def relative_name(name: str, domain: str) -> str:
    """A record's name below its domain: `www` for `www.mysite.com`, `@` for `mysite.com`, others as they are."""
    try:
        domain = host_name(domain)
    except HostNameError:
        return name
    return ROOT if name == domain else name.removesuffix(f".{domain}")


def depends_on_its_type(content: str) -> bool:
    """Whether a content may be sent in another form, or refused, by the type of its record."""
    return not content.isascii() or "://" in content or content != content.strip() or _is_address(content.strip())


def record_content(type_: str, typed: str) -> str:
    """The content of a record of this type. Texts and the content of unlisted types stay as they are.

    Raises `ValueError` (`HostNameError` if a host name is wrong), whose message is in words.
    """
    if type_ == "A":
        return _address(typed, 4, "A")
    if type_ == "AAAA":
        return _address(typed, 6, "AAAA")
    if type_ in _TARGETS:
        return _with_target(type_, typed)
    return typed


def _address(typed: str, version: int, type_: str) -> str:
    example = {4: "192.0.2.1", 6: "2001:db8::1"}[version]
    try:
        address = ipaddress.ip_address(typed.strip())
    except ValueError:
        raise ValueError(f"an {type_} record holds an IPv{version} address, such as {example}") from None
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        raise ValueError("an address with a zone means something on one machine alone")
    if address.version != version:
        other = {4: "A", 6: "AAAA"}[address.version]
        raise ValueError(
            f"this is an IPv{address.version} address, which belongs in an {other} record; "
            f"an {type_} record holds an IPv{version} address, such as {example}"
        )
    return str(address)


def _with_target(type_: str, typed: str) -> str:
    *before, target = typed.split() or [""]
    if len(before) > _TARGETS[type_] or not all(re.fullmatch("[0-9]+", word) for word in before):
        raise HostNameError(f"{_article(type_)} record holds one host name, such as mail.example.com")
    if target in (ROOT, "."):  # the domain itself; no host at all
        return " ".join([*before, target])
    if _is_address(target):
        raise HostNameError(
            f"{_article(type_)} record holds a host name and no IP address; an address belongs in an A or AAAA record"
        )
    try:
        name = _target_name(target)
    except HostNameError as error:
        raise HostNameError(f"{_article(type_)} record holds a host name, and this {error}") from None
    return " ".join([*before, name])


def _target_name(typed: str) -> str:
    return ".".join(ascii_labels(typed, alone=_target_name, underscores=True))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _article(type_: str) -> str:
    return f"{'an' if type_[0] in 'AMNS' else 'a'} {type_}"
