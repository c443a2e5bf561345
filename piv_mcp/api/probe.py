"""Sends one request to an address that a person gave, and says how far it came."""

from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx

from piv_mcp.api.connection import Hop, Progress, explain
from piv_mcp.api.route import proxy_rules, transport_to

MAX_ANSWER = 4096
"""Bytes of an answer that are read."""


@dataclass(frozen=True, slots=True)
class Reached:
    """What answered: the status, and the beginning of the body."""

    status: int
    body: bytes


async def post(url: str, body: dict[str, Any], *, name: str, patience: float) -> Reached | str:
    """POST a JSON object; returns what answered, or why nothing did. `name` is what the host is called; each
    step may take `patience` seconds.

    Raises:
        ConfigError: the certificates in the environment cannot be used.
    """
    proxy = proxy_rules().choose(url)
    progress = Progress()
    async with httpx.AsyncClient(
        transport=transport_to(url, proxy),
        follow_redirects=False,
        trust_env=False,
        timeout=patience,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
    ) as client:
        try:
            async with client.stream("POST", url, json=body, extensions={"trace": progress}) as response:
                begun = b""
                async for chunk in response.aiter_bytes():
                    begun += chunk
                    if len(begun) >= MAX_ANSWER:
                        break
                return Reached(response.status_code, begun[:MAX_ANSWER])
        except Exception as error:  # the SOCKS library raises errors of all kinds
            await progress.abandon()
            return explain(error, Hop(url, proxy, name), progress)[0]
