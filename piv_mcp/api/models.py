"""Base classes and field types that the models of all areas share.

Answers are read tolerantly: unknown fields are ignored, an optional field with an invalid value becomes its default
instead of an error, and invalid rows are left out of a list that has valid ones. Requests are checked strictly: an
unknown field is refused before anything is sent.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Generic, Self, TypeVar, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PlainSerializer,
    SecretStr,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from piv_mcp.api.remote_clock import parse_http_date
from piv_mcp.api.text import as_object
from piv_mcp.errors import InvalidRequestError, MalformedAnswerError

T = TypeVar("T")


def _in_utc(value: datetime) -> datetime:
    """The time in UTC. The reference shows UTC only, so a time without a zone is read as UTC."""
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError:
        raise ValueError("the time is out of range") from None


def _plausible(value: Decimal) -> Decimal:
    """Refuse an amount whose digits could not be printed, such as 1e999999999."""
    exponent = value.as_tuple().exponent
    if value.adjusted() > 12 or not isinstance(exponent, int) or exponent < -12:
        raise ValueError("the amount is out of range")
    return value


def _number_to_text(value: object) -> object:
    return str(value) if isinstance(value, int | Decimal) and not isinstance(value, bool) else value


MICROSECONDS = 10**14
"""A number of at least so much, for a time, counts microseconds since the epoch."""

_ZONE = re.compile(r" ?(?:UTC|GMT)$")
_BLANK_BEFORE_ZONE = re.compile(r" (?=[+-][0-9]{2}:?[0-9]{2}$)")


def _usual_time(value: object) -> object:
    """A time in a form that pydantic does not know and that can mean but one moment."""
    if isinstance(value, int) and value >= MICROSECONDS:
        try:
            return value / 1_000_000
        except OverflowError:
            raise ValueError("the time is out of range") from None
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text[:1].isalpha():
        return parse_http_date(text) or value
    return _BLANK_BEFORE_ZONE.sub("", _ZONE.sub("Z", text))


UtcDatetime = Annotated[datetime, BeforeValidator(_usual_time), AfterValidator(_in_utc)]
"""An aware time in UTC. Seconds, milliseconds and microseconds since the epoch are understood as well."""


def _cents(value: Decimal) -> str:
    """The amount with at least two decimals, never rounded."""
    cents = value.quantize(Decimal("0.01")) if value.as_tuple().exponent >= -2 else value  # pyright: ignore[reportOperatorIssue]
    return f"{cents:f}"


Money = Annotated[Decimal, AfterValidator(_plausible), PlainSerializer(_cents, return_type=str, when_used="json")]
"""An exact amount in US dollars, the account's only currency."""

Secret = Annotated[SecretStr, BeforeValidator(_number_to_text)]
"""A text that `repr` hides."""

CountryCode = Annotated[str, Field(pattern=r"^[A-Za-z]{2}$")]
"""ISO 3166-1 alpha-2."""

NonEmpty = Annotated[str, Field(min_length=1)]


def good_rows(value: Any, read: Callable[[Any], T]) -> T:
    """What `read` makes of a value. If it is a list, the rows that cannot be read are left out.

    Raises `ValidationError` if no row can be read: then it is not single rows that differ from the reference.
    """
    try:
        return read(value)
    except ValidationError as error:
        bad = {item["loc"][:1] for item in error.errors(include_url=False, include_context=False, include_input=False)}
        rows = cast(list[object], value) if isinstance(value, list) else []
        good = [row for index, row in enumerate(rows) if (index,) not in bad]
        if not good or () in bad:
            raise
        return read(good)


class Model(BaseModel):
    """Base of the models of answers."""

    model_config = ConfigDict(
        extra="ignore",
        frozen=True,
        coerce_numbers_to_str=True,
        hide_input_in_errors=True,
        defer_build=True,
    )

    @field_validator("*", mode="wrap")
    @classmethod
    def _default_for_nonsense(cls, value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        try:
            return good_rows(value, handler)
        except ValidationError:
            field = cls.model_fields[info.field_name or ""]
            if field.is_required():
                raise
            return field.get_default(call_default_factory=True, validated_data={})


class Request(BaseModel):
    """Base of the models of requests. A field that is `None` is not sent."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True)

    @field_validator("*")
    @classmethod
    def _sendable(cls, value: Any) -> Any:
        if isinstance(value, str) and not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise ValueError("not valid Unicode") from None
        return value

    @classmethod
    def of(cls, **values: object) -> Self:
        """The request with these fields. Raises `InvalidRequestError`, which names the invalid fields."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            problems = [
                ": ".join(
                    [".".join(map(str, item["loc"]))] * bool(item["loc"]) + [item["msg"].removeprefix("Value error, ")]
                )
                for item in error.errors(include_url=False, include_input=False)
            ]
        raise InvalidRequestError("; ".join(problems), code="VALIDATION_ERROR")

    def wire(self) -> dict[str, Any]:
        """The fields that are sent, as JSON values."""
        return self.model_dump(mode="json", exclude_none=True)


Flag = Annotated[bool, PlainSerializer(lambda value: "true" if value else "false", return_type=str)]
"""A boolean filter, sent as the word `true` or `false`, as in the reference."""

Offset = Annotated[int, Field(ge=0)]
SMALL_PAGE = 200
LARGE_PAGE = 500
SmallLimit = Annotated[int, Field(ge=1, le=SMALL_PAGE)]
"""Page size of numbers and SMS."""
LargeLimit = Annotated[int, Field(ge=1, le=LARGE_PAGE)]
"""Page size of proxies, domains and whites."""

RowT = TypeVar("RowT")


class Pagination(Model):
    total: int | None = None
    limit: int | None = None
    offset: int | None = None


class Page(Model, Generic[RowT]):
    """One page of a list. `pagination.total` counts the rows of all pages."""

    items: list[RowT]
    pagination: Pagination = Pagination()
    unreadable: int = 0
    """How many further rows the page has that could not be read."""

    @model_validator(mode="wrap")
    @classmethod
    def _count_unreadable(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        page = handler(value)
        sent = as_object(value) or {}
        missing = len(sent.get("items", [])) - len(page.items)
        return page.model_copy(update={"unreadable": missing}) if missing else page

    @property
    def length(self) -> int:
        """How many rows the server sent: where the next page begins."""
        return len(self.items) + self.unreadable

    def whole(self) -> list[RowT]:
        """The rows. Raises `MalformedAnswerError` if one could not be read: what is not among them may yet exist."""
        if self.unreadable:
            raise MalformedAnswerError(
                f"{self.unreadable} rows of the list cannot be read", code="HTTP_200", status=200
            )
        return self.items


class Acknowledged(Model):
    """An answer for which the reference documents nothing but `success: true`, perhaps with a message."""

    message: str | None = None
