"""The resources, `piv://...`: whole lists and single objects as JSON, which clients can add to a model's context."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field
from pydantic.json_schema import SkipJsonSchema

from piv_mcp.api.domains import Domain
from piv_mcp.api.models import LARGE_PAGE, SMALL_PAGE
from piv_mcp.api.numbers import Number
from piv_mcp.api.paging import all_rows
from piv_mcp.api.proxies import ProxyOrder
from piv_mcp.api.whites import White
from piv_mcp.config import TOOLSETS, Area
from piv_mcp.services import Services
from piv_mcp.store import events
from piv_mcp.tools import commitments as commitment_tools
from piv_mcp.tools import numbers as number_tools
from piv_mcp.tools import proxies as proxy_tools
from piv_mcp.tools import spending as spending_tools
from piv_mcp.tools.answers import Bounded
from piv_mcp.tools.event_rows import EventRow, rows_of

MAX_ROWS = 1000
"""Rows that are read to find the ids that complete a URI. A list itself is one page: more would not fit into one
answer."""

INBOX_ROWS = 50
"""Maximum number of events in `piv://inbox`."""

COMMITMENT_DAYS = 30
"""`piv://commitments` has what ends within this time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceSpec:
    """One resource. A `uri` with a placeholder is a template; `ids` returns the values that can complete it."""

    uri: str
    name: str
    title: str
    description: str
    handler: Callable[..., Awaitable[BaseModel]]
    ids: Callable[[Services], Awaitable[list[str]]] | None = None

    @property
    def area(self) -> Area:
        areas: dict[str, Area] = {area: area for area in TOOLSETS}
        return areas.get(self.uri.removeprefix("piv://").partition("/")[0], "account")

    @property
    def parameter(self) -> str | None:
        """The name of the placeholder in `uri`."""
        _, brace, tail = self.uri.partition("{")
        return tail.partition("}")[0] if brace else None


class Rows(Bounded):
    """The beginning of a list. `left_out` counts the other rows, and `cut` says which tool has them."""

    ROWS = "rows"

    rows: list[dict[str, Any]]
    total: int
    left_out: int | None = None
    tool: SkipJsonSchema[str] = Field(exclude=True)
    """The beginning of the call that lists the same rows in the same order."""

    def continuation(self, count: int) -> str:
        return f"{self.tool}offset={count}) goes on."

    def continued(self, count: int) -> dict[str, Any]:
        return {"left_out": self.total - count}


class InboxRows(Bounded):
    """The newest events. `left_out` counts the older ones, up to a limit; list_events returns them."""

    ROWS = "events"

    untrusted: str | None = None
    events: list[EventRow]
    left_out: int | None = None

    def continuation(self, count: int) -> str:
        return f"list_events(before={self.events[count - 1].event_id}) goes on."

    def continued(self, count: int) -> dict[str, Any]:
        return {"left_out": (self.left_out or 0) + len(self.events) - count}


async def account(app: Services) -> BaseModel:
    return await app.client.account.get()


async def numbers(app: Services) -> Rows:
    return _rows(*await _numbers(app, most=SMALL_PAGE), "list_numbers(")


async def number(app: Services, piv_num_id: str) -> BaseModel:
    return await app.client.numbers.get(await app.phonebook.resolve(piv_num_id))


async def number_sms(app: Services, piv_num_id: str) -> BaseModel:
    return await number_tools.sms_page(app, piv_num_id, limit=50, offset=None)


async def proxies(app: Services) -> Rows:
    return _rows(*await _orders(app, most=LARGE_PAGE), "list_proxy_orders(")


async def proxy_order(app: Services, order_id: str) -> BaseModel:
    return proxy_tools.order_answer(await app.client.proxies.order(order_id), show_passwords=False)


async def domains(app: Services) -> Rows:
    return _rows(*await _domains(app, most=LARGE_PAGE), "list_domains(")


async def domain(app: Services, domain_id: str) -> BaseModel:
    return await app.client.domains.get(domain_id)


async def domain_dns(app: Services, domain_id: str) -> Rows:
    records = await app.client.domains.dns(domain_id)
    return _rows(records, len(records), f"list_dns_records(domain_id={domain_id}, ")


async def whites(app: Services) -> Rows:
    return _rows(*await _whites(app, most=LARGE_PAGE), "list_whites(")


