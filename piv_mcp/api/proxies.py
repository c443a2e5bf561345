"""IPv6 proxies: reference section "代理"."""

from typing import Annotated, Literal

from pydantic import Field

from piv_mcp.api.endpoint import Endpoint, page_of, under
from piv_mcp.api.group import EndpointGroup
from piv_mcp.api.models import LargeLimit, Model, Money, NonEmpty, Offset, Page, Request, Secret, UtcDatetime

ProxyOrderStatus = Literal["active", "expired"]
ExportFormat = Literal["socks5", "http", "both"]


class ProxyServer(Model):
    """`price_per_proxy` is presumably for one month; the reference does not say."""

    id: str
    name: str | None = None
    country: str | None = None
    socks5_port: int | None = None
    http_port: int | None = None
    price_per_proxy: Money | None = None


class Proxy(Model):
    login: str | None = None
    password: Secret | None = None
    host: str | None = None
    socks5_port: int | None = None
    http_port: int | None = None
    ipv6: str | None = None


class ProxyOrder(Model):
    """`items` is empty in lists. The answer to a purchase lacks `price_per_proxy` and `purchased_at`."""

    id: str
    country: str | None = None
    quantity: int | None = None
    price_per_proxy: Money | None = None
    price_total: Money | None = None
    status: str | None = None
    purchased_at: UtcDatetime | None = None
    expires_at: UtcDatetime | None = None
    created_at: UtcDatetime | None = None
    items: list[Proxy] = Field(default_factory=list[Proxy])


class PurchaseProxies(Request):
    server_id: NonEmpty
    quantity: Annotated[int, Field(ge=1, le=500)]
    months: Annotated[int, Field(ge=1, le=12)]


class RenewProxies(Request):
    months: Annotated[int, Field(ge=1)]
    """The reference gives no maximum here."""


class RenewedProxies(Model):
    order_id: str | None = None
    cost: Money | None = None
    new_expires_at: UtcDatetime | None = None


class RestoredProxies(Model):
    order_id: str | None = None
    quantity: int | None = None
    total_cost: Money | None = None
    expires_at: UtcDatetime | None = None


class ProxyExport(Model):
    content: Secret
    """Lines of `login:password@host:port`."""
    filename: str | None = None
    format: str | None = None
    count: int | None = None


class ProxyOrdersQuery(Request):
    limit: LargeLimit | None = None
    offset: Offset | None = None
    status: ProxyOrderStatus | None = None
    search: str | None = None


class ProxyExportQuery(Request):
    format: ExportFormat | None = None


SERVERS = Endpoint("GET", "/proxy/servers", list[ProxyServer], under("servers"))
ORDERS = Endpoint("GET", "/proxy/orders", Page[ProxyOrder], page_of("orders"), confidential=True)
ORDER = Endpoint("GET", "/proxy/orders/{id}", ProxyOrder, under("order"), confidential=True)
PURCHASE = Endpoint("POST", "/proxy/purchase", ProxyOrder, under("order"), confidential=True)
RENEW = Endpoint("POST", "/proxy/orders/{id}/renew", RenewedProxies, confidential=True)
RESTORE = Endpoint("POST", "/proxy/orders/{id}/restore", RestoredProxies, confidential=True)
EXPORT = Endpoint("GET", "/proxy/orders/{id}/export", ProxyExport, confidential=True)


class ProxiesApi(EndpointGroup):
    async def servers(self) -> list[ProxyServer]:
        """Servers on which proxies can be bought, with prices."""
        return await self._call(SERVERS)

    async def orders(
        self,
        *,
        limit: int | None = None,
        offset: int | None = None,
        status: ProxyOrderStatus | None = None,
        search: str | None = None,
    ) -> Page[ProxyOrder]:
        """Orders without their proxies. `limit` 1 to 500, by default 100."""
        return await self._call(
            ORDERS, query=ProxyOrdersQuery, limit=limit, offset=offset, status=status, search=search
        )

    async def order(self, order_id: str) -> ProxyOrder:
        """One order with the credentials of its proxies. Raises `NotFoundError`."""
        return await self._call(ORDER, order_id)

    async def purchase(self, request: PurchaseProxies) -> ProxyOrder:
        """Buy proxies as one order; charged at once. Raises `NotFoundError`, `InsufficientBalanceError`."""
        return await self._call(PURCHASE, body=request)

    async def renew(self, order_id: str, request: RenewProxies) -> RenewedProxies:
        """Add months to an active order; charged at once."""
        return await self._call(RENEW, order_id, body=request)

    async def restore(self, order_id: str) -> RestoredProxies:
        """Restore an expired order for one month, with the same credentials; charged at once."""
        return await self._call(RESTORE, order_id)

    async def export(self, order_id: str, *, format: ExportFormat | None = None) -> ProxyExport:
        """The order's credentials as text; `socks5` by default."""
        return await self._call(EXPORT, order_id, query=ProxyExportQuery, format=format)
