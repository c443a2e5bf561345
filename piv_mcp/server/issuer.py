"""The tokens of an identity provider: JWTs, which its published keys prove.

Keys are fetched when they are needed first, again when they are old, and when a token names one that is not known: but
for that seldom, since anybody can name any key.
"""

import asyncio
import json
import math
from collections.abc import Mapping
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

import structlog
from mcp.server.auth.provider import AccessToken

from piv_mcp.api.credentials import checked_issuer
from piv_mcp.errors import ConfigError
from piv_mcp.text.times import SYSTEM_CLOCK, Clock

ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"},
)
"""By public keys alone. With `none`, or with a shared key such as a public one, anybody can make tokens."""

TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})

MAX_JWT = 16 * 1024
"""Characters."""

MAX_DOCUMENT = 256 * 1024
"""Bytes of what the provider publishes."""

KEYS_SECONDS = 3600.0
"""After that keys are fetched again."""

REFETCH_SECONDS = 10.0
"""The least time between two fetches."""

FETCH_SECONDS = 5.0

LEEWAY_SECONDS = 10.0
"""By so much the provider's clock may differ."""

PATHS_OF_METADATA = ("{0}{1}/.well-known/openid-configuration", "{0}/.well-known/oauth-authorization-server{1}")

_log = structlog.get_logger(__name__)


KINDS = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
"""The kind of key of the algorithms with names that begin so."""


@dataclass(frozen=True, slots=True)
class PublishedKey:
    """A key of the provider. `algorithm` is None if it may be used with any of its kind."""

    kid: str | None
    kind: str
    algorithm: str | None
    key: Any

    def fits(self, algorithm: str) -> bool:
        return self.kind == KINDS[algorithm[:2]] and self.algorithm in (None, algorithm)


class IssuerError(Exception):
    """What the provider publishes cannot be used; the text says why."""


