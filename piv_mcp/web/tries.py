"""Bounds how often a client may try what it does not know. Each has a minute of its own, so that nobody can use up the
tries of others."""

import ipaddress
import math
from dataclasses import dataclass

from starlette.requests import Request

from piv_mcp.text.times import Clock
from piv_mcp.web.guards import GUESSES_A_MINUTE

MOST_CLIENTS = 10_000
"""Clients that are told apart. When there are more in a minute, the oldest are forgotten."""


@dataclass(slots=True)
class _Minute:
    began: float = -math.inf
    count: int = 0


class Tries:
    """Counts the tries of each client in a minute, which begins with the first of them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._minutes: dict[str, _Minute] = {}

    def are_too_many(self, request: Request) -> bool:
        """Count one more; returns whether it is one too many."""
        client, now = _client(request), self._clock.monotonic()
        minute = self._minutes.pop(client, _Minute())
        if now - minute.began >= 60:
            minute = _Minute(now)
        minute.count += 1
        self._minutes[client] = minute  # as the newest
        while len(self._minutes) > MOST_CLIENTS:
            del self._minutes[next(iter(self._minutes))]
        return minute.count > GUESSES_A_MINUTE


def _client(request: Request) -> str:
    """Who counts as one client: an address; of IPv6, the network of a household."""
    host = request.client.host if request.client is not None else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return host
