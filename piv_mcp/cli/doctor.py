"""`piv-mcp doctor`: checks an installation, and says how to mend each fault."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from piv_mcp import __version__
from piv_mcp.api.client import PivClient
from piv_mcp.cli import doctor_http, outside, receiver
from piv_mcp.cli.findings import Finding, certificates, data_directory, key_file, proxy, second_store, unknown_settings
from piv_mcp.cli.stored_accounts import StoredAccount, accounts_of
from piv_mcp.config import Settings, is_plain_host
from piv_mcp.errors import PivError
from piv_mcp.spending.errors import frozen_since
from piv_mcp.store import Connection, Store, accounts, events, facts, servers
from piv_mcp.store.directory import open_directory
from piv_mcp.store.engines import open_store
from piv_mcp.store.salvage import Damage, last_damage
from piv_mcp.text.times import span
from piv_mcp.web.health import Expected, Holder, holder_of
from piv_mcp.web.listener import listen, reason
from piv_mcp.web.secret import webhook_secret
from piv_mcp.web.sharing import SAME_SECRET, mismatches

ANSWER_SECONDS = 3.0
"""How long the holder of the webhook port may take to answer."""


FILE_ADVICE = "free disk space, close other programs that use the file, or set PIV_DATA_DIR"
DATABASE_ADVICE = "look whether the database of PIV_STORE_URL runs and lets this user in: psql with the same address"


@dataclass(slots=True)
class Installation:
    """What is examined. `key` is the digest of the API key, once it is known to be an account's."""

    settings: Settings
    webhook_url: str | None = None
    """The outside address to be tried."""
    takes_webhooks: bool = False
    """Whether webhooks are on, and it is known whose they are."""
    key: str | None = None
    user_id: str | None = None

    @asynccontextmanager
    async def store(self) -> AsyncGenerator[Store]:
        """The store, with the rows of the key's account.

        Raises:
            PivError: the data directory cannot be used.
            OSError: likewise.
        """
        store = open_store(self.settings, self.directory(), key_digest=self.key)
        try:
            yield store
        finally:
            await store.close()

    def directory(self) -> Path:
        """The data directory, made if there is none. It does not depend on a sandbox, which has one of its own."""
        return open_directory(self.settings)


Check = Callable[[Installation], Awaitable[list[Finding]]]


async def examine(settings: Settings, webhook_url: str | None = None) -> list[Finding]:
    """Run all checks. A fault can be the cause of faults after it. A test event is sent to `webhook_url`."""
    around = [check(settings) for check in (unknown_settings, proxy, certificates, key_file)]
    found = [finding for finding in around if finding is not None]
    installation = Installation(settings, webhook_url)
    checks: tuple[Check, ...] = (_api, _directory, _store, _freeze, _secret, _receiver, _web, _outside)
    for check in checks:
        found += await _run(check, installation)
    return found


async def _run(check: Check, installation: Installation) -> list[Finding]:
    """A check that fails in a way that nobody thought of is a finding, too. Its text could hold a secret."""
    try:
        return await check(installation)
    except Exception as error:
        what = check.__name__.strip("_").replace("_", " ")
        return [Finding(what, False, f"the check itself failed ({type(error).__name__})", "report this")]


async def _directory(installation: Installation) -> list[Finding]:
    finding = data_directory(installation.settings) or second_store(installation.settings)
    return [finding] if finding is not None else []


async def _api(installation: Installation) -> list[Finding]:
    settings = installation.settings
    if settings.sandbox:
        return [Finding("API", True, "the built-in sandbox")]
    if settings.accounts_dir is not None:
        return await doctor_http.hosted_accounts(settings)
    if settings.api_key is None:
        return [
            Finding(
                "API key",
                False,
                "not set",
                "create one in the piv.day dashboard (Settings > API Keys); `piv-mcp install` asks for it, or set "
                "PIV_API_KEY_FILE",
            )
        ]
    try:
        async with PivClient(settings.base_url, settings.api_key, deadline=15) as client:
            account = await client.account.get()
    except PivError as error:
        return [Finding("API", False, error.message, error.hint)]
    installation.key, installation.user_id = accounts.digest(settings.api_key.get_secret_value()), account.user_id
    where = settings.base_url if "base_url" not in settings.model_fields_set else "the address in PIV_BASE_URL"
    return [Finding("API", True, f"{where} accepts the key; balance {account.balance} dollars")]


