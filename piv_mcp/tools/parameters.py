"""The parameter types that tools share. A description names the tool that yields the value."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

# Ids come from strangers' hands (a model's): nothing in them may leave its path segment.
_ID = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


def _printable(value: str) -> str:
    if any((c < " " and c not in "\n\t") or "\x7f" <= c <= "\x9f" for c in value):
        raise ValueError("must hold no control characters")
    return value


def _one_line(value: str) -> str:
    if not value.isprintable():
        raise ValueError("must be one line without control characters")
    return value


Line = Annotated[str, AfterValidator(_one_line)]
Text = Annotated[str, AfterValidator(_printable)]

PivNumId = Annotated[
    str,
    Field(
        description="Number id from list_numbers, or the phone number itself.",
        min_length=3,
        max_length=64,
        pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]*|[+(]{0,2}[0-9][0-9+()./ \u00a0\u2009\u2010-\u2013\u202f-]*)$",
    ),
]
OrderId = Annotated[str, Field(description="From list_proxy_orders.", max_length=128, pattern=_ID)]
ServerId = Annotated[str, Field(description="From list_proxy_servers.", max_length=128, pattern=_ID)]
DomainId = Annotated[str, Field(description="From list_domains.", max_length=128, pattern=_ID)]
QueueId = Annotated[str, Field(description="From register_domain or renew_domain.", max_length=128, pattern=_ID)]
RecordId = Annotated[str, Field(description="From list_dns_records.", max_length=128, pattern=_ID)]
WhiteId = Annotated[str, Field(description="From list_whites.", max_length=128, pattern=_ID)]

CountryCode = Annotated[str, Field(description="Two-letter ISO country code.", pattern="^[A-Za-z]{2}$")]
Search = Annotated[Line, Field(min_length=1, max_length=200)]
Offset = Annotated[
    int, Field(ge=0, le=10_000_000, strict=True, description="Rows to skip: next_offset of the last answer.")
]
Limit200 = Annotated[int, Field(ge=1, le=200, strict=True, description="Default 50.")]
Limit500 = Annotated[int, Field(ge=1, le=500, strict=True, description="Default 100.")]
Switch = Annotated[bool, Field(strict=True)]
DomainName = Annotated[
    str,
    Field(
        max_length=253,
        pattern=r"^([A-Za-z0-9\u0080-\U0010ffff]([A-Za-z0-9\u0080-\U0010ffff-]{0,61}[A-Za-z0-9\u0080-\U0010ffff])?\.)+[A-Za-z0-9\u0080-\U0010ffff-]{2,63}\.?$",
    ),
]
TierKey = Literal["v2_tier1", "v2_tier2", "v2_tier3"]
