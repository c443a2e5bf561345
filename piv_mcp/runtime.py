"""Starts and stops the services of a process.

The first answer of a server waits for none of them: they start at the first use, or a moment after the start.
"""

import asyncio
import gc
import importlib
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from contextvars import Context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
from pydantic import SecretStr

from piv_mcp import metrics
from piv_mcp.config import Settings, is_plain_host
from piv_mcp.errors import ConfigError, NewerStoreError, PivError, StoreError
from piv_mcp.log import Redactor
from piv_mcp.services import CALLER, Services
from piv_mcp.text.language import language_or_plain
from piv_mcp.text.times import SYSTEM_CLOCK, Clock

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from piv_mcp.api.client import PivClient
    from piv_mcp.sandbox import Sandbox
    from piv_mcp.spending.actions.base import Sources
    from piv_mcp.spending.approval.channels import Channel
    from piv_mcp.spending.gate import Gate
    from piv_mcp.spending.journal import Journal
    from piv_mcp.store import Store
    from piv_mcp.store.changes import Changes
    from piv_mcp.store.view import View
    from piv_mcp.web.visitors import Visitors

IDLE_START_SECONDS = 1.0
FIRST_ANSWER_SECONDS = 0.05
"""The services start so long after the start, or after the tools were asked for, unless a request needs them before:
the first answer is not to wait for them."""

IDENTIFY_SECONDS = 3.0
"""How long the start waits to learn whose a new key is."""

RESTART_SECONDS = 30.0
"""How long after an error background work begins anew."""

_log = structlog.get_logger(__name__)