class Issuer:
    """A token verifier of the SDK's kind, for the tokens of one provider to one audience."""

    def __init__(self, issuer: str, audience: str, clock: Clock = SYSTEM_CLOCK) -> None:
        """
        Raises:
            ConfigError: the packages for it are not installed.
        """
        try:
            import jwt  # late: of the extra `server`
        except ImportError:
            raise ConfigError(
                "PIV_OAUTH_ISSUER needs packages that are not installed", hint="pip install 'piv-mcp[server]'"
            ) from None
        self._jwt = jwt
        self._issuer = issuer
        self._audience = audience
        self._keys = ProviderKeys(issuer, clock)

    async def verify_token(self, token: str) -> AccessToken | None:
        """What the token says, if it is the provider's, for us, and not over; else None."""
        if len(token) > MAX_JWT:
            return None
        errors = (self._jwt.PyJWTError, ValueError, TypeError, KeyError, OverflowError, RecursionError)
        try:
            header = self._jwt.get_unverified_header(token)
            algorithm, kid = header.get("alg"), header.get("kid")
            if algorithm not in ALGORITHMS or str(header.get("typ", "jwt")).lower() not in TYPES or "crit" in header:
                return None
            key = await self._keys.find(kid if isinstance(kid, str) else None, algorithm)
            if key is None:
                return None
            claims: dict[str, Any] = self._jwt.decode(
                token,
                key.key,
                algorithms=[algorithm],
                audience=self._audience,
                issuer=self._issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
            subject, expires_at = claims["sub"], int(float(claims["exp"]))
        except errors:
            return None
        if not isinstance(subject, str) or not subject:
            return None
        client = claims.get("client_id") or claims.get("azp") or subject
        return AccessToken(
            token=token,
            client_id=str(client),
            scopes=[],
            expires_at=expires_at,
            resource=self._audience,
            subject=subject,
        )


class ProviderKeys:
    """The provider's published keys."""

    def __init__(self, issuer: str, clock: Clock = SYSTEM_CLOCK) -> None:
        self._issuer = issuer
        self._clock = clock
        self._keys: list[PublishedKey] = []
        self._fetched_at = -math.inf
        self._tried_at = -math.inf
        self._fetching = asyncio.Lock()
        self._is_away = False
        """The last fetch failed."""
        self._behind: asyncio.Task[None] | None = None

    async def find(self, kid: str | None, algorithm: str) -> PublishedKey | None:
        """The key with this id for this algorithm. A token that names none is proven by the only key there is.

        While the provider is away, nobody waits for it whose key was good when it was there.
        """
        key = self._named(kid, algorithm)
        if key is None or self._are_old:
            if key is not None and self._is_away:
                if self._behind is None or self._behind.done():
                    self._behind = asyncio.create_task(self._refresh(kid, algorithm), context=Context())  # for all
                return key
            await self._refresh(kid, algorithm)
        return self._named(kid, algorithm)

    async def _refresh(self, kid: str | None, algorithm: str) -> None:
        """Fetch the keys, unless that was tried just now, or somebody else has done it meanwhile."""
        async with self._fetching:
            may_try = self._clock.monotonic() - self._tried_at >= REFETCH_SECONDS
            if may_try and (self._are_old or self._named(kid, algorithm) is None):
                await self._fetch()

    @property
    def _are_old(self) -> bool:
        return self._clock.monotonic() - self._fetched_at > KEYS_SECONDS

    def _named(self, kid: str | None, algorithm: str) -> PublishedKey | None:
        fitting = [key for key in self._keys if key.fits(algorithm)]
        if kid is None:
            return fitting[0] if len(fitting) == 1 else None
        return next((key for key in fitting if key.kid == kid), None)

    async def _fetch(self) -> None:
        import httpx  # late: it is not needed without an identity provider

        try:
            # In a thread: it reads the certificates of the world.
            client = await asyncio.to_thread(httpx.AsyncClient, timeout=FETCH_SECONDS, follow_redirects=False)
            async with client as http, self._clock.timeout(2 * FETCH_SECONDS):
                self._keys = _keys_in(await _document(http, await self._address_of_keys(http)))
        except (IssuerError, httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            self._is_away = True
            problem = str(error) if isinstance(error, IssuerError) else type(error).__name__
            _log.error("the identity provider's keys could not be read", issuer=self._issuer, problem=problem)
        else:
            self._is_away = False
            self._fetched_at = self._clock.monotonic()
            _log.info("the identity provider's keys were read", issuer=self._issuer, keys=len(self._keys))
        finally:
            self._tried_at = self._clock.monotonic()  # at the end: those who waited for it do not try again

    async def _address_of_keys(self, http: Any) -> str:
        parts = urlsplit(self._issuer)
        problem = IssuerError("it publishes no metadata")
        for form in PATHS_OF_METADATA:
            url = form.format(f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/"))
            try:
                metadata = await _document(http, url)
            except IssuerError as error:
                problem = error
                continue
            if metadata.get("issuer") != self._issuer:
                raise IssuerError("its metadata names another issuer")
            try:
                return checked_issuer(str(metadata.get("jwks_uri")))
            except ValueError as error:
                raise IssuerError(f"the address of its keys {error}") from None
        raise problem


async def _document(http: Any, url: str) -> Mapping[str, Any]:
    """The JSON object at this address."""
    body = bytearray()
    async with http.stream("GET", url, headers={"Accept": "application/json"}) as answer:
        if answer.status_code != 200:
            raise IssuerError(f"HTTP {answer.status_code}")
        async for chunk in answer.aiter_bytes():
            body += chunk
            if len(body) > MAX_DOCUMENT:
                raise IssuerError("an answer that is too large")
    with suppress(ValueError, RecursionError):
        document: object = json.loads(bytes(body))
        if isinstance(document, dict):
            return cast("dict[str, Any]", document)
    raise IssuerError("an answer that is no JSON object")


def _keys_in(document: Mapping[str, Any]) -> list[PublishedKey]:
    from jwt import PyJWK, PyJWTError  # late: of the extra `server`

    found: list[PublishedKey] = []
    listed = document.get("keys")
    for item in cast("list[Any]", listed) if isinstance(listed, list) else []:
        # One that is of no kind that we know proves no tokens, and says nothing about the others.
        with suppress(PyJWTError, ValueError, TypeError, KeyError, AttributeError):
            if item.get("use", "sig") == "sig" and item.get("kty") in KINDS.values():
                found.append(PublishedKey(item.get("kid"), item["kty"], item.get("alg"), PyJWK(item).key))
    return found
