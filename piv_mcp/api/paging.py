"""Whole lists, page by page."""

from collections.abc import Awaitable, Callable

from piv_mcp.api.models import Page, RowT

MAX_ROWS = 2000


async def all_rows(
    list_: Callable[..., Awaitable[Page[RowT]]], size: int, *, most: int = MAX_ROWS, **filters: object
) -> tuple[list[RowT], int]:
    """The rows of a list method (`numbers.list`) in pages of `size`, `most` of them at most, and how many there are."""
    rows: list[RowT] = []
    while True:
        page = await list_(limit=size, offset=len(rows) or None, **filters)
        rows += page.items
        if len(page.items) < size or len(rows) >= most:
            return rows[:most], max(page.pagination.total or 0, len(rows))
