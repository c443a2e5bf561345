"""Tools of IPv6 proxies."""

import os
from pathlib import Path
from typing import Annotated, Any

import anyio.to_thread
from pydantic import Field

from piv_mcp.api.models import Money, UtcDatetime
from piv_mcp.api.proxies import (
    ExportFormat,
    Proxy,
    ProxyOrder,
    ProxyOrderStatus,
    ProxyServer,
    PurchaseProxies,
    RenewProxies,
)
from piv_mcp.errors import StoreError
from piv_mcp.services import services
from piv_mcp.spending.actions import proxies as actions
from piv_mcp.spending.receipt import Receipt
from piv_mcp.tools.answers import Answer, Bounded, Listing, paging, whole
from piv_mcp.tools.parameters import DEFAULT_OF_500, Limit500, Offset, OrderId, Search, ServerId, Switch
from piv_mcp.tools.spec import Ctx, perform, read, spend

MASK = "********"
MASKED = (
    "The passwords are masked. export_proxies(to_file=true) writes the lines with the passwords to a file on the"
    " machine of this server and returns its path; show_passwords=true returns them here, into the conversation."
)
WRITTEN = (
    "The file, on the machine of this server, holds all lines with the passwords. Only the user of this server can read"
    " it. No password is in this answer. The next export of this order and format overwrites the file; nothing deletes"
    " it."
)
SHOWN = "These are the real passwords: they are in the conversation now. Pass them on to nobody but the person."

ALL_IN_A_FILE = "export_proxies(to_file=true) writes all of them to a private file."

ShowPasswords = Annotated[Switch, Field(description="Only when the person asks to see passwords.")]


class Servers(Listing):
    ROWS = "servers"

    servers: list[ProxyServer]


class OrderRow(Answer):
    """An order in a list; get_proxy_order shows its proxies."""

    id: str
    country: str | None = None
    quantity: int | None = None
    price_per_proxy: Money | None = None
    price_total: Money | None = None
    status: str | None = None
    purchased_at: UtcDatetime | None = None
    expires_at: UtcDatetime | None = None


class Orders(Listing):
    ROWS = "orders"

    orders: list[OrderRow]


class ProxyRow(Answer):
    login: str | None = None
    password: str | None = None
    host: str | None = None
    socks5_port: int | None = None
    http_port: int | None = None
    ipv6: str | None = None


class OrderAnswer(OrderRow, Bounded):
    ROWS = "proxies"

    proxies: list[ProxyRow]
    note: str

    def continuation(self, count: int) -> str:
        del count
        return ALL_IN_A_FILE


class Export(Bounded):
    ROWS = "content"

    count: int | None = None
    format: str
    file: str | None = None
    content: str | None = None
    note: str | None = None

    @property
    def listed(self) -> list[str]:
        return (self.content or "").splitlines()

    def continuation(self, count: int) -> str:
        del count
        return ALL_IN_A_FILE

    def continued(self, count: int) -> dict[str, Any]:
        return {"content": "\n".join(self.listed[:count])}


async def list_proxy_servers(ctx: Ctx, offset: Offset | None = None) -> Servers:
    """List servers and locations (countries) where proxies can be bought, and how much proxies cost: price per IPv6
    proxy and month in US dollars."""
    rows, position = whole(await (await services(ctx)).client.proxies.servers(), offset)
    return Servers(servers=rows, **position)


async def list_proxy_orders(
    ctx: Ctx,
    status: ProxyOrderStatus | None = None,
    search: Annotated[Search, Field(description="Text to find in the orders.")] | None = None,
    limit: Limit500 | None = None,
    offset: Offset | None = None,
) -> Orders:
    """List the account's proxy orders: which proxies it rents, their status and expiry."""
    page = await (await services(ctx)).client.proxies.orders(limit=limit, offset=offset, status=status, search=search)
    rows = [OrderRow.model_validate(order, from_attributes=True) for order in page.items]
    return Orders(orders=rows, **paging(page, offset, limit or DEFAULT_OF_500))


async def get_proxy_order(ctx: Ctx, order_id: OrderId, show_passwords: ShowPasswords = False) -> OrderAnswer:
    """Get the details of one proxy order with its proxies: host, IP, ports, logins (usernames); passwords are
    masked."""
    order = await (await services(ctx)).client.proxies.order(order_id)
    return order_answer(order, show_passwords=show_passwords)


