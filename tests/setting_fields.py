"""What the documents say of a setting, by its field."""

from typing import Any, Literal, cast, get_args, get_origin

from pydantic.fields import FieldInfo

from piv_mcp.config import TOOLSETS


def words_of(field: FieldInfo) -> str:
    """The default of a setting that holds several words, as it would be given."""
    words = cast("tuple[str, ...]", field.default)
    return "all" if words == TOOLSETS else ",".join(words)


def choices_of(kind: Any) -> tuple[Any, ...]:
    """The words that a setting takes, if it takes one of a few."""
    kinds = (kind, *(get_args(kind) if type(None) in get_args(kind) else ()))
    return next((get_args(one) for one in kinds if get_origin(one) is Literal), ())
