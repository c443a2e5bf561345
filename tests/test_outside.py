"""What a request may say of where it comes from and where it goes: hosts, pages, and what proxies tell."""

import pytest
from starlette.types import Message, Receive, Scope, Send

from piv_mcp.web.outside import AtAddress, Forwarded, OutsideAddress


def scope(client: str = "192.0.2.1", **headers: str) -> Scope:
    return {
        "type": "http",
        "client": (client, 4000),
        "server": ("127.0.0.1", 8788),
        "scheme": "http",
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }


async def told(given: Scope, *trusted: str) -> Scope:
    """What the app sees."""
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        raise AssertionError

    await Forwarded(app, trusted)(given, receive, send)
    return seen[0]


def host(scope: Scope) -> str:
    return dict(scope["headers"]).get(b"host", b"").decode()


FORWARDED = {
    "host": "inside:8788",
    "x_forwarded_for": "203.0.113.7, 198.51.100.9, 10.0.0.2",
    "x_forwarded_proto": "https",
    "x_forwarded_host": "mcp.example.com",
}


@pytest.mark.parametrize("trusted", [(), ("10.0.0.0/8",)])
async def test_a_stranger_is_not_believed(trusted: tuple[str, ...]) -> None:
    seen = await told(scope("192.0.2.1", **FORWARDED), *trusted)
    assert (seen["client"], seen["scheme"], host(seen)) == (("192.0.2.1", 4000), "http", "inside:8788")
    assert not any(name.startswith(b"x-forwarded") for name, _ in seen["headers"])


@pytest.mark.parametrize("peer", ["10.0.0.1", "::ffff:10.0.0.1"])
async def test_a_known_proxy_is_believed_up_to_the_first_stranger(peer: str) -> None:
    seen = await told(scope(peer, **FORWARDED), "10.0.0.0/8")
    assert (seen["client"][0], seen["scheme"], host(seen)) == ("198.51.100.9", "https", "mcp.example.com")
    assert [name for name, _ in seen["headers"]].count(b"host") == 1


async def test_a_known_proxy_that_tells_nothing_changes_nothing() -> None:
    seen = await told(scope("10.0.0.1", host="inside:8788"), "10.0.0.1/32")
    assert (seen["client"][0], host(seen)) == ("10.0.0.1", "inside:8788")


@pytest.mark.parametrize(
    ("url", "headers", "status"),
    [
        ("https://mcp.example.com", {"host": "mcp.example.com"}, None),
        ("https://mcp.example.com", {"host": "mcp.example.com:443"}, None),
        ("https://mcp.example.com", {"host": "mcp.example.com:80"}, 421),
        ("https://mcp.example.com", {"host": "mcp.example.com.evil.example"}, 421),
        ("https://mcp.example.com", {"host": "127.0.0.1:8788"}, 421),
        ("https://mcp.example.com", {}, 421),
        ("https://mcp.example.com", {"host": "mcp.example.com", "origin": "https://mcp.example.com"}, None),
        ("https://mcp.example.com", {"host": "mcp.example.com", "origin": "http://mcp.example.com"}, 403),
        ("https://mcp.example.com", {"host": "mcp.example.com", "origin": "https://evil.example"}, 403),
        ("https://mcp.example.com:8443", {"host": "mcp.example.com:8443"}, None),
        ("https://mcp.example.com:8443", {"host": "mcp.example.com"}, 421),
        (None, {"host": "127.0.0.1:8788"}, None),
        (None, {"host": "localhost:8788", "origin": "http://localhost:8788"}, None),
        (None, {"host": "[::1]:8788"}, None),
        (None, {"host": "localhost:9999"}, 421),
        (None, {"host": "rebound.example:8788"}, 421),
        (None, {"host": "localhost:8788", "origin": "http://rebound.example:8788"}, 403),
    ],
)
def test_hosts_and_pages(url: str | None, headers: dict[str, str], status: int | None) -> None:
    refused = OutsideAddress(url).refusal(scope(**headers))
    assert (None if refused is None else refused.status_code) == status


async def at(url: str, **headers: str) -> tuple[list[Scope], list[int]]:
    """(what the app at this address sees, the statuses of refusals)."""
    seen: list[Scope] = []
    statuses: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await AtAddress(app, url)(scope(**headers), receive, send)
    return seen, statuses


async def test_an_app_at_an_address_gets_what_was_sent_there_as_it_was_sent() -> None:
    for host in ("piv.example.com", "piv.example.com:443", "PIV.example.com"):
        (seen,), statuses = await at("https://piv.example.com", host=host, cookie="a=b")
        assert (seen["scheme"], statuses) == ("https", [])
        assert sorted(seen["headers"]) == [(b"cookie", b"a=b"), (b"host", b"piv.example.com")]
    for host in ("127.0.0.1:8789", "piv.example.com:8789", "example.com", ""):
        assert await at("https://piv.example.com", host=host) == ([], [421])
    assert await at("https://piv.example.com", host="piv.example.com", origin="http://piv.example.com") == ([], [403])
