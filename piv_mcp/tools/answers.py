"""Answer types that several tools share."""

from collections.abc import Sequence
from typing import Any, ClassVar, Self, cast

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from piv_mcp.api.models import Page, RowT


class Answer(BaseModel):
    """Base of the answers that are not models of the API."""

    model_config = ConfigDict(frozen=True)


class Bounded(Answer):
    """Base of the answers with a list. `server.results` leaves out its last rows where the answer would be too long,
    and `cut` then says how to get them."""

    ROWS: ClassVar[str]
    """The name of the field that holds the list."""

    cut: str | None = None

    @property
    def listed(self) -> Sequence[object]:
        return cast("Sequence[object]", getattr(self, self.ROWS))

    def first(self, count: int) -> Self:
        """This answer with its first `count` rows, at least one."""
        return self.model_copy(
            update={
                self.ROWS: self.listed[:count],
                "cut": f"Too long for one answer: only the first {count} are shown. {self.continuation(count)}",
                **self.continued(count),
            }
        )

    def continuation(self, count: int) -> str:
        """What to call for the rows after the first `count`."""
        raise NotImplementedError

    def continued(self, count: int) -> dict[str, Any]:
        """Other fields that change if only the first `count` rows are shown."""
        del count
        return {}


class Listing(Bounded):
    """Base of every list: `total` rows in all; `next_offset` is the offset of the next page, absent on the last."""

    total: int | None = None
    next_offset: int | None = None
    unreadable: str | None = None
    start: SkipJsonSchema[int] = Field(default=0, exclude=True)
    """The offset of the first row."""

    def continuation(self, count: int) -> str:
        return f"Go on with offset={self.start + count}."

    def continued(self, count: int) -> dict[str, Any]:
        return {"next_offset": self.start + count}


def paging(page: Page[Any], offset: int | None, limit: int) -> dict[str, Any]:
    """The fields of `Listing` for a page of at most `limit` rows that began at `offset`."""
    total = page.pagination.total
    start = offset or 0
    seen = start + page.length
    # Without a total, a page that is full has a next one, as far as anybody can tell.
    more = page.length > 0 and (total > seen if total is not None else page.length >= limit)
    unread = f"{page.unreadable} further rows of this page cannot be understood." if page.unreadable else None
    return {"total": total, "next_offset": seen if more else None, "start": start, "unreadable": unread}


def whole(rows: Sequence[RowT], offset: int | None) -> tuple[list[RowT], dict[str, Any]]:
    """(rows, fields of `Listing`) from `offset` on, for a list that the API returns as a whole."""
    start = offset or 0
    return list(rows[start:]), {"total": len(rows), "start": start}
