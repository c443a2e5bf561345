"""The JSON of requests and answers: amounts as exact decimals, and timestamps in UTC to the second."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import cast

CENT = Decimal("0.01")


def cents(amount: Decimal) -> Decimal:
    return amount.quantize(CENT)


def dollars(amount: Decimal) -> str:
    return f"${cents(amount)}"


def stamp(moment: datetime) -> str:
    """A timestamp in the reference's format: `2026-05-01T10:00:00Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def dumps(value: object) -> str:
    """JSON text. The standard encoder does not support Decimal, and a conversion to float would lose exactness."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return f'"{stamp(value)}"'
    if isinstance(value, Mapping):
        items = cast("Mapping[str, object]", value).items()
        return "{" + ", ".join(f"{json.dumps(key)}: {dumps(item)}" for key, item in items) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(dumps(item) for item in cast("Sequence[object]", value)) + "]"
    return json.dumps(value)


def loads(text: bytes) -> object:
    """Parsed JSON with exact decimals. Raises ValueError for invalid JSON, NaN and Infinity included."""
    return json.loads(text, parse_float=Decimal, parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")
