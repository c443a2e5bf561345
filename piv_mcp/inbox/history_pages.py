"""The pages of one number's SMS history, from the newest to the oldest."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from itertools import pairwise

from piv_mcp.api.client import PivClient
from piv_mcp.api.models import Page
from piv_mcp.api.numbers import Sms
from piv_mcp.errors import ApiError, MalformedAnswerError, NotFoundError

FIRST_PAGE, PAGE = 50, 200
"""Messages that are asked for at once; the server may give fewer. Reading ends with the first page whose oldest message
is known: usually one small page, and after a long downtime several large ones. Nothing is stored before the last page
has been read, and then the oldest first: an interrupted reading must not leave a gap before a stored message, where the
next reading would stop."""

MOST = 5050
"""Messages of one reading."""


async def read(client: PivClient, piv_num_id: str) -> AsyncGenerator[Page[Sms]]:
    """The number's messages, the newest page and the newest message first. The reference says that the list begins with
    the newest message, but its example begins with the oldest, so the first page decides.

    Raises:
        ApiError: the history could not be read, or it hides the messages that it counts.
    """
    first = await client.numbers.sms(piv_num_id, limit=FIRST_PAGE)
    end = first.pagination.total or 0
    if end and not first.length:
        raise MalformedAnswerError(f"the list shows none of its {end} rows", code="HTTP_200", status=200)
    async with aclosing(_onward(client, piv_num_id, first)) as pages:
        if not _is_oldest_first(first.items):
            async for page in pages:
                yield page
        elif end <= first.length:  # its end is not known before it was read
            for page in reversed([page async for page in pages]):
                yield _turned(page)
        else:
            async for page in _backward(client, piv_num_id, first, end):
                yield page


async def _onward(client: PivClient, piv_num_id: str, first: Page[Sms]) -> AsyncGenerator[Page[Sms]]:
    """The pages in the order of the list, to its end: an empty page, or one that is not full where the total is
    reached. A total may be that of the page alone, but not one that is reached later."""
    page, read, asked = first, 0, FIRST_PAGE
    while True:
        yield page
        read += page.length
        total = page.pagination.total or 0
        is_all = read >= total
        if not page.length or (page.length < asked and is_all) or read == total > first.length or read >= MOST:
            break
        asked = PAGE
        try:
            page = await _page(client, piv_num_id, asked, read)
        except ApiError:
            if not (total and is_all):
                raise
            break  # there is nothing at this place


async def _backward(client: PivClient, piv_num_id: str, first: Page[Sms], end: int) -> AsyncGenerator[Page[Sms]]:
    """The pages of a list of `end` messages, from its end to its beginning."""
    step, most = first.length, PAGE if first.length == FIRST_PAGE else first.length
    read = 0
    while end > 0 and read < MOST:
        start = max(0, end - step)
        for page in reversed([page async for page in _between(client, piv_num_id, start, end)]):
            yield _turned(page)
        read, end, step = read + end - start, start, most


async def _between(client: PivClient, piv_num_id: str, start: int, end: int) -> AsyncGenerator[Page[Sms]]:
    """The pages of a part of the list: several where the server gives fewer rows than were asked for."""
    while start < end:
        page = await _page(client, piv_num_id, end - start, start)
        yield page
        start += page.length
        if not page.length:
            break


async def _page(client: PivClient, piv_num_id: str, limit: int, offset: int) -> Page[Sms]:
    """A page after the first, whose answer was that there is such a number."""
    try:
        return await client.numbers.sms(piv_num_id, limit=limit, offset=offset)
    except NotFoundError as error:
        problem = f"the page of the list from row {offset} was not found"
        raise MalformedAnswerError(problem, code=error.code, status=error.status) from None


def _turned(page: Page[Sms]) -> Page[Sms]:
    return page.model_copy(update={"items": page.items[::-1]})


def _is_oldest_first(messages: list[Sms]) -> bool:
    """By the majority of neighbours, since times from different clocks can be out of order."""
    times = [sms.received_at for sms in messages if sms.received_at is not None]
    return sum((a < b) - (a > b) for a, b in pairwise(times)) > 0
