"""Requests as the outside sends them: which proxies are believed, and which hosts and pages may be named."""

import ipaddress
from collections.abc import Iterable, Sequence

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from piv_mcp.web.guards import LOOPBACK_HOSTS, plain_text

USUAL_PORTS = {"http": 80, "https": 443}

TOLD_BY_PROXIES = frozenset({b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"forwarded"})


class Forwarded:
    """`app`, which sees clients, schemes and hosts as the `trusted` proxies tell them, and what others tell not at all.

    `trusted` are addresses or networks.
    """

    def __init__(self, app: ASGIApp, trusted: Iterable[str]) -> None:
        self._app = app
        self._trusted = [ipaddress.ip_network(network) for network in trusted]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_told = scope["type"] == "http" and any(name in TOLD_BY_PROXIES for name, _ in scope["headers"])
        await self._app(self._as_told(scope) if is_told else scope, receive, send)

    def _as_told(self, scope: Scope) -> Scope:
        headers = Headers(scope=scope)
        own = [(name, value) for name, value in scope["headers"] if name not in TOLD_BY_PROXIES]
        told = {**scope, "headers": own}
        client = scope.get("client")
        if client is None or not self._trusts(client[0]):
            return told
        # Each proxy adds what it sees at the end: what stands before the last one that is not ours is anybody's word.
        hops = [hop for line in headers.getlist("x-forwarded-for") for hop in line.replace(" ", "").split(",")]
        outside = next((hop for hop in reversed(hops) if not self._trusts(hop)), None)
        if outside is not None:
            told["client"] = (outside, 0)
        if (scheme := _last(headers.getlist("x-forwarded-proto"))) in USUAL_PORTS:
            told["scheme"] = scheme
        if host := _last(headers.getlist("x-forwarded-host")):
            told["headers"] = [(b"host", host.encode("latin-1")), *((n, v) for n, v in own if n != b"host")]
        return told

    def _trusts(self, text: str) -> bool:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._trusted)


class OutsideAddress:
    """What a request may name as its host and its origin: `public_url`; without one, this machine at our port."""

    def __init__(self, public_url: str | None) -> None:
        self._url = public_url

    def refusal(self, scope: Scope) -> Response | None:
        """The refusal of a request that names another host or page; None if it may go on."""
        headers, server = Headers(scope=scope), scope.get("server")
        port = server[1] if server is not None else None
        hosts, origins = ([], []) if self._url is None else _names(self._url)
        if self._url is None:
            hosts = [f"{name}:{port}" for name in LOOPBACK_HOSTS]
            origins = [f"http://{host}" for host in hosts]
        if headers.get("host", "").lower() not in hosts:
            return plain_text(421, "This server has another address.")
        origin = headers.get("origin")
        if origin is not None and origin.lower() not in origins:
            return plain_text(403, "Requests from this page are not taken.")
        return None


class AtAddress:
    """`app`, which gets the requests to the address `url` alone, as they were sent there: whatever stands between, a
    request has the address's scheme and host."""

    def __init__(self, app: ASGIApp, url: str) -> None:
        self._app = app
        self._address = OutsideAddress(url)
        self._scheme, _, self._host = url.partition("://")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (refused := self._address.refusal(scope)) is not None:
            return await refused(scope, receive, send)
        others = [(name, value) for name, value in scope["headers"] if name != b"host"]
        known = {"scheme": self._scheme, "headers": [(b"host", self._host.encode()), *others]}
        return await self._app({**scope, **known}, receive, send)


def _names(url: str) -> tuple[list[str], list[str]]:
    scheme, _, host = url.partition("://")
    usual = f"{host}:{USUAL_PORTS[scheme]}"
    return [host, usual], [url, f"{scheme}://{usual}"]


def _last(values: Sequence[str]) -> str:
    return values[-1].rpartition(",")[2].strip() if values else ""
