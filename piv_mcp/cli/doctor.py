"""Examines an installation: each fault comes with what to do about it."""

import time
from dataclasses import dataclass
from pathlib import Path

from piv_mcp.config import Settings
from piv_mcp.errors import PivError
from piv_mcp.runtime import webhook_secret
from piv_mcp.store import Store, events, facts
from piv_mcp.text.times import span

MIN_SECRET = 16
"""Characters. piv.day does not sign webhooks: the secret in the address is all there is."""


@dataclass(frozen=True, slots=True)
class Finding:
    what: str
    ok: bool
    state: str
    do: str | None = None


async def examine(settings: Settings) -> list[Finding]:
    """Every check, in the order in which faults build on each other."""
    return [await _api(settings), await _store(settings), _secret(settings), await _web(settings)]


async def _api(settings: Settings) -> Finding:
    if settings.sandbox:
        return Finding("API", True, "the built-in sandbox")
    if settings.api_key is None:
        return Finding(
            "API key",
            False,
            "not set",
            "create one in the piv.day dashboard (Settings > API Keys) and set PIV_API_KEY or PIV_API_KEY_FILE",
        )
    from piv_mcp.api.client import PivClient

    try:
        async with PivClient(settings.base_url, settings.api_key, deadline=15) as client:
            account = await client.account.get()
    except PivError as error:
        return Finding("API", False, error.message, error.hint)
    return Finding("API", True, f"{settings.base_url} knows the key; balance {account.balance} dollars")


async def _store(settings: Settings) -> Finding:
    path = settings.store_path(settings.directory)
    store = Store(path)
    try:
        count, heard = await store.write(events.summary)
    except PivError as error:
        return Finding(
            "store",
            False,
            f"{path}: {error.message}",
            "free space, close other programs that use it, or set PIV_DATA_DIR",
        )
    finally:
        await store.close()
    last = f"the last {span(time.time() - heard)} ago" if heard else "none yet"
    return Finding("store", True, f"{path}: {count} events, {last}")


def _secret(settings: Settings) -> Finding:
    secret = settings.webhook_secret
    if secret is None:
        return Finding("webhook secret", True, "generated, 32 characters")
    length = len(secret.get_secret_value())
    if length < MIN_SECRET:
        return Finding(
            "webhook secret",
            False,
            f"{length} characters: whoever guesses it can invent codes",
            f"use at least {MIN_SECRET} random ones, or leave PIV_WEBHOOK_SECRET out: one is made and kept",
        )
    return Finding("webhook secret", True, f"set, {length} characters")


async def _web(settings: Settings) -> Finding:
    if settings.webhook_port == 0:
        return Finding("webhook endpoint", True, "off (PIV_WEBHOOK_PORT=0): codes come from the SMS history alone")
    address = f"{settings.webhook_host}:{settings.webhook_port}"
    who = await _who_answers(settings.webhook_host, settings.webhook_port)
    if who == "stranger":
        return Finding(
            "webhook endpoint",
            False,
            f"another program is using {address}",
            "stop it, or set PIV_WEBHOOK_PORT to a free port",
        )
    if who == "nobody" and (problem := _cannot_listen(settings.webhook_host, settings.webhook_port)):
        return Finding(
            "webhook endpoint",
            False,
            f"nobody can listen on {address}: {problem}",
            "set PIV_WEBHOOK_HOST to an address of this machine (127.0.0.1), and PIV_WEBHOOK_PORT to a free port",
        )
    try:
        path = f"/webhooks/{webhook_secret(settings, _ensured_directory(settings))}"
    except OSError as error:
        return Finding(
            "webhook endpoint",
            False,
            f"its secret cannot be kept in {settings.directory}: {error.strerror}",
            "set PIV_DATA_DIR to a directory of yours",
        )
    except PivError as error:
        return Finding("webhook endpoint", False, error.message, error.hint)
    served = "served by a running piv-mcp" if who == "piv-mcp" else "free: the next server to start serves it"
    guesses = await _wrong_secrets(settings)
    return Finding(
        "webhook endpoint",
        True,
        f"{address} is {served}{guesses}",
        f"enter in the piv.day dashboard: https://YOUR-TUNNEL{path}  (a tunnel that forwards to http://{address})",
    )


async def _who_answers(host: str, port: int) -> str:
    """`piv-mcp`, `stranger` or `nobody`."""
    import httpx

    address = f"[{host}]" if ":" in host else host
    try:
        async with httpx.AsyncClient(timeout=3, trust_env=False) as http:
            answer = await http.get(f"http://{address}:{port}/health")
            return "piv-mcp" if answer.json().get("name") == "piv-mcp" else "stranger"
    except httpx.ConnectError:
        return "nobody"
    except (httpx.HTTPError, ValueError, AttributeError):
        return "stranger"


async def _wrong_secrets(settings: Settings) -> str:
    store = Store(settings.store_path(settings.directory))
    try:
        count, last = await store.read(facts.counted, facts.WRONG_SECRET)
    except PivError:
        return ""
    finally:
        await store.close()
    return f"; {count} requests with a wrong secret, the last {span(time.time() - last)} ago" if count else ""


def _cannot_listen(host: str, port: int) -> str | None:
    from piv_mcp.web.listener import listen

    try:
        listen(host, port).close()
    except OSError as error:
        return error.strerror or type(error).__name__
    return None


def _ensured_directory(settings: Settings) -> Path:
    settings.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return settings.directory
