"""Tokens of an identity provider at the server over HTTP: whose count, and that nothing else does."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from fleets import Replica, Site, piv_day, site
from harness import ERAS, Era, until
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from moving_clock import MovingClock
from plain_http import stranger
from processes import KEY, free_port
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from piv_mcp.cli.agent_rows import revoke_agent
from piv_mcp.errors import ConfigError
from piv_mcp.log import Redactor
from piv_mcp.sandbox import Sandbox, Timing
from piv_mcp.server import identity
from piv_mcp.server.http import serve_http
from piv_mcp.server.issuer import KEYS_SECONDS, REFETCH_SECONDS, Issuer

PING: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {}}
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())


def public(key: Any, kid: str, **more: Any) -> dict[str, Any]:
    algorithm: Any = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
    return {**json.loads(algorithm.to_jwk(key.public_key())), "kid": kid, "use": "sig", **more}


@dataclass
class Provider:
    """What an identity provider publishes, and the tokens that it gives."""

    audience: str = "https://mcp.example.com/mcp"
    url: str = ""
    keys: list[dict[str, Any]] = field(default_factory=lambda: [public(RSA, "one"), public(EC, "two")])
    fetches: int = 0
    named: str | None = None
    """What it says it is, if that is not where it is."""
    answers: asyncio.Event = field(default_factory=asyncio.Event)
    """It answers while this is set."""

    async def metadata(self, _: Request) -> Response:
        await self.answers.wait()
        return JSONResponse({"issuer": self.named or self.url, "jwks_uri": f"{self.url}/jwks"})

    async def jwks(self, _: Request) -> Response:
        self.fetches += 1
        return JSONResponse({"keys": self.keys})

    def claims(self, **changed: Any) -> dict[str, Any]:
        now = int(time.time())
        claims = {"iss": self.url, "aud": self.audience, "sub": "user|1", "iat": now, "exp": now + 300, **changed}
        return {name: value for name, value in claims.items() if value is not None}

    def token(
        self, key: Any = RSA, algorithm: str = "RS256", kid: str | None = "one", typ: str = "at+jwt", **changed: Any
    ) -> str:
        headers: dict[str, Any] = {"typ": typ} if kid is None else {"typ": typ, "kid": kid}
        return jwt.encode(self.claims(**changed), key, algorithm, headers)


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    provider = Provider()
    routes = [Route("/.well-known/openid-configuration", provider.metadata), Route("/jwks", provider.jwks)]
    async with stranger(*routes) as url:
        provider.url = url
        provider.answers.set()
        yield provider
        provider.answers.set()


@pytest.fixture
def issuer(provider: Provider) -> Issuer:
    return Issuer(provider.url, provider.audience, MovingClock())


async def subject(issuer: Issuer, token: str) -> str | None:
    verified = await issuer.verify_token(token)
    return None if verified is None else verified.subject


def forged(header: dict[str, Any], claims: dict[str, Any], secret: bytes = b"") -> str:
    """A token with any header; signed with a shared secret, or not at all."""

    def part(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    body = ".".join(part(json.dumps(value).encode()) for value in (header, claims))
    signature = part(hmac.new(secret, body.encode(), hashlib.sha256).digest()) if secret else ""
    return f"{body}.{signature}"


async def test_good_tokens_name_their_subject(provider: Provider, issuer: Issuer) -> None:
    assert await subject(issuer, provider.token()) == "user|1"
    assert await subject(issuer, provider.token(EC, "ES256", "two")) == "user|1"
    assert await subject(issuer, provider.token(algorithm="PS256", typ="JWT")) == "user|1"
    assert await subject(issuer, provider.token(aud=["https://other.example", provider.audience])) == "user|1"
    assert provider.fetches == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": "https://other.example/mcp"},
        {"aud": None},
        {"aud": []},
        {"iss": "https://evil.example"},
        {"iss": None},
        {"exp": 1_700_000_000},
        {"exp": None},
        {"nbf": 33_000_000_000},
        {"sub": None},
        {"sub": ""},
        {"key": OTHER_RSA},
        {"kid": "two"},
        {"kid": "three"},
        {"typ": "logout+jwt"},
    ],
    ids=lambda changed: ",".join(changed) or None,
)
async def test_tokens_that_are_not_for_us_do_not_count(
    provider: Provider, issuer: Issuer, changed: dict[str, Any]
) -> None:
    assert await subject(issuer, provider.token(**changed)) is None


async def test_nobody_chooses_the_algorithm(provider: Provider, issuer: Issuer) -> None:
    claims = provider.claims()
    pem = RSA.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    jwk = json.dumps(provider.keys[0]).encode()
    for token in (
        forged({"alg": "none", "kid": "one"}, claims),
        forged({"alg": "None", "kid": "one"}, claims),
        forged({"kid": "one"}, claims),
        *(forged({"alg": "HS256", "kid": "one"}, claims, secret) for secret in (pem, jwk, b"secret")),
        forged({"alg": ["RS256"], "kid": "one"}, claims),
        forged({"alg": "ES256", "kid": "one"}, claims, b"secret"),
        forged({"alg": "RS256", "kid": {"a": 1}}, claims, b"secret"),
    ):
        assert await subject(issuer, token) is None
    jku = {"alg": "RS256", "kid": "one", "jku": "https://evil.example/jwks", "jwk": public(OTHER_RSA, "one")}
    assert await subject(issuer, jwt.encode(claims, OTHER_RSA, "RS256", jku)) is None
    for garbage in ("", ".", "..", "a.b.c", "x" * 100_000, provider.token()[:-8], provider.token() + ".x", "ä.ö.ü"):
        assert await subject(issuer, garbage) is None


async def test_a_key_for_one_algorithm_is_for_no_other(provider: Provider, issuer: Issuer) -> None:
    provider.keys = [public(RSA, "one", alg="PS256"), public(EC, "two", use="enc")]
    assert await subject(issuer, provider.token()) is None
    assert await subject(issuer, provider.token(algorithm="PS256")) == "user|1"
    assert await subject(issuer, provider.token(EC, "ES256", "two")) is None


async def test_a_shared_key_that_is_published_proves_nothing(provider: Provider, issuer: Issuer) -> None:
    secret = base64.urlsafe_b64encode(b"k" * 32).rstrip(b"=").decode()
    provider.keys = [{"kty": "oct", "k": secret, "kid": "one", "alg": "HS256"}, {"kty": "odd"}, public(EC, "two")]
    assert await subject(issuer, forged({"alg": "HS256", "kid": "one"}, provider.claims(), b"k" * 32)) is None
    assert await subject(issuer, provider.token(EC, "ES256", "two")) == "user|1"


async def test_keys_are_rotated(provider: Provider) -> None:
    clock = MovingClock()
    issuer = Issuer(provider.url, provider.audience, clock)
    assert await subject(issuer, provider.token()) == "user|1"
    provider.keys = [public(OTHER_RSA, "new")]
    clock.advance(REFETCH_SECONDS)
    assert await subject(issuer, provider.token(OTHER_RSA, kid="new")) == "user|1"
    assert await subject(issuer, provider.token()) is None, "a key that was taken back"


async def test_a_key_that_is_taken_back_ends_by_itself(provider: Provider) -> None:
    clock = MovingClock()
    issuer = Issuer(provider.url, provider.audience, clock)
    assert await subject(issuer, provider.token()) == "user|1"
    provider.keys = [public(EC, "two")]
    clock.advance(KEYS_SECONDS + 1)
    assert await subject(issuer, provider.token(exp=int(time.time()) + 9000)) is None


async def test_keys_that_nobody_has_are_asked_for_seldom(provider: Provider, issuer: Issuer) -> None:
    tokens = [provider.token(kid=f"kid-{number}") for number in range(50)]
    assert set(await asyncio.gather(*(subject(issuer, token) for token in tokens))) == {None}
    assert provider.fetches == 1
    assert await subject(issuer, provider.token()) == "user|1"
    assert provider.fetches == 1


async def test_nobody_waits_for_a_provider_that_is_away(provider: Provider) -> None:
    clock = MovingClock()
    issuer = Issuer(provider.url, provider.audience, clock)
    good = provider.token(exp=int(time.time()) + 90_000)
    assert await subject(issuer, good) == "user|1"
    clock.advance(KEYS_SECONDS + 1)
    provider.named = "https://away.example"  # what it says now cannot be used
    assert await subject(issuer, good) == "user|1"
    clock.advance(REFETCH_SECONDS)
    provider.answers.clear()  # and from now on it keeps everybody waiting
    for _ in range(3):
        assert await asyncio.wait_for(subject(issuer, good), 5) == "user|1"
    provider.named = None
    provider.keys = [public(EC, "two")]
    provider.answers.set()
    clock.advance(REFETCH_SECONDS)

    async def is_taken_back() -> bool:
        return await subject(issuer, good) is None

    await until(is_taken_back, seconds=20, what="the keys are read again")


async def test_a_time_that_is_none_makes_a_token_none(provider: Provider, issuer: Issuer) -> None:
    times: list[Any] = [float("inf"), float("nan"), 10**400, "soon", [], {}]
    for exp in times:
        token = forged_by_the_provider({**provider.claims(), "exp": exp})
        assert await subject(issuer, token) is None


def forged_by_the_provider(claims: dict[str, Any]) -> str:
    """Signed as it should be, with claims that no library would write."""
    return jwt.PyJWS().encode(json.dumps(claims).encode(), RSA, "RS256", {"kid": "one", "typ": "at+jwt"})


async def test_what_names_another_issuer_is_not_used(provider: Provider, issuer: Issuer) -> None:
    provider.named = "https://evil.example"
    assert await subject(issuer, provider.token()) is None
    assert provider.fetches == 0


# at the server


@pytest.fixture
async def place(data_dir: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    monkeypatch.setattr(identity, "ROSTER_SECONDS", 0.01)
    account = Sandbox(KEY, rate_limit=0, timing=Timing.instant(), seed=False)
    account.add_numbers(1)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    provider.audience = f"{url}/mcp"
    async with piv_day(account) as base_url:
        yield site(data_dir, base_url, http_port=port, public_url=url, oauth_issuer=provider.url)
    await account.aclose()


@pytest.fixture
async def server(place: Site) -> AsyncIterator[Replica]:
    async with place.server() as replica:
        yield replica


@pytest.mark.parametrize("era", ERAS)
async def test_a_subject_is_the_agent_that_was_added_for_it(
    place: Site, server: Replica, provider: Provider, era: Era
) -> None:
    own = await place.agent("bot", subject="user|1", toolsets="numbers")
    for token in (own, provider.token()):
        assert (await server.call(token, "list_numbers", era))["total"] == 1
    async with server.client(provider.token(), era) as client:
        assert "list_domains" not in {tool.name for tool in (await client.list_tools()).tools}


async def test_refusals_lead_to_the_provider(place: Site, server: Replica, provider: Provider) -> None:
    await place.agent("bot", subject="user|1")
    async with server.http() as http:
        refused = await http.post("/mcp", json=PING)
        assert refused.status_code == 401
        where = f"{server.url}/.well-known/oauth-protected-resource/mcp"
        assert refused.headers["WWW-Authenticate"] == f'Bearer resource_metadata="{where}"'
        about = (await http.get(where)).json()
        assert about["resource"] == f"{server.url}/mcp"
        assert about["authorization_servers"] == [provider.url]
    async with server.http(provider.token(aud="https://other.example")) as http:
        refused = await http.post("/mcp", json=PING)
        assert refused.status_code == 401
        assert 'error="invalid_token"' in refused.headers["WWW-Authenticate"]
    async with server.http(provider.token(sub="somebody else")) as http:
        assert (await http.post("/mcp", json=PING)).status_code == 403


async def test_a_revoked_agent_has_no_subject(place: Site, server: Replica, provider: Provider) -> None:
    await place.agent("bot", subject="user|1")
    async with server.http(provider.token()) as http:
        assert (await http.post("/mcp", json=PING)).status_code == 200
        await revoke_agent(place.settings(), "bot")

        async def is_refused() -> bool:
            return (await http.post("/mcp", json=PING)).status_code == 403

        await until(is_refused, seconds=10, what="the end of the access", every=0.1)


async def test_a_call_ends_with_its_token(
    place: Site, server: Replica, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("piv_mcp.server.door.LEEWAY_SECONDS", 0)
    await place.agent("bot", subject="user|1")
    number = (await server.call(provider.token(), "list_numbers"))["numbers"][0]["piv_num_id"]
    wait = {"name": "wait_for_code", "arguments": {"number": number, "timeout_seconds": 50}}
    async with server.http(provider.token(exp=int(time.time()) + 1)) as http:
        cut = await http.post("/mcp", json={**PING, "method": "tools/call", "params": wait})
        assert "codes" not in cut.text


async def test_a_provider_without_an_outside_address_is_refused_in_words(place: Site, provider: Provider) -> None:
    with pytest.raises(ConfigError, match="PIV_PUBLIC_URL is not"):
        await serve_http(place.settings(public_url=None), Redactor(), asyncio.Event())