class Runtime:
    """The services of one process. `services()` starts them; `stop()` stops them."""

    def __init__(
        self,
        settings: Settings,
        redactor: Redactor | None = None,
        *,
        sandbox: "Sandbox | None" = None,
        stop_within: float | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """`sandbox` stands in for the one that is made where the settings ask for one. `stop_within` is what stopping
        may take, in seconds: whoever gives it ends the process then, and what is not done is met at the next start.
        """
        self.settings = settings
        self.clock = self._own_clock = clock
        self._redactor = redactor or Redactor()
        self._sandbox = sandbox
        self._starting = asyncio.Lock()
        self._services: Services | None = None
        self._stack = AsyncExitStack()
        self._stop_within = stop_within

    async def services(self) -> Services:
        """The services, started on the first call.

        Raises:
            ConfigError: a setting is wrong in a way that only shows now.
        """
        if self._services is None:
            async with self._starting:
                if self._services is None:
                    try:
                        # In a context of its own: what starts now is no part of the request that needs it.
                        self._services = await asyncio.create_task(self._start(), context=Context())
                        if self._stop_within is not None:  # the process is ours, and what is loaded stays
                            gc.freeze()  # or going through all of it would hold up every call now and then
                    except BaseException as error:
                        await self.stop()  # what was started is no use alone; the next call begins anew
                        if isinstance(error, OSError):
                            raise _no_directory(error) from error
                        raise
        return self._services

    @asynccontextmanager
    async def running(
        self, first_answer: asyncio.Event | None = None, also: Callable[[], Awaitable[None]] | None = None
    ) -> AsyncGenerator["Runtime"]:
        """Starts the services, and what `also` does, a moment after `first_answer` or the beginning; stops them at the
        end of the block."""
        starting = asyncio.create_task(self._start_when_idle(first_answer or asyncio.Event(), also))
        try:
            yield self
        finally:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            await self.stop()

    async def stop(self) -> None:
        """Stop what was started, the last first."""
        self._services = None
        stopping = asyncio.ensure_future(self._stack.aclose())
        await asyncio.wait({stopping}, timeout=self._stop_within)
        if stopping.done():
            await stopping

    async def _start_when_idle(self, first_answer: asyncio.Event, also: Callable[[], Awaitable[None]] | None) -> None:
        with suppress(TimeoutError):
            async with self.clock.timeout(IDLE_START_SECONDS):
                await first_answer.wait()
        await self.clock.sleep(FIRST_ANSWER_SECONDS)
        try:
            if also is not None:
                await also()
            await self.services()
        except Exception as error:
            _log.error("the services did not start; each call will say why", problem=str(error))

    async def _start(self) -> Services:
        await asyncio.to_thread(_import_heavy)
        # late: together these cost as much as a third of the SDK, and listing the tools needs none of them
        from piv_mcp.api.phonebook import Phonebook
        from piv_mcp.inbox.asking import Asking
        from piv_mcp.inbox.backfill import Backfill
        from piv_mcp.inbox.history import History
        from piv_mcp.inbox.inbox import Inbox
        from piv_mcp.inbox.retention import Retention
        from piv_mcp.spending.actions.base import Sources
        from piv_mcp.spending.approval.browser import BrowserChannel
        from piv_mcp.spending.approval.console import ConsoleChannel
        from piv_mcp.spending.approval.page_views import PageViews
        from piv_mcp.spending.journal import Journal
        from piv_mcp.store import accounts, number_leases
        from piv_mcp.store.changes import Changes
        from piv_mcp.store.engines import open_store
        from piv_mcp.store.sight import Viewer
        from piv_mcp.store.view import View
        from piv_mcp.web.addresses import Addresses
        from piv_mcp.web.app import webhook_app
        from piv_mcp.web.secret import shared_secret, webhook_secret
        from piv_mcp.web.serving import HostedWebhooks, PageDoor, WebhookPort
        from piv_mcp.web.sharing import Sharing
        from piv_mcp.web.webhook_endpoint import WebhookEndpoint

        settings = self.settings
        directory = self._directory()
        if not is_plain_host(settings.webhook_host):
            self._redactor.add(settings.webhook_host)
        sandbox = self._open_sandbox() if settings.sandbox else None
        key = SecretStr(sandbox.api_key) if sandbox else settings.api_key
        key_digest = accounts.digest(key.get_secret_value()) if key else None
        store = open_store(settings, directory, key_digest=key_digest, clock=self._own_clock)
        self.clock = store.clock(self._own_clock)
        self._stack.push_async_callback(store.close)
        await _refuse_newer(store)
        changes = Changes(store, self.clock)
        self._stack.push_async_callback(changes.close)

        client = None if key is None else self._connect(store, key, sandbox)
        remote_time = (lambda: None) if client is None else client.remote_clock.time
        inbox = Inbox(store, changes, days=settings.inbox_days, clock=self.clock, remote_time=remote_time)

        history = History(client, inbox)
        self._stack.push_async_callback(history.watches.close)
        asking = Asking(client, inbox, history)
        phonebook = Phonebook(client, self.clock)
        backfill = Backfill(client, inbox, history, phonebook)
        self._stack.push_async_callback(backfill.release)

        journal = Journal(store, self.clock)
        if client is not None:
            await self._learn_whose(store, client)
        is_hosted = settings.transport == "http"
        secret = await (shared_secret(settings, store) if is_hosted else webhook_secret(settings, directory, store))
        self._redactor.add(secret)
        sharing = Sharing(inbox, secret, self._web_port(), backfill.hurry)
        self._stack.push_async_callback(sharing.close)
        await sharing.start()
        self._background(sharing.run)
        addresses = Addresses(store, secret, self.clock)
        if is_hosted:
            web = HostedWebhooks(WebhookEndpoint(inbox, addresses), sharing)
            backfill.cover(sharing.received_since)  # what came since then, another server has got
        else:
            web = WebhookPort(
                webhook_app(inbox, addresses),
                settings.webhook_host,
                self._web_port(),
                sharing,
                on_serving=backfill.hurry,
                clock=self.clock,
            )
            self._stack.push_async_callback(web.close)
            await web.start()
        if sandbox is not None and (address := settings.public_url if is_hosted else web.serving_at()) is not None:
            sandbox.webhook_url = f"{address}/webhooks/{secret}"

        # Nor are those who share a server without agents shown what another has leased.
        view = View(store, Viewer(number_leases.holder_of_process(store.process)), self.clock)
        gate = None
        if client is not None:
            page: Channel | None = None if settings.console_url is None else ConsoleChannel(settings.console_url)
            if not is_hosted:  # nobody sits before a server

                def pages(visitors: "Visitors") -> "ASGIApp":
                    from piv_mcp.console.app import approvals_app  # late: most processes never show a page

                    return approvals_app(visitors, lambda: shown, changes.notify, settings.language, self.clock)

                door = PageDoor(pages, changes.notify, self.clock)
                self._stack.push_async_callback(door.close)
                page = BrowserChannel(door.address, PageViews(store, self.clock), directory / "approvals", self.clock)
            gate = self._open_gate(Sources(client, store, self.clock), journal, changes, page, view)
        for work in (backfill.run, asking.run, Retention(inbox).run):
            self._background(work)
        if settings.notify is not None:
            from piv_mcp.notices.notifier import open_notifier  # late: few have notices

            for address in settings.notify.get_secret_value().split():
                self._redactor.add(address)
            notifier = await open_notifier(settings, store, client, self.clock)
            self._stack.push_async_callback(notifier.end)
            self._background(notifier.run)
        whole = Services(
            api=client,
            store=view,
            inbox=inbox,
            history=history,
            asking=asking,
            backfill=backfill,
            phonebook=phonebook,
            receiving=web,
            spending=gate,
            exports=directory / "exports",
            sandbox=sandbox,
            toolsets=settings.toolsets,
            clock=self.clock,
        )
        return (shown := whole.shown_through(view))

    def _open_sandbox(self) -> "Sandbox":
        from piv_mcp.sandbox import Sandbox  # late: see _start

        sandbox = self._sandbox or Sandbox()
        self._stack.push_async_callback(sandbox.aclose)
        return sandbox

    def _connect(self, store: "Store", key: SecretStr, sandbox: "Sandbox | None") -> "PivClient":
        """The API, or the sandbox in its place."""
        from piv_mcp.api.client import PivClient  # late: see _start
        from piv_mcp.store.rate_limit import SharedLimiter

        transport = None
        if sandbox is not None:
            from piv_mcp.sandbox import SandboxTransport  # late: see _start

            transport = SandboxTransport(sandbox, sleep=self.clock.sleep)
        self._redactor.add(key.get_secret_value())
        client = PivClient(
            self.settings.base_url,
            key,
            transport=transport,
            limiter=SharedLimiter(store, self.clock, lambda: agent.name if (agent := CALLER.get()) else None),
            clock=self.clock,
        )
        self._stack.push_async_callback(client.aclose)
        return client

    async def _learn_whose(self, store: "Store", client: "PivClient") -> None:
        """Ask whose a new key is where other keys came before: a key that replaces another of the same account has the
        same inbox and webhook address. A server of many accounts asks of each one."""
        from piv_mcp.store import accounts  # late: see _start

        with suppress(PivError, TimeoutError):
            async with self.clock.timeout(IDENTIFY_SECONDS):
                is_unknown = accounts.is_unidentified if self.settings.accounts_dir else accounts.is_doubtful
                if await store.read(is_unknown):
                    account = await client.account.get()
                    if account.user_id:
                        await store.write(accounts.identify, account.user_id)

    def _open_gate(
        self, sources: "Sources", journal: "Journal", changes: "Changes", page: "Channel | None", view: "View"
    ) -> "Gate":
        from piv_mcp.api.rate_limit import Priority  # late: see _start
        from piv_mcp.spending.actions.base import Sources
        from piv_mcp.spending.approval.elicitation import ElicitationChannel
        from piv_mcp.spending.approval.flow import ApprovalFlow
        from piv_mcp.spending.approval.questions import Questions
        from piv_mcp.spending.gate import Gate
        from piv_mcp.spending.policy import Policy
        from piv_mcp.spending.reconcile.reconciler import Reconciler
        from piv_mcp.spending.reconcile.shift import Shift
        from piv_mcp.web.metrics_port import account_lookup

        wanted, patience = self.settings.confirm_channel, self.settings.confirm_wait
        questions = Questions(journal.store, self.clock)
        language, only = language_or_plain(self.settings.language), wanted == "elicit"
        in_client = ElicitationChannel(questions, language, patience=patience, only=only, clock=self.clock)
        there = (in_client,) if page is None else (in_client, page)
        channels = [channel for channel in there if wanted in ("auto", channel.name)]
        approval = ApprovalFlow(journal, changes, channels, patience, self.clock)
        # What is looked for by itself leaves room for what people call.
        by_itself = Reconciler(Sources(sources.api.at(Priority.WAIT), sources.store, self.clock), journal)
        policy, reconciler = Policy.of(self.settings), Reconciler(sources, journal)
        self._stack.callback(metrics.look_up(account_lookup(journal, policy)))
        gate = Gate(sources, journal, policy, approval, changes, reconciler, by_itself.wake, view)
        self._stack.push_async_callback(gate.close)
        if self.settings.transport == "http":
            shift = Shift(by_itself, journal, self.clock)
            self._stack.push_async_callback(shift.end)
            self._background(shift.run)
        else:
            self._background(by_itself.run)
        return gate

    def _directory(self) -> Path:
        """Where files are kept. A sandbox forgets with its process, and never mixes with what is real."""
        if self.settings.sandbox and self.settings.data_dir is None:
            return Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="piv-mcp-sandbox-")))
        from piv_mcp.store.directory import open_directory  # late: see _start

        return open_directory(self.settings)

    def _web_port(self) -> int | None:
        """None: off, or not our own. A sandbox of ours takes any free port (0), so that it never answers for the real
        one."""
        if self.settings.transport == "http":
            return None
        if self.settings.sandbox and "webhook_port" not in self.settings.model_fields_set:
            return 0
        return self.settings.webhook_port or None

    def _background(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run `work` until the end of the process: after an error it begins anew."""

        async def run() -> None:
            while True:
                try:
                    return await work()
                except Exception:
                    _log.exception("background work failed", restart_in=RESTART_SECONDS)
                await self.clock.sleep(RESTART_SECONDS)

        task = asyncio.create_task(run())

        async def stop() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        self._stack.push_async_callback(stop)


async def _refuse_newer(store: "Store") -> None:
    """Start nothing on a store of a newer version. Other faults of the store can pass; each call says them.

    Raises:
        NewerStoreError: the store is of a newer version.
    """
    from piv_mcp.store import facts  # late: see Runtime._start

    try:
        await store.read(facts.get, facts.STORE_ID)
    except NewerStoreError:
        raise
    except StoreError as error:
        _log.error("the store cannot be used", problem=error.message)


def _no_directory(error: OSError) -> ConfigError:
    if error.filename is None:
        return ConfigError(f"the services cannot start ({error.strerror or type(error).__name__})")
    return ConfigError(
        f"the data directory cannot be used ({error.strerror}: {error.filename})",
        hint="Set PIV_DATA_DIR to a directory that this program may write to",
    )


def _import_heavy() -> None:
    for name in ("httpx", "stamina", "piv_mcp.api.client", "piv_mcp.inbox.codes.extract", "piv_mcp.web.app"):
        importlib.import_module(name)
