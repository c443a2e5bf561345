"""The pages of one number's SMS history, from the newest to the oldest."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from itertools import pairwise

from piv_mcp.api.client import PivClient
from piv_mcp.api.models import Page
from piv_mcp.api.numbers import Sms
from piv_mcp.errors import MalformedAnswerError

SIZES = (50, *[200] * 25)
"""Page sizes of one reading of the history, in messages. Reading ends with the first page whose oldest message is
known: usually one small page, and after a long downtime several large ones. Nothing is stored before the last page has
been read, and then the oldest first: an interrupted reading must not leave a gap before a stored message, where the
next reading would stop."""


async def read(client: PivClient, piv_num_id: str) -> AsyncGenerator[Page[Sms]]:
    """The number's messages, the newest page and the newest message first. The reference says that the list begins with
    the newest message, but its example begins with the oldest, so the first page decides.

    Raises:
        ApiError: the history could not be read, or it hides the messages that it counts.
    """
    first = await client.numbers.sms(piv_num_id, limit=SIZES[0])
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
            for size in SIZES:
                start = max(0, end - size)
                yield _turned(await client.numbers.sms(piv_num_id, limit=size, offset=start))
                if start == 0:
                    break
                end = start


async def _onward(client: PivClient, piv_num_id: str, first: Page[Sms]) -> AsyncGenerator[Page[Sms]]:
    """The pages in the order of the list, to the one that is not full."""
    page, read = first, 0
    for size in SIZES:
        if read:
            page = await client.numbers.sms(piv_num_id, limit=size, offset=read)
        yield page
        read += page.length
        if page.length < size:
            break


def _turned(page: Page[Sms]) -> Page[Sms]:
    return page.model_copy(update={"items": page.items[::-1]})


def _is_oldest_first(messages: list[Sms]) -> bool:
    """By the majority of neighbours, since times from different clocks can be out of order."""
    times = [sms.received_at for sms in messages if sms.received_at is not None]
    return sum((a < b) - (a > b) for a, b in pairwise(times)) > 0
