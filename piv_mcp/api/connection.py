"""How far a request has come, and why it got no answer, in words."""

import errno
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx

from piv_mcp.api.route import ProxyChoice, is_this_machine

_NO_ROUTE = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL})
_NO_DESCRIPTOR = frozenset({errno.EMFILE, errno.ENFILE})
_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"})
_CLOCK = frozenset({9, 10})
"""OpenSSL's codes for a certificate that is not yet valid, or has expired."""

CHECK_CONNECTION = "Check the connection, then try again"


class _Stream(Protocol):
    async def aclose(self) -> None: ...


class TooLateError(Exception):
    """The time in which the request was to be sent is over, and nothing of it was sent."""


class Progress:
    """Follows one request: httpcore calls this object at each step (its extension `trace`)."""

    def __init__(self, is_late: Callable[[], bool] = lambda: False) -> None:
        """`is_late` tells whether it is too late to begin with the request."""
        self._is_late = is_late
        self.connecting = False
        """A connection is being made for the request, of which nothing has been sent."""
        self.tunnelled = False
        """A proxy has made the connection to the API."""
        self._stream: _Stream | None = None

    async def __call__(self, step: str, info: dict[str, Any]) -> None:
        if step.endswith("connect_tcp.started"):
            self.connecting = True
        elif step.endswith("connect_tcp.complete"):
            self._stream = info.get("return_value")
        elif step in ("proxy.start_tls.started", "socks.start_tls.started"):
            self.connecting = self.tunnelled = True
        elif step.endswith("send_request_headers.started"):
            # A proxy is asked for a tunnel by a request of its own.
            self.connecting = getattr(info.get("request"), "method", b"") == b"CONNECT"
            if not self.connecting:
                self.refuse_late()

    def refuse_late(self) -> None:
        """Raises `TooLateError` if it is too late to begin: nothing of the request has been sent then."""
        if self._is_late():
            raise TooLateError

    async def abandon(self) -> None:
        """Close a connection that did not come about: httpcore leaves some of them open."""
        if self.connecting and self._stream is not None:
            with suppress(Exception):
                await self._stream.aclose()


class Hop:
    """Names the two ends that a connection can fail at. Neither name is a value that could be a secret: a host that may
    be one is called by `otherwise`."""

    def __init__(self, base_url: str, proxy: ProxyChoice | None, otherwise: str = "the host of PIV_BASE_URL") -> None:
        host = urlsplit(base_url).hostname or ""
        is_known = is_this_machine(host) or host.endswith(".piv.day")
        self.api = host if is_known else otherwise
        self.proxy = None if proxy is None else f"the proxy of {proxy.variable}"

    def current(self, progress: Progress) -> str:
        """The end that the request is waiting for."""
        return self.proxy if self.proxy and progress.connecting and not progress.tunnelled else self.api


def explain(error: BaseException, hop: Hop, progress: Progress) -> tuple[str, str]:
    """Why there is no answer, and what to do about it."""
    who = hop.current(progress)
    for cause in _causes(error):
        match cause:
            case ssl.SSLCertVerificationError():
                return _certificate(cause, who)
            case ssl.SSLError() if cause.reason in _NO_TLS:
                return f"{who} does not speak TLS on this port", "Check PIV_BASE_URL and the proxy variables"
            case ssl.SSLError():
                return f"no TLS connection with {who} ({cause.reason or 'it broke off'})", CHECK_CONNECTION
            case socket.gaierror():
                return f"the name of {who} cannot be resolved", "Check the connection to the internet and the DNS"
            case ConnectionRefusedError():
                return f"{who} refused the connection", CHECK_CONNECTION
            case OSError(errno=number) if number in _NO_ROUTE:
                return f"there is no route to {who}", "Check the connection to the internet"
            case OSError(errno=number) if number in _NO_DESCRIPTOR:
                return "this process has too many open files", "Restart the server"
            case _:
                continue
    return _by_kind(error, hop, progress)


def _certificate(error: ssl.SSLCertVerificationError, who: str) -> tuple[str, str]:
    problem = f"the certificate of {who} is not trusted ({error.verify_message or error.reason})"
    if error.verify_code in _CLOCK:
        return problem, "Check the clock of this machine"
    return problem, (
        "If a company's proxy or an antivirus program replaces certificates, set SSL_CERT_FILE to the file with its "
        "certificate authority"
    )


def _by_kind(error: BaseException, hop: Hop, progress: Progress) -> tuple[str, str]:
    who = hop.current(progress)
    match error:
        case httpx.ProxyError():
            return f"{hop.proxy} refused the tunnel ({_refusal(str(error))})", "Check the proxy variables"
        case httpx.ConnectTimeout():
            return f"{who} did not take the connection in time", CHECK_CONNECTION
        case httpx.TimeoutException() | TimeoutError() if progress.connecting:
            return f"{hop.proxy or hop.api} did not make the connection in time", CHECK_CONNECTION
        case httpx.TimeoutException() | TimeoutError():
            return f"{hop.api} did not answer in time", CHECK_CONNECTION
        case httpx.RemoteProtocolError() if "disconnected" in str(error):
            return f"{who} closed the connection without an answer", CHECK_CONNECTION
        case httpx.RemoteProtocolError():
            return f"{who} does not speak HTTP on this port", "Check PIV_BASE_URL and the proxy variables"
        case httpx.HTTPError() | httpx.StreamError() | OSError():
            return f"the connection to {who} broke off ({type(error).__name__})", CHECK_CONNECTION
        case _:  # the SOCKS library raises errors of all kinds on bytes that it does not expect
            return f"{hop.proxy or hop.api} does not speak the protocol of its address", "Check the proxy variables"


def _refusal(text: str) -> str:
    """What httpcore says about a proxy's refusal. The reason phrase of an HTTP status is the proxy's own text."""
    status = text.split(" ", 1)[0]
    if status == "407" or "username" in text or "Requested" in text:
        return "it asks for other credentials"
    return f"status {status}" if status.isdigit() else text.rpartition(":")[2].strip(" .").lower() or "no reason given"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and those behind it."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        current = waiting.pop(0)
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        waiting += [current.__cause__ or current.__context__]
        if isinstance(current, BaseExceptionGroup):
            waiting += current.exceptions  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
