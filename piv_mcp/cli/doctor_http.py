"""What `piv-mcp doctor` says of a server over HTTP: accounts, their webhooks, agents, and whether it is ready."""

import asyncio
import json
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

from piv_mcp.api.client import PivClient
from piv_mcp.cli import outside
from piv_mcp.cli.findings import Finding
from piv_mcp.config import Settings
from piv_mcp.errors import PivError
from piv_mcp.server.account_files import AccountFile, read_accounts
from piv_mcp.store import accounts, agents, facts
from piv_mcp.store.engines import open_store
from piv_mcp.web.health import WILDCARDS
from piv_mcp.web.secret import shared_secret

READY_SECONDS = 3.0
API_SECONDS = 15


async def hosted_accounts(settings: Settings) -> list[Finding]:
    """Whether the API accepts the key of each account in PIV_ACCOUNTS_DIR."""
    found, problems = read_accounts(settings)
    findings = [Finding(f"account {name}", False, problem, "mend the file") for name, problem in problems.items()]
    findings += await asyncio.gather(*(_account(settings, file) for file in found))
    if not findings:
        return [Finding("accounts", False, "PIV_ACCOUNTS_DIR holds no key file", "put one file with a key for each")]
    return findings


async def hosted(settings: Settings, directory: Path) -> list[Finding]:
    """Where each account's webhooks go, who may use the server, and whether it is ready."""
    files, _ = read_accounts(settings)
    findings = [await _webhooks(settings, directory, file) for file in files if file.key is not None]
    store = open_store(settings, directory)
    try:
        there = [agent for agent in await store.read(agents.listed) if agent.revoked_at is None]
    except PivError as error:
        findings.append(Finding("agents", False, error.message, error.hint))
    else:
        is_open = bool(there) or settings.oauth_issuer is not None
        findings.append(
            Finding("agents", is_open, f"{len(there)} have access", None if is_open else "piv-mcp agents add NAME")
        )
    finally:
        await store.close()
    findings.append(await asyncio.to_thread(_ready, settings))
    return findings


async def tried(webhook_url: str, settings: Settings, directory: Path) -> list[Finding]:
    """Whether a test event sent to the outside address arrives, for each account."""
    findings: list[Finding] = []
    for file in read_accounts(settings)[0]:
        if file.key is None:
            continue
        store = open_store(settings, directory, key_digest=accounts.digest(file.key.get_secret_value()))
        try:
            secret = await shared_secret(file.settings(settings), store)
            found = await outside.check(webhook_url, secret, _local(settings).partition("://")[2], store)
            findings.append(replace(found, what=f"{found.what} of {file.name}"))
        except PivError as error:
            findings.append(Finding(outside.WHAT, False, error.message, error.hint))
        finally:
            await store.close()
    return findings


async def _account(settings: Settings, file: AccountFile) -> Finding:
    what = f"account {file.name}"
    if file.key is None:
        return Finding(what, True, "the built-in sandbox")
    try:
        async with PivClient(settings.base_url, file.key, deadline=API_SECONDS) as client:
            account = await client.account.get()
    except PivError as error:
        return Finding(what, False, error.message, error.hint)
    return Finding(what, True, f"the API accepts its key; balance {account.balance} dollars")


async def _webhooks(settings: Settings, directory: Path, file: AccountFile) -> Finding:
    what = f"webhooks of {file.name}"
    digest = accounts.digest(file.key.get_secret_value()) if file.key is not None else None
    store = open_store(settings, directory, key_digest=digest)
    try:
        secret = await shared_secret(file.settings(settings), store)
        received = await store.read(facts.own_number, facts.WEBHOOK_RECEIVED)
    except PivError as error:
        return Finding(what, False, error.message, error.hint)
    finally:
        await store.close()
    address = f"{settings.public_url or _local(settings)}/webhooks/{secret}"
    state = "have come" if received else "none has ever been received"
    return Finding(what, True, state, f"enter in the piv.day dashboard: {address}")


def _local(settings: Settings) -> str:
    host = WILDCARDS.get(settings.http_host, settings.http_host)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.http_port}"


def _ready(settings: Settings) -> Finding:
    """Whether the server on this machine is ready. It is no fault if there is none."""
    what, address = "server", _local(settings)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy leads to this machine
    try:
        with opener.open(f"{address}/ready", timeout=READY_SECONDS):
            return Finding(what, True, f"{address} is ready")
    except urllib.error.HTTPError as error:
        return Finding(what, False, f"{address} is not ready: {_problem(error)}", "see its log")
    except OSError:
        return Finding(what, True, f"nobody serves {address}: `piv-mcp serve --transport http` will")


def _problem(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read(1000))["problem"])
    except (ValueError, KeyError, TypeError, OSError):
        return f"HTTP {error.code}"
