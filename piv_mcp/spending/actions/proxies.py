"""Actions on proxies: buy, renew, restore."""

from decimal import Decimal
from typing import ClassVar

from piv_mcp.api import proxies as api
from piv_mcp.api.models import LARGE_PAGE
from piv_mcp.api.paging import complete_rows
from piv_mcp.api.proxies import ProxyOrder, ProxyServer
from piv_mcp.errors import NotFoundError
from piv_mcp.spending.actions.base import Action, Done, FollowUp, JsonObject, OtherActions, Proposal, Sources, to_json
from piv_mcp.spending.actions.evidence import lasts
from piv_mcp.spending.actions.renewal import RenewalAction
from piv_mcp.spending.messages import Message, message, named
from piv_mcp.spending.quote import Price, listed


class PurchaseProxiesAction(Action):
    kind: ClassVar[str] = "purchase_proxies"
    area: ClassVar[str] = "proxies"
    request: api.PurchaseProxies

    @property
    def targets(self) -> frozenset[str]:
        return frozenset({self.request.server_id})

    async def quote(self, sources: Sources) -> Proposal:
        request = self.request
        server = await self._server(sources)
        one = listed(server.price_per_proxy)
        return Proposal(
            headline=message(
                "purchase_proxies",
                quantity=request.quantity,
                server=named(server.id, server.name),
                country=server.country,
                months=request.months,
            ),
            price=_price_of_months(one and one * request.quantity, request.months, "server_unlisted"),
        )

    async def send(self, sources: Sources) -> Done:
        order = await sources.api.proxies.purchase(self.request)
        return Done(result=to_json(order), cost=order.price_total, object_id=order.id)

    def follow_up(self, result: JsonObject, made: str | None) -> FollowUp | None:
        return FollowUp(tool="export_proxies", arguments={"order_id": made, "to_file": True}) if made else None

    async def before(self, sources: Sources) -> JsonObject:
        return {
            "ids": [order.id for order in await _orders(sources)],
            "country": (await self._server(sources)).country,
        }

    async def look(self, sources: Sources, before: JsonObject, since: float, others: OtherActions) -> Done | None:
        known = others.made.union(before["ids"])
        for order in await _orders(sources):
            if order.id in known or order.quantity not in (None, self.request.quantity):
                continue
            term = lasts(order.purchased_at or order.created_at, order.expires_at, self.request.months)
            if order.country in (None, before["country"]) and term is not False:
                return Done(
                    result=to_json(order),
                    cost=order.price_total,
                    object_id=order.id,
                    evidence=f"a new order, {order.id}",
                )
        return None

    async def _server(self, sources: Sources) -> ProxyServer:
        for server in await sources.api.proxies.servers():
            if server.id == self.request.server_id:
                return server
        raise NotFoundError(f"there is no proxy server {self.request.server_id}", code="NOT_FOUND")


class RenewProxyOrderAction(RenewalAction):
    kind: ClassVar[str] = "renew_proxy_order"
    area: ClassVar[str] = "proxies"
    order_id: str
    request: api.RenewProxies

    @property
    def target_id(self) -> str:
        return self.order_id

    @property
    def months(self) -> int:
        return self.request.months

    async def read_target(self, sources: Sources) -> JsonObject:
        return _dates(await sources.api.proxies.order(self.order_id))

    async def quote(self, sources: Sources) -> Proposal:
        order = await sources.api.proxies.order(self.order_id)
        return Proposal(
            headline=_headline("renew_proxy_order", order, months=self.months),
            price=_price_of_months(_month_price(order), self.months, "order_unlisted", _each(order)),
        )

    async def send(self, sources: Sources) -> Done:
        answer = await sources.api.proxies.renew(self.order_id, self.request)
        return Done(result=to_json(answer), cost=answer.cost)


class RestoreProxyOrderAction(Action):
    kind: ClassVar[str] = "restore_proxy_order"
    area: ClassVar[str] = "proxies"
    order_id: str

    @property
    def targets(self) -> frozenset[str]:
        return frozenset({self.order_id})

    async def quote(self, sources: Sources) -> Proposal:
        order = await sources.api.proxies.order(self.order_id)
        return Proposal(
            headline=_headline("restore_proxy_order", order),
            price=Price.unknown("proxy_restore_unlisted", floor=_month_price(order), parts=_each(order)),
        )

    async def send(self, sources: Sources) -> Done:
        answer = await sources.api.proxies.restore(self.order_id)
        return Done(result=to_json(answer), cost=answer.total_cost)

    async def before(self, sources: Sources) -> JsonObject:
        return _dates(await sources.api.proxies.order(self.order_id))

    async def look(self, sources: Sources, before: JsonObject, since: float, others: OtherActions) -> Done | None:
        now = _dates(await sources.api.proxies.order(self.order_id))
        if now.get("expires_at", "") <= before.get("expires_at", ""):  # both are UTC in one form
            return None
        return Done(result=now, evidence=f"its expiry changed from {before.get('expires_at')} to {now['expires_at']}")


def _dates(order: ProxyOrder) -> JsonObject:
    return order.model_dump(mode="json", exclude_none=True, exclude={"items"})


def _each(order: ProxyOrder) -> dict[str, Decimal]:
    one = listed(order.price_per_proxy)
    return {} if one is None else {"proxy": one}


def _month_price(order: ProxyOrder) -> Decimal | None:
    one = listed(order.price_per_proxy)
    return None if one is None or order.quantity is None else listed(one * order.quantity)


def _price_of_months(
    monthly: Decimal | None, months: int, unlisted: str, parts: dict[str, Decimal] | None = None
) -> Price:
    if monthly is None:
        return Price.unknown(unlisted)
    if months == 1:
        return Price(amount=monthly, parts=parts or {})
    reason = message("price_of_a_month")
    return Price(amount=monthly * months, certainty="estimate", floor=monthly, parts=parts or {}, reason=reason)


def _headline(id: str, order: ProxyOrder, **values: int) -> Message:
    return message(id, order=order.id, quantity=order.quantity, country=order.country, **values)


async def _orders(sources: Sources) -> list[ProxyOrder]:
    return await complete_rows(sources.api.proxies.orders, LARGE_PAGE)


ACTIONS = (PurchaseProxiesAction, RenewProxyOrderAction, RestoreProxyOrderAction)
