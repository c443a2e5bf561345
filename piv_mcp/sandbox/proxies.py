"""Proxies: servers and orders.

Where the reference is silent:
- Prices are per proxy and month, and an order's months are calendar months.
- A renewal takes 1-12 months, like a purchase.
- An order can be restored within 7 days after its expiry, like a number, and then runs for one month from now.
- An order in the wrong state answers VALIDATION_ERROR.
"""

from datetime import timedelta

from piv_mcp.sandbox.clock import RESTORE_WINDOW, add_months
from piv_mcp.sandbox.errors import invalid, not_found
from piv_mcp.sandbox.fields import one_of
from piv_mcp.sandbox.prices import SandboxProxyServer
from piv_mcp.sandbox.records import SandboxOrder, SandboxProxy
from piv_mcp.sandbox.state import RouteAnswer, RouteCall, State, data
from piv_mcp.sandbox.wire import cents

ORDER_NOTICE_LEAD = timedelta(days=3)


def list_servers(state: State, call: RouteCall) -> RouteAnswer:
    servers = [
        {
            "id": server.id,
            "name": server.name,
            "country": server.country,
            "socks5_port": server.socks5_port,
            "http_port": server.http_port,
            "price_per_proxy": server.price_per_proxy,
        }
        for server in state.servers.values()
    ]
    return data({"servers": servers})


def list_orders(state: State, call: RouteCall) -> RouteAnswer:
    """Newest first. `search` looks at the id, country and server name, and ignores case."""
    page = call.query.page(100, 500)
    status = call.query.text("status", one_of("active", "expired"))
    search = (call.query.text("search") or "").casefold()
    now = state.clock.now()
    found = [
        order
        for order in sorted(state.orders.values(), key=lambda order: order.purchased_at, reverse=True)
        if status in (None, order.status(now))
        and search in f"{order.id}\n{order.server.country}\n{order.server.name}".casefold()
    ]
    shown, pagination = page.of(found)
    return data({"orders": [_view(state, order) for order in shown], "pagination": pagination})


def get_order(state: State, call: RouteCall) -> RouteAnswer:
    order = _find(state, call)
    view = {**_view(state, order), "created_at": order.purchased_at, "items": _items(order)}
    return data({"order": view})


def purchase(state: State, call: RouteCall) -> RouteAnswer:
    """The answer has no `price_per_proxy` and no `purchased_at`, as in the reference's example."""
    server_id = call.body.text("server_id")
    quantity = call.body.integer("quantity", 1, 500)
    months = call.body.integer("months", 1, 12)
    server = state.servers.get(server_id)
    if server is None:
        raise not_found("Proxy server", server_id)
    state.ledger.require(cents(server.price_per_proxy * quantity * months))
    order = add_order(state, server, quantity, months)
    state.ledger.charge("proxy.purchase", order.id, order.price_total)
    view = {
        "id": order.id,
        "country": server.country,
        "quantity": quantity,
        "price_total": order.price_total,
        "status": order.status(state.clock.now()),
        "expires_at": order.expires_at,
        "created_at": order.purchased_at,
        "items": _items(order),
    }
    return data({"order": view})


def renew(state: State, call: RouteCall) -> RouteAnswer:
    months = call.body.integer("months", 1, 12)
    order = _find(state, call)
    if order.status(state.clock.now()) != "active":
        raise invalid("id", "order has expired; only active orders can be renewed")
    cost = cents(order.server.price_per_proxy * order.quantity * months)
    state.ledger.charge("proxy.renew", order.id, cost)
    order.expires_at = add_months(order.expires_at, months)
    plan_notice(state, order)
    return data({"order_id": order.id, "cost": cost, "new_expires_at": order.expires_at})


def restore(state: State, call: RouteCall) -> RouteAnswer:
    order = _find(state, call)
    now = state.clock.now()
    if order.status(now) == "active":
        raise invalid("id", "order is active; only expired orders can be restored")
    if now >= order.expires_at + RESTORE_WINDOW:
        raise invalid("id", "order expired more than 7 days ago")
    cost = cents(order.server.price_per_proxy * order.quantity)
    state.ledger.charge("proxy.restore", order.id, cost)
    order.expires_at = add_months(now, 1)
    plan_notice(state, order)
    return data(
        {
            "order_id": order.id,
            "quantity": order.quantity,
            "total_cost": cost,
            "expires_at": order.expires_at,
        }
    )


def export(state: State, call: RouteCall) -> RouteAnswer:
    """`both` gives all SOCKS5 lines, then all HTTP lines. `count` is the number of lines."""
    wanted = call.query.text("format", one_of("socks5", "http", "both")) or "socks5"
    order = _find(state, call)
    server = order.server
    ports = {
        "socks5": [server.socks5_port],
        "http": [server.http_port],
        "both": [server.socks5_port, server.http_port],
    }[wanted]
    lines = [f"{proxy.login}:{proxy.password}@{server.host}:{port}" for port in ports for proxy in order.proxies]
    return data(
        {
            "content": "\n".join(lines),
            "filename": f"piv-day-proxy-{order.id[:9]}-{wanted}.txt",
            "format": wanted,
            "count": len(lines),
        }
    )


def add_order(state: State, server: SandboxProxyServer, quantity: int, months: int) -> SandboxOrder:
    now = state.clock.now()
    order = SandboxOrder(
        id=state.ids.uuid("order"),
        server=server,
        quantity=quantity,
        price_total=cents(server.price_per_proxy * quantity * months),
        purchased_at=now,
        expires_at=add_months(now, months),
        proxies=[_new_proxy(state, server) for _ in range(quantity)],
    )
    state.orders[order.id] = order
    plan_notice(state, order)
    return order


def plan_notice(state: State, order: SandboxOrder) -> None:
    """Send `proxy.expires_soon` three days before the expiry, unless the expiry has changed by then."""
    planned_for = order.expires_at

    def announce() -> None:
        if order.expires_at == planned_for and order.status(state.clock.now()) == "active":
            state.emit(
                "proxy.expires_soon",
                {
                    "order_id": order.id,
                    "country": order.server.country,
                    "quantity": order.quantity,
                    "expires_at": order.expires_at,
                },
            )

    state.agenda.at(planned_for - ORDER_NOTICE_LEAD, announce)


def _new_proxy(state: State, server: SandboxProxyServer) -> SandboxProxy:
    serial = state.ids.count("proxy")
    return SandboxProxy(f"user{serial}", state.ids.secret("proxy password", 12), f"{server.ipv6_prefix}::{serial:x}")


def _find(state: State, call: RouteCall) -> SandboxOrder:
    order = state.orders.get(call.params["id"])
    if order is None:
        raise not_found("Proxy order", call.params["id"])
    return order


def _items(order: SandboxOrder) -> list[dict[str, object]]:
    return [
        {
            "login": proxy.login,
            "password": proxy.password,
            "host": order.server.host,
            "socks5_port": order.server.socks5_port,
            "http_port": order.server.http_port,
            "ipv6": proxy.ipv6,
        }
        for proxy in order.proxies
    ]


def _view(state: State, order: SandboxOrder) -> dict[str, object]:
    return {
        "id": order.id,
        "country": order.server.country,
        "quantity": order.quantity,
        "price_per_proxy": order.server.price_per_proxy,
        "price_total": order.price_total,
        "status": order.status(state.clock.now()),
        "purchased_at": order.purchased_at,
        "expires_at": order.expires_at,
    }
