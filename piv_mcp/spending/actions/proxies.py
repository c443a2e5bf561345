"""Actions on proxies: buy, renew, restore."""

from decimal import Decimal
from typing import ClassVar

from piv_mcp.api import proxies as api
from piv_mcp.api.models import LARGE_PAGE
from piv_mcp.api.paging import all_rows
from piv_mcp.api.proxies import ProxyOrder, ProxyServer
from piv_mcp.errors import NotFoundError
from piv_mcp.spending.actions.base import Action, Done, JsonObject, OtherActions, Sources, to_json
from piv_mcp.spending.actions.evidence import lasts
from piv_mcp.spending.actions.renewal import RenewalAction
from piv_mcp.spending.quote import Price, months

MONTHLY = "the API does not say for how long the listed price is; calculated as the price of a month"


class PurchaseProxiesAction(Action):
    kind: ClassVar[str] = "purchase_proxies"
    area: ClassVar[str] = "proxies"
    request: api.PurchaseProxies

    async def quote(self, sources: Sources) -> tuple[str, Price]:
        request = self.request
        server = await self._server(sources)
        where = f"{server.name or server.id} ({server.country})"
        words = f"Buy {request.quantity} proxies on {where} for {months(request.months)}"
        if server.price_per_proxy is None:
            return words, Price.unknown("the server has no listed price")
        return words, _price_of_months(server.price_per_proxy * request.quantity, request.months)

    async def send(self, sources: Sources) -> Done:
        order = await sources.api.proxies.purchase(self.request)
        return Done(result=to_json(order), cost=order.price_total, object_id=order.id)

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

    async def quote(self, sources: Sources) -> tuple[str, Price]:
        order = await sources.api.proxies.order(self.order_id)
        words = f"Renew proxy order {order.id} ({order.quantity} in {order.country}) for {months(self.request.months)}"
        monthly = _month_price(order)
        if monthly.amount is None:
            return words, monthly
        return words, _price_of_months(monthly.amount, self.request.months)

    async def send(self, sources: Sources) -> Done:
        answer = await sources.api.proxies.renew(self.order_id, self.request)
        return Done(result=to_json(answer), cost=answer.cost)


class RestoreProxyOrderAction(Action):
    kind: ClassVar[str] = "restore_proxy_order"
    area: ClassVar[str] = "proxies"
    order_id: str

    async def quote(self, sources: Sources) -> tuple[str, Price]:
        order = await sources.api.proxies.order(self.order_id)
        words = f"Restore proxy order {order.id} ({order.quantity} in {order.country}) for 1 month"
        return words, Price.unknown("restoring has no listed price", floor=_month_price(order).amount)

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


def _month_price(order: ProxyOrder) -> Price:
    if order.price_per_proxy is None or order.quantity is None:
        return Price.unknown("the order shows no price")
    return Price(amount=order.price_per_proxy * order.quantity)


def _price_of_months(listed: Decimal, months: int) -> Price:
    if months == 1:
        return Price(amount=listed)
    return Price(amount=listed * months, certainty="estimate", floor=listed, reason=MONTHLY)


async def _orders(sources: Sources) -> list[ProxyOrder]:
    return (await all_rows(sources.api.proxies.orders, LARGE_PAGE))[0]


ACTIONS = (PurchaseProxiesAction, RenewProxyOrderAction, RestoreProxyOrderAction)
