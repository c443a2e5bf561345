"""How requests leave this machine: proxies and certificates by the environment, and the words when they do not."""

import asyncio
import socket
import ssl
from pathlib import Path

import pytest
from api_client import KEY, PURCHASE
from hypothesis import given
from hypothesis import strategies as st
from network import (
    HOST,
    ProxyServer,
    answer_account,
    listening,
    proxied,
    say_nothing,
    say_rubbish,
    server_tls,
    trust,
)
from pydantic import SecretStr

from piv_mcp import errors
from piv_mcp.api.client import PivClient
from piv_mcp.api.route import is_this_machine, proxy_rules, trusted
from piv_mcp.errors import ConfigError

pytestmark = pytest.mark.usefixtures("instant_retries", "bare_environment")

API = f"https://{HOST}/api/v1"
PROXY = "http://proxy.example:3128"


@pytest.fixture
def trusting(bare_environment: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(trust(tmp_path)))


# reading the variables


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"HTTPS_PROXY": PROXY}, PROXY),
        ({"https_proxy": PROXY, "HTTPS_PROXY": "http://other.example"}, PROXY),
        ({"https_proxy": "", "HTTPS_PROXY": PROXY}, None),
        ({"ALL_PROXY": PROXY}, PROXY),
        ({"ALL_PROXY": "socks5://h", "HTTPS_PROXY": PROXY}, PROXY),
        ({"HTTP_PROXY": PROXY}, None),
        ({"HTTPS_PROXY": "proxy.example:3128"}, PROXY),
        ({"HTTPS_PROXY": f' "{PROXY}" '}, PROXY),
        ({"HTTPS_PROXY": "socks://h:1"}, "socks5h://h:1"),
        ({"HTTPS_PROXY": "SOCKS5://h:1"}, "socks5://h:1"),
        ({"HTTPS_PROXY": "socks5h://u:p%40x@h:1"}, "socks5h://u:p%40x@h:1"),
        ({"HTTPS_PROXY": "http://[::1]:3128"}, "http://[::1]:3128"),
        ({"HTTPS_PROXY": "http://[::1", "ALL_PROXY": PROXY}, PROXY),
    ],
)
def test_the_proxy_is_the_one_that_the_variables_name(environment: dict[str, str], expected: str | None) -> None:
    rules = proxy_rules(environment)
    choice = rules.choose(API)
    assert (choice.address.get_secret_value() if choice else None) == expected
    assert bool(rules.problems) == ("http://[::1" in environment.values())


@pytest.mark.parametrize(
    "value",
    [
        "http://[::1",
        "http://",
        "://hunter2",
        "http://hunter2:port",
        "http://hunter2:99999",
        "http://hunter2:0",
        "ftp://hunter2",
        "socks4://hunter2",
        "socks4a://hunter2:1",
        "${hunter2}",
        "{{hunter2}}",
        "http://user:hunter2@",
        "http://two words hunter2",
        "http://hunter2\udcff",
        "http://hunter2\x01",
        "[::1]:hunter2:3128",
    ],
)
def test_a_proxy_that_cannot_be_understood_is_named_and_left_out(value: str) -> None:
    for name in ("HTTPS_PROXY", "ALL_PROXY", "http_proxy"):
        rules = proxy_rules({name: value})
        assert rules.choose(API) is None
        (problem,) = rules.problems
        assert name in problem
        assert "hunter2" not in problem


@pytest.mark.parametrize(
    "entry",
    [
        "*",
        HOST,
        ".example",
        "example",
        "*.example",
        "api.*",
        f"{HOST}:443",
        f"https://{HOST}",
        "x, " + HOST,
        "a b " + HOST.upper(),
        f"'{HOST}'",
    ],
)
def test_no_proxy_covers_a_name_in_each_form(entry: str) -> None:
    rules = proxy_rules({"HTTPS_PROXY": PROXY, "NO_PROXY": entry})
    assert rules.choose(API) is None
    assert rules.problems == ()