async def export_proxies(
    ctx: Ctx,
    order_id: OrderId,
    format: ExportFormat = "socks5",
    to_file: Annotated[
        Switch, Field(description="Write them to a private file and return its path alone: no password in the chat.")
    ] = False,
    show_passwords: ShowPasswords = False,
) -> Export:
    """Export an order's proxy list with usernames and passwords, as login:password@host:port lines. The passwords are
    masked, unless to_file or show_passwords is given."""
    app = await services(ctx)
    export = await app.client.proxies.export(order_id, format=format)
    content = export.content.get_secret_value()
    if to_file:
        path = app.exports / f"proxies-{order_id}-{format}.txt"
        await anyio.to_thread.run_sync(write_private, path, content)
        return Export(count=export.count, format=format, file=str(path), note=WRITTEN)
    if show_passwords:
        return Export(count=export.count, format=format, content=content, note=SHOWN)
    return Export(count=export.count, format=format, content=masked(content), note=MASKED)


async def purchase_proxies(
    ctx: Ctx,
    server_id: ServerId,
    quantity: Annotated[int, Field(ge=1, le=500, strict=True, description="How many proxies.")],
    months: Annotated[int, Field(ge=1, le=12, strict=True, description="Calendar months.")],
) -> Receipt:
    """Buy IPv6 proxies (rent or order SOCKS5 and HTTP proxies) as one order, after the person approves the price.
    export_proxies then returns the credentials."""
    request = PurchaseProxies.of(server_id=server_id, quantity=quantity, months=months)
    return await perform(ctx, actions.PurchaseProxiesAction(request=request))


async def renew_proxy_order(
    ctx: Ctx,
    order_id: OrderId,
    months: Annotated[int, Field(ge=1, le=120, strict=True, description="Calendar months.")],
) -> Receipt:
    """Extend (renew, prolong, pay again for) the proxies of an active order by months, after the person approves the
    price. Expired: restore_proxy_order."""
    return await perform(ctx, actions.RenewProxyOrderAction(order_id=order_id, request=RenewProxies.of(months=months)))


async def restore_proxy_order(ctx: Ctx, order_id: OrderId) -> Receipt:
    """Bring back (reactivate) the proxies of an expired order for a month with the same credentials, after the person
    approves."""
    return await perform(ctx, actions.RestoreProxyOrderAction(order_id=order_id))


def order_answer(order: ProxyOrder, *, show_passwords: bool) -> OrderAnswer:
    return OrderAnswer(
        **OrderRow.model_validate(order, from_attributes=True).model_dump(),
        proxies=[_proxy(item, show_passwords=show_passwords) for item in order.items],
        note=SHOWN if show_passwords else MASKED,
    )


def masked(content: str) -> str:
    """The lines of an export with their passwords masked. A line of unknown form is masked as a whole."""
    return "\n".join(_masked_line(line) for line in content.splitlines())


def write_private(path: Path, content: str) -> None:
    """Write a file that only its owner can read, completely or not at all.

    Raises:
        StoreError: the file cannot be written.
    """
    partial = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial.unlink(missing_ok=True)
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(content + "\n")
        partial.replace(path)
    except OSError as error:
        raise StoreError(f"the export cannot be written to {path.parent}: {error.strerror}") from error


def _masked_line(line: str) -> str:
    login, colon, remainder = line.partition(":")
    _, at, address = remainder.rpartition("@")
    return f"{login}:{MASK}@{address}" if colon and at else (MASK if line.strip() else line)


def _proxy(item: Proxy, *, show_passwords: bool) -> ProxyRow:
    password = item.password.get_secret_value() if item.password else None
    return ProxyRow(
        login=item.login,
        password=password if show_passwords or password is None else MASK,
        host=item.host,
        socks5_port=item.socks5_port,
        http_port=item.http_port,
        ipv6=item.ipv6,
    )


TOOLS = (
    read(list_proxy_servers, "Proxy servers and prices", "GET /proxy/servers"),
    read(list_proxy_orders, "Proxy orders", "GET /proxy/orders"),
    read(get_proxy_order, "Proxy order", "GET /proxy/orders/{id}"),
    read(export_proxies, "Export proxies", "GET /proxy/orders/{id}/export"),
    spend(purchase_proxies, "Buy proxies", "POST /proxy/purchase"),
    spend(renew_proxy_order, "Renew a proxy order", "POST /proxy/orders/{id}/renew"),
    spend(restore_proxy_order, "Restore a proxy order", "POST /proxy/orders/{id}/restore"),
)
