"""The numbers of an account as one of its callers sees them: as if there were no others."""

from typing import TYPE_CHECKING, Protocol, TypeVar

from piv_mcp.api.endpoint import Endpoint
from piv_mcp.api.models import SMALL_PAGE, Page, Pagination, Request
from piv_mcp.api.numbers import Number, NumbersApi, NumberStatus, RestoredNumbers, RestoreNumbers, Sms
from piv_mcp.api.rate_limit import Priority
from piv_mcp.api.readings import Span
from piv_mcp.errors import ApiError

# Types only, as in `group`.
if TYPE_CHECKING:
    from piv_mcp.api.http import Http
    from piv_mcp.api.retry import Deadline

T = TypeVar("T")

DEFAULT_ROWS = 50
"""How many rows piv.day lists if no limit is given."""

CLOCKS_APART = 120.0
"""A message may say that it is so many seconds older than it is: its times come from several machines."""


class NumberSight(Protocol):
    """Tells what a caller sees."""

    async def own_numbers(self) -> frozenset[str] | None:
        """The ids of the numbers that there are for the caller; None: all."""
        ...

    async def hidden_since(self, piv_num_id: str) -> tuple[float | None] | None:
        """The time on piv.day's clock since which the number's messages are not shown (None: not known); None if all
        are."""
        ...


def absent(piv_num_id: str) -> str:
    """An id that no number has, for one that the caller does not see. Whether there is such a number then makes no
    difference at all: it is asked for by this id, and piv.day itself says that it does not exist."""
    return piv_num_id + ".unknown"


class SeenNumbersApi(NumbersApi):
    """The endpoints of numbers, for a caller with this `sight`."""

    def __init__(
        self,
        http: "Http",
        priority: Priority,
        span: Span | None = None,
        start: "Deadline | None" = None,
        *,
        sight: NumberSight,
    ) -> None:
        super().__init__(http, priority, span, start)
        self.sight = sight

    async def list(
        self,
        *,
        limit: int | None = None,
        offset: int | None = None,
        country: str | None = None,
        status: NumberStatus | None = None,
        search: str | None = None,
    ) -> Page[Number]:
        own = await self.sight.own_numbers()
        if own is None:
            return await super().list(limit=limit, offset=offset, country=country, status=status, search=search)
        found: list[Number] = []
        read = 0
        sharing = self._sharing()
        while True:
            page = await NumbersApi.list(
                sharing, limit=SMALL_PAGE, offset=read or None, country=country, status=status, search=search
            )
            found += [number for number in page.items if number.piv_num_id in own]
            read += page.length
            if page.length < SMALL_PAGE or len(found) == len(own):
                break
        start = offset or 0
        return Page(items=found[start : start + (limit or DEFAULT_ROWS)], pagination=Pagination(total=len(found)))

    async def restore(self, request: RestoreNumbers) -> RestoredNumbers:
        ids = [await self._id(piv_num_id) for piv_num_id in request.piv_num_ids]
        return await super().restore(RestoreNumbers.of(piv_num_ids=ids))

    async def sms(self, piv_num_id: str, *, limit: int | None = None, offset: int | None = None) -> Page[Sms]:
        hidden = await self.sight.hidden_since(piv_num_id)
        if hidden is None:
            return await super().sms(piv_num_id, limit=limit, offset=offset)
        # The page begins further back, as many messages as are not shown: these are counted from the first.
        start, count = offset or 0, limit or DEFAULT_ROWS
        shown: list[Sms] = []
        read, total = 0, None
        while True:
            page = await super().sms(piv_num_id, limit=SMALL_PAGE, offset=read or None)
            shown += [sms for sms in page.items if _is_older(sms, hidden[0])]
            read += page.length
            total = page.pagination.total
            if page.length < SMALL_PAGE or len(shown) >= start + count:
                break
        left = None if total is None else max(0, total - read)
        return Page(
            items=shown[start : start + count],
            pagination=Pagination(total=None if left is None else len(shown) + left),
        )

    async def _call(
        self,
        endpoint: Endpoint[T],
        *ids: str,
        query: type[Request] | None = None,
        body: Request | None = None,
        **filters: object,
    ) -> T:
        seen = [await self._id(id_) for id_ in ids]
        try:
            return await super()._call(endpoint, *seen, query=query, body=body, **filters)
        except ApiError as error:
            for id_ in ids:
                error.message = error.message.replace(absent(id_), id_)
            raise

    async def _id(self, piv_num_id: str) -> str:
        own = await self.sight.own_numbers()
        return piv_num_id if own is None or piv_num_id in own else absent(piv_num_id)

    def _sharing(self) -> "SeenNumbersApi":
        """The same, where the pages of the list are shared with what else needs them now."""
        return SeenNumbersApi(self._http, self._priority, self._span or Span(), self._start, sight=self.sight)


def _is_older(sms: Sms, since: float | None) -> bool:
    """Whether a message certainly came before the time `since`, on piv.day's clock."""
    return since is not None and sms.received_at is not None and sms.received_at.timestamp() < since - CLOCKS_APART