async def _store(installation: Installation) -> list[Finding]:
    try:
        directory = installation.directory()
        where = "PostgreSQL" if installation.settings.is_shared else str(installation.settings.store_path(directory))
    except PivError as error:
        return [Finding("store", False, error.message, error.hint)]
    except OSError as error:
        return [Finding("store", False, f"{error.filename}: {error.strerror}", "set PIV_DATA_DIR to another directory")]
    try:
        await _find_account(installation)
        async with installation.store() as store:
            count, heard = await store.write(events.summary)
            damage = await store.read(last_damage)
    except PivError as error:
        advice = error.hint or (DATABASE_ADVICE if installation.settings.is_shared else FILE_ADVICE)
        return [Finding("store", False, f"{where}: {error.message}", advice)]
    last = f"the last {span(time.time() - heard)} ago" if heard else "none yet"
    return [Finding("store", True, f"{where}: {count} events, {last}{_damage(damage)}")]


async def _freeze(installation: Installation) -> list[Finding]:
    """The freeze of the key's account; where no key says whose, those of all accounts."""
    findings: list[Finding] = []
    with suppress(PivError, OSError):  # what is said about the store says why
        opened = partial(open_store, installation.settings, installation.directory())
        known = None if installation.key is None else [StoredAccount(opened, installation.key)]
        for account in known or await accounts_of(opened):
            async with account.journal() as journal:
                freeze = await journal.freeze()
            if freeze is not None:
                what = f"spending of {account.name}" if account.name else "spending"
                state = f"frozen {frozen_since(freeze)}"
                findings.append(Finding(what, True, state, "piv-mcp unfreeze, when it is to go on"))
    return findings


def _damage(damage: Damage | None) -> str:
    if damage is None:
        return ""
    lost = [f"up to {damage.lost} rows"] if damage.lost else []
    if damage.tables:
        lost.append(f"some rows of {', '.join(damage.tables)}")
    told = f"{' and '.join(lost)} could not be read" if lost else "all that was in it could be read"
    return f"; the file was damaged {span(time.time() - damage.at)} ago: {told}"


async def _find_account(installation: Installation) -> None:
    """Know a key that a server has used, also if the API does not accept it now; note whose an accepted one is."""
    settings = installation.settings
    if installation.key is None and settings.api_key is not None and not settings.sandbox:
        key = accounts.digest(settings.api_key.get_secret_value())
        async with installation.store() as store:
            if await store.read(accounts.of_key, key) is not None:
                installation.key = key
    if installation.user_id:
        async with installation.store() as store:
            await store.write(accounts.identify, installation.user_id)


async def _secret(installation: Installation) -> list[Finding]:
    if installation.settings.transport == "http":
        return []  # each account has its own
    secret = installation.settings.webhook_secret
    state = "generated, 32 characters" if secret is None else f"set, {len(secret.get_secret_value())} characters"
    return [Finding("webhook secret", True, state)]


async def _receiver(installation: Installation) -> list[Finding]:
    finding = await asyncio.to_thread(receiver.check)
    return [finding] if finding is not None else []


async def _web(installation: Installation) -> list[Finding]:
    settings = installation.settings
    if settings.transport == "http":
        return await doctor_http.hosted(settings, installation.directory())
    if settings.webhook_port == 0:
        state = "off (PIV_WEBHOOK_PORT=0): codes are read from the SMS history only"
        return [Finding("webhook endpoint", True, state)]
    try:
        async with installation.store() as store:
            has_key = settings.api_key is not None and not settings.sandbox
            if has_key and installation.key is None and await store.read(accounts.keys):
                state = "its address is not known, since it is not known whose the API key is"
                return [Finding("webhook endpoint", False, state, "see what is said about the API")]
            findings = await _shared_port(settings, installation.directory(), store)
            installation.takes_webhooks = True
            return findings
    except OSError as error:
        return [
            Finding(
                "webhook endpoint",
                False,
                f"the secret cannot be stored in {settings.directory}: {error.strerror}",
                "set PIV_DATA_DIR to a directory that you can write to",
            )
        ]
    except PivError as error:
        return [Finding("webhook endpoint", False, error.message, error.hint)]


async def _outside(installation: Installation) -> list[Finding]:
    if installation.webhook_url is None:
        return []
    if installation.settings.transport == "http":
        return await doctor_http.tried(installation.webhook_url, installation.settings, installation.directory())
    if not installation.takes_webhooks:
        return [Finding(outside.WHAT, False, "not tried", "see what is said about the webhook endpoint")]
    try:
        async with installation.store() as store:
            secret = await webhook_secret(installation.settings, installation.directory(), store)
            return [await outside.check(installation.webhook_url, secret, _local(installation.settings), store)]
    except PivError as error:  # such as certificates of the environment that cannot be used
        return [Finding(outside.WHAT, False, error.message, error.hint)]


