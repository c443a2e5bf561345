"""Answer types that several tools share."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from piv_mcp.api.models import Page


class Answer(BaseModel):
    """Base of the answers that are not models of the API."""

    model_config = ConfigDict(frozen=True)


class Listing(Answer):
    """Base of every list: `total` rows in all; `next_offset` is the offset of the next page, absent on the last."""

    total: int | None = None
    next_offset: int | None = None


def paging(page: Page[Any], offset: int | None) -> dict[str, int | None]:
    """The fields of `Listing` for a page that began at `offset`."""
    total = page.pagination.total
    seen = (offset or 0) + len(page.items)
    more = len(page.items) > 0 and (total is not None and total > seen)
    return {"total": total, "next_offset": seen if more else None}
