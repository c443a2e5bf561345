"""The parameter types that tools share. A description names the tool that yields the value."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from piv_mcp.text import phones
from piv_mcp.text.hosts import host_name


def limited(most: int, *, least: int = 1, form: str | None = None, words: str = "") -> AfterValidator:
    """Limit a text's length, in characters, and its form: a regular expression that `words` describe with an example
    ("two letters, such as SE"). White space around a text of a form has no meaning and is removed.

    These limits are left out of the schema: they keep it short, and some clients' converters refuse `pattern` and
    `minLength`."""
    pattern = re.compile(form) if form else None

    def check(value: str) -> str:
        value = value.strip() if pattern else value
        if not least <= len(value) <= most:
            raise ValueError(f"must have {least} to {most} characters")
        if pattern is not None and not pattern.fullmatch(value):
            raise ValueError(f"must be {words}")
        return value

    return AfterValidator(check)


def at_most(most: int) -> AfterValidator:
    """Limit an integer or a list's length, likewise outside the schema."""

    def check(value: int | list[object]) -> int | list[object]:
        if isinstance(value, list):
            if len(value) > most:
                raise ValueError(f"must have at most {most} items")
        elif value > most:
            raise ValueError(f"must be at most {most}")
        return value

    return AfterValidator(check)


def _printable(value: str) -> str:
    if any((c < " " and c not in "\n\t") or "\x7f" <= c <= "\x9f" for c in value):
        raise ValueError("must hold no control characters: line breaks and tabs alone are sent")
    return value


def _one_line(value: str) -> str:
    if not value.isprintable():
        raise ValueError("must be one line without control characters")
    return value


def _number(value: str) -> str:
    """An id as it is, and a phone number in plain characters: which number it means is looked up later."""
    value = value.strip()
    if re.fullmatch(_ID, value):
        return value
    text = phones.plain(value)
    if not phones.is_dialled(text):
        raise ValueError("is neither a number id nor a phone number; list_numbers shows both")
    return text


def upper(value: str) -> str:
    """For words that are written in capitals."""
    return value.strip().upper()


def lower(value: str) -> str:
    """For words that are written in small letters."""
    return value.strip().lower()


def _line_feeds(value: str) -> str:
    return value.replace("\r\n", "\n")


Line = Annotated[str, AfterValidator(_one_line)]
Text = Annotated[str, AfterValidator(_line_feeds), AfterValidator(_printable)]

# Ids come from a model and go into URL paths: no character in them may end the path segment.
_ID = r"[A-Za-z0-9][A-Za-z0-9._-]*"

Id = Annotated[str, limited(128, form=_ID, words='an id, such as "Ab3dE-xY7z_1"')]

PivNumId = Annotated[
    str,
    limited(64, least=3),
    AfterValidator(_number),
    Field(description="Number id (list_numbers) or phone number."),
]
OrderId = Annotated[Id, Field(description="From list_proxy_orders.")]
ServerId = Annotated[Id, Field(description="From list_proxy_servers.")]
DomainId = Annotated[Id, Field(description="From list_domains.")]
QueueId = Annotated[Id, Field(description="From register_domain or renew_domain.")]
RecordId = Annotated[Id, Field(description="From list_dns_records.")]
WhiteId = Annotated[Id, Field(description="From list_whites.")]

CountryCode = Annotated[
    str,
    limited(2, least=2, form="[A-Za-z]{2}", words="two letters, such as SE"),
    Field(description="Two-letter ISO country code."),
]
Search = Annotated[Line, limited(200)]
Offset = Annotated[int, Field(ge=0, strict=True, description="next_offset of the last answer."), at_most(10_000_000)]
DEFAULT_OF_200, DEFAULT_OF_500 = 50, 100
"""How many rows piv.day lists if no limit is given."""

Limit200 = Annotated[int, Field(ge=1, le=200, strict=True, description=f"Default {DEFAULT_OF_200}.")]
Limit500 = Annotated[int, Field(ge=1, le=500, strict=True, description=f"Default {DEFAULT_OF_500}.")]
Switch = Annotated[bool, Field(strict=True)]
AutoRenew = Annotated[Switch, Field(description="True: on, charged by itself. False: off.")]
DomainName = Annotated[str, AfterValidator(host_name)]
Recipient = Annotated[str, AfterValidator(phones.recipient), Field(description=f"Recipient, as {phones.EXAMPLE}.")]