async def white(app: Services, white_id: str) -> BaseModel:
    return await app.client.whites.get(white_id)


async def inbox(app: Services) -> InboxRows:
    await app.backfill.refresh()
    await app.asking.settled()
    found, total = await app.store.read(events.after, 0, limit=INBOX_ROWS, newest=True)
    rows = await rows_of(app, found)
    shown = [rows.event(event) for event in found]
    return InboxRows(untrusted=rows.fence.notice, events=shown, left_out=total - len(shown) or None)


async def commitments(app: Services) -> BaseModel:
    return await commitment_tools.commitments(app, days=COMMITMENT_DAYS)


async def spending(app: Services) -> BaseModel:
    return await spending_tools.spending(app, days=30, state=None, limit=100)


def _rows(found: Sequence[BaseModel], total: int, tool: str) -> Rows:
    rows = [item.model_dump(mode="json", exclude_none=True) for item in found]
    return Rows(rows=rows, total=total, left_out=total - len(rows) or None, tool=tool)


async def _number_ids(app: Services) -> list[str]:
    return [item.piv_num_id for item in (await _numbers(app))[0]]


async def _order_ids(app: Services) -> list[str]:
    return [item.id for item in (await _orders(app))[0]]


async def _domain_ids(app: Services) -> list[str]:
    return [item.id for item in (await _domains(app))[0]]


async def _white_ids(app: Services) -> list[str]:
    return [item.id for item in (await _whites(app))[0]]


async def _numbers(app: Services, *, most: int = MAX_ROWS, **filters: object) -> tuple[list[Number], int]:
    found, total = await all_rows(app.client.numbers.list, SMALL_PAGE, most=most, **filters)
    app.phonebook.remember(found)
    return found, total


async def _orders(app: Services, *, most: int = MAX_ROWS, **filters: object) -> tuple[list[ProxyOrder], int]:
    return await all_rows(app.client.proxies.orders, LARGE_PAGE, most=most, **filters)


async def _domains(app: Services, *, most: int = MAX_ROWS, **filters: object) -> tuple[list[Domain], int]:
    return await all_rows(app.client.domains.list, LARGE_PAGE, most=most, **filters)


async def _whites(app: Services, *, most: int = MAX_ROWS) -> tuple[list[White], int]:
    return await all_rows(app.client.whites.list, LARGE_PAGE, most=most)


def _spec(
    uri: str,
    title: str,
    description: str,
    handler: Callable[..., Awaitable[BaseModel]],
    ids: Callable[[Services], Awaitable[list[str]]] | None = None,
) -> ResourceSpec:
    return ResourceSpec(uri=uri, name=handler.__name__, title=title, description=description, handler=handler, ids=ids)


RESOURCES: Mapping[str, ResourceSpec] = {
    spec.uri: spec
    for spec in (
        _spec("piv://account", "Account", "Balance and email.", account),
        _spec("piv://numbers", "Numbers", "All numbers of the account.", numbers),
        _spec("piv://numbers/{piv_num_id}", "Number", "One number.", number, _number_ids),
        _spec("piv://numbers/{piv_num_id}/sms", "SMS", "A number's newest SMS.", number_sms, _number_ids),
        _spec("piv://proxies", "Proxy orders", "All proxy orders.", proxies),
        _spec("piv://proxies/{order_id}", "Proxy order", "One order, passwords masked.", proxy_order, _order_ids),
        _spec("piv://domains", "Domains", "All domains.", domains),
        _spec("piv://domains/{domain_id}", "Domain", "One domain.", domain, _domain_ids),
        _spec("piv://domains/{domain_id}/dns", "DNS records", "A domain's DNS records.", domain_dns, _domain_ids),
        _spec("piv://whites", "Sites", "All generated sites.", whites),
        _spec("piv://whites/{white_id}", "Site", "One generated site.", white, _white_ids),
        _spec("piv://inbox", "Inbox", "The newest events: SMS, registrations, finished sites.", inbox),
        _spec(
            "piv://commitments",
            "Commitments",
            "What expires or renews in the next 30 days, and what it will cost as far as known.",
            commitments,
        ),
        _spec("piv://spending", "Spending", "The spending journal of the last 30 days, with totals.", spending),
    )
}