@pytest.mark.parametrize(
    "entry",
    [
        "api.example.org",
        f"{HOST}:80",
        "pi.example",
        "i.example",
        "10.0.0.0/8",
        "[::1]",
        "::1/128",
        "fe80::/10",
        "fe80::1%eth0",
        "[fe80::1%25eth0]:80",
        "localhost",
    ],
)
def test_no_proxy_covers_nothing_else(entry: str) -> None:
    rules = proxy_rules({"HTTPS_PROXY": PROXY, "NO_PROXY": entry})
    assert rules.choose(API) is not None
    assert rules.problems == ()


@pytest.mark.parametrize(
    ("host", "entry"),
    [
        ("10.1.2.3", "10.0.0.0/8"),
        ("10.1.2.3", "10.1.2.3"),
        ("10.1.2.3", "10.1.*"),
        ("10.1.2.3", "10.1.2.3:443"),
        ("[2001:db8::5]", "2001:db8::/32"),
        ("[2001:db8::5]", "[2001:db8::5]"),
        ("[2001:db8::5]", "[2001:db8::5]:443"),
    ],
)
def test_no_proxy_covers_an_address(host: str, entry: str) -> None:
    rules = proxy_rules({"HTTPS_PROXY": PROXY, "NO_PROXY": entry})
    assert rules.choose(f"https://{host}/api") is None
    assert rules.choose("https://[2001:db9::5]/api") is not None


def test_an_entry_of_no_proxy_that_cannot_be_understood_leaves_the_others() -> None:
    rules = proxy_rules({"HTTPS_PROXY": PROXY, "NO_PROXY": f"[hunter2,{HOST},hunter2/99"})
    assert rules.choose(API) is None
    (problem,) = rules.problems
    assert problem.startswith("NO_PROXY: entry 1, 3 ")
    assert "hunter2" not in problem


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_text_in_the_variables_is_read_or_named(proxy: str, exceptions: str) -> None:
    rules = proxy_rules({"HTTPS_PROXY": proxy, "NO_PROXY": exceptions})
    rules.choose(API)
    assert rules.choose("https://127.0.0.1/") is None
    for problem in rules.problems:
        assert problem.startswith(("HTTPS_PROXY", "NO_PROXY"))


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1.2.3",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "a.localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
    ],
)
def test_this_machine_is_never_asked_through_a_proxy(host: str) -> None:
    assert is_this_machine(host)
    for scheme in ("http", "https"):
        assert proxy_rules({"ALL_PROXY": PROXY, "HTTP_PROXY": PROXY}).choose(f"{scheme}://{host}:9/api/v1") is None


@pytest.mark.parametrize("host", ["127.example", "localhost.example", "notlocalhost", "128.0.0.1", HOST])
def test_other_machines_are(host: str) -> None:
    assert not is_this_machine(host)


def test_the_settings_of_the_system_are_used_where_the_environment_says_nothing() -> None:
    system = {"https": "http://system.example:1", "ftp": "x"}
    rules = proxy_rules({}, lambda: system, "win32")
    choice = rules.choose(API)
    assert choice is not None
    assert choice.variable == "the proxy settings of the system"
    assert proxy_rules({}, lambda: system, "linux").choose(API) is None
    mine = proxy_rules({"ALL_PROXY": PROXY}, lambda: system, "darwin").choose(API)
    assert mine is not None
    assert mine.variable == "ALL_PROXY"


# through real proxies


async def balance(base_url: str = API) -> str:
    async with PivClient(base_url, SecretStr(KEY)) as piv:
        return str((await piv.account.get()).balance)


@pytest.mark.parametrize("login", [None, ("me", "p@ss:word")])
@pytest.mark.parametrize("address", ["http://{}", "https://{}", "socks5://{}", "socks5h://{}", "socks://{}", "{}"])
@pytest.mark.usefixtures("trusting")
async def test_a_request_goes_through_the_proxy(
    monkeypatch: pytest.MonkeyPatch, address: str, login: tuple[str, str] | None
) -> None:
    kind = "socks" if "socks" in address else "https" if "https" in address else "http"
    async with proxied(kind, login) as (proxy, port):
        user = "me:p%40ss%3Aword@" if login else ""
        monkeypatch.setenv("ALL_PROXY", address.format(f"{user}127.0.0.1:{port}"))
        assert await balance() == "150.50"
    assert proxy.asked == [f"{HOST}:443"]