async def _shared_port(settings: Settings, directory: Path, store: Store) -> list[Finding]:
    """Who holds the webhook port, and whether its server and the others go together with these settings."""
    secret = await webhook_secret(settings, directory, store)
    server = servers.Server("", servers.digest(secret), settings.webhook_port, settings.inbox_days, __version__, 0.0)
    try:
        found, expected = await store.read(_around, server)
    except PivError:
        found, expected = None, None
    holder = await holder_of(settings.webhook_host, settings.webhook_port, expected, ANSWER_SECONDS)
    findings = [await _endpoint(settings, secret, holder, found, store)]
    if found is None:
        return findings
    if "inbox_days" not in settings.model_fields_set:  # then only what the others say of each other counts
        days = [other.inbox_days for other in found.of_account]
        server = replace(server, inbox_days=max(days, default=settings.inbox_days))
    if told := list(mismatches(server, found)):
        problems, advice = [one.problem for one in told], dict.fromkeys(one.do for one in told)
        findings.append(Finding("other servers", False, "; ".join(problems), ". ".join(advice)))
    return findings


def _around(connection: Connection, server: servers.Server) -> tuple[servers.Surroundings, Expected]:
    store_id = facts.get(connection, facts.STORE_ID) or ""
    return servers.around(connection, server, time.time()), Expected(store_id, server.secret)


async def _endpoint(
    settings: Settings, secret: str, holder: Holder, found: servers.Surroundings | None, store: Store
) -> Finding:
    """The webhook endpoint, as its holder answers for it."""
    address = _local(settings)
    if holder in ("other", "closing"):
        return Finding(
            "webhook endpoint",
            False,
            f"another program is using {address}, or a piv-mcp with another data directory or secret",
            "stop that program, or set PIV_WEBHOOK_PORT to a free port",
        )
    if holder == "silent":
        pid = await _holder_pid(settings.webhook_port, store)
        return Finding(
            "webhook endpoint",
            False,
            f"the program that holds {address} does not answer: no webhooks arrive",
            f"end process {pid}, a piv-mcp that hangs" if pid else "end that program",
        )
    if holder == "nobody" and (problem := _cannot_listen(settings.webhook_host, settings.webhook_port)):
        return Finding(
            "webhook endpoint",
            False,
            f"cannot listen on {address}: {problem}",
            "set PIV_WEBHOOK_HOST to an address of this machine (127.0.0.1), and PIV_WEBHOOK_PORT to a free port",
        )
    if holder == "another account's" and found is not None and found.of_account:
        return Finding(
            "webhook endpoint",
            False,
            f"the piv-mcp that serves {address} takes another webhook secret for this account",
            SAME_SECRET,
        )
    served = {
        "ours": "served by a running piv-mcp",
        "another account's": "served by a running piv-mcp, which takes the webhooks of this account and secret as soon "
        "as a server with them runs",
    }.get(holder, "free: the next server that starts will serve it")
    path = f"/webhooks/{secret}"
    return Finding(
        "webhook endpoint",
        True,
        f"{address} is {served}{await _webhooks_so_far(store)}",
        f"enter in the piv.day dashboard: https://YOUR-TUNNEL{path}  (a tunnel that forwards to http://{address})",
    )


def _local(settings: Settings) -> str:
    """Where the webhook endpoint is on this machine."""
    host = settings.webhook_host
    return f"{host if is_plain_host(host) else 'the host in PIV_WEBHOOK_HOST'}:{settings.webhook_port}"


async def _holder_pid(port: int, store: Store) -> str | None:
    try:
        return await store.read(servers.holder_pid, port, time.time())
    except PivError:
        return None


async def _webhooks_so_far(store: Store) -> str:
    """Whether webhooks have come, and how many had a wrong secret."""
    try:
        received = await store.read(facts.own_number, facts.WEBHOOK_RECEIVED)
        count, last = await store.read(facts.counted, facts.WRONG_SECRET)
    except PivError:
        return ""
    told = "" if received else "; no webhook has ever been received for this account"
    return f"{told}; {count} requests with a wrong secret, the last {span(time.time() - last)} ago" if count else told


def _cannot_listen(host: str, port: int) -> str | None:
    try:
        listen(host, port).close()
    except OSError as error:
        return reason(error)
    return None
