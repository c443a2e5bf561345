"""The base class of the client's groups of endpoints (`piv.numbers`, `piv.domains`, ...)."""

from typing import TYPE_CHECKING, Any, TypeVar

from piv_mcp.api.endpoint import Endpoint
from piv_mcp.api.models import Request
from piv_mcp.api.rate_limit import Priority
from piv_mcp.api.readings import Span
from piv_mcp.api.response import Call
from piv_mcp.errors import InvalidRequestError

if TYPE_CHECKING:
    # Types only: the tools need the models at start, and importing httpx costs start-up time.
    from piv_mcp.api.http import Http
    from piv_mcp.api.retry import Deadline

T = TypeVar("T")


class EndpointGroup:
    """The endpoints of one area, called at one priority. With `span`, reads share recent answers; with `start`,
    nothing is sent after it.

    The methods raise `ApiError`, and `InvalidRequestError` also before anything is sent.
    """

    def __init__(
        self, http: "Http", priority: Priority, span: Span | None = None, start: "Deadline | None" = None
    ) -> None:
        self._http = http
        self._priority = priority
        self._span = span
        self._start = start

    async def _call(
        self,
        endpoint: Endpoint[T],
        *ids: str,
        query: type[Request] | None = None,
        body: Request | None = None,
        **filters: object,
    ) -> T:
        """Send a call. The `query` model checks the `filters`; those that are `None` are not sent."""
        path = endpoint.path(*ids)
        wire = {} if query is None else _checked(endpoint, query, filters)
        call = Call(endpoint, path, wire, None if body is None else body.wire())
        return await self._http.send(call, self._priority, self._span, self._start)


def _checked(endpoint: Endpoint[Any], query: type[Request], filters: dict[str, object]) -> dict[str, Any]:
    try:
        return query.of(**filters).wire()
    except InvalidRequestError as error:
        raise InvalidRequestError(
            error.message, code=error.code, method=endpoint.method, path=endpoint.template
        ) from None