async def test_a_request_to_this_machine_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening(answer_account) as piv, listening(ProxyServer(piv).http) as port:
        for name in ("ALL_PROXY", "HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
        assert await balance(f"http://127.0.0.1:{piv}/api/v1") == "150.50"
        assert await balance(f"http://localhost:{piv}/api/v1") == "150.50"


async def failure(base_url: str = API, *, timeout: float = 20, deadline: float = 30) -> errors.NoAnswerError:  # noqa: ASYNC109 - the client's
    async with PivClient(base_url, SecretStr(KEY), timeout=timeout, deadline=deadline) as piv:
        with pytest.raises(errors.NoAnswerError) as caught:
            await piv.numbers.purchase(PURCHASE)
    assert caught.value.hint
    return caught.value


@pytest.mark.usefixtures("trusting")
@pytest.mark.parametrize(
    ("kind", "refuses", "words"),
    [
        ("http", b"502 hunter2", "refused the tunnel (status 502)"),
        ("http", b"407 hunter2", "asks for other credentials"),
        ("socks", b"\x05", "connection refused"),
        ("socks", b"\x02", "not allowed by ruleset"),
    ],
)
async def test_a_refusal_of_the_proxy_is_told_as_one(
    monkeypatch: pytest.MonkeyPatch, kind: str, refuses: bytes, words: str
) -> None:
    async with proxied(kind) as (proxy, port):
        proxy.refuses = refuses
        monkeypatch.setenv("HTTPS_PROXY", f"{kind.replace('socks', 'socks5')}://user:hunter2@127.0.0.1:{port}")
        caught = await failure()
    assert not caught.sent
    if kind == "http" or b"\x02" not in refuses:
        assert "the proxy of HTTPS_PROXY" in caught.message
    assert "hunter2" not in repr(caught)


@pytest.mark.usefixtures("trusting")
@pytest.mark.parametrize("kind", ["http", "socks5"])
@pytest.mark.parametrize("trouble", ["closed", "rubbish", "silent"])
async def test_a_proxy_that_does_not_work_is_named_and_nothing_was_sent(
    monkeypatch: pytest.MonkeyPatch, kind: str, trouble: str
) -> None:
    async with listening(say_rubbish if trouble == "rubbish" else say_nothing) as port:
        if trouble == "closed":
            port = closed_port()
        monkeypatch.setenv("ALL_PROXY", f"{kind}://127.0.0.1:{port}")
        caught = await failure(timeout=0.3, deadline=0.6)
    assert "the proxy of ALL_PROXY" in caught.message
    assert not caught.sent


# the ways in which a connection fails


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


async def test_a_certificate_that_is_not_trusted_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async with listening(answer_account, server_tls()) as port:
        caught = await failure(f"https://localhost:{port}/api/v1")
        assert "the certificate of localhost is not trusted" in caught.message
        assert "SSL_CERT_FILE" in (caught.hint or "")
        assert not caught.sent
        monkeypatch.setenv("SSL_CERT_FILE", str(trust(tmp_path)))
        assert await balance(f"https://localhost:{port}/api/v1") == "150.50"


@pytest.mark.usefixtures("trusting")
async def test_a_certificate_of_another_host_is_told() -> None:
    async with listening(answer_account, server_tls("other.example")) as port:
        caught = await failure(f"https://localhost:{port}/api/v1")
    assert "certificate" in caught.message
    assert "ostname mismatch" in caught.message


async def test_a_name_that_cannot_be_resolved_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    caught = await failure("https://app.piv.day/api/v1")
    assert "the name of app.piv.day cannot be resolved" in caught.message
    assert not caught.sent


async def test_a_refused_connection_is_told() -> None:
    caught = await failure(f"http://127.0.0.1:{closed_port()}/api/v1")
    assert "127.0.0.1 refused the connection" in caught.message
    assert not caught.sent


async def test_the_host_of_a_base_url_of_ones_own_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", _refused)
    caught = await failure("https://hunter2.example/api/v1")
    assert "the host of PIV_BASE_URL refused" in caught.message
    assert "hunter2" not in repr(caught)


def _refused(*_: object, **__: object) -> None:
    raise ConnectionRefusedError


async def test_plain_http_where_tls_is_expected_is_told() -> None:
    async with listening(say_rubbish) as port:
        caught = await failure(f"https://localhost:{port}/api/v1")
    assert "does not speak TLS" in caught.message
    assert not caught.sent


@pytest.mark.parametrize(
    ("tls", "words"),
    [(True, "closed the connection|does not speak HTTP|broke off"), (False, "does not speak HTTP")],
)
async def test_another_protocol_on_the_port_is_told(tls: bool, words: str) -> None:
    async with (
        listening(say_rubbish, server_tls() if tls else None) as port,
        PivClient(f"http://localhost:{port}/api/v1", SecretStr(KEY)) as piv,
    ):
        with pytest.raises(errors.NoAnswerError, match=words):
            await piv.account.get()


async def test_a_server_that_never_answers_is_told_as_one() -> None:
    async with (
        listening(say_nothing) as port,
        PivClient(f"http://localhost:{port}", SecretStr(KEY), deadline=0.3) as piv,
    ):
        with pytest.raises(errors.OutcomeUnknownError, match="localhost did not answer in time"):
            await piv.numbers.purchase(PURCHASE)


@pytest.mark.usefixtures("trusting")
async def test_a_handshake_that_never_ends_has_sent_nothing() -> None:
    async with listening(say_nothing) as port:
        caught = await failure(f"https://localhost:{port}", deadline=0.3)
    assert not caught.sent
    assert "did not make the connection in time" in caught.message


# certificates


TROUBLES = [
    (variable, trouble)
    for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE")
    for trouble in ("missing", "not PEM", "empty", "a folder", "nonsense")
    if variable != "SSLKEYLOGFILE" or trouble not in ("not PEM", "empty")  # any file is fine to write to
]


@pytest.mark.parametrize(("variable", "trouble"), TROUBLES)
async def test_certificates_that_cannot_be_used_are_named_and_mended_while_running(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, trouble: str
) -> None:
    place = tmp_path / "place"
    if trouble == "a folder" or (variable == "SSL_CERT_DIR" and trouble == "empty"):
        place.mkdir()
    elif trouble in ("not PEM", "empty"):
        place.write_bytes(b"" if trouble == "empty" else b"\x30\x82 hunter2")
    value = {"missing": tmp_path / "none" / "x", "nonsense": "{{hunter2}}/x"}.get(trouble, place)
    async with PivClient("https://app.piv.day/api/v1", SecretStr(KEY)) as piv:
        monkeypatch.setenv(variable, str(value))
        for call in (lambda: piv.account.get(), lambda: piv.numbers.purchase(PURCHASE)):
            with pytest.raises(errors.NoAnswerError, match=variable) as caught:
                await call()
            assert not caught.value.sent
            assert "hunter2" not in repr(caught.value)
    monkeypatch.delenv(variable)
    assert isinstance(trusted(), ssl.SSLContext)


def test_a_folder_of_hashed_certificates_is_believed(tmp_path: Path) -> None:
    file = trust(tmp_path)
    with pytest.raises(ConfigError, match="SSL_CERT_DIR"):
        trusted({"SSL_CERT_DIR": str(tmp_path)})
    (tmp_path / "5ed36f99.0").write_bytes(file.read_bytes())  # the form of the names that `openssl rehash` gives
    assert trusted({"SSL_CERT_DIR": f"/nowhere:{tmp_path}"}).verify_mode == ssl.CERT_REQUIRED


async def test_an_idle_client_reads_no_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
    async with PivClient("https://app.piv.day/api/v1", SecretStr(KEY)):
        await asyncio.sleep(0)


def test_in_a_cgi_program_no_header_of_a_request_names_the_proxy() -> None:
    """There the header `Proxy` becomes the variable HTTP_PROXY."""
    environment = {"HTTP_PROXY": "http://stranger:1", "HTTPS_PROXY": "http://own:3128"}
    rules = proxy_rules(environment | {"REQUEST_METHOD": "GET"}, dict, "linux")
    assert rules.choose("http://example.com") is None
    choice = rules.choose("https://example.com")
    assert choice is not None
    assert choice.variable == "HTTPS_PROXY"
    assert proxy_rules(environment, dict, "linux").choose("http://example.com") is not None
