"""Read a whole list page by page."""

from collections.abc import Awaitable, Callable

from piv_mcp.api.models import Page, RowT

DEFAULT_MAX_ROWS = 2000


async def all_rows(
    list_: Callable[..., Awaitable[Page[RowT]]], size: int, *, most: int = DEFAULT_MAX_ROWS, **filters: object
) -> tuple[list[RowT], int]:
    """The first `most` rows of a list method such as `numbers.list`, and how many rows the list has.

    The rows are read in pages of `size`.
    """
    rows: list[RowT] = []
    while True:
        page = await list_(limit=size, offset=len(rows) or None, **filters)
        rows += page.items
        if len(page.items) < size or len(rows) >= most:
            return rows[:most], max(page.pagination.total or 0, len(rows))
