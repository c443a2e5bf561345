"""Read a whole list page by page."""

from collections.abc import Awaitable, Callable
from typing import Any

from piv_mcp.api.models import Page, RowT

DEFAULT_MAX_ROWS = 2000


async def all_rows(
    list_: Callable[..., Awaitable[Page[RowT]]], size: int, *, most: int = DEFAULT_MAX_ROWS, **filters: object
) -> tuple[list[RowT], int]:
    """The first `most` rows of a list method such as `numbers.list`, and how many rows the list has.

    The rows are read in pages of `size`. Rows that cannot be read are left out and counted.
    """
    rows: list[RowT] = []
    read = 0
    while True:
        page = await list_(limit=size, offset=read or None, **filters)
        rows += page.items
        read += page.length
        if page.length < size or read >= most:
            return rows[:most], max(page.pagination.total or 0, read)


async def complete_rows(list_: Callable[..., Awaitable[Page[RowT]]], size: int, **filters: Any) -> list[RowT]:
    """The same for a caller to whom it matters what is not in the list.

    Raises `MalformedAnswerError` if a row cannot be read: it may be the one that is looked for.
    """

    async def whole_page(**query: Any) -> Page[RowT]:
        page = await list_(**query)
        page.whole()
        return page

    return (await all_rows(whole_page, size, **filters))[0]
