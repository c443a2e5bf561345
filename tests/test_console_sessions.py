"""The cookie of a session over HTTPS, and how many tries a client has."""

from http.cookies import SimpleCookie

import pytest
from moving_clock import MovingClock
from starlette.requests import Request
from starlette.responses import Response

from piv_mcp.console.sessions import SESSION_SECONDS, Sessions
from piv_mcp.store import Store
from piv_mcp.web import tries
from piv_mcp.web.guards import GUESSES_A_MINUTE
from piv_mcp.web.tries import Tries


async def test_over_https_the_cookie_is_for_this_host_alone_and_never_sent_in_the_clear(store: Store) -> None:
    sessions, response = Sessions(store, "https://piv.example.com", MovingClock()), Response()
    sessions.give(response, "secret")
    ((name, cookie),) = SimpleCookie(response.headers["set-cookie"]).items()
    assert (name, cookie.value) == ("__Host-piv-mcp", "secret")
    assert (cookie["secure"], cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, True, "strict", "/")
    assert (cookie["max-age"], cookie["domain"]) == (str(int(SESSION_SECONDS)), "")
    sessions.take(response)
    assert "__Host-piv-mcp=" in response.headers.getlist("set-cookie")[1]
    assert "Secure" in response.headers.getlist("set-cookie")[1]


def request_of(host: str) -> Request:
    return Request({"type": "http", "client": (host, 4000), "headers": []})


def test_nobody_uses_up_the_tries_of_others() -> None:
    clock = MovingClock()
    counted = Tries(clock)
    refused = [counted.are_too_many(request_of("192.0.2.1")) for _ in range(GUESSES_A_MINUTE + 1)]
    assert refused == [False] * GUESSES_A_MINUTE + [True]
    assert not counted.are_too_many(request_of("192.0.2.2"))
    for last in range(GUESSES_A_MINUTE):
        counted.are_too_many(request_of(f"2001:db8::{last:x}"))
    assert counted.are_too_many(request_of("2001:db8::ffff")), "a household has one network"
    assert not counted.are_too_many(request_of("2001:db8:0:1::1"))
    clock.advance(60)
    assert not counted.are_too_many(request_of("192.0.2.1"))


def test_however_many_clients_try_they_fill_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tries, "MOST_CLIENTS", 3)
    counted = Tries(MovingClock())
    for last in range(10):
        counted.are_too_many(request_of(f"192.0.2.{last}"))
    assert len(counted._minutes) == 3  # pyright: ignore[reportPrivateUsage] - nothing else tells
