"""How requests leave this machine, by the environment: through which proxy, and which certificates are believed.

httpx reads the same variables, but fails as a whole where one of them cannot be understood, and sends requests to this
machine through the proxy.
"""

import ipaddress
import os
import re
import ssl
import sys
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from pydantic import SecretStr

from piv_mcp.errors import ConfigError
from piv_mcp.text.tidy import is_placeholder, tidied

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

SYSTEM_SETTINGS = "the proxy settings of the system"
MEND = "Correct or remove it where the client's configuration or your shell sets it"

_SOCKS = {"socks": "socks5h", "socks5": "socks5", "socks5h": "socks5h"}
_SCHEMES = {"http": "http", "https": "https", **_SOCKS}
_HOST = re.compile(r"[\w.:-]+(%[\w.-]+)?")
_HASHED = re.compile(r"[0-9a-f]{8}\.\d+")
"""The name of a certificate in a folder that OpenSSL looks into."""


@dataclass(frozen=True, slots=True)
class ProxyChoice:
    """A proxy, and the name of the variable that sets it. The address can hold a password."""

    variable: str
    address: SecretStr


@dataclass(frozen=True, slots=True)
class ProxyException:
    """An entry of NO_PROXY: a network, or a pattern of host names; with a port, or for all."""

    network: Network | None
    pattern: str
    port: int | None

    def covers(self, host: str, port: int) -> bool:
        if self.port not in (None, port):
            return False
        if self.network is not None:
            address = _address(host)
            return address is not None and address in self.network
        return fnmatchcase(host, self.pattern) or fnmatchcase(host, f"*.{self.pattern}")


@dataclass(frozen=True, slots=True)
class ProxyRules:
    """What the environment says about proxies. `problems` name what was left out, and repeat no value."""

    proxies: Mapping[str, ProxyChoice]
    exceptions: tuple[ProxyException, ...]
    problems: tuple[str, ...]

    def choose(self, url: str) -> ProxyChoice | None:
        """The proxy for this URL; None for a direct connection, and always for this machine."""
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
        port = parts.port or (443 if parts.scheme == "https" else 80)
        if is_this_machine(host) or any(entry.covers(host, port) for entry in self.exceptions):
            return None
        return self.proxies.get(parts.scheme) or self.proxies.get("all")


def is_this_machine(host: str) -> bool:
    """Whether the host name or address means this machine (127.0.0.0/8, ::1, localhost and the names below it)."""
    name = host.lower().strip("[]").rstrip(".")
    address = _address(name)
    if address is not None:
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return (mapped or address).is_loopback
    return name == "localhost" or name.endswith(".localhost")


def proxy_rules(
    environment: Mapping[str, str] = os.environ,
    system: Callable[[], Mapping[str, str]] = urllib.request.getproxies,
    platform: str = sys.platform,
) -> ProxyRules:
    """The rules in HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY; without these, in the settings of the system."""
    given = {scheme: _variable(environment, f"{scheme}_proxy") for scheme in ("https", "http", "all")}
    if environment.get("REQUEST_METHOD"):
        given["http"] = None  # in a CGI program, a header of the request can set HTTP_PROXY
    if not any(given.values()) and platform in ("win32", "darwin"):
        given = {scheme: (SYSTEM_SETTINGS, value) for scheme, value in system().items() if scheme in given}
    problems: list[str] = []
    proxies: dict[str, ProxyChoice] = {}
    for scheme, variable in given.items():
        if variable is not None:
            try:
                proxies[scheme] = ProxyChoice(variable[0], SecretStr(_proxy_address(variable[1])))
            except ValueError as error:
                problems.append(f"{variable[0]} is left out: {error}")
    exceptions, unread = _exceptions(_variable(environment, "no_proxy"))
    return ProxyRules(proxies, exceptions, (*problems, *unread))


def _variable(environment: Mapping[str, str], name: str) -> tuple[str, str] | None:
    """The variable's name as it is written, and its value; the lower-case name wins, as in curl and Python."""
    names = sorted((key for key in environment if key.lower() == name), reverse=True)
    if not names or not (value := tidied(environment[names[0]])):
        return None
    return names[0], value


def _proxy_address(value: str) -> str:
    """The proxy's URL. Raises `ValueError`, which does not repeat it."""
    if is_placeholder(value):
        raise ValueError("it holds a placeholder that was not filled in")
    scheme, separator, rest = value.partition("://")
    scheme, rest = (scheme.lower(), rest) if separator else ("http", value)
    if scheme in ("socks4", "socks4a"):
        raise ValueError("SOCKS4 is not supported; use socks5:// or socks5h://")
    if scheme not in _SCHEMES:
        raise ValueError("it must begin with http://, https://, socks5:// or socks5h://")
    address = f"{_SCHEMES[scheme]}://{rest}"
    try:
        url = httpx.Proxy(address).url
        is_usable = _HOST.fullmatch(url.host) is not None and (url.port is None or 0 < url.port < 65536)
    except (ValueError, TypeError, httpx.InvalidURL):
        is_usable = False
    if not is_usable:
        raise ValueError("it is not the address of a proxy, such as http://proxy.example:3128")
    return address


