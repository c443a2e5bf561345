"""`piv-mcp doctor`: checks an installation, and says how to mend each fault."""

import hmac
import secrets
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal

import httpx
from pydantic import ValidationError

from piv_mcp.api.client import PivClient
from piv_mcp.api.route import without_certificates
from piv_mcp.cli.findings import Finding, certificates, data_directory, key_file, proxy, second_store, unknown_settings
from piv_mcp.config import Settings, is_plain_host
from piv_mcp.errors import PivError
from piv_mcp.runtime import webhook_secret
from piv_mcp.store import Store, events, facts
from piv_mcp.store.directory import open_directory
from piv_mcp.store.salvage import Damage, last_damage
from piv_mcp.text.times import span
from piv_mcp.web.health import Health, proof_of
from piv_mcp.web.listener import listen

Check = Callable[[Settings], Awaitable[Finding | None]]


async def examine(settings: Settings) -> list[Finding]:
    """Run all checks. A fault can be the cause of faults after it."""
    around = [check(settings) for check in (unknown_settings, proxy, certificates, key_file)]
    checks: tuple[Check, ...] = (_api, _directory, _store, _secret, _web)
    found = [*around, *[await _run(check, settings) for check in checks]]
    return [finding for finding in found if finding is not None]


async def _run(check: Check, settings: Settings) -> Finding | None:
    """A check that fails in a way that nobody thought of is a finding, too. Its text could hold a secret."""
    try:
        return await check(settings)
    except Exception as error:
        what = check.__name__.strip("_").replace("_", " ")
        return Finding(what, False, f"the check itself failed ({type(error).__name__})", "report this")


async def _directory(settings: Settings) -> Finding | None:
    return data_directory(settings) or second_store(settings)


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
    try:
        async with PivClient(settings.base_url, settings.api_key, deadline=15) as client:
            account = await client.account.get()
    except PivError as error:
        return Finding("API", False, error.message, error.hint)
    where = settings.base_url if "base_url" not in settings.model_fields_set else "the address in PIV_BASE_URL"
    return Finding("API", True, f"{where} accepts the key; balance {account.balance} dollars")


async def _store(settings: Settings) -> Finding:
    try:
        path = settings.store_path(_data_directory(settings))
    except PivError as error:
        return Finding("store", False, error.message, error.hint)
    except OSError as error:
        return Finding("store", False, f"{error.filename}: {error.strerror}", "set PIV_DATA_DIR to another directory")
    store = Store(path)
    try:
        count, heard = await store.write(events.summary)
        damage = await store.read(last_damage)
    except PivError as error:
        advice = error.hint or "free disk space, close other programs that use the file, or set PIV_DATA_DIR"
        return Finding("store", False, f"{path}: {error.message}", advice)
    finally:
        await store.close()
    last = f"the last {span(time.time() - heard)} ago" if heard else "none yet"
    return Finding("store", True, f"{path}: {count} events, {last}{_damage(damage)}")


def _damage(damage: Damage | None) -> str:
    if damage is None:
        return ""
    lost = f"up to {damage.lost} rows could not be read" if damage.lost else "all that was in it could be read"
    return f"; the file was damaged {span(time.time() - damage.at)} ago: {lost}"


async def _secret(settings: Settings) -> Finding:
    secret = settings.webhook_secret
    if secret is None:
        return Finding("webhook secret", True, "generated, 32 characters")
    return Finding("webhook secret", True, f"set, {len(secret.get_secret_value())} characters")


async def _web(settings: Settings) -> Finding:
    if settings.webhook_port == 0:
        return Finding("webhook endpoint", True, "off (PIV_WEBHOOK_PORT=0): codes are read from the SMS history only")
    address = f"{_shown(settings.webhook_host)}:{settings.webhook_port}"
    try:
        secret = webhook_secret(settings, _data_directory(settings))
    except OSError as error:
        return Finding(
            "webhook endpoint",
            False,
            f"the secret cannot be stored in {settings.directory}: {error.strerror}",
            "set PIV_DATA_DIR to a directory that you can write to",
        )
    except PivError as error:
        return Finding("webhook endpoint", False, error.message, error.hint)
    holder = await _holder_of_port(settings, secret)
    if holder == "other":
        return Finding(
            "webhook endpoint",
            False,
            f"another program is using {address}, or a piv-mcp with another data directory or secret",
            "stop that program, or set PIV_WEBHOOK_PORT to a free port",
        )
    if holder == "none" and (problem := _cannot_listen(settings.webhook_host, settings.webhook_port)):
        return Finding(
            "webhook endpoint",
            False,
            f"cannot listen on {address}: {problem}",
            "set PIV_WEBHOOK_HOST to an address of this machine (127.0.0.1), and PIV_WEBHOOK_PORT to a free port",
        )
    served = "served by a running piv-mcp" if holder == "ours" else "free: the next server that starts will serve it"
    guesses = await _wrong_secrets(settings)
    path = f"/webhooks/{secret}"
    return Finding(
        "webhook endpoint",
        True,
        f"{address} is {served}{guesses}",
        f"enter in the piv.day dashboard: https://YOUR-TUNNEL{path}  (a tunnel that forwards to http://{address})",
    )


def _shown(host: str) -> str:
    return host if is_plain_host(host) else "the host in PIV_WEBHOOK_HOST"


async def _holder_of_port(settings: Settings, secret: str) -> Literal["ours", "other", "none"]:
    """Who serves the port: a piv-mcp with this store and secret, which proves it; somebody else; nobody.

    Only a random number is sent to the holder, and only a hash comes back.
    """
    host, port, nonce = settings.webhook_host, settings.webhook_port, secrets.token_hex(16)
    address = f"[{host}]" if ":" in host else host
    try:
        async with httpx.AsyncClient(timeout=3, trust_env=False, verify=without_certificates()) as http:
            answer = await http.get(f"http://{address}:{port}/health", params={"nonce": nonce})
        proof = Health.model_validate_json(answer.content).proof
    except httpx.ConnectError:
        return "none"
    except (httpx.HTTPError, ValidationError):
        return "other"
    store_id = await _store_id(settings)
    expected = proof_of(secret, store_id, port, nonce) if store_id else ""
    return "ours" if expected and hmac.compare_digest(expected.encode(), proof.encode()) else "other"


async def _store_id(settings: Settings) -> str | None:
    store = Store(settings.store_path(settings.directory))
    try:
        return await store.read(facts.get, facts.STORE_ID)
    except PivError:
        return None
    finally:
        await store.close()


async def _wrong_secrets(settings: Settings) -> str:
    store = Store(settings.store_path(_data_directory(settings)))
    try:
        count, last = await store.read(facts.counted, facts.WRONG_SECRET)
    except PivError:
        return ""
    finally:
        await store.close()
    return f"; {count} requests with a wrong secret, the last {span(time.time() - last)} ago" if count else ""


def _cannot_listen(host: str, port: int) -> str | None:
    try:
        listen(host, port).close()
    except OSError as error:
        return error.strerror or type(error).__name__
    return None


def _data_directory(settings: Settings) -> Path:
    return open_directory(settings)