def _exceptions(variable: tuple[str, str] | None) -> tuple[tuple[ProxyException, ...], list[str]]:
    """The entries of NO_PROXY that can be read, and a problem for those that cannot."""
    if variable is None:
        return (), []
    entries = [entry for entry in re.split(r"[\s,;]+", variable[1]) if entry]
    read: list[ProxyException] = []
    unread: list[str] = []
    for number, entry in enumerate(entries, 1):
        try:
            read.append(_exception(entry))
        except ValueError:
            unread.append(str(number))
    if not unread:
        return tuple(read), []
    which = f"{variable[0]}: entry {', '.join(unread)}"
    return tuple(read), [f"{which} is left out: it is no host name, address or network"]


def _exception(entry: str) -> ProxyException:
    """One entry. Raises `ValueError`."""
    text = tidied(entry).lower()
    if "://" in text:
        text = text.partition("://")[2].partition("/")[0]
    if (network := _network(text)) is not None:
        return ProxyException(network, "", None)
    host, _, port = text.rpartition(":") if re.search(r"[^:]:\d+$", text) else (text, "", "")
    number = int(port) if port else None
    if (network := _network(host)) is not None:
        return ProxyException(network, "", number)
    pattern = host.removeprefix("*.").strip(".") if host != "*" else host
    if not re.fullmatch(r"[\w.*-]+", pattern):
        raise ValueError
    return ProxyException(None, pattern, number)


def _network(text: str) -> Network | None:
    """An address or a network, with or without brackets and zone."""
    bare = re.sub(r"^\[([^\]]*)\](/\d+)?$", lambda match: match[1] + (match[2] or ""), text)
    bare = re.sub(r"%[^/]*", "", bare)
    try:
        return ipaddress.ip_network(bare, strict=False)
    except ValueError:
        return None


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None


def transport_to(base_url: str, choice: ProxyChoice | None) -> httpx.AsyncHTTPTransport:
    """A transport for requests to this URL.

    Raises:
        ConfigError: the certificates in the environment cannot be used.
    """
    if base_url.startswith("http://"):
        # Only to this machine: no certificate is needed, and no variable about them can be in the way.
        return httpx.AsyncHTTPTransport(verify=without_certificates(), trust_env=False)
    context = trusted()
    proxy = None
    if choice is not None:
        address = choice.address.get_secret_value()
        proxy = httpx.Proxy(address, ssl_context=context if address.startswith("https://") else None)
    return httpx.AsyncHTTPTransport(verify=context, trust_env=False, proxy=proxy)


def without_certificates() -> ssl.SSLContext:
    """For plain HTTP to this machine: reads no variable and no file, and believes no certificate."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def trusted(environment: Mapping[str, str] = os.environ) -> ssl.SSLContext:
    """The certificates that are believed: those of SSL_CERT_FILE, else of SSL_CERT_DIR, else certifi's.

    Raises:
        ConfigError: one of these, or SSLKEYLOGFILE, cannot be used. The message names the variable.
    """
    file, folder = environment.get("SSL_CERT_FILE"), environment.get("SSL_CERT_DIR")
    if file:
        _check_certificates(Path(file))
    elif folder:
        _check_folder(folder.split(os.pathsep))
    try:
        if not file and not folder:
            return httpx.create_ssl_context(trust_env=False)
        return ssl.create_default_context(cafile=file or None, capath=None if file else folder)
    except ssl.SSLError:
        raise ConfigError("SSL_CERT_FILE names a file without certificates in PEM form", hint=MEND) from None
    except OSError as error:
        # What is left of what Python itself reads.
        raise ConfigError(f"SSLKEYLOGFILE cannot be written ({error.strerror})", hint=MEND) from None


def _check_certificates(file: Path) -> None:
    try:
        if file.is_dir():
            raise ConfigError("SSL_CERT_FILE names a folder; SSL_CERT_DIR is for folders", hint=MEND)
        file.open("rb").close()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise ConfigError(f"SSL_CERT_FILE names a file that cannot be read ({reason})", hint=MEND) from None


def _check_folder(parts: Iterable[str]) -> None:
    """OpenSSL looks certificates up by the hashes in their names, and says nothing about a folder without any."""
    names: list[str] = []
    for part in parts:
        try:
            names += os.listdir(part)
        except (OSError, ValueError):
            continue
    if not any(_HASHED.fullmatch(name) for name in names):
        problem = "SSL_CERT_DIR names no folder with certificates that were prepared by `openssl rehash`"
        raise ConfigError(problem, hint=MEND)
